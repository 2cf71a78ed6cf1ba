// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// Change is what shall become of machine.kubelet.extraMounts.
type Change struct {
	// Remove are indexes of Config.ExtraMounts.
	Remove []int
	// Rebind are indexes of those whose option bind becomes rbind.
	Rebind []int
	// Add are new entries, below those that stay.
	Add []ExtraMount
}

// mountsPath is where the entries are in the v1alpha1 document.
var mountsPath = [...]string{"machine", "kubelet", "extraMounts"}

const byHand = "write the entry by hand with talosctl edit machineconfig; kubectl talosdisk mounts -o patch prints it"

// Edit changes machine.kubelet.extraMounts and nothing else: YAML nodes only tell
// where something is, the bytes there are replaced, and the result is read again and
// compared. Comments, order, line breaks and all other documents stay as they are.
//
// A list in brackets stays one; other entries are written as their neighbours are. An
// option that becomes rbind gets one letter more, whatever stands around it. A key that
// is left without entries goes with them, unless somebody wrote a comment to it.
// What cannot be changed in this way is refused: aliases, merge keys and tags on the
// way to the entries, keys that are there twice.
func Edit(raw []byte, c Change) ([]byte, error) {
	if err := valid(c.Add); err != nil {
		return nil, err
	}
	t, err := parseText(raw)
	if err != nil {
		return nil, err
	}
	if err := t.editable(); err != nil {
		return nil, err
	}
	if kubelet := t.at(mountsPath[:2]...); len(c.Add) > 0 && isNull(kubelet) && len(t.kind("KubeletConfig")) > 0 {
		return nil, failure.New(`the machine configuration has a "KubeletConfig" document, beside which Talos takes no extra mounts`,
			"use a directory below /var/mnt or /dev, which the kubelet sees anyway, or convert it with kubectl talosdisk mounts --convert-kubelet-config")
	}
	// Adding comes first, so that a list whose entries are all replaced stays where it is.
	edited := t
	if len(c.Add) > 0 {
		if edited, err = edited.choose(t.additions(c.Add), t, Change{Add: c.Add}); err != nil {
			return nil, err
		}
	}
	if len(c.Rebind) > 0 {
		letters, err := edited.rebinds(c.Rebind, len(t.entries()))
		if err != nil {
			return nil, err
		}
		if edited, err = edited.choose([][]splice{letters}, t, Change{Add: c.Add, Rebind: c.Rebind}); err != nil {
			return nil, err
		}
	}
	if len(c.Remove) > 0 {
		removals, err := edited.removals(c.Remove, len(t.entries()))
		if err != nil {
			return nil, err
		}
		if edited, err = edited.choose(removals, t, c); err != nil {
			return nil, err
		}
	}
	return edited.raw, nil
}

// valid refuses what has no business in a path or a mount option, and what YAML could not hold as it is.
func valid(add []ExtraMount) error {
	for _, m := range add {
		for _, s := range append([]string{m.Destination, m.Type, m.Source}, m.Options...) {
			if !utf8.ValidString(s) || slices.ContainsFunc([]rune(s), func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) {
				return failure.New(fmt.Sprintf("the extra mount %q has control characters", m.Destination), "")
			}
		}
	}
	return nil
}

// at is the value under a path of keys in the v1alpha1 document, nil if there is none.
func (t *text) at(path ...string) *yaml.Node {
	n, err := t.v1alpha1()
	if err != nil {
		return nil
	}
	for _, name := range path {
		_, n = child(n, name)
	}
	return n
}

// entries are the nodes of machine.kubelet.extraMounts.
func (t *text) entries() []*yaml.Node {
	if list := t.at(mountsPath[:]...); list != nil && list.Kind == yaml.SequenceNode {
		return list.Content
	}
	return nil
}

// editable refuses what cannot be edited so that it is certain what Talos reads afterwards.
func (t *text) editable() error {
	for _, doc := range t.docs {
		if line := duplicate(doc); line > 0 {
			return failure.New(fmt.Sprintf("the machine configuration has the same key twice (line %d)", line), "take one of them out with talosctl edit machineconfig")
		}
	}
	// Read as Talos would read it, what is no list or no entry is refused.
	if _, err := t.config(); err != nil {
		return err
	}
	node, err := t.v1alpha1()
	if err != nil {
		return err
	}
	name := ""
	for _, next := range append(mountsPath[:], "") {
		if err := t.direct(node, name); err != nil {
			return err
		}
		if isNull(node) || next == "" {
			return nil
		}
		if merge, _ := child(node, "<<"); merge != nil {
			return indirect(merge, name)
		}
		key, value := child(node, next)
		if key == nil {
			return nil
		}
		if name != "" {
			name += "."
		}
		name += next
		if err := t.direct(key, name); err != nil {
			return err
		}
		if column, _ := t.first(key.Line - 1); node.Style&yaml.FlowStyle == 0 && column != key.Column-1 {
			return failure.New(fmt.Sprintf("the machine configuration has the key %q behind something else on its line (line %d)", name, key.Line), byHand)
		}
		node = value
	}
	return nil
}

// direct refuses a node of which another could be meant too.
func (t *text) direct(n *yaml.Node, name string) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return indirect(n, name)
	}
	return nil
}

func indirect(n *yaml.Node, name string) error {
	if name == "" {
		name = "machine"
	}
	return failure.New(fmt.Sprintf("the machine configuration uses an anchor, an alias, a merge key or a tag at %q (line %d), where no edit is safe", name, n.Line),
		"write it out with talosctl edit machineconfig, or "+byHand)
}

