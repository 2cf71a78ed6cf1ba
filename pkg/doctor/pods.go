// SPDX-License-Identifier: Apache-2.0

package doctor

import "fmt"

// podChecks are those of pods.
func podChecks() []Check {
	return []Check{
		{Code: "TD0709", Title: "claim not found", Severity: Error, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedClaims},
			Applies: func(s *Subject) bool { return s.Pod != nil && s.ClaimRef != nil }, Run: claimNotThere},
	}
}

func claimNotThere(s *Subject) Verdict {
	if s.Claim != nil {
		return fine()
	}
	return found(Finding{
		Summary: fmt.Sprintf("pod %q uses claim %q, which does not exist in namespace %q", s.Pod.Name, s.ClaimRef.Name, s.Pod.Namespace),
	})
}
