// SPDX-License-Identifier: Apache-2.0

// Package exec runs a command in a pod's container, and in many pods side by side.
//
// It knows how a command ended: with an exit status, cut before it ended, or certainly never started.
// It does not know what any command means, and it never decides to run one again; scripts, parsers
// and retries belong to the rooms that own the scripts.
package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	clientexec "k8s.io/client-go/util/exec"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// Target is the container that a command runs in.
type Target struct {
	Namespace, Pod, Container string
	// Node is where the pod runs. It only appears in messages.
	Node string
}

func (t Target) String() string {
	s := fmt.Sprintf("pod %q", t.Namespace+"/"+t.Pod)
	if t.Node != "" {
		s += fmt.Sprintf(" on node %q", t.Node)
	}
	return s
}

// Command is one program with its arguments. No shell looks at Argv unless Argv[0] is one.
type Command struct {
	Argv []string
	// Stdin may stay open while Stdout is read; its end is the remote program's end of file. When Exec returns before
	// Stdin has ended, one Read of it may still be pending: close it if it is a pipe.
	Stdin io.Reader
	// Stdout and Stderr may be nil. A write error ends the command with a CutError. Neither is written to after Exec has
	// returned, so Exec waits for a write that blocks: unblock it when ctx is done.
	Stdout, Stderr io.Writer
	// End, if set, is what a complete standard output ends with, such as "end\n". Without it a success can be a lie: when the
	// connection between API server and kubelet breaks, the API server (1.37, as all before it) reports success for the
	// command whose end it did not see.
	End string
}

// Executor runs commands in pods of one cluster. It is safe for concurrent use.
type Executor struct {
	config *rest.Config
	client rest.Interface
}

// New returns an Executor for the cluster and user of config. It makes no request.
//
// Exec does not pass through the rate limiter of config, as it opens connections of its own. All
// other clients made from config do: with the default of 5 requests a second a run over a thousand
// nodes crawls. Set config.QPS to -1 for those and let Each bound the concurrency.
func New(config *rest.Config) (*Executor, error) {
	config = rest.CopyConfig(config)
	// Certificates are read once here rather than from disk for each of a thousand connections.
	if err := rest.LoadTLSFiles(config); err != nil {
		return nil, err
	}
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	return &Executor{config: config, client: client}, nil
}

// Exec runs c in t and returns when it has ended or ctx is done. The error is nil (exit status 0, and c.End was seen), an
// *ExitError (it ended with another status), a *StartError (it certainly never ran) or a *CutError (it may have run, to any point).
//
// It asks for a WebSocket first and for SPDY if that is refused, as kubectl does. So a proxy that swallows the answer of
// the first request can make a command run twice: whatever changes something must bear that.
func (e *Executor) Exec(ctx context.Context, t Target, c Command) error {
	if len(c.Argv) == 0 {
		return &StartError{Target: t, Cause: errors.New("no command given")}
	}
	ctx, cancel := context.WithCancelCause(quiet(ctx))
	defer cancel(nil)
	stdout := newWriter(c.Stdout, len(c.End), cancel)
	stderr := newWriter(c.Stderr, stderrTail, cancel)
	options := remotecommand.StreamOptions{Stdin: c.Stdin, Stdout: stdout, Stderr: stderr}

	trace, executor, err := e.executor(t, c)
	if err != nil {
		return &StartError{Target: t, Cause: err}
	}
	// In a goroutine, because the SPDY upgrade does not look at the context while it waits for an answer.
	result := make(chan error, 1)
	go func() { result <- executor.StreamWithContext(ctx, options) }()
	select {
	case err = <-result:
	case <-ctx.Done():
		err = ctx.Err()
	}
	end, complaint := stdout.close(), stderr.close()
	if deadline, ok := ctx.Deadline(); ok && err != nil && !time.Now().Before(deadline) {
		<-ctx.Done() // A connection with the same deadline can be the first to notice it.
	}
	if err != nil && ctx.Err() != nil {
		// The cause says more: a deadline, or what Stdout's writer had against going on.
		err = failure.Late(ctx, trace.waitsFor())
	}

	var exit clientexec.ExitError
	switch {
	case err == nil && end != c.End:
		return &CutError{Target: t, Cause: ErrNoEnd}
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Exited():
		return &ExitError{Target: t, Code: exit.ExitStatus(), Stderr: complaint}
	}
	return trace.classify(t, err)
}

// executor makes the WebSocket-then-SPDY executor for one command. Neither transport can be used for two.
func (e *Executor) executor(t Target, c Command) (*trace, remotecommand.Executor, error) {
	url := e.client.Post().Resource("pods").Namespace(t.Namespace).Name(t.Pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: t.Container,
			Command:   c.Argv,
			Stdin:     c.Stdin != nil,
			Stdout:    true,
			Stderr:    true,
		}, scheme.ParameterCodec).URL()
	trace := &trace{}
	websocket, err := remotecommand.NewWebSocketExecutor(trace.watch(e.config), http.MethodGet, url.String())
	if err != nil {
		return nil, nil, err
	}
	spdy, err := remotecommand.NewSPDYExecutor(trace.watch(e.config), http.MethodPost, url)
	if err != nil {
		return nil, nil, err
	}
	executor, err := remotecommand.NewFallbackExecutor(websocket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	return trace, executor, err
}

// quiet keeps the stream libraries from writing to stderr what Exec returns as an error anyway.
func quiet(ctx context.Context) context.Context {
	if klog.V(4).Enabled() {
		return ctx
	}
	return klog.NewContext(ctx, logr.Discard())
}

// stderrTail is how much of standard error an ExitError keeps, in bytes.
const stderrTail = 4 << 10

// writer stands between the stream libraries, which go on writing for a while after their context is done, and the
// caller's writer. It passes everything on at once and remembers the last bytes.
type writer struct {
	to     io.Writer
	keep   int
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	last   []byte
	closed bool
}

func newWriter(to io.Writer, keep int, cancel context.CancelCauseFunc) *writer {
	if to == nil {
		to = io.Discard
	}
	return &writer{to: to, keep: keep, cancel: cancel}
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	n, err := w.to.Write(p)
	w.last = append(w.last, p[:n]...)
	if extra := len(w.last) - w.keep; extra > 0 {
		w.last = append(w.last[:0], w.last[extra:]...)
	}
	if err != nil {
		// The libraries drain the stream after a write error, for ever if need be.
		w.cancel(err)
	}
	return n, err
}

// close waits for a write under way, lets no other begin, and returns the last bytes written.
func (w *writer) close() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return string(w.last)
}
