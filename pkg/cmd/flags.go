// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
)

// nodeFlags choose nodes.
type nodeFlags struct {
	Nodes    []string
	Selector string
}

// AddFlags adds --nodes and -l. Commands in which -l chooses something else call AddNodesFlag.
func (f *nodeFlags) AddFlags(fs *pflag.FlagSet) {
	f.AddNodesFlag(fs)
	fs.StringVarP(&f.Selector, "selector", "l", f.Selector,
		"Only nodes with these labels, such as disk=ssd or node-role.kubernetes.io/control-plane!=.")
}

// AddNodesFlag adds --nodes.
func (f *nodeFlags) AddNodesFlag(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.Nodes, "nodes", f.Nodes, "Only these nodes: names or globs, comma-separated, such as w-1 or 'w-*'.")
}

// ToOptions checks the globs and the selector.
func (f *nodeFlags) ToOptions() (nodeOptions, error) {
	o := nodeOptions{Patterns: f.Nodes, Selector: labels.Everything()}
	for _, p := range f.Nodes {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			return o, failure.New(fmt.Sprintf("--nodes: %q is not a name or a glob", p), "")
		}
	}
	if f.Selector != "" {
		s, err := labels.Parse(f.Selector)
		if err != nil {
			return o, failure.Wrap(err, fmt.Sprintf("--selector: %q is not a label selector", f.Selector), "")
		}
		o.Selector = s
	}
	return o, nil
}

// nodeOptions are the nodes of a run.
type nodeOptions struct {
	// Patterns are names and globs; empty is every node.
	Patterns []string
	// Selector is never nil. It is meant for the API server.
	Selector labels.Selector
}

// runFlags bound a run over many nodes.
type runFlags struct {
	Concurrency          int
	NodeTimeout, Timeout time.Duration
}

func newRunFlags() *runFlags {
	return &runFlags{Concurrency: 16, NodeTimeout: 30 * time.Second}
}

// AddFlags adds --concurrency, --node-timeout and --timeout.
func (f *runFlags) AddFlags(fs *pflag.FlagSet) {
	fs.IntVar(&f.Concurrency, "concurrency", f.Concurrency, "How many nodes to work on at once.")
	fs.DurationVar(&f.NodeTimeout, "node-timeout", f.NodeTimeout, "How long to wait for one node. Zero means no limit.")
	fs.DurationVar(&f.Timeout, "timeout", f.Timeout, "How long the whole run may take. Zero means no limit.")
}

// ToOptions checks the values.
func (f *runFlags) ToOptions() (runOptions, error) {
	switch {
	case f.Concurrency < 1:
		return runOptions{}, failure.New("--concurrency must be at least 1", "")
	case f.NodeTimeout < 0:
		return runOptions{}, failure.New("--node-timeout must not be negative", "")
	case f.Timeout < 0:
		return runOptions{}, failure.New("--timeout must not be negative", "")
	}
	return runOptions(*f), nil
}

// runOptions are for exec.Each and Context.
type runOptions struct {
	Concurrency          int
	NodeTimeout, Timeout time.Duration
}

// within runs a command's work, bounded by the timeout of the whole run. Whatever that
// interrupts fails in words of its own, unless it knows more: then the timeout is the cause.
func (o runOptions) within(ctx context.Context, run func(context.Context) error) error {
	if o.Timeout == 0 {
		return run(ctx)
	}
	over := failure.Wrap(context.DeadlineExceeded, fmt.Sprintf("the run was not over after %s", o.Timeout),
		"give it longer with --timeout, or fewer nodes with --nodes")
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, over)
	defer cancel()
	err := run(ctx)
	if _, knows := errors.AsType[*failure.Error](err); !knows && ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return over
	}
	return err
}

// confirmFlags let a run go on without a question.
type confirmFlags struct {
	Yes bool
}

// AddFlags adds --yes.
func (f *confirmFlags) AddFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&f.Yes, "yes", f.Yes, "Do what the plan says without asking.")
}

// provisionerFlags say where the provisioner is when it is not found by itself.
type provisionerFlags struct {
	Namespace, DaemonSet string
}

// AddFlags adds --provisioner-namespace and --provisioner.
func (f *provisionerFlags) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&f.Namespace, "provisioner-namespace", f.Namespace,
		"Namespace of the local volume static provisioner, as is -n. Found by itself if not set.")
	fs.StringVar(&f.DaemonSet, "provisioner", f.DaemonSet,
		"Name of the provisioner's DaemonSet. Found by its image or its ConfigMap if not set.")
}

// ToOptions returns the overrides; empty fields are to be found.
func (f *provisionerFlags) ToOptions() provisionerOptions { return provisionerOptions(*f) }

// provisionerOptions are the overrides; an empty field is to be found.
type provisionerOptions struct {
	Namespace, DaemonSet string
}

// dryRun is how far a command goes.
type dryRun string

const (
	dryRunNone dryRun = "none"
	// dryRunClient reads the API server and touches no node.
	dryRunClient dryRun = "client"
	// dryRunServer also looks at the nodes, and changes nothing.
	dryRunServer dryRun = "server"
)

// depth is how far a plan looks.
func (d dryRun) depth() cluster.Depth {
	switch d {
	case dryRunClient:
		return cluster.NoNode
	case dryRunServer:
		return cluster.LookOnly
	}
	return cluster.ToAct
}

// dryRunFlags let a command stop before it changes anything.
type dryRunFlags struct {
	DryRun string
}

// AddFlags adds --dry-run.
func (f *dryRunFlags) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&f.DryRun, "dry-run", string(dryRunNone),
		`Must be "none", "server", or "client". With client no node is looked at; with server the nodes are looked at, and nothing is changed.`)
}

// ToOptions checks the value.
func (f *dryRunFlags) ToOptions() (dryRun, error) {
	switch d := dryRun(f.DryRun); d {
	case dryRunNone, dryRunClient, dryRunServer:
		return d, nil
	}
	return "", failure.New(fmt.Sprintf("--dry-run: %q is not none, client or server", f.DryRun), "")
}

// waitFlags let a command wait for what follows from what it did.
type waitFlags struct {
	Wait        bool
	WaitTimeout time.Duration
}

func newWaitFlags() waitFlags { return waitFlags{Wait: true, WaitTimeout: time.Minute} }

// AddFlags adds --wait and --wait-timeout.
func (f *waitFlags) AddFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&f.Wait, "wait", f.Wait, "Wait until the PersistentVolumes are as they should be. The provisioner looks every 10 seconds.")
	fs.DurationVar(&f.WaitTimeout, "wait-timeout", f.WaitTimeout, "How long to wait for the PersistentVolumes.")
}

// ToOptions returns how long to wait; 0 is not at all.
func (f *waitFlags) ToOptions() (time.Duration, error) {
	switch {
	case f.WaitTimeout <= 0:
		return 0, failure.New("--wait-timeout must be positive", "to not wait at all: --wait=false")
	case !f.Wait:
		return 0, nil
	}
	return f.WaitTimeout, nil
}
