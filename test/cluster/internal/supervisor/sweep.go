// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/cgroup"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/loop"
)

// Sweep removes what a cluster leaves when its processes are dead: cgroups,
// loop devices, files. It does no harm where there is nothing, and is what
// fixes a crash of the supervisor. The caller holds the claim.
func Sweep(ctx context.Context, dir layout.Dir) error {
	all, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	if err := cgroup.Remove(ctx, all, layout.Name); err != nil {
		return err
	}
	if err := sweepLoops(ctx, dir); err != nil {
		return err
	}
	return os.RemoveAll(dir.String())
}

// sweepLoops detaches the cluster's loop devices and removes those that the
// machine did not have before. Mounts of dead namespaces hold devices for a
// moment longer.
func sweepLoops(ctx context.Context, dir layout.Dir) error {
	for {
		numbers, err := loop.Below(dir.String())
		if err != nil {
			return err
		}
		for _, number := range numbers {
			if err := loop.Detach(number); err != nil {
				return err
			}
		}
		if len(numbers) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("detach loop devices %v: %w", numbers, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	devices, err := loop.List()
	if err != nil {
		return err
	}
	var before []int
	if err := layout.ReadJSON(dir.Loops(), &before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range devices {
		added := d.Number >= layout.FirstLoop || before != nil
		if d.File == "" && added && !slices.Contains(before, d.Number) {
			if err := loop.Remove(d.Number); err != nil {
				return err
			}
		}
	}
	return nil
}

// FailedLogs is where the logs of a cluster are kept that did not come up, or
// ended by itself.
func FailedLogs(dir layout.Dir) string {
	return filepath.Join(filepath.Dir(dir.String()), "failed-logs")
}

// KeepLogs moves the logs of a cluster that failed out of the sweep's way.
func KeepLogs(dir layout.Dir) {
	target := FailedLogs(dir)
	if err := os.RemoveAll(target); err == nil {
		_ = os.Rename(dir.Logs(), target)
	}
}
