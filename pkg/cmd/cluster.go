// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/collect"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
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
func (c *cluster) observe(ctx context.Context, r collect.Request) (*snapshot.Snapshot, error) {
	r.Nodes, r.Selector = c.options.nodes.Patterns, c.options.nodes.Selector
	// -n is kubectl's: where to look for what the command works with. The context's own namespace is not where provisioners are.
	r.Namespace, r.DaemonSet = cmp.Or(c.options.provisioner.Namespace, *c.shared.Kube.Namespace), c.options.provisioner.DaemonSet
	s, err := c.collector().Observe(ctx, r)
	c.progress.Clear()
	if err != nil {
		return nil, err
	}
	return s, c.leaveOut(s)
}

// collector looks at the cluster, and at its nodes' Talos API if that is asked.
func (c *cluster) collector() *collect.Collector {
	collector := &collect.Collector{
		Client: c.client, Pods: c.pods, NoTalos: c.noTalos,
		Progress: func(nodes int) func() { return c.progress.Count("looked at %d/%d nodes", nodes) },
	}
	if c.talos != nil {
		collector.Talos = c.talos
	}
	return collector
}

func (c *cluster) leaveOut(s *snapshot.Snapshot) error {
	named := len(c.options.nodes.Patterns) > 0
	kept := s.Nodes[:0]
	var without []string
	for _, n := range s.Nodes {
		if n.Wanted || named || byTalosAlone(n) {
			kept = append(kept, n)
			continue
		}
		without = append(without, fmt.Sprintf("%s: %s", n.Name, n.Pod.Why()))
	}
	if len(kept) == 0 {
		return failure.New("no provisioner pod on any of the chosen nodes: "+strings.Join(without, "; "),
			fmt.Sprintf("kubectl -n %s describe daemonset %s", s.Install.Namespace, s.Install.Name))
	}
	for _, w := range without {
		fmt.Fprintf(c.shared.ErrOut, "note: left out node %s\n", w)
	}
	s.Nodes = kept
	return nil
}

// byTalosAlone tells a node that the provisioner is not meant to run on, and whose
// disks its Talos API told all the same.
func byTalosAlone(n snapshot.Node) bool {
	return !n.Wanted && n.View.Value == nil && n.Talos.Value != nil && n.Talos.Value.Disks.Value != nil
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
		if n.View.Value == nil && !byTalosAlone(n) {
			parts = append(parts, failure.Part{Subject: "node " + n.Name, Err: fmt.Errorf("%s", n.View.Why())})
		}
	}
	return parts
}
