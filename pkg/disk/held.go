// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"cmp"
	"slices"
	"strings"
)

// Held is a device that lies on a disk or on one of its partitions, so that nobody else may have that.
type Held struct {
	// By is the device that holds it; it has no more than its name where the node did not tell of it.
	By Disk
	// Of is the disk, or its partition.
	Of Disk
}

// HeldBy are the devices that lie directly on a disk or on its partitions, the disk's own first: mappings, arrays, loop devices.
func (s *Set) HeldBy(d Disk) []Held {
	all := s.over(d)
	for _, p := range s.disks {
		if p.Kind == KindPartition && p.Parent != "" && (p.Parent == d.Name || p.Parent == d.Kernel) {
			all = append(all, s.over(p)...)
		}
	}
	return all
}

// over are the devices that lie directly on one, in the order in which the kernel names them.
func (s *Set) over(d Disk) []Held {
	names := slices.Concat(d.Holders, d.Under)
	for _, o := range s.disks { // Talos tells which disks a device is made of, and not what lies on a disk.
		if slices.Contains(o.Slaves, cmp.Or(d.Kernel, d.Name)) {
			names = append(names, cmp.Or(o.Kernel, o.Name))
		}
	}
	var all []Held
	seen := make(map[string]bool)
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		by, there := found(s, s.byKernel, name)
		if !there {
			by = Disk{Name: name, Kernel: name}
		}
		if by.mapPartition() { // A partition is no other use.
			continue
		}
		all = append(all, Held{By: by, Of: d})
	}
	return all
}

// String is who has it, as a sentence goes on: "the multipath map dm-0 (/dev/mapper/mpatha)".
func (h Held) String() string {
	text := h.what() + " " + h.By.Called()
	if h.Of.Kind == KindPartition {
		text += " on " + h.Of.Name
	}
	return text
}

// what is the kind of a device that holds another: by the UUID that its maker gives a mapping, by the kernel's name of the others.
func (h Held) what() string {
	for _, maker := range []struct{ uuid, is string }{
		{uuid: "mpath-", is: "the multipath map"}, {uuid: "LVM-", is: "the LVM volume"}, {uuid: "CRYPT-", is: "the encrypted device"},
		{uuid: "VDO-", is: "the VDO volume"}, {uuid: "DMRAID-", is: "the RAID set"},
	} {
		if slices.ContainsFunc(h.By.ByID, func(n string) bool { return strings.HasPrefix(n, "dm-uuid-"+maker.uuid) }) {
			return maker.is
		}
	}
	name := cmp.Or(h.By.Kernel, h.By.Name)
	for _, driver := range []struct{ prefix, is string }{
		{prefix: "md", is: "the RAID array"}, {prefix: "loop", is: "the loop device"}, {prefix: "bcache", is: "the bcache device"},
		{prefix: "drbd", is: "the DRBD device"}, {prefix: "dm-", is: "the mapping"},
	} {
		if strings.HasPrefix(name, driver.prefix) {
			return driver.is
		}
	}
	return "the device"
}

// IsMap reports whether it is a multipath map that has one of its paths.
func (h Held) IsMap() bool { return h.By.multipath() }
