// SPDX-License-Identifier: Apache-2.0

package exec

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec/exectest"
)

var target = Target{Namespace: "kube-system", Pod: "provisioner-x", Container: "provisioner", Node: "w-1"}

// protocols runs a test over each protocol.
func protocols(t *testing.T, test func(t *testing.T, serve func(exectest.Handler) *Executor, protocol string)) {
	for _, protocol := range []string{"websocket", "spdy"} {
		t.Run(protocol, func(t *testing.T) {
			test(t, func(h exectest.Handler) *Executor {
				server := exectest.New(t, h, nil)
				server.NoWebSocket.Store(protocol == "spdy")
				return executor(t, server.RESTConfig())
			}, protocol)
		})
	}
}

func executor(t *testing.T, config *rest.Config) *Executor {
	t.Helper()
	e, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSuccess(t *testing.T) {
	protocols(t, func(t *testing.T, serve func(exectest.Handler) *Executor, protocol string) {
		var seen exectest.Session
		e := serve(func(s *exectest.Session) error {
			seen = *s
			fmt.Fprint(s.Stderr, "talk")
			_, err := io.Copy(s.Stdout, s.Stdin)
			return err
		})
		var stdout, stderr bytes.Buffer
		argv := []string{"sh", "-c", `echo "$1"`, "sh", "a b\n'c'"}
		err := e.Exec(t.Context(), target, Command{
			Argv: argv, Stdin: strings.NewReader(strings.Repeat("0123456789\n", 10000) + "end\n"),
			Stdout: &stdout, Stderr: &stderr, End: "end\n",
		})
		if err != nil {
			t.Fatal(err)
		}
		if stdout.Len() != 110004 || !strings.HasSuffix(stdout.String(), "789\nend\n") {
			t.Errorf("stdout has %d bytes, want 110004", stdout.Len())
		}
		if stderr.String() != "talk" {
			t.Errorf("stderr = %q", stderr.String())
		}
		if seen.Protocol != protocol {
			t.Errorf("protocol %q, want %q", seen.Protocol, protocol)
		}
		if !slices.Equal(seen.Argv, argv) || seen.Namespace != "kube-system" || seen.Pod != "provisioner-x" || seen.Container != "provisioner" {
			t.Errorf("session %+v", seen)
		}
	})
}

// A conversation: each side waits for the other's line, so anything that buffers hangs here.
func TestFullDuplex(t *testing.T) {
	protocols(t, func(t *testing.T, serve func(exectest.Handler) *Executor, _ string) {
		e := serve(func(s *exectest.Session) error {
			fmt.Fprintln(s.Stdout, "ready")
			lines := bufio.NewScanner(s.Stdin)
			for lines.Scan() {
				fmt.Fprintln(s.Stdout, "got "+lines.Text())
			}
			fmt.Fprintln(s.Stdout, "end")
			return lines.Err()
		})
		inR, inW := io.Pipe()
		outR, outW := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			ended <- e.Exec(t.Context(), target, Command{Argv: []string{"x"}, Stdin: inR, Stdout: outW, End: "end\n"})
			outW.Close()
		}()
		lines := bufio.NewScanner(outR)
		expect := func(want string) {
			t.Helper()
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("read %q, want %q (%v)", lines.Text(), want, lines.Err())
			}
		}
		expect("ready")
		for i := range 3 {
			fmt.Fprintf(inW, "line %d\n", i)
			expect(fmt.Sprintf("got line %d", i))
		}
		inW.Close()
		expect("end")
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestExitStatus(t *testing.T) {
	protocols(t, func(t *testing.T, serve func(exectest.Handler) *Executor, _ string) {
		e := serve(func(s *exectest.Session) error {
			fmt.Fprint(s.Stderr, strings.Repeat("x", 5000)+" no such device\n")
			return exectest.Exit(3)
		})
		var exit *ExitError
		err := e.Exec(t.Context(), target, Command{Argv: []string{"x"}, End: "end\n"})
		if !errors.As(err, &exit) || exit.Code != 3 {
			t.Fatalf("error %v, want exit status 3", err)
		}
		if len(exit.Stderr) != 4096 || !strings.HasSuffix(exit.Stderr, "x no such device\n") {
			t.Errorf("stderr has %d bytes and ends in %q", len(exit.Stderr), exit.Stderr[max(0, len(exit.Stderr)-20):])
		}
		if !strings.Contains(err.Error(), `pod "kube-system/provisioner-x" on node "w-1" ended with exit status 3: xxx`) {
			t.Errorf("error %.120q", err)
		}
	})
}

func TestCut(t *testing.T) {
	for name, c := range map[string]struct {
		handler exectest.Handler
		cause   error
	}{
		"connection reset": {func(s *exectest.Session) error {
			fmt.Fprint(s.Stdout, "half")
			s.Reset()
			return exectest.Hangup{}
		}, nil},
		"closed without a status": {func(s *exectest.Session) error {
			fmt.Fprint(s.Stdout, "half")
			return exectest.Hangup{}
		}, nil},
		"success without the end": {func(s *exectest.Session) error {
			fmt.Fprint(s.Stdout, "half")
			return nil
		}, ErrNoEnd},
		"an error of the kubelet that leaves it open": {func(*exectest.Session) error {
			return errors.New("error reading from error stream: http2: stream closed")
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, serve func(exectest.Handler) *Executor, _ string) {
				err := serve(c.handler).Exec(t.Context(), target, Command{Argv: []string{"x"}, End: "end\n"})
				var cut *CutError
				if !errors.As(err, &cut) {
					t.Fatalf("error %T %v, want a CutError", err, err)
				}
				if c.cause != nil && !errors.Is(err, c.cause) {
					t.Errorf("error %v, want cause %v", err, c.cause)
				}
				if !strings.Contains(err.Error(), "was cut before it ended: ") {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestHang(t *testing.T) {
	protocols(t, func(t *testing.T, serve func(exectest.Handler) *Executor, _ string) {
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		e := serve(func(s *exectest.Session) error {
			fmt.Fprint(s.Stdout, "half")
			<-release
			return nil
		})
		err := Each(t.Context(), []int{0}, 1, 50*time.Millisecond, func(ctx context.Context, _ int) error {
			return e.Exec(ctx, target, Command{Argv: []string{"x"}})
		})[0]
		var cut *CutError
		if !errors.As(err, &cut) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v, want a CutError by deadline", err)
		}
		if !strings.HasSuffix(err.Error(),
			"was cut before it ended: no answer within 50ms from the pod, in which the command was begun; --node-timeout gives it longer") {
			t.Errorf("error %q", err)
		}
	})
}

// A server that does not even begin is another hop than a command that does not end.
func TestHangBeforeItBegins(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	e, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := failure.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Exec(ctx, target, Command{Argv: []string{"x"}}); err == nil ||
		!strings.HasSuffix(err.Error(),
			"no answer within 50ms from the Kubernetes API server, or the kubelet behind it; --node-timeout gives it longer") {
		t.Errorf("error %v", err)
	}
}

func TestCancel(t *testing.T) {
	protocols(t, func(t *testing.T, serve func(exectest.Handler) *Executor, _ string) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		e := serve(func(*exectest.Session) error {
			cancel()
			<-release
			return nil
		})
		var cut *CutError
		if err := e.Exec(ctx, target, Command{Argv: []string{"x"}}); !errors.As(err, &cut) || !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want a CutError by cancellation", err)
		}
	})
}

func TestNeverStarted(t *testing.T) {
	refused := func() *rest.Config {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return &rest.Config{Host: "http://" + l.Addr().String()}
	}
	answer := func(f func(http.ResponseWriter)) func(*testing.T) *rest.Config {
		return func(t *testing.T) *rest.Config {
			return exectest.New(t, nil, func(w http.ResponseWriter, _ *http.Request) bool { f(w); return true }).RESTConfig()
		}
	}
	status := func(code int, reason metav1.StatusReason, message string) func(*testing.T) *rest.Config {
		return answer(func(w http.ResponseWriter) { exectest.Refuse(w, code, reason, message) })
	}
	failing := func(text string, websocket bool) func(*testing.T) *rest.Config {
		return func(t *testing.T) *rest.Config {
			s := exectest.New(t, func(*exectest.Session) error { return errors.New(text) }, nil)
			s.NoWebSocket.Store(!websocket)
			return s.RESTConfig()
		}
	}
	for name, c := range map[string]struct {
		config func(t *testing.T) *rest.Config
		start  bool
		is     func(error) bool
	}{
		"403": {config: status(403, metav1.StatusReasonForbidden, "no"), start: true, is: apierrors.IsForbidden},
		"404": {config: status(404, metav1.StatusReasonNotFound, `pods "x" not found`), start: true, is: apierrors.IsNotFound},
		"401": {config: status(401, metav1.StatusReasonUnauthorized, "Unauthorized"), start: true, is: apierrors.IsUnauthorized},
		"400": {
			config: status(400, metav1.StatusReasonBadRequest, "container y is not valid for pod x"),
			start:  true,
			is:     apierrors.IsBadRequest,
		},
		"500 kubelet is down": {
			config: status(500, metav1.StatusReasonInternalError, "error dialing backend: dial tcp 10.0.0.5:10250: no route to host"),
			start:  true,
		},
		"500 whatever":       {config: status(500, metav1.StatusReasonInternalError, "something")},
		"403 of a proxy":     {config: answer(func(w http.ResponseWriter) { http.Error(w, "go away", 403) }), start: true},
		"504 of a proxy":     {config: answer(func(w http.ResponseWriter) { http.Error(w, "gateway timeout", 504) })},
		"connection refused": {config: func(*testing.T) *rest.Config { return refused() }, start: true},
		"unknown host":       {config: func(*testing.T) *rest.Config { return &rest.Config{Host: "http://talosdisk.invalid:1"} }, start: true},
		"no TLS on that port": {config: func(t *testing.T) *rest.Config {
			return &rest.Config{Host: "https" + strings.TrimPrefix(exectest.New(t, nil, nil).URL, "http")}
		}, start: true},
		"container not found": {config: failing(`unable to upgrade connection: container not found ("provisioner")`, true), start: true},
		"spdy: no such program": {
			config: failing(`failed to exec in container: OCI runtime exec failed: exec failed: unable to start container process: exec: "x": executable file not found in $PATH`,
				false),
			start: true,
		},
		"connection dropped":     {config: answer(func(http.ResponseWriter) { panic(http.ErrAbortHandler) })},
		"spdy: stopped midway":   {config: failing("connection to runtime lost", false)},
		"no command":             {config: func(*testing.T) *rest.Config { return &rest.Config{} }, start: true},
		"untrusted certificates": {config: untrusted, start: true},
	} {
		t.Run(name, func(t *testing.T) {
			argv := []string{"x"}
			if name == "no command" {
				argv = nil
			}
			err := executor(t, c.config(t)).Exec(t.Context(), target, Command{Argv: argv})
			var start *StartError
			var cut *CutError
			if c.start != errors.As(err, &start) || c.start == errors.As(err, &cut) {
				t.Fatalf("error %T %v, want StartError: %v", err, err, c.start)
			}
			if c.is != nil && !c.is(err) {
				t.Errorf("error %v has lost its API status", err)
			}
		})
	}
}

func untrusted(t *testing.T) *rest.Config {
	s := exectest.New(t, nil, nil)
	tls := &exectest.Server{}
	tls.Server = newTLS(t, s.Config.Handler)
	return &rest.Config{Host: tls.URL}
}

// A role with "create" but without "get" on pods/exec is refused the WebSocket before Kubernetes 1.35 and served over SPDY.
func TestFallbackOnForbiddenGet(t *testing.T) {
	s := exectest.New(t, func(s *exectest.Session) error {
		fmt.Fprint(s.Stdout, s.Protocol)
		return nil
	}, func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodGet {
			exectest.Refuse(w, 403, metav1.StatusReasonForbidden, "no get")
			return true
		}
		return false
	})
	var stdout bytes.Buffer
	if err := executor(t, s.RESTConfig()).Exec(t.Context(), target, Command{Argv: []string{"x"}, Stdout: &stdout}); err != nil ||
		stdout.String() != "spdy" {
		t.Fatalf("%q, %v", stdout.String(), err)
	}
}

func TestTooMuchOutput(t *testing.T) {
	protocols(t, func(t *testing.T, serve func(exectest.Handler) *Executor, _ string) {
		e := serve(func(s *exectest.Session) error {
			for {
				if _, err := io.WriteString(s.Stdout, strings.Repeat("x", 1000)); err != nil {
					return err
				}
			}
		})
		var stdout bytes.Buffer
		err := e.Exec(t.Context(), target, Command{Argv: []string{"x"}, Stdout: Limit(&stdout, 1500)})
		var cut *CutError
		if !errors.As(err, &cut) || !errors.Is(err, ErrTooMuchOutput) {
			t.Fatalf("error %v, want ErrTooMuchOutput", err)
		}
		if stdout.Len() != 1500 {
			t.Errorf("kept %d bytes, want 1500", stdout.Len())
		}
	})
}

// The config's rate limiter would let one request a minute through.
func TestNoClientThrottling(t *testing.T) {
	s := exectest.New(t, func(*exectest.Session) error { return nil }, nil)
	config := s.RESTConfig()
	config.QPS, config.Burst = 1.0/60, 1
	e := executor(t, config)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i, err := range Each(ctx, make([]int, 40), 8, 0, func(ctx context.Context, _ int) error {
		return e.Exec(ctx, target, Command{Argv: []string{"x"}})
	}) {
		if err != nil {
			t.Fatalf("command %d: %v", i, err)
		}
	}
}

// The refusal of the second request does not undo that the first may be running behind its gateway.
func TestRefusedAfterAnOpenEnd(t *testing.T) {
	s := exectest.New(t, nil, func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodGet {
			http.Error(w, "gateway timeout", 504)
		} else {
			exectest.Refuse(w, 403, metav1.StatusReasonForbidden, "no create")
		}
		return true
	})
	var cut *CutError
	if err := executor(t, s.RESTConfig()).Exec(t.Context(), target, Command{Argv: []string{"x"}}); !errors.As(err, &cut) {
		t.Errorf("error %T %v, want a CutError", err, err)
	}
}

// A kubelet that has just started is asked again, for some seconds and while somebody waits.
func TestOncePodsAreKnown(t *testing.T) {
	unknown := &StartError{Target: target, Cause: errors.New("unable to upgrade connection: pod does not exist")}
	for name, c := range map[string]struct {
		unknown, calls int
		want           error
		took           time.Duration
	}{
		"known":                {0, 1, nil, 0},
		"known in a moment":    {2, 3, nil, 3 * time.Second},
		"not known":            {9, 4, unknown, 7 * time.Second},
		"nobody waits anymore": {-1, 1, unknown, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			begin, calls := time.Now(), 0
			err := OncePodsAreKnown(ctx, func() error {
				if c.unknown < 0 {
					cancel()
				}
				if calls++; c.unknown < 0 || calls <= c.unknown {
					return unknown
				}
				return nil
			})
			if !errors.Is(err, c.want) || calls != c.calls || time.Since(begin) != c.took {
				t.Errorf("%s: %v after %d calls and %s", name, err, calls, time.Since(begin))
			}
		})
	}
}

// A kubelet that has just started knows no pods, which is told in several ways, and not when the API server has no such pod.
func TestPodUnknown(t *testing.T) {
	unexpected := apierrors.NewGenericServerResponse(404, "get", schema.GroupResource{Resource: "pods/log"}, "prov-x", "unknown", 0, true)
	// The API server's own answer when it has read the kubelet's (apiserver v0.37.2, pkg/registry/generic/rest/response_checker.go).
	checked := apierrors.NewGenericServerResponse(404, "", schema.GroupResource{Resource: "pods/log"}, "prov-x", "unknown", 0, false)
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"none": {err: nil, want: false},
		"in the stream": {
			err: &StartError{
				Target: target,
				Cause:  errors.New(`Internal error occurred: error sending request: unable to upgrade connection: pod does not exist`),
			},
			want: true,
		},
		"the body": {
			err:  &StartError{Target: target, Cause: &httpError{code: 404, text: "404 Not Found 404: Page Not Found"}},
			want: true,
		},
		"the handshake": {
			err:  &StartError{Target: target, Cause: errors.New("websocket: bad handshake (404 Not Found): pod")},
			want: true,
		},
		"of a log":          {err: fmt.Errorf("the log: %w", unexpected), want: true},
		"of a log, checked": {err: fmt.Errorf("the log: %w", checked), want: true},
		"the API server has none": {
			err: &StartError{Target: target, Cause: apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "prov-x")},
		},
		"forbidden": {
			err: &StartError{Target: target, Cause: apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "prov-x", nil)},
		},
		"another code":             {err: &StartError{Target: target, Cause: &httpError{code: 502, text: "502"}}},
		"another container":        {err: errors.New(`unable to upgrade connection: container not found ("provisioner")`)},
		"a handshake of its own":   {err: errors.New("websocket: bad handshake (403 Forbidden): x")},
		"a log that is not served": {err: apierrors.NewServiceUnavailable("x")},
	} {
		if got := PodUnknown(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
