// SPDX-License-Identifier: Apache-2.0

// Package problem is why something is not known, as a value: what kind of reason it is, what it is about, and the text for
// people. Who decides goes by the kind, the object and the rights, and never by the text.
package problem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/rights"
)

// Kind is what sort of problem it is. The empty Kind is a problem that nothing is decided by.
type Kind string

// The kinds of problems with Kubernetes, and with the provisioner in it.
const (
	// Forbidden: the API server refuses; Forbidden has the rights.
	Forbidden Kind = "forbidden"
	// NoAnswer: an answer did not come in time.
	NoAnswer Kind = "no answer"
	// KubeletStarting: the kubelet of the node Object does not know its pods yet.
	KubeletStarting Kind = "kubelet starting"
	// NoProvisioner: there is no DaemonSet of the provisioner.
	NoProvisioner Kind = "no provisioner"
	// SeveralProvisioners: there are several, and none was chosen.
	SeveralProvisioners Kind = "several provisioners"
	// BadClasses: the provisioner's ConfigMap is missing or not understood.
	BadClasses Kind = "unusable classes"
	// NoPod: the provisioner has no pod on the node and should have one.
	NoPod Kind = "no pod there"
	// PodDown: the provisioner's pod is there, and its container does not run.
	PodDown Kind = "pod down"
	// PodDeleted: the provisioner's pod is being deleted.
	PodDeleted Kind = "pod deleted"
	// NotTolerated: the provisioner has no pod on the node because of the taint Object, "key=value:Effect".
	NotTolerated Kind = "taint not tolerated"
)

// The kinds of problems with the Talos API; errors of package talos have them.
const (
	// TalosNotConfigured: there is no talosconfig, and none was asked for.
	TalosNotConfigured Kind = "not configured"
	// TalosConfig: the talosconfig is missing, cannot be read, or lacks something.
	TalosConfig Kind = "unusable talosconfig"
	// TalosUnreachable: no endpoint can be reached, or no endpoint can reach the node.
	TalosUnreachable Kind = "unreachable"
	// TalosTLS: one side does not trust the other's certificate.
	TalosTLS Kind = "not trusted"
	// TalosExpired: the client certificate has ended.
	TalosExpired Kind = "certificate expired"
	// TalosDenied: the client certificate's roles are too weak.
	TalosDenied Kind = "role too weak"
	// TalosForwarding: the endpoint is a worker, which forwards nothing to other nodes.
	TalosForwarding Kind = "no request forwarding"
	// TalosOtherNode: the address belongs to another node.
	TalosOtherNode Kind = "another node"
	// TalosUnproven: it is not known whether the address belongs to that node.
	TalosUnproven Kind = "not proved"
)

// Problem is why something is not known. The zero Problem is none.
type Problem struct {
	Kind Kind `json:"kind,omitempty"`
	// Message is the text for people, one sentence.
	Message string `json:"message"`
	// Object is what the problem is about, where its kind says so.
	Object string `json:"object,omitempty"`
	// Forbidden are the rights that are missing, in whatever kind of problem the API server's refusal is a part.
	Forbidden *rights.Forbidden `json:"forbidden,omitempty"`
}

// IsZero reports whether there is no problem.
func (p Problem) IsZero() bool { return p == Problem{} }

// String is the text for people.
func (p Problem) String() string { return p.Message }

// Is reports whether the problem is of one of the kinds.
func (p Problem) Is(kinds ...Kind) bool { return slices.Contains(kinds, p.Kind) }

// Text is a problem that nothing is decided by. No text is no problem.
func Text(message string) Problem { return Problem{Message: message} }

// Because is a problem whose text holds other problems, as arguments of a format. It has the kind, the object and
// the rights of the first of them that has any.
func Because(format string, args ...any) Problem {
	var p Problem
	for _, arg := range args {
		if of, ok := arg.(Problem); ok && (of.Kind != "" || of.Forbidden != nil) {
			p = of
			break
		}
	}
	p.Message = fmt.Sprintf(format, args...)
	return p
}

// Join is one problem of several, as their texts in one line; each text counts once. It has the rights of all of
// them, and the kind and the object of the first that has a kind.
func Join(all []Problem) Problem {
	var joined Problem
	var texts []string
	for _, p := range all {
		if p.IsZero() || slices.Contains(texts, p.Message) {
			continue
		}
		texts = append(texts, p.Message)
		if joined.Kind == "" {
			joined.Kind, joined.Object = p.Kind, p.Object
		}
		joined.Forbidden = joined.Forbidden.And(p.Forbidden)
	}
	joined.Message = strings.Join(texts, "; ")
	return joined
}

// Starting is what is not known because a node's kubelet has just started, in the same words whatever was asked of it.
func Starting(node string) Problem {
	return Problem{
		Kind: KubeletStarting, Object: node,
		Message: fmt.Sprintf("the kubelet on %s does not know its pods yet, as after a start: ask again in a minute", node),
	}
}

// Error is an error whose problem is of a kind.
type Error struct {
	Kind Kind
	Err  error
}

// Error is the error's own text.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap leads to the error.
func (e *Error) Unwrap() error { return e.Err }

// ProblemKind is what From goes by.
func (e *Error) ProblemKind() Kind { return e.Kind }

// WithKind gives an error the kind of problem that it will be; nil stays nil.
func WithKind(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Err: err}
}

// From is an error as a problem. Errors say by ProblemKind which kind they are; the refusals of the API server and the
// end of a request's time are known as such. No error is no problem.
func From(err error) Problem {
	if err == nil {
		return Problem{}
	}
	p := Problem{Message: err.Error()}
	if forbidden, ok := rights.ParseForbidden(p.Message); ok {
		p.Kind, p.Forbidden = Forbidden, &forbidden
	}
	var of interface{ ProblemKind() Kind }
	switch {
	case errors.As(err, &of) && of.ProblemKind() != "":
		p.Kind = of.ProblemKind()
	case p.Kind == "" && errors.Is(err, context.DeadlineExceeded):
		p.Kind = NoAnswer
	}
	return p
}
