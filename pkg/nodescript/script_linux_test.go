// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript/nodetest"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// go test ./pkg/nodescript -run TestScriptOnANode/dash -record testdata/loops.probe
var record = flag.String("record", "", "write what the script says to this file, as a fixture")

const gib = 1 << 30

// eachShell runs a test with every shell that a pod may have.
func eachShell(t *testing.T, test func(t *testing.T, shell string)) {
	for _, shell := range nodetest.Shells() {
		t.Run(strings.ReplaceAll(shell, " ", "-"), func(t *testing.T) {
			nodetest.NeedTool(t, strings.Fields(shell)[0])
			test(t, shell)
		})
	}
}

// argv looks, and says so at its end.
func argv(classes []provisioner.Class, closely []string) []string {
	// No steps follow; the answer just ends.
	whole := strings.Replace(observeScript(), "begin observed\n", "begin end\n", 1)
	return append([]string{"/bin/sh", "-c", whole, "talosdisk"}, Look{Classes: classes, Closely: closely}.args()...)
}

func look(t *testing.T, n *nodetest.Node, shell string, classes []provisioner.Class, closely ...string) snapshot.PodView {
	t.Helper()
	out := n.Run(shell, argv(classes, closely))
	if *record != "" {
		if err := os.WriteFile(*record, []byte(readable(t, out)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	view, err := Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func named(t *testing.T, v snapshot.PodView, name string) disk.Disk {
	t.Helper()
	d, ok := v.DiskByName(name)
	if !ok {
		t.Fatalf("no disk %s among %d", name, len(v.Disks))
	}
	return d
}

func TestShellcheck(t *testing.T) {
	nodetest.NeedTool(t, "shellcheck")
	cmd := exec.Command("shellcheck", "-s", "sh", "-")
	cmd.Stdin = strings.NewReader(Script())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestScriptOnANode(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		n := nodetest.New(t)
		b := n.Disk("vdb", 2*gib)
		b.Link("by-id/virtio-b")
		b.Link("by-path/pci-0000:00:05.0")
		n.Disk("vdc", gib)
		n.Do("mke2fs -q -t ext4 -L 'a b' /dev/vdc")
		d := n.Disk("vdd", gib)
		d.Write(0, nodetest.PartitionTable(2048, 4096))
		part := d.AddPartition(2048, 4096)
		n.Disk("vde", gib)
		n.Do("blockdev --setro /dev/vde")

		block, files := n.Dir("block"), n.Dir("with a space")
		n.Do(`mkdir "$1" "$2/directory" && touch "$2/file" && mkfifo "$2/fifo" && cp -a /dev/vdc "$2/node"
			ln -s /dev/disk/by-id/virtio-b "$2/link"; ln -s vdb "$2/relative"; ln -s /dev/nothing "$2/dangling"; ln -s /dev/vdb "$2/.hidden"
			ln -s /dev/vdb "$2/..dots"; ln -s /dev/vdb "$2/a b"; ln -s /dev/vdb "$2/"$'new\nline'; ln -s /dev/vdb "$2/"$'us\x1frs\x1e'
			ln -s $'/dev/odd\x1f\n' "$2/odd"; ln -s "$2/directory" "$2/to-directory"; ln -s "$2/link" "$2/chain"`, n.Root+"/plain", block)
		n.Do(`mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"`, files)
		classes := []provisioner.Class{
			{Name: "block", MountDir: block}, {Name: "files", MountDir: files}, {Name: "plain", MountDir: n.Root + "/plain"},
			{Name: "none", MountDir: n.Root + "/none"},
		}
		view := look(t, n, shell, classes, "vd[bc]", "/dev/disk/by-id/virtio-b", "/dev/disk/by-id/none", "vdd", "vde")

		var names []string
		for _, d := range view.Disks {
			names = append(names, d.Name)
		}
		if want := []string{"vdb", "vdc", "vdd", "vde", "vdd1"}; !slices.Equal(names, want) {
			t.Fatalf("disks %v, want %v", names, want)
		}
		got := named(t, view, "vdb")
		if got.Number.String() != b.Number() || got.Size != 2*gib || got.Kind != disk.KindLoop || got.Backing != b.Backing ||
			got.Kernel != fmt.Sprintf("loop%d", b.Minor) ||
			!slices.Equal(got.ByID, []string{"virtio-b"}) || !slices.Equal(got.ByPath, []string{"pci-0000:00:05.0"}) || len(got.Fingerprint) != 64 ||
			got.ReadOnly {
			t.Errorf("vdb: %+v", got)
		}
		if got.Content == nil || got.Content.Signed != disk.No {
			t.Errorf("vdb, which is empty: %+v", got.Content)
		}
		if c := named(t, view, "vdc").Content; c == nil || c.Signed != disk.Yes ||
			c.Signature != (disk.Signature{Type: "ext4", Usage: "filesystem", Label: "a b"}) {
			t.Errorf("vdc, which has a filesystem: %+v", c)
		}
		got = named(t, view, "vdd")
		if got.Content == nil || got.Content.Signature.PartitionTable != "dos" ||
			!slices.Equal(got.Partitions, []string{fmt.Sprintf("loop%dp1", d.Minor)}) {
			t.Errorf("vdd, which is partitioned: %+v, %+v", got, got.Content)
		}
		got = named(t, view, "vdd1")
		if got.Number.String() != part || got.Kind != disk.KindPartition || got.Parent != "vdd" || got.Content != nil || got.Fingerprint != "" {
			t.Errorf("the partition: %+v", got)
		}
		if !named(t, view, "vde").ReadOnly {
			t.Error("vde is not read-only")
		}
		if len(view.Paths) != 1 || view.Paths["/dev/disk/by-id/virtio-b"].String() != b.Number() {
			t.Errorf("paths: %v", view.Paths)
		}

		dir := view.Dirs["block"]
		if !dir.Exists || !dir.Writable || !dir.MountPoint || dir.Problem != "" {
			t.Errorf("the directory: %+v", dir)
		}
		want := []provisioner.Entry{
			{Name: "..dots", Kind: provisioner.Link, Target: "/dev/vdb", Device: b.Number()},
			{Name: ".hidden", Kind: provisioner.Link, Target: "/dev/vdb", Device: b.Number()},
			{Name: "a b", Kind: provisioner.Link, Target: "/dev/vdb", Device: b.Number()},
			{Name: "chain", Kind: provisioner.Link, Target: block + "/link", Device: b.Number()},
			{Name: "dangling", Kind: provisioner.Link, Target: "/dev/nothing"},
			{Name: "directory", Kind: provisioner.Directory, Mounted: disk.No},
			{Name: "fifo", Kind: provisioner.Other},
			{Name: "file", Kind: provisioner.File},
			{Name: "link", Kind: provisioner.Link, Target: "/dev/disk/by-id/virtio-b", Device: b.Number()},
			{Name: "new\nline", Kind: provisioner.Link, Target: "/dev/vdb", Device: b.Number()},
			{Name: "node", Kind: provisioner.BlockNode, Device: named(t, view, "vdc").Number.String()},
			{Name: "odd", Kind: provisioner.Link, Target: "/dev/odd?\n"},
			{Name: "relative", Kind: provisioner.Link, Target: "vdb"},
			{Name: "to-directory", Kind: provisioner.Link, Target: block + "/directory"},
			{Name: "us?rs?", Kind: provisioner.Link, Target: "/dev/vdb", Device: b.Number()},
		}
		for i, e := range dir.Entries {
			if i >= len(want) || e != want[i] {
				t.Errorf("entry %d: %+v", i, e)
			}
		}
		if len(dir.Entries) != len(want) {
			t.Errorf("%d entries, want %d", len(dir.Entries), len(want))
		}
		// busybox's test -w does not ask the kernel; no provisioner's image has it.
		if dir := view.Dirs["files"]; !dir.Exists || !dir.MountPoint || dir.Writable && shell != "busybox sh" || len(dir.Entries) != 0 {
			t.Errorf("the read-only directory: %+v", dir)
		}
		if dir := view.Dirs["plain"]; !dir.Exists || dir.MountPoint {
			t.Errorf("the directory that is no mount point: %+v", dir)
		}
		if dir, ok := view.Dirs["none"]; !ok || dir.Exists {
			t.Errorf("the directory that is not there: %+v", dir)
		}
		checkHome(t, view, n.Root)
	})
}

// checkHome holds the view to what the kernel says of the directory's file system.
func checkHome(t *testing.T, view snapshot.PodView, dir string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	dev := info.Sys().(*syscall.Stat_t).Dev
	number := disk.Number{Major: uint32(dev>>8&0xfff | dev>>32&^0xfff), Minor: uint32(dev&0xff | dev>>12&^0xff)}
	if _, err := os.Stat("/sys/dev/block/" + number.String()); err != nil {
		if view.BeneathProblem == "" {
			t.Errorf("%s is not known to the kernel, and nothing is said of it", number)
		}
		return
	}
	if view.BeneathProblem != "" || view.Beneath[number] == "" {
		t.Errorf("beneath %v (%q), and the directory is on %s", view.Beneath, view.BeneathProblem, number)
	}
	// On a partition, the disk must be there too.
	if parent, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%s/../dev", number)); err == nil {
		n, err := disk.ParseNumber(strings.TrimSpace(string(parent)))
		if err == nil && view.Beneath[n] == "" {
			t.Errorf("beneath %v, without the disk %s", view.Beneath, n)
		}
	}
}

// A directory on a file system without a device must not pass for one that lies
// on no disk.
func TestScriptBeneath(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		n := nodetest.New(t)
		tmpfs, onPart := n.Dir("tmpfs"), n.Dir("part")
		n.Do(`mount -t tmpfs none "$1"`, tmpfs)
		view := look(t, n, shell, []provisioner.Class{{Name: "a", MountDir: tmpfs}})
		if dir := view.Dirs["a"]; dir.Filesystem != "tmpfs" || !snapshot.Volatile(dir.Filesystem) {
			t.Errorf("the directory on a tmpfs: %+v", dir)
		}
		// Memory is no disk that could be missed; but somewhere the node lives.
		if view.BeneathProblem != "" && len(view.Beneath) > 0 || view.BeneathProblem == "" && len(view.Beneath) == 0 {
			t.Errorf("on a tmpfs: %q, %v", view.BeneathProblem, view.Beneath)
		}
		d := n.Disk("vdb", gib)
		part := d.AddPartition(2048, 1<<20)
		n.Do(`mke2fs -q /dev/vdb1 && mount /dev/vdb1 "$1"`, onPart)
		view = look(t, n, shell, []provisioner.Class{{Name: "a", MountDir: onPart}}, "vdb")
		if system := disk.NewSet(view.Disks, disk.Doubts{}).SystemDisks(view.Beneath); view.BeneathProblem != "" ||
			!strings.Contains(system[named(t, view, "vdb").Number], onPart) {
			t.Errorf("beneath a partition (%s): %v, %q", part, view.Beneath, view.BeneathProblem)
		}
		if c := named(t, view, "vdb").Content; c == nil || c.Busy == disk.No {
			t.Errorf("the disk of a mounted partition: %+v", c)
		}
		n.Do(`umount "$1"`, onPart)
	})
}

