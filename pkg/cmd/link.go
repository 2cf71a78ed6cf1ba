// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/kubectl/pkg/util/templates"
	"sigs.k8s.io/yaml"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// linkFlags are the flags of link.
type linkFlags struct {
	clusterFlags
	talosFlags
	confirmFlags
	dryRunFlags
	waitFlags
	output   *output.Flags
	Class    string
	Name     string
	Target   string
	Accept   []string
	Filename string
}

func newLink(s *shared) *cobra.Command {
	flags := &linkFlags{
		clusterFlags: newClusterFlags(), waitFlags: newWaitFlags(), output: output.NewFlags(), Target: string(disk.TargetAuto),
	}
	cmd := &cobra.Command{
		Use:   "link DISK...",
		Short: "Link disks into a Block class, on every node",
		Long: templates.LongDesc(`
			Make symlinks to whole disks in the directory of a Block class, through the provisioner's pods, on every
			node. Then wait for the PersistentVolumes and print them.

			A disk that anything uses is refused, with the reason; with a talosconfig, one too that Talos lives on
			or has a volume on. Nothing is formatted or wiped. A link holds a
			name that survives a reboot: by-id, else by-path. A link that is there already is left as it is.

			DISK is a name in /dev (vdf), a glob of names ('vd[fg]'), or a path below /dev/disk or /dev/mapper. On each node the
			same names are linked; a node that lacks one is reported. Where other nodes may have the same disk, a LUN, they
			are looked at too, although they are not chosen.

			The plan is shown, and asked about.

			Needs, in Kubernetes: list daemonsets, nodes, persistentvolumes, storageclasses and the provisioner's
			pods; get its configmap and, unless it is named, its namespace; create pods/exec there; watch and patch
			persistentvolumes. Before anything is done it is made sure that all of it is allowed. In Talos, if it is asked:
			os:reader.`),
		Example: templates.Examples(`
			# Link two disks on every node
			kubectl talosdisk link vdf vdg

			# On two nodes only, into a class chosen by name
			kubectl talosdisk link vdf --nodes w-1,w-2 --class block-storage

			# Look only, and keep the plan; later perform that plan, if nothing changed
			kubectl talosdisk link vdf vdg --dry-run=server -o yaml > plan.yaml
			kubectl talosdisk link -f plan.yaml

			# Link a disk of one node although it has a filesystem
			kubectl talosdisk link vdf --nodes w-2 --accept signature=w-2/vdf`),
		ValidArgsFunction: s.completeDisks,
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.ToOptions(s, args)
			if err != nil {
				return usage(cmd, err)
			}
			return options.cluster.run.within(cmd.Context(), options.run)
		},
	}
	flags.AddFlags(cmd.Flags())
	completeClass(s, cmd)
	for name, values := range map[string][]string{"target": words(disk.TargetModes()), "accept": words(disk.AcceptableReasons())} {
		must(cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
	return cmd
}

// AddFlags adds the flags of link.
func (f *linkFlags) AddFlags(fs *pflag.FlagSet) {
	f.clusterFlags.AddFlags(fs)
	f.talosFlags.AddFlags(fs)
	f.confirmFlags.AddFlags(fs)
	f.dryRunFlags.AddFlags(fs)
	f.waitFlags.AddFlags(fs)
	f.output.AddFlags(fs)
	fs.StringVar(&f.Class, "class", f.Class, "Class to link into. Needed if the provisioner has several with volumeMode Block.")
	fs.StringVar(&f.Name, "name", f.Name, "Name of the link, if it is not to be the disk's. For one disk only.")
	fs.StringVar(&f.Target, "target", f.Target, "What the link holds: auto (by-id, else by-path, else the name), by-id, by-path or name.")
	fs.StringArrayVar(&f.Accept, "accept", f.Accept, "Link in spite of a reason: REASON, or REASON=NODE/DISK for one disk. Reasons: signature, partitions, data, removable, too-small, loop, remote, virtual. May be repeated.")
	fs.StringVarP(&f.Filename, "filename", "f", f.Filename, "Perform the plan in this file, made by --dry-run=server -o yaml. - is standard input.")
}

// linkOptions are what link needs to run.
type linkOptions struct {
	*shared
	cluster clusterOptions
	talos   talosOptions
	printer *output.Printer
	request link.Request
	plan    *link.Plan // from a file
	dryRun  dryRun
	wait    time.Duration // 0: do not wait
	yes     bool
}

// ToOptions checks everything that can be checked without a server.
func (f *linkFlags) ToOptions(s *shared, args []string) (*linkOptions, error) {
	o := &linkOptions{shared: s, talos: f.talosFlags.ToOptions(), yes: f.Yes}
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
	if o.wait, err = f.waitFlags.ToOptions(); err != nil {
		return nil, err
	}
	switch {
	case f.Filename != "" && (len(args) > 0 || f.Class != "" || f.Name != "" || len(f.Accept) > 0 || f.Target != string(disk.TargetAuto)):
		return nil, failure.New("-f performs a plan as it is: disks, --class, --name, --target and --accept are in it", "")
	case f.Filename != "":
		o.plan, err = readPlan(s.In, f.Filename)
		return o, err
	case len(args) == 0:
		return nil, failure.New("no disk is named", "kubectl talosdisk disks")
	}
	o.request = link.Request{Class: f.Class, As: f.Name, Target: disk.TargetMode(f.Target)}
	if err := o.request.Target.Check(); err != nil {
		return nil, failure.New("--target: "+err.Error(), "")
	}
	for _, arg := range args {
		parsed, err := disk.ParseArg(arg)
		if err != nil {
			return nil, err
		}
		o.request.Disks = append(o.request.Disks, parsed)
	}
	for _, a := range f.Accept {
		parsed, err := link.ParseAcceptance(a)
		if err != nil {
			return nil, failure.Wrap(err, "--accept", "")
		}
		o.request.Accept = append(o.request.Accept, parsed)
	}
	return o, nil
}

// readPlan reads a plan, strictly: a field that is not known might mean something.
func readPlan(stdin io.Reader, name string) (*link.Plan, error) {
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, err
	}
	var p link.Plan
	if err := yaml.UnmarshalStrict(text, &p); err != nil {
		return nil, failure.Wrap(err, fmt.Sprintf("%q is not a plan", name), "make one with: kubectl talosdisk link DISK... --dry-run=server -o yaml")
	}
	return &p, p.Check()
}

