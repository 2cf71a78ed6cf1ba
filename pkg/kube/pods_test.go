// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec/exectest"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
)

const observation = "record=start\x1fversion=1\x1f\x1e"

// node plays the node's side of sessions: it takes the script, says what it sees,
// and answers each step through on, which returns false to stop as if it were cut.
type node struct {
	mu       sync.Mutex
	sessions int
	steps    []string
	on       func(s *exectest.Session, step string) bool
}

func (n *node) serve(s *exectest.Session) error {
	n.mu.Lock()
	n.sessions++
	n.mu.Unlock()
	if _, err := io.CopyN(io.Discard, s.Stdin, int64(len(nodescript.Script()))); err != nil {
		return err
	}
	if _, err := io.WriteString(s.Stdout, observation+nodescript.Observed); err != nil {
		return err
	}
	lines := bufio.NewScanner(s.Stdin)
	for lines.Scan() {
		if lines.Text() == "end" {
			_, err := io.WriteString(s.Stdout, nodescript.End)
			return err
		}
		n.mu.Lock()
		n.steps = append(n.steps, lines.Text())
		n.mu.Unlock()
		if n.on != nil && !n.on(s, lines.Text()) {
			return nil
		}
		fmt.Fprintf(s.Stdout, "record=step\x1fentry=%s\x1fresult=created\x1f\x1e", lines.Text())
	}
	return nil
}

