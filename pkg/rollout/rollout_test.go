// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// talos behaves as Talos v1.13 does: a trial rolls back by itself, any other
// request ends it, and every change of the configuration restarts the kubelet.
type talos struct {
	name, address      string
	mu                 sync.Mutex
	active, persistent []byte
	version            int
	pid                int
	// up is when the kubelet is healthy; broken are configurations with which it never is.
	up     time.Time
	broken []byte
	// blind are configurations with which it does not see the directory.
	blind    []byte
	notReady string
	// admit is that of the roll-out.
	admit   time.Duration
	trial   *time.Timer
	applied []string

	// stop is how long the old kubelet goes on as if nothing were after a change.
	stop time.Duration
	// late is how long after the answer is lost a request takes effect.
	late time.Duration
	// lag is how long a request to apply travels.
	lag time.Duration
	// verified fails where the address is another node's by now.
	verified error

	// onApply is called before each request; it may refuse it, or answer nothing
	// although the request is carried out.
	onApply func(mode machineconfig.Mode) (refuse, lose error)
	onLook  func() error
	// onConfigs fails the reading of the configuration.
	onConfigs func() error
}

func newTalos() *talos {
	return &talos{name: "w-1", active: []byte("old"), pid: 100, up: time.Now()}
}

func (n *talos) set(config []byte) {
	n.active = config
	n.version++
	if n.stop > 0 {
		time.AfterFunc(n.stop, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.restart(config)
		})
		return
	}
	n.restart(config)
}

func (n *talos) restart(config []byte) {
	n.pid++
	n.up = time.Now().Add(12 * time.Second)
	if bytes.Equal(config, n.broken) {
		n.up = time.Now().Add(1000 * time.Hour)
	}
}

// reboot starts the node with what is on its disk.
func (n *talos) reboot() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.trial != nil {
		n.trial.Stop()
	}
	disk := n.persistent
	n.persistent = nil
	n.set(disk)
}

func (n *talos) Verify(context.Context) error { return n.verified }

func (n *talos) Configs(ctx context.Context) (machineconfig.Current, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.onConfigs != nil {
		if err := n.onConfigs(); err != nil {
			return machineconfig.Current{}, err
		}
	}
	return machineconfig.Current{Active: n.active, Persistent: n.persistent, Version: fmt.Sprint(n.version)}, ctx.Err()
}

func (n *talos) Apply(ctx context.Context, config []byte, mode machineconfig.Mode, rollback time.Duration) error {
	if n.lag > 0 {
		time.Sleep(n.lag)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.applied = append(n.applied, fmt.Sprintf("%s %s", mode, config))
	var refuse, lose error
	if n.onApply != nil {
		refuse, lose = n.onApply(mode)
	}
	if n.trial != nil {
		n.trial.Stop()
	}
	if err := errors.Join(refuse, ctx.Err()); err != nil {
		return err
	}
	if n.late > 0 && lose != nil {
		time.AfterFunc(n.late, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.take(config, mode, rollback)
		})
		return lose
	}
	n.take(config, mode, rollback)
	return lose
}

func (n *talos) take(config []byte, mode machineconfig.Mode, rollback time.Duration) {
	old := n.active
	if n.persistent == nil {
		n.persistent = old
	}
	switch mode {
	case machineconfig.Staged:
		n.persistent = config
	case machineconfig.NoReboot:
		n.persistent = config
	}
	if mode != machineconfig.Staged && !bytes.Equal(config, old) {
		n.set(config)
	}
	if mode == machineconfig.Try {
		n.trial = time.AfterFunc(rollback, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.set(old)
		})
	}
}

func (n *talos) Look(ctx context.Context) (State, error) {
	kubelet, err := n.kubelet(ctx)
	return mounts.KubeletHealth{Node: n.name, Address: n.address, Kubelet: kubelet, Readiness: n.readiness()}, err
}

func (n *talos) kubelet(ctx context.Context) (mounts.Kubelet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.onLook != nil {
		if err := n.onLook(); err != nil {
			return mounts.Kubelet{}, err
		}
	}
	k := mounts.Kubelet{PID: n.pid, State: "Running", Healthy: disk.Yes}
	if time.Now().Before(n.up) {
		k.Healthy = disk.No
	}
	return k, ctx.Err()
}

