// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"errors"
	"fmt"
	"time"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	configpb "github.com/siderolabs/talos/pkg/machinery/api/resource/config"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

const configNoun = "the machine configuration"

// Configs are the node's machine configurations, byte for byte as they were
// applied. It needs os:admin.
func (n *Node) Configs(ctx context.Context) (machineconfig.Current, error) {
	machineConfig := kind{namespaceConfig, talosrelease.MachineConfigs, admin, configNoun}
	var active, persistent configpb.MachineConfigSpec
	version, err := n.get(ctx, machineConfig, "v1alpha1", &active)
	if err != nil {
		return machineconfig.Current{}, err
	}
	if len(active.GetYamlMarshalled()) == 0 {
		return machineconfig.Current{}, fail(ErrAnswer, configNoun+" came without content", "", "")
	}
	configs := machineconfig.Current{Active: active.GetYamlMarshalled(), Version: version}
	switch _, err = n.get(ctx, machineConfig, "persistent", &persistent); {
	case errors.Is(err, ErrNotFound): // Nothing was applied since boot, or Talos is older than v1.10.
		return configs, nil
	case err != nil:
		return machineconfig.Current{}, err
	}
	configs.Persistent = persistent.GetYamlMarshalled()
	return configs, nil
}

// Apply makes config, which has to be all of it, the node's machine configuration.
// After rollback Talos takes one back that is tried; the other modes have no use for
// it. It needs os:admin. ErrRefused and ErrBusy: nothing was changed.
//
// Beware: except for Try, every request ends a trial that is under way, and what was
// tried stays in force.
func (n *Node) Apply(ctx context.Context, config []byte, mode machineconfig.Mode, rollback time.Duration) error {
	return n.apply(ctx, config, mode, rollback, false)
}

// DryRun asks the node what Apply would ask, and changes only what Apply's
// warning says. What the node answers is a diff with the node's secrets in it: it
// is not kept.
func (n *Node) DryRun(ctx context.Context, config []byte, mode machineconfig.Mode) error {
	return n.apply(ctx, config, mode, time.Minute, true)
}

func (n *Node) apply(ctx context.Context, config []byte, mode machineconfig.Mode, rollback time.Duration, dry bool) error {
	request, err := applyRequest(config, mode, rollback, dry)
	if err != nil {
		return err
	}
	resp, err := n.client.talos.ApplyConfiguration(n.to(ctx), request)
	if err != nil {
		return n.call(configNoun, admin).explain(ctx, conceal(err, config))
	}
	for _, m := range resp.GetMessages() {
		if m.GetMode() != request.GetMode() {
			return fail(ErrAnswer, fmt.Sprintf("Talos was asked for mode %s and took %s", request.GetMode(), m.GetMode()), "", "")
		}
	}
	return nil
}

// applyRequest is what is sent. There is a way to every mode that is meant, and to
// no other: unset is REBOOT, and AUTO reboots before v1.14.
func applyRequest(config []byte, mode machineconfig.Mode, rollback time.Duration, dry bool) (*machineapi.ApplyConfigurationRequest, error) {
	if len(config) == 0 {
		return nil, fail(ErrRefused, configNoun+" to be applied is empty", "", "")
	}
	request := &machineapi.ApplyConfigurationRequest{Data: config, DryRun: dry}
	switch mode {
	case machineconfig.Try:
		if rollback <= 0 {
			return nil, fail(ErrRefused, "a configuration cannot be tried for no time", "", "")
		}
		request.Mode = machineapi.ApplyConfigurationRequest_TRY
		request.TryModeTimeout = durationpb.New(rollback)
	case machineconfig.NoReboot:
		request.Mode = machineapi.ApplyConfigurationRequest_NO_REBOOT
	case machineconfig.Staged:
		request.Mode = machineapi.ApplyConfigurationRequest_STAGED
	default:
		return nil, fail(ErrRefused, fmt.Sprintf("there is no mode %q to apply a configuration in", mode), "", "")
	}
	return request, nil
}
