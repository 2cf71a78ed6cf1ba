// SPDX-License-Identifier: Apache-2.0

package link

import (
	_ "embed"
	"strconv"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

//go:embed link.sh
var steps string

// Script is what runs on a node: it looks, then performs steps. It reaches the
// node on standard input, followed by the words of the steps, a line each, so that
// neither is bounded by what proxies let pass in a URL.
func Script() string { return nodescript.Script() + steps }

// Argv is the command that reads Stdin and runs the script in it. The arguments are
// data; how many volumes there are is one. If steps may follow, the command is called so
// that another look can tell.
func Argv(classes []provisioner.Class, closely, volumes []string, stepsFollow bool) []string {
	const read = `n=$1; shift; script=$(head -c "$n"); eval "$script"`
	name := "talosdisk-look"
	if stepsFollow {
		name = nodescript.LinkName
	}
	return append([]string{"/bin/sh", "-c", read, name, strconv.Itoa(len(Script()))}, nodescript.Args(classes, closely, len(volumes))...)
}

// Stdin is what the command of Argv reads before any step: the script, and the paths of
// volumes, a line each, as VolumePaths gives them.
func Stdin(volumes []string) string {
	var b strings.Builder
	b.WriteString(Script())
	for _, path := range volumes {
		b.WriteString(path + "\n")
	}
	return b.String()
}
