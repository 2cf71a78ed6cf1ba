// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// TestSaveSnapshot holds how the file is written: for its owner alone, whole or not at all,
// and through no symbolic link.
func TestSaveSnapshot(t *testing.T) {
	s := &snapshot.Snapshot{Kubernetes: "v1.37.0"}
	write := func(t *testing.T, name, content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	loads := func(t *testing.T, name string) {
		t.Helper()
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("its mode is %s", info.Mode())
		}
		got, err := loadSnapshot(nil, name)
		if err != nil || got.Kubernetes != s.Kubernetes {
			t.Errorf("got %v, %v", got, err)
		}
	}
	alone := func(t *testing.T, dir string, want int) {
		t.Helper()
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != want {
			t.Errorf("%d files, want %d, %v", len(entries), want, err)
		}
	}
	refused := func(t *testing.T, name, says string) {
		t.Helper()
		if err := saveSnapshot(name, s); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}

	t.Run("new", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "s.json")
		if err := saveSnapshot(name, s); err != nil {
			t.Fatal(err)
		}
		loads(t, name)
		alone(t, filepath.Dir(name), 1)
	})
	t.Run("in place of a file that others may read", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "s.json")
		write(t, name, "old")
		if err := saveSnapshot(name, s); err != nil {
			t.Fatal(err)
		}
		loads(t, name)
		alone(t, filepath.Dir(name), 1)
	})
	t.Run("a link to a file", func(t *testing.T) {
		dir := t.TempDir()
		other, name := filepath.Join(dir, "other"), filepath.Join(dir, "s.json")
		write(t, other, "old")
		if err := os.Symlink(other, name); err != nil {
			t.Skip(err)
		}
		refused(t, name, "is a symbolic link")
		if text, err := os.ReadFile(other); err != nil || string(text) != "old" {
			t.Errorf("the other file has %q, %v", text, err)
		}
		alone(t, dir, 2)
	})
	t.Run("a link to nothing", func(t *testing.T) {
		dir := t.TempDir()
		name := filepath.Join(dir, "s.json")
		if err := os.Symlink(filepath.Join(dir, "other"), name); err != nil {
			t.Skip(err)
		}
		refused(t, name, "is a symbolic link")
		alone(t, dir, 1)
	})
	t.Run("a directory", func(t *testing.T) {
		dir := t.TempDir()
		refused(t, dir, "is not a regular file")
		alone(t, dir, 0)
	})
	t.Run("a device", func(t *testing.T) {
		refused(t, os.DevNull, "is not a regular file")
	})
	t.Run("no such directory", func(t *testing.T) {
		refused(t, filepath.Join(t.TempDir(), "no", "s.json"), "no such file or directory")
	})
	t.Run("what cannot be written leaves the old file", func(t *testing.T) {
		dir := t.TempDir()
		name := filepath.Join(dir, "s.json")
		write(t, name, "old")
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
		if err := saveSnapshot(name, s); err == nil {
			t.Skip("this user may write everywhere")
		}
		if text, err := os.ReadFile(name); err != nil || string(text) != "old" {
			t.Errorf("the file has %q, %v", text, err)
		}
	})
}
