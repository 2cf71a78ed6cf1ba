// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"reflect"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// releases are those of the nodes w-1, w-2, …; "": not known.
func releases(t *testing.T, tags ...string) map[string]talosrelease.Release {
	t.Helper()
	all := make(map[string]talosrelease.Release)
	for i, tag := range tags {
		var r talosrelease.Release
		if err := r.UnmarshalText([]byte(tag)); err != nil {
			t.Fatal(err)
		}
		all[VolumeName("w", i+1)] = r
	}
	return all
}

func TestWays(t *testing.T) {
	files := Class{Name: "fast", VolumeMode: provisioner.Filesystem, As: AsVolume, Filesystem: "xfs"}
	ext4, disk := files, files
	ext4.Filesystem, disk.As = "ext4", AsDisk
	links := Class{Name: "block", VolumeMode: provisioner.Block, As: AsLink}
	elsewhere, inVolume, raw := links, links, links
	elsewhere.HostDir, inVolume.HostDir, raw.As = "/var/lib/x", "/var/mnt/links", AsPartition
	for name, c := range map[string]struct {
		class     Class
		releases  []string
		installed []provisioner.Class
		want      Way
		dir       string
		mountDir  string
		pattern   string
		volume    string
		no        NoWayReason
		needs     string
		nodes     string
	}{
		"a user volume": {
			class: files, releases: []string{"v1.10.0", "v1.14.1"}, want: WayUserVolume, dir: "/var/mnt", mountDir: "/mnt/fast", pattern: "fast-*",
		},
		"of what is not known, what the others have": {
			class: files, releases: []string{"v1.10.0", ""}, want: WayUserVolume, dir: "/var/mnt", mountDir: "/mnt/fast", pattern: "fast-*",
		},
		"nothing is known": {
			class: files, releases: []string{"", ""}, want: WayUserVolume, dir: "/var/mnt", mountDir: "/mnt/fast", pattern: "fast-*",
			no: NoWayUnknown, nodes: "w-1, w-2",
		},
		"no nodes": {class: files, want: WayUserVolume, dir: "/var/mnt", mountDir: "/mnt/fast", pattern: "fast-*"},
		"before there were any": {
			class: files, releases: []string{"v1.9.5", "v1.6.0"}, want: WayMachineDisks, dir: "/var/lib/disks/fast", mountDir: "/var/lib/disks/fast",
		},
		"machine.disks with ext4": {
			class: ext4, releases: []string{"v1.9.5"}, want: WayMachineDisks, dir: "/var/lib/disks/fast", mountDir: "/var/lib/disks/fast",
			no: NoWayFilesystem, needs: "v1.10", nodes: "w-1 (v1.9.5)",
		},
		"machine.disks stay after the upgrade": {
			class: files, releases: []string{"v1.12.0"}, want: WayMachineDisks, dir: "/var/lib/disks/hdd", mountDir: "/var/lib/disks/hdd",
			installed: []provisioner.Class{
				{Name: "fast", Mode: provisioner.Filesystem, HostDir: "/var/lib/disks/hdd", MountDir: "/var/lib/disks/hdd"},
			},
		},
		"nothing in common": {
			class: files, releases: []string{"v1.9.5", "v1.10.0"}, want: WayUserVolume, dir: "/var/mnt", mountDir: "/mnt/fast", pattern: "fast-*",
			no: NoWayReleases, needs: "v1.10", nodes: "w-1 (v1.9.5)",
		},
		"a whole disk": {
			class: disk, releases: []string{"v1.12.0"}, want: WayWholeDisk, dir: "/var/mnt", mountDir: "/mnt/fast", pattern: "fast-*",
		},
		"a whole disk too early": {
			class: disk, releases: []string{"v1.11.9", "v1.12.0"}, want: WayWholeDisk, dir: "/var/mnt", mountDir: "/mnt/fast", pattern: "fast-*",
			no: NoWayReleases, needs: "v1.12", nodes: "w-1 (v1.11.9)",
		},
		"a raw volume": {
			class: raw, releases: []string{"v1.11.0"}, want: WayRawVolume, dir: byPartLabel, mountDir: byPartLabel, pattern: "r-block-*",
		},
		"a raw volume too early": {
			class: raw, releases: []string{"v1.10.9"}, want: WayRawVolume, dir: byPartLabel, mountDir: byPartLabel, pattern: "r-block-*",
			no: NoWayReleases, needs: "v1.11", nodes: "w-1 (v1.10.9)",
		},
		"links where the kubelet sees them": {
			class: links, releases: []string{"v1.12.0"}, want: WayVolumeOfLinks, dir: "/var/mnt/block", mountDir: "/var/mnt/block", volume: "block",
		},
		"links by an extraMount": {
			class: links, releases: []string{"v1.11.0", "v1.12.0"}, want: WayLinks, dir: "/var/lib/disks/block", mountDir: "/var/lib/disks/block",
		},
		"links where they are": {
			class: links, releases: []string{"v1.12.0"}, want: WayLinks, dir: "/var/lib/disks/block", mountDir: "/mnt/block",
			installed: []provisioner.Class{{Name: "block", Mode: provisioner.Block, HostDir: "/var/lib/disks/block", MountDir: "/mnt/block"}},
		},
		"links were below /dev": {
			class: links, releases: []string{"v1.12.0"}, want: WayVolumeOfLinks, dir: "/var/mnt/block", mountDir: "/var/mnt/block", volume: "block",
			installed: []provisioner.Class{{Name: "block", Mode: provisioner.Block, HostDir: "/dev/disk/by-id", MountDir: "/dev/disk/by-id"}},
		},
		"links where the file says": {
			class: elsewhere, releases: []string{"v1.12.0"}, want: WayLinks, dir: "/var/lib/x", mountDir: "/var/lib/x",
		},
		"links in a volume too early": {
			class: inVolume, releases: []string{"v1.12.0", "v1.11.0"}, want: WayVolumeOfLinks, dir: "/var/mnt/links", mountDir: "/var/mnt/links",
			volume: "links", no: NoWayReleases, needs: "v1.12", nodes: "w-2 (v1.11.0)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := Layout{Spec: Spec{Nodes: Nodes{Names: []string{"*"}}, Classes: []Class{c.class}}}
			got := l.Ways(Bindings{}, Ground{Releases: releases(t, c.releases...), Installed: c.installed})[0]
			want := provisioner.Class{
				Name: c.class.Name, Mode: c.class.VolumeMode, HostDir: c.dir, MountDir: c.mountDir, NamePattern: c.pattern,
			}
			if got.Way != c.want || !reflect.DeepEqual(got.Wanted, want) || got.Volume != c.volume || len(got.Nodes) != len(c.releases) {
				t.Errorf("%+v", got)
			}
			no := NoWay{}
			if got.NoWay != nil {
				no = *got.NoWay
			}
			if no.Reason != c.no || no.Needs != c.needs || strings.Join(no.Nodes, ", ") != c.nodes {
				t.Errorf("no way: %+v", no)
			}
			if c.no != "" && !strings.Contains(no.String(), c.nodes) {
				t.Error(no)
			}
		})
	}
}

