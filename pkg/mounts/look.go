// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// lookAfter reads the configurations after a request. If that ended in an error which
// leaves open what comes of it, it looks until the configurations are as was meant,
// or for as long as a request may take.
func (a attempt) lookAfter(ctx context.Context, err error, there func(Configs) bool) (configs Configs, lookErr error) {
	// The run may have ended; what is true of the node still has to be told.
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
		return err2 == nil && (err == nil || errors.Is(err, ErrNotTaken) || there(now))
	})
	return configs, lookErr
}

// well looks until the kubelet is healthy and the node Ready, for as long as that may
// take. Where that is of no interest, or in vain, it is what was seen last.
func (a attempt) well(ctx context.Context) (now state, err error) {
	if a.Admit <= 0 || a.Mode == Staged {
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
			return now.kubelet.well() && now.readiness.Ready
		case seen && wctx.Err() != nil: // Cut off by the end of looking, it says nothing of the node.
			return true
		}
		err = lookErr
		return !errors.Is(lookErr, context.DeadlineExceeded) // A slow answer may be the last slow one.
	})
	return now, err
}

// wait polls until the kubelet is back and sees the directories. It returns what was
// missing last, empty if nothing.
func (a attempt) wait(ctx context.Context, before state, dirs []string) string {
	wctx, cancel := context.WithTimeout(ctx, a.Settle)
	defer cancel()
	missing := "the kubelet was not seen"
	poll(wctx, func() bool {
		now, err := a.look(wctx)
		if err != nil {
			missing = told(wctx, "the kubelet was not seen", err, missing)
			return false
		}
		missing = gate(before, now, nil)
		if missing != "" || len(dirs) == 0 {
			return missing == ""
		}
		appear, pid, err := a.appear(wctx, dirs)
		if err != nil {
			missing = told(wctx, "what the kubelet sees is unknown", err, missing)
			return false
		}
		if pid != now.kubelet.PID { // Of that one it is not known that it is healthy.
			missing = fmt.Sprintf("the kubelet restarted again: it was process %d, and is process %d", now.kubelet.PID, pid)
			return false
		}
		missing = gate(before, now, appear)
		return missing == ""
	})
	return missing
}

// told is what is said of a request that failed. One that the end of the wait cut
// off says nothing of the node: what was known before stays.
func told(ctx context.Context, what string, err error, before string) string {
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
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// pause waits for an interval, or until ctx ends.
func pause(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	<-ctx.Done()
}

func (a attempt) look(ctx context.Context) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Call)
	defer cancel()
	var s state
	var err error
	if s.kubelet, err = a.node.Kubelet(ctx); err != nil {
		return s, err
	}
	s.readiness, err = a.node.Readiness(ctx)
	return s, err
}

// appear asks whether the kubelet sees the directories, and which process that is.
func (a attempt) appear(ctx context.Context, dirs []string) (answers map[string]disk.Answer, pid int, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.Call)
	defer cancel()
	view, err := a.node.View(ctx, dirs)
	if err != nil {
		return nil, 0, err
	}
	answers = make(map[string]disk.Answer, len(dirs))
	for _, dir := range dirs {
		answers[dir], _ = view.Visible(dir)
	}
	return answers, view.PID, nil
}

func (a attempt) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.Call)
	defer cancel()
	return a.node.Verify(ctx)
}

func (a attempt) configs(ctx context.Context) (Configs, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Call)
	defer cancel()
	return a.node.Configs(ctx)
}

// applyOnce sends one request. The end of the run does not cut it off: what comes of
// a request without an answer is not known.
func (a attempt) applyOnce(ctx context.Context, config []byte, mode Mode) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Call)
	defer cancel()
	return a.node.Apply(ctx, config, mode, a.Rollback)
}
