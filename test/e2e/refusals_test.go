// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestRefusals has a real case of every reason that this machine can make. Each
// asks for the disk and for a good one beside it: the good one is linked, the
// other is refused for that reason and nothing else, and nothing happens to it.
func TestRefusals(t *testing.T) {
	begin(t, manifests.Default())
	for _, test := range []struct {
		name   string
		reason string
		says   string
		// accepts are reasons that are true of the disk too, and accepted; also is one
		// that nothing accepts.
		accepts []string
		also    string
		// acceptable is set where --accept makes the link.
		acceptable bool
		prepare    func(t *testing.T, n *cluster.Node) (disk string)
	}{
		{
			name: "signature-xfs", reason: "signature", says: `has an xfs filesystem labelled "data"`, acceptable: true,
			prepare: withChunks(xfs("data")),
		},
		{
			name: "signature-ext4", reason: "signature", says: `has an ext4 filesystem labelled "old"`, acceptable: true,
			prepare: func(t *testing.T, n *cluster.Node) string {
				d := addDisk(t, n, cluster.Disk{})
				sh(t, n, `mkfs.ext4 -q -L old /dev/$1`, d.Name)
				return d.Name
			},
		},
		{name: "signature-lvm", reason: "signature", says: "has an LVM physical volume", acceptable: true, prepare: withChunks(lvm())},
		{name: "signature-luks", reason: "signature", says: "has a LUKS container", acceptable: true, prepare: withChunks(luks())},
		{
			name:       "signature-md",
			reason:     "signature",
			says:       `has a Linux RAID member labelled "host:0"`,
			acceptable: true,
			prepare:    withChunks(md("host:0")),
		},
		{name: "signature-bluestore", reason: "signature", says: "has a Ceph BlueStore OSD", acceptable: true, prepare: withChunks(bluestore())},
		{
			name: "signature-swap", reason: "signature", says: "has a swap area", acceptable: true,
			prepare: func(t *testing.T, n *cluster.Node) string {
				d := addDisk(t, n, cluster.Disk{})
				sh(t, n, `mkswap /dev/$1`, d.Name)
				return d.Name
			},
		},
		{name: "partition-table", reason: "partitions", says: "has a dos partition table", acceptable: true, prepare: withChunks(mbr())},
		{
			name: "partitions", reason: "partitions", says: "has 1 partition: ", acceptable: true,
			prepare: func(t *testing.T, n *cluster.Node) string {
				d := withChunks(mbr())(t, n)
				addPartition(t, n, d)
				return d
			},
		},
		{
			name: "data", reason: "data", says: "has data that no signature tells of, in its first MiB", acceptable: true,
			prepare: withChunks([]chunk{{at: 65536, data: []byte("plain data")}}),
		},
		{
			// As the provisioner's default cleaner leaves a disk.
			name: "data-quickly-reset", reason: "data", says: "has data that no signature tells of, in its first MiB", acceptable: true,
			prepare: func(t *testing.T, n *cluster.Node) string {
				d := addDisk(t, n, cluster.Disk{})
				sh(t, n, `mke2fs -q -F /dev/$1 && wipefs -q -a /dev/$1`, d.Name)
				return d.Name
			},
		},
		{
			name: "partition", reason: "partition", says: "is a partition of ",
			prepare: func(t *testing.T, n *cluster.Node) string {
				return addPartition(t, n, addDisk(t, n, cluster.Disk{}).Name)
			},
		},
		{
			name: "too-small", reason: "too-small", says: "is smaller than 1Gi (67108864 bytes)", acceptable: true,
			prepare: func(t *testing.T, n *cluster.Node) string { return addDisk(t, n, cluster.Disk{Size: 64 << 20}).Name },
		},
		{
			name: "in-use-mounted", reason: "in-use", says: "is in use", accepts: []string{"signature"},
			prepare: mountedElsewhere,
		},
		{
			name: "in-use-swap", reason: "in-use", says: "is in use", accepts: []string{"signature"},
			prepare: func(t *testing.T, n *cluster.Node) string {
				d := addDisk(t, n, cluster.Disk{})
				sh(t, n, `mkswap /dev/$1 && swapon /dev/$1`, d.Name)
				cleanupSh(t, n, `swapoff /dev/$1`, d.Name)
				return d.Name
			},
		},
		{
			// No mke2fs opens it, so whether it is in use is not found out.
			name: "read-only", reason: "read-only", says: "is read-only", also: "not-checked",
			prepare: func(t *testing.T, n *cluster.Node) string { return addDisk(t, n, cluster.Disk{ReadOnly: true}).Name },
		},
		{
			name: "not-checked", reason: "not-checked", says: "may hold data, which could not be found out: it cannot be read",
			prepare: func(t *testing.T, n *cluster.Node) string {
				d := addDisk(t, n, cluster.Disk{})
				// What is beyond the file's end is an I/O error.
				if err := os.Truncate(backingFile(t, n, d.Name), 4096); err != nil {
					t.Fatal(err)
				}
				return d.Name
			},
		},
		{
			name: "already-linked-other-name", reason: "already-linked", says: "is linked already, as /var/lib/disks/block/other",
			prepare: func(t *testing.T, n *cluster.Node) string {
				d := addDisk(t, n, cluster.Disk{})
				makeLink(t, n, "block-storage", "other", "/dev/disk/by-path/"+d.PathID)
				return d.Name
			},
		},
		{
			name: "already-linked-other-class", reason: "already-linked", says: "is linked already, as /var/lib/disks/hdd/",
			prepare: func(t *testing.T, n *cluster.Node) string {
				d := addDisk(t, n, cluster.Disk{})
				makeLink(t, n, "fs-storage", d.Name, byID(d))
				return d.Name
			},
		},
		{
			name: "name-taken", reason: "name-taken", says: "the link of that name leads to ",
			prepare: func(t *testing.T, n *cluster.Node) string {
				d, other := addDisk(t, n, cluster.Disk{}), addDisk(t, n, cluster.Disk{})
				makeLink(t, n, "block-storage", d.Name, byID(other))
				return d.Name
			},
		},
		{
			name: "name-taken-dangling", reason: "name-taken", says: "holds /dev/gone, which leads nowhere",
			prepare: func(t *testing.T, n *cluster.Node) string {
				d := addDisk(t, n, cluster.Disk{})
				makeLink(t, n, "block-storage", d.Name, "/dev/gone")
				return d.Name
			},
		},
		{
			name: "volume-exists", reason: "volume-exists", says: "exists for /var/lib/disks/block/",
			prepare: func(t *testing.T, n *cluster.Node) string {
				d := addDisk(t, n, cluster.Disk{})
				makeLink(t, n, "block-storage", d.Name, byID(d))
				volume(t, pvName(d.Name, n.Name(), "block-storage"))
				unlinkDisk(t, n, d.Name)
				return d.Name
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := node(t, "worker-2")
			bad := test.prepare(t, n)
			good := addDisk(t, n, cluster.Disk{}).Name
			args := []string{bad, good, "--nodes", n.Name(), "--wait=false"}
			for _, word := range test.accepts {
				args = append(args, "--accept", word)
			}
			before := withoutEntry(links(t, n), good)
			r := link(t, args...).wantError(t, "error: 1 of 2 links refused", n.Name()+"/"+bad+": ", test.says)
			p := r.plan(t)
			l := p.of(t, n.Name(), bad)
			others := slices.DeleteFunc(l.reasons(), func(r string) bool { return r == test.reason || r == test.also })
			if l.Result != "refused" || !slices.Contains(l.reasons(), test.reason) || len(others) > 0 {
				t.Errorf("result %q, reasons %q, want refused for %q\n%s", l.Result, l.reasons(), test.reason, r)
			}
			if got := p.of(t, n.Name(), good); got.Result != "created" {
				t.Errorf("the good disk is %q\n%s", got.Result, r)
			}
			if after := withoutEntry(links(t, n), good); !slices.Equal(before, after) {
				t.Errorf("links\n from %q\n   to %q", before, after)
			}
			if !test.acceptable {
				wantNeverAccepted(t, test.reason)
				return
			}
			acceptedThere(t, n, bad, test.reason)
		})
	}
	t.Run("loop", refusedLoop)
	t.Run("not-found", refusedNotFound)
	t.Run("system-disk", refusedSystemDisk)
	t.Run("system-disk-unknown", refusedSystemDiskUnknown)
	t.Run("class-directory", refusedClassDirectory)
	t.Run("class-directory-in-memory", refusedClassDirectoryInMemory)
	t.Run("no-stable-name", refusedNoStableName)
}

