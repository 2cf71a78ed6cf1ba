// SPDX-License-Identifier: Apache-2.0

// Package enter runs programs in a node, or in the cluster's network.
package enter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/cgroup"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/nodeinit"
)

// Node returns a command that runs in all namespaces of a node, in its cgroup
// and with its environment. When the context ends, what it started ends.
func Node(ctx context.Context, clusterd string, node layout.NodeInfo, argv ...string) *exec.Cmd {
	args := append([]string{"enter", strconv.Itoa(node.PID), node.Name}, argv...)
	cmd := group(exec.CommandContext(ctx, clusterd, args...))
	cmd.Env = []string{"PATH=" + nodeinit.Path, "HOME=/root", "LANG=C.UTF-8", "TERM=" + os.Getenv("TERM")}
	return cmd
}

// Network returns a command that runs on the machine, but in the cluster's
// network.
func Network(ctx context.Context, supervisor int, argv ...string) *exec.Cmd {
	args := append([]string{"--target", strconv.Itoa(supervisor), "--net", "--"}, argv...)
	return group(exec.CommandContext(ctx, "nsenter", args...))
}

// group makes the end of the context reach the children too: nsenter forks.
func group(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		if errors.Is(err, unix.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Exec is the other side of Node: it joins the node's cgroup and becomes
// nsenter. It returns only if it fails.
func Exec(pid, name string, argv []string) error {
	all, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	if err := cgroup.Join(all, nodeinit.CgroupPath(name)); err != nil {
		return err
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return err
	}
	args := append([]string{"nsenter", "--target", pid, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"}, argv...)
	if err := unix.Exec(nsenter, args, os.Environ()); err != nil {
		return fmt.Errorf("execute nsenter: %w", err)
	}
	return nil
}
