// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// changed is the node's configuration with one more comment, which restarts nothing.
func changed(n *talostest.Node) []byte {
	return slices.Concat(n.Config(), []byte("# changed\n"))
}

func TestApply(t *testing.T) {
	for name, c := range map[string]struct {
		mode                  machineconfig.Mode
		dry                   bool
		active, disk, pending bool
	}{
		"try":               {mode: machineconfig.Try, active: true, pending: true},
		"no reboot":         {mode: machineconfig.NoReboot, active: true, disk: true},
		"staged":            {mode: machineconfig.Staged, disk: true},
		"try, dry":          {mode: machineconfig.Try, dry: true},
		"no reboot, dry":    {mode: machineconfig.NoReboot, dry: true},
		"staged, dry":       {mode: machineconfig.Staged, dry: true},
		"unset":             {mode: ""},
		"auto":              {mode: "auto"},
		"reboot":            {mode: "reboot"},
		"of the API's name": {mode: "NO_REBOOT"},
	} {
		for _, profile := range []talostest.Profile{talostest.V16, talostest.V113, talostest.V114} {
			t.Run(name+" "+string(profile), func(t *testing.T) {
				n := start(t, talostest.Options{Profile: profile, Clock: talostest.NewManualClock(time.Now())})
				node, ctx := asAdmin(t, n), deadline(t)
				before, after := n.Config(), changed(n)
				var err error
				if c.dry {
					err = node.DryRun(ctx, after, c.mode)
				} else {
					err = node.Apply(ctx, after, c.mode, 4*time.Minute)
				}
				if known := c.active || c.disk || c.dry; known != (err == nil) {
					t.Error(err)
				}
				want := func(yes bool) []byte {
					if yes {
						return after
					}
					return before
				}
				if !bytes.Equal(n.Config(), want(c.active)) || !bytes.Equal(n.DiskConfig(), want(c.disk)) || n.RollbackPending() != c.pending ||
					n.Reboots() != 0 {
					t.Errorf("active changed: %t, on disk: %t, rollback pending: %t, reboots: %d",
						!bytes.Equal(n.Config(), before), !bytes.Equal(n.DiskConfig(), before), n.RollbackPending(), n.Reboots())
				}
			})
		}
	}
}

func TestTryEnds(t *testing.T) {
	clock := talostest.NewManualClock(time.Now())
	n := start(t, talostest.Options{Clock: clock})
	node, ctx := asAdmin(t, n), deadline(t)
	before, after := n.Config(), changed(n)
	if err := node.Apply(ctx, after, machineconfig.Try, 4*time.Minute); err != nil {
		t.Fatal(err)
	}
	clock.Advance(4*time.Minute - time.Second)
	if !bytes.Equal(n.Config(), after) {
		t.Fatal("it was taken back too early")
	}
	clock.Advance(2 * time.Second)
	if !bytes.Equal(n.Config(), before) {
		t.Fatal("it was not taken back")
	}
	if err := node.Apply(ctx, after, machineconfig.Try, 0); !errors.Is(err, ErrRefused) || n.RollbackPending() {
		t.Errorf("tried for no time: %v", err)
	}
	if err := node.Apply(ctx, nil, machineconfig.NoReboot, 0); !errors.Is(err, ErrRefused) {
		t.Errorf("applied nothing: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		o      talostest.Options
		change func(config string) string
		says   string
	}{
		"unknown keys": {
			talostest.Options{}, func(s string) string { return strings.Replace(s, "machine:\n", "machine:\n    tokn: CANARY\n", 1) },
			"unknown keys found during decoding",
		},
		"a wrong type": {
			talostest.Options{}, func(s string) string { return strings.Replace(s, "machine:\n", "machine:\n    sysctls: CANARY\n", 1) },
			"cannot",
		},
		"not YAML": {talostest.Options{}, func(string) string { return "machine: [CANARY\n" }, ""},
		"a reboot": {
			talostest.Options{}, func(s string) string {
				return strings.Replace(s, "machine:\n", "machine:\n    files: [{path: /var/CANARY, content: CANARY}]\n", 1)
			},
			"can't be applied in immediate mode",
		},
		"two kubelets": {
			talostest.Options{Profile: talostest.V114, Native: true},
			func(s string) string { return strings.Replace(s, "machine:\n", "machine:\n    kubelet: {}\n", 1) },
			"kubelet config is already set in v1alpha1 config (.machine.kubelet)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, c.o)
			before := n.Config()
			after := []byte(c.change(string(before)))
			if bytes.Equal(before, after) {
				t.Fatal("the change changes nothing")
			}
			node, ctx := asAdmin(t, n), deadline(t)
			is(t, node.Apply(ctx, after, machineconfig.NoReboot, 0), ErrRefused, before, c.says)
			is(t, node.DryRun(ctx, after, machineconfig.NoReboot), ErrRefused, before, c.says)
			if !bytes.Equal(n.Config(), before) || !bytes.Equal(n.DiskConfig(), before) {
				t.Error("it was applied")
			}
		})
	}
}

func TestBusy(t *testing.T) {
	n := start(t, talostest.Options{Profile: talostest.V114})
	node, ctx := asAdmin(t, n), deadline(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	n.SetHooks(talostest.Hooks{Applying: func(context.Context) {
		close(inside)
		<-leave
	}})
	first := make(chan error, 1)
	go func() { first <- node.Apply(ctx, changed(n), machineconfig.NoReboot, 0) }()
	<-inside
	is(t, node.Apply(ctx, changed(n), machineconfig.NoReboot, 0), ErrBusy, n.Config())
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
}
