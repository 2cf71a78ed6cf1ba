// SPDX-License-Identifier: Apache-2.0

package talosnode

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/moby/sys/mountinfo"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

// disk is what a node tells of one of its disks.
type disk struct {
	name, serial string
	size         uint64
	sector       uint
	readOnly     bool
	links        []string
	// mount is where its file system is mounted, or empty.
	mount string
	// content is blkid's: TYPE, LABEL, UUID, PTTYPE.
	content    map[string]string
	partitions []partition
}

// partition is one of a GPT.
type partition struct {
	cluster.Partition
	content map[string]string
}

// path is the device.
func (d disk) path() string { return "/dev/" + d.name }

// SyncDisks makes the block resources what the node's disks are now, and tries volumes again that have none. Talos does so by
// itself.
func (n *Node) SyncDisks(ctx context.Context) error {
	if err := n.Rescan(ctx); err != nil {
		return err
	}
	disks, err := findDisks(ctx, n.Below)
	if err != nil {
		return fmt.Errorf("node %q: look for its disks: %w", n.Below.Name(), err)
	}
	for _, r := range n.others {
		if err := n.State().Destroy(ctx, r.Metadata()); err != nil && !state.IsNotFoundError(err) {
			return err
		}
	}
	n.others = n.otherResources(disks)
	for _, r := range n.others {
		if err := n.State().Create(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// otherResources are what Talos says of what is mounted and is no volume of its configuration. /var lies on the system disk as
// a whole, which has no partitions here.
func (n *Node) otherResources(disks []disk) []resource.Resource {
	system := block.NewSystemDisk(block.NamespaceName, block.SystemDiskID)
	system.TypedSpec().DiskID, system.TypedSpec().DevPath = cluster.SystemDisk, "/dev/"+cluster.SystemDisk
	all := []resource.Resource{system}
	for _, d := range disks {
		if d.mount != "" && !n.storage.has(d.mount) {
			all = append(all, mounted(d)...)
		}
	}
	return all
}

// told is a disk as the Talos API tells of it.
func (d disk) told() talostest.Disk {
	all := talostest.Disk{
		Name: d.name, Size: d.size, Sector: uint64(d.sector), Serial: d.serial, Transport: "virtio", Rotational: true, ReadOnly: d.readOnly,
		Links: d.links, Content: contentOf(d.content),
	}
	for _, p := range d.partitions {
		all.Partitions = append(all.Partitions, talostest.Partition{
			Index: p.Number, Offset: uint64(p.Start), Size: uint64(p.Size), Name: p.Label, ID: p.UUID, Content: contentOf(p.content),
		})
	}
	return all
}

// contentOf is what blkid found: a file system, or else a partition table.
func contentOf(found map[string]string) talostest.Content {
	if found["TYPE"] == "" {
		return talostest.Content{Type: found["PTTYPE"], UUID: found["PTUUID"]}
	}
	return talostest.Content{Type: found["TYPE"], Label: found["LABEL"], UUID: found["UUID"]}
}

// mounted is the volume on a disk: EPHEMERAL, or as one of machine.disks.
func mounted(d disk) []resource.Resource {
	id := d.path() + "-1"
	if d.name == cluster.SystemDisk {
		id = "EPHEMERAL"
	}
	status := block.NewMountStatus(block.NamespaceName, id)
	status.TypedSpec().Source, status.TypedSpec().Target = d.path(), d.mount
	status.TypedSpec().Spec.VolumeID, status.TypedSpec().Filesystem = id, block.FilesystemTypeEXT4

	volume := block.NewVolumeStatus(block.NamespaceName, id)
	spec := volume.TypedSpec()
	spec.SetSize(d.size)
	spec.Phase, spec.Type, spec.Filesystem = block.VolumePhaseReady, block.VolumeTypeDisk, block.FilesystemTypeEXT4
	spec.Location, spec.MountLocation, spec.UUID = d.path(), d.path(), d.content["UUID"]
	return []resource.Resource{status, volume}
}

// look tells of each disk that is named what the kernel and blkid know.
const look = `for disk; do
	echo "disk=$disk"
	echo "size=$(blockdev --getsize64 /dev/$disk)"
	echo "sector=$(blockdev --getss /dev/$disk)"
	echo "ro=$(blockdev --getro /dev/$disk)"
	blkid -p -o export /dev/$disk || [ $? = 2 ]
done`

// findDisks looks at a node.
func findDisks(ctx context.Context, n *cluster.Node) ([]disk, error) {
	added, err := n.Disks()
	if err != nil {
		return nil, err
	}
	argv, serials := []string{"sh", "-euc", look, "sh", cluster.SystemDisk}, map[string]string{cluster.SystemDisk: cluster.SystemDiskSerial}
	for _, d := range added {
		argv = append(argv, d.Name)
		serials[d.Name] = d.Serial
	}
	text, err := n.Exec(ctx, argv...)
	if err != nil {
		return nil, err
	}
	links, err := findLinks(n)
	if err != nil {
		return nil, err
	}
	mounts, err := findMounts(n)
	if err != nil {
		return nil, err
	}
	var disks []disk
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key == "disk" {
			d := disk{name: value, serial: serials[value], links: links[value], content: map[string]string{}}
			var stat unix.Stat_t
			if err := unix.Stat(filepath.Join(n.Root(), d.path()), &stat); err != nil {
				return nil, err
			}
			d.mount = mounts[stat.Rdev]
			disks = append(disks, d)
			continue
		}
		d := &disks[len(disks)-1]
		number, _ := strconv.ParseUint(value, 10, 64)
		switch key {
		case "size":
			d.size = number
		case "sector":
			d.sector = uint(number)
		case "ro":
			d.readOnly = number == 1
		default:
			d.content[key] = value
		}
	}
	for i := range disks {
		if disks[i].content["PTTYPE"] != "gpt" {
			continue
		}
		if disks[i].partitions, err = findPartitions(ctx, n, disks[i].name); err != nil {
			return nil, err
		}
	}
	return disks, nil
}

// lookAt tells what blkid finds on each device, and not what the partition table says of it.
const lookAt = `for device; do
	echo "device=$device"
	blkid -p --no-part-details -o export "$device" || [ $? = 2 ]
done`

// findPartitions looks at those of a disk. Where they have no devices yet, such as after an exchange of names, they get them.
func findPartitions(ctx context.Context, n *cluster.Node, disk string) ([]partition, error) {
	table, err := n.Partitions(ctx, disk)
	if err != nil || len(table) == 0 {
		return nil, err
	}
	argv := []string{"sh", "-euc", lookAt, "sh"}
	for _, p := range table {
		argv = append(argv, "/dev/"+cluster.PartitionName(disk, p.Number))
	}
	if _, err := os.Lstat(filepath.Join(n.Root(), argv[len(argv)-1])); errors.Is(err, fs.ErrNotExist) {
		if err := n.SyncPartitions(ctx, disk); err != nil {
			return nil, err
		}
	}
	text, err := n.Exec(ctx, argv...)
	if err != nil {
		return nil, err
	}
	var all []partition
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key == "device" {
			all = append(all, partition{Partition: table[len(all)], content: map[string]string{}})
			continue
		}
		all[len(all)-1].content[key] = value
	}
	return all, nil
}

// findLinks are udev's names of each disk.
func findLinks(n *cluster.Node) (map[string][]string, error) {
	root := filepath.Join(n.Root(), "dev")
	paths, err := filepath.Glob(filepath.Join(root, "disk", "*", "*"))
	if err != nil {
		return nil, err
	}
	links := map[string][]string{}
	for _, path := range paths {
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(target)
		links[name] = append(links[name], "/dev"+strings.TrimPrefix(path, root))
	}
	return links, nil
}

// findMounts are the directories on which file systems are mounted, by device; the
// first, where there are several.
func findMounts(n *cluster.Node) (map[uint64]string, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", n.PID()))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all, err := mountinfo.GetMountsFromReader(file, nil)
	if err != nil {
		return nil, err
	}
	mounts := map[uint64]string{}
	for _, m := range all {
		number := unix.Mkdev(uint32(m.Major), uint32(m.Minor))
		if m.Root == "/" && mounts[number] == "" {
			mounts[number] = m.Mountpoint
		}
	}
	return mounts, nil
}
