// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// memory is a Storage that keeps disks as values. What it mounts, it mounts in a Sim,
// where there is one.
type memory struct {
	sim *Sim

	mu    sync.Mutex
	disks []Disk
	// mounted are devices by the directories they are mounted on; "" for a directory.
	mounted map[string]string
	// made counts UUIDs.
	made int
}

func newMemory(sim *Sim, disks []Disk) *memory {
	m := &memory{sim: sim, mounted: map[string]string{}}
	for _, d := range disks {
		// What this package has itself is in order.
		_ = m.add(d)
	}
	return m
}

func (m *memory) Disks(context.Context) ([]Disk, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Disk, 0, len(m.disks))
	for _, d := range m.disks {
		all = append(all, d.clone())
	}
	return all, nil
}

// find is a disk by its name, or nil; the lock is held.
func (m *memory) find(name string) *Disk {
	for i := range m.disks {
		if m.disks[i].Name == name {
			return &m.disks[i]
		}
	}
	return nil
}

// uuid is one that no other thing here has; the lock is held.
func (m *memory) uuid() string {
	m.made++
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", m.made)
}

// add gives the node a disk. Partitions without a place get the next free one.
func (m *memory) add(d Disk) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Name == "" || m.find(d.Name) != nil {
		return fmt.Errorf("disk %q: the node has one of that name, or it has none", d.Name)
	}
	d = d.clone()
	partitions := d.Partitions
	d.Partitions = nil
	if len(partitions) > 0 && d.Type == "" {
		d.Type = gpt
	}
	if d.Type != "" && d.UUID == "" {
		d.UUID = m.uuid()
	}
	for _, p := range partitions {
		if err := m.place(&d, p); err != nil {
			return err
		}
	}
	m.disks = append(m.disks, d)
	slices.SortFunc(m.disks, func(a, b Disk) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// place makes a partition of a disk; the lock is held.
func (m *memory) place(d *Disk, p Partition) error {
	offset, free := d.free()
	if p.Offset == 0 {
		p.Offset = offset
	}
	if p.Size == 0 {
		p.Size = free
	}
	if p.Offset+p.Size > d.Size {
		return fmt.Errorf("partition of %d bytes at %d: the disk %q has %d", p.Size, p.Offset, d.Name, d.Size)
	}
	if p.Index == 0 {
		p.Index = d.nextIndex()
	}
	if p.ID == "" {
		p.ID = m.uuid()
	}
	if p.Type != "" && p.UUID == "" {
		p.UUID = m.uuid()
	}
	d.Partitions = append(d.Partitions, p)
	slices.SortFunc(d.Partitions, func(a, b Partition) int { return a.Index - b.Index })
	return nil
}

func (m *memory) AddPartition(_ context.Context, disk string, p Partition) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.find(path.Base(disk))
	if d == nil {
		return &fs.PathError{Op: "open", Path: disk, Err: fs.ErrNotExist}
	}
	if d.Type == "" {
		d.Content = Content{Type: gpt, UUID: m.uuid()}
	}
	return m.place(d, p)
}

func (m *memory) DropPartition(_ context.Context, disk string, index int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.find(path.Base(disk))
	if d == nil {
		return &fs.PathError{Op: "open", Path: disk, Err: fs.ErrNotExist}
	}
	d.Partitions = slices.DeleteFunc(d.Partitions, func(p Partition) bool { return p.Index == index })
	return nil
}

// change replaces what is on a device; the lock is held.
func (m *memory) change(device string, to Content) error {
	name := path.Base(device)
	for i := range m.disks {
		d := &m.disks[i]
		if d.Name == name {
			d.Content, d.Partitions = to, nil
			return nil
		}
		for j, p := range d.Partitions {
			if d.partition(p.Index) == name {
				d.Partitions[j].Content = to
				return nil
			}
		}
	}
	return &fs.PathError{Op: "open", Path: device, Err: fs.ErrNotExist}
}

func (m *memory) Format(_ context.Context, device, filesystem string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.change(device, Content{Type: filesystem, UUID: m.uuid()})
}

func (m *memory) Wipe(_ context.Context, device string, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, disk, ok := contentOf(m.disks, device)
	if !ok {
		return &fs.PathError{Op: "open", Path: device, Err: fs.ErrNotExist}
	}
	for _, mounted := range m.mounted {
		inside := device == disk.path() && slices.ContainsFunc(disk.Partitions,
			func(p Partition) bool { return disk.partitionPath(p.Index) == mounted })
		if mounted == device || inside {
			return ErrBusy
		}
	}
	return m.change(device, Content{})
}

func (m *memory) Mount(_ context.Context, v VolumeMount) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, _, ok := contentOf(m.disks, v.Device)
	if !ok && v.Device != "" {
		return &fs.PathError{Op: "open", Path: v.Device, Err: fs.ErrNotExist}
	}
	if m.sim != nil {
		if err := m.sim.mountVolume(v, content.UUID); err != nil {
			return err
		}
	}
	m.mounted[v.Target] = v.Device
	return nil
}

func (m *memory) Unmount(_ context.Context, target string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.mounted[target]; !ok {
		return nil
	}
	if m.sim != nil {
		if err := m.sim.unmountVolume(target); err != nil {
			return err
		}
	}
	delete(m.mounted, target)
	return nil
}

func (m *memory) Resolve(_ context.Context, name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.disks {
		if name == d.path() || slices.Contains(d.Links, name) {
			return d.path(), nil
		}
	}
	return "", &fs.PathError{Op: "lstat", Path: name, Err: errno(fs.ErrNotExist)}
}

// pull takes a disk out. What is mounted of it stays mounted.
func (m *memory) pull(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(name) == nil {
		return fmt.Errorf("disk %q: the node has none of that name", name)
	}
	m.disks = slices.DeleteFunc(m.disks, func(d Disk) bool { return d.Name == name })
	return nil
}

// swap exchanges the names of two disks, as a boot can. Their links follow them.
func (m *memory) swap(a, b string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	first, second := m.find(a), m.find(b)
	if first == nil || second == nil {
		return fmt.Errorf("disks %q and %q: the node has not both", a, b)
	}
	*first, *second = *second, *first
	first.Name, second.Name = a, b
	return nil
}
