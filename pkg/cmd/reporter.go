// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"fmt"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// reporter says on stderr how a run goes.
type reporter struct {
	*output.Progress
	shared *shared
}

var _ cluster.Reporter = reporter{}

func newReporter(s *shared) reporter { return reporter{output.NewProgress(s.ErrOut), s} }

// Note says what people should know.
func (r reporter) Note(text string) { r.shared.note(text) }

// Warn says what went wrong beside the work, and what helps.
func (r reporter) Warn(text string, cause error) {
	if cause != nil {
		text += ": " + r.shared.withHint(cause)
	}
	r.shared.warn(text)
}

func (s *shared) note(text string) { fmt.Fprintf(s.ErrOut, "note: %s\n", output.Escape(text)) }

func (s *shared) warn(text string) {
	fmt.Fprintf(s.ErrOut, "%s %s\n", s.Colour.Style(s.ErrOut).Warning("warning:"), output.Escape(text))
}

// withHint is an error with the hint below it.
func (s *shared) withHint(err error) string {
	text, hint := s.explain(err)
	if hint != "" {
		text += "\n  hint: " + strings.ReplaceAll(hint, "\n", "\n        ")
	}
	return text
}

// noteNoTalos says what is not known without the Talos API.
func (s *shared) noteNoTalos(snap *snapshot.Snapshot, what string) {
	if !snap.NoTalos.IsZero() {
		s.note(fmt.Sprintf("without the Talos API: %s; %s", snap.NoTalos, what))
	}
}

// warnTalos says of which nodes Talos did not list the uses, or not all.
func (s *shared) warnTalos(snap *snapshot.Snapshot) {
	for _, u := range link.TalosUnread(snap) {
		s.warn(fmt.Sprintf("what Talos uses on %s is not known, the pods' view has to do: %s", u.Where(), u.Why))
	}
}

// talosUnread are the parts of an error about the same.
func talosUnread(s *snapshot.Snapshot) []failure.Part {
	var parts []failure.Part
	for _, u := range link.TalosUnread(s) {
		parts = append(parts, failure.Part{Subject: "the Talos API of " + u.Where(), Err: failure.New(u.Why, "")})
	}
	return parts
}

// unlooked are the nodes that could not be looked at, and why. Where no pod is meant to be, Talos's answer is all that can be had.
func unlooked(s *snapshot.Snapshot) []failure.Part {
	var parts []failure.Part
	for _, n := range s.Nodes {
		if !s.SeenByPod(n) && !s.SeenByTalosAlone(n) {
			parts = append(parts, failure.Part{Subject: "node " + n.Name, Err: fmt.Errorf("%s", n.View.Why())})
		}
	}
	return parts
}

// unlookedOthers are the installations that could not be looked at on nodes that another one's pod saw, and why.
func unlookedOthers(s *snapshot.Snapshot) []failure.Part {
	var parts []failure.Part
	for _, as := range s.Installations() {
		name := fmt.Sprintf("provisioner %s/%s", as.Install.Namespace, as.Install.Name)
		if len(s.Others) > 0 && !as.Unread[snapshot.PartInstall].IsZero() {
			parts = append(parts, failure.Part{Subject: name, Err: fmt.Errorf("%s", as.Unread[snapshot.PartInstall])})
			continue
		}
		for _, n := range as.Nodes {
			if n.Wanted && n.View.Value == nil && s.SeenByPod(n) {
				parts = append(parts, failure.Part{Subject: fmt.Sprintf("%s on node %s", name, n.Name), Err: fmt.Errorf("%s", n.View.Why())})
			}
		}
	}
	return parts
}
