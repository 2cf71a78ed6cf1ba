// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// removals are the ways to remove entries, of which the first many are counted, the best first.
func (t editor) removals(remove []int, many int) ([][]splice, error) {
	remove = slices.Clone(remove)
	slices.Sort(remove)
	remove = slices.Compact(remove)
	entries := t.entries()
	if err := t.plainEntries(entries, remove, many, "removed", "remove it there"); err != nil {
		return nil, err
	}
	list := t.At(t.Path...)
	above := t.At(t.Path[:len(t.Path)-1]...)
	all := len(remove) == len(entries)
	switch {
	case list.Style&yaml.FlowStyle != 0 && all && above.Style&yaml.FlowStyle != 0:
		return [][]splice{t.flowRemovePair(above), t.flowRemove(list, remove)}, nil
	case list.Style&yaml.FlowStyle != 0:
		return [][]splice{t.flowRemove(list, remove)}, nil
	case !all:
		cuts := t.cutEntries(list, remove)
		return [][]splice{cuts, t.andBlank(cuts)}, nil
	}
	key, _ := child(above, t.Path[len(t.Path)-1])
	colon := t.colon(key, above.Column-1, false)
	emptied := append(t.cutEntries(list, remove), splice{colon, colon, " []"})
	if t.commented(key) {
		return [][]splice{emptied, t.andBlank(emptied)}, nil
	}
	cuts := []splice{t.cutKey()}
	return [][]splice{cuts, t.andBlank(cuts), emptied}, nil
}

// plainEntries refuses to touch entries, of which the first many are counted, that are not there, or of which what they
// say could be written elsewhere.
func (t editor) plainEntries(entries []*yaml.Node, which []int, many int, done, there string) error {
	for _, i := range which {
		if i < 0 || i >= many {
			return failure.New(fmt.Sprintf("there is no %s number %d in the machine configuration", t.Item, i+1), "")
		}
		if line := reference(entries[i]); line > 0 {
			return failure.New(fmt.Sprintf("the %s number %d has an anchor, an alias or a tag (line %d), and is not %s", t.Item, i+1, line, done),
				"write it out with talosctl edit machineconfig, or "+there)
		}
	}
	return nil
}

// andBlank cuts the blank lines below, too: a scalar above that keeps its line breaks would take them for its own.
func (t *Text) andBlank(cuts []splice) []splice {
	wider := slices.Clone(cuts)
	for i := range wider {
		for at := wider[i].to; at < len(t.raw) && at == t.lines[t.lineOf(at)]; {
			if _, c := t.first(t.lineOf(at)); c != 0 {
				break
			}
			at = t.nextLine(t.lineOf(at))
			wider[i].to = at
		}
	}
	return wider
}

// reference is the line of an anchor, an alias or a tag in a node, 0 if there is none.
func reference(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 || n.Tag == "!!merge" {
		return n.Line
	}
	for _, c := range n.Content {
		if line := reference(c); line > 0 {
			return line
		}
	}
	return 0
}

// cutEntries takes entries out of a list with dashes, each with the comments above it.
func (t *Text) cutEntries(list *yaml.Node, remove []int) []splice {
	column, items := list.Column-1, t.items(list)
	var ranges [][2]int
	for _, i := range remove {
		first, last := t.commentsAbove(t.lineOf(items[i].dash), column), t.ownedEnd(t.last(items[i]), column)
		if i > 0 {
			// What looks like a comment may be in quotes that begin further up.
			first = max(first, t.last(items[i-1])+1)
		}
		if n := len(ranges); n > 0 && ranges[n-1][1]+1 >= first {
			ranges[n-1][1] = last
			continue
		}
		ranges = append(ranges, [2]int{first, last})
	}
	cuts := make([]splice, len(ranges))
	for i, r := range ranges {
		cuts[i] = t.cut(r[0], r[1])
	}
	return cuts
}

// commented reports whether somebody wrote something about a key: above it or on its line.
func (t *Text) commented(key *yaml.Node) bool {
	line := key.Line - 1
	at := t.colon(key, key.Column-1, false)
	for at < t.lineEnd(line) && isBlank(t.raw[at]) {
		at++
	}
	return at < t.lineEnd(line) && t.raw[at] == '#' || t.commentsAbove(line, key.Column-1) < line
}

// cutKey takes the list's key out, with the keys above it that nothing else is below.
func (t editor) cutKey() splice {
	parents := make([]*yaml.Node, len(t.Path))
	for i := range parents {
		parents[i] = t.At(t.Path[:i]...)
	}
	level := len(t.Path) - 1
	for ; level > 0; level-- {
		key, value := child(parents[level-1], t.Path[level-1])
		column := parents[level-1].Column - 1
		end := t.lineOf(max(t.end(value, column, false)-1, 0))
		deep := t.ownedEnd(end, value.Column-1)
		if len(value.Content) > 2 || parents[level-1].Style&yaml.FlowStyle != 0 || len(parents[level-1].Content) == 2 && level == 1 ||
			value.Line != key.Line+1 || t.commented(key) || t.ownedEnd(end, column) != deep {
			break
		}
	}
	key, value := child(parents[level], t.Path[level])
	column := parents[level].Column - 1
	return t.cut(key.Line-1, t.ownedEnd(t.lineOf(max(t.end(value, column, false)-1, 0)), column))
}

// flowRemove takes entries out of a list in brackets, with one comma each.
func (t *Text) flowRemove(list *yaml.Node, remove []int) []splice {
	ends := make([]int, len(list.Content))
	at := t.start(list) + 1
	for i := range list.Content {
		at = t.flowItemEnd(list, i, at)
		ends[i] = at
	}
	var cuts []splice
	for i := 0; i < len(remove); {
		j := i
		for j+1 < len(remove) && remove[j+1] == remove[j]+1 {
			j++
		}
		first, last := remove[i], remove[j]
		switch {
		case first > 0:
			cuts = append(cuts, splice{ends[first-1], ends[last], ""})
		case last+1 < len(list.Content):
			cuts = append(cuts, splice{t.start(list.Content[0]), t.start(list.Content[last+1]), ""})
		default:
			cuts = append(cuts, splice{t.start(list.Content[0]), t.skipComma(ends[last]), ""})
		}
		i = j + 1
	}
	return cuts
}

// flowRemovePair takes the list's key out of a mapping in brackets.
func (t editor) flowRemovePair(mapping *yaml.Node) []splice {
	at := t.start(mapping) + 1
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		before := at
		at = t.flowItemEnd(mapping, i, at)
		at = t.flowItemEnd(mapping, i+1, at)
		switch {
		case mapping.Content[i].Value != t.Path[len(t.Path)-1]:
		case i > 0:
			return []splice{{before, at, ""}}
		case len(mapping.Content) > 2:
			return []splice{{t.start(mapping.Content[0]), t.start(mapping.Content[2]), ""}}
		default:
			return []splice{{t.start(mapping.Content[0]), t.skipComma(at), ""}}
		}
	}
	return nil
}

// skipComma is the offset after a comma that comes next, else the offset itself.
func (t *Text) skipComma(at int) int {
	if next := t.skipSpace(at); next < len(t.raw) && t.raw[next] == ',' {
		return next + 1
	}
	return at
}