func (n *talos) View(_ context.Context, dirs []string) (mounts.KubeletView, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	v := mounts.KubeletView{PID: n.pid, Dirs: make(map[string]mounts.BothSides), MountsProblem: problem.FromText("not here")}
	for _, d := range dirs {
		here := mounts.DirectoryListing{Exists: disk.Yes, Entries: []string{"vdf"}}
		sight := mounts.BothSides{Host: here, Kubelet: mounts.DirectoryListing{Exists: disk.No}}
		if !bytes.Equal(n.active, n.blind) && bytes.Equal(n.active, []byte("new")) {
			sight.Kubelet = here
		}
		v.Dirs[d] = sight
	}
	return v, nil
}

func (n *talos) readiness() mounts.Readiness {
	n.mu.Lock()
	defer n.mu.Unlock()
	return mounts.Readiness{Ready: n.notReady == "", Why: n.notReady, Heartbeat: fmt.Sprint(n.pid)}
}

// viewer shows what a kubelet sees.
type viewer interface {
	View(ctx context.Context, dirs []string) (mounts.KubeletView, error)
}

// step is a change after which the kubelet has to see a directory.
func step(node string, n viewer) Step {
	return Step{
		Node:   node,
		Before: machineconfig.Current{Active: []byte("old")},
		After:  []byte("new"),
		Works: func(ctx context.Context, now State) (string, error) {
			dirs := []string{"/var/lib/disks"}
			view, err := n.View(ctx, dirs)
			if err != nil {
				return "", err
			}
			health, ok := now.(mounts.KubeletHealth)
			if !ok {
				return "", fmt.Errorf("looked at %T", now)
			}
			return health.Unseen(view, dirs), nil
		},
	}
}

func rollOut(mode machineconfig.Mode) Runner {
	return Runner{
		Words: Words{
			Back: "the kubelet", Effect: "what the kubelet sees", Undo: "take the entry out",
			Show: func(node string) string {
				return shell.Command("kubectl", "talosdisk", "mounts", "list", "--nodes", node)
			},
		},
		Mode: mode, MaxUnavailable: 1, Rollback: 4 * time.Minute, Settle: 2 * time.Minute, Call: 10 * time.Second,
	}
}

