// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// content judges what blkid and mke2fs said of a device. Whatever is not
// recognised is unknown: tools differ, and an answer that was never seen before
// must not read as "empty" or "free".
func content(r Record) *disk.Content {
	c := &disk.Content{Signed: disk.Unknown, Busy: disk.Unknown}
	says := strings.TrimSpace(r.Get("blkid-says"))
	// Exit codes of blkid(8), low-level probing: 0 found, 2 nothing found, 8
	// several that exclude each other. The script makes 5 of a device that can't be read.
	switch code := r.Get("blkid"); {
	case code == "0" && signature(says) != (disk.Signature{}):
		c.Signed, c.Signature = disk.Yes, signature(says)
	case code == "2" && says == "":
		c.Signed = disk.No
	case code == "8":
		c.Signed, c.Signature = disk.Yes, disk.Signature{Ambiguous: true}
	default:
		c.SignedError = failed("blkid", code, says)
	}

	unsigned(c, r)

	says = strings.TrimSpace(r.Get("mke2fs-says"))
	switch code := r.Get("mke2fs"); {
	case strings.Contains(says, "in use by the system"):
		c.Busy, c.BusyDetail = disk.Yes, "something on the node holds it open: a mount, swap, or a device on top"
	case strings.Contains(says, "is mounted"):
		c.Busy, c.BusyDetail = disk.Yes, "it is mounted, or active swap"
	// Only e2fsprogs' own mke2fs opens exclusively, and it begins with its version.
	case code == "0" && strings.HasPrefix(says, "mke2fs 1."):
		c.Busy = disk.No
	default:
		c.BusyDetail = failed("mke2fs -n", code, withoutVersion(says))
	}
	return c
}

// unsigned judges data that no signature tells of. Where there is a signature, it is
// what the bytes of the ends are explained by, and they are not looked at.
func unsigned(c *disk.Content, r Record) {
	switch r.Get("magic") {
	case "spdk-blobstore":
		c.Format = "an SPDK blobstore"
	case "spdk-raid":
		c.Format = "an SPDK RAID member"
	case "bluestore":
		// Newer ones of libblkid know it.
		if c.Signature.Type == "" {
			c.Format = "a Ceph BlueStore OSD"
		}
	}
	if c.Format != "" {
		c.Unsigned = disk.Yes
		return
	}
	if c.Signed != disk.No {
		return
	}
	c.Unsigned = disk.No
	var where []string
	for _, end := range []struct{ key, where string }{{"first-mib", "its first MiB"}, {"last-mib", "its last MiB"}} {
		count, err := strconv.ParseUint(r.Get(end.key), 10, 32)
		switch {
		case err == nil && count > 0:
			where = append(where, end.where)
		case err != nil && (end.key == "first-mib" || r.Has(end.key) || longer(r.Get("size"), mib/sector)):
			c.Unsigned = disk.Unknown
		}
	}
	if len(where) > 0 {
		c.Unsigned, c.Where = disk.Yes, strings.Join(where, " and ")
	}
}

const (
	mib    = 1 << 20
	sector = 512 // sysfs counts in these, whatever the device's sector.
)

// longer reports whether a number of sectors is more than that, or none that can be read.
func longer(sectors string, than uint64) bool {
	n, err := strconv.ParseUint(sectors, 10, 64)
	return err != nil || n > than
}

// signature reads the output of `blkid -p -o udev`.
func signature(out string) disk.Signature {
	var s disk.Signature
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "=")
		switch key {
		case "ID_FS_TYPE":
			s.Type = value
		case "ID_FS_USAGE":
			s.Usage = value
		case "ID_FS_LABEL_ENC":
			s.Label = decode(value)
		case "ID_PART_TABLE_TYPE":
			s.PartitionTable = value
		}
	}
	return s
}

// decode undoes udev's encoding: \xHH for every byte that is not plain.
func decode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if i+4 <= len(s) && s[i] == '\\' && s[i+1] == 'x' {
			hi, lo := unhex(s[i+2]), unhex(s[i+3])
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }

func failed(tool, code, says string) string {
	switch code {
	case "5":
		// What dd says first; how much it copied follows.
		first, _, _ := strings.Cut(says, "\n")
		if first == "" {
			return "it could not be read in time"
		}
		return "it cannot be read: " + lastLine(first)
	case "124", "143":
		return tool + " did not answer in time"
	case "126", "127":
		return "the provisioner's image has no " + strings.Fields(tool)[0]
	}
	if says == "" {
		return fmt.Sprintf("%s ended with code %q", tool, code)
	}
	return lastLine(says)
}

func withoutVersion(says string) string {
	first, rest, _ := strings.Cut(says, "\n")
	if strings.HasPrefix(first, "mke2fs 1.") {
		return strings.TrimSpace(rest)
	}
	return says
}

// lastLine is the last line, quoted where it could disturb a terminal.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, lines[len(lines)-1])
}
