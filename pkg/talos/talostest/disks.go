// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"errors"
	"path"
	"slices"
	"strconv"
)

// Storage is what a node asks of whoever has its disks. Devices are named by their paths on the node:
// "/dev/vdb", "/dev/vdb1".
type Storage interface {
	// Disks are all of the node's, with what is on them, as they are now.
	Disks(ctx context.Context) ([]Disk, error)
	// AddPartition makes a partition, of the disk's next free number, with nothing in it. A disk without a
	// partition table gets one.
	AddPartition(ctx context.Context, disk string, p Partition) error
	// DropPartition removes one from its disk's table.
	DropPartition(ctx context.Context, disk string, index int) error
	// Format makes a file system, "xfs" or "ext4", without a label.
	Format(ctx context.Context, device, filesystem string) error
	// Mount mounts what a volume is. The target's directory is made if it is missing.
	Mount(ctx context.Context, m VolumeMount) error
	// Unmount leaves the directory. ErrBusy: somebody is in it.
	Unmount(ctx context.Context, target string) error
	// Wipe removes what is on a device, of a disk its partition table too. ErrBusy: it is mounted, or open.
	Wipe(ctx context.Context, device string, zeroes bool) error
	// Resolve is the device that a link leads to, as filepath.EvalSymlinks has it.
	Resolve(ctx context.Context, name string) (string, error)
}

// ErrBusy is that a device or a directory is in use.
var ErrBusy = errors.New("device or resource busy")

// VolumeMount is one mount of a volume.
type VolumeMount struct {
	// Device is "" for a directory, which is mounted on itself.
	Device, Target, Filesystem string
	// Options are words of mount(8).
	Options []string
}

// Disk is a disk of a node.
type Disk struct {
	// Name is the kernel's: vdb.
	Name string
	// Size and Sector are in bytes. A sector of 0 has 512.
	Size, Sector                   uint64
	Model, Serial, WWID, Transport string
	Modalias, BusPath              string
	Rotational, ReadOnly, CDROM    bool
	// Links are udev's names, from /dev/disk on: "/dev/disk/by-id/virtio-one".
	Links []string
	// Secondaries are the disks that this one is made of.
	Secondaries []string
	Content
	// Partitions are those of a partition table, in its order.
	Partitions []Partition
}

// Content is what blkid finds on a device.
type Content struct {
	// Type is "gpt", "dos", "xfs", "luks" and so on; "" is nothing.
	Type string
	// Label and UUID are the file system's; of a partition table the UUID is the table's.
	Label, UUID string
}

// Partition is one of a disk's partition table.
type Partition struct {
	// Index is counted from 1; 0 in a disk that a test makes is the next.
	Index int
	// Offset and Size are in bytes.
	Offset, Size uint64
	// Name is the partition's label in the table, ID its UUID there.
	Name, ID string
	Content
}

// gpt is the only partition table that Talos uses.
const gpt = "gpt"

// alignment in bytes is that of every partition (go-blockdevice, partitioning/gpt).
const alignment = 1 << 20

// path is the disk's device.
func (d Disk) path() string { return "/dev/" + d.Name }

// sector in bytes.
func (d Disk) sector() uint64 {
	if d.Sector == 0 {
		return 512
	}
	return d.Sector
}

// partition is the name of one: vdb1, nvme0n1p1.
func (d Disk) partition(index int) string {
	if last := d.Name[len(d.Name)-1]; last >= '0' && last <= '9' {
		return d.Name + "p" + strconv.Itoa(index)
	}
	return d.Name + strconv.Itoa(index)
}

// partitionPath is its device.
func (d Disk) partitionPath(index int) string { return "/dev/" + d.partition(index) }

// clone shares nothing with d.
func (d Disk) clone() Disk {
	d.Links, d.Secondaries, d.Partitions = slices.Clone(d.Links), slices.Clone(d.Secondaries), slices.Clone(d.Partitions)
	return d
}

// nextIndex is the lowest that no partition has.
func (d Disk) nextIndex() int {
	for index := 1; ; index++ {
		if !slices.ContainsFunc(d.Partitions, func(p Partition) bool { return p.Index == index }) {
			return index
		}
	}
}

// free is the largest piece of the disk that no partition covers, in bytes. The tables
// themselves take the first and the last MiB.
func (d Disk) free() (offset, size uint64) {
	taken := slices.Clone(d.Partitions)
	slices.SortFunc(taken, func(a, b Partition) int {
		if a.Offset < b.Offset {
			return -1
		}
		return 1
	})
	end := d.Size - min(d.Size, 34*d.sector())
	end -= end % alignment
	at := uint64(alignment)
	consider := func(to uint64) {
		if to > at && to-at > size {
			offset, size = at, to-at
		}
	}
	for _, p := range taken {
		consider(p.Offset)
		at = max(at, p.Offset+p.Size)
		if rest := at % alignment; rest > 0 {
			at += alignment - rest
		}
	}
	consider(end)
	return offset, size
}

// contentOf is what is on a device, and the disk that it is or is on.
func contentOf(disks []Disk, device string) (Content, *Disk, bool) {
	name := path.Base(device)
	for i := range disks {
		d := &disks[i]
		if d.Name == name {
			return d.Content, d, true
		}
		for _, p := range d.Partitions {
			if d.partition(p.Index) == name {
				return p.Content, d, true
			}
		}
	}
	return Content{}, nil, false
}
