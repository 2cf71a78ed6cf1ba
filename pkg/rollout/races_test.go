// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

// What others do to a node, and what networks do to requests, at the worst moment.
func TestRollOutRaces(t *testing.T) {
	lost := errors.New("the connection broke")
	after := func(n *talos, d time.Duration, do func()) {
		time.AfterFunc(d, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			do()
		})
	}
	// other is somebody else's request, which ends a trial.
	other := func(n *talos, mode machineconfig.Mode, config string) func() {
		return func() {
			if n.trial != nil {
				n.trial.Stop()
			}
			n.take([]byte(config), mode, 0)
		}
	}
	once := func(n *talos, mode machineconfig.Mode, err error) {
		n.onApply = func(m machineconfig.Mode) (error, error) {
			if m == mode && err != nil {
				lose := err
				err = nil
				if errors.Is(lose, machineconfig.ErrNotTaken) {
					return lose, nil
				}
				return nil, lose
			}
			return nil, nil
		}
	}
	for name, c := range map[string]struct {
		mode   machineconfig.Mode
		step   func(*Step)
		change func(n *talos, end context.CancelFunc)
		want   change.Result
		detail string
		// What is in force, and on disk, long afterwards; on disk "-" is nothing.
		active, persistent string
		applied            []string
	}{
		"somebody keeps another configuration during the trial": {mode: machineconfig.Try, change: func(n *talos, _ context.CancelFunc) {
			after(n, 3*time.Second, other(n, machineconfig.NoReboot, "theirs"))
		}, step: nothingAppears, want: change.Unknown, detail: "somebody else changed the configuration", active: "theirs", persistent: "theirs",
			applied: []string{"try new"}},
		"somebody stages another configuration during the trial": {mode: machineconfig.Try, change: func(n *talos, _ context.CancelFunc) {
			after(n, 3*time.Second, other(n, machineconfig.Staged, "theirs"))
		}, want: change.Unknown, detail: "somebody else staged another configuration", active: "new", persistent: "theirs",
			applied: []string{"try new"}},
		"the node reboots during the trial": {mode: machineconfig.Try, change: func(n *talos, _ context.CancelFunc) {
			time.AfterFunc(3*time.Second, n.reboot)
		}, step: nothingAppears, want: change.RolledBack, detail: "the trial ended", active: "old", persistent: "-",
			applied: []string{"try new"}},
		"the trial begins late": {mode: machineconfig.Try, change: func(n *talos, _ context.CancelFunc) {
			n.late = 4 * time.Second
			once(n, machineconfig.Try, lost)
		}, want: change.Patched, active: "new", persistent: "new", applied: []string{"try new", "no-reboot new"}},
		"the trial begins later than anybody waits for": {mode: machineconfig.Try, change: func(n *talos, _ context.CancelFunc) {
			n.late = time.Minute
			once(n, machineconfig.Try, lost)
		}, want: change.Unknown, detail: "may yet be tried", active: "old", persistent: "old", applied: []string{"try new"}},
		"at once, and later than anybody waits for": {mode: machineconfig.NoReboot, change: func(n *talos, _ context.CancelFunc) {
			n.late = time.Minute
			once(n, machineconfig.NoReboot, lost)
		}, want: change.Unknown, detail: "may yet be in force", active: "new", persistent: "new", applied: []string{"no-reboot new"}},
		"staged later than anybody waits for": {mode: machineconfig.Staged, change: func(n *talos, _ context.CancelFunc) {
			n.late = time.Minute
			once(n, machineconfig.Staged, lost)
		}, want: change.Unknown, detail: "whether the configuration was staged is unknown", active: "old", persistent: "new",
			applied: []string{"staged new"}},
		"another is being applied when it is kept": {mode: machineconfig.Try, change: func(n *talos, _ context.CancelFunc) {
			once(n, machineconfig.NoReboot, errors.Join(machineconfig.ErrNotTaken, errors.New("busy")))
		}, want: change.Patched, active: "new", persistent: "new", applied: []string{"try new", "no-reboot new", "no-reboot new"}},
		"interrupted as the trial is asked for": {mode: machineconfig.Try, change: func(n *talos, end context.CancelFunc) {
			n.onApply = func(machineconfig.Mode) (error, error) { end(); return nil, nil }
		}, want: change.Tried, detail: "by itself within 4m0s", active: "old", persistent: "old", applied: []string{"try new"}},
		"interrupted before it is kept": {mode: machineconfig.Try, change: func(n *talos, end context.CancelFunc) {
			time.AfterFunc(12*time.Second-time.Millisecond, end)
			n.stop = 0
		}, want: change.Tried, detail: "by itself within 3m48s", active: "old", persistent: "old", applied: []string{"try new"}},
		"interrupted while it is looked at again": {mode: machineconfig.Try, change: func(n *talos, end context.CancelFunc) {
			n.onConfigs = func() error { end(); return context.Canceled }
		}, want: change.NotDone, detail: "the run ended before it began", active: "old", persistent: "-"},
		"interrupted when it should be back already": {mode: machineconfig.Try, change: func(n *talos, end context.CancelFunc) {
			n.broken = []byte("new")
			time.AfterFunc(3*time.Minute, func() { n.trial.Stop() })
			time.AfterFunc(5*time.Minute, end)
		}, want: change.Unknown, detail: "whether Talos took the configuration back was seen: the tried configuration is still in force",
			active: "new", persistent: "old", applied: []string{"try new"}},
		"the address is another node's by now": {mode: machineconfig.Try, change: func(n *talos, _ context.CancelFunc) {
			n.verified = errors.New("it calls itself w-2")
		}, want: change.Refused, detail: "calls itself w-2", active: "old", persistent: "-"},
		"somebody stages while it is looked at": {mode: machineconfig.Try, change: func(n *talos, _ context.CancelFunc) {
			n.onLook = func() error { n.persistent = []byte("theirs"); return nil }
		}, want: change.Refused, detail: "another configuration is staged", active: "old", persistent: "theirs"},
		"somebody changes it when it is to be taken back": {mode: machineconfig.NoReboot, change: func(n *talos, _ context.CancelFunc) {
			n.broken = []byte("new")
			after(n, time.Minute, other(n, machineconfig.NoReboot, "theirs"))
			after(n, time.Minute+time.Second, func() { n.up = time.Now().Add(time.Hour) })
		}, want: change.Unknown, detail: "somebody else changed the configuration", active: "theirs", persistent: "theirs",
			applied: []string{"no-reboot new"}},
		"somebody stages when it is to be taken back": {mode: machineconfig.NoReboot, change: func(n *talos, _ context.CancelFunc) {
			n.broken = []byte("new")
			after(n, time.Minute, other(n, machineconfig.Staged, "theirs"))
		}, want: change.Unknown, detail: "somebody else", active: "new", persistent: "theirs", applied: []string{"no-reboot new"}},
		"no answer when it is taken back": {mode: machineconfig.NoReboot, change: func(n *talos, _ context.CancelFunc) {
			n.broken = []byte("new")
			n.onApply = func(machineconfig.Mode) (error, error) {
				if len(n.applied) == 2 {
					return nil, lost
				}
				return nil, nil
			}
		}, want: change.RolledBack, detail: "the configuration was taken back, and the kubelet is healthy", active: "old", persistent: "old",
			applied: []string{"no-reboot new", "no-reboot old"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newTalos()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s := step("w-1", n)
				if c.step != nil {
					c.step(&s)
				}
				c.change(n, cancel)
				got := rollOut(c.mode).Run(ctx, []Step{s}, func(Step) Node { return n })[0]
				if got.Result != c.want || !strings.Contains(got.Detail, c.detail) || (got.Detail == "") != (c.detail == "") {
					t.Errorf("%s: %q", got.Result, got.Detail)
				}
				if !slices.Equal(n.applied, c.applied) {
					t.Errorf("applied %q", n.applied)
				}
				time.Sleep(time.Hour)
				n.mu.Lock()
				defer n.mu.Unlock()
				disk := string(n.persistent)
				if n.persistent == nil {
					disk = "-"
				}
				if string(n.active) != c.active || disk != c.persistent {
					t.Errorf("an hour later %q is in force, %q on disk", n.active, disk)
				}
			})
		})
	}
}

