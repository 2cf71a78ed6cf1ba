// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

// raceRounds is how often each race is run.
const raceRounds = 20

// TestRace links the same disk twice at once. Whatever the order, there is one
// link to it, one run has made it, and the other says so.
func TestRace(t *testing.T) {
	begin(t, withSecondClass())
	for _, test := range []struct {
		name          string
		first, second []string // beside the disk
		loser         []string // the results that the other run may have
	}{
		{
			name:  "same name",
			first: []string{"--class", "block-storage"}, second: []string{"--class", "block-storage"},
			loser: []string{"unchanged"},
		},
		{
			name:  "different names",
			first: []string{"--class", "block-storage", "--as", "one"}, second: []string{"--class", "block-storage", "--as", "two"},
			loser: []string{"refused", "failed"},
		},
		{
			name:  "different classes",
			first: []string{"--class", "block-storage"}, second: []string{"--class", "block-second"},
			loser: []string{"refused", "failed"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := node(t, "worker-1")
			contended := 0
			for range raceRounds {
				d := addDisk(t, n, cluster.Disk{})
				args := func(more []string) []string {
					return append(linkArgs(d.Name, "--nodes", n.Name(), "--wait=false"), more...)
				}
				first := command{args: args(test.first)}.start(t)
				second := command{args: args(test.second)}.start(t)
				results := []string{outcome(t, first.wait(), n, d), outcome(t, second.wait(), n, d)}
				var to []string
				for _, l := range links(t, n) {
					if strings.HasSuffix(l, " -> "+byID(d)) {
						to = append(to, l)
					}
				}
				if len(to) != 1 {
					t.Fatalf("links to the disk: %q\n%s\n%s", to, first.wait(), second.wait())
				}
				slices.SortFunc(results, func(a, b string) int {
					if a == "created" {
						return -1
					}
					return strings.Compare(a, b)
				})
				if results[0] != "created" || !slices.Contains(test.loser, results[1]) {
					t.Fatalf("results %q\n%s\n%s", results, first.wait(), second.wait())
				}
				if results[1] == "failed" {
					contended++
				}
				// The next round's links have the same names.
				sh(t, n, `find /var/lib/disks -mindepth 2 -maxdepth 2 -delete`)
				if err := kube().CoreV1().PersistentVolumes().DeleteCollection(t.Context(), deleteNow, listAll); err != nil {
					t.Fatal(err)
				}
				forgetVolumes(t, n, "one", "two")
			}
			t.Logf("the second was beaten under the lock in %d of %d rounds", contended, raceRounds)
		})
	}
}

// outcome is the result of the only link, consistent with the exit code.
func outcome(t *testing.T, r result, n *cluster.Node, d cluster.Disk) string {
	t.Helper()
	l := r.plan(t).of(t, n.Name(), d.Name)
	if good := l.Result == "created" || l.Result == "unchanged"; good != (r.code == 0) {
		t.Errorf("result %q with exit code %d\n%s", l.Result, r.code, r)
	}
	return l.Result
}
