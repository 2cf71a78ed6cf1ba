// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Error tells errors of a Node apart: errors.Is(err, ErrNotTaken).
type Error string

// ErrNotTaken is every error of Apply after which the node's configuration surely
// stays as it is. After any other the request may be under way, and take effect later.
const ErrNotTaken Error = "not taken"

// Error is the error's name.
func (e Error) Error() string { return string(e) }

// Node is what a roll-out needs done on one node.
type Node interface {
	// Verify fails unless the node that answers is the one of that name in Kubernetes.
	Verify(ctx context.Context) error
	// Configs reads the configurations as they are now.
	Configs(ctx context.Context) (Configs, error)
	// Apply puts a configuration in force. With Try, Talos takes it back by itself
	// after rollback.
	Apply(ctx context.Context, config []byte, mode Mode, rollback time.Duration) error
	// Kubelet asks for the kubelet's service.
	Kubelet(ctx context.Context) (Kubelet, error)
	// View is what the kubelet sees of these directories.
	View(ctx context.Context, dirs []string) (View, error)
	// Readiness asks Kubernetes for the node.
	Readiness(ctx context.Context) (Readiness, error)
}

// Step is the change of one node.
type Step struct {
	// Node is the node's name, Address what talosctl -n takes.
	Node, Address string
	// Before is what the plan was made from, After what is to be.
	Before Configs
	After  []byte
	// Appear are the directories that the kubelet must see afterwards.
	Appear []string
}

// Result is what became of a step.
type Result string

// The results. ResultUnknown is that of an action whose end was not seen.
const (
	ResultUnchanged  Result = "unchanged"
	ResultPatched    Result = "patched"
	ResultStaged     Result = "staged"
	ResultRefused    Result = "refused"
	ResultFailed     Result = "failed"
	ResultRolledBack Result = "rolled back"
	// ResultTried: in force, not kept, and Talos will take it back.
	ResultTried   Result = "tried"
	ResultUnknown Result = "unknown"
	ResultNotDone Result = "not done"
)

// Done tells whether the node is as it was meant to be.
func (r Result) Done() bool { return r == ResultPatched || r == ResultStaged }

// Outcome is a step's result.
type Outcome struct {
	Result Result
	// Detail says why it is not done; Hint what to do about it.
	Detail, Hint string
}

// RollOut changes nodes, a few at a time, and stops at the first that fails.
type RollOut struct {
	Mode Mode
	// MaxUnavailable is how many kubelets may be restarting at once.
	MaxUnavailable int
	// Rollback is after how long Talos takes a tried configuration back. Settle is how
	// long a kubelet may take to come back; shorter.
	Rollback, Settle time.Duration
	// Admit is how long a node may take to be well before anything is done to it: a health
	// check is slow at times. 0: it has to be at the first look.
	Admit time.Duration
	// Call bounds one request.
	Call time.Duration
	// Progress, if set, is told what a node is at. It must be safe to call from
	// several goroutines.
	Progress func(node, stage string)
}

// endedBefore is why nothing was done to a node.
const endedBefore = "the run ended before it began"

// interval is how often a node is asked whether it is there yet.
const interval = time.Second

// Run performs the steps in their order. outcomes has one for each, whatever happens.
func (r RollOut) Run(ctx context.Context, steps []Step, node func(Step) Node) []Outcome {
	outcomes := make([]Outcome, len(steps))
	var mu sync.Mutex
	failed := ""
	var g errgroup.Group
	g.SetLimit(max(1, r.MaxUnavailable))
	for i, s := range steps {
		g.Go(func() error {
			mu.Lock()
			why := failed
			mu.Unlock()
			switch {
			case why != "":
				outcomes[i] = Outcome{Result: ResultNotDone, Detail: why}
			case ctx.Err() != nil:
				outcomes[i] = Outcome{Result: ResultNotDone, Detail: endedBefore}
			default:
				outcomes[i] = r.one(ctx, s, node(s))
			}
			if !outcomes[i].Result.Done() && why == "" && ctx.Err() == nil {
				mu.Lock()
				failed = fmt.Sprintf("the roll-out stopped at node %q", s.Node)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // The functions return no error: outcomes has them.
	return outcomes
}
