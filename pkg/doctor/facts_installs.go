// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"path"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// subjectsOf are what a diagnosis looks at, through the eyes of each installation of the
// provisioner: the cluster and the nodes as each has them, and every chain as the one has it
// whose class it is of. A finding about one installation explains nothing of another.
func subjectsOf(s *snapshot.Snapshot) (all []*Subject, missing []snapshot.Ref) {
	views := s.Installations()
	for at, view := range views {
		x := newIndex(view)
		x.views, x.at = views, at
		of, gone := x.subjects()
		if at == 0 { // The objects are the same ones for all.
			missing = gone
		}
		all = append(all, of...)
	}
	// Findings of one kind come in the order of kinds.
	order := []Kind{OfCluster, OfNode, OfChain}
	slices.SortStableFunc(all, func(a, b *Subject) int { return slices.Index(order, a.Kind) - slices.Index(order, b.Kind) })
	return all, missing
}

// of ends the name of what each installation has for itself, where it is not the first one.
func (x *index) of() string {
	if x.at == 0 {
		return ""
	}
	return " of " + x.s.Install.Namespace + "/" + x.s.Install.Name
}

// owns reports whether a chain is the installation's. What is of no installation's class is the
// first one's.
func (x *index) owns(s *Subject) bool {
	switch {
	case len(x.views) < 2:
		return true
	case !s.Unseen.IsZero() && s.NodeName == "":
		return x.at == 0
	case !s.Unseen.IsZero():
		return s.Node != nil && x.has(s.Node)
	}
	best, owner := -1, 0
	for i, view := range x.views {
		class, ok := view.Install.ClassOf(s.ClassName)
		if !ok {
			continue
		}
		node, _ := view.NodeByName(s.NodeName)
		score := 0
		if p := s.place(); p != "" && path.Dir(path.Clean(p)) == path.Clean(class.HostDir) {
			score += 4
		}
		if node.Pod.Value != nil {
			score += 2
		}
		if node.Wanted {
			score++
		}
		if score > best {
			best, owner = score, i
		}
	}
	return owner == x.at
}

// has reports whether a node is the installation's to be asked about: it has a pod there or is
// meant to, or no installation is.
func (x *index) has(n *snapshot.Node) bool {
	if len(x.views) < 2 || n.Wanted || n.Pod.Value != nil {
		return true
	}
	return x.at == 0 && !slices.ContainsFunc(x.views, func(view *snapshot.Snapshot) bool {
		there, _ := view.NodeByName(n.Name)
		return there.Wanted
	})
}

// all are the snapshot as each installation has it.
func (x *index) all() []*snapshot.Snapshot {
	if len(x.views) == 0 {
		return []*snapshot.Snapshot{x.s}
	}
	return x.views
}
