// SPDX-License-Identifier: Apache-2.0

package doctor

import "testing"

func TestMessageOfTheArticle(t *testing.T) {
	c, ok := ParseMount(`MountVolume.NewMounter initialization failed for volume "local-pv-485eb69c" : path "/var/lib/disks/hdd/vde" does not exist`)
	if !ok || c.Kind != CausePathMissing || c.Volume != "local-pv-485eb69c" || c.Path != "/var/lib/disks/hdd/vde" || c.Operation != "MountVolume.NewMounter" {
		t.Errorf("%+v, %v", c, ok)
	}
}