func TestScriptSignatures(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		n := nodetest.New(t)
		want := map[string]string{}
		for i, s := range nodetest.Superblocks() {
			name := "vd" + string(rune('b'+i))
			n.Disk(name, gib).Write(s.Offset, s.Bytes)
			want[name] = s.Type
		}
		n.Disk("vdw", gib)
		n.Do("mkswap /dev/vdw")
		want["vdw"] = "swap"
		if _, err := exec.LookPath("mkfs.xfs"); err == nil {
			n.Disk("vdx", gib)
			n.Do("mkfs.xfs -q -L data /dev/vdx")
			want["vdx"] = "xfs"
		}
		// Two that exclude each other.
		both := n.Disk("vdy", gib)
		n.Do("mke2fs -q -t ext4 -F /dev/vdy && cp -a /dev/vdy /dev/hide && mkswap -f /dev/vdy >/dev/null && mke2fs -q -t ext4 -F /dev/vdy; rm /dev/hide")
		both.Write(4096-10, []byte("SWAPSPACE2"))
		both.Write(1024, []byte{1, 0, 0, 0, 0xff, 0, 0, 0})
		// The last bytes of a disk whose size is no multiple of anything.
		n.Disk("vdz", gib+512*3)
		view := look(t, n, shell, nil, "vd?")
		for name, kind := range want {
			if c := named(t, view, name).Content; c == nil || c.Signed != disk.Yes || c.Signature.Type != kind {
				t.Errorf("%s has %+v, want %s", name, c, kind)
			}
		}
		if c := named(t, view, "vdy").Content; c.Signed != disk.Yes {
			t.Errorf("several signatures: %+v", c)
		}
		if c := named(t, view, "vdz").Content; c.Signed != disk.No {
			t.Errorf("an empty disk of odd size: %+v", c)
		}
	})
}

