// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

// left is what a run leaves behind that ends during a trial.
func (a attempt) left(deadline time.Time, last string) Outcome {
	if time.Now().After(deadline) {
		return Outcome{
			Result: change.Unknown,
			Detail: "the run ended before whether Talos took the configuration back was seen: " + last,
			Hint:   a.show(),
		}
	}
	return Outcome{
		Result: change.Tried,
		Detail: fmt.Sprintf("the run ended during the trial: Talos takes the configuration back by itself within %s",
			time.Until(deadline).Round(time.Second)),
	}
}

const stillInForce = "the tried configuration is still in force"

// awaitRollback watches Talos take a tried configuration back. It does not send
// the old one before the trial is surely over: a request that is refused would end it
// for good.
func (a attempt) awaitRollback(ctx context.Context, deadline time.Time, missing string) Outcome {
	a.say("waiting for Talos to take it back")
	detail := func(end string) string { return missing + "; " + end }
	// Talos counts from when it got the request; then a kubelet has to come back.
	wctx, cancel := context.WithDeadline(ctx, deadline.Add(a.Call+max(a.Settle, time.Minute)))
	defer cancel()
	restored, changed := false, false
	var tried State // With the tried configuration; what comes back is another one.
	last := "not seen"
	poll(wctx, func() bool {
		configs, err := a.configs(wctx)
		if err != nil {
			last = unlessCutOff(wctx, "its configuration could not be read", err, last)
			return false
		}
		if bytes.Equal(configs.Active, a.step.After) {
			if now, err := a.look(wctx); err == nil {
				tried = now
			}
			last = stillInForce
			return false
		}
		if changed = !bytes.Equal(configs.Active, a.step.Before.Active); changed {
			return true
		}
		restored = true
		now, err := a.look(wctx)
		if err != nil {
			last = unlessCutOff(wctx, a.unseen(), err, last)
			return false
		}
		last = now.Missing(tried)
		return last == ""
	})
	switch {
	case changed:
		outcome := a.changed()
		outcome.Detail = detail(outcome.Detail)
		return outcome
	case last == "":
		return Outcome{
			Result: change.RolledBack,
			Detail: detail("Talos took the configuration back, and " + a.Words.Back + " is healthy"),
			Hint:   a.show(),
		}
	case restored:
		return Outcome{
			Result: change.RolledBack,
			Detail: detail("Talos took the configuration back, but " + a.Words.Back + " is not as before: " + last),
			Hint:   a.show(),
		}
	case ctx.Err() != nil:
		return a.left(deadline, last)
	case last == stillInForce: // Somebody's request ended the trial, and Talos takes nothing back.
		a.say("taking it back")
		return a.takeBack(ctx, detail("Talos did not take the configuration back"), func(c machineconfig.Current) bool {
			return c.Persistent == nil || bytes.Equal(c.Persistent, a.step.Before.Active)
		})
	}
	return Outcome{Result: change.Unknown, Detail: detail("whether Talos took the configuration back is unknown: " + last), Hint: a.show()}
}

// takeBack applies the old configuration, unless somebody changed it meanwhile: the
// new one has to be in force, and ours reports whether what is on disk is from this run.
func (a attempt) takeBack(ctx context.Context, missing string, ours func(machineconfig.Current) bool) Outcome {
	detail := func(end string) string { return missing + "; " + end }
	hint := a.Words.Undo + ": " + a.talosctl("edit", "machineconfig", "--mode", "no-reboot")
	tried, _ := a.look(ctx) // An error leaves what was seen, which may be nothing.
	restored := func(c machineconfig.Current) bool { return bytes.Equal(c.Active, a.step.Before.Active) }
	switch configs, err := a.lookAfter(ctx, nil, nil); {
	case err != nil:
		return Outcome{
			Result: change.Failed,
			Detail: detail(fmt.Sprintf("the configuration is left in force, as it could not be read again: %s", err)),
			Hint:   hint,
		}
	case !bytes.Equal(configs.Active, a.step.After) || !ours(configs):
		return Outcome{
			Result: change.Unknown,
			Detail: detail("somebody else changed the configuration meanwhile, so it is not taken back"),
			Hint:   a.show(),
		}
	}
	if err := a.applyOnce(ctx, a.step.Before.Active, machineconfig.NoReboot); err != nil {
		if configs, lookErr := a.lookAfter(ctx, err, restored); lookErr != nil || !restored(configs) {
			return Outcome{Result: change.Failed, Detail: detail(fmt.Sprintf("taking the configuration back failed: %s", err)), Hint: hint}
		}
	}
	if again := a.wait(ctx, tried, nil); again != "" {
		return Outcome{Result: change.RolledBack, Detail: detail("the configuration was taken back, but " + again)}
	}
	return Outcome{Result: change.RolledBack, Detail: detail("the configuration was taken back, and " + a.Words.Back + " is healthy")}
}
