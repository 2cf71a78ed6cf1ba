// SPDX-License-Identifier: Apache-2.0

package disk

import (
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
	switch d.Kind {
	case KindPartition:
		add(Partition, "link the whole disk", "is a partition of %s", d.Parent)
		return found
	case KindCDROM:
		add(CDROM, "", "is a CD-ROM drive")
		return found
	}
	if d.ReadOnly {
		add(ReadOnly, "", "is read-only")
	}
	if len(d.Holders) > 0 {
		add(InUse, "", "is held by %s", strings.Join(d.Holders, ", "))
	}
	c := Content{Signed: Unknown, Busy: Unknown, SignedError: "it was not looked at", BusyDetail: "it was not looked at"}
	if d.Content != nil {
		c = *d.Content
	}
	switch c.Busy {
	case Yes:
		if len(d.Holders) == 0 {
			add(InUse, "", "is in use: %s", orElse(c.BusyDetail, "an exclusive open was refused"))
		}
	case No:
	default:
		add(NotChecked, "", "may be in use, which could not be found out: %s", orElse(c.BusyDetail, "no reason given"))
	}
	switch c.Signed {
	case Yes:
		// A partition table is told as such below, where the partitions are.
		if c.Signature.PartitionTable == "" || c.Signature.Type != "" || c.Signature.Ambiguous {
			add(HasSignature, "", "has %s", c.Signature)
		}
	case No:
	default:
		add(NotChecked, "", "may hold data, which could not be found out: %s", orElse(c.SignedError, "no reason given"))
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
	if d.Size < MinSize {
		add(TooSmall, "", "is smaller than 1Gi (%d bytes)", d.Size)
	}
	return found
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// systemPartition tells the names that Talos gives the partitions of its
// system disk (Talos v1.14, pkg/machinery/constants), in every release since 1.0.
func systemPartition(label string) bool {
	return slices.Contains([]string{"EFI", "BIOS", "BOOT", "META", "STATE", "EPHEMERAL"}, label)
}

// SystemDisks says which whole disks the node itself lives on, and by what that
// is known. beneath are the devices below the node's own directories, all the way
// down, as the node resolved them. Every path to such a disk is one.
func SystemDisks(disks []Disk, beneath map[Number]string) map[Number]string {
	system := make(map[Number]string)
	for n, why := range beneath {
		system[n] = why
	}
	byName := make(map[string]Number, len(disks))
	for _, d := range disks {
		byName[d.Name] = d.Number
	}
	for _, d := range disks {
		if d.Kind != KindPartition || !systemPartition(d.PartLabel) {
			continue
		}
		if parent, ok := byName[d.Parent]; ok {
			if _, told := system[parent]; !told {
				system[parent] = fmt.Sprintf("has a partition named %s", d.PartLabel)
			}
		}
	}
	for _, one := range disks {
		if _, is := system[one.Number]; !is || one.WWID == "" {
			continue
		}
		for _, other := range disks {
			if _, told := system[other.Number]; !told && other.WWID == one.WWID {
				system[other.Number] = fmt.Sprintf("is another path to %s (wwid %s)", one.Name, one.WWID)
			}
		}
	}
	return system
}
