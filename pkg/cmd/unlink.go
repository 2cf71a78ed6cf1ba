// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
)

// unlinkFlags are the flags of unlink.
type unlinkFlags struct {
	commonFlags
	confirmFlags
	dryRunFlags
	Class string
	Wait  bool
}

func newUnlink(s *shared) *cobra.Command {
	flags := &unlinkFlags{commonFlags: newCommonFlags(), Wait: true}
	flags.talos = nil // A link is judged by what the pods see.
	cmd := &cobra.Command{
		Use:   "unlink DISK...",
		Short: "Remove links, with their PersistentVolumes",
		Long: templates.LongDesc(`
			Take away links to disks from the directories of Block classes, on every node, and delete their
			PersistentVolumes. Nothing on the disks is touched. The plan is shown, and asked about.

			A link is kept, with the reason, while a claim is bound to its volume, while the volume is being
			cleaned, and while it still holds a former claim's data.

			DISK is a link's name, or a glob of names.

			Needs, in Kubernetes: what disks needs, get namespaces in the provisioner's (unless it is named), and get and
			delete on persistentvolumes. Before anything is done it is made sure that all of it is allowed.`),
		Example: templates.Examples(`
			# Remove a link on every node that has it
			kubectl talosdisk unlink vdf

			# The same in a script, which nobody answers for
			kubectl talosdisk unlink vdf --yes

			# See first what would happen, on one node
			kubectl talosdisk unlink 'vd*' --nodes w-1 --dry-run=server`),
		ValidArgsFunction: s.completeDisks,
		RunE:              runE(flags.run, func(args []string) (*unlinkOptions, error) { return flags.ToOptions(s, args) }),
	}
	flags.commonFlags.AddFlags(cmd.Flags())
	flags.confirmFlags.AddFlags(cmd.Flags())
	flags.dryRunFlags.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&flags.Class, "class", flags.Class, "Only links of this class.")
	cmd.Flags().BoolVar(&flags.Wait, "wait", flags.Wait,
		"Wait for one look of the provisioner (11 seconds), and see that the volumes do not come back.")
	completeClass(s, cmd)
	return cmd
}

// unlinkOptions are what unlink needs to run.
type unlinkOptions struct {
	commonOptions
	request link.UnlinkRequest
	dryRun  dryRun
	wait    bool
	yes     bool
}

// ToOptions checks everything that can be checked without a server.
func (f *unlinkFlags) ToOptions(s *shared, args []string) (*unlinkOptions, error) {
	o := &unlinkOptions{wait: f.Wait, yes: f.Yes, request: link.UnlinkRequest{Names: args, Class: f.Class}}
	var err error
	if o.commonOptions, err = f.commonFlags.ToOptions(s); err != nil {
		return nil, err
	}
	if o.dryRun, err = f.dryRunFlags.ToOptions(); err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, failure.New("no link is named", "kubectl talosdisk disks")
	}
	for i, name := range args {
		arg, err := disk.ParseArg(name)
		if err != nil {
			return nil, err
		}
		o.request.Names[i] = path.Base(arg.String())
	}
	return o, nil
}

func (o *unlinkOptions) run(ctx context.Context) error {
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	s, plan, err := c.PlanUnlink(ctx, o.request, o.dryRun.depth())
	if err != nil {
		return err
	}
	var unsettled error
	if o.dryRun == dryRunNone {
		if err := o.confirm(ctx, plan); err != nil {
			return err
		}
		unsettled = c.PerformUnlink(ctx, s, &plan, o.wait)
	}
	printWarnings(o.shared, plan)
	if err := o.printer.Print(o.Out, plan, func() *metav1.Table { return unlinkTable(plan, o.dryRun) }); err != nil {
		return err
	}
	if unsettled != nil {
		o.note("whether the volumes stay away was not waited for")
	}
	return interrupted(linkErrors(plan, s, o.dryRun), context.Cause(ctx))
}

// confirm shows what is to be removed, and asks.
func (o *unlinkOptions) confirm(ctx context.Context, plan link.Plan) error {
	if o.yes || !slices.ContainsFunc(plan.Links, func(l link.Link) bool { return l.Action == change.Remove }) {
		return nil
	}
	for _, l := range plan.Links {
		if l.Action != change.Remove {
			continue
		}
		volume := "it has no PersistentVolume"
		if l.VolumeState != "" {
			volume = fmt.Sprintf("with PersistentVolume %s (%s)", l.Volume, l.VolumeState)
		}
		fmt.Fprintln(o.ErrOut, output.Escape(fmt.Sprintf("%s/%s will be taken out of class %s: %s -> %s; %s", l.Node, l.Entry, l.Class, l.Path,
			l.Target, volume)))
	}
	return o.confirmed(ctx, "The disks keep their data. Continue?")
}

// unlinkTable is one row a link.
func unlinkTable(p link.Plan, run dryRun) *metav1.Table {
	t := newTable("Node", "Link", "Class", "Target", "Result", "PV", "Status")
	addWide(t, "Path")
	for _, l := range p.Links {
		addRow(t, l.Node, cmp.Or(l.Entry, l.Disk), l.Class, cmp.Or(l.Target, "-"), resultOf(l, run),
			cmp.Or(l.Volume, "-"), cmp.Or(l.VolumeState, "-"), cmp.Or(l.HostPath, "-"))
	}
	return t
}
