// SPDX-License-Identifier: Apache-2.0

package link

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// APIVersion and Kind of a plan in a file.
const (
	APIVersion = "talosdisk.dev/v1alpha1"
	Kind       = "LinkPlan"
)

// Request is what a person asks for.
type Request struct {
	Disks []disk.Arg
	// Class is the chosen class; empty: the only Block class.
	Class string
	// As is the link's name, for one disk only; empty: named after the disk.
	As     string
	Target disk.TargetMode
	Accept []Acceptance
}

// Plan is what is to happen to each disk on each node, and, once performed,
// what happened.
type Plan struct {
	metav1.TypeMeta `json:",inline"`
	// Provisioner is the DaemonSet as NAMESPACE/NAME.
	Provisioner string `json:"provisioner"`
	Links       []Link `json:"items"`
}

// Metadata names a link for -o name and for people's tools.
type Metadata struct {
	// Name is NODE/DISK.
	Name string `json:"name"`
}

// Link is one disk on one node.
type Link struct {
	// APIVersion and Kind are what every printed item has; a plan in a file is read
	// strictly, and has them.
	APIVersion string   `json:"apiVersion,omitempty"`
	Kind       string   `json:"kind,omitempty"`
	Metadata   Metadata `json:"metadata,omitzero"`

	Node    string    `json:"node"`
	NodeUID types.UID `json:"nodeUID,omitempty"`
	// Disk is the name in /dev, or what was asked for where no such disk is.
	Disk  string `json:"disk"`
	Class string `json:"class"`
	// Entry is the link's name in the class directory.
	Entry string `json:"entry"`
	// Path is the entry as the provisioner's container sees it; Volume's path is
	// HostPath.
	Path     string `json:"path"`
	HostPath string `json:"hostPath"`
	// Target is the link's content.
	Target string `json:"target,omitempty"`
	// Volume is the name that the provisioner will give the PersistentVolume.
	Volume string `json:"volume,omitempty"`
	// Size in bytes.
	Size        uint64      `json:"size,omitempty"`
	Device      disk.Number `json:"device,omitzero"`
	Identity    disk.ID     `json:"identity,omitzero"`
	Fingerprint string      `json:"fingerprint,omitempty"`

	Action     change.Action    `json:"action"`
	Objections []disk.Objection `json:"objections,omitempty"`
	Accepted   []disk.Objection `json:"accepted,omitempty"`
	Warnings   []string         `json:"warnings,omitempty"`

	Result change.Result `json:"result,omitempty"`
	// Detail is why a link failed or is unknown.
	Detail string `json:"detail,omitempty"`
	// VolumeState is what is known of the volume once it was waited for.
	VolumeState string `json:"volumeState,omitempty"`

	// recorded: which disk the volume was made for is known beside the volume.
	recorded bool
}

// Refused reports whether the plan refuses the link.
func (l Link) Refused() bool { return l.Action == change.Refuse }
