// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The codes of the checks of Talos's own warnings.
const (
	codeTalosWarns Code = "TD0901"
)

// talosChecks relay what Talos warns of by itself.
func talosChecks() []Check {
	return []Check{
		{
			Code: codeTalosWarns, Title: "Talos warns by itself", Severity: Warning, Stage: StageHost, About: OfNode,
			Needs:   []Need{NeedTalos},
			Applies: runsTalos,
			Run:     diagnostics,
		},
	}
}

func diagnostics(s *Subject) Verdict {
	reported := s.Node.Talos.Value.Diagnostics
	if reported.Value == nil {
		return unknown("%s", reported.Why())
	}
	var all []Finding
	for _, d := range *reported.Value {
		f := Finding{
			Summary: fmt.Sprintf("Talos on %s warns: %s", allNodes, oneLine(d.Message)),
			Because: "Talos itself found it; it need not have to do with volumes",
			Fix: []Step{
				{
					Text:    "its page: https://talos.dev/diagnostic/" + d.ID,
					Command: shell.Command("talosctl", "-n", address(s.Node), "get", "diagnostics"),
				},
			},
			Objects: []snapshot.Ref{{Kind: "node", Name: s.Node.Name, UID: s.Node.UID}},
		}
		for _, detail := range d.Details {
			f.Evidence = append(f.Evidence, s.Node.Name+": "+oneLine(detail))
		}
		all = append(all, f)
	}
	return found(all...)
}
