// SPDX-License-Identifier: Apache-2.0

package change

import "testing"

func TestWould(t *testing.T) {
	for action, want := range map[Action]Result{
		Create: Created,
		Remove: Unlinked,
		Patch:  Patched,
		Keep:   Unchanged,
		Refuse: Refused,
		Skip:   Unknown,
	} {
		if got := action.Would(); got != want {
			t.Errorf("%s: %s, not %s", action, got, want)
		}
	}
}

func TestDone(t *testing.T) {
	for result, want := range map[Result]bool{
		Created:    true,
		Unlinked:   true,
		Patched:    true,
		Staged:     true,
		Unchanged:  false,
		Refused:    false,
		Failed:     false,
		RolledBack: false,
		Tried:      false,
		Unknown:    false,
		NotDone:    false,
	} {
		if got := result.Done(); got != want {
			t.Errorf("%s: %t", result, got)
		}
	}
}
