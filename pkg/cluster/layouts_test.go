// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Of a layout's nodes those are observed that were chosen, too.
func TestTheNodesOfALayout(t *testing.T) {
	disk := layout.Nodes{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"disk": "yes"}}}
	for name, c := range map[string]struct {
		options  Options
		of       layout.Nodes
		nodes    []string
		selector string
	}{
		"by name":                {of: layout.Nodes{Names: []string{"w-*"}}, nodes: []string{"w-*"}},
		"by name, some named":    {options: Options{Nodes: []string{"w-1"}}, of: layout.Nodes{Names: []string{"w-*"}}, nodes: []string{"w-1"}},
		"by label":               {of: disk, selector: "disk=yes"},
		"by label, some named":   {options: Options{Nodes: []string{"w-1"}}, of: disk, nodes: []string{"w-1"}, selector: "disk=yes"},
		"by label, some by more": {options: Options{Selector: labels.SelectorFromSet(labels.Set{"a": "b"})}, of: disk, selector: "a=b,disk=yes"},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &Cluster{options: c.options}
			if err := cluster.chooseNodes(c.of); err != nil {
				t.Fatal(err)
			}
			selector := ""
			if cluster.options.Selector != nil {
				selector = cluster.options.Selector.String()
			}
			if !slices.Equal(cluster.options.Nodes, c.nodes) || selector != c.selector {
				t.Errorf("%q, %q", cluster.options.Nodes, selector)
			}
		})
	}
}

// Without the Talos API no expression is evaluated, which is said, and nodes without one are not asked.
func TestExpressionsWithoutTalos(t *testing.T) {
	l := layout.Layout{Spec: layout.Spec{
		Classes: []layout.Class{{Name: "a", As: layout.AsDisk, Disks: layout.Disks{Match: "disk.rotational"}}},
		Overrides: []layout.Override{
			{Nodes: []string{"w-2"}, Classes: []layout.ClassOverride{{Name: "a", Disks: layout.Disks{Names: []string{"vdb"}}}}},
		},
	}}
	s := &snapshot.Snapshot{NoTalos: problem.FromText("no talosconfig was found"), Nodes: []snapshot.Node{{Name: "w-1"}, {Name: "w-2"}}}
	got := (&Cluster{}).selections(t.Context(), s, l)
	if len(got) != 1 || got["w-1"].Value != nil || got["w-1"].Why() != s.NoTalos {
		t.Errorf("%+v", got)
	}
	if all := l.Selectors("w-1"); len(all) != 1 || all[0].Whole() || all[0].Name != "a" || len(l.Selectors("w-2")) > 0 {
		t.Errorf("%+v", all)
	}
}
