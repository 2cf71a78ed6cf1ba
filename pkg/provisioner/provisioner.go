// SPDX-License-Identifier: Apache-2.0

// Package provisioner knows the local static provisioner
// (kubernetes-sigs/sig-storage-local-static-provisioner): how an installation is
// recognised, what its configuration says, and what it makes of an entry in a
// class directory. Facts are from v2.9.0 unless a comment says otherwise.
//
// Functions of values only: no client and no I/O may enter.
package provisioner

import (
	"fmt"
	"hash/fnv"
	"path"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// Mode is a class's or a volume's volumeMode.
type Mode string

// The volume modes of Kubernetes.
const (
	Block      Mode = "Block"
	Filesystem Mode = "Filesystem"
)

// Class is one storage class of the provisioner's configuration.
type Class struct {
	Name string `json:"name"`
	// HostDir is the directory on the node; volumes carry it.
	HostDir string `json:"hostDir"`
	// MountDir is the same directory as the provisioner's container sees it.
	MountDir string `json:"mountDir"`
	Mode     Mode   `json:"volumeMode"`
	FSType   string `json:"fsType,omitempty"`
	// NamePattern is a comma list of path.Match globs; empty is "*".
	NamePattern string `json:"namePattern,omitempty"`
	// Cleaner is the command that cleans a volume with volumeMode Block before it is published again (blockCleanerCommand). It is somebody's
	// own, and no part of a file.
	Cleaner []string `json:"-"`
}

// Publishes reports whether the provisioner would look at an entry of that name
// in the class's directory (pkg/discovery/discovery.go, first level, dotfiles too).
func (c Class) Publishes(entry string) bool {
	if c.NamePattern == "" {
		return true
	}
	for _, pattern := range strings.Split(c.NamePattern, ",") {
		// A malformed one ends the look at the whole class.
		if ok, err := path.Match(pattern, entry); ok || err != nil {
			return ok
		}
	}
	return false
}

// VolumePath is the path that a volume of the class carries for an entry.
func (c Class) VolumePath(entry string) string { return path.Join(c.HostDir, entry) }

// EntryPath is the same entry as the provisioner's container sees it.
func (c Class) EntryPath(entry string) string { return path.Join(c.MountDir, entry) }

// PVName is the name of the volume that the provisioner makes of an entry
// (pkg/discovery/discovery.go, generatePVName): FNV-1a 32 over entry, node and
// class without separators, in hex without padding.
func PVName(entry, node, class string) string {
	h := fnv.New32a()
	for _, s := range []string{entry, node, class} {
		_, _ = h.Write([]byte(s)) // a hash never fails
	}
	return fmt.Sprintf("local-pv-%x", h.Sum32())
}

// Capacity is the capacity in bytes that the provisioner gives a volume of that
// many bytes (pkg/common, RoundDownCapacityPretty): whole GiB from 10 GiB, whole MiB from
// 10 MiB, else as it is.
func Capacity(size uint64) uint64 {
	const mib, gib = 1 << 20, 1 << 30
	for _, unit := range []uint64{gib, mib} {
		if size >= 10*unit {
			return size / unit * unit
		}
	}
	return size
}

// EntryKind is what lies under a name in a class directory.
type EntryKind string

// The kinds of entry.
const (
	Link      EntryKind = "link"
	Directory EntryKind = "directory"
	BlockNode EntryKind = "block"
	File      EntryKind = "file"
	Other     EntryKind = "other"
)

// Entry is what lies under one name in one class directory of one node.
type Entry struct {
	Name string    `json:"name"`
	Kind EntryKind `json:"kind"`
	// Target is a link's raw content.
	Target string `json:"target,omitempty"`
	// Device is the number of the block device that the entry leads to, as
	// "MAJOR:MINOR"; empty if it leads to none (a dangling link, a directory).
	Device string `json:"device,omitempty"`
	// Mounted tells of a directory whether something is mounted at it, as the pod sees it, and
	// Mount what: "/dev/vde1 (xfs)".
	Mounted disk.Answer `json:"mounted,omitempty"`
	Mount   string      `json:"mount,omitempty"`
}

// Dangling tells a link that leads nowhere.
func (e Entry) Dangling() bool { return e.Kind == Link && e.Device == "" }
