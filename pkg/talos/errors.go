// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/client"
	"google.golang.org/grpc/codes"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// Kind tells errors apart: errors.Is(err, talos.ErrDenied).
type Kind string

// The kinds of errors. One that ended with its context is
// context.DeadlineExceeded or context.Canceled to errors.Is, and has no kind.
const (
	// ErrNotConfigured: there is no talosconfig, and none was asked for.
	ErrNotConfigured Kind = Kind(problem.TalosNotConfigured)
	// ErrConfig: the talosconfig is missing, cannot be read, or lacks something.
	ErrConfig Kind = Kind(problem.TalosConfig)
	// ErrUnreachable: no endpoint can be reached, or no endpoint can reach the node.
	ErrUnreachable Kind = Kind(problem.TalosUnreachable)
	// ErrTLS: one side does not trust the other's certificate.
	ErrTLS Kind = Kind(problem.TalosTLS)
	// ErrExpired: the client certificate has ended.
	ErrExpired Kind = Kind(problem.TalosExpired)
	// ErrDenied: the client certificate's roles are too weak.
	ErrDenied Kind = Kind(problem.TalosDenied)
	// ErrForwarding: the endpoint is a worker, which forwards nothing to other nodes.
	ErrForwarding Kind = Kind(problem.TalosForwarding)
	// ErrUnsupported: the node's release of Talos does not have it.
	ErrUnsupported Kind = "unsupported"
	// ErrNotFound: there is no such resource, file or directory.
	ErrNotFound Kind = "not found"
	// ErrBusy: another configuration is being applied at this moment.
	ErrBusy Kind = "busy"
	// ErrRefused: the node does not accept the configuration.
	ErrRefused Kind = "refused"
	// ErrOtherNode: the address belongs to another node.
	ErrOtherNode Kind = Kind(problem.TalosOtherNode)
	// ErrUnproven: it is not known whether the address belongs to that node.
	ErrUnproven Kind = Kind(problem.TalosUnproven)
	// ErrRestarted: the kubelet restarted while it was looked at.
	ErrRestarted Kind = "restarted"
	// ErrAnswer: the node answered with another error, or with what makes no sense.
	ErrAnswer Kind = "bad answer"
)

// Error is the kind's name.
func (k Kind) Error() string { return string(k) }

// Error is why the Talos API could not be used, or did not do what it was asked.
// What gRPC said is in its text only as far as it says anything, and never with
// content of a machine configuration.
type Error struct {
	Kind Kind
	err  error
}

// Error is one sentence.
func (e *Error) Error() string { return e.err.Error() }

// ProblemKind is the kind of problem that a snapshot has of the error.
func (e *Error) ProblemKind() problem.Kind { return problem.Kind(e.Kind) }

// Unwrap leads to the sentence's hint and cause.
func (e *Error) Unwrap() error { return e.err }

// Is reports whether target is the error's kind, or what a roll-out has to know of it.
func (e *Error) Is(target error) bool {
	return target == e.Kind || target == machineconfig.ErrNotTaken && e.Kind.notTaken()
}

// notTaken reports whether a request that ended so changed nothing, and will not. An
// endpoint that broke off may have passed it on before.
func (k Kind) notTaken() bool {
	switch k {
	case ErrBusy, ErrRefused, ErrDenied, ErrForwarding, ErrUnsupported, ErrTLS, ErrExpired:
		return true
	}
	return false
}

// fail is an error of a kind; cause may be empty.
func fail(kind Kind, message, cause, hint string) error {
	if cause == "" {
		return &Error{Kind: kind, err: failure.New(message, hint)}
	}
	return &Error{Kind: kind, err: failure.Wrap(errors.New(cause), message, hint)}
}

// expired is the error of a client certificate that has ended.
func expired(i Identity) error {
	return fail(ErrExpired, fmt.Sprintf("the client certificate of Talos context %q ended at %s", i.Context,
		i.NotAfter.UTC().Format(time.RFC3339)), "",
		"somebody whose certificate is good can make a new one with: "+
			shell.Command("talosctl", "config", "new", "NEW-TALOSCONFIG", "--roles", cmp.Or(strings.Join(i.Roles, ","), "os:admin")))
}

// call is a request to a node, as far as its errors need it.
type call struct {
	identity Identity
	address  string
	// what is asked for, as a noun: "the machine configuration".
	what string
	// role is the weakest that may ask.
	role string
	// refusal looks why an endpoint hung up.
	refusal func(ctx context.Context, err error) error
}

