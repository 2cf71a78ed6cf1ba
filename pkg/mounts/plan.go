// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// NodeState is what is known of one node when its mounts are decided on.
type NodeState struct {
	// Node is the node's name, Address what talosctl -n takes.
	Node    string               `json:"node"`
	Address string               `json:"address,omitempty"`
	Release talosrelease.Release `json:"version"`
	// Settings is what the configuration in force says of the kubelet. ConfigProblem
	// says why it could not be read (only os:admin may), and Settings counts for nothing.
	Settings      Settings        `json:"config,omitzero"`
	ConfigProblem problem.Problem `json:"configProblem,omitzero"`
	// StagedDiffers: the configuration on disk is not the one in force.
	StagedDiffers bool `json:"stagedDiffers,omitempty"`
	// Tried: a configuration was tried since the node booted, and may be in force still.
	Tried bool `json:"tried,omitempty"`
	// View is what the kubelet sees. Nil: ViewProblem says why it is not known.
	View        *KubeletView    `json:"view,omitempty"`
	ViewProblem problem.Problem `json:"viewProblem,omitzero"`
	// Ready is the node's condition; NotReady its message where it is not.
	Ready    bool   `json:"ready"`
	NotReady string `json:"notReady,omitempty"`
	// Volumes are the local volumes (PersistentVolumes) of this node: path by name.
	Volumes map[string]string `json:"volumes,omitempty"`
	// Used are those of them with a file system that pods use, with the pods.
	// UsedProblem is why that is not known.
	Used        map[string][]string `json:"used,omitempty"`
	UsedProblem string              `json:"usedProblem,omitempty"`
}

// Request is what a person asks for.
type Request struct {
	// Required are the directories that the kubelet must see, or, with Remove, no
	// longer need: the provisioner's hostDirs as they are.
	Required []string
	// Propagation of new entries; empty is PropagationSlave.
	Propagation Propagation
	// Remove takes entries out.
	Remove bool
	// Convert replaces a KubeletConfig document by machine.kubelet.
	Convert bool
	// AcceptHazard restarts the kubelet even where that unmounts volumes.
	AcceptHazard bool
	// Staged leaves the change for the node's next boot, so that no kubelet restarts now.
	Staged bool
}

// Propagation reports whether mounts that are made later on the node reach the kubelet.
type Propagation string

// The propagations. A slave gets the node's mounts, and cannot give any back;
// the kubelet of a local volume needs no more.
const (
	PropagationSlave   Propagation = "rslave"
	PropagationShared  Propagation = "rshared"
	PropagationPrivate Propagation = "private"
)

// Reason is why a plan is what it is, in one word for machines. The words do not change.
type Reason string

// Reasons why nothing needs to be done.
const (
	// ReasonVisible: the kubelet sees it.
	ReasonVisible Reason = "visible"
	// ReasonConfigured: the configuration asks for it; what the kubelet sees was not found out.
	ReasonConfigured Reason = "configured"
	// ReasonNothing: no directory is required.
	ReasonNothing Reason = "nothing-required"
)

// ReasonNoEntry is why a mount is added, or none can be removed: no entry serves.
// ReasonRemove is why entries are removed.
const (
	ReasonNoEntry Reason = "no-entry"
	ReasonRemove  Reason = "remove"
)

// Reasons why too little is known.
const (
	ReasonVersionUnknown Reason = "version-unknown"
	ReasonConfigNotRead  Reason = "config-not-read"
	ReasonNotSeen        Reason = "not-seen"
)

// Reasons to refuse.
const (
	ReasonVersion         Reason = "talos-version"
	ReasonDirectory       Reason = "directory"
	ReasonPropagation     Reason = "propagation"
	ReasonOffVar          Reason = "off-var"
	ReasonVarMnt          Reason = "var-mnt"
	ReasonHoldsTalos      Reason = "holds-talos-mounts"
	ReasonKubeletDocument Reason = "kubelet-document"
	ReasonStaged          Reason = "staged-config"
	ReasonNotReady        Reason = "not-ready"
	ReasonHazard          Reason = "kubelet-restart-hazard"
	ReasonVolumeInUse     Reason = "volume-in-use"
	// ReasonConfig: the configuration cannot be edited safely, or Talos would not take it.
	ReasonConfig Reason = "config"
)

// Reasons to refuse that are faults: Reason.Fault says which. Two have words of their own.
const (
	ReasonDuplicate Reason = "duplicate-entries"
	ReasonNested    Reason = "nested-entries"

	ReasonBadEntry     = Reason(FaultBadEntry)
	ReasonOtherSource  = Reason(FaultOtherSource)
	ReasonReadOnly     = Reason(FaultReadOnly)
	ReasonBindForRbind = Reason(FaultBindForRbind)
	ReasonNotInForce   = Reason(FaultNotInForce)
	// ReasonHidden: Talos mounts it into the kubelet, and it does not get there.
	ReasonHidden = Reason(FaultHidden)
)

// Directory is what is decided on one required directory.
type Directory struct {
	Path    string        `json:"path"`
	Action  change.Action `json:"action"`
	Reason  Reason        `json:"reason"`
	Visible disk.Answer   `json:"visible"`
	// Message completes the path: `is mounted into the kubelet by Talos v1.14.0`.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Warning is what is not as it should be although nothing is done about it.
	Warning string `json:"warning,omitempty"`
}

// Plan is what is to happen to one node.
type Plan struct {
	Node   string        `json:"node"`
	Action change.Action `json:"action"`
	Reason Reason        `json:"reason"`
	// Message is a sentence for a person, Hint what to do.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Ways are how the disks can be used without an extraMount, where none is possible.
	Ways []Way `json:"ways,omitempty"`

	Directories []Directory `json:"directories,omitempty"`
	// Add are entries to append. Remove are positions in the list as it is, ascending,
	// and Removed the entries there.
	Add     []ExtraMount `json:"add,omitempty"`
	Remove  []int        `json:"remove,omitempty"`
	Removed []ExtraMount `json:"removed,omitempty"`
	// Rebind are positions of entries whose option bind becomes rbind, and Rebound those entries then.
	Rebind  []int        `json:"rebind,omitempty"`
	Rebound []ExtraMount `json:"rebound,omitempty"`
	// Convert: a KubeletConfig document becomes machine.kubelet first.
	Convert bool `json:"convert,omitempty"`
	// Restarts: performing it restarts the kubelet. Pods keep running.
	Restarts bool     `json:"restarts,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Appear are the directories that the kubelet must see once the plan is performed.
func (p Plan) Appear() []string {
	var dirs []string
	for _, m := range p.Rebound {
		dirs = append(dirs, m.destination())
	}
	for _, m := range p.Add {
		dirs = append(dirs, m.Destination)
	}
	return dirs
}

func (p *Plan) end(action change.Action, reason Reason, message, hint string) Plan {
	p.Action, p.Reason, p.Message, p.Hint = action, reason, message, hint
	p.Add, p.Remove, p.Removed, p.Rebind, p.Rebound, p.Convert, p.Restarts = nil, nil, nil, nil, nil, false, false
	return *p
}

func (p *Plan) warn(warning string) {
	if warning != "" {
		p.Warnings = append(p.Warnings, warning)
	}
}
