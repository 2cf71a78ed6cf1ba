// SPDX-License-Identifier: Apache-2.0

package cmd

import "context"

// decided is what decide returns, or why ctx ended before. Decisions know no context, and what a node answers can make them long:
// one that nobody waits for any more is left to itself, and ends with the program.
func decided[T any](ctx context.Context, decide func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	if ctx.Err() != nil { // What was seen until then is reported.
		return decide()
	}
	done := make(chan result, 1)
	go func() {
		value, err := decide()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