// nothingAppears is a step that takes entries out.
func nothingAppears(s *Step) { s.Works = nil }

// A kubelet that has not stopped yet is not one that came back.
func TestRollOutSeesTheKubeletComeBack(t *testing.T) {
	for _, mode := range []machineconfig.Mode{machineconfig.Try, machineconfig.NoReboot} {
		synctest.Test(t, func(t *testing.T) {
			n := newTalos()
			n.blind, n.stop = []byte("new"), 3*time.Second
			got := rollOut(mode).Run(t.Context(), []Step{step("w-1", n)}, func(Step) Node { return n })[0]
			n.mu.Lock()
			defer n.mu.Unlock()
			if got.Result != change.RolledBack || !strings.Contains(got.Detail, "and the kubelet is healthy") {
				t.Errorf("%s: %s: %q", mode, got.Result, got.Detail)
			}
			if n.pid != 102 || time.Now().Before(n.up) || !bytes.Equal(n.active, []byte("old")) {
				t.Errorf("%s: said so of process %d, which is healthy in %s", mode, n.pid, time.Until(n.up))
			}
		})
	}
}

// restless has a kubelet that ends while it is looked through.
type restless struct {
	*talos
	times int
}

func (r *restless) View(ctx context.Context, dirs []string) (mounts.KubeletView, error) {
	r.mu.Lock()
	if r.times++; r.times == 1 {
		r.restart(r.active)
	}
	r.mu.Unlock()
	return r.talos.View(ctx, dirs)
}

