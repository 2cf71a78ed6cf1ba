// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// six is a node with two SSDs, two hard disks and two more.
func six(node string) world {
	return newWorld(node).has(node,
		ssd("vdb", 480e9, "SSD-B"), ssd("vdc", 480e9, "SSD-A"), hdd("vdd", 4e12, "HDD-A"), hdd("vde", 4e12, "HDD-B"),
		ssd("vdf", 960e9, "BLK-A"), ssd("vdg", 960e9, "BLK-B"))
}

func TestBind(t *testing.T) {
	same := func(d disk.Disk, change func(*disk.Disk)) disk.Disk { change(&d); return d }
	for name, c := range map[string]struct {
		world    world
		classes  string
		bindings map[string]Binding
		request  Request
		want     []string
		refused  []string
		why      string
	}{
		"simple fields, in the order of slots": {
			world:   six("w-1"),
			classes: "  - {name: ssd, disks: {count: 2, rotational: false, size: {max: 500GB}}}\n  - {name: hdd, disks: {rotational: true, size: {min: 1TB}}}",
			want:    []string{"w-1/hdd-1 HDD-A", "w-1/hdd-2 HDD-B", "w-1/ssd-1 SSD-B", "w-1/ssd-2 SSD-A"},
		},
		"what an earlier class has is not free": {
			world: six("w-1"), classes: "  - {name: a, disks: {size: {max: 500GB}}}\n  - {name: b, disks: {count: 2, rotational: false}}",
			want: []string{"w-1/a-1 SSD-B", "w-1/a-2 SSD-A", "w-1/b-1 BLK-A", "w-1/b-2 BLK-B"},
		},
		"too few": {
			world: six("w-1"), classes: "  - {name: a, disks: {count: 3, rotational: true}}", refused: []string{"w-1/a too-few 0+2/3"},
		},
		"too many": {
			world: six("w-1"), classes: "  - {name: a, disks: {count: 1, rotational: true}}", refused: []string{"w-1/a too-many 0+2/1"},
		},
		"none": {
			world: six("w-1"), classes: "  - {name: a, disks: {transport: nvme}}", refused: []string{"w-1/a too-few 0+0/all"},
		},
		"a refused class does not hold up the next one": {
			world:   six("w-1"),
			classes: "  - {name: a, disks: {count: 9, rotational: true}}\n  - {name: b, disks: {count: 2, rotational: true}}",
			want:    []string{"w-1/b-1 HDD-A", "w-1/b-2 HDD-B"}, refused: []string{"w-1/a too-few 0+2/9"},
		},
		"the kernel's names tell the transport": {
			world:   newWorld("w-1").has("w-1", ssd("nvme0n1", 5e9, "NV1"), ssd("sdb", 5e9, "S-A")),
			classes: "  - {name: a, disks: {transport: nvme}}",
			want:    []string{"w-1/a-1 NV1"},
		},
		"a model": {
			world: newWorld("w-1").has("w-1", same(hdd("vdb", 5e9, "A"), func(d *disk.Disk) { d.Model = "ST4000 NM" }),
				same(hdd("vdc", 5e9, "B"), func(d *disk.Disk) { d.Model = "ST8000" })), classes: "  - {name: a, disks: {model: 'ST4*'}}",
			want: []string{"w-1/a-1 A"},
		},
		"names": {
			world: six("w-1"), classes: "  - {name: a, volumeMode: Block, disks: {names: [vdg, /dev/disk/by-id/virtio-BLK-A]}}",
			want: []string{"w-1/a-1 BLK-A", "w-1/a-2 BLK-B"},
		},
		"a name that is not there": {
			world: six("w-1"), classes: "  - {name: a, disks: {names: [vdg, vdz]}}",
			refused: []string{"w-1/a too-few 0+1/2"}, why: "not there: vdz",
		},
		"the system disk by name": {
			world: six("w-1"), classes: "  - {name: a, disks: {names: [vda]}}", refused: []string{"w-1/a system-disk 0+0/1"},
		},
		"the system disk is no simple match": {
			world: six("w-1"), classes: "  - {name: a, disks: {count: 6}}",
			want: []string{"w-1/a-1 SSD-B", "w-1/a-2 SSD-A", "w-1/a-3 HDD-A", "w-1/a-4 HDD-B", "w-1/a-5 BLK-A", "w-1/a-6 BLK-B"},
		},
		"an expression": {
			world: six("w-1"), classes: "  - {name: a, disks: {match: 'x'}}", request: matching("a", "vdb", "vdg"),
			want: []string{"w-1/a-1 SSD-B", "w-1/a-2 BLK-B"},
		},
		"an expression that matches the system disk": {
			world: six("w-1"), classes: "  - {name: a, disks: {match: 'x'}}", request: matching("a", "vda", "vdg"),
			refused: []string{"w-1/a system-disk 0+1/all"},
		},
		"an expression that fails": {
			world: six("w-1"), classes: "  - {name: a, disks: {match: 'x'}}",
			request: Request{Selections: map[string]snapshot.Section[[]snapshot.Selection]{
				"w-1": snapshot.Read([]snapshot.Selection{{VolumeSelector: machineconfig.VolumeSelector{Name: "a"}, Problem: "no such attribute"}}),
			}},
			refused: []string{"w-1/a not-evaluated 0+0/all"}, why: "no such attribute",
		},
		"an expression, and Talos was not asked": {
			world: six("w-1"), classes: "  - {name: a, disks: {match: 'x'}}", refused: []string{"w-1/a not-evaluated 0+0/all"},
			why: "it was not looked at",
		},
		"a disk with data": {
			world: newWorld("w-1").has("w-1", hdd("vdb", 5e9, "A"), signed(hdd("vdc", 5e9, "B"))), classes: "  - {name: a, disks: {count: 2}}",
			refused: []string{"w-1/a too-few 0+1/2"},
		},
		"a disk with data, accepted": {
			world:   newWorld("w-1").has("w-1", hdd("vdb", 5e9, "A"), signed(hdd("vdc", 5e9, "B"))),
			classes: "  - {name: a, disks: {count: 2}}",
			request: Request{Accept: []link.Acceptance{{Reason: disk.HasSignature, Node: "w-1", Disk: "vdc"}}},
			want:    []string{"w-1/a-1 A", "w-1/a-2 B"},
		},
		"a disk with data, accepted elsewhere": {
			world:   newWorld("w-1").has("w-1", hdd("vdb", 5e9, "A"), signed(hdd("vdc", 5e9, "B"))),
			classes: "  - {name: a, disks: {count: 2}}",
			request: Request{Accept: []link.Acceptance{{Reason: disk.HasSignature, Node: "w-2", Disk: "vdc"}}},
			refused: []string{"w-1/a too-few 0+1/2"},
		},
		"what is linked elsewhere is not free": {
			world: six("w-1").linked("w-1", "x", "vdd"), classes: "  - {name: a, disks: {count: 2, rotational: true}}",
			refused: []string{"w-1/a too-few 0+1/2"},
		},
		"bound already": {
			world: six("w-1"), classes: "  - {name: a, disks: {count: 2, rotational: true}}",
			bindings: map[string]Binding{"a-7": {Serial: "HDD-B", Size: 4e12}}, want: []string{"w-1/a-1 HDD-A", "w-1/a-7 HDD-B"},
		},
		"all are bound, and nothing is asked": {
			world: six("w-1"), classes: "  - {name: a, disks: {count: 1, match: 'x'}}", bindings: map[string]Binding{"a-1": {Serial: "GONE"}},
			want: []string{"w-1/a-1 GONE"},
		},
		"a new disk does not take the place of one that is gone": {
			world: six("w-1"), classes: "  - {name: a, disks: {count: 2, rotational: true}}", bindings: map[string]Binding{"a-1": {Serial: "GONE"}},
			want: []string{"w-1/a-1 GONE"}, refused: []string{"w-1/a too-many 1+2/2"},
		},
		"more bound than wanted": {
			world: six("w-1"), classes: "  - {name: a, disks: {count: 1}}",
			bindings: map[string]Binding{"a-1": {Serial: "HDD-A"}, "a-2": {Serial: "HDD-B"}},
			want:     []string{"w-1/a-1 HDD-A", "w-1/a-2 HDD-B"}, refused: []string{"w-1/a too-many 2+0/1"},
		},
		"by slot": {
			world: six("w-1"), classes: "  - {name: a, by: slot, disks: {rotational: true}}",
			want: []string{"w-1/a-1 pci-0000:00:1f.2-vdd", "w-1/a-2 pci-0000:00:1f.2-vde"},
		},
		"by slot, and it has none": {
			world:   newWorld("w-1").has("w-1", same(hdd("vdb", 5e9, "A"), func(d *disk.Disk) { d.ByPath = nil })),
			classes: "  - {name: a, by: slot, disks: {count: 1}}", refused: []string{"w-1/a no-identity 0+1/1"},
		},
		"serial numbers that repeat": {
			world: newWorld("w-1").has("w-1", hdd("vdb", 5e9, "A"), hdd("vdc", 5e9, "A")), classes: "  - {name: a, disks: {count: 2}}",
			want: []string{"w-1/a-1 pci-0000:00:1f.2-vdb", "w-1/a-2 pci-0000:00:1f.2-vdc"},
		},
		"nothing tells it from another one": {
			world:   newWorld("w-1").has("w-1", same(hdd("vdb", 5e9, ""), func(d *disk.Disk) { d.ByPath = nil })),
			classes: "  - {name: a, disks: {count: 1}}", refused: []string{"w-1/a no-identity 0+1/1"},
		},
		"what is there is adopted": {
			world:   six("w-1").linked("w-1", "vdf", "vdf").linked("w-1", "block-1", "vdg"),
			classes: "  - {name: block, volumeMode: Block, disks: {count: 3}}\n  - {name: hdd, disks: {rotational: true}}",
			want:    []string{"w-1/block-1 BLK-B", "w-1/block-2=vdf BLK-A", "w-1/hdd-1 HDD-A", "w-1/hdd-2 HDD-B"},
			refused: []string{"w-1/block too-many 2+4/3"},
		},
		"a link by the name of another disk's volume is not adopted": {
			world: six("w-1").linked("w-1", "block-1", "vdf"), classes: "  - {name: block, volumeMode: Block, disks: {names: [vdg, vdf]}}",
			bindings: map[string]Binding{"block-1": {Serial: "GONE"}}, want: []string{"w-1/block-1 GONE", "w-1/block-2 BLK-B"},
		},
		"a key that another volume has": {
			world:    six("w-1").linked("w-1", "block-1", "vdf"),
			classes:  "  - {name: block, volumeMode: Block, disks: {count: 2}}",
			bindings: map[string]Binding{"block-1": {Name: "x", Serial: "GONE"}}, want: []string{"w-1/block-1=x GONE", "w-1/block-2=block-1 BLK-A"},
		},
		"a key that is another volume's name": {
			world: six("w-1"), classes: "  - {name: a, disks: {count: 2, size: {min: 4TB}}}",
			bindings: map[string]Binding{"a-1": {Name: "a-2", Serial: "HDD-A"}}, want: []string{"w-1/a-1=a-2 HDD-A", "w-1/a-3 HDD-B"},
		},
		"two paths to one disk": {
			world: newWorld("w-1").has("w-1", same(hdd("vdb", 5e9, "A"), func(d *disk.Disk) { d.WWID = "naa.5000c500a1b2c3d4" }),
				same(hdd("vdc", 5e9, "A"), func(d *disk.Disk) { d.WWID = "naa.5000c500a1b2c3d4" })),
			classes: "  - {name: a, disks: {count: 1}}", want: []string{"w-1/a-1 A"},
		},
		"two disks in one slot": {
			world: newWorld("w-1").has("w-1", same(hdd("vdb", 5e9, "A"), func(d *disk.Disk) { d.ByPath = []string{"pci-1"} }),
				same(hdd("vdc", 5e9, "B"), func(d *disk.Disk) { d.ByPath = []string{"pci-1"} })),
			classes: "  - {name: a, by: slot, disks: {count: 2}}", refused: []string{"w-1/a no-identity 0+2/2"},
		},
		"a serial number that no file can have": {
			world: newWorld("w-1").has("w-1", hdd("vdb", 5e9, "A\nB")), classes: "  - {name: a, disks: {count: 1}}",
			want: []string{"w-1/a-1 pci-0000:00:1f.2-vdb"},
		},
		"a volume that Talos cannot have": {
			world: six("w-1").reported("w-1", "u-ssd-a_b vdb1"), classes: "  - {name: fast, disks: {count: 1, size: {max: 500GB}}}",
			want: []string{"w-1/fast-1 SSD-A"},
		},
		"more volumes than a class can have": {
			world: newWorld("w-1").has("w-1", hdd("vdb", 5e9, "A")), classes: "  - {name: a, disks: {transport: virtio}}", bindings: gone(999),
			want: keys(Bindings{Nodes: map[string]map[string]Binding{"w-1": gone(999)}}), refused: []string{"w-1/a too-few 999+1/all"},
		},
		"a link in another directory is none of the class's": {
			world:   six("w-1").linked("w-1", "vdf", "vdf"),
			classes: "  - {name: block, volumeMode: Block, hostDir: /var/mnt/block, disks: {names: [vdg]}}", want: []string{"w-1/block-1 BLK-B"},
		},
		"Talos's volumes are adopted": {
			world: six("w-1").reported("w-1", "u-ssd-2 vdb1", "u-fast-1 vdc1", "u-other vdd1", "r-raw-1 vdf1", "u-whole-1 vdg"),
			classes: "  - {name: fast, disks: {count: 2}}\n  - {name: raw, volumeMode: Block, as: partition, disks: {count: 1}}\n" +
				"  - {name: whole, as: disk, disks: {count: 1}}",
			want: []string{"w-1/fast-1 SSD-A", "w-1/fast-2=ssd-2 SSD-B", "w-1/raw-1 BLK-A", "w-1/whole-1 BLK-B"},
		},
		"a volume of another kind is not the class's": {
			world: six("w-1").reported("w-1", "u-fast-1 vdb1"), classes: "  - {name: fast, as: disk, disks: {size: {max: 500GB}}}",
			want: []string{"w-1/fast-1 SSD-A"},
		},
		"a node that was not looked at": {
			world: unseen(six("w-1")), classes: "  - {name: a, disks: {count: 1}}", refused: []string{"w-1/a not-looked 0+0/1"}, why: "no pod there",
		},
		"none wanted on a node that was not looked at": {
			world: unseen(six("w-1")), classes: "  - {name: a, disks: {count: 1}}", bindings: map[string]Binding{"a-1": {Serial: "A"}},
			want: []string{"w-1/a-1 A"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := layoutOf(t, c.classes).Layout
			before := l.NewBindings()
			if c.bindings != nil {
				before.Nodes["w-1"] = c.bindings
			}
			was := keys(before)
			after, report := Observe(c.world.Snapshot).Bind(l, before, c.request)
			if got := keys(after); !slices.Equal(got, c.want) {
				t.Errorf("bound %q, want %q", got, c.want)
			}
			if got := refusals(report); !slices.Equal(got, c.refused) {
				t.Errorf("refused %q, want %q", got, c.refused)
			}
			if c.why != "" && (len(report.Refused) == 0 || report.Refused[0].Why != c.why) {
				t.Errorf("%+v", report.Refused)
			}
			if !slices.Equal(keys(before), was) {
				t.Error("the bindings that were given have changed")
			}
			again, second := Observe(c.world.Snapshot).Bind(l, after, c.request)
			if !slices.Equal(keys(again), c.want) || slices.ContainsFunc(second.Volumes, func(v Volume) bool { return v.State == New }) {
				t.Errorf("bound again: %q", keys(again))
			}
		})
	}
}

