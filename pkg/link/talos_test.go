// SPDX-License-Identifier: Apache-2.0

package link

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// recorded is an excerpt of what a node of Talos v1.14 reported: partitions, whole disks, a directory and an
// existing file system as user volumes, raw volumes, and two volumes for which there is no disk.
func recorded(t *testing.T) snapshot.Talos {
	t.Helper()
	text, err := os.ReadFile("testdata/talos-volumes.json")
	if err != nil {
		t.Fatal(err)
	}
	var reported snapshot.Talos
	if err := json.Unmarshal(text, &reported); err != nil {
		t.Fatal(err)
	}
	return reported
}

// reported makes the world's node one whose Talos sees the same three disks, lives on vda, and uses no other.
func reported(w *world) *snapshot.Talos {
	same := func(name string) snapshot.TalosDisk {
		d := w.disk(name)
		return snapshot.TalosDisk{Name: name, Size: d.Size, Serial: d.Serial, WWID: d.WWID, Symlinks: d.Names()[1:]}
	}
	t := &snapshot.Talos{
		Disks:  snapshot.Read([]snapshot.TalosDisk{same("vda"), same("vdb"), same("vdc")}),
		System: snapshot.Read("vda"),
		Devices: snapshot.Read([]snapshot.TalosDevice{{Name: "vda", Content: "gpt"},
			{Name: "vda1", Parent: "vda", Content: "xfs", PartitionLabel: "EPHEMERAL"}}),
		Volumes: snapshot.Read([]snapshot.TalosVolume{{
			ID:             "EPHEMERAL",
			Phase:          "ready",
			Location:       "/dev/vda1",
			MountLocation:  "/dev/vda1",
			ParentLocation: "/dev/vda",
		}}),
		Mounts: snapshot.Read([]snapshot.TalosMount{{Source: "/dev/vda1", Target: "/var", Volume: "EPHEMERAL"}}),
	}
	w.Nodes[0].Talos = snapshot.Section[snapshot.Talos]{Value: t}
	return t
}

// talosCase is what is different from a node whose Talos uses no disk but vda.
type talosCase struct {
	change func(*world, *snapshot.Talos)
	want   string // parts of the objections, "; " between; empty: it is linked
}

