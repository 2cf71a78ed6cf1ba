// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// nodeMounts is what mounts prints of one node.
type nodeMounts struct {
	Kind     string               `json:"kind,omitempty"`
	Metadata metav1.ObjectMeta    `json:"metadata"`
	Talos    talosrelease.Release `json:"talos"`
	mounts.Plan
	Result change.Result `json:"result,omitempty"`
	Detail string        `json:"detail,omitempty"`
}

// mountsList is what mounts prints.
type mountsList struct {
	metav1.TypeMeta `json:",inline"`
	Provisioner     string       `json:"provisioner"`
	Items           []nodeMounts `json:"items"`
}

func (o *mountsOptions) run(ctx context.Context) error {
	api, err := cluster.DialTalos(ctx, o.talos)
	if err != nil {
		return err
	}
	defer api.Close()
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	s, nodes, err := c.PlanMounts(ctx, api, o.request, o.dryRun.depth())
	if err != nil {
		return err
	}
	if o.dryRun == dryRunServer {
		c.CheckMounts(ctx, nodes)
	}
	o.warnOf(nodes)
	if o.printer == nil {
		return o.printFragments(nodes)
	}
	if o.dryRun == dryRunNone {
		if err := o.confirm(ctx, nodes); err != nil {
			return err
		}
		c.PerformMounts(ctx, nodes, o.rollOut)
	} else {
		o.printDiffs(nodes)
	}
	if err := o.print(s, nodes); err != nil {
		return err
	}
	return interrupted(o.errors(nodes), context.Cause(ctx))
}

// confirm shows what is to be changed, and asks.
func (o *mountsOptions) confirm(ctx context.Context, nodes []cluster.NodeMounts) error {
	restarts := o.printDiffs(nodes)
	if restarts == 0 || o.yes {
		return nil
	}
	question := fmt.Sprintf("The kubelet%s of %d node%s will restart, %d at a time; pods keep running. Continue?", plural(restarts), restarts,
		plural(restarts), o.rollOut.MaxUnavailable)
	switch {
	case o.rollOut.Mode == machineconfig.Staged:
		question = fmt.Sprintf("The configuration of %d node%s will change with the next reboot. Continue?", restarts, plural(restarts))
	case restarts == 1:
		question = "The kubelet of 1 node will restart; pods keep running. Continue?"
	}
	return o.confirmed(ctx, question)
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
