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
		"nothing": {code: "2", want: disk.No, signature: disk.Signature{}},
		"a filesystem": {
			code:      "0",
			says:      "ID_FS_LABEL=a_b\nID_FS_LABEL_ENC=a\\x20b\nID_FS_TYPE=xfs\nID_FS_USAGE=filesystem",
			want:      disk.Yes,
			signature: disk.Signature{Type: "xfs", Usage: "filesystem", Label: "a b"},
		},
		"a table": {
			code:      "0",
			says:      "ID_PART_TABLE_UUID=1\nID_PART_TABLE_TYPE=gpt",
			want:      disk.Yes,
			signature: disk.Signature{PartitionTable: "gpt"},
		},
		"both": {
			code:      "0",
			says:      "ID_FS_TYPE=iso9660\nID_FS_USAGE=filesystem\nID_PART_TABLE_TYPE=dos",
			want:      disk.Yes,
			signature: disk.Signature{Type: "iso9660", Usage: "filesystem", PartitionTable: "dos"},
		},
		"several": {
			code:      "8",
			says:      "ID_FS_AMBIVALENT=filesystem:ext4:1.0 other:swap:2",
			want:      disk.Yes,
			signature: disk.Signature{Ambiguous: true},
		},
		"found, silent": {code: "0", want: disk.Unknown, signature: disk.Signature{}, why: `blkid ended with code "0"`},
		"found what":    {code: "0", says: "ID_FS_UUID=1", want: disk.Unknown, signature: disk.Signature{}, why: "ID_FS_UUID=1"},
		"busybox": {
			code:      "0",
			says:      `/dev/vdb: LABEL="x" UUID="1" TYPE="ext4"`,
			want:      disk.Unknown,
			signature: disk.Signature{},
			why:       `/dev/vdb: LABEL="x" UUID="1" TYPE="ext4"`,
		},
		"nothing, noisy": {
			code:      "2",
			says:      "blkid: error: /dev/vdb: No such file or directory",
			want:      disk.Unknown,
			signature: disk.Signature{},
			why:       "blkid: error: /dev/vdb: No such file or directory",
		},
		"unreadable": {
			code:      "5",
			says:      "dd: error reading '/dev/vdb': Input/output error\n0+0 records in\n0+0 records out\n0 bytes copied, 0.01 s, 0.0 kB/s",
			want:      disk.Unknown,
			signature: disk.Signature{},
			why:       "it cannot be read: dd: error reading '/dev/vdb': Input/output error",
		},
		"slow to read": {code: "5", want: disk.Unknown, signature: disk.Signature{}, why: "it could not be read in time"},
		"usage": {
			code:      "4",
			says:      "blkid: invalid option -- 'p'",
			want:      disk.Unknown,
			signature: disk.Signature{},
			why:       "blkid: invalid option -- 'p'",
		},
		"timeout": {code: "124", want: disk.Unknown, signature: disk.Signature{}, why: "blkid did not answer in time"},
		"timeout of busybox": {
			code:      "143",
			says:      "ID_FS_TYPE=xfs",
			want:      disk.Unknown,
			signature: disk.Signature{},
			why:       "blkid did not answer in time",
		},
		"no blkid": {
			code:      "127",
			says:      "timeout: failed to run command 'blkid': No such file or directory",
			want:      disk.Unknown,
			signature: disk.Signature{},
			why:       "the provisioner's image has no blkid",
		},
		"not executable": {code: "126", want: disk.Unknown, signature: disk.Signature{}, why: "the provisioner's image has no blkid"},
		"killed":         {code: "137", want: disk.Unknown, signature: disk.Signature{}, why: `blkid ended with code "137"`},
		"control bytes": {
			code:      "1",
			says:      "blkid: \x1b[31m\x07bad\x7f",
			want:      disk.Unknown,
			signature: disk.Signature{},
			why:       "blkid: ?[31m?bad?",
		},
		"no code": {want: disk.Unknown, signature: disk.Signature{}, why: `blkid ended with code ""`},
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
		"free": {code: "0", says: free, want: disk.No},
		"mounted": {
			code: "1",
			says: version + "/dev/vdb is mounted; will not make a filesystem here!",
			want: disk.Yes,
			why:  "it is mounted, or active swap",
		},
		"held": {
			code: "1",
			says: version + "/dev/vdb is apparently in use by the system; will not make a filesystem here!",
			want: disk.Yes,
			why:  "something on the node holds it open: a mount, swap, or a device on top",
		},
		"held, code 0": {
			code: "0",
			says: version + "/dev/vdb is apparently in use by the system; will not make a filesystem here!",
			want: disk.Yes,
			why:  "something on the node holds it open: a mount, swap, or a device on top",
		},
		"an old one": {code: "0", says: "mke2fs 1.42.13 (17-May-2015)\nCreating", want: disk.No},
		"busybox": {
			code: "0",
			says: "Filesystem label=\nOS type: Linux\nBlock size=1024 (log=0)",
			want: disk.Unknown,
			why:  "Block size=1024 (log=0)",
		},
		"silent": {code: "0", want: disk.Unknown, why: `mke2fs -n ended with code "0"`},
		"no such device": {
			code: "1",
			says: version + "mke2fs: No such device or address while trying to determine hardware sector size",
			want: disk.Unknown,
			why:  "mke2fs: No such device or address while trying to determine hardware sector size",
		},
		"not permitted": {
			code: "1",
			says: version + "mke2fs: Operation not permitted while trying to determine hardware sector size",
			want: disk.Unknown,
			why:  "mke2fs: Operation not permitted while trying to determine hardware sector size",
		},
		"only a version": {code: "1", says: version, want: disk.Unknown, why: `mke2fs -n ended with code "1"`},
		"timeout":        {code: "124", want: disk.Unknown, why: "mke2fs -n did not answer in time"},
		"no mke2fs": {
			code: "127",
			says: "timeout: failed to run command 'mke2fs': No such file or directory",
			want: disk.Unknown,
			why:  "the provisioner's image has no mke2fs",
		},
		"version later": {code: "0", says: "warning\nmke2fs 1.47.0", want: disk.Unknown, why: "mke2fs 1.47.0"},
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
