// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"maps"
	"path"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// Installation is one more installation of the provisioner than Snapshot.Install, and what
// its pods see.
type Installation struct {
	Install provisioner.Install `json:"install"`
	// Problem is why its classes are not known.
	Problem problem.Problem `json:"problem,omitzero"`
	// Provisioner is read to diagnose only.
	Provisioner Section[ProvisionerState] `json:"provisioner,omitzero"`
	// Nodes are what this installation has on the nodes of the snapshot, by name.
	Nodes map[string]Presence `json:"nodes,omitempty"`
}

// Presence is what one installation has on a node: the fields of Node with these names.
type Presence struct {
	Pod    Section[Pod]     `json:"pod,omitzero"`
	Wanted bool             `json:"wanted,omitempty"`
	View   Section[PodView] `json:"view,omitzero"`
}

// Name is "NAMESPACE/NAME" of the DaemonSet.
func (i Installation) Name() string { return i.Install.Namespace + "/" + i.Install.Name }

// Installations is the snapshot as each installation has it, in a fixed order: with its
// classes in Install, with its pods and what they see in Nodes, and with the further ones
// in Others. The first is the snapshot itself. What is not an installation's is shared.
func (s *Snapshot) Installations() []*Snapshot {
	all := make([]*Snapshot, 0, 1+len(s.Others))
	all = append(all, s)
	for i := range s.Others {
		all = append(all, s.as(i))
	}
	return all
}

// as is the snapshot as one of the others has it.
func (s *Snapshot) as(i int) *Snapshot {
	one, as := s.Others[i], *s
	as.Install, as.Provisioner = one.Install, one.Provisioner
	as.Unread = maps.Clone(s.Unread)
	delete(as.Unread, PartInstall)
	if !one.Problem.IsZero() {
		if as.Unread == nil {
			as.Unread = make(map[string]problem.Problem)
		}
		as.Unread[PartInstall] = one.Problem
	}
	first := Installation{Install: s.Install, Problem: s.Unread[PartInstall], Provisioner: s.Provisioner, Nodes: make(map[string]Presence)}
	as.Nodes = slices.Clone(s.Nodes)
	for n := range as.Nodes {
		node := &as.Nodes[n]
		first.Nodes[node.Name] = Presence{Pod: node.Pod, Wanted: node.Wanted, View: node.View}
		here := one.Nodes[node.Name]
		node.Pod, node.Wanted, node.View = here.Pod, here.Wanted, here.View
	}
	as.Others = append([]Installation{first}, slices.Delete(slices.Clone(s.Others), i, i+1)...)
	return &as
}

// HostDirs are the directories of the classes of every installation that is meant to have a pod on the node; of all
// of them where none is.
func (s *Snapshot) HostDirs(n Node) []string {
	var dirs []string
	nobody := !s.WantedBy(n)
	if n.Wanted || nobody {
		dirs = append(dirs, s.Install.HostDirs()...)
	}
	for _, o := range s.Others {
		if nobody || o.Nodes[n.Name].Wanted {
			dirs = append(dirs, o.Install.HostDirs()...)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// WantedBy reports whether any installation is meant to have a pod on the node.
func (s *Snapshot) WantedBy(n Node) bool {
	return n.Wanted || slices.ContainsFunc(s.Others, func(o Installation) bool { return o.Nodes[n.Name].Wanted })
}

// Seen is the snapshot as the first installation has it whose pod saw the node; the snapshot
// itself if none did.
func (s *Snapshot) Seen(node string) *Snapshot {
	for i, n := range s.Nodes {
		if n.Name != node || n.View.Value != nil {
			continue
		}
		for o := range s.Others {
			if s.Others[o].Nodes[node].View.Value != nil {
				one := *s
				one.Nodes = s.Nodes[i : i+1] // Only that node is asked about.
				seen := one.as(o)
				return seen
			}
		}
	}
	return s
}

// NodeByName is the node of that name.
func (s *Snapshot) NodeByName(name string) (Node, bool) {
	if i := slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Name == name }); i >= 0 {
		return s.Nodes[i], true
	}
	return Node{}, false
}

// InClassDirectory reports whether a volume's path lies directly in a class directory of an installation. What could not be
// read of such a directory is an objection of its own.
func (s *Snapshot) InClassDirectory(v Volume) bool {
	dir := path.Dir(path.Clean(v.Path))
	of := func(i provisioner.Install) bool {
		return slices.ContainsFunc(i.Classes, func(c provisioner.Class) bool { return dir == path.Clean(c.HostDir) })
	}
	return of(s.Install) || slices.ContainsFunc(s.Others, func(o Installation) bool { return of(o.Install) })
}
