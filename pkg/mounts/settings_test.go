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
		"nothing of the kubelet":  {"machine: {}\n", Settings{}},
		"kubelet is null":         {"machine:\n  kubelet:\n", Settings{Kubelet: true}},
		"kubelet is empty":        {"machine: {kubelet: {}}\n", Settings{Kubelet: true}},
		"only a version":          {"version: v1alpha1\n", Settings{}},
		"an empty kind":           {"kind: ''\nversion: v1alpha1\n", Settings{}},
		"empty documents":         {"---\n---\nmachine:\n---\n# nothing\n", Settings{}},
		"entries":                 {"machine: {kubelet: {extraMounts: [{destination: /a, source: /a, uidMappings: []}, {destination: /b, type: bind, options: [rw]}]}}\n", Settings{Kubelet: true, ExtraMounts: []ExtraMount{entry, {Destination: "/b", Type: "bind", Options: []string{"rw"}}}}},
		"a null between them":     {"machine: {kubelet: {extraMounts: [null, {destination: /a, source: /a}]}}\n", Settings{Kubelet: true, ExtraMounts: []ExtraMount{{}, entry}}},
		"entries by an alias":     {"cluster: &a [{destination: /a, source: /a}]\nmachine: {kubelet: {extraMounts: *a}}\n", Settings{Kubelet: true, ExtraMounts: []ExtraMount{entry}}},
		"entries by a merge key":  {"cluster: &a {extraMounts: [{destination: /a, source: /a}]}\nmachine: {kubelet: {<<: *a}}\n", Settings{Kubelet: true, ExtraMounts: []ExtraMount{entry}}},
		"a KubeletConfig":         {"machine: {}\n---\napiVersion: v1alpha1\nkind: KubeletConfig\n", Settings{KubeletDocument: true}},
		"somebody's kubelet":      {"machine: {}\n---\napiVersion: example.org/v1\nkind: KubeletConfig\n", Settings{}},
		"partitions of disks":     {"machine:\n  disks:\n  - device: /dev/sdb\n    partitions:\n    - mountpoint: /var/lib/disks/hdd/sdb\n    - size: 1GB\n  - device: /dev/sdc\n", Settings{MachineDisks: []machineconfig.MachineDisk{{Device: "/dev/sdb", Mountpoint: "/var/lib/disks/hdd/sdb"}}}},
		"user volumes in a crowd": {"apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: a\n---\nmachine: {}\n---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: b\nvolumeType: directory\n", Settings{UserVolumes: []machineconfig.UserVolume{{Name: "a", Type: "partition"}, {Name: "b", Type: "directory"}}}},
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
