// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

// firstPID is that of a Sim's first kubelet.
const firstPID = 1327

// errJail is what the container runtime says of a mount without a destination.
var errJail = errors.New(`failed to create task: "kubelet": failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: error jailing process inside rootfs: pivot_root .: invalid argument`)

// Sim is a machine made of directories: each file system of the node is one, and
// tables say where it is mounted, for the node and for the kubelet. It mounts and
// propagates by the kernel's rules for one node and one kubelet, but nothing travels
// from the kubelet back to the node: for leaks, give the node's table with SetHostMounts.
type Sim struct {
	dir     string
	profile Profile
	// name is the node's, for the kubelet's command line.
	name string

	mu   sync.Mutex
	next int
	// layers counts file systems, for their directories.
	layers  int
	host    []simMount
	kubelet *simKubelet
	// reported replaces what /proc/1/mountinfo says.
	reported []mounts.Mount
	// busy are mounted directories that cannot be unmounted.
	busy []string
}

// simKubelet is a kubelet that runs.
type simKubelet struct {
	pid    int
	mounts []simMount
}

// NewSim makes the machine of a release in dir, or in a new temporary directory.
func NewSim(dir string, profile Profile) (*Sim, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "talostest-")
		if err != nil {
			return nil, err
		}
		dir = made
	}
	s := &Sim{dir: dir, profile: profile, name: "talos-1", next: firstPID}
	if err := s.build(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// build makes the node's file systems, and the directories that every node has.
func (s *Sim) build() error {
	for _, m := range []struct{ point, device, fstype, source string }{
		{"/", "7:0", "squashfs", "/dev/loop0"},
		{"/dev", "0:6", "devtmpfs", "none"},
		{"/proc", "0:22", "proc", "none"},
		{"/sys", "0:23", "sysfs", "none"},
		{"/run", "0:29", "tmpfs", "none"},
		{"/system", "0:33", "tmpfs", "none"},
		{"/etc/kubernetes", "0:39", "tmpfs", "none"},
		{"/etc/cni", "0:38", "tmpfs", "none"},
		{"/var", "254:6", "xfs", "/dev/vda6"},
	} {
		if err := s.mount(m.point, m.device, m.fstype, m.source); err != nil {
			return err
		}
	}
	for _, dir := range []string{
		"/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd", "/var/log/containers", "/var/log/pods", "/var/mnt",
		"/sys/fs/cgroup", "/usr/lib/modules", "/usr/libexec/kubernetes", "/opt", "/mnt", "/boot", "/tmp", "/proc/1",
	} {
		if err := s.MkdirAll(dir); err != nil {
			return err
		}
	}
	for _, link := range [][2]string{{"usr/lib", "/lib"}, {"usr/bin", "/bin"}, {"../run", "/var/run"}} {
		if err := s.Symlink(link[0], link[1]); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"/proc/1/root": "/", "/proc/1/exe": "/sbin/init"} {
		if err := s.Symlink(target, name); err != nil {
			return err
		}
	}
	if err := s.WriteFile("/etc/os-release", "NAME=\"Talos\"\nID=talos\nPRETTY_NAME=\"Talos ("+string(s.profile)+")\"\n"); err != nil {
		return err
	}
	return s.write()
}

// Remove deletes the machine.
func (s *Sim) Remove() error { return os.RemoveAll(s.dir) }

// Locate implements Machine.
func (s *Sim) Locate(pid int, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	table := s.host
	switch {
	case pid == 0 || pid == 1:
	case s.kubelet != nil && pid == s.kubelet.pid:
		table = s.kubelet.mounts
	default:
		return "", fs.ErrNotExist
	}
	return locate(table, name), nil
}

// Processes implements Machine: an init, and the kubelet if there is one.
func (s *Sim) Processes(context.Context) ([]Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []Process{{PID: 1, Command: "init", Executable: "/sbin/init", Args: "/sbin/init", Label: "unconfined"}}
	if s.kubelet != nil {
		all = append(all, Process{
			PID: s.kubelet.pid, Parent: 1, Command: "kubelet", Executable: "/usr/local/bin/kubelet",
			Args: s.commandLine(" "), Label: "unconfined",
		})
	}
	return all, nil
}

// commandLine is the kubelet's.
func (s *Sim) commandLine(separator string) string {
	return strings.Join(append([]string{"/usr/local/bin/kubelet"}, kubeletArgs(s.name)...), separator)
}

// StartKubelet implements Machine.
func (s *Sim) StartKubelet(_ context.Context, extra []mounts.ExtraMount) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range extra {
		if m.Destination == "" {
			return 0, errJail
		}
	}
	s.next += 100
	pid := s.next
	table, err := s.container(append(defaultMounts(s.profile), extra...))
	if err != nil {
		return 0, err
	}
	s.kubelet = &simKubelet{pid: pid, mounts: table}
	proc := locate(s.host, "/proc/"+strconv.Itoa(pid))
	if err := os.MkdirAll(proc, 0o755); err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(proc, "cmdline"), []byte(s.commandLine("\x00")+"\x00"), 0o600); err != nil {
		return 0, err
	}
	for _, link := range [][2]string{{"/", "root"}, {"/usr/local/bin/kubelet", "exe"}} {
		if err := os.Symlink(link[0], filepath.Join(proc, link[1])); err != nil {
			return 0, err
		}
	}
	return pid, s.write()
}

// StopKubelet implements Machine.
func (s *Sim) StopKubelet(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kubelet == nil {
		return nil
	}
	pid := s.kubelet.pid
	s.kubelet = nil
	return os.RemoveAll(locate(s.host, "/proc/"+strconv.Itoa(pid)))
}

// KubeletHealthy implements Machine: a kubelet that runs is.
func (s *Sim) KubeletHealthy(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kubelet == nil {
		return errors.New(refused)
	}
	return nil
}

// Path is where a file of the node is; its directories must not be links.
func (s *Sim) Path(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return locate(s.host, name)
}

// MkdirAll makes a directory of the node, also where the node itself could not.
func (s *Sim) MkdirAll(name string) error { return os.MkdirAll(s.Path(name), 0o755) }

// WriteFile writes a file of the node, and makes its directory.
func (s *Sim) WriteFile(name, text string) error {
	if err := s.MkdirAll(path.Dir(name)); err != nil {
		return err
	}
	return os.WriteFile(s.Path(name), []byte(text), 0o600)
}

// Symlink makes a link on the node, and its directory.
func (s *Sim) Symlink(target, name string) error {
	if err := s.MkdirAll(path.Dir(name)); err != nil {
		return err
	}
	return os.Symlink(target, s.Path(name))
}

// SetHostMounts replaces what the node says of its own mounts; nil is the truth.
func (s *Sim) SetHostMounts(table []mounts.Mount) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reported = table
	return s.write()
}

// write writes the mountinfo files; the lock is held.
func (s *Sim) write() error {
	reported := s.reported
	if reported == nil {
		reported = lines(s.host, 20)
	}
	if err := os.WriteFile(locate(s.host, "/proc/1/mountinfo"), mountinfo(reported), 0o600); err != nil {
		return err
	}
	if s.kubelet == nil {
		return nil
	}
	name := fmt.Sprintf("/proc/%d/mountinfo", s.kubelet.pid)
	return os.WriteFile(locate(s.host, name), mountinfo(lines(s.kubelet.mounts, 300)), 0o600)
}
