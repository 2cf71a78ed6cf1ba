// SPDX-License-Identifier: Apache-2.0

package problem

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/rights"
)

// UnmarshalJSON reads a problem. In a snapshot of version 1 it is the text alone.
func (p *Problem) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err == nil {
		*p = FromText(text)
		return nil
	}
	type plain Problem
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	*p = Problem{}
	return decoder.Decode((*plain)(p))
}

// oldText is how the programs that wrote version 1 of a snapshot said what is a kind today.
type oldText struct {
	kind  Kind
	parts []string
}

// oldTexts are those of the kinds that only the text says.
func oldTexts() []oldText {
	return []oldText{
		{TalosNotConfigured, []string{"no talosconfig was found"}},
		{TalosConfig, []string{"talosconfig ", " cannot be used"}},
		{TalosConfig, []string{"the Talos API cannot be used"}},
		{TalosExpired, []string{"the client certificate of Talos context", " ended at "}},
		{TalosExpired, []string{"takes the client certificate of", "for expired"}},
		{TalosDenied, []string{"needs the Talos role "}},
		{TalosDenied, []string{"does not know who context"}},
		{TalosForwarding, []string{"is a worker, which forwards no requests"}},
		{TalosOtherNode, []string{"calls itself", "in Kubernetes, not"}},
		{TalosOtherNode, []string{"is another machine than node"}},
		{TalosUnproven, []string{"it is not proved that the node at", "of Kubernetes"}},
		{TalosTLS, []string{"has a certificate of another CA"}},
		{TalosTLS, []string{"certificate is not for the endpoint"}},
		{TalosTLS, []string{"does not accept the client certificate"}},
		{TalosTLS, []string{"the Talos API's certificate at", "is not trusted"}},
		{TalosUnreachable, []string{"no answer from the Talos API at"}},
		{TalosUnreachable, []string{"the Talos API endpoint", "does not reach the node"}},
		{TalosUnreachable, []string{"the connection to the node at", "broke"}},
		{NoAnswer, []string{"asking the Talos API at", "deadline exceeded"}},
		{NoAnswer, []string{"asking the Talos API at", "no answer within"}},
	}
}

var (
	oldStarting = regexp.MustCompile(`the kubelet on (\S+) does not know its pods yet, as after a start`)
	oldTaint    = regexp.MustCompile(`^the DaemonSet does not tolerate the node's taint (.*)$`)
)

// FromText is the problem that a snapshot of version 1 has as a text.
func FromText(text string) Problem {
	p := Problem{Message: text}
	if forbidden, ok := rights.ParseForbidden(text); ok {
		p.Kind, p.Forbidden = Forbidden, &forbidden
	}
	if m := oldStarting.FindStringSubmatch(text); m != nil {
		p.Kind, p.Object = KubeletStarting, m[1]
		return p
	}
	if m := oldTaint.FindStringSubmatch(text); m != nil {
		p.Kind, p.Object = NotTolerated, m[1]
		return p
	}
	switch {
	case strings.HasSuffix(text, "has no pod there"):
		p.Kind = NoPod
	case strings.HasPrefix(text, "pod ") && strings.HasSuffix(text, "is being deleted"):
		p.Kind = PodDeleted
	case strings.HasPrefix(text, "container "), strings.HasPrefix(text, "pod "):
		p.Kind = PodDown
	case strings.HasPrefix(text, "no DaemonSet"):
		p.Kind = NoProvisioner
	case strings.HasPrefix(text, "several provisioners"):
		p.Kind = SeveralProvisioners
	case strings.HasPrefix(text, "ConfigMap"):
		p.Kind = BadClasses
	default:
		for _, old := range oldTexts() {
			if !slices.ContainsFunc(old.parts, func(part string) bool { return !strings.Contains(text, part) }) {
				p.Kind = old.kind
				break
			}
		}
	}
	return p
}
