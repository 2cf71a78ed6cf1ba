// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

func TestSeeByMounts(t *testing.T) {
	const private = `620 305 254:6 /lib/disks /var/lib/disks rw,relatime - xfs /dev/vda6 rw,inode64,prjquota
621 620 254:81 / /var/lib/disks/hdd/vdf rw,relatime - xfs /dev/vdf1 rw
`
	for _, tt := range []struct {
		name          string
		kubelet, host string
		dir           string
		visible       disk.Answer
		why           string
		mountPoint    disk.Answer
		propagation   string
		inKubelet     int
		onHost        int
		hidden, stale int
	}{
		// talos.md 00.13: before and after the entry, and below it.
		{
			name:        "no entry",
			host:        hostDisk,
			dir:         "/var/lib/disks",
			visible:     disk.No,
			why:         "no mount of the kubelet's leads there",
			mountPoint:  disk.No,
			propagation: "private",
		},
		{
			name:        "no entry, the disk itself",
			host:        hostDisk,
			dir:         "/var/lib/disks/hdd/vde",
			visible:     disk.No,
			why:         "no mount",
			mountPoint:  disk.No,
			propagation: "private",
			onHost:      1,
			hidden:      1,
		},
		{
			name:        "rslave",
			kubelet:     slave,
			host:        hostDisk,
			dir:         "/var/lib/disks",
			visible:     disk.Yes,
			why:         "it is mounted into the kubelet",
			mountPoint:  disk.Yes,
			propagation: "slave",
			inKubelet:   1,
		},
		{
			name:        "below rslave",
			kubelet:     slave,
			host:        hostDisk,
			dir:         "/var/lib/disks/block",
			visible:     disk.Yes,
			why:         "/var/lib/disks is mounted into the kubelet",
			mountPoint:  disk.No,
			propagation: "slave",
		},
		{
			name:        "the disk below rslave",
			kubelet:     slave,
			host:        hostDisk,
			dir:         "/var/lib/disks/hdd/vde/",
			visible:     disk.Yes,
			why:         "mounted into",
			mountPoint:  disk.Yes,
			propagation: "slave",
			inKubelet:   1,
			onHost:      1,
		},
		// 00.14: bind masks the disk.
		{
			name:        "bind",
			kubelet:     bound,
			host:        hostDisk,
			dir:         "/var/lib/disks",
			visible:     disk.No,
			why:         "does not see /dev/vde1 at /var/lib/disks/hdd/vde, but the directory beneath",
			mountPoint:  disk.Yes,
			propagation: "shared",
			inKubelet:   1,
			hidden:      1,
		},
		{
			name:        "the disk under bind",
			kubelet:     bound,
			host:        hostDisk,
			dir:         "/var/lib/disks/hdd/vde",
			visible:     disk.No,
			why:         "the kubelet has /dev/vda6 (/lib/disks) at /var/lib/disks, where the node has /dev/vde1",
			mountPoint:  disk.No,
			propagation: "shared",
			onHost:      1,
			hidden:      1,
		},
		{
			name:        "bind without a disk below",
			kubelet:     bound,
			dir:         "/var/lib/disks",
			visible:     disk.Yes,
			why:         "it is mounted",
			mountPoint:  disk.Yes,
			propagation: "shared",
			inKubelet:   1,
		},
		// The entry three times: it is seen, four times over.
		{
			name:        "three entries",
			kubelet:     fourTimes,
			dir:         "/var/local-disks",
			visible:     disk.Yes,
			why:         "it is mounted",
			mountPoint:  disk.Yes,
			propagation: "shared",
			inKubelet:   4,
		},
		{
			name:        "in what leaked",
			kubelet:     slave,
			host:        leaked(3) + hostDiskOn(902),
			dir:         "/var/lib/disks",
			visible:     disk.Yes,
			why:         "it is mounted",
			mountPoint:  disk.Yes,
			propagation: "slave",
			inKubelet:   1,
			onHost:      3,
		},
		// 00.2, 00.17: user volumes.
		{
			name:        "/var/mnt",
			kubelet:     kubeletVolume,
			host:        hostVolume,
			dir:         "/var/mnt",
			visible:     disk.Yes,
			why:         "it is mounted",
			mountPoint:  disk.Yes,
			propagation: "slave",
			inKubelet:   1,
		},
		{
			name:        "a user volume",
			kubelet:     kubeletVolume,
			host:        hostVolume,
			dir:         "/var/mnt/data-b",
			visible:     disk.Yes,
			why:         "it is mounted",
			mountPoint:  disk.Yes,
			propagation: "slave",
			inKubelet:   1,
			onHost:      1,
		},
		{
			name:        "a deleted user volume",
			dir:         "/var/mnt/data-b",
			visible:     disk.Yes,
			why:         "/var/mnt is mounted",
			mountPoint:  disk.No,
			propagation: "slave",
		},
		{
			name:        "a user volume that did not come through",
			host:        hostVolume,
			dir:         "/var/mnt",
			visible:     disk.No,
			why:         "does not see /dev/vdb2",
			mountPoint:  disk.Yes,
			propagation: "slave",
			inKubelet:   1,
			hidden:      1,
		},
		{
			name:        "private, after a change",
			kubelet:     private,
			host:        hostDisk,
			dir:         "/var/lib/disks",
			visible:     disk.No,
			why:         "does not see /dev/vde1",
			mountPoint:  disk.Yes,
			propagation: "private",
			inKubelet:   1,
			hidden:      1,
			stale:       1,
		},
		{
			name:        "private, with what is gone",
			kubelet:     private,
			dir:         "/var/lib/disks",
			visible:     disk.No,
			why:         "still has /dev/vdf1 at /var/lib/disks/hdd/vdf",
			mountPoint:  disk.Yes,
			propagation: "private",
			inKubelet:   1,
			stale:       1,
		},
		{
			name:        "/dev",
			dir:         "/dev",
			visible:     disk.Yes,
			why:         "it is mounted",
			mountPoint:  disk.Yes,
			propagation: "shared",
			inKubelet:   2,
			onHost:      1,
		},
		{name: "below /dev", dir: "/dev/disk/by-id", visible: disk.Yes, why: "/dev is mounted", mountPoint: disk.No, propagation: "shared"},
		{
			name:        "another directory there",
			kubelet:     "622 305 254:6 /lib/other /var/lib/disks rw - xfs /dev/vda6 rw\n",
			dir:         "/var/lib/disks",
			visible:     disk.No,
			why:         "the kubelet has /dev/vda6 (/lib/other) at /var/lib/disks",
			mountPoint:  disk.Yes,
			propagation: "private",
			inKubelet:   1,
		},
		// A mount over a parent hides what is mounted below it.
		{
			name:        "covered on the host",
			kubelet:     slave,
			host:        hostDisk + "900 51 0:99 / /var/lib/disks rw - tmpfs tmpfs rw\n",
			dir:         "/var/lib/disks",
			visible:     disk.No,
			why:         "where the node has tmpfs",
			mountPoint:  disk.Yes,
			propagation: "slave",
			inKubelet:   1,
			onHost:      1,
			hidden:      1,
		},
		{
			name:        "another disk there",
			kubelet:     strings.Replace(slave, "254:65", "254:81", 1),
			host:        hostDisk,
			dir:         "/var/lib/disks/hdd/vde",
			visible:     disk.No,
			why:         "where the node has /dev/vde1",
			mountPoint:  disk.Yes,
			propagation: "slave",
			inKubelet:   1,
			onHost:      1,
			hidden:      1,
		},
		{
			name:        "a name that begins alike",
			kubelet:     "623 305 254:6 /lib/disk /var/lib/disk rw - xfs /dev/vda6 rw\n",
			dir:         "/var/lib/disks",
			visible:     disk.No,
			why:         "no mount",
			mountPoint:  disk.No,
			propagation: "private",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := seen(t, tt.kubelet, tt.host).Visibility(tt.dir)
			if s.Visible != tt.visible || s.MountPoint != tt.mountPoint || s.Propagation != tt.propagation {
				t.Errorf("visible %s, mount point %s, %s: %s", s.Visible, s.MountPoint, s.Propagation, s.Why)
			}
			if s.InKubelet != tt.inKubelet || s.OnHost != tt.onHost || len(s.Hidden) != tt.hidden || len(s.Stale) != tt.stale {
				t.Errorf("%d in the kubelet, %d on the host, hidden %v, stale %v", s.InKubelet, s.OnHost, s.Hidden, s.Stale)
			}
			holds(t, "why", s.Why, tt.why)
		})
	}
}

