// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rollout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// rolled is a node in a roll-out; Kubernetes hears of every kubelet process.
type rolled struct {
	*Node
	below *talostest.Node
}

func (r rolled) Look(ctx context.Context) (rollout.State, error) {
	kubelet, err := r.Kubelet(ctx)
	return mounts.KubeletHealth{Kubelet: kubelet, Readiness: mounts.Readiness{Ready: true, Heartbeat: fmt.Sprint(r.below.Kubelet().PID)}}, err
}

// sees has the kubelet see directories.
func (r rolled) sees(dirs ...string) func(context.Context, rollout.State) (string, error) {
	return func(ctx context.Context, now rollout.State) (string, error) {
		view, err := r.View(ctx, dirs)
		if err != nil {
			return "", err
		}
		health, ok := now.(mounts.KubeletHealth)
		if !ok {
			return "", fmt.Errorf("looked at %T", now)
		}
		return health.Unseen(view, dirs), nil
	}
}

var mountsWords = rollout.Words{
	Back:   "the kubelet",
	Effect: "what the kubelet sees",
	Undo:   "take the entry out",
	Show:   func(node string) string { return "show " + node },
}

// A roll-out through the Talos API, by release, with what may go wrong on the way.
func TestRollOut(t *testing.T) {
	lost := status.Error(codes.Unavailable, "error reading from server: EOF")
	theirs := func(n *talostest.Node) []byte { return append(slices.Clone(n.Config()), "# theirs\n"...) }
	// first does something at the first answer to a method.
	first := func(method string, do func(ctx context.Context) error) func(context.Context, string) error {
		var times atomic.Int32
		return func(ctx context.Context, m string) error {
			if m != method || times.Add(1) > 1 {
				return nil
			}
			return do(ctx)
		}
	}
	// inTrial does something when the kubelet is first looked at in the trial.
	inTrial := func(n *talostest.Node, do func() error) func(context.Context, string) error {
		var once sync.Once
		return func(_ context.Context, method string) error {
			if method != "ServiceList" || !n.RollbackPending() {
				return nil
			}
			var err error
			once.Do(func() { err = do() })
			return err
		}
	}
	for name, c := range map[string]struct {
		mode   machineconfig.Mode
		hooks  func(n *talostest.Node) talostest.Hooks
		want   change.Result
		detail string
		// kept reports whether the entry is on disk, theirs whether the other's line is.
		kept, theirs bool
		// Talos before v1.10 does not show a staged configuration.
		only []talostest.Profile
	}{
		"nothing goes wrong": {mode: machineconfig.Try, want: change.Patched, kept: true},
		"no answer to the trial": {mode: machineconfig.Try, hooks: func(*talostest.Node) talostest.Hooks {
			return talostest.Hooks{After: first("ApplyConfiguration", func(context.Context) error { return lost })}
		}, want: change.Patched, kept: true},
		"a late answer to the trial": {mode: machineconfig.Try, hooks: func(*talostest.Node) talostest.Hooks {
			var once sync.Once
			return talostest.Hooks{Applying: func(ctx context.Context) { once.Do(func() { <-ctx.Done() }) }} // Until nobody waits for it.
		}, want: change.Patched, kept: true},
		"no answer when it is kept": {mode: machineconfig.Try, hooks: func(n *talostest.Node) talostest.Hooks {
			return talostest.Hooks{After: func(_ context.Context, method string) error {
				if method == "ApplyConfiguration" && !n.RollbackPending() {
					return lost
				}
				return nil
			}}
		}, want: change.Patched, kept: true, only: []talostest.Profile{talostest.V114}},
		"no answer when it is kept, and none is to be seen": {mode: machineconfig.Try, hooks: func(n *talostest.Node) talostest.Hooks {
			return talostest.Hooks{After: func(_ context.Context, method string) error {
				if method == "ApplyConfiguration" && !n.RollbackPending() {
					return lost
				}
				return nil
			}}
		}, want: change.Unknown, detail: "whether it is kept over a reboot is unknown", kept: true, only: []talostest.Profile{talostest.V19}},
		"another configuration during the trial": {mode: machineconfig.Try, hooks: func(n *talostest.Node) talostest.Hooks {
			return talostest.Hooks{Before: inTrial(n, func() error { return n.SetConfig(context.WithoutCancel(t.Context()), theirs(n)) })}
		}, want: change.Unknown, detail: "somebody else changed the configuration", kept: true, theirs: true},
		"another one is staged during the trial": {mode: machineconfig.Try, hooks: func(n *talostest.Node) talostest.Hooks {
			return talostest.Hooks{Before: inTrial(n, func() error { return n.Stage(context.WithoutCancel(t.Context()), theirs(n)) })}
		}, want: change.Unknown, detail: "somebody else staged another configuration", kept: true, theirs: true,
			only: []talostest.Profile{talostest.V114}},
		"at once": {mode: machineconfig.NoReboot, want: change.Patched, kept: true},
		"staged":  {mode: machineconfig.Staged, want: change.Staged, kept: true},
		"staged, no answer": {mode: machineconfig.Staged, hooks: func(*talostest.Node) talostest.Hooks {
			return talostest.Hooks{After: talostest.Fail(lost, "ApplyConfiguration")}
		}, want: change.Staged, kept: true, only: []talostest.Profile{talostest.V114}},
		"staged, no answer, and none is to be seen": {mode: machineconfig.Staged, hooks: func(*talostest.Node) talostest.Hooks {
			return talostest.Hooks{After: talostest.Fail(lost, "ApplyConfiguration")}
		}, want: change.Unknown, detail: "whether the configuration was staged is unknown", kept: true, only: []talostest.Profile{talostest.V19}},
		"refused": {mode: machineconfig.Try, hooks: func(*talostest.Node) talostest.Hooks {
			return talostest.Hooks{Before: talostest.Fail(status.Error(codes.InvalidArgument, "no"), "ApplyConfiguration")}
		}, want: change.Failed, detail: "the configuration was not taken: Talos refuses"},
	} {
		profiles := c.only
		if profiles == nil {
			profiles = []talostest.Profile{talostest.V19, talostest.V114}
		}
		for _, profile := range profiles {
			t.Run(name+" on "+string(profile), func(t *testing.T) {
				t.Parallel()
				n := start(t, talostest.Options{Profile: profile, Name: "w-1"})
				node, ctx := asAdmin(t, n), deadline(t)
				before, err := node.Configs(ctx)
				if err != nil {
					t.Fatal(err)
				}
				entry := mounts.ExtraMount{
					Destination: "/var/lib/disks",
					Type:        "bind",
					Source:      "/var/lib/disks",
					Options:     []string{"rbind", "rslave", "rw"},
				}
				after, err := mounts.Edit(before.Active, mounts.Change{Add: []mounts.ExtraMount{entry}})
				if err != nil {
					t.Fatal(err)
				}
				if c.hooks != nil {
					n.SetHooks(c.hooks(n))
				}
				r := rollout.Runner{
					Words:          mountsWords,
					Mode:           c.mode,
					MaxUnavailable: 1,
					Rollback:       time.Minute,
					Settle:         20 * time.Second,
					Call:           2 * time.Second,
				}
				if profile == talostest.V19 { // Where it cannot be seen, it is looked for to the end.
					r.Call = 1500 * time.Millisecond
				}
				got := r.Run(ctx, []rollout.Step{{Node: "w-1", Before: before, After: after, Works: rolled{node, n}.sees("/var/lib/disks")}},
					func(rollout.Step) rollout.Node { return rolled{node, n} })[0]
				if got.Result != c.want || !strings.Contains(got.Detail, c.detail) || (got.Detail == "") != (c.detail == "") {
					t.Errorf("%s: %q", got.Result, got.Detail)
				}
				if disk := n.DiskConfig(); bytes.Contains(disk, []byte("/var/lib/disks")) != c.kept ||
					bytes.Contains(disk, []byte("# theirs")) != c.theirs {
					t.Error("another configuration is on its disk")
				}
				for _, secret := range secrets(before.Active) {
					if len(secret) > 15 && strings.Contains(got.Detail+got.Hint, secret) {
						t.Fatal("it tells a secret")
					}
				}
			})
		}
	}
}

