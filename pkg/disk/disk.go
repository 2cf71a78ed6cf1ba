// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Number is a device number as the kernel prints it in /sys/class/block/*/dev.
type Number struct {
	Major uint32
	Minor uint32
}

// ParseNumber reads "MAJOR:MINOR" in decimal.
func ParseNumber(s string) (Number, error) {
	major, minor, ok := strings.Cut(s, ":")
	if ok {
		ma, err1 := strconv.ParseUint(major, 10, 32)
		mi, err2 := strconv.ParseUint(minor, 10, 32)
		if err1 == nil && err2 == nil {
			return Number{Major: uint32(ma), Minor: uint32(mi)}, nil
		}
	}
	return Number{}, fmt.Errorf("device number %q is not MAJOR:MINOR", s)
}

// String is "MAJOR:MINOR" in decimal.
func (n Number) String() string { return fmt.Sprintf("%d:%d", n.Major, n.Minor) }

// MarshalText makes the number a string in JSON and YAML.
func (n Number) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (n *Number) UnmarshalText(b []byte) error {
	v, err := ParseNumber(string(b))
	if err == nil {
		*n = v
	}
	return err
}

// Kind is what sort of block device a device is.
type Kind string

// The kinds that matter to a decision. Whole disks are KindDisk, whatever their
// transport.
const (
	KindDisk      Kind = "disk"
	KindPartition Kind = "part"
	KindLoop      Kind = "loop"
	KindCDROM     Kind = "rom"
	KindMapper    Kind = "dm"
	KindRAID      Kind = "md"
)