func withChunks(chunks []chunk) func(*testing.T, *cluster.Node) string {
	return func(t *testing.T, n *cluster.Node) string {
		d := addDisk(t, n, cluster.Disk{})
		writeChunks(t, n, d.Name, chunks)
		return d.Name
	}
}

func withoutEntry(links []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(links), func(l string) bool { return strings.Contains(l, "/"+name+" -> ") })
}

// wantNeverAccepted wants --accept to be refused for a reason.
func wantNeverAccepted(t *testing.T, reason string) {
	t.Helper()
	run(t, "link", "vdz", "--accept", reason).wantError(t, `reason "`+reason+`" cannot be accepted`)
}

// acceptedThere wants --accept REASON=NODE/DISK for another disk to change
// nothing, and for this disk to make the link. The same disk is there, of the same
// name and with the same content, on no other node.
func acceptedThere(t *testing.T, n *cluster.Node, disk, reason string) {
	t.Helper()
	for _, elsewhere := range []string{"worker-1/" + disk, n.Name() + "/other"} {
		r := link(t, disk, "--nodes", n.Name(), "--wait=false", "--accept", reason+"="+elsewhere).wantCode(t, 1)
		if l := r.plan(t).of(t, n.Name(), disk); !slices.Equal(l.reasons(), []string{reason}) {
			t.Errorf("accepted for %s, it is %q for %q here", elsewhere, l.Result, l.reasons())
		}
	}
	r := link(t, disk, "--nodes", n.Name(), "--wait=false", "--accept", reason+"="+n.Name()+"/"+disk).wantCode(t, 0)
	l := r.plan(t).of(t, n.Name(), disk)
	if l.Result != "created" || !slices.Contains(reasons(l.Accepted), reason) {
		t.Errorf("result %q, accepted %q\n%s", l.Result, reasons(l.Accepted), r)
	}
	unlinkDisk(t, n, disk)
	// The provisioner may have made a volume in the moment that the link was there.
	r = link(t, disk, "--nodes", n.Name(), "--dry-run=server", "--accept", reason)
	if got := r.plan(t).of(t, n.Name(), disk).reasons(); slices.Contains(got, reason) {
		t.Errorf("accepted everywhere, it is refused for %q here\n%s", got, r)
	}
}

