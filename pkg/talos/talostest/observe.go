// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"bytes"
	"context"
	"fmt"

	"github.com/siderolabs/talos/pkg/machinery/resources/config"
)

// Kubelet is what a test sees of the kubelet service.
type Kubelet struct {
	// State is Talos's: Running, Waiting, Failed …; Message is its last event.
	State, Message string
	// PID is as the node counts; 0: there is none.
	PID int
	// Starts counts those that succeeded since the node was made.
	Starts int
	// Healthy is false while Unknown.
	Healthy, Unknown bool
}

// Kubelet is the service as it is now.
func (n *Node) Kubelet() Kubelet {
	k := n.kubelet
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := Kubelet{State: k.state, PID: k.pid, Starts: k.starts, Healthy: k.health.GetHealthy(), Unknown: k.health.GetUnknown()}
	if len(k.events) > 0 {
		seen.Message = k.events[len(k.events)-1].GetMsg()
	}
	return seen
}

// Settle waits until the volumes are as far as they go, and the kubelet is what the configuration asks for and its first
// health check has ended; or until it is known not to start.
func (n *Node) Settle(ctx context.Context) error {
	// What fails is told by the volumes.
	if err := n.volumes.settle(ctx); ctx.Err() != nil {
		return fmt.Errorf("the volumes of %q are still under way: %w", n.options.Name, err)
	}
	k := n.kubelet
	for {
		k.mu.Lock()
		settled := k.held || k.begun && !k.again && k.want.key == k.have.key &&
			(k.state == "Failed" || k.state == "Waiting" && k.broken || k.state == "Running" && !k.health.GetUnknown())
		changed, state := k.changed, k.state
		k.mu.Unlock()
		if settled {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the kubelet of %q is still %s: %w", n.options.Name, state, context.Cause(ctx))
		}
	}
}

// Config is the configuration in force.
func (n *Node) Config() []byte {
	n.configs.mu.Lock()
	defer n.configs.mu.Unlock()
	return bytes.Clone(n.configs.active)
}

// DiskConfig is the configuration that the next boot takes.
func (n *Node) DiskConfig() []byte {
	n.configs.mu.Lock()
	defer n.configs.mu.Unlock()
	return bytes.Clone(n.configs.disk)
}

// SetConfig changes the configuration as somebody else would: at once, and kept.
func (n *Node) SetConfig(ctx context.Context, data []byte) error {
	c := n.configs
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
	if err := c.persist(ctx, data); err != nil {
		return err
	}
	return c.activate(ctx, data)
}

// Stage leaves a configuration for the next boot, as somebody else would.
func (n *Node) Stage(ctx context.Context, data []byte) error {
	c := n.configs
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
	return c.persist(ctx, data)
}

// Try puts a configuration in force that rolls back after Talos's own minute, as
// somebody else would.
func (n *Node) Try(ctx context.Context, data []byte) error {
	c := n.configs
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.try(ctx, data, tryTimeout)
}

// RollbackPending reports whether TRY will be undone.
func (n *Node) RollbackPending() bool {
	n.configs.mu.Lock()
	defer n.configs.mu.Unlock()
	return n.configs.rollback != nil
}

// FireRollback undoes TRY now, as if its time had passed; false: none is pending.
func (n *Node) FireRollback() bool {
	n.configs.mu.Lock()
	back := n.configs.rollback
	n.configs.mu.Unlock()
	if back == nil {
		return false
	}
	back.stop()
	n.configs.roll(back)
	return true
}

// Reboots counts those that applying a configuration caused.
func (n *Node) Reboots() int {
	n.configs.mu.Lock()
	defer n.configs.mu.Unlock()
	return n.configs.reboots
}

// Reboot boots the node again with what is on disk.
func (n *Node) Reboot(ctx context.Context) error {
	n.configs.mu.Lock()
	defer n.configs.mu.Unlock()
	return n.configs.reboot(ctx)
}

// ConfigVersion is the version of the active configuration's resource.
func (n *Node) ConfigVersion(ctx context.Context) (string, error) {
	r, err := n.state.Get(ctx, newMachineConfig(config.ActiveID, nil, n.options.Profile).Metadata())
	if err != nil {
		return "", err
	}
	return r.Metadata().Version().String(), nil
}
