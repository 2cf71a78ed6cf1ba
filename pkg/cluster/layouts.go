// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// observeDisks reads and opens every disk of the nodes.
func (c *Cluster) observeDisks(ctx context.Context) (*snapshot.Snapshot, error) {
	return c.Observe(ctx, observe.Request{Parts: observe.OnNodes, Closely: []string{"*"}, WithoutPod: true, Every: true})
}

// ProposeLayout is the file of a layout for the chosen nodes: what they have, and what they could have. The file is nil where there is
// nothing to propose, which is an error too.
func (c *Cluster) ProposeLayout(ctx context.Context, name string, accept []link.Acceptance) (*snapshot.Snapshot, []byte, error) {
	s, err := c.observeDisks(ctx)
	if err != nil {
		return nil, nil, err
	}
	p := layout.Proposing{Name: name, Accept: accept, Nodes: layout.Nodes{Names: c.options.Nodes}}
	if chosen := c.options.Selector; len(p.Nodes.Names) == 0 && chosen != nil && !chosen.Empty() {
		// What cannot be said by one is said by names.
		if selector, err := metav1.ParseToLabelSelector(chosen.String()); err == nil {
			p.Nodes.Selector = selector
		}
	}
	if chosen := c.options.Selector; len(p.Nodes.Names) > 0 && chosen != nil && !chosen.Empty() {
		p.Nodes.Names = nil
		for _, n := range s.Nodes {
			p.Nodes.Names = append(p.Nodes.Names, n.Name)
		}
	}
	raw, err := Decided(ctx, func() ([]byte, error) { return layout.Observe(s).Propose(p) })
	return s, raw, err
}

// BoundLayout is what came of binding the disks of a layout.
type BoundLayout struct {
	Snapshot *snapshot.Snapshot
	Bindings layout.Bindings
	Report   layout.Report
}

// BindLayout binds what has no binding yet in a file, on those of the layout's nodes that are chosen. Expressions are evaluated by what
// the nodes' Talos API tells.
func (c *Cluster) BindLayout(ctx context.Context, f layout.File, accept []link.Acceptance) (BoundLayout, error) {
	if err := c.chooseNodes(f.Layout.Spec.Nodes); err != nil {
		return BoundLayout{}, err
	}
	s, err := c.observeDisks(ctx)
	if err != nil {
		return BoundLayout{}, err
	}
	s.Nodes = slices.DeleteFunc(s.Nodes, func(n snapshot.Node) bool { return !f.Layout.Includes(n.Name) })
	if len(s.Nodes) == 0 {
		return BoundLayout{}, failure.New("none of the chosen nodes is one of the layout's", "")
	}
	request := layout.Request{Accept: accept, Selections: c.selections(ctx, s, f.Layout)}
	return Decided(ctx, func() (BoundLayout, error) {
		bindings, report := layout.Observe(s).Bind(f.Layout, f.Bindings, request)
		return BoundLayout{Snapshot: s, Bindings: bindings, Report: report}, nil
	})
}

// chooseNodes leaves of the chosen nodes those of a layout.
func (c *Cluster) chooseNodes(n layout.Nodes) error {
	if n.Selector == nil {
		if len(c.options.Nodes) == 0 {
			c.options.Nodes = n.Names
		}
		return nil
	}
	selector, err := metav1.LabelSelectorAsSelector(n.Selector)
	if err != nil {
		return err
	}
	if c.options.Selector != nil {
		more, _ := c.options.Selector.Requirements()
		selector = selector.Add(more...)
	}
	c.options.Selector = selector
	return nil
}

// selections are what the expressions of a layout match on each node that has any.
func (c *Cluster) selections(ctx context.Context, s *snapshot.Snapshot, l layout.Layout) map[string]snapshot.Section[[]snapshot.Selection] {
	var nodes []snapshot.Node
	for _, n := range s.Nodes {
		if len(l.Selectors(n.Name)) > 0 {
			nodes = append(nodes, n)
		}
	}
	sections := exec.Each(ctx, nodes, c.options.Concurrency, c.options.NodeTimeout,
		func(ctx context.Context, n snapshot.Node) snapshot.Section[[]snapshot.Selection] {
			if c.talos == nil {
				return snapshot.Unread[[]snapshot.Selection](s.NoTalos)
			}
			selections, err := c.selectOn(ctx, n, l)
			if err != nil {
				return snapshot.Unread[[]snapshot.Selection](problem.From(err))
			}
			return snapshot.Read(selections)
		})
	all := make(map[string]snapshot.Section[[]snapshot.Selection])
	for i, n := range nodes {
		all[n.Name] = sections[i]
	}
	return all
}

func (c *Cluster) selectOn(ctx context.Context, n snapshot.Node, l layout.Layout) ([]snapshot.Selection, error) {
	node := c.talos.Node(n.Machine())
	if err := node.Verify(ctx); err != nil {
		return nil, err
	}
	return node.Select(ctx, l.Selectors(n.Name))
}
