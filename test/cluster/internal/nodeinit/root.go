// SPDX-License-Identifier: Apache-2.0

package nodeinit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/cgroup"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/loop"
)

const (
	// SystemDisk is what a node calls the disk that its /var lies on.
	SystemDisk = "vda"
	// SystemDiskSerial is its serial number.
	SystemDiskSerial = "system"
)

// buildRoot makes the node's file system and moves into it.
//
// As on Talos, the root is small, the programs are read-only and /var is an
// ext4 of its own on the system disk. The programs are the machine's /usr.
// Nothing else of the machine is there.
func buildRoot(spec Spec) error {
	all, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	// From here on no mount leaves this namespace, and none comes in.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make all mounts private: %w", err)
	}
	root := filepath.Join(spec.Dir.Node(spec.Node.Name), "root")
	if err := mount("tmpfs", root, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := mountSystem(root, spec); err != nil {
		return err
	}
	systemDisk, err := mountVar(spec, filepath.Join(root, "var"))
	if err != nil {
		return err
	}
	if err := mountKernel(root, all); err != nil {
		return err
	}
	if err := makeDev(filepath.Join(root, "dev")); err != nil {
		return err
	}
	if err := Mknod(filepath.Join(root, "dev", SystemDisk), systemDisk); err != nil {
		return err
	}
	if err := pivot(root); err != nil {
		return err
	}
	// Shared, as on Talos: a kubelet's mounts that are told to propagate do.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make all mounts shared: %w", err)
	}
	return nil
}

// mountSystem brings in the programs and writes /etc.
func mountSystem(root string, spec Spec) error {
	if err := bindReadOnly("/usr", filepath.Join(root, "usr")); err != nil {
		return err
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		if err := likeMachine("/"+name, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	if err := bindReadOnly(spec.Programs, filepath.Join(root, layout.BinDir)); err != nil {
		return err
	}
	etc := filepath.Join(root, "etc")
	for _, name := range []string{"alternatives", "ld.so.cache", "mke2fs.conf", "nsswitch.conf", "passwd", "group", "protocols", "services",
		"ssl"} {
		source := filepath.Join("/etc", name)
		if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := bindReadOnly(source, filepath.Join(etc, name)); err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(spec.Dir.String() + spec.Node.Name))
	files := map[string]string{
		"hostname":   spec.Node.Name + "\n",
		"hosts":      "127.0.0.1 localhost\n" + spec.Node.IP() + " " + spec.Node.Name + "\n",
		"machine-id": hex.EncodeToString(sum[:16]) + "\n",
		"os-release": fmt.Sprintf("ID=test\nNAME=%q\nPRETTY_NAME=%q\n", spec.OSImage, spec.OSImage),
		// No names are resolved in here.
		"resolv.conf": "",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := os.Symlink("/proc/mounts", filepath.Join(etc, "mtab")); err != nil {
		return err
	}
	if err := bind(spec.Dir.NodeKubernetes(spec.Node.Name), filepath.Join(etc, "kubernetes")); err != nil {
		return err
	}
	for _, dir := range []string{"run", "tmp"} {
		if err := mount("tmpfs", filepath.Join(root, dir), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(root, "tmp"), 0o1777); err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(root, "root"), 0o700)
}

// mountVar mounts the node's image at /var and returns its device number. The
// kernel detaches the loop device when the node's last mount of it is gone.
func mountVar(spec Spec, target string) (uint64, error) {
	number, device, err := loop.Attach(spec.Dir.NodeVar(spec.Node.Name), loop.Options{First: layout.FirstLoop, AutoClear: true})
	if err != nil {
		return 0, err
	}
	defer device.Close()
	// No barriers: what this file system loses in a crash is not missed.
	if err := mount(loop.Path(number), target, "ext4", unix.MS_NOATIME, "barrier=0"); err != nil {
		return 0, err
	}
	for _, dir := range []string{
		"lib/containerd", "lib/kubelet", "lib/disks", "lib/cni", "local", "log/containers", "log/pods", "mnt", "tmp",
	} {
		if err := os.MkdirAll(filepath.Join(target, dir), 0o755); err != nil {
			return 0, err
		}
	}
	if err := os.Symlink("/run", filepath.Join(target, "run")); err != nil {
		return 0, err
	}
	return unix.Mkdev(loop.Major, uint32(number)), nil
}

// mountKernel mounts what the kernel shows of the node's namespaces.
func mountKernel(root string, all []cgroup.Hierarchy) error {
	proc := filepath.Join(root, "proc")
	if err := mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	if err := maskTunables(proc, filepath.Join(root, "run", "tunables")); err != nil {
		return err
	}
	sys := filepath.Join(root, "sys")
	if err := mount("sysfs", sys, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	return cgroup.Mount(all, filepath.Join(sys, "fs", "cgroup"))
}

// maskTunables puts files over the kernel settings that a kubelet writes when
// it starts: they are the whole machine's. It finds there what it wants.
func maskTunables(proc, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/keys/root_maxbytes": "25000000",
	} {
		target := filepath.Join(proc, "sys", name)
		if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		source := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(source, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := bind(source, target); err != nil {
			return err
		}
	}
	return nil
}

// pivot makes a mounted directory the root and lets go of the old one.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot into %q: %w", root, err)
	}
	// The old root lies over the new one at "." now.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the machine's root: %w", err)
	}
	return os.Chdir("/")
}

// likeMachine repeats a directory of the machine, which may be a link: into
// /usr on a merged system.
func likeMachine(source, target string) error {
	link, err := os.Readlink(source)
	if err == nil {
		return os.Symlink(link, target)
	}
	if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return bindReadOnly(source, target)
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s on %q: %w", kind, target, err)
	}
	return nil
}

// bind binds a file or a directory, with what is mounted below it.
func bind(source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644); err == nil {
			err = file.Close()
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %q to %q: %w", source, target, err)
	}
	return nil
}

func bindReadOnly(source, target string) error {
	if err := bind(source, target); err != nil {
		return err
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %q read-only: %w", target, err)
	}
	return nil
}
