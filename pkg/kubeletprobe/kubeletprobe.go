// SPDX-License-Identifier: Apache-2.0

// Package kubeletprobe knows how to look through a kubelet's eyes without the Talos API: the
// Job whose pod has the node's processes, the fixed script that runs in it, and the
// parser of what that says. A node's directories reach the script as arguments, never
// as code.
//
// The requests belong to package kube; nothing here changes a node.
package kubeletprobe

import (
	_ "embed"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
)

//go:embed kubeletprobe.sh
var script string

// Script looks at the kubelet's process and at process 1, and says what they see. Its
// arguments are the directories to list, absolute paths.
func Script() string { return nodescript.RecordScript() + script }

// Answer is what one node's pod saw.
type Answer struct {
	// View has both sides' mounts, or MountsProblem. PID is as the pod counts.
	View mounts.KubeletView
	// Started is when the kubelet's process started, by the node's clock, to the
	// second before; zero: it did not say.
	Started time.Time
}
