// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// Ref names an object of Kubernetes.
type Ref struct {
	// Kind is kubectl's word: pod, pvc, pv, node, daemonset, storageclass.
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid,omitempty"`
}

// String is what kubectl takes, "pod/nginx"; the namespace is not in it.
func (r Ref) String() string { return r.Kind + "/" + r.Name }

// Event is an event of Kubernetes, with those that say the same counted.
type Event struct {
	About Ref `json:"about"`
	// Type is Normal or Warning.
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// From is the component that reports it, Host its node, where it has one.
	From  string    `json:"from,omitempty"`
	Host  string    `json:"host,omitempty"`
	Count int       `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// Claim is a PersistentVolumeClaim.
type Claim struct {
	ClaimRef
	object  `json:"-"` //nolint:unused // It is there for its methods.
	UID     types.UID  `json:"uid"`
	Created time.Time  `json:"created"`
	// Class is nil where the claim names none, which is not the same as "".
	Class       *string          `json:"class,omitempty"`
	Mode        provisioner.Mode `json:"mode"`
	AccessModes []string         `json:"accessModes,omitempty"`
	// Request in bytes.
	Request int64 `json:"request"`
	// Selector is the label selector in kubectl's syntax; empty if there is none.
	Selector string `json:"selector,omitempty"`
	// Volume is the one that the claim is, or asks to be, bound to.
	Volume   string `json:"volume,omitempty"`
	Phase    string `json:"phase"`
	Deleting bool   `json:"deleting,omitempty"`
	// NotLocal is what provides the claim's volume where that is not a local one: the
	// StorageClass's provisioner or the kind of volume. Such a volume is not among
	// Snapshot.Volumes.
	NotLocal string `json:"notLocal,omitempty"`
}

// object, beside an embedded ClaimRef, keeps its methods from making a text of the whole
// struct in JSON: of two methods of one name at the same depth Go takes neither.
type object struct{}

// MarshalText is never called.
func (object) MarshalText() ([]byte, error) { return nil, errors.ErrUnsupported }

// UnmarshalText is never called.
func (*object) UnmarshalText([]byte) error { return errors.ErrUnsupported }

// UserPod is a pod as far as its volumes are concerned.
//
// Of a pod that is here for its claims and is no target itself, only the volumes are
// told that made it be here.
type UserPod struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
	Created   time.Time `json:"created"`
	Deleting  bool      `json:"deleting,omitempty"`
	// Node is empty until the pod is scheduled.
	Node  string `json:"node,omitempty"`
	Phase string `json:"phase"`
	Ready bool   `json:"ready"`
	// Started tells that one of its containers runs now.
	Started bool `json:"started,omitempty"`
	// VolumesSince is when its volumes were there at the latest; nil: they never were, or
	// nothing tells.
	VolumesSince *time.Time `json:"volumesSince,omitempty"`
	// Unscheduled is the message of the PodScheduled condition where it is not true.
	Unscheduled string      `json:"unscheduled,omitempty"`
	Volumes     []PodVolume `json:"volumes,omitempty"`
	// Waiting are containers that do not run, and why.
	Waiting      []Waiting         `json:"waiting,omitempty"`
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// NodeAffinity are the terms of the required one, any of which a node has to meet:
	// selectors in kubectl's syntax, with the node's name as metadata.name.
	NodeAffinity []string            `json:"nodeAffinity,omitempty"`
	Tolerations  []corev1.Toleration `json:"tolerations,omitempty"`
}

// PodVolume is one of a pod's volumes: a claim or a directory of the node.
type PodVolume struct {
	Name  string `json:"name"`
	Claim string `json:"claim,omitempty"`
	// HostPath and HostPathType are those of a hostPath volume.
	HostPath     string `json:"hostPath,omitempty"`
	HostPathType string `json:"hostPathType,omitempty"`
	ReadOnly     bool   `json:"readOnly,omitempty"`
	// Mounted and Device tell whether a container has it among its volumeMounts,
	// and among its volumeDevices.
	Mounted bool `json:"mounted,omitempty"`
	Device  bool `json:"device,omitempty"`
}

// Waiting is a container that does not run. What it or the runtime says of it is not kept:
// nothing reads it, and it may be the application's own words.
type Waiting struct {
	Container string `json:"container"`
	Reason    string `json:"reason"`
}

// ProvisionerState is how the provisioner itself does.
type ProvisionerState struct {
	// UID is the DaemonSet's.
	UID types.UID `json:"uid,omitempty"`
	// Desired is on how many nodes the DaemonSet wants a pod, Ready on how many one is.
	Desired int `json:"desired"`
	Ready   int `json:"ready"`
	// PodSecurity is the level that its namespace enforces; empty: no label says.
	PodSecurity string `json:"podSecurity,omitempty"`
	// PodSecurityProblem is why that could not be read.
	PodSecurityProblem problem.Problem `json:"podSecurityProblem,omitzero"`
	// Pods are its pods on the nodes that were looked at, whatever their state.
	// PodsProblem is why they could not be read.
	Pods        []ProvisionerPod `json:"pods,omitempty"`
	PodsProblem problem.Problem  `json:"podsProblem,omitzero"`
	// Log are the last lines of each pod's log that tell of a warning or an error, by
	// node; a log that was read and has none is there without any.
	Log map[string][]string `json:"log,omitempty"`
	// LogProblem is why logs could not be read, by node.
	LogProblem map[string]problem.Problem `json:"logProblem,omitempty"`
	// Jobs are those that clean volumes (useJobForCleaning), in the provisioner's namespace.
	// They are read where a released volume may have one.
	Jobs Section[[]CleaningJob] `json:"jobs,omitzero"`
}

// CleaningJob is a Job that cleans a volume.
type CleaningJob struct {
	Name string `json:"name"`
	// Volume and VolumeUID are the PersistentVolume that it was made for.
	Volume    string    `json:"volume"`
	VolumeUID types.UID `json:"volumeUID,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	// Active, Succeeded and Failed count its pods.
	Active    int `json:"active,omitempty"`
	Succeeded int `json:"succeeded,omitempty"`
	Failed    int `json:"failed,omitempty"`
	// GaveUp is why it tries no more, in the cluster's words.
	GaveUp string           `json:"gaveUp,omitempty"`
	Pods   []ProvisionerPod `json:"pods,omitempty"`
}

// ProvisionerPod is a pod of the provisioner's DaemonSet.
type ProvisionerPod struct {
	Name     string    `json:"name"`
	UID      types.UID `json:"uid"`
	Node     string    `json:"node"`
	Phase    string    `json:"phase"`
	Ready    bool      `json:"ready"`
	Deleting bool      `json:"deleting,omitempty"`
	// Restarts of its containers, all together.
	Restarts int       `json:"restarts,omitempty"`
	Waiting  []Waiting `json:"waiting,omitempty"`
	// Unscheduled is why no node has it, in the scheduler's words, for the pod of a Job.
	Unscheduled string `json:"unscheduled,omitempty"`
}

// VolumeStat is a claim's file system as the kubelet measures it in a running pod
// (stats/summary; statfs on the pod's mount).
type VolumeStat struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Claim     string `json:"claim"`
	// Capacity in bytes.
	Capacity int64 `json:"capacity"`
}
