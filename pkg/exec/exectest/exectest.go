// SPDX-License-Identifier: Apache-2.0

// Package exectest is an API server's exec endpoint for tests. It speaks both real protocols, WebSocket and SPDY, and
// runs a Go function where a kubelet would run a program.
//
// It serves nothing else; a test that needs more of an API server puts it behind a mux of its own.
package exectest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/rest"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// Session is one command as the container sees it.
type Session struct {
	Namespace, Pod, Container string
	Argv                      []string
	// Protocol is "websocket" or "spdy".
	Protocol       string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Done is closed when the client has gone.
	Done <-chan struct{}
	// Reset breaks the connection as a crash or a pulled cable does.
	Reset func()
}

// Handler is the program: nil is exit status 0, an Exit that status, anything else a failure of the kubelet or the runtime.
type Handler func(*Session) error

// Exit is an exit status.
type Exit int

func (e Exit) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// Hangup ends the connection in good order, but without saying how the command ended.
type Hangup struct{}

func (Hangup) Error() string { return "hangup" }

// Server is the endpoint.
type Server struct {
	*httptest.Server
	// NoWebSocket makes the server refuse WebSocket upgrades, as old API servers and some proxies do.
	NoWebSocket atomic.Bool
	// Requests counts requests, upgraded or not.
	Requests atomic.Int64
}

type connKey struct{}

// New starts a server whose commands are h; it stops with the test. A nil before lets every request through; one that
// writes an answer and returns true keeps the request from h.
func New(t testing.TB, h Handler, before func(http.ResponseWriter, *http.Request) bool) *Server {
	t.Helper()
	s := &Server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.Requests.Add(1)
		if before != nil && before(w, req) {
			return
		}
		s.serve(w, req, h)
	}))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// RESTConfig is how a client reaches the server.
func (s *Server) RESTConfig() *rest.Config {
	return &rest.Config{Host: s.URL}
}

// Refuse answers with an API status, as the API server refuses a request.
func Refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	})
}

func (s *Server) serve(w http.ResponseWriter, req *http.Request, h Handler) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if len(parts) != 7 || parts[0] != "api" || parts[6] != "exec" {
		Refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, fmt.Sprintf("unexpected path %q", req.URL.Path))
		return
	}
	query := req.URL.Query()
	session := &Session{Namespace: parts[3], Pod: parts[5], Container: query.Get("container"), Argv: query["command"]}
	session.Reset = func() {
		conn := req.Context().Value(connKey{}).(net.Conn)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	if wsstream.IsWebSocketRequest(req) {
		if s.NoWebSocket.Load() {
			http.Error(w, "no WebSocket here", http.StatusBadRequest)
			return
		}
		serveWebSocket(w, req, session, h)
		return
	}
	serveSPDY(w, req, session, h, query.Get("stdin") == "true")
}

func serveWebSocket(w http.ResponseWriter, req *http.Request, session *Session, h Handler) {
	channels := []wsstream.ChannelType{
		remotecommand.StreamStdIn:  wsstream.ReadChannel,
		remotecommand.StreamStdOut: wsstream.WriteChannel,
		remotecommand.StreamStdErr: wsstream.WriteChannel,
		remotecommand.StreamErr:    wsstream.WriteChannel,
		remotecommand.StreamResize: wsstream.ReadChannel,
	}
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		remotecommand.StreamProtocolV5Name: {Binary: true, Channels: channels},
	})
	_, streams, err := conn.Open(w, req)
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // The client may have gone.
	session.Protocol = "websocket"
	session.Done = req.Context().Done()
	session.Stdin, session.Stdout, session.Stderr = streams[remotecommand.StreamStdIn], streams[remotecommand.StreamStdOut],
		streams[remotecommand.StreamStdErr]
	finish(h(session), streams[remotecommand.StreamErr])
}

func serveSPDY(w http.ResponseWriter, req *http.Request, session *Session, h Handler, stdin bool) {
	if _, err := httpstream.Handshake(req, w, []string{remotecommand.StreamProtocolV5Name, remotecommand.StreamProtocolV4Name}); err != nil {
		return
	}
	want := 3
	if stdin {
		want = 4
	}
	opened := make(chan httpstream.Stream, want)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, req, func(stream httpstream.Stream, replied <-chan struct{}) error {
		go func() {
			<-replied
			opened <- stream
		}()
		return nil
	})
	if conn == nil {
		return
	}
	defer conn.Close() //nolint:errcheck // The client may have gone.
	streams := map[string]httpstream.Stream{}
	for len(streams) < want {
		select {
		case stream := <-opened:
			streams[stream.Headers().Get(corev1.StreamType)] = stream
		case <-conn.CloseChan():
			return
		}
	}
	done := make(chan struct{})
	go func() {
		<-conn.CloseChan()
		close(done)
	}()
	session.Protocol, session.Done = "spdy", done
	if stdin {
		session.Stdin = streams[corev1.StreamTypeStdin]
	}
	session.Stdout, session.Stderr = streams[corev1.StreamTypeStdout], streams[corev1.StreamTypeStderr]
	finish(h(session), streams[corev1.StreamTypeError])
}

// finish writes what the kubelet writes to the error stream when a command has ended.
func finish(err error, stream io.Writer) {
	status := metav1.Status{Status: metav1.StatusSuccess}
	var exit Exit
	switch {
	case err == nil:
	case errors.Is(err, Hangup{}):
		return
	case errors.As(err, &exit):
		status = metav1.Status{
			Status: metav1.StatusFailure, Reason: remotecommand.NonZeroExitCodeReason,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: remotecommand.ExitCodeCauseType, Message: strconv.Itoa(int(exit))}}},
			Message: "command terminated with non-zero exit code",
		}
	default:
		status = metav1.Status{
			Status:  metav1.StatusFailure,
			Code:    http.StatusInternalServerError,
			Reason:  metav1.StatusReasonInternalError,
			Message: "Internal error occurred: " + err.Error(),
		}
	}
	body, err := json.Marshal(status)
	if err == nil {
		_, _ = stream.Write(body)
	}
}
