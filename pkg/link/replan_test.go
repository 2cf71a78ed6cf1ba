// SPDX-License-Identifier: Apache-2.0

package link

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

func TestPlanCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Plan)
		want   string
	}{
		"as it was made":                   {func(*Plan) {}, ""},
		"another kind":                     {func(p *Plan) { p.Kind = UnlinkKind }, "not a LinkPlan of talosdisk.dev/v1alpha1"},
		"another version":                  {func(p *Plan) { p.APIVersion = "v1" }, "not a LinkPlan"},
		"no links":                         {func(p *Plan) { p.Links = nil }, "has no links"},
		"a pattern":                        {func(p *Plan) { p.Links[0].Disk = "vd*" }, "link 1 of the plan: disk \"vd*\" is not a name in /dev"},
		"a path":                           {func(p *Plan) { p.Links[0].Disk = "/dev/disk/by-id/x" }, "is not a name in /dev"},
		"no name":                          {func(p *Plan) { p.Links[0].Disk = "$(x)" }, "character"},
		"an entry":                         {func(p *Plan) { p.Links[0].Entry = "../x" }, "is not a plain file name"},
		"no node":                          {func(p *Plan) { p.Links[0].Node = "" }, "no node, class or fingerprint"},
		"no class":                         {func(p *Plan) { p.Links[0].Class = "" }, "no node, class or fingerprint"},
		"no fingerprint":                   {func(p *Plan) { p.Links[0].Fingerprint = "" }, "no node, class or fingerprint"},
		"unchanged needs none":             {func(p *Plan) { p.Links[0].Action, p.Links[0].Fingerprint = change.Keep, "" }, ""},
		"what is refused is not looked at": {func(p *Plan) { p.Links[0] = Link{Action: change.Refuse} }, ""},
	} {
		w := newWorld()
		p := w.plan(t)
		c.change(&p)
		err := p.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err2 := DecideAgain(&w.Snapshot, p); err != nil && err2 == nil {
			t.Errorf("%s: performed anyway", name)
		}
	}
}

func TestDecideAgain(t *testing.T) {
	bdisk := "/dev/disk/by-id/virtio-vdb"
	for name, c := range map[string]struct {
		// now changes the world after the plan was made, file what is written down.
		now    func(*world)
		file   func(*Plan)
		action change.Action
		want   string
	}{
		"nothing changed": {action: change.Create},
		"device-changed: content": {
			now:    func(w *world) { w.disk("vdb").Fingerprint = "g" },
			action: change.Refuse,
			want:   "device-changed: has changed since the plan was made",
		},
		"device-changed: unseen": {
			now:    func(w *world) { w.disk("vdb").Fingerprint = "" },
			action: change.Refuse,
			want:   "device-changed: has changed since the plan was made",
		},
		"device-changed: node": {
			now:    func(w *world) { w.Nodes[0].UID = "u2" },
			action: change.Refuse,
			want:   "device-changed: is on another node of that name",
		},
		"device-changed: no UID": {
			file:   func(p *Plan) { p.Links[0].NodeUID = "" },
			action: change.Refuse,
			want:   "device-changed: is on another node of that name",
		},
		"device-changed: target": {
			file:   func(p *Plan) { p.Links[0].Target = "/dev/disk/by-id/virtio-vdc" },
			action: change.Refuse,
			want:   "device-changed: is no longer where /dev/disk/by-id/virtio-vdc leads",
		},
		"device-changed: path": {
			now:    func(w *world) { w.view.Paths["/dev/disk/by-uuid/x"] = disk.Number{Major: 254, Minor: 32} },
			file:   func(p *Plan) { p.Links[0].Target = "/dev/disk/by-uuid/x" },
			action: change.Refuse,
			want:   "device-changed: is no longer where",
		},
		"device-changed: gone": {
			now:    func(w *world) { w.disk("vdb").ByPath = nil },
			file:   func(p *Plan) { p.Links[0].Target = "/dev/disk/by-path/pci-vdb" },
			action: change.Refuse,
			want:   "device-changed: is no longer where",
		},
		"its own choice, by path": {file: func(p *Plan) { p.Links[0].Target = "/dev/disk/by-path/pci-vdb" }, action: change.Create},
		"its own choice, by id":   {now: func(w *world) { w.disk("vdb").ByID = []string{"virtio-vdb", "ata-1"} }, action: change.Create},
		"its own choice, by name": {file: func(p *Plan) { p.Links[0].Target = "/dev/vdb" }, action: change.Create},
		"its own choice, known": {
			now:    func(w *world) { w.view.Paths["/dev/disk/by-uuid/x"] = disk.Number{Major: 254, Minor: 16} },
			file:   func(p *Plan) { p.Links[0].Target = "/dev/disk/by-uuid/x" },
			action: change.Create,
		},
		"linked meanwhile": {now: func(w *world) { w.lies("block", "vdb", bdisk, "254:16") }, action: change.Keep},
		"linked elsewhere": {
			now:    func(w *world) { w.lies("files", "x", bdisk, "254:16") },
			action: change.Refuse,
			want:   "already-linked: ",
		},
		"gone": {now: func(w *world) { w.view.Disks = w.view.Disks[:2] }, action: change.Refuse, want: "not-found: "},
		"was linked": {
			file:   func(p *Plan) { p.Links[0].Action = change.Keep },
			action: change.Refuse,
			want:   "device-changed: was linked when the plan was made, and is not now",
		},
		"was refused": {
			file:   func(p *Plan) { p.Links[0].object(disk.InUse, "", "was busy") },
			action: change.Refuse,
			want:   "in-use: was busy",
		},
		"was skipped": {file: func(p *Plan) { p.Links[0].Action = change.Skip }, action: change.Skip},
		"node not looked at": {
			now:    func(w *world) { w.Nodes[0].View = snapshot.Unread[snapshot.PodView](problem.FromText("x")) },
			action: change.Skip,
		},
		"node gone": {now: func(w *world) { w.Nodes = nil }, action: change.Skip},
		"accepted then": {
			now:    func(w *world) { w.disk("vdb").Removable = true },
			file:   func(p *Plan) { p.Links[0].Accepted = []disk.Objection{{Reason: disk.Removable}} },
			action: change.Create,
		},
		"not accepted then": {
			now:    func(w *world) { w.disk("vdb").Removable = true },
			file:   func(p *Plan) { p.Links[0].Accepted = []disk.Objection{{Reason: disk.Loop}} },
			action: change.Refuse,
			want:   "removable: ",
		},
		"accepted what cannot be": {
			now:    func(w *world) { w.disk("vdb").ReadOnly = true },
			file:   func(p *Plan) { p.Links[0].Accepted = []disk.Objection{{Reason: disk.ReadOnly}} },
			action: change.Refuse,
			want:   "read-only: ",
		},
	} {
		w := newWorld()
		p := w.plan(t)
		if c.file != nil {
			c.file(&p)
		}
		target := p.Links[0].Target
		if c.now != nil {
			c.now(w)
		}
		now, err := DecideAgain(&w.Snapshot, p)
		if err != nil || len(now.Links) != 1 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		l := now.Links[0]
		if l.Action != c.action || !strings.Contains(says(l.Objections), c.want) || (c.want == "") != (len(l.Objections) == 0) {
			t.Errorf("%s: %s, %s", name, l.Action, says(l.Objections))
		}
		if l.Action == change.Create && l.Target != target {
			t.Errorf("%s: target %q, and the plan had %q", name, l.Target, target)
		}
		if l.Action == change.Skip && name != "was skipped" && l.Detail == "" {
			t.Errorf("%s: no reason", name)
		}
	}
}