// mountedElsewhere is a disk that is mounted in a mount namespace of its own.
func mountedElsewhere(t *testing.T, n *cluster.Node) string {
	d := addDisk(t, n, cluster.Disk{})
	sh(t, n, `mkfs.ext4 -q /dev/$1`, d.Name)
	cmd := n.Command(t.Context(), "unshare", "--mount", "sh", "-euc", `mount /dev/$1 /tmp && echo mounted && exec sleep 600`, "sh", d.Name)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Cancel(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "mounted\n" {
		t.Fatalf("mount: %q, %v", line, err)
	}
	return d.Name
}

// Every disk here is a loop device, so this one asks for only that.
func refusedLoop(t *testing.T) {
	n := node(t, "worker-2")
	bad, good := addDisk(t, n, cluster.Disk{}).Name, addDisk(t, n, cluster.Disk{}).Name
	r := run(t, "link", bad, good, "--nodes", n.Name(), "--yes", "-o", "json", "--wait=false", "--accept", "loop="+n.Name()+"/"+good)
	r.wantError(t, "error: 1 of 2 links refused", n.Name()+"/"+bad+": is a loop device over "+backingFile(t, n, bad),
		"--accept loop="+n.Name()+"/"+bad)
	if l := r.plan(t).of(t, n.Name(), bad); !slices.Equal(l.reasons(), []string{"loop"}) {
		t.Errorf("reasons %q", l.reasons())
	}
	if l := r.plan(t).of(t, n.Name(), good); l.Result != "created" {
		t.Errorf("result %q", l.Result)
	}
	if slices.ContainsFunc(links(t, n), func(l string) bool { return strings.Contains(l, "/"+bad+" ") }) {
		t.Error("it is linked")
	}
	run(t, "link", bad, "--nodes", n.Name(), "--yes", "--wait=false", "--accept", "loop").wantCode(t, 0)
}

// Missing on one node: refused there, linked on the others, every node told.
func refusedNotFound(t *testing.T) {
	name := diskName()
	addDisk(t, node(t, "worker-1"), cluster.Disk{Name: name})
	addDisk(t, node(t, "worker-3"), cluster.Disk{Name: name})
	r := link(t, name).wantError(t, "error: 1 of 3 links refused", "worker-2/"+name+": does not exist on this node")
	p := r.plan(t)
	want := []string{"worker-1/" + name + "=created", "worker-2/" + name + "=refused", "worker-3/" + name + "=created"}
	if got := p.results(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := p.of(t, "worker-2", name).reasons(); !slices.Equal(got, []string{"not-found"}) {
		t.Errorf("reasons %q", got)
	}
	for _, on := range []string{"worker-1", "worker-3"} {
		if pv := volume(t, pvName(name, on, "block-storage")); pv.Status.Phase != corev1.VolumeAvailable {
			t.Errorf("volume %s is %s", pv.Name, pv.Status.Phase)
		}
	}
	if got := links(t, node(t, "worker-2")); slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, name) }) {
		t.Errorf("links of worker-2: %q", got)
	}
	wantNeverAccepted(t, "not-found")
}

