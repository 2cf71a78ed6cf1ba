// SPDX-License-Identifier: Apache-2.0

package link

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// second adds another installation with a Block class of its own, whose pod runs on the node.
func (w *world) second(change func(*snapshot.Installation, *snapshot.PodView)) {
	class := provisioner.Class{Name: "fast", HostDir: "/var/lib/disks/fast", MountDir: "/mnt/fast", Mode: provisioner.Block}
	view := snapshot.PodView{
		Disks: slices.Clone(w.view.Disks),
		Dirs:  map[string]snapshot.Dir{"fast": {Exists: true, MountPoint: true, Writable: true}},
	}
	o := snapshot.Installation{
		Install: provisioner.Install{Namespace: "tenant", Name: "lvp", ConfigMap: "c", Classes: []provisioner.Class{class}},
	}
	here := snapshot.Presence{Wanted: true, Pod: snapshot.Read(snapshot.Pod{Name: "lvp-x"}), View: snapshot.Read(view)}
	o.Nodes = map[string]snapshot.Presence{"w-1": here}
	if change != nil {
		change(&o, o.Nodes["w-1"].View.Value)
	}
	w.Others = append(w.Others, o)
}

// fastLink puts a link into the directory of the second installation.
func fastLink(entry provisioner.Entry) func(*snapshot.Installation, *snapshot.PodView) {
	return func(_ *snapshot.Installation, v *snapshot.PodView) {
		d := v.Dirs["fast"]
		d.Entries = append(d.Entries, entry)
		v.Dirs["fast"] = d
	}
}

// presence changes what the second installation has on the node.
func presence(change func(*snapshot.Presence)) func(*snapshot.Installation, *snapshot.PodView) {
	return func(o *snapshot.Installation, _ *snapshot.PodView) {
		p := o.Nodes["w-1"]
		change(&p)
		o.Nodes["w-1"] = p
	}
}

// installCase is what is different from another installation that has nothing to do with vdb.
type installCase struct {
	change func(*snapshot.Installation, *snapshot.PodView)
	want   string // The objections; none: it is linked.
}

func installCases() map[string]installCase {
	device := provisioner.Entry{Name: "vdb", Kind: provisioner.Link, Target: "/dev/disk/by-id/virtio-vdb", Device: "254:16"}
	return map[string]installCase{
		"another disk": {change: fastLink(provisioner.Entry{Name: "x", Kind: provisioner.Link, Device: "254:32"})},
		"this disk":    {change: fastLink(device), want: "already-linked: is linked already, as /var/lib/disks/fast/vdb"},
		"this disk, without /dev there": {
			change: fastLink(provisioner.Entry{Name: "x", Kind: provisioner.Link, Target: "/dev/disk/by-path/pci-vdb"}),
			want:   "already-linked: is linked already, as /var/lib/disks/fast/x",
		},
		"another disk, without /dev": {
			change: fastLink(provisioner.Entry{Name: "x", Kind: provisioner.Link, Target: "/dev/disk/by-path/pci-vdc"}),
		},
		"a directory that was not read": {
			change: func(_ *snapshot.Installation, v *snapshot.PodView) { v.Dirs["fast"] = snapshot.Dir{Exists: true} },
			want:   "class-directory: may be linked already: the directory of class fast of provisioner tenant/lvp could not be read (what the pod has there is not the node's)",
		},
		"classes that are not known": {
			change: func(o *snapshot.Installation, _ *snapshot.PodView) { o.Problem = problem.FromText("no such ConfigMap") },
			want:   "class-directory: may be linked already: the directories of provisioner tenant/lvp could not be read (no such ConfigMap)",
		},
		"a pod that does not run": {change: presence(func(p *snapshot.Presence) {
			p.Pod, p.View = snapshot.Unread[snapshot.Pod](problem.FromText("it waits")),
				snapshot.Unread[snapshot.PodView](problem.FromText("it waits"))
		}), want: "class-directory: may be linked already: the directories of provisioner tenant/lvp could not be read (it waits)"},
		"not meant for the node": {change: presence(func(p *snapshot.Presence) {
			*p = snapshot.Presence{
				Pod:  snapshot.Unread[snapshot.Pod](problem.FromText("a taint")),
				View: snapshot.Unread[snapshot.PodView](problem.FromText("a taint")),
			}
		})},
		"not looked at at all": {
			change: func(o *snapshot.Installation, _ *snapshot.PodView) { o.Nodes = nil },
			want:   "class-directory: may be linked already: the directories of provisioner tenant/lvp could not be read (it was not looked at)",
		},
		"a class with the same hostDir": {change: func(o *snapshot.Installation, v *snapshot.PodView) {
			o.Install.Classes[0].HostDir = "/var/lib/disks/block/"
		}, want: "other-class: would be published by class fast of provisioner tenant/lvp (Block) too, which has the same hostDir"},
		"the same hostDir, another name": {change: func(o *snapshot.Installation, v *snapshot.PodView) {
			o.Install.Classes[0].HostDir, o.Install.Classes[0].NamePattern = "/var/lib/disks/block", "nvme*"
		}},
		"a class of the same name": {change: func(o *snapshot.Installation, v *snapshot.PodView) {
			o.Install.Classes[0].Name = "block"
			v.Dirs = map[string]snapshot.Dir{"block": {Exists: true, MountPoint: true, Entries: []provisioner.Entry{device}}}
		}, want: "already-linked: is linked already, as /var/lib/disks/fast/vdb"},
	}
}

