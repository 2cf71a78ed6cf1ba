// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// writer writes random machine configurations as people and programs write them:
// lines or brackets, any indentation, any kind of scalar, comments where YAML has them.
type writer struct {
	*rand.Rand
	// step and list are how much deeper mappings and lists are; list may be 0.
	step, list int
	// quiet leaves comments and blank lines out.
	quiet bool
	// secrets counts the canaries.
	secrets int
}

// pair is a key and a value: nil, a string that is YAML, text (a string that is to be
// written as a scalar of any style), a list or a mapping.
type (
	pair struct {
		key   string
		value any
	}
	mapping []pair
	list    []any
	content string
)

func newWriter(seed uint64) *writer {
	r := rand.New(rand.NewPCG(seed, 1))
	step := 1 + r.IntN(6)
	return &writer{Rand: r, step: step, list: r.IntN(step + 1), quiet: r.IntN(4) == 0}
}

func (w *writer) chance(n int) bool { return w.IntN(n) == 0 }

// secret is a value that must not come out anywhere.
func (w *writer) secret() content {
	w.secrets++
	canary := fmt.Sprintf("CANARY%d", w.secrets)
	switch w.IntN(5) {
	case 0:
		return content(canary + strings.Repeat("TFMwdExTMUNSVWRKVGlC", 1+w.IntN(40)) + "==")
	case 1:
		return content("-----BEGIN KEY-----\n" + canary + "\n\n  indented\n-----END KEY-----\n")
	case 2:
		return content(canary + ": #not 'a' \"comment\" \\ {[,]} & *x")
	}
	return content(canary)
}

// noise are comments and blank lines, indented by a column.
func (w *writer) noise(column int) string {
	var b strings.Builder
	for !w.quiet && w.chance(4) {
		switch w.IntN(4) {
		case 0:
			b.WriteString("\n")
		case 1:
			fmt.Fprintf(&b, "%s#\textraMounts: [%d]\n", pad(w.IntN(12)), w.IntN(9))
		default:
			fmt.Fprintf(&b, "%s# token: CANARY%d \n", pad(column), 1000+w.IntN(9))
		}
	}
	return b.String()
}

func (w *writer) tail() string {
	if !w.quiet && w.chance(6) {
		return " # kubelet: {"
	}
	return ""
}

func pad(n int) string { return strings.Repeat(" ", n) }

// value is what comes after a key's colon or a dash, with its line break, in a collection at a column.
func (w *writer) value(v any, column int) string {
	switch v := v.(type) {
	case nil:
		return w.tail() + "\n"
	case string:
		return " " + v + w.tail() + "\n"
	case content:
		return w.scalar(string(v), column)
	case mapping:
		if len(v) == 0 || w.chance(5) {
			return pad(1+w.IntN(2)) + w.flow(v, column) + w.tail() + "\n"
		}
		return w.tail() + "\n" + w.mapping(v, column+w.step)
	case list:
		if len(v) == 0 || w.chance(5) {
			return " " + w.flow(v, column) + w.tail() + "\n"
		}
		return w.tail() + "\n" + w.items(v, column+w.list)
	}
	panic("a value that cannot be written")
}

func (w *writer) mapping(m mapping, column int) string {
	var b strings.Builder
	for _, p := range m {
		// A blank line or a comment above the first key is above the mapping.
		b.WriteString(w.noise(column) + pad(column) + w.key(p.key) + ":" + w.value(p.value, column))
	}
	return b.String()
}

func (w *writer) key(key string) string {
	switch w.IntN(12) {
	case 0:
		return `"` + key + `"`
	case 1:
		return "'" + key + "'"
	}
	return key
}

