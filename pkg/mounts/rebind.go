// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// rebound is an entry that takes along what is mounted below it when the kubelet starts.
func (m ExtraMount) rebound() ExtraMount {
	m.Options = slices.Clone(m.Options)
	for i, o := range m.Options {
		if o == "bind" {
			m.Options[i] = "rbind"
		}
	}
	return m
}

// rebindable reports whether an entry can get rbind for bind: nothing may come along with it but what the classes have,
// whose directories dirs are.
func (n NodeState) rebindable(m ExtraMount, dirs []string) bool {
	if !has(m.Options, "bind") {
		return false // A file system of its own, for instance.
	}
	if slices.Contains(append(join(n.Release, dirs, nil), dirs...), m.destination()) {
		return true
	}
	if n.View == nil || !n.View.HasMounts() {
		return false
	}
	return !slices.ContainsFunc(newTree(n.View.Host).below(m.destination()), func(mounted Mount) bool {
		return !slices.ContainsFunc(dirs, func(dir string) bool { return below(mounted.Point, dir) })
	})
}

// rebind plans the entries that serve directories and get rbind for bind. A volume that becomes another directory by
// that may not be in use.
func (n NodeState) rebind(p *Plan, dirs []string) (refused *Plan) {
	for _, dir := range dirs {
		serving := n.serving(dir)
		p.Rebind = append(p.Rebind, serving[len(serving)-1])
	}
	slices.Sort(p.Rebind)
	p.Rebind = slices.Compact(p.Rebind)
	for _, i := range p.Rebind {
		p.Rebound = append(p.Rebound, n.Settings.ExtraMounts[i].rebound())
	}
	var changes []string
	for _, name := range n.volumes() {
		at := path.Clean(n.Volumes[name])
		s := n.Visibility(at)
		if s.Visible == disk.Yes || !slices.ContainsFunc(p.Rebound, func(m ExtraMount) bool { return below(at, m.destination()) }) {
			continue
		}
		changes = append(changes, name)
		if s.Visible == disk.No {
			p.warn(fmt.Sprintf("volume %q lies at %q: what was written there until now is on the disk beneath, and is hidden from then on", name,
				at))
		}
	}
	return n.usedBy(p, changes, "it has the directory beneath the disk, which its volume is no longer then")
}

// volumes are the names of the node's volumes.
func (n NodeState) volumes() []string { return slices.Sorted(maps.Keys(n.Volumes)) }
