// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// said is a disk's record with what the tools said.
func said(blkid, blkidSays, mke2fs, mke2fsSays string) Record {
	return Record{Kind: "disk", fields: []field{{"blkid", blkid}, {"blkid-says", blkidSays}, {"mke2fs", mke2fs}, {"mke2fs-says", mke2fsSays}}}
}

const free = "mke2fs 1.47.0 (5-Feb-2023)\nCreating filesystem with 1024 4k blocks and 1024 inodes\n"

func TestSigned(t *testing.T) {
	for name, c := range map[string]struct {
		code, says string
		want       disk.Answer
		signature  disk.Signature
		why        string
	}{
		"nothing":        {"2", "", disk.No, disk.Signature{}, ""},
		"a filesystem":   {"0", "ID_FS_LABEL=a_b\nID_FS_LABEL_ENC=a\\x20b\nID_FS_TYPE=xfs\nID_FS_USAGE=filesystem", disk.Yes, disk.Signature{Type: "xfs", Usage: "filesystem", Label: "a b"}, ""},
		"a table":        {"0", "ID_PART_TABLE_UUID=1\nID_PART_TABLE_TYPE=gpt", disk.Yes, disk.Signature{PartitionTable: "gpt"}, ""},
		"both":           {"0", "ID_FS_TYPE=iso9660\nID_FS_USAGE=filesystem\nID_PART_TABLE_TYPE=dos", disk.Yes, disk.Signature{Type: "iso9660", Usage: "filesystem", PartitionTable: "dos"}, ""},
		"several":        {"8", "ID_FS_AMBIVALENT=filesystem:ext4:1.0 other:swap:2", disk.Yes, disk.Signature{Ambiguous: true}, ""},
		"found, silent":  {"0", "", disk.Unknown, disk.Signature{}, `blkid ended with code "0"`},
		"found what":     {"0", "ID_FS_UUID=1", disk.Unknown, disk.Signature{}, "ID_FS_UUID=1"},
		"busybox":        {"0", `/dev/vdb: LABEL="x" UUID="1" TYPE="ext4"`, disk.Unknown, disk.Signature{}, `/dev/vdb: LABEL="x" UUID="1" TYPE="ext4"`},
		"nothing, noisy": {"2", "blkid: error: /dev/vdb: No such file or directory", disk.Unknown, disk.Signature{}, "blkid: error: /dev/vdb: No such file or directory"},
		"unreadable": {"5", "dd: error reading '/dev/vdb': Input/output error\n0+0 records in\n0+0 records out\n0 bytes copied, 0.01 s, 0.0 kB/s",
			disk.Unknown, disk.Signature{}, "it cannot be read: dd: error reading '/dev/vdb': Input/output error"},
		"slow to read":       {"5", "", disk.Unknown, disk.Signature{}, "it could not be read in time"},
		"usage":              {"4", "blkid: invalid option -- 'p'", disk.Unknown, disk.Signature{}, "blkid: invalid option -- 'p'"},
		"timeout":            {"124", "", disk.Unknown, disk.Signature{}, "blkid did not answer in time"},
		"timeout of busybox": {"143", "ID_FS_TYPE=xfs", disk.Unknown, disk.Signature{}, "blkid did not answer in time"},
		"no blkid":           {"127", "timeout: failed to run command 'blkid': No such file or directory", disk.Unknown, disk.Signature{}, "the provisioner's image has no blkid"},
		"not executable":     {"126", "", disk.Unknown, disk.Signature{}, "the provisioner's image has no blkid"},
		"killed":             {"137", "", disk.Unknown, disk.Signature{}, `blkid ended with code "137"`},
		"control bytes":      {"1", "blkid: \x1b[31m\x07bad\x7f", disk.Unknown, disk.Signature{}, "blkid: ?[31m?bad?"},
		"no code":            {"", "", disk.Unknown, disk.Signature{}, `blkid ended with code ""`},
	} {
		got := content(said(c.code, c.says, "0", free))
		if got.Signed != c.want || got.Signature != c.signature || got.SignedError != c.why {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Busy != disk.No {
			t.Errorf("%s: busy %s", name, got.Busy)
		}
	}
}

func TestBusy(t *testing.T) {
	const version = "mke2fs 1.47.0 (5-Feb-2023)\n"
	for name, c := range map[string]struct {
		code, says string
		want       disk.Answer
		why        string
	}{
		"free":           {"0", free, disk.No, ""},
		"mounted":        {"1", version + "/dev/vdb is mounted; will not make a filesystem here!", disk.Yes, "it is mounted, or active swap"},
		"held":           {"1", version + "/dev/vdb is apparently in use by the system; will not make a filesystem here!", disk.Yes, "something on the node holds it open: a mount, swap, or a device on top"},
		"held, code 0":   {"0", version + "/dev/vdb is apparently in use by the system; will not make a filesystem here!", disk.Yes, "something on the node holds it open: a mount, swap, or a device on top"},
		"an old one":     {"0", "mke2fs 1.42.13 (17-May-2015)\nCreating", disk.No, ""},
		"busybox":        {"0", "Filesystem label=\nOS type: Linux\nBlock size=1024 (log=0)", disk.Unknown, "Block size=1024 (log=0)"},
		"silent":         {"0", "", disk.Unknown, `mke2fs -n ended with code "0"`},
		"no such device": {"1", version + "mke2fs: No such device or address while trying to determine hardware sector size", disk.Unknown, "mke2fs: No such device or address while trying to determine hardware sector size"},
		"not permitted":  {"1", version + "mke2fs: Operation not permitted while trying to determine hardware sector size", disk.Unknown, "mke2fs: Operation not permitted while trying to determine hardware sector size"},
		"only a version": {"1", version, disk.Unknown, `mke2fs -n ended with code "1"`},
		"timeout":        {"124", "", disk.Unknown, "mke2fs -n did not answer in time"},
		"no mke2fs":      {"127", "timeout: failed to run command 'mke2fs': No such file or directory", disk.Unknown, "the provisioner's image has no mke2fs"},
		"version later":  {"0", "warning\nmke2fs 1.47.0", disk.Unknown, "mke2fs 1.47.0"},
	} {
		got := content(said("2", "", c.code, c.says))
		if got.Busy != c.want || got.BusyDetail != c.why {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Signed != disk.No {
			t.Errorf("%s: signed %s", name, got.Signed)
		}
	}
}

func TestDecode(t *testing.T) {
	for in, want := range map[string]string{
		`a\x20b`: "a b", `\x2fx`: "/x", `\xC3\xa9`: "é", `\x`: `\x`, `\x2`: `\x2`, `\xzz`: `\xzz`, `\\x20`: `\ `, "": "", `a\x0`: `a\x0`,
	} {
		if got := decode(in); got != want {
			t.Errorf("decode(%q) = %q, want %q", in, got, want)
		}
	}
}
