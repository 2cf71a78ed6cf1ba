// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestMounts is what mounts is for: pods whose volumes the kubelet does not see, and
// the same pods when it does.
func TestMounts(t *testing.T) {
	begin(t, manifests.Default())
	n := node(t, "worker-2")
	files, path := mountDisk(t, n)
	device := addDisk(t, n, cluster.Disk{})
	link(t, device.Name, "--nodes", n.Name()).wantCode(t, 0)
	volume(t, pvName(files.Name, n.Name(), "fs-storage"))
	filesystem, block := usePods(t)
	wantEvent(t, filesystem, "FailedMount", fmt.Sprintf("MountVolume.NewMounter initialization failed for volume %q : path %q does not exist", pvName(files.Name, n.Name(), "fs-storage"), path))
	wantEvent(t, block, "FailedMapVolume", fmt.Sprintf("MapVolume.EvalHostSymlinks failed for volume %q : lstat /var/lib/disks: no such file or directory", pvName(device.Name, n.Name(), "block-storage")))
	t.Cleanup(func() {
		if err := n.StartKubelet(withoutEnd(t)); err != nil {
			t.Error(err)
		}
	})
	if err := n.StartKubelet(t.Context(), cluster.Mount{Source: "/var/lib/disks", Destination: "/var/lib/disks"}); err != nil {
		t.Fatal(err)
	}
	waitReady(t, "writer")
	waitReady(t, "reader")
}
