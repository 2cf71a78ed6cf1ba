// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// Executor runs commands in the provisioner's container of one node.
type Executor interface {
	// Exec returns when the command has ended, or ctx is done and its connection is gone. It writes no more then.
	Exec(ctx context.Context, c Command) error
}

// Command is one run of the script.
type Command struct {
	Argv   []string
	Stdin  io.Reader
	Stdout io.Writer
	// Limit is how much output is taken, in bytes; more is an error.
	Limit int64
	// End is what a whole output ends with. Without it a command did not end well, whatever its connection says.
	End string
}

// maxAnswer in bytes: what a node with a thousand disks would say, many times over.
const maxAnswer = 16 << 20

// grace is how long a step that has begun may still take when the run is
// interrupted, so that what became of it is known.
const grace = 5 * time.Second

// closeTimeout is how long a session that is not needed may take to end.
const closeTimeout = 2 * time.Second

// Session is the script running in one pod: it says what it sees, then performs the steps that it is given, one at a time.
type Session struct {
	stdin   *io.PipeWriter
	out     transcript
	timeout time.Duration
	cancel  context.CancelCauseFunc
	// exited is closed when the command is over; err is then how it ended.
	exited chan struct{}
	err    error
}

// Start runs the script. The session outlives ctx, whose end only ends the waiting: a step in flight is waited for. Each step,
// and the end, may take as long as timeout (0: no limit).
func Start(ctx context.Context, executor Executor, look Look, timeout time.Duration) *Session {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stdin, w := io.Pipe()
	s := &Session{stdin: w, timeout: timeout, cancel: cancel, exited: make(chan struct{})}
	s.out.grown = make(chan struct{})
	go func() {
		s.err = executor.Exec(ctx, Command{
			Argv:   look.Argv(),
			Stdin:  io.MultiReader(strings.NewReader(look.Input()), stdin),
			Stdout: &s.out,
			Limit:  maxAnswer,
			End:    End,
		})
		// Anyone who still writes must not wait for a reader that is gone.
		stdin.CloseWithError(errors.New("the session is over"))
		close(s.exited)
	}()
	return s
}

// Observe waits until the node has said all that it sees, and returns that as the text of a whole answer.
func (s *Session) Observe(ctx context.Context) (string, error) {
	at, err := s.wait(ctx, func(out string) int { return past(out, Observed) })
	if err != nil {
		err = s.abandon(err)
		return s.out.text(), err
	}
	return s.out.text()[:at-len(Observed)] + End, nil
}

// Perform gives the node one step after the other, each when the one before has been answered, and ends the session. The answer
// has a record for each step that was answered.
func (s *Session) Perform(ctx context.Context, steps []Step) Answer {
	begin := len(s.out.text())
	for i, step := range steps {
		if err := context.Cause(ctx); err != nil {
			// Nothing runs in the session now; it must not be left waiting.
			_ = s.Close(context.WithoutCancel(ctx))
			return Answer{Out: s.out.text()[begin:], Err: err, NotStarted: i == 0, Begun: i}
		}
		if err := s.step(ctx, step, begin, i+1); err != nil {
			err = s.abandon(err)
			return Answer{Out: s.out.text()[begin:], Err: err, Begun: i + 1}
		}
	}
	err := s.End(ctx)
	return Answer{Out: s.out.text()[begin:], Err: err, Begun: len(steps)}
}

// step sends one step and waits for the n-th record since begin. If ctx ends
// meanwhile, the step gets its grace.
func (s *Session) step(ctx context.Context, step Step, begin, n int) error {
	ctx, cancel := failure.WithTimeout(ctx, s.timeout)
	defer cancel()
	if _, err := io.WriteString(s.stdin, step.lines()); err != nil {
		<-s.exited
		return s.ended()
	}
	answered := func(out string) int {
		if strings.Count(out[begin:], recordEnd) >= n {
			return len(out)
		}
		return -1
	}
	_, err := s.wait(ctx, answered)
	if err == nil || s.Over() {
		return err
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	if _, again := s.wait(late, answered); again == nil {
		return nil
	}
	return err
}

// Close ends a session in which nothing runs, so that no script is left waiting on the node.
func (s *Session) Close(ctx context.Context) error {
	ctx, cancel := failure.WithTimeout(ctx, closeTimeout)
	defer cancel()
	return s.End(ctx)
}

// End tells the script that nothing follows, and waits until it has ended.
func (s *Session) End(ctx context.Context) error {
	ctx, cancel := failure.WithTimeout(ctx, s.timeout)
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
func (s *Session) abandon(cause error) error {
	s.cancel(cause)
	_ = s.stdin.CloseWithError(cause)
	<-s.exited
	late, here := errors.AsType[*failure.TimeoutError](s.err)
	if _, mine := errors.AsType[*failure.TimeoutError](cause); mine && here {
		return late
	}
	return cause
}

// Over reports whether the command has ended.
func (s *Session) Over() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// ended is how a session ended that should not have.
func (s *Session) ended() error {
	if s.err == nil {
		return errors.New("the node's script ended early")
	}
	return s.err
}

// wait waits until the output satisfies found, which returns a position or -1.
func (s *Session) wait(ctx context.Context, found func(string) int) (int, error) {
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
