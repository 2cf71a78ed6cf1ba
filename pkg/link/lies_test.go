// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// rawClass publishes Talos's raw volumes.
var rawClass = provisioner.Class{
	Name:        "raw",
	HostDir:     "/dev/disk/by-partlabel",
	MountDir:    "/dev/disk/by-partlabel",
	Mode:        provisioner.Block,
	NamePattern: "r-*",
}

// partitioned is a world as udev, Talos 1.14 and a class over /dev/disk/by-partlabel make it: the system disk, a user volume on
// vdb, and two raw volumes on vdc, of which the first is in use.
func partitioned() *world {
	w := newWorld()
	w.Install.Classes = append(w.Install.Classes, rawClass)
	w.StorageClasses["raw"] = snapshot.StorageClass{Name: "raw"}
	dir := snapshot.Dir{Exists: true, MountPoint: true, Writable: true}
	part := func(of string, number int, label string) {
		d := w.disk(of)
		p := disk.Disk{
			Name: fmt.Sprintf("%s%d", of, number), Number: disk.Number{Major: 254, Minor: d.Number.Minor + uint32(number)},
			Kind: disk.KindPartition, Parent: of, PartLabel: label, ByID: []string{fmt.Sprintf("virtio-%s-part%d", of, number)},
		}
		p.Kernel = p.Name
		d.Partitions = append(d.Partitions, p.Name)
		d.Content = &disk.Content{Signed: disk.Yes, Signature: disk.Signature{PartitionTable: "gpt"}, Busy: disk.No}
		w.view.Disks = append(w.view.Disks, p)
		dir.Entries = append(dir.Entries, provisioner.Entry{
			Name:   label,
			Kind:   provisioner.Link,
			Target: "../../" + p.Name,
			Device: p.Number.String(),
		})
	}
	dir.Entries = append(dir.Entries, provisioner.Entry{Name: "EPHEMERAL", Kind: provisioner.Link, Target: "../../vda1", Device: "254:1"})
	part("vdb", 1, "u-data")
	part("vdc", 1, "r-one")
	part("vdc", 2, "r-two")
	w.view.Dirs["raw"] = dir
	w.raw("r-one", "Bound")
	w.raw("r-two", "Available")
	w.Users = snapshot.Read(map[snapshot.ClaimRef][]string{{Namespace: "ns", Name: "r-one"}: {"reader"}})
	return w
}

// raw adds the volume that the provisioner makes of a raw volume.
func (w *world) raw(entry, phase string) {
	v := snapshot.Volume{
		Name:  provisioner.PVName(entry, "w-1", "raw"),
		Class: "raw",
		Mode:  provisioner.Block,
		Path:  rawClass.VolumePath(entry),
		Node:  "w-1",
		Phase: phase,
	}
	if phase == "Bound" {
		v.Claim = &snapshot.ClaimRef{Namespace: "ns", Name: entry}
	}
	w.Volumes = append(w.Volumes, v)
}

// useRow is a disk in a line: its links, its volumes with where they lie, and the reasons against it.
func useRow(u DiskUse) string {
	var reasons []string
	for _, o := range u.Objections {
		reasons = append(reasons, string(o.Reason))
	}
	var volumes []string
	for _, v := range u.Volumes {
		volumes = append(volumes, strings.Join([]string{v.Path, v.Device, v.Phase, v.Claim, strings.Join(v.Pods, "+")}, " "))
	}
	return fmt.Sprintf("%s %v %v [%s] %s", u.Name, u.Links, u.PartitionLinks, strings.Join(volumes, "; "),
		strings.Join(slices.Compact(reasons), ","))
}