// A trial on a node to which nothing was applied since it booted shows in the version alone.
func TestTried(t *testing.T) {
	n := start(t, talostest.Options{Profile: talostest.V114})
	node, ctx := asAdmin(t, n), deadline(t)
	release, err := talosrelease.Parse(string(talostest.V114))
	if err != nil {
		t.Fatal(err)
	}
	want := func(when string, tried bool) {
		t.Helper()
		configs, err := node.Configs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if configs.Tried(release) != tried {
			t.Errorf("%s: tried is %t, version %s", when, !tried, configs.Version)
		}
	}
	want("after the boot", false)
	if err := node.Apply(ctx, changed(n), machineconfig.Try, time.Minute); err != nil {
		t.Fatal(err)
	}
	want("during the trial", true)
	if !n.FireRollback() {
		t.Fatal("no trial is pending")
	}
	want("after the trial", true)
	if err := node.Apply(ctx, changed(n), machineconfig.NoReboot, 0); err != nil {
		t.Fatal(err)
	}
	want("after a change to stay", false)
}

// An entry with bind is tried with rbind, and kept when the kubelet sees the disk.
func TestRollOutRebinds(t *testing.T) {
	const dir = "/var/lib/disks"
	n := start(t, talostest.Options{Name: "w-1"})
	node, ctx := asAdmin(t, n), deadline(t)
	sim, ok := n.Machine().(*talostest.Sim)
	if !ok {
		t.Fatalf("%T", n.Machine())
	}
	if err := sim.Mount(dir+"/hdd/vde", "254:65", "xfs", "/dev/vde1"); err != nil {
		t.Fatal(err)
	}
	entry := mounts.ExtraMount{Destination: dir, Type: "bind", Source: dir, Options: []string{"bind", "rshared", "rw"}}
	config, err := mounts.Edit(n.Config(), mounts.Change{Add: []mounts.ExtraMount{entry}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.SetConfig(ctx, config); err != nil {
		t.Fatal(err)
	}
	if err := n.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	state := func() (mounts.NodeState, machineconfig.Current) {
		t.Helper()
		configs, err := node.Configs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		view, err := node.View(ctx, []string{dir})
		if err != nil {
			t.Fatal(err)
		}
		s := mounts.NodeState{Node: "w-1", View: &view, Ready: true}
		if s.Settings, err = mounts.ReadSettings(configs.Active); err != nil {
			t.Fatal(err)
		}
		tag, err := node.Version(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s.Release, err = talosrelease.Parse(tag); err != nil {
			t.Fatal(err)
		}
		return s, configs
	}
	before, configs := state()
	plan := mounts.Decide(before, mounts.Request{Required: []string{dir}})
	if plan.Action != change.Patch || plan.Reason != mounts.ReasonBindForRbind || plan.Directories[0].Visible != disk.No {
		t.Fatalf("%+v", plan)
	}
	after, err := mounts.Edit(configs.Active, mounts.Change{Rebind: plan.Rebind, Add: plan.Add})
	if err != nil {
		t.Fatal(err)
	}
	r := rollout.Runner{
		Words:          mountsWords,
		Mode:           machineconfig.Try,
		MaxUnavailable: 1,
		Rollback:       time.Minute,
		Settle:         20 * time.Second,
		Call:           2 * time.Second,
	}
	got := r.Run(ctx, []rollout.Step{{Node: "w-1", Before: configs, After: after, Works: rolled{node, n}.sees(plan.Appear()...)}},
		func(rollout.Step) rollout.Node { return rolled{node, n} })[0]
	if got.Result != change.Patched || !bytes.Equal(n.DiskConfig(), after) || len(after) != len(config)+1 {
		t.Errorf("%+v", got)
	}
	now, _ := state()
	if plan := mounts.Decide(now, mounts.Request{Required: []string{dir}}); plan.Action != change.Keep ||
		plan.Directories[0].Visible != disk.Yes {
		t.Errorf("%+v", plan)
	}
}