func talosCases() map[string]talosCase {
	volume := func(v snapshot.TalosVolume) func(*world, *snapshot.Talos) {
		return func(_ *world, reported *snapshot.Talos) { *reported.Volumes.Value = append(*reported.Volumes.Value, v) }
	}
	unresolved := func(w *world, _ *snapshot.Talos) {
		w.view.Beneath, w.view.BeneathProblem = nil, "the directory of class \"block\" lies on no block device that is known (0:51)"
	}
	identical := func(w *world, reported *snapshot.Talos, names ...string) {
		for _, name := range names {
			d := w.disk(name)
			d.Serial, d.ByID = "", nil
			i := slices.IndexFunc(*reported.Disks.Value, func(t snapshot.TalosDisk) bool { return t.Name == name })
			(*reported.Disks.Value)[i].Serial, (*reported.Disks.Value)[i].Symlinks = "", nil
		}
	}
	return map[string]talosCase{
		"nothing speaks against it": {change: func(*world, *snapshot.Talos) {}},
		"system-disk": {
			change: func(_ *world, reported *snapshot.Talos) { reported.System = snapshot.Read("vdb") },
			want:   "system-disk: is a disk that the node itself lives on: it is Talos's system disk",
		},
		"system-disk by its parts": {change: func(_ *world, reported *snapshot.Talos) {
			reported.System = snapshot.Read("md0")
			*reported.Disks.Value = append(*reported.Disks.Value, snapshot.TalosDisk{Name: "md0", Secondaries: []string{"vdb", "vdc"}})
		}, want: "system-disk: is a disk that the node itself lives on: it is Talos's system disk"},
		"system-disk by a volume": {
			change: volume(snapshot.TalosVolume{ID: "IMAGECACHE", Phase: "ready", Location: "/dev/vdb1", ParentLocation: "/dev/vdb"}),
			want:   "system-disk: is a disk that the node itself lives on: it holds Talos's volume IMAGECACHE",
		},
		"in-use by a volume": {change: func(w *world, reported *snapshot.Talos) {
			volume(snapshot.TalosVolume{
				ID:             "u-data",
				Type:           "partition",
				Phase:          "ready",
				Location:       "/dev/vdb1",
				MountLocation:  "/dev/vdb1",
				ParentLocation: "/dev/vdb",
			})(w, reported)
			*reported.Mounts.Value = append(*reported.Mounts.Value,
				snapshot.TalosMount{Source: "/dev/vdb1", Target: "/var/mnt/data", Volume: "u-data"})
		}, want: "in-use: belongs to Talos volume u-data (vdb1, ready, /var/mnt/data)"},
		"in-use by two volumes": {change: func(w *world, reported *snapshot.Talos) {
			volume(snapshot.TalosVolume{ID: "r-a", Phase: "ready", Location: "/dev/vdb1", ParentLocation: "/dev/vdb"})(w, reported)
			volume(snapshot.TalosVolume{ID: "s-b", Phase: "provisioned", Location: "/dev/vdb2", ParentLocation: "/dev/vdb"})(w, reported)
		}, want: "in-use: belongs to Talos volume r-a (vdb1, ready), s-b (vdb2, provisioned)"},
		"in-use by a volume on all of it": {
			change: volume(snapshot.TalosVolume{ID: "u-all", Type: "disk", Phase: "ready", Location: "/dev/vdb"}),
			want:   "in-use: belongs to Talos volume u-all (vdb, ready)",
		},
		"in-use by a volume that is closed": {
			change: volume(snapshot.TalosVolume{ID: "u-x", Phase: "closed", Location: "/dev/vdb1", ParentLocation: "/dev/vdb"}),
			want:   "in-use: belongs to Talos volume u-x (vdb1, closed)",
		},
		"in-use by a partition that is not listed": {
			change: volume(snapshot.TalosVolume{ID: "u-x", Phase: "ready", Location: "/dev/vdb1"}),
			want:   "in-use: belongs to Talos volume u-x (vdb1, ready)",
		},
		"in-use by a listed partition": {change: func(w *world, reported *snapshot.Talos) {
			*reported.Devices.Value = append(*reported.Devices.Value, snapshot.TalosDevice{Name: "odd", Parent: "vdb"})
			volume(snapshot.TalosVolume{ID: "u-x", Phase: "ready", Location: "/dev/odd"})(w, reported)
		}, want: "in-use: belongs to Talos volume u-x (odd, ready)"},
		"in-use by an encrypted volume": {change: func(w *world, reported *snapshot.Talos) {
			*reported.Disks.Value = append(*reported.Disks.Value, snapshot.TalosDisk{Name: "dm-0", Secondaries: []string{"vdb"}})
			volume(snapshot.TalosVolume{ID: "u-x", Phase: "ready", MountLocation: "/dev/dm-0"})(w, reported)
		}, want: "in-use: belongs to Talos volume u-x (ready)"},
		"in-use by a volume that waits for a named disk": {
			change: volume(snapshot.TalosVolume{ID: "/dev/vdb-1", Phase: "waiting"}),
			want:   "in-use: belongs to Talos volume /dev/vdb-1 (waiting)",
		},
		"in-use by a volume that failed on a linked name": {
			change: volume(snapshot.TalosVolume{ID: "/dev/disk/by-id/virtio-vdb-2", Phase: "failed", Problem: "x"}),
			want:   "in-use: belongs to Talos volume /dev/disk/by-id/virtio-vdb-2 (failed)",
		},
		"in-use by a mount of no volume": {change: func(_ *world, reported *snapshot.Talos) {
			reported.Mounts = snapshot.Read([]snapshot.TalosMount{{Source: "/dev/vdb1", Target: "/var/lib/disks/hdd/vdb"},
				{Source: "/dev/vdb1", Target: "/var/lib/kubelet/pods/x"}})
		}, want: "in-use: is mounted on the node, at /var/lib/disks/hdd/vdb"},
		"in-use under another name": {change: func(w *world, reported *snapshot.Talos) {
			(*reported.Disks.Value)[1].Name = "vdx"
			volume(snapshot.TalosVolume{ID: "u-x", Phase: "ready", Location: "/dev/vdx1", ParentLocation: "/dev/vdx"})(w, reported)
		}, want: "in-use: belongs to Talos volume u-x (vdx1, ready)"},
		"in-use by another path": {change: func(w *world, reported *snapshot.Talos) {
			w.paths("vdb", "vdc")
			first, second := &(*reported.Disks.Value)[1], &(*reported.Disks.Value)[2]
			first.WWID, second.WWID, second.Serial, second.Symlinks = "naa.1", "naa.1", first.Serial, nil
			volume(snapshot.TalosVolume{ID: "u-x", Phase: "ready", Location: "/dev/vdc1", ParentLocation: "/dev/vdc"})(w, reported)
		}, want: "in-use: belongs to Talos volume u-x (vdc1, ready)"},
		"in-use, of a partition of it": {change: func(w *world, reported *snapshot.Talos) {
			w.view.Disks = append(w.view.Disks, disk.Disk{
				Name:   "vdb2",
				Kernel: "vdb2",
				Number: disk.Number{Major: 254, Minor: 18},
				Kind:   disk.KindPartition,
				Parent: "vdb",
			})
			w.req.Disks = []disk.Arg{{Name: "vdb2"}}
			volume(snapshot.TalosVolume{ID: "u-x", Phase: "ready", Location: "/dev/vdb1", ParentLocation: "/dev/vdb"})(w, reported)
		}, want: "in-use: belongs to Talos volume u-x; partition: is a partition of vdb"},
		"a volume of another disk": {
			change: volume(snapshot.TalosVolume{ID: "u-x", Phase: "ready", Location: "/dev/vdc1", ParentLocation: "/dev/vdc"}),
		},
		// vdb is no part of vdb12's name, nor the other way round.
		"a volume of a disk of a like name": {change: volume(snapshot.TalosVolume{ID: "u-x", Phase: "ready", Location: "/dev/vdbb1"})},
		"a volume that waits for any disk":  {change: volume(snapshot.TalosVolume{ID: "u-x", Phase: "waiting"})},
		"a directory":                       {change: volume(snapshot.TalosVolume{ID: "u-x", Type: "directory", Phase: "ready"})},
		"an external volume": {
			change: volume(snapshot.TalosVolume{ID: "x-share", Type: "external", Phase: "ready", Location: "share"}),
		},

		"device-changed: another serial": {change: func(_ *world, reported *snapshot.Talos) {
			(*reported.Disks.Value)[1].Serial, (*reported.Disks.Value)[1].Symlinks = "other", nil
		}, want: "device-changed: is another disk to Talos (serial other) than to the provisioner's pod (serial serial-vdb)"},
		"device-changed: another size": {change: func(w *world, reported *snapshot.Talos) {
			identical(w, reported, "vdb")
			(*reported.Disks.Value)[1].Size++
		}, want: "device-changed: is another disk to Talos ("},
		"device-changed: a serial number that repeats, another size": {change: func(_ *world, reported *snapshot.Talos) {
			(*reported.Disks.Value)[1].Symlinks = nil
			(*reported.Disks.Value)[1].Size++
		}, want: "device-changed: is another disk to Talos ("},
		"no identifier, the same name and size": {change: func(w *world, reported *snapshot.Talos) { identical(w, reported, "vdb") }},
		"in-use, by name and size alone": {change: func(w *world, reported *snapshot.Talos) {
			identical(w, reported, "vdb")
			volume(snapshot.TalosVolume{ID: "u-x", Phase: "ready", Location: "/dev/vdb1", ParentLocation: "/dev/vdb"})(w, reported)
		}, want: "in-use: belongs to Talos volume u-x"},
		"a disk that Talos does not tell of": {
			change: func(_ *world, reported *snapshot.Talos) { *reported.Disks.Value = (*reported.Disks.Value)[:1] },
		},
		"a Talos that could not be read": {change: func(w *world, _ *snapshot.Talos) {
			w.Nodes[0].Talos = snapshot.Unread[snapshot.Talos](problem.FromText("no answer"))
		}},
		"a Talos whose disks were not read": {change: func(_ *world, reported *snapshot.Talos) {
			reported.Disks = snapshot.Unread[[]snapshot.TalosDisk](problem.FromText("no answer"))
		}},

		"the system disk is Talos's word": {change: unresolved},
		"system-disk-unknown, volumes unread": {change: func(w *world, reported *snapshot.Talos) {
			unresolved(w, reported)
			reported.Volumes = snapshot.Unread[[]snapshot.TalosVolume](problem.FromText("no answer"))
		}, want: "system-disk-unknown: "},
		"system-disk-unknown to Talos too": {change: func(w *world, reported *snapshot.Talos) {
			unresolved(w, reported)
			reported.System = snapshot.Unread[string](problem.FromText("none"))
		}, want: "system-disk-unknown: "},
		"system-disk-unknown, unsure which disk it is": {change: func(w *world, reported *snapshot.Talos) {
			unresolved(w, reported)
			identical(w, reported, "vdb")
		}, want: "system-disk-unknown: "},
		"system-disk-unknown, unsure which the system's is": {change: func(w *world, reported *snapshot.Talos) {
			unresolved(w, reported)
			identical(w, reported, "vda")
		}, want: "system-disk-unknown: "},
		"system-disk-unknown, Talos of a node with another system disk": {change: func(w *world, reported *snapshot.Talos) {
			unresolved(w, reported)
			(*reported.Disks.Value)[0].Serial, (*reported.Disks.Value)[0].Symlinks = "other", nil
		}, want: "system-disk-unknown: "},
		"system-disk, which the pod could not tell": {change: func(w *world, reported *snapshot.Talos) {
			unresolved(w, reported)
			reported.System = snapshot.Read("vdb")
		}, want: "system-disk: "},
	}
}

