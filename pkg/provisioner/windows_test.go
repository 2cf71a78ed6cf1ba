// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestDetectOfTheCharts: chart 2.5.0 makes a DaemonSet for Windows beside the one for Linux whatever its values say,
// and 2.9.0 does with enableWindows. Both have one image, one ConfigMap and one selector.
func TestDetectOfTheCharts(t *testing.T) {
	for file, want := range map[string]string{
		"chart-2.5.0.yaml":         "local-static-provisioner",
		"chart-2.9.0-windows.yaml": "local-static-provisioner",
	} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		var list appsv1.DaemonSetList
		if err := yaml.UnmarshalStrict(text, &list); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		found := Detect(list.Items)
		if len(list.Items) != 2 || len(found) != 1 || found[0].Name != want {
			t.Errorf("%s: %d of %d DaemonSets are installations: %+v", file, len(found), len(list.Items), found)
		}
	}
}

// TestDetectLeavesOutWindows goes through the ways in which a DaemonSet asks for Windows, and those in which it does not.
func TestDetectLeavesOutWindows(t *testing.T) {
	affinity := func(terms ...corev1.NodeSelectorTerm) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			s.Affinity = &corev1.Affinity{
				NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}},
			}
		}
	}
	os := func(operator corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "kubernetes.io/os", Operator: operator, Values: values}},
		}
	}
	zone := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpExists}}}
	for name, c := range map[string]struct {
		change func(*corev1.PodSpec)
		want   bool // It is an installation.
	}{
		"a node selector":           {func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"kubernetes.io/os": "windows"} }, false},
		"the label of older nodes":  {func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"beta.kubernetes.io/os": "windows"} }, false},
		"the pod's own field":       {func(s *corev1.PodSpec) { s.OS = &corev1.PodOS{Name: corev1.Windows} }, false},
		"an affinity":               {affinity(os(corev1.NodeSelectorOpIn, "windows")), false},
		"an affinity against Linux": {affinity(os(corev1.NodeSelectorOpNotIn, "linux")), false},
		"an affinity, in each term": {affinity(os(corev1.NodeSelectorOpIn, "windows"), os(corev1.NodeSelectorOpNotIn, "linux", "x")), false},
		"a label for Windows builds": {func(s *corev1.PodSpec) {
			s.NodeSelector = map[string]string{"node.kubernetes.io/windows-build": "10.0.20348"}
		}, false},
		"Linux by a node selector":     {func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"kubernetes.io/os": "linux"} }, true},
		"Linux by the pod's own field": {func(s *corev1.PodSpec) { s.OS = &corev1.PodOS{Name: corev1.Linux} }, true},
		"Linux among others":           {affinity(os(corev1.NodeSelectorOpIn, "linux", "windows")), true},
		"Windows in one term of two":   {affinity(os(corev1.NodeSelectorOpIn, "windows"), zone), true},
		"an affinity against Windows":  {affinity(os(corev1.NodeSelectorOpNotIn, "windows")), true},
		"another label":                {func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"os": "windows"} }, true},
	} {
		found := Detect([]appsv1.DaemonSet{daemonSet("x", "y", "registry.k8s.io/sig-storage/local-volume-provisioner:v2.9.0", "c", nil,
			c.change)})
		if got := len(found) == 1; got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
