// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
)

// maxAnswer in bytes: what a node with a thousand disks would say, many times over.
const maxAnswer = 16 << 20

// grace is how long a step that has begun may still take when the run is
// interrupted, so that what became of it is known.
const grace = 5 * time.Second

// session is the node script running in one pod: it says what it sees, then
// performs the steps that it is told, one at a time.
type session struct {
	stdin   *io.PipeWriter
	out     transcript
	timeout time.Duration
	cancel  context.CancelCauseFunc
	// exited is closed when the exec is over; err is then how it ended.
	exited chan struct{}
	err    error
}

// start runs the node script, which is the beginning of input. The session outlives ctx, whose end only ends the
// waiting: a step in flight is waited for.
func start(ctx context.Context, executor *exec.Executor, target exec.Target, argv []string, input string, timeout time.Duration) *session {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stdin, w := io.Pipe()
	s := &session{stdin: w, timeout: timeout, cancel: cancel, exited: make(chan struct{})}
	s.out.grown = make(chan struct{})
	go func() {
		s.err = executor.Exec(ctx, target, exec.Command{
			Argv:   argv,
			Stdin:  io.MultiReader(strings.NewReader(input), stdin),
			Stdout: exec.Limit(&s.out, maxAnswer),
			End:    nodescript.End,
		})
		// Whoever still writes must not wait for a reader that is gone.
		stdin.CloseWithError(errors.New("the session is over"))
		close(s.exited)
	}()
	return s
}

// observed waits until the node has said all that it sees, and returns that as
// the text of a whole answer.
func (s *session) observed(ctx context.Context) (string, error) {
	at, err := s.wait(ctx, func(out string) int { return past(out, nodescript.Observed) })
	if err != nil {
		err = s.abandon(err)
		return s.out.text(), err
	}
	return s.out.text()[:at-len(nodescript.Observed)] + nodescript.End, nil
}

// perform tells the node one step after the other, each when the one before has
// been answered, and ends the session. The answer has a record for each step that
// was answered.
func (s *session) perform(ctx context.Context, steps [][]string) link.Answer {
	begin := len(s.out.text())
	for i, step := range steps {
		if err := context.Cause(ctx); err != nil {
			// Nothing runs in the session now; it must not be left waiting.
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			_ = s.end(late)
			return link.Answer{Out: s.out.text()[begin:], Err: err, NotStarted: i == 0, Begun: i}
		}
		if err := s.step(ctx, step, begin, i+1); err != nil {
			err = s.abandon(err)
			return link.Answer{Out: s.out.text()[begin:], Err: err, Begun: i + 1}
		}
	}
	err := s.end(ctx)
	return link.Answer{Out: s.out.text()[begin:], Err: err, Begun: len(steps)}
}

// step sends one step and waits for the n-th record since begin. If ctx ends
// meanwhile, the step gets its grace.
func (s *session) step(ctx context.Context, words []string, begin, n int) error {
	ctx, cancel := exec.WithTimeout(ctx, s.timeout)
	defer cancel()
	if _, err := io.WriteString(s.stdin, strings.Join(words, "\n")+"\n"); err != nil {
		<-s.exited
		return s.ended()
	}
	answered := func(out string) int {
		if strings.Count(out[begin:], nodescript.RecordEnd) >= n {
			return len(out)
		}
		return -1
	}
	_, err := s.wait(ctx, answered)
	if err == nil || s.over() {
		return err
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	if _, again := s.wait(late, answered); again == nil {
		return nil
	}
	return err
}

// end tells the script that nothing follows, and waits until it has ended.
func (s *session) end(ctx context.Context) error {
	ctx, cancel := exec.WithTimeout(ctx, s.timeout)
	defer cancel()
	// A session that is over already says so below.
	_, _ = io.WriteString(s.stdin, "end\n")
	_ = s.stdin.Close()
	select {
	case <-s.exited:
		return s.err
	case <-ctx.Done():
		return s.abandon(context.Cause(ctx))
	}
}

// abandon cuts the session and waits until it is gone. The exec knows more of the cause: who did not answer.
func (s *session) abandon(cause error) error {
	s.cancel(cause)
	_ = s.stdin.CloseWithError(cause)
	<-s.exited
	late, here := errors.AsType[*failure.TimeoutError](s.err)
	if _, mine := errors.AsType[*failure.TimeoutError](cause); mine && here {
		return late
	}
	return cause
}

// over tells whether the exec has ended.
func (s *session) over() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// ended is how a session ended that should not have.
func (s *session) ended() error {
	if s.err == nil {
		return errors.New("the node's script ended early")
	}
	return s.err
}

// wait waits until the output satisfies found, which returns a position or -1.
func (s *session) wait(ctx context.Context, found func(string) int) (int, error) {
	for {
		out, grown := s.out.read()
		if at := found(out); at >= 0 {
			return at, nil
		}
		select {
		case <-grown:
		case <-s.exited:
			if at := found(s.out.text()); at >= 0 {
				return at, nil
			}
			return 0, s.ended()
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// past is the position behind the first occurrence of mark, or -1.
func past(out, mark string) int {
	if at := strings.Index(out, mark); at >= 0 {
		return at + len(mark)
	}
	return -1
}

// transcript is what a session has said so far. It can be waited on.
type transcript struct {
	mu    sync.Mutex
	said  strings.Builder
	grown chan struct{}
}

func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.said.Write(b)
	close(t.grown)
	t.grown = make(chan struct{})
	return n, err
}

// read returns the text, and a channel that is closed when there is more.
func (t *transcript) read() (string, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said.String(), t.grown
}

func (t *transcript) text() string {
	out, _ := t.read()
	return out
}
