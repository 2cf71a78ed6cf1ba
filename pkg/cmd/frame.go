// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// commonFlags are the flags of every command that works on a cluster. nodes, talos and output are nil where a command has no such flags.
type commonFlags struct {
	nodes       *nodeFlags
	run         *runFlags
	provisioner provisionerFlags
	talos       *talosFlags
	output      *output.Flags
	// ownFormat is an output format for which the command needs no printer.
	ownFormat string
}

// newCommonFlags are all of them.
func newCommonFlags() commonFlags {
	return commonFlags{nodes: &nodeFlags{}, run: newRunFlags(), talos: &talosFlags{}, output: output.NewFlags()}
}

// AddFlags adds the flags that choose nodes, bound the run, name the provisioner, reach Talos and choose the output.
func (f *commonFlags) AddFlags(fs *pflag.FlagSet) {
	if f.nodes != nil {
		f.nodes.AddFlags(fs)
	}
	f.run.AddFlags(fs)
	f.provisioner.AddFlags(fs)
	if f.talos != nil {
		f.talos.AddFlags(fs)
	}
	if f.output != nil {
		f.output.AddFlags(fs)
	}
}

// ToOptions checks the flags; no server is asked yet. There is no printer for the command's own format.
func (f *commonFlags) ToOptions(s *shared) (commonOptions, error) {
	o := commonOptions{shared: s}
	var err error
	if f.nodes != nil {
		if o.nodes, err = f.nodes.ToOptions(); err != nil {
			return o, err
		}
	}
	if o.bounds, err = f.run.ToOptions(); err != nil {
		return o, err
	}
	o.provisioner = f.provisioner.ToOptions()
	if f.talos != nil {
		o.talos = f.talos.ToOptions()
	}
	if f.output != nil && (f.ownFormat == "" || f.output.Format != f.ownFormat) {
		o.printer, err = f.output.ToPrinter()
	}
	return o, err
}

// commonOptions are the checked commonFlags.
type commonOptions struct {
	*shared
	nodes       nodeOptions
	bounds      runOptions
	provisioner provisionerOptions
	talos       talos.Options
	printer     *output.Printer
}

// connect prepares to work on the cluster. Nothing is asked yet.
func (o *commonOptions) connect() (*cluster.Cluster, error) {
	// -n is kubectl's: where to look for what the command works with. The context's own namespace is not where provisioners are.
	return o.connectTo(cmp.Or(o.provisioner.Namespace, *o.Kube.Namespace))
}

// connectTo is connect for a command whose -n is not the provisioner's namespace.
func (o *commonOptions) connectTo(provisioner string) (*cluster.Cluster, error) {
	config, err := o.RESTConfig()
	if err != nil {
		return nil, err
	}
	return cluster.New(config, cluster.Options{
		Nodes: o.nodes.Patterns, Selector: o.nodes.Selector, Namespace: provisioner, DaemonSet: o.provisioner.DaemonSet,
		Concurrency: o.bounds.Concurrency, NodeTimeout: o.bounds.NodeTimeout,
	}, newReporter(o.shared))
}

// task is what a command does once its flags and arguments are checked.
type task interface {
	run(ctx context.Context) error
}

// runE is the RunE of a command that works on a cluster: what is wrong with its flags and arguments is a usage error, and what it does
// is bounded by --timeout.
func runE[T task](flags *runFlags, options func(args []string) (T, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		o, err := options(args)
		if err != nil {
			return usage(cmd, err)
		}
		return runOptions(*flags).within(cmd.Context(), o.run)
	}
}

// confirmed asks, and fails unless the answer is yes.
func (s *shared) confirmed(ctx context.Context, question string) error {
	ok, err := output.Prompt(ctx, s.IOStreams, question)
	if err != nil {
		return err
	}
	if !ok {
		return failure.New("nothing was done: the answer was no", "")
	}
	return nil
}
