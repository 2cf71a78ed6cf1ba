// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// style is how a document is written. The numbers are columns.
type style struct {
	// step is how much deeper the keys of a mapping are than the mapping's own key.
	step int
	// list is how much deeper a dash is than the list's key.
	list int
	// dash is from a dash to what follows it.
	dash int
	// inner is how much deeper the dashes of a list in an entry are than its key.
	inner int
	// flow writes an entry in brackets.
	flow bool
}

// talosStyle is how Talos itself writes.
func talosStyle() style { return style{step: 4, list: 4, dash: 2, inner: 2} }

// style is taken from the first mapping and the first list that are in a mapping.
func (t *Text) style() style {
	s := talosStyle()
	doc, err := t.Main()
	if err != nil {
		return s
	}
	if step := deeper(doc, yaml.MappingNode, 1); step > 0 {
		s.step, s.list = step, step
	}
	if list := deeper(doc, yaml.SequenceNode, 0); list >= 0 {
		s.list = list
	}
	if s.list == 0 {
		s.inner = 0
	}
	return s
}

// deeper is how much deeper the first collection of a kind is than the mapping that it
// is in, -1 if there is none.
func deeper(n *yaml.Node, kind yaml.Kind, least int) int {
	if n.Style&yaml.FlowStyle != 0 {
		return -1
	}
	for _, c := range n.Content {
		if n.Kind == yaml.MappingNode && c.Kind == kind && c.Style == 0 && c.Anchor == "" && c.Column-n.Column >= least {
			return c.Column - n.Column
		}
		if found := deeper(c, kind, least); found >= 0 {
			return found
		}
	}
	return -1
}

// keys are the lines of a path of keys with the entries below.
func (s style) keys(path []string, add []any, column int) []string {
	var lines []string
	for _, name := range path {
		lines = append(lines, strings.Repeat(" ", column)+name+":")
		column += s.step
	}
	return append(lines, s.entries(add, column-s.step+s.list)...)
}

// entries are the lines of entries whose dashes are in a column.
func (s style) entries(add []any, column int) []string {
	var lines []string
	dash := strings.Repeat(" ", column) + "-" + strings.Repeat(" ", s.dash-1)
	for _, value := range add {
		n, err := node(value)
		if err != nil || n.Kind != yaml.MappingNode || len(n.Content) == 0 || s.flow {
			lines = append(lines, dash+flowEntry(value))
			continue
		}
		entry := s.mapping(n, column+s.dash)
		lines = append(lines, dash+strings.TrimLeft(entry[0], " "))
		lines = append(lines, entry[1:]...)
	}
	return lines
}

// mapping are the lines of a mapping whose keys are in a column.
func (s style) mapping(n *yaml.Node, column int) []string {
	var lines []string
	indent := strings.Repeat(" ", column)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := indent+scalar(n.Content[i])+":", n.Content[i+1]
		switch {
		case value.Kind == yaml.ScalarNode:
			lines = append(lines, key+" "+scalar(value))
		case len(value.Content) == 0 || value.Kind == yaml.SequenceNode &&
			slices.ContainsFunc(value.Content, func(item *yaml.Node) bool { return item.Kind != yaml.ScalarNode }):
			lines = append(lines, key+" "+flowEntry(value))
		case value.Kind == yaml.SequenceNode:
			lines = append(lines, key)
			for _, item := range value.Content {
				lines = append(lines, indent+strings.Repeat(" ", s.inner)+"- "+scalar(item))
			}
		default:
			lines = append(lines, key)
			lines = append(lines, s.mapping(value, column+s.step)...)
		}
	}
	return lines
}

// node is a value as YAML has it.
func node(value any) (*yaml.Node, error) {
	var n yaml.Node
	if err := n.Encode(value); err != nil {
		return nil, err
	}
	return &n, nil
}

// scalar writes a scalar on one line so that YAML reads the same one.
func scalar(n *yaml.Node) string {
	if n.ShortTag() != "!!str" {
		return n.Value
	}
	out, err := yaml.Marshal(n.Value)
	text := strings.TrimSuffix(string(out), "\n")
	if err != nil || strings.Contains(text, "\n") {
		return jsonText(n.Value)
	}
	return text
}

// flowEntry writes a value in brackets.
func flowEntry(value any) string {
	out, err := yaml.Marshal(struct {
		M any `yaml:"m,flow"`
	}{value})
	if err != nil {
		return jsonText(value)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(out), "m: "), "\n")
}

// jsonText writes what JSON has and YAML reads.
func jsonText(v any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(v) != nil {
		return "null"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// isJSON reports whether a mapping is written as JSON would be.
func isJSON(mapping *yaml.Node) bool {
	return mapping.Style&yaml.FlowStyle != 0 && len(mapping.Content) > 0 && mapping.Content[0].Style&yaml.DoubleQuotedStyle != 0
}

// flowEntries are entries in brackets, as their neighbours in a mapping are written.
func flowEntries(neighbours *yaml.Node, add []any) string {
	texts := make([]string, len(add))
	for i, m := range add {
		if isJSON(neighbours) {
			texts[i] = jsonText(m)
		} else {
			texts[i] = flowEntry(m)
		}
	}
	return strings.Join(texts, ", ")
}

// flowPair is a path of keys with the entries, as one pair of a mapping in brackets.
func flowPair(neighbours *yaml.Node, path []string, add []any) string {
	key := path[0]
	if isJSON(neighbours) {
		key = jsonText(key)
	}
	return key + ": " + flowValue(neighbours, path[1:], add)
}

// flowValue is the rest of a path of keys with the entries, as a value in brackets.
func flowValue(neighbours *yaml.Node, path []string, add []any) string {
	if len(path) == 0 {
		return "[" + flowEntries(neighbours, add) + "]"
	}
	return "{" + flowPair(neighbours, path, add) + "}"
}
