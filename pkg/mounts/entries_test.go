// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
)

// An entry for each disk, as guides have it (talos#9023): what speaks against an entry for their directory names all of them.
const entryPerDisk = `version: v1alpha1
machine:
  type: worker
  disks:
    - device: /dev/nvme1n1
      partitions: [{mountpoint: /var/mnt/stellar}]
    - device: /dev/nvme2n1
      partitions: [{mountpoint: /var/mnt/archive}]
  kubelet:
    extraMounts:
      - {destination: /var/mnt/stellar, type: bind, source: /var/mnt/stellar, options: [bind, rshared, rw]}
      - {destination: /var/mnt/archive, type: bind, source: /var/mnt/archive, options: [bind, rshared, rw]}
cluster: {}
`

func TestEntryPerDisk(t *testing.T) {
	config, err := ReadSettings([]byte(entryPerDisk))
	if err != nil {
		t.Fatal(err)
	}
	node := plain(t, "v1.9.5")
	node.Settings = config
	d := Decide(node, ask("/var/mnt")).Directories[0]
	if d.Action != change.Refuse || d.Reason != ReasonNested {
		t.Errorf("%s, %s: %s", d.Action, d.Reason, d.Message)
	}
	for _, part := range []string{"/var/mnt/stellar", "/var/mnt/archive", "machine.kubelet.extraMounts[0]", "machine.kubelet.extraMounts[1]"} {
		if !strings.Contains(d.Message, part) {
			t.Errorf("no %q in %s", part, d.Message)
		}
	}
	if !strings.Contains(d.Hint, "those entries") {
		t.Errorf("the hint is %s", d.Hint)
	}
}
