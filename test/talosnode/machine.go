// SPDX-License-Identifier: Apache-2.0

package talosnode

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

// machine is a node of the test cluster below a Talos API: its files, its processes
// and its kubelet are real.
type machine struct {
	node  *cluster.Node
	talos talostest.Profile
	// spoil, if set, changes what runc is handed.
	spoil atomic.Pointer[func([]specs.Mount) []specs.Mount]
	// stopped is when the last kubelet was.
	stopped atomic.Pointer[time.Time]
	// left tells that the Talos API has ended, which leaves the kubelet alone.
	left atomic.Bool
}

func (m *machine) Locate(pid int, name string) (string, error) {
	return talostest.LocateUnder(m.node.Root(), pid, name)
}

func (m *machine) Processes(context.Context) ([]talostest.Process, error) {
	return talostest.ReadProcesses(filepath.Join(m.node.Root(), "proc"))
}

// StartKubelet hands the extra mounts to runc as they are configured. The kubelet
// that the API finds when it begins, if it runs as it is to, is taken over.
func (m *machine) StartKubelet(ctx context.Context, extra []mounts.ExtraMount) (int, error) {
	container := cluster.Container{Talos: string(m.talos)}
	for _, e := range extra {
		container.ExtraMounts = append(container.ExtraMounts,
			specs.Mount{Destination: e.Destination, Type: e.Type, Source: e.Source, Options: e.Options})
	}
	if spoil := m.spoil.Load(); spoil != nil {
		container.ExtraMounts = (*spoil)(container.ExtraMounts)
	}
	if pid, err := m.node.KubeletIn(ctx, container); pid != 0 || err != nil {
		return pid, err
	}
	if err := m.pass(ctx); err != nil {
		return 0, err
	}
	err := m.node.LaunchKubelet(ctx, container)
	if refused, ok := errors.AsType[cluster.RuntimeError](err); ok {
		// As Talos tells it, which asks containerd.
		return 0, fmt.Errorf("failed to create task: \"kubelet\": failed to create shim task: OCI runtime create failed: runc create failed: %w",
			refused)
	}
	if err != nil {
		return 0, err
	}
	return m.node.KubeletPID(ctx)
}

func (m *machine) StopKubelet(ctx context.Context) error {
	if m.left.Load() {
		return nil
	}
	err := m.node.StopKubelet(ctx)
	m.stopped.Store(new(time.Now()))
	return err
}

// pass waits until the second in which the last kubelet was stopped is over. Kubernetes keeps the time of a report to the second, and
// one that starts here at once would seem not to have reported; a restart on Talos takes seconds (v1.14: 6 to 8).
func (m *machine) pass(ctx context.Context) error {
	stopped := m.stopped.Load()
	if stopped == nil {
		return nil
	}
	over := time.NewTimer(time.Until(stopped.Truncate(time.Second).Add(time.Second)))
	defer over.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-over.C:
		return nil
	}
}

func (m *machine) KubeletHealthy(ctx context.Context) error { return m.node.KubeletHealthy(ctx) }