func TestSeeByListing(t *testing.T) {
	const dir = "/var/lib/disks"
	for _, tt := range []struct {
		name    string
		dirs    map[string][2]string
		visible disk.Answer
		why     string
	}{
		{name: "not in the kubelet", dirs: map[string][2]string{dir: {"hdd", "-"}}, visible: disk.No, why: "does not exist in the kubelet"},
		{name: "nowhere", dirs: map[string][2]string{dir: {"-", "-"}}, visible: disk.No, why: "neither"},
		{
			name:    "not in the kubelet, the node unread",
			dirs:    map[string][2]string{dir: {"?", "-"}},
			visible: disk.No,
			why:     "does not exist in the kubelet",
		},
		{name: "only in the kubelet", dirs: map[string][2]string{dir: {"-", "hdd"}}, visible: disk.No, why: "container only"},
		{name: "kubelet unread", dirs: map[string][2]string{dir: {"hdd", "?"}}, visible: disk.Unknown, why: "permission denied"},
		{name: "node unread", dirs: map[string][2]string{dir: {"?", "hdd"}}, visible: disk.Unknown, why: "permission denied"},
		{name: "not asked for", visible: disk.Unknown, why: "not checked"},
		{
			name:    "same",
			dirs:    map[string][2]string{dir: {"vdf vde", "vde vdf"}},
			visible: disk.Yes,
			why:     "mounts were not compared: os:admin is needed",
		},
		{name: "some missing", dirs: map[string][2]string{dir: {"e d c b a", ""}}, visible: disk.No, why: `"a", "b", "c" and 2 more`},
		{name: "more in the kubelet", dirs: map[string][2]string{dir: {"a", "a b"}}, visible: disk.Unknown, why: `"b"`},
		// talos.md 00.17: a listing does not prove a mount.
		{name: "both empty", dirs: map[string][2]string{dir: {"", ""}}, visible: disk.Unknown, why: "empty"},
		// 00.14 as a reader sees it: the names are there, the disk is not.
		{
			name:    "same, but not below",
			dirs:    map[string][2]string{dir: {"hdd", "hdd"}, dir + "/hdd": {"vde", "vde"}, dir + "/hdd/vde": {"lost+found", ""}},
			visible: disk.No,
			why:     "/var/lib/disks/hdd/vde: the kubelet does not list",
		},
		{
			name:    "same, empty below",
			dirs:    map[string][2]string{dir: {"hdd", "hdd"}, dir + "/hdd": {"", ""}},
			visible: disk.Yes,
			why:     "same entries",
		},
		{
			name:    "another directory differs",
			dirs:    map[string][2]string{dir: {"hdd", "hdd"}, dir + "-2": {"vde", ""}},
			visible: disk.Yes,
			why:     "same entries",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := listing(tt.dirs).Visibility(dir + "/")
			if s.Visible != tt.visible || s.MountPoint != disk.Unknown || s.Mount != nil {
				t.Errorf("visible %s: %s; mount point %s", s.Visible, s.Why, s.MountPoint)
			}
			holds(t, "why", s.Why, tt.why)
		})
	}
}

