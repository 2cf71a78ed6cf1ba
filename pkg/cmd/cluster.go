// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// clusterFlags are the flags of every command that looks at nodes through the
// provisioner's pods.
type clusterFlags struct {
	nodes       nodeFlags
	run         *runFlags
	provisioner provisionerFlags
}

func newClusterFlags() clusterFlags { return clusterFlags{run: newRunFlags()} }

// AddFlags adds the flags that choose nodes, bound the run and name the provisioner.
func (f *clusterFlags) AddFlags(fs *pflag.FlagSet) {
	f.nodes.AddFlags(fs)
	f.run.AddFlags(fs)
	f.provisioner.AddFlags(fs)
}

// ToOptions checks the flags; no server is asked yet.
func (f *clusterFlags) ToOptions() (clusterOptions, error) {
	nodes, err := f.nodes.ToOptions()
	if err != nil {
		return clusterOptions{}, err
	}
	run, err := f.run.ToOptions()
	return clusterOptions{nodes: nodes, run: run, provisioner: f.provisioner.ToOptions()}, err
}

// clusterOptions are the checked clusterFlags.
type clusterOptions struct {
	nodes       nodeOptions
	run         runOptions
	provisioner provisionerOptions
}

// cluster is one cluster, connected to with the flags of a command.
type cluster struct {
	shared   *shared
	options  clusterOptions
	client   kube.Client
	pods     *kube.Pods
	progress *output.Progress
	// talos is nil where the Talos API is not asked; noTalos is why it is not where
	// it would be, and talosMissing tells whether that is for want of a talosconfig.
	talos        *talos.Client
	noTalos      string
	talosMissing bool
}

func (s *shared) connect(o clusterOptions) (*cluster, error) {
	config, err := s.RESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := kube.NewClient(config)
	if err != nil {
		return nil, err
	}
	executor, err := exec.New(config)
	if err != nil {
		return nil, err
	}
	return &cluster{
		shared: s, options: o, client: client,
		pods:     &kube.Pods{Executor: executor, Limit: o.run.Concurrency, Timeout: o.run.NodeTimeout},
		progress: output.NewProgress(s.ErrOut),
	}, nil
}

// close ends what is still open on the nodes.
func (c *cluster) close() {
	c.pods.Close()
	if c.talos != nil {
		_ = c.talos.Close() // Nothing is being sent any more.
	}
}

// observe fills a snapshot of the chosen nodes. Nodes that the provisioner is not
// meant to run on are left out, with a note, unless they were named or Talos told of
// them.
func (c *cluster) observe(ctx context.Context, r observe.Request) (*snapshot.Snapshot, error) {
	r.Nodes, r.Selector = c.options.nodes.Patterns, c.options.nodes.Selector
	r.Namespace, r.DaemonSet = c.namespace(), c.options.provisioner.DaemonSet
	s, err := c.collector().Observe(ctx, r)
	c.progress.Clear()
	if err != nil {
		return nil, err
	}
	if why := s.Unread[snapshot.PartOthers]; why != "" && !r.Blind {
		fmt.Fprintf(c.shared.ErrOut, "note: whether there is another provisioner, which may have linked disks, is not known: %s\n", output.Escape(why))
	}
	wanted := s.WantedBy
	if r.Trust { // It acts through the chosen installation's pods alone.
		wanted = func(n snapshot.Node) bool { return n.Wanted }
	}
	return s, c.leaveOut(s, wanted)
}

// collector looks at the cluster, and at its nodes' Talos API if that is asked.
func (c *cluster) collector() *observe.Collector {
	collector := &observe.Collector{
		Client: c.client, Pods: c.pods, NoTalos: c.noTalos,
		Progress: func(nodes int) func() { return c.progress.Count("looked at %d/%d nodes", nodes) },
	}
	if c.talos != nil {
		collector.Talos = c.talos
	}
	return collector
}

// leaveOut keeps the nodes on which a pod is wanted, or that were named or told of by Talos alone.
func (c *cluster) leaveOut(s *snapshot.Snapshot, wanted func(snapshot.Node) bool) error {
	if len(s.Nodes) == 0 {
		return failure.New("the cluster has no nodes", "kubectl get nodes")
	}
	// Without a provisioner no node has been left out of it.
	named := len(c.options.nodes.Patterns) > 0 || s.Unread[snapshot.PartInstall] != ""
	kept := s.Nodes[:0]
	var without []string
	for _, n := range s.Nodes {
		if wanted(n) || named || byTalosAlone(s, n) {
			kept = append(kept, n)
			continue
		}
		without = append(without, fmt.Sprintf("%s: %s", n.Name, n.Pod.Why()))
	}
	if len(kept) == 0 {
		return failure.New("no provisioner pod on any of the chosen nodes: "+strings.Join(without, "; "),
			shell.Command("kubectl", "-n", s.Install.Namespace, "describe", "daemonset", s.Install.Name))
	}
	for _, w := range without {
		fmt.Fprintf(c.shared.ErrOut, "note: left out node %s\n", w)
	}
	s.Nodes = kept
	return nil
}

// byTalosAlone tells a node that the provisioner is not meant to run on, and whose
// disks its Talos API told all the same.
func byTalosAlone(s *snapshot.Snapshot, n snapshot.Node) bool {
	return !s.WantedBy(n) && !sees(s, n) && n.Talos.Value != nil && n.Talos.Value.Disks.Value != nil
}

// sees reports whether a pod of any installation saw the node.
func sees(s *snapshot.Snapshot, n snapshot.Node) bool {
	there, ok := s.Seen(n.Name).NodeByName(n.Name)
	return ok && there.View.Value != nil
}

// volumes are the PersistentVolumes of the cluster that was observed.
func (c *cluster) volumes(s *snapshot.Snapshot) kube.Volumes {
	return kube.Volumes{Client: c.client, NodeByHostname: s.NodeByHostname}
}

// unlooked are the nodes that could not be looked at, and why. Where no pod is meant
// to be, Talos's word is all that can be had.
func unlooked(s *snapshot.Snapshot) []failure.Part {
	var parts []failure.Part
	for _, n := range s.Nodes {
		if !sees(s, n) && !byTalosAlone(s, n) {
			parts = append(parts, failure.Part{Subject: "node " + n.Name, Err: fmt.Errorf("%s", n.View.Why())})
		}
	}
	return parts
}

// unlookedOthers are the installations that could not be looked at on nodes that another one's
// pod saw, and why.
func unlookedOthers(s *snapshot.Snapshot) []failure.Part {
	var parts []failure.Part
	for _, as := range s.Installations() {
		name := fmt.Sprintf("provisioner %s/%s", as.Install.Namespace, as.Install.Name)
		if len(s.Others) > 0 && as.Unread[snapshot.PartInstall] != "" {
			parts = append(parts, failure.Part{Subject: name, Err: fmt.Errorf("%s", as.Unread[snapshot.PartInstall])})
			continue
		}
		for _, n := range as.Nodes {
			if n.Wanted && n.View.Value == nil && sees(s, n) {
				parts = append(parts, failure.Part{Subject: fmt.Sprintf("%s on node %s", name, n.Name), Err: fmt.Errorf("%s", n.View.Why())})
			}
		}
	}
	return parts
}
