// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The reason of a refusal is told, also of what is no object of the API.
func TestRefusalOfText(t *testing.T) {
	s := cluster(2)
	s.forbidden = []string{"get pods/log", "get nodes/proxy"}
	got := diagnose(t, s, Request{Targets: []snapshot.Ref{{Kind: kindPod, Namespace: "db", Name: "db-w-1"}}})
	for what, problem := range map[string]string{
		"figures": got.Nodes[0].Stats.Problem.Message,
		"log":     got.Provisioner.Value.LogProblem["w-1"].Message,
	} {
		if !strings.Contains(problem, "forbidden: not for you") {
			t.Errorf("%s: %q", what, problem)
		}
	}
}
