// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"errors"
)

// errOwnDisks is that the disks are somebody else's.
var errOwnDisks = errors.New("the disks of this node are not in memory")

// AddDisk gives the node a disk, and returns when its volumes have taken note. Its partitions, if it has some, get the places and
// the numbers that they do not have.
func (n *Node) AddDisk(ctx context.Context, d Disk) error {
	return n.edit(ctx, func(m *memory) error { return m.add(d) })
}

// PullDisk takes a disk out of the node. A volume on it stays mounted until the node boots.
func (n *Node) PullDisk(ctx context.Context, name string) error {
	return n.edit(ctx, func(m *memory) error { return m.pull(name) })
}

// SwapDisks exchanges the names of two disks. Their links go with the disks.
func (n *Node) SwapDisks(ctx context.Context, a, b string) error {
	return n.edit(ctx, func(m *memory) error { return m.swap(a, b) })
}

// EditDisk changes a disk, as somebody else would.
func (n *Node) EditDisk(ctx context.Context, name string, change func(*Disk)) error {
	return n.edit(ctx, func(m *memory) error {
		disks, err := m.Disks(ctx)
		if err != nil {
			return err
		}
		_, disk, ok := contentOf(disks, "/dev/"+name)
		if err := m.pull(name); err != nil || !ok {
			return err
		}
		change(disk)
		return m.add(*disk)
	})
}

// Disks are the node's, as they are now.
func (n *Node) Disks(ctx context.Context) ([]Disk, error) {
	if n.volumes.storage == nil {
		return nil, nil
	}
	return n.volumes.storage.Disks(ctx)
}

// Rescan makes the node look at its disks again, and returns when its volumes have taken note.
func (n *Node) Rescan(ctx context.Context) error { return n.volumes.pass(ctx) }

func (n *Node) edit(ctx context.Context, change func(*memory) error) error {
	m, ok := n.volumes.storage.(*memory)
	if !ok {
		return errOwnDisks
	}
	if err := change(m); err != nil {
		return err
	}
	return n.Rescan(ctx)
}
