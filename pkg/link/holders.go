// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// release is how a disk is freed from what holds it or lies over it; empty where that is
// not known, or where the holder is itself in use. While it is held, neither Talos wipes it nor
// is there anything to accept.
func (j judge) release(d disk.Disk) string {
	if len(d.Under) > 0 {
		return j.rawVolume(d)
	}
	var first []string
	for _, name := range d.Holders {
		at := slices.IndexFunc(j.view.Disks, func(o disk.Disk) bool { return o.Kernel == name })
		if at < 0 {
			return ""
		}
		holder := j.view.Disks[at]
		if !idle(holder) {
			return ""
		}
		command := takeAway(holder)
		if len(command) == 0 {
			return ""
		}
		first = append(first, j.talosctl(command...))
	}
	if len(first) == 0 {
		return ""
	}
	first = append(first, j.talosctl("wipe", "disk", d.Name))
	return "if it is a leftover and its data is not needed, remove first what holds it, then wipe the disk (Talos 1.14 or later): " +
		strings.Join(first, " && ")
}

// talosctl is a command for the judged node.
func (j judge) talosctl(words ...string) string {
	return shell.Command(append([]string{"talosctl", "-n", orNode(j.node)}, words...)...)
}

// idle reports whether it is known that nothing uses the device.
func idle(d disk.Disk) bool {
	return d.Content != nil && d.Content.Busy == disk.No && len(d.Holders)+len(d.Under)+len(d.MaybeUnder) == 0
}

// takeAway are the words of the talosctl command that removes a mapping or an array
// (Talos 1.14, cmd/talosctl/cmd/talos/wipe.go); none where there is none.
func takeAway(d disk.Disk) []string {
	switch d.Kind {
	case disk.KindRAID:
		return []string{"wipe", "md", d.Path()}
	case disk.KindMapper:
		lvm := slices.ContainsFunc(d.ByID, func(n string) bool { return strings.HasPrefix(n, "dm-uuid-LVM-") })
		for _, n := range d.ByID {
			mapping, ok := strings.CutPrefix(n, "dm-name-")
			if vg, lv := logicalVolume(mapping); ok && lvm && vg != "" {
				return []string{"wipe", "lv", vg + "/" + lv}
			}
		}
	case disk.KindDisk, disk.KindPartition, disk.KindLoop, disk.KindCDROM:
	}
	return nil
}

// logicalVolume reads the name of an LVM mapping: VG-LV, with every hyphen of their own
// doubled (lvm2, lib/misc/lvm-string.c). Names outside LVM's grammar are none.
func logicalVolume(mapping string) (vg, lv string) {
	const hyphen = "\x00"
	if strings.Trim(mapping, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-") != "" {
		return "", ""
	}
	vg, lv, ok := strings.Cut(strings.ReplaceAll(mapping, "--", hyphen), "-")
	if !ok || vg == "" || lv == "" || strings.Contains(lv, "-") {
		return "", ""
	}
	own := func(s string) string { return strings.ReplaceAll(s, hyphen, "-") }
	return own(vg), own(lv)
}

// rawVolume is who a kubelet has made a loop device over the disk for: it maps
// DIRECTORY/volumeDevices/VOLUME/POD (Kubernetes 1.37, pkg/volume/util/volumepathhandler).
func (j judge) rawVolume(d disk.Disk) string {
	for _, name := range d.Under {
		at := slices.IndexFunc(j.view.Disks, func(o disk.Disk) bool { return o.Kernel == name })
		if at < 0 {
			continue
		}
		_, mapped, ok := strings.Cut(j.view.Disks[at].Backing, "/volumeDevices/")
		if volume, _, _ := strings.Cut(strings.TrimPrefix(mapped, "publish/"), "/"); ok &&
			strings.Trim(volume, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && volume != "" {
			return "a kubelet gives it to a pod: " + shell.Command("kubectl", "get", "pv", volume)
		}
	}
	return ""
}

// anotherSystem says of a disk with partitions that they are named like those of Talos
// while the node itself lives elsewhere: the disk of a virtual machine, or one from another node.
func (j judge) anotherSystem(d disk.Disk) string {
	if why, _ := j.talos.claims(d); why != "" {
		return ""
	}
	for _, p := range j.view.Disks {
		if p.Kind == disk.KindPartition && p.Parent == d.Name && disk.SystemPartition(p.PartLabel) {
			return fmt.Sprintf(", another system's by their names (%s is %s)", p.Name, p.PartLabel)
		}
	}
	return ""
}