// TestDisksBesideRawVolumes: udev names every partition in the directory of such a class. Only what namePattern takes is a
// link, and a disk with a partition of that kind is in use by its volumes.
func TestDisksBesideRawVolumes(t *testing.T) {
	w := partitioned()
	for i, u := range Inventory(&w.Snapshot) {
		want := []string{
			"vda [] [] [] system-disk,in-use,partitions",
			"vdb [] [] [] partitions",
			"vdc [] [/dev/disk/by-partlabel/r-one /dev/disk/by-partlabel/r-two] [/dev/disk/by-partlabel/r-one vdc1 Bound ns/r-one reader; /dev/disk/by-partlabel/r-two vdc2 Available  ] partition-linked,partitions",
		}[i]
		if got := useRow(u); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if u.LinksProblem != "" || u.VolumesProblem != "" {
			t.Errorf("%s: %q, %q", u.Name, u.LinksProblem, u.VolumesProblem)
		}
	}
	w.req.Accept = []Acceptance{{Reason: disk.HasPartitions}}
	w.req.Disks = []disk.Arg{{Name: "vdb"}, {Name: "vdc"}}
	p := w.plan(t)
	if l := p.Links[0]; l.Action != change.Create || len(l.Objections) > 0 {
		t.Errorf("a disk with names of udev's alone: %s %s", l.Action, says(l.Objections))
	}
	if l := p.Links[1]; l.Action != change.Refuse ||
		says(l.Objections) != "partition-linked: has partition vdc1, which is published already, as /dev/disk/by-partlabel/r-one" {
		t.Errorf("a disk with a raw volume: %s %s", l.Action, says(l.Objections))
	}
}

// TestALinkThatNamePatternLeavesOut: elsewhere than below /dev somebody has made it, and it is published as soon as the
// pattern changes.
func TestALinkThatNamePatternLeavesOut(t *testing.T) {
	w := newWorld()
	w.Install.Classes[0].NamePattern = "vd*"
	w.lies("block", "old", "/dev/vdb", "254:16")
	if u := Inventory(&w.Snapshot)[1]; !slices.Equal(u.Links, []string{"/var/lib/disks/block/old"}) {
		t.Errorf("%+v", u)
	}
	if l := w.plan(t).Links[0]; l.Action != change.Refuse || !strings.Contains(says(l.Objections), "already-linked") {
		t.Errorf("%s %s", l.Action, says(l.Objections))
	}
}

