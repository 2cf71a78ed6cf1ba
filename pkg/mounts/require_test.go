// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"slices"
	"strings"
	"testing"
)

func TestRequire(t *testing.T) {
	for _, tt := range []struct {
		name, version string
		dirs          string
		want          string
	}{
		{"one", "v1.14.0", "/var/lib/disks", "/var/lib/disks"},
		{"cleaned, twice", "v1.14.0", "/var/lib/disks/ /var/lib//disks /var/lib/x/../disks", "/var/lib/disks"},
		{"siblings", "v1.14.0", "/var/lib/disks/hdd /var/lib/disks/block /var/lib/disks/nvme", "/var/lib/disks"},
		{"only child", "v1.14.0", "/var/lib/disks/hdd", "/var/lib/disks/hdd"},
		{"cousins", "v1.14.0", "/var/lib/disks/a/x /var/lib/disks/a/y /var/lib/disks/b/x /var/lib/disks/b/y", "/var/lib/disks"},
		{"unlike cousins", "v1.14.0", "/var/lib/disks/a/x /var/lib/disks/b", "/var/lib/disks/a/x /var/lib/disks/b"},
		{"nested", "v1.14.0", "/var/lib/disks/block /var/lib/disks /var/lib/disks/hdd", "/var/lib/disks"},
		{"names that only begin alike", "v1.14.0", "/var/lib/disks /var/lib/disks-2", "/var/lib/disks /var/lib/disks-2"},
		{"parent is /var/lib", "v1.14.0", "/var/lib/a /var/lib/b", "/var/lib/a /var/lib/b"},
		{"parent is /var", "v1.14.0", "/var/a /var/b", "/var/a /var/b"},
		{"parent holds Talos's mounts", "v1.14.0", "/var/log/a /var/log/b", "/var/log/a /var/log/b"},
		{"parent is Talos's mount", "v1.14.0", "/var/lib/kubelet/a /var/lib/kubelet/b", "/var/lib/kubelet/a /var/lib/kubelet/b"},
		{"in /var/mnt", "v1.10.0", "/var/mnt/a /var/mnt/b", "/var/mnt/a /var/mnt/b"},
		{"in /var/mnt before it is one", "v1.9.0", "/var/mnt/a /var/mnt/b", "/var/mnt/a /var/mnt/b"},
		{"off /var", "v1.14.0", "/mnt/a /mnt/b", "/mnt/a /mnt/b"},
		{"devices", "v1.14.0", "/dev/disk/by-id /dev/disk/by-partlabel", "/dev/disk/by-id /dev/disk/by-partlabel"},
		{"root", "v1.14.0", "/ /var/lib/disks", "/"},
		{"none", "v1.14.0", "", ""},
	} {
		got, err := Require(version(t, tt.version), strings.Fields(tt.dirs))
		if err != nil || !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "disks", "./var/lib/disks"} {
		if got, err := Require(version(t, "v1.14.0"), []string{"/var/lib/disks", bad}); err == nil {
			t.Errorf("%q: got %q", bad, got)
		}
	}
	in := []string{"/var/lib/b", "/var/lib/a"}
	if _, err := Require(version(t, "v1.14.0"), in); err != nil || in[0] != "/var/lib/b" {
		t.Errorf("%v; the argument was changed: %q", err, in)
	}
}

func TestJoinKeepsOffEntries(t *testing.T) {
	dirs := []string{"/var/lib/disks/a", "/var/lib/disks/b"}
	for taken, want := range map[string][]string{
		"/var/lib/disks/c": dirs,
		"/var/lib/disks":   dirs,
		"/var/lib/disks-2": {"/var/lib/disks"},
		"/var/lib/other":   {"/var/lib/disks"},
		"/var":             {"/var/lib/disks"},
	} {
		if got := join(version(t, "v1.14.0"), dirs, []string{taken}); !slices.Equal(got, want) {
			t.Errorf("with %q taken: got %q, want %q", taken, got, want)
		}
	}
}
