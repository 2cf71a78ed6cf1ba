// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

// simMount is one mount of a namespace; of those that cover a name, the last counts.
type simMount struct {
	point string
	// layer is the directory that stands for the file system, root what of it is mounted.
	layer, root string
	device      disk.Number
	fstype      string
	source      string
	readOnly    bool
	// shared and master are peer groups, 0 none.
	shared, master int
}

// below reports whether name is dir or in it, and what it is called there.
func below(dir, name string) (string, bool) {
	if dir == "/" {
		return name, true
	}
	rest, ok := strings.CutPrefix(name, dir)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return rest, true
}

// top is the mount that a name is on.
func top(table []simMount, name string) simMount {
	for _, m := range slices.Backward(table) {
		if _, ok := below(m.point, name); ok {
			return m
		}
	}
	return simMount{point: "/"}
}

// locate is where a name really is.
func locate(table []simMount, name string) string {
	m := top(table, name)
	rest, _ := below(m.point, name)
	return filepath.Join(m.layer, m.root, rest)
}

// Mount mounts a new, empty file system on the node; a kubelet that runs sees it
// where a mount of its own is a peer or a slave of the one that it lies on.
func (s *Sim) Mount(point, device, fstype, source string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mount(point, device, fstype, source); err != nil {
		return err
	}
	return s.write()
}

// mount is Mount with the lock held, and tells nobody.
func (s *Sim) mount(point, device, fstype, source string) error {
	number, err := disk.ParseNumber(device)
	if err != nil {
		return err
	}
	s.layers++
	layer := filepath.Join(s.dir, fmt.Sprintf("%03d", s.layers))
	if err := os.MkdirAll(layer, 0o755); err != nil {
		return err
	}
	if len(s.host) > 0 {
		if err := os.MkdirAll(locate(s.host, point), 0o755); err != nil {
			return err
		}
	}
	parent := top(s.host, point)
	m := simMount{
		point:    point,
		layer:    layer,
		root:     "/",
		device:   number,
		fstype:   fstype,
		source:   source,
		shared:   s.layers,
		readOnly: fstype == "squashfs",
	}
	s.host = append(s.host, m)
	s.propagate(parent, m)
	return nil
}

// propagate carries a mount of the node to the kubelet; the lock is held.
func (s *Sim) propagate(parent, m simMount) {
	if s.kubelet == nil {
		return
	}
	rest, _ := below(parent.point, m.point)
	at := path.Join(parent.root, rest)
	for _, k := range slices.Clone(s.kubelet.mounts) {
		rest, inside := below(k.root, at)
		if k.layer != parent.layer || !inside || parent.shared == 0 || k.shared != parent.shared && k.master != parent.shared {
			continue
		}
		received := m
		received.point = path.Join(k.point, rest)
		if k.shared == 0 {
			received.shared, received.master = 0, m.shared
		}
		s.kubelet.mounts = append(s.kubelet.mounts, received)
	}
}

// Unmount removes the last mount at a point, from the kubelet too.
func (s *Sim) Unmount(point string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range slices.Backward(s.host) {
		if m.point != point {
			continue
		}
		s.host = slices.Delete(s.host, i, i+1)
		if s.kubelet != nil {
			s.kubelet.mounts = slices.DeleteFunc(s.kubelet.mounts, func(k simMount) bool {
				return k.layer == m.layer && (k.shared == m.shared || k.master == m.shared)
			})
		}
		return s.write()
	}
	return &os.PathError{Op: "umount", Path: point, Err: syscall.EINVAL}
}

// container is what a kubelet with these mounts sees; the lock is held.
func (s *Sim) container(list []mounts.ExtraMount) ([]simMount, error) {
	s.layers++
	rootfs := filepath.Join(s.dir, fmt.Sprintf("%03d", s.layers))
	table := []simMount{{point: "/", layer: rootfs, root: "/", device: disk.Number{Minor: 70}, fstype: "overlay", source: "overlay"}}
	if err := os.MkdirAll(filepath.Join(rootfs, "proc"), 0o755); err != nil {
		return nil, err
	}
	for _, m := range list {
		added, err := s.bind(table, m)
		if err != nil {
			return nil, err
		}
		table = append(table, added...)
	}
	return table, nil
}

// bind is what one entry adds to the kubelet's mounts, by the container runtime's
// rules: type bind alone mounts nothing, a bind without r leaves mounts below the
// source behind, and without a word on propagation the mount is a peer of the node's.
func (s *Sim) bind(table []simMount, m mounts.ExtraMount) ([]simMount, error) {
	has := func(options ...string) bool {
		return slices.ContainsFunc(options, func(o string) bool { return slices.Contains(m.Options, o) })
	}
	if !has("bind", "rbind") {
		return nil, errors.New("error mounting \"" + m.Source + "\" to rootfs at \"" + m.Destination + "\": no such device")
	}
	at, err := s.hostFiles().resolve(m.Source, true)
	if err != nil {
		return nil, &os.PathError{Op: "stat", Path: m.Source, Err: err}
	}
	point := path.Clean("/" + m.Destination)
	if err := os.MkdirAll(locate(table, point), 0o755); err != nil {
		return nil, &os.PathError{Op: "mkdir", Path: point, Err: errno(err)}
	}
	own := func(host simMount, root, point string) simMount {
		host.root, host.point = root, point
		switch {
		case has("rslave", "slave"):
			host.shared, host.master = 0, host.shared
		case has("rprivate", "private"):
			host.shared = 0
		}
		return host
	}
	from := top(s.host, at.path)
	rest, _ := below(from.point, at.path)
	first := own(from, path.Join(from.root, rest), point)
	first.readOnly = has("ro")
	added := []simMount{first}
	if !has("rbind") {
		return added, nil
	}
	for _, h := range s.host {
		if rest, ok := below(at.path, h.point); ok && rest != "" {
			added = append(added, own(h, h.root, path.Join(point, rest)))
		}
	}
	return added, nil
}

// hostFiles are the node's own; the lock is held.
func (s *Sim) hostFiles() files {
	return files{locate: func(pid int, name string) (string, error) {
		if pid > 0 {
			return "", os.ErrNotExist
		}
		return locate(s.host, name), nil
	}}
}

// lines is a table as mountinfo has it; IDs count from first.
func lines(table []simMount, first int) []mounts.Mount {
	var all []mounts.Mount
	for i, m := range table {
		parent := first - 1
		for j := i - 1; j >= 0; j-- {
			if _, ok := below(table[j].point, m.point); ok {
				parent = first + j
				break
			}
		}
		access := "rw"
		if m.readOnly {
			access = "ro"
		}
		all = append(all, mounts.Mount{
			ID: first + i, Parent: parent, Device: m.device, Root: m.root, Point: m.point,
			Options: []string{access, "relatime"}, Shared: m.shared, Master: m.master, Type: m.fstype, Source: m.source,
		})
	}
	return all
}

// mountinfo is a table as proc_pid_mountinfo(5) prints it.
func mountinfo(table []mounts.Mount) []byte {
	escape := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`)
	var out bytes.Buffer
	for _, m := range table {
		fmt.Fprintf(&out, "%d %d %s %s %s %s", m.ID, m.Parent, m.Device, escape.Replace(m.Root), escape.Replace(m.Point),
			strings.Join(m.Options, ","))
		if m.Shared > 0 {
			fmt.Fprintf(&out, " shared:%d", m.Shared)
		}
		if m.Master > 0 {
			fmt.Fprintf(&out, " master:%d", m.Master)
		}
		fmt.Fprintf(&out, " - %s %s rw\n", m.Type, escape.Replace(m.Source))
	}
	return out.Bytes()
}
