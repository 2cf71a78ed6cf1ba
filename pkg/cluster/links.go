// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Depth is how far a plan looks, and what follows it.
type Depth int

const (
	// ToAct looks at the nodes, and the plan is to be performed.
	ToAct Depth = iota
	// LookOnly looks at the nodes, after it made sure that the plan could be performed.
	LookOnly
	// NoNode reads the API server and looks at no node.
	NoNode
)

// parts are those that a plan of links is made from, beside what is always read.
func (d Depth) parts() observe.Parts {
	if d == NoNode {
		return 0
	}
	return observe.OnNodes
}

// recordTimeout bounds what is written down when the run itself is over.
const recordTimeout = 10 * time.Second

// LinkPlanning is what PlanLinks plans.
type LinkPlanning struct {
	// Request says which links are to be made; or Again is a plan to make once more, as it is.
	Request link.Request
	Again   *link.Plan
	Depth   Depth
	// Wait: the volumes will be waited for, which takes a right of its own.
	Wait bool
}

// PlanLinks observes the nodes and decides which links are to be made.
func (c *Cluster) PlanLinks(ctx context.Context, p LinkPlanning) (*snapshot.Snapshot, link.Plan, error) {
	request := observe.Request{Closely: link.Closely(p.Request.Disks), Parts: p.Depth.parts(), StepsFollow: p.Depth == ToAct}
	if p.Again != nil {
		request.Closely = p.Again.Disks()
		if len(c.options.Nodes) == 0 {
			c.options.Nodes = p.Again.Nodes()
		}
	} else {
		request.Check = func(s *snapshot.Snapshot) error { return link.Check(s, p.Request) }
	}
	s, err := c.observeToLink(ctx, p, request)
	if err != nil {
		return nil, link.Plan{}, err
	}
	plan, err := p.decide(ctx, s)
	if err != nil || p.Depth == NoNode {
		return s, plan, err
	}
	plan, err = c.compare(ctx, p, s, plan, request.Closely)
	return s, plan, err
}

func (c *Cluster) observeToLink(ctx context.Context, p LinkPlanning, r observe.Request) (*snapshot.Snapshot, error) {
	if p.Depth == NoNode {
		return c.Observe(ctx, r)
	}
	needs := append(c.looking(), throughPods())
	if p.Wait {
		needs = append(needs, anywhere("watch", "persistentvolumes"))
	}
	return c.observeToAct(ctx, "link", needs, r)
}

// decide is the plan of a request, or one that was made before once more.
func (p LinkPlanning) decide(ctx context.Context, s *snapshot.Snapshot) (link.Plan, error) {
	return Decided(ctx, func() (link.Plan, error) {
		if p.Again != nil {
			return link.DecideAgain(s, *p.Again)
		}
		return link.Decide(s, p.Request)
	})
}

// compare plans again with the disks in sight that may be those of the plan: of the nodes that were not chosen, and those of any node
// that were not asked for, and so not read.
func (c *Cluster) compare(ctx context.Context, p LinkPlanning, s *snapshot.Snapshot, plan link.Plan, closely []string) (link.Plan, error) {
	defer c.reporter.Clear()
	if link.Shareable(s, plan) {
		if err := c.Observer().LookBeside(ctx, s); err != nil {
			return link.Plan{}, err
		}
		c.reporter.Clear()
		for _, u := range link.Unseen(s) {
			c.reporter.Warn(fmt.Sprintf("whether %s has the same disks is not known: %s", u.Where(), u.Why), nil)
		}
		var err error
		if plan, err = p.decide(ctx, s); err != nil {
			return link.Plan{}, err
		}
	}
	unread := link.UnreadElsewhere(s, plan)
	if len(unread) == 0 {
		return plan, nil
	}
	nodes := slices.Sorted(maps.Keys(unread))
	for _, n := range nodes {
		closely = append(closely, unread[n]...)
	}
	if err := c.Observer().LookCloser(ctx, s, nodes, closely); err != nil {
		return link.Plan{}, err
	}
	return p.decide(ctx, s)
}

// PerformLinks makes the links of a plan, puts into it what came of each, and waits for the volumes; wait 0: it does not.
func (c *Cluster) PerformLinks(ctx context.Context, s *snapshot.Snapshot, plan *link.Plan, wait time.Duration) {
	link.Apply(ctx, plan, s.Install.Classes, c.pods)
	c.record(ctx, s, plan)
	// No script is left waiting on a node while the volumes are waited for.
	c.pods.Close()
	if wait == 0 || ctx.Err() != nil {
		return
	}
	ctx, stop := context.WithTimeout(ctx, wait)
	defer stop()
	link.Await(ctx, plan, c.volumes(s), func() { c.reporter.Show("waiting for PersistentVolumes, up to %s", wait) })
	c.reporter.Clear()
}

// record keeps which disks the volumes are made for where the provisioner does not delete it. The links are made, and are not undone
// if it fails.
func (c *Cluster) record(ctx context.Context, s *snapshot.Snapshot, plan *link.Plan) {
	records := link.ToRecord(s, plan)
	if len(records) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := kube.Record(ctx, c.Client, s.Install.Namespace, records); err != nil {
		c.reporter.Warn(fmt.Sprintf("which disks the volumes are made for could not be recorded in ConfigMap %q, and is forgotten when the provisioner makes them again",
			s.Install.Namespace+"/"+kube.RecordsName), err)
	}
}

// PlanUnlink observes the nodes and decides which links are to be removed.
func (c *Cluster) PlanUnlink(ctx context.Context, r link.UnlinkRequest, depth Depth) (*snapshot.Snapshot, link.Plan, error) {
	request := observe.Request{Parts: observe.Users | depth.parts(), StepsFollow: depth == ToAct}
	look := c.Observe
	if depth != NoNode {
		needs := append(c.looking(), throughPods(), anywhere("get", "persistentvolumes"), anywhere("delete", "persistentvolumes"))
		look = func(ctx context.Context, r observe.Request) (*snapshot.Snapshot, error) {
			return c.observeToAct(ctx, "unlink", needs, r)
		}
	}
	s, err := look(ctx, request)
	if err != nil {
		return nil, link.Plan{}, err
	}
	plan, err := Decided(ctx, func() (link.Plan, error) { return link.DecideUnlink(s, r) })
	return s, plan, err
}

// PerformUnlink removes the links of a plan and their volumes, and puts into it what came of each. It waits until the provisioner has
// looked once; an error means that whether the volumes stay away is not known.
func (c *Cluster) PerformUnlink(ctx context.Context, s *snapshot.Snapshot, plan *link.Plan, wait bool) (unsettled error) {
	link.Unlink(ctx, plan, s.Install.Classes, c.pods, c.volumes(s))
	c.pods.Close()
	if wait && ctx.Err() == nil {
		c.reporter.Show("waiting for one look of the provisioner (%s)", link.DiscoveryPeriod)
		unsettled = link.Settle(ctx, plan, s.Install.Classes, c.pods, c.volumes(s), sleep)
		c.reporter.Clear()
	}
	if forget := link.ToForget(*plan); len(forget) > 0 {
		c.forget(ctx, s.Install.Namespace, forget)
	}
	return unsettled
}

// forget removes what was recorded of the volumes' disks.
func (c *Cluster) forget(ctx context.Context, namespace string, volumes []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := kube.Forget(ctx, c.Client, namespace, volumes); err != nil {
		c.reporter.Warn(fmt.Sprintf("which disks the volumes were made for is still recorded in ConfigMap %q", namespace+"/"+kube.RecordsName),
			err)
	}
}

// sleep waits, or returns why it could not.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
