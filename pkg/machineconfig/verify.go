// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// edited reports whether a change, and nothing else, lies between two texts: the same documents, the same values everywhere but
// in the list, and there the entries that stay, as they were except for what was to be replaced, and then those that were added.
func (l List) edited(before, after *Text, c Change) bool {
	if len(before.docs) != len(after.docs) {
		return false
	}
	own, err := before.Main()
	if err != nil {
		return false
	}
	for i, doc := range before.docs {
		if doc == own {
			if !sameBut(doc, after.docs[i], l.Path) {
				return false
			}
		} else if !same(doc, after.docs[i]) {
			return false
		}
	}
	return l.changed(before, after, c)
}

// changed reports whether the entries are those that a change leaves.
func (l List) changed(before, after *Text, c Change) bool {
	var kept []*yaml.Node
	for i, entry := range (editor{before, l}).entries() {
		if slices.Contains(c.Remove, i) {
			continue
		}
		for _, r := range c.Replace {
			if r.Entry == i {
				entry = r.replaced(entry)
			}
		}
		kept = append(kept, entry)
	}
	entries := (editor{after, l}).entries()
	if len(entries) != len(kept)+len(c.Add) {
		return false
	}
	for i, entry := range kept {
		if !same(entry, entries[i]) {
			return false
		}
	}
	values, err := l.Read(after)
	if err != nil || len(values) != len(entries) {
		return false
	}
	return slices.EqualFunc(values[len(kept):], c.Add, sameValue)
}

// sameValue compares values as they would be written.
func sameValue(a, b any) bool {
	x, err1 := node(a)
	y, err2 := node(b)
	return err1 == nil && err2 == nil && same(x, y)
}

// same compares nodes. It does not follow aliases: the anchor is compared where it is.
func same(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Style == b.Style && a.Tag == b.Tag && a.Value == b.Value && a.Anchor == b.Anchor &&
		slices.EqualFunc(a.Content, b.Content, same)
}

// sameBut compares mappings, except for what lies under a path of keys. To Talos a key
// that is not there, a null and an empty mapping are the same on that path.
func sameBut(a, b *yaml.Node, path []string) bool {
	if len(path) == 0 {
		return true
	}
	restA, nextA, okA := rest(a, path[0])
	restB, nextB, okB := rest(b, path[0])
	return okA && okB && slices.EqualFunc(restA, restB, same) && sameBut(nextA, nextB, path[1:])
}

// rest is a mapping's content without a key, and that key's value.
func rest(n *yaml.Node, name string) (others []*yaml.Node, value *yaml.Node, ok bool) {
	if isNull(n) {
		return nil, nil, true
	}
	if n.Kind != yaml.MappingNode {
		return nil, nil, false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Kind == yaml.ScalarNode && n.Content[i].Value == name {
			value = n.Content[i+1]
		} else {
			others = append(others, n.Content[i], n.Content[i+1])
		}
	}
	return others, value, true
}