// The directories that Talos and udev share with everybody are never published without a pattern, and none takes a volume of others.
func TestPatterns(t *testing.T) {
	fast := Class{Name: "fast", VolumeMode: provisioner.Filesystem, As: AsVolume, Filesystem: "xfs"}
	other := Class{Name: "fast-2", VolumeMode: provisioner.Filesystem, As: AsVolume, Filesystem: "xfs"}
	raw := Class{Name: "fast", VolumeMode: provisioner.Block, As: AsPartition}
	const numbers = "fast-[1-9],fast-[1-9][0-9],fast-[1-9][0-9][0-9]"
	for name, c := range map[string]struct {
		classes   []Class
		bound     map[string]Binding
		entries   []string
		installed string
		want      string
	}{
		"alone":             {classes: []Class{fast}, bound: map[string]Binding{"fast-1": {}}, want: "fast-*"},
		"a name of its own": {classes: []Class{fast}, bound: map[string]Binding{"fast-1": {}, "fast-2": {Name: "ssd-2"}}, want: "fast-*,ssd-2"},
		"a stranger":        {classes: []Class{fast}, entries: []string{"fast-backup", "longhorn"}, want: numbers},
		"another class":     {classes: []Class{fast, other}, want: numbers},
		"not its own yet":   {classes: []Class{fast}, entries: []string{"fast-7"}, want: "fast-*"},
		"installed": {
			classes: []Class{fast}, bound: map[string]Binding{"fast-1": {Name: "ssd-1"}}, installed: "ssd-*,fast-?", want: "ssd-*,fast-?",
		},
		"installed, too narrow": {classes: []Class{fast}, bound: map[string]Binding{"fast-1": {}}, installed: "fast-2", want: "fast-*"},
		"installed, too wide":   {classes: []Class{fast}, entries: []string{"longhorn"}, installed: "*", want: "fast-*"},
		"installed, none":       {classes: []Class{fast}, installed: "", want: "fast-*"},
		"a number of others": {
			classes: []Class{fast, other}, bound: map[string]Binding{"fast-1": {}, "fast-2-1": {Name: "fast-9"}}, want: "fast-1",
		},
		"raw": {classes: []Class{raw}, entries: []string{"EPHEMERAL", "r-fast-1", "u-fast-1", "r-fast-x"}, want: "r-" +
			strings.ReplaceAll(numbers, ",", ",r-")},
	} {
		t.Run(name, func(t *testing.T) {
			l := Layout{Spec: Spec{Nodes: Nodes{Names: []string{"*"}}, Classes: c.classes}}
			class := c.classes[0]
			g := Ground{Releases: releases(t, "v1.13.0"), Entries: map[string][]string{varMnt: c.entries}}
			dir := varMnt
			if class.As == AsPartition {
				dir, g.Entries = byPartLabel, map[string][]string{byPartLabel: c.entries}
			}
			g.Installed = []provisioner.Class{{Name: class.Name, Mode: class.VolumeMode, HostDir: dir, MountDir: "/x", NamePattern: c.installed}}
			got := l.Ways(Bindings{Nodes: map[string]map[string]Binding{"w-1": c.bound}}, g)[0]
			if got.Wanted.NamePattern != c.want {
				t.Errorf("%q", got.Wanted.NamePattern)
			}
		})
	}
}

