// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/loop"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/nodeinit"
)

// Disk is a disk of a node: a sparse file behind a loop device, under a disk's
// name in the node's /dev.
type Disk struct {
	// Name is the kernel's: vdb appears as /dev/vdb.
	Name string `json:"name"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Serial makes the link /dev/disk/by-id/virtio-SERIAL; none if it is empty.
	Serial string `json:"serial,omitempty"`
	// PathID makes the link /dev/disk/by-path/PATHID. If it is empty it is made
	// of the name, pci-0000:00:0b.0 for vdb; NoPathID for none.
	PathID string `json:"pathID,omitempty"`
	// Links are more links to make, relative to /dev/disk, such as
	// by-id/wwn-0x5000c500a1b2c3d4.
	Links []string `json:"links,omitempty"`
	// SectorSize is the logical block size in bytes; 512 if it is 0.
	SectorSize uint32 `json:"sectorSize,omitempty"`
	// ReadOnly makes a disk that refuses writes.
	ReadOnly bool `json:"readOnly,omitempty"`
}

// SystemDisk is the disk that every node has besides, with its /var on it.
const (
	SystemDisk       = nodeinit.SystemDisk
	SystemDiskSerial = nodeinit.SystemDiskSerial
)

// NoPathID is the PathID of a disk without a link in /dev/disk/by-path.
const NoPathID = "none"

// diskRecord is what is written down about a disk: what it is, and which loop
// device stands for it.
type diskRecord struct {
	Disk
	Loop int `json:"loop"`
}

// SwapOptions say which links keep their names' places in a swap. By default a
// link follows the disk that it is for, as after a reboot with other names.
type SwapOptions struct {
	// ByIDStays leaves the links in by-id pointing to the same names.
	ByIDStays bool
	// ByPathStays leaves those in by-path: the disks were exchanged in their
	// slots.
	ByPathStays bool
}

// AddDisk makes a disk appear in the node.
func (n *Node) AddDisk(d Disk) error {
	if err := n.addDisk(d); err != nil {
		return fmt.Errorf("node %q: add disk %q: %w", n.Name(), d.Name, err)
	}
	return nil
}

func (n *Node) addDisk(d Disk) error {
	if !regexp.MustCompile(`^[a-z][a-z0-9]*$`).MatchString(d.Name) || strings.HasPrefix(d.Name, "loop") || d.Name == nodeinit.SystemDisk {
		return errors.New("a disk is called like vdb, sdc or nvme0n1")
	}
	if d.Size <= 0 {
		return fmt.Errorf("bad size %d", d.Size)
	}
	if d.PathID == "" {
		d.PathID = defaultPathID(d.Name)
	}
	for _, link := range d.links() {
		if !filepath.IsLocal(link) || strings.Count(link, "/") != 1 {
			return fmt.Errorf("bad link %q: want something like by-id/virtio-abc", link)
		}
	}
	image := n.diskImage(d.Name)
	file, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return errors.New("the node has a disk of that name")
	}
	if err != nil {
		return err
	}
	err = errors.Join(file.Truncate(d.Size), file.Close())
	if err == nil {
		err = n.plug(d, image)
	}
	if err != nil {
		return errors.Join(err, n.removeDisk(diskRecord{Disk: d, Loop: -1}))
	}
	return nil
}

// ShareDisk makes a disk of this node appear in another too, as a LUN that two machines
// see: there are two devices, of one serial and one content.
func (n *Node) ShareDisk(name string, with *Node) error {
	if err := n.shareDisk(name, with); err != nil {
		return fmt.Errorf("node %q: share disk %q with node %q: %w", n.Name(), name, with.Name(), err)
	}
	return nil
}

func (n *Node) shareDisk(name string, with *Node) error {
	record, err := n.readDisk(name)
	if err != nil {
		return err
	}
	// The file has two names. It is there as long as one of the disks.
	image := with.diskImage(name)
	if err := os.Link(n.diskImage(name), image); err != nil {
		return err
	}
	if err := with.plug(record.Disk, image); err != nil {
		return errors.Join(err, with.removeDisk(diskRecord{Disk: record.Disk, Loop: -1}))
	}
	return nil
}

func (n *Node) plug(d Disk, image string) error {
	number, device, err := loop.Attach(image, loop.Options{First: layout.FirstLoop, Sector: d.SectorSize, ReadOnly: d.ReadOnly})
	if err != nil {
		return err
	}
	if err := device.Close(); err != nil {
		return err
	}
	record := diskRecord{Disk: d, Loop: number}
	if err := n.writeDisk(record); err != nil {
		return errors.Join(err, loop.Detach(number))
	}
	if err := n.makeDevice(record); err != nil {
		return errors.Join(err, loop.Detach(number))
	}
	for _, link := range d.links() {
		if err := n.makeLink(link, d.Name); err != nil {
			return errors.Join(err, loop.Detach(number))
		}
	}
	return nil
}

// RemoveDisk pulls a disk out: its links, its device and its data are gone.
// Anyone who has it open keeps what he has.
func (n *Node) RemoveDisk(name string) error {
	record, err := n.readDisk(name)
	if err == nil {
		err = n.removeDisk(record)
	}
	if err != nil {
		return fmt.Errorf("node %q: remove disk %q: %w", n.Name(), name, err)
	}
	return nil
}

func (n *Node) removeDisk(record diskRecord) error {
	var errs []error
	for _, link := range record.links() {
		path := n.devPath("disk", link)
		if target, err := os.Readlink(path); err == nil && filepath.Base(target) == record.Name {
			errs = append(errs, os.Remove(path))
		}
	}
	errs = append(errs, n.removePartitionDevices(record.Name), removeIfThere(n.devPath(record.Name)))
	if record.Loop >= 0 {
		errs = append(errs, loop.Detach(record.Loop), loop.Remove(record.Loop))
	}
	errs = append(errs, removeIfThere(n.diskImage(record.Name)), removeIfThere(n.diskRecord(record.Name)))
	return errors.Join(errs...)
}

// SwapDisks exchanges the names of two disks, with their data. Who has a
// device open keeps the disk that he opened.
func (n *Node) SwapDisks(a, b string, o SwapOptions) error {
	if err := n.swapDisks(a, b, o); err != nil {
		return fmt.Errorf("node %q: swap disks %q and %q: %w", n.Name(), a, b, err)
	}
	return nil
}

func (n *Node) swapDisks(a, b string, o SwapOptions) error {
	first, err := n.readDisk(a)
	if err != nil {
		return err
	}
	second, err := n.readDisk(b)
	if err != nil {
		return err
	}
	first, second = swapped(first, second, o), swapped(second, first, o)
	// SyncPartitions makes those of the disks that are there then.
	if err := errors.Join(n.removePartitionDevices(a), n.removePartitionDevices(b)); err != nil {
		return err
	}
	if err := n.exchangeImages(a, b); err != nil {
		return err
	}
	for _, record := range []diskRecord{first, second} {
		if err := n.writeDisk(record); err != nil {
			return err
		}
		if err := n.makeDevice(record); err != nil {
			return err
		}
		for _, link := range record.links() {
			if err := n.makeLink(link, record.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// swapped is the disk that is found under to's name when from has moved there.
func swapped(to, from diskRecord, o SwapOptions) diskRecord {
	moved := from
	moved.Name = to.Name
	if o.ByIDStays {
		moved.Serial = to.Serial
	}
	if o.ByPathStays {
		moved.PathID = to.PathID
	}
	moved.Links = nil
	for _, links := range []struct {
		all  []string
		stay bool
	}{{from.Links, false}, {to.Links, true}} {
		for _, link := range links.all {
			stays := o.ByIDStays && strings.HasPrefix(link, "by-id/") || o.ByPathStays && strings.HasPrefix(link, "by-path/")
			if stays == links.stay {
				moved.Links = append(moved.Links, link)
			}
		}
	}
	return moved
}

// exchangeImages exchanges two file names in one step.
func (n *Node) exchangeImages(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, n.diskImage(a), unix.AT_FDCWD, n.diskImage(b), unix.RENAME_EXCHANGE)
}

// Disks returns the disks that were added to the node, by name.
func (n *Node) Disks() ([]Disk, error) {
	records, err := n.diskRecords()
	if err != nil {
		return nil, err
	}
	disks := make([]Disk, 0, len(records))
	for _, record := range records {
		disks = append(disks, record.Disk)
	}
	return disks, nil
}

func (n *Node) diskRecords() ([]diskRecord, error) {
	paths, err := filepath.Glob(n.diskRecord("*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var records []diskRecord
	for _, path := range paths {
		record, err := n.readDisk(strings.TrimSuffix(filepath.Base(path), ".json"))
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// links are all links to the disk, relative to /dev/disk.
func (d Disk) links() []string {
	links := slices.Clone(d.Links)
	if d.Serial != "" {
		links = append(links, "by-id/virtio-"+d.Serial)
	}
	if d.PathID != "" && d.PathID != NoPathID {
		links = append(links, "by-path/"+d.PathID)
	}
	return links
}

// defaultPathID gives every letter a slot: 0b to vdb.
func defaultPathID(name string) string {
	return fmt.Sprintf("pci-0000:00:%02x.0", 0x0a+int(name[len(name)-1]-'a')&0x1f)
}

func (n *Node) makeDevice(record diskRecord) error {
	path := n.devPath(record.Name)
	if err := removeIfThere(path); err != nil {
		return err
	}
	return nodeinit.Mknod(path, unix.Mkdev(loop.Major, uint32(record.Loop)))
}

// makeLink makes a link as udev does: relative, and another one's place is
// taken.
func (n *Node) makeLink(link, name string) error {
	path := n.devPath("disk", link)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary := n.devPath(".tmp-" + name)
	if err := errors.Join(removeIfThere(temporary), os.Symlink("../../"+name, temporary)); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func (n *Node) devPath(elem ...string) string {
	return filepath.Join(append([]string{n.Root(), "dev"}, elem...)...)
}

func (n *Node) diskImage(name string) string {
	return filepath.Join(n.cluster.dir.NodeDisks(n.Name()), name+".img")
}

func (n *Node) diskRecord(name string) string {
	return filepath.Join(n.cluster.dir.NodeDisks(n.Name()), name+".json")
}

func (n *Node) writeDisk(record diskRecord) error {
	return layout.WriteJSON(n.diskRecord(record.Name), record)
}

func (n *Node) readDisk(name string) (diskRecord, error) {
	var record diskRecord
	err := layout.ReadJSON(n.diskRecord(name), &record)
	if errors.Is(err, fs.ErrNotExist) {
		return record, errors.New("there is no such disk")
	}
	return record, err
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
