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
	)
	switch {
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
		if rule, ok := parseForbidden(status.Status().Message); ok {
			return cause, rule.text(), rule.hint()
		}
		return cause, text, "ask what you may do with: kubectl auth can-i --list"
	case apierrors.IsUnauthorized(cause):
		return cause, fmt.Sprintf("the Kubernetes API server %q does not accept the credentials", s.server()),
			"they may have expired; see who you are with: kubectl auth whoami" + s.origin(" (credentials from %s)")
	case apierrors.IsTimeout(cause), apierrors.IsServerTimeout(cause):
		return cause, fmt.Sprintf("the Kubernetes API server %q did not answer in time: %s", s.server(), text), "try again"
	case apierrors.IsTooManyRequests(cause):
		return cause, fmt.Sprintf("the Kubernetes API server %q is too busy: %s", s.server(), text), "try again with a lower --concurrency"
	case status.Status().Reason == metav1.StatusReasonServiceUnavailable:
		return cause, fmt.Sprintf("the Kubernetes API server %q is not available: %s", s.server(), text), "try again"
	}
	return cause, text, ""
}

// forbidden is a right that is missing.
type forbidden struct {
	user, verb, resource, group, namespace string
}

// The message of the API server's authorizer, kubernetes/pkg apimachinery's NewForbidden around responsewriters.ForbiddenMessage (1.37).
var forbiddenMessage = regexp.MustCompile(
	`User "([^"]*)" cannot (\S+) resource "([^"]*)" in API group "([^"]*)"(?: in the namespace "([^"]*)"| at the cluster scope)?`)

func parseForbidden(message string) (forbidden, bool) {
	m := forbiddenMessage.FindStringSubmatch(message)
	if m == nil {
		return forbidden{}, false
	}
	return forbidden{user: m[1], verb: m[2], resource: m[3], group: m[4], namespace: m[5]}, true
}

// qualified is the resource as kubectl's --resource takes it: pods/exec, storageclasses.storage.k8s.io.
func (f forbidden) qualified() string {
	resource, sub, hasSub := strings.Cut(f.resource, "/")
	if f.group != "" {
		resource += "." + f.group
	}
	if hasSub {
		resource += "/" + sub
	}
	return resource
}

func (f forbidden) text() string {
	where := ""
	if f.namespace != "" {
		where = fmt.Sprintf(" in namespace %q", f.namespace)
	}
	return fmt.Sprintf("user %q may not %s %s%s", f.user, f.verb, f.qualified(), where)
}

func (f forbidden) hint() string {
	kind, in := "clusterrole", ""
	if f.namespace != "" {
		kind, in = "role", " -n "+quote(f.namespace)
	}
	role := strings.NewReplacer("/", "-", ".", "-").Replace("talosdisk-" + f.verb + "-" + f.qualified())
	who := "--user=" + quote(f.user)
	if account, ok := strings.CutPrefix(f.user, "system:serviceaccount:"); ok {
		who = "--serviceaccount=" + quote(account)
	}
	return fmt.Sprintf("an administrator can allow it with:\nkubectl create %[1]s %[2]s%[3]s --verb=%[4]s --resource=%[5]s\nkubectl create %[1]sbinding %[2]s%[3]s --%[1]s=%[2]s %[6]s",
		kind, role, in, f.verb, f.qualified(), who)
}

// quote is s for a shell.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@+=", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (s *shared) unreachable(request *url.Error) string {
	server := s.server()
	if u, err := url.Parse(request.URL); err == nil {
		server = u.Scheme + "://" + u.Host
	}
	switch {
	case errors.Is(request.Err, context.Canceled):
		return "interrupted"
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
