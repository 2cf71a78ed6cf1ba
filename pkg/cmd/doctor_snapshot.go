// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"io"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// saveSnapshot writes a snapshot to a file that only its owner may read.
func saveSnapshot(name string, s *snapshot.Snapshot) error {
	return replaceFile(name, "a snapshot", 0o600, func(w io.Writer) error { return snapshot.Save(w, s) })
}
