// SPDX-License-Identifier: Apache-2.0

// Package machineconfig is a machine configuration of Talos as bytes: it reads the documents, edits a list in them without
// touching anything else, compares what came of it, moves settings between documents, and shows differences without
// secrets.
//
// A configuration is edited where its bytes are and read again afterwards; it is never merged or written out of a parsed form, which
// would lose comments and what this program does not know. The package must not know what an entry is for.
package machineconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// Text is a machine configuration as bytes, with the nodes that a YAML parser sees in them.
// The nodes say where something begins; where it ends is read from the bytes.
type Text struct {
	raw []byte
	// lines are the offsets at which lines begin, counted as the YAML parser counts.
	lines []int
	// docs are the roots of the documents.
	docs []*yaml.Node
}

var lineNumber = regexp.MustCompile(`line \d+`)

// Parse reads all documents. Its errors name lines and never what is on them:
// those of the YAML parser can quote names and values.
func Parse(raw []byte) (t *Text, err error) {
	// The parser panics on some input that is no YAML.
	defer func() {
		if recover() != nil {
			t, err = nil, failure.New("the machine configuration is not valid YAML", "")
		}
	}()
	if !utf8.Valid(raw) {
		return nil, failure.New("the machine configuration is not UTF-8", "")
	}
	t = &Text{raw: raw, lines: lineStarts(raw)}
	for decoder := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, notValid(err)
		}
		if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
			return nil, failure.New("the machine configuration is not valid YAML", "")
		}
		t.docs = append(t.docs, doc.Content[0])
	}
}

// Bytes are the configuration as it is written.
func (t *Text) Bytes() []byte { return t.raw }

// Decode reads what is in a node. Its errors name lines, never what is on them.
func Decode(n *yaml.Node, into any) (err error) {
	defer func() {
		if recover() != nil {
			err = failure.New("the machine configuration is not valid YAML", "")
		}
	}()
	if err := n.Decode(into); err != nil {
		return notTalos(err)
	}
	return nil
}

// notTalos keeps of a decoder's error only the line.
func notTalos(err error) error {
	message := "the machine configuration is not one that Talos takes"
	if line := lineNumber.FindString(err.Error()); line != "" {
		message = fmt.Sprintf("%s (%s)", message, line)
	}
	return failure.New(message, "talosctl validate --mode metal --config FILE tells what is wrong with a file")
}

// notValid keeps of a YAML error only the line.
func notValid(err error) error {
	message := "the machine configuration is not valid YAML"
	if line := lineNumber.FindString(err.Error()); line != "" {
		message += " (" + line + ")"
	}
	return failure.New(message, "")
}

// lineStarts cuts where YAML 1.1 does: after LF, CR, CRLF, NEL, LS and PS.
func lineStarts(raw []byte) []int {
	starts := []int{0}
	if bytes.HasPrefix(raw, []byte("\uFEFF")) {
		starts[0] = len("\uFEFF")
	}
	for i := starts[0]; i < len(raw); {
		if n := breakLen(raw, i); n > 0 {
			i += n
			starts = append(starts, i)
		} else {
			i++
		}
	}
	return starts
}

// breakLen is how many bytes the line break at i has, 0 if there is none.
func breakLen(raw []byte, i int) int {
	if i >= len(raw) {
		return 0
	}
	rest := raw[i:]
	switch rest[0] {
	case '\n':
		return 1
	case '\r':
		if len(rest) > 1 && rest[1] == '\n' {
			return 2
		}
		return 1
	case 0xC2:
		if len(rest) > 1 && rest[1] == 0x85 {
			return 2
		}
	case 0xE2:
		if len(rest) > 2 && rest[1] == 0x80 && (rest[2] == 0xA8 || rest[2] == 0xA9) {
			return 3
		}
	}
	return 0
}

// lineOf is the line, from 0, of an offset.
func (t *Text) lineOf(offset int) int {
	return max(sort.SearchInts(t.lines, offset+1)-1, 0)
}

// lineEnd is the offset of a line's break, or of the end of the text.
func (t *Text) lineEnd(line int) int {
	end := t.nextLine(line)
	for n := 3; n > 0; n-- {
		if at := end - n; at >= t.lines[line] && breakLen(t.raw, at) == n {
			return at
		}
	}
	return end
}

