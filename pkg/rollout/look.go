// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

// lookAfter reads the configurations after a request. If that ended in an error which
// leaves open what comes of it, it looks until the configurations are as was meant,
// or for as long as a request may take.
func (a attempt) lookAfter(ctx context.Context, err error,
	there func(machineconfig.Current) bool) (configs machineconfig.Current, lookErr error) {
	// The run may have ended; what is true of the node still has to be reported.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Call)
	defer cancel()
	lookErr = context.DeadlineExceeded
	poll(ctx, func() bool {
		now, err2 := a.configs(ctx)
		switch {
		case err2 == nil:
			configs, lookErr = now, nil
		case !errors.Is(err2, context.DeadlineExceeded): // Cut off by the end of looking, it says nothing of the node.
			lookErr = err2
		}
		return err2 == nil && (err == nil || errors.Is(err, machineconfig.ErrNotTaken) || there(now))
	})
	return configs, lookErr
}

// well looks until the node is well, for as long as that may take. Where that is of no interest, or in vain, it is what was seen last.
func (a attempt) well(ctx context.Context) (now State, err error) {
	if a.Admit <= 0 || a.Mode == machineconfig.Staged {
		return a.look(ctx)
	}
	wctx, cancel := context.WithTimeout(ctx, a.Admit)
	defer cancel()
	seen := false
	poll(wctx, func() bool {
		last, lookErr := a.look(wctx)
		switch {
		case lookErr == nil:
			now, err, seen = last, nil, true
			what, _, _ := now.Unwell()
			return what == ""
		case seen && wctx.Err() != nil: // Cut off by the end of looking, it says nothing of the node.
			return true
		}
		err = lookErr
		return !errors.Is(lookErr, context.DeadlineExceeded) // A slow answer may be the last slow one.
	})
	return now, err
}

// wait polls until the node is back and the change works. It returns what was missing last, empty if nothing.
func (a attempt) wait(ctx context.Context, before State, works func(context.Context, State) (string, error)) string {
	wctx, cancel := context.WithTimeout(ctx, a.Settle)
	defer cancel()
	missing := a.unseen()
	poll(wctx, func() bool {
		now, err := a.look(wctx)
		if err != nil {
			missing = unlessCutOff(wctx, a.unseen(), err, missing)
			return false
		}
		missing = now.Missing(before)
		if missing != "" || works == nil {
			return missing == ""
		}
		cctx, cancel := context.WithTimeout(wctx, a.Call)
		defer cancel()
		lacks, err := works(cctx, now)
		if err != nil {
			missing = unlessCutOff(wctx, a.Words.Effect+" is unknown", err, missing)
			return false
		}
		missing = lacks
		return missing == ""
	})
	return missing
}

// unseen is what is said where the node was not seen.
func (a attempt) unseen() string { return a.Words.Back + " was not seen" }

// unlessCutOff is what is said of a request that failed. One that the end of the wait cut
// off says nothing of the node: what was known before stays.
func unlessCutOff(ctx context.Context, what string, err error, before string) string {
	end, bounded := ctx.Deadline()
	cut := bounded && errors.Is(err, context.DeadlineExceeded) && time.Until(end) < early
	if ctx.Err() != nil || cut {
		return before
	}
	return what + ": " + err.Error()
}

// early is by how much a request may end before the wait that bounds it: gRPC has a
// timer of its own.
const early = 100 * time.Millisecond

// poll calls done at once and then every interval, until it returns true or ctx ends.
func poll(ctx context.Context, done func() bool) {
	// Its error is the context's end, which the caller sees by itself.
	_ = wait.PollUntilContextCancel(ctx, interval, true, func(context.Context) (bool, error) { return done(), nil })
}

// pause waits for an interval, or until ctx ends.
func pause(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	<-ctx.Done()
}

func (a attempt) look(ctx context.Context) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Call)
	defer cancel()
	return a.node.Look(ctx)
}

func (a attempt) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.Call)
	defer cancel()
	return a.node.Verify(ctx)
}

func (a attempt) configs(ctx context.Context) (machineconfig.Current, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Call)
	defer cancel()
	return a.node.Configs(ctx)
}

// applyOnce sends one request. The end of the run does not cut it off: what comes of
// a request without an answer is not known.
func (a attempt) applyOnce(ctx context.Context, config []byte, mode machineconfig.Mode) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Call)
	defer cancel()
	return a.node.Apply(ctx, config, mode, a.Rollback)
}
