// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

// Selection is which disks of a node the selector of a Talos volume's document matches, or which volumes.
type Selection struct {
	machineconfig.VolumeSelector
	// NamesSystemDisk: the expression uses the variable system_disk.
	NamesSystemDisk bool `json:"namesSystemDisk,omitempty"`
	// Disks are the names of those that match and can be written to, sorted.
	Disks []string `json:"disks,omitempty"`
	// Volumes are, of an existing volume, the names of the devices that match, a partition's or a whole disk's. Talos takes the first.
	Volumes []string `json:"volumes,omitempty"`
	// Problem is why that is not known: the expression is not understood, or fails on a disk or a volume.
	Problem string `json:"problem,omitempty"`
}

// check holds the names of a file to what Talos takes (Talos v1.14,
// pkg/machinery/config/types/block).
func (s Selection) check() error {
	most := 34 // What of a partition's label the prefix leaves.
	if s.Existing() {
		most = maxName // Talos says nothing; it is the name of a directory.
	}
	letters := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-'
	}
	if s.Name == "" || len(s.Name) > most || strings.ContainsFunc(s.Name, func(r rune) bool { return !letters(r) }) {
		return fmt.Errorf("no volume of Talos can be called %q", cut(s.Name))
	}
	for _, d := range slices.Concat(s.Disks, s.Volumes) {
		if !kernelPath(d) {
			return fmt.Errorf("the kernel calls no disk %q", cut(d))
		}
	}
	return nil
}
