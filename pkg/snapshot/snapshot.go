// SPDX-License-Identifier: Apache-2.0

// Package snapshot is what was observed of a cluster: the one value that
// decisions are made from. It holds projections, fields that a decision reads,
// and never a whole Kubernetes object.
//
// Package observe fills it; nothing here does I/O.
package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// NodeByHostname is the name of the chosen node that has this
// kubernetes.io/hostname label, by which volumes say where they are; the hostname
// itself if none has. The two differ where the kubelet was given another name.
func (s *Snapshot) NodeByHostname(hostname string) string {
	for _, n := range s.Nodes {
		if n.Labels[corev1.LabelHostname] == hostname {
			return n.Name
		}
	}
	return hostname
}

// Section is a part of a snapshot in one of three states: read (Value), could
// not be read (Problem says why), not asked for (neither). Anyone who decides takes
// the last two for unknown. A Problem beside a Value, which events only have, tells
// that there may be more.
type Section[T any] struct {
	Value   *T              `json:"value,omitempty"`
	Problem problem.Problem `json:"problem,omitzero"`
}

// UnmarshalJSON reads a section. In a file of version 1 the kind of its problem stands beside it.
func (s *Section[T]) UnmarshalJSON(b []byte) error {
	var in struct {
		Value   *T              `json:"value"`
		Problem problem.Problem `json:"problem"`
		Kind    problem.Kind    `json:"kind"`
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return err
	}
	if in.Kind != "" {
		in.Problem.Kind = in.Kind
	}
	*s = Section[T]{Value: in.Value, Problem: in.Problem}
	return nil
}

// Read is a section with a value.
func Read[T any](v T) Section[T] { return Section[T]{Value: &v} }

// Unread is a section that could not be read.
func Unread[T any](p problem.Problem) Section[T] { return Section[T]{Problem: p} }

// Why is the reason that the section has no value.
func (s Section[T]) Why() problem.Problem {
	switch {
	case s.Value != nil:
		return problem.Problem{}
	case !s.Problem.IsZero():
		return s.Problem
	}
	return problem.Text("it was not looked at")
}

// Snapshot is what was observed, at one time, of the cluster and of the chosen
// nodes.
type Snapshot struct {
	Time time.Time `json:"time"`
	// Install is the installation of the provisioner that was chosen, or the first one, and Others are the
	// further ones. Nodes have what the first one's pods see.
	Install        provisioner.Install     `json:"install"`
	Others         []Installation          `json:"others,omitempty"`
	StorageClasses map[string]StorageClass `json:"storageClasses"`
	Volumes        []Volume                `json:"volumes"`
	// Users are the names of the pods that use a claim, in the claim's namespace.
	Users Section[map[ClaimRef][]string] `json:"users,omitzero"`
	// NoTalos is why no node's Talos API was asked, where it would have been; empty
	// if it was.
	NoTalos problem.Problem `json:"noTalos,omitzero"`
	// Nodes are the chosen ones, sorted by name.
	Nodes []Node `json:"nodes"`
	// Beside are nodes that were not chosen, and were looked at for the disks that they share
	// with the chosen ones. Nothing is planned there. They are no part of a file.
	Beside []Node `json:"-"`

	// What follows is read to diagnose only.

	// Version is that of this format, which a file holds.
	Version int `json:"version,omitempty"`
	// Kubernetes is the API server's version.
	Kubernetes string `json:"kubernetes,omitempty"`
	// Unread tells which of the parts above could not be read, all or some of it, and
	// why, by the names that the Part constants are.
	Unread map[string]problem.Problem `json:"unread,omitempty"`
	// AllVolumes tells that Volumes are all that the cluster has, and not only those
	// that belong to the targets.
	AllVolumes bool `json:"allVolumes,omitempty"`
	// Targets are what is to be diagnosed; none: everything.
	Targets     []Ref                     `json:"targets,omitempty"`
	Claims      Section[[]Claim]          `json:"claims,omitzero"`
	Pods        Section[[]UserPod]        `json:"pods,omitzero"`
	Events      Section[[]Event]          `json:"events,omitzero"`
	Provisioner Section[ProvisionerState] `json:"provisioner,omitzero"`
}

// Keys of Snapshot.Unread.
const (
	PartNodes = "nodes"
	// PartInstall: there is none (Install is empty), several, or its classes are not known.
	PartInstall = "install"
	// PartOthers: which further installations there are.
	PartOthers         = "others"
	PartVolumes        = "volumes"
	PartStorageClasses = "storageClasses"
)

