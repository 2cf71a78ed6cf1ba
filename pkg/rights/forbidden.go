// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"regexp"
	"slices"
	"strings"
)

// Forbidden is what the API server refused.
type Forbidden struct {
	// User is who may not, as the API server calls them.
	User    string  `json:"user,omitempty"`
	Missing []Right `json:"missing"`
}

// And is both; each right counts once. Either may be nil.
func (f *Forbidden) And(other *Forbidden) *Forbidden {
	switch {
	case f == nil:
		return other
	case other == nil:
		return f
	}
	both := &Forbidden{User: f.User, Missing: slices.Clone(f.Missing)}
	for _, r := range other.Missing {
		if !slices.Contains(both.Missing, r) {
			both.Missing = append(both.Missing, r)
		}
	}
	return both
}

// Refusal is the same for people.
func (f Forbidden) Refusal() Refusal { return Refusal{User: f.User, Missing: f.Missing} }

// refused is how the API server's authorizer refuses (Kubernetes v1.37, apiserver,
// pkg/endpoints/handlers/responsewriters/errors.go).
var refused = regexp.MustCompile(`User "([^"]*)" cannot (\S+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?`)

// ParseForbidden reads the refusals of the API server in a text; false: there is none.
func ParseForbidden(text string) (Forbidden, bool) {
	var f Forbidden
	for _, m := range refused.FindAllStringSubmatch(text, -1) {
		resource, sub, _ := strings.Cut(m[3], "/")
		r := Right{Verb: m[2], Group: m[4], Resource: resource, Subresource: sub, Namespace: m[5]}
		f.User = m[1]
		if !slices.Contains(f.Missing, r) {
			f.Missing = append(f.Missing, r)
		}
	}
	return f, len(f.Missing) > 0
}
