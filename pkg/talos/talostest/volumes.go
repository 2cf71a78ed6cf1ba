// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/siderolabs/talos/pkg/machinery/resources/block"
)

// VolumeStep is one of those that a volume takes: Hooks.Volume is called before it.
type VolumeStep string

// The steps of a volume, in their order.
const (
	// VolumeLocate looks for one that is there.
	VolumeLocate VolumeStep = "locate"
	// VolumePartition makes the partition of one that is not.
	VolumePartition VolumeStep = "partition"
	// VolumeFormat makes its file system.
	VolumeFormat VolumeStep = "format"
	// VolumeMounting mounts it.
	VolumeMounting VolumeStep = "mount"
)

// ErrStall is what Hooks.Volume returns to leave a volume in the phase that it is in.
var ErrStall = errors.New("stalled")

// volumes are a node's: one goroutine, run, brings them to what the configuration asks for. Talos does so in
// block.VolumeManagerController and block.MountController.
type volumes struct {
	node    *Node
	storage Storage
	// shown are the resources of disks and of volumes.
	shown *publisher
	wake  chan struct{}

	// passing is held for one pass, and guards what follows.
	passing  sync.Mutex
	disks    []Disk
	statuses map[string]*volumeStatus

	mu sync.Mutex
	// config is what is wanted; data is what it was read from. Booted tells that the node has just booted.
	config []byte
	booted bool
	// asked counts what was asked for, done what of that was handled; changed is closed when done changes.
	asked, done int
	changed     chan struct{}
	failure     error
	// lacking tells that one of machine.disks is not mounted, for which a boot waits.
	lacking bool
}

// volumeStatus is one that the node tells of.
type volumeStatus struct {
	volume
	block.VolumeStatusSpec
	mounted bool
}

func newVolumes(n *Node, storage Storage) *volumes {
	return &volumes{
		node: n, storage: storage, shown: newPublisher(n.state), wake: make(chan struct{}, 1),
		statuses: map[string]*volumeStatus{}, changed: make(chan struct{}),
	}
}

// set says what configuration is in force. Booted begins with nothing mounted.
func (v *volumes) set(config []byte, booted bool) {
	v.mu.Lock()
	v.config, v.booted = config, v.booted || booted
	v.mu.Unlock()
	v.poke()
}

// poke asks for a pass.
func (v *volumes) poke() {
	v.mu.Lock()
	v.asked++
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// run makes passes until ctx ends.
func (v *volumes) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.wake:
		}
		// What fails here is told by the volumes.
		_ = v.pass(ctx)
	}
}

// settle waits until all that was asked for has been tried. The error is that of the last pass.
func (v *volumes) settle(ctx context.Context) error {
	v.mu.Lock()
	until := v.asked
	v.mu.Unlock()
	for {
		v.mu.Lock()
		reached, changed, err := v.done >= until, v.changed, v.failure
		v.mu.Unlock()
		if reached {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pass looks at the disks, and brings each volume as far as it goes.
func (v *volumes) pass(ctx context.Context) error {
	v.passing.Lock()
	defer v.passing.Unlock()
	v.mu.Lock()
	config, booted, asked := v.config, v.booted, v.asked
	v.booted = false
	v.mu.Unlock()
	var err error
	if v.storage != nil {
		err = v.look(ctx)
	}
	if err == nil && v.storage != nil && config != nil {
		err = v.bring(ctx, config, booted)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done, v.failure = asked, err
	close(v.changed)
	v.changed = make(chan struct{})
	return err
}

// look reads the disks, and tells of them.
func (v *volumes) look(ctx context.Context) error {
	disks, err := v.storage.Disks(ctx)
	if err != nil {
		return err
	}
	v.disks = disks
	return v.show(ctx)
}

// bring brings the volumes to what a configuration asks for; a pass is under way.
func (v *volumes) bring(ctx context.Context, config []byte, booted bool) error {
	want, err := v.node.volumesOf(ctx, config)
	if err != nil && !isNoUserDisk(err) {
		return err
	}
	again := err != nil
	if booted {
		v.forgetAll(ctx)
	}
	if booted && !v.node.volumesAreResources() {
		if err := v.prepareUserDisks(ctx, want); err != nil {
			return err
		}
	}
	again = v.tearDown(ctx, want) || again
	again = v.progressAll(ctx, want) || again
	if err := v.show(ctx); err != nil {
		return err
	}
	again = v.mountAll(ctx, want) || again
	v.lack(err != nil || slices.ContainsFunc(want, func(w volume) bool { return w.label == block.UserDiskLabel && !v.statuses[w.id].mounted }))
	if err := v.show(ctx); err != nil {
		return err
	}
	if again {
		v.node.clock.AfterFunc(retryEvery, v.poke)
	}
	return err
}

// lack tells whether machine.disks are lacking. The kubelet may wait for them.
func (v *volumes) lack(lacking bool) {
	v.mu.Lock()
	v.lacking = lacking
	v.mu.Unlock()
	if !lacking {
		v.node.kubelet.release()
	}
}

// ready waits for the pass that a boot asked for, and reports whether machine.disks are mounted (v1alpha1_sequencer_tasks.go,
// MountUserDisks).
func (v *volumes) ready(ctx context.Context) bool {
	// Another volume that fails does not hold up the boot.
	_ = v.settle(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.lacking
}

// hooked asks the test before a step.
func (v *volumes) hooked(ctx context.Context, id string, step VolumeStep) error {
	if hook := v.node.hook().Volume; hook != nil {
		return hook(ctx, id, step)
	}
	return nil
}
