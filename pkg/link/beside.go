// SPDX-License-Identifier: Apache-2.0

package link

import (
	"maps"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// open reports whether a link is made, or would be once what was not checked turns out well.
func (l Link) open() bool {
	return l.Action == change.Create || l.Action == change.Refuse &&
		!slices.ContainsFunc(l.Objections, func(o disk.Objection) bool { return o.Reason != disk.NotChecked })
}

// Shareable reports whether the plan makes, or may yet make, a link to a disk that a node which was not looked at
// may have too: one with an identity, on nothing that belongs to one machine alone.
func Shareable(s *snapshot.Snapshot, p Plan) bool {
	x := NewDevices(s)
	return slices.ContainsFunc(p.Links, func(l Link) bool {
		d, at := x.linked(l)
		return l.open() && at != nil && !d.Attached() && slices.ContainsFunc(at.set.Identities(d), disk.ID.Known)
	})
}

// UnreadElsewhere are the disks of other nodes, by node, that are the one of a link of the plan, and of
// which nobody has found out whether they are in use: those that were not asked for.
func UnreadElsewhere(s *snapshot.Snapshot, p Plan) map[string][]string {
	x := NewDevices(s)
	all := make(map[string][]string)
	for _, l := range p.Links {
		d, at := x.linked(l)
		if at == nil || !l.open() {
			continue
		}
		for node, other := range x.elsewhere(l, at.set.Identities(d)) {
			if other.how == sameLUN && other.at.by == SeenByPod && other.at.disk.Content == nil {
				all[node] = append(all[node], other.at.disk.Name)
			}
		}
	}
	return all
}

// Unseen are the nodes, chosen or not, whose disks could not be compared with those of the
// plan, and why.
func Unseen(s *snapshot.Snapshot) []Unread {
	every := *s
	every.Nodes, every.Beside = slices.Concat(s.Nodes, s.Beside), nil
	var all []Unread
	for _, n := range every.Nodes {
		_, seen := seenBy(&every, n)
		if every.WantedBy(n) && seen.View.Value == nil && value(n.Talos).Disks.Value == nil {
			all = join(all, n.Name, seen.View.Why().Message)
		}
	}
	return all
}

// Sharing are the other nodes that have, or may have, the disk that an argument of link names on a
// node.
func (x *Devices) Sharing(node string, arg disk.Arg) []snapshot.Node {
	at, ok := x.nodes[node]
	if !ok {
		return nil
	}
	set := x.Set(node)
	var all []snapshot.Node
	for _, d := range resolve(arg, value(at.View), set) {
		found := x.elsewhere(Link{Node: node}, set.Identities(d))
		for _, name := range slices.Sorted(maps.Keys(found)) {
			all = append(all, x.nodes[name])
		}
	}
	return all
}
