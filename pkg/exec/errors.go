// SPDX-License-Identifier: Apache-2.0

package exec

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/rest"
	"k8s.io/streaming/pkg/httpstream"
)

// ErrNoEnd is the cause of a CutError when the API server reports success, but the output lacks its end.
var ErrNoEnd = errors.New("the end of its output is missing")

// ErrTooMuchOutput is the cause of a CutError when a writer made by Limit is full.
var ErrTooMuchOutput = errors.New("it wrote too much")

// ExitError is a command that ended with an exit status other than 0.
type ExitError struct {
	Target Target
	Code   int
	// Stderr is the end of what the command wrote to standard error, at most 4 KiB, wherever Command.Stderr went.
	Stderr string
}

func (e *ExitError) Error() string {
	s := fmt.Sprintf("command in %s ended with exit status %d", e.Target, e.Code)
	if text := strings.TrimSpace(e.Stderr); text != "" {
		s += ": " + text
	}
	return s
}

// CutError is a command whose end was not seen. It may have done nothing, anything or everything, and may still be running.
type CutError struct {
	Target Target
	Cause  error
}

func (e *CutError) Error() string {
	return fmt.Sprintf("command in %s was cut before it ended: %v", e.Target, e.Cause)
}

// Unwrap returns the cause, among them context.DeadlineExceeded, ErrNoEnd and ErrTooMuchOutput.
func (e *CutError) Unwrap() error { return e.Cause }

// StartError is a command that certainly did not run.
type StartError struct {
	Target Target
	// Cause is a Kubernetes API status (forbidden, not found) wherever the API server sent one.
	Cause error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("cannot run a command in %s: %v", e.Target, e.Cause)
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Cause }

// Limit returns a writer that passes on at most n bytes to w and then fails with ErrTooMuchOutput, so that a pod gone mad
// cannot fill this machine's memory.
func Limit(w io.Writer, n int64) io.Writer {
	return &limitWriter{to: w, left: n, limit: n}
}

type limitWriter struct {
	to          io.Writer
	left, limit int64
}

func (w *limitWriter) Write(p []byte) (int, error) {
	if int64(len(p)) <= w.left {
		n, err := w.to.Write(p)
		w.left -= int64(n)
		return n, err
	}
	n, err := w.to.Write(p[:w.left])
	w.left -= int64(n)
	if err == nil {
		err = fmt.Errorf("%w: more than %d bytes", ErrTooMuchOutput, w.limit)
	}
	return n, err
}

// trace is what happened to the requests made for one command.
type trace struct {
	mu       sync.Mutex
	upgraded bool  // a server said 101: from here on a command may be running
	open     bool  // a request was sent, or may have been, and its answer does not exclude that a command runs
	refusal  error // the last answer that certainly means that nothing runs
}

// watch returns a copy of config whose connections report to tr.
func (tr *trace) watch(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			tr.record(resp, err)
			return resp, err
		})
	})
	return config
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func (tr *trace) record(resp *http.Response, err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch {
	case err == nil && resp.StatusCode == http.StatusSwitchingProtocols:
		tr.upgraded = true
	case err == nil:
		err = statusOf(resp)
		fallthrough
	default:
		if upgrade := (*httpstream.UpgradeFailureError)(nil); errors.As(err, &upgrade) {
			err = upgrade.Cause
		}
		if isRefusal(err) {
			tr.refusal = err
		} else {
			tr.open = true
		}
	}
}

// waitsFor is who has to answer next.
func (tr *trace) waitsFor() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.upgraded {
		return "the pod, in which the command was begun"
	}
	return "the Kubernetes API server, or the kubelet behind it"
}

// classify turns the error of a command that ended without an exit status into a StartError or a CutError.
func (tr *trace) classify(t Target, err error) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch {
	case tr.open:
	case tr.upgraded && neverStarted(err.Error()):
		return &StartError{Target: t, Cause: err}
	case !tr.upgraded && tr.refusal != nil:
		return &StartError{Target: t, Cause: tr.refusal}
	}
	return &CutError{Target: t, Cause: err}
}

