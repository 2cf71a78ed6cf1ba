// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

var (
	blockClass = provisioner.Class{Name: "block", HostDir: "/var/lib/disks/block", MountDir: "/mnt/block", Mode: provisioner.Block}
	filesClass = provisioner.Class{Name: "files", HostDir: "/var/lib/disks/files", MountDir: "/mnt/files", Mode: provisioner.Filesystem}
)

// world is a cluster with one node, whose vda is the system's disk, and whose vdb nothing speaks against.
type world struct {
	snapshot.Snapshot
	view *snapshot.PodView
	req  Request
}

func newWorld() *world {
	w := &world{view: &snapshot.PodView{
		Disks: []disk.Disk{
			{
				Name:        "vda",
				Kernel:      "vda",
				Number:      disk.Number{Major: 254},
				Kind:        disk.KindDisk,
				Size:        20 << 30,
				Partitions:  []string{"vda1"},
				Serial:      "sys",
				ByID:        []string{"virtio-sys"},
				Fingerprint: "fa",
				Content:     &disk.Content{Signed: disk.Yes, Signature: disk.Signature{PartitionTable: "gpt"}, Busy: disk.Yes},
			},
			{
				Name:      "vda1",
				Kernel:    "vda1",
				Number:    disk.Number{Major: 254, Minor: 1},
				Kind:      disk.KindPartition,
				Parent:    "vda",
				PartLabel: "EPHEMERAL",
				ByID:      []string{"virtio-sys-part1"},
			},
			whole("vdb", 16), whole("vdc", 32),
		},
		Beneath: map[disk.Number]string{{Major: 254, Minor: 1}: "holds /mnt/block", {Major: 254}: "holds /mnt/block"},
		Dirs: map[string]snapshot.Dir{
			"block": {Exists: true, MountPoint: true, Writable: true},
			"files": {Exists: true, MountPoint: true, Writable: true},
		},
		Paths: map[string]disk.Number{"/dev/disk/by-id/virtio-vdb": {Major: 254, Minor: 16}},
	}}
	w.Install = provisioner.Install{
		Namespace: "storage", Name: "lvp", ConfigMap: "lvp-config", Container: "provisioner",
		Classes: []provisioner.Class{blockClass, filesClass},
		Mounts: []provisioner.Mount{
			{HostPath: "/dev", MountPath: "/dev"}, {HostPath: "/var/lib/disks/block", MountPath: "/mnt/block"},
			{HostPath: "/var/lib/disks/files", MountPath: "/mnt/files"},
		},
	}
	w.StorageClasses = map[string]snapshot.StorageClass{"block": {Name: "block"}, "files": {Name: "files"}}
	w.Nodes = []snapshot.Node{{
		Name:    "w-1",
		UID:     "u1",
		Address: "10.0.0.11",
		Ready:   true,
		Wanted:  true,
		View:    snapshot.Section[snapshot.PodView]{Value: w.view},
	}}
	w.req = Request{Disks: []disk.Arg{{Name: "vdb"}}}
	return w
}

func whole(name string, minor uint32) disk.Disk {
	return disk.Disk{
		Name: name, Kernel: name, Number: disk.Number{Major: 254, Minor: minor}, Kind: disk.KindDisk, Size: 60 << 30, Serial: "serial-" + name,
		ByID: []string{"virtio-" + name}, ByPath: []string{"pci-" + name}, Fingerprint: "f-" + name,
		Content: &disk.Content{Signed: disk.No, Busy: disk.No},
	}
}

func (w *world) disk(name string) *disk.Disk {
	i := slices.IndexFunc(w.view.Disks, func(d disk.Disk) bool { return d.Name == name })
	return &w.view.Disks[i]
}

// paths makes one disk of two.
func (w *world) paths(first, second string) {
	a, b := w.disk(first), w.disk(second)
	a.WWID, b.WWID, b.Size, b.Serial, b.ByID = "naa.1", "naa.1", a.Size, a.Serial, nil
}

func (w *world) dir(class string, change func(*snapshot.Dir)) {
	d := w.view.Dirs[class]
	change(&d)
	w.view.Dirs[class] = d
}

// lies puts a link into a class directory.
func (w *world) lies(class, name, target, device string) {
	w.dir(class, func(d *snapshot.Dir) {
		d.Entries = append(d.Entries, provisioner.Entry{Name: name, Kind: provisioner.Link, Target: target, Device: device})
	})
}

// volume adds a volume as the provisioner makes it of an entry.
func (w *world) volume(entry string, change func(*snapshot.Volume)) {
	v := snapshot.Volume{
		Name: provisioner.PVName(entry, "w-1", "block"), UID: "pv", ResourceVersion: "1", Class: "block", Mode: provisioner.Block,
		Path: blockClass.VolumePath(entry), Capacity: 60 << 30, Node: "w-1", Phase: "Available", ReclaimPolicy: "Delete",
	}
	if change != nil {
		change(&v)
	}
	w.Volumes = append(w.Volumes, v)
}