// duplicate is the line of a key that its mapping already has, 0 if there is none.
func duplicate(n *yaml.Node) int {
	if n.Kind == yaml.MappingNode {
		type name struct{ tag, value string }
		seen := map[name]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode {
				continue
			}
			k := name{key.ShortTag(), key.Value}
			if seen[k] {
				return key.Line
			}
			seen[k] = true
		}
	}
	for _, c := range n.Content {
		if line := duplicate(c); line > 0 {
			return line
		}
	}
	return 0
}

// choose puts in the first candidate that changes what it shall and nothing else.
func (t *text) choose(candidates [][]splice, before *text, c Change) (*text, error) {
	for _, splices := range candidates {
		after, err := parseText(t.apply(splices))
		if err == nil && after.editable() == nil && edited(before, after, c) {
			return after, nil
		}
	}
	return nil, failure.New("the machine configuration is written in a way in which no edit is safe", byHand)
}

// additions are the ways to add entries, the best first.
func (t *text) additions(add []ExtraMount) [][]splice {
	parent, err := t.v1alpha1()
	if err != nil {
		return nil
	}
	for i, name := range mountsPath {
		key, value := child(parent, name)
		switch {
		case key == nil:
			return t.addKey(parent, mountsPath[i:], add)
		case isNull(value):
			return [][]splice{t.fill(parent, key, value, mountsPath[i+1:], add)}
		case i < len(mountsPath)-1:
			parent = value
		case value.Style&yaml.FlowStyle != 0:
			return [][]splice{{t.flowAppend(value, flowEntries(parent, add))}}
		default:
			style := t.style()
			last := value.Content[len(value.Content)-1]
			items := t.items(value)
			item, column := items[len(items)-1], value.Column-1
			if last.Kind == yaml.MappingNode && last.Style&yaml.FlowStyle != 0 {
				style.flow = true
			} else if last.Kind == yaml.MappingNode && t.lineOf(item.dash) == last.Line-1 {
				style.dash = last.Column - value.Column
				if _, options := child(last, "options"); options != nil && options.Kind == yaml.SequenceNode && options.Style&yaml.FlowStyle == 0 {
					style.options = options.Column - last.Column
				}
			}
			return [][]splice{{t.insert(t.ownedEnd(t.last(item), column), style.entries(add, column))}}
		}
	}
	return nil
}

// addKey adds a path of keys to a mapping.
func (t *text) addKey(mapping *yaml.Node, path []string, add []ExtraMount) [][]splice {
	if mapping.Style&yaml.FlowStyle != 0 {
		return [][]splice{{t.flowAppend(mapping, flowPair(mapping, path, add))}}
	}
	return t.addLines(mapping, t.style().keys(path, add, mapping.Column-1))
}

// addLines adds lines below a mapping's last key, or above its first: the last one may
// have a value to which any line below would belong.
func (t *text) addLines(mapping *yaml.Node, lines []string) [][]splice {
	first := mapping.Content[0].Line - 1
	newline := t.newline(first)
	last := t.lineOf(max(t.end(mapping, -1, false)-1, 0))
	return [][]splice{
		{t.insert(t.ownedEnd(last, mapping.Column-1), lines)},
		{{t.lines[first], t.lines[first], strings.Join(lines, newline) + newline}},
	}
}

// fill puts a path of keys and the entries in the place of a null.
func (t *text) fill(parent, key, null *yaml.Node, path []string, add []ExtraMount) []splice {
	column := parent.Column - 1
	if parent.Style&yaml.FlowStyle != 0 {
		colon, end := t.nullText(parent, key, null)
		with := " " + flowValue(parent, path, add)
		if colon == t.end(key, column, true) {
			with = ":" + with
		}
		return []splice{{colon, end, with}}
	}
	style := t.style()
	if len(path) == 0 {
		return t.fillLines(parent, key, null, style.entries(add, column+style.list))
	}
	return t.fillLines(parent, key, null, style.keys(path, add, column+style.step))
}

// fillLines puts lines in the place of a null.
func (t *text) fillLines(parent, key, null *yaml.Node, lines []string) []splice {
	colon, end := t.nullText(parent, key, null)
	return []splice{{colon, end, ""}, t.insert(t.lineOf(max(end-1, 0)), lines)}
}

// nullText is from a key's colon to the end of the null that is its value.
func (t *text) nullText(parent, key, null *yaml.Node) (colon, end int) {
	column, flow := parent.Column-1, parent.Style&yaml.FlowStyle != 0
	colon = t.colon(key, column, flow)
	if isEmpty(null) {
		return colon, colon
	}
	return colon, t.end(null, column, flow)
}

// flowAppend adds to a collection in brackets.
func (t *text) flowAppend(n *yaml.Node, with string) splice {
	at := t.start(n) + 1
	for i := range n.Content {
		at = t.flowItemEnd(n, i, at)
	}
	if len(n.Content) > 0 {
		with = ", " + with
	}
	return splice{at, at, with}
}

// flowItemEnd is where the text of a node in brackets ends; at is where that of the one before it did.
func (t *text) flowItemEnd(n *yaml.Node, i, at int) int {
	if !isEmpty(n.Content[i]) {
		return t.end(n.Content[i], 0, true)
	}
	if next := t.skipSpace(at); n.Kind == yaml.MappingNode && i%2 == 1 && next < len(t.raw) && t.raw[next] == ':' {
		return next + 1
	}
	return at
}