func TestRollOut(t *testing.T) {
	refused := fmt.Errorf("refused%.0w", machineconfig.ErrNotTaken)
	lost := errors.New("the connection broke")
	// only answers one mode.
	only := func(m machineconfig.Mode, refuse, lose error) func(machineconfig.Mode) (error, error) {
		return func(mode machineconfig.Mode) (error, error) {
			if mode == m {
				return refuse, lose
			}
			return nil, nil
		}
	}
	for name, c := range map[string]struct {
		mode   machineconfig.Mode
		change func(*talos)
		// interrupted is when the run is interrupted; 0: never.
		interrupted time.Duration
		want        change.Result
		detail      string
		applied     []string
		// What is in force, and on disk, long afterwards.
		active, persistent string
	}{
		"tried, seen, kept": {
			mode:       machineconfig.Try,
			want:       change.Patched,
			applied:    []string{"try new", "no-reboot new"},
			active:     "new",
			persistent: "new",
		},
		"its configuration changed": {
			mode:   machineconfig.Try,
			change: func(n *talos) { n.active = []byte("other") },
			want:   change.Refused,
			detail: "changed since the plan",
			active: "other",
		},
		"a staged one waits": {
			mode:       machineconfig.Try,
			change:     func(n *talos) { n.persistent = []byte("staged") },
			want:       change.Refused,
			detail:     "another configuration is staged, or being tried",
			active:     "old",
			persistent: "staged",
		},
		"the kubelet is ill before": {
			mode:   machineconfig.Try,
			change: func(n *talos) { n.up = time.Now().Add(time.Hour) },
			want:   change.Refused,
			detail: "not healthy before anything is done",
			active: "old",
		},
		"the kubelet is ill before, for long": {
			mode:   machineconfig.Try,
			change: func(n *talos) { n.up, n.admit = time.Now().Add(time.Hour), 30*time.Second },
			want:   change.Refused,
			detail: "not healthy before anything is done: process 100, Running, unhealthy (it was given 30s)",
			active: "old",
		},
		"one slow health check before": {
			mode:       machineconfig.Try,
			change:     func(n *talos) { n.up, n.admit = time.Now().Add(7*time.Second), 30*time.Second },
			want:       change.Patched,
			applied:    []string{"try new", "no-reboot new"},
			active:     "new",
			persistent: "new",
		},
		"NotReady for a moment before": {mode: machineconfig.Try, change: func(n *talos) {
			n.admit, n.notReady = 30*time.Second, "it restarts"
			time.AfterFunc(7*time.Second, func() { n.mu.Lock(); defer n.mu.Unlock(); n.notReady = "" })
		}, want: change.Patched, applied: []string{"try new", "no-reboot new"}, active: "new", persistent: "new"},
		"one slow answer before": {mode: machineconfig.Try, change: func(n *talos) {
			n.admit, n.onLook = 30*time.Second, func() error { n.onLook = nil; return context.DeadlineExceeded }
		}, want: change.Patched, applied: []string{"try new", "no-reboot new"}, active: "new", persistent: "new"},
		"slow answers before, and no end": {
			mode:   machineconfig.Try,
			change: func(n *talos) { n.admit, n.onLook = 30*time.Second, func() error { return context.DeadlineExceeded } },
			want:   change.Refused,
			detail: "deadline exceeded",
			active: "old",
		},
		"changed while it was waited for": {mode: machineconfig.Try, change: func(n *talos) {
			n.up, n.admit = time.Now().Add(7*time.Second), 30*time.Second
			time.AfterFunc(3*time.Second, func() { n.mu.Lock(); defer n.mu.Unlock(); n.active = []byte("other") })
		}, want: change.Refused, detail: "changed since the plan", active: "other"},
		"interrupted while it was waited for": {
			mode:        machineconfig.Try,
			change:      func(n *talos) { n.up, n.admit = time.Now().Add(time.Hour), 30*time.Second },
			interrupted: 5 * time.Second,
			want:        change.NotDone,
			detail:      endedBefore,
			active:      "old",
		},
		"ill, and to be staged": {
			mode:       machineconfig.Staged,
			change:     func(n *talos) { n.up, n.admit = time.Now().Add(time.Hour), 30*time.Second },
			want:       change.Staged,
			applied:    []string{"staged new"},
			active:     "old",
			persistent: "new",
		},
		"the node is NotReady before": {
			mode:   machineconfig.Try,
			change: func(n *talos) { n.notReady = "no network" },
			want:   change.Refused,
			detail: "NotReady before anything is done: no network",
			active: "old",
		},
		"the kubelet does not come back": {
			mode:       machineconfig.Try,
			change:     func(n *talos) { n.broken = []byte("new") },
			want:       change.RolledBack,
			detail:     "the kubelet is not healthy: process 101, Running, unhealthy, 2m0s later; Talos took the configuration back, and the kubelet is healthy",
			applied:    []string{"try new"},
			active:     "old",
			persistent: "old",
		},
		"the kubelet does not see it": {
			mode:       machineconfig.Try,
			change:     func(n *talos) { n.blind = []byte("new") },
			want:       change.RolledBack,
			detail:     `the kubelet does not see "/var/lib/disks", 2m0s later`,
			applied:    []string{"try new"},
			active:     "old",
			persistent: "old",
		},
		"Talos refuses the trial": {
			mode:    machineconfig.Try,
			change:  func(n *talos) { n.onApply = only(machineconfig.Try, refused, nil) },
			want:    change.Failed,
			detail:  "the configuration was not taken: refused",
			applied: []string{"try new"},
			active:  "old",
		},
		"no answer to the trial": {
			mode:       machineconfig.Try,
			change:     func(n *talos) { n.onApply = only(machineconfig.Try, nil, lost) },
			want:       change.Patched,
			applied:    []string{"try new", "no-reboot new"},
			active:     "new",
			persistent: "new",
		},
		"no answer to the trial, and none since": {mode: machineconfig.Try, change: func(n *talos) {
			n.onApply = func(machineconfig.Mode) (error, error) {
				n.onConfigs = func() error { return lost }
				return nil, lost
			}
		}, want: change.Unknown,
			detail:  "whether the configuration is being tried is unknown: the connection broke; if it is, Talos takes it back within 4m0s",
			applied: []string{"try new"}, active: "old", persistent: "old"},
		"to keep it is refused": {
			mode:       machineconfig.Try,
			change:     func(n *talos) { n.onApply = only(machineconfig.NoReboot, refused, nil) },
			want:       change.Unknown,
			detail:     "in force, and not kept over a reboot: refused",
			applied:    []string{"try new", "no-reboot new", "no-reboot new", "no-reboot new"},
			active:     "new",
			persistent: "old",
		},
		"no answer when it is kept": {
			mode:       machineconfig.Try,
			change:     func(n *talos) { n.onApply = only(machineconfig.NoReboot, nil, lost) },
			want:       change.Patched,
			applied:    []string{"try new", "no-reboot new"},
			active:     "new",
			persistent: "new",
		},
		"interrupted in the trial": {mode: machineconfig.Try, interrupted: 5 * time.Second,
			want: change.Tried, detail: "the run ended during the trial: Talos takes the configuration back by itself within 3m55s",
			applied: []string{"try new"}, active: "old", persistent: "old"},
		"interrupted before": {
			mode:        machineconfig.Try,
			interrupted: time.Nanosecond,
			want:        change.NotDone,
			detail:      "the run ended before it began",
			active:      "old",
		},
		"interrupted while it rolls back": {
			mode:        machineconfig.Try,
			change:      func(n *talos) { n.broken = []byte("new") },
			interrupted: 3 * time.Minute,
			want:        change.Tried,
			detail:      "by itself within 1m0s",
			applied:     []string{"try new"},
			active:      "old",
			persistent:  "old",
		},
		"the node is not seen again": {mode: machineconfig.Try, change: func(n *talos) {
			n.onApply = func(machineconfig.Mode) (error, error) {
				n.onLook = func() error { return lost }
				return nil, nil
			}
		}, want: change.RolledBack,
			detail:  "the kubelet was not seen: the connection broke, 2m0s later; Talos took the configuration back, but the kubelet is not as before: the kubelet was not seen: the connection broke",
			applied: []string{"try new"}, active: "old", persistent: "old"},
		"at once": {mode: machineconfig.NoReboot, want: change.Patched, applied: []string{"no-reboot new"}, active: "new", persistent: "new"},
		"at once, and the kubelet does not come back": {
			mode:       machineconfig.NoReboot,
			change:     func(n *talos) { n.broken = []byte("new") },
			want:       change.RolledBack,
			detail:     "the configuration was taken back, and the kubelet is healthy",
			applied:    []string{"no-reboot new", "no-reboot old"},
			active:     "old",
			persistent: "old",
		},
		"at once, and interrupted": {mode: machineconfig.NoReboot, interrupted: 5 * time.Second,
			want: change.Unknown, detail: "the run ended before the kubelet was seen to be back", applied: []string{"no-reboot new"}, active: "new",
			persistent: "new"},
		"at once, and refused": {
			mode:    machineconfig.NoReboot,
			change:  func(n *talos) { n.onApply = only(machineconfig.NoReboot, refused, nil) },
			want:    change.Failed,
			detail:  "was not taken: refused",
			applied: []string{"no-reboot new"},
			active:  "old",
		},
		"staged": {
			mode:       machineconfig.Staged,
			want:       change.Staged,
			applied:    []string{"staged new"},
			active:     "old",
			persistent: "new",
		},
		"staged beside an ill one": {
			mode:       machineconfig.Staged,
			change:     func(n *talos) { n.up = time.Now().Add(time.Hour) },
			want:       change.Staged,
			applied:    []string{"staged new"},
			active:     "old",
			persistent: "new",
		},
		"staging is refused": {
			mode:    machineconfig.Staged,
			change:  func(n *talos) { n.onApply = only(machineconfig.Staged, refused, nil) },
			want:    change.Failed,
			detail:  "was not staged: refused",
			applied: []string{"staged new"},
			active:  "old",
		},
		"no answer to the staging": {
			mode:       machineconfig.Staged,
			change:     func(n *talos) { n.onApply = only(machineconfig.Staged, nil, lost) },
			want:       change.Staged,
			applied:    []string{"staged new"},
			active:     "old",
			persistent: "new",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newTalos()
				if c.change != nil {
					c.change(n)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.interrupted > 0 {
					time.AfterFunc(c.interrupted, cancel)
					if c.interrupted == time.Nanosecond {
						time.Sleep(time.Millisecond)
					}
				}
				r := rollOut(c.mode)
				r.Admit = n.admit
				got := r.Run(ctx, []Step{step("w-1", n)}, func(Step) Node { return n })[0]
				if got.Result != c.want || !strings.Contains(got.Detail, c.detail) || (got.Detail == "") != (c.detail == "") {
					t.Errorf("%s: %q", got.Result, got.Detail)
				}
				if !slices.Equal(n.applied, c.applied) {
					t.Errorf("applied %q", n.applied)
				}
				time.Sleep(time.Hour)
				n.mu.Lock()
				defer n.mu.Unlock()
				if string(n.active) != c.active || string(n.persistent) != c.persistent {
					t.Errorf("an hour later %q is in force, %q on disk", n.active, n.persistent)
				}
			})
		})
	}
}

