// SPDX-License-Identifier: Apache-2.0

package standin

import "sync"

// cleaningState is how the cleaning of a volume goes.
type cleaningState int

const (
	cleaningNone cleaningState = iota
	cleaningRunning
	cleaningFailed
	cleaningSucceeded
)

// procTable has the cleanings in processes, by volume name: those that run, and the outcome
// of those that ended and were not asked for yet (pkg/deleter/proctable.go). It is lost with
// the pod.
type procTable struct {
	mu     sync.Mutex
	states map[string]cleaningState
	group  sync.WaitGroup
}

func (t *procTable) running(pvName string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.states[pvName] == cleaningRunning
}

// take returns the outcome of a cleaning that has ended and forgets it.
func (t *procTable) take(pvName string) cleaningState {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.states[pvName]
	if state != cleaningRunning {
		delete(t.states, pvName)
	}
	return state
}

// start runs a cleaning beside everything else. Nobody but take learns how it ended.
func (t *procTable) start(pvName string, clean func() error) {
	t.set(pvName, cleaningRunning)
	t.group.Go(func() {
		if clean() != nil {
			t.set(pvName, cleaningFailed)
			return
		}
		t.set(pvName, cleaningSucceeded)
	})
}

func (t *procTable) set(pvName string, state cleaningState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.states == nil {
		t.states = map[string]cleaningState{}
	}
	t.states[pvName] = state
}
