// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/loop"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/nodeinit"
)

// Partition is one of a disk's GPT.
type Partition struct {
	// Number is counted from 1; Start and Size are in bytes.
	Number      int
	Start, Size int64
	Label, UUID string
}

// Partitions are those of a disk's GPT. A disk without one has none.
func (n *Node) Partitions(ctx context.Context, disk string) ([]Partition, error) {
	const dump = `[ "$(blkid -p -o value -s PTTYPE /dev/$1)" != gpt ] || sfdisk --dump /dev/$1`
	text, err := n.Exec(ctx, "sh", "-c", dump, "sh", disk)
	if err != nil {
		return nil, fmt.Errorf("node %q: read the partitions of %q: %w", n.Name(), disk, err)
	}
	return parseDump(text)
}

// parseDump reads what sfdisk prints.
func parseDump(text string) ([]Partition, error) {
	var all []Partition
	sector := int64(512)
	for line := range strings.Lines(text) {
		if size, ok := strings.CutPrefix(line, "sector-size:"); ok {
			var err error
			if sector, err = strconv.ParseInt(strings.TrimSpace(size), 10, 64); err != nil {
				return nil, err
			}
		}
		device, rest, ok := strings.Cut(line, " : ")
		if !ok || !strings.HasPrefix(device, "/dev/") {
			continue
		}
		var p Partition
		digits := device[strings.LastIndexFunc(device, func(r rune) bool { return r < '0' || r > '9' })+1:]
		number, err := strconv.Atoi(digits)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		p.Number = number
		for field := range strings.SplitSeq(rest, ",") {
			key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			value = strings.Trim(value, ` "`)
			switch key {
			case "start", "size":
				sectors, err := strconv.ParseInt(value, 10, 64)
				if err != nil {
					return nil, fmt.Errorf("%q: %w", line, err)
				}
				if key == "start" {
					p.Start = sectors * sector
				} else {
					p.Size = sectors * sector
				}
			case "name":
				p.Label = value
			case "uuid":
				p.UUID = strings.ToLower(value)
			}
		}
		all = append(all, p)
	}
	return all, nil
}

// linuxData is the type of partitions with data in them.
const linuxData = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

// AddPartition makes a partition and its device, /dev/vdb1 for the first of vdb, with udev's links. A disk without a GPT gets one.
// Start, size and number must be given.
func (n *Node) AddPartition(ctx context.Context, disk string, p Partition) error {
	if err := n.addPartition(ctx, disk, p); err != nil {
		return fmt.Errorf("node %q: add partition %d to %q: %w", n.Name(), p.Number, disk, err)
	}
	return n.SyncPartitions(ctx, disk)
}

func (n *Node) addPartition(ctx context.Context, disk string, p Partition) error {
	text, err := n.Exec(ctx, "sh", "-euc", `blockdev --getss "$1"; blkid -p -o value -s PTTYPE "$1" || [ $? = 2 ]`, "sh", "/dev/"+disk)
	if err != nil {
		return err
	}
	size, table, _ := strings.Cut(strings.TrimSpace(text), "\n")
	sector, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	if table == "" {
		if err := n.sfdisk(ctx, "label: gpt\n", "/dev/"+disk); err != nil {
			return err
		}
	}
	line := fmt.Sprintf("start=%d, size=%d, type=%s, name=\"%s\"\n", p.Start/sector, p.Size/sector, linuxData, p.Label)
	return n.sfdisk(ctx, line, "-N", strconv.Itoa(p.Number), "/dev/"+disk)
}

// sfdisk writes a partition table, and leaves it to SyncPartitions to tell the kernel.
func (n *Node) sfdisk(ctx context.Context, script string, args ...string) error {
	cmd := n.Command(ctx, append([]string{"sfdisk", "--quiet", "--no-tell-kernel", "--no-reread"}, args...)...)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sfdisk: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// RemovePartition takes one out of its disk's table, and its device and links out of /dev.
func (n *Node) RemovePartition(ctx context.Context, disk string, number int) error {
	err := n.sfdisk(ctx, "", "--delete", "/dev/"+disk, strconv.Itoa(number))
	if err == nil {
		err = n.SyncPartitions(ctx, disk)
	}
	if err != nil {
		return fmt.Errorf("node %q: remove partition %d of %q: %w", n.Name(), number, disk, err)
	}
	return nil
}

// SyncPartitions makes the kernel's partitions of a disk, their devices in /dev and udev's links what its table says.
func (n *Node) SyncPartitions(ctx context.Context, disk string) error {
	record, err := n.readDisk(disk)
	if err != nil {
		return err
	}
	partitions, err := n.Partitions(ctx, disk)
	if err != nil {
		return err
	}
	told := make([]loop.Partition, len(partitions))
	for i, p := range partitions {
		told[i] = loop.Partition{Number: p.Number, Start: p.Start, Size: p.Size}
	}
	if err := loop.SetPartitions(record.Loop, told); err != nil {
		return err
	}
	known, err := loop.Partitions(record.Loop)
	if err != nil {
		return err
	}
	if err := n.removePartitionDevices(disk); err != nil {
		return err
	}
	for _, p := range partitions {
		name := PartitionName(disk, p.Number)
		if err := nodeinit.Mknod(n.devPath(name), known[p.Number]); err != nil {
			return err
		}
		for _, link := range record.partitionLinks(p) {
			if err := n.makeLink(link, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// partitionLinks are those that udev makes of a partition, relative to /dev/disk.
func (d Disk) partitionLinks(p Partition) []string {
	links := []string{"by-partuuid/" + p.UUID}
	if p.Label != "" {
		links = append(links, "by-partlabel/"+p.Label)
	}
	for _, link := range d.links() {
		links = append(links, fmt.Sprintf("%s-part%d", link, p.Number))
	}
	return links
}

// PartitionName is what the kernel calls it.
func PartitionName(disk string, number int) string {
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		disk += "p"
	}
	return disk + strconv.Itoa(number)
}

// removePartitionDevices takes the devices of a disk's partitions out of /dev, with all links to them.
func (n *Node) removePartitionDevices(disk string) error {
	prefix := strings.TrimSuffix(PartitionName(disk, 0), "0")
	named := regexp.MustCompile("^" + regexp.QuoteMeta(prefix) + "[0-9]+$")
	// A test can call a disk like a partition.
	of := func(name string) bool {
		_, err := os.Lstat(n.diskRecord(name))
		return named.MatchString(name) && errors.Is(err, fs.ErrNotExist)
	}
	var errs []error
	links, err := filepath.Glob(n.devPath("disk", "*", "*"))
	errs = append(errs, err)
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && of(filepath.Base(target)) {
			errs = append(errs, os.Remove(link))
		}
	}
	entries, err := os.ReadDir(n.devPath())
	errs = append(errs, err)
	for _, e := range entries {
		if e.Type()&os.ModeDevice != 0 && of(e.Name()) {
			errs = append(errs, os.Remove(n.devPath(e.Name())))
		}
	}
	return errors.Join(errs...)
}
