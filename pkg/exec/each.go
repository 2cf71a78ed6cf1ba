// SPDX-License-Identifier: Apache-2.0

package exec

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// Each calls f for every item, at most limit at a time (fewer than 1: all at once), and returns the results in the order
// of the items. Each call has timeout to itself, beginning when it starts (0: no limit); the cause of its end then names
// the timeout. A result, good or bad, never stops the others; when ctx is done, the items left are still called, so that
// each has a result, with a context that is done.
func Each[T, R any](ctx context.Context, items []T, limit int, timeout time.Duration, f func(context.Context, T) R) []R {
	results := make([]R, len(items))
	var group errgroup.Group
	if limit > 0 {
		group.SetLimit(limit)
	}
	for i, item := range items {
		group.Go(func() error {
			ctx, cancel := failure.WithTimeout(ctx, timeout)
			defer cancel()
			results[i] = f(ctx, item)
			return nil
		})
	}
	_ = group.Wait() // No call returns an error.
	return results
}