// Listings add to what the mounts say.
func TestSeeByBoth(t *testing.T) {
	for _, tt := range []struct {
		sides   [2]string
		visible disk.Answer
		why     string
	}{
		{[2]string{"-", "-"}, disk.Yes, "does not exist on the node"},
		{[2]string{"x", "-"}, disk.No, "does not exist in the kubelet"},
		{[2]string{"", ""}, disk.Yes, "/var/mnt is mounted"},
	} {
		v := seen(t, "", "")
		v.Dirs = listing(map[string][2]string{"/var/mnt/new": tt.sides}).Dirs
		if answer, why := v.Visible("/var/mnt/new"); answer != tt.visible {
			t.Errorf("%q: %s: %s", tt.sides, answer, why)
		} else {
			holds(t, "why", why, tt.why)
		}
	}
}

func TestWalk(t *testing.T) {
	const over = `900 51 0:98 / /var/lib/disks/hdd rw - tmpfs tmpfs rw
901 900 0:99 / /var/lib/disks/hdd rw - tmpfs tmpfs rw
902 30 7:1 / / ro - squashfs /dev/loop1 ro
903 51 0:97 / /var/lib/disks/a rw - tmpfs tmpfs rw
`
	// Of mounts upon each other the last counts; a disk below what was mounted over its parent cannot be reached.
	host := newTree(lines(t, hostOwn+hostDisk+over))
	if root, ok := host.at("/"); !ok || root.ID != 902 {
		t.Errorf("root is %+v", root)
	}
	host = newTree(lines(t, hostOwn+hostDisk+strings.Replace(over, "902 30 7:1 / / ", "902 30 7:1 / /opt ", 1)))
	var points []string
	for _, m := range host.below("/var/lib/disks") {
		points = append(points, fmt.Sprintf("%d %s", m.ID, m.Point))
	}
	if got := strings.Join(points, ", "); got != "901 /var/lib/disks/hdd, 903 /var/lib/disks/a" {
		t.Errorf("got %s", got)
	}
}

