// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rights"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// print writes the plan to stdout, and its warnings to stderr.
func (o *linkOptions) print(p link.Plan) error {
	printWarnings(o.shared, p)
	return o.printer.Print(o.Out, p, func() *metav1.Table { return linkTable(p, o.dryRun) })
}

func printWarnings(s *shared, p link.Plan) {
	style := s.Colour.Style(s.ErrOut)
	for _, l := range p.Links {
		for _, w := range l.Warnings {
			fmt.Fprintf(s.ErrOut, "%s %s/%s: %s\n", style.Warning("warning:"), l.Node, l.Disk, w)
			if forbidden, ok := rights.ParseForbidden(w); ok {
				fmt.Fprintf(s.ErrOut, "  %s %s\n", style.Hint("hint:"), strings.ReplaceAll(forbidden.Refusal().Hint(), "\n", "\n        "))
			}
		}
	}
}

// linkTable is one row a link.
func linkTable(p link.Plan, run dryRun) *metav1.Table {
	t := newTable("Node", "Disk", "Class", "Target", "Result", "PV", "Size")
	addWide(t, "Path", "Status", "Identity")
	for _, l := range p.Links {
		target, volume, size, identity := "-", "-", "-", "-"
		// Only what is there, or would be.
		if run == dryRunClient || l.Result == change.Created || l.Result == change.Unchanged ||
			run == dryRunServer && (l.Action == change.Create || l.Action == change.Keep) {
			target, volume = cmp.Or(l.Target, "-"), cmp.Or(l.Volume, "-")
		}
		if l.Size > 0 {
			size, identity = output.Size(l.Size), l.Identity.String()
		}
		addRow(t, l.Node, l.Disk, l.Class, target, resultOf(l, run), volume, size,
			cmp.Or(l.HostPath, "-"), cmp.Or(l.VolumeState, "-"), identity)
	}
	return t
}

// resultOf is what became of a link, or what would become of it.
func resultOf(l link.Link, run dryRun) string {
	if run == dryRunNone {
		return string(l.Result)
	}
	return string(l.Action.Would()) + run.suffix()
}

// suffix is kubectl's.
func (d dryRun) suffix() string {
	switch d {
	case dryRunClient:
		return " (dry run)"
	case dryRunServer:
		return " (server dry run)"
	}
	return ""
}

// linkErrors says what of a plan was not done, or would not be.
func linkErrors(p link.Plan, s *snapshot.Snapshot, run dryRun) error {
	var parts []failure.Part
	counts := make(map[string]int)
	add := func(l link.Link, word, hint, text string) {
		counts[word]++
		if forbidden, ok := rights.ParseForbidden(text); ok {
			hint = forbidden.Refusal().Hint()
		}
		parts = append(parts, failure.Part{Subject: l.Node + "/" + l.Disk, Err: failure.New(text, hint)})
	}
	for _, l := range p.Links {
		switch {
		case l.Refused():
			add(l, "refused", hints(l.Objections), messages(l.Objections))
		case l.Action == change.Skip && run == dryRunClient:
			// Nobody asked for the nodes to be looked at.
		case l.Action == change.Skip:
			add(l, "unknown", "", l.Detail)
		case run != dryRunNone:
		case l.Result == change.Refused:
			add(l, "refused", "", l.Detail)
		case l.Result == change.Failed, l.Result == change.Unknown, l.Result == change.NotDone:
			add(l, string(l.Result), "", cmp.Or(l.Detail, "no reason given"))
		case l.VolumeState == link.VolumeAwaited:
			add(l, "without its volume", provisionerLog(s, l.Node), l.Detail)
		case l.Result == change.Unlinked && l.Detail != "":
			add(l, "unlinked with trouble", "", l.Detail)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	var words []string
	for _, word := range []string{"refused", "failed", "unknown", "not done", "without its volume", "unlinked with trouble"} {
		switch n := counts[word]; {
		case n == 0:
		case len(p.Links) == 1:
			words = append(words, "the link is "+word)
		case len(words) == 0:
			words = append(words, fmt.Sprintf("%d of %d links %s", n, len(p.Links), word))
		default:
			words = append(words, fmt.Sprintf("%d %s", n, word))
		}
	}
	return failure.Several(strings.Join(words, ", "), parts)
}

func provisionerLog(s *snapshot.Snapshot, node string) string {
	i := slices.IndexFunc(s.Nodes, func(n snapshot.Node) bool { return n.Name == node })
	if i < 0 || s.Nodes[i].Pod.Value == nil {
		return ""
	}
	return shell.Command("kubectl", "-n", s.Install.Namespace, "logs", s.Nodes[i].Pod.Value.Name, "-c", s.Install.Container, "--tail=20")
}

func messages(objections []disk.Objection) string {
	all := make([]string, 0, len(objections))
	for _, o := range objections {
		all = append(all, o.Message)
	}
	return strings.Join(all, "; ")
}

// hints is the hint that gets a person further: if one objection cannot be
// overridden, how to override the others is no help.
func hints(objections []disk.Objection) string {
	final := slices.ContainsFunc(objections, func(o disk.Objection) bool { return !o.Reason.Acceptable() })
	var all []string
	for _, o := range objections {
		if o.Hint != "" && (!final || !o.Reason.Acceptable()) && !slices.Contains(all, o.Hint) {
			all = append(all, o.Hint)
		}
	}
	return strings.Join(all, "\n")
}

// interrupted joins what was reported with why the run ended early, if it did.
func interrupted(reported, cause error) error {
	var partial *failure.Partial
	switch {
	case cause == nil:
		return reported
	case !errors.As(reported, &partial):
		return cause
	case errors.Is(cause, context.Canceled):
		partial.Message = "interrupted: " + partial.Message
	default:
		partial.Message = cause.Error() + ": " + partial.Message
	}
	return reported
}
