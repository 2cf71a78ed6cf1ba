// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestUnlinkAsks has unlink show what it is about to do, and do it only after a yes.
func TestUnlinkAsks(t *testing.T) {
	begin(t, manifests.Default())
	n := node(t, "worker-1")
	d := addDisk(t, n, cluster.Disk{})
	link(t, d.Name, "--nodes", n.Name()).wantCode(t, 0)
	pv := pvName(d.Name, n.Name(), blockClass)
	volume(t, pv)
	args := []string{"unlink", d.Name, "--wait=false"}
	plan := []string{n.Name() + "/" + d.Name + " will be taken out of class " + blockClass, "with PersistentVolume " + pv}

	before := state(t)
	wantNoOutput(t, run(t, args...).wantError(t, append(plan, "there is no terminal to ask on", "--yes")...))
	p := command{args: args}.startInTerminal(t)
	p.expect("Continue? (y/N) ")
	p.send("n\n")
	wantNoOutput(t, p.wait().wantError(t, append(plan, "nothing was done: the answer was no")...))
	if after := state(t); !slices.Equal(before, after) {
		t.Errorf("it changed\nfrom %q\n  to %q", before, after)
	}
	run(t, append(args, "--yes")...).wantCode(t, 0)
	if got := links(t, n); len(got) > 0 {
		t.Errorf("links: %q", got)
	}
}