func (w *writer) items(l list, column int) string {
	var b strings.Builder
	for _, v := range l {
		b.WriteString(w.noise(column) + pad(column) + "-")
		m, ok := v.(mapping)
		switch {
		case ok && len(m) > 0 && !w.chance(4):
			// The first key is on the dash's line, or below it.
			inner := column + 2 + w.IntN(2)
			text := w.mapping(m, inner)
			if first := strings.TrimLeft(text, " "); w.chance(4) || first[0] == '#' || first[0] == '\n' {
				b.WriteString(w.tail() + "\n" + text)
			} else {
				b.WriteString(pad(inner-column-1) + first)
			}
		case ok:
			b.WriteString(" " + w.flow(v, column) + w.tail() + "\n")
		default:
			b.WriteString(w.value(v, column))
		}
	}
	return b.String()
}

// flow writes in brackets, on one line or on several.
func (w *writer) flow(v any, column int) string {
	gap := func() string {
		switch w.IntN(8) {
		case 0:
			return w.tail() + "\n" + pad(column+1+w.IntN(4))
		case 1:
			return "  "
		}
		return ""
	}
	var texts []string
	open, end := "{", "}"
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return v
	case content:
		return w.quoted(string(v))
	case list:
		open, end = "[", "]"
		for _, item := range v {
			texts = append(texts, gap()+w.flow(item, column)+gap())
		}
	case mapping:
		for _, p := range v {
			texts = append(texts, gap()+w.key(p.key)+": "+w.flow(p.value, column)+gap())
		}
	}
	text := strings.Join(texts, ", ")
	if len(texts) > 0 && w.chance(6) {
		text += "," + gap()
	}
	return open + text + end
}

