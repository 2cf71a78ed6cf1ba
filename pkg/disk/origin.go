// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"cmp"
	"fmt"
	"strings"
)

// transports say of each Transport what the device is.
func transports() map[string]string {
	return map[string]string{
		"iscsi":     "an iSCSI disk",
		"fc":        "a Fibre Channel disk",
		"srp":       "an SRP disk",
		"usbip":     "a USB device of another machine (USB/IP)",
		"nvme-tcp":  "an NVMe-oF namespace (tcp)",
		"nvme-rdma": "an NVMe-oF namespace (rdma)",
		"nvme-fc":   "an NVMe-oF namespace (fc)",
		"nvme-loop": "an NVMe-oF namespace (loop)",
		// Its controllers are gone, or cannot be seen; those of a drive can.
		"nvme-unseen": "an NVMe namespace of which no controller is seen",
	}
}

// driver is a kernel driver whose devices are no hardware of the node, by the
// beginning of the kernel's names, which a number follows (the drivers below
// drivers/block and drivers/md of Linux 6.18; OpenZFS's zvol).
type driver struct {
	prefix string
	reason Reason
	is     string
}

func drivers() []driver {
	return []driver{
		{"rbd", Remote, "a Ceph RBD image"},
		{"nbd", Remote, "a network block device (nbd)"},
		{"rnbd", Remote, "an RDMA network block device (rnbd)"},
		{"etherd", Remote, "an ATA-over-Ethernet disk"},
		{"drbd", Virtual, "a DRBD device"},
		{"zd", Virtual, "a ZFS volume"},
		{"bcache", Virtual, "a bcache device"},
		{"ublkb", Virtual, "a device that a process on the node serves (ublk)"},
		{"zram", Volatile, "compressed memory (zram)"},
		{"ram", Volatile, "memory (brd)"},
		{"nullb", Volatile, "a device that keeps nothing (null_blk)"},
	}
}

// origin is what the device is, where it is no hardware of the node itself; an empty
// reason where it is, and for loop devices, mappings and arrays, which are judged by
// what they are made of.
func (d Disk) origin() (r Reason, is string) {
	switch d.Kind {
	case KindLoop, KindMapper, KindRAID, KindPartition:
		return "", ""
	case KindDisk, KindCDROM:
	}
	name := cmp.Or(d.Kernel, d.Name)
	for _, known := range drivers() {
		if rest, ok := strings.CutPrefix(name, known.prefix); ok && rest != "" && strings.ContainsRune("0123456789!_", rune(rest[0])) {
			return known.reason, known.is
		}
	}
	switch is := transports()[d.Transport]; {
	case is != "":
		return Remote, is
	case strings.HasPrefix(d.Transport, "nvme-"):
		return Remote, fmt.Sprintf("an NVMe-oF namespace (%q)", strings.TrimPrefix(d.Transport, "nvme-"))
	case d.Transport == "scsi-loop":
		return Virtual, "a SCSI disk that the node emulates"
	case d.Virtual:
		return Virtual, "no hardware, but made by software on the node"
	}
	return "", ""
}

// Attached reports whether the device is on a bus of the node that no other machine is on: SATA
// or PCI Express. SAS, virtual machines' disks and what is reached by a network can be shared.
func (d Disk) Attached() bool {
	return d.Transport == "sata" || d.Transport == "" && !d.Virtual && strings.HasPrefix(cmp.Or(d.Kernel, d.Name), "nvme")
}

// Origin is the objection to a disk that is no hardware of the node itself, if it is none.
func (d Disk) Origin() (o Objection, objects bool) {
	r, is := d.origin()
	switch r {
	case Remote:
		return Objection{Reason: r, Message: "is " + is + ": other machines may use it too"}, true
	case Virtual:
		return Objection{Reason: r, Message: "is " + is}, true
	case Volatile:
		return Objection{Reason: r, Message: "is " + is + ": what is written there is gone at each reboot"}, true
	default:
		return Objection{}, false
	}
}

// Origin is the objection to a disk that is no hardware of the node itself, or lies on what is none.
func (s *Set) Origin(d Disk) (o Objection, objects bool) {
	if o, objects = d.Origin(); objects {
		return o, true
	}
	i, there := s.at(d)
	if !there || !s.foreign {
		return Objection{}, false
	}
	for _, j := range s.beneath(i) {
		if r, is := s.disks[j].origin(); r != "" {
			return Objection{Reason: r, Message: "lies on " + s.disks[j].Name + ", which is " + is}, true
		}
	}
	return Objection{}, false
}
