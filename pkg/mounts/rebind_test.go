// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
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
		action  change.Action
		reason  Reason
		rebind  []int
		rebound []ExtraMount
		add     []string
		says    string
	}{
		"the directory's own entry": {
			node:    masked(bound1),
			dirs:    []string{disksDir},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{0},
			rebound: rebound,
			says:    "pods would write to the disk beneath",
		},
		"behind others": {
			node:    masked(bind("/var/a"), bound1),
			dirs:    []string{disksDir},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{1},
			rebound: rebound,
		},
		"one for all of the classes": {
			node:    masked(bound1),
			dirs:    []string{disksDir + "/hdd", disksDir + "/ssd"},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{0},
			rebound: rebound,
		},
		"one for more than the class": {
			node:    masked(bound1),
			dirs:    []string{disksDir + "/hdd"},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{0},
			rebound: rebound,
		},
		"and another directory without one": {
			node:    masked(bound1),
			dirs:    []string{disksDir, "/var/other"},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{0},
			rebound: rebound,
			add:     []string{"/var/other"},
		},
		"the disks of others would come along": {
			node:   masked(bound1).with(watched(seen(t, bound, hostDisk+other))),
			dirs:   []string{disksDir + "/hdd"},
			action: change.Refuse,
			reason: ReasonBindForRbind,
			says:   "replace bind by rbind: talosctl",
		},
		"what would come along was not seen": {node: plain(t, "v1.13.9", bound1).with(func(n *NodeState) {
			n.Settings.MachineDisks = []machineconfig.MachineDisk{{Device: "/dev/vde", Mountpoint: vde}}
		}), dirs: []string{disksDir + "/hdd"},
			action: change.Refuse, reason: ReasonBindForRbind, says: "replace bind by rbind: talosctl"},
		"no bind at all": {
			node:   masked(tmpfs),
			dirs:   []string{disksDir},
			action: change.Refuse,
			reason: ReasonBindForRbind,
			says:   "replace bind by rbind: talosctl",
		},
		"bind twice": {
			node:    masked(bind(disksDir, "bind", "bind")),
			dirs:    []string{disksDir},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{0},
			rebound: []ExtraMount{bind(disksDir, "rbind", "rbind")},
		},
		"a volume that nobody uses": {
			node:    masked(bound1).with(volume(vde)),
			dirs:    []string{disksDir},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{0},
			rebound: rebound,
			says:    `volume "pv-1" lies at "/var/lib/disks/hdd/vde": what was written there until now is on the disk beneath`,
		},
		"a volume in use": {
			node:   masked(bound1).with(volume(vde, "default/db")),
			dirs:   []string{disksDir},
			action: change.Refuse,
			reason: ReasonVolumeInUse,
			says:   `is used by pod "default/db": it has the directory beneath`,
		},
		"a volume in use on no disk": {
			node:    masked(bound1).with(volume(disksDir+"/hdd/plain", "default/db")),
			dirs:    []string{disksDir},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{0},
			rebound: rebound,
		},
		"a volume in use elsewhere": {
			node:    masked(bound1).with(volume("/var/elsewhere", "default/db")),
			dirs:    []string{disksDir},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{0},
			rebound: rebound,
		},
		"a volume in use, seen by now": {
			node:    masked(bound1).with(watched(seen(t, slave, hostDisk))).with(volume(vde, "default/db")),
			dirs:    []string{disksDir},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{0},
			rebound: rebound,
		},
		"a volume in use, and no view": {node: masked(bound1).with(volume(vde, "default/db")).with(func(n *NodeState) {
			n.View, n.Settings.MachineDisks = nil, []machineconfig.MachineDisk{{Device: "/dev/vde", Mountpoint: vde}}
		}), dirs: []string{disksDir},
			action: change.Refuse, reason: ReasonVolumeInUse, says: "default/db"},
		"who uses volumes is not known": {
			node:   masked(bound1).with(volume(vde)).with(func(n *NodeState) { n.UsedProblem = "forbidden" }),
			dirs:   []string{disksDir},
			action: change.Skip,
			reason: ReasonVolumeInUse,
			says:   "is unknown: forbidden",
		},
		"no volume, and who uses any is not known": {
			node:    masked(bound1).with(func(n *NodeState) { n.UsedProblem = "forbidden" }),
			dirs:    []string{disksDir},
			action:  change.Patch,
			reason:  ReasonBindForRbind,
			rebind:  []int{0},
			rebound: rebound,
		},
		"the entries lie upon each other": {
			node:   masked(bind("/var/a"), bind("/var/a"), bound1),
			dirs:   []string{disksDir},
			action: change.Refuse,
			reason: ReasonDuplicate,
			says:   "both mount /var/a",
		},
		"a restart does harm": {
			node:   masked(bound1).with(func(n *NodeState) { n.Release = version(t, "v1.12.4") }),
			dirs:   []string{disksDir},
			action: change.Refuse,
			reason: ReasonHazard,
		},
		"another one is staged": {
			node:   masked(bound1).with(func(n *NodeState) { n.StagedDiffers = true }),
			dirs:   []string{disksDir},
			action: change.Refuse,
			reason: ReasonStaged,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := Decide(c.node, Request{Required: c.dirs})
			var add []string
			for _, m := range p.Add {
				add = append(add, m.Destination)
			}
			if p.Action != c.action || p.Reason != c.reason || !slices.Equal(p.Rebind, c.rebind) || !reflect.DeepEqual(p.Rebound, c.rebound) ||
				!slices.Equal(add, c.add) {
				t.Errorf("%s, %s: %v to %+v, adds %v: %s", p.Action, p.Reason, p.Rebind, p.Rebound, add, p.Message)
			}
			if p.Restarts != (c.action == change.Patch) {
				t.Errorf("restarts: %t", p.Restarts)
			}
			holds(t, "text", strings.Join(append(p.Warnings, p.Message, p.Hint), "\n"), c.says)
			if want := slices.Concat([]string{disksDir}, c.add); p.Action == change.Patch && !slices.Equal(p.Appear(), want) {
				t.Errorf("looks for %v afterwards", p.Appear())
			}
		})
	}
	if bound1.Options[0] != "bind" {
		t.Error("the entry itself was changed")
	}
	if p := Decide(masked(bound1), Request{Required: []string{disksDir}, Staged: true}); p.Action != change.Patch || p.Restarts {
		t.Errorf("staged: %+v", p)
	}
	// Nothing is hidden: no kubelet restarts for it.
	if p := Decide(plain(t, "v1.13.9", bound1).with(watched(seen(t, bound, ""))), ask(disksDir)); p.Action != change.Keep ||
		p.Directories[0].Visible != disk.Yes {
		t.Errorf("nothing below: %+v", p)
	}
}
