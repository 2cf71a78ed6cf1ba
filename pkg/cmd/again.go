// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
)

// chooseHint is the command that was run, once for each of the installations that it may mean.
func (s *shared) chooseHint(several *observe.SeveralError) string {
	lines := []string{"say which one is meant:"}
	for _, i := range several.Installs {
		lines = append(lines, again(s.ran, "--provisioner-namespace", i.Namespace, "--provisioner", i.Name))
	}
	return strings.Join(lines, "\n")
}

// again is a command as it was run, with more flags, which win over those that it had of the names. What proves who
// somebody is, is left out: errors get into logs.
func again(ran *cobra.Command, more ...string) string {
	if ran == nil {
		return shell.Command(append(strings.Fields(name), more...)...)
	}
	words := strings.Fields(ran.CommandPath())
	args := ran.Flags().Args()
	var flags []string
	ran.Flags().Visit(func(f *pflag.Flag) {
		flag := "--" + f.Name
		switch values, ok := f.Value.(pflag.SliceValue); {
		case f.Name == "token" || f.Name == "password" || slices.Contains(more, flag):
		case ok:
			for _, value := range values.GetSlice() {
				flags = append(flags, flag, value)
			}
		case f.NoOptDefVal == "":
			flags = append(flags, flag, f.Value.String())
		case f.NoOptDefVal == f.Value.String():
			flags = append(flags, flag)
		default:
			flags = append(flags, flag+"="+f.Value.String())
		}
	})
	flags = append(flags, more...)
	if slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-") }) {
		return shell.Command(slices.Concat(words, flags, []string{"--"}, args)...)
	}
	return shell.Command(slices.Concat(words, args, flags)...)
}
