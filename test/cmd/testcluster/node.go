// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

// openNode finds a node of the running cluster.
func openNode(name string) (*cluster.Node, error) {
	c, err := cluster.Open()
	if err != nil {
		return nil, err
	}
	return c.Node(name)
}

func newStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the nodes and their disks",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cluster.Open()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "kubeconfig  %s\nkubectl     %s\nserver      %s\nlogs        %s\n\n",
				c.Kubeconfig(), c.KubectlPath(), c.Server(), c.LogDir())
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NODE\tIP\tPID\tKUBELET\tDISKS")
			for _, node := range c.Nodes() {
				running, err := node.KubeletRunning(cmd.Context())
				if err != nil {
					return err
				}
				disks, err := node.Disks()
				if err != nil {
					return err
				}
				state := "stopped"
				if running {
					state = "running"
				}
				names := make([]string, 0, len(disks))
				for _, d := range disks {
					names = append(names, d.Name+"="+resource.NewQuantity(d.Size, resource.BinarySI).String())
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", node.Name(), node.IP(), node.PID(), state, strings.Join(names, " "))
			}
			return w.Flush()
		},
	}
}

func newDisk() *cobra.Command {
	var d cluster.Disk
	cmd := &cobra.Command{
		Use:     "disk NODE NAME SIZE",
		Short:   "Add a disk to a node",
		Example: "  testcluster disk worker-1 vdb 1Gi --serial abc",
		Args:    cobra.ExactArgs(3),
		RunE: func(_ *cobra.Command, args []string) error {
			node, err := openNode(args[0])
			if err != nil {
				return err
			}
			size, err := resource.ParseQuantity(args[2])
			if err != nil {
				return fmt.Errorf("size %q: %w", args[2], err)
			}
			d.Name, d.Size = args[1], size.Value()
			return node.AddDisk(d)
		},
	}
	cmd.Flags().StringVar(&d.Serial, "serial", "", "serial number, for /dev/disk/by-id/virtio-SERIAL")
	cmd.Flags().StringVar(&d.PathID, "path-id", "", `name in /dev/disk/by-path; made of the disk's name if empty, no link if "none"`)
	cmd.Flags().StringArrayVar(&d.Links, "link", nil, "another link below /dev/disk, such as by-id/wwn-0x5000; may be repeated")
	cmd.Flags().Uint32Var(&d.SectorSize, "sector-size", 0, "logical block size in bytes (default 512)")
	cmd.Flags().BoolVar(&d.ReadOnly, "read-only", false, "a disk that refuses writes")

	var swap cluster.SwapOptions
	swapCommand := &cobra.Command{
		Use:   "swap NODE NAME NAME",
		Short: "Exchange the names of two disks; their links follow them",
		Args:  cobra.ExactArgs(3),
		RunE: func(_ *cobra.Command, args []string) error {
			node, err := openNode(args[0])
			if err != nil {
				return err
			}
			return node.SwapDisks(args[1], args[2], swap)
		},
	}
	swapCommand.Flags().BoolVar(&swap.ByIDStays, "by-id-stays", false, "leave links in by-id with the names")
	swapCommand.Flags().BoolVar(&swap.ByPathStays, "by-path-stays", false, "leave links in by-path with the names")
	cmd.AddCommand(swapCommand, &cobra.Command{
		Use:   "rm NODE NAME",
		Short: "Pull a disk out",
		Args:  cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			node, err := openNode(args[0])
			if err != nil {
				return err
			}
			return node.RemoveDisk(args[1])
		},
	})
	return cmd
}

func newKubelet() *cobra.Command {
	return &cobra.Command{
		Use:       "kubelet NODE stop|start",
		Short:     "Stop a kubelet, or start it with no extra mounts",
		Args:      cobra.ExactArgs(2),
		ValidArgs: []string{"stop", "start"},
		RunE: func(cmd *cobra.Command, args []string) error {
			node, err := openNode(args[0])
			if err != nil {
				return err
			}
			switch args[1] {
			case "stop":
				return node.StopKubelet(cmd.Context())
			case "start":
				return node.StartKubelet(cmd.Context())
			}
			return fmt.Errorf("want stop or start, not %q", args[1])
		},
	}
}

func newMount() *cobra.Command {
	var options []string
	cmd := &cobra.Command{
		Use:   "mount NODE DIR...",
		Short: "Restart a kubelet with these directories as its only extra mounts",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			node, err := openNode(args[0])
			if err != nil {
				return err
			}
			var mounts []cluster.Mount
			for _, dir := range args[1:] {
				mounts = append(mounts, cluster.Mount{Source: dir, Destination: dir, Options: options})
			}
			return node.StartKubelet(cmd.Context(), mounts...)
		},
	}
	cmd.Flags().StringSliceVar(&options, "options", []string{"rbind", "rslave", "rw"}, "mount options")
	return cmd
}

func newExec() *cobra.Command {
	return &cobra.Command{
		Use:     "exec NODE -- COMMAND...",
		Short:   "Run a command in a node",
		Example: "  testcluster exec worker-1 -- ls -l /dev/disk/by-id",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			node, err := openNode(args[0])
			if err != nil {
				return err
			}
			run := node.Command(cmd.Context(), args[1:]...)
			run.Stdin, run.Stdout, run.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			err = run.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() > 0 {
				return exitCode(exit.ExitCode())
			}
			return err
		},
	}
}