func TestClassesThatDoNotGoTogether(t *testing.T) {
	raw := Class{Name: "raw", VolumeMode: provisioner.Block, As: AsPartition}
	more := Class{Name: "more", VolumeMode: provisioner.Block, As: AsPartition}
	links := Class{Name: "fast-1", VolumeMode: provisioner.Block, As: AsLink}
	fast := Class{Name: "fast", VolumeMode: provisioner.Filesystem, As: AsVolume, Filesystem: "xfs"}
	bound := Bindings{Nodes: map[string]map[string]Binding{"w-1": {"fast-1": {}, "fast-2": {Name: "ssd"}}}}
	for name, c := range map[string]struct {
		classes   []Class
		installed []provisioner.Class
		want      []NoWay
	}{
		"two of udev's directory": {classes: []Class{raw, more}, want: []NoWay{{}, {Reason: NoWayMountDir, Other: "raw"}}},
		"an installed one of it": {
			classes:   []Class{raw},
			installed: []provisioner.Class{{Name: "old", HostDir: byPartLabel, MountDir: byPartLabel, NamePattern: "r-old-*"}},
			want:      []NoWay{{Reason: NoWayMountDir, Other: "old"}},
		},
		"an installed one takes its volumes": {
			classes: []Class{fast}, installed: []provisioner.Class{{Name: "old", HostDir: "/var/mnt/", MountDir: "/mnt/old", NamePattern: "ssd*"}},
			want: []NoWay{{Reason: NoWayPublished, Other: "old"}},
		},
		"one name in /var/mnt": {classes: []Class{fast, links}, want: []NoWay{{}, {Reason: NoWayName, Other: "fast"}}},
		"all well":             {classes: []Class{fast, raw}, want: []NoWay{{}, {}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := Layout{Spec: Spec{Nodes: Nodes{Names: []string{"*"}}, Classes: c.classes}}
			for i, w := range l.Ways(bound, Ground{Releases: releases(t, "v1.13.0"), Installed: c.installed}) {
				got := NoWay{}
				if w.NoWay != nil {
					got = *w.NoWay
				}
				if !reflect.DeepEqual(got, c.want[i]) || w.NoWay != nil && !strings.Contains(got.String(), got.Other) {
					t.Errorf("%s: %+v", w.Class.Name, got)
				}
			}
		})
	}
}
