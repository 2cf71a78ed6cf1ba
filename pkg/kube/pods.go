// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// maxKept is for how many nodes a session is kept open between looking and
// acting. Beyond it each node is simply asked twice: a thousand open connections
// would be more than a machine commonly allows.
const maxKept = 64

// closeTimeout is how long a session that is not needed may take to end.
const closeTimeout = 2 * time.Second

// Pods are the provisioner's pods, one a node. It implements link.Runner.
type Pods struct {
	Executor *exec.Executor
	// Targets by node, and the Classes that their directories belong to.
	Targets map[string]exec.Target
	Classes []provisioner.Class
	// Volumes are the paths of volumes to look at on each node, as link.VolumePaths gives them.
	Volumes map[string][]string
	// Limit is how many nodes are worked on at once; Timeout is each node's own,
	// for looking and for each step.
	Limit   int
	Timeout time.Duration

	mu   sync.Mutex
	kept map[string]*session
}

var _ link.Runner = (*Pods)(nil)

// Targets finds the provisioner's container on each node of a snapshot.
func Targets(s *snapshot.Snapshot) map[string]exec.Target {
	targets := make(map[string]exec.Target)
	for _, n := range s.Nodes {
		if n.Pod.Value != nil {
			targets[n.Name] = exec.Target{Namespace: s.Install.Namespace, Pod: n.Pod.Value.Name, Container: s.Install.Container, Node: n.Name}
		}
	}
	return targets
}

// Observe looks at nodes, and keeps the sessions open if steps are to follow. A look whose end
// was lost on the way, as when a kubelet restarts, is made again once.
// done, if not nil, is called after each node, from several goroutines.
func (p *Pods) Observe(ctx context.Context, nodes, closely []string, stepsFollow bool, done func()) []link.Answer {
	stepsFollow = stepsFollow && len(nodes) <= maxKept
	return exec.Each(ctx, nodes, p.Limit, p.Timeout, func(ctx context.Context, node string) link.Answer {
		if done != nil {
			defer done()
		}
		var answer link.Answer
		_ = exec.OncePodsAreKnown(ctx, func() error { // The answer has it.
			answer = p.look(ctx, node, closely, stepsFollow)
			return answer.Err
		})
		if errors.Is(answer.Err, exec.ErrNoEnd) { // It has only looked, and can do so again.
			answer = p.look(ctx, node, closely, stepsFollow)
		}
		return answer
	})
}

func (p *Pods) look(ctx context.Context, node string, closely []string, stepsFollow bool) link.Answer {
	s, answer := p.open(ctx, node, closely, stepsFollow)
	switch {
	case s == nil:
	case stepsFollow:
		p.keep(node, s)
	default:
		answer.Err = s.end(ctx)
	}
	return answer
}

// Look is Observe for a second look, with no steps to follow.
func (p *Pods) Look(ctx context.Context, nodes []string) []link.Answer {
	return p.Observe(ctx, nodes, nil, false, nil)
}

// Run performs the steps of each job, in the session that looked at the node if
// that is still open.
func (p *Pods) Run(ctx context.Context, jobs []link.Job) []link.Answer {
	// Steps have the timeout each; a session bounds them itself.
	return exec.Each(ctx, jobs, p.Limit, 0, func(ctx context.Context, j link.Job) link.Answer {
		if err := ctx.Err(); err != nil {
			return link.Answer{Err: err, NotStarted: true}
		}
		s := p.take(j.Node)
		if s == nil {
			var answer link.Answer
			look, cancel := exec.WithTimeout(ctx, p.Timeout)
			s, answer = p.open(look, j.Node, nil, true)
			cancel()
			if s == nil {
				return link.Answer{Err: answer.Err, NotStarted: true}
			}
		}
		return s.perform(ctx, j.Steps)
	})
}

// Close ends the sessions that are still open, in which nothing runs, so that no
// script is left waiting on a node.
func (p *Pods) Close() {
	p.mu.Lock()
	kept := slices.Collect(maps.Values(p.kept))
	p.kept = nil
	p.mu.Unlock()
	exec.Each(context.Background(), kept, 0, closeTimeout, func(ctx context.Context, s *session) error { return s.end(ctx) })
}

// open starts a session and waits for what the node says of itself. Without a
// session the answer says why.
func (p *Pods) open(ctx context.Context, node string, closely []string, stepsFollow bool) (*session, link.Answer) {
	target, ok := p.Targets[node]
	if !ok {
		return nil, link.Answer{Err: fmt.Errorf("no provisioner pod runs on node %q", node), NotStarted: true}
	}
	s := start(ctx, p.Executor, target, link.Argv(p.Classes, closely, p.Volumes[node], stepsFollow), link.Stdin(p.Volumes[node]), p.Timeout)
	out, err := s.observed(ctx)
	if err != nil {
		var notStarted *exec.StartError
		return nil, link.Answer{Out: out, Err: err, NotStarted: errors.As(err, &notStarted)}
	}
	return s, link.Answer{Out: out}
}

func (p *Pods) keep(node string, s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil {
		p.kept = make(map[string]*session)
	}
	p.kept[node] = s
}

// take hands over a node's session if it is still alive.
func (p *Pods) take(node string) *session {
	p.mu.Lock()
	s := p.kept[node]
	delete(p.kept, node)
	p.mu.Unlock()
	if s == nil || s.over() {
		return nil
	}
	return s
}
