// SPDX-License-Identifier: Apache-2.0

// Package probe knows what the disks, entries and mounts of a node look like
// from its provisioner pod: the fixed script that looks, and the parser of what it
// says. Names and paths reach the script as arguments, never as code.
//
// The exec itself belongs to package collect; nothing here changes a node.
package probe

import (
	_ "embed"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// Library is what node scripts share: records, and one device looked at closely.
//
//go:embed lib.sh
var Library string

// LinkName is what the script that changes links is called in the list of
// processes, where probe.sh looks for it.
const LinkName = "talosdisk-link"

//go:embed probe.sh
var script string

// Argv is the command that looks at a node from its provisioner pod. closely are
// the disks to read and to open: names in /dev with the shell's wildcards, or
// absolute paths; the caller has checked them (disk.ParseArg). The others are only
// described from sysfs.
func Argv(classes []provisioner.Class, closely []string) []string {
	argv := []string{"/bin/sh", "-c", Library + script, "talosdisk-probe"}
	for _, c := range classes {
		argv = append(argv, c.Name, c.MountDir)
	}
	return append(append(argv, "--"), closely...)
}
