// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// List is a list in the v1alpha1 document, and what an edit of it has to know from those to whom it means something.
type List struct {
	// Path are the keys that lead to the list.
	Path []string
	// Item is what people call an entry, "extra mount".
	Item string
	// Read reads the entries as the values that they are written from. It has one for every entry, and an error for a configuration
	// that Talos would not take. A value has the tags of YAML and JSON.
	Read func(*Text) ([]any, error)
	// Hints say what a person can do where no edit is possible.
	Hints Hints
}

// Hints are for a person whose configuration cannot be edited.
type Hints struct {
	// ByHand: it is written in a way in which no edit is safe.
	ByHand string
	// Convert: a KubeletConfig document keeps entries out, and would have to be converted.
	Convert string
	// Without: how to do without an entry, where the document cannot be converted.
	Without string
}

// Change is what to do with a list.
type Change struct {
	// Remove are positions of entries.
	Remove []int
	// Replace are scalars in entries that become others.
	Replace []Replacement
	// Add are new entries, below those that stay: values as List.Read has them.
	Add []any
}

// Replacement makes another scalar of each one of a list in an entry. The new one has to end in the old one.
type Replacement struct {
	// Entry is the entry's position, Key that of its list.
	Entry    int
	Key      string
	Old, New string
}

// Edit changes the list and nothing else: YAML nodes only tell where something is, the bytes there are replaced, and the result is
// read again and compared. Comments, order, line breaks and all other documents stay as they are.
//
// A list in brackets stays one; other entries are written as their neighbours are. A scalar that is replaced gets letters in front,
// whatever stands around it. A key that is left without entries goes with them, unless somebody wrote a comment to it. What cannot
// be changed in this way is refused: aliases, merge keys and tags on the way to the entries, keys that are there twice.
func (l List) Edit(raw []byte, c Change) ([]byte, error) {
	t, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	e := editor{Text: t, List: l}
	if err := e.editable(); err != nil {
		return nil, err
	}
	if len(c.Add) > 0 && l.ofKubelet() && isNull(t.At(l.Path[:2]...)) && len(t.Documents(kubeletConfig)) > 0 {
		return nil, failure.New(fmt.Sprintf(`the machine configuration has a "KubeletConfig" document, beside which Talos takes no %ss`, l.Item),
			l.Hints.Convert)
	}
	// Adding comes first, so that a list whose entries are all replaced stays where it is.
	edited := e
	if len(c.Add) > 0 {
		if edited, err = edited.choose(e.additions(c.Add), t, Change{Add: c.Add}); err != nil {
			return nil, err
		}
	}
	if len(c.Replace) > 0 {
		letters, err := edited.replacements(c.Replace, len(e.entries()))
		if err != nil {
			return nil, err
		}
		if edited, err = edited.choose([][]splice{letters}, t, Change{Add: c.Add, Replace: c.Replace}); err != nil {
			return nil, err
		}
	}
	if len(c.Remove) > 0 {
		removals, err := edited.removals(c.Remove, len(e.entries()))
		if err != nil {
			return nil, err
		}
		if edited, err = edited.choose(removals, t, c); err != nil {
			return nil, err
		}
	}
	return edited.raw, nil
}

// ofKubelet reports whether the list is below machine.kubelet, which Talos does not take beside a KubeletConfig document.
func (l List) ofKubelet() bool {
	return len(l.Path) > 2 && l.Path[0] == "machine" && l.Path[1] == "kubelet"
}

// editor is a list in a text.
type editor struct {
	*Text
	List
}

// At is the value under a path of keys in the v1alpha1 document, nil if there is none.
func (t *Text) At(path ...string) *yaml.Node {
	n, err := t.Main()
	if err != nil {
		return nil
	}
	for _, name := range path {
		_, n = child(n, name)
	}
	return n
}

// entries are the nodes of the list's.
func (t editor) entries() []*yaml.Node {
	if list := t.At(t.Path...); list != nil && list.Kind == yaml.SequenceNode {
		return list.Content
	}
	return nil
}

// editable refuses what cannot be edited so that it is certain what Talos reads afterwards.
func (t editor) editable() error {
	for _, doc := range t.docs {
		if line := duplicate(doc); line > 0 {
			return failure.New(fmt.Sprintf("the machine configuration has the same key twice (line %d)", line),
				"take one of them out with talosctl edit machineconfig")
		}
	}
	// Read as Talos would read it, what is no list or no entry is refused.
	if _, err := t.Read(t.Text); err != nil {
		return err
	}
	node, err := t.Main()
	if err != nil {
		return err
	}
	name := ""
	for _, next := range append(slices.Clone(t.Path), "") {
		if err := t.direct(node, name); err != nil {
			return err
		}
		if isNull(node) || next == "" {
			return nil
		}
		if merge, _ := child(node, "<<"); merge != nil {
			return t.indirect(merge, name)
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
			return failure.New(fmt.Sprintf("the machine configuration has the key %q behind something else on its line (line %d)", name, key.Line),
				t.Hints.ByHand)
		}
		node = value
	}
	return nil
}

