// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestSharedLUN has one disk on two nodes, as storage over a network shows it. It may be
// linked on one of them only.
func TestSharedLUN(t *testing.T) {
	begin(t, manifests.Default())
	a, b := node(t, "worker-1"), node(t, "worker-2")
	both := a.Name() + "," + b.Name()
	const wwn = "by-id/wwn-0x5000c500a1b2c3"
	lun := func(t *testing.T, last string) cluster.Disk {
		d := addDisk(t, a, cluster.Disk{Links: []string{wwn + last}})
		shareDisk(t, a, d.Name, b)
		return d
	}
	linksOf := func(t *testing.T, d cluster.Disk) []string {
		return slices.DeleteFunc(allLinks(t), func(l string) bool { return !strings.Contains(l, "/"+d.Name+" ") })
	}

	t.Run("asked for on both", func(t *testing.T) {
		d := lun(t, "d1")
		r := link(t, d.Name, "--nodes", "worker-1,worker-2", "--wait=false").wantCode(t, 1)
		for n, want := range map[string]string{"worker-1": "created", "worker-2": "refused"} {
			if l := r.plan(t).of(t, n, d.Name); l.Result != want {
				t.Errorf("%s: %q, want %q\n%s", n, l.Result, want, r)
			}
		}
		if got := linksOf(t, d); len(got) != 1 {
			t.Errorf("links %q", got)
		}
	})
	t.Run("linked on one", func(t *testing.T) {
		d := lun(t, "d2")
		link(t, d.Name, "--nodes", a.Name()).wantCode(t, 0)
		r := link(t, d.Name, "--nodes", both, "--wait=false").wantError(t, "worker-2/"+d.Name+": ", "worker-1")
		if l := r.plan(t).of(t, b.Name(), d.Name); l.Result != "refused" {
			t.Errorf("%q\n%s", l.Result, r)
		}
		if got := linksOf(t, d); len(got) != 1 {
			t.Errorf("links %q", got)
		}
	})
	// Only the other node is chosen: the first one is looked at anyway.
	t.Run("linked on one by hand, which is not chosen", func(t *testing.T) {
		d := lun(t, "d5")
		makeLink(t, a, blockClass, "hand-"+d.Name, "/dev/disk/by-path/"+d.PathID)
		volume(t, pvName("hand-"+d.Name, a.Name(), blockClass))
		r := link(t, d.Name, "--nodes", b.Name(), "--wait=false").wantError(t, "worker-2/"+d.Name+": ", "of node worker-1", "is linked there")
		if got := linksOf(t, d); len(got) > 0 {
			t.Errorf("links %q\n%s", got, r)
		}
	})
	t.Run("mounted on one, which is not chosen", func(t *testing.T) {
		d := lun(t, "d6")
		cleanupSh(t, a, `umount /var/shared; rmdir /var/shared`)
		sh(t, a, `mkfs.ext4 -q /dev/$1 && mkdir /var/shared && mount /dev/$1 /var/shared`, d.Name)
		r := link(t, d.Name, "--nodes", b.Name(), "--wait=false", "--accept", "signature", "--accept", "data").wantError(t, "of node worker-1",
			"in use")
		if got := linksOf(t, d); len(got) > 0 {
			t.Errorf("links %q\n%s", got, r)
		}
	})
	// Made by hand, so that no volume says which disk it was made for; under another name.
	t.Run("linked on one by hand", func(t *testing.T) {
		d := lun(t, "d3")
		makeLink(t, a, blockClass, "hand-"+d.Name, "/dev/disk/by-path/"+d.PathID)
		volume(t, pvName("hand-"+d.Name, a.Name(), blockClass))
		r := link(t, d.Name, "--nodes", both, "--wait=false").wantError(t, "worker-2/"+d.Name+": ", "worker-1")
		if got := linksOf(t, d); len(got) > 0 {
			t.Errorf("links %q\n%s", got, r)
		}
	})
	// In use on the other node, and linked on none.
	t.Run("mounted on one", func(t *testing.T) {
		d := lun(t, "d4")
		cleanupSh(t, a, `umount /var/shared; rmdir /var/shared`)
		sh(t, a, `mkfs.ext4 -q /dev/$1 && mkdir /var/shared && mount /dev/$1 /var/shared`, d.Name)
		r := link(t, d.Name, "--nodes", both, "--wait=false", "--accept", "signature", "--accept", "data").wantError(t, "worker-1")
		if got := linksOf(t, d); len(got) > 0 {
			t.Errorf("links %q\n%s", got, r)
		}
	})
}
