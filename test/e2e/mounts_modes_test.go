// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/role"

	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// TestMountsModes has the other ways to apply a configuration than one trial after
// the other.
func TestMountsModes(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(*testing.T, *withTalos)
	}{
		{"staged", staged},
		{"no reboot, all at once", allAtOnce},
		{"operator", operator},
	} {
		t.Run(test.name, func(t *testing.T) {
			begin(t, manifests.Default())
			test.do(t, startTalos(t, talosnode.Options{}))
		})
	}
}

// What is staged waits for the node's next boot, and nothing that runs notices.
func staged(t *testing.T, c *withTalos) {
	n := c.node("worker-2")
	pids, before := kubelets(t), n.Config()
	r := c.run("mounts", "--yes", "--mode=staged", "--nodes", "worker-2", "-o", "json").wantCode(t, 0)
	if got := r.mounts(t).of(t, "worker-2"); got.Result != "staged" || got.Restarts {
		t.Errorf("result %q, restarts %t\n%s", got.Result, got.Restarts, r)
	}
	if after := kubelets(t); after["worker-2"] != pids["worker-2"] || !bytes.Equal(n.Config(), before) {
		t.Error("the configuration is in force already")
	}
	if !strings.Contains(string(n.DiskConfig()), "destination: "+disksDir) {
		t.Error("no entry is on the disk")
	}
	// Another change would remove it.
	c.untouched(func() result {
		return c.run("mounts", "--yes", "--nodes", "worker-2").wantError(t, "1 refused", "staged")
	})
}

func allAtOnce(t *testing.T, c *withTalos) {
	before := kubelets(t)
	r := c.run("mounts", "--yes", "--mode=no-reboot", "--max-unavailable=3", "-o", "json").wantCode(t, 0)
	wantMountsResults(t, r, "patched")
	wantSeen(t, true)
	for _, n := range c.Nodes() {
		if n.RollbackPending() || !bytes.Equal(n.Config(), n.DiskConfig()) || n.Kubelet().PID == before[n.Below.Name()] {
			t.Errorf("%s: the configuration is not in force for good", n.Below.Name())
		}
	}
}

// An operator may restart the kubelet, but not configure it.
func operator(t *testing.T, c *withTalos) {
	talosconfig := c.as(role.Operator)
	c.untouched(func() result {
		return c.runAs(talosconfig, "mounts", "--yes").wantError(t, "os:admin")
	})
	c.runAs(talosconfig, "disks").wantCode(t, 0)
}
