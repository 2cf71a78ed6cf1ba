// SPDX-License-Identifier: Apache-2.0

// Package clustertest gives a test its cluster.
package clustertest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

// Start returns a cluster that is as new, for one test and its subtests, which
// may call Reset between them.
//
// A cluster that testcluster up started is used and left up; its number of
// nodes is then whatever it is, and images are added. Otherwise one is started,
// and ends with the test. Tests of other packages that run at the same time
// have to wait for each other.
//
// Where no cluster can run the test is skipped, but fails if CI is true.
func Start(t testing.TB, o cluster.Options) *cluster.Cluster {
	t.Helper()
	if err := cluster.Supported(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no test cluster, and CI is true: %v", err)
		}
		t.Skipf("no test cluster: %v", err)
	}
	wait, cancel := context.WithDeadline(t.Context(), deadline(t))
	defer cancel()
	release, err := cluster.Reserve(wait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	c, err := cluster.Open()
	if errors.Is(err, cluster.ErrNotUp) {
		return up(t, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, image := range o.Images {
		if err := c.LoadImage(t.Context(), image); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func up(t testing.TB, o cluster.Options) *cluster.Cluster {
	t.Helper()
	if o.Progress == nil {
		o.Progress = t.Output()
	}
	c, err := cluster.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's context has ended by now.
		if err := c.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// deadline is the test's own, where it has one.
func deadline(t testing.TB) time.Time {
	if d, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if end, ok := d.Deadline(); ok {
			return end
		}
	}
	return time.Now().Add(10 * time.Minute)
}