// nextLine is the offset after a line's break.
func (t *Text) nextLine(line int) int {
	if line+1 < len(t.lines) {
		return t.lines[line+1]
	}
	return len(t.raw)
}

// newline is the break of a line; the last line takes that of the first.
func (t *Text) newline(line int) string {
	for _, l := range []int{line, 0} {
		if br := string(t.raw[t.lineEnd(l):t.nextLine(l)]); br == "\n" || br == "\r\n" {
			return br
		}
	}
	return "\n"
}

// first is the column of a line's first character that is neither blank nor tab, and that character; 0 for an empty line.
func (t *Text) first(line int) (column int, c byte) {
	start, end := t.lines[line], t.lineEnd(line)
	for i := start; i < end; i++ {
		if !isBlank(t.raw[i]) {
			return i - start, t.raw[i]
		}
	}
	return 0, 0
}

// start is the offset of a node's first character, which may be its tag or anchor.
func (t *Text) start(n *yaml.Node) int {
	if n.Line < 1 || n.Line > len(t.lines) {
		return len(t.raw)
	}
	i := t.lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(t.raw[i:])
		i += size
	}
	return i
}

// end is the offset after a node's last character. Indent is the column of the
// collection that the node is in, -1 for a root; flow reports whether this is in brackets.
func (t *Text) end(n *yaml.Node, indent int, flow bool) int {
	at := t.start(n)
	if at >= len(t.raw) {
		return len(t.raw)
	}
	if n.Kind == yaml.AliasNode {
		return min(at+1+len(n.Value), len(t.raw))
	}
	if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		var properties int
		at, properties = t.skipProperties(at)
		if n.Kind == yaml.ScalarNode && n.Value == "" &&
			n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			return properties
		}
		if at >= len(t.raw) {
			return len(t.raw)
		}
	}
	switch {
	case n.Kind == yaml.ScalarNode:
		return t.scalarEnd(n, at, indent, flow)
	case n.Style&yaml.FlowStyle != 0 || flow:
		return t.flowEnd(n, at, indent)
	case n.Kind == yaml.SequenceNode:
		if items := t.items(n); len(items) > 0 {
			return items[len(items)-1].end
		}
		return at
	}
	last := len(n.Content) - 1
	if last < 1 {
		return at
	}
	if isEmpty(n.Content[last]) {
		return t.colon(n.Content[last-1], n.Column-1, false)
	}
	return t.end(n.Content[last], n.Column-1, false)
}

// isEmpty reports whether a node is a null without text.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0 && n.Anchor == ""
}

// colon is the offset after the colon that follows a key, or after the key if there is none.
func (t *Text) colon(key *yaml.Node, indent int, flow bool) int {
	end := t.end(key, indent, flow)
	if at := t.skipSpace(end); at < len(t.raw) && t.raw[at] == ':' {
		return at + 1
	}
	return end
}

// skipProperties goes over tags and anchors; properties is where the last one ends.
func (t *Text) skipProperties(at int) (next, properties int) {
	properties = at
	for at < len(t.raw) && (t.raw[at] == '&' || t.raw[at] == '!') {
		for at < len(t.raw) && !isBlank(t.raw[at]) && breakLen(t.raw, at) == 0 {
			at++
		}
		properties = at
		at = t.skipSpace(at)
	}
	return at, properties
}

// skipSpace goes over blanks, line breaks and comments.
func (t *Text) skipSpace(at int) int {
	for at < len(t.raw) {
		switch n := breakLen(t.raw, at); {
		case n > 0:
			at += n
		case isBlank(t.raw[at]):
			at++
		case t.raw[at] == '#':
			at = t.lineEnd(t.lineOf(at))
		default:
			return at
		}
	}
	return at
}

// item is an entry of a block sequence: from its dash to its end.
type item struct{ dash, end int }

// last is the line of an item's last character.
func (t *Text) last(i item) int { return t.lineOf(max(i.end-1, i.dash)) }

