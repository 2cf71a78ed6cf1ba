// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestPVName(t *testing.T) {
	// FNV-1a 32 computed by hand, byte by byte: h = (h ^ byte) * 0x01000193 mod 2^32, from 0x811c9dc5.
	for _, c := range []struct{ entry, node, class, want string }{
		{"", "", "", "local-pv-811c9dc5"},
		{"a", "", "", "local-pv-e40c292c"},
		{"vdf", "w-1", "block-storage", "local-pv-14bd2dff"},
		{"vdg", "w-1", "block-storage", "local-pv-3e560fb8"},
		// The hash 0x0… is not padded.
		{"ani", "w-1", "block", "local-pv-fb4c59"},
	} {
		if got := PVName(c.entry, c.node, c.class); got != c.want {
			t.Errorf("PVName(%q, %q, %q) = %s, want %s", c.entry, c.node, c.class, got, c.want)
		}
	}
	// No separator: a fact of the provisioner, and why a volume of the right name may be for another entry.
	if PVName("a", "bc", "d") != PVName("ab", "c", "d") {
		t.Error("the parts of the name are separated")
	}
}

func TestCapacity(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for size, want := range map[uint64]uint64{
		0: 0, 1: 1,
		10*mib - 1:      10*mib - 1,
		10 * mib:        10 * mib,
		10*mib + 1:      10 * mib,
		11*mib - 1:      10 * mib,
		gib + 5:         gib,
		10*gib - 1:      10*gib - mib,
		10 * gib:        10 * gib,
		10*gib + 1:      10 * gib,
		11*gib - 1:      10 * gib,
		60 * gib:        60 * gib,
		1<<50 + mib:     1 << 50,
		math.MaxUint64:  math.MaxUint64 / gib * gib,
		16 << 40:        16 << 40,
		512*2097153 + 7: 1024 * mib,
	} {
		if got := Capacity(size); got != want {
			t.Errorf("Capacity(%d) = %d, want %d", size, got, want)
		}
	}
}

func TestPublishes(t *testing.T) {
	for _, c := range []struct {
		pattern, entry string
		want           bool
	}{
		{"", "vdf", true},
		{"", ".hidden", true},
		{"*", "vdf", true},
		{"*", ".hidden", true},
		{"r-*", "vdf", false},
		{"r-*", "r-data", true},
		{"r-*,vd?", "vdf", true},
		{"r-*,vd?", "vdaa", false},
		{",vd*", "vdf", true},
		{",", "vdf", false},
		{"vd*, sd*", "sda", false}, // The space is part of the pattern.
		{"vd[a-c]", "vdb", true},
		{"[", "vdf", false},
		{"vd*,[", "vdf", true},
		{"[,vd*", "vdf", false}, // The provisioner gives the class up there.
	} {
		if got := (Class{NamePattern: c.pattern}).Publishes(c.entry); got != c.want {
			t.Errorf("namePattern %q publishes %q: %v", c.pattern, c.entry, got)
		}
	}
}

func TestPaths(t *testing.T) {
	c := Class{HostDir: "/var/lib/disks", MountDir: "/mnt/disks"}
	if got := c.VolumePath("vdf"); got != "/var/lib/disks/vdf" {
		t.Error(got)
	}
	if got := c.EntryPath("vdf"); got != "/mnt/disks/vdf" {
		t.Error(got)
	}
}

func TestDangling(t *testing.T) {
	for want, entries := range map[bool][]Entry{
		true:  {{Kind: Link}, {Kind: Link, Target: "/dev/vdb"}},
		false: {{Kind: Link, Device: "7:0"}, {Kind: File}, {Kind: Directory}, {Kind: BlockNode, Device: "7:0"}},
	} {
		for _, e := range entries {
			if e.Dangling() != want {
				t.Errorf("%+v dangles: %v", e, !want)
			}
		}
	}
}

func TestParseClasses(t *testing.T) {
	got, err := ParseClasses(`
hdd:
  hostDir: /var/lib/disks//hdd/
  mountDir: /mnt/hdd
  fsType: xfs
block-storage:
  hostDir: /var/lib/disks/block
  mountDir: /mnt/block/.
  volumeMode: Block
  namePattern: "vd*,r-*"
  blockCleanerCommand: ["/scripts/shred.sh", "2"]
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Class{
		{Name: "block-storage", HostDir: "/var/lib/disks/block", MountDir: "/mnt/block", Mode: Block, NamePattern: "vd*,r-*",
			Cleaner: []string{"/scripts/shred.sh", "2"}},
		{Name: "hdd", HostDir: "/var/lib/disks/hdd", MountDir: "/mnt/hdd", Mode: Filesystem, FSType: "xfs"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	for _, empty := range []string{"", "{}", "# nothing", "null"} {
		if got, err := ParseClasses(empty); err != nil || len(got) != 0 {
			t.Errorf("ParseClasses(%q) = %v, %v", empty, got, err)
		}
	}
}

func TestParseClassesRefuses(t *testing.T) {
	for config, want := range map[string]string{
		"[]":                                   "not a map of storage classes",
		"x":                                    "not a map of storage classes",
		"\x00":                                 "not a map of storage classes",
		"a: {hostDir: [1]}":                    "not a map of storage classes",
		`"": {hostDir: /a, mountDir: /b}`:      "class without a name",
		"a: {mountDir: /b}":                    `class "a" in storageClassMap: hostDir is missing`,
		"a: {hostDir: /a}":                     `class "a" in storageClassMap: mountDir is missing`,
		"a:":                                   "hostDir is missing",
		"a: {hostDir: b, mountDir: /b}":        `hostDir "b" is not an absolute path`,
		`a: {hostDir: /a, mountDir: "/b\nc"}`:  "control character",
		`a: {hostDir: "/a\x1f", mountDir: /b}`: "control character",
		"a: {hostDir: /a, mountDir: /b, volumeMode: block}": `volumeMode "block" is neither Block nor Filesystem`,
		"b: {hostDir: /a}\na: {mountDir: /b}":               `class "a"`,
	} {
		got, err := ParseClasses(config)
		if err == nil || got != nil {
			t.Errorf("ParseClasses(%q) = %v, %v", config, got, err)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("ParseClasses(%q): %q does not say %q", config, err, want)
		}
	}
}

func FuzzParseClasses(f *testing.F) {
	for _, s := range []string{
		"a: {hostDir: /a, mountDir: /b}", "a: {hostDir: /a, mountDir: /b, volumeMode: Block, namePattern: 'x*,y'}", "", "[]", "a:", "a: b",
		"a: &x {hostDir: /a, mountDir: /b}\nb: *x", `a: {hostDir: "/a\n", mountDir: /b}`, "a: {hostDir: /../.., mountDir: /b}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		classes, err := ParseClasses(s)
		if err != nil {
			return
		}
		for i, c := range classes {
			switch {
			case c.Name == "" || i > 0 && classes[i-1].Name >= c.Name:
				t.Errorf("names of classes: %+v", classes)
			case c.Mode != Block && c.Mode != Filesystem:
				t.Errorf("mode %q", c.Mode)
			case c.HostDir == "" || c.HostDir[0] != '/' || c.MountDir == "" || c.MountDir[0] != '/' ||
				strings.ContainsAny(c.HostDir+c.MountDir, "\n\x1e\x1f\x00"):
				t.Errorf("directories %q, %q", c.HostDir, c.MountDir)
			}
			c.Publishes("vdf")
		}
	})
}
