// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// TestWindowsDaemonSet has the chart's second DaemonSet beside the first, as chart 2.5.0 always
// has it. It has no pods here, and nobody has to choose between the two.
func TestWindowsDaemonSet(t *testing.T) {
	of := manifests.Default()
	of.EnableWindows = true
	begin(t, of)
	talos := startTalos(t, talosnode.Options{})
	n := node(t, "worker-2")
	d := addDisk(t, n, cluster.Disk{})
	if err := talos.node(n.Name()).SyncDisks(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"disks"},
		linkArgs(d.Name, "--nodes", n.Name()),
		{"mounts", "list"},
		{"mounts", "--yes"},
		{"status"},
		{"doctor"},
		{"unlink", d.Name, "--nodes", n.Name(), "--yes", "--wait=false"},
	} {
		r := talos.run(args...).wantCode(t, 0)
		if strings.Contains(r.stdout+r.stderr, "several provisioners") || strings.Contains(r.stdout+r.stderr, "-win") {
			t.Errorf("the DaemonSet for Windows is in the way\n%s", r)
		}
	}
}
