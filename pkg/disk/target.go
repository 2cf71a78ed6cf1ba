// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"fmt"
	"slices"
	"strings"
)

// TargetMode is what a link points at.
type TargetMode string

// The modes of --target.
const (
	TargetAuto   TargetMode = "auto"
	TargetByID   TargetMode = "by-id"
	TargetByPath TargetMode = "by-path"
	TargetName   TargetMode = "name"
)

// TargetModes are all of them, in the order of help texts.
func TargetModes() []TargetMode {
	return []TargetMode{TargetAuto, TargetByID, TargetByPath, TargetName}
}

// byIDRank orders the prefixes of /dev/disk/by-id by how well the name stays
// with the hardware; what is not listed comes last.
func byIDRank() []string {
	return []string{"wwn-", "scsi-3", "nvme-eui.", "nvme-", "ata-", "virtio-", "dm-uuid-", "md-uuid-"}
}

// Target is the path that a link to the disk should hold, and a warning where
// that path may name another disk after a reboot. Names by-diskseq are never
// used: they count up at every boot.
func (d Disk) Target(mode TargetMode) (path, warning string, err error) {
	byID := bestByID(slices.DeleteFunc(slices.Clone(d.ByID), ofContent))
	byPath := bestByPath(d.ByPath)
	unstable := fmt.Sprintf("has neither a by-id nor a by-path name: the link holds %s, which may be another disk after a reboot", d.Path())
	switch mode {
	case TargetByID:
		if byID == "" {
			return "", "", fmt.Errorf("has no name in /dev/disk/by-id")
		}
		return "/dev/disk/by-id/" + byID, "", nil
	case TargetByPath:
		if byPath == "" {
			return "", "", fmt.Errorf("has no name in /dev/disk/by-path")
		}
		return "/dev/disk/by-path/" + byPath, "", nil
	case TargetName:
		return d.Path(), fmt.Sprintf("the link holds %s, which may be another disk after a reboot", d.Path()), nil
	case TargetAuto, "":
		switch {
		case byID != "":
			return "/dev/disk/by-id/" + byID, "", nil
		case byPath != "":
			return "/dev/disk/by-path/" + byPath, "", nil
		}
		return d.Path(), unstable, nil
	}
	return "", "", fmt.Errorf("target %q is not one of auto, by-id, by-path, name", mode)
}

// StableTarget tells whether a link's raw target is a name that stays with a
// disk or a slot over a reboot.
func StableTarget(target string) bool {
	return strings.HasPrefix(target, "/dev/disk/by-id/") || strings.HasPrefix(target, "/dev/disk/by-path/")
}

func bestByID(names []string) string {
	best, bestRank := "", 0
	for _, name := range names {
		rank := slices.IndexFunc(byIDRank(), func(p string) bool { return strings.HasPrefix(name, p) })
		if rank < 0 {
			rank = len(byIDRank())
		}
		if best == "" || rank < bestRank || rank == bestRank && name < best {
			best, bestRank = name, rank
		}
	}
	return best
}

// bestByPath takes the name of the bus before the driver's ("pci-…" before
// "virtio-pci-…"), then the alphabet.
func bestByPath(names []string) string {
	best := ""
	for _, name := range names {
		driver, bestDriver := strings.HasPrefix(name, "virtio-"), strings.HasPrefix(best, "virtio-")
		if best == "" || bestDriver && !driver || bestDriver == driver && name < best {
			best = name
		}
	}
	return best
}