// explain turns the error of a request into one of a kind.
func (c call) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if c.refusal != nil && hungUp(err) {
		err = c.refusal(ctx, err)
	}
	status := client.Status(err)
	switch {
	case ctx.Err() != nil:
		return c.ended(ctx)
	case status == nil:
		return fail(ErrAnswer, c.what+" could not be read", brief(err.Error()), "")
	}
	text := status.Message()
	switch status.Code() {
	case codes.DeadlineExceeded: // The server counts the same deadline, and may be first.
		if end, ok := ctx.Deadline(); ok && time.Until(end) < time.Second {
			<-ctx.Done()
			return c.ended(ctx)
		}
		return c.broken(context.DeadlineExceeded)
	case codes.Canceled:
		return c.broken(context.Canceled)
	case codes.Unavailable:
		if errors.As(err, new(unsent)) {
			return c.unreachable(transport(text))
		}
		if !strings.Contains(text, "connection error: ") { // It was there, and was lost: who knows where.
			return fail(ErrUnreachable, fmt.Sprintf("the connection to the node at %q, through the Talos API at %s, broke", c.address,
				alternatives(c.identity.Endpoints)), transport(text), "try again")
		}
		return fail(ErrUnreachable, fmt.Sprintf("the Talos API endpoint %s does not reach the node at %q", alternatives(c.identity.Endpoints),
			c.address), transport(text),
			"look whether the node answers by itself: "+shell.Command("talosctl", "-e", c.address, "-n", c.address, "version"))
	case codes.PermissionDenied:
		return c.denied(text)
	case codes.Unauthenticated:
		return fail(ErrDenied, fmt.Sprintf("the Talos API does not know who context %q is", c.identity.Context), brief(text), "")
	case codes.Unimplemented:
		return c.unsupported()
	case codes.NotFound:
		if strings.HasSuffix(text, "is not registered") {
			return c.unsupported()
		}
		return fail(ErrNotFound, c.what+" is not there", brief(text), "")
	case codes.FailedPrecondition:
		if strings.Contains(text, "another apply configuration is already in progress") {
			return fail(ErrBusy, "another machine configuration is being applied to the node at this moment", "",
				"see who changes it, then try again")
		}
	case codes.InvalidArgument:
		return fail(ErrRefused, "Talos refuses "+c.what, brief(text), "")
	case codes.Unknown: // List's errors, and before v1.9 Read's, are the operating system's.
		if strings.HasSuffix(text, "no such file or directory") || strings.HasSuffix(text, "not a directory") {
			return fail(ErrNotFound, c.what+" is not there", brief(text), "")
		}
	}
	return fail(ErrAnswer, "Talos did not give "+c.what, brief(text), "")
}

// ended is a request whose answer was not waited for any longer.
func (c call) ended(ctx context.Context) error {
	from := "the node"
	if !slices.Equal(c.identity.Endpoints, []string{c.address}) {
		from += ", or from the endpoint before it"
	}
	return c.broken(failure.Late(ctx, from))
}

// broken is a request that ended without an answer.
func (c call) broken(cause error) error {
	return failure.Wrap(cause, fmt.Sprintf("asking the Talos API at %s for %s", alternatives(c.identity.Endpoints), c.what), "")
}

// denied is an answer PermissionDenied, which has three meanings.
func (c call) denied(text string) error {
	switch {
	case strings.HasPrefix(text, "resource type ") && strings.HasSuffix(text, " is not supported"):
		return c.unsupported()
	case strings.Contains(text, "no request forwarding"):
		return fail(ErrForwarding, fmt.Sprintf("the Talos API endpoint %s is a worker, which forwards no requests to other nodes",
			alternatives(c.identity.Endpoints)), "",
			"name control-plane nodes with --talos-endpoints, or for good with: "+
				shell.Command("talosctl", "--context", c.identity.Context, "config", "endpoint")+" ADDRESS…")
	}
	has := "no known role"
	if len(c.identity.Roles) > 0 {
		has = strings.Join(c.identity.Roles, ", ")
	}
	return fail(ErrDenied, fmt.Sprintf("%s needs the Talos role %s; context %q has %s", c.what, c.role, c.identity.Context, has), "",
		"an administrator can make a talosconfig that may with: "+
			shell.Command("talosctl", "config", "new", "NEW-TALOSCONFIG", "--roles", c.role))
}

func (c call) unsupported() error {
	return fail(ErrUnsupported, "this release of Talos does not have "+c.what, "",
		"see which it is with: "+shell.Command("talosctl", "-n", c.address, "version"))
}

// unreachable is a request that no endpoint received. text is what the transport
// said, as gRPC keeps no more of the cause.
func (c call) unreachable(text string) error {
	endpoints, origin := alternatives(c.identity.Endpoints), fmt.Sprintf("context %q", c.identity.Context)
	says := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	switch {
	case says("certificate signed by unknown authority", "certificate is not trusted"):
		return fail(ErrTLS, fmt.Sprintf("the Talos API at %s has a certificate of another CA than %s", endpoints, origin), "",
			"the talosconfig is of another cluster or an old one, or the node is in maintenance mode; choose with --talosconfig and --talos-context")
	case says("certificate is valid for", "certificate is not valid for any names", "contain any IP SANs"):
		return fail(ErrTLS, "the Talos API's certificate is not for the endpoint "+endpoints, text,
			"use an endpoint that the certificate names, or add this one to machine.certSANs")
	case says("remote error: tls: expired certificate", "remote error: tls: certificate expired"):
		return fail(ErrExpired, fmt.Sprintf("the Talos API at %s takes the client certificate of %s, which is good until %s, for expired",
			endpoints, origin, c.identity.NotAfter.UTC().Format(time.RFC3339)), "",
			"compare the clocks of this machine and of the nodes: talosctl time")
	case says("remote error: tls:"):
		return fail(ErrTLS, fmt.Sprintf("the Talos API at %s does not accept the client certificate of %s", endpoints, origin), text,
			"the talosconfig is of another cluster or an old one; choose with --talosconfig and --talos-context")
	case says("failed to verify certificate"):
		return fail(ErrTLS, "the Talos API's certificate at "+endpoints+" is not trusted", text,
			"compare the clocks of this machine and of the nodes")
	}
	return fail(ErrUnreachable, "no answer from the Talos API at "+endpoints, text,
		fmt.Sprintf("check that it is up and that this is the cluster you mean (%s); other endpoints can be named with --talos-endpoints",
			origin))
}

// alternatives are the endpoints, of which a request takes one.
func alternatives(endpoints []string) string {
	return strings.ReplaceAll(quoted(endpoints), ", ", " or ")
}
