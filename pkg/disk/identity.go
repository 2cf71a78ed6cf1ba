// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"slices"
	"strings"
)

// ID is what tells one piece of hardware from another. ByPath names a slot, not
// a device, and Size proves nothing alone: both are kept for people to read.
type ID struct {
	WWID   string   `json:"wwid,omitempty"`
	Serial string   `json:"serial,omitempty"`
	ByID   []string `json:"byID,omitempty"`
	ByPath []string `json:"byPath,omitempty"`
	// Size in bytes.
	Size uint64 `json:"size,omitempty"`
}

// Identity is the disk's ID. Names that say what is written on a disk, not
// which disk it is, are left out.
func (d Disk) Identity() ID {
	return ID{
		WWID:   d.WWID,
		Serial: d.Serial,
		ByID:   slices.DeleteFunc(slices.Clone(d.ByID), ofContent),
		ByPath: slices.Clone(d.ByPath),
		Size:   d.Size,
	}
}

// Known tells whether anything in the ID identifies hardware.
func (id ID) Known() bool { return id.WWID != "" || id.Serial != "" || len(id.ByID) > 0 }

// Same tells whether now is the device that the ID was taken of. If nothing
// identifies the recorded one, that is Unknown, never Yes: names and slots can be
// taken over by another disk. One that had an identifier does not lose it, so that a
// device without any is not it.
func (id ID) Same(now ID) Answer {
	switch {
	case !id.Known():
		return Unknown
	case !now.Known():
		return No
	case id.WWID != "" && now.WWID != "":
		return answer(id.WWID == now.WWID)
	case id.Serial != "" && now.Serial != "":
		return answer(id.Serial == now.Serial)
	case len(id.ByID) > 0 && len(now.ByID) > 0:
		return answer(slices.ContainsFunc(id.ByID, func(n string) bool { return slices.Contains(now.ByID, n) }))
	}
	// Each has an identifier of a sort that the other lacks.
	return Unknown
}

// String is the ID's strongest identifier, for messages.
func (id ID) String() string {
	switch {
	case id.WWID != "":
		return "wwid " + id.WWID
	case id.Serial != "":
		return "serial " + id.Serial
	case len(id.ByID) > 0:
		return bestByID(id.ByID)
	case len(id.ByPath) > 0:
		return "slot " + id.ByPath[0]
	}
	return "no identifier"
}

func answer(b bool) Answer {
	if b {
		return Yes
	}
	return No
}

// ofContent tells a by-id name that udev derives from what is written on the
// device, and that therefore moves with the data (69-dm-lvm.rules). The names dm-…
// and md-… are no such names: only the mapping or the array itself has them.
func ofContent(name string) bool { return strings.HasPrefix(name, "lvm-pv-uuid-") }
