// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestUnlinkWithoutRights has somebody unlink who may look at everything and run commands in the
// provisioner's pods, but may not delete volumes: the link stays, and so does the volume.
func TestUnlinkWithoutRights(t *testing.T) {
	begin(t, manifests.Default())
	n := node(t, "worker-2")
	d := addDisk(t, n, cluster.Disk{})
	link(t, d.Name, "--nodes", n.Name()).wantCode(t, 0)
	volume(t, pvName(d.Name, n.Name(), blockClass))
	before := state(t)
	for _, test := range []struct {
		name       string
		kubeconfig func(t *testing.T) string
		says       string
	}{
		{"role of disks", func(t *testing.T) string { return granted(t, "looker", "disks") }, "delete persistentvolumes"},
		{"no delete", func(t *testing.T) string {
			return grantedWithoutVerb(t, "keeper", "unlink", "persistentvolumes", "delete")
		}, "delete persistentvolumes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := command{args: []string{"unlink", d.Name, "--nodes", n.Name(), "--yes", "--wait=false"}, kubeconfig: test.kubeconfig(t)}
			cmd.run(t).wantError(t, test.says)
			if after := state(t); !slices.Equal(before, after) {
				t.Errorf("it changed\nfrom %q\n  to %q", before, after)
			}
		})
	}
}
