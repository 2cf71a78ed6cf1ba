// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// makeSource makes the source of an extra mount as Talos does before each start:
// os.MkdirAll with mode 0700. Only some directories of a node can be written to.
func (n *Node) makeSource(source string) error {
	if source == "" {
		return &fs.PathError{Op: "mkdir", Path: source, Err: syscall.ENOENT}
	}
	// A relative source is relative to machined's working directory, which is /.
	done, at := "", place{path: "/"}
	if !path.IsAbs(source) {
		done = "."
	}
	for _, part := range parts(source) {
		name := done + "/" + part
		next, err := n.files.resolve("/"+strings.TrimPrefix(name, "."), true)
		if errors.Is(err, fs.ErrNotExist) {
			next = place{pid: at.pid, path: path.Join(at.path, part)}
			err = n.makeDirectory(next)
		}
		if err != nil {
			return &fs.PathError{Op: "mkdir", Path: strings.TrimPrefix(name, "./"), Err: err}
		}
		info, err := n.files.stat(next)
		if err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		if err != nil {
			return &fs.PathError{Op: "mkdir", Path: strings.TrimPrefix(name, "./"), Err: err}
		}
		done, at = name, next
	}
	return nil
}

// makeDirectory is mkdir(2) on a node.
func (n *Node) makeDirectory(at place) error {
	if !writable(at.path) {
		return syscall.EROFS
	}
	real, err := n.machine.Locate(at.pid, at.path)
	if err != nil {
		return errno(err)
	}
	return errno(os.Mkdir(real, 0o700))
}

// writable reports whether machined can make a file of this name: Talos's root is
// a read-only squashfs.
func writable(name string) bool {
	for _, dir := range []string{"/var", "/run", "/tmp", "/system", "/dev", "/etc/cni", "/etc/kubernetes"} {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}
