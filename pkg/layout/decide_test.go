// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// deciding is a case: a cluster with one node, a layout, and what its configuration is.
type deciding struct {
	world
	layout   Layout
	bindings Bindings
	in       Deciding
	config   string
	release  string
}

// newDeciding has one disk for class fast, on a node with the release v1.13.2, of which everything is known.
func newDeciding(t *testing.T, classes, bindings string) *deciding {
	t.Helper()
	text := fmt.Sprintf(`apiVersion: %s
kind: DiskLayout
metadata: {name: workers}
spec:
  nodes: {names: ["w-*"]}
  provisioner: {namespace: storage}
  classes:
%s
---
apiVersion: %s
kind: DiskBindings
metadata: {name: workers}
nodes:
  w-1: {%s}
`, APIVersion, classes, APIVersion, bindings)
	f, err := Decode("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &deciding{world: newWorld("w-1"), layout: f.Layout, bindings: f.Bindings, release: "v1.13.2"}
	for name, sc := range d.StorageClasses {
		sc.ReclaimPolicy, sc.BindingMode, sc.Provisioner = "Delete", "WaitForFirstConsumer", "kubernetes.io/no-provisioner"
		d.StorageClasses[name] = sc
	}
	d.in.Matcher = matcher{}
	return d
}

func (d *deciding) decide(t *testing.T) Plan {
	t.Helper()
	for i := range d.Nodes {
		d.Nodes[i].OSImage = "Talos (" + d.release + ")"
	}
	if d.in.Configs == nil {
		stored, err := ReadStored([]byte("machine: {}\n" + d.config))
		if err != nil {
			t.Fatal(err)
		}
		d.in.Configs = map[string]snapshot.Section[Stored]{"w-1": snapshot.Read(stored)}
	}
	if d.in.Kubelets == nil {
		entry := mounts.ExtraMount{
			Destination: "/var/lib/disks", Type: "bind", Source: "/var/lib/disks", Options: []string{"rbind", "rslave", "rw"},
		}
		d.in.Kubelets = map[string]mounts.NodeState{"w-1": {
			Node: "w-1", Release: Observe(d.Snapshot).ground(d.layout, d.in.Releases).Releases["w-1"], Ready: true,
			Settings: mounts.Settings{ExtraMounts: []mounts.ExtraMount{entry}},
		}}
	}
	return Observe(d.Snapshot).Decide(d.layout, d.bindings, d.in)
}

// rows are a plan's volumes: "fast-1 vdb create create".
func rows(p Plan) string {
	var all []string
	for _, v := range p.Volumes {
		name := v.Volume
		if name == "" {
			name = "(" + v.Name + ")"
		}
		text := fmt.Sprintf("%s %s %s %s", name, v.Disk, v.Status, v.Action)
		if v.Wipe {
			text += " wipe"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// docs are a plan's documents: "u-fast-1 missing create".
func docs(p Plan) string {
	var all []string
	for _, n := range p.Nodes {
		for _, d := range n.Documents {
			text := fmt.Sprintf("%s %s %s %s", d.Kind, d.Name, d.State, d.Action)
			if d.Staged {
				text += " staged"
			}
			all = append(all, text)
		}
	}
	return strings.Join(all, ", ")
}

const (
	fastClass  = `    - {name: fast, filesystem: ext4, disks: {count: 1}}`
	wholeClass = `    - {name: fast, as: disk, filesystem: ext4, disks: {count: 1}}`
	rawClass   = `    - {name: raw, volumeMode: Block, as: partition, disks: {count: 1}}`
	linkClass  = `    - {name: block, volumeMode: Block, disks: {count: 1}}`

	fastBound  = `fast-1: {name: ssd-1, serial: B}`
	rawBound   = `raw-1: {serial: B}`
	blockBound = `block-1: {serial: B}`

	fastDocument = `---
apiVersion: v1alpha1
kind: UserVolumeConfig
name: ssd-1
provisioning: {diskSelector: {match: 'disk.serial == "B" && !system_disk'}, minSize: 102384MiB, grow: true}
filesystem: {type: ext4}
`
)

func wholeDisk(id, name, fs string) snapshot.TalosVolume {
	return snapshot.TalosVolume{ID: id, Type: "disk", Phase: "ready", Location: "/dev/" + name, MountLocation: "/dev/" + name, Filesystem: fs}
}

// Every status that a volume can have.
func TestStatuses(t *testing.T) {
	volumes := func(d *deciding) *[]snapshot.TalosVolume { return d.node("w-1").Talos.Value.Volumes.Value }
	for name, c := range map[string]struct {
		classes, bindings string
		disks             []disk.Disk
		talos             []string
		change            func(*deciding)
		want, docs        string
		differs, unknown  bool
	}{
		"create": {
			classes: fastClass, bindings: fastBound, want: "fast-1 vdb create create",
			docs: "UserVolumeConfig ssd-1 missing create", differs: true,
		},
		"create what a document waits for": {
			classes: fastClass, bindings: fastBound, change: func(d *deciding) { d.config = fastDocument },
			want: "fast-1 vdb create create", docs: "UserVolumeConfig ssd-1 equal unchanged", differs: true,
		},
		"create beside another document": {
			classes: fastClass, bindings: fastBound,
			change: func(d *deciding) { d.config = strings.Replace(fastDocument, "102384MiB", "1GiB", 1) },
			want:   "fast-1 vdb create create", docs: "UserVolumeConfig ssd-1 serves unchanged", differs: true,
		},
		"another document, for another disk": {
			classes: fastClass, bindings: fastBound,
			change: func(d *deciding) { d.config = strings.Replace(fastDocument, `"B"`, `"C"`, 1) },
			want:   "fast-1 vdb refused refuse", docs: "UserVolumeConfig ssd-1 differs refuse", differs: true,
		},
		"nothing matches alone": {
			classes: fastClass, bindings: fastBound, change: func(d *deciding) { d.in.Matcher = nil },
			want: "fast-1 vdb refused refuse", docs: "UserVolumeConfig ssd-1 missing refuse", differs: true,
		},
		"in place": {
			classes: fastClass, bindings: fastBound, talos: []string{"u-ssd-1 vdb1"}, change: func(d *deciding) { d.config = fastDocument },
			want: "fast-1 vdb in-place unchanged", docs: "UserVolumeConfig ssd-1 equal unchanged",
		},
		"in place by the document of somebody else": {
			classes: fastClass, bindings: fastBound, talos: []string{"u-ssd-1 vdb1"},
			change: func(d *deciding) {
				d.config = strings.Replace(fastDocument, `disk.serial == "B"`, "disk.rotational", 1)
			},
			want: "fast-1 vdb in-place unchanged", docs: "UserVolumeConfig ssd-1 serves unchanged",
		},
		"in place, without a right to see the document": {
			classes: fastClass, bindings: fastBound, talos: []string{"u-ssd-1 vdb1"},
			change: func(d *deciding) {
				d.in.Configs = map[string]snapshot.Section[Stored]{"w-1": snapshot.Unread[Stored](problem.Text("os:admin"))}
			},
			want: "fast-1 vdb in-place unchanged", docs: "UserVolumeConfig ssd-1 serves unchanged",
		},
		"create, without that right": {
			classes: fastClass, bindings: fastBound,
			change: func(d *deciding) { d.in.Configs = map[string]snapshot.Section[Stored]{} },
			want:   "fast-1 vdb create create", docs: "UserVolumeConfig ssd-1 unknown skip", differs: true, unknown: true,
		},
		"adopt": {
			classes: fastClass, bindings: fastBound, talos: []string{"u-ssd-1 vdb1"},
			change: func(d *deciding) { *volumes(d) = nil },
			want:   "fast-1 vdb adopt create", docs: "UserVolumeConfig ssd-1 missing create", differs: true,
		},
		"elsewhere": {
			classes: fastClass, bindings: fastBound, talos: []string{"u-ssd-1 vdc1"},
			want: "fast-1 vdb elsewhere refuse", differs: true,
		},
		"twice": {
			classes: fastClass, bindings: fastBound, talos: []string{"u-ssd-1 vdb1"},
			change: func(d *deciding) {
				devices := d.node("w-1").Talos.Value.Devices.Value
				*devices = append(*devices, snapshot.TalosDevice{Name: "vdc1", Parent: "vdc", PartitionLabel: "u-ssd-1"})
			},
			want: "fast-1 vdb twice refuse", differs: true,
		},
		"bound twice": {
			classes:  "    - {name: fast, filesystem: ext4, disks: {count: 2}}",
			bindings: "fast-1: {name: ssd-1, serial: B}, fast-2: {name: ssd-2, byPath: 'pci-0000:00:1f.2-vdb'}",
			want:     "fast-1 vdb twice refuse, fast-2 vdb twice refuse", differs: true,
		},
		"mismatch of the filesystem": {
			classes: strings.Replace(fastClass, "ext4", "xfs", 1), bindings: fastBound, talos: []string{"u-ssd-1 vdb1"},
			want: "fast-1 vdb mismatch refuse", differs: true,
		},
		"mismatch of the type": {
			classes: wholeClass, bindings: fastBound, talos: []string{"u-ssd-1 vdb1"}, want: "fast-1 vdb mismatch refuse", differs: true,
		},
		"mismatch of the type, whole": {
			classes: fastClass, bindings: fastBound,
			change: func(d *deciding) { *volumes(d) = []snapshot.TalosVolume{wholeDisk("u-ssd-1", "vdb", "ext4")} },
			want:   "fast-1 vdb mismatch refuse", differs: true,
		},
		"a directory of that name": {
			classes: fastClass, bindings: fastBound,
			change: func(d *deciding) {
				*volumes(d) = []snapshot.TalosVolume{{ID: "u-ssd-1", Type: "directory", Phase: "ready"}}
			},
			want: "fast-1 vdb mismatch refuse", differs: true,
		},
		"leftovers": {
			classes: fastClass, bindings: fastBound, disks: []disk.Disk{signed(ssd("vdb", 100<<30, "B"))},
			want: "fast-1 vdb leftovers refuse", differs: true,
		},
		"leftovers that may be wiped": {
			classes: fastClass, bindings: fastBound, disks: []disk.Disk{signed(ssd("vdb", 100<<30, "B"))},
			change: func(d *deciding) { d.in.Wipe = []string{"w-1/vdb"} },
			want:   "fast-1 vdb leftovers create wipe", docs: "UserVolumeConfig ssd-1 missing create", differs: true,
		},
		"leftovers of another disk may be wiped": {
			classes: fastClass, bindings: fastBound, disks: []disk.Disk{signed(ssd("vdb", 100<<30, "B"))},
			change: func(d *deciding) { d.in.Wipe = []string{"w-1/vdc", "w-2/vdb", "vdb"} },
			want:   "fast-1 vdb leftovers refuse", differs: true,
		},
		"in use": {
			classes: fastClass, bindings: fastBound, disks: []disk.Disk{held(ssd("vdb", 100<<30, "B"))},
			change: func(d *deciding) { d.in.Wipe = []string{"w-1/vdb"} }, want: "fast-1 vdb in-use refuse", differs: true,
		},
		"the system's disk": {
			classes: fastClass, bindings: "fast-1: {serial: SYSTEM-w-1}", change: func(d *deciding) { d.in.Wipe = []string{"w-1/vda"} },
			want: "fast-1 vda in-use refuse", differs: true,
		},
		"another volume's disk": {
			classes: fastClass, bindings: fastBound, talos: []string{"u-data vdb1"},
			want: "fast-1 vdb in-use refuse, (u-data) vdb foreign unchanged", differs: true,
		},
		"missing": {
			classes: fastClass, bindings: "fast-1: {serial: X}", want: "fast-1  missing refuse", differs: true,
		},
		"another disk in its place": {
			classes: fastClass, bindings: "fast-1: {serial: B, size: 5GiB}", want: "fast-1 vdb missing refuse", differs: true,
		},
		"failed": {
			classes: fastClass, bindings: fastBound,
			change: func(d *deciding) {
				*volumes(d) = []snapshot.TalosVolume{{ID: "u-ssd-1", Type: "partition", Phase: "failed", Problem: "no disks matched"}}
			},
			want: "fast-1 vdb failed refuse", differs: true,
		},
		"failed on its disk": {
			classes: fastClass, bindings: fastBound, talos: []string{"u-ssd-1 vdb1"},
			change: func(d *deciding) { (*volumes(d))[0].Phase = "failed" }, want: "fast-1 vdb failed refuse", differs: true,
		},
		"failed over leftovers": {
			classes: fastClass, bindings: fastBound, disks: []disk.Disk{signed(ssd("vdb", 100<<30, "B"))},
			change: func(d *deciding) {
				*volumes(d) = []snapshot.TalosVolume{{ID: "u-ssd-1", Type: "partition", Phase: "failed", Problem: "wrong format"}}
			},
			want: "fast-1 vdb leftovers refuse", differs: true,
		},
		"orphan on the disk": {
			classes: fastClass, talos: []string{"u-ssd-7 vdc1"}, want: "()  unbound skip, (ssd-7) vdc orphan unchanged", differs: true,
		},
		"orphan in the bindings": {
			classes: fastClass, bindings: fastBound + ", slow-1: {serial: C}", talos: []string{"u-ssd-1 vdb1"},
			want: "fast-1 vdb in-place unchanged, slow-1 vdc orphan unchanged", docs: "UserVolumeConfig ssd-1 missing create", differs: true,
		},
		"foreign": {
			classes: fastClass, bindings: fastBound, talos: []string{"u-ssd-1 vdb1", "x-share vdd", "EPHEMERAL vda1"},
			change: func(d *deciding) { d.config = fastDocument },
			want:   "fast-1 vdb in-place unchanged, (x-share) vdd foreign unchanged", docs: "UserVolumeConfig ssd-1 equal unchanged",
		},
		"unbound": {classes: fastClass, want: "()  unbound skip", differs: true},
		"unbound in part": {
			classes: "    - {name: fast, filesystem: ext4, disks: {count: 2}}", bindings: fastBound,
			want: "fast-1 vdb create create, ()  unbound skip", docs: "UserVolumeConfig ssd-1 missing create", differs: true,
		},
		"unknown: Talos was not asked": {
			classes: fastClass, bindings: fastBound, change: func(d *deciding) { d.node("w-1").Talos = snapshot.Section[snapshot.Talos]{} },
			want: "fast-1 vdb unknown skip", unknown: true,
		},
		"unknown: its volumes were not read": {
			classes: fastClass, bindings: fastBound, change: func(d *deciding) {
				d.node("w-1").Talos.Value.Devices = snapshot.Unread[[]snapshot.TalosDevice](problem.Text("no"))
			}, want: "fast-1 vdb unknown skip", unknown: true,
		},
		"unknown: not looked at": {
			classes: fastClass, bindings: fastBound, change: func(d *deciding) {
				d.node("w-1").Talos, d.node("w-1").View = snapshot.Section[snapshot.Talos]{}, snapshot.Section[snapshot.PodView]{}
			}, want: "fast-1  unknown skip", unknown: true,
		},
		"unknown: no pod looked for links": {
			classes: fastClass, bindings: fastBound, change: func(d *deciding) { d.node("w-1").View = snapshot.Section[snapshot.PodView]{} },
			want: "fast-1 vdb unknown skip", unknown: true,
		},
		"unknown: the release": {
			classes: fastClass, bindings: fastBound, change: func(d *deciding) { d.release = "" }, want: "fast-1 vdb unknown skip", unknown: true,
		},
		"refused: too old": {
			classes: rawClass, bindings: rawBound, change: func(d *deciding) { d.release = "v1.10.0" },
			want: "raw-1 vdb refused refuse", differs: true,
		},
		"raw: create": {
			classes: rawClass, bindings: rawBound, want: "raw-1 vdb create create", docs: "RawVolumeConfig raw-1 missing create", differs: true,
		},
		"raw: in place": {
			classes: rawClass, bindings: rawBound, talos: []string{"r-raw-1 vdb1"},
			change: func(d *deciding) { d.in.Configs = map[string]snapshot.Section[Stored]{} },
			want:   "raw-1 vdb in-place unchanged", docs: "RawVolumeConfig raw-1 serves unchanged",
		},
		"whole disk: create": {
			classes: wholeClass, bindings: fastBound, want: "fast-1 vdb create create", docs: "UserVolumeConfig ssd-1 missing create", differs: true,
		},
		"whole disk: in place": {
			classes: wholeClass, bindings: fastBound, disks: []disk.Disk{signed(ssd("vdb", 100<<30, "B"))},
			change: func(d *deciding) {
				*volumes(d) = []snapshot.TalosVolume{wholeDisk("u-ssd-1", "vdb", "ext4")}
				d.config = "---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: ssd-1\nvolumeType: disk\n" +
					"provisioning: {diskSelector: {match: 'disk.serial == \"B\"'}}\nfilesystem: {type: ext4}\n"
			},
			want: "fast-1 vdb in-place unchanged", docs: "UserVolumeConfig ssd-1 equal unchanged",
		},
		"whole disk: a selector that finds it by luck": {
			classes: wholeClass, bindings: fastBound,
			change: func(d *deciding) {
				*volumes(d) = []snapshot.TalosVolume{wholeDisk("u-ssd-1", "vdb", "ext4")}
				d.config = "---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: ssd-1\nvolumeType: disk\n" +
					"provisioning: {diskSelector: {match: 'disk.rotational'}}\nfilesystem: {type: ext4}\n"
			},
			want: "fast-1 vdb in-place unchanged", docs: "UserVolumeConfig ssd-1 differs refuse", differs: true,
		},
		"whole disk: elsewhere": {
			classes: wholeClass, bindings: fastBound,
			change: func(d *deciding) { *volumes(d) = []snapshot.TalosVolume{wholeDisk("u-ssd-1", "vdc", "ext4")} },
			want:   "fast-1 vdb elsewhere refuse", differs: true,
		},
		"whole disk: data of nobody": {
			classes: wholeClass, bindings: fastBound, disks: []disk.Disk{signed(ssd("vdb", 100<<30, "B"))},
			want: "fast-1 vdb leftovers refuse", differs: true,
		},
		"link: create": {classes: linkClass, bindings: blockBound, want: "block-1 vdb create create", differs: true},
		"link: in place": {
			classes: linkClass, bindings: blockBound, change: func(d *deciding) { d.linked("w-1", "block-1", "vdb") },
			want: "block-1 vdb in-place unchanged",
		},
		"link: its name leads elsewhere": {
			classes: linkClass, bindings: blockBound, change: func(d *deciding) { d.linked("w-1", "block-1", "vdc") },
			want: "block-1 vdb elsewhere refuse", differs: true,
		},
		"link: under another name": {
			classes: linkClass, bindings: blockBound, change: func(d *deciding) { d.linked("w-1", "x", "vdb") },
			want: "block-1 vdb elsewhere refuse, (x) vdb orphan unchanged", differs: true,
		},
		"link: leftovers": {
			classes: linkClass, bindings: blockBound, disks: []disk.Disk{signed(ssd("vdb", 100<<30, "B"))},
			want: "block-1 vdb leftovers refuse", differs: true,
		},
		"link: in use": {
			classes: linkClass, bindings: blockBound, disks: []disk.Disk{held(ssd("vdb", 100<<30, "B"))},
			want: "block-1 vdb in-use refuse", differs: true,
		},
		"link: no pod": {
			classes: linkClass, bindings: blockBound, change: func(d *deciding) { d.node("w-1").View = snapshot.Section[snapshot.PodView]{} },
			want: "block-1 vdb unknown skip", unknown: true,
		},
		"links in a volume of a new class": {
			classes: strings.Replace(linkClass, "block", "raws", 1), bindings: "raws-1: {serial: B}",
			want: "raws-1 vdb create create", docs: "UserVolumeConfig raws missing create", differs: true,
		},
		"another configuration is staged": {
			classes: fastClass, bindings: fastBound,
			change: func(d *deciding) {
				d.in.Kubelets = map[string]mounts.NodeState{"w-1": {Node: "w-1", Release: releases(t, "v1.13.2")["w-1"], StagedDiffers: true}}
			},
			want: "fast-1 vdb create create", docs: "UserVolumeConfig ssd-1 missing refuse", differs: true,
		},
		"the release is what Talos says": {
			classes: fastClass, bindings: fastBound,
			change: func(d *deciding) {
				d.in.Releases = releases(t, d.release)
				d.release = "x"
			},
			want: "fast-1 vdb create create", docs: "UserVolumeConfig ssd-1 missing create", differs: true,
		},
		"machine.disks": {
			classes: strings.Replace(fastClass, "ext4", "xfs", 1), bindings: fastBound,
			change: func(d *deciding) {
				d.release, d.Install.Classes = "v1.9.5", nil
			},
			want: "fast-1 vdb create create", docs: "machine.disks /var/lib/disks/fast/ssd-1 missing create staged", differs: true,
		},
		"machine.disks, in place": {
			classes: strings.Replace(fastClass, "ext4", "xfs", 1), bindings: fastBound, talos: []string{"u-x vdb1"},
			change: func(d *deciding) {
				d.release, d.Install.Classes = "v1.9.5", nil
				*volumes(d) = nil
				*d.node("w-1").Talos.Value.Mounts.Value = []snapshot.TalosMount{{Source: "/dev/vdb1", Target: "/var/lib/disks/fast/ssd-1"}}
			},
			want: "fast-1 vdb in-place unchanged", docs: "machine.disks /var/lib/disks/fast/ssd-1 missing create staged", differs: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeciding(t, c.classes, c.bindings)
			disks := c.disks
			if disks == nil {
				disks = []disk.Disk{ssd("vdb", 100<<30, "B")}
			}
			d.has("w-1", append(disks, ssd("vdc", 100<<30, "C"))...).reported("w-1", c.talos...)
			keepClasses(d)
			if c.change != nil {
				c.change(d)
			}
			got := d.decide(t)
			if rows(got) != c.want || docs(got) != c.docs {
				t.Errorf("volumes %s\nwant    %s\ndocuments %s\nwant      %s", rows(got), c.want, docs(got), c.docs)
			}
			if (got.Differs() != c.differs || got.Unknown() != c.unknown) && got.Provisioner.Action == change.Keep {
				t.Errorf("differs %v, unknown %v: %+v", got.Differs(), got.Unknown(), got.Nodes)
			}
			for _, v := range got.Volumes {
				if v.Status != StatusInPlace && v.Status != StatusCreate && v.Why == "" {
					t.Errorf("%s: it is not said why", v.Status)
				}
			}
		})
	}
}

// keepClasses has the provisioner that a layout of one class needs.
func keepClasses(d *deciding) {
	d.Install.Classes = slices.DeleteFunc(d.Install.Classes, func(c provisioner.Class) bool {
		return !slices.ContainsFunc(d.layout.Spec.Classes, func(o Class) bool { return o.Name == c.Name })
	})
}

func held(d disk.Disk) disk.Disk {
	d.Content = &disk.Content{Signed: disk.No, Busy: disk.Yes, Unsigned: disk.No}
	return d
}

// What the layout is about, its nodes and their classes, and nothing else.
func TestNodesOfADecision(t *testing.T) {
	d := newDeciding(t, fastClass, fastBound)
	d.world = newWorld("v-1", "w-1", "w-2")
	d.has("w-1", ssd("vdb", 100<<30, "B")).reported("w-1").reported("v-1", "u-data vda2").reported("w-2")
	d.bindings.Nodes["w-9"] = map[string]Binding{"fast-1": {Serial: "Z"}}
	d.layout.Spec.Overrides = []Override{{Nodes: []string{"w-2"}, Classes: []ClassOverride{{Name: "fast", Disks: Disks{Count: new(0)}}}}}
	p := d.decide(t)
	var nodes []string
	for _, n := range p.Nodes {
		nodes = append(nodes, n.Node)
	}
	if rows(p) != "(u-data) vda foreign unchanged, fast-1 vdb create create" || !slices.Equal(p.NotObserved, []string{"w-9"}) || !p.Unknown() {
		t.Errorf("%s, %v", rows(p), p.NotObserved)
	}
	if !slices.Equal(p.Classes[0].Nodes, []string{"w-1"}) || !slices.Equal(nodes, []string{"v-1", "w-1", "w-2"}) {
		t.Errorf("%v, %v", p.Classes[0].Nodes, nodes)
	}
}

// A class becomes on some of its nodes what it becomes on all of them.
func TestNodesThatWereNotChosen(t *testing.T) {
	d := newDeciding(t, strings.Replace(linkClass, "block", "raws", 1), "raws-1: {serial: B}")
	d.has("w-1", ssd("vdb", 100<<30, "B")).reported("w-1")
	if p := d.decide(t); p.Classes[0].Way != WayVolumeOfLinks {
		t.Errorf("alone it is %s", p.Classes[0].Way)
	}
	d.in.Releases = map[string]talosrelease.Release{"w-2": releases(t, "v1.11.0")["w-1"], "v-1": releases(t, "v1.6.0")["w-1"]}
	if p := d.decide(t); p.Classes[0].Way != WayLinks || !slices.Equal(p.Classes[0].Nodes, []string{"w-1", "w-2"}) || len(p.Nodes) != 1 {
		t.Errorf("beside an older one it is %s on %v", p.Classes[0].Way, p.Classes[0].Nodes)
	}
}

// Whatever is bound to what, and whatever is there: decided twice it is the same, and no document names a disk that no binding names.
func TestDocumentsAreForBoundDisksAlone(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	serials := []string{"A", "B", "C", "", "A ", `"`, `\`, `a" || true || "`, "a: #b", "\u00a0x", "界", "%s", "0815", "\u2028", "'"}
	pick := func() string { return serials[random.IntN(len(serials))] }
	documents := 0
	for range 400 {
		d := newDeciding(t, fastClass, fastBound)
		d.layout.Spec.Classes[0].As = []As{AsVolume, AsDisk}[random.IntN(2)]
		var disks []disk.Disk
		for _, name := range []string{"vdb", "vdc", "vdd", "vde"} {
			one := ssd(name, uint64(random.IntN(3)+1)<<30, pick())
			one.ByID = nil
			if random.IntN(3) == 0 {
				one.WWID = "naa." + pick()
			}
			if random.IntN(4) == 0 {
				one = signed(one)
			}
			disks = append(disks, one)
		}
		d.has("w-1", disks...).reported("w-1", []string{"u-fast-1 vdb1", "u-ssd-1 vdc1", "x-y vdd"}[random.IntN(3)])
		bindings := make(map[string]Binding)
		for n := range random.IntN(4) {
			bindings[VolumeName("fast", n+1)] = Binding{
				WWID: []string{"", "naa." + pick()}[random.IntN(2)], Serial: pick(), ByPath: "pci-0000:00:1f.2-vdb",
			}
		}
		d.bindings.Nodes["w-1"] = bindings
		d.in.Wipe = []string{"w-1/vdb", "w-1/vdc", "w-1/vdd", "w-1/vde"}[:random.IntN(5)]
		p := d.decide(t)
		if again := d.decide(t); !reflect.DeepEqual(p, again) {
			t.Fatalf("decided again it is %s, was %s", rows(again), rows(p))
		}
		for _, one := range p.Nodes[0].Documents {
			if one.Action != change.Create {
				continue
			}
			documents++
			found := matcher{}.Match(*d.node("w-1").Talos.Value.Disks.Value, "vda", []machineconfig.VolumeSelector{one.Selector})[0]
			u, bound := Observe(d.Snapshot).Find("w-1", bindings[one.Volume])
			if !bound || !slices.Equal(found.Disks, []string{u.Name}) {
				t.Fatalf("%s of %+v takes %v", one.Text(), bindings[one.Volume], found.Disks)
			}
			var read struct {
				Provisioning struct {
					DiskSelector struct{ Match string } `yaml:"diskSelector"`
				}
			}
			if err := yaml.Unmarshal([]byte(one.Text()), &read); err != nil || read.Provisioning.DiskSelector.Match != one.Selector.Match {
				t.Fatalf("%v: %s", err, one.Text())
			}
		}
	}
	if documents < 50 {
		t.Errorf("only %d documents were looked at", documents)
	}
}

// A thousand nodes with six disks, four of them in place.
func BenchmarkDecide(b *testing.B) {
	var names []string
	for n := range 1000 {
		names = append(names, fmt.Sprintf("w-%d", n))
	}
	w := newWorld(names...)
	l := Layout{Spec: Spec{
		Nodes: Nodes{Names: []string{"*"}}, Provisioner: Provisioner{Namespace: "storage", Release: "local"},
		Classes: []Class{
			{Name: "fast", VolumeMode: provisioner.Filesystem, As: AsVolume, Filesystem: "ext4", By: ByIdentity, ReclaimPolicy: "Delete"},
			{Name: "block", VolumeMode: provisioner.Block, As: AsLink, By: ByIdentity, ReclaimPolicy: "Delete"},
		},
	}}
	bindings := l.NewBindings()
	in := Deciding{Matcher: matcher{}, Configs: make(map[string]snapshot.Section[Stored]), Kubelets: make(map[string]mounts.NodeState)}
	for i, name := range names {
		bindings.Nodes[name] = make(map[string]Binding)
		var volumes []string
		config := "machine: {}\n"
		for n, letter := range []string{"b", "c", "d", "e", "f", "g"} {
			serial := fmt.Sprintf("S%dX%s", i, letter)
			w.has(name, ssd("vd"+letter, 100<<30, serial))
			class := []string{"fast", "fast", "fast", "fast", "block", "block"}[n]
			bindings.Nodes[name][VolumeName(class, n+1)] = Binding{Serial: serial, Size: 100 << 30}
			if n < 3 {
				volumes = append(volumes, fmt.Sprintf("u-fast-%d vd%s1", n+1, letter))
				config += strings.NewReplacer("ssd-1", VolumeName("fast", n+1), `"B"`, strconv.Quote(serial)).Replace(fastDocument)
			}
		}
		w.reported(name, volumes...)
		w.linked(name, "block-5", "vdf")
		w.node(name).OSImage = "Talos (v1.13.2)"
		stored, err := ReadStored([]byte(config))
		if err != nil {
			b.Fatal(err)
		}
		in.Configs[name] = snapshot.Read(stored)
		in.Kubelets[name] = mounts.NodeState{Node: name, Ready: true}
	}
	b.ReportAllocs()
	for b.Loop() {
		if p := Observe(w.Snapshot).Decide(l, bindings, in); len(p.Volumes) != 6000 {
			b.Fatal(rows(p)[:200])
		}
	}
}
