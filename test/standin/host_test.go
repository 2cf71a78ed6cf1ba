// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

func TestMode(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(at("directory"), 0o755))
	must(t, os.WriteFile(at("file"), nil, 0o644))
	must(t, os.Symlink(at("directory"), at("to-directory")))
	must(t, os.Symlink(at("file"), at("to-file")))
	must(t, os.Symlink("/dev/no-such-disk", at("dangling")))
	must(t, os.Symlink("/dev/null", at("character-device")))

	for _, tc := range []struct {
		name string
		want corev1.PersistentVolumeMode
		err  string
	}{
		{"directory", corev1.PersistentVolumeFilesystem, ""},
		{"to-directory", corev1.PersistentVolumeFilesystem, ""},
		{"file", "", `Skipping file %q: not a directory nor block device`},
		{"to-file", "", `Skipping file %q: not a directory nor block device`},
		{"character-device", "", `Skipping file %q: not a directory nor block device`},
		{"dangling", "", `Directory check for %[1]q failed: open %[1]s: no such file or directory`},
		{"absent", "", `Directory check for %[1]q failed: open %[1]s: no such file or directory`},
	} {
		got, err := Linux{}.Mode(at(tc.name))
		var want string
		if tc.err != "" {
			want = fmt.Sprintf(tc.err, at(tc.name))
		}
		if message(err) != want || got != tc.want {
			t.Errorf("Mode(%s) = %q, %q, want %q, %q", tc.name, got, message(err), tc.want, want)
		}
	}
}

func TestModeOfBlockDevice(t *testing.T) {
	node := filepath.Join(t.TempDir(), "disk")
	// Major 0 has no driver: the node cannot be opened and is a block device
	// anyway.
	err := unix.Mknod(node, unix.S_IFBLK|0o600, 0)
	if errors.Is(err, unix.EPERM) {
		t.Skip("device nodes cannot be made here")
	}
	must(t, err)
	link := node + "-link"
	must(t, os.Symlink(node, link))
	for _, path := range []string{node, link} {
		if got, err := (Linux{}).Mode(path); err != nil || got != corev1.PersistentVolumeBlock {
			t.Errorf("Mode(%s) = %q, %v, want Block", path, got, err)
		}
	}
}

func TestEntriesIncludeDotfiles(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, ".hidden"), nil, 0o644))
	must(t, os.MkdirAll(filepath.Join(dir, "vdb", "below"), 0o755))
	got, err := Linux{}.Entries(dir)
	if want := []string{".hidden", "vdb"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Entries = %q, %v, want %q", got, err, want)
	}
	if _, err := (Linux{}).Entries(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Entries of an absent directory: %v, want %v", err, fs.ErrNotExist)
	}
}

func TestMountPoints(t *testing.T) {
	points, err := Linux{}.MountPoints()
	must(t, err)
	if !points["/proc"] || points[t.TempDir()] {
		t.Errorf("/proc is a mount point and a new directory is none, got %v", points)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
