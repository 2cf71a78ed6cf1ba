// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

const linux = "linux"

// osLabels are set by every kubelet to its operating system; the second one is that of early releases.
func osLabels() []string { return []string{corev1.LabelOSStable, "beta.kubernetes.io/os"} }

// avoidsLinux reports whether a pod can run on no Linux node: by its own field, its node selector or its required node
// affinity. The charts have a DaemonSet for Windows of that kind beside the one for Linux: 2.5.0 always, 2.9.0 with
// enableWindows.
func avoidsLinux(spec corev1.PodSpec) bool {
	if spec.OS != nil && spec.OS.Name != corev1.Linux {
		return true
	}
	if _, windows := spec.NodeSelector[corev1.LabelWindowsBuild]; windows {
		return true
	}
	for _, label := range osLabels() {
		if os, asked := spec.NodeSelector[label]; asked && os != linux {
			return true
		}
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil ||
		spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	terms := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return len(terms) > 0 && !slices.ContainsFunc(terms, func(t corev1.NodeSelectorTerm) bool {
		return !slices.ContainsFunc(t.MatchExpressions, excludesLinux)
	})
}

// excludesLinux reports whether no Linux node meets an expression.
func excludesLinux(e corev1.NodeSelectorRequirement) bool {
	named := slices.Contains(e.Values, linux)
	switch {
	case e.Key == corev1.LabelWindowsBuild:
		return e.Operator == corev1.NodeSelectorOpIn || e.Operator == corev1.NodeSelectorOpExists
	case !slices.Contains(osLabels(), e.Key):
		return false
	}
	return e.Operator == corev1.NodeSelectorOpIn && !named || e.Operator == corev1.NodeSelectorOpNotIn && named
}
