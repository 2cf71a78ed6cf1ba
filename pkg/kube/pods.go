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

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// MaxSessions is for how many nodes a session is kept open between looking and
// acting. Beyond it each node is simply asked twice: a thousand open connections
// would be more than a machine commonly allows.
const MaxSessions = 64

// Pods are the provisioner's pods, one a node. It implements link.Runner.
type Pods struct {
	Executor *exec.Executor
	// Targets by node, and the Classes that their directories belong to.
	Targets map[string]exec.Target
	Classes []provisioner.Class
	// Volumes are the paths of volumes to look at on each node, as nodescript.VolumePaths gives them.
	Volumes map[string][]string
	// Limit is how many nodes are worked on at once; Timeout is each node's own,
	// for looking and for each step.
	Limit   int
	Timeout time.Duration

	mu   sync.Mutex
	kept map[string]*nodescript.Session
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
func (p *Pods) Observe(ctx context.Context, nodes, closely []string, stepsFollow bool, done func()) []nodescript.Answer {
	stepsFollow = stepsFollow && len(nodes) <= MaxSessions
	return exec.Each(ctx, nodes, p.Limit, p.Timeout, func(ctx context.Context, node string) nodescript.Answer {
		if done != nil {
			defer done()
		}
		var answer nodescript.Answer
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

func (p *Pods) look(ctx context.Context, node string, closely []string, stepsFollow bool) nodescript.Answer {
	s, answer := p.open(ctx, node, closely, stepsFollow)
	switch {
	case s == nil:
	case stepsFollow:
		p.keep(node, s)
	default:
		answer.Err = s.End(ctx)
	}
	return answer
}

// Look is Observe for a second look, with no steps to follow.
func (p *Pods) Look(ctx context.Context, nodes []string) []nodescript.Answer {
	return p.Observe(ctx, nodes, nil, false, nil)
}

// Run performs the steps of each job, in the session that looked at the node if
// that is still open.
func (p *Pods) Run(ctx context.Context, jobs []nodescript.Job) []nodescript.Answer {
	// Steps have the timeout each; a session bounds them itself.
	return exec.Each(ctx, jobs, p.Limit, 0, func(ctx context.Context, j nodescript.Job) nodescript.Answer {
		if err := ctx.Err(); err != nil {
			return nodescript.Answer{Err: err, NotStarted: true}
		}
		s := p.take(j.Node)
		if s == nil {
			var answer nodescript.Answer
			look, cancel := failure.WithTimeout(ctx, p.Timeout)
			s, answer = p.open(look, j.Node, nil, true)
			cancel()
			if s == nil {
				return nodescript.Answer{Err: answer.Err, NotStarted: true}
			}
		}
		return s.Perform(ctx, j.Steps)
	})
}

// Close ends the sessions that are still open, in which nothing runs, so that no
// script is left waiting on a node.
func (p *Pods) Close() {
	p.mu.Lock()
	kept := slices.Collect(maps.Values(p.kept))
	p.kept = nil
	p.mu.Unlock()
	exec.Each(context.Background(), kept, 0, 0, func(ctx context.Context, s *nodescript.Session) error { return s.Close(ctx) })
}

// open starts a session and waits for what the node says of itself. Without a
// session the answer says why.
func (p *Pods) open(ctx context.Context, node string, closely []string, stepsFollow bool) (*nodescript.Session, nodescript.Answer) {
	target, ok := p.Targets[node]
	if !ok {
		return nil, nodescript.Answer{Err: fmt.Errorf("no provisioner pod runs on node %q", node), NotStarted: true}
	}
	look := nodescript.Look{Classes: p.Classes, Closely: closely, Volumes: p.Volumes[node], StepsFollow: stepsFollow}
	s := nodescript.Start(ctx, container{p.Executor, target}, look, p.Timeout)
	out, err := s.Observe(ctx)
	if err != nil {
		var notStarted *exec.StartError
		return nil, nodescript.Answer{Out: out, Err: err, NotStarted: errors.As(err, &notStarted)}
	}
	return s, nodescript.Answer{Out: out}
}

// container runs the node's script in one of the provisioner's containers.
type container struct {
	executor *exec.Executor
	target   exec.Target
}

// Exec implements nodescript.Executor.
func (c container) Exec(ctx context.Context, command nodescript.Command) error {
	return c.executor.Exec(ctx, c.target, exec.Command{
		Argv: command.Argv, Stdin: command.Stdin, Stdout: exec.Limit(command.Stdout, command.Limit), End: command.End,
	})
}

func (p *Pods) keep(node string, s *nodescript.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil {
		p.kept = make(map[string]*nodescript.Session)
	}
	p.kept[node] = s
}

// take hands over a node's session if it is still alive.
func (p *Pods) take(node string) *nodescript.Session {
	p.mu.Lock()
	s := p.kept[node]
	delete(p.kept, node)
	p.mu.Unlock()
	if s == nil || s.Over() {
		return nil
	}
	return s
}
