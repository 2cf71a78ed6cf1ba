// SPDX-License-Identifier: Apache-2.0

package link

import (
	_ "embed"
	"strconv"

	"github.com/talosdisk/kubectl-talosdisk/pkg/probe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

//go:embed link.sh
var steps string

// Script is what runs on a node: it looks, then performs steps. It reaches the
// node on standard input, followed by the words of the steps, a line each, so that
// neither is bounded by what proxies let pass in a URL.
func Script() string { return probe.Script() + steps }

// Argv is the command that reads Script and runs it. The arguments are data. If
// steps may follow, the command is called so that another look can tell.
func Argv(classes []provisioner.Class, closely []string, stepsFollow bool) []string {
	const read = `n=$1; shift; script=$(head -c "$n"); eval "$script"`
	name := "talosdisk-look"
	if stepsFollow {
		name = probe.LinkName
	}
	return append([]string{"/bin/sh", "-c", read, name, strconv.Itoa(len(Script()))}, probe.Args(classes, closely)...)
}