// gone are bindings of a class to disks that are not there.
func gone(n int) map[string]Binding {
	all := make(map[string]Binding)
	for i := range n {
		all[VolumeName("a", i+1)] = Binding{Serial: fmt.Sprintf("GONE%d", i)}
	}
	return all
}

func unseen(w world) world {
	w.Nodes[0].View = snapshot.Unread[snapshot.PodView](problem.Text("no pod there"))
	return w
}

func TestOverridesAndOtherNodes(t *testing.T) {
	w := newWorld("w-1", "w-2", "x-1")
	for _, n := range w.Nodes {
		w.has(n.Name, hdd("vdb", 5e9, "B-"+n.Name), hdd("vdc", 5e9, "C-"+n.Name))
	}
	f, err := Decode("f", []byte(strings.NewReplacer(
		"names: [w-1]", "names: ['w-*']",
		"  - name: raw\n    volumeMode: Block\n    disks: {names: [vdf]}\n", "",
		"disks: {count: 1}", "disks: {count: 2}",
		"- nodes: [w-1]\n    classes: [{name: fast}]", "- nodes: [w-2]\n    classes: [{name: fast, disks: {names: [vdc]}}]",
		"  w-1:\n    fast-1: {serial: A}", "  gone: {fast-1: {serial: A}}",
	).Replace(base)))
	if err != nil {
		t.Fatal(err)
	}
	after, report := Observe(w.Snapshot).Bind(f.Layout, f.Bindings, Request{})
	want := []string{"gone/fast-1 A", "w-1/fast-1 B-w-1", "w-1/fast-2 C-w-1", "w-2/fast-1 C-w-2"}
	if got := keys(after); !slices.Equal(got, want) || len(report.Refused) > 0 || !report.Done() {
		t.Errorf("%q, %q", got, refusals(report))
	}
}