// What has the disk open must be seen, no matter who it is.
func TestScriptBusy(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		n := nodetest.New(t)
		other := n.Other()
		n.Disk("vdb", gib)
		n.Disk("vdc", 64<<20)
		n.Do("mkswap /dev/vdc && swapon /dev/vdc")
		t.Cleanup(func() { n.Do("swapoff /dev/vdc") })
		n.Disk("vdd", gib)
		dir := n.Dir("m")
		n.Do(`mke2fs -q /dev/vdd && mount /dev/vdd "$1"`, dir)
		elsewhere := n.Disk("vde", gib)
		n.Do(`mke2fs -q /dev/vde`)
		other.Node("sdx", elsewhere.Minor)
		other.Do(`mkdir /dev/m && mount /dev/sdx /dev/m`)
		// More than 16 TiB; only a tmpfs holds such a file.
		huge, err := os.CreateTemp("/dev/shm", "talosdisk-")
		nodetest.Need(t, err == nil && huge.Truncate(20<<40) == nil, "a /dev/shm that takes 20 TiB of nothing")
		t.Cleanup(func() { huge.Close(); os.Remove(huge.Name()) })
		n.DiskOver("vdg", huge.Name())
		n.Node("vdf", 1<<20-1)

		view := look(t, n, shell, nil, "vd?")
		for name, want := range map[string]disk.Answer{"vdb": disk.No, "vdc": disk.Yes, "vdd": disk.Yes, "vde": disk.Yes, "vdg": disk.No} {
			c := named(t, view, name).Content
			switch {
			case c == nil:
				t.Errorf("%s was not looked at", name)
			case shell == "busybox sh" && c.Busy == disk.Unknown:
				// Its own mke2fs goes before the real one, and opens nothing exclusively.
			case c.Busy != want:
				t.Errorf("%s: busy %s (%s), want %s", name, c.Busy, c.BusyDetail, want)
			}
		}
		if d := named(t, view, "vdg"); d.Size != 20<<40 || d.Content.Signed != disk.No {
			t.Errorf("the large disk: %+v, %+v", d, d.Content)
		}
		if d := named(t, view, "vdf"); d.Size != 0 || d.Content != nil {
			t.Errorf("a device that the kernel does not know was looked at: %+v", d)
		}
		n.Do(`umount "$1"`, dir)
		other.Do(`umount /dev/m`)
	})
}