func (w *world) plan(t *testing.T) Plan {
	t.Helper()
	p, err := Decide(&w.Snapshot, w.req)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func says(objections []disk.Objection) string {
	var all []string
	for _, o := range objections {
		all = append(all, string(o.Reason)+": "+o.Message)
	}
	return strings.Join(all, "; ")
}

func TestDecideCreates(t *testing.T) {
	w := newWorld()
	p := w.plan(t)
	if p.APIVersion != APIVersion || p.Kind != Kind || p.Provisioner != "storage/lvp" || len(p.Links) != 1 {
		t.Fatalf("%+v", p)
	}
	l := p.Links[0]
	if l.Action != change.Create || len(l.Objections)+len(l.Accepted)+len(l.Warnings) != 0 || l.Node != "w-1" || l.NodeUID != "u1" ||
		l.Disk != "vdb" || l.Class != "block" || l.Entry != "vdb" ||
		l.Path != "/mnt/block/vdb" || l.HostPath != "/var/lib/disks/block/vdb" || l.Target != "/dev/disk/by-id/virtio-vdb" ||
		l.Volume != provisioner.PVName("vdb", "w-1", "block") ||
		l.Size != 60<<30 || l.Device.String() != "254:16" || l.Identity.Serial != "serial-vdb" || l.Fingerprint != "f-vdb" ||
		l.Metadata.Name != "w-1/vdb" || l.Refused() {
		t.Errorf("%+v", l)
	}
	if p.Accepting() {
		t.Error("nothing was accepted")
	}
}

// decideCase is what is different from a world in which vdb is linked without a word, and what comes of it.
type decideCase struct {
	change []func(*world)
	action change.Action
	// objections, accepted and warnings: parts that must be there, "; " between; empty: none are.
	objections, accepted, warnings string
	hint                           string
}

func decideCases() map[string]decideCase {
	bdisk := "/dev/disk/by-id/virtio-vdb"
	accept := func(words ...string) func(*world) {
		return func(w *world) {
			for _, s := range words {
				a, err := ParseAcceptance(s)
				if err != nil {
					panic(err)
				}
				w.req.Accept = append(w.req.Accept, a)
			}
		}
	}
	content := func(c disk.Content) func(*world) {
		return func(w *world) { now := c; w.disk("vdb").Content = &now }
	}
	xfs := content(disk.Content{Signed: disk.Yes, Signature: disk.Signature{Type: "xfs", Usage: "filesystem", Label: "data"}, Busy: disk.No})
	filled := content(disk.Content{Signed: disk.No, Unsigned: disk.Yes, Where: "its first MiB", Busy: disk.No})
	under := func(backing string) func(*world) {
		return func(w *world) {
			w.disk("vdb").Under = []string{"loop7"}
			w.view.Disks = append(w.view.Disks, disk.Disk{
				Name: "loop7", Kernel: "loop7", Number: disk.Number{Major: 7, Minor: 7}, Kind: disk.KindLoop, Size: 60 << 30, Backing: backing,
				Over:    w.disk("vdb").Number,
				Content: &disk.Content{Signed: disk.No, Unsigned: disk.No, Busy: disk.No},
			})
		}
	}
	partitioned := func(w *world) { w.disk("vdb").Partitions = []string{"vdb1"} }
	ask := func(args ...disk.Arg) func(*world) { return func(w *world) { w.req.Disks = args } }
	same := func(w *world) *disk.ID { id := w.disk("vdb").Identity(); return &id }

	return map[string]decideCase{
		"by path":    {change: []func(*world){ask(disk.Arg{Path: bdisk})}, action: change.Create},
		"by pattern": {change: []func(*world){ask(disk.Arg{Glob: "vd[b]"})}, action: change.Create},
		"not-found": {
			change:     []func(*world){ask(disk.Arg{Name: "vdx"})},
			action:     change.Refuse,
			objections: "not-found: does not exist on this node",
			hint:       "kubectl talosdisk disks --nodes w-1",
		},
		"not-found path": {
			change:     []func(*world){ask(disk.Arg{Path: "/dev/disk/by-id/x"})},
			action:     change.Refuse,
			objections: "not-found: does not exist",
		},
		"partition": {
			change:     []func(*world){ask(disk.Arg{Name: "vda1"})},
			action:     change.Refuse,
			objections: "system-disk: ; partition: is a partition of vda",
		},
		"system-disk": {change: []func(*world){ask(disk.Arg{Name: "vda"}), accept("partitions", "signature")}, action: change.Refuse,
			objections: "system-disk: is a disk that the node itself lives on: it holds /mnt/block; in-use: ", accepted: "partitions"},
		"system-disk by partition name": {
			change: []func(*world){func(w *world) { w.view.Beneath = nil; w.disk("vda").Content.Busy = disk.No }, ask(disk.Arg{Name: "vda"}),
				accept("partitions")},
			action:     change.Refuse,
			objections: "system-disk: is a disk that the node itself lives on: it has a partition named EPHEMERAL",
			accepted:   "partitions",
		},
		"system-disk by another path": {
			change:     []func(*world){func(w *world) { w.paths("vda", "vdb") }},
			action:     change.Refuse,
			objections: "system-disk: is a disk that the node itself lives on: it is another path to vda; in-use: is in use by another path to it, vda",
		},
		"system-disk-unknown": {
			change:     []func(*world){func(w *world) { w.view.BeneathProblem = "0:51" }, accept("partitions")},
			action:     change.Refuse,
			objections: "system-disk-unknown: may be the system disk, which is not known: 0:51",
		},
		"in-use mounted": {
			change:     []func(*world){content(disk.Content{Signed: disk.No, Busy: disk.Yes, BusyDetail: "it is mounted"})},
			action:     change.Refuse,
			objections: "in-use: is in use: it is mounted",
		},
		"in-use held": {
			change:     []func(*world){func(w *world) { w.disk("vdb").Holders = []string{"dm-0"} }},
			action:     change.Refuse,
			objections: "in-use: is held by dm-0",
		},
		"read-only": {
			change:     []func(*world){func(w *world) { w.disk("vdb").ReadOnly = true }},
			action:     change.Refuse,
			objections: "read-only: is read-only",
		},
		"cdrom": {
			change:     []func(*world){func(w *world) { w.disk("vdb").Kind = disk.KindCDROM }},
			action:     change.Refuse,
			objections: "cdrom: is a CD-ROM drive",
		},
		"not-checked": {
			change:     []func(*world){func(w *world) { w.disk("vdb").Content = nil }},
			action:     change.Refuse,
			objections: "not-checked: may be in use; not-checked: may hold data",
		},
		"not-checked content": {
			change:     []func(*world){content(disk.Content{Signed: disk.Unknown, SignedError: "EIO", Busy: disk.No})},
			action:     change.Refuse,
			objections: "not-checked: may hold data, which could not be found out: EIO",
		},

		"already-linked elsewhere": {
			change:     []func(*world){func(w *world) { w.lies("files", "x", "/dev/vdb", "254:16") }},
			action:     change.Refuse,
			objections: "already-linked: is linked already, as /var/lib/disks/files/x",
		},
		"already-linked other name": {
			change:     []func(*world){func(w *world) { w.lies("block", "x", "/dev/vdb", "254:16") }},
			action:     change.Refuse,
			objections: "already-linked: is linked already, as /var/lib/disks/block/x",
		},
		"already-linked as a node": {change: []func(*world){func(w *world) {
			w.dir("block", func(d *snapshot.Dir) {
				d.Entries = []provisioner.Entry{{Name: "n", Kind: provisioner.BlockNode, Device: "254:16"}}
			})
		}}, action: change.Refuse, objections: "already-linked: is linked already, as /var/lib/disks/block/n"},
		"already-linked other path": {change: []func(*world){func(w *world) {
			w.paths("vdb", "vdc")
			w.lies("block", "x", "/dev/vdc", "254:32")
		}}, action: change.Refuse, objections: "already-linked: is linked already, as /var/lib/disks/block/x"},
		"partition-linked": {change: []func(*world){func(w *world) {
			w.view.Disks = append(w.view.Disks, disk.Disk{
				Name:   "vdb1",
				Number: disk.Number{Major: 254, Minor: 17},
				Kind:   disk.KindPartition,
				Parent: "vdb",
			})
			w.lies("files", "x", "/dev/vdb1", "254:17")
		}}, action: change.Refuse, objections: "partition-linked: has partition vdb1, which is published already, as /var/lib/disks/files/x"},
		"in-use by another path": {change: []func(*world){func(w *world) {
			w.paths("vdb", "vdc")
			w.disk("vdc").Holders = []string{"dm-0"}
		}}, action: change.Refuse, objections: "in-use: is in use by another path to it, vdc"},
		"under a loop device by another path": {change: []func(*world){func(w *world) {
			w.paths("vdb", "vdc")
			w.disk("vdc").Under = []string{"loop3"}
		}}, action: change.Refuse, objections: "in-use: is in use by another path to it, vdc"},
		"a path that has not seen the LUN grow": {change: []func(*world){func(w *world) {
			w.paths("vdb", "vdc")
			w.disk("vdb").WWID, w.disk("vdc").WWID, w.disk("vdc").Size = "naa.5000c500a1b2c3d4", "naa.5000c500a1b2c3d4", 70<<30
		}}, action: change.Create, warnings: "has the WWID of vdc, and another size: if that is one LUN"},
		"the disk of another volume, grown": {change: []func(*world){func(w *world) {
			id := *same(w)
			id.Size /= 2
			w.volume("other", func(v *snapshot.Volume) { v.Identity, v.Phase = &id, "Bound" })
		}}, action: change.Create,
			warnings: "has the serial serial-vdb of the disk that volume local-pv-c3541d11 (Bound) was made for, and another size"},
		"a volume of a zone that nobody sees": {change: []func(*world){func(w *world) {
			w.volume("other", func(v *snapshot.Volume) { v.Node, v.Path = "", "/srv/block/y" })
		}}, action: change.Create, warnings: "whether it is the disk of volume local-pv-c3541d11 (Available) could not be found out"},
		"remote beneath a map": {change: []func(*world){func(w *world) {
			w.disk("vdb").Kind, w.disk("vdb").Slaves, w.disk("vdc").Transport = disk.KindMapper, []string{"vdc"}, "fc"
		}}, action: change.Refuse, objections: "remote: lies on vdc, which is a Fibre Channel disk", hint: "--accept remote=w-1/vdb"},
		"volatile beneath an array": {change: []func(*world){func(w *world) {
			w.disk("vdb").Kind, w.disk("vdb").Slaves, w.disk("vdc").Kernel = disk.KindRAID, []string{"zram0"}, "zram0"
		}}, action: change.Refuse, objections: "volatile: lies on vdc, which is compressed memory (zram)"},
		"remote beneath an array of a map, accepted": {change: []func(*world){func(w *world) {
			w.disk("vdb").Kind, w.disk("vdb").Slaves, w.disk("vdc").Kernel = disk.KindRAID, []string{"rbd0"}, "rbd0"
		}, accept("remote")}, action: change.Create, accepted: "remote: lies on vdc, which is a Ceph RBD image"},
		"already-linked below": {change: []func(*world){func(w *world) {
			m := whole("dm-0", 0)
			m.Number, m.Kind, m.Slaves = disk.Number{Major: 253}, disk.KindMapper, []string{"vdb"}
			w.view.Disks = append(w.view.Disks, m)
			w.lies("block", "x", "/dev/vdb", "254:16")
		}, ask(disk.Arg{Name: "dm-0"})}, action: change.Refuse, objections: "already-linked: is linked already, as /var/lib/disks/block/x"},
		"another disk of the same wwid-less kind": {
			change: []func(*world){func(w *world) { w.lies("block", "vdc", "/dev/vdc", "254:32") }},
			action: change.Create,
		},

		"name-taken by a disk": {
			change:     []func(*world){func(w *world) { w.lies("block", "vdb", "/dev/vdc", "254:32") }},
			action:     change.Refuse,
			objections: "name-taken: cannot be linked as vdb: the link of that name leads to vdc",
		},
		"name-taken by a dangling": {
			change:     []func(*world){func(w *world) { w.lies("block", "vdb", "/dev/old", "") }},
			action:     change.Refuse,
			objections: "name-taken: cannot be linked as vdb: the link of that name holds /dev/old, which leads nowhere",
		},
		"name-taken by an unlisted": {
			change:     []func(*world){func(w *world) { w.lies("block", "vdb", "/dev/odd", "9:9") }},
			action:     change.Refuse,
			objections: "name-taken: cannot be linked as vdb: the link of that name holds /dev/odd",
		},
		"name-taken by a directory": {change: []func(*world){func(w *world) {
			w.dir("block", func(d *snapshot.Dir) {
				d.Entries = []provisioner.Entry{{Name: "vdb", Kind: provisioner.Directory}}
			})
		}}, action: change.Refuse, objections: "name-taken: cannot be linked as vdb: a directory of that name lies in the class directory"},
		"name of another class is free": {
			change: []func(*world){func(w *world) { w.lies("files", "vdb", "/dev/vdc", "254:32") }},
			action: change.Create,
		},

		"volume-exists unrecorded": {change: []func(*world){func(w *world) { w.volume("vdb", nil) }}, action: change.Refuse,
			objections: "volume-exists: cannot be linked as vdb: volume local-pv-"},
		"volume-exists other disk": {change: []func(*world){func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) {
				v.Identity = &disk.ID{Serial: "other"}
				v.Claim = &snapshot.ClaimRef{Namespace: "ns", Name: "c"}
				v.Phase = "Bound"
			})
		}}, action: change.Refuse,
			objections: "Bound, claim ns/c) exists for /var/lib/disks/block/vdb without its link, and it was made for a disk with serial other"},
		"volume-exists nothing known": {change: []func(*world){func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Identity = &disk.ID{ByPath: []string{"pci-vdb"}, Size: 60 << 30} })
		}}, action: change.Refuse, objections: "volume-exists: "},
		"volume of this disk": {
			change:   []func(*world){func(w *world) { w.volume("vdb", func(v *snapshot.Volume) { v.Identity = same(w) }) }},
			action:   change.Create,
			warnings: "exists and was made for this disk: its link is made again",
		},
		"volume of this disk, bound": {change: []func(*world){func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Identity = same(w); v.Phase = "Bound" })
		}}, action: change.Create, warnings: "exists and was made for this disk"},
		"volume of this disk, being cleaned": {change: []func(*world){func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Identity = same(w); v.Phase = "Released" })
		}}, action: change.Refuse, objections: "volume-exists: "},
		"volume of this disk, going": {change: []func(*world){func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Identity = same(w); v.Deleting = true })
		}}, action: change.Refuse, objections: "volume-exists: "},
		"volume of that path under another name": {change: []func(*world){func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Name = "by-hand"; v.Identity = same(w) })
		}}, action: change.Refuse, objections: "volume-exists: cannot be linked as vdb: volume by-hand"},
		"volume of that path, node unknown": {change: []func(*world){func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Name = "by-hand"; v.Node = "" })
		}}, action: change.Refuse, objections: "volume-exists: cannot be linked as vdb: volume by-hand"},
		"volume of that path on another node": {change: []func(*world){func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Name = "x"; v.Node = "w-2" })
		}}, action: change.Create},
		"volume of that name elsewhere": {change: []func(*world){func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Path = "/else"; v.Node = "w-2"; v.Identity = same(w) })
		}}, action: change.Refuse, objections: "volume-exists: "},
		"volume of this disk under another name": {change: []func(*world){func(w *world) {
			w.volume("old", func(v *snapshot.Volume) { v.Identity = same(w); v.Phase = "Released" })
		}}, action: change.Refuse, objections: "volume-exists: is the disk that volume local-pv-"},
		"volume of this disk on another node": {change: []func(*world){func(w *world) {
			w.volume("old", func(v *snapshot.Volume) { v.Identity = same(w); v.Node = "w-2" })
		}}, action: change.Create},
		"a taken name before its volume": {
			change:     []func(*world){func(w *world) { w.lies("block", "vdb", "/dev/vdc", "254:32"); w.volume("vdb", nil) }},
			action:     change.Refuse,
			objections: "name-taken: cannot be linked as vdb: the link of that name leads to vdc",
		},

		"no-stable-name": {
			change:     []func(*world){func(w *world) { w.req.Target = disk.TargetByID; w.disk("vdb").ByID = nil }},
			action:     change.Refuse,
			objections: "no-stable-name: has no name in /dev/disk/by-id",
			hint:       "--target auto",
		},
		"no stable name, by itself": {
			change:   []func(*world){func(w *world) { w.disk("vdb").ByID, w.disk("vdb").ByPath = nil, nil }},
			action:   change.Create,
			warnings: "has neither a by-id nor a by-path name",
		},
		"other-class": {change: []func(*world){func(w *world) { w.Install.Classes[1].HostDir = blockClass.HostDir }}, action: change.Refuse,
			objections: "other-class: would be published by class files (Filesystem) too", hint: "kubectl -n storage edit configmap lvp-config"},
		"other-class that leaves it out": {change: []func(*world){func(w *world) {
			w.Install.Classes[1].HostDir, w.Install.Classes[1].NamePattern = blockClass.HostDir, "r-*"
		}}, action: change.Create},

		"class-directory missing": {
			change:     []func(*world){func(w *world) { w.dir("block", func(d *snapshot.Dir) { *d = snapshot.Dir{} }) }},
			action:     change.Refuse,
			objections: "class-directory: cannot be linked: the pod has no directory /mnt/block",
			hint:       "kubectl -n storage rollout restart daemonset lvp",
		},
		"class-directory not seen": {
			change:     []func(*world){func(w *world) { delete(w.view.Dirs, "block") }},
			action:     change.Refuse,
			objections: "class-directory: cannot be linked: the pod has no directory",
		},
		"class-directory of the pod": {
			change:     []func(*world){func(w *world) { w.dir("block", func(d *snapshot.Dir) { d.MountPoint = false }) }},
			action:     change.Refuse,
			objections: "class-directory: cannot be linked: /mnt/block in the pod is not the node's directory",
		},
		"class-directory unread": {
			change:     []func(*world){func(w *world) { w.dir("block", func(d *snapshot.Dir) { d.Problem = "EIO" }) }},
			action:     change.Refuse,
			objections: "class-directory: cannot be linked: /mnt/block could not be read (EIO)",
		},
		"class-directory read-only": {
			change:     []func(*world){func(w *world) { w.dir("block", func(d *snapshot.Dir) { d.Writable = false }) }},
			action:     change.Refuse,
			objections: "class-directory: cannot be linked: /mnt/block cannot be written to",
		},
		"class-directory of another": {
			change:     []func(*world){func(w *world) { w.dir("files", func(d *snapshot.Dir) { d.Problem = "EIO" }) }},
			action:     change.Refuse,
			objections: "class-directory: may be linked already: the directory of class files could not be read (EIO)",
		},

		"signature": {change: []func(*world){xfs}, action: change.Refuse, objections: `signature: has an xfs filesystem labelled "data"`,
			hint: "wipe it if its data is not needed (talosctl -n 10.0.0.11 wipe disk vdb), or link it as it is with --accept signature=w-1/vdb"},
		"signature accepted": {
			change:   []func(*world){xfs, accept("signature")},
			action:   change.Create,
			accepted: "signature: has an xfs",
		},
		"signature accepted here": {
			change:   []func(*world){xfs, accept("signature=w-1/vdb")},
			action:   change.Create,
			accepted: "signature: has an xfs",
		},
		"signature accepted elsewhere": {
			change:     []func(*world){xfs, accept("signature=w-2/vdb", "signature=w-1/vdc")},
			action:     change.Refuse,
			objections: "signature: has an xfs",
		},
		"another reason accepted": {
			change:     []func(*world){xfs, accept("partitions", "loop", "too-small", "removable")},
			action:     change.Refuse,
			objections: "signature: has an xfs",
		},
		"partitions": {
			change:     []func(*world){partitioned},
			action:     change.Refuse,
			objections: "partitions: has 1 partition: vdb1",
			hint:       "--accept partitions=w-1/vdb",
		},
		"partitions accepted": {
			change:   []func(*world){partitioned, accept("partitions")},
			action:   change.Create,
			accepted: "partitions: has 1 partition: vdb1",
		},
		"removable": {
			change:     []func(*world){func(w *world) { w.disk("vdb").Removable = true }},
			action:     change.Refuse,
			objections: "removable: is removable",
			hint:       "link it anyway with --accept removable=w-1/vdb",
		},
		"removable accepted": {
			change:   []func(*world){func(w *world) { w.disk("vdb").Removable = true }, accept("removable")},
			action:   change.Create,
			accepted: "removable: is removable",
		},
		"too-small": {
			change:     []func(*world){func(w *world) { w.disk("vdb").Size = 1 }},
			action:     change.Refuse,
			objections: "too-small: is smaller than 1Gi",
		},
		"too-small accepted": {
			change:   []func(*world){func(w *world) { w.disk("vdb").Size = 1 }, accept("too-small")},
			action:   change.Create,
			accepted: "too-small: is smaller",
		},
		"loop": {
			change:     []func(*world){func(w *world) { w.disk("vdb").Kind = disk.KindLoop }},
			action:     change.Refuse,
			objections: "loop: is a loop device",
		},
		"loop accepted": {
			change:   []func(*world){func(w *world) { w.disk("vdb").Kind = disk.KindLoop }, accept("loop=w-1/vdb")},
			action:   change.Create,
			accepted: "loop: is a loop device",
		},
		"data": {
			change:     []func(*world){filled},
			action:     change.Refuse,
			objections: "data: has data that no signature tells of, in its first MiB",
			hint:       "wipe disk vdb",
		},
		"data accepted": {change: []func(*world){filled, accept("data=w-1/vdb")}, action: change.Create, accepted: "data: has data"},
		"data, and not read": {
			change:     []func(*world){content(disk.Content{Signed: disk.No, Unsigned: disk.Unknown, Busy: disk.No}), accept("data")},
			action:     change.Refuse,
			objections: "not-checked: may hold data",
		},
		"data beside a signature": {
			change: []func(*world){content(disk.Content{
				Signed:    disk.Yes,
				Signature: disk.Signature{Type: "xfs", Usage: "filesystem"},
				Busy:      disk.No,
				Unsigned:  disk.Yes,
				Format:    "an SPDK blobstore",
			}), accept("signature")},
			action:     change.Refuse,
			objections: "data: has an SPDK blobstore",
			accepted:   "signature: has an xfs",
		},
		"remote": {
			change:     []func(*world){func(w *world) { w.disk("vdb").Transport = "iscsi" }},
			action:     change.Refuse,
			objections: "remote: is an iSCSI disk: other machines may use it too",
			hint:       "--accept remote=w-1/vdb",
		},
		"remote accepted": {
			change:   []func(*world){func(w *world) { w.disk("vdb").Transport = "nvme-tcp" }, accept("remote")},
			action:   change.Create,
			accepted: "remote: is an NVMe-oF namespace (tcp)",
		},
		"remote by name": {
			change:     []func(*world){func(w *world) { w.disk("vdb").Kernel = "rbd0" }},
			action:     change.Refuse,
			objections: "remote: is a Ceph RBD image",
		},
		"virtual": {
			change:     []func(*world){func(w *world) { w.disk("vdb").Kernel, w.disk("vdb").Virtual = "zd16", true }},
			action:     change.Refuse,
			objections: "virtual: is a ZFS volume",
			hint:       "--accept virtual=w-1/vdb",
		},
		"virtual accepted": {
			change:   []func(*world){func(w *world) { w.disk("vdb").Virtual = true }, accept("virtual")},
			action:   change.Create,
			accepted: "virtual: is no hardware",
		},
		"volatile": {
			change:     []func(*world){func(w *world) { w.disk("vdb").Kernel, w.disk("vdb").Virtual = "zram0", true }, accept("virtual", "remote")},
			action:     change.Refuse,
			objections: "volatile: is compressed memory (zram)",
		},
		"in-use under a loop device": {
			change:     []func(*world){under("/mnt/x"), accept("data", "loop")},
			action:     change.Refuse,
			objections: "in-use: is in use: under /dev/loop7",
		},
		"in-use under a kubelet's loop device": {
			change:     []func(*world){under("/var/lib/kubelet/plugins/kubernetes.io~local-volume/volumeDevices/local-pv-1/uid")},
			action:     change.Refuse,
			objections: "in-use: is in use: under /dev/loop7",
			hint:       "kubectl get pv local-pv-1",
		},
		"not-checked under a loop device": {change: []func(*world){func(w *world) {
			w.disk("vdb").MaybeUnder = []string{"loop7"}
			w.Nodes[0].Pod = snapshot.Read(snapshot.Pod{Name: "lvp-1"})
		}}, action: change.Refuse, objections: "not-checked: may be in use, under /dev/loop7",
			hint: "kubectl -n storage exec lvp-1 -c"},
		"already-linked under a loop device": {change: []func(*world){func(w *world) {
			under("")(w)
			w.lies("files", "x", bdisk, "254:16")
			w.req.Disks = []disk.Arg{{Name: "loop7"}}
		}, accept("loop")}, action: change.Refuse, objections: "already-linked: is linked already, as /var/lib/disks/files/x",
			accepted: "loop: is a loop device", warnings: "has neither"},
		"already-linked as a loop device": {change: []func(*world){func(w *world) {
			under("")(w)
			w.lies("files", "x", "/dev/loop7", "7:7")
		}}, action: change.Refuse,
			objections: "already-linked: is linked already, as /var/lib/disks/files/x; in-use: is in use: under /dev/loop7"},
		"unchanged under a kubelet's loop device": {change: []func(*world){func(w *world) {
			under("/var/lib/kubelet/plugins/kubernetes.io~local-volume/volumeDevices/local-pv-1/uid")(w)
			filled(w)
			w.lies("block", "vdb", bdisk, "254:16")
		}}, action: change.Keep},
		"class-directory in memory": {
			change:     []func(*world){func(w *world) { w.dir("block", func(d *snapshot.Dir) { d.Filesystem = "tmpfs" }) }},
			action:     change.Refuse,
			objections: "class-directory: cannot be linked: /var/lib/disks/block is on a tmpfs, so that its links are gone at each reboot",
		},
		"class-directory elsewhere in memory": {
			change: []func(*world){func(w *world) { w.dir("files", func(d *snapshot.Dir) { d.Filesystem = "devtmpfs" }) }},
			action: change.Create,
		},
		"accepting does not hide other": {
			change:     []func(*world){xfs, partitioned, accept("signature")},
			action:     change.Refuse,
			objections: "partitions: has 1",
			accepted:   "signature: has an xfs",
		},

		"unchanged": {change: []func(*world){func(w *world) { w.lies("block", "vdb", bdisk, "254:16") }}, action: change.Keep},
		"unchanged before every question": {change: []func(*world){xfs, partitioned, func(w *world) {
			d := w.disk("vdb")
			d.ReadOnly, d.Removable, d.Size, d.Content.Busy, d.Holders = true, true, 1, disk.Yes, []string{"dm-0"}
			w.view.BeneathProblem = "x"
			w.view.Beneath[d.Number] = "holds /"
			w.lies("block", "vdb", bdisk, "254:16")
			w.dir("block", func(dir *snapshot.Dir) { dir.Writable, dir.MountPoint, dir.Problem = false, false, "EIO" })
			w.Install.Classes[1].HostDir = blockClass.HostDir
			w.volume("vdb", func(v *snapshot.Volume) { v.Phase = "Released" })
			w.req.Target = disk.TargetByPath
		}}, action: change.Keep},
		"unchanged, not looked at": {
			change: []func(*world){func(w *world) { w.lies("block", "vdb", bdisk, "254:16"); w.disk("vdb").Content = nil }},
			action: change.Keep,
		},
		"unchanged, by a name that moves": {
			change:   []func(*world){func(w *world) { w.lies("block", "vdb", "/dev/vdb", "254:16") }},
			action:   change.Keep,
			warnings: "the link holds /dev/vdb, which may be another disk after a reboot",
		},
		"unchanged, and linked twice": {
			change:   []func(*world){func(w *world) { w.lies("block", "vdb", bdisk, "254:16"); w.lies("files", "x", bdisk, "254:16") }},
			action:   change.Keep,
			warnings: "the disk is linked as /var/lib/disks/files/x too: two volumes share it",
		},
		"unchanged, its volume's disk": {change: []func(*world){func(w *world) {
			w.lies("block", "vdb", bdisk, "254:16")
			w.volume("vdb", func(v *snapshot.Volume) { v.Identity = same(w) })
		}}, action: change.Keep},
		"unchanged, unrecorded": {
			change: []func(*world){func(w *world) { w.lies("block", "vdb", bdisk, "254:16"); w.volume("vdb", nil) }},
			action: change.Keep,
		},
		"unchanged, nothing identifies it": {change: []func(*world){func(w *world) {
			w.lies("block", "vdb", bdisk, "254:16")
			w.volume("vdb", func(v *snapshot.Volume) { v.Identity = &disk.ID{Size: 60 << 30} })
		}}, action: change.Keep, warnings: "is unknown: nothing identifies it"},
		"identity-changed, by its size alone": {change: []func(*world){func(w *world) {
			w.disk("vdb").Serial, w.disk("vdb").ByID = "", nil
			w.lies("block", "vdb", bdisk, "254:16")
			w.volume("vdb", func(v *snapshot.Volume) { v.Identity = &disk.ID{Size: 20 << 30, ByPath: []string{"pci-vdb"}} })
		}}, action: change.Refuse, objections: "now slot pci-vdb with 64424509440 bytes and not 21474836480, then slot pci-vdb"},
		"identity-changed": {change: []func(*world){func(w *world) {
			w.lies("block", "vdb", bdisk, "254:16")
			w.volume("vdb", func(v *snapshot.Volume) { v.Identity = &disk.ID{Serial: "old"} })
		}}, action: change.Refuse, objections: "identity-changed: is another disk than the one that volume local-pv-"},
	}
}

