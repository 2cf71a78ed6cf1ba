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
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

func newDisks(s *shared) *cobra.Command {
	flags := newCommonFlags()
	cmd := &cobra.Command{
		Use:   "disks [DISK...]",
		Short: "List the disks of every node, and what uses them",
		Long: templates.LongDesc(`
			List the disks of every node as the provisioner's pods and the nodes' Talos API see them: size, what
			uses them, their link, PersistentVolume, claim and pod, and for a disk that cannot be linked, why.
			Nothing is changed.

			USE is the strongest of: system (Talos lives there), the Talos volumes on it, mounted, in-use (it is
			open or held), and what is written there, such as xfs, lvm2-pv, luks or gpt; empty is a drive without a medium.

			A disk has a row for each of its links and volumes, those of its partitions among them. What is not known is
			unknown, and what is known not to be there is "-".

			Without a talosconfig the pods' view is all there is. With one, disks are listed too that no
			provisioner pod sees, and all of them where there is no provisioner yet; whether such a disk can be linked is
			unknown.

			DISK is a name in /dev, a glob of names, or a path below /dev/disk or /dev/mapper.

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
		RunE:              runE(flags.run, func(args []string) (*disksOptions, error) { return toDisksOptions(s, &flags, args) }),
	}
	flags.AddFlags(cmd.Flags())
	return cmd
}

// disksOptions are what disks needs to run.
type disksOptions struct {
	commonOptions
	args []disk.Arg
}

// toDisksOptions checks everything that can be checked without a server.
func toDisksOptions(s *shared, flags *commonFlags, args []string) (*disksOptions, error) {
	common, err := flags.ToOptions(s)
	if err != nil {
		return nil, err
	}
	o := &disksOptions{commonOptions: common}
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
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.AskTalos(ctx, o.talos); err != nil {
		return err
	}
	closely := []string{"*"}
	if len(o.args) > 0 {
		closely = link.Closely(o.args)
	}
	s, err := c.Observe(ctx, observe.Request{Parts: observe.Users | observe.OnNodes, Closely: closely, WithoutPod: true, Every: true})
	if err != nil {
		return err
	}
	items, err := cluster.Decided(ctx, func() ([]link.DiskUse, error) {
		all := link.Inventory(s)
		if len(o.args) > 0 {
			all = link.Select(s, all, o.args)
		}
		return all, nil
	})
	if err != nil {
		return err
	}
	list := diskList{TypeMeta: metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "DiskList"}, Items: items}
	o.warnOf(s, list.Items)
	if err := o.printer.Print(o.Out, list, func() *metav1.Table { return disksTable(s, list.Items) }); err != nil {
		return err
	}
	parts := unlooked(s)
	unlookedNodes := fmt.Sprintf("%d of %d nodes could not be looked at", len(parts), len(s.Nodes))
	if others := unlookedOthers(s); len(others) > 0 {
		if len(parts) == 0 {
			unlookedNodes = "not every provisioner could be looked at"
		}
		parts = append(parts, others...)
	}
	if unread := talosUnread(s); o.talos.Asked() && len(unread) > 0 {
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

// warnOf says on stderr what is wrong with disks, and what could not be seen.
func (o *disksOptions) warnOf(s *snapshot.Snapshot, disks []link.DiskUse) {
	for _, u := range disks {
		if u.Drift != "" {
			o.warn(fmt.Sprintf("%s: %s", u.Metadata.Name, u.Drift))
		}
		if u.Conflict != "" {
			o.warn(fmt.Sprintf("%s %s", u.Metadata.Name, u.Conflict))
		}
	}
	for _, u := range knownFromTalosAlone(s) {
		are := "is"
		if len(u.Nodes) > 1 {
			are = "are"
		}
		o.note(fmt.Sprintf("%s %s known from Talos alone: %s", u.Where(), are, u.Why))
	}
	o.noteNoTalos(s, "disks that Talos uses are known only by what the pods see")
	if !o.talos.Asked() {
		o.warnTalos(s)
	}
}

// knownFromTalosAlone are the nodes whose disks only Talos reported, by the reason.
func knownFromTalosAlone(s *snapshot.Snapshot) []link.Unread {
	var all []link.Unread
	for _, n := range s.Nodes {
		if !s.SeenByTalosAlone(n) {
			continue
		}
		why := n.View.Why().Message
		if i := slices.IndexFunc(all, func(u link.Unread) bool { return u.Why == why }); i >= 0 {
			all[i].Nodes = append(all[i].Nodes, n.Name)
			continue
		}
		all = append(all, link.Unread{Nodes: []string{n.Name}, Why: why})
	}
	return all
}

// disksTable is a row for each disk, and a further one for each further link or volume of it.
func disksTable(s *snapshot.Snapshot, disks []link.DiskUse) *metav1.Table {
	t := newTable("Node", "Disk", "Size", "Type", "Use", "Linkable", "Link", "PV", "Status", "Claim", "Pod")
	addWide(t, "Model", "Serial", "WWID", "Transport", "By-ID", "By-Path", "Talos")
	for _, u := range disks {
		size := output.Size(u.Size)
		if u.Size == 0 { // A drive without a medium.
			size = "-"
		}
		for _, l := range liesOn(s, u) {
			addRow(t, u.Node, u.Name, size, typeOf(u.Disk), useOf(u), linkable(u), l.link, l.volume, l.status, l.claim, l.pod,
				cmp.Or(u.Model, "-"), cmp.Or(u.Serial, "-"), cmp.Or(u.WWID, "-"), cmp.Or(u.Transport, "-"), orNone(u.ByID), orNone(u.ByPath),
				toldBy(s, u))
		}
	}
	return t
}

// lies is a link to a disk and the volume at its end, as a row shows them; each can be without the other.
type lies struct{ link, volume, status, claim, pod string }

// liesOn are the links and volumes of a disk, at least one.
func liesOn(s *snapshot.Snapshot, u link.DiskUse) []lies {
	orUnknown := func(problem string) string {
		if problem != "" {
			return string(disk.Unknown)
		}
		return "-"
	}
	noLink, noVolume := orUnknown(u.LinksProblem), orUnknown(u.VolumesProblem)
	var all []lies
	links := slices.Concat(u.Links, u.PartitionLinks)
	for _, v := range u.Volumes {
		l := lies{noLink, v.Name, v.Phase, cmp.Or(v.Claim, "-"), orNone(v.Pods)}
		if i := slices.Index(links, v.Path); i >= 0 {
			l.link = v.Path
		}
		if s.Users.Value == nil && v.Claim != "" {
			l.pod = string(disk.Unknown)
		}
		all = append(all, l)
	}
	for _, path := range links {
		if !slices.ContainsFunc(all, func(l lies) bool { return l.link == path }) {
			all = append(all, lies{path, noVolume, noVolume, noVolume, noVolume})
		}
	}
	if len(all) == 0 {
		all = append(all, lies{noLink, noVolume, noVolume, noVolume, noVolume})
	}
	return all
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
	reported := func(kind link.UseKind) []string {
		var names []string
		for _, use := range u.Uses {
			if use.Kind == kind && !slices.Contains(names, use.Name) {
				names = append(names, use.Name)
			}
		}
		return names
	}
	volumes, content := reported(link.UseVolume), reported(link.UseContent)
	switch {
	case u.Size == 0:
		return "empty"
	case u.System != "":
		return "system"
	case len(volumes) > 2:
		return fmt.Sprintf("%s,+%d", strings.Join(volumes[:2], ","), len(volumes)-2)
	case len(volumes) > 0:
		return strings.Join(volumes, ",")
	case len(reported(link.UseMount)) > 0:
		return "mounted"
	case len(u.Holders)+len(u.Under) > 0, u.Content != nil && u.Content.Busy == disk.Yes:
		return "in-use"
	case len(content) > 0:
		return content[0]
	case u.Content != nil && u.Content.Signed == disk.Yes:
		return cmp.Or(u.Content.Signature.Type, u.Content.Signature.PartitionTable, string(disk.HasSignature))
	case len(u.Partitions) > 0:
		return string(disk.HasPartitions)
	case u.Content != nil && u.Content.Unsigned == disk.Yes:
		return string(disk.HasData)
	case u.Content == nil || u.Content.Signed != disk.No || u.Content.Busy != disk.No || u.Content.Unsigned == disk.Unknown ||
		len(u.MaybeUnder) > 0:
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
	case slices.Contains(u.SeenBy, link.SeenByTalos) &&
		!slices.ContainsFunc(link.TalosUnread(s), func(t link.Unread) bool { return slices.Contains(t.Nodes, u.Node) }):
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
