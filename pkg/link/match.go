// SPDX-License-Identifier: Apache-2.0

package link

import (
	"cmp"
	"fmt"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// match is the device that Talos and a provisioner pod of the same node both see.
type match struct {
	// disk is Talos's; nil: it tells of no such device.
	disk *snapshot.TalosDisk
	// sure reports whether an identifier says so, not only the name and the size.
	sure bool
	// conflict completes "vdf …" where both have a device of one name that is not the
	// same one.
	conflict string
}

// matching finds the disk of a pod's view among Talos's: pod and reported are both views
// of a node, byName the positions in disks. Identifiers decide where both have one.
// Without one it is name and size, which one kernel gives to both.
func matching(pod, reported *disk.Set, disks []snapshot.TalosDisk, byName map[string]int, d disk.Disk) match {
	var m match
	mine := pod.Identity(d)
	if i, is := byName[cmp.Or(d.Kernel, d.Name)]; is {
		there := disks[i].Disk()
		switch same := there.Identity().Compare(d.Identity()); {
		case same == disk.No || there.Size != d.Size && there.Size != 0:
			m.conflict = fmt.Sprintf("is another disk to Talos (%s) than to the provisioner's pod (%s)", differing(there, d), differing(d, there))
		default:
			return match{disk: &disks[i], sure: reported.Identity(there).Compare(mine) == disk.Yes}
		}
	}
	// Under another name it is the same disk only if an identifier says so: the two
	// looks are not one moment, and a /dev can be made by hand. Serial numbers of cheap
	// hardware repeat, so its size must be the same too.
	if there, ok := reported.Find(mine); ok && there.Size == d.Size {
		m.disk, m.sure = &disks[byName[there.Name]], true
	}
	return m
}

// differing is what tells a disk from another one of its name.
func differing(d, other disk.Disk) string {
	if d.Size == other.Size || d.Identity().Compare(other.Identity()) == disk.No && d.Identity().String() != other.Identity().String() {
		return d.Identity().String()
	}
	return fmt.Sprintf("%d bytes", d.Size)
}
