// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	talosFlags
	output *output.Flags
}

func newDisks(s *shared) *cobra.Command {
	flags := &disksFlags{clusterFlags: newClusterFlags(), output: output.NewFlags()}
	cmd := &cobra.Command{
		Use:   "disks [DISK...]",
		Short: "List the disks of every node, and what uses them",
		Long: templates.LongDesc(`
			List the disks of every node as the provisioner's pods and the nodes' Talos API see them: size, what
			uses them, their link, PersistentVolume, claim and pod, and for a disk that cannot be linked, why.
			Nothing is changed.

			USE is the strongest of: system (Talos lives there), the Talos volumes on it, mounted, in-use (it is
			open or held), and what is written there, such as xfs, lvm2-pv, luks or gpt.

			Without a talosconfig the pods' view is all there is. With one, disks are listed too that no
			provisioner pod sees; whether such a disk can be linked is unknown.

			DISK is a name in /dev, a glob of names, or a path below /dev/disk.

			Needs, in Kubernetes: list daemonsets, nodes, persistentvolumes, storageclasses and pods; get the
			provisioner's configmap; create pods/exec in its namespace. In Talos, if it is asked: os:reader.`),
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
			return options.cluster.run.within(cmd.Context(), options.run)
		},
	}
	flags.clusterFlags.AddFlags(cmd.Flags())
	flags.talosFlags.AddFlags(cmd.Flags())
	flags.output.AddFlags(cmd.Flags())
	return cmd
}

// disksOptions are what disks needs to run.
type disksOptions struct {
	*shared
	cluster clusterOptions
	talos   talosOptions
	printer *output.Printer
	args    []disk.Arg
}

// ToOptions checks everything that can be checked without a server.
func (f *disksFlags) ToOptions(s *shared, args []string) (*disksOptions, error) {
	o := &disksOptions{shared: s, talos: f.talosFlags.ToOptions()}
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
	c, err := o.connect(o.cluster)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.askTalos(ctx, o.talos); err != nil {
		return err
	}
	closely := []string{"*"}
	if len(o.args) > 0 {
		closely = link.Closely(o.args)
	}
	s, err := c.observe(ctx, collect.Request{Closely: closely, Users: true, Podless: true})
	if err != nil {
		return err
	}
	list := diskList{TypeMeta: metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "DiskList"}, Items: link.Inventory(s)}
	if len(o.args) > 0 {
		list.Items = link.Select(s, list.Items, o.args)
	}
	o.warn(c, s, list.Items)
	if err := o.printer.Print(o.Out, list, func() *metav1.Table { return disksTable(s, list.Items) }); err != nil {
		return err
	}
	parts := unlooked(s)
	unlookedNodes := fmt.Sprintf("%d of %d nodes could not be looked at", len(parts), len(s.Nodes))
	if unread := talosUnread(s); o.talos.asked() && len(unread) > 0 {
		if len(parts) == 0 {
			unlookedNodes = "the Talos API could not be read everywhere"
		}
		parts = append(parts, unread...)
	}
	if len(parts) == 0 && len(list.Items) == 0 {
		if len(o.args) > 0 {
			return failure.New("no such disk on any of the nodes", "kubectl talosdisk disks")
		}
		fmt.Fprintln(o.ErrOut, "No disks found.")
	}
	return errors.Join(failure.Several(unlookedNodes, parts), context.Cause(ctx))
}

// warn says on stderr what is wrong with disks, and what could not be seen.
func (o *disksOptions) warn(c *cluster, s *snapshot.Snapshot, disks []link.DiskUse) {
	style := o.Colour.Style(o.ErrOut)
	for _, u := range disks {
		if u.Drift != "" {
			fmt.Fprintf(o.ErrOut, "%s %s: %s\n", style.Warning("warning:"), u.Metadata.Name, u.Drift)
		}
		if u.Conflict != "" {
			fmt.Fprintf(o.ErrOut, "%s %s %s\n", style.Warning("warning:"), u.Metadata.Name, u.Conflict)
		}
	}
	for _, n := range s.Nodes {
		if byTalosAlone(n) {
			fmt.Fprintf(o.ErrOut, "note: node %s is told by Talos alone: %s\n", n.Name, n.View.Why())
		}
	}
	c.noteNoTalos(s, "disks that Talos uses are told only by what the pods see")
	if !o.talos.asked() {
		c.warnTalos(s)
	}
}