// quoted is a scalar on one line that can stand anywhere.
func (w *writer) quoted(s string) string {
	simple := strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/", r)
	}) < 0
	switch {
	case simple && w.chance(2) && s != "":
		return s
	case w.chance(2) && !strings.Contains(s, "\n"):
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// scalar is a scalar behind a key of a mapping at a column.
func (w *writer) scalar(s string, column int) string {
	inner := pad(column + 1 + w.IntN(4))
	switch {
	case w.chance(4) && strings.HasSuffix(s, "\n"):
		return " |" + w.tail() + "\n" + inner + strings.TrimSuffix(strings.ReplaceAll(s, "\n", "\n"+inner), inner)
	case w.chance(6) && !strings.HasSuffix(s, "\n") && s != "":
		return " |-" + w.tail() + "\n" + inner + strings.ReplaceAll(s, "\n", "\n"+inner) + "\n" + strings.Repeat("\n", w.IntN(2))
	case w.chance(6) && !strings.Contains(s, "\n") && s != "":
		return " >+\n" + inner + s + "\n" + strings.Repeat("\n", w.IntN(3))
	case w.chance(6) && !strings.Contains(s, "\n"):
		// In two lines, of which the second may be indented by nothing.
		return " '" + strings.ReplaceAll(s, "'", "''") + "\n" + pad(column+1+w.IntN(3)) + "more'" + w.tail() + "\n"
	case w.chance(6) && !strings.Contains(s, "\n") && !strings.Contains(s, "#"):
		return " plain\n\n" + inner + "and more" + w.tail() + "\n"
	}
	return " " + w.quoted(s) + w.tail() + "\n"
}

// mount is an entry, often with more than we know of.
func (w *writer) mount() any {
	if w.chance(8) {
		return nil
	}
	m := mapping{{"destination", content(fmt.Sprintf("/var/lib/d%d", w.IntN(9)))}}
	if w.chance(2) {
		m = append(m, pair{"type", "bind"})
	}
	if w.chance(2) {
		m = append(m, pair{"source", content("/var/lib/a b")})
	}
	if w.chance(2) {
		m = append(m, pair{"options", list{[]string{"bind", "'bind'", `"bind"`}[w.step%3], content("rw"), "rslave"}[:w.IntN(4)]})
	}
	if w.chance(8) {
		m = append(m, pair{"uidMappings", list{mapping{{"hostID", "0"}, {"size", "1"}}}})
	}
	w.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
	return m
}

// kubelet is the content of machine.kubelet.
func (w *writer) kubelet() mapping {
	m := mapping{{key: "image", value: content("ghcr.io/siderolabs/kubelet:v1.33.1")},
		{key: "extraArgs", value: mapping{{key: "token", value: w.secret()}}}, {key: "clusterDNS", value: list{"10.96.0.10", content("::1")}},
		{key: "registerWithFQDN", value: "true"}, {key: "nodeIP"}}[:w.IntN(6)]
	switch w.IntN(8) {
	case 0:
		m = append(m, pair{"extraMounts", nil})
	case 1:
		m = append(m, pair{"extraMounts", list{}})
	case 2, 3, 4, 5:
		var mounts list
		for range 1 + w.IntN(4) {
			mounts = append(mounts, w.mount())
		}
		m = append(m, pair{"extraMounts", mounts})
	}
	w.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
	return m
}

// config is a whole configuration. With document, the kubelet has one of its own.
func (w *writer) config(document bool) string {
	machine := mapping{
		{key: "type", value: "worker"}, {key: "token", value: w.secret()},
		{key: "ca", value: mapping{{key: "crt", value: w.secret()}, {key: "key", value: w.secret()}}},
		{key: "certSANs", value: list{content("a"), "b"}},
		{key: "files", value: list{mapping{{"content", w.secret()}, {"path", content("/var/x")}}}}, {key: "nothing"},
	}[:1+w.IntN(6)]
	if !document && !w.chance(8) {
		machine = append(machine, pair{"kubelet", w.kubelet()})
		if w.chance(8) {
			machine[len(machine)-1].value = nil
		}
	}
	w.Shuffle(len(machine), func(i, j int) { machine[i], machine[j] = machine[j], machine[i] })
	own := mapping{{key: "version", value: "v1alpha1"}, {key: "machine", value: machine},
		{
			key: "cluster",
			value: mapping{{key: "secret", value: w.secret()}, {key: "id", value: w.secret()},
				{key: "inlineManifests", value: list{mapping{{key: "contents", value: w.secret()}}}}},
		}}[:2+w.IntN(2)]
	docs := []string{w.mapping(own, 0)}
	if w.chance(12) && !document {
		docs[0] = w.flow(own, 0) + "\n"
	}
	other := func() string {
		return w.mapping(mapping{{key: "apiVersion", value: "v1alpha1"}, {key: "kind", value: "SomeConfig"}, {key: "name", value: w.secret()},
			{key: "list", value: list{list{"a", w.secret()}, mapping{{key: "b"}}}}}, 0)
	}
	for range w.IntN(3) {
		docs = append(docs, other())
	}
	if document {
		docs = append(docs, w.mapping(mapping{{key: "apiVersion", value: "v1alpha1"}, {key: "kind", value: "KubeletConfig"},
			{key: "image", value: content("ghcr.io/siderolabs/kubelet:v1.37.2")},
			{key: "config", value: mapping{{key: "text", value: w.secret()}, {key: "list", value: list{w.secret(), nil}}}},
			{key: "extraArgs", value: mapping{{key: "token", value: w.secret()}}}, {key: "clusterDNS", value: list{"10.96.0.10"}},
			{key: "defaultRuntimeSeccompProfileEnabled", value: "true"}}[:3+w.IntN(5)], 0))
	}
	w.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	var b strings.Builder
	for i, doc := range docs {
		if i > 0 || w.chance(2) {
			b.WriteString("---" + w.tail() + "\n" + w.noise(0))
		}
		b.WriteString(doc + w.noise(0))
		if w.chance(8) {
			b.WriteString("...\n")
		}
	}
	text := b.String()
	if w.chance(8) {
		text = strings.TrimRight(text, "\n")
	}
	if w.chance(4) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	if w.chance(8) {
		text = "\uFEFF" + text
	}
	return text
}
