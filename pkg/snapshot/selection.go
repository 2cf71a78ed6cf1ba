// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

// Selection is which disks of a node the selector of a Talos volume's document matches.
type Selection struct {
	mounts.Selector
	// NamesSystemDisk: the expression uses the variable system_disk.
	NamesSystemDisk bool `json:"namesSystemDisk,omitempty"`
	// Disks are the names of those that match and can be written to, sorted.
	Disks []string `json:"disks,omitempty"`
	// Problem is why that is not known: the expression is not understood, or fails on a disk.
	Problem string `json:"problem,omitempty"`
}

// check holds the names of a file to what Talos takes (Talos v1.14,
// pkg/machinery/config/types/block).
func (s Selection) check() error {
	const most = 34
	letters := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-'
	}
	if s.Name == "" || len(s.Name) > most || strings.ContainsFunc(s.Name, func(r rune) bool { return !letters(r) }) {
		return fmt.Errorf("no volume of Talos can be called %q", cut(s.Name))
	}
	for _, d := range s.Disks {
		if !kernelPath(d) {
			return fmt.Errorf("the kernel calls no disk %q", cut(d))
		}
	}
	return nil
}
