// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
)

// diffFlags are the flags of diff.
type diffFlags struct {
	commonFlags
	Filename   string
	ShowConfig bool
}

func newDiff(s *shared) *cobra.Command {
	flags := &diffFlags{commonFlags: newCommonFlags()}
	cmd := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Compare a layout with the cluster",
		Long: templates.LongDesc(`
			Say of every volume of a layout whether it is there, on the disk that it is bound to, and what is to be done or
			stands in the way otherwise. Documents of the machine configurations, the kubelets' mounts and the provisioner's
			classes have rows where they are not as they should be. Nothing is changed.

			Status of a volume: in-place; create (it is nowhere, and its disk is free); adopt (its partition is there, and is
			taken with its data); elsewhere (it is on another disk); twice; mismatch (another filesystem, or another kind of
			volume); leftovers (something is on its disk, which has to be wiped); in-use; missing (its disk is gone); failed
			(Talos could not make it); refused; unbound (no disk is bound; layout -f binds one); orphan (it is there, and
			not in the layout); foreign (a volume of others, never touched); unknown.

			--show-config adds to the rows what is to be put into the machine configurations.

			Exit code: 0 nothing is to be done; 2 something is, or stands in the way; 3 neither, but not everything could be
			looked at; 1 it could not run.

			Needs, in Kubernetes, what layout needs. In Talos: os:reader; os:admin for the machine
			configurations, which are unknown without it where a volume is not in place.`),
		Example: templates.Examples(`
			# What is to be done
			kubectl talosdisk diff -f layout.yaml

			# With what is to be put into the machine configurations
			kubectl talosdisk diff -f layout.yaml --nodes w-4 --show-config`),
		Args: cobra.NoArgs,
		RunE: runE(flags.run, func([]string) (*diffOptions, error) { return flags.ToOptions(s) }),
	}
	flags.AddFlags(cmd.Flags())
	return cmd
}

// AddFlags adds the flags of diff.
func (f *diffFlags) AddFlags(fs *pflag.FlagSet) {
	f.commonFlags.AddFlags(fs)
	addLayoutFile(fs, &f.Filename)
	fs.BoolVar(&f.ShowConfig, "show-config", f.ShowConfig, "Print what is to be put into the machine configurations, too.")
}

// diffOptions are what diff needs to run.
type diffOptions struct {
	commonOptions
	filename   string
	showConfig bool
}

// ToOptions checks everything that can be checked without a server or a file.
func (f *diffFlags) ToOptions(s *shared) (*diffOptions, error) {
	o := &diffOptions{filename: f.Filename, showConfig: f.ShowConfig}
	var err error
	if o.commonOptions, err = f.commonFlags.ToOptions(s); err != nil {
		return nil, err
	}
	return o, layoutFileGiven(f.Filename)
}

func (o *diffOptions) run(ctx context.Context) error {
	file, _, err := readLayout(o.In, o.filename)
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
	came, err := c.DiffLayout(ctx, file)
	if err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return o.finish(came)
}

// layoutVolume is one volume as diff prints it.
type layoutVolume struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	layout.VolumePlan
}

// layoutVolumeList is what diff prints: the volumes, and beside them all else that is planned.
type layoutVolumeList struct {
	metav1.TypeMeta `json:",inline"`
	Items           []layoutVolume    `json:"items"`
	Classes         []layout.ClassWay `json:"classes"`
	Nodes           []layout.NodePlan `json:"nodes"`
	Provisioner     layout.ValuesPlan `json:"provisioner"`
	NotObserved     []string          `json:"notObserved,omitempty"`
}

// finish prints the plan, and ends with what it says.
func (o *diffOptions) finish(came cluster.LayoutDiff) error {
	p := came.Plan
	if chosen := o.nodes.Selector; len(o.nodes.Patterns) > 0 || chosen != nil && !chosen.Empty() {
		p.NotObserved = nil // They were not asked for.
	}
	o.noteNoTalos(came.Snapshot, "volumes of Talos and machine configurations are not known")
	o.warnTalos(came.Snapshot)
	list := layoutVolumeList{
		TypeMeta: metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "LayoutVolumeList"}, Items: []layoutVolume{},
		Classes: p.Classes, Nodes: p.Nodes, Provisioner: p.Provisioner, NotObserved: p.NotObserved,
	}
	for _, v := range p.Volumes {
		list.Items = append(list.Items, layoutVolume{metav1.ObjectMeta{Name: v.Node + "/" + cmp.Or(v.Volume, v.Name, v.Class)}, v})
	}
	if err := o.printer.Print(o.Out, list, func() *metav1.Table { return diffTable(p) }); err != nil {
		return err
	}
	if o.showConfig {
		o.printConfigs(p)
	}
	if len(p.NotObserved) > 0 {
		o.warn("nodes of the bindings that were not looked at: " + some(p.NotObserved))
	}
	switch {
	case p.Differs():
		return exitCode(exitFound)
	case p.Unknown():
		return exitCode(exitUnknown)
	}
	return nil
}

// diffTable is a row for each volume; and for each document, kubelet and class that is not as it should be.
func diffTable(p layout.Plan) *metav1.Table {
	t := newTable("Node", "What", "Name", "Class", "Disk", "Status", "Action", "Why")
	for _, v := range p.Volumes {
		addRow(t, v.Node, "volume", cmp.Or(v.Volume, v.Name, "-"), cmp.Or(v.Class, "-"), cmp.Or(v.Disk, "-"), string(v.Status), string(v.Action),
			cmp.Or(v.Why, "-"))
	}
	for _, n := range p.Nodes {
		for _, d := range n.Documents {
			if d.Action != change.Keep {
				addRow(t, n.Node, "document", d.Kind+"/"+d.Name, d.Class, "-", string(d.State), string(d.Action), cmp.Or(whyOf(d), "-"))
			}
		}
		if n.Mounts.Action != change.Keep {
			addRow(t, n.Node, "mounts", strings.Join(n.Required, ","), "-", "-", string(n.Mounts.Reason), string(n.Mounts.Action),
				cmp.Or(n.Mounts.Message, "-"))
		}
	}
	for _, c := range p.Provisioner.Classes {
		if c.Action != change.Keep {
			addRow(t, "-", "class", c.Name, c.Name, "-", "-", string(c.Action), changesOf(c))
		}
	}
	for _, one := range p.Provisioner.Tolerations {
		addRow(t, "-", "toleration", one.Key, "-", "-", "-", string(change.Create), strings.Trim(one.Value+":"+string(one.Effect), ":"))
	}
	return t
}

// whyOf says more of a document.
func whyOf(d layout.DocumentPlan) string {
	if d.Staged {
		return "takes effect with the node's next reboot"
	}
	return d.Why
}

// printConfigs prints what is to be put into the machine configurations. Nothing else of them is read here.
func (o *diffOptions) printConfigs(p layout.Plan) {
	for _, n := range p.Nodes {
		var texts []string
		for _, d := range n.Documents {
			if d.Action == change.Create {
				texts = append(texts, d.Text())
			}
		}
		if n.Mounts.Action == change.Patch {
			if text := mounts.Fragment(append(n.Mounts.Rebound, n.Mounts.Add...)); text != "" {
				texts = append(texts, text)
			}
		}
		if len(texts) == 0 {
			continue
		}
		fmt.Fprintf(o.ErrOut, "%s:\n", n.Node)
		for line := range strings.Lines(strings.Join(texts, "---\n")) {
			fmt.Fprint(o.ErrOut, "  +"+line)
		}
	}
}
