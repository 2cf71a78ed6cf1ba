// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestDrift exchanges two disks under their names, as a reboot may, or a person
// with a screwdriver.
func TestDrift(t *testing.T) {
	begin(t, manifests.Default())
	n := node(t, "worker-1")

	// pair is two linked disks with a volume each.
	pair := func(t *testing.T, target string) (a, b cluster.Disk) {
		a, b = addDisk(t, n, cluster.Disk{}), addDisk(t, n, cluster.Disk{})
		link(t, a.Name, b.Name, "--nodes", n.Name(), "--target", target).wantCode(t, 0)
		return a, b
	}
	swap := func(t *testing.T, a, b cluster.Disk, o cluster.SwapOptions) {
		if err := n.SwapDisks(a.Name, b.Name, o); err != nil {
			t.Fatal(err)
		}
	}

	// The links hold a name or a slot, and lead to another disk now.
	for _, test := range []struct {
		target string
		swap   cluster.SwapOptions
	}{
		{target: "name"},
		{target: "by-path", swap: cluster.SwapOptions{ByPathStays: true}},
	} {
		t.Run(test.target, func(t *testing.T) {
			a, b := pair(t, test.target)
			swap(t, a, b, test.swap)
			before := state(t)
			r := link(t, a.Name, b.Name, "--nodes", n.Name()).wantError(t, "error: 2 of 2 links refused",
				"is another disk than the one that volume "+pvName(a.Name, n.Name(), "block-storage")+" was made for: now virtio-"+b.Serial+
					", then virtio-"+a.Serial)
			for _, d := range []cluster.Disk{a, b} {
				if l := r.plan(t).of(t, n.Name(), d.Name); l.Result != "refused" || !slices.Equal(l.reasons(), []string{"identity-changed"}) {
					t.Errorf("%s: result %q, reasons %q\n%s", d.Name, l.Result, l.reasons(), r)
				}
			}
			r = run(t, "disks", a.Name, b.Name, "--nodes", n.Name()).wantCode(t, 0)
			r.wantStderr(t, "warning: "+n.Name()+"/"+a.Name+": volume "+pvName(a.Name, n.Name(), "block-storage")+" was made for another disk")
			for _, row := range table(r.stdout)[1:] {
				if row[5] != "identity-changed" {
					t.Errorf("%s is linkable %q", row[1], row[5])
				}
			}
			if after := state(t); !slices.Equal(before, after) {
				t.Errorf("it changed\nfrom %q\n  to %q", before, after)
			}
			// Back in their places, nothing is wrong.
			swap(t, a, b, test.swap)
			link(t, a.Name, b.Name, "--nodes", n.Name()).wantCode(t, 0)
		})
	}

	// The links hold the disks' own names, and lead to the same disks as before.
	t.Run("by-id", func(t *testing.T) {
		a, b := pair(t, "auto")
		swap(t, a, b, cluster.SwapOptions{})
		r := run(t, "disks", a.Name, b.Name, "--nodes", n.Name()).wantCode(t, 0)
		if strings.Contains(r.stderr, "warning") || strings.Contains(r.stdout, "identity-changed") {
			t.Errorf("nothing has drifted\n%s", r)
		}
		// Asked for by its own name, the disk is where it was; by the kernel's
		// name it is another disk, and the link of that name is not its.
		for _, d := range []cluster.Disk{a, b} {
			r := link(t, byID(d), "--name", d.Name, "--nodes", n.Name()).wantCode(t, 0)
			if got := r.plan(t).Items[0].Result; got != "unchanged" {
				t.Errorf("%s: %q", byID(d), got)
			}
		}
		r = link(t, a.Name, "--nodes", n.Name()).wantCode(t, 1)
		if got := r.plan(t).of(t, n.Name(), a.Name).reasons(); !slices.Contains(got, "already-linked") || !slices.Contains(got, "name-taken") {
			t.Errorf("reasons %q", got)
		}
		swap(t, a, b, cluster.SwapOptions{})
	})
}
