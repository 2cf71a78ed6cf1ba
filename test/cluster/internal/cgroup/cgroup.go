// SPDX-License-Identifier: Apache-2.0

// Package cgroup gives every node a subtree of the machine's cgroups, makes it
// the root of what the node sees, and removes it afterwards.
//
// Both versions are handled. On a hybrid machine, where controllers are bound
// to version 1 and an empty version 2 tree lies beside them, version 1 counts.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Hierarchy is one mounted tree of cgroups.
type Hierarchy struct {
	// Mount is where the machine has it.
	Mount string
	// Options are the mount options that choose it in version 1:
	// "cpu,cpuacct", or "none,name=systemd".
	Options string
	// V2 is the unified hierarchy.
	V2 bool
}

// required are the controllers that a kubelet does not start without.
func required() []string { return []string{"cpu", "cpuacct", "cpuset", "memory", "pids"} }

// Hierarchies returns the trees that hold controllers: one of version 2, or
// all of version 1.
func Hierarchies() ([]Hierarchy, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, err
	}
	var v1, v2 []Hierarchy
	seen := make(map[string]bool)
	for _, m := range mounts {
		switch {
		case seen[m.Mountpoint]:
		case m.FSType == "cgroup":
			v1 = append(v1, Hierarchy{Mount: m.Mountpoint, Options: v1Options(m.VFSOptions)})
		default:
			v2 = append(v2, Hierarchy{Mount: m.Mountpoint, V2: true})
		}
		seen[m.Mountpoint] = true
	}
	v1Err := checkV1(v1)
	switch {
	case v1Err == nil:
		return v1, nil
	case len(v2) > 0:
		return v2[:1], nil
	}
	return nil, v1Err
}

func checkV1(all []Hierarchy) error {
	var have []string
	for _, h := range all {
		have = append(have, strings.Split(h.Options, ",")...)
	}
	for _, controller := range required() {
		if !slices.Contains(have, controller) {
			return fmt.Errorf("a test cluster needs cgroups: none with the controller %q is mounted", controller)
		}
	}
	return nil
}

// v1Options keeps of "rw,cpu,cpuacct" or "rw,xattr,name=systemd" what chooses
// the hierarchy.
func v1Options(super string) string {
	var keep []string
	for _, option := range strings.Split(super, ",") {
		if strings.HasPrefix(option, "name=") {
			return "none," + option
		}
		switch option {
		case "rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "all", "none", "favordynmods":
		default:
			if !strings.HasPrefix(option, "release_agent=") {
				keep = append(keep, option)
			}
		}
	}
	return strings.Join(keep, ",")
}

// Create makes a group in every hierarchy, its parents too.
func Create(all []Hierarchy, group string) error {
	for _, h := range all {
		path := h.Mount
		for _, part := range strings.Split(group, "/") {
			parent := path
			path = filepath.Join(path, part)
			if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("make a cgroup: %w", err)
			}
			if err := inherit(h, parent, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// inherit fills what the kernel leaves empty, or switched off, in a new group.
func inherit(h Hierarchy, parent, path string) error {
	if h.V2 {
		return Delegate(parent)
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(path, file), value, 0); err != nil {
			return err
		}
	}
	return nil
}

// Delegate switches on, for the children of a version 2 group, every
// controller that the group has. The group must hold no processes.
func Delegate(path string) error {
	controllers, err := os.ReadFile(filepath.Join(path, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(controllers)) {
		if err := os.WriteFile(filepath.Join(path, "cgroup.subtree_control"), []byte("+"+controller), 0); err != nil {
			return fmt.Errorf("delegate the controller %q in %q: %w", controller, path, err)
		}
	}
	return nil
}

// Join moves the calling process into a group.
func Join(all []Hierarchy, group string) error {
	for _, h := range all {
		path := filepath.Join(h.Mount, group)
		if h.V2 {
			// The node's init made itself a leaf, because processes may not
			// live where controllers are delegated.
			if leaf := filepath.Join(path, "init"); isDir(leaf) {
				path = leaf
			}
		}
		if err := os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("join a cgroup: %w", err)
		}
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Mount mounts the hierarchies at a directory, as the calling process's cgroup
// namespace shows them: its group is their root.
func Mount(all []Hierarchy, dir string) error {
	if len(all) == 1 && all[0].V2 {
		if err := unix.Mount("cgroup2", dir, "cgroup2", 0, ""); err != nil {
			return fmt.Errorf("mount cgroup2: %w", err)
		}
		leaf := filepath.Join(dir, "init")
		if err := os.MkdirAll(leaf, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("move init into its own cgroup: %w", err)
		}
		return Delegate(dir)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount a tmpfs for cgroups: %w", err)
	}
	for _, h := range all {
		target := filepath.Join(dir, filepath.Base(h.Mount))
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("cgroup", target, "cgroup", 0, h.Options); err != nil {
			return fmt.Errorf("mount the cgroup hierarchy %q: %w", h.Options, err)
		}
		for _, controller := range strings.Split(h.Options, ",") {
			// "cpu,cpuacct" is found as cpu and as cpuacct too.
			link := filepath.Join(dir, controller)
			if strings.Contains(h.Options, ",") && !strings.Contains(h.Options, "=") && link != target {
				if err := os.Symlink(filepath.Base(target), link); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Remove kills what is left in a group and below it, and removes them all. The
// kernel is given until the context's end to let go of dead processes.
func Remove(ctx context.Context, all []Hierarchy, group string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var errs []error
		for _, h := range all {
			errs = append(errs, removeTree(filepath.Join(h.Mount, group)))
		}
		err := errors.Join(errs...)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroups: %w", err)
		case <-tick.C:
		}
	}
}

func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if entry.IsDir() {
			errs = append(errs, removeTree(filepath.Join(path, entry.Name())))
		}
	}
	procs, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
	errs = append(errs, err)
	for _, field := range strings.Fields(string(procs)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
