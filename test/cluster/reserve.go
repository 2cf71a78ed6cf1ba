// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
)

// Reserve waits until no other process has reserved the machine's cluster, up
// or not, and returns what gives it free. The kernel does if this process dies.
// Up and Down do not ask for it.
func Reserve(ctx context.Context) (release func() error, err error) {
	cache, err := layout.CacheDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	// The directory itself is what is locked, so no file is left.
	dir, err := os.Open(cache)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return dir.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("reserve the test cluster: %w", err), dir.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another test to give the cluster free: %w", ctx.Err()), dir.Close())
		case <-tick.C:
		}
	}
}
