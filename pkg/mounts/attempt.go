// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

func (r RollOut) one(ctx context.Context, s Step, n Node) Outcome {
	a := attempt{RollOut: r, step: s, node: n}
	a.say("looking again")
	before, refused := a.admit(ctx)
	if refused != nil {
		return *refused
	}
	switch r.Mode {
	case Staged:
		return a.stage(ctx)
	case NoReboot:
		return a.apply(ctx, before)
	default:
		return a.try(ctx, before)
	}
}

// attempt is one step under way.
type attempt struct {
	RollOut
	step Step
	node Node
}

func (a attempt) say(stage string) {
	if a.Progress != nil {
		a.Progress(a.step.Node, stage)
	}
}

// admit looks whether the node still is as it was when the plan was made.
func (a attempt) admit(ctx context.Context) (state, *Outcome) {
	refuse := func(detail, hint string) (state, *Outcome) {
		return state{}, &Outcome{Result: ResultRefused, Detail: detail, Hint: hint}
	}
	configs, err := a.configs(ctx)
	if err != nil {
		return refuse(fmt.Sprintf("its configuration could not be read again: %s", err), "")
	}
	if !bytes.Equal(configs.Active, a.step.Before.Active) {
		return refuse("its configuration changed since the plan was made", "run it again")
	}
	if configs.Pending() {
		return refuse(pendingDetail, pendingHint)
	}
	now, err := a.look(ctx)
	if err != nil {
		return refuse(err.Error(), "")
	}
	if a.Mode == Staged {
		return now, nil
	}
	if now.kubelet.PID == 0 || now.kubelet.Healthy != disk.Yes {
		return refuse(fmt.Sprintf("its kubelet is not healthy before anything is done: %s", now.kubelet), "talosctl -n NODE service kubelet")
	}
	if !now.readiness.Ready {
		return refuse(fmt.Sprintf("it is NotReady before anything is done: %s", now.readiness.Why), fmt.Sprintf("kubectl describe node %s", a.step.Node))
	}
	return now, nil
}

// try tries, verifies, keeps.
func (a attempt) try(ctx context.Context, before state) Outcome {
	a.say("trying")
	// From here on the node takes it back by itself, whatever becomes of this process.
	deadline := time.Now().Add(a.Rollback)
	if outcome := a.put(ctx, Try); outcome != nil {
		return *outcome
	}
	a.say("waiting for the kubelet")
	missing := a.wait(ctx, before, a.step.Appear)
	if missing != "" {
		if ctx.Err() != nil {
			return a.left(deadline)
		}
		return a.awaitRollback(ctx, deadline, fmt.Sprintf("%s, %s later", missing, a.Settle))
	}
	if time.Until(deadline) < a.Call {
		// It might be taken back while it is being kept.
		return a.awaitRollback(ctx, deadline, "it took so long that the trial is nearly over")
	}
	a.say("keeping it")
	if outcome := a.put(ctx, NoReboot); outcome != nil {
		return *outcome
	}
	return a.kept(ctx)
}

// put applies the new configuration. If no answer comes it looks what is in
// force. Nil: it is.
func (a attempt) put(ctx context.Context, mode Mode) *Outcome {
	err := a.applyOnce(ctx, a.step.After, mode)
	if err == nil {
		return nil
	}
	// The run may have ended; what is true of the node still has to be told.
	look := context.WithoutCancel(ctx)
	configs, lookErr := a.configs(look)
	switch {
	case lookErr != nil && mode == Try:
		return &Outcome{Result: ResultUnknown, Detail: fmt.Sprintf("whether the configuration is being tried is unknown: %s; if it is, Talos takes it back within %s", err, a.Rollback)}
	case lookErr != nil:
		return &Outcome{Result: ResultUnknown, Detail: fmt.Sprintf("whether the configuration is in force is unknown: %s", err), Hint: "kubectl talosdisk mounts list --nodes " + a.step.Node}
	case bytes.Equal(configs.Active, a.step.Before.Active):
		return &Outcome{Result: ResultFailed, Detail: fmt.Sprintf("the configuration was not taken: %s", err)}
	case !bytes.Equal(configs.Active, a.step.After):
		return &Outcome{Result: ResultUnknown, Detail: fmt.Sprintf("somebody else changed the configuration meanwhile: %s", err), Hint: "kubectl talosdisk mounts list --nodes " + a.step.Node}
	case mode == Try && ctx.Err() != nil:
		outcome := a.left(time.Now().Add(a.Rollback))
		return &outcome
	case a.Mode == Try && mode == NoReboot && !bytes.Equal(configs.Persistent, a.step.After):
		// In force it is by the trial, which any attempt to keep it ends, even one that is refused.
		return &Outcome{Result: ResultUnknown, Detail: fmt.Sprintf("the configuration is in force, and not kept over a reboot: %s", err), Hint: "run it again with --mode no-reboot"}
	}
	return nil
}

// left is what a run leaves behind that ends during a trial.
func (a attempt) left(deadline time.Time) Outcome {
	return Outcome{Result: ResultTried, Detail: fmt.Sprintf("the run ended during the trial: Talos takes the configuration back by itself within %s", time.Until(deadline).Round(time.Second))}
}

