// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// An entry of the provisioner's gets rbind for bind, unless somebody would find another directory by that.
func TestDecideRebinds(t *testing.T) {
	const vde = disksDir + "/hdd/vde"
	bound1 := bind(disksDir, "bind", "rshared", "rw")
	rebound := []ExtraMount{bind(disksDir, "rbind", "rshared", "rw")}
	masked := func(entries ...ExtraMount) NodeState {
		return plain(t, "v1.13.9", entries...).with(watched(seen(t, bound, hostDisk)))
	}
	volume := func(at string, pods ...string) func(*NodeState) {
		return func(n *NodeState) {
			n.Volumes, n.Used = map[string]string{"pv-1": at}, map[string][]string{}
			if len(pods) > 0 {
				n.Used["pv-1"] = pods
			}
		}
	}
	other := "385 51 254:66 / /var/lib/disks/theirs rw,relatime shared:52 - xfs /dev/vdx rw\n"
	tmpfs := ExtraMount{Destination: disksDir, Type: "tmpfs", Source: disksDir, Options: []string{"rw"}}
	for name, c := range map[string]struct {
		node    NodeState
		dirs    []string
		action  Action
		reason  Reason
		rebind  []int
		rebound []ExtraMount
		add     []string
		says    string
	}{
		"the directory's own entry":            {masked(bound1), []string{disksDir}, ActionPatch, ReasonBindForRbind, []int{0}, rebound, nil, "pods would write to the disk beneath"},
		"behind others":                        {masked(bind("/var/a"), bound1), []string{disksDir}, ActionPatch, ReasonBindForRbind, []int{1}, rebound, nil, ""},
		"one for all of the classes":           {masked(bound1), []string{disksDir + "/hdd", disksDir + "/ssd"}, ActionPatch, ReasonBindForRbind, []int{0}, rebound, nil, ""},
		"one for more than the class":          {masked(bound1), []string{disksDir + "/hdd"}, ActionPatch, ReasonBindForRbind, []int{0}, rebound, nil, ""},
		"and another directory without one":    {masked(bound1), []string{disksDir, "/var/other"}, ActionPatch, ReasonBindForRbind, []int{0}, rebound, []string{"/var/other"}, ""},
		"the disks of others would come along": {masked(bound1).with(watched(seen(t, bound, hostDisk+other))), []string{disksDir + "/hdd"}, ActionRefuse, ReasonBindForRbind, nil, nil, nil, "replace bind by rbind: talosctl"},
		"what would come along was not seen": {plain(t, "v1.13.9", bound1).with(func(n *NodeState) { n.Config.MachineDisks = []MachineDisk{{"/dev/vde", vde}} }), []string{disksDir + "/hdd"},
			ActionRefuse, ReasonBindForRbind, nil, nil, nil, "replace bind by rbind: talosctl"},
		"no bind at all":               {masked(tmpfs), []string{disksDir}, ActionRefuse, ReasonBindForRbind, nil, nil, nil, "replace bind by rbind: talosctl"},
		"bind twice":                   {masked(bind(disksDir, "bind", "bind")), []string{disksDir}, ActionPatch, ReasonBindForRbind, []int{0}, []ExtraMount{bind(disksDir, "rbind", "rbind")}, nil, ""},
		"a volume that nobody uses":    {masked(bound1).with(volume(vde)), []string{disksDir}, ActionPatch, ReasonBindForRbind, []int{0}, rebound, nil, `volume "pv-1" lies at "/var/lib/disks/hdd/vde": what was written there until now is on the disk beneath`},
		"a volume in use":              {masked(bound1).with(volume(vde, "default/db")), []string{disksDir}, ActionRefuse, ReasonVolumeInUse, nil, nil, nil, `is used by pod "default/db": it has the directory beneath`},
		"a volume in use on no disk":   {masked(bound1).with(volume(disksDir+"/hdd/plain", "default/db")), []string{disksDir}, ActionPatch, ReasonBindForRbind, []int{0}, rebound, nil, ""},
		"a volume in use elsewhere":    {masked(bound1).with(volume("/var/elsewhere", "default/db")), []string{disksDir}, ActionPatch, ReasonBindForRbind, []int{0}, rebound, nil, ""},
		"a volume in use, seen by now": {masked(bound1).with(watched(seen(t, slave, hostDisk))).with(volume(vde, "default/db")), []string{disksDir}, ActionPatch, ReasonBindForRbind, []int{0}, rebound, nil, ""},
		"a volume in use, and no view": {masked(bound1).with(volume(vde, "default/db")).with(func(n *NodeState) { n.View, n.Config.MachineDisks = nil, []MachineDisk{{"/dev/vde", vde}} }), []string{disksDir},
			ActionRefuse, ReasonVolumeInUse, nil, nil, nil, "default/db"},
		"who uses volumes is not known":            {masked(bound1).with(volume(vde)).with(func(n *NodeState) { n.UsedProblem = "forbidden" }), []string{disksDir}, ActionSkip, ReasonVolumeInUse, nil, nil, nil, "is unknown: forbidden"},
		"no volume, and who uses any is not known": {masked(bound1).with(func(n *NodeState) { n.UsedProblem = "forbidden" }), []string{disksDir}, ActionPatch, ReasonBindForRbind, []int{0}, rebound, nil, ""},
		"the entries lie upon each other":          {masked(bind("/var/a"), bind("/var/a"), bound1), []string{disksDir}, ActionRefuse, ReasonDuplicate, nil, nil, nil, "both mount /var/a"},
		"a restart does harm":                      {masked(bound1).with(func(n *NodeState) { n.Version = version(t, "v1.12.4") }), []string{disksDir}, ActionRefuse, ReasonHazard, nil, nil, nil, ""},
		"another one is staged":                    {masked(bound1).with(func(n *NodeState) { n.StagedDiffers = true }), []string{disksDir}, ActionRefuse, ReasonStaged, nil, nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := Decide(c.node, Request{Required: c.dirs})
			var add []string
			for _, m := range p.Add {
				add = append(add, m.Destination)
			}
			if p.Action != c.action || p.Reason != c.reason || !slices.Equal(p.Rebind, c.rebind) || !reflect.DeepEqual(p.Rebound, c.rebound) || !slices.Equal(add, c.add) {
				t.Errorf("%s, %s: %v to %+v, adds %v: %s", p.Action, p.Reason, p.Rebind, p.Rebound, add, p.Message)
			}
			if p.Restarts != (c.action == ActionPatch) {
				t.Errorf("restarts: %t", p.Restarts)
			}
			holds(t, "text", strings.Join(append(p.Warnings, p.Message, p.Hint), "\n"), c.says)
			if want := slices.Concat([]string{disksDir}, c.add); p.Action == ActionPatch && !slices.Equal(p.Appear(), want) {
				t.Errorf("looks for %v afterwards", p.Appear())
			}
		})
	}
	if bound1.Options[0] != "bind" {
		t.Error("the entry itself was changed")
	}
	if p := Decide(masked(bound1), Request{Required: []string{disksDir}, Staged: true}); p.Action != ActionPatch || p.Restarts {
		t.Errorf("staged: %+v", p)
	}
	// Nothing is hidden: no kubelet restarts for it.
	if p := Decide(plain(t, "v1.13.9", bound1).with(watched(seen(t, bound, ""))), ask(disksDir)); p.Action != ActionUnchanged || p.Directories[0].Visible != disk.Yes {
		t.Errorf("nothing below: %+v", p)
	}
}

