// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

// TestDemo tells the whole story: each command has to end as the demo says.
func TestDemo(t *testing.T) {
	if err := cluster.Supported(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no test cluster: ", err)
		}
		t.Skip("no test cluster: ", err)
	}
	if err := run(t.Context()); err != nil {
		t.Error(err)
	}
}
