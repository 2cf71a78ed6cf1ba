// SPDX-License-Identifier: Apache-2.0

package failure

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// TimeoutError is the cause of a context that ended because one node took too long. It is a context.DeadlineExceeded to
// errors.Is.
type TimeoutError struct {
	After time.Duration
	// From is who did not answer, as far as the one that waited knows: "the Kubernetes API server".
	From string
}

// Error names the flag too: many callers get the text alone.
func (e *TimeoutError) Error() string {
	text := fmt.Sprintf("no answer within %s", e.After)
	if e.From != "" {
		text += " from " + e.From
	}
	return text + "; --node-timeout gives it longer"
}

// Unwrap returns context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// WithTimeout bounds ctx, with a TimeoutError as the cause of its end; 0 is no limit.
func WithTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, &TimeoutError{After: timeout})
}

// Late is why ctx is over. Where that is a TimeoutError that nobody has said more of, it says from whom no answer came.
func Late(ctx context.Context, from string) error {
	cause := context.Cause(ctx)
	if late, ok := errors.AsType[*TimeoutError](cause); ok && late.From == "" {
		return &TimeoutError{After: late.After, From: from}
	}
	return cause
}
