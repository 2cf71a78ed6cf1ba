// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"github.com/spf13/cobra"
	"k8s.io/kubectl/pkg/util/templates"
)

func newOptions(s *shared) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "options",
		Short: "Print the flags that every command takes",
		Long:  "Print the flags that every command takes. Most are kubectl's and choose the cluster, the user and the namespace.",
		Example: templates.Examples(`
			# Print the flags that every command takes
			kubectl talosdisk options

			# Use one of them: they go behind "talosdisk"
			kubectl talosdisk version --context staging`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Usage() },
	}
	// Usage goes to stderr by default, but here it is what was asked for.
	cmd.SetErr(s.Out)
	templates.UseOptionsTemplates(cmd)
	return cmd
}