// statusOf returns the API status in a response that is not an upgrade, as the SPDY transport keeps only its text. The
// body can be read again afterwards.
func statusOf(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	resp.Body.Close() //nolint:errcheck // It was only read.
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return err
	}
	var status metav1.Status
	if json.Unmarshal(body, &status) == nil && status.Kind == "Status" && status.Code != 0 {
		return &apierrors.StatusError{ErrStatus: status}
	}
	return &httpError{code: resp.StatusCode, text: strings.TrimSpace(resp.Status + " " + string(body))}
}

// httpError is a response that is neither an upgrade nor an API status: mostly a proxy's.
type httpError struct {
	code int
	text string
}

func (e *httpError) Error() string { return "the server answered " + e.text }

// handshake finds the status code in gorilla/websocket's error for a handshake without an API status.
var handshake = regexp.MustCompile(`^websocket: bad handshake \((\d{3}) `)

// isRefusal reports whether a request that failed with err certainly ran nothing: no connection, or an answer that means
// "no". A gateway's 502, 503 or 504 does not: it may come while the API server behind it starts the command.
func isRefusal(err error) bool {
	var (
		op     *net.OpError
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		plain  *httpError
		status apierrors.APIStatus
		code   int
	)
	switch {
	case errors.As(err, &op) && op.Op == "dial", errors.As(err, &dns), errors.As(err, &cert), errors.As(err, &record):
		return true
	case httpstream.IsHTTPSProxyError(err):
		return true
	case errors.As(err, &status):
		if neverStarted(status.Status().Message) {
			return true
		}
		code = int(status.Status().Code)
	case errors.As(err, &plain):
		code = plain.code
	default:
		if m := handshake.FindStringSubmatch(err.Error()); m != nil {
			code, _ = strconv.Atoi(m[1])
		}
	}
	return code >= 400 && code < 500 && code != http.StatusRequestTimeout
}

// OncePodsAreKnown calls f again, for some seconds, while a kubelet answers that it has no such pod: one that has just started hears
// of its pods in a moment.
func OncePodsAreKnown(ctx context.Context, f func() error) error {
	const first, last = time.Second, 4 * time.Second
	err := f()
	for pause := first; PodUnknown(err) && pause <= last; pause *= 2 {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
			err = f()
		}
	}
	return err
}

// PodUnknown reports whether a kubelet answered that it has no such pod, as one does that has just started and has not heard of its
// pods yet (Kubernetes v1.37, pkg/kubelet/server/server.go). The API server, which knows the pod, passes that on: as a body or a
// status of its own, or in the stream's status. That the API server itself has no such pod is something else.
func PodUnknown(err error) bool {
	var (
		plain  *httpError
		status apierrors.APIStatus
	)
	switch {
	case err == nil:
		return false
	case strings.Contains(err.Error(), "pod does not exist"):
		return true
	case errors.As(err, &status):
		details := status.Status().Details
		if status.Status().Code != http.StatusNotFound || details == nil {
			return false
		}
		// The API server reads a kubelet's answer about a log, and passes on the code alone, about "pods/log" (apiserver v0.37.2,
		// pkg/registry/generic/rest/response_checker.go). A pod that it does not have itself is none of "pods".
		return details.Kind == "pods/log" || slices.ContainsFunc(details.Causes, func(c metav1.StatusCause) bool {
			return c.Type == metav1.CauseTypeUnexpectedServerResponse
		})
	case errors.As(err, &plain):
		return plain.code == http.StatusNotFound
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if m := handshake.FindStringSubmatch(err.Error()); m != nil {
			return m[1] == "404"
		}
	}
	return false
}

// neverStarted reports whether text, which the API server, the kubelet or the runtime reports instead of an exit status,
// certainly means that no process was made.
func neverStarted(text string) bool {
	for _, part := range []string{
		"error dialing backend",                // the API server did not reach the kubelet
		"unable to upgrade connection",         // the kubelet refused the API server's upgrade: no such container, most of all
		"container not found",                  // kubelet
		"no running task found",                // containerd: the container has ended
		"cannot exec in a",                     // runc, containerd: "... stopped container", "... deleted state"
		"unable to start container process",    // runc: no such program in the image, or not executable
		"executable file not found in $PATH",   // runc, crun
		"container is not created or running",  // CRI-O
		"can only create exec sessions on run", // CRI-O: "... running containers"
	} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
