// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// NodeTerms are the terms of a pod's required node affinity, any of which a node has to
// meet: label selectors in kubectl's syntax, with the node's name as metadata.name.
func NodeTerms(spec corev1.PodSpec) []string {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil ||
		spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	var terms []string
	for _, t := range spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		var parts []string
		for _, e := range slices.Concat(t.MatchExpressions, t.MatchFields) {
			parts = append(parts, requirement(e))
		}
		terms = append(terms, strings.Join(parts, ","))
	}
	return terms
}

// requirement is an expression in the syntax of labels.Parse.
func requirement(e corev1.NodeSelectorRequirement) string {
	switch e.Operator {
	case corev1.NodeSelectorOpIn:
		return e.Key + " in (" + strings.Join(e.Values, ",") + ")"
	case corev1.NodeSelectorOpNotIn:
		return e.Key + " notin (" + strings.Join(e.Values, ",") + ")"
	case corev1.NodeSelectorOpExists:
		return e.Key
	case corev1.NodeSelectorOpDoesNotExist:
		return "!" + e.Key
	case corev1.NodeSelectorOpGt:
		return e.Key + ">" + strings.Join(e.Values, ",")
	case corev1.NodeSelectorOpLt:
		return e.Key + "<" + strings.Join(e.Values, ",")
	}
	return e.Key + " " + string(e.Operator)
}