func TestDisksThatTwoNodesHave(t *testing.T) {
	shared := hdd("vdb", 5e9, "A")
	shared.WWID = "naa.5000c500a1b2c3d4"
	w := newWorld("w-1", "w-2", "w-3").has("w-1", shared, hdd("vdc", 5e9, "B")).has("w-2", shared).has("w-3", hdd("vdb", 5e9, "A"))
	l := layoutOf(t, "  - {name: a, disks: {match: x}}").Layout
	after, report := Observe(w.Snapshot).Bind(l, l.NewBindings(), Request{Selections: map[string]snapshot.Section[[]snapshot.Selection]{
		"w-1": matching("a", "vdb", "vdc").Selections["w-1"], "w-2": matching("a", "vdb").Selections["w-1"],
		"w-3": matching("a", "vdb").Selections["w-1"],
	}})
	if got := keys(after); !slices.Equal(got, []string{"w-3/a-1 A"}) || len(report.Refused) != 2 || report.Refused[0].Refusal != Shared ||
		report.Refused[0].Why != "w-2/a-1" || report.Refused[1].Why != "w-1/a-1" {
		t.Errorf("%q, %+v", got, report.Refused)
	}
}

func TestWhatOnlyTalosHasToldOf(t *testing.T) {
	alone := func() world {
		return newWorld("w-1").has("w-1", hdd("vdb", 5e9, "A"), hdd("vdc", 5e9, "B")).alone("w-1", "u-x vdc1")
	}
	l := layoutOf(t, "  - {name: a, disks: {count: 1}}").Layout
	for name, c := range map[string]struct {
		world world
		bound bool
	}{
		"in a cluster without a provisioner": {world: alone(), bound: true},
		"of a release that tells of no content": {world: func() world {
			w := alone()
			w.Nodes[0].Talos.Value.Legacy = true
			return w
		}()},
		"of a part that could not be read": {world: func() world {
			w := alone()
			w.Nodes[0].Talos.Value.Mounts = snapshot.Unread[[]snapshot.TalosMount](problem.Text("x"))
			return w
		}()},
		"with a local volume of the node": {world: func() world {
			w := alone()
			w.Volumes = []snapshot.Volume{{Name: "v", Node: "w-1"}}
			return w
		}()},
		"with something on it": {world: func() world {
			w := alone()
			w.Nodes[0].Talos.Value.Devices = snapshot.Read([]snapshot.TalosDevice{{Name: "vdb", Content: "luks"}})
			return w
		}()},
		"where there is a provisioner": {world: func() world {
			w := alone()
			w.Unread = nil
			return w
		}()},
	} {
		t.Run(name, func(t *testing.T) {
			after, report := Observe(c.world.Snapshot).Bind(l, l.NewBindings(), Request{})
			want := 0
			if c.bound {
				want = 1
			}
			if got := keys(after); len(got) != want || len(report.Unchecked) != want {
				t.Errorf("%q, %q, %+v", got, report.Unchecked, report.Refused)
			}
		})
	}
}

