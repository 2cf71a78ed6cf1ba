// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"slices"
	"testing"
)

func TestSwappedLinks(t *testing.T) {
	b := diskRecord{Disk: Disk{Name: "vdb", Serial: "one", PathID: "pci-b", Links: []string{"by-id/wwn-1", "by-path/virtio-b"}}, Loop: 1}
	c := diskRecord{Disk: Disk{Name: "vdc", Serial: "two", PathID: "pci-c", Links: []string{"by-id/wwn-2"}}, Loop: 2}
	for _, test := range []struct {
		name string
		o    SwapOptions
		want []string // the links of the disk that is called vdb afterwards
	}{
		{name: "all follow", o: SwapOptions{}, want: []string{"by-id/wwn-2", "by-id/virtio-two", "by-path/pci-c"}},
		{
			name: "slots",
			o:    SwapOptions{ByPathStays: true},
			want: []string{"by-id/wwn-2", "by-path/virtio-b", "by-id/virtio-two", "by-path/pci-b"},
		},
		{
			name: "all stay",
			o:    SwapOptions{ByIDStays: true, ByPathStays: true},
			want: []string{"by-id/wwn-1", "by-path/virtio-b", "by-id/virtio-one", "by-path/pci-b"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := swapped(b, c, test.o)
			if got.Name != "vdb" || got.Loop != 2 {
				t.Errorf("got %s on loop device %d, want vdb on 2", got.Name, got.Loop)
			}
			if !slices.Equal(got.links(), test.want) {
				t.Errorf("got %q, want %q", got.links(), test.want)
			}
		})
	}
}

func TestDefaultPathID(t *testing.T) {
	for name, want := range map[string]string{"vdb": "pci-0000:00:0b.0", "vdc": "pci-0000:00:0c.0", "sdz": "pci-0000:00:23.0"} {
		if got := defaultPathID(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
