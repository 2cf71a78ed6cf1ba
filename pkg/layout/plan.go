// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Status is how a volume of a layout is, beside what there is. The words are part of machine output and do not change.
type Status string

// The statuses.
const (
	// StatusInPlace: it is on the bound disk.
	StatusInPlace Status = "in-place"
	// StatusCreate: it is nowhere, and the bound disk can be given away.
	StatusCreate Status = "create"
	// StatusAdopt: a partition with its label is on the bound disk, and no document asks for it: it is taken with its data.
	StatusAdopt Status = "adopt"
	// StatusElsewhere: it is on another disk than the bound one.
	StatusElsewhere Status = "elsewhere"
	// StatusTwice: its label is on several devices, or two volumes are bound to one disk.
	StatusTwice Status = "twice"
	// StatusMismatch: it is there, and is something else than the class asks for: another filesystem, or another kind of volume.
	StatusMismatch Status = "mismatch"
	// StatusLeftovers: the bound disk has something on it, and has to be wiped first.
	StatusLeftovers Status = "leftovers"
	// StatusInUse: the bound disk cannot be given away.
	StatusInUse Status = "in-use"
	// StatusMissing: the bound disk is not on the node.
	StatusMissing Status = "missing"
	// StatusFailed: a document asks for it, and Talos has not made it.
	StatusFailed Status = "failed"
	// StatusRefused: its class can be nothing on its nodes, or its document cannot be written.
	StatusRefused Status = "refused"
	// StatusUnbound: the class has no binding on the node, or fewer than it has disks.
	StatusUnbound Status = "unbound"
	// StatusOrphan: it is there, of a class of the layout, and the bindings do not have it; or they do, and the layout has no such class
	// there.
	StatusOrphan Status = "orphan"
	// StatusForeign: a volume of Talos that is none of the layout's. It is never touched.
	StatusForeign Status = "foreign"
	// StatusUnknown: too little is known.
	StatusUnknown Status = "unknown"
)

// Plan is what lies between a layout with its bindings and a cluster.
type Plan struct {
	Classes []ClassWay `json:"classes"`
	// Volumes are in the order of nodes, of those first that the bindings have.
	Volumes []VolumePlan `json:"volumes"`
	// Nodes are those of the layout that were observed, in their order.
	Nodes []NodePlan `json:"nodes"`
	// Provisioner is what is to become of the provisioner's classes.
	Provisioner ValuesPlan `json:"provisioner"`
	// NotObserved are nodes of the bindings that were not observed, sorted.
	NotObserved []string `json:"notObserved,omitempty"`
}

// VolumePlan is one volume on one node.
type VolumePlan struct {
	Node string `json:"node"`
	// Volume is its key in the bindings, empty for what they do not have, and Name what it is called on the node.
	Volume string `json:"volume,omitempty"`
	Name   string `json:"name,omitempty"`
	Class  string `json:"class,omitempty"`
	// Disk is the disk's name in /dev, where it is known: the bound one, or the one that it is on. Size is that disk's in bytes.
	Disk   string        `json:"disk,omitempty"`
	Size   uint64        `json:"size,omitempty"`
	Status Status        `json:"status"`
	Action change.Action `json:"action"`
	// Wipe: the disk is wiped first, which was accepted.
	Wipe bool `json:"wipe,omitempty"`
	// Unchecked: only Talos has reported of the disk, in a cluster without a provisioner that could have looked for links and data.
	Unchecked bool `json:"unchecked,omitempty"`
	// Why says more, for people.
	Why        string           `json:"why,omitempty"`
	Objections []disk.Objection `json:"objections,omitempty"`
	Warnings   []string         `json:"warnings,omitempty"`
}

// NodePlan is what is to become of one node's machine configuration.
type NodePlan struct {
	Node    string               `json:"node"`
	Address string               `json:"address,omitempty"`
	Release talosrelease.Release `json:"talos"`
	// Documents are those that its volumes need, in the order of the volumes.
	Documents []DocumentPlan `json:"documents,omitempty"`
	// ConfigProblem is why it is not known which of them are there.
	ConfigProblem problem.Problem `json:"configProblem,omitzero"`
	// Required are the directories that its kubelet must see, and Mounts what is planned for that.
	Required []string    `json:"required,omitempty"`
	Mounts   mounts.Plan `json:"mounts,omitzero"`
}

// DocumentPlan is one document that a node's volumes need.
type DocumentPlan struct {
	Document
	// Volume is the key of the volume; empty for a directory volume, which has the links of a class.
	Volume string        `json:"volume,omitempty"`
	Class  string        `json:"class"`
	State  DocumentState `json:"state"`
	Action change.Action `json:"action"`
	// Staged: Talos takes it with the node's next boot only.
	Staged bool   `json:"staged,omitempty"`
	Why    string `json:"why,omitempty"`
}

// has reports whether any of the actions is in the plan.
func (p Plan) has(of ...change.Action) bool {
	return slices.ContainsFunc(p.Volumes, func(v VolumePlan) bool { return slices.Contains(of, v.Action) }) || p.changes(of...)
}

// changes reports whether any of the actions is planned for the nodes or the provisioner.
func (p Plan) changes(of ...change.Action) bool {
	return slices.Contains(of, p.Provisioner.Action) || slices.ContainsFunc(p.Nodes, func(n NodePlan) bool {
		return slices.Contains(of, n.Mounts.Action) ||
			slices.ContainsFunc(n.Documents, func(d DocumentPlan) bool { return slices.Contains(of, d.Action) })
	})
}

// Differs reports whether the cluster is not as the layout has it.
func (p Plan) Differs() bool {
	return p.has(change.Create, change.Patch, change.Remove, change.Refuse) ||
		slices.ContainsFunc(p.Volumes, func(v VolumePlan) bool { return v.Status == StatusOrphan || v.Status == StatusUnbound })
}

// Unknown reports whether too little is known of something.
func (p Plan) Unknown() bool {
	return len(p.NotObserved) > 0 || p.changes(change.Skip) ||
		slices.ContainsFunc(p.Volumes, func(v VolumePlan) bool { return v.Status == StatusUnknown })
}

// Refused reports whether something of the layout cannot be done.
func (p Plan) Refused() bool { return p.has(change.Refuse) }
