// SPDX-License-Identifier: Apache-2.0

package link

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// match is the device that Talos and a provisioner pod of the same node both see.
type match struct {
	// disk is Talos's; nil: it tells of no such device.
	disk *snapshot.TalosDisk
	// sure tells whether an identifier says so, not only the name and the size.
	sure bool
	// conflict completes "vdf …" where both have a device of one name that is not the
	// same one.
	conflict string
}

// matching finds the disk of a pod's view among Talos's. An identifier decides where
// both have one. Without one it is name and size, which one kernel gives to both.
func matching(disks []snapshot.TalosDisk, d disk.Disk) match {
	var m match
	name := cmp.Or(d.Kernel, d.Name)
	if i := slices.IndexFunc(disks, func(t snapshot.TalosDisk) bool { return t.Name == name }); i >= 0 {
		there := disks[i].Disk()
		switch same := sameDevice(there.Identity(), d.Identity()); {
		case same == disk.Yes && (there.Size == d.Size || !bySerial(there.Identity(), d.Identity())):
			return match{disk: &disks[i], sure: true}
		case same == disk.No:
			m.conflict = fmt.Sprintf("is another disk to Talos (%s) than to the provisioner's pod (%s)", there.Identity(), d.Identity())
		case there.Size != d.Size:
			m.conflict = fmt.Sprintf("is another disk to Talos (%d bytes) than to the provisioner's pod (%d bytes)", there.Size, d.Size)
		default:
			return match{disk: &disks[i]}
		}
	}
	// Under another name it is the same disk only if an identifier says so: the two
	// looks are not one moment, and a /dev can be made by hand. Serial numbers of cheap
	// hardware repeat, so its size must be the same too.
	if i := slices.IndexFunc(disks, func(t snapshot.TalosDisk) bool {
		return t.Size == d.Size && sameDevice(t.Disk().Identity(), d.Identity()) == disk.Yes
	}); i >= 0 {
		m.disk, m.sure = &disks[i], true
	}
	return m
}

// sameDevice compares what two observers of one node say of a device. It is not
// disk.ID.Same, which asks whether a disk is still the one of another day: there a
// missing identifier tells something, here only that one of both does not know it.
func sameDevice(a, b disk.ID) disk.Answer {
	said := func(yes bool) disk.Answer {
		if yes {
			return disk.Yes
		}
		return disk.No
	}
	switch {
	case a.WWID != "" && b.WWID != "":
		return said(strings.Join(strings.Fields(a.WWID), " ") == strings.Join(strings.Fields(b.WWID), " "))
	case shareByID(a, b):
		return disk.Yes
	case a.Serial != "" && b.Serial != "":
		return said(folded(a.Serial) == folded(b.Serial))
	case len(a.ByID) > 0 && len(b.ByID) > 0:
		return disk.No
	}
	return disk.Unknown
}

// bySerial tells whether sameDevice has nothing but serial numbers to go by. Those of cheap
// hardware repeat.
func bySerial(a, b disk.ID) bool {
	return (a.WWID == "" || b.WWID == "") && !shareByID(a, b)
}

func shareByID(a, b disk.ID) bool {
	return slices.ContainsFunc(a.ByID, func(n string) bool { return slices.Contains(b.ByID, n) })
}

// folded is a serial number without what one observer pads, escapes or leaves out.
func folded(serial string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, serial)
}
