// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// What layout prints of a cluster that is in order has no difference.
func TestLayoutAndDiff(t *testing.T) {
	begin(t, manifests.Default())
	talos := startTalos(t, talosnode.Options{})
	d := addDisk(t, node(t, "worker-1"), cluster.Disk{})
	link(t, d.Name, "--nodes", "worker-1").wantCode(t, 0)
	volume(t, pvName(d.Name, "worker-1", "block-storage"))
	for _, n := range talos.Nodes() {
		if err := n.SyncDisks(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	file := writeFile(t, talos.run("layout").wantCode(t, 0).stdout)
	r := talos.run("diff", "-f", file, "--show-config").wantCode(t, 2)
	if !strings.Contains(r.stdout, "in-place") || !strings.Contains(r.stderr, "destination: ") {
		t.Errorf("the kubelet's mount is not missing\n%s", r)
	}
	talos.run("mounts", "--yes").wantCode(t, 0)
	talos.run("diff", "-f", file).wantCode(t, 0)
	talos.run("values", "-f", file, "--diff").wantCode(t, 0)
	if r := talos.run("values", "-f", file).wantCode(t, 0); !strings.Contains(r.stdout, "- name: block-storage\n") {
		t.Errorf("the class is not among the values\n%s", r)
	}
}
