// SPDX-License-Identifier: Apache-2.0

package link

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// A LUN that another node has counts although only one node was chosen; nothing is planned there.
func TestNodesThatWereNotChosen(t *testing.T) {
	for name, c := range map[string]struct {
		change func(second *world)
		want   string
	}{
		"linked there": {
			change: func(w *world) { w.lies("files", "x", "/dev/vdb", "254:16") },
			want:   "refuse already-linked: is the same disk as vdb of node w-2 (wwid naa.5000c500a1b2c3d4), which is linked there, as /var/lib/disks/files/x",
		},
		"in use there": {
			change: func(w *world) { w.disk("vdb").Content.Busy = disk.Yes },
			want:   "refuse already-linked: is the same disk as vdb of node w-2 (wwid naa.5000c500a1b2c3d4), which is in use",
		},
		"not read there": {
			change: func(w *world) { w.disk("vdb").Content = nil },
			want:   "refuse not-checked: is the same disk as vdb of node w-2 (wwid naa.5000c500a1b2c3d4), and whether it is in use there could not be found out: it was not read",
		},
		"nothing is known of it": {
			change: func(*world) {},
			want:   "create is the same disk as vdb of node w-2 (wwid naa.5000c500a1b2c3d4): link it on one node only",
		},
		"another disk there": {change: func(w *world) { w.disk("vdb").Serial = "other" }, want: "create "},
	} {
		w := newWorld()
		second := lun(w, "naa.5000c500a1b2c3d4")
		c.change(second)
		w.Nodes, w.Beside = w.Nodes[:1], w.Nodes[1:]
		p, err := Decide(&w.Snapshot, Request{Disks: args(t, "vdb")})
		if err != nil || len(p.Links) != 1 {
			t.Fatalf("%s: %d links, %v", name, len(p.Links), err)
		}
		l := p.Links[0]
		if got := string(l.Action) + " " + says(l.Objections) + strings.Join(l.Warnings, "; "); !strings.HasPrefix(got, c.want) ||
			c.want == "create " && got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if got, read := UnreadElsewhere(&w.Snapshot, p),
			second.disk("vdb").Content != nil; read != (len(got) == 0) || !read && !slices.Equal(got["w-2"], []string{"vdb"}) {
			t.Errorf("%s: not read: %v", name, got)
		}
		if disks := NewDevices(&w.Snapshot).Inventory(); slices.ContainsFunc(disks, func(u DiskUse) bool { return u.Node != "w-1" }) {
			t.Errorf("%s: disks of a node that was not chosen", name)
		}
		l.Node = "w-2"
		l.Action, l.Fingerprint = change.Create, "f"
		p.Links = []Link{l}
		again, err := DecideAgain(&w.Snapshot, p)
		if err != nil || again.Links[0].Action != change.Skip {
			t.Errorf("%s: a plan for a node that was not chosen: %+v, %v", name, again.Links, err)
		}
	}
}

func TestShareable(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*disk.Disk)
		want   bool
	}{
		"a LUN":                     {func(*disk.Disk) {}, true},
		"a serial number":           {func(d *disk.Disk) { d.WWID, d.ByID = "", nil }, true},
		"no identity":               {func(d *disk.Disk) { d.WWID, d.ByID, d.Serial = "", nil, "" }, false},
		"SATA":                      {func(d *disk.Disk) { d.Transport = "sata" }, false},
		"NVMe in the machine":       {func(d *disk.Disk) { d.Kernel = "nvme0n1" }, false},
		"NVMe over a network":       {func(d *disk.Disk) { d.Kernel, d.Transport = "nvme0n1", "nvme-tcp" }, false}, // It is refused.
		"a disk that is to be left": {func(d *disk.Disk) { d.ReadOnly = true }, false},
		"SAS":                       {func(d *disk.Disk) { d.Kernel = "sdb" }, true},
	} {
		w := newWorld()
		lun(w, "naa.5000c500a1b2c3d4")
		w.Nodes = w.Nodes[:1]
		c.change(w.disk("vdb"))
		p, err := Decide(&w.Snapshot, Request{Disks: args(t, "vdb")})
		if err != nil {
			t.Fatal(err)
		}
		if got := Shareable(&w.Snapshot, p); got != c.want {
			t.Errorf("%s: %t, want %t (%s)", name, got, c.want, says(p.Links[0].Objections))
		}
	}
}

func TestNodesThatCouldNotBeCompared(t *testing.T) {
	w := newWorld()
	lun(w, "naa.5000c500a1b2c3d4")
	w.Nodes, w.Beside = w.Nodes[:1], w.Nodes[1:]
	w.Beside[0].Wanted = true
	dead := w.Beside[0]
	dead.Name, dead.View = "w-3", snapshot.Unread[snapshot.PodView](problem.FromText("no answer within 30s"))
	outside := dead
	outside.Name, outside.Wanted = "cp-1", false
	w.Beside = append(w.Beside, dead, outside)
	got := Unseen(&w.Snapshot)
	if len(got) != 1 || !slices.Equal(got[0].Nodes, []string{"w-3"}) || got[0].Why != "no answer within 30s" {
		t.Errorf("%+v", got)
	}
}

// A disk that a chosen node has under a name that was not asked for is refused until it is read; until then, too, the nodes that
// were not chosen may have it.
func TestADiskThatIsNotCheckedYetMayBeShared(t *testing.T) {
	w := newWorld()
	second := lun(w, "naa.5000c500a1b2c3d4")
	second.disk("vdb").Name = "vdz"
	second.disk("vdz").Content = nil
	p, err := Decide(&w.Snapshot, Request{Disks: args(t, "vdb")})
	if err != nil {
		t.Fatal(err)
	}
	if got := says(p.Links[0].Objections); !strings.HasPrefix(got, "not-checked: is the same disk as vdz") {
		t.Fatalf("%q", got)
	}
	if got := UnreadElsewhere(&w.Snapshot, p); !Shareable(&w.Snapshot, p) || !slices.Equal(got["w-2"], []string{"vdz"}) {
		t.Errorf("shareable: %t, not read: %v", Shareable(&w.Snapshot, p), got)
	}
	w.disk("vdb").ReadOnly = true
	if p, err = Decide(&w.Snapshot, Request{Disks: args(t, "vdb")}); err != nil || Shareable(&w.Snapshot, p) ||
		len(UnreadElsewhere(&w.Snapshot, p)) > 0 {
		t.Errorf("a disk that stays refused: %v", err)
	}
}
