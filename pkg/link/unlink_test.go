// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// unlinkCase is what is different from a world in which vdb is linked, and what comes of it.
type unlinkCase struct {
	change                     func(*world)
	action                     change.Action
	objections, hint, warnings string
}

func unlinkCases() map[string]unlinkCase {
	claim := &snapshot.ClaimRef{Namespace: "ns", Name: "c"}
	vol := func(change func(*snapshot.Volume)) func(*world) { return func(w *world) { w.volume("vdb", change) } }
	entry := func(e provisioner.Entry) func(*world) {
		return func(w *world) { w.dir("block", func(d *snapshot.Dir) { d.Entries = []provisioner.Entry{e} }) }
	}
	return map[string]unlinkCase{
		"a link": {change: func(*world) {}, action: change.Remove},
		"a dangling one": {
			change: entry(provisioner.Entry{Name: "vdb", Kind: provisioner.Link, Target: "/dev/gone"}),
			action: change.Remove,
		},
		"not-a-link": {
			change:     entry(provisioner.Entry{Name: "vdb", Kind: provisioner.Directory}),
			action:     change.Refuse,
			objections: "not-a-link: is a directory, not a link",
		},
		"not-a-disk-link": {
			change:     entry(provisioner.Entry{Name: "vdb", Kind: provisioner.Link, Target: "/var/x"}),
			action:     change.Refuse,
			objections: "not-a-disk-link: holds /var/x, which is not below /dev",
		},
		"not-a-disk-link, relative": {
			change:     entry(provisioner.Entry{Name: "vdb", Kind: provisioner.Link, Target: "../dev/vdb"}),
			action:     change.Refuse,
			objections: "not-a-disk-link: ",
		},
		"a free volume": {change: vol(nil), action: change.Remove},
		"a pending one": {change: vol(func(v *snapshot.Volume) { v.Phase = "Pending" }), action: change.Remove},
		"claimed: reserved": {
			change:     vol(func(v *snapshot.Volume) { v.Claim = claim }),
			action:     change.Refuse,
			objections: "claimed: is reserved: volume local-pv-",
		},
		"claimed: bound": {
			change:     vol(func(v *snapshot.Volume) { v.Phase, v.Claim = "Bound", claim }),
			action:     change.Refuse,
			objections: "is bound to claim ns/c (which pods use it is unknown: it was not looked at)",
			hint:       "kubectl -n ns delete pvc c",
		},
		"claimed: bound, users unknown": {change: func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Phase, v.Claim = "Bound", claim })
			w.Users.Problem = problem.FromText("forbidden")
		}, action: change.Refuse, objections: "(which pods use it is unknown: forbidden)"},
		"claimed: bound, with users": {change: func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Phase, v.Claim = "Bound", claim })
			w.Users = snapshot.Read(map[snapshot.ClaimRef][]string{*claim: {"p", "q"}})
		}, action: change.Refuse, objections: "is bound to claim ns/c, used by pod ns/p, pod ns/q"},
		"claimed: bound, without users": {change: func(w *world) {
			w.volume("vdb", func(v *snapshot.Volume) { v.Phase, v.Claim = "Bound", claim })
			w.Users = snapshot.Read(map[snapshot.ClaimRef][]string{})
		}, action: change.Refuse, objections: "is bound to claim ns/c"},
		"claimed: bound, to whom": {
			change:     vol(func(v *snapshot.Volume) { v.Phase = "Bound" }),
			action:     change.Refuse,
			objections: "claimed: is in use: volume",
		},
		"claimed: by path": {
			change:     vol(func(v *snapshot.Volume) { v.Name, v.Phase = "by-hand", "Bound" }),
			action:     change.Refuse,
			objections: "claimed: is in use: volume by-hand is bound",
			warnings:   "volume by-hand is not the provisioner's",
		},
		"claimed: by path, node unknown": {
			change:     vol(func(v *snapshot.Volume) { v.Name, v.Phase, v.Node = "by-hand", "Bound", "" }),
			action:     change.Refuse,
			objections: "claimed: is in use: volume by-hand",
			warnings:   "by-hand",
		},
		"by path, free": {
			change:   vol(func(v *snapshot.Volume) { v.Name = "by-hand" }),
			action:   change.Remove,
			warnings: "volume by-hand is not the provisioner's, and stays without its link",
		},
		"by path, another node": {
			change: vol(func(v *snapshot.Volume) { v.Name, v.Node, v.Phase = "by-hand", "w-2", "Bound" }),
			action: change.Remove,
		},
		"cleaning": {
			change:     vol(func(v *snapshot.Volume) { v.Phase, v.Claim = "Released", claim }),
			action:     change.Refuse,
			objections: "cleaning: is being cleaned: volume",
			hint:       "-w",
		},
		"cleaning failed": {
			change:     vol(func(v *snapshot.Volume) { v.Phase = "Failed" }),
			action:     change.Refuse,
			objections: "cleaning: is being cleaned",
		},
		"released": {
			change:     vol(func(v *snapshot.Volume) { v.Phase, v.Claim, v.ReclaimPolicy = "Released", claim, "Retain" }),
			action:     change.Refuse,
			objections: "released: still holds the data of claim ns/c",
			hint:       "wipe the disk, then: kubectl delete pv local-pv-",
		},
		"unknown": {
			change:     vol(func(v *snapshot.Volume) { v.Phase = "" }),
			action:     change.Refuse,
			objections: `unknown: may be in use: volume`,
			hint:       "kubectl get pv",
		},
		"unknown phase": {change: vol(func(v *snapshot.Volume) { v.Phase = "Moving" }), action: change.Refuse, objections: `has phase "Moving"`},
	}
}

