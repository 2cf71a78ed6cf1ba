// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// Talos is a node's block devices as its Talos API tells them. Every part is named
// and copied field by field: machine configurations, keys and tokens have no place in it.
type Talos struct {
	// Legacy is a release before v1.8, which has no resources for disks, volumes and
	// mounts: Disks, System and Mounts come from older calls, and the parts that are
	// unread are not there to be read.
	Legacy bool `json:"legacy,omitempty"`
	// Disks are the whole devices with a size, LVM's mappings left out: Talos's Disk
	// resources (v1.8), before them StorageService.Disks.
	Disks Section[[]TalosDisk] `json:"disks,omitzero"`
	// System is the name of the disk that the META partition lies on.
	System Section[string] `json:"system,omitzero"`
	// Devices are what lies on disks and partitions: DiscoveredVolume (v1.7).
	Devices Section[[]TalosDevice] `json:"devices,omitzero"`
	// Volumes are Talos's own and those of its configuration: VolumeStatus (v1.8).
	Volumes Section[[]TalosVolume] `json:"volumes,omitzero"`
	// Mounts are those of block devices: MountStatus (v1.10), before it the node's
	// /proc/mounts.
	Mounts Section[[]TalosMount] `json:"mounts,omitzero"`
	// Links are udev's names of disks and partitions, by device name: BlockSymlink (v1.10).
	Links Section[map[string][]string] `json:"links,omitzero"`
	// Kubelet is the node's kubelet as Talos's own services have it.
	Kubelet Section[TalosService] `json:"kubelet,omitzero"`
	// Diagnostics are what Talos itself warns of: the resources
	// Diagnostics.runtime.talos.dev.
	Diagnostics Section[[]TalosDiagnostic] `json:"diagnostics,omitzero"`
}

// TalosService is one of Talos's own services (MachineService.ServiceList).
type TalosService struct {
	// State is Talos's: Running, Waiting, Preparing, Failed, …; empty: there is no such service at the moment.
	State string `json:"state,omitempty"`
	// Healthy is Unknown until the first health check ended, Unhealthy what the last one said if it is No.
	Healthy   disk.Answer `json:"healthy,omitempty"`
	Unhealthy string      `json:"unhealthy,omitempty"`
	// Message is the service's last event.
	Message string `json:"message,omitempty"`
}

// String is the service in Talos's words: "Waiting: Error running Containerd(kubelet), …".
func (t TalosService) String() string {
	text := t.State
	switch {
	case text == "":
		text = t.Message
	case t.Message != "":
		text += ": " + t.Message
	}
	if t.Healthy == disk.No {
		text += "; not healthy"
		if t.Unhealthy != "" {
			text += ": " + t.Unhealthy
		}
	}
	return text
}

// TalosDiagnostic is one of Talos's own warnings. Its page is
// https://talos.dev/diagnostic/ID.
type TalosDiagnostic struct {
	ID      string   `json:"id"`
	Message string   `json:"message"`
	Details []string `json:"details,omitempty"`
}

// TalosDisk is a whole device. Names are the kernel's, without /dev/.
type TalosDisk struct {
	Name string `json:"name"`
	// Size in bytes.
	Size       uint64 `json:"size"`
	ReadOnly   bool   `json:"readOnly,omitempty"`
	CDROM      bool   `json:"cdrom,omitempty"`
	Rotational bool   `json:"rotational,omitempty"`
	// Transport is nvme, sata, virtio, usb, …
	Transport string `json:"transport,omitempty"`
	Model     string `json:"model,omitempty"`
	Serial    string `json:"serial,omitempty"`
	// WWID is sysfs's; releases before v1.8 tell none.
	WWID string `json:"wwid,omitempty"`
	// Symlinks are udev's names below /dev (v1.10).
	Symlinks []string `json:"symlinks,omitempty"`
	// Secondaries are the disks that this one is made of (v1.9).
	Secondaries []string `json:"secondaries,omitempty"`
}

// TalosDevice is what Talos's own probe found on a disk or a partition.
type TalosDevice struct {
	Name string `json:"name"`
	// Parent is the disk of a partition.
	Parent string `json:"parent,omitempty"`
	// Content is Talos's word: xfs, ext4, vfat, gpt, luks, lvm2-pv, swap, …; empty:
	// nothing that it knows.
	Content        string `json:"content,omitempty"`
	Label          string `json:"label,omitempty"`
	PartitionLabel string `json:"partitionLabel,omitempty"`
	// Size in bytes.
	Size uint64 `json:"size"`
}

