// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// permanent is an error that no waiting fixes.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// poll calls a function until it succeeds, fails for good or the context ends.
// At its end the error is what the function said last before.
func poll(ctx context.Context, try func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := try(ctx)
		if err == nil || errors.As(err, new(permanent)) {
			return err
		}
		// When the context ends, its end is all that the function says.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}
