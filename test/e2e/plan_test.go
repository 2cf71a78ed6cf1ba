// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// makePlan writes a plan for a disk of every node and returns its file.
func makePlan(t *testing.T, args ...string) string {
	t.Helper()
	args = append([]string{"link", "--accept", "loop", "--dry-run=server", "-o", "yaml"}, args...)
	r := run(t, args...).wantCode(t, 0)
	file := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(file, []byte(r.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestPlan performs a plan from a file, or not, if what it was made for is not
// what is there any more.
func TestPlan(t *testing.T) {
	begin(t, manifests.Default())
	const changed = "worker-2"
	for _, test := range []struct {
		name   string
		change func(*testing.T, *cluster.Node, cluster.Disk)
		// reason that the disk of changed is refused for.
		reason, says string
	}{
		{name: "unchanged", change: func(*testing.T, *cluster.Node, cluster.Disk) {}},
		{
			name: "formatted", reason: "signature", says: "has an ext4 filesystem",
			change: func(t *testing.T, n *cluster.Node, d cluster.Disk) { sh(t, n, `mkfs.ext4 -q /dev/$1`, d.Name) },
		},
		{
			name: "replaced", reason: "device-changed", says: "has changed since the plan was made",
			change: func(t *testing.T, n *cluster.Node, d cluster.Disk) {
				if err := n.RemoveDisk(d.Name); err != nil {
					t.Fatal(err)
				}
				d.Serial, d.Size = "replaced-"+d.Name, 2*d.Size
				if err := n.AddDisk(d); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			name: "pulled", reason: "not-found", says: "does not exist on this node",
			change: func(t *testing.T, n *cluster.Node, d cluster.Disk) {
				if err := n.RemoveDisk(d.Name); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			name: "linked by someone else", reason: "already-linked", says: "as /var/lib/disks/block/else",
			change: func(t *testing.T, n *cluster.Node, d cluster.Disk) {
				makeLink(t, n, "block-storage", "else", byID(d))
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := diskName()
			var disks []cluster.Disk
			for _, n := range theCluster.Nodes() {
				disks = append(disks, addDisk(t, n, cluster.Disk{Name: name}))
			}
			file := makePlan(t, name)
			if got := allLinks(t); slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, name) }) {
				t.Fatalf("making the plan linked: %q", got)
			}
			test.change(t, node(t, changed), disks[1])
			r := run(t, "link", "-f", file, "--yes", "-o", "json", "--wait=false")
			p := r.plan(t)
			for i, n := range theCluster.Nodes() {
				if n.Name() == changed && test.reason != "" {
					continue
				}
				if l := p.of(t, n.Name(), name); l.Result != "created" || l.Target != byID(disks[i]) {
					t.Errorf("%s: result %q, target %q\n%s", n.Name(), l.Result, l.Target, r)
				}
				if !slices.Contains(links(t, n), "block/"+name+" -> "+byID(disks[i])) {
					t.Errorf("%s: links %q", n.Name(), links(t, n))
				}
			}
			if test.reason == "" {
				r.wantCode(t, 0)
				run(t, "link", "-f", file, "--yes", "--wait=false").wantCode(t, 0)
				return
			}
			r.wantError(t, "error: 1 of 3 links refused", changed+"/"+name+": ", test.says)
			if l := p.of(t, changed, name); l.Result != "refused" || !slices.Contains(l.reasons(), test.reason) {
				t.Errorf("%s: result %q, reasons %q, want %q", changed, l.Result, l.reasons(), test.reason)
			}
			if got := links(t, node(t, changed)); slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "block/"+name+" ") }) {
				t.Errorf("%s: links %q", changed, got)
			}
		})
	}
}