func TestDecideAgainAltogether(t *testing.T) {
	w := newWorld()
	w.req.Disks = []disk.Arg{{Name: "vdb"}, {Name: "vdc"}}
	p := w.plan(t)
	if got := p.Disks(); !slices.Equal(got, []string{"vdb", "vdc"}) {
		t.Errorf("disks %v", got)
	}
	if got := p.Nodes(); !slices.Equal(got, []string{"w-1"}) {
		t.Errorf("nodes %v", got)
	}
	// A file that was edited cannot make two links to one disk, nor two disks one link.
	p.Links[1] = p.Links[0]
	p.Links[1].Entry = "again"
	now, err := DecideAgain(&w.Snapshot, p)
	if err != nil || now.Links[0].Action != change.Create ||
		!strings.Contains(says(now.Links[1].Objections), "already-linked: is asked for twice, as vdb and as again") {
		t.Errorf("%v, %+v", err, now.Links)
	}
	p = w.plan(t)
	p.Links[1].Entry = "vdb"
	now, err = DecideAgain(&w.Snapshot, p)
	if err != nil || !strings.Contains(says(now.Links[1].Objections),
		"name-taken: cannot be linked as vdb: vdb is asked for under that name") {
		t.Errorf("%v, %+v", err, now.Links)
	}
	p = w.plan(t)
	p.Links[1].Action, p.Links[1].Disk = change.Refuse, "vdb"
	if got := p.Disks(); !slices.Equal(got, []string{"vdb"}) {
		t.Errorf("disks %v", got)
	}
	p.Provisioner = "other/lvp"
	if _, err := DecideAgain(&w.Snapshot, p); err == nil ||
		!strings.Contains(err.Error(), `the plan was made for provisioner "other/lvp", and this one is "storage/lvp"`) {
		t.Errorf("another provisioner: %v", err)
	}
	p = w.plan(t)
	w.Install.Classes[0].NamePattern = "r-*"
	if _, err := DecideAgain(&w.Snapshot, p); err == nil || failure.Hint(err) == "" {
		t.Errorf("a class that changed: %v", err)
	}
}
