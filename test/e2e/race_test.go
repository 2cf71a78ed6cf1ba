// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"
)

// raceRounds is how often each race is run, on each of the three nodes at once.
const raceRounds = 7

// TestRace links the same disks twice at once. Whatever the order, there is one
// link to each, one run has made it, and the other says so.
func TestRace(t *testing.T) {
	begin(t, withSecondClass())
	for _, test := range []struct {
		name          string
		first, second []string // beside the disk
		lost          func(planned) bool
	}{
		{
			name:  "same name",
			first: []string{"--class", "block-storage"}, second: []string{"--class", "block-storage"},
			lost: func(l planned) bool { return l.Result == "unchanged" },
		},
		{
			name:  "different names",
			first: []string{"--class", "block-storage", "--name", "one"}, second: []string{"--class", "block-storage", "--name", "two"},
			lost: foundLinked,
		},
		{
			name:  "different classes",
			first: []string{"--class", "block-storage"}, second: []string{"--class", "block-second"},
			lost: foundLinked,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			locked := 0
			for range raceRounds {
				locked += race(t, test.first, test.second, test.lost)
			}
			t.Logf("of %d races, %d were decided under the lock", raceRounds*len(theCluster.Nodes()), locked)
		})
	}
}

// foundLinked tells that a run came second and knew why: from what it saw first,
// or under the lock.
func foundLinked(l planned) bool {
	return l.Result == "refused" && slices.Equal(l.reasons(), []string{"already-linked"}) ||
		l.Result == "failed" && strings.HasPrefix(l.Detail, "the disk was linked meanwhile, as /mnt/")
}

// race runs link twice at once and returns on how many nodes the second was
// beaten under the lock.
func race(t *testing.T, first, second []string, lost func(planned) bool) (locked int) {
	t.Helper()
	begin(t, withSecondClass())
	name, disks := everywhere(t)
	start := func(more []string) *process {
		return command{args: append(linkArgs(name, "--wait=false"), more...)}.start(t)
	}
	one, two := start(first), start(second)
	results := []result{one.wait(), two.wait()}
	for _, n := range theCluster.Nodes() {
		var to []string
		for _, l := range links(t, n) {
			if strings.HasSuffix(l, " -> "+byID(disks[n.Name()])) {
				to = append(to, l)
			}
		}
		if len(to) != 1 {
			t.Fatalf("%s: links to the disk: %q\n%s\n%s", n.Name(), to, results[0], results[1])
		}
		var outcomes []string
		created, beaten := 0, 0
		for _, r := range results {
			l := r.plan(t).of(t, n.Name(), name)
			outcomes = append(outcomes, l.Result)
			switch {
			case l.Result == "created" && "/var/lib/disks/"+strings.TrimSuffix(to[0], " -> "+byID(disks[n.Name()])) == l.HostPath:
				created++
			case lost(l):
				beaten++
			}
			if l.Result == "failed" {
				locked++
			}
		}
		if created != 1 || beaten != 1 {
			t.Fatalf("%s: results %q\n%s\n%s", n.Name(), outcomes, results[0], results[1])
		}
	}
	return locked
}