// The directory has to be seen by the kubelet that is healthy, not by the next one.
func TestRollOutKubeletRestartsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &restless{talos: newTalos()}
		got := rollOut(machineconfig.Try).Run(t.Context(), []Step{step("w-1", n)}, func(Step) Node { return n })[0]
		n.mu.Lock()
		defer n.mu.Unlock()
		if got.Result != change.Patched || n.times < 2 || time.Now().Before(n.up) {
			t.Errorf("%s: %q, looked %d times, healthy in %s", got.Result, got.Detail, n.times, time.Until(n.up))
		}
	})
}

// With two that fail, each other node is told of one that did, and none is counted twice.
func TestRollOutTwoFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := map[string]*talos{"w-1": newTalos(), "w-2": newTalos(), "w-3": newTalos(), "w-4": newTalos()}
		nodes["w-1"].broken, nodes["w-2"].broken = []byte("new"), []byte("new")
		r := rollOut(machineconfig.Try)
		r.MaxUnavailable = 3
		got := r.Run(t.Context(), []Step{step("w-1", nodes["w-1"]), step("w-2", nodes["w-2"]), step("w-3", nodes["w-3"]),
			step("w-4", nodes["w-4"])}, func(s Step) Node { return nodes[s.Node] })
		want := []change.Result{change.RolledBack, change.RolledBack, change.Patched, change.Patched}
		for i, o := range got {
			if o.Result != want[i] {
				t.Errorf("w-%d: %s: %s", i+1, o.Result, o.Detail)
			}
		}
	})
}

// Of two runs that begin at the same moment the second's trial ends the first's, and
// rolls back to what the first one tried: Talos takes nothing back. So it is after
// anybody's dry run during a trial. The node must not stay without a kubelet.
func TestRollOutTrialThatNobodyTakesBack(t *testing.T) {
	both := func(n *talos) []Outcome {
		got := make([]Outcome, 2)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				got[i] = rollOut(machineconfig.Try).Run(context.Background(), []Step{step("w-1", n)}, func(Step) Node { return n })[0]
			})
		}
		wg.Wait()
		return got
	}
	for name, c := range map[string]struct {
		broken string
		run    func(n *talos) []Outcome
		want   change.Result
		detail string
		active string
	}{
		"two runs, and it is well":     {"", both, change.Patched, "", "new"},
		"two runs, and it is not well": {"new", both, change.RolledBack, "and the kubelet is healthy", "old"},
		"a dry run of somebody else": {"new", func(n *talos) []Outcome {
			time.AfterFunc(time.Minute, func() { n.trial.Stop() })
			return rollOut(machineconfig.Try).Run(context.Background(), []Step{step("w-1", n)}, func(Step) Node { return n })
		}, change.RolledBack, "Talos did not take the configuration back; the configuration was taken back, and the kubelet is healthy", "old"},
		"somebody else keeps what was tried": {"new", func(n *talos) []Outcome {
			time.AfterFunc(time.Minute, func() {
				_ = n.Apply(context.Background(), []byte("new"), machineconfig.NoReboot, 0)
			})
			return rollOut(machineconfig.Try).Run(context.Background(), []Step{step("w-1", n)}, func(Step) Node { return n })
		}, change.Unknown, "somebody else", "new"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newTalos()
				n.broken, n.lag = []byte(c.broken), time.Second
				for _, o := range c.run(n) {
					if o.Result != c.want || !strings.Contains(o.Detail, c.detail) || (o.Detail == "") != (c.detail == "") {
						t.Errorf("%s: %q", o.Result, o.Detail)
					}
				}
				time.Sleep(time.Hour)
				if string(n.active) != c.active || string(n.persistent) != c.active {
					t.Errorf("an hour later %q is in force, %q on disk", n.active, n.persistent)
				}
			})
		})
	}
}
