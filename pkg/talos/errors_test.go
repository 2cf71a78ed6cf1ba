// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

func TestExplain(t *testing.T) {
	c := call{
		identity: Identity{
			Context:   "prod",
			Roles:     []string{"os:reader"},
			NotAfter:  time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
			Endpoints: []string{"10.0.0.2", "10.0.0.3"},
		},
		address: "10.0.0.7", what: "the machine configuration", role: "os:admin",
	}
	handshake := func(text string) error {
		return unsent{status.Error(codes.Unavailable,
			fmt.Sprintf("connection error: desc = %q", "transport: authentication handshake failed: "+text))}
	}
	for name, test := range map[string]struct {
		err  error
		is   error
		says []string
	}{
		"no endpoint": {
			err: unsent{status.Error(codes.Unavailable,
				`connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.2:50000: connect: connection refused"`)},
			is: ErrUnreachable, says: []string{`no answer from the Talos API at "10.0.0.2" or "10.0.0.3"`,
				"dial tcp 10.0.0.2:50000: connect: connection refused", `context "prod"`, "--talos-endpoints"},
		},
		"no node": {
			err: status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.7:50000: i/o timeout"`),
			is:  ErrUnreachable, says: []string{`does not reach the node at "10.0.0.7"`, "i/o timeout", "talosctl -e 10.0.0.7 -n 10.0.0.7 version"},
		},
		"lost": {
			err:  status.Error(codes.Unavailable, "error reading from server: EOF"),
			is:   ErrUnreachable,
			says: []string{`the connection to the node at "10.0.0.7", through the Talos API at "10.0.0.2" or "10.0.0.3", broke: error reading from server: EOF`},
		},
		"another CA": {
			err: handshake("tls: failed to verify certificate: x509: certificate signed by unknown authority (possibly because of \"x509: Ed25519 verification failure\" while trying to verify candidate authority certificate \"talos\")"),
			is:  ErrTLS, says: []string{`certificate of another CA than context "prod"`, "--talos-context"},
		},
		"another name": {
			err: handshake("tls: failed to verify certificate: x509: certificate is valid for 10.0.0.9, not 10.0.0.2"),
			is:  ErrTLS, says: []string{"not for the endpoint", "valid for 10.0.0.9", "machine.certSANs"},
		},
		"the server's has ended": {
			err: handshake("tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026"),
			is:  ErrTLS, says: []string{"not trusted", "expired or is not yet valid", "clocks"},
		},
		"ours is of another CA": {
			err: unsent{status.Error(codes.Unavailable,
				`connection error: desc = "error reading server preface: remote error: tls: unknown certificate authority"`)},
			is: ErrTLS, says: []string{`does not accept the client certificate of context "prod"`, "unknown certificate authority"},
		},
		"ours has ended, says the server": {
			err: unsent{status.Error(codes.Unavailable,
				`connection error: desc = "error reading server preface: remote error: tls: expired certificate"`)},
			is: ErrExpired, says: []string{"2030-01-02T03:04:05Z", "clocks"},
		},
		"a weak role": {
			err: status.Error(codes.PermissionDenied, "not authorized"),
			is:  ErrDenied, says: []string{`the machine configuration needs the Talos role os:admin; context "prod" has os:reader`,
				"talosctl config new NEW-TALOSCONFIG --roles os:admin"},
		},
		"an unknown type": {
			err: status.Error(codes.PermissionDenied, `resource type "Disks.block.talos.dev" is not supported`),
			is:  ErrUnsupported, says: []string{"does not have the machine configuration"},
		},
		"an unregistered type": {err: status.Error(codes.NotFound, `resource "disks" is not registered`), is: ErrUnsupported},
		"an unknown method": {
			err: status.Error(codes.Unimplemented, "unknown method Foo for service machine.MachineService"),
			is:  ErrUnsupported,
		},
		"a worker": {
			err:  status.Error(codes.PermissionDenied, "no request forwarding"),
			is:   ErrForwarding,
			says: []string{"is a worker", "--talos-endpoints", "talosctl --context prod config endpoint"},
		},
		"no such resource": {
			err: status.Error(codes.NotFound, "resource MachineConfigs.config.talos.dev(config/persistent@undefined) doesn't exist"),
			is:  ErrNotFound,
		},
		"no such directory": {err: status.Error(codes.Unknown, "lstat /nonexistent: no such file or directory"), is: ErrNotFound},
		"no directory":      {err: status.Error(codes.Unknown, "lstat /etc/hosts/.: not a directory"), is: ErrNotFound},
		"no such file":      {err: status.Error(codes.NotFound, "stat /nonexistent: no such file or directory"), is: ErrNotFound},
		"two at once":       {err: status.Error(codes.FailedPrecondition, "another apply configuration is already in progress"), is: ErrBusy},
		"refused": {
			err: status.Error(codes.InvalidArgument,
				"1 error occurred:\n\t* kubelet config is already set in v1alpha1 config (.machine.kubelet)\n\n"),
			is:   ErrRefused,
			says: []string{"Talos refuses the machine configuration: kubelet config is already set in v1alpha1 config (.machine.kubelet)"},
		},
		"unknown keys": {
			err:  status.Error(codes.InvalidArgument, "unknown keys found during decoding:\nCANARY: 1"),
			is:   ErrRefused,
			says: []string{"unknown keys"},
		},
		"unknown": {err: status.Error(codes.Unauthenticated, "who is that"), is: ErrDenied, says: []string{`who context "prod" is`}},
		"another": {
			err:  status.Error(codes.Internal, "oops"),
			is:   ErrAnswer,
			says: []string{"Talos did not give the machine configuration: oops"},
		},
		"not gRPC's": {err: errors.New("oops"), is: ErrAnswer, says: []string{"oops"}},
		"late": {
			err:  status.Error(codes.DeadlineExceeded, "context deadline exceeded"),
			is:   context.DeadlineExceeded,
			says: []string{"asking the Talos API at"},
		},
		"interrupted": {err: status.Error(codes.Canceled, "context canceled"), is: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.explain(t.Context(), test.err)
			if !errors.Is(err, test.is) {
				t.Errorf("%v is not %q", err, test.is)
			}
			text := err.Error() + "\n" + failure.Hint(err)
			for _, part := range test.says {
				if !strings.Contains(text, part) {
					t.Errorf("%q does not say %q", text, part)
				}
			}
			for _, noise := range []string{"CANARY", "rpc error", "desc ="} {
				if strings.Contains(text, noise) {
					t.Errorf("%q has %q", text, noise)
				}
			}
		})
	}
	if err := c.explain(t.Context(), nil); err != nil {
		t.Errorf("nothing became %v", err)
	}
}

