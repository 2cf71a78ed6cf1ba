// SPDX-License-Identifier: Apache-2.0

package failure

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestLate(t *testing.T) {
	other := errors.New("the run is over")
	for name, c := range map[string]struct {
		cause error
		want  string
	}{
		"a time-out": {
			cause: &TimeoutError{After: 30 * time.Second},
			want:  "no answer within 30s from the node; --node-timeout gives it longer",
		},
		"one of which more was known": {
			cause: &TimeoutError{After: time.Second, From: "the pod"},
			want:  "no answer within 1s from the pod; --node-timeout gives it longer",
		},
		"another cause": {cause: other, want: "the run is over"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(c.cause)
		err := Late(ctx, "the node")
		if err.Error() != c.want || errors.Is(err, context.DeadlineExceeded) != (c.cause != other) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Late(t.Context(), "the node"); err != nil {
		t.Error(err)
	}
}