// awaitRollback watches Talos take a tried configuration back. It never sends
// the old one: a request that is refused would end the trial for good.
func (a attempt) awaitRollback(ctx context.Context, deadline time.Time, missing string) Outcome {
	a.say("waiting for Talos to take it back")
	detail := func(end string) string { return missing + "; " + end }
	wctx, cancel := context.WithDeadline(ctx, deadline.Add(a.Settle))
	defer cancel()
	restored := false
	last := "not seen"
	poll(wctx, func() bool {
		configs, err := a.configs(wctx)
		if err != nil {
			last = told(wctx, "its configuration could not be read", err, last)
			return false
		}
		if !bytes.Equal(configs.Active, a.step.Before.Active) {
			last = "the tried configuration is still in force"
			return false
		}
		restored = true
		now, err := a.look(wctx)
		if err != nil {
			last = told(wctx, "the kubelet was not seen", err, last)
			return false
		}
		last = ""
		if now.kubelet.Healthy != disk.Yes || now.kubelet.PID == 0 {
			last = now.kubelet.String()
		} else if !now.readiness.Ready {
			last = "the node is NotReady: " + now.readiness.Why
		}
		return last == ""
	})
	hint := fmt.Sprintf("kubectl talosdisk mounts list --nodes %s", a.step.Node)
	switch {
	case last == "":
		return Outcome{Result: ResultRolledBack, Detail: detail("Talos took the configuration back, and the kubelet is healthy"), Hint: hint}
	case restored:
		return Outcome{Result: ResultRolledBack, Detail: detail("Talos took the configuration back, but the kubelet is not as before: " + last), Hint: hint}
	case ctx.Err() != nil:
		return a.left(deadline)
	}
	return Outcome{Result: ResultUnknown, Detail: detail("whether Talos took the configuration back is unknown: " + last), Hint: hint}
}

// apply puts the configuration in force for good, and takes it back if the kubelet
// does not come back.
func (a attempt) apply(ctx context.Context, before state) Outcome {
	a.say("applying")
	if outcome := a.put(ctx, NoReboot); outcome != nil {
		return *outcome
	}
	a.say("waiting for the kubelet")
	missing := a.wait(ctx, before, a.step.Appear)
	switch {
	case missing == "":
		return a.kept(ctx)
	case ctx.Err() != nil:
		return Outcome{Result: ResultUnknown, Detail: "the configuration is in force; the run ended before the kubelet was seen to be back: " + missing, Hint: "kubectl talosdisk mounts list --nodes " + a.step.Node}
	}
	a.say("taking it back")
	configs, err := a.configs(ctx)
	if err == nil && !bytes.Equal(configs.Active, a.step.After) {
		err = fmt.Errorf("somebody else changed the configuration meanwhile")
	}
	if err == nil {
		err = a.applyOnce(ctx, a.step.Before.Active, NoReboot)
	}
	if err != nil {
		return Outcome{Result: ResultFailed, Detail: fmt.Sprintf("%s; taking the configuration back failed: %s", missing, err), Hint: fmt.Sprintf("kubectl talosdisk mounts --remove --nodes %s", a.step.Node)}
	}
	if again := a.wait(ctx, state{}, nil); again != "" {
		return Outcome{Result: ResultRolledBack, Detail: fmt.Sprintf("%s; the configuration was taken back, but %s", missing, again)}
	}
	return Outcome{Result: ResultRolledBack, Detail: missing + "; the configuration was taken back, and the kubelet is healthy"}
}

// stage keeps the configuration for the next boot.
func (a attempt) stage(ctx context.Context) Outcome {
	a.say("staging")
	err := a.applyOnce(ctx, a.step.After, Staged)
	configs, lookErr := a.configs(context.WithoutCancel(ctx))
	switch {
	case lookErr == nil && configs.Persistent != nil && bytes.Equal(configs.Persistent, a.step.After):
		return Outcome{Result: ResultStaged}
	case err != nil && lookErr != nil:
		return Outcome{Result: ResultUnknown, Detail: fmt.Sprintf("whether the configuration was staged is unknown: %s", err)}
	case err != nil:
		return Outcome{Result: ResultFailed, Detail: fmt.Sprintf("the configuration was not staged: %s", err)}
	case lookErr == nil && configs.Persistent != nil:
		return Outcome{Result: ResultFailed, Detail: "Talos said that the configuration was staged, but another one is on its disk"}
	}
	// Before v1.10 Talos does not show what is on its disk.
	return Outcome{Result: ResultStaged}
}

// kept looks whether the new configuration is the one on disk.
func (a attempt) kept(ctx context.Context) Outcome {
	configs, err := a.configs(context.WithoutCancel(ctx))
	switch {
	case err != nil:
		return Outcome{Result: ResultUnknown, Detail: fmt.Sprintf("Talos took the configuration; whether it is kept was not seen: %s", err)}
	case !bytes.Equal(configs.Active, a.step.After) || configs.Pending():
		return Outcome{Result: ResultUnknown, Detail: "somebody else changed the configuration meanwhile", Hint: "kubectl talosdisk mounts list --nodes " + a.step.Node}
	}
	return Outcome{Result: ResultPatched}
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
		appear, err := a.appear(wctx, dirs)
		if err != nil {
			missing = told(wctx, "what the kubelet sees is unknown", err, missing)
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
	if ctx.Err() != nil {
		return before
	}
	return what + ": " + err.Error()
}

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

func (a attempt) appear(ctx context.Context, dirs []string) (map[string]disk.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Call)
	defer cancel()
	view, err := a.node.View(ctx, dirs)
	if err != nil {
		return nil, err
	}
	answers := make(map[string]disk.Answer, len(dirs))
	for _, dir := range dirs {
		answers[dir], _ = view.Visible(dir)
	}
	return answers, nil
}

func (a attempt) configs(ctx context.Context) (Configs, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Call)
	defer cancel()
	return a.node.Configs(ctx)
}

func (a attempt) applyOnce(ctx context.Context, config []byte, mode Mode) error {
	ctx, cancel := context.WithTimeout(ctx, a.Call)
	defer cancel()
	return a.node.Apply(ctx, config, mode, a.Rollback)
}