func TestDecideUnlink(t *testing.T) {
	for name, c := range unlinkCases() {
		w := newWorld()
		w.lies("block", "vdb", "/dev/disk/by-id/virtio-vdb", "254:16")
		c.change(w)
		p, err := DecideUnlink(&w.Snapshot, UnlinkRequest{Names: []string{"vdb"}})
		if err != nil || len(p.Links) != 1 || p.Kind != UnlinkKind {
			t.Errorf("%s: %v, %+v", name, err, p)
			continue
		}
		l := p.Links[0]
		if l.Action != c.action || (c.objections == "") != (len(l.Objections) == 0) || !strings.Contains(says(l.Objections), c.objections) {
			t.Errorf("%s: %s, %s", name, l.Action, says(l.Objections))
		}
		if c.hint != "" && !strings.Contains(l.Objections[0].Hint, c.hint) {
			t.Errorf("%s: hint %q", name, l.Objections[0].Hint)
		}
		if w := strings.Join(l.Warnings, "; "); !strings.Contains(w, c.warnings) || (c.warnings == "") != (w == "") {
			t.Errorf("%s: warnings %q", name, w)
		}
	}
}

func TestDecideUnlinkChooses(t *testing.T) {
	second := provisioner.Class{Name: "nvme", HostDir: "/var/lib/disks/nvme", MountDir: "/mnt/nvme", Mode: provisioner.Block}
	for name, c := range map[string]struct {
		change func(*world)
		req    UnlinkRequest
		want   string // rows, or an error
	}{
		"one":          {req: UnlinkRequest{Names: []string{"vdb"}}, want: "w-1 block vdb remove"},
		"a pattern":    {req: UnlinkRequest{Names: []string{"vd*"}}, want: "w-1 block vdb remove; w-1 nvme vdc remove"},
		"in one class": {req: UnlinkRequest{Names: []string{"*"}, Class: "nvme"}, want: "w-1 nvme vdc remove"},
		"twice": {
			req:  UnlinkRequest{Names: []string{"vdb", "vd[b]"}},
			want: "error: no node has a link \"vd[b]\" in the directory of class block or nvme",
		},
		"none": {
			req:  UnlinkRequest{Names: []string{"vdb", "vdx"}},
			want: "error: no node has a link \"vdx\" in the directory of class block or nvme",
		},
		"two of three": {
			req:  UnlinkRequest{Names: []string{"vdx", "vdb", "vdy"}},
			want: "error: no node has a link \"vdx\" or \"vdy\" in the directory of class block or nvme",
		},
		"a name like a pattern": {
			change: func(w *world) { w.lies("block", "[x", "/dev/x", "") },
			req:    UnlinkRequest{Names: []string{"[x"}},
			want:   "w-1 block [x remove",
		},
		"a Filesystem class": {
			req:  UnlinkRequest{Names: []string{"vdb"}, Class: "files"},
			want: "error: class \"files\" has volumeMode Filesystem: the kubelet would make a filesystem on a disk linked there",
		},
		"no Block class": {
			change: func(w *world) { w.Install.Classes = w.Install.Classes[1:2] },
			req:    UnlinkRequest{Names: []string{"vdb"}},
			want:   "error: provisioner \"storage/lvp\" has no class with volumeMode Block (classes: files)",
		},
		"no node was looked at": {
			change: func(w *world) { w.Nodes[0].View = snapshot.Unread[snapshot.PodView](problem.FromText("x")) },
			req:    UnlinkRequest{Names: []string{"vdb"}},
			want:   "w-1 block  skip",
		},
		"one directory unread": {
			change: func(w *world) { w.dir("nvme", func(d *snapshot.Dir) { d.Problem = "EIO" }) },
			req:    UnlinkRequest{Names: []string{"vdc"}},
			want:   "w-1 nvme  skip",
		},
		"one directory missing": {
			change: func(w *world) { delete(w.view.Dirs, "nvme") },
			req:    UnlinkRequest{Names: []string{"vdb"}},
			want:   "w-1 block vdb remove; w-1 nvme  skip",
		},
		"a directory of the pod": {
			change: func(w *world) { w.dir("nvme", func(d *snapshot.Dir) { d.MountPoint = false }) },
			req:    UnlinkRequest{Names: []string{"vdc"}, Class: "nvme"},
			want:   "w-1 nvme  skip",
		},
	} {
		w := newWorld()
		w.Install.Classes = append(w.Install.Classes, second)
		w.view.Dirs["nvme"] = snapshot.Dir{Exists: true, MountPoint: true}
		w.lies("block", "vdb", "/dev/vdb", "254:16")
		w.lies("nvme", "vdc", "/dev/vdc", "254:32")
		w.lies("files", "vdd", "/dev/vdd", "254:48")
		if c.change != nil {
			c.change(w)
		}
		p, err := DecideUnlink(&w.Snapshot, c.req)
		var rows []string
		for _, l := range p.Links {
			rows = append(rows, fmt.Sprintf("%s %s %s %s", l.Node, l.Class, l.Entry, l.Action))
			if l.Action == change.Skip && l.Detail == "" {
				t.Errorf("%s: skipped without a reason", name)
			}
		}
		got := strings.Join(rows, "; ")
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
	w := newWorld()
	w.lies("block", "vdb", "/dev/vdb", "254:16")
	p, _ := DecideUnlink(&w.Snapshot, UnlinkRequest{Names: []string{"vdb"}})
	if l := p.Links[0]; l.Disk != "vdb" || l.Identity.Serial != "serial-vdb" || l.Target != "/dev/vdb" || l.Size != 60<<30 {
		t.Errorf("%+v", l)
	}
}