// TalosVolume is a volume of Talos, in whatever phase. META, STATE and EPHEMERAL
// are Talos's own; u-, r-, e-, s- and x- begin the names of user, raw, existing,
// swap and external volumes; "DEVICE-N" is partition N of an entry of machine.disks.
type TalosVolume struct {
	ID string `json:"id"`
	// Type is partition, disk, directory, tmpfs, symlink, overlay or external.
	// Releases before v1.10 tell none, and it is partition then.
	Type string `json:"type"`
	// Phase is waiting, failed, missing, located, provisioned, prepared, ready or closed.
	Phase string `json:"phase"`
	// Location is the device, MountLocation the one that is mounted (another, where
	// it is encrypted), ParentLocation the disk of a partition. Empty: not known yet.
	Location       string `json:"location,omitempty"`
	MountLocation  string `json:"mountLocation,omitempty"`
	ParentLocation string `json:"parentLocation,omitempty"`
	Filesystem     string `json:"filesystem,omitempty"`
	// Size in bytes.
	Size uint64 `json:"size,omitempty"`
	// Problem is why a volume failed.
	Problem string `json:"problem,omitempty"`
}

// TalosMount is a mounted block device.
type TalosMount struct {
	Source string `json:"source"`
	Target string `json:"target"`
	// Volume is its volume's ID, where Talos tells it (v1.10).
	Volume   string `json:"volume,omitempty"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Unread are the parts that could not be read, and why, in a fixed order; none on a
// release that has no more to tell.
func (t Talos) Unread() []string {
	var parts []string
	add := func(part string, why problem.Problem, legacy bool) {
		if !why.IsZero() && !legacy {
			parts = append(parts, part+": "+why.Message)
		}
	}
	add("disks", t.Disks.Why(), false)
	add("system disk", t.System.Why(), false)
	add("discovered volumes", t.Devices.Why(), t.Legacy)
	add("volumes", t.Volumes.Why(), t.Legacy)
	add("mounts", t.Mounts.Why(), false)
	return parts
}

// Path is the device node.
func (d TalosDisk) Path() string { return "/dev/" + d.Name }

// Disk is the disk in the words of package disk. What Talos does not tell, its
// number above all, is left empty.
func (d TalosDisk) Disk() disk.Disk {
	return disk.Disk{
		Name: d.Name, Kernel: d.Name, Kind: d.kind(), Size: d.Size, ReadOnly: d.ReadOnly, Rotational: d.Rotational,
		Model: d.Model, Serial: d.Serial, WWID: d.WWID, Transport: d.remote(),
		ByID: below("/dev/disk/by-id/", d.Symlinks), ByPath: below("/dev/disk/by-path/", d.Symlinks), Slaves: d.Secondaries,
	}
}

// remote is the transport where it goes over a network, in the words of package disk. Of NVMe
// Talos does not tell which way it goes.
func (d TalosDisk) remote() string {
	if d.Transport == "iscsi" || d.Transport == "fc" {
		return d.Transport
	}
	return ""
}

// Virtual tells the devices that are nobody's disks unless something else says so:
// loop devices (of the system's image and of extensions), compressed memory, mappings.
func (d TalosDisk) Virtual() bool {
	return slices.ContainsFunc([]string{"loop", "zram", "ram", "dm-"}, func(p string) bool { return strings.HasPrefix(d.Name, p) })
}

func (d TalosDisk) kind() disk.Kind {
	switch {
	case d.CDROM:
		return disk.KindCDROM
	case strings.HasPrefix(d.Name, "loop"):
		return disk.KindLoop
	case strings.HasPrefix(d.Name, "dm-"):
		return disk.KindMapper
	case strings.HasPrefix(d.Name, "md"):
		return disk.KindRAID
	}
	return disk.KindDisk
}

// below are the names of a directory among paths, sorted.
func below(dir string, paths []string) []string {
	var names []string
	for _, p := range paths {
		if name, ok := strings.CutPrefix(p, dir); ok && name != "" && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
