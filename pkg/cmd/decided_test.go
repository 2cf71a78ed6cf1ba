// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"errors"
	"testing"
)

// A decision that takes too long does not hold up a command that is to end.
func TestADecisionEndsWithTheRun(t *testing.T) {
	over, never := errors.New("over"), make(chan struct{})
	t.Cleanup(func() { close(never) })
	ctx, cancel := context.WithCancelCause(t.Context())
	begun := make(chan struct{})
	go func() {
		<-begun
		cancel(over)
	}()
	if _, err := decided(ctx, func() (int, error) { close(begun); <-never; return 1, nil }); !errors.Is(err, over) {
		t.Errorf("it ended with %v", err)
	}
	for _, ctx := range []context.Context{t.Context(), ctx} { // What was seen before the end is decided on.
		if n, err := decided(ctx, func() (int, error) { return 2, over }); n != 2 || !errors.Is(err, over) {
			t.Errorf("%d, %v", n, err)
		}
	}
}
