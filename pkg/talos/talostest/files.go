// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links Linux follows in one name.
const maxLinks = 40

// files are a machine's as machined sees them: its root is the node's, and
// /proc/PID/root leads into what that process sees.
type files struct {
	// locate is Machine's.
	locate func(pid int, name string) (string, error)
}

// place is a file whose name has been resolved: what process pid, 0 for the node,
// calls path.
type place struct {
	pid  int
	path string
	// magic is a /proc/PID/root that was not followed; path is its name on the node.
	magic int
}

// resolve follows a name as the kernel does: an absolute link leads to machined's
// root, also from within what another process sees; the last component is
// followed if asked for. Errors are syscall.Errno.
func (f files) resolve(name string, follow bool) (place, error) {
	at, rest, links := place{path: "/"}, parts(name), 0
	for len(rest) > 0 {
		part, last := rest[0], len(rest) == 1
		rest = rest[1:]
		switch part {
		case ".":
			continue
		case "..":
			at.path = path.Dir(at.path)
			continue
		}
		child := path.Join(at.path, part)
		if pid := magic(at.pid, child); pid > 0 {
			if _, err := f.stat(place{pid: pid, path: "/"}); err != nil {
				return place{}, syscall.ENOENT
			}
			if last && !follow {
				return place{path: child, magic: pid}, nil
			}
			at = place{pid: pid, path: "/"}
			continue
		}
		info, err := f.stat(place{pid: at.pid, path: child})
		if err != nil {
			return place{}, err
		}
		if info.Mode()&fs.ModeSymlink != 0 && (!last || follow) {
			if links++; links > maxLinks {
				return place{}, syscall.ELOOP
			}
			target, err := f.readlink(place{pid: at.pid, path: child})
			if err != nil {
				return place{}, err
			}
			if path.IsAbs(target) {
				at = place{path: "/"}
			}
			rest = append(parts(target), rest...)
			continue
		}
		if !last && !info.IsDir() {
			return place{}, syscall.ENOTDIR
		}
		at.path = child
	}
	return at, nil
}

// parts are a name's components. A "." at the end stays one: it makes the kernel
// follow a link before it. A slash at the end means the same to the kernel.
func parts(name string) []string {
	var all []string
	for p := range strings.SplitSeq(name, "/") {
		if p != "" {
			all = append(all, p)
		}
	}
	if len(all) > 0 && strings.HasSuffix(name, "/") {
		all = append(all, ".")
	}
	return all
}

// magic is the process whose root a name of the node is, or 0.
func magic(pid int, name string) int {
	rest, ok := strings.CutPrefix(name, "/proc/")
	if pid != 0 || !ok {
		return 0
	}
	number, ok := strings.CutSuffix(rest, "/root")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return 0
	}
	return n
}

// stat is lstat(2) of a resolved place.
func (f files) stat(p place) (fs.FileInfo, error) {
	real, err := f.locate(p.pid, p.path)
	if err != nil {
		return nil, errno(err)
	}
	info, err := os.Lstat(real)
	return info, errno(err)
}

// readlink is the text of a link. That of /proc/PID/root is the path of a
// directory that in its own mount namespace is the root.
func (f files) readlink(p place) (string, error) {
	if p.magic > 0 {
		return "/", nil
	}
	real, err := f.locate(p.pid, p.path)
	if err != nil {
		return "", errno(err)
	}
	target, err := os.Readlink(real)
	return target, errno(err)
}

// names of a directory's entries, in order.
func (f files) names(p place) ([]string, error) {
	real, err := f.locate(p.pid, p.path)
	if err != nil {
		return nil, errno(err)
	}
	entries, err := os.ReadDir(real)
	if err != nil {
		return nil, errno(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// eval is the name of what a link leads to, worked out from the texts of links as
// filepath.EvalSymlinks does: /proc/PID/root reads "/" and so becomes the node's.
func (f files) eval(name string) (string, error) {
	done, rest, links := "/", parts(name), 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		child := path.Join(done, part)
		at, err := f.resolve(child, false)
		if err != nil {
			return "", &fs.PathError{Op: "lstat", Path: child, Err: err}
		}
		if at.magic == 0 {
			info, err := f.stat(at)
			if err != nil {
				return "", &fs.PathError{Op: "lstat", Path: child, Err: err}
			}
			if info.Mode()&fs.ModeSymlink == 0 {
				done = child
				continue
			}
		}
		if links++; links > 255 {
			return "", syscall.ELOOP
		}
		target, err := f.readlink(at)
		if err != nil {
			return "", &fs.PathError{Op: "readlink", Path: child, Err: err}
		}
		if path.IsAbs(target) {
			done = "/"
		}
		rest = append(parts(target), rest...)
	}
	return done, nil
}

// errno takes the names of this program's files out of an error.
func errno(err error) error {
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // one layer at a time is the point
		case syscall.Errno:
			return e
		case *fs.PathError:
			err = e.Err
		case *os.SyscallError:
			err = e.Err
		default:
			if os.IsNotExist(err) {
				return syscall.ENOENT
			}
			return err
		}
	}
	return nil
}
