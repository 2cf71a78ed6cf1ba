// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Nothing is wrong with what these public reports describe: an extra mount for each disk, volumes that another provisioner made in
// plain directories, and a volume that is the disk of a virtual machine with Talos inside.
func TestHealthyPublicCases(t *testing.T) {
	for _, name := range []string{"entry-per-disk-pod", "openebs-healthy", "vm-guest-is-talos"} {
		r := Run(publicCase(t, name), Options{})
		_, text := outcome(r)
		if r.Problems(Error) > 0 {
			t.Errorf("%s: %s", name, text)
		}
		for _, f := range r.Findings { // TD03 is of the node's directories, TD04 of the kubelet's.
			if strings.HasPrefix(string(f.Code), "TD03") || strings.HasPrefix(string(f.Code), "TD04") {
				t.Errorf("%s: %s: %s", name, f.Code, f.Summary)
			}
		}
	}
}

// Volumes that another provisioner made are not asked about, and their chains are left out; of one that is asked for by name it is said.
func TestVolumesOfOthersAreNotJudged(t *testing.T) {
	s := publicCase(t, "openebs-healthy")
	i := slices.IndexFunc(s.Volumes, func(v snapshot.Volume) bool { return !strings.HasPrefix(v.ProvisionedBy, provisionedByPrefix) })
	other := s.Volumes[i]
	r := Run(s, Options{})
	for _, c := range r.Chains {
		if c.Volume == other.Name {
			t.Errorf("%+v", c)
		}
	}
	if len(r.Chains) != len(s.Volumes)-1 {
		t.Errorf("%d chains of %d volumes", len(r.Chains), len(s.Volumes))
	}
	for _, u := range r.Unknown() {
		if u.Code == "TD0708" && !strings.Contains(u.Why, "nginx-pvc") {
			t.Errorf("%+v", u)
		}
	}
	s.Targets = []snapshot.Ref{{Kind: "pv", Name: other.Name}}
	r = Run(s, Options{Only: []Code{"TD0708", "TD0610"}})
	if _, text := outcome(r); len(r.Unknown())+len(r.Findings) > 0 || !strings.Contains(text, "which has rules of its own") {
		t.Error(text)
	}
}
