// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// Acceptance is one --accept: a reason that does not speak against a link,
// everywhere or for one disk of one node.
type Acceptance struct {
	Reason disk.Reason
	// Node and Disk are empty or both set.
	Node, Disk string
}

// ParseAcceptance reads REASON or REASON=NODE/DISK.
func ParseAcceptance(s string) (Acceptance, error) {
	word, where, scoped := strings.Cut(s, "=")
	a := Acceptance{Reason: disk.Reason(word)}
	switch {
	case slices.Contains(disk.AcceptableReasons(), a.Reason):
	case slices.Contains(disk.Reasons(), a.Reason):
		return Acceptance{}, fmt.Errorf("reason %q cannot be accepted; %s can", word, acceptable())
	default:
		return Acceptance{}, fmt.Errorf("reason %q does not exist; one of %s can be accepted", word, acceptable())
	}
	if scoped {
		var ok bool
		a.Node, a.Disk, ok = strings.Cut(where, "/")
		if !ok || a.Node == "" || a.Disk == "" {
			return Acceptance{}, fmt.Errorf("%q does not name a disk as NODE/DISK", s)
		}
	}
	return a, nil
}

func acceptable() string {
	words := make([]string, 0, len(disk.AcceptableReasons()))
	for _, r := range disk.AcceptableReasons() {
		words = append(words, string(r))
	}
	return strings.Join(words, ", ")
}

// accepts reports whether one of the acceptances is for this reason on this disk.
func accepts(all []Acceptance, r disk.Reason, node, name string) bool {
	return r.Acceptable() && slices.ContainsFunc(all, func(a Acceptance) bool {
		return a.Reason == r && (a.Node == "" || a.Node == node && a.Disk == name)
	})
}

// Against is what speaks against giving the disk away and is not accepted.
func (u DiskUse) Against(accepted []Acceptance) []disk.Objection {
	return slices.DeleteFunc(slices.Clone(u.Objections), func(o disk.Objection) bool { return accepts(accepted, o.Reason, u.Node, u.Name) })
}

// Accepts reports whether one of the acceptances is for a reason on the disk.
func (u DiskUse) Accepts(accepted []Acceptance, r disk.Reason) bool {
	return accepts(accepted, r, u.Node, u.Name)
}
