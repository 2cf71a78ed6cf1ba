// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// judge decides on one clean directory of all of the classes'. change.Patch means that it needs an entry, or with
// ReasonBindForRbind that the one it has gets rbind.
func (n NodeState) judge(dir string, all []string) Directory {
	s := n.Visibility(dir)
	d := Directory{Path: dir, Visible: s.Visible}
	if talos, ok := n.Release.DefaultMountAbove(dir); ok {
		return n.byTalos(d, s, talos)
	}
	if talos, ok := n.Release.DefaultMountBelow(dir); ok {
		return d.refuse(ReasonHoldsTalos, fmt.Sprintf("holds %s, which Talos mounts into the kubelet itself: a mount of the whole would nest",
			talos.Destination), "give the provisioner a directory of its own, such as /var/lib/disks")
	}
	if !below(dir, "/var") {
		return d.refuse(ReasonOffVar, "is not below /var: Talos's root file system is read-only, and the kubelet would not start",
			"give the provisioner a directory below /var, such as /var/lib/disks")
	}
	if !n.ConfigProblem.IsZero() {
		if s.Visible == disk.Yes {
			return d.unchanged(ReasonVisible, "is visible: "+s.Why)
		}
		d.Action, d.Reason = change.Skip, ReasonConfigNotRead
		d.Message = fmt.Sprintf("is visible or not is unknown: %s; the configuration was not read: %s", s.Why, n.ConfigProblem)
		if s.Visible == disk.No {
			d.Message = fmt.Sprintf("is not visible: %s; the configuration was not read: %s", s.Why, n.ConfigProblem)
		}
		return d
	}
	if serving := n.serving(dir); len(serving) > 0 {
		d = n.byEntries(d, s, serving, all)
		if below(dir, varMnt) && d.Action == change.Keep && d.Warning == "" {
			d.Warning = "needs no entry on Talos v1.10, where one doubles the node's mounts with each start of the kubelet: take it out when you upgrade"
		}
		return d
	}
	var held, of []string
	for i, m := range n.Settings.ExtraMounts {
		if m.fault() == "" && below(m.destination(), dir) {
			held, of = append(held, m.destination()), append(of, entry(i))
		}
	}
	switch {
	case s.Visible == disk.Yes:
		d = d.unchanged(ReasonVisible, "is visible: "+s.Why)
		d.Warning = "is no longer visible once the kubelet starts again: its configuration has no entry for it"
		return d
	case len(held) == 1:
		return d.refuse(ReasonNested, fmt.Sprintf("holds %s of %s: an entry for it would nest", held[0], of[0]),
			n.edit(fmt.Sprintf("replace that entry by one for %q", dir)))
	case len(held) > 1:
		return d.refuse(ReasonNested, fmt.Sprintf("holds %s of %s: an entry for it would nest", strings.Join(held, ", "), strings.Join(of, ", ")),
			n.edit(fmt.Sprintf("replace those entries by one for %q", dir)))
	case below(dir, varMnt):
		// Only before v1.10: it would work, until the upgrade mounts /var/mnt as well, and
		// then each start of the kubelet doubles the node's mounts.
		return d.refuse(ReasonVarMnt,
			"is not mounted into the kubelet before Talos v1.10, and from then on an entry there doubles the node's mounts with each start of the kubelet",
			"upgrade to Talos v1.10.5 or later, which shows it to the kubelet without an entry, or give the provisioner another directory, such as /var/lib/disks")
	}
	d.Action, d.Reason, d.Message = change.Patch, ReasonNoEntry, "is not visible to the kubelet: no extraMount covers it"
	if s.Visible != disk.No {
		d.Message = "has no extraMount, and whether the kubelet sees it is unknown: " + s.Why
	}
	return d
}

// Visibility is what the kubelet sees at dir; unknown where nobody looked.
func (n NodeState) Visibility(dir string) Visibility {
	if n.View == nil {
		return Visibility{Path: dir, Visible: disk.Unknown, Why: cmp.Or(n.ViewProblem.Message, "not checked"), MountPoint: disk.Unknown}
	}
	return n.View.Visibility(dir)
}

// serving are the positions of the entries that dir lies in, the nearest last.
func (n NodeState) serving(dir string) []int {
	var found []int
	for i, m := range n.Settings.ExtraMounts {
		if m.Destination != "" && below(dir, m.destination()) {
			found = append(found, i)
		}
	}
	slices.SortStableFunc(found, func(a, b int) int {
		return len(n.Settings.ExtraMounts[a].destination()) - len(n.Settings.ExtraMounts[b].destination())
	})
	return found
}

