// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Partition is what the kernel is told of one.
type Partition struct {
	// Number is counted from 1; Start and Size are in bytes.
	Number      int
	Start, Size int64
}

// Partitions are the device numbers of a device's partitions that the kernel knows, by their
// numbers.
func Partitions(number int) (map[int]uint64, error) {
	paths, err := filepath.Glob(fmt.Sprintf("/sys/block/loop%d/loop%dp*/partition", number, number))
	if err != nil {
		return nil, err
	}
	known := make(map[int]uint64, len(paths))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		partition, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, err
		}
		dev, err := os.ReadFile(filepath.Join(filepath.Dir(path), "dev"))
		if err != nil {
			return nil, err
		}
		var major, minor uint32
		if _, err := fmt.Sscanf(string(dev), "%d:%d", &major, &minor); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		known[partition] = unix.Mkdev(major, minor)
	}
	return known, nil
}

// partitioned is the loop device that a partition is of.
func partitioned(partition uint64) (int, bool) {
	path, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(partition), unix.Minor(partition)))
	if err != nil {
		return 0, false
	}
	number, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "loop"))
	return number, err == nil
}

// SetPartitions tells the kernel which partitions a device has: not every kernel reads partition tables itself. Those that it knows by
// their numbers are left as they are. One that is in use cannot be taken away, which is an error.
func SetPartitions(number int, partitions []Partition) error {
	known, err := Partitions(number)
	if err != nil || len(partitions) == 0 && len(known) == 0 {
		return err
	}
	device, err := os.OpenFile(Path(number), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := allowPartitions(device); err != nil {
		return fmt.Errorf("allow partitions on %s: %w", Path(number), err)
	}
	wanted := map[int]bool{}
	for _, p := range partitions {
		wanted[p.Number] = true
	}
	for p := range known {
		if wanted[p] {
			continue
		}
		if err := tell(device, unix.BLKPG_DEL_PARTITION, Partition{Number: p}); err != nil && !errors.Is(err, unix.ENXIO) {
			return fmt.Errorf("remove partition %d of %s: %w", p, Path(number), err)
		}
	}
	for _, p := range partitions {
		// EBUSY: the kernel reads partition tables, and was quicker.
		if _, there := known[p.Number]; there {
			continue
		}
		if err := tell(device, unix.BLKPG_ADD_PARTITION, p); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("add partition %d of %s: %w", p.Number, Path(number), err)
		}
	}
	return nil
}

// allowPartitions makes a loop device one that can have them.
func allowPartitions(device *os.File) error {
	info, err := unix.IoctlLoopGetStatus64(int(device.Fd()))
	if err != nil || info.Flags&unix.LO_FLAGS_PARTSCAN != 0 {
		return err
	}
	info.Flags |= unix.LO_FLAGS_PARTSCAN
	return unix.IoctlLoopSetStatus64(int(device.Fd()), info)
}

// tell is one call of ioctl BLKPG.
func tell(device *os.File, op int32, p Partition) error {
	part := unix.BlkpgPartition{Start: p.Start, Length: p.Size, Pno: int32(p.Number)}
	arg := unix.BlkpgIoctlArg{Op: op, Datalen: int32(unsafe.Sizeof(part)), Data: (*byte)(unsafe.Pointer(&part))}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, device.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 {
		return errno
	}
	return nil
}
