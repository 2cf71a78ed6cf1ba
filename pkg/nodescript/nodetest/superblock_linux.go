// SPDX-License-Identifier: Apache-2.0

package nodetest

import (
	"encoding/binary"
	"hash/crc32"
)

// Superblock is the least that libblkid takes for a signature, and where it lies.
type Superblock struct {
	// Type is libblkid's name.
	Type   string
	Offset int64
	Bytes  []byte
}

// Superblocks are signatures whose own tools are rarely installed (libblkid 2.38,
// src/superblocks).
func Superblocks() []Superblock {
	le := binary.LittleEndian

	lvm := make([]byte, 512)
	copy(lvm, "LABELONE")
	le.PutUint64(lvm[8:], 1)   // its sector
	le.PutUint32(lvm[20:], 32) // where the header follows
	copy(lvm[24:], "LVM2 001")
	copy(lvm[32:], "0123456789abcdef0123456789abcdef")
	// CRC-32 from another start, and not inverted at the end.
	le.PutUint32(lvm[16:], ^crc32.Update(^uint32(0xf597a6cf), crc32.IEEETable, lvm[20:]))

	luks := make([]byte, 592)
	copy(luks, "LUKS\xba\xbe\x00\x01")
	copy(luks[168:], "01234567-89ab-cdef-0123-456789abcdef")

	md := make([]byte, 256)
	le.PutUint32(md, 0xa92b4efc)
	le.PutUint32(md[4:], 1)
	copy(md[16:], "0123456789abcdef")
	copy(md[32:], "host:0")
	le.PutUint64(md[144:], 8) // its own sector
	var sum uint64
	for i := 0; i < len(md); i += 4 {
		sum += uint64(le.Uint32(md[i:]))
	}
	le.PutUint32(md[216:], uint32(sum)+uint32(sum>>32))

	return []Superblock{
		{Type: "LVM2_member", Offset: 512, Bytes: lvm},
		{Type: "crypto_LUKS", Bytes: luks},
		{Type: "linux_raid_member", Offset: 4096, Bytes: md},
		{Type: "ceph_bluestore", Bytes: []byte("bluestore block device\n")},
	}
}

// PartitionTable is a DOS partition table with one partition.
func PartitionTable(start, sectors uint32) []byte {
	b := make([]byte, 512)
	b[446+4] = 0x83
	binary.LittleEndian.PutUint32(b[446+8:], start)
	binary.LittleEndian.PutUint32(b[446+12:], sectors)
	b[510], b[511] = 0x55, 0xaa
	return b
}
