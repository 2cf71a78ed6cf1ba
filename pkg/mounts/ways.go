// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"path"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Way is how disks become local volumes without an extraMount.
type Way struct {
	Title string `json:"title"`
	// Documents are to be appended to the node's machine configuration, as YAML.
	Documents string `json:"documents"`
	// Class are the lines to set in the provisioner's class, as YAML.
	Class string `json:"class"`
	Note  string `json:"note,omitempty"`
}

// String is the way as a person reads and pastes it.
func (w Way) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", w.Title)
	block := func(title, text string) {
		fmt.Fprintf(&b, "  %s\n", title)
		for line := range strings.Lines(text) {
			b.WriteString("    " + line)
		}
	}
	block("append to the machine configuration:", w.Documents)
	block("set in the provisioner's class:", w.Class)
	if w.Note != "" {
		fmt.Fprintf(&b, "  %s\n", w.Note)
	}
	return b.String()
}

// waysWithout are the ways that a version has, for a directory that cannot be
// mounted. Seen on Talos v1.14.0-rc.1 with pods on each kind of volume; the
// documents' versions are from pkg/machinery/config/types/block.
func waysWithout(v talosrelease.Release, dir string) []Way {
	var ways []Way
	name := volumeName(dir)
	if v.Has(talosrelease.VolumeTypes) {
		ways = append(ways, Way{
			Title:     "for links to whole disks (kubectl talosdisk link), a directory that the kubelet sees:",
			Documents: "---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: " + name + "\nvolumeType: directory\n",
			Class:     classDirs(path.Join(varMnt, name), path.Join(varMnt, name)) + "volumeMode: Block\n",
		})
	}
	const provisioning = "provisioning:\n  diskSelector:\n    match: disk.serial == \"SERIAL\" && !system_disk\n  minSize: 1GiB\n  grow: true\n"
	const serial = "one document for each disk, each with a number of its own; its SERIAL: kubectl talosdisk disks -o wide"
	const foreign = "; without namePattern the volumes of others would be published, and emptied"
	name = name[:min(len(name), longestVolumeName-len("-999"))]
	if v.Has(talosrelease.RawVolumes) {
		ways = append(ways, Way{
			Title:     "for block volumes without links, a raw volume on each disk:",
			Documents: "---\napiVersion: v1alpha1\nkind: RawVolumeConfig\nname: " + name + "-1\n" + provisioning,
			Class:     classDirs("/dev/disk/by-partlabel", "/dev/disk/by-partlabel") + "namePattern: \"r-" + name + "-*\"\nvolumeMode: Block\n",
			Note:      serial + foreign + ", the system's own partitions among them",
		})
	}
	if v.Has(talosrelease.UserVolumes) {
		ways = append(ways, Way{
			Title:     "for file systems, a user volume on each disk:",
			Documents: "---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: " + name + "-1\n" + provisioning,
			Class:     classDirs(varMnt, "/mnt/"+name) + "namePattern: \"" + name + "-*\"\nvolumeMode: Filesystem\n",
			Note:      serial + foreign,
		})
	}
	return ways
}

// classDirs are a class's directories. A Block class has both the same, since udev's links are relative and lead nowhere
// from another directory. Classes that share /var/mnt need mountDirs of their own: a pod cannot mount twice at one path.
func classDirs(hostDir, mountDir string) string {
	return "hostDir: " + hostDir + "\nmountDir: " + mountDir + "\n"
}

// longestVolumeName is what Talos takes (pkg/machinery/config/types/block, v1.10).
const longestVolumeName = 34

// volumeName makes a name for a user volume of a directory's: 1 to 34 letters, digits and hyphens.
func volumeName(dir string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, path.Base(dir))
	name = strings.Trim(name[:min(len(name), longestVolumeName)], "-")
	if name == "" {
		return "disks"
	}
	return name
}
