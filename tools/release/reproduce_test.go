// SPDX-License-Identifier: Apache-2.0

package release

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// checkReproduces builds this machine's archive again, in another directory, with nothing of the first build left to it, and for a
// user whose files nobody else can read.
func checkReproduces(t *testing.T, made distribution, tree string) {
	again := filepath.Join(t.TempDir(), "elsewhere")
	run(t, tree, nil, "sh", "-c", `umask 077 && git clone --quiet . "$1"`, "sh", again)
	copyChanges(t, tree, again)
	c := configured(t, again, filepath.Join(again, "dist"))
	c.only(t, runtime.GOOS, runtime.GOARCH)
	got := c.build(t, again, "GOCACHE="+t.TempDir())
	name := made.archive(t, runtime.GOOS, runtime.GOARCH)
	if got.sums[name] != made.sums[name] {
		first, second := unpack(t, filepath.Join(made.dir, name)), unpack(t, filepath.Join(got.dir, name))
		for file := range first {
			a, b := first[file], second[file]
			t.Errorf("%s: %d bytes of %s, mode %o, then %d bytes of %s, mode %o, the same bytes: %t", file, len(a.content), a.header.ModTime,
				a.header.Mode, len(b.content), b.header.ModTime, b.header.Mode, string(a.content) == string(b.content))
		}
		t.Errorf("the sums of %s are %s and %s", name, made.sums[name], got.sums[name])
	}
}

// copyChanges makes a clone what the tree is, which need not be committed.
func copyChanges(t *testing.T, tree, clone string) {
	t.Helper()
	for name := range strings.SplitSeq(run(t, tree, nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00") {
		if name == "" {
			continue
		}
		if err := copyFile(filepath.Join(tree, name), filepath.Join(clone, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// copyFile copies a file or a link, or removes the copy of what is gone.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, info.Mode().Perm()&0o700)
}
