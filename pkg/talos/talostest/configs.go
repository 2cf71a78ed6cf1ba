// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// configs are a node's machine configurations.
type configs struct {
	node *Node
	// applying is held while one is applied.
	applying sync.Mutex

	mu sync.Mutex
	// active is the one in force, disk the one that the next boot takes.
	active, disk []byte
	// rollback puts back what TRY replaced; nil when none is pending.
	rollback *rollback
	// applied tells that disk was written since boot, and so is a resource.
	applied bool
	reboots int
}

// rollback is a pending end of TRY.
type rollback struct {
	to   []byte
	stop func() bool
}

func newConfigs(n *Node) *configs { return &configs{node: n} }

// boot starts with what is on disk.
func (c *configs) boot(ctx context.Context, disk []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load(ctx, disk)
}

// load is boot with the lock held.
func (c *configs) load(ctx context.Context, disk []byte) error {
	c.drop()
	c.disk, c.applied = bytes.Clone(disk), false
	if err := c.forget(ctx, config.PersistentID); err != nil {
		return err
	}
	if err := c.forget(ctx, config.ActiveID); err != nil {
		return err
	}
	c.active = nil
	return c.activate(ctx, disk)
}

// activate puts a configuration in force; the lock is held. The kubelet restarts
// only if what it is told changes.
func (c *configs) activate(ctx context.Context, data []byte) error {
	if bytes.Equal(c.active, data) {
		return nil
	}
	spec, resource, err := c.node.kubeletSpecOf(data)
	if err != nil {
		return err
	}
	again := c.active == nil
	c.active = bytes.Clone(data)
	if err := c.publish(ctx, config.ActiveID, c.active); err != nil {
		return err
	}
	if err := put(ctx, c.node.state, resource); err != nil {
		return err
	}
	c.node.volumes.set(c.active, again)
	c.node.kubelet.set(spec, again)
	return nil
}

// persist writes a configuration for the next boot; the lock is held.
func (c *configs) persist(ctx context.Context, data []byte) error {
	c.disk, c.applied = bytes.Clone(data), true
	if !c.node.options.Profile.has(talosrelease.StoredConfig) {
		return nil
	}
	return c.publish(ctx, config.PersistentID, c.disk)
}

// try puts a configuration in force until timeout has passed; the lock is held. One
// that was tried already is then what is gone back to, as in Talos
// (v1alpha1_runtime.go, RollbackToConfigAfter).
func (c *configs) try(ctx context.Context, data []byte, timeout time.Duration) error {
	previous := c.active
	c.drop()
	if err := c.activate(ctx, data); err != nil {
		return err
	}
	back := &rollback{to: previous}
	back.stop = c.node.clock.AfterFunc(timeout, func() { c.roll(back) })
	c.rollback = back
	return nil
}

// roll puts back what TRY replaced, unless that was cancelled.
func (c *configs) roll(back *rollback) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rollback != back {
		return
	}
	c.rollback = nil
	// What was in force once can be in force again.
	_ = c.activate(context.Background(), back.to)
}

// drop cancels a rollback; the lock is held.
func (c *configs) drop() {
	if c.rollback == nil {
		return
	}
	c.rollback.stop()
	c.rollback = nil
}

// publish makes a configuration a resource.
func (c *configs) publish(ctx context.Context, id resource.ID, data []byte) error {
	return put(ctx, c.node.state, newMachineConfig(id, data, c.node.options.Profile))
}

// forget removes a configuration's resource.
func (c *configs) forget(ctx context.Context, id resource.ID) error {
	md := resource.NewMetadata(config.NamespaceName, config.MachineConfigType, id, resource.VersionUndefined)
	err := c.node.state.Destroy(ctx, md)
	if state.IsNotFoundError(err) {
		return nil
	}
	return err
}

// put creates a resource, or makes it the next version of the one that is there.
func put(ctx context.Context, st state.State, r resource.Resource) error {
	old, err := st.Get(ctx, r.Metadata())
	if state.IsNotFoundError(err) {
		return st.Create(ctx, r)
	}
	if err != nil {
		return err
	}
	if same(old, r) {
		return nil
	}
	r.Metadata().SetVersion(old.Metadata().Version())
	return st.Update(ctx, r)
}
