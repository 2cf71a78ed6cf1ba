// SPDX-License-Identifier: Apache-2.0

// Package nodeinit is the first process of a node: it builds what the node
// sees of the world, starts containerd in it, and reaps.
//
// It runs in two steps, because a cgroup namespace starts at the cgroup of the
// thread that makes it, and a Go process has many threads: Enter makes the
// namespace and executes the program again, Run does the rest.
package nodeinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/cgroup"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
)

// Spec is what a node is to be.
type Spec struct {
	Node     layout.NodeInfo `json:"node"`
	Dir      layout.Dir      `json:"dir"`
	Programs string          `json:"programs"`
	// OSImage is the system that the node says it runs.
	OSImage string `json:"osImage"`
}

// CgroupPath is the group of a node, below the root of every hierarchy.
func CgroupPath(node string) string { return layout.Name + "/" + node }

// Args is the command line, after the program's name, that leads to Run.
func (s Spec) Args(step string) ([]string, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return []string{step, string(data)}, nil
}

// ParseSpec reads the last argument of Args.
func ParseSpec(arg string) (Spec, error) {
	var s Spec
	err := json.Unmarshal([]byte(arg), &s)
	return s, err
}

// Enter moves the process into the node's cgroups, makes them the root of a
// new cgroup namespace, and executes the program again for Run. It returns
// only if it fails.
func Enter(spec Spec) error {
	all, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	if err := cgroup.Join(all, CgroupPath(spec.Node.Name)); err != nil {
		return err
	}
	args, err := spec.Args("node-run")
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make a cgroup namespace: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(self, append([]string{"clusterd"}, args...), environment())
}

// Run builds the node and stays until containerd ends, which ends the node.
func Run(spec Spec) error {
	// Registered before anything is started, so that no end is missed.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)

	if err := unix.Sethostname([]byte(spec.Node.Name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := buildRoot(spec); err != nil {
		return fmt.Errorf("build the node's file system: %w", err)
	}
	if err := writeContainerdConfig(spec.Node); err != nil {
		return fmt.Errorf("configure containerd: %w", err)
	}
	containerd, err := os.StartProcess("/usr/bin/containerd", []string{"containerd", "--config", containerdConfig}, &os.ProcAttr{
		Dir: "/", Env: environment(), Files: []*os.File{nil, os.Stdout, os.Stderr},
	})
	if err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	for range ended {
		if reap(containerd.Pid) {
			return errors.New("containerd ended")
		}
	}
	return nil
}

// reap takes every process that ended, the node's own and those that lost
// their parents, and reports whether the given one was among them.
func reap(pid int) bool {
	found := false
	for {
		got, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if got <= 0 || err != nil {
			return found
		}
		found = found || got == pid
	}
}

// environment is the same for everything in a node, whatever the caller's is.
func environment() []string {
	return []string{"PATH=" + Path, "HOME=/root", "LANG=C.UTF-8"}
}

// Path is the PATH of a node.
const Path = layout.BinDir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
