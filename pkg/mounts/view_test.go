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
		{"no entry", "", hostDisk, "/var/lib/disks", disk.No, "no mount of the kubelet's leads there", disk.No, "private", 0, 0, 0, 0},
		{"no entry, the disk itself", "", hostDisk, "/var/lib/disks/hdd/vde", disk.No, "no mount", disk.No, "private", 0, 1, 1, 0},
		{"rslave", slave, hostDisk, "/var/lib/disks", disk.Yes, "it is mounted into the kubelet", disk.Yes, "slave", 1, 0, 0, 0},
		{"below rslave", slave, hostDisk, "/var/lib/disks/block", disk.Yes, "/var/lib/disks is mounted into the kubelet", disk.No, "slave", 0, 0, 0, 0},
		{"the disk below rslave", slave, hostDisk, "/var/lib/disks/hdd/vde/", disk.Yes, "mounted into", disk.Yes, "slave", 1, 1, 0, 0},
		// 00.14: bind masks the disk.
		{"bind", bound, hostDisk, "/var/lib/disks", disk.No, "does not see /dev/vde1 at /var/lib/disks/hdd/vde, but the directory beneath", disk.Yes, "shared", 1, 0, 1, 0},
		{"the disk under bind", bound, hostDisk, "/var/lib/disks/hdd/vde", disk.No, "the kubelet has /dev/vda6 (/lib/disks) at /var/lib/disks, where the node has /dev/vde1", disk.No, "shared", 0, 1, 1, 0},
		{"bind without a disk below", bound, "", "/var/lib/disks", disk.Yes, "it is mounted", disk.Yes, "shared", 1, 0, 0, 0},
		// The entry three times: it is seen, four times over.
		{"three entries", fourTimes, "", "/var/local-disks", disk.Yes, "it is mounted", disk.Yes, "shared", 4, 0, 0, 0},
		{"in what leaked", slave, leaked(3) + hostDiskOn(902), "/var/lib/disks", disk.Yes, "it is mounted", disk.Yes, "slave", 1, 3, 0, 0},
		// 00.2, 00.17: user volumes.
		{"/var/mnt", kubeletVolume, hostVolume, "/var/mnt", disk.Yes, "it is mounted", disk.Yes, "slave", 1, 0, 0, 0},
		{"a user volume", kubeletVolume, hostVolume, "/var/mnt/data-b", disk.Yes, "it is mounted", disk.Yes, "slave", 1, 1, 0, 0},
		{"a deleted user volume", "", "", "/var/mnt/data-b", disk.Yes, "/var/mnt is mounted", disk.No, "slave", 0, 0, 0, 0},
		{"a user volume that did not come through", "", hostVolume, "/var/mnt", disk.No, "does not see /dev/vdb2", disk.Yes, "slave", 1, 0, 1, 0},
		{"private, after a change", private, hostDisk, "/var/lib/disks", disk.No, "does not see /dev/vde1", disk.Yes, "private", 1, 0, 1, 1},
		{"private, with what is gone", private, "", "/var/lib/disks", disk.No, "still has /dev/vdf1 at /var/lib/disks/hdd/vdf", disk.Yes, "private", 1, 0, 0, 1},
		{"/dev", "", "", "/dev", disk.Yes, "it is mounted", disk.Yes, "shared", 2, 1, 0, 0},
		{"below /dev", "", "", "/dev/disk/by-id", disk.Yes, "/dev is mounted", disk.No, "shared", 0, 0, 0, 0},
		{"another directory there", "622 305 254:6 /lib/other /var/lib/disks rw - xfs /dev/vda6 rw\n", "", "/var/lib/disks", disk.No, "the kubelet has /dev/vda6 (/lib/other) at /var/lib/disks", disk.Yes, "private", 1, 0, 0, 0},
		// A mount over a parent hides what is mounted below it.
		{"covered on the host", slave, hostDisk + "900 51 0:99 / /var/lib/disks rw - tmpfs tmpfs rw\n", "/var/lib/disks", disk.No, "where the node has tmpfs", disk.Yes, "slave", 1, 1, 1, 0},
		{"another disk there", strings.Replace(slave, "254:65", "254:81", 1), hostDisk, "/var/lib/disks/hdd/vde", disk.No, "where the node has /dev/vde1", disk.Yes, "slave", 1, 1, 1, 0},
		{"a name that begins alike", "623 305 254:6 /lib/disk /var/lib/disk rw - xfs /dev/vda6 rw\n", "", "/var/lib/disks", disk.No, "no mount", disk.No, "private", 0, 0, 0, 0},
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
		{"not in the kubelet", map[string][2]string{dir: {"hdd", "-"}}, disk.No, "does not exist in the kubelet"},
		{"nowhere", map[string][2]string{dir: {"-", "-"}}, disk.No, "neither"},
		{"not in the kubelet, the node unread", map[string][2]string{dir: {"?", "-"}}, disk.No, "does not exist in the kubelet"},
		{"only in the kubelet", map[string][2]string{dir: {"-", "hdd"}}, disk.No, "container only"},
		{"kubelet unread", map[string][2]string{dir: {"hdd", "?"}}, disk.Unknown, "permission denied"},
		{"node unread", map[string][2]string{dir: {"?", "hdd"}}, disk.Unknown, "permission denied"},
		{"not asked for", nil, disk.Unknown, "not checked"},
		{"same", map[string][2]string{dir: {"vdf vde", "vde vdf"}}, disk.Yes, "mounts were not compared: os:admin is needed"},
		{"some missing", map[string][2]string{dir: {"e d c b a", ""}}, disk.No, `"a", "b", "c" and 2 more`},
		{"more in the kubelet", map[string][2]string{dir: {"a", "a b"}}, disk.Unknown, `"b"`},
		// talos.md 00.17: a listing does not prove a mount.
		{"both empty", map[string][2]string{dir: {"", ""}}, disk.Unknown, "empty"},
		// 00.14 as a reader sees it: the names are there, the disk is not.
		{"same, but not below", map[string][2]string{dir: {"hdd", "hdd"}, dir + "/hdd": {"vde", "vde"}, dir + "/hdd/vde": {"lost+found", ""}}, disk.No, "/var/lib/disks/hdd/vde: the kubelet does not list"},
		{"same, empty below", map[string][2]string{dir: {"hdd", "hdd"}, dir + "/hdd": {"", ""}}, disk.Yes, "same entries"},
		{"another directory differs", map[string][2]string{dir: {"hdd", "hdd"}, dir + "-2": {"vde", ""}}, disk.Yes, "same entries"},
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
	n := NodeState{Release: version(t, "v1.12.9"), View: seen(t, slave, host.String()), Settings: Settings{ExtraMounts: []ExtraMount{bind(disksDir, "bind")}}}
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