// Disk is one block device of one node, partitions included, as the node's
// kernel describes it in sysfs.
type Disk struct {
	// Name is the device node's name below /dev, "vdf".
	Name   string `json:"name"`
	Number Number `json:"number,omitzero"`
	Kind   Kind   `json:"type"`
	// Size in bytes.
	Size       uint64 `json:"size"`
	ReadOnly   bool   `json:"readOnly,omitempty"`
	Removable  bool   `json:"removable,omitempty"`
	Rotational bool   `json:"rotational,omitempty"`
	Model      string `json:"model,omitempty"`
	Vendor     string `json:"vendor,omitempty"`
	Serial     string `json:"serial,omitempty"`
	WWID       string `json:"wwid,omitempty"`
	// ByID and ByPath are names below /dev/disk/by-id and /dev/disk/by-path
	// that resolve to this device, sorted.
	ByID   []string `json:"byID,omitempty"`
	ByPath []string `json:"byPath,omitempty"`
	// Backing is the backing file of a loop device.
	Backing string `json:"backing,omitempty"`
	// Over is the block device that a loop device lies over. Zero: it lies over a file,
	// or that could not be found out.
	Over Number `json:"over,omitzero"`
	// Under are the loop devices that lie over the device or one of its partitions, by
	// kernel name. MaybeUnder are those of which that could not be found out, and whose
	// size would fit.
	Under      []string `json:"under,omitempty"`
	MaybeUnder []string `json:"maybeUnder,omitempty"`
	// Transport is how the device is reached, where that says more than its name:
	// sata, iscsi, fc, srp, usbip, nvme-tcp, nvme-rdma, nvme-fc, nvme-loop, scsi-loop.
	Transport string `json:"transport,omitempty"`
	// Virtual tells that the kernel knows no hardware behind the device.
	Virtual bool `json:"virtual,omitempty"`
	// Parent is the disk a partition lies on.
	Parent string `json:"parent,omitempty"`
	// PartLabel is a partition's own label in the partition table (GPT).
	PartLabel string `json:"partLabel,omitempty"`
	// Partitions, Holders and Slaves are kernel names: the partitions of a
	// disk, the devices stacked on it, the devices it is stacked on.
	Partitions []string `json:"partitions,omitempty"`
	Holders    []string `json:"holders,omitempty"`
	Slaves     []string `json:"slaves,omitempty"`
	// Kernel is the kernel's name of the device, which sysfs uses for holders,
	// slaves and partitions. It differs from Name only where /dev was made by hand.
	Kernel string `json:"kernel,omitempty"`

	// Content is what was read off the device itself. Nil: not asked for.
	Content *Content `json:"content,omitempty"`
	// Fingerprint sums up everything the node said about this device when it
	// was looked at, so that the node can tell a change at the moment it acts.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Path is the device node.
func (d Disk) Path() string { return "/dev/" + d.Name }

// Names are all paths that lead to the device: its node, udev's links, and the name
// of a mapping below /dev/mapper.
func (d Disk) Names() []string {
	names := []string{d.Path()}
	for _, n := range d.ByID {
		names = append(names, "/dev/disk/by-id/"+n)
		if mapping, ok := strings.CutPrefix(n, "dm-name-"); ok {
			names = append(names, "/dev/mapper/"+mapping)
		}
	}
	for _, n := range d.ByPath {
		names = append(names, "/dev/disk/by-path/"+n)
	}
	return names
}

// Whole reports whether the device is no part of another one.
func (d Disk) Whole() bool { return d.Kind != KindPartition && !d.mapPartition() }

// mapPartition tells a mapping that is a partition of another one, by the UUID that
// kpartx gives it: partN- before that of the map.
func (d Disk) mapPartition() bool {
	return slices.ContainsFunc(d.ByID, func(n string) bool {
		uuid, ok := strings.CutPrefix(n, "dm-uuid-part")
		number, _, cut := strings.Cut(uuid, "-")
		return ok && cut && numeral(number)
	})
}

// multipath tells a multipath map, by the UUID that multipathd gives it.
func (d Disk) multipath() bool {
	return slices.ContainsFunc(d.ByID, func(n string) bool { return strings.HasPrefix(n, "dm-uuid-mpath-") })
}

// mapped tells a mapping of the device mapper.
func (d Disk) mapped() bool { return d.Kind == KindMapper || d.multipath() }

// Called is the disk's name for a person: that of a mapping too.
func (d Disk) Called() string {
	for _, n := range d.ByID {
		if mapping, ok := strings.CutPrefix(n, "dm-name-"); ok {
			return fmt.Sprintf("%s (/dev/mapper/%s)", d.Name, mapping)
		}
	}
	return d.Name
}

// Used reports whether something on the node uses the device, as far as its own facts say.
func (d Disk) Used() bool {
	return len(d.Holders) > 0 || len(d.Under) > 0 || d.Content != nil && d.Content.Busy == Yes
}

// Answer is a fact that may not have been found out.
type Answer string

// The three answers. The zero value counts as Unknown.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

// Content is what lies on a device and whether anything has it open.
type Content struct {
	// Signed reports whether libblkid knows a signature on the device.
	Signed    Answer    `json:"signed"`
	Signature Signature `json:"signature"`
	// Busy reports whether an exclusive open was refused: mounted in any mount
	// namespace, active swap, or held by md, device-mapper or another exclusive opener.
	Busy Answer `json:"busy"`
	// Unsigned reports whether there is data that no signature tells of: bytes other than zero in
	// the first or the last MiB of a device without a signature, or the magic of a format
	// that libblkid does not know (Format). Empty: nothing was looked for.
	Unsigned Answer `json:"unsigned,omitempty"`
	// Where is where the bytes are: "its first MiB".
	Where string `json:"where,omitempty"`
	// Format is what wrote the data, with its article: "an SPDK blobstore".
	Format string `json:"format,omitempty"`
	// Why an answer is unknown, or what the exclusive open said.
	SignedError string `json:"signedError,omitempty"`
	BusyDetail  string `json:"busyDetail,omitempty"`
}

// Signature is what libblkid's low-level probe (blkid -p) found.
type Signature struct {
	// Type is libblkid's name: xfs, ext4, LVM2_member, crypto_LUKS,
	// linux_raid_member, ceph_bluestore, swap.
	Type string `json:"type,omitempty"`
	// Usage is filesystem, raid, crypto or other.
	Usage string `json:"usage,omitempty"`
	Label string `json:"label,omitempty"`
	// PartitionTable is gpt, dos …; empty if there is none.
	PartitionTable string `json:"partitionTable,omitempty"`
	// Ambiguous means that libblkid found several that exclude each other.
	Ambiguous bool `json:"ambiguous,omitempty"`
}

// String describes the signature for a person: `an xfs filesystem labelled "data"`.
func (s Signature) String() string {
	if s.Ambiguous {
		return "signatures of several kinds"
	}
	label := ""
	if s.Label != "" {
		label = fmt.Sprintf(" labelled %q", s.Label)
	}
	switch s.Type {
	case "":
		if s.PartitionTable != "" {
			return article(s.PartitionTable) + " partition table" + label
		}
		return "a signature of unknown kind" + label
	case "LVM2_member", "LVM1_member":
		return "an LVM physical volume" + label
	case "linux_raid_member":
		return "a Linux RAID member" + label
	case "crypto_LUKS":
		return "a LUKS container" + label
	case "ceph_bluestore":
		return "a Ceph BlueStore OSD" + label
	case "swap":
		return "a swap area" + label
	}
	switch s.Usage {
	case "filesystem":
		return article(s.Type) + " filesystem" + label
	case "raid":
		return article(s.Type) + " RAID signature" + label
	default:
		return article(s.Type) + " signature" + label
	}
}

// article puts the indefinite article before a word, by how the field speaks
// it: "an xfs", "an ext4", "an NTFS".
func article(word string) string {
	if strings.ContainsRune("aeioxAEIOXNF", rune(word[0])) {
		return "an " + word
	}
	return "a " + word
}
