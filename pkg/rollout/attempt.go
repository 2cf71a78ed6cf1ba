// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

func (r Runner) one(ctx context.Context, s Step, n Node) Outcome {
	a := attempt{Runner: r, step: s, node: n}
	a.say("looking again")
	before, refused := a.admit(ctx)
	if refused != nil {
		return *refused
	}
	switch r.Mode {
	case machineconfig.Staged:
		return a.stage(ctx)
	case machineconfig.NoReboot:
		return a.apply(ctx, before)
	default:
		return a.try(ctx, before)
	}
}

// attempt is one step under way.
type attempt struct {
	Runner
	step Step
	node Node
}

func (a attempt) say(stage string) {
	if a.Progress != nil {
		a.Progress(a.step.Node, stage)
	}
}

// admit looks whether the node still is as it was when the plan was made. The
// configuration comes last: nothing tells of a change after that look.
func (a attempt) admit(ctx context.Context) (State, *Outcome) {
	refuse := func(detail, hint string) (State, *Outcome) {
		if ctx.Err() != nil {
			return nil, &Outcome{Result: change.NotDone, Detail: endedBefore}
		}
		return nil, &Outcome{Result: change.Refused, Detail: detail, Hint: hint}
	}
	if err := a.verify(ctx); err != nil {
		return refuse(err.Error(), "run it again")
	}
	now, err := a.well(ctx)
	if err != nil {
		return refuse(err.Error(), "")
	}
	configs, err := a.configs(ctx)
	switch {
	case err != nil:
		return refuse(fmt.Sprintf("its configuration could not be read again: %s", err), "")
	case !bytes.Equal(configs.Active, a.step.Before.Active):
		return refuse("its configuration changed since the plan was made", "run it again")
	case configs.Pending():
		return refuse(machineconfig.PendingDetail, machineconfig.PendingHint)
	case ctx.Err() != nil:
		return refuse("", "")
	case a.Mode == machineconfig.Staged:
		return now, nil
	}
	if what, detail, hint := now.Unwell(); what != "" {
		return refuse(fmt.Sprintf("%s before anything is done: %s%s", what, detail, a.waited()), hint)
	}
	return now, nil
}

// waited says for how long a node was given to be well.
func (a attempt) waited() string {
	if a.Admit <= 0 {
		return ""
	}
	return fmt.Sprintf(" (it was given %s)", a.Admit)
}

// try tries, verifies, keeps.
func (a attempt) try(ctx context.Context, before State) Outcome {
	a.say("trying")
	// From here on the node takes it back by itself, whatever becomes of this process.
	deadline := time.Now().Add(a.Rollback)
	if outcome := a.put(ctx, machineconfig.Try); outcome != nil {
		return *outcome
	}
	a.say("waiting for " + a.Words.Back)
	missing := a.wait(ctx, before, a.step.Works)
	switch {
	case ctx.Err() != nil:
		return a.left(deadline, "")
	case missing != "":
		return a.awaitRollback(ctx, deadline, fmt.Sprintf("%s, %s later", missing, a.Settle))
	}
	a.say("keeping it")
	return a.keep(ctx, deadline)
}

// keepAttempts is how often it is tried to keep a configuration that was tried: the
// first request ends the trial, even if it is refused because another one is under way.
const keepAttempts = 3

// keep makes the tried configuration stay, unless somebody changed something during
// the trial: the request would undo that.
func (a attempt) keep(ctx context.Context, deadline time.Time) Outcome {
	var last error
	for n := 0; ; n++ {
		if n == 0 && ctx.Err() != nil {
			return a.left(deadline, "")
		}
		if n == 0 && time.Until(deadline) < 2*a.Call {
			// It might be taken back while it is being kept.
			return a.awaitRollback(ctx, deadline, "it took so long that the trial is nearly over")
		}
		kept := func(c machineconfig.Current) bool {
			return bytes.Equal(c.Active, a.step.After) && bytes.Equal(c.Persistent, a.step.After)
		}
		configs, err := a.lookAfter(ctx, last, kept)
		switch {
		case err != nil && last == nil:
			return a.awaitRollback(ctx, deadline, fmt.Sprintf("its configuration could not be read before it was to be kept: %s", err))
		case err != nil:
			return Outcome{
				Result: change.Unknown,
				Detail: fmt.Sprintf("the configuration was in force; whether it is kept is unknown: %s", last),
				Hint:   a.show(),
			}
		case kept(configs):
			return Outcome{Result: change.Patched}
		case bytes.Equal(configs.Active, a.step.Before.Active):
			why := "the trial ended before it was kept"
			if last != nil {
				why = fmt.Sprintf("it could not be kept: %s", last)
			}
			return a.awaitRollback(ctx, deadline, why)
		case !bytes.Equal(configs.Active, a.step.After):
			return a.changed()
		case configs.Persistent != nil && !bytes.Equal(configs.Persistent, a.step.Before.Active):
			return Outcome{
				Result: change.Unknown,
				Detail: "somebody else staged another configuration during the trial: the tried one stays in force until the node reboots, and is not kept",
				Hint:   a.show(),
			}
		case n == keepAttempts && configs.Persistent == nil:
			return Outcome{
				Result: change.Unknown,
				Detail: fmt.Sprintf("the configuration is in force; whether it is kept over a reboot is unknown: %s", last),
				Hint:   a.keepHint(),
			}
		case n == keepAttempts:
			return Outcome{
				Result: change.Unknown,
				Detail: fmt.Sprintf("the configuration is in force, and not kept over a reboot: %s", last),
				Hint:   a.keepHint(),
			}
		}
		if n > 0 {
			pause(ctx)
		}
		if last = a.applyOnce(ctx, a.step.After, machineconfig.NoReboot); last == nil {
			return a.kept(ctx)
		}
	}
}

