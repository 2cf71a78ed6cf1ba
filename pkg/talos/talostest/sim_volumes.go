// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// mountVolume mounts a volume on the node. What is in the file system of this UUID is what was in it when it was mounted
// before; without a device, it is the directory itself.
func (s *Sim) mountVolume(v VolumeMount, uuid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(locate(s.host, v.Target), 0o755); err != nil {
		return err
	}
	m := simMount{point: v.Target, root: "/", fstype: v.Filesystem, source: v.Device, readOnly: slices.Contains(v.Options, "ro")}
	parent := top(s.host, v.Target)
	if v.Device == "" {
		rest, _ := below(parent.point, v.Target)
		m.layer, m.root = parent.layer, path.Join(parent.root, rest)
		m.device, m.fstype, m.source = parent.device, parent.fstype, parent.source
	} else {
		sum := fnv.New32a()
		if _, err := sum.Write([]byte(v.Device)); err != nil {
			return err
		}
		m.device.Major, m.device.Minor = 254, sum.Sum32()%0xfffff
		m.layer = filepath.Join(s.dir, "volume-"+uuid)
		if err := os.MkdirAll(m.layer, 0o755); err != nil {
			return err
		}
	}
	s.layers++
	m.shared = s.layers
	s.host = append(s.host, m)
	s.propagate(parent, m)
	return s.write()
}

// SetBusy makes a mounted directory one that cannot be unmounted, or again one that can.
func (s *Sim) SetBusy(point string, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = slices.DeleteFunc(s.busy, func(p string) bool { return p == point })
	if busy {
		s.busy = append(s.busy, point)
	}
}

// unmountVolume is the end of mountVolume.
func (s *Sim) unmountVolume(point string) error {
	s.mu.Lock()
	busy := slices.Contains(s.busy, point)
	s.mu.Unlock()
	if busy {
		return ErrBusy
	}
	if err := s.Unmount(point); err != nil {
		return errors.Join(fmt.Errorf("unmount %q", point), err)
	}
	return nil
}
