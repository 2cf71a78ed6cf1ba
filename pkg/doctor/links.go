// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
)

// linkChecks are those of the entries in the provisioner's directories.
func linkChecks() []Check {
	isLink := func(s *Subject) bool { return s.Class != nil && (s.Entry != nil || s.Volume != nil) }
	return []Check{
		{Code: "TD0501", Title: "link leads nowhere", Severity: Error, Stage: StageLink, About: OfChain,
			Needs: []Need{NeedInstall, NeedView}, Applies: isLink, Run: dangling},
	}
}

func dangling(s *Subject) Verdict {
	if s.Entry == nil || !s.Entry.Dangling() {
		return fine()
	}
	return found(Finding{
		Summary: fmt.Sprintf("the link %q on %s leads nowhere", s.Class.VolumePath(s.Entry.Name), s.NodeName),
	})
}
