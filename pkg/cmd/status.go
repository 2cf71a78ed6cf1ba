// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

func newStatus(s *shared) *cobra.Command {
	flags := newCommonFlags()
	flags.nodes = nil
	cmd := &cobra.Command{
		Use:   "status",
		Short: "List every local volume, and where its chain is broken",
		Long: templates.LongDesc(`
			List every local volume with its disk, class, claim and pod, and whether the node, the provisioner's pod and the
			kubelet see its path. PROBLEM is the first link of the chain that is broken, and the code of what is wrong; doctor says
			more, and what fixes it. Nothing is changed.

			Exit code: as doctor's. 0 nothing is wrong; 2 something is; 3 nothing was found to be wrong, but not everything could
			be looked at; 1 it could not run.

			Needs the same rights as doctor.`),
		Example: templates.Examples(`
			# Every volume
			kubectl talosdisk status

			# With the PersistentVolumes, and what is known of each link that is broken
			kubectl talosdisk status -o wide`),
		Args: cobra.NoArgs,
		RunE: runE(flags.run, func([]string) (*statusOptions, error) {
			common, err := flags.ToOptions(s)
			return &statusOptions{common}, err
		}),
	}
	flags.AddFlags(cmd.Flags())
	return cmd
}

// statusOptions are what status needs to run.
type statusOptions struct{ commonOptions }

// volumeStatus is one chain as status prints it.
type volumeStatus struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	doctor.Chain
}

// volumeStatusList is what status prints.
type volumeStatusList struct {
	metav1.TypeMeta `json:",inline"`
	Items           []volumeStatus `json:"items"`
}

func (o *statusOptions) run(ctx context.Context) error {
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.AskTalos(ctx, o.talos); err != nil {
		return err
	}
	s, err := c.Diagnose(ctx, cluster.Diagnosis{})
	if err != nil {
		return err
	}
	report, err := cluster.Decided(ctx, func() (doctor.Report, error) { return doctor.Run(s, doctor.Options{}), nil })
	if err != nil {
		return err
	}
	list := volumeStatusList{
		TypeMeta: metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "VolumeStatusList"}, Items: statusOf(report),
	}
	if err := o.printer.Print(o.Out, list, func() *metav1.Table { return statusTable(list.Items) }); err != nil {
		return err
	}
	return endStatus(o.ErrOut, o.Colour.Style(o.ErrOut), s, report, list.Items)
}

// endStatus says what the rows do not, and ends as doctor does.
func endStatus(w io.Writer, style output.Style, s *snapshot.Snapshot, report doctor.Report, rows []volumeStatus) error {
	if len(rows) == 0 {
		fmt.Fprintln(w, noVolumes(s))
	}
	for _, text := range withoutRows(report) {
		fmt.Fprintf(w, "%s %s\n", style.Warning("warning:"), text)
	}
	for _, f := range withoutRow(report, rows) {
		fmt.Fprintf(w, "%s %s; %s\n", style.Warning(fmt.Sprintf("%s[%s]:", f.Severity, f.Code)), f.Summary,
			shell.Command("kubectl", "talosdisk", "explain", string(f.Code)))
	}
	switch unknown := report.Unknown(); {
	case report.Problems(doctor.Error) > 0:
		return exitCode(exitFound)
	case !report.Incomplete():
		return nil
	case len(unknown) > 0:
		fmt.Fprintf(w, "%s not everything could be looked at: %s\n", style.Warning("unknown:"), unknown[0].Why)
		if len(unknown) > 1 {
			fmt.Fprintln(w, "  kubectl talosdisk doctor has all that is not known, and why")
		}
	}
	return exitCode(exitUnknown)
}

// noVolumes is what it means that there is no row.
func noVolumes(s *snapshot.Snapshot) string {
	for _, part := range []string{snapshot.PartVolumes, snapshot.PartInstall, snapshot.PartNodes} {
		if why := s.Unread[part]; !why.IsZero() {
			return fmt.Sprintf("No local volumes are known: %s", why)
		}
	}
	if len(s.Nodes) == 0 {
		return "No local volumes: the cluster has no nodes."
	}
	return "No local volumes, and no disks that are to become any."
}

