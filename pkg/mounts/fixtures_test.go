// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Lines that Talos v1.14.0-rc.1 answered for the kubelet of a node, without those for
// other containers and with shorter options of file systems.
const (
	// kubeletOwn is what Talos mounts itself.
	kubeletOwn = `305 122 0:70 / / rw,relatime - overlay overlay rw,uuid=on
306 305 0:73 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
307 305 0:74 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755,inode64
309 307 0:76 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k,inode64
312 305 0:77 / /var/run rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755,inode64
314 305 0:35 /resolv.conf /etc/resolv.conf ro,relatime shared:17 - overlay none rw,lowerdir+=/,upperdir=/diff,workdir=/work,uuid=on
316 307 0:6 / /dev rw,nosuid,relatime shared:2 - devtmpfs none rw,size=2920348k,nr_inodes=730087,mode=755,inode64
329 312 0:29 / /var/run rw,nosuid,nodev,noexec,relatime master:13 - tmpfs none rw,mode=755,inode64
370 305 254:6 /lib/containerd /var/lib/containerd rw,relatime master:22 - xfs /dev/vda6 rw,inode64,prjquota
383 305 254:6 /lib/kubelet /var/lib/kubelet rw,relatime shared:22 - xfs /dev/vda6 rw,inode64,prjquota
391 305 254:6 /log/containers /var/log/containers rw,relatime shared:22 - xfs /dev/vda6 rw,inode64,prjquota
392 305 254:6 /log/pods /var/log/pods rw,relatime shared:22 - xfs /dev/vda6 rw,inode64,prjquota
393 305 254:6 /mnt /var/mnt ro,relatime master:22 - xfs /dev/vda6 rw,inode64,prjquota
`
	// fourTimes is one extraMount three times in the list, after three restarts.
	fourTimes = `399 305 254:6 /local-disks /var/local-disks rw,relatime shared:22 - xfs /dev/vda6 rw,inode64,prjquota
400 411 254:6 /local-disks /var/local-disks rw,relatime shared:22 - xfs /dev/vda6 rw,inode64,prjquota
406 400 254:6 /local-disks /var/local-disks rw,relatime shared:22 - xfs /dev/vda6 rw,inode64,prjquota
411 399 254:6 /local-disks /var/local-disks rw,relatime shared:22 - xfs /dev/vda6 rw,inode64,prjquota
`
	// bound is /var/lib/disks with bind,rshared,rw, while /dev/vde1 was mounted below it.
	bound = `552 305 254:6 /lib/disks /var/lib/disks rw,relatime shared:22 - xfs /dev/vda6 rw,inode64,prjquota
`
	// slave is /var/lib/disks with rbind,rslave,rw, with /dev/vde1 mounted below it.
	slave = `619 305 254:6 /lib/disks /var/lib/disks rw,relatime master:22 - xfs /dev/vda6 rw,inode64,prjquota
620 619 254:65 / /var/lib/disks/hdd/vde rw,relatime master:51 - xfs /dev/vde1 rw,inode64,noquota
`
	// hostOwn is the node itself: its root, /dev and /var, as their children and
	// "talosctl mounts" show them.
	hostOwn = `30 1 7:0 / / ro,relatime shared:1 - squashfs /dev/loop0 ro,errors=continue
31 30 0:6 / /dev rw,nosuid,relatime shared:2 - devtmpfs none rw,size=2920348k,nr_inodes=730087,mode=755,inode64
32 31 0:20 / /dev/shm rw,nosuid,nodev,noexec,relatime shared:4 - tmpfs none rw,inode64
51 30 254:6 / /var rw,relatime shared:22 - xfs /dev/vda6 rw,inode64,prjquota
`
	// hostDisk is /dev/vde1 as machine.disks mounts it.
	hostDisk = `384 51 254:65 / /var/lib/disks/hdd/vde rw,relatime shared:51 - xfs /dev/vde1 rw,inode64,noquota
`
	// hostVolume is a user volume, in its two views.
	hostVolume = `390 51 254:18 / /var/mnt/data-b rw,nosuid,nodev,relatime shared:53 - xfs /dev/vdb2 rw,inode64,noquota
`
	kubeletVolume = `412 393 254:18 / /var/mnt/data-b rw,nosuid,nodev,relatime master:53 - xfs /dev/vdb2 rw,inode64,noquota
`
)

func lines(t testing.TB, text string) []Mount {
	t.Helper()
	mounts, err := ParseMountinfo([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return mounts
}

// seen is a view with the mounts of both sides.
func seen(t testing.TB, kubelet, host string) *KubeletView {
	t.Helper()
	return &KubeletView{PID: 1996, Kubelet: lines(t, kubeletOwn+kubelet), Host: lines(t, hostOwn+host)}
}

// listing is a view of an os:reader. Entries are words; "-" is a directory that does not exist, "?" one that was not read.
func listing(dirs map[string][2]string) *KubeletView {
	v := &KubeletView{PID: 1996, Dirs: make(map[string]BothSides), MountsProblem: problem.FromText("os:admin is needed")}
	side := func(s string) DirectoryListing {
		switch s {
		case "-":
			return DirectoryListing{Exists: disk.No}
		case "?":
			return DirectoryListing{Exists: disk.Unknown, Problem: "permission denied"}
		}
		return DirectoryListing{Exists: disk.Yes, Entries: strings.Fields(s)}
	}
	for dir, sides := range dirs {
		v.Dirs[dir] = BothSides{Host: side(sides[0]), Kubelet: side(sides[1])}
	}
	return v
}

func version(t testing.TB, s string) talosrelease.Release {
	t.Helper()
	v, err := talosrelease.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// bind is an entry for a directory under its own path.
func bind(dir string, options ...string) ExtraMount {
	if len(options) == 0 {
		options = []string{"rbind", "rslave", "rw"}
	}
	return ExtraMount{Destination: dir, Type: "bind", Source: dir, Options: options}
}

// holds tells what is missing in a text.
func holds(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q: %s", what, w, text)
		}
	}
}

// leaked are so many mounts of /var/lib/disks upon each other on the node, with numbers from 900.
func leaked(times int) string {
	var text strings.Builder
	parent := 51
	for i := range times {
		fmt.Fprintf(&text, "%d %d 254:6 /lib/disks /var/lib/disks rw,relatime shared:22 - xfs /dev/vda6 rw,inode64,prjquota\n", 900+i, parent)
		parent = 900 + i
	}
	return text.String()
}

// hostDiskOn is hostDisk upon another mount than /var.
func hostDiskOn(parent int) string {
	return strings.Replace(hostDisk, " 51 ", fmt.Sprintf(" %d ", parent), 1)
}