func TestEditRebinds(t *testing.T) {
	for name, c := range map[string]struct {
		raw, want string
		rebind    []int
		err       string
	}{
		"in lines": {
			"machine:\n  kubelet:\n    extraMounts:\n    - destination: /bind # bind\n      options:\n        - bind   # why not rbind\n        - rshared\n    - destination: /b\n      options: [bind]\n",
			"machine:\n  kubelet:\n    extraMounts:\n    - destination: /bind # bind\n      options:\n        - rbind   # why not rbind\n        - rshared\n    - destination: /b\n      options: [bind]\n", []int{0}, "",
		},
		"in brackets":                     {`machine: {kubelet: {extraMounts: [{destination: /a}, {options: ['bind', "bind", bind,rw], destination: bind}]}}`, `machine: {kubelet: {extraMounts: [{destination: /a}, {options: ['rbind', "rbind", rbind,rw], destination: bind}]}}`, []int{1}, ""},
		"both":                            {"machine:\r\n kubelet:\r\n  extraMounts:\r\n  - {destination: /a, options: [bind]}\r\n  - {destination: /b, options: [rw, bind]}", "machine:\r\n kubelet:\r\n  extraMounts:\r\n  - {destination: /a, options: [rbind]}\r\n  - {destination: /b, options: [rw, rbind]}", []int{1, 0, 1}, ""},
		"behind letters of several bytes": {`machine: {kubelet: {extraMounts: [{destination: /ä€😀, options: [bind]}]}}`, `machine: {kubelet: {extraMounts: [{destination: /ä€😀, options: [rbind]}]}}`, []int{0}, ""},
		"none there":                      {"machine: {kubelet: {extraMounts: [{destination: /a, options: [rw]}]}}", "machine: {kubelet: {extraMounts: [{destination: /a, options: [rw]}]}}", []int{0}, ""},
		"written in code":                 {`machine: {kubelet: {extraMounts: [{destination: /a, options: ["b\x69nd"]}]}}`, `machine: {kubelet: {extraMounts: [{destination: /a, options: ["rb\x69nd"]}]}}`, []int{0}, ""},
		"a block":                         {"machine:\n  kubelet:\n    extraMounts:\n    - options:\n      - |-\n        bind\n", "", []int{0}, "in which no edit is safe"},
		"an anchor":                       {"machine: {kubelet: {extraMounts: [{destination: /a, options: [&a bind]}]}}", "", []int{0}, "number 1 has an anchor, an alias or a tag (line 1), and is not changed"},
		"an alias":                        {"x: &a [bind]\nmachine: {kubelet: {extraMounts: [{destination: /a, options: *a}]}}", "", []int{0}, "is not changed"},
		"no such entry":                   {"machine: {kubelet: {extraMounts: []}}", "", []int{0}, "no extra mount number 1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Edit([]byte(c.raw), Change{Rebind: c.rebind})
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v:\n%s", err, got)
				}
			case err != nil || string(got) != c.want:
				t.Errorf("%v: got\n%s\nwant\n%s", err, got, c.want)
			}
		})
	}
	// With everything else that one edit can do.
	const raw = "machine:\n  kubelet:\n    extraMounts:\n      - {destination: /a, options: [bind]}\n      - {destination: /b, options: [bind]}\n"
	got, err := Edit([]byte(raw), Change{Rebind: []int{1}, Remove: []int{0}, Add: []ExtraMount{disks()}})
	want := "machine:\n  kubelet:\n    extraMounts:\n      - {destination: /b, options: [rbind]}\n      - " + disksFlow + "\n"
	if err != nil || string(got) != want {
		t.Errorf("%v: got\n%s\nwant\n%s", err, got, want)
	}
	for _, line := range []string{"options:", "- bind", "- rbind"} {
		if diff := Diff([]byte(raw), bytes.Replace([]byte(raw), []byte("/b, options: [bind]"), []byte("/b, options: [rbind]"), 1)); !strings.Contains(diff, line) {
			t.Errorf("the difference lacks %q:\n%s", line, diff)
		}
	}
}

// The comparison sees an entry of which more was changed than bind.
func TestEditedRebinds(t *testing.T) {
	const before = "machine: {kubelet: {extraMounts: [{destination: /a, options: [bind, rw]}, {destination: /b, options: [bind]}]}}\n"
	for name, c := range map[string]struct {
		from, to string
		want     bool
	}{
		"what it shall":       {"[bind, rw]", "[rbind, rw]", true},
		"nothing":             {"", "", false},
		"another option":      {"[bind, rw]", "[rbind, ro]", false},
		"an option less":      {"[bind, rw]", "[rbind]", false},
		"another destination": {"/a, options: [bind", "/c, options: [rbind", false},
		"the other entry":     {"options: [bind]", "options: [rbind]", false},
	} {
		was, err1 := parseText([]byte(before))
		now, err2 := parseText([]byte(strings.Replace(before, c.from, c.to, 1)))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if got := edited(was, now, Change{Rebind: []int{0}}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