// libblkid says "nothing found" of a disk that cannot be read.
func TestScriptUnreadable(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		n := nodetest.New(t)
		n.Disk("vdb", gib).Break()
		// Only its end is gone.
		half := n.Disk("vdc", gib)
		if err := os.Truncate(half.Backing, gib/2); err != nil {
			t.Fatal(err)
		}
		view := look(t, n, shell, nil, "vd?")
		for _, name := range []string{"vdb", "vdc"} {
			c := named(t, view, name).Content
			if c == nil || c.Signed != disk.Unknown || !strings.HasPrefix(c.SignedError, "it cannot be read: ") ||
				!strings.Contains(c.SignedError, "Input/output error") {
				t.Errorf("%s, which cannot be read: %+v", name, c)
			}
		}
	})
}

func TestScriptUnreadableDirectory(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		n := nodetest.New(t)
		nodetest.NeedTool(t, "setpriv")
		dir := n.Dir("shut")
		n.Do(`ln -s /dev/null "$1/there"; chmod 0300 "$1"; chown 65534:65534 "$1"; chmod a+rx "$2" "${2%/*}"`, dir, n.Root)
		argv := argv([]provisioner.Class{{Name: "a", MountDir: dir}}, nil)
		argv = append(append([]string{"/bin/sh", "--reuid=65534", "--regid=65534", "--clear-groups"}, strings.Fields(shell)...), argv[1:]...)
		view, err := Parse(n.Run("setpriv", argv))
		if err != nil {
			t.Fatal(err)
		}
		if got := view.Dirs["a"]; !got.Exists || got.Problem == "" || len(got.Entries) != 0 {
			t.Errorf("a directory that cannot be listed: %+v", got)
		}
	})
}

