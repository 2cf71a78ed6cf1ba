// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

// chunk is bytes at a place of a disk.
type chunk struct {
	at   int64
	data []byte
}

// writeChunks makes a disk look like something, as far as libblkid looks.
func writeChunks(t *testing.T, n *cluster.Node, name string, chunks []chunk) {
	t.Helper()
	for _, c := range chunks {
		write(t, n, name, c.at, c.data)
	}
}

// fields is a block with values at offsets; strings as they are, numbers in
// the given order.
func fields(size int, order binary.ByteOrder, values map[int]any) []byte {
	block := make([]byte, size)
	for at, value := range values {
		switch v := value.(type) {
		case string:
			copy(block[at:], v)
		case uint8:
			block[at] = v
		case uint16:
			order.PutUint16(block[at:], v)
		case uint32:
			order.PutUint32(block[at:], v)
		case uint64:
			order.PutUint64(block[at:], v)
		default:
			panic(fmt.Sprintf("a field of type %T", value))
		}
	}
	return block
}

// xfs is the superblock of an XFS with 4 groups of 64 MiB, version 4
// (xfs_format.h, struct xfs_dsb).
func xfs(label string) []chunk {
	return []chunk{{0, fields(512, binary.BigEndian, map[int]any{
		0: "XFSB", 4: uint32(4096), 8: uint64(65536), // blocks
		32: "0123456789abcdef",                             // UUID
		80: uint32(1),                                      // blocks of a realtime extent
		84: uint32(16384), 88: uint32(4), 96: uint32(2560), // blocks in a group, groups, blocks of the log
		100: uint16(0xb4a4), 102: uint16(512), 104: uint16(256), 106: uint16(16), // version, sector, inode
		108: label,
		// Logarithms of block, sector, inode, inodes in a block, group; percentage of inodes.
		120: uint8(12), 121: uint8(9), 122: uint8(8), 123: uint8(4), 124: uint8(14), 127: uint8(25),
	})}}
}

// lvm is the label of an LVM physical volume in the second sector (LVM2,
// lib/label/label.h).
func lvm() []chunk {
	label := fields(512, binary.LittleEndian, map[int]any{
		0: "LABELONE", 8: uint64(1), 20: uint32(32), 24: "LVM2 001",
		32: "0123456789abcdef0123456789abcdef", 64: uint64(2 << 30),
	})
	// LVM's CRC has its own start and does not invert.
	sum := ^crc32.Update(^uint32(0xf597a6cf), crc32.IEEETable, label[20:])
	binary.LittleEndian.PutUint32(label[16:], sum)
	return []chunk{{512, label}}
}

// luks is the header of LUKS 1 (cryptsetup, on-disk format 1.2.3).
func luks() []chunk {
	return []chunk{{0, fields(1024, binary.BigEndian, map[int]any{
		0: "LUKS\xba\xbe", 6: uint16(1), 8: "aes", 40: "xts-plain64", 72: "sha256",
		104: uint32(4096), 108: uint32(32), 168: "6f1c9a52-12f5-4c5a-9f62-0123456789ab",
	})}}
}

// md is the superblock of Linux RAID, version 1.2, 4 KiB from the start
// (md_p.h, struct mdp_superblock_1).
func md(name string) []chunk {
	block := fields(256, binary.LittleEndian, map[int]any{
		0: uint32(0xa92b4efc), 4: uint32(1), 16: "0123456789abcdef", 32: name,
		72: uint32(1), 80: uint64(1 << 20), 92: uint32(2), // level, size, disks
		128: uint64(2048), 136: uint64(1 << 20), 144: uint64(8), // data, where the superblock is
	})
	var sum uint64
	for at := 0; at < len(block); at += 4 {
		sum += uint64(binary.LittleEndian.Uint32(block[at:]))
	}
	binary.LittleEndian.PutUint32(block[216:], uint32(sum)+uint32(sum>>32))
	return []chunk{{4096, block}}
}

// bluestore is the label of a Ceph OSD (ceph, src/os/bluestore/BlueStore.cc).
func bluestore() []chunk {
	return []chunk{{0, []byte("bluestore block device\n6f1c9a52-12f5-4c5a-9f62-0123456789ab\n")}}
}

// mbr is a partition table with one partition of 100000 sectors from 2048.
func mbr() []chunk {
	return []chunk{{0, fields(512, binary.LittleEndian, map[int]any{
		440: uint32(0xabcd), 450: uint8(0x83), 454: uint32(2048), 458: uint32(100000), 510: uint16(0xaa55),
	})}}
}

// addPartition makes the kernel know a partition of a disk and gives it a
// device in the node. This kernel reads no partition tables itself, so it is
// told. It returns the name.
func addPartition(t *testing.T, n *cluster.Node, disk string) string {
	t.Helper()
	file, err := unix.Open(hostPath(n, "/dev/"+disk), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	info, err := unix.IoctlLoopGetStatus64(file)
	if err != nil {
		t.Fatal(err)
	}
	info.Flags |= unix.LO_FLAGS_PARTSCAN
	if err := unix.IoctlLoopSetStatus64(file, info); err != nil {
		t.Fatal(err)
	}
	part := unix.BlkpgPartition{Start: 2048 * 512, Length: 100000 * 512, Pno: 1}
	blkpg := func(op int32) error {
		arg := unix.BlkpgIoctlArg{Op: op, Datalen: int32(unsafe.Sizeof(part)), Data: (*byte)(unsafe.Pointer(&part))}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(file), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
		if errno != 0 {
			return errno
		}
		return nil
	}
	// A kernel that does read them has made it already.
	if err := blkpg(unix.BLKPG_ADD_PARTITION); err != nil && err != unix.EBUSY {
		t.Fatalf("add a partition to %s: %s", disk, err)
	}
	name := disk + "1"
	sh(t, n, `cd /sys/dev/block/$1; IFS=: read -r major minor <$(echo *p1)/dev; mknod /dev/$2 b $major $minor`, deviceNumber(t, n, disk), name)
	t.Cleanup(func() {
		cleanup, err := unix.Open(hostPath(n, "/dev/"+disk), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return // The disk is gone, and its partition with it.
		}
		defer unix.Close(cleanup)
		file = cleanup
		if err := blkpg(unix.BLKPG_DEL_PARTITION); err != nil {
			t.Errorf("remove the partition of %s: %s", disk, err)
		}
	})
	cleanupSh(t, n, `rm -f /dev/$1`, name)
	return name
}