func (o *linkOptions) run(ctx context.Context) error {
	c, err := o.connect(o.cluster)
	if err != nil {
		return err
	}
	defer c.close()
	if o.dryRun != dryRunClient {
		if err := c.askTalos(ctx, o.talos); err != nil {
			return err
		}
	}
	s, plan, err := o.decide(ctx, c)
	if err != nil {
		return err
	}
	if !c.talosMissing {
		c.noteNoTalos(s, "a disk that Talos uses is refused only by what the pods see")
	}
	c.warnTalos(s)
	if o.dryRun != dryRunNone {
		if err := o.print(plan); err != nil {
			return err
		}
		return linkErrors(plan, s, o.dryRun)
	}
	if err := o.confirm(ctx, plan); err != nil {
		return err
	}
	link.Apply(ctx, &plan, s.Install.Classes, c.pods)
	o.record(ctx, c, s, &plan)
	// No script is left waiting on a node while the volumes are waited for.
	c.pods.Close()
	if o.wait > 0 && ctx.Err() == nil {
		wctx, stop := context.WithTimeout(ctx, o.wait)
		link.Await(wctx, &plan, c.volumes(s), func() { c.progress.Show("waiting for PersistentVolumes, up to %s", o.wait) })
		stop()
		c.progress.Clear()
	}
	if o.wait > 0 && ctx.Err() != nil {
		fmt.Fprintln(o.ErrOut, "note: the PersistentVolumes were not waited for to the end; run it again to see them, and to record in them which disks they are")
	}
	if err := o.print(plan); err != nil {
		return err
	}
	return interrupted(linkErrors(plan, s, dryRunNone), context.Cause(ctx))
}

