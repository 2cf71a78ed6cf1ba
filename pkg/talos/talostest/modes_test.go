// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

const (
	reboot   = machine.ApplyConfigurationRequest_REBOOT
	auto     = machine.ApplyConfigurationRequest_AUTO
	noReboot = machine.ApplyConfigurationRequest_NO_REBOOT
	staged   = machine.ApplyConfigurationRequest_STAGED
	try      = machine.ApplyConfigurationRequest_TRY
)

func clock() *talostest.ManualClock {
	return talostest.NewManualClock(time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC))
}

func TestTryRollsBackUnlessAnythingElseIsApplied(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mode mode
		dry  bool
		data func(base, tried []byte) []byte
		// rolls reports whether the tried configuration is gone when its time has passed.
		rolls bool
	}{
		"nothing else":              {rolls: true},
		"a dry run":                 {mode: noReboot, dry: true, data: func(base, _ []byte) []byte { return base }},
		"a request that is refused": {mode: noReboot, data: func([]byte, []byte) []byte { return []byte("nonsense: true\n") }},
		"staged":                    {mode: staged, data: func(base, _ []byte) []byte { return base }},
		"the same for good":         {mode: noReboot, data: func(_, tried []byte) []byte { return tried }},
		"a dry run of try":          {mode: try, dry: true, data: func(base, _ []byte) []byte { return base }, rolls: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			time25 := clock()
			n := node(t, talostest.Options{Profile: talostest.V113, Clock: time25})
			c, base := dial(t, n), n.Config()
			tried := with(t, base, disks)
			if _, err := apply(t, c, tried, try, false); err != nil {
				t.Fatal(err)
			}
			settle(t, n)
			if !bytes.Equal(n.Config(), tried) || !bytes.Equal(n.DiskConfig(), base) || !n.RollbackPending() {
				t.Fatal("try did not change the active configuration only")
			}
			if test.data != nil {
				_, _ = apply(t, c, test.data(base, tried), test.mode, test.dry)
			}
			if n.RollbackPending() != test.rolls {
				t.Errorf("rollback pending: %t", n.RollbackPending())
			}
			time25.Advance(24 * time.Second)
			if !bytes.Equal(n.Config(), tried) {
				t.Error("rolled back early")
			}
			time25.Advance(time.Second)
			settle(t, n)
			if bytes.Equal(n.Config(), base) != test.rolls {
				t.Errorf("rolled back: %t", !test.rolls)
			}
			want := 2
			if test.rolls {
				want = 3
			}
			if got := n.Kubelet().Starts; got != want {
				t.Errorf("%d kubelet starts, want %d", got, want)
			}
		})
	}
}

func TestPersistentConfigurationIsAheadOrBehind(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V111})
	c, base := dial(t, n), n.Config()
	if _, _, err := machineConfig(t, c, config.PersistentID); !state.IsNotFoundError(err) {
		t.Errorf("before anything was applied: %v", err)
	}
	changed := with(t, base, disks)
	if _, err := apply(t, c, changed, staged, false); err != nil {
		t.Fatal(err)
	}
	data, _, err := machineConfig(t, c, config.PersistentID)
	if err != nil || !bytes.Equal(data, changed) {
		t.Errorf("staged is not on disk: %v", err)
	}
	if data, version, err := machineConfig(t, c, config.ActiveID); err != nil || !bytes.Equal(data, base) || version != "1" {
		t.Errorf("staged is active: version %s, %v", version, err)
	}
	if got := n.Kubelet().Starts; got != 1 {
		t.Errorf("%d kubelet starts", got)
	}
	if err := n.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if !bytes.Equal(n.Config(), changed) || n.Kubelet().Starts != 2 {
		t.Errorf("what was staged is not active after a reboot, or %d kubelet starts", n.Kubelet().Starts)
	}
}

func TestReleasesWithoutPersistentConfiguration(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V19})
	c := dial(t, n)
	if _, err := apply(t, c, with(t, n.Config(), disks), staged, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := machineConfig(t, c, config.PersistentID); !state.IsNotFoundError(err) {
		t.Errorf("answered %v", err)
	}
}

