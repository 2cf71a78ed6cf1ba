// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

const (
	kubeletID = "kubelet"
	// healthEvery is shorter than Talos's five seconds, for tests are short.
	healthEvery = 100 * time.Millisecond
	// retryEvery is between two starts of a kubelet that does not start.
	retryEvery = 5 * time.Second
	// maxEvents is how many a service keeps (Talos events.MaxEventsToKeep).
	maxEvents = 64
	// refused is what the health check says without a kubelet.
	refused = `Get "http://127.0.0.1:10248/healthz": dial tcp 127.0.0.1:10248: connect: connection refused`
)

// kubeletSpec is what a configuration asks of the kubelet. Two with the same key
// are the same.
type kubeletSpec struct {
	key   string
	extra []mounts.ExtraMount
}

// kubelet is the service of that name. One goroutine, run, starts and stops it;
// everybody else only says what is wanted.
type kubelet struct {
	node *Node
	wake chan struct{}

	mu sync.Mutex
	// want is what the configuration asks for, have what the kubelet was started with.
	want, have kubeletSpec
	begun      bool
	// boot is set when the node has just booted: machine.disks are mounted first. Held tells that it waits for them.
	boot, held bool
	// again is set to start it once more; waiting is who is told when it has stopped.
	again   bool
	waiting []chan error
	check   bool
	// broken tells that the last start failed.
	broken bool

	state string
	pid   int
	// attempt counts starts that were tried, starts those that succeeded.
	attempt, starts int
	events          []*machine.ServiceEvent
	health          machine.ServiceHealth
	// changed is closed at each change of what the service tells.
	changed chan struct{}
}

func newKubelet(n *Node) *kubelet {
	return &kubelet{
		node: n, wake: make(chan struct{}, 1), changed: make(chan struct{}),
		state: "Initialized", health: machine.ServiceHealth{Unknown: true},
	}
}

// set says what the configuration asks for. Again starts the kubelet also if that is
// what it has: the node has just booted.
func (k *kubelet) set(spec kubeletSpec, again bool) {
	k.mu.Lock()
	k.want = spec
	k.again, k.boot = k.again || again, k.boot || again
	k.notify()
	k.mu.Unlock()
	k.poke()
}

// restart starts it once more, and returns when the old one has stopped.
func (k *kubelet) restart(ctx context.Context) error {
	done := make(chan error, 1)
	k.mu.Lock()
	k.again = true
	k.waiting = append(k.waiting, done)
	k.notify()
	k.mu.Unlock()
	k.poke()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// poke wakes run.
func (k *kubelet) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run brings the kubelet to what is wanted, until ctx ends.
func (k *kubelet) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		}
		for k.due() && ctx.Err() == nil {
			k.cycle(ctx)
		}
		k.examine(ctx)
	}
}

// due reports whether the kubelet is not what is wanted.
func (k *kubelet) due() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.held && (!k.begun || k.again || k.want.key != k.have.key)
}

// hold leaves the start that a boot asked for to release.
func (k *kubelet) hold() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.again, k.boot, k.held, k.state, k.pid = true, true, true, "Initialized", 0
	k.notify()
}

// release starts a kubelet that was held.
func (k *kubelet) release() {
	k.mu.Lock()
	held := k.held
	k.held = false
	k.mu.Unlock()
	if held {
		k.poke()
	}
}

// cycle stops the kubelet and starts the one that is wanted.
func (k *kubelet) cycle(ctx context.Context) {
	k.mu.Lock()
	spec, waiting, pid, boot := k.want, k.waiting, k.pid, k.boot
	k.again, k.waiting, k.begun, k.boot = false, nil, true, false
	k.mu.Unlock()
	err := k.stop(ctx, pid)
	if boot && !k.node.volumes.ready(ctx) {
		k.hold()
		if k.node.volumes.ready(ctx) { // They came in between.
			k.release()
		}
		return
	}
	for _, done := range waiting {
		done <- err
	}
	k.mu.Lock()
	k.have = spec
	k.mu.Unlock()
	k.start(ctx, spec)
}

