// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
)

// GiB in bytes.
const gib = 1 << 30

// recordedDisks are those of the node that was recorded: vda with Talos on it, vdb to vdg
// empty, and the squashfs that it boots.
func recordedDisks() []Disk {
	disks := []Disk{{
		Name: "loop0", Size: 193986560, ReadOnly: true, BusPath: "/virtual", Links: []string{"/dev/disk/by-diskseq/16"},
		Content: Content{Type: "squashfs"},
	}}
	for i, size := range []uint64{20 * gib, 10 * gib, 10 * gib, 5 * gib, 5 * gib, 2 * gib, 1 * gib} {
		letter := string(rune('a' + i))
		slot := fmt.Sprintf("0000:00:%02x.0", i+4)
		d := Disk{
			Name: "vd" + letter, Size: size, Serial: "talos-disk-" + letter, Modalias: "virtio:d00000002v00001AF4",
			BusPath: fmt.Sprintf("/pci0000:00/%s/virtio%d", slot, i+2), Transport: "virtio", Rotational: true,
			Links: []string{
				fmt.Sprintf("/dev/disk/by-diskseq/%d", i+1), "/dev/disk/by-id/virtio-talos-disk-" + letter,
				"/dev/disk/by-path/pci-" + slot, "/dev/disk/by-path/virtio-pci-" + slot,
			},
		}
		if letter == "a" {
			d.Partitions = systemPartitions()
		}
		disks = append(disks, d)
	}
	return disks
}

// systemPartitions are what Talos puts on its disk.
func systemPartitions() []Partition {
	return []Partition{
		{Name: "EFI", Size: 200 << 20}, {Name: "BIOS", Size: 1 << 20}, {Name: "BOOT", Size: 1000 << 20, Content: Content{Type: "xfs"}},
		{Name: "META", Size: 1 << 20, Content: Content{Type: "talosmeta"}},
		{Name: "STATE", Size: 100 << 20, Content: Content{Type: "xfs", Label: "STATE"}},
		{Name: "EPHEMERAL", Content: Content{Type: "xfs", Label: "EPHEMERAL"}},
	}
}

// seedSystem gives the node the volumes on its system disk.
func seedSystem(ctx context.Context, st state.State, disks []Disk) error {
	system := block.NewSystemDisk(block.NamespaceName, block.SystemDiskID)
	*system.TypedSpec() = block.SystemDiskSpec{DiskID: "vda", DevPath: "/dev/vda"}
	if err := put(ctx, st, system); err != nil {
		return err
	}
	_, disk, ok := contentOf(disks, "/dev/vda")
	if !ok {
		return nil
	}
	for _, p := range disk.Partitions {
		if p.Name != "META" && p.Name != "STATE" && p.Name != "EPHEMERAL" {
			continue
		}
		volume := block.NewVolumeStatus(block.NamespaceName, p.Name)
		*volume.TypedSpec() = block.VolumeStatusSpec{
			Phase: block.VolumePhaseReady, Type: block.VolumeTypePartition, ParentLocation: disk.path(), PartitionIndex: p.Index,
			Location: disk.partitionPath(p.Index), MountLocation: disk.partitionPath(p.Index), UUID: p.UUID, PartitionUUID: p.ID,
		}
		volume.TypedSpec().SetSize(p.Size)
		if p.Type == "xfs" {
			volume.TypedSpec().Filesystem = block.FilesystemTypeXFS
		}
		if err := put(ctx, st, volume); err != nil {
			return err
		}
	}
	mount := block.NewMountStatus(block.NamespaceName, "EPHEMERAL")
	*mount.TypedSpec() = block.MountStatusSpec{Source: "/dev/vda6", Target: "/var", Filesystem: block.FilesystemTypeXFS}
	mount.TypedSpec().Spec.VolumeID = "EPHEMERAL"
	return put(ctx, st, mount)
}