// items are the entries of a block sequence.
func (t *Text) items(n *yaml.Node) []item {
	end := t.start(n)
	if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		end, _ = t.skipProperties(end)
	}
	items := make([]item, len(n.Content))
	for i, entry := range n.Content {
		dash := t.skipSpace(end)
		if dash >= len(t.raw) || t.raw[dash] != '-' {
			dash = min(t.start(entry), len(t.raw))
		}
		end = min(dash+1, len(t.raw))
		if !isEmpty(entry) {
			end = t.end(entry, n.Column-1, false)
		}
		items[i] = item{dash, end}
	}
	return items
}

// flowEnd is the offset after a flow collection's closing bracket. A pair in a flow
// sequence, as in [a: b], has none.
func (t *Text) flowEnd(n *yaml.Node, at, indent int) int {
	open := t.raw[at] == '{' || t.raw[at] == '['
	end := at
	if open {
		end++
	}
	for _, child := range n.Content {
		if !isEmpty(child) {
			end = t.end(child, indent, true)
		}
	}
	if !open {
		return end
	}
	for end < len(t.raw) && t.raw[end] != '}' && t.raw[end] != ']' {
		if t.raw[end] == '#' {
			end = t.lineEnd(t.lineOf(end))
		} else {
			end++
		}
	}
	return min(end+1, len(t.raw))
}

func (t *Text) scalarEnd(n *yaml.Node, at, indent int, flow bool) int {
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return t.blockScalarEnd(at, indent)
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := at + 1; i < len(t.raw); i++ {
			switch t.raw[i] {
			case '\\':
				i++
			case '"':
				return i + 1
			}
		}
		return len(t.raw)
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := at + 1; i < len(t.raw); i++ {
			if t.raw[i] != '\'' {
				continue
			}
			if i+1 < len(t.raw) && t.raw[i+1] == '\'' {
				i++
				continue
			}
			return i + 1
		}
		return len(t.raw)
	}
	return t.plainEnd(at, indent, flow)
}

// plainEnd follows an unquoted scalar, which may go on in lines that are indented deeper than its collection.
func (t *Text) plainEnd(at, indent int, flow bool) int {
	end := at
	for line := t.lineOf(at); ; {
		for i := at; i < t.lineEnd(line); i++ {
			c := t.raw[i]
			switch {
			case c == '#' && (i == at || isBlank(t.raw[i-1])),
				c == ':' && (i+1 == len(t.raw) || isBlank(t.raw[i+1]) || breakLen(t.raw, i+1) > 0),
				flow && bytes.IndexByte([]byte(",?[]{}"), c) >= 0:
				return end
			case !isBlank(c):
				end = i + 1
			}
		}
		var column int
		var c byte
		for line++; line < len(t.lines); line++ {
			if column, c = t.first(line); c != 0 {
				break
			}
		}
		if c == 0 || c == '#' || !flow && column <= indent || t.isMarker(line) {
			return end
		}
		at = t.lines[line] + column
	}
}

// blockScalarEnd is the end of the last line of a literal or folded scalar, of the last blank one if it keeps those.
func (t *Text) blockScalarEnd(at, indent int) int {
	line := t.lineOf(at)
	own, keep := 0, false
	// At most two characters follow the first: how deep the text is, and what becomes of its last breaks.
	for _, c := range t.raw[at+1 : max(at+1, min(at+3, t.lineEnd(line)))] {
		switch {
		case c >= '1' && c <= '9':
			own = max(indent, 0) + int(c-'0')
		case c == '+':
			keep = true
		}
	}
	end := t.lineEnd(line)
	for l := line + 1; l < len(t.lines); l++ {
		spaces := 0
		for i := t.lines[l]; i < t.lineEnd(l) && t.raw[i] == ' '; i++ {
			spaces++
		}
		blank := t.lines[l]+spaces == t.lineEnd(l)
		if own == 0 && !blank {
			own = max(spaces, indent+1, 1)
		}
		switch {
		case blank && (own == 0 || spaces <= own):
			if keep && l+1 < len(t.lines) {
				end = t.nextLine(l)
			}
		case spaces < own:
			return end
		default:
			end = t.lineEnd(l)
		}
	}
	return end
}

// isMarker reports whether a line begins or ends a document.
func (t *Text) isMarker(line int) bool { return t.isLine(line, "---") || t.isLine(line, "...") }

