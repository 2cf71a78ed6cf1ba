// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"reflect"
	"strings"
	"testing"
)

func TestReadSelectors(t *testing.T) {
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
`
	want := []Selector{
		{"UserVolumeConfig", "ssd-1", "partition", `disk.transport == "nvme" && !system_disk`},
		{"UserVolumeConfig", "whole", "disk", "disk.size > 1u * TiB"},
		{"RawVolumeConfig", "block-1", "partition", `disk.serial == "A"`},
	}
	got, err := ReadSelectors([]byte(raw))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got[0].ID() != "u-ssd-1" || got[2].ID() != "r-block-1" || got[0].Whole() || !got[1].Whole() {
		t.Errorf("%+v", got)
	}
	for _, broken := range []string{"kind: [", strings.Replace(raw, "diskSelector:\n    match: disk", "diskSelector: CANARY\n# disk", 1)} {
		if got, err := ReadSelectors([]byte(broken)); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%q, %v", got, err)
		}
	}
}