// withoutRow are the errors that stand in no row: of the cluster, or of nodes without a volume.
func withoutRow(r doctor.Report, rows []volumeStatus) []doctor.Finding {
	var all []doctor.Finding
	for _, f := range r.Findings {
		reported := f.Code == doctor.CodeRights ||
			slices.ContainsFunc(rows, func(row volumeStatus) bool { return slices.Contains(row.Codes, f.Code) })
		if f.Severity == doctor.Error && !reported {
			all = append(all, f)
		}
	}
	return all
}

// withoutRows is why there may be more than the rows tell: volumes that could not be read have none.
func withoutRows(r doctor.Report) []string {
	var why []string
	for _, f := range r.Findings {
		if f.Code == doctor.CodeRights && f.Severity != doctor.Info {
			why = append(why, fmt.Sprintf("%s: %s; kubectl talosdisk doctor --only TD0101 says who can fix that", f.Summary,
				strings.Join(f.Evidence, ", ")))
		}
	}
	return why
}

// statusOf are the chains of a report, by node and path, with the codes of what is wrong;
// notes are none.
func statusOf(r doctor.Report) []volumeStatus {
	var notes []doctor.Code
	for _, f := range r.Findings {
		if f.Severity == doctor.Info {
			notes = append(notes, f.Code)
		}
	}
	var all []volumeStatus
	for _, c := range r.Chains {
		c.Codes = slices.DeleteFunc(slices.Clone(c.Codes), func(code doctor.Code) bool { return slices.Contains(notes, code) })
		name := cmp.Or(c.Volume, c.Path, c.Claim)
		all = append(all, volumeStatus{metav1.ObjectMeta{Name: strings.Trim(c.Node+"/"+name, "/")}, c})
	}
	slices.SortStableFunc(all, func(a, b volumeStatus) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Path, b.Path))
	})
	return all
}

// statusTable is one row a chain.
func statusTable(all []volumeStatus) *metav1.Table {
	t := newTable("Node", "Disk", "Class", "Path", "Host", "Provisioner", "Kubelet", "Claim", "Pod", "Problem")
	addWide(t, "PV", "Why")
	for _, c := range all {
		pod := "-"
		if c.Target.Kind == "pod" {
			pod = c.Target.Name
		}
		var why []string
		for _, l := range c.Links {
			if l.Mark == doctor.MarkBroken || l.Mark == doctor.MarkUnknown {
				why = append(why, l.Name+": "+l.Text)
			}
		}
		addRow(t, cmp.Or(c.Node, "-"), cmp.Or(c.Disk, "-"), cmp.Or(c.Class, "-"), cmp.Or(c.Path, "-"),
			c.at(doctor.StageHost), c.at(doctor.StageProvisioner), c.at(doctor.StageKubelet), cmp.Or(c.Claim, "-"), pod, c.problem(),
			cmp.Or(c.Volume, "-"), cmp.Or(strings.Join(why, "; "), "-"))
	}
	return t
}

// problem is the first link that is broken, and the codes of what is wrong: "kubelet TD0401".
func (c volumeStatus) problem() string {
	var parts []string
	if i := slices.IndexFunc(c.Links, func(l doctor.Link) bool { return l.Mark == doctor.MarkBroken }); i >= 0 {
		parts = append(parts, c.Links[i].Name)
	}
	if len(c.Codes) > 0 {
		parts = append(parts, orNone(words(c.Codes)))
	}
	return cmp.Or(strings.Join(parts, " "), "-")
}

// at is the mark of one link of the chain.
func (c volumeStatus) at(stage doctor.Stage) string {
	for _, l := range c.Links {
		if l.Name == string(stage) {
			return string(l.Mark)
		}
	}
	return "-"
}
