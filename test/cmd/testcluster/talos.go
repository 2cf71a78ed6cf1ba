// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/spf13/cobra"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

func newTalos() *cobra.Command {
	o := talosnode.Options{}
	profile := string(talostest.V113)
	cmd := &cobra.Command{
		Use:   "talos DIR",
		Short: "Serve the Talos API beside every node, until it is interrupted",
		Long: "Serve the Talos API beside every node, until it is interrupted. In DIR it writes the talosconfigs admin, operator " +
			"and reader. Disks that are added later are told of when it is started again.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cluster.Open()
			if err != nil {
				return err
			}
			o.Profile = talostest.Profile(profile)
			t, err := talosnode.Start(cmd.Context(), c, o)
			if err != nil {
				return err
			}
			for name, r := range map[string]role.Role{"admin": role.Admin, "operator": role.Operator, "reader": role.Reader} {
				if err := t.Talosconfig(filepath.Join(args[0], name), talostest.Access{Roles: []role.Role{r}}); err != nil {
					return err
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "export TALOSCONFIG=%s\n", filepath.Join(args[0], "admin"))
			<-cmd.Context().Done()
			return t.Leave()
		},
	}
	cmd.Flags().StringVar(&profile, "release", profile, "release of Talos")
	cmd.Flags().BoolVar(&o.Native, "native", false, "configurations as v1.14 makes them, with a KubeletConfig document")
	return cmd
}
