// SPDX-License-Identifier: Apache-2.0

package link

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

func TestInventory(t *testing.T) {
	w := newWorld()
	loop := whole("loop0", 0)
	loop.Number, loop.Kind = disk.Number{Major: 7}, disk.KindLoop
	linked := loop
	linked.Name, linked.Number = "loop1", disk.Number{Major: 7, Minor: 1}
	named := loop
	named.Name, named.Number = "vdl", disk.Number{Major: 7, Minor: 2}
	empty := whole("vdz", 99)
	empty.Size = 0
	m := whole("dm-0", 0)
	m.Number, m.Kind, m.Slaves = disk.Number{Major: 253}, disk.KindMapper, []string{"vdb"}
	w.view.Disks = append(w.view.Disks, loop, linked, named, empty, m)
	w.lies("block", "vdb", "/dev/vdb", "254:16")
	w.lies("files", "l", "/dev/loop1", "7:1")
	w.volume("vdb", func(v *snapshot.Volume) {
		v.Phase, v.Claim, v.Identity = "Bound", &snapshot.ClaimRef{Namespace: "ns", Name: "c"}, &disk.ID{Serial: "old"}
	})
	w.Users = snapshot.Read(map[snapshot.ClaimRef][]string{{Namespace: "ns", Name: "c"}: {"p"}})
	w.Nodes = append(w.Nodes, snapshot.Node{Name: "w-2", View: snapshot.Unread[snapshot.PodView](problem.FromText("x"))})

	all := Inventory(&w.Snapshot)
	var names []string
	of := make(map[string]DiskUse)
	for _, u := range all {
		names = append(names, u.Name)
		of[u.Name] = u
	}
	if want := []string{"vda", "vdb", "vdc", "loop1", "vdl", "dm-0"}; !slices.Equal(names, want) {
		t.Errorf("disks %v, want %v", names, want)
	}
	if u := of["vda"]; u.System != "holds /mnt/block" || !strings.HasPrefix(says(u.Objections), "system-disk: ") ||
		u.Metadata.Name != "w-1/vda" || u.Kind != "Disk" {
		t.Errorf("vda: %+v", u)
	}
	u := of["vdb"]
	if len(u.Volumes) != 1 || u.Volumes[0].Name != provisioner.PVName("vdb", "w-1", "block") || u.Volumes[0].Phase != "Bound" ||
		u.Volumes[0].Claim != "ns/c" ||
		!slices.Equal(u.Volumes[0].Pods, []string{"p"}) || !slices.Equal(u.Links, []string{"/var/lib/disks/block/vdb"}) ||
		!strings.Contains(u.Drift, "then serial old, now serial serial-vdb") ||
		!strings.Contains(says(u.Objections), "already-linked: is linked already, as /var/lib/disks/block/vdb") {
		t.Errorf("vdb: %+v", u)
	}
	if u := of["vdc"]; len(u.Objections) != 0 || u.System != "" || u.Links != nil || u.Drift != "" {
		t.Errorf("vdc: %+v", u)
	}
	if u := of["dm-0"]; !strings.Contains(says(u.Objections), "already-linked: is linked already, as /var/lib/disks/block/vdb") {
		t.Errorf("what lies on vdb: %+v", u)
	}
	w.view.BeneathProblem = "0:51"
	for _, u := range Inventory(&w.Snapshot) {
		if !strings.HasPrefix(says(u.Objections), "system-disk-unknown: ") {
			t.Errorf("%s: %s", u.Name, says(u.Objections))
		}
	}

	for want, arg := range map[string]disk.Arg{
		"vdb vdc": {Glob: "vd[bc]"},
		"vdc":     {Name: "vdc"},
		"vdb":     {Path: "/dev/disk/by-id/virtio-vdb"},
		"":        {Name: "x"},
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
