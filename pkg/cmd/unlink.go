// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// unlinkFlags are the flags of unlink.
type unlinkFlags struct {
	clusterFlags
	confirmFlags
	dryRunFlags
	output *output.Flags
	Class  string
	Wait   bool
}

func newUnlink(s *shared) *cobra.Command {
	flags := &unlinkFlags{clusterFlags: newClusterFlags(), output: output.NewFlags(), Wait: true}
	cmd := &cobra.Command{
		Use:   "unlink DISK...",
		Short: "Take links away again, with their PersistentVolumes",
		Long: templates.LongDesc(`
			Take away links to disks from the directories of Block classes, on every node, and delete their
			PersistentVolumes. Nothing on the disks is touched. The plan is shown, and asked about.

			A link is kept, with the reason, while a claim is bound to its volume, while the volume is being
			cleaned, and while it still holds a former claim's data.

			DISK is a link's name, or a glob of names.

			Needs, in Kubernetes: what disks needs, get namespaces in the provisioner's (unless it is named), and get and
			delete on persistentvolumes. Before anything is done it is made sure that all of it is allowed.`),
		Example: templates.Examples(`
			# Take a link away on every node that has it
			kubectl talosdisk unlink vdf

			# The same in a script, which nobody answers for
			kubectl talosdisk unlink vdf --yes

			# See first what would happen, on one node
			kubectl talosdisk unlink 'vd*' --nodes w-1 --dry-run=server`),
		ValidArgsFunction: s.completeDisks,
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.ToOptions(s, args)
			if err != nil {
				return usage(cmd, err)
			}
			return options.cluster.run.within(cmd.Context(), options.run)
		},
	}
	flags.clusterFlags.AddFlags(cmd.Flags())
	flags.confirmFlags.AddFlags(cmd.Flags())
	flags.dryRunFlags.AddFlags(cmd.Flags())
	flags.output.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&flags.Class, "class", flags.Class, "Only links of this class.")
	cmd.Flags().BoolVar(&flags.Wait, "wait", flags.Wait, "Wait for one look of the provisioner (11 seconds), and see that the volumes do not come back.")
	completeClass(s, cmd)
	return cmd
}

// unlinkOptions are what unlink needs to run.
type unlinkOptions struct {
	*shared
	cluster clusterOptions
	printer *output.Printer
	request link.UnlinkRequest
	dryRun  dryRun
	wait    bool
	yes     bool
}

// ToOptions checks everything that can be checked without a server.
func (f *unlinkFlags) ToOptions(s *shared, args []string) (*unlinkOptions, error) {
	o := &unlinkOptions{shared: s, wait: f.Wait, yes: f.Yes, request: link.UnlinkRequest{Names: args, Class: f.Class}}
	var err error
	if o.cluster, err = f.clusterFlags.ToOptions(); err != nil {
		return nil, err
	}
	if o.printer, err = f.output.ToPrinter(); err != nil {
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
	c, err := o.connect(o.cluster)
	if err != nil {
		return err
	}
	defer c.close()
	s, err := o.observe(ctx, c)
	if err != nil {
		return err
	}
	plan, err := decided(ctx, func() (link.Plan, error) { return link.DecideUnlink(s, o.request) })
	if err != nil {
		return err
	}
	var unsettled error
	if o.dryRun == dryRunNone {
		if err := o.confirm(ctx, plan); err != nil {
			return err
		}
		link.Unlink(ctx, &plan, s.Install.Classes, c.pods, c.volumes(s))
		c.pods.Close()
		if o.wait && ctx.Err() == nil {
			c.progress.Show("waiting for one look of the provisioner (%s)", link.DiscoveryPeriod)
			unsettled = link.Settle(ctx, &plan, s.Install.Classes, c.pods, c.volumes(s), sleep)
			c.progress.Clear()
		}
	}
	if forget := link.ToForget(plan); o.dryRun == dryRunNone && len(forget) > 0 {
		o.forget(ctx, c, s.Install.Namespace, forget)
	}
	printWarnings(o.shared, plan)
	if err := o.printer.Print(o.Out, plan, func() *metav1.Table { return unlinkTable(plan, o.dryRun) }); err != nil {
		return err
	}
	if unsettled != nil {
		fmt.Fprintln(o.ErrOut, "note: whether the volumes stay away was not waited for")
	}
	return interrupted(linkErrors(plan, s, o.dryRun), context.Cause(ctx))
}

// observe looks at the cluster, after it made sure that everything may be done.
func (o *unlinkOptions) observe(ctx context.Context, c *cluster) (*snapshot.Snapshot, error) {
	request := observe.Request{Users: true, Blind: o.dryRun == dryRunClient, StepsFollow: o.dryRun == dryRunNone}
	if o.dryRun == dryRunClient {
		return c.observe(ctx, request)
	}
	return c.observeToAct(ctx, "unlink", append(c.looking(), throughPods(), anywhere("get", "persistentvolumes"), anywhere("delete", "persistentvolumes")), request)
}

// forget takes away what was recorded of the volumes' disks.
func (o *unlinkOptions) forget(ctx context.Context, c *cluster, namespace string, volumes []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := kube.Forget(ctx, c.client, namespace, volumes); err != nil {
		o.warn("which disks the volumes were made for is still recorded in ConfigMap %q: %s", namespace+"/"+kube.RecordsName, o.withHint(err))
	}
}

// confirm shows what is to be taken away, and asks.
func (o *unlinkOptions) confirm(ctx context.Context, plan link.Plan) error {
	if o.yes || !slices.ContainsFunc(plan.Links, func(l link.Link) bool { return l.Action == link.Remove }) {
		return nil
	}
	for _, l := range plan.Links {
		if l.Action != link.Remove {
			continue
		}
		volume := "it has no PersistentVolume"
		if l.VolumeState != "" {
			volume = fmt.Sprintf("with PersistentVolume %s (%s)", l.Volume, l.VolumeState)
		}
		fmt.Fprintln(o.ErrOut, output.Escape(fmt.Sprintf("%s/%s will be taken out of class %s: %s -> %s; %s", l.Node, l.Entry, l.Class, l.Path, l.Target, volume)))
	}
	return o.confirmed(ctx, "The disks keep their data. Continue?")
}

// sleep waits, or returns why it could not.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
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
