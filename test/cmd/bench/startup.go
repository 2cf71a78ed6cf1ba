// SPDX-License-Identifier: Apache-2.0

package main

import "context"

// startupRounds are many: a start takes some ten milliseconds.
const startupRounds = 40

// startup compares what it takes to start at all: no server is asked. kubectl is a
// program of its own, built as the plugin is.
func (b *bench) startup(ctx context.Context) error {
	version := func(program string) contestant {
		return contestant{program, func(ctx context.Context) error {
			_, err := b.Output(ctx, program, "version", "--client")
			return err
		}}
	}
	return race(ctx, "startup-vs-kubectl", startupRounds, version("kubectl-talosdisk"), version("kubectl"))
}
