// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// Put writes a whole document in the place of the one of the same kind and name, comments included, or below all others if there is
// none. All other documents keep their bytes. The document is text without "---".
func Put(raw, document []byte) ([]byte, error) {
	t, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	put, err := Parse(document)
	if err != nil {
		return nil, err
	}
	if len(put.docs) != 1 || text(put.docs[0], "kind") == "" || text(put.docs[0], "apiVersion") == "" {
		return nil, failure.New("a document of a machine configuration has an apiVersion and a kind", "")
	}
	at, err := t.find(text(put.docs[0], "kind"), text(put.docs[0], "name"))
	if err != nil {
		return nil, err
	}
	newline := t.newline(0)
	lines := strings.ReplaceAll(strings.TrimSuffix(string(put.raw), "\n")+"\n", "\n", newline)
	var place splice
	if at < 0 {
		at = len(t.docs)
		place = splice{len(raw), len(raw), "---" + newline + lines}
		if last := len(t.lines) - 1; t.lines[last] < len(raw) { // The last line has no break.
			place.with = newline + place.with
		}
	} else {
		first, begin, next := t.extent(t.docs[at])
		place = splice{t.lineStart(begin), t.lineStart(next), lines}
		if begin == first+1 && t.docs[at].Line == begin { // It begins on the line of its marker.
			place = splice{t.lines[first], place.to, "---" + newline + lines}
		}
	}
	wanted := append(append(t.docs[:at:at], put.docs[0]), t.docs[min(at+1, len(t.docs)):]...)
	return t.exchange(place, wanted)
}

// Drop takes a whole document out, with its comments; all others keep their bytes. Without such a document nothing is changed.
func Drop(raw []byte, kind, name string) ([]byte, error) {
	t, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	at, err := t.find(kind, name)
	if err != nil || at < 0 {
		return raw, err
	}
	first, _, next := t.extent(t.docs[at])
	if next < len(t.lines) && t.isLine(next, "...") {
		next++
	}
	return t.exchange(splice{t.lineStart(first), t.lineStart(next), ""}, append(t.docs[:at:at], t.docs[at+1:]...))
}

// exchange applies a splice after which the text has to have exactly these documents.
func (t *Text) exchange(place splice, wanted []*yaml.Node) ([]byte, error) {
	after, err := Parse(t.apply([]splice{place}))
	if err != nil || len(after.docs) != len(wanted) {
		return nil, failure.New("the machine configuration is written in a way in which no document can be exchanged safely", "")
	}
	for i, doc := range after.docs {
		if !same(doc, wanted[i]) {
			return nil, failure.New("the machine configuration is written in a way in which no document can be exchanged safely", "")
		}
	}
	return bytes.Clone(after.raw), nil
}

// find is the position of the document of a kind of v1alpha1 and a name, -1 if there is none.
func (t *Text) find(kind, name string) (int, error) {
	at := -1
	for i, doc := range t.docs {
		if text(doc, "kind") != kind || text(doc, "name") != name || text(doc, "apiVersion") != "v1alpha1" {
			continue
		}
		if at >= 0 {
			return 0, failure.New(fmt.Sprintf("the machine configuration has several documents %q %q (lines %d and %d)", kind, name, t.docs[at].Line,
				doc.Line), "")
		}
		at = i
	}
	return at, nil
}

// text is the string under a key of a document, "" if there is none.
func text(doc *yaml.Node, name string) string {
	if _, value := child(doc, name); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

// extent is where a document is: the line of the marker above it, or the first one of the text; the line after that marker; and the line of
// the marker that ends it, or one more than there are.
func (t *Text) extent(doc *yaml.Node) (first, begin, next int) {
	first = doc.Line - 1
	for first > 0 && !t.isMarker(first) {
		first--
	}
	begin = first
	if t.isMarker(first) {
		begin++
	}
	next = begin
	for next < len(t.lines) && !t.isMarker(next) {
		next++
	}
	return first, begin, next
}

// lineStart is the offset at which a line begins; one more than there are begins at the end of the text.
func (t *Text) lineStart(line int) int {
	if line < len(t.lines) {
		return t.lines[line]
	}
	return len(t.raw)
}