// TestDecide is what every disk is judged by. A row says what is different from a
// world in which vdb is linked without a word.
func TestDecide(t *testing.T) {
	for name, c := range decideCases() {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			for _, change := range c.change {
				change(w)
			}
			p := w.plan(t)
			if len(p.Links) != 1 {
				t.Fatalf("%d links", len(p.Links))
			}
			l := p.Links[0]
			if l.Action != c.action {
				t.Errorf("action %s, want %s", l.Action, c.action)
			}
			for what, pair := range map[string][2]string{
				"objections": {says(l.Objections), c.objections}, "accepted": {says(l.Accepted), c.accepted},
				"warnings": {strings.Join(l.Warnings, "; "), c.warnings},
			} {
				if pair[1] == "" && pair[0] != "" {
					t.Errorf("%s: %s; want none", what, pair[0])
				}
				for part := range strings.SplitSeq(pair[1], "; ") {
					if !strings.Contains(pair[0], part) {
						t.Errorf("%s: %q has no %q", what, pair[0], part)
					}
				}
			}
			if c.objections != "" && strings.Count(says(l.Objections), "; ") != strings.Count(c.objections, "; ") {
				t.Errorf("objections: %s", says(l.Objections))
			}
			if c.hint != "" && (len(l.Objections) == 0 || !strings.Contains(l.Objections[0].Hint, c.hint)) {
				t.Errorf("the hint of %+v is not %q", l.Objections, c.hint)
			}
			if p.Accepting() != (c.accepted != "" && c.action == change.Create) {
				t.Errorf("Accepting is %v", p.Accepting())
			}
			for _, o := range l.Accepted {
				if !o.Reason.Acceptable() {
					t.Errorf("%s was accepted", o.Reason)
				}
			}
		})
	}
}

