// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// layoutFlags are the flags of layout.
type layoutFlags struct {
	commonFlags
	Filename string
	Write    bool
	Accept   []string
}

func newLayout(s *shared) *cobra.Command {
	flags := &layoutFlags{commonFlags: newCommonFlags()}
	flags.output = nil
	cmd := &cobra.Command{
		Use:   "layout",
		Short: "Print a file that says which disks become which class",
		Long: templates.LongDesc(`
			Print a file that says which disks of which nodes become which class of the provisioner. Nothing is changed on
			any node.

			The file has two documents. The DiskLayout is yours: the nodes, the classes, and how many disks of which kind each
			class has. The DiskBindings are written by this command: which disk each volume is on, by identifiers that
			stay with the disk.

			Without -f the file is proposed. What the classes have already is in it, links and volumes of Talos,
			bound to their disks. Free disks are sorted into classes by what a selector can tell apart: bus, rotation and size.
			They become comments where there are classes already. Disks that cannot be given away are comments with the reason.

			With -f the file is read, and what has no binding yet gets one: what is there of a class first, then free
			disks that fit, in the order of their slots. A class that cannot have all its disks on a node gets none there,
			and the disks that fit are listed. No binding is changed or removed. The file is printed; your
			document keeps its bytes. With --write the file is replaced instead, and the new volumes are listed.

			Nothing binds a disk later. What is not in the file is not touched.

			What a class matches by CEL is evaluated by what the node's Talos API tells. The file's schema is
			docs/layout.schema.json.

			Needs, in Kubernetes: list daemonsets, nodes, persistentvolumes and storageclasses; in the provisioner's
			namespace get its configmap, list pods and create pods/exec. In Talos, if it is asked: os:reader.`),
		Example: templates.Examples(`
			# A file for what is there, and what could be
			kubectl talosdisk layout > layout.yaml

			# Bind the disks of a new node, and see what would be written
			kubectl talosdisk layout -f layout.yaml --nodes w-4

			# Bind what has no binding yet
			kubectl talosdisk layout -f layout.yaml --write`),
		Args: cobra.NoArgs,
		RunE: runE(flags.run, func([]string) (*layoutOptions, error) { return flags.ToOptions(s) }),
	}
	flags.AddFlags(cmd.Flags())
	must(cmd.RegisterFlagCompletionFunc("accept",
		cobra.FixedCompletions(words(disk.AcceptableReasons()), cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

// AddFlags adds the flags of layout.
func (f *layoutFlags) AddFlags(fs *pflag.FlagSet) {
	f.commonFlags.AddFlags(fs)
	fs.StringVarP(&f.Filename, "filename", "f", f.Filename, "Bind what has no binding yet in this file. - is standard input.")
	fs.BoolVar(&f.Write, "write", f.Write, "Replace the file of -f instead of printing it.")
	fs.StringArrayVar(&f.Accept, "accept", f.Accept,
		"Take a disk in spite of a reason: REASON, or REASON=NODE/DISK for one disk. Reasons: signature, partitions, data, removable, too-small, loop, remote, virtual. May be repeated.")
}

// layoutOptions are what layout needs to run.
type layoutOptions struct {
	commonOptions
	filename string
	write    bool
	accept   []link.Acceptance
}

// ToOptions checks everything that can be checked without a server or a file.
func (f *layoutFlags) ToOptions(s *shared) (*layoutOptions, error) {
	o := &layoutOptions{filename: f.Filename, write: f.Write}
	var err error
	if o.commonOptions, err = f.commonFlags.ToOptions(s); err != nil {
		return nil, err
	}
	if o.accept, err = parseAcceptances(f.Accept); err != nil {
		return nil, err
	}
	if f.Write && (f.Filename == "" || f.Filename == "-") {
		return nil, failure.New("--write replaces a file, and -f names none", "write the proposal to one: kubectl talosdisk layout > layout.yaml")
	}
	return o, nil
}

func (o *layoutOptions) run(ctx context.Context) error {
	if o.filename == "" {
		return o.propose(ctx)
	}
	file, raw, err := readLayout(o.In, o.filename)
	if err != nil {
		return err
	}
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.AskTalos(ctx, o.talos); err != nil {
		return err
	}
	bound, err := c.BindLayout(ctx, file, o.accept)
	if err != nil {
		return err
	}
	return errors.Join(o.finish(file, raw, bound), context.Cause(ctx))
}

// finish prints or writes the file with its new bindings, and says what is wrong with any. raw are the bytes of the file.
func (o *layoutOptions) finish(file layout.File, raw []byte, came cluster.BoundLayout) error {
	o.warnOf(came.Snapshot)
	o.warnOfBindings(came.Report)
	var bound []layout.Volume
	for _, v := range came.Report.Volumes {
		if v.State == layout.New {
			bound = append(bound, v)
		}
	}
	after := raw
	if len(bound) > 0 {
		var err error
		if after, err = file.WithBindings(came.Bindings); err != nil {
			return err
		}
	}
	if err := o.deliver(raw, after, bound); err != nil {
		return err
	}
	parts, message := o.unlooked(came.Snapshot), notLooked
	if refused := o.refused(came.Report); len(refused) > 0 {
		parts, message = append(refused, parts...), "not every class has its disks"
	}
	return failure.Several(message, parts)
}

// deliver prints the file, or replaces it and prints what was bound.
func (o *layoutOptions) deliver(before, after []byte, bound []layout.Volume) error {
	switch {
	case !o.write:
		_, err := output.Exact(o.Out).Write(after)
		return err
	case len(bound) == 0:
		fmt.Fprintln(o.ErrOut, "Nothing was bound: the file is as it was.")
		return nil
	}
	if err := replaceLayout(o.filename, before, after); err != nil {
		return err
	}
	return printTable(o.Out, boundTable(bound))
}

func (o *layoutOptions) propose(ctx context.Context) error {
	const name = "disks"
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.AskTalos(ctx, o.talos); err != nil {
		return err
	}
	s, raw, err := c.ProposeLayout(ctx, name, o.accept)
	if s == nil {
		return err
	}
	return cmp.Or(o.proposed(s, raw, err), context.Cause(ctx))
}

// proposed prints a proposal. That a node was not looked at may be why there is none.
func (o *layoutOptions) proposed(s *snapshot.Snapshot, raw []byte, err error) error {
	o.warnOf(s)
	if err == nil {
		_, err = output.Exact(o.Out).Write(raw)
	}
	return cmp.Or(failure.Several(notLooked, o.unlooked(s)), err)
}

// warnOf says on stderr what could not be seen.
func (o *layoutOptions) warnOf(s *snapshot.Snapshot) {
	for _, u := range knownFromTalosAlone(s) {
		o.note(fmt.Sprintf("known from Talos alone: %s: %s", u.Where(), u.Why))
	}
	o.noteNoTalos(s, "volumes of Talos are not known, and no expression is evaluated")
	if !o.talos.Asked() {
		o.warnTalos(s)
	}
}

const notLooked = "not everything could be looked at"

// unlooked are the nodes that could not be looked at, wholly or in part.
func (o *layoutOptions) unlooked(s *snapshot.Snapshot) []failure.Part {
	parts := append(unlooked(s), unlookedOthers(s)...)
	if o.talos.Asked() {
		parts = append(parts, talosUnread(s)...)
	}
	return parts
}
