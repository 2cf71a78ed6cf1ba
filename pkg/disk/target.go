// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"fmt"
	"path"
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

// Check reports a mode that is none.
func (m TargetMode) Check() error {
	if m != "" && !slices.Contains(TargetModes(), m) {
		return fmt.Errorf("target %q is not one of auto, by-id, by-path, name", m)
	}
	return nil
}

// byIDRank orders the prefixes of /dev/disk/by-id by how well the name stays
// with the hardware; what is not listed comes last.
func byIDRank() []string {
	return []string{"dm-uuid-mpath-", "wwn-", "scsi-3", "nvme-eui.", "nvme-uuid.", "nvme-", "ata-", "virtio-", "dm-uuid-", "md-uuid-"}
}

// Target is the path that a link to the disk should hold, and a warning where
// that path may name another disk after a reboot. A name that another disk of the set
// can claim is none. Names by-diskseq are never used: they count up at every boot.
func (s *Set) Target(d Disk, mode TargetMode) (path, warning string, err error) {
	names, doubt := s.names(d)
	byID, byPath := bestByID(names, d.mapped()), s.bestByPath(d)
	if doubt != "" {
		doubt = ", and " + doubt
	}
	const moves = "which may be another disk after a reboot"
	switch mode {
	case TargetByID:
		if byID == "" {
			return "", "", fmt.Errorf("has no name in /dev/disk/by-id that no other disk can have%s", doubt)
		}
		return "/dev/disk/by-id/" + byID, "", nil
	case TargetByPath:
		if byPath == "" {
			return "", "", fmt.Errorf("has no name in /dev/disk/by-path")
		}
		return "/dev/disk/by-path/" + byPath, "", nil
	case TargetName:
		return d.Path(), fmt.Sprintf("the link holds %s, %s", d.Path(), moves), nil
	case TargetAuto, "":
		switch {
		case byID != "":
			return "/dev/disk/by-id/" + byID, "", nil
		case byPath != "" && doubt != "":
			return "/dev/disk/by-path/" + byPath,
				fmt.Sprintf("has no by-id name that no other disk can have%s: the link holds its by-path name, which is the slot's: another disk put there would be taken for it",
					doubt),
				nil
		case byPath != "":
			return "/dev/disk/by-path/" + byPath, "", nil
		case doubt != "":
			return d.Path(), fmt.Sprintf("has no by-id name that no other disk can have%s, and no by-path name: the link holds %s, %s", doubt,
				d.Path(), moves), nil
		}
		return d.Path(), fmt.Sprintf("has neither a by-id nor a by-path name: the link holds %s, %s", d.Path(), moves), nil
	}
	return "", "", mode.Check()
}

// Doubt is why a link's target that leads to the disk now may be another disk's name
// after a reboot; empty if nothing says so.
func (s *Set) Doubt(d Disk, target string) string {
	switch path.Dir(path.Clean(target)) {
	case "/dev/disk/by-uuid", "/dev/disk/by-label":
		return "it is made of what is written on the disk"
	}
	if text, is := strings.CutPrefix(target, "/dev/disk/by-id/"); is && slices.Contains(d.ByID, text) {
		kept, why := s.names(d)
		n := parseName(text)
		switch {
		case n.ofContent():
			return "it is made of what is written on the disk"
		case !slices.ContainsFunc(kept, func(k name) bool { return k.text == text }):
			return why
		}
	}
	return ""
}

// StableTarget reports whether a link's raw target is a name that stays with a
// disk or a slot over a reboot.
func StableTarget(target string) bool {
	target = path.Clean(target)
	return strings.HasPrefix(target, "/dev/disk/by-id/") || strings.HasPrefix(target, "/dev/disk/by-path/")
}

// bestByID is the best of names. A mapping is only named by its own names where it has
// them: the paths of a multipath map have the others too, before the map is there.
func bestByID(names []name, mapping bool) string {
	own := func(n name) bool { return strings.HasPrefix(n.kind, "dm-") }
	own1st := mapping && slices.ContainsFunc(names, own)
	best, bestRank := "", 0
	for _, n := range names {
		if own1st && !own(n) {
			continue
		}
		rank := slices.IndexFunc(byIDRank(), func(p string) bool { return strings.HasPrefix(n.text, p) })
		if rank < 0 {
			rank = len(byIDRank())
		}
		rank *= 2
		if n.kind == "nvme-" && n.namespace == "" {
			rank++ // udev gives it to a drive's last namespace, and a drive can get a second one.
		}
		if best == "" || rank < bestRank || rank == bestRank && n.text < best {
			best, bestRank = n.text, rank
		}
	}
	return best
}

// bestByPath takes the name of the bus before the driver's ("pci-…" before
// "virtio-pci-…"), then the alphabet.
func (s *Set) bestByPath(d Disk) string {
	best := ""
	for _, name := range d.ByPath {
		if s.claimedElsewhere("/dev/disk/by-path/"+name, d) {
			continue
		}
		driver, bestDriver := strings.HasPrefix(name, "virtio-"), strings.HasPrefix(best, "virtio-")
		if best == "" || bestDriver && !driver || bestDriver == driver && name < best {
			best = name
		}
	}
	return best
}