func TestDecideWithTalos(t *testing.T) {
	for name, c := range talosCases() {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			c.change(w, reported(w))
			for _, r := range disk.AcceptableReasons() {
				w.req.Accept = append(w.req.Accept, Acceptance{Reason: r})
			}
			l := w.plan(t).Links[0]
			got := says(l.Objections)
			if (l.Action == change.Create) != (c.want == "") || l.Action != change.Create && l.Action != change.Refuse {
				t.Errorf("action %s", l.Action)
			}
			for part := range strings.SplitSeq(c.want, "; ") {
				if !strings.Contains(got, part) {
					t.Errorf("objections %q have no %q", got, part)
				}
			}
			if strings.Count(got, "; ") != strings.Count(c.want, "; ") {
				t.Errorf("objections: %s", got)
			}
		})
	}
	w := newWorld()
	reported(w).System = snapshot.Read("vdb")
	w.lies("block", "vdb", "/dev/disk/by-id/virtio-vdb", "254:16")
	if l := w.plan(t).Links[0]; l.Action != change.Keep {
		t.Errorf("a link that is there already: %s %s", l.Action, says(l.Objections))
	}
}

// TestInventoryByTalos is a node that no provisioner pod looked at.
func TestInventoryByTalos(t *testing.T) {
	w := newWorld()
	w.Nodes[0].View = snapshot.Unread[snapshot.PodView](problem.FromText("a taint keeps it away"))
	w.Nodes[0].Talos = snapshot.Read(recorded(t))
	w.volume("x", func(v *snapshot.Volume) { v.Name, v.Path = "at-data-b", "/var/mnt/data-b" })
	w.volume("y", func(v *snapshot.Volume) { v.Name, v.Identity = "made-for-g", &disk.ID{Serial: "talos-disk-g"} })
	w.volume("z", func(v *snapshot.Volume) { v.Name, v.Path, v.Node = "elsewhere", "/var/mnt/data-b", "w-2" })
	all := Inventory(&w.Snapshot)
	row := func(u DiskUse) string {
		uses := make([]string, 0, len(u.Uses))
		for _, use := range u.Uses {
			if use.Kind != UseContent {
				uses = append(uses, use.String())
			}
		}
		var reasons, volumes []string
		for _, o := range u.Objections {
			reasons = append(reasons, string(o.Reason))
		}
		for _, v := range u.Volumes {
			volumes = append(volumes, v.Name)
		}
		return u.Name + " " + strings.Join(reasons, ",") + " [" + strings.Join(uses, ", ") + "] " + strings.Join(volumes, ",")
	}
	want := []string{
		"vda system-disk,not-checked [system disk (vda), EPHEMERAL (vda6, ready, /var), META (vda4, ready), STATE (vda5, ready)] ",
		"vdb in-use,not-checked [u-data-b (vdb2, ready, /var/mnt/data-b), u-data-b2 (vdb1, ready, /var/mnt/data-b2)] at-data-b",
		"vdc in-use,not-checked [r-raw-c (vdc1, ready), r-raw-c2 (vdc2, ready)] ",
		"vdd in-use,not-checked [u-disk-d (vdd, ready, /var/mnt/disk-d)] ",
		"vde not-checked [] ",
		"vdf in-use,not-checked [e-exist-f (vdf, ready, /var/mnt/exist-f)] ",
		"vdg not-checked [] made-for-g",
	}
	got := make([]string, 0, len(all))
	for _, u := range all {
		got = append(got, row(u))
		if !slices.Equal(u.SeenBy, []Observer{SeenByTalos}) || u.Transport != "virtio" || u.Metadata.Name != "w-1/"+u.Name || len(u.ByID) != 1 ||
			len(u.ByPath) != 2 {
			t.Errorf("%+v", u)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if last := all[6].Objections; !strings.Contains(says(last), "no provisioner pod looked at it: a taint keeps it away") {
		t.Errorf("vdg: %s", says(last))
	}
	b, err := json.Marshal(all[1])
	if err != nil || strings.Contains(string(b), `"number"`) || !strings.Contains(string(b), `"seenBy":["talos"]`) ||
		!strings.Contains(string(b), `"label":"u-data-b"`) {
		t.Errorf("%s, %v", b, err)
	}
	for want, arg := range map[string]disk.Arg{
		"vdb":     {Name: "vdb"},
		"vdb vdc": {Glob: "vd[bc]"},
		"vdg":     {Path: "/dev/disk/by-id/virtio-talos-disk-g"},
		"":        {Name: "loop0"},
	} {
		var got []string
		for _, u := range Select(&w.Snapshot, all, []disk.Arg{arg}) {
			got = append(got, u.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s selects %v, want %q", arg, got, want)
		}
	}
}

// TestInventoryByBoth is a node that both looked at.
func TestInventoryByBoth(t *testing.T) {
	w := newWorld()
	said := reported(w)
	*said.Volumes.Value = append(*said.Volumes.Value,
		snapshot.TalosVolume{ID: "u-x", Phase: "ready", Location: "/dev/vdb1", ParentLocation: "/dev/vdb"})
	(*said.Disks.Value)[2].Serial, (*said.Disks.Value)[2].Symlinks = "other", nil
	*said.Disks.Value = append(*said.Disks.Value,
		snapshot.TalosDisk{Name: "sr0", CDROM: true}, snapshot.TalosDisk{Name: "loop0", Size: 1}, snapshot.TalosDisk{Name: "zram0", Size: 1},
		snapshot.TalosDisk{Name: "dm-3", Size: 1}, snapshot.TalosDisk{Name: "md0", Size: 1}, snapshot.TalosDisk{Name: "vdy", Size: 1 << 30})
	var got []string
	of := make(map[string]DiskUse)
	for _, u := range Inventory(&w.Snapshot) {
		seen := u.Name
		for _, by := range u.SeenBy {
			seen += " " + string(by)
		}
		got = append(got, seen)
		if u.Name != "vdc" || slices.Contains(u.SeenBy, SeenByPod) {
			of[u.Name] = u
		}
	}
	if want := []string{"vda pod talos", "vdb pod talos", "vdc pod", "md0 talos", "vdc talos", "vdy talos"}; !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
	if u := of["vda"]; u.System != "holds /mnt/block" || len(u.Uses) != 4 {
		t.Errorf("vda: %+v", u)
	}
	if u := of["vdb"]; len(u.Uses) != 1 || u.Uses[0].Name != "u-x" ||
		!strings.Contains(says(u.Objections), "in-use: belongs to Talos volume u-x") {
		t.Errorf("vdb: %+v", u)
	}
	if u := of["vdc"]; !strings.Contains(u.Conflict, "serial other") || !strings.Contains(says(u.Objections), "device-changed: ") ||
		len(u.Uses) != 0 {
		t.Errorf("vdc: %+v", u)
	}
	if u := of["vdy"]; !strings.Contains(says(u.Objections), "the provisioner's pod does not see it") {
		t.Errorf("vdy: %+v", u)
	}
}

func TestMatching(t *testing.T) {
	seen := disk.Disk{Name: "sdb", Kernel: "sdb", Size: 10, Serial: "AB-1", WWID: "naa.1  x", ByID: []string{"wwn-1", "lvm-pv-uuid-1"}}
	for name, c := range map[string]struct {
		disks    []snapshot.TalosDisk
		want     string
		sure     bool
		conflict bool
	}{
		"by wwid": {disks: []snapshot.TalosDisk{{Name: "sdb", Size: 10, WWID: "naa.1 x"}}, want: "sdb", sure: true},
		"by wwid, another serial": {
			disks:    []snapshot.TalosDisk{{Name: "sdb", Size: 10, WWID: "naa.1 x", Serial: "other"}},
			conflict: true,
		},
		"by wwid, another size":          {disks: []snapshot.TalosDisk{{Name: "sdb", Size: 11, WWID: "naa.1 x"}}, conflict: true},
		"by another wwid":                {disks: []snapshot.TalosDisk{{Name: "sdb", Size: 10, WWID: "naa.2", Serial: "AB-1"}}, conflict: true},
		"by serial, written differently": {disks: []snapshot.TalosDisk{{Name: "sdb", Size: 10, Serial: "AB_1 "}}, want: "sdb", sure: true},
		"by serial, another size":        {disks: []snapshot.TalosDisk{{Name: "sdb", Size: 11, Serial: "AB-1"}}, conflict: true},
		"by a name": {
			disks: []snapshot.TalosDisk{{Name: "sdb", Symlinks: []string{"/dev/disk/by-id/wwn-1"}}},
			want:  "sdb",
			sure:  true,
		},
		"by a name, another serial": {
			disks:    []snapshot.TalosDisk{{Name: "sdb", Serial: "other", Symlinks: []string{"/dev/disk/by-id/wwn-1"}}},
			conflict: true,
		},
		"by a name of its content": {
			disks: []snapshot.TalosDisk{{Name: "sdb", Size: 10, Symlinks: []string{"/dev/disk/by-id/lvm-pv-uuid-1"}}},
			want:  "sdb",
		},
		"by other names": {
			disks:    []snapshot.TalosDisk{{Name: "sdb", Size: 10, Symlinks: []string{"/dev/disk/by-id/wwn-2"}}},
			conflict: true,
		},
		"by name and size":      {disks: []snapshot.TalosDisk{{Name: "sdb", Size: 10}}, want: "sdb"},
		"by name, another size": {disks: []snapshot.TalosDisk{{Name: "sdb", Size: 11}}, conflict: true},
		"under another name": {
			disks: []snapshot.TalosDisk{{Name: "sda", Size: 10}, {Name: "sdc", Size: 10, WWID: "naa.1 x"}},
			want:  "sdc",
			sure:  true,
		},
		"two that changed places": {
			disks:    []snapshot.TalosDisk{{Name: "sdb", WWID: "naa.2"}, {Name: "sdc", Size: 10, WWID: "naa.1 x"}},
			want:     "sdc",
			sure:     true,
			conflict: true,
		},
		"another name, another size":  {disks: []snapshot.TalosDisk{{Name: "sdc", Size: 11, Serial: "AB-1"}}},
		"another name, the same size": {disks: []snapshot.TalosDisk{{Name: "sdc", Size: 10}}},
		"nothing":                     {disks: nil, want: "", sure: false, conflict: false},
	} {
		node := snapshot.Node{
			Name: "w-1", View: snapshot.Read(snapshot.PodView{Disks: []disk.Disk{seen}}),
			Talos: snapshot.Read(snapshot.Talos{Disks: snapshot.Read(c.disks)}),
		}
		m := NewDevices(&snapshot.Snapshot{Nodes: []snapshot.Node{node}}).node(node.Name).talos.of(seen).match
		got := ""
		if m.disk != nil {
			got = m.disk.Name
		}
		if got != c.want || m.sure != c.sure || (m.conflict != "") != c.conflict {
			t.Errorf("%s: %q, sure %v, conflict %q", name, got, m.sure, m.conflict)
		}
	}
}

func TestNamesOfDevices(t *testing.T) {
	for name, whole := range map[string]string{"vdb1": "vdb", "nvme0n1p2": "nvme0n1", "md127p1": "md127", "mmcblk0p10": "mmcblk0"} {
		if !partitionOf(name, whole) {
			t.Errorf("%s is no partition of %s", name, whole)
		}
	}
	for name, whole := range map[string]string{
		"vdb":          "vdb",
		"vdbb1":        "vdb",
		"nvme0n12":     "nvme0n1",
		"nvme0n1p":     "nvme0n1",
		"vdb1":         "",
		"vdbp1":        "vdb",
		"mmcblk0boot0": "mmcblk0",
	} {
		if partitionOf(name, whole) {
			t.Errorf("%s is a partition of %s", name, whole)
		}
	}
	for id, want := range map[string]string{
		"/dev/vde-1":             "/dev/vde",
		"/dev/disk/by-id/a-b-12": "/dev/disk/by-id/a-b",
		"/dev/vde":               "",
		"/dev/disk/by-id/a-b":    "",
		"u-data-1":               "",
		"/var/lib-1":             "",
	} {
		if got := userDisk(id); got != want {
			t.Errorf("userDisk(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestTalosUnread(t *testing.T) {
	node := func(name string, s snapshot.Section[snapshot.Talos]) snapshot.Node {
		return snapshot.Node{Name: name, Talos: s}
	}
	whole := recorded(t)
	whole.Links = snapshot.Unread[map[string][]string](problem.FromText("only names"))
	old := snapshot.Talos{Legacy: true, Disks: whole.Disks, System: whole.System, Mounts: whole.Mounts}
	partly := whole
	partly.Volumes = snapshot.Unread[[]snapshot.TalosVolume](problem.FromText("role too weak"))
	s := &snapshot.Snapshot{Nodes: []snapshot.Node{
		node("a", snapshot.Unread[snapshot.Talos](problem.FromText("no answer"))), node("b", snapshot.Read(whole)),
		node("c", snapshot.Unread[snapshot.Talos](problem.FromText("no answer"))),
		node("d", snapshot.Read(partly)), node("e", snapshot.Section[snapshot.Talos]{}), node("f", snapshot.Read(old)),
	}}
	got := TalosUnread(s)
	if len(got) != 2 || strings.Join(got[0].Nodes, " ") != "a c" || got[0].Why != "no answer" || strings.Join(got[1].Nodes, " ") != "d" ||
		got[1].Why != "volumes: role too weak" {
		t.Errorf("%+v", got)
	}
	s.NoTalos = problem.FromText("no talosconfig was found")
	if got := TalosUnread(s); len(got) != 0 {
		t.Errorf("where it was not asked: %+v", got)
	}
}

func TestWhereIsAFewNodes(t *testing.T) {
	for want, nodes := range map[string][]string{
		"node a":                         {"a"},
		"nodes a, b":                     {"a", "b"},
		"nodes a, b, c, d, e and 2 more": {"a", "b", "c", "d", "e", "f", "g"},
	} {
		if got := (Unread{Nodes: nodes}).Where(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