// matching are what an expression of a class matches on w-1.
func matching(class string, disks ...string) Request {
	s := snapshot.Selection{VolumeSelector: machineconfig.VolumeSelector{Name: class}, Disks: disks}
	return Request{Selections: map[string]snapshot.Section[[]snapshot.Selection]{"w-1": snapshot.Read([]snapshot.Selection{s})}}
}

func TestStates(t *testing.T) {
	moved := hdd("vdb", 5e9, "C")
	moved.WWID = "naa.5000c500a1b2c3d4"
	w := newWorld("w-1", "w-2", "w-4").has("w-1", hdd("vdb", 5e9, "A"), hdd("vdc", 6e9, "B")).
		has("w-2", moved, hdd("vdc", 5e9, "ONCE"), hdd("vdd", 5e9, "OFTEN")).has("w-4", hdd("vdd", 5e9, "OFTEN"))
	for _, serial := range []string{"P", "Q"} {
		d := hdd("vd"+strings.ToLower(serial), 5e9, serial)
		d.ByPath = []string{"pci-1"}
		w.has("w-4", d)
	}
	w.Nodes = append(w.Nodes, snapshot.Node{Name: "w-3", View: snapshot.Unread[snapshot.PodView](problem.Text("no pod there"))})
	l := layoutOf(t, "  - {name: a, disks: {count: 9}}").Layout
	b := l.NewBindings()
	b.Nodes["w-1"] = map[string]Binding{
		"a-1": {Serial: "A", Size: 5e9}, "a-2": {Serial: "B", Size: 5e9}, "a-3": {WWID: "naa.5000c500a1b2c3d4", Serial: "C"},
		"a-4": {Serial: "GONE"},
		"a-5": {ByPath: "pci-0000:00:1f.2-vdc"}, "a-6": {ByPath: "pci-0000:00:1f.2-vdz"}, "a-7": {Serial: "ONCE"}, "a-8": {Serial: "OFTEN"},
		"a-9":   {ByPath: "pci-0000:00:1f.2-vdb", Size: 1e9},
		"old-1": {ByID: "virtio-SYSTEM-w-1"},
	}
	b.Nodes["w-3"] = map[string]Binding{"a-1": {Serial: "X"}}
	b.Nodes["w-4"] = map[string]Binding{"a-1": {ByPath: "pci-1"}}
	b.Nodes["gone"] = map[string]Binding{"a-1": {Serial: "Y"}}
	want := map[string]Volume{
		"w-1/a-1": {State: Bound, Disk: "vdb"},
		"w-1/a-2": {State: Changed, Disk: "vdc", Why: "serial B, with 6000000000 bytes, and the binding says serial B with 5000000000"},
		"w-1/a-3": {State: Elsewhere, Disk: "vdb", Other: "w-2"},
		"w-1/a-4": {State: Missing},
		"w-1/a-5": {State: Bound, Disk: "vdc"},
		"w-1/a-6": {State: Missing},
		"w-1/a-7": {State: Elsewhere, Disk: "vdc", Other: "w-2"},
		"w-1/a-8": {State: Missing},
		"w-1/a-9": {
			State: Changed, Disk: "vdb", Why: "serial A, with 5000000000 bytes, and the binding says slot pci-0000:00:1f.2-vdb with 1000000000",
		},
		"w-1/old-1": {State: Bound, Disk: "vda", Orphan: true},
		"w-3/a-1":   {State: Unknown, Why: "no pod there"},
		"w-4/a-1":   {State: Changed, Disk: "vdp", Why: "several disks have slot pci-1"},
	}
	got := Observe(w.Snapshot).States(l, b)
	for _, v := range got {
		c := want[v.Node+"/"+v.Key]
		if v.State != c.State || v.Disk != c.Disk || v.Other != c.Other || v.Why != c.Why || v.Orphan != c.Orphan {
			t.Errorf("%+v\nwant %+v", v, c)
		}
	}
	if len(got) != len(want) || got[0].Key != "a-1" || got[9].Key != "old-1" || got[11].Node != "w-3" {
		t.Errorf("%d volumes", len(got))
	}
}

