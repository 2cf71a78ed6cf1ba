// SPDX-License-Identifier: Apache-2.0

package nodeinit

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/loop"
)

// makeDev makes a /dev with the devices that every system has and none of the
// machine's disks.
func makeDev(dev string) error {
	if err := mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return err
	}
	for name, number := range map[string]uint64{
		"null":    unix.Mkdev(1, 3),
		"zero":    unix.Mkdev(1, 5),
		"full":    unix.Mkdev(1, 7),
		"random":  unix.Mkdev(1, 8),
		"urandom": unix.Mkdev(1, 9),
		"kmsg":    unix.Mkdev(1, 11),
		"tty":     unix.Mkdev(5, 0),
		"console": unix.Mkdev(5, 1),
		"fuse":    unix.Mkdev(10, 229),
	} {
		if err := makeNode(filepath.Join(dev, name), unix.S_IFCHR|0o666, number); err != nil {
			return err
		}
	}
	if err := makeNode(filepath.Join(dev, "loop-control"), unix.S_IFCHR|0o600, unix.Mkdev(10, 237)); err != nil {
		return err
	}
	for number := range uint32(layout.NodeLoops) {
		if err := Mknod(filepath.Join(dev, fmt.Sprintf("loop%d", number)), unix.Mkdev(loop.Major, number)); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{
		"fd":     "/proc/self/fd",
		"stdin":  "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2",
		"ptmx":   "pts/ptmx",
	} {
		if err := os.Symlink(target, filepath.Join(dev, link)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"disk/by-id", "disk/by-path", "disk/by-partlabel"} {
		if err := os.MkdirAll(filepath.Join(dev, dir), 0o755); err != nil {
			return err
		}
	}
	// The kernel's name for it is that of a loop device: by this one it is known.
	if err := os.Symlink("../../"+SystemDisk, filepath.Join(dev, "disk/by-id/virtio-"+SystemDiskSerial)); err != nil {
		return err
	}
	if err := mount("devpts", filepath.Join(dev, "pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC,
		"newinstance,ptmxmode=0666,mode=620"); err != nil {
		return err
	}
	return mount("tmpfs", filepath.Join(dev, "shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
}

// Mknod makes a block device.
func Mknod(path string, number uint64) error {
	return makeNode(path, unix.S_IFBLK|0o660, number)
}

func makeNode(path string, mode uint32, number uint64) error {
	if err := unix.Mknod(path, mode, int(number)); err != nil {
		return fmt.Errorf("make the device %q: %w", path, err)
	}
	// The mode of mknod is subject to the umask.
	return os.Chmod(path, os.FileMode(mode&0o777))
}