// Nothing is begun on further nodes once one has failed, and what runs ends.
func TestRollOutStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := map[string]*talos{"w-1": newTalos(), "w-2": newTalos(), "w-3": newTalos(), "w-4": newTalos()}
		nodes["w-2"].broken = []byte("new")
		got := rollOut(machineconfig.Try).Run(t.Context(),
			[]Step{step("w-1", nodes["w-1"]), step("w-2", nodes["w-2"]), step("w-3", nodes["w-3"]), step("w-4", nodes["w-4"])},
			func(s Step) Node { return nodes[s.Node] })
		want := []change.Result{change.Patched, change.RolledBack, change.NotDone, change.NotDone}
		for i, o := range got {
			if o.Result != want[i] {
				t.Errorf("w-%d: %s: %s", i+1, o.Result, o.Detail)
			}
		}
		if got[3].Detail != `the roll-out stopped at node "w-2"` || len(nodes["w-4"].applied) > 0 {
			t.Errorf("%q, applied %q", got[3].Detail, nodes["w-4"].applied)
		}
	})
}

// No more kubelets restart at once than may.
func TestRollOutMaxUnavailable(t *testing.T) {
	for most := 1; most <= 3; most++ {
		synctest.Test(t, func(t *testing.T) {
			var steps []Step
			nodes := make(map[string]*talos)
			for i := range 5 {
				n := newTalos()
				s := step(fmt.Sprintf("w-%d", i), n)
				steps, nodes[s.Node] = append(steps, s), n
			}
			seen := 0
			done := make(chan bool)
			go func() {
				defer close(done)
				for range 200 {
					time.Sleep(time.Second / 2)
					synctest.Wait()
					restarting := 0
					for _, n := range nodes {
						n.mu.Lock()
						if time.Now().Before(n.up) {
							restarting++
						}
						n.mu.Unlock()
					}
					seen = max(seen, restarting)
				}
			}()
			r := rollOut(machineconfig.Try)
			r.MaxUnavailable = most
			for _, o := range r.Run(t.Context(), steps, func(s Step) Node { return nodes[s.Node] }) {
				if o.Result != change.Patched {
					t.Errorf("%s: %s", o.Result, o.Detail)
				}
			}
			<-done
			if seen != most {
				t.Errorf("%d kubelets were down at once, want %d", seen, most)
			}
		})
	}
}

// What cuts a request off says nothing of the node, be it the wait's end or gRPC's timer
// for it.
func TestTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		late := fmt.Errorf("asking for processes: %w", context.DeadlineExceeded)
		for _, step := range []struct {
			until time.Duration
			err   error
			want  string
		}{
			{0, errors.New("broken"), "not seen: broken"},
			{30 * time.Second, late, "not seen: asking for processes: context deadline exceeded"},
			{29*time.Second + 950*time.Millisecond, errors.New("broken"), "not seen: broken"},
			{0, late, "before"},
			{time.Second, errors.New("broken"), "before"},
		} {
			time.Sleep(step.until)
			if got := unlessCutOff(ctx, "not seen", step.err, "before"); got != step.want {
				t.Errorf("%q, want %q", got, step.want)
			}
		}
	})
}
