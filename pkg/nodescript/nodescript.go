// SPDX-License-Identifier: Apache-2.0

// Package nodescript knows what the disks, entries and mounts of a node look like
// from its provisioner pod: the fixed script that looks, and the parser of what it
// says. Names and paths reach the script as arguments, never as code.
//
// The exec itself belongs to package kube; nothing here changes a node.
package nodescript

import (
	_ "embed"
	"strconv"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

//go:embed record.sh
var records string

//go:embed lib.sh
var library string

// LinkName is what the script that changes links is called in the list of
// processes, where observe.sh looks for it.
const LinkName = "talosdisk-link"

//go:embed observe.sh
var observe string

// Script looks at a node and says what it sees, up to Observed. What follows it
// in the same shell, if anything, says End.
func Script() string { return RecordScript() + library + observe }

// RecordScript are the functions by which a node script says its records, for a script
// of another room. Records reads them.
func RecordScript() string { return records }

// Args are the arguments of Script. closely are the disks to read and to open:
// names in /dev with the shell's wildcards, or absolute paths; the caller has
// checked them (disk.ParseArg). The others are only described from sysfs. volumes is how
// many paths of volumes follow the script on its standard input, a line each.
func Args(classes []provisioner.Class, closely []string, volumes int) []string {
	args := []string{strconv.Itoa(volumes)}
	for _, c := range classes {
		args = append(args, c.Name, c.MountDir)
	}
	return append(append(args, "--"), closely...)
}
