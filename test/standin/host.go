// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// Host is the part of the machine that the provisioner looks at.
type Host interface {
	// Entries returns the names of everything in a directory, dotfiles too.
	Entries(dir string) ([]string, error)
	// Mode returns what kind of volume a path would make, following links.
	Mode(path string) (corev1.PersistentVolumeMode, error)
	// MountPoints returns every mount point of the caller's mount namespace.
	MountPoints() (map[string]bool, error)
	// DeviceBytes returns the size of a block device in bytes.
	DeviceBytes(path string) (int64, error)
	// FilesystemBytes returns the size of a mounted filesystem in bytes.
	FilesystemBytes(path string) (int64, error)
}

// Linux is the Host that the process runs on.
type Linux struct{}

// Entries implements Host. The names are sorted, the real provisioner takes
// them as the directory has them.
func (Linux) Entries(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// Mode implements Host: a directory is a Filesystem, a block device is Block,
// and the error of everything else is worded as the provisioner logs it.
func (Linux) Mode(path string) (corev1.PersistentVolumeMode, error) {
	isDir, dirErr := isDirectory(path)
	if isDir {
		return corev1.PersistentVolumeFilesystem, nil
	}
	// A device that cannot be opened is a block device anyway.
	var stat unix.Stat_t
	blockErr := unix.Stat(path, &stat)
	switch {
	case blockErr == nil && stat.Mode&unix.S_IFMT == unix.S_IFBLK:
		return corev1.PersistentVolumeBlock, nil
	case dirErr != nil:
		return "", fmt.Errorf("Directory check for %q failed: %w", path, dirErr)
	case blockErr != nil:
		return "", fmt.Errorf("Block device check for %q failed: %w", path, blockErr)
	default:
		return "", fmt.Errorf("Skipping file %q: not a directory nor block device", path)
	}
}

func isDirectory(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	return info.IsDir(), nil
}

// MountPoints implements Host.
func (Linux) MountPoints() (map[string]bool, error) {
	text, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return nil, err
	}
	points := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			points[fields[1]] = true
		}
	}
	return points, nil
}

// DeviceBytes implements Host.
func (Linux) DeviceBytes(path string) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var size int64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, errno
	}
	return size, nil
}

// FilesystemBytes implements Host.
func (Linux) FilesystemBytes(path string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return 0, err
	}
	return int64(stat.Blocks) * stat.Bsize, nil
}