func TestUnsetModeIsAReboot(t *testing.T) {
	t.Parallel()
	var unset mode
	old := node(t, talostest.Options{Profile: talostest.V113})
	answer, err := apply(t, dial(t, old), with(t, old.Config(), disks), unset, false)
	if err != nil {
		t.Fatal(err)
	}
	if old.Reboots() != 1 || answer.GetModeDetails() != "Applied configuration with a reboot" {
		t.Errorf("%d reboots, %q", old.Reboots(), answer.GetModeDetails())
	}
	settle(t, old)
	if got := old.Kubelet().Starts; got != 2 {
		t.Errorf("%d kubelet starts", got)
	}
	now := node(t, talostest.Options{Profile: talostest.V114})
	_, err = apply(t, dial(t, now), now.Config(), unset, false)
	if status.Code(err) != codes.Unimplemented || now.Reboots() != 0 {
		t.Errorf("answered %v, %d reboots", err, now.Reboots())
	}
}

func TestAutoRebootsBeforeV114Only(t *testing.T) {
	t.Parallel()
	for profile, reboots := range map[talostest.Profile]int{talostest.V16: 1, talostest.V113: 1, talostest.V114: 0} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			n := node(t, talostest.Options{Profile: profile})
			c := dial(t, n)
			changed := bytes.Replace(n.Config(), []byte("machine:\n"),
				[]byte("machine:\n    disks:\n        - device: /dev/vdb\n          partitions:\n            - mountpoint: /var/lib/data\n"), 1)
			_, err := apply(t, c, changed, noReboot, true)
			if reboots > 0 && (status.Code(err) != codes.InvalidArgument ||
				!strings.Contains(err.Error(), "this config change can't be applied in immediate mode\ndiff:\n")) {
				t.Errorf("no reboot answered %v", err)
			}
			if reboots == 0 && err != nil {
				t.Error(err)
			}
			if _, err := apply(t, c, changed, auto, false); err != nil {
				t.Fatal(err)
			}
			if n.Reboots() != reboots {
				t.Errorf("%d reboots", n.Reboots())
			}
		})
	}
}

func TestFragmentsAreRefused(t *testing.T) {
	t.Parallel()
	for profile, want := range map[talostest.Profile]string{
		talostest.V19:  "new config is not v1alpha1",
		talostest.V111: "doesn't contain v1alpha1 config",
	} {
		n := node(t, talostest.Options{Profile: profile})
		_, err := apply(t, dial(t, n), []byte("apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: x\nurl: udp://10.0.0.1:1\n"), noReboot, false)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("%s answered %v", profile, err)
		}
	}
}

func TestDocumentsOfLaterReleasesAreRefused(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V113})
	data := append(n.Config(), "---\napiVersion: v1alpha1\nkind: KubeletConfig\nimage: x\n"...)
	_, err := apply(t, dial(t, n), data, noReboot, false)
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), `"KubeletConfig" "v1alpha1": not registered`) {
		t.Errorf("answered %v", err)
	}
}

func TestOnlyOneApplyAtATime(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V114})
	c := dial(t, n)
	entered, leave := make(chan struct{}), make(chan struct{})
	n.SetHooks(talostest.Hooks{Applying: func(context.Context) { close(entered); <-leave }})
	first := make(chan error, 1)
	go func() {
		_, err := c.ApplyConfiguration(context.Background(), &machine.ApplyConfigurationRequest{Data: n.Config(), Mode: noReboot})
		first <- err
	}()
	<-entered
	_, err := apply(t, c, n.Config(), noReboot, true)
	if status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "another apply configuration is already in progress" {
		t.Errorf("answered %v", err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// A diff that shows no secret would let every test for leaks pass.
func TestDryRunShowsSecrets(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V113})
	answer, err := apply(t, dial(t, n), with(t, n.Config(), disks), noReboot, true)
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, canary := range n.Canaries() {
		seen = seen || strings.Contains(answer.GetModeDetails(), canary)
	}
	if !seen {
		t.Error("no secret in the diff's context")
	}
	same, err := apply(t, dial(t, n), n.Config(), noReboot, true)
	if err != nil || !strings.HasSuffix(same.GetModeDetails(), "Config diff:\n\nNo changes.") {
		t.Errorf("nothing changed: %q, %v", same.GetModeDetails(), err)
	}
}

func TestAnswerLostAfterApplying(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{})
	c, changed := dial(t, n), with(t, n.Config(), disks)
	n.SetHooks(talostest.Hooks{After: talostest.Fail(status.Error(codes.Unavailable, "gone"), "ApplyConfiguration")})
	if _, err := apply(t, c, changed, noReboot, false); status.Code(err) != codes.Unavailable {
		t.Errorf("answered %v", err)
	}
	if !bytes.Equal(n.Config(), changed) {
		t.Error("was not applied")
	}
}