// keepHint: a second run would find that everything works, and do nothing.
func (a attempt) keepHint() string {
	return "any change keeps it, such as a comment: " + a.talosctl("edit", "machineconfig", "--mode", "no-reboot")
}

// talosctl is a command for the node.
func (a attempt) talosctl(words ...string) string {
	return shell.Command(append([]string{"talosctl", "-n", cmp.Or(a.step.Address, a.step.Node)}, words...)...)
}

func (a attempt) show() string { return a.Words.Show(a.step.Node) }

// changed is the outcome where neither the old configuration nor the new one is in force.
func (a attempt) changed() Outcome {
	return Outcome{Result: change.Unknown, Detail: "somebody else changed the configuration meanwhile, and theirs is in force", Hint: a.show()}
}

// put applies the new configuration. If no answer comes it looks what is in
// force. Nil: it is.
func (a attempt) put(ctx context.Context, mode machineconfig.Mode) *Outcome {
	err := a.applyOnce(ctx, a.step.After, mode)
	if err == nil {
		return nil
	}
	began := time.Now()
	configs, lookErr := a.lookAfter(ctx, err, func(c machineconfig.Current) bool { return bytes.Equal(c.Active, a.step.After) })
	back := fmt.Sprintf("; if it is, Talos takes it back within %s", a.Rollback)
	switch {
	case lookErr != nil && mode == machineconfig.Try:
		return &Outcome{Result: change.Unknown, Detail: fmt.Sprintf("whether the configuration is being tried is unknown: %s%s", err, back)}
	case lookErr != nil:
		return &Outcome{Result: change.Unknown, Detail: fmt.Sprintf("whether the configuration is in force is unknown: %s", err), Hint: a.show()}
	case bytes.Equal(configs.Active, a.step.After):
		return nil
	case !bytes.Equal(configs.Active, a.step.Before.Active):
		outcome := a.changed()
		return &outcome
	case errors.Is(err, machineconfig.ErrNotTaken):
		return &Outcome{Result: change.Failed, Detail: fmt.Sprintf("the configuration was not taken: %s", err)}
	}
	// The request may still be on its way, or under way on the node.
	unanswered := fmt.Sprintf("no answer, and the configuration was not in force %s later: %s; it may yet be ",
		time.Since(began).Round(time.Second), err)
	if mode == machineconfig.Try {
		return &Outcome{Result: change.Unknown, Detail: unanswered + "tried" + back, Hint: a.show()}
	}
	return &Outcome{Result: change.Unknown, Detail: unanswered + "in force", Hint: a.show()}
}

// apply puts the configuration in force for good, and takes it back if the kubelet
// does not come back.
func (a attempt) apply(ctx context.Context, before State) Outcome {
	a.say("applying")
	if outcome := a.put(ctx, machineconfig.NoReboot); outcome != nil {
		return *outcome
	}
	a.say("waiting for " + a.Words.Back)
	missing := a.wait(ctx, before, a.step.Works)
	switch {
	case missing == "":
		return a.kept(ctx)
	case ctx.Err() != nil:
		return Outcome{
			Result: change.Unknown,
			Detail: fmt.Sprintf("the configuration is in force; the run ended before %s was seen to be back: %s", a.Words.Back, missing),
			Hint:   a.show(),
		}
	}
	a.say("taking it back")
	return a.takeBack(ctx, missing, func(c machineconfig.Current) bool { return !c.Pending() })
}

// stage keeps the configuration for the next boot.
func (a attempt) stage(ctx context.Context) Outcome {
	a.say("staging")
	err := a.applyOnce(ctx, a.step.After, machineconfig.Staged)
	configs, lookErr := a.lookAfter(ctx, err, func(c machineconfig.Current) bool { return bytes.Equal(c.Persistent, a.step.After) })
	switch {
	case lookErr == nil && bytes.Equal(configs.Persistent, a.step.After):
		return Outcome{Result: change.Staged}
	case errors.Is(err, machineconfig.ErrNotTaken):
		return Outcome{Result: change.Failed, Detail: fmt.Sprintf("the configuration was not staged: %s", err)}
	case err != nil:
		return Outcome{Result: change.Unknown, Detail: fmt.Sprintf("whether the configuration was staged is unknown: %s", err), Hint: a.show()}
	case lookErr == nil && configs.Persistent != nil:
		return Outcome{Result: change.Failed, Detail: "Talos said that the configuration was staged, but another one is on its disk"}
	}
	// Before v1.10 Talos does not show what is on its disk.
	return Outcome{Result: change.Staged}
}

// kept looks whether the new configuration is the one on disk.
func (a attempt) kept(ctx context.Context) Outcome {
	configs, err := a.lookAfter(ctx, nil, nil)
	switch {
	case err != nil:
		return Outcome{
			Result: change.Unknown,
			Detail: fmt.Sprintf("Talos took the configuration; whether it is kept was not seen: %s", err),
			Hint:   a.show(),
		}
	case !bytes.Equal(configs.Active, a.step.After):
		return a.changed()
	case configs.Pending():
		return Outcome{
			Result: change.Unknown,
			Detail: "Talos took the configuration, but somebody else staged another one meanwhile",
			Hint:   a.show(),
		}
	}
	return Outcome{Result: change.Patched}
}