// TestVolumesThatAreNotPlaced: a disk without volumes is only said to have none where every volume of its node is known to
// lie elsewhere.
func TestVolumesThatAreNotPlaced(t *testing.T) {
	mounts := snapshot.Read([]snapshot.TalosMount{{Source: "/dev/vda1", Target: "/var", Volume: "EPHEMERAL"}})
	files := func(w *world) {
		w.volume("x", func(v *snapshot.Volume) { v.Mode, v.Path = provisioner.Filesystem, "/var/mnt/x" })
	}
	for name, c := range map[string]struct {
		change func(*world)
		want   string // The disks that may have a volume.
		why    string
	}{
		"none there":      {change: func(*world) {}},
		"of another node": {change: func(w *world) { files(w); w.Volumes[0].Node = "w-9" }},
		"of no node": {
			change: func(w *world) { files(w); w.Volumes[0].Node = "" },
			want:   "vda",
			why:    "mounts were not read",
		},
		"a file system, mounts unread": {
			change: files,
			want:   "vda",
			why:    "where volume " + provisioner.PVName("x", "w-1", "block") + " (/var/mnt/x) lies is not known: the node's mounts were not read",
		},
		"a file system, unread disk": {
			change: func(w *world) { files(w); w.disk("vdc").Content = nil },
			want:   "vda vdc",
			why:    "mounts were not read",
		},
		"a file system, mounts read": {change: func(w *world) { files(w); reported(w).Mounts = mounts }},
		"raw, the link is gone":      {change: func(w *world) { w.volume("gone", nil) }},
		"raw, in a directory that is unread": {
			change: func(w *world) { w.volume("x", nil); w.view.Dirs["block"] = snapshot.Dir{Exists: true} },
			want:   "vda vdb vdc",
			why:    "is not the node's",
		},
		"raw, where nobody looked": {
			change: func(w *world) { w.volume("x", func(v *snapshot.Volume) { v.Path = "/srv/x" }) },
			want:   "vda vdb vdc",
			why:    "(/srv/x) lies is not known: not checked there",
		},
		"raw, by a name of the disk": {change: func(w *world) {
			w.volume("x", func(v *snapshot.Volume) { v.Path = "/dev/disk/by-id/virtio-vdb" })
			reported(w)
		}},
		"no pod": {change: func(w *world) {
			w.volume("x", nil)
			reported(w)
			w.Nodes[0].View = snapshot.Unread[snapshot.PodView](problem.FromText("a taint"))
		}, want: "vda vdb vdc", why: "a taint"},
		"no pod, and no volume": {change: func(w *world) {
			reported(w)
			w.Nodes[0].View = snapshot.Unread[snapshot.PodView](problem.FromText("a taint"))
		}},
	} {
		w := newWorld()
		c.change(w)
		var names []string
		for _, u := range Inventory(&w.Snapshot) {
			if u.VolumesProblem != "" {
				names = append(names, u.Name)
				if !strings.Contains(u.VolumesProblem, c.why) {
					t.Errorf("%s: %q, want %q", name, u.VolumesProblem, c.why)
				}
			}
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestVolumesByTalosAlone: where no pod looked, Talos's names tell on which disk a raw volume's PersistentVolume lies.
func TestVolumesByTalosAlone(t *testing.T) {
	w := newWorld()
	w.Install, w.Nodes[0].View = provisioner.Install{}, snapshot.Unread[snapshot.PodView](problem.FromText("there is no provisioner"))
	said := recorded(t)
	said.Links = snapshot.Read(map[string][]string{"vdc1": {"/dev/disk/by-partlabel/r-raw-c", "/dev/disk/by-id/virtio-talos-disk-c-part1"}})
	w.Nodes[0].Talos = snapshot.Read(said)
	w.raw("r-raw-c", "Bound")
	w.volume("x", func(v *snapshot.Volume) { v.Mode, v.Path = provisioner.Filesystem, "/var/mnt/data-b/" })
	got := make(map[string]string)
	for _, u := range Inventory(&w.Snapshot) {
		got[u.Name] = useRow(u)
		if u.LinksProblem == "" || u.VolumesProblem != "" {
			t.Errorf("%s: %q, %q", u.Name, u.LinksProblem, u.VolumesProblem)
		}
	}
	for name, want := range map[string]string{
		"vdc": "vdc [] [] [/dev/disk/by-partlabel/r-raw-c vdc1 Bound ns/r-raw-c ] in-use,not-checked",
		"vdb": "vdb [] [] [/var/mnt/data-b/ vdb2 Available  ] in-use,not-checked",
		"vdg": "vdg [] [] [] not-checked",
	} {
		if got[name] != want {
			t.Errorf("got  %s\nwant %s", got[name], want)
		}
	}
}

// TestAnEmptyDriveHasNoSize: the kernel gives a CD drive without a medium a made-up one.
func TestAnEmptyDriveHasNoSize(t *testing.T) {
	w := newWorld()
	drive := disk.Disk{Name: "sr0", Kernel: "sr0", Number: disk.Number{Major: 11}, Kind: disk.KindCDROM, Size: 2097151 * 512}
	full := drive
	full.Name, full.Kernel, full.Number.Minor, full.Size = "sr1", "sr1", 1, 700<<20
	w.view.Disks = append(w.view.Disks, drive, full)
	sizes := make(map[string]uint64)
	for _, u := range Inventory(&w.Snapshot) {
		sizes[u.Name] = u.Size
	}
	if size, shown := sizes["sr0"]; size != 0 || !shown || sizes["sr1"] != 700<<20 {
		t.Errorf("%v", sizes)
	}
}