// direct refuses a node of which another could be meant too.
func (t editor) direct(n *yaml.Node, name string) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return t.indirect(n, name)
	}
	return nil
}

func (t editor) indirect(n *yaml.Node, name string) error {
	if name == "" {
		name = t.Path[0]
	}
	return failure.New(fmt.Sprintf("the machine configuration uses an anchor, an alias, a merge key or a tag at %q (line %d), where no edit is safe",
		name, n.Line),
		"write it out with talosctl edit machineconfig, or "+t.Hints.ByHand)
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

// choose puts in the first candidate that changes what it should and nothing else.
func (t editor) choose(candidates [][]splice, before *Text, c Change) (editor, error) {
	for _, splices := range candidates {
		text, err := Parse(t.apply(splices))
		after := editor{Text: text, List: t.List}
		if err == nil && after.editable() == nil && t.edited(before, text, c) {
			return after, nil
		}
	}
	return editor{}, failure.New("the machine configuration is written in a way in which no edit is safe", t.Hints.ByHand)
}

// additions are the ways to add entries, the best first.
func (t editor) additions(add []any) [][]splice {
	parent, err := t.Main()
	if err != nil {
		return nil
	}
	for i, name := range t.Path {
		key, value := child(parent, name)
		switch {
		case key == nil:
			return t.addKey(parent, t.Path[i:], add)
		case isNull(value):
			return [][]splice{t.fill(parent, key, value, t.Path[i+1:], add)}
		case i < len(t.Path)-1:
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
				style.inner = innerList(last, add, style.inner)
			}
			return [][]splice{{t.insert(t.ownedEnd(t.last(item), column), style.entries(add, column))}}
		}
	}
	return nil
}

// innerList is how much deeper the dashes of a list in an entry are than its key, if the entry has a list that the new ones have too.
func innerList(entry *yaml.Node, add []any, otherwise int) int {
	for _, value := range add {
		n, err := node(value)
		if err != nil {
			continue
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			_, list := child(entry, n.Content[i].Value)
			if n.Content[i+1].Kind == yaml.SequenceNode && list != nil && list.Kind == yaml.SequenceNode && list.Style&yaml.FlowStyle == 0 {
				return list.Column - entry.Column
			}
		}
	}
	return otherwise
}

// addKey adds a path of keys to a mapping.
func (t *Text) addKey(mapping *yaml.Node, path []string, add []any) [][]splice {
	if mapping.Style&yaml.FlowStyle != 0 {
		return [][]splice{{t.flowAppend(mapping, flowPair(mapping, path, add))}}
	}
	return t.addLines(mapping, t.style().keys(path, add, mapping.Column-1))
}

// addLines adds lines below a mapping's last key, or above its first: the last one may
// have a value to which any line below would belong.
func (t *Text) addLines(mapping *yaml.Node, lines []string) [][]splice {
	first := mapping.Content[0].Line - 1
	newline := t.newline(first)
	last := t.lineOf(max(t.end(mapping, -1, false)-1, 0))
	return [][]splice{
		{t.insert(t.ownedEnd(last, mapping.Column-1), lines)},
		{{t.lines[first], t.lines[first], strings.Join(lines, newline) + newline}},
	}
}

// fill puts a path of keys and the entries in the place of a null.
func (t *Text) fill(parent, key, null *yaml.Node, path []string, add []any) []splice {
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
func (t *Text) fillLines(parent, key, null *yaml.Node, lines []string) []splice {
	colon, end := t.nullText(parent, key, null)
	return []splice{{colon, end, ""}, t.insert(t.lineOf(max(end-1, 0)), lines)}
}

// nullText is from a key's colon to the end of the null that is its value.
func (t *Text) nullText(parent, key, null *yaml.Node) (colon, end int) {
	column, flow := parent.Column-1, parent.Style&yaml.FlowStyle != 0
	colon = t.colon(key, column, flow)
	if isEmpty(null) {
		return colon, colon
	}
	return colon, t.end(null, column, flow)
}

// flowAppend adds to a collection in brackets.
func (t *Text) flowAppend(n *yaml.Node, with string) splice {
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
func (t *Text) flowItemEnd(n *yaml.Node, i, at int) int {
	if !isEmpty(n.Content[i]) {
		return t.end(n.Content[i], 0, true)
	}
	if next := t.skipSpace(at); n.Kind == yaml.MappingNode && i%2 == 1 && next < len(t.raw) && t.raw[next] == ':' {
		return next + 1
	}
	return at
}
