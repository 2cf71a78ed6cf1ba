// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"slices"
	"testing"
)

// What a node of v1.14 has must be what the table says that it has.
func TestDefaultMountsAreTheRecordedOnes(t *testing.T) {
	recorded := lines(t, kubeletOwn)
	for _, m := range version(t, "v1.14.0-rc.1").DefaultMounts() {
		i := slices.IndexFunc(recorded, func(r Mount) bool { return r.Point == m.Destination && r.Propagation() != "private" })
		if i < 0 {
			continue // The recording is shortened.
		}
		if got, want := recorded[i].Propagation(), propagation(m.Options); got != want {
			t.Errorf("%s: recorded %s, table %s", m.Destination, got, want)
		}
		if got, want := recorded[i].ReadOnly(), slices.Contains(m.Options, "ro"); got != want {
			t.Errorf("%s: recorded read-only %v, table %v", m.Destination, got, want)
		}
	}
}
