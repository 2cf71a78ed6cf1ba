// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// What a file may have: several times over what a thousand nodes with two dozen disks need, and little enough that reading it ends at once.
const (
	MaxFile    = 16 << 20 // bytes
	maxEntries = 500_000  // what begins a value: a break, a comma, an opening bracket
)

// File is a file that was read: exactly one DiskLayout, and at most one DiskBindings of its name.
type File struct {
	Layout Layout
	// Bindings are those of the file, and those of no node where it has none.
	Bindings Bindings

	raw []byte
	// from and to are where the document with the bindings is in raw, without the markers around it; both are -1 if there is none.
	from, to int
}

// Decode reads a file, whose name is for the errors. Everything that it does not know is an error: a key or a document that counted for
// nothing would not be noticed. All that is wrong is named together, each with its line and column.
func Decode(name string, raw []byte) (File, error) {
	mistakes := &mistakes{file: name}
	f := mistakes.decode(raw)
	return f, mistakes.err()
}

// mistakes are what is wrong with a file.
type mistakes struct {
	file string
	all  []mistake
	// at are the places of a document's values, by the values' paths; unread are the paths of what could not be read.
	at     map[string]place
	unread []string
}

// place is where something is in a file, counted from 1; zero: it is about the whole file.
type place struct{ line, column int }

type mistake struct {
	place
	text string
}

func (m *mistakes) add(at place, format string, args ...any) {
	m.all = append(m.all, mistake{at, fmt.Sprintf(format, args...)})
}

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

// err is all of them, in the order of the file.
func (m *mistakes) err() error {
	const most = 30
	slices.SortStableFunc(m.all, func(a, b mistake) int {
		if a.line != b.line {
			return a.line - b.line
		}
		return a.column - b.column
	})
	message := fmt.Sprintf("file %q is not understood", m.file)
	if len(m.all) > most {
		message = fmt.Sprintf("file %q is not understood: %d mistakes, of which these are the first", m.file, len(m.all))
	}
	parts := make([]failure.Part, 0, min(len(m.all), most))
	for _, one := range m.all[:min(len(m.all), most)] {
		subject := m.file
		if one.line > 0 {
			subject = fmt.Sprintf("%s:%d:%d", m.file, one.line, one.column)
		}
		parts = append(parts, failure.Part{Subject: subject, Err: failure.New(one.text, "")})
	}
	return failure.Several(message, parts)
}

// decode reads the documents of a file.
func (m *mistakes) decode(raw []byte) File {
	f := File{raw: raw, from: -1, to: -1}
	docs := m.documents(raw)
	if docs == nil {
		return f
	}
	var layout, bindings *yaml.Node
	for _, doc := range docs {
		switch kind := m.kindOf(doc); {
		case kind == Kind && layout == nil:
			layout = doc
		case kind == BindingsKind && bindings == nil:
			bindings = doc
		case kind == Kind, kind == BindingsKind:
			m.add(placeOf(doc), "a file has one %s, and this is the second one", kind)
		}
	}
	if layout == nil {
		if len(m.all) == 0 {
			m.add(place{}, "it has no document with apiVersion: %s and kind: %s", APIVersion, Kind)
		}
		return f
	}
	m.read(layout, &f.Layout)
	f.Layout.setDefaults()
	m.checkLayout(f.Layout)
	if bindings == nil {
		f.Bindings = f.Layout.NewBindings()
		return f
	}
	m.read(bindings, &f.Bindings)
	if f.Bindings.Nodes == nil {
		f.Bindings.Nodes = make(map[string]map[string]Binding)
	}
	m.checkBindings(f.Bindings, f.Layout)
	f.from, f.to = extent(raw, bindings.Line)
	return f
}

// NewBindings are bindings of no node, for the layout.
func (l Layout) NewBindings() Bindings {
	return Bindings{APIVersion: APIVersion, Kind: BindingsKind, Metadata: l.Metadata, Nodes: map[string]map[string]Binding{}}
}

// documents are the documents' roots, without the empty ones; nil: the file is not to be read any further.
func (m *mistakes) documents(raw []byte) (docs []*yaml.Node) {
	// The parser panics on some input that is no YAML.
	defer func() {
		if recover() != nil {
			docs = nil
			m.add(place{}, "it is not valid YAML")
		}
	}()
	switch {
	case len(raw) > MaxFile:
		m.add(place{}, "it is larger than %d MiB", MaxFile>>20)
		return nil
	case bytes.Count(raw, []byte("\n"))+bytes.Count(raw, []byte(","))+bytes.Count(raw, []byte("["))+bytes.Count(raw, []byte("{")) > maxEntries:
		m.add(place{}, "it has more than %d entries", maxEntries)
		return nil
	case !utf8.Valid(raw):
		m.add(place{}, "it is not UTF-8")
		return nil
	}
	docs = []*yaml.Node{}
	for decoder := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF):
			return docs
		case err != nil:
			m.add(place{}, "it is not valid YAML: %s", err)
			return nil
		case doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].ShortTag() == "!!null":
		default:
			docs = append(docs, doc.Content[0])
		}
	}
}

// kindOf is a document's kind, if it is one that a file can have.
func (m *mistakes) kindOf(doc *yaml.Node) string {
	var head struct{ apiVersion, kind *yaml.Node }
	for i := 0; doc.Kind == yaml.MappingNode && i+1 < len(doc.Content); i += 2 {
		switch doc.Content[i].Value {
		case "apiVersion":
			head.apiVersion = doc.Content[i+1]
		case "kind":
			head.kind = doc.Content[i+1]
		}
	}
	switch {
	case head.apiVersion == nil || head.kind == nil:
		m.add(placeOf(doc), "a document has an apiVersion and a kind")
		return ""
	case head.apiVersion.Value != APIVersion:
		m.add(placeOf(head.apiVersion), "apiVersion %.60q is not %s", head.apiVersion.Value, APIVersion)
		return ""
	case head.kind.Value != Kind && head.kind.Value != BindingsKind:
		m.add(placeOf(head.kind), "kind %.60q is neither %s nor %s", head.kind.Value, Kind, BindingsKind)
		return ""
	}
	return head.kind.Value
}
