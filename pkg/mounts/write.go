// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"bytes"
	"encoding/json"
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
	// options is how much deeper the dashes of options are than their key.
	options int
	// flow writes an entry in brackets.
	flow bool
}

// talosStyle is how Talos itself writes.
func talosStyle() style { return style{step: 4, list: 4, dash: 2, options: 2} }

// style is taken from the first mapping and the first list that are in a mapping.
func (t *text) style() style {
	s := talosStyle()
	doc, err := t.v1alpha1()
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
		s.options = 0
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
func (s style) keys(path []string, add []ExtraMount, column int) []string {
	var lines []string
	for _, name := range path {
		lines = append(lines, strings.Repeat(" ", column)+name+":")
		column += s.step
	}
	return append(lines, s.entries(add, column-s.step+s.list)...)
}

// entries are the lines of entries whose dashes are in a column.
func (s style) entries(add []ExtraMount, column int) []string {
	var lines []string
	dash := strings.Repeat(" ", column) + "-" + strings.Repeat(" ", s.dash-1)
	inner := strings.Repeat(" ", column+s.dash)
	for _, m := range add {
		if s.flow {
			lines = append(lines, dash+flowEntry(m))
			continue
		}
		lines = append(lines, dash+"destination: "+scalar(m.Destination))
		if m.Type != "" {
			lines = append(lines, inner+"type: "+scalar(m.Type))
		}
		if m.Source != "" {
			lines = append(lines, inner+"source: "+scalar(m.Source))
		}
		if len(m.Options) > 0 {
			lines = append(lines, inner+"options:")
		}
		for _, o := range m.Options {
			lines = append(lines, inner+strings.Repeat(" ", s.options)+"- "+scalar(o))
		}
	}
	return lines
}

// scalar writes a string on one line so that YAML reads the same string.
func scalar(s string) string {
	out, err := yaml.Marshal(s)
	text := strings.TrimSuffix(string(out), "\n")
	if err != nil || strings.Contains(text, "\n") {
		return jsonText(s)
	}
	return text
}

// flowEntry writes an entry in brackets.
func flowEntry(m ExtraMount) string {
	type entry struct {
		Destination string   `yaml:"destination"`
		Type        string   `yaml:"type,omitempty"`
		Source      string   `yaml:"source,omitempty"`
		Options     []string `yaml:"options,omitempty"`
	}
	out, err := yaml.Marshal(struct {
		M entry `yaml:"m,flow"`
	}{entry(m)})
	if err != nil {
		return jsonText(m)
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

// isJSON tells a mapping that is written as JSON would be.
func isJSON(mapping *yaml.Node) bool {
	return mapping.Style&yaml.FlowStyle != 0 && len(mapping.Content) > 0 && mapping.Content[0].Style&yaml.DoubleQuotedStyle != 0
}

// flowEntries are entries in brackets, as their neighbours in a mapping are written.
func flowEntries(neighbours *yaml.Node, add []ExtraMount) string {
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
func flowPair(neighbours *yaml.Node, path []string, add []ExtraMount) string {
	key := path[0]
	if isJSON(neighbours) {
		key = jsonText(key)
	}
	return key + ": " + flowValue(neighbours, path[1:], add)
}

// flowValue is the rest of a path of keys with the entries, as a value in brackets.
func flowValue(neighbours *yaml.Node, path []string, add []ExtraMount) string {
	if len(path) == 0 {
		return "[" + flowEntries(neighbours, add) + "]"
	}
	return "{" + flowPair(neighbours, path, add) + "}"
}
