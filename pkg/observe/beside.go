// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// LookBeside looks at the nodes that were not chosen, for the disks that they share with the
// chosen ones: at those with a provisioner pod, or where one is meant to be. The sessions that
// wait on the chosen nodes are left alone.
func (c *Observer) LookBeside(ctx context.Context, s *snapshot.Snapshot) error {
	aside, beside := *c, *s
	aside.Pods = &kube.Pods{Executor: c.Pods.Executor, Limit: c.Pods.Limit, Timeout: c.Pods.Timeout}
	d := aside.observation(Request{Parts: OnNodes, Strict: true})
	d.s = &beside
	if err := d.listNodes(ctx, metav1.ListOptions{}); err != nil {
		return err
	}
	for _, n := range s.Nodes {
		delete(d.objects.nodes, n.Name)
	}
	if len(d.objects.nodes) == 0 {
		return nil
	}
	d.installs = []*installation{{install: s.Install}}
	beside.Others = slices.Clone(s.Others)
	for i, o := range s.Others {
		d.installs = append(d.installs, &installation{install: o.Install})
		beside.Others[i].Nodes = nil
	}
	for _, in := range d.installs {
		in.state = new(snapshot.ProvisionerState)
	}
	if err := d.readOwnPods(ctx); err != nil {
		return err
	}
	for _, v := range s.Volumes {
		d.objects.volumes[v.Name] = v
	}
	d.nodes()
	beside.Nodes = slices.DeleteFunc(beside.Nodes, func(n snapshot.Node) bool { return !beside.WantedBy(n) && n.Pod.Value == nil })
	if err := beside.CheckNames(); err != nil {
		return err
	}
	for i, v := range s.Volumes {
		if _, chosen := s.NodeByName(v.Node); !chosen {
			s.Volumes[i].Node = beside.NodeByHostname(v.Node)
		}
	}
	if err := d.look(ctx); err != nil {
		return err
	}
	s.Beside = beside.Nodes
	for i, o := range beside.Others {
		if s.Others[i].Nodes == nil {
			s.Others[i].Nodes = make(map[string]snapshot.Presence)
		}
		maps.Copy(s.Others[i].Nodes, o.Nodes)
	}
	return context.Cause(ctx)
}

// LookCloser looks once more at nodes, chosen or not, and reads and opens the disks closely there. What it does not
// see stays as it was seen.
func (c *Observer) LookCloser(ctx context.Context, s *snapshot.Snapshot, nodes, closely []string) error {
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
	return context.Cause(ctx)
}
