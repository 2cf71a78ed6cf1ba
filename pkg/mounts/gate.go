// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Readiness is the node's Ready condition.
type Readiness struct {
	Ready bool
	// Why is the condition's message where it is not ready.
	Why string
	// Heartbeat changes with every report of the kubelet; one that has restarted
	// reports at once (Kubernetes v1.37, pkg/kubelet/kubelet_node_status.go).
	Heartbeat string
}

// state is what a gate compares.
type state struct {
	kubelet   Kubelet
	readiness Readiness
}

// What a node with another configuration waiting is told. Applying one now would
// throw the staged one away, or make the tried one stay.
const (
	pendingDetail = "another configuration is staged, or being tried: the one in force is not the one on its disk"
	pendingHint   = "let it end first: reboot the node for a staged one, wait for a tried one to roll back"
)

// Pending tells whether the configuration in force and the one on disk differ.
func (c Configs) Pending() bool {
	return c.Persistent != nil && !bytes.Equal(c.Persistent, c.Active)
}

// Tried tells whether a configuration was tried on a node of that release since it
// booted, and none applied to stay: only a trial changes the configuration in force
// alone, which has version 1 from the boot on (Talos v1.10 to v1.14, controllers/config/acquire.go).
// Whether Talos has taken it back does not show.
func (c Configs) Tried(v talosrelease.Release) bool {
	return v.Has(talosrelease.StoredConfig) && c.Persistent == nil && c.Version != "" && c.Version != "1"
}

// well tells a kubelet that runs and is healthy.
func (k Kubelet) well() bool { return k.PID != 0 && k.Healthy == disk.Yes }

// String says how the kubelet is.
func (k Kubelet) String() string {
	text := "no process"
	if k.PID != 0 {
		text = fmt.Sprintf("process %d", k.PID)
	}
	if k.State != "" {
		text += ", " + k.State
	}
	switch k.Healthy {
	case disk.Yes:
		text += ", healthy"
	case disk.No:
		text += ", unhealthy"
	default:
		text += ", health unknown"
	}
	if k.Message != "" {
		text += ": " + k.Message
	}
	return text
}

// gate is what is still missing until a kubelet counts as back; empty if nothing
// is. appear holds the answer for each directory that it must see.
func gate(before, now state, appear map[string]disk.Answer) string {
	switch {
	case now.kubelet.PID == 0 || now.kubelet.PID == before.kubelet.PID:
		return "the kubelet has not restarted: " + now.kubelet.String()
	case now.kubelet.Healthy != disk.Yes:
		return "the kubelet is not healthy: " + now.kubelet.String()
	case !now.readiness.Ready:
		return "the node is NotReady: " + now.readiness.Why
	case now.readiness.Heartbeat == before.readiness.Heartbeat:
		return "the kubelet has not reported to Kubernetes"
	}
	for _, dir := range slices.Sorted(maps.Keys(appear)) {
		switch appear[dir] {
		case disk.Yes:
		case disk.No:
			return fmt.Sprintf("the kubelet does not see %q", dir)
		default:
			return fmt.Sprintf("whether the kubelet sees %q is unknown", dir)
		}
	}
	return ""
}