// Node is one node, and what its provisioner pod and its Talos API see.
type Node struct {
	Name    string    `json:"name"`
	UID     types.UID `json:"uid"`
	Created time.Time `json:"created,omitzero"`
	Address string    `json:"address,omitempty"`
	Ready   bool      `json:"ready"`
	// NotReady is why it is not Ready.
	NotReady      string `json:"notReady,omitempty"`
	Unschedulable bool   `json:"unschedulable,omitempty"`
	// Labels are, in a snapshot to diagnose, the hostname and those that a node
	// selector of the provisioner or of a pod here asks for.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
	// Pod is the provisioner's pod whose container runs; Problem tells why there is none.
	Pod Section[Pod] `json:"pod"`
	// Wanted reports whether the DaemonSet is meant to have a pod there: neither a
	// taint nor its node selector keeps it away.
	Wanted bool `json:"wanted"`
	// View is what that pod sees.
	View Section[PodView] `json:"view"`
	// OSImage and KubeletVersion are what the kubelet reports.
	OSImage        string `json:"osImage,omitempty"`
	KubeletVersion string `json:"kubeletVersion,omitempty"`
	// MachineID and SystemUUID are what the kubelet reports of the machine. They prove which
	// machine a Talos API is of while it is asked, and are no part of a file.
	MachineID  string `json:"-"`
	SystemUUID string `json:"-"`
	// Kubelet is what its configuration asks for and what it sees, Stats the file
	// systems of its pods' claims. Both are read to diagnose only.
	Kubelet Section[mounts.NodeState] `json:"kubelet,omitzero"`
	Stats   Section[[]VolumeStat]     `json:"stats,omitzero"`
	// Probe is the look through the kubelet's eyes by a Job, where that was asked for and
	// Talos did not tell. What it saw is the View of Kubelet.
	Probe Section[Probe] `json:"probe,omitzero"`
	// KubeletStarted is when the kubelet last said that it started; nil: not within
	// the time that events are kept.
	KubeletStarted *time.Time `json:"kubeletStarted,omitempty"`
	// Skipped: nothing of what is diagnosed lies on the node. It was not looked
	// at: it is here to tell why a claim finds no volume.
	Skipped bool `json:"aside,omitempty"`
	// Talos is what the node's Talos API tells of its disks.
	Talos Section[Talos] `json:"talos,omitzero"`
	// Selections are what the disk selectors of its machine configuration match. They are
	// read to diagnose only.
	Selections Section[[]Selection] `json:"selections,omitzero"`
}

// RunsTalos reports whether the kubelet says that the node runs Talos: its osImage is "Talos (v1.14.0)" (Talos v1.14,
// pkg/machinery/constants, OSReleaseTemplate).
func (n Node) RunsTalos() bool { return strings.HasPrefix(n.OSImage, "Talos (") }

// Machine is a node as Kubernetes reports it, as far as it proves that a Talos API is the
// same machine's.
type Machine struct {
	// Node is its name, Address where Talos is asked.
	Node, Address string
	// MachineID is the content of /etc/machine-id, SystemUUID the SMBIOS's, as the kubelet
	// reports them (node.status.nodeInfo); empty: it does not.
	MachineID, SystemUUID string
}

// Machine is what proves which machine the node is.
func (n Node) Machine() Machine {
	return Machine{Node: n.Name, Address: n.Address, MachineID: n.MachineID, SystemUUID: n.SystemUUID}
}

// Probe is a look by a Job that reported something.
type Probe struct {
	// KubeletStarted is when the kubelet's process started; nil: it did not say.
	KubeletStarted *time.Time `json:"kubeletStarted,omitempty"`
}

// Pod is a provisioner pod with its container running.
type Pod struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
	// Started is when its container did, by the node's clock.
	Started time.Time `json:"started,omitzero"`
}

// PodView is a node as its provisioner pod sees it.
type PodView struct {
	// Disks are the block devices that have a node in /dev, sorted by name.
	Disks []disk.Disk `json:"disks"`
	// Beneath are the devices that the node's own directories lie on, all the
	// way down, and by which directory that is known. Empty: it could not be resolved.
	Beneath map[disk.Number]string `json:"beneath"`
	// BeneathProblem is why part of it could not be resolved.
	BeneathProblem string `json:"beneathProblem,omitempty"`
	// Dirs are the class directories, by class.
	Dirs map[string]Dir `json:"dirs"`
	// Linking reports whether a run that changes links was under way in the pod when
	// the look began: what it has not done yet, it may still do.
	Linking disk.Answer `json:"linking,omitempty"`
	// Paths are the paths asked for that lead to a block device.
	Paths map[string]disk.Number `json:"paths,omitempty"`
	// VolumePaths are the block devices that the paths of volumes lead to, as the pod has
	// those paths; zero: to none. What is not among them was not looked at.
	VolumePaths map[string]disk.Number `json:"volumePaths,omitempty"`
}

