// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// recipe says what the Debian root is made of. A change of any field makes a
// new root.
type recipe struct {
	Suite, Mirror string
	// Include is what is added to Debian's minimal set, which has bash, dash,
	// coreutils and util-linux but neither udev nor a mkfs.xfs, as the real
	// image. The mount package has losetup.
	Include []string
	// Omit are paths that the image goes without.
	Omit []string
}

func debian() recipe {
	return recipe{
		Suite:   "bookworm",
		Mirror:  "http://deb.debian.org/debian",
		Include: []string{"e2fsprogs", "mount", "busybox-static"},
		Omit: []string{
			"dev/*", "proc/*", "sys/*", "tmp/*", "run/*", "boot/*",
			"usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*", "usr/share/zoneinfo/*",
			"usr/share/lintian/*", "var/lib/apt/lists/*", "var/cache/apt/*", "var/cache/debconf/*", "var/log/*",
			// No script that runs in the image may need these.
			"usr/bin/perl*", "usr/lib/*/perl-base", "usr/share/perl5", "usr/lib/*/gconv",
			"usr/bin/apt*", "usr/lib/apt", "usr/lib/*/libapt-*", "var/lib/dpkg/*", "usr/share/bash-completion",
			"debootstrap", "usr/bin/busybox", // busybox is for the other image
		},
	}
}

// rootLayers returns the layer of the provisioner's Debian root and that of
// the busybox image, whose program comes out of the same root.
func rootLayers(ctx context.Context, dir string, log io.Writer) (root, busybox layer, err error) {
	r := debian()
	work := filepath.Join(dir, "root.partial")
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	bootstrapped := false
	bootstrap := func() error {
		if bootstrapped {
			return nil
		}
		bootstrapped = true
		return r.bootstrap(ctx, work, log)
	}

	rootPath, err := cached(dir, "root", key(r), func(w io.Writer) error {
		if err := bootstrap(); err != nil {
			return err
		}
		return writeTree(w, work, r.Omit)
	})
	if err != nil {
		return layer{}, layer{}, err
	}
	busyboxPath, err := cached(dir, "busybox", key(r), func(w io.Writer) error {
		if err := bootstrap(); err != nil {
			return err
		}
		return writeBusybox(ctx, w, filepath.Join(work, "usr/bin/busybox"))
	})
	if err != nil {
		return layer{}, layer{}, err
	}
	if root, err = openLayer(rootPath); err != nil {
		return layer{}, layer{}, err
	}
	busybox, err = openLayer(busyboxPath)
	return root, busybox, err
}

func (r recipe) bootstrap(ctx context.Context, target string, log io.Writer) error {
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	if err := installDebootstrap(ctx, log); err != nil {
		return err
	}
	fmt.Fprintf(log, "making a Debian %s root, once, in about a minute\n", r.Suite)
	return run(ctx, log, "debootstrap", "--variant=minbase", "--include="+strings.Join(r.Include, ","), r.Suite, target, r.Mirror)
}

func installDebootstrap(ctx context.Context, log io.Writer) error {
	if _, err := exec.LookPath("debootstrap"); err == nil {
		return nil
	}
	fmt.Fprintln(log, "installing debootstrap")
	if err := run(ctx, log, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	return run(ctx, log, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "debootstrap")
}

// run runs a program and, when it fails, says the last that it printed.
func run(ctx context.Context, log io.Writer, name string, args ...string) error {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout = io.MultiWriter(log, &output)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(output.String()), "\n")
		return fmt.Errorf("%s: %w: %s", name, err, lines[len(lines)-1])
	}
	return nil
}

// writeTree writes a directory as a layer. Times are left out, so that the
// same packages give the same layer.
func writeTree(w io.Writer, root string, omit []string) error {
	archive := tar.NewWriter(w)
	links := hardLinks{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, pattern := range omit {
			matched, err := filepath.Match(pattern, name)
			if err != nil {
				return fmt.Errorf("cannot omit %q: %w", pattern, err)
			}
			if matched && entry.IsDir() {
				return fs.SkipDir
			}
			if matched {
				return nil
			}
		}
		return addPath(archive, links, path, name)
	})
	return errors.Join(err, archive.Close())
}

// writeBusybox writes a root that has only busybox under all its names.
func writeBusybox(ctx context.Context, w io.Writer, path string) error {
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	names, err := exec.CommandContext(ctx, path, "--list").Output()
	if err != nil {
		return fmt.Errorf("cannot list the programs in busybox: %w", err)
	}
	archive := tar.NewWriter(w)
	for _, dir := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		if err := addDir(archive, dir); err != nil {
			return err
		}
	}
	if err := addFile(archive, "bin/busybox", program); err != nil {
		return err
	}
	for name := range strings.Lines(string(names)) {
		name = strings.TrimSpace(name)
		if name == "busybox" {
			continue
		}
		if err := addLink(archive, "bin/"+name, "busybox"); err != nil {
			return err
		}
	}
	return archive.Close()
}
