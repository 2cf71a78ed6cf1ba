// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

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

// Readiness is the node's Ready condition.
type Readiness struct {
	Ready bool
	// Why is the condition's message where it is not ready.
	Why string
	// Heartbeat changes with every report of the kubelet; one that has restarted
	// reports at once (Kubernetes v1.37, pkg/kubelet/kubelet_node_status.go).
	Heartbeat string
}

// KubeletHealth is how a kubelet is at one look. A roll-out compares two of them.
type KubeletHealth struct {
	// Node is the node's name, Address what talosctl -n takes.
	Node, Address string
	Kubelet       Kubelet
	Readiness     Readiness
}

// Unwell is what keeps a kubelet from being restarted, with more about it and a hint; empty if nothing.
func (h KubeletHealth) Unwell() (what, detail, hint string) {
	switch {
	case h.Kubelet.PID == 0 || h.Kubelet.Healthy != disk.Yes:
		return "its kubelet is not healthy", h.Kubelet.String(), shell.Command("talosctl", "-n", cmp.Or(h.Address, h.Node), "service", "kubelet")
	case !h.Readiness.Ready:
		return "it is NotReady", h.Readiness.Why, shell.Command("kubectl", "describe", "node", h.Node)
	}
	return "", "", ""
}

// Missing is what is still missing until a kubelet counts as back, after it was as earlier, a KubeletHealth; empty if nothing is. From
// one that was not seen, which is nil, any kubelet is another one.
func (h KubeletHealth) Missing(earlier any) string {
	before, _ := earlier.(KubeletHealth)
	switch {
	case h.Kubelet.PID == 0 || h.Kubelet.PID == before.Kubelet.PID:
		return "the kubelet has not restarted: " + h.Kubelet.String()
	case h.Kubelet.Healthy != disk.Yes:
		return "the kubelet is not healthy: " + h.Kubelet.String()
	case !h.Readiness.Ready:
		return "the node is NotReady: " + h.Readiness.Why
	case h.Readiness.Heartbeat == before.Readiness.Heartbeat:
		return "the kubelet has not reported to Kubernetes"
	}
	return ""
}

// Unseen is the first of the directories that a kubelet which is back does not see; empty if it sees all. What was looked at has to
// be the view of that kubelet, and not of the next one, of which it is not known that it is healthy.
func (h KubeletHealth) Unseen(view KubeletView, dirs []string) string {
	if view.PID != h.Kubelet.PID {
		return fmt.Sprintf("the kubelet restarted again: it was process %d, and is process %d", h.Kubelet.PID, view.PID)
	}
	for _, dir := range slices.Sorted(slices.Values(dirs)) {
		switch visible, _ := view.Visible(dir); visible {
		case disk.Yes:
		case disk.No:
			return fmt.Sprintf("the kubelet does not see %q", dir)
		default:
			return fmt.Sprintf("whether the kubelet sees %q is unknown", dir)
		}
	}
	return ""
}

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
