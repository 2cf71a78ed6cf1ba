// SPDX-License-Identifier: Apache-2.0

// Package mounts knows what a kubelet sees of its node: Talos runs it in a
// container, and of the node's directories it sees only those mounted into it. The
// package reads the kubelet's mounts, plans machine.kubelet.extraMounts as an
// edit of the machine configuration's bytes, and rolls a plan out.
//
// It decides from values. What it needs done on a node goes through the interface
// that it declares; no Talos client, no Kubernetes client and no terminal may enter.
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

// View is what one kubelet sees, and what its node sees.
type View struct {
	// PID is the kubelet's, as the node counts.
	PID int `json:"pid"`
	// Dirs are the directories asked for, by path.
	Dirs map[string]Sight `json:"dirs"`
	// Kubelet and Host are the mounts of the kubelet's and of the node's own
	// namespace. MountsProblem tells why they could not be read: only os:admin may.
	Kubelet       []Mount         `json:"kubelet,omitempty"`
	Host          []Mount         `json:"host,omitempty"`
	MountsProblem problem.Problem `json:"mountsProblem,omitzero"`
}

// Sight is one directory, listed on the node and through the kubelet's eyes.
type Sight struct {
	Host    Listing `json:"host"`
	Kubelet Listing `json:"kubelet"`
}

// Listing is a directory's content, or why there is none.
type Listing struct {
	// Exists is Unknown where Problem says why.
	Exists  disk.Answer `json:"exists"`
	Entries []string    `json:"entries,omitempty"`
	Problem string      `json:"problem,omitempty"`
}

// Configs are a node's machine configurations, as bytes: they hold keys and
// tokens, and are never printed, logged or stored.
type Configs struct {
	// Active is the MachineConfig resource "v1alpha1", by which the node runs.
	Active []byte
	// Version is Active's resource version; it changes with every change.
	Version string
	// Persistent is the one on disk, since Talos v1.10 the resource "persistent",
	// which is there once something was applied since boot. Nil: there is none, it is Active.
	Persistent []byte
}

// Kubelet is the kubelet service of a node.
type Kubelet struct {
	// PID of its process as the node counts; 0: there is none.
	PID int `json:"pid"`
	// State is Talos's: Running, Waiting, Failed, …
	State string `json:"state"`
	// Healthy is Unknown until the first health check ended.
	Healthy disk.Answer `json:"healthy"`
	// Message is the service's last event.
	Message string `json:"message,omitempty"`
}

// Mode is how a configuration is applied. There is no zero value: Talos takes an
// unset mode for "reboot".
type Mode string

// The modes that are ever sent. AUTO may reboot before v1.14, and is not one.
const (
	// Try puts a configuration in force that rolls back by itself.
	Try Mode = "try"
	// NoReboot puts it in force and keeps it.
	NoReboot Mode = "no-reboot"
	// Staged keeps it for the next boot.
	Staged Mode = "staged"
)
