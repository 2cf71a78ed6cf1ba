// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"path"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// The documents of a file.
const (
	APIVersion   = "talosdisk.dev/v1alpha1"
	Kind         = "DiskLayout"
	BindingsKind = "DiskBindings"
)

// Layout is the document DiskLayout, as Decode returns it: checked, and with its defaults. A person writes it.
type Layout struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Metadata names a document. Both documents of a file have the same name.
type Metadata struct {
	Name string `json:"name"`
}

// Spec is what a layout asks for.
type Spec struct {
	Nodes       Nodes       `json:"nodes"`
	Provisioner Provisioner `json:"provisioner,omitzero"`
	Classes     []Class     `json:"classes"`
	// Overrides are applied in their order to the classes of the nodes that they name.
	Overrides []Override `json:"overrides,omitempty"`
}

// Nodes are the nodes of a layout: exactly one of the fields is set.
type Nodes struct {
	// Names are names and globs of path.Match.
	Names    []string              `json:"names,omitempty"`
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// Provisioner is the Helm release that has the classes.
type Provisioner struct {
	// Namespace is local-storage and Release is local where the file does not say.
	Namespace string `json:"namespace,omitempty"`
	Release   string `json:"release,omitempty"`
	// Chart is the chart's version, empty: that of the installation, or the newest.
	Chart string `json:"chart,omitempty"`
}

// As is what a disk of a class becomes on its node.
type As string

// What a disk can become.
const (
	// AsVolume: a user volume of Talos, one partition with a filesystem (UserVolumeConfig, Talos v1.10).
	AsVolume As = "volume"
	// AsDisk: a user volume over the whole disk (UserVolumeConfig with volumeType disk, Talos v1.12).
	AsDisk As = "disk"
	// AsLink: a link to the whole disk in the class's directory.
	AsLink As = "link"
	// AsPartition: a raw volume of Talos, one partition (RawVolumeConfig, Talos v1.11).
	AsPartition As = "partition"
)

// By is what a class's disks are bound by.
type By string

// What disks are bound by.
const (
	// ByIdentity: the disk itself; another one in its place is another disk.
	ByIdentity By = "identity"
	// BySlot: the place where it is plugged in (by-path); a new disk there is the volume's.
	BySlot By = "slot"
)

// Class is a class of the provisioner, and the disks that become its volumes.
type Class struct {
	// Name is the class's and its StorageClass's, a DNS label.
	Name string `json:"name"`
	// VolumeMode is Filesystem where the file does not say.
	VolumeMode provisioner.Mode `json:"volumeMode,omitempty"`
	// As is volume for Filesystem and link for Block where the file does not say.
	As As `json:"as,omitempty"`
	// Filesystem is xfs or ext4, xfs where the file does not say; empty for Block.
	Filesystem string `json:"filesystem,omitempty" jsonschema:"enum=xfs,enum=ext4"`
	// By is identity where the file does not say.
	By By `json:"by,omitempty"`
	// ReclaimPolicy is the StorageClass's, Delete or Retain; Delete where the file does not say, as in Kubernetes.
	ReclaimPolicy string `json:"reclaimPolicy,omitempty" jsonschema:"enum=Delete,enum=Retain"`
	// HostDir is the directory of a class's links on its nodes; empty: the program's choice.
	HostDir string `json:"hostDir,omitempty"`
	Disks   Disks  `json:"disks"`
}

// Disks chooses disks of a node: by Names, by Match, or by the other fields, of which all have to hold.
type Disks struct {
	// Count is exactly how many disks each node has of the class; nil: all that fit, at least one. In an override it may be 0.
	Count      *int  `json:"count,omitempty"`
	Rotational *bool `json:"rotational,omitempty"`
	// Transport is Talos's word for the bus: nvme, sata, sas, usb, virtio, …
	Transport string `json:"transport,omitempty"`
	Size      Range  `json:"size,omitzero"`
	// Model is the model's text, in which a "*" stands for any characters.
	Model string `json:"model,omitempty"`
	// Names are names in /dev or paths below /dev/disk. They find the disks once, and are not what those are bound by.
	Names []string `json:"names,omitempty"`
	// Match is an expression in CEL over a disk, as in a Talos volume's diskSelector.
	Match string `json:"match,omitempty"`
}

// Range are sizes in bytes, both ends included; 0: no limit.
type Range struct {
	Min Size `json:"min,omitempty"`
	Max Size `json:"max,omitempty"`
}

// Override changes classes for some nodes.
type Override struct {
	// Nodes are names and globs of path.Match.
	Nodes   []string        `json:"nodes"`
	Classes []ClassOverride `json:"classes"`
}

// ClassOverride is what is different about a class. Its count takes the place of the class's; and where it chooses disks, that takes the
// place of all by which the class chooses them.
type ClassOverride struct {
	Name  string `json:"name"`
	By    By     `json:"by,omitempty"`
	Disks Disks  `json:"disks,omitzero"`
}

// Bindings is the document DiskBindings: which disk each volume is on. The program writes it.
type Bindings struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	// Nodes are bindings by node and volume.
	Nodes map[string]map[string]Binding `json:"nodes"`
}