// Of a node behind another endpoint nobody knows which of the two is slow.
func TestExplainSaysWhoIsLate(t *testing.T) {
	for address, from := range map[string]string{"10.0.0.1": "from the node;", "10.0.0.9": "from the node, or from the endpoint before it;"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(&failure.TimeoutError{After: 30 * time.Second})
		err := call{identity: Identity{Endpoints: []string{"10.0.0.1"}}, address: address, what: "the list of processes"}.explain(ctx, ctx.Err())
		want := `asking the Talos API at "10.0.0.1" for the list of processes: no answer within 30s ` + from + " --node-timeout gives it longer"
		if err.Error() != want || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	// The server counts the same deadline, and is first.
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, &failure.TimeoutError{After: 30 * time.Second})
	defer cancel()
	if err := (call{}).explain(ctx, status.Error(codes.DeadlineExceeded, "context deadline exceeded")); !strings.Contains(err.Error(),
		"--node-timeout") {
		t.Error(err)
	}
}

// A roll-out has to know whether a request that failed may take effect anyway.
func TestNotTaken(t *testing.T) {
	for text, c := range map[string]struct {
		err  error
		want bool
	}{
		"refused":             {status.Error(codes.InvalidArgument, "no"), true},
		"two at once":         {status.Error(codes.FailedPrecondition, "another apply configuration is already in progress"), true},
		"a weak role":         {status.Error(codes.PermissionDenied, "not authorized"), true},
		"an unknown method":   {status.Error(codes.Unimplemented, "unknown"), true},
		"lost":                {status.Error(codes.Unavailable, "error reading from server: EOF"), false},
		"late":                {status.Error(codes.DeadlineExceeded, "context deadline exceeded"), false},
		"another":             {status.Error(codes.Internal, "oops"), false},
		"another, of no kind": {errors.New("oops"), false},
	} {
		if err := (call{}).explain(t.Context(), c.err); errors.Is(err, machineconfig.ErrNotTaken) != c.want {
			t.Errorf("%s: %v: not taken is %t", text, err, !c.want)
		}
	}
}

// What a context ended for is told, not what gRPC makes of it.
func TestExplainEnd(t *testing.T) {
	why := errors.New("the user pressed ^C")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := (call{}).explain(ctx, status.Error(codes.Canceled, "context canceled")); !errors.Is(err, why) {
		t.Errorf("%v does not say why", err)
	}
}
