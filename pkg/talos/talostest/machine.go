// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

// Machine is what lies below a node's API.
type Machine interface {
	// Locate returns the name by which this program reaches the node's file name,
	// absolute and clean, as process pid sees it; pid 0 is the node itself. None of
	// the directories in name is a symbolic link. The error is fs.ErrNotExist when
	// there is no such process.
	Locate(pid int, name string) (string, error)
	// Processes are all of the node's, as it counts itself.
	Processes(ctx context.Context) ([]Process, error)
	// StartKubelet starts it with Talos's own mounts and these, in this order, and
	// returns its PID as the node counts. An error is the container runtime's.
	StartKubelet(ctx context.Context, extra []mounts.ExtraMount) (pid int, err error)
	// StopKubelet returns when it is gone. Without one it does nothing.
	StopKubelet(ctx context.Context) error
	// KubeletHealthy is nil when /healthz answers, else what is wrong.
	KubeletHealthy(ctx context.Context) error
}

// Process is one of a node's.
type Process struct {
	PID, Parent int
	// Command is the short name, Executable the path, Args the words of the command
	// line with a space between them.
	Command, Executable, Args string
	// Label is SELinux's, "" without it.
	Label string
}

// LocateUnder is Locate for a machine whose / is the directory root, with the proc
// file system of its processes at root/proc.
func LocateUnder(root string, pid int, name string) (string, error) {
	if pid == 0 {
		return filepath.Join(root, name), nil
	}
	view := filepath.Join(root, "proc", strconv.Itoa(pid), "root")
	if _, err := os.Lstat(view); err != nil {
		return "", os.ErrNotExist
	}
	return view + filepath.Clean("/"+name), nil
}

// ReadProcesses are the processes of the proc file system at dir. One that ends
// meanwhile is left out.
func ReadProcesses(dir string) ([]Process, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := readProcess(filepath.Join(dir, e.Name()), pid); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

// readProcess reads one directory of proc(5).
func readProcess(dir string, pid int) (Process, bool) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Process{}, false
	}
	// pid (comm) state ppid …: comm may hold anything, also parentheses.
	open, end := strings.IndexByte(string(stat), '('), strings.LastIndexByte(string(stat), ')')
	if open < 0 || end < open {
		return Process{}, false
	}
	p := Process{PID: pid, Command: string(stat[open+1 : end])}
	if fields := strings.Fields(string(stat[end+1:])); len(fields) > 1 {
		p.Parent, _ = strconv.Atoi(fields[1])
	}
	if line, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
		p.Args = strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")
	}
	if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil {
		p.Executable = exe
	}
	if label, err := os.ReadFile(filepath.Join(dir, "attr", "current")); err == nil {
		p.Label = strings.TrimRight(string(label), "\x00\n")
	}
	return p, true
}
