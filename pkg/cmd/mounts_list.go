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
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

func newMountsList(s *shared) *cobra.Command {
	flags := newCommonFlags()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what the kubelets' configurations mount, and what the kubelets see",
		Long: templates.LongDesc(`
			List, for every node, the provisioner's directories and the entries of machine.kubelet.extraMounts: what the
			configuration asks for, what the kubelet really sees, and what is wrong with it. Nothing is changed.

			Needs, in Kubernetes, what disks needs. In Talos: os:reader tells what the kubelets see; the configurations and the
			kubelets' mounts take os:admin, and are unknown without it.

			Of several installations of the provisioner it lists the directories of all, or of the one that is named.`),
		Example: templates.Examples(`
			# Every node
			kubectl talosdisk mounts list

			# What is wrong, in full
			kubectl talosdisk mounts list -o wide`),
		Args: cobra.NoArgs,
		RunE: runE(flags.run, func([]string) (*mountsListOptions, error) {
			common, err := flags.ToOptions(s)
			return &mountsListOptions{common}, err
		}),
	}
	flags.AddFlags(cmd.Flags())
	return cmd
}

// mountsListOptions are what mounts list needs to run.
type mountsListOptions struct{ commonOptions }

// kubeletMounts is what mounts list prints of one node.
type kubeletMounts struct {
	Kind     string               `json:"kind,omitempty"`
	Metadata metav1.ObjectMeta    `json:"metadata"`
	Talos    talosrelease.Release `json:"talos"`
	Paths    []kubeletMount       `json:"paths"`
	// Findings are what is wrong.
	Findings []mounts.Finding `json:"findings,omitempty"`
	// Warning: what is in force may not stay so.
	Warning string `json:"warning,omitempty"`
	// Problem is why the configuration, or the kubelet's view, is not known.
	Problem string `json:"problem,omitempty"`

	err error
	// unread: the configuration is not known.
	unread bool
}

// kubeletMount is one directory: required, configured or both.
type kubeletMount struct {
	// Required by a class of the provisioner.
	Required bool `json:"required,omitempty"`
	// Entry of the configuration with this destination.
	Entry *mounts.ExtraMount `json:"entry,omitempty"`
	mounts.Visibility
}

// kubeletMountsList is what mounts list prints.
type kubeletMountsList struct {
	metav1.TypeMeta `json:",inline"`
	Items           []kubeletMounts `json:"items"`
}

func (o *mountsListOptions) run(ctx context.Context) error {
	api, err := cluster.DialTalos(ctx, o.talos)
	if err != nil {
		return err
	}
	defer api.Close()
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	s, kubelets, err := c.ListMounts(ctx, api)
	if err != nil {
		return err
	}
	list := kubeletMountsList{TypeMeta: metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "KubeletMountsList"}}
	for i, k := range kubelets {
		list.Items = append(list.Items, kubeletMountsOf(k, s.HostDirs(s.Nodes[i])))
	}
	for _, n := range list.Items {
		if n.Warning != "" {
			o.warn(fmt.Sprintf("%s: %s", n.Metadata.Name, n.Warning))
		}
	}
	if err := o.printer.Print(o.Out, list, func() *metav1.Table { return kubeletMountsTable(list.Items) }); err != nil {
		return err
	}
	return errors.Join(notListed(s, list.Items), context.Cause(ctx))
}

// notListed is what is not among what was listed: of nodes, and of installations whose classes are not known.
func notListed(s *snapshot.Snapshot, items []kubeletMounts) error {
	var parts []failure.Part
	for _, n := range items {
		if n.err != nil {
			parts = append(parts, failure.Part{Subject: n.Metadata.Name, Err: n.err})
		}
	}
	message := fmt.Sprintf("%d of %d nodes could not be looked at in full", len(parts), len(items))
	unknown := cluster.UnknownInstallations(s)
	switch {
	case len(unknown) == 0:
	case len(parts) == 0:
		message = "the directories of not every provisioner are known"
	default:
		message += ", and the directories of not every provisioner are known"
	}
	return failure.Several(message, append(parts, unknown...))
}

func kubeletMountsOf(k observe.Kubelet, required []string) kubeletMounts {
	n := kubeletMounts{
		Kind: "KubeletMounts", Metadata: metav1.ObjectMeta{Name: k.State.Node}, Talos: k.State.Release,
		Warning: k.State.Unkept(), Problem: cmp.Or(k.State.ConfigProblem, k.State.ViewProblem).Message, err: k.Err,
		unread: !k.State.ConfigProblem.IsZero(),
	}
	if n.err == nil && !k.State.ViewProblem.IsZero() {
		n.err = failure.New("what its kubelet sees is unknown: "+k.State.ViewProblem.Message, "try again")
	}
	see := func(m kubeletMount, dir string) {
		m.Visibility = k.State.Visibility(dir)
		n.Paths = append(n.Paths, m)
	}
	for i := range k.State.Settings.ExtraMounts {
		entry := k.State.Settings.ExtraMounts[i]
		see(kubeletMount{Entry: &entry, Required: slices.Contains(required, entry.Destination)}, entry.Destination)
	}
	for _, dir := range required {
		if !slices.ContainsFunc(n.Paths, func(m kubeletMount) bool { return m.Path == dir }) {
			see(kubeletMount{Required: true}, dir)
		}
	}
	if k.State.Release.Known() {
		n.Findings = mounts.Findings(k.State)
	}
	return n
}

// kubeletMountsTable is one row a node and directory.
func kubeletMountsTable(nodes []kubeletMounts) *metav1.Table {
	t := newTable("Node", "Talos", "Directory", "Configured", "Visible", "Mount", "Flags")
	addWide(t, "Why", "Wrong")
	for _, n := range nodes {
		reported := make(map[string]bool)
		for _, m := range n.Paths {
			configured, mount := "-", "-"
			switch {
			case m.Entry != nil:
				configured = strings.Join(m.Entry.Options, ",")
			case n.unread:
				configured = "unknown"
			}
			if m.Mount != nil && m.Mount.Point != "/" {
				mount = m.Mount.String()
			}
			flags, wrong := n.wrong(func(f mounts.Finding) bool { return f.Path == m.Path })
			reported[m.Path] = true
			addRow(t, n.Metadata.Name, cmp.Or(n.Talos.String(), "-"), cmp.Or(m.Path, "-"), configured, string(m.Visible), mount, flags, m.Why, wrong)
		}
		for _, f := range n.Findings {
			if reported[f.Path] {
				continue
			}
			reported[f.Path] = true
			flags, wrong := n.wrong(func(other mounts.Finding) bool { return other.Path == f.Path })
			addRow(t, n.Metadata.Name, n.Talos.String(), cmp.Or(f.Path, "-"), "-", "-", "-", flags, "-", wrong)
		}
	}
	return t
}

// wrong are the flags and the messages of some findings.
func (n kubeletMounts) wrong(of func(mounts.Finding) bool) (flags, messages string) {
	var all, texts []string
	for _, f := range n.Findings {
		if of(f) {
			all, texts = append(all, string(f.Fault)), append(texts, f.Message)
		}
	}
	slices.Sort(all)
	return orNone(slices.Compact(all)), cmp.Or(strings.Join(texts, "; "), "-")
}