func TestBoundTwice(t *testing.T) {
	lun := hdd("vdb", 5e9, "A")
	lun.WWID = "naa.5000c500a1b2c3d4"
	w := newWorld("w-1", "w-2").has("w-1", hdd("vdc", 5e9, "B"), lun).has("w-2", lun, hdd("vdc", 5e9, "B"))
	l := layoutOf(t, "  - {name: a, disks: {count: 9}}").Layout
	for name, c := range map[string]struct {
		one, two map[string]Binding
		want     string
	}{
		"by one serial number": {one: map[string]Binding{"a-1": {Serial: "B"}, "a-2": {Serial: "B"}}, want: "w-1/a-1=w-1/a-2 w-1/a-2=w-1/a-1"},
		"that is not there":    {one: map[string]Binding{"a-1": {Serial: "X"}, "a-2": {Serial: "X"}}, want: "w-1/a-1=w-1/a-2 w-1/a-2=w-1/a-1"},
		"by two names": {
			one: map[string]Binding{"a-1": {Serial: "B"}, "a-2": {ByPath: "pci-0000:00:1f.2-vdc"}}, want: "w-1/a-1=w-1/a-2 w-1/a-2=w-1/a-1",
		},
		"by one slot that is not there": {
			one: map[string]Binding{"a-1": {ByPath: "z"}, "a-2": {ByPath: "z"}}, want: "w-1/a-1=w-1/a-2 w-1/a-2=w-1/a-1",
		},
		"on two nodes, by a WWID": {
			one: map[string]Binding{"a-1": {WWID: lun.WWID}}, two: map[string]Binding{"a-3": {WWID: lun.WWID}},
			want: "w-1/a-1=w-2/a-3 w-2/a-3=w-1/a-1",
		},
		"on two nodes, a serial number": {one: map[string]Binding{"a-1": {Serial: "B"}}, two: map[string]Binding{"a-3": {Serial: "B"}}},
		"on two nodes, a slot": {
			one: map[string]Binding{"a-1": {ByPath: "pci-0000:00:1f.2-vdc"}}, two: map[string]Binding{"a-3": {ByPath: "pci-0000:00:1f.2-vdc"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := l.NewBindings()
			b.Nodes["w-1"], b.Nodes["w-2"] = c.one, c.two
			var got []string
			for _, v := range Observe(w.Snapshot).States(l, b) {
				if v.State == Twice {
					got = append(got, v.Node+"/"+v.Key+"="+v.Other)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestNaturalOrder(t *testing.T) {
	want := []string{
		"pci-0000:00:1f.2-ata-1", "pci-0000:00:1f.2-ata-2", "pci-0000:00:1f.2-ata-010", "pci-0000:00:1f.2-ata-10", "pci-1",
		"sdaa", "sdb", "",
	}
	for i, a := range want {
		for j, b := range want {
			got := natural(a, b)
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%q, %q: %d", a, b, got)
			}
		}
	}
}

func TestWild(t *testing.T) {
	for pattern, texts := range map[string]map[string]bool{
		"ST4*":      {"ST4000": true, "ST4": true, "xST4": false, "ST8": false},
		"*SSD*870*": {"Samsung SSD 870 EVO": true, "SSD870": true, "Samsung 870 SSD": false},
		"a":         {"a": true, "ab": false, "": false},
		"*":         {"": true, "x/y": true},
		"*a":        {"aaa": true, "aab": false},
		"a?":        {"ab": false, "a?": true},
	} {
		for text, want := range texts {
			if wild(pattern, text) != want {
				t.Errorf("%q, %q", pattern, text)
			}
		}
	}
}

func BenchmarkBind(b *testing.B) {
	var nodes []string
	for n := range 1000 {
		nodes = append(nodes, fmt.Sprintf("w-%d", n))
	}
	w := newWorld(nodes...)
	for _, n := range nodes {
		w.has(n, ssd("vdb", 480e9, "SB"+n), ssd("vdc", 480e9, "SC"+n), hdd("vdd", 4e12, "HD"+n), hdd("vde", 4e12, "HE"+n),
			ssd("vdf", 960e9, "SF"+n), ssd("vdg", 960e9, "SG"+n)).reported(n)
	}
	count := 2
	l := Layout{Spec: Spec{Nodes: Nodes{Names: []string{"*"}}, Classes: []Class{
		{Name: "ssd", As: AsVolume, By: ByIdentity, Disks: Disks{Count: &count, Rotational: new(false), Size: Range{Max: 500e9}}},
		{Name: "hdd", As: AsVolume, By: ByIdentity, Disks: Disks{Count: &count, Rotational: new(true), Size: Range{Min: 1e12}}},
		{Name: "raw", As: AsLink, By: ByIdentity, Disks: Disks{Count: &count, Size: Range{Min: 900e9, Max: 1e12}}},
	}}}
	for b.Loop() {
		o := Observe(w.Snapshot)
		after, report := o.Bind(l, l.NewBindings(), Request{})
		if len(after.Nodes) != 1000 || !report.Done() {
			b.Fatal(refusals(report)[:3])
		}
		if _, report = o.Bind(l, after, Request{}); !report.Done() {
			b.Fatal(report.Refused)
		}
	}
}