func podsOf(t *testing.T, n *node) *Pods {
	t.Helper()
	executor, err := exec.New(exectest.New(t, n.serve, nil).RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return &Pods{
		Executor: executor, Limit: 4, Timeout: 30 * time.Second,
		Targets: map[string]exec.Target{"w": {Namespace: "ns", Pod: "p", Container: "c", Node: "w"}},
	}
}

func results(t *testing.T, a nodescript.Answer) string {
	t.Helper()
	records, err := nodescript.Records(a.Out)
	if err != nil && a.Err == nil {
		t.Errorf("answer %q is whole: %v, but Err = %v", a.Out, err == nil, a.Err)
	}
	var all []string
	for _, r := range records {
		all = append(all, r.Get("entry")+" "+r.Get("result"))
	}
	return strings.Join(all, ", ")
}

func TestStepsGoIntoTheSessionThatLooked(t *testing.T) {
	n := &node{}
	p := podsOf(t, n)
	answers := p.Observe(t.Context(), []string{"w"}, nil, true, nil)
	if want := observation + nodescript.End; answers[0].Err != nil || answers[0].Out != want {
		t.Fatalf("Observe = %+v, want %q", answers[0], want)
	}
	a := p.Run(t.Context(), []nodescript.Job{{Node: "w", Steps: []nodescript.Step{{"a"}, {"b"}}}})[0]
	if got := results(t, a); got != "a created, b created" || n.sessions != 1 {
		t.Errorf("%q in %d sessions", got, n.sessions)
	}
	// Once used, a session is over; the next steps need another.
	a = p.Run(t.Context(), []nodescript.Job{{Node: "w", Steps: []nodescript.Step{{"c"}}}})[0]
	if got := results(t, a); got != "c created" || n.sessions != 2 {
		t.Errorf("%q in %d sessions", got, n.sessions)
	}
}

func TestASessionThatIsNotUsedIsEnded(t *testing.T) {
	ended := make(chan struct{})
	executor, err := exec.New(exectest.New(t, func(s *exectest.Session) error {
		defer close(ended)
		return (&node{}).serve(s)
	}, nil).RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	p := &Pods{Executor: executor, Targets: map[string]exec.Target{"w": {Namespace: "ns", Pod: "p"}}}
	if a := p.Observe(t.Context(), []string{"w"}, nil, true, nil)[0]; a.Err != nil {
		t.Fatal(a.Err)
	}
	p.Close()
	<-ended
}

func TestACutTellsWhatWasAnswered(t *testing.T) {
	n := &node{on: func(_ *exectest.Session, step string) bool { return step != "b" }}
	a := podsOf(t, n).Run(t.Context(), []nodescript.Job{{Node: "w", Steps: []nodescript.Step{{"a"}, {"b"}, {"c"}}}})[0]
	if got := results(t, a); got != "a created" {
		t.Errorf("answered = %q", got)
	}
	var cut *exec.CutError
	if !errors.As(a.Err, &cut) || a.NotStarted {
		t.Errorf("answer = %+v", a)
	}
	if got := strings.Join(n.steps, " "); got != "a b" {
		t.Errorf("steps told = %q: one was told before the one before it was answered", got)
	}
}

func TestAnInterruptWaitsForTheStepThatHasBegun(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	n := &node{on: func(_ *exectest.Session, step string) bool {
		if step == "b" {
			interrupt()
		}
		return true
	}}
	a := podsOf(t, n).Run(ctx, []nodescript.Job{{Node: "w", Steps: []nodescript.Step{{"a"}, {"b"}, {"c"}}}})[0]
	if got := strings.Join(n.steps, " "); got != "a b" {
		t.Errorf("steps told = %q", got)
	}
	if got := results(t, a); got != "a created, b created" || !errors.Is(a.Err, context.Canceled) || a.Begun != 2 {
		t.Errorf("%q, %+v", got, a)
	}
	// The script was told that nothing follows, rather than left waiting.
	if !strings.HasSuffix(a.Out, nodescript.End) {
		t.Errorf("the session ended with %q", a.Out)
	}
}

func TestALookWhoseEndIsLostIsMadeAgainOnce(t *testing.T) {
	for _, c := range []struct{ lost, sessions int }{{1, 2}, {2, 2}} {
		n := &node{}
		looks := 0
		executor, err := exec.New(exectest.New(t, func(s *exectest.Session) error {
			if looks++; looks <= c.lost {
				n.sessions++
				_, err := io.WriteString(s.Stdout, observation)
				return err
			}
			return n.serve(s)
		}, nil).RESTConfig())
		if err != nil {
			t.Fatal(err)
		}
		p := &Pods{Executor: executor, Timeout: 30 * time.Second, Targets: map[string]exec.Target{"w": {Namespace: "ns", Pod: "p"}}}
		a := p.Observe(t.Context(), []string{"w"}, nil, false, nil)[0]
		if whole := a.Err == nil; whole != (c.lost < 2) || n.sessions != c.sessions || !whole && !errors.Is(a.Err, exec.ErrNoEnd) {
			t.Errorf("with %d ends lost: %v after %d sessions", c.lost, a.Err, n.sessions)
		}
	}
}

func TestNothingIsToldAfterAnInterrupt(t *testing.T) {
	n := &node{}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	a := podsOf(t, n).Run(ctx, []nodescript.Job{{Node: "w", Steps: []nodescript.Step{{"a"}}}})[0]
	if !a.NotStarted || n.sessions != 0 {
		t.Errorf("answer = %+v after %d sessions", a, n.sessions)
	}
}

func TestANodeThatHangsHasItsOwnTimeout(t *testing.T) {
	executor, err := exec.New(exectest.New(t, func(s *exectest.Session) error {
		if s.Pod == "hangs" {
			<-s.Done
			return nil
		}
		return (&node{}).serve(s)
	}, nil).RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	p := &Pods{Executor: executor, Timeout: 200 * time.Millisecond, Targets: map[string]exec.Target{
		"w-1": {Namespace: "ns", Pod: "hangs"}, "w-2": {Namespace: "ns", Pod: "p"},
	}}
	answers := p.Observe(t.Context(), []string{"w-1", "w-2", "w-3"}, nil, false, nil)
	var timeout *failure.TimeoutError
	if !errors.As(answers[0].Err, &timeout) || timeout.From != "the pod, in which the command was begun" || answers[0].NotStarted {
		t.Errorf("the node that hangs: %+v", answers[0])
	}
	if answers[1].Err != nil {
		t.Errorf("its neighbour: %v", answers[1].Err)
	}
	if !answers[2].NotStarted {
		t.Errorf("a node without a pod: %+v", answers[2])
	}
}