// decide observes and plans.
func (o *linkOptions) decide(ctx context.Context, c *cluster) (*snapshot.Snapshot, link.Plan, error) {
	request := observe.Request{Closely: link.Closely(o.request.Disks), Blind: o.dryRun == dryRunClient, StepsFollow: o.dryRun == dryRunNone}
	if o.plan != nil {
		request.Closely = o.plan.Disks()
		if len(c.options.nodes.Patterns) == 0 {
			c.options.nodes.Patterns = o.plan.Nodes()
		}
	} else {
		request.Check = func(s *snapshot.Snapshot) error { return link.Check(s, o.request) }
	}
	s, err := o.observe(ctx, c, request)
	if err != nil {
		return nil, link.Plan{}, err
	}
	plan, err := o.planOf(ctx, s)
	if err != nil || o.dryRun == dryRunClient {
		return s, plan, err
	}
	plan, err = o.compare(ctx, c, s, plan, request.Closely)
	return s, plan, err
}

// planOf is the plan of a request, or that of the file once more.
func (o *linkOptions) planOf(ctx context.Context, s *snapshot.Snapshot) (link.Plan, error) {
	return decided(ctx, func() (link.Plan, error) {
		if o.plan != nil {
			return link.DecideAgain(s, *o.plan)
		}
		return link.Decide(s, o.request)
	})
}

// compare plans again with the disks in sight that may be those of the plan: of the nodes that were not chosen, and those
// of any node that were not asked for, and so not read.
func (o *linkOptions) compare(ctx context.Context, c *cluster, s *snapshot.Snapshot, plan link.Plan, closely []string) (link.Plan, error) {
	defer c.progress.Clear()
	if link.Shareable(s, plan) {
		if err := c.collector().LookBeside(ctx, s); err != nil {
			return link.Plan{}, err
		}
		c.progress.Clear()
		for _, u := range link.Unseen(s) {
			o.warn("whether %s has the same disks is not known: %s", some(u.Nodes), u.Why)
		}
		var err error
		if plan, err = o.planOf(ctx, s); err != nil {
			return link.Plan{}, err
		}
	}
	unread := link.UnreadElsewhere(s, plan)
	if len(unread) == 0 {
		return plan, nil
	}
	nodes := slices.Sorted(maps.Keys(unread))
	for _, n := range nodes {
		closely = append(closely, unread[n]...)
	}
	if err := c.collector().LookCloser(ctx, s, nodes, closely); err != nil {
		return link.Plan{}, err
	}
	return o.planOf(ctx, s)
}

// observe looks at the cluster, after it made sure that everything may be done.
func (o *linkOptions) observe(ctx context.Context, c *cluster, request observe.Request) (*snapshot.Snapshot, error) {
	if o.dryRun == dryRunClient {
		return c.observe(ctx, request)
	}
	needs := append(c.looking(), throughPods())
	if o.wait > 0 {
		needs = append(needs, anywhere("watch", "persistentvolumes"))
	}
	return c.observeToAct(ctx, "link", needs, request)
}

// record keeps which disks the volumes are made for where the provisioner does not delete it. The links are made, and are
// not undone if it fails.
func (o *linkOptions) record(ctx context.Context, c *cluster, s *snapshot.Snapshot, plan *link.Plan) {
	records := link.ToRecord(s, plan)
	if len(records) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := kube.Record(ctx, c.client, s.Install.Namespace, records); err != nil {
		o.warn("which disks the volumes are made for could not be recorded in ConfigMap %q, and is forgotten when the provisioner makes them again: %s",
			s.Install.Namespace+"/"+kube.RecordsName, o.withHint(err))
	}
}

// confirm shows what is to be made, and what is accepted for it, and asks.
func (o *linkOptions) confirm(ctx context.Context, plan link.Plan) error {
	if o.yes || !slices.ContainsFunc(plan.Links, func(l link.Link) bool { return l.Action == link.Create }) {
		return nil
	}
	for _, l := range plan.Links {
		if l.Action != link.Create {
			continue
		}
		fmt.Fprintln(o.ErrOut, output.Escape(fmt.Sprintf("%s/%s (%s) will be linked into class %s: %s -> %s", l.Node, l.Disk, output.Size(l.Size), l.Class, l.Path, l.Target)))
		for _, a := range l.Accepted {
			fmt.Fprintln(o.ErrOut, output.Escape(fmt.Sprintf("%s/%s %s: to be linked all the same (--accept %s)", l.Node, l.Disk, a.Message, a.Reason)))
		}
	}
	return o.confirmed(ctx, "A claim may write over these disks. Continue?")
}
