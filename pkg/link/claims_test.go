// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// What claims a disk from outside its class directory is an objection to link,
// and told by disks.
func TestClaims(t *testing.T) {
	foreign := func(change func(*snapshot.Volume)) func(*world) {
		return func(w *world) {
			w.volume("other", func(v *snapshot.Volume) {
				v.Name, v.Path, v.Phase = "by-hand", "/somewhere/else", "Bound"
				change(v)
			})
		}
	}
	leads := func(path, number string, change func(*world)) func(*world) {
		return func(w *world) {
			n, err := disk.ParseNumber(number)
			if err != nil {
				t.Fatal(err)
			}
			change(w)
			if asked := nodescript.VolumePaths(&w.Snapshot)["w-1"]; !slices.Equal(asked, []string{path}) {
				t.Errorf("asked for %q, want %q", asked, path)
			}
			w.view.VolumePaths = map[string]disk.Number{path: n}
		}
	}
	for name, c := range map[string]struct {
		change func(*world)
		want   string // empty: nothing
	}{
		"nothing":            {change: func(*world) {}},
		"a volume elsewhere": {change: foreign(func(*snapshot.Volume) {})},
		"another installation's, named like it": {
			change: foreign(func(v *snapshot.Volume) { v.Path, v.Capacity = "/var/lib/other/virtio-vdb", 1 }),
			want:   "not-checked: may be what volume by-hand (Bound) lies on",
		},
		"named like it, of another node": {change: foreign(func(v *snapshot.Volume) { v.Path, v.Node = "/var/lib/other/vdb", "w-2" })},
		"named like it, made for another disk": {
			change: foreign(func(v *snapshot.Volume) { v.Path, v.Identity = "/var/lib/other/vdb", &disk.ID{Serial: "x"} }),
		},
		"named like it, a directory": {
			change: foreign(func(v *snapshot.Volume) { v.Path, v.Mode = "/var/lib/other/vdb", provisioner.Filesystem }),
		},
		"by another name of the device": {
			change: leads("/dev/disk/by-diskseq/7", "254:16", foreign(func(v *snapshot.Volume) { v.Path = "/dev/disk/by-diskseq/7" })),
			want:   "volume-exists: is what volume by-hand (Bound) has as its path, /dev/disk/by-diskseq/7",
		},
		"by a path that is not clean": {
			change: leads("/dev/vdb", "254:16", foreign(func(v *snapshot.Volume) { v.Path = "/dev/./vdb" })),
			want:   "volume-exists: is what volume by-hand",
		},
		"by a mapping of the device": {change: leads("/dev/mapper/x", "253:0", func(w *world) {
			foreign(func(v *snapshot.Volume) { v.Path = "/dev/mapper/x" })(w)
			w.view.Disks = append(w.view.Disks, disk.Disk{
				Name:   "dm-0",
				Kernel: "dm-0",
				Number: disk.Number{Major: 253},
				Kind:   disk.KindMapper,
				Slaves: []string{"vdb"},
			})
		}), want: "volume-exists: is what volume by-hand"},
		"by a partition of it": {change: leads("/dev/disk/by-partlabel/r-x", "254:17", func(w *world) {
			foreign(func(v *snapshot.Volume) { v.Path = "/dev/disk/by-partlabel/r-x" })(w)
			w.view.Disks = append(w.view.Disks, disk.Disk{
				Name:   "vdb1",
				Kernel: "vdb1",
				Number: disk.Number{Major: 254, Minor: 17},
				Kind:   disk.KindPartition,
				Parent: "vdb",
			})
		}), want: "volume-exists: is what volume by-hand"},
		"by another mount of the pod": {
			change: leads("/mnt/block/deeper/vdb", "254:16", foreign(func(v *snapshot.Volume) { v.Path = "/var/lib/disks/block/deeper/vdb" })),
			want:   "volume-exists: is what volume by-hand",
		},
		"by a name that leads elsewhere": {
			change: leads("/dev/disk/by-diskseq/7", "254:32", foreign(func(v *snapshot.Volume) { v.Path = "/dev/disk/by-diskseq/7" })),
		},
		"by a name that leads nowhere": {
			change: leads("/dev/disk/by-diskseq/7", "0:0", foreign(func(v *snapshot.Volume) { v.Path = "/dev/disk/by-diskseq/7" })),
		},
		"by a name that was not looked at": {change: func(w *world) {
			foreign(func(v *snapshot.Volume) { v.Path = "/dev/disk/by-diskseq/7" })(w)
			w.view.VolumePaths = map[string]disk.Number{"/dev/x": {}}
		}, want: "not-checked: may be what volume by-hand"},
		"a volume on the device": {
			change: foreign(func(v *snapshot.Volume) { v.Path = "/dev/vdb" }),
			want:   "volume-exists: is what volume by-hand (Bound) has as its path",
		},
		"a volume on a name of it": {
			change: foreign(func(v *snapshot.Volume) { v.Path = "/dev/disk/by-id/virtio-vdb" }),
			want:   "volume-exists: is what volume by-hand",
		},
		"on a slot of any node": {
			change: foreign(func(v *snapshot.Volume) { v.Path, v.Node = "/dev/disk/by-path/pci-vdb", "" }),
			want:   "volume-exists: is what volume by-hand",
		},
		"the same path of another node": {change: foreign(func(v *snapshot.Volume) { v.Path, v.Node = "/dev/vdb", "w-2" })},
		"made for the disk": {
			change: foreign(func(v *snapshot.Volume) { v.Identity = &disk.ID{Serial: "serial-vdb"} }),
			want:   "volume-exists: is the disk that volume by-hand",
		},
		"that serial, on another node": {
			change: foreign(func(v *snapshot.Volume) { v.Node, v.Identity = "w-2", &disk.ID{Serial: "serial-vdb"} }),
		},
		"that LUN, on another node": {change: func(w *world) {
			w.disk("vdb").WWID = "naa.5000"
			foreign(func(v *snapshot.Volume) { v.Node, v.Identity = "w-2", &disk.ID{WWID: "naa.5000"} })(w)
		}, want: `volume-exists: is the disk that volume by-hand (Bound) of node "w-2" was made for`},
		"a WWID that machines repeat": {change: func(w *world) {
			w.disk("vdb").WWID = "t10.ATA QEMU"
			foreign(func(v *snapshot.Volume) { v.Node, v.Identity = "w-2", &disk.ID{WWID: "t10.ATA QEMU"} })(w)
		}},
		"another class not in the pod": {
			change: func(w *world) { delete(w.view.Dirs, "files") },
			want:   "class-directory: may be linked already: the directory of class files could not be read (it does not exist in the pod)",
		},
		"another class not of the node": {
			change: func(w *world) { w.dir("files", func(d *snapshot.Dir) { d.MountPoint = false }) },
			want:   "class-directory: may be linked already",
		},
		"another class that is unreadable": {
			change: func(w *world) { w.dir("files", func(d *snapshot.Dir) { d.Problem = "EIO" }) },
			want:   "class-directory: may be linked already",
		},
	} {
		w := newWorld()
		c.change(w)
		got := says(w.plan(t).Links[0].Objections)
		if (c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: link says %q, want %q", name, got, c.want)
		}
		for _, u := range Inventory(&w.Snapshot) {
			if u.Name == "vdb" && !strings.Contains(says(u.Objections), c.want) {
				t.Errorf("%s: disks says %q, want %q", name, says(u.Objections), c.want)
			}
		}
	}
}

