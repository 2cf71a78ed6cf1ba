// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"errors"
	"fmt"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
)

// GiB in bytes.
const gib = 1 << 30

// seedBlock gives a node the disks of the one that was recorded: vda with Talos on
// it, vdb to vdg empty, and the squashfs that it boots.
func seedBlock(ctx context.Context, st state.State) error {
	for i, size := range []uint64{20 * gib, 10 * gib, 10 * gib, 5 * gib, 5 * gib, 2 * gib, 1 * gib} {
		letter := string(rune('a' + i))
		id, slot := "vd"+letter, fmt.Sprintf("0000:00:%02x.0", i+4)
		links := []string{
			fmt.Sprintf("/dev/disk/by-diskseq/%d", i+1), "/dev/disk/by-id/virtio-talos-disk-" + letter,
			"/dev/disk/by-path/pci-" + slot, "/dev/disk/by-path/virtio-pci-" + slot,
		}
		d := block.NewDisk(block.NamespaceName, id)
		*d.TypedSpec() = block.DiskSpec{
			DevPath: "/dev/" + id, Size: size, PrettySize: pretty(size), IOSize: 512, SectorSize: 512,
			Serial: "talos-disk-" + letter, Modalias: "virtio:d00000002v00001AF4",
			BusPath:   fmt.Sprintf("/pci0000:00/%s/virtio%d", slot, i+2),
			SubSystem: "/sys/class/block", Transport: "virtio", Rotational: true, Symlinks: links,
		}
		v := block.NewDiscoveredVolume(block.NamespaceName, id)
		*v.TypedSpec() = block.DiscoveredVolumeSpec{
			DevPath:    "/dev/" + id,
			Type:       "disk",
			Size:       size,
			PrettySize: pretty(size),
			SectorSize: 512,
			IOSize:     512,
		}
		if id == "vda" {
			v.TypedSpec().Name = "gpt"
		}
		s := block.NewSymlink(block.NamespaceName, id)
		s.TypedSpec().Paths = links
		if err := errors.Join(put(ctx, st, d), put(ctx, st, v), put(ctx, st, s)); err != nil {
			return err
		}
	}
	return seedSystem(ctx, st)
}

// seedSystem gives the node what Talos puts on its system disk.
func seedSystem(ctx context.Context, st state.State) error {
	system := block.NewSystemDisk(block.NamespaceName, block.SystemDiskID)
	*system.TypedSpec() = block.SystemDiskSpec{DiskID: "vda", DevPath: "/dev/vda"}
	loop := block.NewDisk(block.NamespaceName, "loop0")
	*loop.TypedSpec() = block.DiskSpec{
		DevPath: "/dev/loop0", Size: 193986560, PrettySize: "194 MB", IOSize: 512, SectorSize: 512, Readonly: true,
		BusPath: "/virtual", SubSystem: "/sys/class/block", Symlinks: []string{"/dev/disk/by-diskseq/16"},
	}
	if err := errors.Join(put(ctx, st, system), put(ctx, st, loop)); err != nil {
		return err
	}
	for i, p := range []struct {
		label, name string
		size        uint64
	}{
		{"EFI", "", 200 << 20}, {"BIOS", "", 1 << 20}, {"BOOT", "xfs", 1000 << 20},
		{"META", "talosmeta", 1 << 20}, {"STATE", "xfs", 100 << 20}, {"EPHEMERAL", "xfs", 18 * gib},
	} {
		id := fmt.Sprintf("vda%d", i+1)
		v := block.NewDiscoveredVolume(block.NamespaceName, id)
		*v.TypedSpec() = block.DiscoveredVolumeSpec{
			DevPath: "/dev/" + id, Type: "partition", Parent: "vda", ParentDevPath: "/dev/vda", Size: p.size, PrettySize: pretty(p.size),
			SectorSize: 512, IOSize: 512, Name: p.name, PartitionLabel: p.label, PartitionIndex: uint(i + 1),
		}
		if err := put(ctx, st, v); err != nil {
			return err
		}
		if p.label != "META" && p.label != "STATE" && p.label != "EPHEMERAL" {
			continue
		}
		volume := block.NewVolumeStatus(block.NamespaceName, p.label)
		*volume.TypedSpec() = block.VolumeStatusSpec{
			Phase: block.VolumePhaseReady, Type: block.VolumeTypePartition, Location: "/dev/" + id, MountLocation: "/dev/" + id,
			ParentLocation: "/dev/vda", PartitionIndex: i + 1, Size: p.size, PrettySize: pretty(p.size),
		}
		if p.name == "xfs" {
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

// pretty is a size as Talos prints it.
func pretty(size uint64) string {
	if size >= 1e9 {
		return fmt.Sprintf("%.2g GB", float64(size)/1e9)
	}
	return fmt.Sprintf("%d MB", size/1e6)
}
