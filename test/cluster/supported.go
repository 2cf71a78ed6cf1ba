// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/cgroup"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/programs"
)

// Supported tells why this machine cannot run a test cluster; nil if it can.
// It changes nothing.
func Supported() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a test cluster needs Linux, this is %s", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("a test cluster needs root")
	}
	if _, err := cgroup.Hierarchies(); err != nil {
		return err
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("a test cluster needs loop devices: %w", err)
	}
	if err := supportsOverlay(); err != nil {
		return err
	}
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("a test cluster is built with Go: %w", err)
	}
	if missing := programs.Missing(); len(missing) > 0 {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return fmt.Errorf("a test cluster needs %s, and there is no apt-get to install it", strings.Join(missing, ", "))
		}
	}
	return supportsNamespaces()
}

func supportsOverlay() error {
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(filesystems)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == "overlay" {
			return nil
		}
	}
	// It may be a module that is loaded when it is first asked for.
	if exec.Command("modprobe", "overlay").Run() == nil {
		return nil
	}
	return errors.New("a test cluster needs overlayfs, which this kernel does not have")
}

// supportsNamespaces makes the namespaces of a node around a mount, which is
// what most sandboxes refuse.
func supportsNamespaces() error {
	cmd := exec.Command("mount", "-t", "tmpfs", "tmpfs", "/mnt")
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags:   unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Unshareflags: unix.CLONE_NEWNS,
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("a test cluster needs namespaces and mounts: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