// Binding is the disk of one volume: the facts that identify it, and others that it must not contradict.
type Binding struct {
	// Name is what the volume is called on the node where that is not its key in the bindings: a Talos volume's name, or a link's.
	Name   string `json:"name,omitempty"`
	WWID   string `json:"wwid,omitempty"`
	Serial string `json:"serial,omitempty"`
	// ByID and ByPath are names below /dev/disk/by-id and /dev/disk/by-path.
	ByID   string `json:"byID,omitempty"`
	ByPath string `json:"byPath,omitempty"`
	// Size in bytes.
	Size Size `json:"size,omitempty"`
}

// ID are the binding's facts as those of a disk.
func (b Binding) ID() disk.ID {
	id := disk.ID{WWID: b.WWID, Serial: b.Serial, Size: uint64(b.Size)}
	if b.ByID != "" {
		id.ByID = []string{b.ByID}
	}
	if b.ByPath != "" {
		id.ByPath = []string{b.ByPath}
	}
	return id
}

// Slot reports whether the binding names a place, and not a disk.
func (b Binding) Slot() bool { return b.ByPath != "" && b.WWID == "" && b.Serial == "" && b.ByID == "" }

// VolumeName is the key of a class's n-th volume in the bindings, from 1.
func VolumeName(class string, n int) string { return class + "-" + strconv.Itoa(n) }

// ParseVolumeName takes a key of the bindings apart. What follows its last dash is the number, so that only one class can have it.
func ParseVolumeName(key string) (class string, n int, ok bool) {
	for i := len(key) - 1; i > 0; i-- {
		if key[i] == '-' {
			n, err := strconv.Atoi(key[i+1:])
			return key[:i], n, err == nil && n > 0 && VolumeName(key[:i], n) == key
		}
	}
	return "", 0, false
}

// ClassesFor are the classes of a node, the overrides applied, in the order of the file.
func (l Layout) ClassesFor(node string) []Class {
	classes := slices.Clone(l.Spec.Classes)
	for _, o := range l.Spec.Overrides {
		if !MatchesAny(o.Nodes, node) {
			continue
		}
		for _, change := range o.Classes {
			for i := range classes {
				if classes[i].Name == change.Name {
					classes[i] = change.apply(classes[i])
				}
			}
		}
	}
	return classes
}

// apply is the class as the override has it.
func (o ClassOverride) apply(c Class) Class {
	count := c.Disks.Count
	if o.Disks.Count != nil {
		count = o.Disks.Count
	}
	if o.Disks.chooses() {
		c.Disks = o.Disks
		if len(o.Disks.Names) > 0 && o.Disks.Count == nil { // They say how many.
			count = nil
		}
	}
	c.Disks.Count = count
	if o.By != "" {
		c.By = o.By
	}
	return c
}

// chooses reports whether anything but the count is set.
func (d Disks) chooses() bool {
	return d.Rotational != nil || d.Transport != "" || d.Size != (Range{}) || d.Model != "" || len(d.Names) > 0 || d.Match != ""
}

// MatchesAny reports whether one of the names and globs of path.Match is the node's.
func MatchesAny(patterns []string, node string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, node)
		return ok && err == nil
	})
}