// A fingerprint stays while nothing changes, and changes with everything that matters.
func TestScriptFingerprint(t *testing.T) {
	eachShell(t, func(t *testing.T, shell string) {
		n := nodetest.New(t)
		d := n.Disk("vdb", gib)
		last := named(t, look(t, n, shell, nil, "vdb"), "vdb").Fingerprint
		if again := named(t, look(t, n, shell, nil, "vd*"), "vdb").Fingerprint; again != last || last == "" {
			t.Errorf("nothing changed, and the fingerprint %q is %q", last, again)
		}
		for _, c := range []struct {
			what   string
			change func()
		}{
			{"another name", func() { d.Link("by-id/virtio-b") }},
			{"a filesystem", func() { n.Do("mke2fs -q /dev/vdb") }},
			{"another label", func() { n.Do("tune2fs -L x /dev/vdb") }},
			{"another disk", func() { d.Replace(gib) }},
			{"another size", func() { d.Replace(2 * gib) }},
			{"a new partition", func() { d.AddPartition(2048, 2048) }},
			{"a switch to read-only", func() { n.Do("blockdev --setro /dev/vdb") }},
		} {
			c.change()
			now := named(t, look(t, n, shell, nil, "vdb"), "vdb").Fingerprint
			if now == last || now == "" {
				t.Errorf("after %s the fingerprint is the same", c.what)
			}
			last = now
		}
	})
}

func TestScriptTools(t *testing.T) {
	n := nodetest.New(t)
	n.Disk("vdb", gib)
	tools := filepath.Join(n.Root, "tools")
	// An image without the two: everything else is there.
	n.Do(`mkdir "$1" && for t in sh dash stat readlink timeout cat ls printf tr wc sha256sum grep head dd flock; do
		ln -s "$(command -v $t || echo /bin/$t)" "$1/$t" 2>/dev/null || :; done`, tools)
	argv := argv(nil, []string{"vdb"})
	argv[2] = strings.Replace(argv[2], "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "PATH="+tools, 1)
	view, err := Parse(n.Run("dash", argv))
	if err != nil {
		t.Fatal(err)
	}
	c := named(t, view, "vdb").Content
	if c == nil || c.Signed != disk.Unknown || c.Busy != disk.Unknown || c.SignedError != "the provisioner's image has no blkid" ||
		c.BusyDetail != "the provisioner's image has no mke2fs" {
		t.Errorf("without tools: %+v", c)
	}
	n.Do(`printf '#!/bin/sh\nsleep 60' >"$1/blkid"; cp "$1/blkid" "$1/mke2fs"; chmod +x "$1/blkid" "$1/mke2fs"; ln -s /bin/sleep "$1/sleep"`,
		tools)
	argv[2] = strings.Replace(argv[2], "PATIENCE=10", "PATIENCE=0.1", 1)
	view, err = Parse(n.Run("dash", argv))
	if err != nil {
		t.Fatal(err)
	}
	c = named(t, view, "vdb").Content
	if c == nil || c.Signed != disk.Unknown || c.Busy != disk.Unknown || !strings.Contains(c.SignedError, "in time") ||
		!strings.Contains(c.BusyDetail, "in time") {
		t.Errorf("with tools that hang: %+v", c)
	}
}
