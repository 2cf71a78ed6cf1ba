// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Objections are what speaks against giving the disk away, from the disk alone:
// who else claims it (links, volumes, the system) is not known here. The order
// is fixed, what nothing overrides first.
func (d Disk) Objections() []Objection {
	var found []Objection
	add := func(r Reason, hint, format string, args ...any) {
		found = append(found, Objection{Reason: r, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	switch {
	case !d.Whole():
		add(Partition, "link the whole disk", "is a partition of %s",
			cmp.Or(d.Parent, cmp.Or(strings.Join(d.Slaves, ", "), "a device that is not named")))
		return found
	case d.Kind == KindCDROM:
		add(CDROM, "", "is a CD-ROM drive")
		return found
	}
	if d.ReadOnly {
		add(ReadOnly, "", "is read-only")
	}
	if len(d.Holders) > 0 {
		add(InUse, "", "is held by %s", strings.Join(d.Holders, ", "))
	}
	if len(d.Under) > 0 {
		add(InUse, "", "is in use: under /dev/%s, by which a process or a pod has it", strings.Join(d.Under, ", /dev/"))
	}
	if len(d.MaybeUnder) > 0 {
		add(NotChecked, "", "may be in use, under /dev/%s: what that lies over could not be found out, and its size would fit",
			strings.Join(d.MaybeUnder, ", /dev/"))
	}
	origin, objects := d.Origin()
	if objects && !origin.Reason.Acceptable() {
		found = append(found, origin)
	}
	c := Content{Signed: Unknown, Busy: Unknown, SignedError: "it was not looked at", BusyDetail: "it was not looked at"}
	if d.Content != nil {
		c = *d.Content
	}
	switch c.Busy {
	case Yes:
		if len(d.Holders) == 0 {
			add(InUse, "", "is in use: %s", cmp.Or(c.BusyDetail, "an exclusive open was refused"))
		}
	case No:
	default:
		add(NotChecked, "", "may be in use, which could not be found out: %s", cmp.Or(c.BusyDetail, "no reason given"))
	}
	switch c.Signed {
	case Yes:
		// A partition table is reported as such below, where the partitions are.
		if c.Signature.PartitionTable == "" || c.Signature.Type != "" || c.Signature.Ambiguous {
			add(HasSignature, "", "has %s", c.Signature)
		}
	case No:
	default:
		add(NotChecked, "", "may hold data, which could not be found out: %s", cmp.Or(c.SignedError, "no reason given"))
	}
	switch {
	case c.Unsigned == Yes && c.Format != "":
		add(HasData, "", "has %s", c.Format)
	case c.Unsigned == Yes:
		add(HasData, "", "has data that no signature tells of, in %s", cmp.Or(c.Where, "its first or last MiB"))
	case c.Unsigned == Unknown:
		add(NotChecked, "", "may hold data, which could not be found out: its first and last MiB were not read")
	}
	switch {
	case len(d.Partitions) > 0:
		add(HasPartitions, "", "has %d partition%s: %s", len(d.Partitions), plural(len(d.Partitions)), strings.Join(d.Partitions, ", "))
	case c.Signature.PartitionTable != "":
		add(HasPartitions, "", "has %s partition table", article(c.Signature.PartitionTable))
	}
	if d.Removable {
		add(Removable, "", "is removable")
	}
	if d.Kind == KindLoop {
		backing := ""
		if d.Backing != "" {
			backing = " over " + d.Backing
		}
		add(Loop, "", "is a loop device%s", backing)
	}
	if objects && origin.Reason.Acceptable() {
		found = append(found, origin)
	}
	if d.Size < MinSize {
		add(TooSmall, "", "is smaller than 1Gi (%d bytes)", d.Size)
	}
	return found
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// SystemPartition reports whether a name is one that Talos gives a partition of its
// system disk (Talos v1.14, pkg/machinery/constants), in every release since 1.0.
func SystemPartition(label string) bool {
	return slices.Contains([]string{"EFI", "BIOS", "BOOT", "META", "STATE", ephemeral}, label)
}

// ephemeral holds /var, where the kubelet's directory is.
const ephemeral = "EPHEMERAL"

// SystemDisks says which whole disks the node itself lives on, and by what that
// is known. beneath are the devices below the node's own directories, all the way
// down, as the node resolved them. Every path to such a disk is one.
//
// Names of partitions prove it only where nothing better does: a disk that a virtual
// machine with Talos inside had has them too. A Talos system has one partition of each name,
// and lies with EPHEMERAL beneath the kubelet's directory. So where those are known, another
// disk with EPHEMERAL, or with a name that they have too, is another system's. A disk with
// other names, such as META and STATE alone, can be the one that the node boots from.
func (s *Set) SystemDisks(beneath map[Number]string) map[Number]string {
	disks := s.disks
	system := make(map[Number]string)
	for n, why := range beneath {
		system[n] = why
	}
	byName := make(map[string]Number, len(disks))
	for _, d := range disks {
		byName[d.Name] = d.Number
	}
	names := make(map[Number][]string) // Of the partitions, by disk.
	proven := make(map[string]bool)
	if len(beneath) > 0 {
		proven[ephemeral] = true
	}
	for _, d := range disks {
		parent, ok := byName[d.Parent]
		if d.Kind != KindPartition || !SystemPartition(d.PartLabel) || !ok {
			continue
		}
		names[parent] = append(names[parent], d.PartLabel)
		if _, known := beneath[parent]; known {
			proven[d.PartLabel] = true
		}
	}
	for parent, labels := range names {
		if _, reported := system[parent]; !reported && !slices.ContainsFunc(labels, func(l string) bool { return proven[l] }) {
			system[parent] = "has a partition named " + labels[0]
		}
	}
	done := make(map[string]bool)
	for _, one := range disks {
		if _, is := system[one.Number]; !is || done[s.First(one).Name] {
			continue
		}
		done[s.First(one).Name] = true
		for _, other := range s.OtherPaths(one) {
			if _, reported := system[other.Number]; !reported {
				system[other.Number] = fmt.Sprintf("is another path to %s (wwid %s)", one.Name, one.WWID)
			}
		}
	}
	return system
}
