// SPDX-License-Identifier: Apache-2.0

// Command testcluster is the test cluster by hand: what the package cluster
// offers to tests, as commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	var exit exitCode
	switch {
	case err == nil:
	case errors.As(err, &exit):
		os.Exit(int(exit))
	default:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// exitCode is how a command in a node ended that has said itself why.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "testcluster",
		Short:         "A real Kubernetes with Talos-like nodes on this machine, for tests",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(
		newUp(), newDown(), newStatus(), newReset(), newKubeconfig(),
		newDisk(), newKubelet(), newMount(), newExec(), newImage(), newTalos(),
	)
	return cmd
}

func newUp() *cobra.Command {
	o := cluster.Options{Detach: true}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster that stays until it is told to go down",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Progress = cmd.ErrOrStderr()
			c, err := cluster.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "export KUBECONFIG=%s\n", c.Kubeconfig())
			return nil
		},
	}
	cmd.Flags().IntVar(&o.Nodes, "nodes", 3, "how many nodes")
	cmd.Flags().StringArrayVar(&o.Images, "image", nil, "image archive that every node gets; may be repeated")
	cmd.Flags().StringVar(&o.OSImage, "os-image", "", "system that the nodes say they run")
	return cmd
}

func newDown() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End the cluster, and remove what one that crashed left behind",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cluster.Down(cmd.Context()) },
	}
}

func newReset() *cobra.Command {
	return &cobra.Command{
		Use:   "reset",
		Short: "Make the cluster what it was when it came up",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cluster.Open()
			if err != nil {
				return err
			}
			return c.Reset(cmd.Context())
		},
	}
}

func newKubeconfig() *cobra.Command {
	var user string
	var groups []string
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of a kubeconfig, the administrator's or a user's",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cluster.Open()
			if err != nil {
				return err
			}
			path := c.Kubeconfig()
			if user != "" {
				if path, err = c.KubeconfigFor(user, groups...); err != nil {
					return err
				}
			}
			fmt.Fprintln(cmd.OutOrStdout(), path)
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "user that the kubeconfig is for")
	cmd.Flags().StringArrayVar(&groups, "group", nil, "group of the user; may be repeated")
	return cmd
}

func newImage() *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Images of the nodes"}
	cmd.AddCommand(&cobra.Command{
		Use:   "load FILE",
		Short: "Import an image archive on every node",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cluster.Open()
			if err != nil {
				return err
			}
			return c.LoadImage(cmd.Context(), args[0])
		},
	})
	return cmd
}