func (t *Text) isLine(line int, marker string) bool {
	start, end := t.lines[line], t.lineEnd(line)
	if !bytes.HasPrefix(t.raw[start:end], []byte(marker)) {
		return false
	}
	after := start + len(marker)
	return after == end || isBlank(t.raw[after])
}

// ownedEnd is the last line that belongs to what ends in a line and stands in a
// column: comments below it that are indented deeper than it, such as settings that
// were commented out.
func (t *Text) ownedEnd(line, column int) int {
	owned := line
	for l := line + 1; l < len(t.lines); l++ {
		at, c := t.first(l)
		switch {
		case c == 0:
		case c == '#' && at > column:
			owned = l
		default:
			return owned
		}
	}
	return owned
}

// commentsAbove is the first of the comment lines that stand directly above a line
// and are not indented deeper than a column; the line itself if there are none.
func (t *Text) commentsAbove(line, column int) int {
	for line > 0 {
		if at, c := t.first(line - 1); c != '#' || at > column {
			break
		}
		line--
	}
	return line
}

// splice replaces the bytes from..to.
type splice struct {
	from, to int
	with     string
}

// apply returns the text with splices, which must not overlap, put in.
func (t *Text) apply(splices []splice) []byte {
	splices = slices.Clone(splices)
	slices.SortStableFunc(splices, func(a, b splice) int { return a.from - b.from })
	var out bytes.Buffer
	at := 0
	for _, s := range splices {
		out.Write(t.raw[at:max(s.from, at)])
		out.WriteString(s.with)
		at = max(at, s.to)
	}
	out.Write(t.raw[at:])
	return out.Bytes()
}

// insert puts lines below a line, with its line break. If it is the last and has
// none, the new last line has none either.
func (t *Text) insert(below int, lines []string) splice {
	nl := t.newline(below)
	var b bytes.Buffer
	last := t.lineEnd(below) == t.nextLine(below)
	for _, l := range lines {
		if last {
			b.WriteString(nl + l)
		} else {
			b.WriteString(l + nl)
		}
	}
	at := t.nextLine(below)
	return splice{at, at, b.String()}
}

// cut takes whole lines out.
func (t *Text) cut(first, last int) splice {
	from, to := t.lines[first], t.nextLine(last)
	if t.lineEnd(last) == to && first > 0 {
		// The text ends without a line break, and does so again.
		from = t.lineEnd(first - 1)
	}
	return splice{from, to, ""}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// child is the key and the value of a name in a mapping, both nil if it is not there.
func child(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if k := mapping.Content[i]; k.Kind == yaml.ScalarNode && k.Value == name {
			return k, mapping.Content[i+1]
		}
	}
	return nil, nil
}

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// Main is the v1alpha1 document, which holds machine and cluster: the one without a kind
// (machinery v1.13.9, config/configloader/internal/decoder).
func (t *Text) Main() (*yaml.Node, error) {
	var found *yaml.Node
	for _, doc := range t.docs {
		switch {
		case isNull(doc):
			continue
		case doc.Kind != yaml.MappingNode:
			return nil, failure.New(fmt.Sprintf("the machine configuration has a document that is no mapping (line %d)", doc.Line), "")
		}
		if _, kind := child(doc, "kind"); kind != nil && kind.Value != "" {
			continue
		}
		if found != nil {
			return nil, failure.New(fmt.Sprintf("the machine configuration has several v1alpha1 documents (lines %d and %d)", found.Line, doc.Line),
				"")
		}
		if !slices.ContainsFunc([]string{"version", "machine", "cluster"}, func(name string) bool {
			key, _ := child(doc, name)
			return key != nil
		}) {
			return nil, failure.New(fmt.Sprintf("the machine configuration has a document without a kind that is not v1alpha1 (line %d)", doc.Line),
				"")
		}
		found = doc
	}
	if found == nil {
		return nil, failure.New("the machine configuration has no v1alpha1 document, which holds machine and cluster", "")
	}
	return found, nil
}

// Documents are those of a kind of v1alpha1, in their order.
func (t *Text) Documents(kind string) []*yaml.Node {
	var found []*yaml.Node
	for _, doc := range t.docs {
		_, k := child(doc, "kind")
		_, version := child(doc, "apiVersion")
		if k != nil && k.Value == kind && version != nil && version.Value == "v1alpha1" {
			found = append(found, doc)
		}
	}
	return found
}
