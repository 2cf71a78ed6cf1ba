// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	res "github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/role"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// TestSelect has the disks of a node chosen from as Talos chooses.
func TestSelect(t *testing.T) {
	n := start(t, talostest.Options{Profile: talostest.V114})
	node := connect(t, n.Cluster(), talostest.Access{Roles: []role.Role{role.Reader}}).Node(machineOf(n.Name(), "127.0.0.1"))
	for name, c := range map[string]struct {
		match, volumeType string
		disks             []string
		names             bool
		problem           string
	}{
		"by serial":               {match: `disk.serial == "talos-disk-c"`, disks: []string{"vdc"}},
		"by a name":               {match: `"/dev/disk/by-id/virtio-talos-disk-d" in disk.symlinks`, disks: []string{"vdd"}},
		"by size":                 {match: `disk.size == 5u * GiB`, disks: []string{"vdd", "vde"}},
		"all except the system's": {match: `!system_disk`, names: true, disks: []string{"vdb", "vdc", "vdd", "vde", "vdf", "vdg"}},
		"the system's among them": {
			match: `disk.transport == "virtio"`,
			disks: []string{"vda", "vdb", "vdc", "vdd", "vde", "vdf", "vdg"},
		},
		"by a pattern": {
			match: `glob("/dev/vd[bc]*", disk.dev_path) || glob("/dev/vdg*", disk.dev_path)`,
			disks: []string{"vdg"},
		},
		"none":         {match: `disk.serial == "other"`},
		"a whole disk": {match: `disk.serial == "talos-disk-c"`, volumeType: "disk", disks: []string{"vdc"}},
		"a whole disk and the system's": {
			match:      `disk.serial == "talos-disk-c" && !system_disk`,
			volumeType: "disk",
			names:      true,
			problem:    "it fails on vdc: no such attribute(s): system_disk",
		},
		"a whole disk that is not there":    {match: `disk.serial == "other" && !system_disk`, volumeType: "disk", names: true},
		"read-only disks are passed by":     {match: `disk.dev_path == "/dev/loop0"`},
		"a field that a disk does not have": {match: `disk.name == "vdb"`, problem: "undefined field 'name'"},
		"no answer of yes or no":            {match: `disk.size`, problem: "of type uint"},
		"a variable of a loop of that name": {
			match: `disk.symlinks.exists(d, d == "/dev/disk/by-id/virtio-talos-disk-e")`,
			disks: []string{"vde"},
		},
		"too long":                           {match: "true" + strings.Repeat(" || true", 2000), problem: "longer than"},
		"a loop in a loop that does not end": {match: loops(12), problem: "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			volumeType := c.volumeType
			if volumeType == "" {
				volumeType = "partition"
			}
			got, err := node.Select(deadline(t), []machineconfig.VolumeSelector{{
				Kind:  "UserVolumeConfig",
				Name:  "data",
				Type:  volumeType,
				Match: c.match,
			}})
			if err != nil || len(got) != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
			if !slices.Equal(got[0].Disks, c.disks) || got[0].NamesSystemDisk != c.names {
				t.Errorf("%+v", got[0])
			}
			if (c.problem == "") != (got[0].Problem == "") || !strings.Contains(got[0].Problem, c.problem) {
				t.Errorf("problem %q", got[0].Problem)
			}
		})
	}
}

// loops is an expression that goes through a list of ten in itself, so deep.
func loops(depth int) string {
	text := "true"
	for range depth {
		text = "[0,1,2,3,4,5,6,7,8,9].all(x, " + text + ")"
	}
	return text
}

// TestSelectIsBounded has several selectors share what one node may cost.
func TestSelectIsBounded(t *testing.T) {
	n := start(t, talostest.Options{Profile: talostest.V114})
	node := connect(t, n.Cluster(), talostest.Access{Roles: []role.Role{role.Reader}}).Node(machineOf(n.Name(), "127.0.0.1"))
	dear := machineconfig.VolumeSelector{Kind: "UserVolumeConfig", Name: "dear", Type: "partition", Match: loops(4)}
	got, err := node.Select(deadline(t), slices.Repeat([]machineconfig.VolumeSelector{dear}, 8))
	if err != nil || len(got) != 8 {
		t.Fatal(got, err)
	}
	if last := got[7]; !strings.Contains(last.Problem, "too long") {
		t.Errorf("%+v", last)
	}
	if _, err := node.Select(deadline(t), slices.Repeat([]machineconfig.VolumeSelector{dear}, maxSelectors+1)); err == nil {
		t.Error("there is no end to selectors")
	}
	if got, err := node.Select(deadline(t), nil); err != nil || got == nil || len(got) != 0 {
		t.Error(got, err)
	}
}