// byTalos decides on a directory in what Talos mounts into every kubelet.
func (n NodeState) byTalos(d Directory, s Visibility, talos talosrelease.DefaultMount) Directory {
	if s.Visible == disk.No {
		return d.refuse(ReasonHidden, fmt.Sprintf("lies in %s, which Talos mounts into the kubelet, and is still not visible: %s",
			talos.Destination, s.Why), n.restartHint())
	}
	if s.Visible != disk.Yes && talos.Destination != "/dev" && !has(talos.Options, "rbind") {
		d.Action, d.Reason = change.Skip, ReasonNotSeen
		d.Message = fmt.Sprintf("lies in %s, of which Talos %s shows the kubelet no disk mounted below, and whether there is one is unknown: %s",
			talos.Destination, n.Release, s.Why)
		return d
	}
	return d.unchanged(ReasonVisible, fmt.Sprintf("is visible: Talos %s mounts %s into the kubelet", n.Release, talos.Destination))
}

// byEntries decides on a directory that entries of the configuration are for.
func (n NodeState) byEntries(d Directory, s Visibility, serving []int, all []string) Directory {
	entries := n.Settings.ExtraMounts
	for _, i := range serving {
		if fault := entries[i].fault(); fault != "" {
			return d.refuse(ReasonBadEntry, fmt.Sprintf("is not mounted: %s %s", entry(i), fault), n.edit("fix it"))
		}
	}
	i := serving[len(serving)-1] // The nearest, and of equals the last, is on top.
	m := entries[i]
	if len(serving) > 1 && s.Visible != disk.Yes {
		lower := serving[len(serving)-2]
		c := conflict{upper: i, lower: lower, same: entries[lower].destination() == m.destination()}
		reason := ReasonNested
		if c.same {
			reason = ReasonDuplicate
		}
		seen := "and not seen: "
		if s.Visible != disk.No {
			seen = fmt.Sprintf("and whether the kubelet sees it is unknown (%s): ", s.Why)
		}
		return d.refuse(reason, "is mounted more than once, "+seen+c.text(entries), n.edit("leave one of them"))
	}
	if from := m.leads(d.Path); from != d.Path {
		return d.refuse(ReasonOtherSource, fmt.Sprintf("is another directory in the kubelet: %s mounts %s there", entry(i), from),
			n.edit("make source and destination the same"))
	}
	if m.readOnly() {
		return d.refuse(ReasonReadOnly, fmt.Sprintf("is read-only in the kubelet: %s has the option ro", entry(i)), n.edit("replace ro by rw"))
	}
	if !m.recursive() {
		if at, ok := n.diskBelow(m.destination()); ok {
			message := fmt.Sprintf("is mounted by %s with bind, which leaves out what is mounted at %s when the kubelet starts: pods would write to the disk beneath",
				entry(i), at)
			if !n.rebindable(m, all) {
				return d.refuse(ReasonBindForRbind, message, n.edit("replace bind by rbind"))
			}
			d.Action, d.Reason, d.Message = change.Patch, ReasonBindForRbind, message
			return d
		}
		if n.View == nil || !n.View.HasMounts() {
			d.Warning = fmt.Sprintf("is mounted by %s with bind, which hides disks that are mounted below it when the kubelet starts; whether there are any was not seen",
				entry(i))
		}
	}
	switch s.Visible {
	case disk.Yes:
		return d.unchanged(ReasonVisible, "is visible: "+s.Why)
	case disk.No:
		return d.refuse(ReasonNotInForce, fmt.Sprintf("is asked for by %s, which is not in force: %s", entry(i), s.Why), n.restartHint())
	default:
		return d.unchanged(ReasonConfigured, fmt.Sprintf("is asked for by %s; whether the kubelet sees it is unknown: %s", entry(i), s.Why))
	}
}

// diskBelow is where a disk is mounted below dir: as the node's mounts show it,
// or as its configuration asks for it.
func (n NodeState) diskBelow(dir string) (string, bool) {
	if n.View != nil && n.View.HasMounts() {
		if mounted := newTree(n.View.Host).below(dir); len(mounted) > 0 {
			return mounted[0].Point, true
		}
		return "", false
	}
	for _, m := range n.Settings.MachineDisks {
		if m.Mountpoint != dir && below(m.Mountpoint, dir) {
			return m.Mountpoint, true
		}
	}
	return "", false
}

// restartHint is the command that puts a configuration in force that is not.
func (n NodeState) restartHint() string {
	hint := "restart the kubelet: " + shell.Command("talosctl", "-n", n.address(), "service", "kubelet", "restart")
	if hazard := n.Release.RestartHazard(); hazard != "" {
		hint = fmt.Sprintf("upgrade Talos first: %s; then %s", hazard, hint)
	}
	return hint
}

func (d Directory) unchanged(reason Reason, message string) Directory {
	d.Action, d.Reason, d.Message = change.Keep, reason, message
	return d
}

func (d Directory) refuse(reason Reason, message, hint string) Directory {
	d.Action, d.Reason, d.Message, d.Hint = change.Refuse, reason, message, hint
	return d
}
