// SPDX-License-Identifier: Apache-2.0

// Package cluster is the cluster that a run works on: it connects to Kubernetes, to the pods on its nodes and to Talos, observes them,
// and lets the deciding rooms decide and the acting ones act. All that a command does can be done with it, without a command line.
// It prints nothing: a Reporter hears how a run goes.
package cluster

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// Options choose the part of a cluster that a run is about, and bound the run.
type Options struct {
	// Nodes are names and globs; empty: every node. Selector chooses among them.
	Nodes    []string
	Selector labels.Selector
	// Namespace and DaemonSet name the provisioner; an empty one is to be found.
	Namespace, DaemonSet string
	// Concurrency is how many nodes are worked on at once, at least 1; NodeTimeout is how long to wait for each, 0: no limit.
	Concurrency int
	NodeTimeout time.Duration
}

// Reporter hears how a run goes. It may be called from several goroutines.
type Reporter interface {
	// Count begins to count to total; the format takes two numbers, as in "looked at %d/%d nodes". The result is called after each one.
	Count(format string, total int) (step func())
	// Show says what is being done, in the place of what was shown before, and Clear that it is over.
	Show(format string, args ...any)
	Clear()
	// Note is something that the person should know; Warn is something that went wrong beside the work, with its cause if there is one.
	Note(text string)
	Warn(text string, cause error)
}

// Cluster is a cluster that is connected to. Close it.
type Cluster struct {
	// Client asks the API server.
	Client kube.Client

	options  Options
	reporter Reporter
	pods     *kube.Pods
	talos    *talos.Client
	// noTalos is why the Talos API is not asked where it would be, noTalosconfig: for want of a talosconfig.
	noTalos       problem.Problem
	noTalosconfig bool
}

// New prepares to work on the cluster of a configuration. Nothing is asked yet.
func New(config *rest.Config, o Options, r Reporter) (*Cluster, error) {
	client, err := kube.NewClient(config)
	if err != nil {
		return nil, err
	}
	executor, err := exec.New(config)
	if err != nil {
		return nil, err
	}
	return &Cluster{
		Client: client, options: o, reporter: r,
		pods: &kube.Pods{Executor: executor, Limit: o.Concurrency, Timeout: o.NodeTimeout},
	}, nil
}

// Close ends what is still open on the nodes.
func (c *Cluster) Close() {
	c.pods.Close()
	if c.talos != nil {
		_ = c.talos.Close() // Nothing is being sent any more.
	}
}

// Observer looks at the cluster, and at its nodes' Talos API if that is asked.
func (c *Cluster) Observer() *observe.Observer {
	observer := &observe.Observer{
		Client: c.Client, Pods: c.pods, NoTalos: c.noTalos, Limit: c.options.Concurrency, Timeout: c.options.NodeTimeout,
		Progress: func(nodes int) func() { return c.reporter.Count("looked at %d/%d nodes", nodes) },
	}
	if c.talos != nil {
		observer.Talos = c.talos
		observer.Kubelet = func(m snapshot.Machine) observe.TalosNode { return c.talos.Node(m) }
	}
	return observer
}

// volumes are the PersistentVolumes of the cluster that was observed.
func (c *Cluster) volumes(s *snapshot.Snapshot) kube.Volumes {
	return kube.Volumes{Client: c.Client, NodeByHostname: s.NodeByHostname}
}

// Decided is what decide returns, or why ctx ended before. Decisions know no context, and what a node answers can make them long:
// one that nobody waits for any more is left to itself, and ends with the program.
func Decided[T any](ctx context.Context, decide func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	if ctx.Err() != nil { // What was seen until then is reported.
		return decide()
	}
	done := make(chan result, 1)
	go func() {
		value, err := decide()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
