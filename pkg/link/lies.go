// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"path"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// entryOn is an entry of a class directory that leads to a disk or to a partition of it.
type entryOn struct {
	class provisioner.Class
	entry string
	// path is the entry's on the node.
	path string
	// partition is its name; empty: the entry leads to the whole disk.
	partition string
}

// isLink reports whether an entry of a class directory is the class's own. Below /dev what
// namePattern leaves out is udev's; elsewhere somebody has made it, and it is published as
// soon as the pattern changes.
func isLink(c provisioner.Class, entry string) bool { return c.Publishes(entry) || !belowDev(c) }

// partOf reports whether a device of the same view is a partition of a disk.
func partOf(p, d disk.Disk) bool { return p.Kind == disk.KindPartition && p.Parent == d.Name }

// linkedAs is what speaks against linking a disk that an entry leads to already, or one of
// its partitions.
func linkedAs(entry, partition string) disk.Objection {
	if partition != "" {
		return disk.Objection{
			Reason:  disk.PartitionLinked,
			Message: fmt.Sprintf("has partition %s, which is published already, as %s", partition, entry),
		}
	}
	return disk.Objection{Reason: disk.AlreadyLinked, Message: "is linked already, as " + entry}
}

// volumeOn is a volume that lies on a disk, or on the named partition of it.
type volumeOn struct {
	volume    snapshot.Volume
	partition string
}

// volumesOn are the volumes of the node that are known to lie on a disk by their paths: below
// /dev by where the path leads, elsewhere by what is mounted there.
func (t talos) volumesOn(s *snapshot.Snapshot, w word) []volumeOn {
	var on []volumeOn
	for _, v := range s.Volumes {
		if v.Node != t.node.Name {
			continue
		}
		for _, u := range w.uses {
			if u.Target != "" && u.Target == path.Clean(v.Path) {
				on = append(on, volumeOn{v, t.partition(w, u.Device)})
			}
		}
		if w.disk == nil || !within(v.Path, "/dev") {
			continue
		}
		if device := t.name(path.Clean(v.Path)); device != "" && t.whole("/dev/"+device) == w.disk.Name {
			on = append(on, volumeOn{v, t.partition(w, device)})
		}
	}
	return on
}

// partition is a device of the disk; empty where it is the whole one.
func (t talos) partition(w word, device string) string {
	if w.disk != nil && w.disk.Name == device {
		return ""
	}
	return device
}

// notPlaced says of the disks of a node which of them may have a volume that is not among
// theirs, since it is not known where that lies.
func (t talos) notPlaced(s *snapshot.Snapshot, disks []DiskUse) {
	placed := make(map[string]bool)
	for _, u := range disks {
		for _, v := range u.Volumes {
			placed[v.Name] = true
		}
	}
	for _, v := range s.Volumes {
		if placed[v.Name] || v.Node != t.node.Name && v.Node != "" {
			continue
		}
		why := t.whyNotPlaced(v)
		for i := range disks {
			u := &disks[i]
			if why != "" && u.VolumesProblem == "" && (v.Mode == provisioner.Block || mayHaveFilesystem(*u)) {
				u.VolumesProblem = fmt.Sprintf("where volume %s (%s) lies is not known: %s", v.Name, v.Path, why)
			}
		}
	}
}

// whyNotPlaced is why it is not known on which disk a volume lies; empty where it is known to
// lie on none of those that were seen.
func (t talos) whyNotPlaced(v snapshot.Volume) string {
	if v.Mode != provisioner.Block {
		if t.reported.Mounts.Value != nil {
			return "" // It is no mount: a directory, or nothing at all.
		}
		return "the node's mounts were not read"
	}
	for _, p := range t.places {
		for _, c := range p.install.Classes {
			switch {
			case path.Dir(path.Clean(v.Path)) != path.Clean(c.HostDir):
			case p.problem != "":
				return p.problem
			case t.node.View.Value == nil:
				return t.node.View.Why().Message
			default:
				return unread(p.dirs[c.Name]) // Read, its entry is not there or leads nowhere.
			}
		}
	}
	if _, known := t.links[path.Clean(v.Path)]; known {
		return ""
	}
	return "not checked there"
}

// mayHaveFilesystem reports whether a disk is not known to be without one.
func mayHaveFilesystem(u DiskUse) bool {
	return u.Content == nil || u.Content.Signed != disk.No || u.Content.Busy != disk.No
}

// unreadDirectories is why there may be entries in class directories that were not seen, the
// first of the reasons.
func (t talos) unreadDirectories() string {
	for _, p := range t.places {
		if objections := p.unread(""); len(objections) > 0 {
			return objections[0].Message
		}
	}
	return ""
}

// noMedium in bytes is the size that Linux gives a CD drive whose medium cannot be read or is
// not there (drivers/scsi/sr.c, get_sectorsize: 0x1fffff sectors of 512 bytes).
const noMedium = 0x1fffff * 512

// emptyDrive reports whether a device is a drive without a medium, and so without a size.
func emptyDrive(d disk.Disk) bool { return d.Kind == disk.KindCDROM && d.Size == noMedium }

// within reports whether a path is dir or lies below it.
func within(p, dir string) bool {
	p = path.Clean(p)
	return p == dir || strings.HasPrefix(p, dir+"/")
}
