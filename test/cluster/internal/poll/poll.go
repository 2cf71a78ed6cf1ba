// SPDX-License-Identifier: Apache-2.0

// Package poll waits until something works.
package poll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Permanent is an error that no waiting fixes.
type Permanent struct{ Err error }

func (p Permanent) Error() string { return p.Err.Error() }

func (p Permanent) Unwrap() error { return p.Err }

// Until calls a function until it succeeds, fails for good or the context ends.
// At its end the error is what the function said last before.
func Until(ctx context.Context, try func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		err := try(ctx)
		if err == nil || errors.As(err, new(Permanent)) {
			return true, err
		}
		// When the context ends, its end is all that the function says.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		return false, nil
	})
	if ctx.Err() != nil && wait.Interrupted(err) {
		return fmt.Errorf("%w: %w", context.Cause(ctx), last)
	}
	return err
}