// TestSelectVolumes has existing volumes and swap chosen as Talos chooses: the first among what it discovered, and the disks.
func TestSelectVolumes(t *testing.T) {
	n := start(t, talostest.Options{Profile: talostest.V114})
	discover := func(id string, spec res.DiscoveredVolumeSpec) {
		v := res.NewDiscoveredVolume(res.NamespaceName, id)
		*v.TypedSpec() = spec
		v.TypedSpec().DevPath = "/dev/" + id
		if spec.Parent != "" {
			v.TypedSpec().ParentDevPath = "/dev/" + spec.Parent
		}
		if err := n.State().Create(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	discover("vdb1", res.DiscoveredVolumeSpec{Type: "partition", Parent: "vdb", Name: "xfs", PartitionLabel: "MY-DATA", PartitionIndex: 1})
	discover("vdc1", res.DiscoveredVolumeSpec{Type: "partition", Parent: "vdc", Name: "xfs", PartitionLabel: "MY-DATA", PartitionIndex: 1})
	discover("zram0", res.DiscoveredVolumeSpec{Type: "disk", Name: "xfs", Label: "odd"}) // Of which there is no Disk.
	node := connect(t, n.Cluster(), talostest.Access{Roles: []role.Role{role.Reader}}).Node(machineOf(n.Name(), "127.0.0.1"))
	for name, c := range map[string]struct {
		kind, match    string
		disks, volumes []string
		problem        string
	}{
		"a partition, as in the article": {
			match:   `volume.partition_index == 1u && disk.serial == "talos-disk-b"`,
			volumes: []string{"vdb1"},
		},
		"by a label that two have":            {match: `volume.partition_label == "MY-DATA"`, volumes: []string{"vdb1", "vdc1"}},
		"a whole disk":                        {match: `disk.serial == "talos-disk-g"`, volumes: []string{"vdg"}},
		"a disk and what is on it":            {match: `disk.serial == "talos-disk-b"`, volumes: []string{"vdb", "vdb1"}},
		"by the size of the disk":             {match: `volume.name == "xfs" && disk.size == 10u * GiB`, volumes: []string{"vdb1", "vdc1"}},
		"none":                                {match: `volume.partition_label == "OTHER"`},
		"one without a disk":                  {match: `volume.label == "odd"`, volumes: []string{"zram0"}},
		"none, with one that has no disk":     {match: `disk.serial == "other"`, problem: "it fails on zram0: no such attribute(s): disk"},
		"a system disk, which nobody told of": {match: `volume.name == "xfs" && !system_disk`, problem: "undeclared reference to 'system_disk'"},
		"a field that a volume does not have": {match: `volume.serial == "x"`, problem: "undefined field 'serial'"},
		"swap": {
			kind:  "SwapVolumeConfig",
			match: `disk.size == 10u * GiB && !system_disk`,
			disks: []string{"vdb", "vdc"},
		},
		"swap of a volume": {kind: "SwapVolumeConfig", match: `volume.label == "odd"`, problem: "undeclared reference to 'volume'"},
	} {
		t.Run(name, func(t *testing.T) {
			s := machineconfig.VolumeSelector{Kind: cmp.Or(c.kind, "ExistingVolumeConfig"), Name: "data", Type: "partition", Match: c.match}
			got, err := node.Select(deadline(t), []machineconfig.VolumeSelector{s})
			if err != nil || len(got) != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
			if !slices.Equal(got[0].Disks, c.disks) || !slices.Equal(got[0].Volumes, c.volumes) {
				t.Errorf("%+v", got[0])
			}
			if (c.problem == "") != (got[0].Problem == "") || !strings.Contains(got[0].Problem, c.problem) {
				t.Errorf("problem %q", got[0].Problem)
			}
		})
	}
}
