// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

const (
	gib = int64(1) << 30
	// diskSize is that of a disk that nothing speaks against but its kind.
	diskSize = 2 * gib
)

func node(t *testing.T, name string) *cluster.Node {
	t.Helper()
	n, err := theCluster.Node(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var diskCount atomic.Int64

// diskName is a name that no test had before: tests do not have to wait until
// nothing is left of each other's disks.
func diskName() string {
	n := diskCount.Add(1)
	return fmt.Sprintf("sd%c%c%c", 'a'+rune(n/676%26), 'a'+rune(n/26%26), 'a'+rune(n%26))
}

// addDisk gives a node a new disk, of a new name if it has none, with a serial
// and a path of its own.
func addDisk(t *testing.T, n *cluster.Node, d cluster.Disk) cluster.Disk {
	t.Helper()
	if d.Name == "" {
		d.Name = diskName()
	}
	if d.Size == 0 {
		d.Size = diskSize
	}
	if d.Serial == "" {
		d.Serial = n.Name() + "-" + d.Name
	}
	if d.PathID == "" {
		d.PathID = "pci-0000:" + d.Name
	}
	if err := n.AddDisk(d); err != nil {
		t.Fatal(err)
	}
	cleanupDisk(t, n, d.Name)
	return d
}

// shareDisk lets another node see a disk too.
func shareDisk(t *testing.T, n *cluster.Node, name string, with *cluster.Node) {
	t.Helper()
	if err := n.ShareDisk(name, with); err != nil {
		t.Fatal(err)
	}
	cleanupDisk(t, with, name)
}

func cleanupDisk(t *testing.T, n *cluster.Node, name string) {
	t.Cleanup(func() {
		unlinkDisk(t, n, name)
		if err := n.RemoveDisk(name); err != nil && !strings.Contains(err.Error(), "no such disk") {
			t.Error(err)
		}
	})
}

// byID is what a link to the disk holds.
func byID(d cluster.Disk) string { return "/dev/disk/by-id/virtio-" + d.Serial }

// sh runs a script in a node, also when the test is ending, and returns its output.
func sh(t *testing.T, n *cluster.Node, script string, args ...string) string {
	t.Helper()
	out, err := n.Exec(withoutEnd(t), append([]string{"sh", "-euc", script, "sh"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// cleanupSh runs a script in a node when the test has ended.
func cleanupSh(t *testing.T, n *cluster.Node, script string, args ...string) {
	t.Cleanup(func() {
		if out, err := n.Exec(context.Background(), append([]string{"sh", "-uc", script, "sh"}, args...)...); err != nil {
			t.Errorf("%s: %s", err, out)
		}
	})
}

// hostPath is a path of the node as this machine reaches it.
func hostPath(n *cluster.Node, path string) string { return filepath.Join(n.Root(), path) }

// unlinkDisk removes whatever is called like the disk from all class directories.
func unlinkDisk(t *testing.T, n *cluster.Node, name string) {
	t.Helper()
	found, err := filepath.Glob(hostPath(n, "/var/lib/disks/*/"+name))
	if err != nil {
		t.Error(err)
	}
	for _, path := range found {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// links are the entries of all class directories of a node, as DIR/NAME -> TARGET.
func links(t *testing.T, n *cluster.Node) []string {
	t.Helper()
	found, err := filepath.Glob(hostPath(n, "/var/lib/disks/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, path := range found {
		target, err := os.Readlink(path)
		if err != nil {
			target = "no link"
		}
		all = append(all, strings.TrimPrefix(path, hostPath(n, "/var/lib/disks")+"/")+" -> "+target)
	}
	slices.Sort(all)
	return all
}

// allLinks are those of every node, as NODE:DIR/NAME -> TARGET.
func allLinks(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, n := range theCluster.Nodes() {
		for _, l := range links(t, n) {
			all = append(all, n.Name()+":"+l)
		}
	}
	return all
}

// linkState is an entry as the node's file system has it.
func linkState(t *testing.T, n *cluster.Node, path string) string {
	t.Helper()
	info, err := os.Lstat(hostPath(n, path))
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("inode %d, mtime %s, ctime %d.%d", stat.Ino, info.ModTime(), stat.Ctim.Sec, stat.Ctim.Nsec)
}

// makeLink links by hand, as people did before.
func makeLink(t *testing.T, n *cluster.Node, class, name, target string) {
	t.Helper()
	path := hostPath(n, filepath.Join(classDirs[class], name))
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
}

// classDirs are the hostDirs of the classes that tests install.
var classDirs = map[string]string{
	"block-storage": "/var/lib/disks/block",
	"block-second":  "/var/lib/disks/second",
	"fs-storage":    "/var/lib/disks/hdd",
}

// write writes to a disk of a node.
func write(t *testing.T, n *cluster.Node, name string, at int64, data []byte) {
	t.Helper()
	file, err := os.OpenFile(hostPath(n, "/dev/"+name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(data, at)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		t.Fatal(err)
	}
}

// deviceNumber is the number of a disk, as MAJOR:MINOR.
func deviceNumber(t *testing.T, n *cluster.Node, name string) string {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(hostPath(n, "/dev/"+name), &stat); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
}

// backingFile is the file of this machine behind a disk.
func backingFile(t *testing.T, n *cluster.Node, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/sys/dev/block", deviceNumber(t, n, name), "loop/backing_file"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// pvName is what the provisioner calls the volume of an entry; told again here,
// from the provisioner's source, so that the program is not asked about itself.
func pvName(entry, node, class string) string {
	h := fnv.New32a()
	h.Write([]byte(entry + node + class))
	return fmt.Sprintf("local-pv-%x", h.Sum32())
}

// eventually calls f until it returns nothing, and fails with its last answer.
func eventually(t *testing.T, within time.Duration, f func() string) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		why := f()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, why)
		}
		<-tick.C
	}
}

// withoutEnd is for what is undone when the test's own context has ended.
func withoutEnd(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }
