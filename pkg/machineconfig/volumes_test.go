// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestReadVolumeSelectors(t *testing.T) {
	const raw = `apiVersion: v1alpha1
kind: UserVolumeConfig
name: ssd-1
provisioning:
  diskSelector:
    match: disk.transport == "nvme" && !system_disk
  minSize: 1GiB
---
machine: {token: CANARY}
---
apiVersion: v1alpha1
kind: RawVolumeConfig
name: block-1
provisioning: {diskSelector: {match: 'disk.serial == "A"'}, minSize: 1GiB}
encryption: {provider: luks2, keys: [{slot: 0, static: {passphrase: CANARY}}]}
---
apiVersion: v1alpha1
kind: UserVolumeConfig
name: whole
volumeType: disk
provisioning: {diskSelector: {match: "disk.size > 1u * TiB"}}
---
apiVersion: v1alpha1
kind: UserVolumeConfig
name: links
volumeType: directory
---
apiVersion: v1alpha1
kind: ExistingVolumeConfig
name: old-1
discovery:
  volumeSelector:
    match: volume.partition_index == 1u && disk.serial == "B"
mount: {readOnly: true}
---
apiVersion: v1alpha1
kind: SwapVolumeConfig
name: swap-1
provisioning: {diskSelector: {match: "!disk.rotational"}, maxSize: 4GiB}
encryption: {provider: luks2, keys: [{slot: 0, static: {passphrase: CANARY}}]}
`
	want := []VolumeSelector{
		{Kind: "UserVolumeConfig", Name: "ssd-1", Type: "partition", Match: `disk.transport == "nvme" && !system_disk`},
		{Kind: "UserVolumeConfig", Name: "whole", Type: "disk", Match: "disk.size > 1u * TiB"},
		{Kind: "RawVolumeConfig", Name: "block-1", Type: "partition", Match: `disk.serial == "A"`},
		{Kind: "SwapVolumeConfig", Name: "swap-1", Type: "partition", Match: "!disk.rotational"},
		{Kind: "ExistingVolumeConfig", Name: "old-1", Type: "partition", Match: `volume.partition_index == 1u && disk.serial == "B"`},
	}
	got, err := ReadVolumeSelectors([]byte(raw))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	var ids, whole, existing []string
	for _, s := range got {
		ids = append(ids, s.ID())
		if s.Whole() {
			whole = append(whole, s.Name)
		}
		if s.Existing() {
			existing = append(existing, s.Name)
		}
	}
	if !slices.Equal(ids, []string{"u-ssd-1", "u-whole", "r-block-1", "s-swap-1", "e-old-1"}) || !slices.Equal(whole, []string{"whole"}) ||
		!slices.Equal(existing, []string{"old-1"}) {
		t.Errorf("IDs %q, whole disks %q, existing ones %q", ids, whole, existing)
	}
	for _, broken := range []string{
		"kind: [", strings.Replace(raw, "diskSelector:\n    match: disk", "diskSelector: CANARY\n# disk", 1),
		strings.Replace(raw, "volumeSelector:\n    match: volume", "volumeSelector: CANARY\n# volume", 1),
	} {
		if got, err := ReadVolumeSelectors([]byte(broken)); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%q, %v", got, err)
		}
	}
}