// stop ends a kubelet that runs.
func (k *kubelet) stop(ctx context.Context, pid int) error {
	if pid == 0 {
		return nil
	}
	k.tell("Stopping", fmt.Sprintf("Sending SIGTERM to task kubelet (PID %d, container kubelet)", k.seen(pid)), nil)
	err := k.node.machine.StopKubelet(ctx)
	k.tell("Finished", "Service finished successfully", func() {
		k.pid = 0
		k.health = machine.ServiceHealth{LastMessage: refused}
	})
	return err
}

// start starts one, as far as its mounts let it.
func (k *kubelet) start(ctx context.Context, spec kubeletSpec) {
	var attempt int
	k.tell("Starting", "Starting service", func() { k.attempt++; attempt, k.broken = k.attempt, false })
	k.tell("Waiting", `Waiting for service "cri" to be "up"`, nil)
	k.tell("Preparing", "Running pre state", nil)
	k.tell("Preparing", "Creating service runner", nil)
	for _, m := range spec.extra {
		if err := k.node.makeSource(m.Source); err != nil {
			k.tell("Failed", "Failed to create runner: "+err.Error(), nil)
			return
		}
	}
	pid, err := k.node.machine.StartKubelet(ctx, spec.extra)
	if err != nil {
		k.tell("Waiting", "Error running Containerd(kubelet), going to restart forever: "+err.Error(), func() { k.broken = true })
		k.node.clock.AfterFunc(retryEvery, func() { k.retry(attempt) })
		return
	}
	k.mu.Lock()
	k.starts++
	k.mu.Unlock()
	k.tell("Running", fmt.Sprintf("Started task kubelet (PID %d) for container kubelet", k.seen(pid)), func() {
		k.pid = pid
		k.health = machine.ServiceHealth{Unknown: true}
		k.check = true
	})
}

// seen is a PID as the service's events count it: with workload isolation that is
// inside the sandbox, where nobody else sees it.
func (k *kubelet) seen(pid int) int {
	if k.node.options.Profile.has(talosrelease.IsolatesWorkloads) && k.node.options.Native {
		return pid%1000 + 1
	}
	return pid
}

// retry starts a kubelet again that did not start.
func (k *kubelet) retry(attempt int) {
	k.mu.Lock()
	if k.attempt == attempt {
		k.again = true
		k.notify()
	}
	k.mu.Unlock()
	k.poke()
}

// examine asks after the kubelet's health when it is time to.
func (k *kubelet) examine(ctx context.Context) {
	k.mu.Lock()
	due := k.check && k.pid != 0
	k.check = false
	before := k.health.GetHealthy()
	unknown := k.health.GetUnknown()
	k.mu.Unlock()
	if !due {
		return
	}
	healthy := k.node.hook().Healthy
	if healthy == nil {
		healthy = k.node.machine.KubeletHealthy
	}
	err := healthy(ctx)
	if ctx.Err() != nil {
		return
	}
	switch {
	case err == nil && !before:
		k.tell("Running", "Health check successful", func() {
			k.health = machine.ServiceHealth{Healthy: true, LastChange: timestamppb.New(k.node.clock.Now())}
		})
	case err != nil && (before || unknown):
		k.tell("Running", "Health check failed: "+err.Error(), func() {
			k.health = machine.ServiceHealth{LastMessage: err.Error(), LastChange: timestamppb.New(k.node.clock.Now())}
		})
	}
	k.node.clock.AfterFunc(healthEvery, func() {
		k.mu.Lock()
		k.check = true
		k.mu.Unlock()
		k.poke()
	})
}

// tell records an event, and with it what else changed.
func (k *kubelet) tell(state, message string, change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state = state
	if change != nil {
		change()
	}
	k.events = append(k.events, &machine.ServiceEvent{State: state, Msg: message, Ts: timestamppb.New(k.node.clock.Now())})
	if len(k.events) > maxEvents {
		k.events = k.events[len(k.events)-maxEvents:]
	}
	k.notify()
}

// notify wakes those who wait for a change; the lock is held.
func (k *kubelet) notify() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// info is the service as ServiceList tells it.
func (k *kubelet) info() *machine.ServiceInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &machine.ServiceInfo{
		Id: kubeletID, State: k.state,
		Events: &machine.ServiceEvents{Events: slices.Clone(k.events)},
		Health: &machine.ServiceHealth{
			Unknown: k.health.GetUnknown(), Healthy: k.health.GetHealthy(),
			LastMessage: k.health.GetLastMessage(), LastChange: k.health.GetLastChange(),
		},
	}
}
