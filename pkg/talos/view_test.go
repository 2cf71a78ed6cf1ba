// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

func TestTree(t *testing.T) {
	dir := func(name string) File { return File{Name: name, Dir: true} }
	link := func(name, to string) File { return File{Name: name, Symlink: true, Link: to} }
	files := map[string][]File{
		"": {dir("var"), dir("dev"), link("run", "var/run"), link("loop", "/loop")},
		"/var": {dir("lib"), dir("run"), link("out", "/dev/disk"), link("up", "../dev/./disk"), link("gone", "/nowhere"),
			{Name: "file"}, {Name: "odd", Problem: "input/output error"}},
		"/var/lib":       {dir("disks"), dir("locked")},
		"/var/lib/disks": {link("vdf", "/dev/vdf"), link("vdb", "/dev/vdb")},
		"/var/run":       {},
		"/dev":           {dir("disk")},
		"/dev/disk":      {dir("by-id")},
	}
	yes := func(entries ...string) mounts.DirectoryListing {
		return mounts.DirectoryListing{Exists: disk.Yes, Entries: entries}
	}
	for path, want := range map[string]mounts.DirectoryListing{
		"/var/lib/disks":  yes("vdb", "vdf"),
		"/var//lib/disks": yes("vdb", "vdf"),
		"/":               yes("dev", "loop", "run", "var"),
		"/var/run":        yes(),
		"/run":            yes(),
		"/var/out":        yes("by-id"),
		"/var/up":         yes("by-id"),
		"/var/../dev":     yes("disk"),
		"/../../dev":      yes("disk"),
		"/var/lib/none":   {Exists: disk.No},
		"/var/gone":       {Exists: disk.No},
		"/var/file":       {Exists: disk.No, Problem: `"/var/file" is not a directory`},
		"/var/file/x":     {Exists: disk.No, Problem: `"/var/file" is not a directory`},
		"/var/odd":        {Exists: disk.Unknown, Problem: "input/output error"},
		"/loop":           {Exists: disk.Unknown, Problem: "it leads through too many symlinks"},
		"/var/lib/locked": {Exists: disk.Unknown, Problem: "permission denied"},
	} {
		t.Run(path, func(t *testing.T) {
			asked := map[string]int{}
			tree := tree{list: func(dir string) ([]File, error) {
				asked[dir]++
				if dir == "/var/lib/locked" {
					return nil, errors.New("permission denied")
				}
				return files[dir], nil
			}}
			for range 2 {
				got, err := tree.listing(path)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, %v, want %+v", got, err, want)
				}
			}
			for dir, times := range asked {
				if times > 1 && files[dir] != nil {
					t.Errorf("%q was listed %d times", dir, times)
				}
			}
		})
	}
}

// An error that is not one directory's must not be taken for that.
func TestTreeFails(t *testing.T) {
	for _, target := range []error{context.Canceled, context.DeadlineExceeded, ErrUnreachable, ErrDenied} {
		tree := tree{list: func(string) ([]File, error) { return nil, fmt.Errorf("list: %w", target) }}
		if _, err := tree.listing("/var"); !errors.Is(err, target) {
			t.Errorf("got %v, want %v", err, target)
		}
	}
}

func TestListRequest(t *testing.T) {
	for _, c := range []struct {
		dir, root string
		depth     int
		recurse   bool
		levels    int32
		send      string
	}{
		{"/var/lib", "/var/lib", 1, false, 0, "/var/lib/."},
		{"/var/lib/", "/var/lib", 0, false, 0, "/var/lib/."},
		{"/", "/", 1, false, 0, "/."},
		{"", "/", 1, false, 0, "/."},
		{"/proc/7/root", "/proc/7/root", 2, true, 1, "/proc/7/root/."},
		{"/proc/7/root/", "/proc/7/root", 3, true, 2, "/proc/7/root/."},
	} {
		got, root := listRequest(c.dir, c.depth)
		if got.GetRoot() != c.send || root != c.root || got.GetRecurse() != c.recurse || got.GetRecursionDepth() != c.levels {
			t.Errorf("%q, %d: got %v, %q", c.dir, c.depth, got, root)
		}
	}
}
