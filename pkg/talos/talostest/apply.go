// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"fmt"
	"time"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// tryTimeout is constants.ConfigTryTimeout.
const tryTimeout = time.Minute

// Texts of an answer.
const (
	withReboot    = "Applied configuration with a reboot"
	withoutReboot = "Applied configuration without a reboot"
	staged        = "Staged configuration to be applied after the next reboot"
)

// ApplyConfiguration applies one as v1alpha1_server.go does: any mode but TRY
// cancels a pending rollback before anything else, a dry run and a request that is
// then refused too.
func (machineAPI) ApplyConfiguration(ctx context.Context,
	req *machine.ApplyConfigurationRequest) (*machine.ApplyConfigurationResponse, error) {
	n := callOf(ctx).node
	if n.options.Profile.has(talosrelease.RefusesConcurrentApply) {
		if !n.configs.applying.TryLock() {
			return nil, status.Error(codes.FailedPrecondition, "another apply configuration is already in progress")
		}
	} else {
		n.configs.applying.Lock()
	}
	defer n.configs.applying.Unlock()
	if hook := n.hook().Applying; hook != nil {
		hook(ctx)
	}
	answer, err := n.configs.apply(ctx, req)
	if err != nil {
		return nil, err
	}
	return &machine.ApplyConfigurationResponse{Messages: []*machine.ApplyConfiguration{answer}}, nil
}

// apply is what one request does. The caller's context ends nothing once it began.
func (c *configs) apply(ctx context.Context, req *machine.ApplyConfigurationRequest) (*machine.ApplyConfiguration, error) {
	ctx = context.WithoutCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	mode := req.GetMode()
	if mode != machine.ApplyConfigurationRequest_TRY {
		c.drop()
	}
	profile := c.node.options.Profile
	if mode == machine.ApplyConfigurationRequest_REBOOT && profile.has(talosrelease.NeverReboots) {
		return nil, status.Error(codes.Unimplemented, "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead")
	}
	if err := check(profile, req.GetData()); err != nil {
		return nil, err
	}
	mode, details, err := c.effective(mode, req.GetData())
	if err != nil {
		return nil, err
	}
	answer := &machine.ApplyConfiguration{Mode: mode, ModeDetails: details}
	if req.GetDryRun() {
		diff, err := unified(string(c.active), string(req.GetData()))
		if err != nil {
			return nil, err
		}
		if diff == "" {
			diff = "No changes."
		}
		answer.ModeDetails = fmt.Sprintf("Dry run summary:\n%s (skipped in dry-run).\nConfig diff:\n\n%s", details, diff)
		return answer, nil
	}
	return answer, c.perform(ctx, mode, req, answer)
}

// effective is what AUTO comes to, and what the answer says of it.
func (c *configs) effective(mode machine.ApplyConfigurationRequest_Mode,
	data []byte) (machine.ApplyConfigurationRequest_Mode, string, error) {
	why := ""
	if !c.node.options.Profile.has(talosrelease.NeverReboots) {
		var err error
		if why, err = needsReboot(c.active, data); err != nil {
			return mode, "", err
		}
	}
	switch mode {
	case machine.ApplyConfigurationRequest_STAGED:
		return mode, staged, nil
	case machine.ApplyConfigurationRequest_REBOOT:
		return mode, withReboot, nil
	case machine.ApplyConfigurationRequest_AUTO:
		if why != "" {
			return machine.ApplyConfigurationRequest_REBOOT, withReboot + ": " + why, nil
		}
		return machine.ApplyConfigurationRequest_NO_REBOOT, withoutReboot, nil
	case machine.ApplyConfigurationRequest_NO_REBOOT, machine.ApplyConfigurationRequest_TRY:
		if why != "" {
			return mode, "", status.Error(codes.InvalidArgument, why)
		}
		return mode, withoutReboot, nil
	}
	return mode, "", status.Errorf(codes.InvalidArgument, "incorrect mode %q specified for the apply config call", mode)
}

// perform does it; the lock is held.
func (c *configs) perform(ctx context.Context, mode machine.ApplyConfigurationRequest_Mode, req *machine.ApplyConfigurationRequest,
	answer *machine.ApplyConfiguration) error {
	data := req.GetData()
	if mode == machine.ApplyConfigurationRequest_TRY {
		timeout := req.GetTryModeTimeout().AsDuration()
		if timeout == 0 {
			timeout = tryTimeout
		}
		answer.ModeDetails += fmt.Sprintf("\nThe config is applied in 'try' mode and will be automatically reverted back in %s", timeout)
		return c.try(ctx, data, timeout)
	}
	if err := c.persist(ctx, data); err != nil {
		return err
	}
	switch mode {
	case machine.ApplyConfigurationRequest_REBOOT:
		return c.reboot(ctx)
	case machine.ApplyConfigurationRequest_NO_REBOOT:
		return c.activate(ctx, data)
	}
	return nil
}

// reboot boots what is on disk; the lock is held.
func (c *configs) reboot(ctx context.Context) error {
	c.reboots++
	return c.load(ctx, c.disk)
}

// unified is a diff as Talos prints it since v1.8, keys and tokens included; "" if
// there is none. Older releases print one of Go values; here they print this too.
func unified(a, b string) (string, error) {
	if a == b {
		return "", nil
	}
	return difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(a), B: difflib.SplitLines(b), FromFile: "a", ToFile: "b", Context: 3,
	})
}
