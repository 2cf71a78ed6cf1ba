// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// Provisioner is the reference that chart 2.9.0 renders.
	Provisioner = "registry.k8s.io/sig-storage/local-volume-provisioner:v2.9.0"
	// Busybox is the image of the test workloads.
	Busybox = "talosdisk.test/busybox:1"
)

// CacheDir is where the test cluster keeps what it builds:
// kubectl-talosdisk-test below $XDG_CACHE_HOME or ~/.cache.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cannot find a cache directory: %w", err)
	}
	return filepath.Join(dir, "kubectl-talosdisk-test"), nil
}

// Build makes the archive with the images Provisioner and Busybox and returns
// its path below cacheDir. It must be called from within the Go module of the
// tests, because it compiles the stand-in. Progress, and what the programs it
// runs print, goes to log. Builds with the same cacheDir wait for each other.
func Build(ctx context.Context, cacheDir string, log io.Writer) (string, error) {
	dir := filepath.Join(cacheDir, "image")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := removePartial(dir); err != nil {
		return "", err
	}

	binary, err := compile(ctx, dir, log)
	if err != nil {
		return "", err
	}
	root, busybox, err := rootLayers(ctx, dir, log)
	if err != nil {
		return "", err
	}
	program, err := programLayer(dir, binary)
	if err != nil {
		return "", err
	}
	images := []image{
		{
			name: Provisioner, layers: []layer{root, program},
			path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", entrypoint: []string{programPath},
		},
		{
			name: Busybox, layers: []layer{busybox},
			path: "/bin", command: []string{"sh"},
		},
	}
	return cached(dir, "images", key(images), func(w io.Writer) error {
		fmt.Fprintf(log, "packing %s and %s\n", Provisioner, Busybox)
		return writeArchive(w, images)
	})
}

// key is a short name for what something is made from.
func key(from any) string {
	return digest(fmt.Appendf(nil, "%+v", from))[:16]
}

func digest(content []byte) string {
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

// cached returns the file <kind>-<key>.tar in dir, making it by write if it is
// not there. Older files of the same kind are removed: each is some 100 MB.
func cached(dir, kind, key string, write func(io.Writer) error) (_ string, err error) {
	path := filepath.Join(dir, kind+"-"+key+".tar")
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	file, err := os.CreateTemp(dir, kind+"-*.partial")
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := write(file); err != nil {
		return "", fmt.Errorf("cannot make %s: %w", filepath.Base(path), err)
	}
	if err := errors.Join(file.Chmod(0o644), file.Close()); err != nil {
		return "", err
	}
	older, err := filepath.Glob(filepath.Join(dir, kind+"-*.tar"))
	if err != nil {
		return "", err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return "", err
	}
	for _, old := range older {
		if err := os.Remove(old); err != nil {
			return "", err
		}
	}
	return path, nil
}

// removePartial removes what a build that was killed has left.
func removePartial(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "*.partial"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// lock takes an exclusive lock that ends with the process at the latest.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
