// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// model gives a disk a model and a bus.
func model(d disk.Disk, name, transport string) disk.Disk {
	d.Model, d.Transport = name, transport
	return d
}

// rack is three nodes with the same disks, the last one with fewer.
func rack() world {
	w := newWorld("w-1", "w-2", "w-3", "c-1")
	for _, n := range []string{"w-1", "w-2", "w-3"} {
		w.has(n, model(ssd("sdb", 480103981056, "SSD-B-"+n), "SAMSUNG MZ7LH480", "sata"),
			model(ssd("sdc", 480103981056, "SSD-C-"+n), "INTEL SSDSC2KB48", "sata"),
			model(hdd("sdd", 4000787030016, "HDD-D-"+n), "ST4000NM", "sata"))
		if n != "w-3" {
			w.has(n, model(hdd("sde", 4000787030016, "HDD-E-"+n), "ST4000NM", "sata"))
		}
	}
	return w.has("w-2", signed(model(hdd("sdf", 1e12, "OLD"), "OLD DISK", "sata")))
}

func TestPropose(t *testing.T) {
	for name, c := range map[string]struct {
		world world
		p     Proposing
	}{
		"raw": {world: rack(), p: Proposing{Name: "disks"}},
		"some": {
			world: rack().linked("w-1", "sdb", "sdb").linked("w-2", "sdb", "sdb").linked("w-2", "block-1", "sdc"), p: Proposing{Name: "disks"},
		},
		"volumes": {
			world: six("w-1").reported("w-1", "u-ssd-1 vdb1", "u-ssd-2 vdc1", "u-other vdd1", "r-raw-1 vdf1"),
			p: Proposing{Name: "disks", Nodes: Nodes{
				Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"example.com/storage": "yes"}},
			}},
		},
		"talos alone": {world: six("w-1").alone("w-1", "u-other vdd1"), p: Proposing{Name: "disks", Nodes: Nodes{Names: []string{"w-*"}}}},
		"accepted": {
			world: newWorld("w-1").has("w-1", signed(ssd("vdb", 5e9, "A"))),
			p:     Proposing{Name: "disks", Accept: []link.Acceptance{{Reason: disk.HasSignature}}},
		},
		"hostile": {
			world: newWorld("w-1").has("w-1",
				model(ssd("sdb", 5e9, "S\n- name: x\u2028\u202e"), "M\n  classes: []\x1b[2Jé", "sata"),
				model(signed(ssd("sdc", 6e9, "\"'#{}[]")), "\x00", "s a t a\n"), model(ssd("sdd", 7e9, "é x: y #"), "", "X\n")),
			p: Proposing{Name: "disks"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := Observe(c.world.Snapshot)
			raw, err := o.Propose(c.p)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "propose-"+strings.ReplaceAll(name, " ", "-")+".yaml")
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(golden, raw, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || !bytes.Equal(raw, want) {
				t.Errorf("%v\n%s", err, raw)
			}
			readsAs(t, o, c.p, raw)
			inOrder(t, o, c.p, raw)
		})
	}
}

// readsAs holds that a proposal is read as what it was written from.
func readsAs(t *testing.T, o *Observed, p Proposing, raw []byte) {
	t.Helper()
	f, err := Decode("f", raw)
	if err != nil {
		t.Fatal(err)
	}
	d := o.draft(p)
	if _, err := d.file(); err != nil {
		t.Fatal(err)
	}
	d.layout.setDefaults()
	if !reflect.DeepEqual(f.Layout, d.layout) {
		t.Errorf("%+v\nis read as\n%+v", d.layout, f.Layout)
	}
	if !reflect.DeepEqual(f.Bindings, d.bindings) {
		t.Errorf("%+v\nare read as\n%+v", d.bindings, f.Bindings)
	}
}

// inOrder holds that a proposal binds nothing twice, changes nothing of what is there, and that its free disks can all be bound.
func inOrder(t *testing.T, o *Observed, p Proposing, raw []byte) {
	t.Helper()
	f, err := Decode("f", raw)
	if err != nil {
		t.Fatal(err)
	}
	after, report := o.Bind(f.Layout, f.Bindings, Request{Accept: p.Accept})
	if !report.Done() {
		t.Errorf("%q, %+v", refusals(report), report.Volumes)
	}
	for node, volumes := range f.Bindings.Nodes {
		for key, binding := range volumes {
			if after.Nodes[node][key] != binding {
				t.Errorf("%s/%s: %+v", node, key, after.Nodes[node][key])
			}
		}
	}
	if len(f.Bindings.Nodes) > 0 && !reflect.DeepEqual(after, f.Bindings) {
		t.Errorf("what is there was not all bound: %q", keys(after))
	}
}

