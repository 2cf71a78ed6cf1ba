// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"strconv"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// Look is what a node is asked to look at.
type Look struct {
	// Classes are those whose directories are listed.
	Classes []provisioner.Class
	// Closely are the disks to read and to open: names in /dev with the shell's wildcards, or absolute paths; the caller has
	// checked them (disk.ParseArg). The others are only described from sysfs.
	Closely []string
	// Volumes are paths of volumes, as VolumePaths gives them. The node says where each leads.
	Volumes []string
	// StepsFollow gives the command the name by which another look can tell that it may change links.
	StepsFollow bool
}

// Argv is the command that reads Input and runs the script in it. Its arguments are data. The script reaches the node on standard
// input, followed by the words of the steps, a line each, so that neither is bounded by what proxies let pass in a URL.
func (l Look) Argv() []string {
	// Only the shell's own read is sure to take no more than its line: head -c of busybox fills a buffer, and what follows the script is
	// lost in it. A script that was cut on its way does not run.
	const read = `n=$1 script=; shift
while [ "$n" -gt 0 ] && IFS= read -r line; do script=$script$line"
"; n=$((n - 1)); done
[ "$n" -eq 0 ] && eval "$script"`
	name := "talosdisk-look"
	if l.StepsFollow {
		name = linkName
	}
	return append([]string{"/bin/sh", "-c", read, name, strconv.Itoa(strings.Count(Script(), "\n"))}, l.args()...)
}

// args are the arguments of the script. How many volumes there are is one; their paths follow on standard input.
func (l Look) args() []string {
	args := []string{strconv.Itoa(len(l.Volumes))}
	for _, c := range l.Classes {
		args = append(args, c.Name, c.MountDir)
	}
	return append(append(args, "--"), l.Closely...)
}

// Input is what the command of Argv reads before any step: the script, and the paths of volumes, a line each.
func (l Look) Input() string {
	var b strings.Builder
	b.WriteString(Script())
	for _, path := range l.Volumes {
		b.WriteString(path + "\n")
	}
	return b.String()
}
