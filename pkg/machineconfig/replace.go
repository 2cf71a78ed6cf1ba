// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// replacements are the letters that make new scalars of old ones in entries, of which the first many are counted.
func (t editor) replacements(all []Replacement, many int) ([]splice, error) {
	entries := t.entries()
	var letters []splice
	for i, r := range all {
		if slices.Contains(all[:i], r) {
			continue
		}
		if err := t.plainEntries(entries, []int{r.Entry}, many, "changed", "replace "+r.Old+" by "+r.New+" there"); err != nil {
			return nil, err
		}
		_, list := child(entries[r.Entry], r.Key)
		more, ok := strings.CutSuffix(r.New, r.Old)
		if list == nil || !ok {
			continue
		}
		for _, scalar := range list.Content {
			if !r.of(scalar) {
				continue
			}
			at := t.start(scalar)
			if scalar.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
				at++
			}
			letters = append(letters, splice{at, at, more}) // Where it is written otherwise, the comparison afterwards refuses it.
		}
	}
	return letters, nil
}

// of reports whether a scalar is one that is replaced.
func (r Replacement) of(scalar *yaml.Node) bool {
	return scalar.Kind == yaml.ScalarNode && scalar.Value == r.Old
}

// replaced is an entry's node as the replacement leaves it.
func (r Replacement) replaced(entry *yaml.Node) *yaml.Node {
	n := *entry
	n.Content = slices.Clone(entry.Content)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != r.Key {
			continue
		}
		list := *n.Content[i+1]
		list.Content = slices.Clone(list.Content)
		for j, scalar := range list.Content {
			if r.of(scalar) {
				other := *scalar
				other.Value = r.New
				list.Content[j] = &other
			}
		}
		n.Content[i+1] = &list
	}
	return &n
}