func TestNothingToPropose(t *testing.T) {
	if raw, err := Observe(newWorld("w-1").Snapshot).Propose(Proposing{Name: "disks"}); err == nil || raw != nil {
		t.Errorf("%s, %v", raw, err)
	}
}

func TestClassesThatAreNotProposed(t *testing.T) {
	w := newWorld("w-1").has("w-1", ssd("vdb", 5e9, "A"), ssd("vdc", 5e9, "B")).linked("w-1", "x", "vdb").reported("w-1")
	w.Install.Classes[0].HostDir, w.Install.Mounts[1].HostPath = "/mnt/block", "/mnt/block"
	w.Others = []snapshot.Installation{{
		Install: provisioner.Install{Namespace: "other", Name: "lvp"}, Nodes: map[string]snapshot.Presence{"w-1": {View: w.Nodes[0].View}},
	}}
	raw, err := Observe(w.Snapshot).Propose(Proposing{Name: "disks"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`#   class block (Block, /mnt/block): "/mnt/block" is not a directory that links stay in, as /var/mnt/NAME`,
		"#   class fast (Filesystem, /var/mnt): it has no link to a whole disk and no volume of Talos on a disk",
		"#   the classes of provisioner other/lvp, which is another one than that of this file\n",
		"    - name: virtio-5gb\n",
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s\nhas no %s", raw, want)
		}
	}
}

// Whatever disks there are, the proposal is a file that is read as it was meant, and the same each time.
func TestAnyProposalIsAFile(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	proposed := 0
	for range 200 {
		var nodes []string
		for n := range 1 + random.IntN(4) {
			nodes = append(nodes, fmt.Sprintf("w-%d", n))
		}
		w := newWorld(nodes...)
		for _, n := range nodes {
			for i := range random.IntN(7) {
				name := fmt.Sprintf("sd%c", 'b'+i)
				d := hdd(name, []uint64{5e9, 480103981056, 480113590272, 4e12, 1, 1 << 40}[random.IntN(6)],
					pick("", "A", "A\n", n+name, n+name, n+name))
				d.Rotational = random.IntN(2) == 0
				if random.IntN(4) == 0 {
					d = signed(d)
				}
				w.has(n, model(d, pick("", "M", "x\ny", "# é"), pick("sata", "", "x\n")))
				if random.IntN(3) == 0 {
					w.linked(n, pick(name, "block-1", "block-2", "x"), name)
				}
			}
			if random.IntN(2) == 0 {
				w.reported(n)
			}
		}
		p := Proposing{Name: "disks"}
		o := Observe(w.Snapshot)
		raw, err := o.Propose(p)
		if err != nil {
			continue
		}
		proposed++
		again, err := Observe(w.Snapshot).Propose(p)
		if err != nil || !bytes.Equal(raw, again) {
			t.Fatalf("%v\n%s\n%s", err, raw, again)
		}
		readsAs(t, o, p, raw)
	}
	if proposed < 100 {
		t.Errorf("only %d of 200 had something to propose", proposed)
	}
}

func TestGroups(t *testing.T) {
	use := func(name string, size uint64, transport string, rotational bool) link.DiskUse {
		return link.DiskUse{Node: "w", Disk: disk.Disk{Name: name, Size: size, Rotational: rotational}, Transport: transport}
	}
	all := groups([]link.DiskUse{
		use("a", 480e9, "sata", false), use("b", 481e9, "sata", false), use("c", 600e9, "sata", false), use("d", 480e9, "sata", true),
		use("e", 480e9, "sas", false), use("f", 5e9, "virtio", true), use("g", 5e9, "virtio", false),
	})
	var got []string
	for _, g := range all {
		names := ""
		for _, u := range g {
			names += u.Name
		}
		got = append(got, names)
	}
	if want := []string{"e", "ab", "c", "d", "fg"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
