// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// The kinds that a snapshot holds are those of package talos, which this one must not import.
func TestKindsAreTalos(t *testing.T) {
	for kind, code := range map[talos.Kind]doctor.Code{
		talos.ErrNotConfigured: "TD0102", talos.ErrConfig: "TD0102",
		talos.ErrUnreachable: "TD0103", talos.ErrTLS: "TD0103", talos.ErrForwarding: "TD0103", talos.ErrOtherNode: "TD0103",
		talos.ErrUnproven: "TD0103",
		talos.ErrExpired:  "TD0104", talos.ErrDenied: "TD0105",
	} {
		s := &snapshot.Snapshot{Nodes: []snapshot.Node{{Name: "w-4", Ready: true, OSImage: "Talos (v1.13.9)",
			Talos: snapshot.Unread[snapshot.Talos](problem.Problem{Kind: problem.Kind(kind), Message: "some text"})}}}
		r := doctor.Run(s, doctor.Options{Only: []doctor.Code{"TD0102", "TD0103", "TD0104", "TD0105"}})
		if len(r.Findings) != 1 || r.Findings[0].Code != code {
			t.Errorf("%s: %+v", kind, r.Findings)
		}
	}
}