func TestDecideSeveral(t *testing.T) {
	rows := func(p Plan) string {
		var all []string
		for _, l := range p.Links {
			all = append(all, fmt.Sprintf("%s/%s %s %s %s", l.Node, l.Disk, l.Entry, l.Action, says(l.Objections)))
		}
		return strings.Join(all, "\n")
	}
	for name, c := range map[string]struct {
		change func(*world)
		want   string
	}{
		"two": {func(w *world) { w.req.Disks = []disk.Arg{{Name: "vdc"}, {Name: "vdb"}} }, "w-1/vdc vdc create \nw-1/vdb vdb create "},
		"a name and its pattern": {func(w *world) { w.req.Disks = []disk.Arg{{Name: "vdb"}, {Glob: "vd[bc]"}} },
			"w-1/vdb vdb create \nw-1/vdc vdc create "},
		"twice under two names": {func(w *world) { w.req.Disks = []disk.Arg{{Name: "vdb"}, {Path: "/dev/disk/by-id/virtio-vdb"}} },
			"w-1/vdb vdb create \nw-1/vdb virtio-vdb refuse already-linked: is asked for twice, as vdb and as virtio-vdb"},
		"two paths to one disk": {func(w *world) {
			w.paths("vdb", "vdc")
			w.req.Disks = []disk.Arg{{Glob: "vd[bc]"}}
		}, "w-1/vdb vdb create \nw-1/vdc vdc refuse already-linked: is asked for twice, as vdb and as vdc"},
		"two disks under one name": {func(w *world) {
			w.view.Paths["/dev/disk/by-path/vdb"] = disk.Number{Major: 254, Minor: 32}
			w.req.Disks = []disk.Arg{{Name: "vdb"}, {Path: "/dev/disk/by-path/vdb"}}
		}, "w-1/vdb vdb create \nw-1/vdc vdb refuse name-taken: cannot be linked as vdb: vdb is asked for under that name"},
		"the first is refused": {func(w *world) {
			w.lies("block", "vdb", "/dev/gone", "")
			w.req.Disks = []disk.Arg{{Name: "vdb"}, {Path: "/dev/disk/by-id/virtio-vdb"}}
		},
			"w-1/vdb vdb refuse name-taken: cannot be linked as vdb: the link of that name holds /dev/gone, which leads nowhere\nw-1/vdb virtio-vdb create "},
		"under a chosen name": {func(w *world) { w.req.As = "fast" }, "w-1/vdb fast create "},
		"a pattern that one node has": {func(w *world) {
			w.Nodes = append(w.Nodes, snapshot.Node{Name: "w-2", View: snapshot.Read(snapshot.PodView{Dirs: w.view.Dirs})})
			w.req.Disks = []disk.Arg{{Glob: "vd[bc]"}}
		}, "w-1/vdb vdb create \nw-1/vdc vdc create "},
		"a node that was not looked at": {func(w *world) {
			w.Nodes = append(w.Nodes, snapshot.Node{Name: "w-2", View: snapshot.Unread[snapshot.PodView](problem.FromText("the pod is gone"))},
				snapshot.Node{Name: "w-3"})
			w.req.Disks = []disk.Arg{{Name: "vdb"}, {Glob: "vdc*"}}
		}, "w-1/vdb vdb create \nw-1/vdc vdc create \nw-2/vdb vdb skip \nw-2/vdc*  skip \nw-3/vdb vdb skip \nw-3/vdc*  skip "},
	} {
		w := newWorld()
		c.change(w)
		if got := rows(w.plan(t)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
	w := newWorld()
	w.Nodes[0].View = snapshot.Unread[snapshot.PodView](problem.FromText("the pod is gone"))
	if l := w.plan(t).Links[0]; l.Detail != "the pod is gone" || l.Action != change.Skip || l.Fingerprint != "" {
		t.Errorf("not looked at: %+v", l)
	}
}

// failCase is a request or a provisioner with which nothing is planned.
type failCase struct {
	change func(*world)
	want   string
}

func failCases() map[string]failCase {
	return map[string]failCase{
		"no class": {change: func(w *world) { w.Install.Classes = nil }, want: `has no class with volumeMode Block (classes: none)`},
		"no Block class": {
			change: func(w *world) { w.Install.Classes = w.Install.Classes[1:] },
			want:   `has no class with volumeMode Block (classes: files)`,
		},
		"several Block classes": {
			change: func(w *world) { w.Install.Classes[1].Mode = provisioner.Block },
			want:   `has several classes with volumeMode Block: block, files`,
		},
		"another class": {
			change: func(w *world) { w.req.Class = "x" },
			want:   `class "x" is not in the provisioner's configuration (classes: block, files)`,
		},
		"a Filesystem class": {
			change: func(w *world) { w.req.Class = "files" },
			want:   `class "files" has volumeMode Filesystem: the kubelet would make a filesystem`,
		},
		"a class below /dev": {change: func(w *world) { w.req.Class, w.Install.Classes[0].HostDir = "block", "/dev/disk/kubernetes" },
			want: "class \"block\" has hostDir /dev/disk/kubernetes: what is below /dev is made by the kernel and udev"},
		"no class but one below /dev": {change: func(w *world) { w.Install.Classes[0].HostDir = "/dev/disk/by-partlabel" },
			want: "has no class with volumeMode Block (classes: block below /dev, files)"},
		"no /dev": {change: func(w *world) { w.Install.Mounts = w.Install.Mounts[1:] }, want: "does not mount the host's /dev"},
		"no mount": {
			change: func(w *world) { w.Install.Mounts = w.Install.Mounts[:1] },
			want:   "does not mount the directory of class",
		},
		"a read-only mount": {change: func(w *world) { w.Install.Mounts[1].ReadOnly = true }, want: "read-only"},
		"another directory": {change: func(w *world) { w.Install.Mounts[1].HostPath = "/srv" }, want: "shows /srv at its mountDir"},
		"no StorageClass":   {change: func(w *world) { w.StorageClasses = nil }, want: "has no StorageClass"},
		"a name for two": {
			change: func(w *world) { w.req.As, w.req.Disks = "x", []disk.Arg{{Name: "vdb"}, {Name: "vdc"}} },
			want:   "--name names the link of one disk",
		},
		"a name for a pattern": {
			change: func(w *world) { w.req.As, w.req.Disks = "x", []disk.Arg{{Glob: "vdb"}} },
			want:   "--name names the link of one disk",
		},
		"a name that is none": {change: func(w *world) { w.req.As = "../x" }, want: "is not a plain file name"},
		"a pattern for nothing": {
			change: func(w *world) { w.req.Disks = []disk.Arg{{Glob: "sd*"}} },
			want:   `pattern "sd*" matches no disk on any of 1 nodes`,
		},
		"namePattern": {
			change: func(w *world) { w.Install.Classes[0].NamePattern = "r-*" },
			want:   `namePattern "r-*", which leaves out "vdb"`,
		},
		"namePattern of matches": {
			change: func(w *world) { w.Install.Classes[0].NamePattern, w.req.Disks = "vdb", []disk.Arg{{Glob: "vd[bc]"}} },
			want:   `leaves out "vdc"`,
		},
	}
}

func TestDecideFails(t *testing.T) {
	for name, c := range failCases() {
		w := newWorld()
		c.change(w)
		p, err := Decide(&w.Snapshot, w.req)
		if err == nil || !strings.Contains(err.Error(), c.want) || p.Links != nil {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && failure.Hint(err) == "" && !strings.HasPrefix(name, "a name") {
			t.Errorf("%s: no hint", name)
		}
	}
	for name, change := range map[string]func(*world){
		"a chosen class of several": func(w *world) { w.Install.Classes[1].Mode = provisioner.Block; w.req.Class = "block" },
		"a class beside one below /dev": func(w *world) {
			w.Install.Classes = append([]provisioner.Class{{
				Name:        "raw",
				HostDir:     "/dev/disk/by-partlabel",
				MountDir:    "/dev/disk/by-partlabel",
				Mode:        provisioner.Block,
				NamePattern: "r-*",
			}}, w.Install.Classes...)
		},
		"namePattern takes it":   func(w *world) { w.Install.Classes[0].NamePattern = "vd*" },
		"namePattern takes --as": func(w *world) { w.Install.Classes[0].NamePattern, w.req.As = "r-*", "r-1" },
		"a mount of a parent": func(w *world) {
			w.Install.Mounts = []provisioner.Mount{{HostPath: "/dev", MountPath: "/dev"}, {HostPath: "/var/lib/disks", MountPath: "/mnt"}}
		},
		"a mount of the root": func(w *world) {
			w.Install.Mounts = []provisioner.Mount{{HostPath: "/dev", MountPath: "/dev"}, {HostPath: "/", MountPath: "/host"}}
			w.Install.Classes[0].MountDir = "/host/var/lib/disks/block"
		},
		"before any node is looked at": func(w *world) { w.Nodes[0].View.Value = nil; w.req.Disks = []disk.Arg{{Glob: "sd*"}} },
	} {
		w := newWorld()
		change(w)
		if err := Check(&w.Snapshot, w.req); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOverlap(t *testing.T) {
	view := snapshot.PodView{Disks: []disk.Disk{
		{Name: "sda", Kernel: "sda", Number: disk.Number{Major: 8}},
		{Name: "sda1", Kernel: "sda1", Number: disk.Number{Major: 8, Minor: 1}, Kind: disk.KindPartition, Parent: "sda"},
		{Name: "sda2", Kernel: "sda2", Number: disk.Number{Major: 8, Minor: 2}, Kind: disk.KindPartition, Parent: "sda"},
		{Name: "dm-0", Kernel: "dm-0", Number: disk.Number{Major: 253}, Kind: disk.KindMapper, Slaves: []string{"sda1"}},
		{Name: "dm-1", Kernel: "dm-1", Number: disk.Number{Major: 253, Minor: 1}, Kind: disk.KindMapper, Slaves: []string{"sda1"}},
		{Name: "dm-2", Kernel: "dm-2", Number: disk.Number{Major: 253, Minor: 2}, Kind: disk.KindMapper, Slaves: []string{"dm-0"}},
		{Name: "x", Kernel: "x", Number: disk.Number{Major: 9}, Slaves: []string{"y"}},
		{Name: "y", Kernel: "y", Number: disk.Number{Major: 9, Minor: 1}, Slaves: []string{"x"}},
		{Name: "gone", Number: disk.Number{Major: 10}},
	}}
	set := disk.NewSet(view.Disks, disk.Doubts{})
	for pair, want := range map[string]bool{
		"sda sda": true, "sda sda1": true, "sda1 sda2": false, "dm-2 sda": true, "dm-0 sda1": true, "dm-0 sda2": false, "dm-0 dm-1": false,
		"dm-2 dm-1": false, "sda x": false, "x y": true, "gone sda": false,
	} {
		first, second, _ := strings.Cut(pair, " ")
		a, _ := view.DiskByName(first)
		b, _ := view.DiskByName(second)
		if set.Overlap(a, b) != want || set.Overlap(b, a) != want {
			t.Errorf("%s: %v", pair, !want)
		}
	}
}

func TestParseAcceptance(t *testing.T) {
	for in, want := range map[string]Acceptance{
		"signature": {Reason: disk.HasSignature}, "loop=w-1/vdb": {Reason: disk.Loop, Node: "w-1", Disk: "vdb"},
		"partitions=a/b": {Reason: disk.HasPartitions, Node: "a", Disk: "b"}, "removable": {Reason: disk.Removable},
		"too-small": {Reason: disk.TooSmall},
	} {
		if got, err := ParseAcceptance(in); err != nil || got != want {
			t.Errorf("ParseAcceptance(%q) = %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"in-use":              "cannot be accepted; signature, partitions, data, removable, too-small, loop, remote, virtual can",
		"system-disk=w-1/vda": "cannot be accepted", "": "does not exist", "x": "does not exist",
		"Signature": "does not exist", "signature=": "does not name a disk", "signature=w-1": "does not name a disk",
		"signature=/vdb": "does not name a disk", "signature=w-1/": "does not name a disk",
	} {
		if got, err := ParseAcceptance(in); err == nil || !strings.Contains(err.Error(), want) || got != (Acceptance{}) {
			t.Errorf("ParseAcceptance(%q) = %+v, %v", in, got, err)
		}
	}
	for _, r := range disk.Reasons() {
		if _, err := ParseAcceptance(string(r)); (err == nil) != r.Acceptable() {
			t.Errorf("%s: %v", r, err)
		}
		// Not even a made-up acceptance lets one through that cannot be accepted.
		if accepts([]Acceptance{{Reason: r}}, r, "n", "d") != r.Acceptable() {
			t.Errorf("%s is accepted", r)
		}
	}
}

func TestClosely(t *testing.T) {
	got := Closely([]disk.Arg{{Name: "vdb"}, {Glob: "sd*"}, {Path: "/dev/disk/by-id/x"}})
	if !slices.Equal(got, []string{"vdb", "sd*", "/dev/disk/by-id/x"}) {
		t.Errorf("%v", got)
	}
}
