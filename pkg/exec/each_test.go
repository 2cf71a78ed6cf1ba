// SPDX-License-Identifier: Apache-2.0

package exec

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

func newTLS(t *testing.T, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestEachKeepsOrderAndLimit(t *testing.T) {
	items := make([]int, 100)
	for i := range items {
		items[i] = i
	}
	var now, most atomic.Int64
	results := Each(t.Context(), items, 7, 0, func(_ context.Context, i int) int {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				return i * i
			}
		}
	})
	for i, r := range results {
		if r != i*i {
			t.Fatalf("result %d is %d", i, r)
		}
	}
	if most.Load() > 7 {
		t.Errorf("%d at once, limit 7", most.Load())
	}
}

// All items must run at once for any to end.
func TestEachRunsSideBySide(t *testing.T) {
	for _, limit := range []int{0, 5} {
		var all sync.WaitGroup
		all.Add(5)
		Each(t.Context(), make([]int, 5), limit, 0, func(context.Context, int) error {
			all.Done()
			all.Wait()
			return nil
		})
	}
}

func TestEachOneTimeoutLeavesTheOthers(t *testing.T) {
	slow := make(chan struct{})
	results := Each(t.Context(), []string{"ok", "hangs", "fails", "last"}, 4, 10*time.Millisecond,
		func(ctx context.Context, what string) error {
			switch what {
			case "hangs":
				<-ctx.Done()
				close(slow)
				return context.Cause(ctx)
			case "fails":
				return errors.New("failed")
			}
			return nil
		})
	<-slow
	if results[0] != nil || results[3] != nil || results[2] == nil {
		t.Errorf("results %v", results)
	}
	var timeout *failure.TimeoutError
	if !errors.As(results[1], &timeout) || !errors.Is(results[1], context.DeadlineExceeded) {
		t.Errorf("result %v, want a TimeoutError", results[1])
	}
}

func TestEachCancelledStillHasResults(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results := Each(ctx, []int{1, 2, 3}, 1, time.Hour, func(ctx context.Context, _ int) error { return ctx.Err() })
	if slices.ContainsFunc(results, func(err error) bool { return !errors.Is(err, context.Canceled) }) {
		t.Errorf("results %v", results)
	}
	if got := Each(ctx, nil, 1, 0, func(context.Context, int) int { return 1 }); len(got) != 0 {
		t.Errorf("results for no items: %v", got)
	}
}
