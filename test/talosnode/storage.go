// SPDX-License-Identifier: Apache-2.0

package talosnode

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

// storage makes the volumes of a Talos API real: on the node's disks, in the node's mounts.
type storage struct {
	node *cluster.Node

	mu sync.Mutex
	// mounted are the directories of its volumes.
	mounted []string
}

var _ talostest.Storage = (*storage)(nil)

// Disks are the node's. Partitions that somebody made without telling the kernel get their devices.
func (s *storage) Disks(ctx context.Context) ([]talostest.Disk, error) {
	disks, err := findDisks(ctx, s.node)
	if err != nil {
		return nil, fmt.Errorf("node %q: look for its disks: %w", s.node.Name(), err)
	}
	all := make([]talostest.Disk, 0, len(disks))
	for _, d := range disks {
		all = append(all, d.told())
	}
	return all, nil
}

// AddPartition implements talostest.Storage.
func (s *storage) AddPartition(ctx context.Context, disk string, p talostest.Partition) error {
	return s.node.AddPartition(ctx, path.Base(disk),
		cluster.Partition{Number: p.Index, Start: int64(p.Offset), Size: int64(p.Size), Label: p.Name})
}

// DropPartition implements talostest.Storage.
func (s *storage) DropPartition(ctx context.Context, disk string, index int) error {
	return s.node.RemovePartition(ctx, path.Base(disk), index)
}

// smallest in bytes is the file system that mkfs.xfs makes without being asked twice. Talos asks twice, too.
const smallest = 300 << 20

// Format makes a file system as Talos does, of what is there.
func (s *storage) Format(ctx context.Context, device, filesystem string) error {
	argv := []string{"mkfs." + filesystem, "-q"}
	switch filesystem {
	case "xfs":
		size, err := s.node.Exec(ctx, "blockdev", "--getsize64", device)
		if err != nil {
			return err
		}
		if bytes, err := strconv.ParseInt(strings.TrimSpace(size), 10, 64); err == nil && bytes <= smallest {
			argv = append(argv, "--unsupported")
		}
		argv = append(argv, "-n", "ftype=1")
	case "ext4":
		argv = append(argv, "-F")
	default:
		return fmt.Errorf("unsupported filesystem type: %s", filesystem)
	}
	_, err := s.node.Exec(ctx, append(argv, device)...)
	return err
}

// Mount mounts a volume in the node, whose mounts are shared: what the kubelet sees of it is by its own mounts.
func (s *storage) Mount(ctx context.Context, m talostest.VolumeMount) error {
	const mount = `mkdir -p "$1"; shift; exec mount "$@"`
	argv := []string{"sh", "-euc", mount, "sh", m.Target}
	if m.Device == "" {
		argv = append(argv, "--bind", m.Target, m.Target)
	} else {
		argv = append(argv, "-t", m.Filesystem)
		if len(m.Options) > 0 {
			argv = append(argv, "-o", strings.Join(m.Options, ","))
		}
		argv = append(argv, m.Device, m.Target)
	}
	if _, err := s.node.Exec(ctx, argv...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mounted = append(s.mounted, m.Target)
	return nil
}

// Unmount implements talostest.Storage.
func (s *storage) Unmount(ctx context.Context, target string) error {
	if !s.has(target) {
		return nil
	}
	if _, err := s.node.Exec(ctx, "umount", target); err != nil {
		return busy(err)
	}
	s.forget(target)
	return nil
}

// Close unmounts what is left, also where pods are in it.
func (s *storage) Close(ctx context.Context) error {
	s.mu.Lock()
	left := s.mounted
	s.mounted = nil
	s.mu.Unlock()
	var errs []error
	for _, target := range left {
		_, err := s.node.Exec(ctx, "umount", "--lazy", target)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *storage) has(target string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.mounted, target)
}

func (s *storage) forget(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mounted = slices.DeleteFunc(s.mounted, func(m string) bool { return m == target })
}

// Wipe implements talostest.Storage. It opens the device for itself alone, and so finds it busy if it is mounted, or a part of it.
func (s *storage) Wipe(ctx context.Context, device string, zeroes bool) error {
	if _, err := s.node.Exec(ctx, "wipefs", "--all", "--quiet", device); err != nil {
		return busy(err)
	}
	if zeroes {
		if _, err := s.node.Exec(ctx, "blkdiscard", "--zeroout", device); err != nil {
			return err
		}
	}
	disks, err := s.node.Disks()
	if err != nil || !slices.ContainsFunc(disks, func(d cluster.Disk) bool { return "/dev/"+d.Name == device }) {
		return err // A partition leaves its table as it is.
	}
	return s.node.SyncPartitions(ctx, path.Base(device))
}

// Resolve implements talostest.Storage.
func (s *storage) Resolve(ctx context.Context, name string) (string, error) {
	text, err := s.node.Exec(ctx, "readlink", "--canonicalize-existing", name)
	if err != nil {
		return "", fmt.Errorf("lstat %s: no such file or directory", name)
	}
	return strings.TrimSpace(text), nil
}

// busy is talostest's error where a program says that a device or a directory is in use.
func busy(err error) error {
	if strings.Contains(err.Error(), "busy") {
		return talostest.ErrBusy
	}
	return err
}
