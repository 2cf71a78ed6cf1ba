// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// LookBeside looks at the nodes that were not chosen, for the disks that they share with the
// chosen ones: at those with a provisioner pod, or where one is meant to be. The sessions that
// wait on the chosen nodes are left alone.
func (c *Collector) LookBeside(ctx context.Context, s *snapshot.Snapshot) error {
	nodes, err := c.nodes(ctx, Request{})
	if err != nil {
		return err
	}
	nodes = slices.DeleteFunc(nodes, func(n corev1.Node) bool { _, chosen := s.NodeByName(n.Name); return chosen })
	if len(nodes) == 0 {
		return nil
	}
	pods, err := c.pods(ctx, s.Install)
	if err != nil {
		return err
	}
	beside := *s
	beside.Nodes, beside.Others = join(s.Install, nodes, pods), slices.Clone(s.Others)
	c.joinOthers(ctx, &beside, nodes)
	beside.Nodes = slices.DeleteFunc(beside.Nodes, func(n snapshot.Node) bool { return !beside.WantedBy(n) && n.Pod.Value == nil })
	if err := beside.CheckNames(); err != nil {
		return err
	}
	for i, v := range s.Volumes {
		if _, chosen := s.NodeByName(v.Node); !chosen {
			s.Volumes[i].Node = beside.NodeByHostname(v.Node)
		}
	}
	aside := *c
	aside.Pods = &kube.Pods{Executor: c.Pods.Executor, Limit: c.Pods.Limit, Timeout: c.Pods.Timeout}
	if err := aside.look(ctx, &beside, Request{}); err != nil {
		return err
	}
	s.Beside = beside.Nodes
	for i, o := range beside.Others {
		if s.Others[i].Nodes == nil {
			s.Others[i].Nodes = make(map[string]snapshot.Presence)
		}
		maps.Copy(s.Others[i].Nodes, o.Nodes)
	}
	return ctx.Err()
}

// LookCloser looks once more at nodes, chosen or not, and reads and opens the disks closely there. What it does not
// see stays as it was seen.
func (c *Collector) LookCloser(ctx context.Context, s *snapshot.Snapshot, nodes, closely []string) error {
	every := *s
	every.Nodes = slices.Concat(s.Nodes, s.Beside)
	pods := &kube.Pods{Executor: c.Pods.Executor, Limit: c.Pods.Limit, Timeout: c.Pods.Timeout}
	pods.Targets, pods.Classes, pods.Volumes = kube.Targets(&every), s.Install.Classes, nodescript.VolumePaths(&every)
	views := make(map[string]snapshot.Section[snapshot.PodView])
	for i, answer := range pods.Observe(ctx, nodes, closely, false, nil) {
		views[nodes[i]] = viewOf(nodes[i], answer)
	}
	for _, all := range [][]snapshot.Node{s.Nodes, s.Beside} {
		for i := range all {
			if view := views[all[i].Name]; view.Value != nil {
				all[i].View = view
			}
		}
	}
	return ctx.Err()
}