// A node that leaks has thousands of mounts, and is to be told so in time.
func TestSeeThousands(t *testing.T) {
	const times = 1 << 15
	var host strings.Builder
	host.WriteString(leaked(times))
	parent := 900 + times - 1
	for i := range times {
		fmt.Fprintf(&host, "%d %d 254:65 / /var/lib/disks/hdd/vde rw shared:51 - xfs /dev/vde1 rw\n", 900+times+i, parent)
		parent = 900 + times + i
	}
	n := NodeState{
		Release:  version(t, "v1.12.9"),
		View:     seen(t, slave, host.String()),
		Settings: Settings{ExtraMounts: []ExtraMount{bind(disksDir, "bind")}},
	}
	if s := n.Visibility(disksDir); s.Visible != disk.Yes || s.OnHost != times {
		t.Errorf("%+v", s)
	}
	found := Findings(n)
	if len(found) != 2 || found[1].Fault != FaultLeaked {
		t.Errorf("%+v", found)
	}
}

func TestSeeHowItIsWritten(t *testing.T) {
	v := listing(map[string][2]string{"/var/lib/disks/": {"hdd", "hdd"}, "/var/lib//disks/hdd": {"vde", ""}})
	if answer, why := v.Visible("/var/lib/disks"); answer != disk.No {
		t.Errorf("%s: %s", answer, why)
	}
	for _, dir := range []string{"", "disks", "."} {
		for _, v := range []*KubeletView{v, seen(t, slave, hostDisk)} {
			if s := v.Visibility(dir); s.Visible != disk.Unknown || s.Path != dir {
				t.Errorf("%q: %+v", dir, s)
			}
		}
	}
}

func TestSeeWithoutRoot(t *testing.T) {
	v := KubeletView{Kubelet: lines(t, slave), Host: lines(t, hostOwn)}
	if s := v.Visibility("/var/lib/disks"); s.Visible != disk.Unknown || s.MountPoint != disk.Unknown {
		t.Errorf("%+v", s)
	}
}
