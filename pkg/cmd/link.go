// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/kubectl/pkg/util/templates"
	"sigs.k8s.io/yaml"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
)

// linkFlags are the flags of link.
type linkFlags struct {
	commonFlags
	confirmFlags
	dryRunFlags
	waitFlags
	Class    string
	Name     string
	Target   string
	Accept   []string
	Filename string
}

func newLink(s *shared) *cobra.Command {
	flags := &linkFlags{commonFlags: newCommonFlags(), waitFlags: newWaitFlags(), Target: string(disk.TargetAuto)}
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
		RunE:              runE(flags.run, func(args []string) (*linkOptions, error) { return flags.ToOptions(s, args) }),
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
	f.commonFlags.AddFlags(fs)
	f.confirmFlags.AddFlags(fs)
	f.dryRunFlags.AddFlags(fs)
	f.waitFlags.AddFlags(fs)
	fs.StringVar(&f.Class, "class", f.Class, "Class to link into. Needed if the provisioner has several with volumeMode Block.")
	fs.StringVar(&f.Name, "name", f.Name, "Name of the link, if it is not to be the disk's. For one disk only.")
	fs.StringVar(&f.Target, "target", f.Target, "What the link holds: auto (by-id, else by-path, else the name), by-id, by-path or name.")
	fs.StringArrayVar(&f.Accept, "accept", f.Accept,
		"Link in spite of a reason: REASON, or REASON=NODE/DISK for one disk. Reasons: signature, partitions, data, removable, too-small, loop, remote, virtual. May be repeated.")
	fs.StringVarP(&f.Filename, "filename", "f", f.Filename,
		"Perform the plan in this file, made by --dry-run=server -o yaml. - is standard input.")
}

// linkOptions are what link needs to run.
type linkOptions struct {
	commonOptions
	request link.Request
	plan    *link.Plan // from a file
	dryRun  dryRun
	wait    time.Duration // 0: do not wait
	yes     bool
}

// ToOptions checks everything that can be checked without a server.
func (f *linkFlags) ToOptions(s *shared, args []string) (*linkOptions, error) {
	o := &linkOptions{yes: f.Yes}
	var err error
	if o.commonOptions, err = f.commonFlags.ToOptions(s); err != nil {
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
	o.request.Accept, err = parseAcceptances(f.Accept)
	return o, err
}

// parseAcceptances reads the values of --accept.
func parseAcceptances(all []string) ([]link.Acceptance, error) {
	var parsed []link.Acceptance
	for _, a := range all {
		one, err := link.ParseAcceptance(a)
		if err != nil {
			return nil, failure.Wrap(err, "--accept", "")
		}
		parsed = append(parsed, one)
	}
	return parsed, nil
}

// readPlan reads a plan, strictly: a field that is not known might mean something.
func readPlan(stdin io.Reader, name string) (*link.Plan, error) {
	file, err := openFile(stdin, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	var p link.Plan
	if err := yaml.UnmarshalStrict(text, &p); err != nil {
		return nil, failure.Wrap(err, fmt.Sprintf("%q is not a plan", name),
			"make one with: kubectl talosdisk link DISK... --dry-run=server -o yaml")
	}
	return &p, p.Check()
}

func (o *linkOptions) run(ctx context.Context) error {
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if o.dryRun != dryRunClient {
		if err := c.AskTalos(ctx, o.talos); err != nil {
			return err
		}
	}
	s, plan, err := c.PlanLinks(ctx, cluster.LinkPlanning{Request: o.request, Again: o.plan, Depth: o.dryRun.depth(), Wait: o.wait > 0})
	if err != nil {
		return err
	}
	if !c.NoTalosconfig() {
		o.noteNoTalos(s, "a disk that Talos uses is refused only by what the pods see")
	}
	o.warnTalos(s)
	if o.dryRun != dryRunNone {
		if err := o.print(plan); err != nil {
			return err
		}
		return linkErrors(plan, s, o.dryRun)
	}
	if err := o.confirm(ctx, plan); err != nil {
		return err
	}
	c.PerformLinks(ctx, s, &plan, o.wait)
	if o.wait > 0 && ctx.Err() != nil {
		o.note("the PersistentVolumes were not waited for to the end; run it again to see them, and to record in them which disks they are")
	}
	if err := o.print(plan); err != nil {
		return err
	}
	return interrupted(linkErrors(plan, s, dryRunNone), context.Cause(ctx))
}

// confirm shows what is to be made, and what is accepted for it, and asks.
func (o *linkOptions) confirm(ctx context.Context, plan link.Plan) error {
	if o.yes || !slices.ContainsFunc(plan.Links, func(l link.Link) bool { return l.Action == change.Create }) {
		return nil
	}
	for _, l := range plan.Links {
		if l.Action != change.Create {
			continue
		}
		fmt.Fprintln(o.ErrOut, output.Escape(fmt.Sprintf("%s/%s (%s) will be linked into class %s: %s -> %s", l.Node, l.Disk, output.Size(l.Size),
			l.Class, l.Path, l.Target)))
		for _, a := range l.Accepted {
			fmt.Fprintln(o.ErrOut, output.Escape(fmt.Sprintf("%s/%s %s: to be linked anyway (--accept %s)", l.Node, l.Disk, a.Message, a.Reason)))
		}
	}
	return o.confirmed(ctx, "A claim may write over these disks. Continue?")
}
