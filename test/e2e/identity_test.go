// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestIdentitySurvives has the provisioner make a volume again, as it does after each claim, without the
// annotations that say which disk it was made for: that is known anyway.
func TestIdentitySurvives(t *testing.T) {
	begin(t, manifests.Default())
	n, a, pv := linked(t, "--target", "name")
	first := volume(t, pv)
	blockPod(t)
	volumeInPhase(t, pv, corev1.VolumeBound)
	kubectl(t, nil, "delete", "pod/reader", "pvc/device", "--grace-period=1")
	eventually(t, volumeTimeout, func() string {
		if again := volume(t, pv); again.UID == first.UID || again.Status.Phase != corev1.VolumeAvailable {
			return fmt.Sprintf("volume %s is %s, with the UID of before: %t", pv, again.Status.Phase, again.UID == first.UID)
		}
		return ""
	})
	for key := range volume(t, pv).Annotations {
		if key == "talosdisk.dev/serial" || key == "talosdisk.dev/size" {
			t.Errorf("the volume that was made again has %s", key)
		}
	}
	doctor := func() diagnosis { return run(t, "doctor", "pv/"+pv, "-o", "json").diagnosis(t) }
	if d := doctor(); slices.Contains(d.errors(), "TD0502") {
		t.Errorf("errors %q before anything has changed", d.errors())
	}
	b := addDisk(t, n, cluster.Disk{})
	if err := n.SwapDisks(a.Name, b.Name, cluster.SwapOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := doctor(); !slices.Contains(d.errors(), "TD0502") {
		t.Errorf("errors %q: another disk is under the link, and nobody says so", d.errors())
	}
	if err := n.SwapDisks(a.Name, b.Name, cluster.SwapOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := doctor(); slices.Contains(d.errors(), "TD0502") {
		t.Errorf("errors %q with the disks back in their places", d.errors())
	}
}
