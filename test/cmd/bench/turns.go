// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// contestant does its work once.
type contestant struct {
	name string
	run  func(context.Context) error
}

// race lets the plugin and what people use today run in turns, so that what else the
// machine does hits both alike, and prints by how much of the other's time the plugin
// gets along with: less than 1 is faster.
func race(ctx context.Context, name string, rounds int, ours, theirs contestant) error {
	took := make([][]time.Duration, 2)
	for range rounds + 1 {
		for i, c := range []contestant{ours, theirs} {
			start := time.Now()
			if err := c.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			took[i] = append(took[i], time.Since(start))
		}
	}
	// The first round warmed caches up.
	our, their := median(took[0][1:]), median(took[1][1:])
	fmt.Fprintf(os.Stderr, "%s: %s %s, %s %s\n", name, ours.name, our.Round(100*time.Microsecond), theirs.name,
		their.Round(100*time.Microsecond))
	fmt.Printf("bench %s %.2f\n", name, our.Seconds()/their.Seconds())
	return nil
}
