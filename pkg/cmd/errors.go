// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rights"
)

// The exit codes, the same for every output format.
const (
	exitDone   = 0
	exitFailed = 1 // could not, or not on every node, or usage
	// exitFound and exitUnknown are doctor's: it found problems; it found none, but could not look everywhere.
	exitFound   = 2
	exitUnknown = 3
)

// exitCode ends the program with a code other than 1. All that is to be said was said.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is a command line that makes no sense.
type usageError struct {
	command string // its full path
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage says that err is the fault of the command line. It returns nil if err is nil.
func usage(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return &usageError{command: cmd.CommandPath(), err: err}
}

// report prints err on stderr and returns the exit code. It is the only place that does either.
func (s *shared) report(err error) int {
	if err == nil {
		return exitDone
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	fmt.Fprint(s.ErrOut, s.render(err))
	return exitFailed
}

// render is the text of an error:
//
//	error: one sentence: and its cause
//	  hint: what to do next
//
// With a failure.Partial each part has its own line and hint below the summary; a hint that is
// the same for several in a row comes once, after them.
func (s *shared) render(err error) string {
	style := s.Colour.Style(s.ErrOut)
	var b strings.Builder
	line := func(indent, text, hint string) {
		b.WriteString(strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+indent+"  ") + "\n")
		if hint != "" {
			b.WriteString("  " + style.Hint("hint:") + " " + strings.ReplaceAll(hint, "\n", "\n        ") + "\n")
		}
	}
	b.WriteString(style.Error("error:") + " ")

	var partial *failure.Partial
	if errors.As(err, &partial) {
		line("", strings.Replace(err.Error(), partial.Error(), partial.Message, 1), "")
		for i, part := range partial.Parts {
			text, hint := s.explain(part.Err)
			if i+1 < len(partial.Parts) {
				if _, next := s.explain(partial.Parts[i+1].Err); next == hint {
					hint = ""
				}
			}
			b.WriteString("  " + part.Subject + ": ")
			line("  ", text, hint)
		}
		return b.String()
	}
	text, hint := s.explain(err)
	line("", text, hint)
	var wrong *usageError
	if errors.As(err, &wrong) {
		fmt.Fprintf(&b, "See '%s --help' for usage.\n", wrong.command)
	}
	return b.String()
}

// explain returns the text of err and a hint. What the Kubernetes libraries say badly is said again; what the rooms
// wrapped around it stays, and their hints win.
func (s *shared) explain(err error) (text, hint string) {
	text, hint = err.Error(), failure.Hint(err)
	cause, better, help := s.translate(err)
	if cause != nil {
		text = strings.Replace(text, cause.Error(), better, 1)
	}
	if hint == "" {
		hint = help
	}
	return text, hint
}

// translate finds the error of the Kubernetes libraries inside err and returns it with a better text and a hint, or nil.
func (s *shared) translate(err error) (cause error, text, hint string) {
	var (
		status  apierrors.APIStatus
		request *url.Error
		dial    *net.OpError
		several *observe.SeveralError
	)
	switch {
	case errors.As(err, &several):
		return nil, "", s.chooseHint(several)
	case clientcmd.IsEmptyConfig(err):
		return innermost(err, clientcmd.IsEmptyConfig), "no kubeconfig found",
			"set KUBECONFIG or pass --kubeconfig; on Talos \"talosctl kubeconfig\" writes one"
	case clientcmd.IsContextNotFound(err), missing.MatchString(err.Error()):
		return nil, "", "see what the kubeconfig has with: kubectl config get-contexts"
	case clientcmd.IsConfigurationInvalid(err):
		return innermost(err, clientcmd.IsConfigurationInvalid), err.Error(), "look at it with: kubectl config view"
	case errors.As(err, &status):
		return s.translateStatus(status)
	case errors.As(err, &request):
		return request, s.unreachable(request), s.unreachableHint(request)
	case errors.As(err, &dial) && dial.Op == "dial":
		return dial, fmt.Sprintf("cannot reach the Kubernetes API server %q: %v", s.server(), dial), s.kubeconfigHint()
	case errors.Is(err, context.DeadlineExceeded) && err.Error() == context.DeadlineExceeded.Error():
		return err, "it took too long", ""
	case errors.Is(err, context.Canceled):
		return context.Canceled, "interrupted", ""
	}
	return nil, "", ""
}

// missing is what client-go says when a flag names what the kubeconfig does not have.
var missing = regexp.MustCompile(`\b(context|cluster|auth info) "[^"]*" does not exist$`)

// innermost returns the deepest error of the chain that still is one, as that is the one whose text is in the way.
func innermost(err error, is func(error) bool) error {
	for {
		next := errors.Unwrap(err)
		if next == nil || !is(next) {
			return err
		}
		err = next
	}
}

func (s *shared) translateStatus(status apierrors.APIStatus) (cause error, text, hint string) {
	cause, ok := status.(error)
	if !ok {
		return nil, "", ""
	}
	text = cause.Error()
	switch {
	case apierrors.IsForbidden(cause):
		if forbidden, ok := rights.ParseForbidden(status.Status().Message); ok {
			return cause, forbidden.Refusal().Message(), forbidden.Refusal().Hint()
		}
		return cause, text, "ask what you may do with: kubectl auth can-i --list"
	case apierrors.IsUnauthorized(cause):
		return cause, fmt.Sprintf("the Kubernetes API server %q does not accept the credentials", s.server()),
			"they may have expired" + s.origin(" (they are from %s)") + "; see who you are with: kubectl auth whoami"
	case apierrors.IsTimeout(cause), apierrors.IsServerTimeout(cause):
		return cause, fmt.Sprintf("the Kubernetes API server %q did not answer in time: %s", s.server(), text), "try again"
	case apierrors.IsTooManyRequests(cause):
		return cause, fmt.Sprintf("the Kubernetes API server %q is too busy: %s", s.server(), text), "try again with a lower --concurrency"
	case status.Status().Reason == metav1.StatusReasonServiceUnavailable:
		return cause, fmt.Sprintf("the Kubernetes API server %q is not available: %s", s.server(), text), "try again"
	}
	return cause, text, ""
}

func (s *shared) unreachable(request *url.Error) string {
	server := s.server()
	if u, err := url.Parse(request.URL); err == nil {
		server = u.Scheme + "://" + u.Host
	}
	late, ok := errors.AsType[*failure.TimeoutError](request.Err)
	switch {
	case errors.Is(request.Err, context.Canceled):
		return "interrupted"
	case ok:
		return (&failure.TimeoutError{After: late.After, From: fmt.Sprintf("the Kubernetes API server %q", server)}).Error()
	case request.Timeout():
		return fmt.Sprintf("the Kubernetes API server %q did not answer in time", server)
	}
	return fmt.Sprintf("cannot reach the Kubernetes API server %q: %v", server, request.Err)
}

func (s *shared) unreachableHint(request *url.Error) string {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
	)
	switch {
	case errors.Is(request.Err, context.Canceled):
		return ""
	case errors.As(request.Err, &unknown), errors.As(request.Err, &host):
		return "the kubeconfig is for another cluster or an old one" + s.origin(" (it is %s)")
	}
	return s.kubeconfigHint()
}

func (s *shared) kubeconfigHint() string {
	return "check that it is up and that this is the cluster you mean" + s.origin(" (from %s)") + ": kubectl cluster-info"
}

// server is the address of the API server that the flags choose, or "".
func (s *shared) server() string {
	config, err := s.RESTConfig()
	if err != nil {
		return ""
	}
	return config.Host
}

// origin says in format where the address of the API server comes from, or nothing if that is not known.
func (s *shared) origin(format string) string {
	raw, err := s.Kube.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return ""
	}
	name := raw.CurrentContext
	if s.Kube.Context != nil && *s.Kube.Context != "" {
		name = *s.Kube.Context
	}
	c, ok := raw.Contexts[name]
	if !ok || c.LocationOfOrigin == "" {
		return ""
	}
	return fmt.Sprintf(format, fmt.Sprintf("context %q in %s", name, c.LocationOfOrigin))
}
