// SPDX-License-Identifier: Apache-2.0

// Package mounts knows what a kubelet sees of its node: Talos runs it in a
// container, and of the node's directories it sees only those mounted into it. The
// package reads the kubelet's mounts, finds what is wrong with the entries of
// machine.kubelet.extraMounts, and plans which ones it needs.
//
// It decides from values: no Talos client, no Kubernetes client and no terminal may enter.
package mounts

import (
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// ExtraMount is one entry of machine.kubelet.extraMounts. Talos v1.6 to v1.14
// hands it to the container runtime as it is, and checks nothing.
type ExtraMount struct {
	Destination string   `json:"destination"       yaml:"destination"`
	Type        string   `json:"type,omitempty"    yaml:"type,omitempty"`
	Source      string   `json:"source,omitempty"  yaml:"source,omitempty"`
	Options     []string `json:"options,omitempty" yaml:"options,omitempty"`
}

// Mount is one line of a /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	ID     int         `json:"id"`
	Parent int         `json:"parent"`
	Device disk.Number `json:"device"`
	// Root is the directory of the file system that is mounted at Point.
	Root    string   `json:"root"`
	Point   string   `json:"point"`
	Options []string `json:"options,omitempty"`
	// Shared and Master are peer groups; 0 is none. Both 0: nothing propagates.
	Shared int    `json:"shared,omitempty"`
	Master int    `json:"master,omitempty"`
	Type   string `json:"type"`
	Source string `json:"source"`
}

// KubeletView is what one kubelet sees, and what its node sees.
type KubeletView struct {
	// PID is the kubelet's, as the node counts.
	PID int `json:"pid"`
	// Dirs are the directories asked for, by path.
	Dirs map[string]BothSides `json:"dirs"`
	// Kubelet and Host are the mounts of the kubelet's and of the node's own
	// namespace. MountsProblem says why they could not be read: only os:admin may.
	Kubelet       []Mount         `json:"kubelet,omitempty"`
	Host          []Mount         `json:"host,omitempty"`
	MountsProblem problem.Problem `json:"mountsProblem,omitzero"`
}

// BothSides is one directory, listed on the node and through the kubelet's eyes.
type BothSides struct {
	Host    DirectoryListing `json:"host"`
	Kubelet DirectoryListing `json:"kubelet"`
}

// DirectoryListing is a directory's content, or why there is none.
type DirectoryListing struct {
	// Exists is Unknown where Problem says why.
	Exists  disk.Answer `json:"exists"`
	Entries []string    `json:"entries,omitempty"`
	Problem string      `json:"problem,omitempty"`
}