// The disk that /var of the node lies on, with the class directories.
func refusedSystemDisk(t *testing.T) {
	r := link(t, "vda", "--nodes", "worker-1", "--accept", "signature", "--accept", "too-small")
	r.wantError(t, "is a disk that the node itself lives on")
	if got := r.plan(t).of(t, "worker-1", "vda"); got.Result != "refused" || !slices.Contains(got.reasons(), "system-disk") ||
		!slices.Contains(got.reasons(), "in-use") {
		t.Errorf("result %q, reasons %q", got.Result, got.reasons())
	}
	wantNeverAccepted(t, "system-disk")
}

// overClassDirectory mounts over the class directory of a node, by a script that
// has it as $1, and lets the provisioner's pod see it. The end of the test undoes it.
func overClassDirectory(t *testing.T, n *cluster.Node, script string) {
	t.Helper()
	t.Cleanup(func() { replacePod(t, manifests.Default(), n) })
	cleanupSh(t, n, `umount $1`, classDirs["block-storage"])
	sh(t, n, script, classDirs["block-storage"])
	replacePod(t, manifests.Default(), n)
}

func refusedClassDirectory(t *testing.T) {
	refusedOnNode(t, `mount --bind $1 $1 && mount -o remount,bind,ro $1`, "class-directory",
		"cannot be linked: /mnt/block cannot be written to")
}

// Links in it would be gone at the next reboot.
func refusedClassDirectoryInMemory(t *testing.T) {
	refusedOnNode(t, `mount -t tmpfs tmpfs $1`, "class-directory", "cannot be linked: /var/lib/disks/block is on a tmpfs")
}

// What the class directory lies on cannot be found out, so that any disk could be the node's own.
func refusedSystemDiskUnknown(t *testing.T) {
	cleanupSh(t, node(t, "worker-3"), `rm -rf /var/overlay`)
	refusedOnNode(t, `mkdir -p /var/overlay/lower /var/overlay/upper /var/overlay/work &&
		mount -t overlay overlay -o lowerdir=/var/overlay/lower,upperdir=/var/overlay/upper,workdir=/var/overlay/work $1`,
		"system-disk-unknown", "may be the system disk, which is not known")
}

// refusedOnNode links a disk on a node with something mounted over its class
// directory, and on another.
func refusedOnNode(t *testing.T, script, reason, says string) {
	n := node(t, "worker-3")
	name := diskName()
	addDisk(t, n, cluster.Disk{Name: name})
	addDisk(t, node(t, "worker-1"), cluster.Disk{Name: name})
	overClassDirectory(t, n, script)
	r := link(t, name, "--nodes", "worker-1,worker-3").wantError(t, "error: 1 of 2 links refused", "worker-3/"+name+": "+says)
	if got := r.plan(t).of(t, "worker-3", name).reasons(); !slices.Equal(got, []string{reason}) {
		t.Errorf("reasons %q", got)
	}
	if got := r.plan(t).of(t, "worker-1", name); got.Result != "created" {
		t.Errorf("worker-1: %q", got.Result)
	}
	if got := links(t, n); len(got) > 0 {
		t.Errorf("links of worker-3: %q", got)
	}
	wantNeverAccepted(t, reason)
}

func refusedNoStableName(t *testing.T) {
	n := node(t, "worker-1")
	d := addDisk(t, n, cluster.Disk{PathID: cluster.NoPathID})
	r := link(t, d.Name, "--nodes", n.Name(), "--target", "by-path").wantError(t, "has no name in /dev/disk/by-path")
	if got := r.plan(t).of(t, n.Name(), d.Name).reasons(); !slices.Equal(got, []string{"no-stable-name"}) {
		t.Errorf("reasons %q", got)
	}
	link(t, d.Name, "--nodes", n.Name(), "--wait=false").wantCode(t, 0)
}