// disksTable is one row a disk.
func disksTable(s *snapshot.Snapshot, disks []link.DiskUse) *metav1.Table {
	t := newTable("Node", "Disk", "Size", "Type", "Use", "Linkable", "Link", "PV", "Status", "Claim", "Pod")
	addWide(t, "Model", "Serial", "WWID", "Transport", "By-ID", "By-Path", "Talos")
	for _, u := range disks {
		links, volume, status, claim, pod := orNone(u.Links), "-", "-", "-", "-"
		if !slices.Contains(u.SeenBy, link.SeenByPod) {
			links, volume = string(disk.Unknown), string(disk.Unknown)
		}
		if len(u.Volumes) > 0 {
			v := u.Volumes[0]
			volume, status, claim = v.Name, v.Phase, cmp.Or(v.Claim, "-")
			pod = orNone(v.Pods)
			if s.Users.Value == nil && v.Claim != "" {
				pod = string(disk.Unknown)
			}
		}
		addRow(t, u.Node, u.Name, output.Size(u.Size), typeOf(u.Disk), useOf(u), linkable(u), links, volume, status, claim, pod,
			cmp.Or(u.Model, "-"), cmp.Or(u.Serial, "-"), cmp.Or(u.WWID, "-"), cmp.Or(u.Transport, "-"), orNone(u.ByID), orNone(u.ByPath), toldBy(s, u))
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

// useOf is the strongest use of a disk, in a word where there is one.
func useOf(u link.DiskUse) string {
	told := func(kind link.UseKind) []string {
		var names []string
		for _, use := range u.Uses {
			if use.Kind == kind && !slices.Contains(names, use.Name) {
				names = append(names, use.Name)
			}
		}
		return names
	}
	volumes, content := told(link.UseVolume), told(link.UseContent)
	switch {
	case u.System != "":
		return "system"
	case len(volumes) > 2:
		return fmt.Sprintf("%s,+%d", strings.Join(volumes[:2], ","), len(volumes)-2)
	case len(volumes) > 0:
		return strings.Join(volumes, ",")
	case len(told(link.UseMount)) > 0:
		return "mounted"
	case len(u.Holders) > 0, u.Content != nil && u.Content.Busy == disk.Yes:
		return "in-use"
	case len(content) > 0:
		return content[0]
	case u.Content != nil && u.Content.Signed == disk.Yes:
		return cmp.Or(u.Content.Signature.Type, u.Content.Signature.PartitionTable, string(disk.HasSignature))
	case len(u.Partitions) > 0:
		return string(disk.HasPartitions)
	case u.Content == nil || u.Content.Signed != disk.No || u.Content.Busy != disk.No:
		return string(disk.Unknown)
	}
	return "-"
}

// toldBy is all that Talos tells of a disk's uses.
func toldBy(s *snapshot.Snapshot, u link.DiskUse) string {
	switch {
	case len(u.Uses) > 0:
		all := make([]string, 0, len(u.Uses))
		for _, use := range u.Uses {
			all = append(all, use.String())
		}
		return strings.Join(all, ", ")
	case slices.Contains(u.SeenBy, link.SeenByTalos) && !slices.ContainsFunc(link.TalosUnread(s), func(t link.Unread) bool { return slices.Contains(t.Nodes, u.Node) }):
		return "-"
	}
	return string(disk.Unknown)
}

// linkable is "yes", or the reasons against it; "linked" says it all. Of a disk that
// no pod has seen it is unknown, unless Talos uses it.
func linkable(u link.DiskUse) string {
	switch {
	case u.Drift != "":
		return string(disk.IdentityChanged)
	case len(u.Links) > 0:
		return "linked"
	case len(u.Objections) == 0:
		return "yes"
	}
	unseen := !slices.Contains(u.SeenBy, link.SeenByPod)
	if unseen && len(u.Objections) == 1 {
		return string(disk.Unknown)
	}
	var reasons []string
	seen := make(map[disk.Reason]bool)
	for _, o := range u.Objections {
		if !seen[o.Reason] && (!unseen || o.Reason != disk.NotChecked) {
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
