// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"maps"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// State is what is known of the disk of a binding.
type State string

// The states.
const (
	// Bound: it is on its node.
	Bound State = "bound"
	// New: it is on its node, and was bound now.
	New State = "new"
	// Missing: it is not on its node, and on none that was looked at.
	Missing State = "missing"
	// Elsewhere: another node has it.
	Elsewhere State = "elsewhere"
	// Twice: another volume is bound to it too.
	Twice State = "twice"
	// Changed: a disk of the node has an identifier of the binding, and contradicts it otherwise.
	Changed State = "changed"
	// Unknown: its node's disks are not known.
	Unknown State = "unknown"
)

// Volume is a binding, and what is known of its disk.
type Volume struct {
	Node string `json:"node"`
	// Key is the volume's in the bindings, and Class the class in it.
	Key     string  `json:"volume"`
	Class   string  `json:"class"`
	Binding Binding `json:"binding"`
	State   State   `json:"state"`
	// Orphan: the layout has no such class for the node.
	Orphan bool `json:"orphan,omitempty"`
	// Disk is the disk's name in /dev, on the node, or on Other if it is elsewhere.
	Disk string `json:"disk,omitempty"`
	// Other is where else the disk is, or NODE/VOLUME that is bound to it too.
	Other string `json:"other,omitempty"`
	// Why is what contradicts, or why nothing is known.
	Why string `json:"why,omitempty"`
}

// States are the volumes of bindings on the nodes that were looked at, in the order of nodes and volumes.
func (o *Observed) States(l Layout, b Bindings) []Volume {
	var all []Volume
	at := make(map[string]int)
	for _, n := range o.s.Nodes {
		classes := make(map[string]bool)
		for _, c := range l.ClassesFor(n.Name) {
			classes[c.Name] = l.Includes(n.Name) && (c.Disks.Count == nil || *c.Disks.Count > 0)
		}
		for _, key := range slices.SortedFunc(maps.Keys(b.Nodes[n.Name]), compareVolumes) {
			v := o.state(n.Name, key, b.Nodes[n.Name][key])
			v.Orphan = !classes[v.Class]
			at[v.Node+"/"+key] = len(all)
			all = append(all, v)
		}
	}
	for _, pair := range o.twice(b) {
		for i, one := range pair {
			if n, listed := at[one]; listed {
				all[n].State, all[n].Other = Twice, pair[1-i]
			}
		}
	}
	return all
}

func (o *Observed) state(node, key string, b Binding) Volume {
	class, _, _ := ParseVolumeName(key)
	v := Volume{Node: node, Key: key, Class: class, Binding: b, State: Missing}
	if why := o.Unknown(node); !why.IsZero() {
		v.State, v.Why = Unknown, why.Message
		return v
	}
	if u, found := o.Find(node, b); found {
		v.State, v.Disk = Bound, u.Name
		return v
	}
	if u, found := o.changed(node, b); found {
		v.State, v.Disk = Changed, u.Name
		v.Why = fmt.Sprintf("%s, with %d bytes, and the binding says %s with %d", u.Identity(), u.Size, b.ID(), uint64(b.Size))
		if b.Size == 0 {
			v.Why = fmt.Sprintf("several disks have %s", b.ID())
		}
		return v
	}
	if u, found := o.elsewhere(node, b); found {
		v.State, v.Disk, v.Other = Elsewhere, u.Name, u.Node
	}
	return v
}

// twice are pairs of volumes, as NODE/VOLUME, that are bound to one disk: on one node by any identifier or by the disk that is found, on
// two by a WWID that names one disk on every machine.
func (o *Observed) twice(b Bindings) [][2]string {
	type bound struct {
		node, name string
		id         disk.ID
	}
	var pairs [][2]string
	byKey := make(map[string][]bound)
	add := func(key string, one bound) {
		for _, other := range byKey[key] {
			pair := [2]string{other.name, one.name}
			same, _ := other.id.SameLUN(one.id)
			if (same || other.node == one.node) && other.name != one.name && !slices.Contains(pairs, pair) {
				pairs = append(pairs, pair)
			}
		}
		byKey[key] = append(byKey[key], one)
	}
	for _, node := range slices.Sorted(maps.Keys(b.Nodes)) {
		for _, key := range slices.SortedFunc(maps.Keys(b.Nodes[node]), compareVolumes) {
			binding := b.Nodes[node][key]
			one := bound{node: node, name: node + "/" + key, id: binding.ID()}
			if u, found := o.Find(node, binding); found {
				add("found "+node+"/"+o.set(u).First(u.Disk).Name, one)
			}
			if binding.Slot() {
				add("slot "+node+"/"+binding.ByPath, one)
			}
			where := node + " " // Other identifiers repeat from node to node.
			if lun, _ := one.id.SameLUN(one.id); lun {
				where = ""
			}
			for _, key := range one.id.Keys() {
				add(where+key, one)
			}
		}
	}
	return pairs
}

// Includes reports whether a layout is about a node of a snapshot. By labels it is about every one: those are what the snapshot's nodes
// were chosen by.
func (l Layout) Includes(node string) bool {
	return l.Spec.Nodes.Selector != nil || MatchesAny(l.Spec.Nodes.Names, node)
}
