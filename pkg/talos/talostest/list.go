// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// chunk is the size of a piece of a file in bytes.
const chunk = 32 << 10

// list sends a directory as MachineService.List does: a root that is a link is
// replaced by where its text leads, so that /proc/PID/root is the node's own /. A
// trailing slash changes nothing: it is taken off first.
func (f files) list(req *machine.ListRequest, send func(*machine.FileInfo) error) error {
	root := req.GetRoot()
	if !strings.HasPrefix(root, "/") {
		root = "/" + root
	}
	if root = strings.TrimSuffix(root, "/"); root == "" {
		root = "/"
	}
	at, err := f.resolve(root, false)
	if err != nil {
		return &fs.PathError{Op: "lstat", Path: root, Err: err}
	}
	if info, err := f.stat(at); at.magic > 0 || err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if root, err = f.eval(root); err != nil {
			return err
		}
		if at, err = f.resolve(root, false); err != nil {
			return &fs.PathError{Op: "lstat", Path: root, Err: err}
		}
	}
	w := walk{files: f, send: send, types: req.GetTypes(), root: root}
	if req.GetRecurse() {
		if w.depth = int(req.GetRecursionDepth()); w.depth == 0 {
			w.depth = -1
		}
	}
	return w.visit(root, at)
}

// walk is one listing under way.
type walk struct {
	files
	send  func(*machine.FileInfo) error
	types []machine.ListRequest_Type
	root  string
	// depth of directories below the root that are read; -1 is all.
	depth int
}

// visit reports what is at a place, then what is below it.
func (w walk) visit(name string, at place) error {
	info, err := w.stat(at)
	reply := &machine.FileInfo{Name: name, RelativeName: w.relative(name, info)}
	if err != nil {
		reply.Error = (&fs.PathError{Op: "lstat", Path: name, Err: err}).Error()
		return w.send(reply)
	}
	reply.Size = info.Size()
	reply.Mode = uint32(info.Mode())
	reply.Modified = info.ModTime().Unix()
	reply.IsDir = info.IsDir()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		reply.Uid, reply.Gid = stat.Uid, stat.Gid
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if reply.Link, err = w.readlink(at); err != nil {
			reply.Error = err.Error()
		}
	}
	if w.wanted(info) {
		if err := w.send(reply); err != nil {
			return err
		}
	}
	if !info.IsDir() || name != w.root && w.tooDeep(name) {
		return nil
	}
	names, err := w.names(at)
	if err != nil {
		reply.Error = (&fs.PathError{Op: "open", Path: name, Err: err}).Error()
		return w.send(reply)
	}
	for _, n := range names {
		below := at
		below.path = path.Join(at.path, n)
		if pid := magic(at.pid, below.path); pid > 0 {
			below.magic = pid
		}
		if err := w.visit(path.Join(name, n), below); err != nil {
			return err
		}
	}
	return nil
}

// relative is the name below the root: "." for a directory, the last component for
// a root that is none.
func (w walk) relative(name string, info fs.FileInfo) string {
	if name == w.root {
		if info != nil && info.IsDir() {
			return "."
		}
		return path.Base(name)
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, path.Clean(w.root)), "/")
}

// tooDeep counts slashes as Talos does, so that of "/" one level more is read.
func (w walk) tooDeep(name string) bool {
	return w.depth >= 0 && strings.Count(name, "/")-strings.Count(w.root, "/") >= w.depth
}

// wanted reports whether the request asked for files of this type.
func (w walk) wanted(info fs.FileInfo) bool {
	if len(w.types) == 0 {
		return true
	}
	kind := machine.ListRequest_REGULAR
	switch {
	case info.IsDir():
		kind = machine.ListRequest_DIRECTORY
	case info.Mode()&fs.ModeSymlink != 0:
		kind = machine.ListRequest_SYMLINK
	}
	return slices.Contains(w.types, kind)
}

// read sends a regular file as MachineService.Read does.
func (f files) read(profile Profile, name string, stream grpc.ServerStreamingServer[common.Data]) error {
	at, err := f.resolve(name, true)
	if err != nil {
		failed := &fs.PathError{Op: "stat", Path: name, Err: err}
		if errors.Is(err, fs.ErrNotExist) && profile.has(talosrelease.MissingFileIsNotFound) {
			return status.Error(codes.NotFound, failed.Error())
		}
		return failed
	}
	info, err := f.stat(at)
	if err != nil {
		return &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if !info.Mode().IsRegular() {
		return errors.New("path must be a regular file")
	}
	real, err := f.locate(at.pid, at.path)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: errno(err)}
	}
	file, err := os.Open(real)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: errno(err)}
	}
	defer file.Close()
	buffer := make([]byte, chunk)
	for {
		n, err := file.Read(buffer)
		if n > 0 {
			if err := stream.Send(&common.Data{Bytes: slices.Clone(buffer[:n])}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &fs.PathError{Op: "read", Path: name, Err: errno(err)}
		}
	}
}