func TestALUNIsLinkedOnOneNode(t *testing.T) {
	for wwid, refused := range map[string]bool{"naa.5000": true, "eui.01": true, "uuid.01": true, "t10.ATA": false, "": false} {
		w := newWorld()
		w.disk("vdb").WWID = wwid
		second := w.Nodes[0]
		second.Name, second.UID = "w-2", "u2"
		w.Nodes = append(w.Nodes, second)
		p := w.plan(t)
		if p.Links[0].Action != change.Create || p.Links[1].Refused() != refused {
			t.Errorf("%q: %s, %s (%s)", wwid, p.Links[0].Action, p.Links[1].Action, says(p.Links[1].Objections))
		}
	}
}

// Which disk a claimed volume was made for is not guessed from the disk of today.
func TestAClaimedVolumeIsNotGivenAnIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		result change.Result
		change func(*snapshot.Volume)
		want   bool
	}{
		"a link just made":       {change.Created, nil, true},
		"an old link, unclaimed": {change.Unchanged, nil, true},
		"an old link, bound":     {change.Unchanged, func(v *snapshot.Volume) { v.Phase, v.Claim = "Bound", &snapshot.ClaimRef{} }, false},
		"an old link, reserved":  {change.Unchanged, func(v *snapshot.Volume) { v.Claim = &snapshot.ClaimRef{} }, false},
		"an old link, released":  {change.Unchanged, func(v *snapshot.Volume) { v.Phase = "Released" }, false},
	} {
		l := made("vdb", 16)
		l.Result = c.result
		p := &Plan{Links: []Link{l}}
		cl := &cluster{feed: []snapshot.Volume{*volumeOfLink(l, c.change)}}
		Await(t.Context(), p, cl, func() {})
		if _, recorded := cl.recorded[l.Volume]; recorded != c.want || c.want == (len(p.Links[0].Warnings) > 0) {
			t.Errorf("%s: recorded %v, warnings %q", name, recorded, p.Links[0].Warnings)
		}
	}
}

// A step that the node was never told is not done, whatever became of the others.
func TestStepsThatWereNotBegunAreNotDone(t *testing.T) {
	p := &Plan{Links: []Link{made("vdb", 16), made("vdc", 32), made("vdd", 48)}}
	for i := range p.Links {
		p.Links[i].Action = change.Create
	}
	r := &runner{t: t, calls: []func(context.Context, []nodescript.Job) []nodescript.Answer{
		answers(nodescript.Answer{Out: step("vdb", "created", "") + nodescript.End, Err: context.Canceled, Begun: 2}),
		answers(sees("no", "vdc /dev/disk/by-id/vdc 254:32")),
	}}
	Apply(t.Context(), p, classes, r)
	got := []change.Result{p.Links[0].Result, p.Links[1].Result, p.Links[2].Result}
	if got[0] != change.Created || got[1] != change.Created || got[2] != change.NotDone {
		t.Errorf("%q", got)
	}
}

func TestAPlanWithAnUnknownActionIsNone(t *testing.T) {
	w := newWorld()
	p := w.plan(t)
	p.Links[0].Action = "creat"
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), `has the action "creat"`) {
		t.Errorf("Check = %v", err)
	}
	p = w.plan(t)
	p.Links[0].Action, p.Links[0].Result, p.Links[0].VolumeState = change.Refuse, change.Created, "Bound"
	now, err := DecideAgain(&w.Snapshot, p)
	if err != nil || now.Links[0].Result != "" || now.Links[0].VolumeState != "" {
		t.Errorf("what the file says happened is taken over: %+v, %v", now.Links, err)
	}
}
