// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// nodeMounts is one node of a run of mounts: what is planned, and what came of it.
type nodeMounts struct {
	Kind     string            `json:"kind,omitempty"`
	Metadata metav1.ObjectMeta `json:"metadata"`
	Talos    mounts.Version    `json:"talos"`
	mounts.Plan
	Result mounts.Result `json:"result,omitempty"`
	Detail string        `json:"detail,omitempty"`

	// err says more about a node that was not looked at.
	err error
	// before and after are configurations; after is nil where nothing is to be changed.
	before mounts.Configs
	after  []byte
	talos  *talos.Node
}

// mountsList is what mounts prints.
type mountsList struct {
	metav1.TypeMeta `json:",inline"`
	Provisioner     string       `json:"provisioner"`
	Items           []nodeMounts `json:"items"`
}

func (o *mountsOptions) run(ctx context.Context) error {
	api, err := o.talos.connect(ctx)
	if err != nil {
		return err
	}
	defer api.Close()
	c, err := o.connect(o.cluster)
	if err != nil {
		return err
	}
	defer c.close()
	s, err := o.observe(ctx, c)
	if err != nil {
		return err
	}
	nodes := o.plan(ctx, c, s, api)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if o.dryRun == dryRunServer {
		o.check(ctx, nodes)
	}
	o.warn(nodes)
	if o.printer == nil {
		return o.printFragments(nodes)
	}
	if o.dryRun == dryRunNone {
		if err := o.confirm(ctx, nodes); err != nil {
			return err
		}
		o.perform(ctx, c, nodes)
	} else {
		o.printDiffs(nodes)
	}
	if err := o.print(s, nodes); err != nil {
		return err
	}
	return interrupted(o.errors(nodes), context.Cause(ctx))
}

// observe looks at Kubernetes, after it made sure that everything may be done there.
func (o *mountsOptions) observe(ctx context.Context, c *cluster) (*snapshot.Snapshot, error) {
	// Where bind becomes rbind the pods are asked about too; not to be allowed to list them matters there alone.
	request := observe.Request{Blind: true, Users: true}
	if o.dryRun == dryRunClient {
		return c.observe(ctx, request)
	}
	needs := append(c.looking(), anywhere("get", "nodes"))
	if o.request.Remove {
		needs = append(needs, anywhere("list", "pods"))
	}
	return c.observeToAct(ctx, "mounts", needs, request)
}

