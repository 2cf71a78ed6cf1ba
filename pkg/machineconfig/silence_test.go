// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// TestSilence breaks configurations everywhere, and holds that no error says what is in them.
func TestSilence(t *testing.T) {
	refused := 0
	for seed := range uint64(150) {
		w := newWriter(seed)
		raw := w.config(seed%2 == 0)
		for range 20 {
			at := w.IntN(len(raw))
			cut := at + w.IntN(len(raw)-at)
			broken := raw[:at] + []string{"*", "&a ", "[", "\t", "'", "\n", "!!int ", "!!binary ", ": ", "<<: ", "\xFF", "%"}[w.IntN(12)] + raw[cut:]
			for _, err := range []error{
				second(readMounts([]byte(broken))),
				second(editMounts([]byte(broken), mountsChange{Add: []extraMount{disks()}, Remove: []int{0}})),
				second(convertMounts([]byte(broken), mountsChange{Add: []extraMount{disks()}})),
			} {
				if err == nil {
					continue
				}
				refused++
				if text := err.Error() + failure.Hint(err); strings.Contains(text, "CANARY") || strings.Contains(text, "TFMwd") {
					t.Fatalf("seed %d: %q quotes the configuration", seed, text)
				}
			}
			silent(t, diffMounts([]byte(raw), []byte(broken)), diffMounts([]byte(broken), []byte(raw)))
		}
	}
	if refused < 1000 {
		t.Errorf("only %d were refused", refused)
	}
}

func second[T any](_ T, err error) error { return err }
