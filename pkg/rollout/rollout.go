// SPDX-License-Identifier: Apache-2.0

// Package rollout changes the machine configurations of nodes, a few at a time. Of each node it reads the configuration again, tries or
// applies the new one, looks whether the node comes back and the change works, and keeps it or takes it back. It stops at the first
// node that fails.
//
// What a change is for, how it is seen to work and what it is called comes in as values. No client may enter: what is done on a node
// goes through the interface that the package declares.
package rollout

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

// Node is what a roll-out needs done on one node.
type Node interface {
	// Verify fails unless the node that answers is the one of that name in Kubernetes.
	Verify(ctx context.Context) error
	// Configs reads the configurations as they are now.
	Configs(ctx context.Context) (machineconfig.Current, error)
	// Apply puts a configuration in force. With Try, Talos takes it back by itself
	// after rollback. After machineconfig.ErrNotTaken it surely stays as it is.
	Apply(ctx context.Context, config []byte, mode machineconfig.Mode, rollback time.Duration) error
	// Look sees how the node is. With an error it is what was seen of it, or nil.
	Look(ctx context.Context) (State, error)
}

// State is how a node is at one look, as far as the change has to do with it.
type State interface {
	// Unwell is what keeps the node from being changed now, such as "it is NotReady", with more about it and a hint. Empty: nothing.
	Unwell() (what, detail, hint string)
	// Missing is what is still missing until the node is back from a change; empty if nothing is. The node was as earlier before the change;
	// nil: that was not seen.
	Missing(earlier any) string
}

// Step is the change of one node.
type Step struct {
	Node string
	// Address is what talosctl -n takes, for hints; empty: the node's name.
	Address string
	// Before is what the plan was made from, After what is to be.
	Before machineconfig.Current
	After  []byte
	// Works looks whether the change has its effect on a node that is back, and says what is missing; empty if nothing is. Nil: there is
	// nothing to look at.
	Works func(ctx context.Context, now State) (missing string, err error)
}

// Words are what a change is called where its outcome is reported.
type Words struct {
	// Back is what comes back after a change: "the kubelet".
	Back string
	// Effect is what Step.Works looks at: "what the kubelet sees".
	Effect string
	// Undo is what a person does who takes the change back: "take the entry out".
	Undo string
	// Show is the command that shows how a node is now.
	Show func(node string) string
}

// Outcome is a step's result.
type Outcome struct {
	Result change.Result
	// Detail says why it is not done; Hint what to do about it.
	Detail, Hint string
}

// Runner changes nodes, a few at a time, and stops at the first that fails.
type Runner struct {
	Words Words
	Mode  machineconfig.Mode
	// MaxUnavailable is how many nodes may be under way at once.
	MaxUnavailable int
	// Rollback is after how long Talos takes a tried configuration back. Settle is how
	// long a node may take to come back; shorter.
	Rollback, Settle time.Duration
	// Admit is how long a node may take to be well before anything is done to it: a health
	// check is slow at times. 0: it has to be at the first look.
	Admit time.Duration
	// Call bounds one request.
	Call time.Duration
	// Progress, if set, gets what a node is at. It must be safe to call from
	// several goroutines.
	Progress func(node, stage string)
}

// endedBefore is why nothing was done to a node.
const endedBefore = "the run ended before it began"

// interval is how often a node is asked whether it is there yet.
const interval = time.Second

// Run performs the steps in their order. outcomes has one for each, whatever happens.
func (r Runner) Run(ctx context.Context, steps []Step, node func(Step) Node) []Outcome {
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
				outcomes[i] = Outcome{Result: change.NotDone, Detail: why}
			case ctx.Err() != nil:
				outcomes[i] = Outcome{Result: change.NotDone, Detail: endedBefore}
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
