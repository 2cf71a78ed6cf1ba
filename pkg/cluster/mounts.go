// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"context"
	"errors"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rollout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// NodeMounts is what is planned for the kubelet of one node, and what came of it.
type NodeMounts struct {
	Talos talosrelease.Release
	mounts.Plan
	Result change.Result
	Detail string
	// Err says more about a node that was not looked at.
	Err error
	// Before and After are configurations; After is nil where nothing is to be changed.
	Before machineconfig.Current
	After  []byte

	node *talos.Node
}

// PlanMounts observes the kubelets of the chosen nodes and decides on each. With NoNode the plan is made without making sure that it
// could be performed; the kubelets are looked at anyway.
func (c *Cluster) PlanMounts(ctx context.Context, api *talos.Client, r mounts.Request,
	depth Depth) (*snapshot.Snapshot, []NodeMounts, error) {
	s, err := c.observeForMounts(ctx, r, depth)
	if err != nil {
		return nil, nil, err
	}
	r.Required = s.Install.HostDirs()
	seen := c.kubelets(ctx, s, api, func(snapshot.Node) []string { return r.Required })
	nodes := make([]NodeMounts, 0, len(seen))
	for i, k := range seen {
		n := NodeMounts{
			Talos: k.State.Release, Plan: mounts.Decide(k.State, r), Before: k.Configs, Err: k.Err, node: api.Node(s.Nodes[i].Machine()),
		}
		if n.Action == change.Patch {
			n.edit()
		}
		nodes = append(nodes, n)
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return s, nodes, nil
}

// observeForMounts looks at Kubernetes, after it made sure that everything may be done there.
func (c *Cluster) observeForMounts(ctx context.Context, r mounts.Request, depth Depth) (*snapshot.Snapshot, error) {
	// Where bind becomes rbind the pods are asked about too; not to be allowed to list them matters there alone.
	request := observe.Request{Parts: observe.Users}
	if depth == NoNode {
		return c.Observe(ctx, request)
	}
	needs := append(c.looking(), anywhere("get", "nodes"))
	if r.Remove {
		needs = append(needs, anywhere("list", "pods"))
	}
	return c.observeToAct(ctx, "mounts", needs, request)
}

// ListMounts observes the kubelets of the chosen nodes, at the directories of all installations of the provisioner or of the one that
// the options name.
func (c *Cluster) ListMounts(ctx context.Context, api *talos.Client) (*snapshot.Snapshot, []observe.Kubelet, error) {
	s, err := c.Observe(ctx, observe.Request{Every: true})
	if err != nil {
		return nil, nil, err
	}
	if err := c.leaveOutUnnamed(s); err != nil {
		return nil, nil, err
	}
	return s, c.kubelets(ctx, s, api, s.HostDirs), nil
}

// kubelets looks at the kubelets of the nodes that were observed, at the directories of each.
func (c *Cluster) kubelets(ctx context.Context, s *snapshot.Snapshot, api *talos.Client,
	dirs func(snapshot.Node) []string) []observe.Kubelet {
	done := c.reporter.Count("looked at the kubelets of %d/%d nodes", len(s.Nodes))
	defer c.reporter.Clear()
	ask := func(n snapshot.Node) observe.TalosNode { return api.Node(n.Machine()) }
	return observe.Kubelets(ctx, s, c.options.Concurrency, c.options.NodeTimeout, dirs, ask, done)
}

// edit makes the new configuration. What cannot be edited safely is refused.
func (n *NodeMounts) edit() {
	change := mounts.Change{Remove: n.Plan.Remove, Rebind: n.Rebind, Add: n.Add}
	edit := mounts.Edit
	if n.Convert {
		edit = mounts.Convert
	}
	after, err := edit(n.Before.Active, change)
	if err != nil {
		n.refuse(err)
		return
	}
	n.After = after
}

func (n *NodeMounts) refuse(err error) {
	n.Action, n.Reason, n.Message, n.Hint = change.Refuse, mounts.ReasonConfig, err.Error(), failure.Hint(err)
	n.After, n.Restarts = nil, false
}

// unsure is a node of which Talos did not say whether it takes the configuration.
func (n *NodeMounts) unsure(err error) {
	n.Action, n.Reason, n.Hint = change.Skip, mounts.ReasonNotSeen, failure.Hint(err)
	n.Message = "whether Talos takes the configuration is unknown: " + err.Error()
	n.Err, n.After, n.Restarts = nil, nil, false
}

// CheckMounts lets Talos look at the new configurations, as if they were to be tried: a dry run in any other mode would end somebody's
// trial that began since the plan was made.
func (c *Cluster) CheckMounts(ctx context.Context, nodes []NodeMounts) {
	var changed []*NodeMounts
	for i := range nodes {
		if nodes[i].After != nil {
			changed = append(changed, &nodes[i])
		}
	}
	exec.Each(ctx, changed, c.options.Concurrency, c.options.NodeTimeout, func(ctx context.Context, n *NodeMounts) error {
		switch err := n.node.DryRun(ctx, n.After, machineconfig.Try); {
		case errors.Is(err, talos.ErrRefused):
			n.refuse(err)
		case err != nil:
			n.unsure(err)
		}
		return nil
	})
}

// rollOutNode is one node as a roll-out needs it.
type rollOutNode struct {
	*talos.Node
	client kube.Client
}

// Look sees how the kubelet is.
func (n rollOutNode) Look(ctx context.Context) (rollout.State, error) {
	h := mounts.KubeletHealth{Node: n.Name(), Address: n.Address()}
	var err error
	if h.Kubelet, err = n.Kubelet(ctx); err != nil {
		return h, err
	}
	h.Readiness, err = kube.Readiness(ctx, n.client, n.Name())
	return h, err
}

// sees is what a kubelet that is back must see: Works of a step.
func (n rollOutNode) sees(dirs []string) func(context.Context, rollout.State) (string, error) {
	if len(dirs) == 0 {
		return nil
	}
	return func(ctx context.Context, now rollout.State) (string, error) {
		view, err := n.View(ctx, dirs)
		if err != nil {
			return "", err
		}
		health, _ := now.(mounts.KubeletHealth)
		return health.Unseen(view, dirs), nil
	}
}

// mountsWords are what a roll-out calls a change of the kubelet's mounts.
func mountsWords() rollout.Words {
	return rollout.Words{
		Back: "the kubelet", Effect: "what the kubelet sees", Undo: "take the entry out",
		Show: func(node string) string {
			return shell.Command("kubectl", "talosdisk", "mounts", "list", "--nodes", node)
		},
	}
}

// PerformMounts rolls the new configurations out, and puts into the nodes what came of each. The bounds of a roll-out that the options
// of the cluster have are taken from them.
func (c *Cluster) PerformMounts(ctx context.Context, nodes []NodeMounts, rollOut rollout.Runner) {
	var steps []rollout.Step
	changed := make(map[string]*NodeMounts)
	for i := range nodes {
		n := &nodes[i]
		switch {
		case n.After != nil:
			steps = append(steps, n.step(rollOutNode{n.node, c.Client}))
			changed[n.Node] = n
		case n.Action == change.Keep:
			n.Result = change.Unchanged
		case n.Action == change.Refuse:
			n.Result = change.Refused
		default:
			n.Result = change.Unknown
		}
	}
	rollOut.Words = mountsWords()
	rollOut.Admit = cmp.Or(c.options.NodeTimeout, rollOut.Settle)
	rollOut.Progress = func(node, stage string) { c.reporter.Show("%s: %s", node, stage) }
	outcomes := rollOut.Run(ctx, steps, func(s rollout.Step) rollout.Node {
		return rollOutNode{changed[s.Node].node, c.Client}
	})
	c.reporter.Clear()
	for i, outcome := range outcomes {
		changed[steps[i].Node].end(outcome)
	}
}

// step is the change of the node.
func (n *NodeMounts) step(node rollOutNode) rollout.Step {
	return rollout.Step{Node: n.Node, Address: node.Address(), Before: n.Before, After: n.After, Works: node.sees(n.Appear())}
}

// end takes over what came of a node.
func (n *NodeMounts) end(outcome rollout.Outcome) {
	n.Result, n.Detail, n.Hint = outcome.Result, outcome.Detail, outcome.Hint
	if n.Result != change.Patched {
		return
	}
	for i := range n.Directories {
		if d := &n.Directories[i]; d.Action == change.Patch { // The roll-out has seen it.
			d.Visible, d.Message = disk.Yes, "is visible since the change"
		}
	}
}
