// SPDX-License-Identifier: Apache-2.0

// Package talosrelease knows what holds in which release of Talos Linux: which documents, resources and mounts it has,
// who may read them, and what goes wrong when its kubelet restarts. No other package compares releases.
//
// The facts are from the sources of Talos v1.6.0 to v1.14.0-rc.1; each names its file, commit or issue.
package talosrelease

import (
	"errors"
	"fmt"
	"strings"

	utilversion "k8s.io/apimachinery/pkg/util/version"
)

// The releases that this package knows.
const (
	oldestMinor = 6
	newestMinor = 14
)

// Oldest is the oldest release that the program supports, as people write it.
var Oldest = fmt.Sprintf("v1.%d", oldestMinor)

// Release is a release of Talos. The zero value is one that is not known.
//
// A pre-release counts as its release wherever a fact depends on it.
type Release struct{ v *utilversion.Version }

// Parse reads a tag ("v1.14.0-rc.1", "1.13.2") or what Talos reports as a node's osImage ("Talos (v1.14.0)").
func Parse(s string) (Release, error) {
	tag := s
	if inner, ok := strings.CutPrefix(tag, "Talos ("); ok {
		tag = strings.TrimSuffix(inner, ")")
	}
	v, err := utilversion.ParseSemantic(tag)
	if err != nil {
		return Release{}, fmt.Errorf("%q is no version of Talos", s)
	}
	return Release{v: v}, nil
}

// Known reports whether there is a release at all.
func (r Release) Known() bool { return r.v != nil }

// String is the tag, "v1.14.0-rc.1"; empty if it is not known.
func (r Release) String() string {
	if r.v == nil {
		return ""
	}
	return "v" + r.v.String()
}

// MarshalText makes the release a string in JSON and YAML.
func (r Release) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (r *Release) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*r = Release{}
		return nil
	}
	parsed, err := Parse(string(b))
	if err == nil {
		*r = parsed
	}
	return err
}

// Supported is an error for a release that is not known or older than Oldest.
func (r Release) Supported() error {
	switch {
	case r.v == nil:
		return errors.New("its version of Talos is not known")
	case !r.since(oldestMinor, 0):
		return fmt.Errorf("it runs Talos %s, and %s is the oldest release whose mounts are known", r, Oldest)
	}
	return nil
}

// Newer is a warning if the release is newer than what this package knows; it is then taken to behave like the newest
// one known. Empty if it is not.
func (r Release) Newer() string {
	if !r.since(newestMinor+1, 0) {
		return ""
	}
	return fmt.Sprintf("Talos %s is newer than v1.%d, the newest release that this program knows: it is taken to behave like that one", r,
		newestMinor)
}

// Has reports whether a fact holds on the release. Nothing is known to hold on one that is not known.
func (r Release) Has(f Fact) bool { return r.in(facts[f].when) }

// since reports whether the release is v1.minor.patch or later.
func (r Release) since(minor, patch uint) bool {
	if r.v == nil {
		return false
	}
	core := [3]uint{r.v.Major(), r.v.Minor(), r.v.Patch()}
	from := [3]uint{1, minor, patch}
	for i := range core {
		if core[i] != from[i] {
			return core[i] > from[i]
		}
	}
	return true
}

// span is a run of releases: from one on, and before another one. The zero value of either is no bound; a release that is
// not known counts as one older than all.
type span struct{ from, before number }

// number is a release of Talos 1.
type number struct{ minor, patch uint }

func (n number) String() string { return fmt.Sprintf("v1.%d.%d", n.minor, n.patch) }

// from is every release from v1.minor.0 on.
func from(minor uint) []span { return []span{{from: number{minor, 0}}} }

func (r Release) in(spans []span) bool {
	for _, s := range spans {
		begun := s.from == number{} || r.since(s.from.minor, s.from.patch)
		ended := s.before != number{} && r.since(s.before.minor, s.before.patch)
		if begun && !ended {
			return true
		}
	}
	return false
}
