// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// LayoutDiff is how a cluster differs from a layout.
type LayoutDiff struct {
	Snapshot *snapshot.Snapshot
	Plan     layout.Plan
	// Kubelets are the nodes' kubelets, in the order of the snapshot's nodes; nil where Talos was not asked. They hold configurations.
	Kubelets []observe.Kubelet
}

// DiffLayout compares a file with those of its nodes that are chosen.
func (c *Cluster) DiffLayout(ctx context.Context, f layout.File) (LayoutDiff, error) {
	releases, err := c.others(ctx, f.Layout)
	if err != nil {
		return LayoutDiff{}, err
	}
	s, err := c.observeLayout(ctx, f.Layout, observe.Request{
		Parts: observe.OnNodes, Closely: []string{"*"}, WithoutPod: true, Every: true,
	})
	if err != nil {
		return LayoutDiff{}, err
	}
	came := LayoutDiff{Snapshot: s}
	in := layout.Deciding{
		Matcher: talos.Matcher{}, Releases: releases,
		Configs: make(map[string]snapshot.Section[layout.Stored]), Kubelets: make(map[string]mounts.NodeState),
	}
	if c.talos != nil {
		dirs := f.Layout.Dirs()
		came.Kubelets = c.kubelets(ctx, s, c.talos, func(n snapshot.Node) []string { return append(s.HostDirs(n), dirs...) })
		for _, k := range came.Kubelets {
			in.Kubelets[k.State.Node] = k.State
			if k.State.Release.Known() {
				in.Releases[k.State.Node] = k.State.Release
			}
			in.Configs[k.State.Node] = storedOf(k)
		}
	}
	came.Plan, err = Decided(ctx, func() (layout.Plan, error) { return layout.Observe(s).Decide(f.Layout, f.Bindings, in), nil })
	return came, err
}

// storedOf are the volumes of a node's configuration.
func storedOf(k observe.Kubelet) snapshot.Section[layout.Stored] {
	if !k.State.ConfigProblem.IsZero() {
		return snapshot.Unread[layout.Stored](k.State.ConfigProblem)
	}
	stored, err := layout.ReadStored(k.Configs.Active)
	if err != nil {
		return snapshot.Unread[layout.Stored](problem.From(err))
	}
	return snapshot.Read(stored)
}

// LayoutValues are what the provisioner's chart needs for a file. No pod is asked.
func (c *Cluster) LayoutValues(ctx context.Context, f layout.File) (*snapshot.Snapshot, layout.ValuesPlan, error) {
	s, err := c.observeLayout(ctx, f.Layout, observe.Request{Parts: observe.TalosInventory, WithoutPod: true, Every: true})
	if err != nil {
		return nil, layout.ValuesPlan{}, err
	}
	releases := c.releases(ctx, s)
	plan, err := Decided(ctx, func() (layout.ValuesPlan, error) {
		return layout.Observe(s).Values(f.Layout, f.Bindings, releases), nil
	})
	return s, plan, err
}

// observeLayout observes those of a layout's nodes that are chosen. The snapshot has the installation first that is in the layout's
// namespace.
func (c *Cluster) observeLayout(ctx context.Context, l layout.Layout, r observe.Request) (*snapshot.Snapshot, error) {
	if err := c.chooseNodes(l.Spec.Nodes); err != nil {
		return nil, err
	}
	s, err := c.Observe(ctx, r)
	if err != nil {
		return nil, err
	}
	all := s.Installations()
	if i := slices.IndexFunc(all, func(one *snapshot.Snapshot) bool {
		return one.Install.Name != "" && one.Install.Namespace == l.Spec.Provisioner.Namespace
	}); i >= 0 {
		s = all[i]
	}
	s.Nodes = slices.DeleteFunc(slices.Clone(s.Nodes), func(n snapshot.Node) bool { return !l.Includes(n.Name) })
	if len(s.Nodes) == 0 {
		return nil, failure.New("none of the chosen nodes is one of the layout's", "")
	}
	return s, nil
}

// releases are those of the nodes whose kubelet does not tell them, by what their Talos API says. What it does not say is unknown.
func (c *Cluster) releases(ctx context.Context, s *snapshot.Snapshot) map[string]talosrelease.Release {
	var nodes []snapshot.Node
	for _, n := range s.Nodes {
		if c.talos != nil && !n.RunsTalos() {
			nodes = append(nodes, n)
		}
	}
	reported := exec.Each(ctx, nodes, c.options.Concurrency, c.options.NodeTimeout, c.releaseOf)
	all := make(map[string]talosrelease.Release)
	for i, n := range nodes {
		all[n.Name] = reported[i]
	}
	return all
}

func (c *Cluster) releaseOf(ctx context.Context, n snapshot.Node) talosrelease.Release {
	node := c.talos.Node(n.Machine())
	if node.Verify(ctx) != nil {
		return talosrelease.Release{}
	}
	tag, err := node.Version(ctx)
	if err != nil {
		return talosrelease.Release{}
	}
	release, err := talosrelease.Parse(tag)
	if err != nil {
		return talosrelease.Release{}
	}
	return release
}

// others are the releases of the layout's nodes, as their kubelets report them, where not all of them are chosen: a class becomes the same
// on all its nodes.
func (c *Cluster) others(ctx context.Context, l layout.Layout) (map[string]talosrelease.Release, error) {
	all := make(map[string]talosrelease.Release)
	chosen := c.options.Selector
	if len(c.options.Nodes) == 0 && (chosen == nil || chosen.Empty()) {
		return all, nil
	}
	list := metav1.ListOptions{}
	if l.Spec.Nodes.Selector != nil {
		list.LabelSelector = metav1.FormatLabelSelector(l.Spec.Nodes.Selector)
	}
	nodes, err := c.Client.CoreV1().Nodes().List(ctx, list)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes.Items {
		if l.Includes(n.Name) {
			// What is no release is one that is not known.
			all[n.Name], _ = talosrelease.Parse(n.Status.NodeInfo.OSImage)
		}
	}
	return all, nil
}