// Dir is a class directory as the pod sees it.
type Dir struct {
	Exists     bool `json:"exists"`
	MountPoint bool `json:"mountPoint"`
	Writable   bool `json:"writable"`
	// Filesystem is the type of the file system that is mounted there: xfs, devtmpfs, …
	Filesystem string              `json:"filesystem,omitempty"`
	Entries    []provisioner.Entry `json:"entries,omitempty"`
	// Problem is why the entries could not all be read.
	Problem string `json:"problem,omitempty"`
}

// Volatile reports whether what is written to a file system of that type is gone at each
// reboot of the node.
func Volatile(filesystem string) bool {
	return slices.Contains([]string{"devtmpfs", "tmpfs", "ramfs", "rootfs"}, filesystem)
}

// Entry is the entry of that name.
func (d Dir) Entry(name string) (provisioner.Entry, bool) {
	for _, e := range d.Entries {
		if e.Name == name {
			return e, true
		}
	}
	return provisioner.Entry{}, false
}

// DiskByName is the disk with that name in /dev.
func (v PodView) DiskByName(name string) (disk.Disk, bool) {
	return find(v.Disks, func(d disk.Disk) bool { return d.Name == name })
}

// DiskByNumber is the disk of a device number, "MAJOR:MINOR".
func (v PodView) DiskByNumber(number string) (disk.Disk, bool) {
	return find(v.Disks, func(d disk.Disk) bool { return d.Number.String() == number })
}

func find(disks []disk.Disk, match func(disk.Disk) bool) (disk.Disk, bool) {
	if i := slices.IndexFunc(disks, match); i >= 0 {
		return disks[i], true
	}
	return disk.Disk{}, false
}

// StorageClass is a StorageClass's part that matters.
type StorageClass struct {
	Name          string `json:"name"`
	Provisioner   string `json:"provisioner"`
	ReclaimPolicy string `json:"reclaimPolicy"`
	BindingMode   string `json:"bindingMode"`
	// Default: claims without a class get it.
	Default bool `json:"default,omitempty"`
	// HelmRelease is the release of Helm that it is part of, as NAMESPACE/NAME; empty: none.
	HelmRelease string `json:"helmRelease,omitempty"`
}

// ClaimRef names a PersistentVolumeClaim.
type ClaimRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// MarshalText makes the reference a key in JSON and YAML.
func (c ClaimRef) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (c *ClaimRef) UnmarshalText(b []byte) error {
	namespace, name, ok := strings.Cut(string(b), "/")
	if !ok || namespace == "" || name == "" {
		return fmt.Errorf("claim %q is not NAMESPACE/NAME", b)
	}
	*c = ClaimRef{Namespace: namespace, Name: name}
	return nil
}

// String is "namespace/name".
func (c ClaimRef) String() string { return c.Namespace + "/" + c.Name }

// Volume is a local PersistentVolume.
type Volume struct {
	Name            string           `json:"name"`
	UID             types.UID        `json:"uid"`
	ResourceVersion string           `json:"resourceVersion"`
	Created         time.Time        `json:"created"`
	Deleting        bool             `json:"deleting,omitempty"`
	Class           string           `json:"class"`
	Mode            provisioner.Mode `json:"mode"`
	Path            string           `json:"path"`
	// Capacity in bytes.
	Capacity int64 `json:"capacity"`
	// Node is the only node of the volume's node affinity; empty if it has none
	// or several.
	Node          string    `json:"node"`
	Phase         string    `json:"phase"`
	ReclaimPolicy string    `json:"reclaimPolicy"`
	Claim         *ClaimRef `json:"claim,omitempty"`
	// ClaimUID is that of the claim that it is bound to.
	ClaimUID    types.UID `json:"claimUID,omitempty"`
	AccessModes []string  `json:"accessModes,omitempty"`
	// Labels are those that the selector of a claim here asks for.
	Labels map[string]string `json:"labels,omitempty"`
	// Message is why the volume is in its phase, where the cluster says so.
	Message string `json:"message,omitempty"`
	// ProvisionedBy is the provisioner's annotation, which ends in the node's UID.
	ProvisionedBy string `json:"provisionedBy,omitempty"`
	// Identity is the disk that the volume was made for, from its annotations, or else from the Record of its entry.
	Identity *disk.ID `json:"identity,omitempty"`
	// Recorded tells that there is such a Record, which outlives the volume.
	Recorded bool `json:"recorded,omitempty"`
}

// VolumeByName is the volume of that name.
func (s *Snapshot) VolumeByName(name string) (Volume, bool) {
	for _, v := range s.Volumes {
		if v.Name == name {
			return v, true
		}
	}
	return Volume{}, false
}
