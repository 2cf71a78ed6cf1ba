// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// Fault is what is wrong with an entry or a mount, in one word. The words do not change. A plan refuses a directory for some of them.
type Fault string

// The faults.
const (
	// FaultNoDestination and FaultBadEntry: the kubelet does not start with the entry.
	FaultNoDestination Fault = "no-destination"
	FaultBadEntry      Fault = "bad-entry"
	// FaultDuplicated and FaultNested: two entries upon each other.
	FaultDuplicated Fault = "duplicated"
	FaultNested     Fault = "nested"
	// FaultNeedless: Talos mounts it itself.
	FaultNeedless    Fault = "needless"
	FaultOtherSource Fault = "other-source"
	FaultReadOnly    Fault = "read-only"
	// FaultBindForRbind: disks that are mounted below before the kubelet starts stay hidden.
	FaultBindForRbind Fault = "bind-for-rbind"
	// FaultPropagation: what is mounted later does not reach the kubelet.
	FaultPropagation Fault = "propagation"
	// FaultNotInForce: configured, and not in the kubelet.
	FaultNotInForce Fault = "not-in-force"
	// FaultHidden: a disk of the node that the kubelet does not see, below an entry.
	FaultHidden Fault = "hidden"
	// FaultStale: a mount in the kubelet that the node no longer has.
	FaultStale Fault = "stale"
	// FaultLeaked: the node has the same mount several times, one upon the other.
	FaultLeaked Fault = "leaked"
	// FaultUnknown: it was not found out whether the kubelet has an entry.
	FaultUnknown Fault = "unknown"
)

// Fault is the one that a directory is refused for, or that is removed; empty if the reason is another one.
func (r Reason) Fault() Fault {
	switch r {
	case ReasonDuplicate:
		return FaultDuplicated
	case ReasonNested:
		return FaultNested
	case ReasonBadEntry, ReasonOtherSource, ReasonReadOnly, ReasonBindForRbind, ReasonNotInForce, ReasonHidden:
		return Fault(r)
	}
	return ""
}

// Finding is one thing that is wrong with a node's mounts.
type Finding struct {
	Fault Fault `json:"flag"`
	// Path is the destination or the mount point.
	Path    string `json:"path"`
	Message string `json:"message"`
	// Doubles: each start of the kubelet doubles the node's own mounts there.
	Doubles bool `json:"-"`
}

// Findings are what is wrong with a node's extraMounts, and with the mounts that came
// of them: entry by entry in the list's order, then the node's own mounts. What
// was not read makes no finding but FaultUnknown.
func Findings(n NodeState) []Finding {
	var found []Finding
	add := func(fault Fault, path, format string, args ...any) {
		found = append(found, Finding{Fault: fault, Path: path, Message: fmt.Sprintf(format, args...)})
	}
	entries := n.Settings.ExtraMounts
	clashes := conflicts(n.Release, entries)
	seen := make(map[string]bool, len(entries))
	for i, m := range entries {
		if fault := m.fault(); fault != "" {
			flag := FaultBadEntry
			if m.Destination == "" {
				flag = FaultNoDestination
			}
			add(flag, m.Destination, "%s %s: the kubelet does not start with it", entry(i), fault)
			continue
		}
		dir := m.destination()
		needless := false
		for _, c := range clashes {
			switch {
			case c.upper != i:
			case c.lower < 0 && !c.leaks:
				needless = true
				add(FaultNeedless, dir, "%s", c.text(entries))
			case c.lower < 0:
				needless = true
				add(FaultNested, dir, "%s", c.text(entries))
				found[len(found)-1].Doubles = c.leaks
			case c.same:
				add(FaultDuplicated, dir, "%s", c.text(entries))
				found[len(found)-1].Doubles = c.leaks
			default:
				add(FaultNested, dir, "%s", c.text(entries))
				found[len(found)-1].Doubles = c.leaks
			}
		}
		if m.source() != dir {
			add(FaultOtherSource, dir, "%s mounts %s there: the kubelet sees another directory under this path", entry(i), m.source())
		}
		if m.readOnly() && !needless {
			add(FaultReadOnly, dir, "%s has the option ro: pods cannot write to directories in it", entry(i))
		}
		if !m.recursive() {
			n.bindFinding(i, m, add)
		}
		if m.propagation() == "private" {
			add(FaultPropagation, dir, "%s is private: the kubelet does not see what is mounted on the node later, until it starts again", entry(i))
		}
		if !seen[dir] && m.source() == dir {
			seen[dir] = true
			n.viewFindings(i, dir, add)
		}
	}
	if n.View != nil && n.View.HasMounts() {
		for _, l := range leaks(n.View.Host) {
			add(FaultLeaked, l.point,
				"the node has %s mounted there %d times: each start of a kubelet with two entries upon each other doubles it; the mounts stay until the node reboots",
				l.mount, l.times)
		}
	}
	return found
}

func (n NodeState) bindFinding(i int, m ExtraMount, add func(Fault, string, string, ...any)) {
	const rule = "%s has bind for rbind: "
	switch at, ok := n.diskBelow(m.destination()); {
	case ok:
		add(FaultBindForRbind, m.destination(), rule+
			"what is mounted at %s when the kubelet starts is hidden, and pods write to the disk beneath", entry(i), at)
	default:
		add(FaultBindForRbind, m.destination(), rule+"a disk that is mounted below it when the kubelet starts is hidden", entry(i))
	}
}

// viewFindings compares an entry with what the kubelet has.
func (n NodeState) viewFindings(i int, dir string, add func(Fault, string, string, ...any)) {
	s := n.Visibility(dir)
	switch {
	case len(s.Hidden) > 0 && s.MountPoint == disk.Yes:
		for _, h := range s.Hidden {
			add(FaultHidden, h.Point, "the kubelet does not see %s, but the directory beneath it", h)
		}
	case len(s.Stale) > 0:
		for _, m := range s.Stale {
			add(FaultStale, m.Point, "the kubelet still has %s, which is no longer mounted on the node", m)
		}
	case s.Visible == disk.No:
		add(FaultNotInForce, dir, "%s is not in force: %s", entry(i), s.Why)
	case s.Visible != disk.Yes:
		add(FaultUnknown, dir, "whether the kubelet has %s is unknown: %s", entry(i), s.Why)
	}
}

// leak is a mount that a node has several times at one point.
type leak struct {
	point string
	mount Mount
	times int
}

// leaks finds the same directory of the same file system mounted upon itself below
// /var, the uppermost points only: what is mounted below a leaked one leaks along.
// Nothing in Talos does that on purpose.
func leaks(host []Mount) []leak {
	type place struct {
		point, root string
		device      disk.Number
	}
	times := make(map[place]int, len(host))
	var found []leak
	for _, m := range host {
		at := place{m.Point, m.Root, m.Device}
		if times[at]++; times[at] == 2 && below(m.Point, "/var") {
			found = append(found, leak{point: m.Point, mount: m})
		}
	}
	upper := slices.DeleteFunc(slices.Clone(found), func(l leak) bool {
		return slices.ContainsFunc(found, func(o leak) bool { return o.point != l.point && below(l.point, o.point) })
	})
	for i, l := range upper {
		upper[i].times = times[place{l.point, l.mount.Root, l.mount.Device}]
	}
	return upper
}
