// SPDX-License-Identifier: Apache-2.0

package mounts

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

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// talos behaves as Talos v1.13 does: a trial rolls back by itself, any other
// request ends it, and every change of the configuration restarts the kubelet.
type talos struct {
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
	onApply func(mode Mode) (refuse, lose error)
	onLook  func() error
	// onConfigs fails the reading of the configuration.
	onConfigs func() error
}

func newTalos() *talos {
	return &talos{active: []byte("old"), pid: 100, up: time.Now()}
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

func (n *talos) Configs(ctx context.Context) (Configs, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.onConfigs != nil {
		if err := n.onConfigs(); err != nil {
			return Configs{}, err
		}
	}
	return Configs{Active: n.active, Persistent: n.persistent, Version: fmt.Sprint(n.version)}, ctx.Err()
}

func (n *talos) Apply(ctx context.Context, config []byte, mode Mode, rollback time.Duration) error {
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

func (n *talos) take(config []byte, mode Mode, rollback time.Duration) {
	old := n.active
	if n.persistent == nil {
		n.persistent = old
	}
	switch mode {
	case Staged:
		n.persistent = config
	case NoReboot:
		n.persistent = config
	}
	if mode != Staged && !bytes.Equal(config, old) {
		n.set(config)
	}
	if mode == Try {
		n.trial = time.AfterFunc(rollback, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.set(old)
		})
	}
}

func (n *talos) Kubelet(ctx context.Context) (Kubelet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.onLook != nil {
		if err := n.onLook(); err != nil {
			return Kubelet{}, err
		}
	}
	k := Kubelet{PID: n.pid, State: "Running", Healthy: disk.Yes}
	if time.Now().Before(n.up) {
		k.Healthy = disk.No
	}
	return k, ctx.Err()
}

func (n *talos) View(_ context.Context, dirs []string) (View, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	v := View{PID: n.pid, Dirs: make(map[string]Sight), MountsProblem: problem.FromText("not here")}
	for _, d := range dirs {
		here := Listing{Exists: disk.Yes, Entries: []string{"vdf"}}
		sight := Sight{Host: here, Kubelet: Listing{Exists: disk.No}}
		if !bytes.Equal(n.active, n.blind) && bytes.Equal(n.active, []byte("new")) {
			sight.Kubelet = here
		}
		v.Dirs[d] = sight
	}
	return v, nil
}

func (n *talos) Readiness(context.Context) (Readiness, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Readiness{Ready: n.notReady == "", Why: n.notReady, Heartbeat: fmt.Sprint(n.pid)}, nil
}

func step(node string) Step {
	return Step{Node: node, Before: Configs{Active: []byte("old")}, After: []byte("new"), Appear: []string{"/var/lib/disks"}}
}

func rollOut(mode Mode) RollOut {
	return RollOut{Mode: mode, MaxUnavailable: 1, Rollback: 4 * time.Minute, Settle: 2 * time.Minute, Call: 10 * time.Second}
}

func TestRollOut(t *testing.T) {
	refused := fmt.Errorf("refused%.0w", ErrNotTaken)
	lost := errors.New("the connection broke")
	// only answers one mode.
	only := func(m Mode, refuse, lose error) func(Mode) (error, error) {
		return func(mode Mode) (error, error) {
			if mode == m {
				return refuse, lose
			}
			return nil, nil
		}
	}
	for name, c := range map[string]struct {
		mode   Mode
		change func(*talos)
		// interrupted is when the run is interrupted; 0: never.
		interrupted time.Duration
		want        Result
		detail      string
		applied     []string
		// What is in force, and on disk, long afterwards.
		active, persistent string
	}{
		"tried, seen, kept": {Try, nil, 0, ResultPatched, "", []string{"try new", "no-reboot new"}, "new", "new"},
		"its configuration changed": {Try, func(n *talos) { n.active = []byte("other") }, 0,
			ResultRefused, "changed since the plan", nil, "other", ""},
		"a staged one waits": {Try, func(n *talos) { n.persistent = []byte("staged") }, 0,
			ResultRefused, "another configuration is staged, or being tried", nil, "old", "staged"},
		"the kubelet is ill before": {Try, func(n *talos) { n.up = time.Now().Add(time.Hour) }, 0,
			ResultRefused, "not healthy before anything is done", nil, "old", ""},
		"the kubelet is ill before, for long": {Try, func(n *talos) { n.up, n.admit = time.Now().Add(time.Hour), 30*time.Second }, 0,
			ResultRefused, "not healthy before anything is done: process 100, Running, unhealthy (it was given 30s)", nil, "old", ""},
		"one slow health check before": {Try, func(n *talos) { n.up, n.admit = time.Now().Add(7*time.Second), 30*time.Second }, 0, ResultPatched, "", []string{"try new", "no-reboot new"}, "new", "new"},
		"NotReady for a moment before": {Try, func(n *talos) {
			n.admit, n.notReady = 30*time.Second, "it restarts"
			time.AfterFunc(7*time.Second, func() { n.mu.Lock(); defer n.mu.Unlock(); n.notReady = "" })
		}, 0, ResultPatched, "", []string{"try new", "no-reboot new"}, "new", "new"},
		"one slow answer before": {Try, func(n *talos) {
			n.admit, n.onLook = 30*time.Second, func() error { n.onLook = nil; return context.DeadlineExceeded }
		}, 0, ResultPatched, "", []string{"try new", "no-reboot new"}, "new", "new"},
		"slow answers before, and no end": {Try, func(n *talos) { n.admit, n.onLook = 30*time.Second, func() error { return context.DeadlineExceeded } }, 0,
			ResultRefused, "deadline exceeded", nil, "old", ""},
		"changed while it was waited for": {Try, func(n *talos) {
			n.up, n.admit = time.Now().Add(7*time.Second), 30*time.Second
			time.AfterFunc(3*time.Second, func() { n.mu.Lock(); defer n.mu.Unlock(); n.active = []byte("other") })
		}, 0, ResultRefused, "changed since the plan", nil, "other", ""},
		"interrupted while it was waited for": {Try, func(n *talos) { n.up, n.admit = time.Now().Add(time.Hour), 30*time.Second }, 5 * time.Second, ResultNotDone, endedBefore, nil, "old", ""},
		"ill, and to be staged":               {Staged, func(n *talos) { n.up, n.admit = time.Now().Add(time.Hour), 30*time.Second }, 0, ResultStaged, "", []string{"staged new"}, "old", "new"},
		"the node is NotReady before": {Try, func(n *talos) { n.notReady = "no network" }, 0,
			ResultRefused, "NotReady before anything is done: no network", nil, "old", ""},
		"the kubelet does not come back": {Try, func(n *talos) { n.broken = []byte("new") }, 0,
			ResultRolledBack, "the kubelet is not healthy: process 101, Running, unhealthy, 2m0s later; Talos took the configuration back, and the kubelet is healthy", []string{"try new"}, "old", "old"},
		"the kubelet does not see it": {Try, func(n *talos) { n.blind = []byte("new") }, 0,
			ResultRolledBack, `the kubelet does not see "/var/lib/disks", 2m0s later`, []string{"try new"}, "old", "old"},
		"Talos refuses the trial": {Try, func(n *talos) { n.onApply = only(Try, refused, nil) }, 0,
			ResultFailed, "the configuration was not taken: refused", []string{"try new"}, "old", ""},
		"no answer to the trial": {Try, func(n *talos) { n.onApply = only(Try, nil, lost) }, 0,
			ResultPatched, "", []string{"try new", "no-reboot new"}, "new", "new"},
		"no answer to the trial, and none since": {Try, func(n *talos) {
			n.onApply = func(Mode) (error, error) {
				n.onConfigs = func() error { return lost }
				return nil, lost
			}
		}, 0, ResultUnknown, "whether the configuration is being tried is unknown: the connection broke; if it is, Talos takes it back within 4m0s", []string{"try new"}, "old", "old"},
		"to keep it is refused": {Try, func(n *talos) { n.onApply = only(NoReboot, refused, nil) }, 0,
			ResultUnknown, "in force, and not kept over a reboot: refused", []string{"try new", "no-reboot new", "no-reboot new", "no-reboot new"}, "new", "old"},
		"no answer when it is kept": {Try, func(n *talos) { n.onApply = only(NoReboot, nil, lost) }, 0,
			ResultPatched, "", []string{"try new", "no-reboot new"}, "new", "new"},
		"interrupted in the trial": {Try, nil, 5 * time.Second,
			ResultTried, "the run ended during the trial: Talos takes the configuration back by itself within 3m55s", []string{"try new"}, "old", "old"},
		"interrupted before": {Try, nil, time.Nanosecond, ResultNotDone, "the run ended before it began", nil, "old", ""},
		"interrupted while it rolls back": {Try, func(n *talos) { n.broken = []byte("new") }, 3 * time.Minute,
			ResultTried, "by itself within 1m0s", []string{"try new"}, "old", "old"},
		"the node is not seen again": {Try, func(n *talos) {
			n.onApply = func(Mode) (error, error) {
				n.onLook = func() error { return lost }
				return nil, nil
			}
		}, 0, ResultRolledBack, "the kubelet was not seen: the connection broke, 2m0s later; Talos took the configuration back, but the kubelet is not as before: the kubelet was not seen: the connection broke", []string{"try new"}, "old", "old"},
		"at once": {NoReboot, nil, 0, ResultPatched, "", []string{"no-reboot new"}, "new", "new"},
		"at once, and the kubelet does not come back": {NoReboot, func(n *talos) { n.broken = []byte("new") }, 0,
			ResultRolledBack, "the configuration was taken back, and the kubelet is healthy", []string{"no-reboot new", "no-reboot old"}, "old", "old"},
		"at once, and interrupted": {NoReboot, nil, 5 * time.Second,
			ResultUnknown, "the run ended before the kubelet was seen to be back", []string{"no-reboot new"}, "new", "new"},
		"at once, and refused": {NoReboot, func(n *talos) { n.onApply = only(NoReboot, refused, nil) }, 0,
			ResultFailed, "was not taken: refused", []string{"no-reboot new"}, "old", ""},
		"staged":                   {Staged, nil, 0, ResultStaged, "", []string{"staged new"}, "old", "new"},
		"staged beside an ill one": {Staged, func(n *talos) { n.up = time.Now().Add(time.Hour) }, 0, ResultStaged, "", []string{"staged new"}, "old", "new"},
		"staging is refused": {Staged, func(n *talos) { n.onApply = only(Staged, refused, nil) }, 0,
			ResultFailed, "was not staged: refused", []string{"staged new"}, "old", ""},
		"no answer to the staging": {Staged, func(n *talos) { n.onApply = only(Staged, nil, lost) }, 0,
			ResultStaged, "", []string{"staged new"}, "old", "new"},
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
				got := r.Run(ctx, []Step{step("w-1")}, func(Step) Node { return n })[0]
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
		got := rollOut(Try).Run(t.Context(), []Step{step("w-1"), step("w-2"), step("w-3"), step("w-4")}, func(s Step) Node { return nodes[s.Node] })
		want := []Result{ResultPatched, ResultRolledBack, ResultNotDone, ResultNotDone}
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
				s := step(fmt.Sprintf("w-%d", i))
				steps, nodes[s.Node] = append(steps, s), newTalos()
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
			r := rollOut(Try)
			r.MaxUnavailable = most
			for _, o := range r.Run(t.Context(), steps, func(s Step) Node { return nodes[s.Node] }) {
				if o.Result != ResultPatched {
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

func TestGate(t *testing.T) {
	was := state{Kubelet{PID: 1, State: "Running", Healthy: disk.Yes}, Readiness{Ready: true, Heartbeat: "1"}}
	good := state{Kubelet{PID: 2, State: "Running", Healthy: disk.Yes}, Readiness{Ready: true, Heartbeat: "2"}}
	for name, c := range map[string]struct {
		change func(*state)
		appear map[string]disk.Answer
		want   string
	}{
		"all there":          {nil, map[string]disk.Answer{"/a": disk.Yes}, ""},
		"nothing to see":     {nil, nil, ""},
		"no process":         {func(s *state) { s.kubelet = Kubelet{State: "Waiting", Healthy: disk.Unknown, Message: "no"} }, nil, "the kubelet has not restarted: no process, Waiting, health unknown: no"},
		"the old process":    {func(s *state) { s.kubelet.PID = 1 }, nil, "the kubelet has not restarted: process 1, Running, healthy"},
		"unhealthy":          {func(s *state) { s.kubelet.Healthy = disk.No }, nil, "the kubelet is not healthy: process 2, Running, unhealthy"},
		"health not told":    {func(s *state) { s.kubelet.Healthy = "" }, nil, "the kubelet is not healthy: process 2, Running, health unknown"},
		"not ready":          {func(s *state) { s.readiness = Readiness{Why: "cni"} }, nil, "the node is NotReady: cni"},
		"the old report":     {func(s *state) { s.readiness.Heartbeat = "1" }, nil, "the kubelet has not reported to Kubernetes"},
		"not seen":           {nil, map[string]disk.Answer{"/a": disk.Yes, "/b": disk.No, "/c": disk.No}, `the kubelet does not see "/b"`},
		"not known":          {nil, map[string]disk.Answer{"/a": disk.Unknown}, `whether the kubelet sees "/a" is unknown`},
		"no answer is known": {nil, map[string]disk.Answer{"/a": ""}, `whether the kubelet sees "/a" is unknown`},
	} {
		now := good
		if c.change != nil {
			c.change(&now)
		}
		if got := gate(was, now, c.appear); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
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
			if got := told(ctx, "not seen", step.err, "before"); got != step.want {
				t.Errorf("%q, want %q", got, step.want)
			}
		}
	})
}