// plan looks at the kubelets of all nodes and decides on each.
func (o *mountsOptions) plan(ctx context.Context, c *cluster, s *snapshot.Snapshot, api *talos.Client) []nodeMounts {
	o.request.Required = s.Install.HostDirs()
	seen := c.kubelets(ctx, s, api, func(snapshot.Node) []string { return o.request.Required })
	nodes := make([]nodeMounts, 0, len(seen))
	for i, k := range seen {
		n := nodeMounts{
			Kind: "NodeMounts", Metadata: metav1.ObjectMeta{Name: k.State.Node}, Talos: k.State.Version,
			Plan: mounts.Decide(k.State, o.request), before: k.Configs, err: k.Err, talos: api.Node(s.Nodes[i].Machine()),
		}
		if n.Action == mounts.ActionPatch {
			n.edit()
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// kubelets looks at the kubelets of the nodes that were observed, at the directories of each.
func (c *cluster) kubelets(ctx context.Context, s *snapshot.Snapshot, api *talos.Client, dirs func(snapshot.Node) []string) []observe.Kubelet {
	done := c.progress.Count("looked at the kubelets of %d/%d nodes", len(s.Nodes))
	defer c.progress.Clear()
	run := c.options.run
	return observe.Kubelets(ctx, s, run.Concurrency, run.NodeTimeout, dirs, func(n snapshot.Node) observe.TalosNode { return api.Node(n.Machine()) }, done)
}

// edit makes the new configuration. What cannot be edited safely is refused.
func (n *nodeMounts) edit() {
	change := mounts.Change{Remove: n.Plan.Remove, Rebind: n.Rebind, Add: n.Add}
	edit := mounts.Edit
	if n.Convert {
		edit = mounts.Convert
	}
	after, err := edit(n.before.Active, change)
	if err != nil {
		n.refuse(err)
		return
	}
	n.after = after
}

func (n *nodeMounts) refuse(err error) {
	n.Action, n.Reason, n.Message, n.Hint = mounts.ActionRefuse, mounts.ReasonConfig, err.Error(), failure.Hint(err)
	n.after, n.Restarts = nil, false
}

// unsure is a node of which Talos did not say whether it takes the configuration.
func (n *nodeMounts) unsure(err error) {
	n.Action, n.Reason, n.Message, n.Hint = mounts.ActionSkip, mounts.ReasonNotSeen, "whether Talos takes the configuration is unknown: "+err.Error(), failure.Hint(err)
	n.err, n.after, n.Restarts = nil, nil, false
}

// check lets Talos look at the new configurations, as if they were to be tried: a dry
// run in any other mode would end somebody's trial that began since the plan was made.
func (o *mountsOptions) check(ctx context.Context, nodes []nodeMounts) {
	var changed []*nodeMounts
	for i := range nodes {
		if nodes[i].after != nil {
			changed = append(changed, &nodes[i])
		}
	}
	run := o.cluster.run
	exec.Each(ctx, changed, run.Concurrency, run.NodeTimeout, func(ctx context.Context, n *nodeMounts) error {
		switch err := n.talos.DryRun(ctx, n.after, mounts.Try); {
		case errors.Is(err, talos.ErrRefused):
			n.refuse(err)
		case err != nil:
			n.unsure(err)
		}
		return nil
	})
}

// confirm shows what is to be changed, and asks.
func (o *mountsOptions) confirm(ctx context.Context, nodes []nodeMounts) error {
	restarts := o.printDiffs(nodes)
	if restarts == 0 || o.yes {
		return nil
	}
	question := fmt.Sprintf("The kubelet%s of %d node%s will restart, %d at a time; pods go on running. Continue?", plural(restarts), restarts, plural(restarts), o.rollOut.MaxUnavailable)
	switch {
	case o.rollOut.Mode == mounts.Staged:
		question = fmt.Sprintf("The configuration of %d node%s will change with the next reboot. Continue?", restarts, plural(restarts))
	case restarts == 1:
		question = "The kubelet of 1 node will restart; pods go on running. Continue?"
	}
	return o.confirmed(ctx, question)
}

// rollOutNode is one node as a roll-out needs it.
type rollOutNode struct {
	*talos.Node
	client kube.Client
}

// Readiness is that of mounts.Node.
func (n rollOutNode) Readiness(ctx context.Context) (mounts.Readiness, error) {
	return kube.Readiness(ctx, n.client, n.Name())
}

// perform rolls the new configurations out.
func (o *mountsOptions) perform(ctx context.Context, c *cluster, nodes []nodeMounts) {
	var steps []mounts.Step
	var of []*nodeMounts
	for i := range nodes {
		n := &nodes[i]
		switch {
		case n.after != nil:
			steps = append(steps, mounts.Step{Node: n.Node, Before: n.before, After: n.after, Appear: n.Appear()})
			of = append(of, n)
		case n.Action == mounts.ActionUnchanged:
			n.Result = mounts.ResultUnchanged
		case n.Action == mounts.ActionRefuse:
			n.Result = mounts.ResultRefused
		default:
			n.Result = mounts.ResultUnknown
		}
	}
	byName := make(map[string]*nodeMounts, len(of))
	for _, n := range of {
		byName[n.Node] = n
	}
	rollOut := o.rollOut
	rollOut.Admit = cmp.Or(o.cluster.run.NodeTimeout, o.rollOut.Settle)
	rollOut.Progress = func(node, stage string) { c.progress.Show("%s: %s", node, stage) }
	outcomes := rollOut.Run(ctx, steps, func(s mounts.Step) mounts.Node {
		return rollOutNode{byName[s.Node].talos, c.client}
	})
	c.progress.Clear()
	for i, outcome := range outcomes {
		of[i].end(outcome)
	}
}

// end takes over what came of a node.
func (n *nodeMounts) end(outcome mounts.Outcome) {
	n.Result, n.Detail, n.Hint = outcome.Result, outcome.Detail, strings.ReplaceAll(outcome.Hint, "NODE", n.talos.Address())
	if n.Result != mounts.ResultPatched {
		return
	}
	for i := range n.Directories {
		if d := &n.Directories[i]; d.Action == mounts.ActionPatch { // The roll-out has seen it.
			d.Visible, d.Message = disk.Yes, "is visible since the change"
		}
	}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