// TestLinkBesideAnotherInstallation: one installation's disk is not given to another, and where it could not be found out what
// it has, none is.
func TestLinkBesideAnotherInstallation(t *testing.T) {
	for name, c := range installCases() {
		w := newWorld()
		w.second(c.change)
		l := w.plan(t).Links[0]
		if got := says(l.Objections); got != c.want || (l.Action == change.Create) != (c.want == "") {
			t.Errorf("%s: %s\ngot  %s\nwant %s", name, l.Action, got, c.want)
		}
		for _, u := range Inventory(&w.Snapshot) {
			if got := says(u.Objections); u.Name == "vdb" && (got == "") != (c.want == "" || strings.HasPrefix(c.want, "other-class")) {
				t.Errorf("%s: disks says %q, link says %q", name, got, c.want)
			}
		}
	}
}

// TestDisksOfSeveralInstallations: a disk is shown as linked, with its volume.
func TestDisksOfSeveralInstallations(t *testing.T) {
	w := newWorld()
	w.lies("block", "vdc", "/dev/disk/by-id/virtio-vdc", "254:32")
	w.second(fastLink(provisioner.Entry{Name: "vdb", Kind: provisioner.Link, Target: "/dev/disk/by-id/virtio-vdb", Device: "254:16"}))
	w.volume("x", func(v *snapshot.Volume) { v.Name, v.Class, v.Path = "pv-fast", "fast", "/var/lib/disks/fast/vdb" })
	check := func(t *testing.T, s *snapshot.Snapshot) {
		t.Helper()
		for i, want := range []string{
			"vda [] [] [] system-disk,in-use,partitions",
			"vdb [/var/lib/disks/fast/vdb] [] [/var/lib/disks/fast/vdb  Available  ] already-linked",
			"vdc [/var/lib/disks/block/vdc] [] [] already-linked",
		} {
			all := Inventory(s)
			if len(all) != 3 {
				t.Fatalf("%d disks", len(all))
			}
			if got := useRow(all[i]); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	}
	check(t, &w.Snapshot)
	t.Run("whichever is the first", func(t *testing.T) {
		as := w.Installations()[1]
		if as.Install.Namespace != "tenant" || len(as.Others) != 1 || as.Others[0].Name() != "storage/lvp" {
			t.Fatalf("%+v", as)
		}
		// Only the first one's look was close.
		view := *w.view
		as.Nodes[0].View = snapshot.Read(snapshot.PodView{Disks: view.Disks, Beneath: view.Beneath, Dirs: as.Nodes[0].View.Value.Dirs})
		check(t, as)
	})
	t.Run("saved and loaded", func(t *testing.T) {
		text, err := json.Marshal(w.Snapshot)
		if err != nil {
			t.Fatal(err)
		}
		var s snapshot.Snapshot
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		check(t, &s)
	})
	t.Run("a node that only the second one sees", func(t *testing.T) {
		w.Others[0].Nodes["w-1"].View.Value.Beneath = w.view.Beneath
		w.Nodes[0].View = snapshot.Unread[snapshot.PodView](problem.FromText("a taint"))
		w.Nodes[0].Wanted = false
		all := Inventory(&w.Snapshot)
		if len(all) != 3 || !slices.Equal(all[1].SeenBy, []Observer{SeenByPod}) ||
			!slices.Equal(all[1].Links, []string{"/var/lib/disks/fast/vdb"}) || len(all[2].Objections) != 0 {
			t.Errorf("%+v", all)
		}
		if got := Select(&w.Snapshot, all, []disk.Arg{{Name: "vdb"}, {Name: "vdc"}}); len(got) != 2 {
			t.Errorf("selected %d", len(got))
		}
	})
}

// TestLinkBesideAVolumeThatLeadsNobodyKnowsWhere: it is warned of, and where an installation that nobody could look for may have
// made it, the disk is not linked.
func TestLinkBesideAVolumeThatLeadsNobodyKnowsWhere(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*snapshot.Volume)
		want   bool
	}{
		"elsewhere":           {func(*snapshot.Volume) {}, true},
		"of another node":     {func(v *snapshot.Volume) { v.Node = "w-2" }, false},
		"a file system":       {func(v *snapshot.Volume) { v.Mode = provisioner.Filesystem }, false},
		"made for another":    {func(v *snapshot.Volume) { v.Identity = &disk.ID{Serial: "other"} }, false},
		"in a class that was": {func(v *snapshot.Volume) { v.Path = "/var/lib/disks/block/gone" }, false},
	} {
		for _, unlisted := range []bool{false, true} {
			w := newWorld()
			if unlisted {
				w.Unread = map[string]problem.Problem{snapshot.PartOthers: problem.FromText("user may not list daemonsets")}
			}
			w.volume("x", func(v *snapshot.Volume) {
				v.Name, v.Class, v.Path, v.Phase = "pv-x", "old", "/srv/x", "Bound"
				c.change(v)
			})
			l := w.plan(t).Links[0]
			warned := slices.ContainsFunc(l.Warnings, func(text string) bool {
				return text == "whether it is the disk of volume pv-x (Bound) could not be found out: nobody knows where /srv/x leads"
			})
			refused := says(l.Objections) == "volume-exists: may be the disk of volume pv-x (Bound): where /srv/x leads could not be found out, nor whether another provisioner made it (user may not list daemonsets)"
			if warned != c.want || refused != (c.want && unlisted) || (l.Action == change.Create) == refused {
				t.Errorf("%s, unlisted %v: %s %q %q", name, unlisted, l.Action, says(l.Objections), l.Warnings)
			}
		}
	}
}
