// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"os"
	"reflect"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

func TestReadConfig(t *testing.T) {
	entry := ExtraMount{Destination: "/a", Source: "/a"}
	for name, c := range map[string]struct {
		raw  string
		want Settings
	}{
		"nothing of the kubelet": {raw: "machine: {}\n", want: Settings{}},
		"kubelet is null":        {raw: "machine:\n  kubelet:\n", want: Settings{Kubelet: true}},
		"kubelet is empty":       {raw: "machine: {kubelet: {}}\n", want: Settings{Kubelet: true}},
		"only a version":         {raw: "version: v1alpha1\n", want: Settings{}},
		"an empty kind":          {raw: "kind: ''\nversion: v1alpha1\n", want: Settings{}},
		"empty documents":        {raw: "---\n---\nmachine:\n---\n# nothing\n", want: Settings{}},
		"entries": {
			raw:  "machine: {kubelet: {extraMounts: [{destination: /a, source: /a, uidMappings: []}, {destination: /b, type: bind, options: [rw]}]}}\n",
			want: Settings{Kubelet: true, ExtraMounts: []ExtraMount{entry, {Destination: "/b", Type: "bind", Options: []string{"rw"}}}},
		},
		"a null between them": {
			raw:  "machine: {kubelet: {extraMounts: [null, {destination: /a, source: /a}]}}\n",
			want: Settings{Kubelet: true, ExtraMounts: []ExtraMount{{}, entry}},
		},
		"entries by an alias": {
			raw:  "cluster: &a [{destination: /a, source: /a}]\nmachine: {kubelet: {extraMounts: *a}}\n",
			want: Settings{Kubelet: true, ExtraMounts: []ExtraMount{entry}},
		},
		"entries by a merge key": {
			raw:  "cluster: &a {extraMounts: [{destination: /a, source: /a}]}\nmachine: {kubelet: {<<: *a}}\n",
			want: Settings{Kubelet: true, ExtraMounts: []ExtraMount{entry}},
		},
		"a KubeletConfig":    {raw: "machine: {}\n---\napiVersion: v1alpha1\nkind: KubeletConfig\n", want: Settings{KubeletDocument: true}},
		"somebody's kubelet": {raw: "machine: {}\n---\napiVersion: example.org/v1\nkind: KubeletConfig\n", want: Settings{}},
		"partitions of disks": {
			raw:  "machine:\n  disks:\n  - device: /dev/sdb\n    partitions:\n    - mountpoint: /var/lib/disks/hdd/sdb\n    - size: 1GB\n  - device: /dev/sdc\n",
			want: Settings{MachineDisks: []machineconfig.MachineDisk{{Device: "/dev/sdb", Mountpoint: "/var/lib/disks/hdd/sdb"}}},
		},
		"user volumes in a crowd": {
			raw:  "apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: a\n---\nmachine: {}\n---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: b\nvolumeType: directory\n",
			want: Settings{UserVolumes: []machineconfig.UserVolume{{Name: "a", Type: "partition"}, {Name: "b", Type: "directory"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadSettings([]byte(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestReadConfigGenerated(t *testing.T) {
	for name, want := range map[string]Settings{
		"../machineconfig/testdata/generated-1.13.yaml": {Kubelet: true},
		"../machineconfig/testdata/generated-1.14.yaml": {KubeletDocument: true},
	} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ReadSettings(raw); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}
