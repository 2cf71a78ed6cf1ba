// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/collect"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// disksFlags are the flags of disks.
type disksFlags struct {
	clusterFlags
	output *output.Flags
}

func newDisks(s *shared) *cobra.Command {
	flags := &disksFlags{clusterFlags: newClusterFlags(), output: output.NewFlags()}
	cmd := &cobra.Command{
		Use:   "disks [DISK...]",
		Short: "List the disks of every node, and what uses them",
		Long: templates.LongDesc(`
			List the disks of every node as the provisioner's pods see them: size, what uses them, their link,
			PersistentVolume, claim and pod, and for a disk that cannot be linked, why. Nothing is changed.

			DISK is a name in /dev, a glob of names, or a path below /dev/disk.

			Needs, in Kubernetes: list daemonsets, nodes, persistentvolumes, storageclasses and pods; get the
			provisioner's configmap; create pods/exec in its namespace.`),
		Example: templates.Examples(`
			# Every disk of every node
			kubectl talosdisk disks

			# With model, serial and stable names
			kubectl talosdisk disks -o wide

			# The serials of one node's disks
			kubectl talosdisk disks --nodes w-1 -o custom-columns=NAME:.name,SERIAL:.serial`),
		ValidArgsFunction: s.completeDisks,
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.ToOptions(s, args)
			if err != nil {
				return usage(cmd, err)
			}
			return options.run(cmd.Context())
		},
	}
	flags.clusterFlags.AddFlags(cmd.Flags())
	flags.output.AddFlags(cmd.Flags())
	return cmd
}

// disksOptions are what disks needs to run.
type disksOptions struct {
	*shared
	cluster clusterOptions
	printer *output.Printer
	args    []disk.Arg
}

// ToOptions checks everything that can be checked without a server.
func (f *disksFlags) ToOptions(s *shared, args []string) (*disksOptions, error) {
	o := &disksOptions{shared: s}
	var err error
	if o.cluster, err = f.clusterFlags.ToOptions(); err != nil {
		return nil, err
	}
	if o.printer, err = f.output.ToPrinter(); err != nil {
		return nil, err
	}
	for _, arg := range args {
		parsed, err := disk.ParseArg(arg)
		if err != nil {
			return nil, err
		}
		o.args = append(o.args, parsed)
	}
	return o, nil
}

// diskList is what disks prints.
type diskList struct {
	metav1.TypeMeta `json:",inline"`
	Items           []link.DiskUse `json:"items"`
}

func (o *disksOptions) run(ctx context.Context) error {
	ctx, cancel := o.cluster.run.Context(ctx)
	defer cancel()
	c, err := o.connect(o.cluster)
	if err != nil {
		return err
	}
	defer c.close()
	closely := []string{"*"}
	if len(o.args) > 0 {
		closely = link.Closely(o.args)
	}
	s, err := c.observe(ctx, collect.Request{Closely: closely, Users: true})
	if err != nil {
		return err
	}
	list := diskList{TypeMeta: metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "DiskList"}, Items: link.Inventory(s)}
	if len(o.args) > 0 {
		list.Items = link.Select(s, list.Items, o.args)
	}
	style := o.Colour.Style(o.ErrOut)
	for _, u := range list.Items {
		if u.Drift != "" {
			fmt.Fprintf(o.ErrOut, "%s %s: %s\n", style.Warning("warning:"), u.Metadata.Name, u.Drift)
		}
	}
	if err := o.printer.Print(o.Out, list, func() *metav1.Table { return disksTable(s, list.Items) }); err != nil {
		return err
	}
	parts := unlooked(s)
	if len(parts) == 0 && len(list.Items) == 0 {
		if len(o.args) > 0 {
			return failure.New("no such disk on any of the nodes", "kubectl talosdisk disks")
		}
		fmt.Fprintln(o.ErrOut, "No disks found.")
	}
	return errors.Join(failure.Several(fmt.Sprintf("%d of %d nodes could not be looked at", len(parts), len(s.Nodes)), parts), context.Cause(ctx))
}

// disksTable is one row a disk.
func disksTable(s *snapshot.Snapshot, disks []link.DiskUse) *metav1.Table {
	t := newTable("Node", "Disk", "Size", "Type", "Linkable", "Link", "PV", "Status", "Claim", "Pod")
	addWide(t, "Model", "Serial", "WWID", "By-ID", "By-Path")
	for _, u := range disks {
		volume, status, claim, pod := "-", "-", "-", "-"
		if len(u.Volumes) > 0 {
			v := u.Volumes[0]
			volume, status, claim = v.Name, v.Phase, cmp.Or(v.Claim, "-")
			pod = orNone(v.Pods)
			if s.Users.Value == nil && v.Claim != "" {
				pod = string(disk.Unknown)
			}
		}
		addRow(t, u.Node, u.Name, output.Size(u.Size), typeOf(u.Disk), linkable(u), orNone(u.Links), volume, status, claim, pod,
			cmp.Or(u.Model, "-"), cmp.Or(u.Serial, "-"), cmp.Or(u.WWID, "-"), orNone(u.ByID), orNone(u.ByPath))
	}
	return t
}

func typeOf(d disk.Disk) string {
	if d.Kind != disk.KindDisk {
		return string(d.Kind)
	}
	if d.Rotational {
		return "hdd"
	}
	return "ssd"
}

// linkable is "yes", or the reasons against it; "linked" says it all.
func linkable(u link.DiskUse) string {
	switch {
	case u.Drift != "":
		return string(disk.IdentityChanged)
	case len(u.Links) > 0:
		return "linked"
	case len(u.Objections) == 0:
		return "yes"
	}
	var reasons []string
	seen := make(map[disk.Reason]bool)
	for _, o := range u.Objections {
		if !seen[o.Reason] {
			seen[o.Reason] = true
			reasons = append(reasons, reasonOf(o, u.Disk))
		}
	}
	return orNone(reasons)
}

// reasonOf is the reason's word, with what was found where that is short.
func reasonOf(o disk.Objection, d disk.Disk) string {
	if o.Reason == disk.HasSignature && d.Content != nil && d.Content.Signature.Type != "" {
		return string(o.Reason) + ":" + d.Content.Signature.Type
	}
	return string(o.Reason)
}
