// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// WithBindings is the file with other bindings: the document that it has is replaced where it stands, or one is appended. All other bytes
// stay as they are. The bindings take the layout's name.
func (f File) WithBindings(b Bindings) ([]byte, error) {
	all := f.Layout.NewBindings()
	for node, volumes := range b.Nodes {
		all.Nodes[node] = make(map[string]Binding)
		maps.Copy(all.Nodes[node], volumes)
	}
	newline := "\n"
	if first, _, found := bytes.Cut(f.raw, []byte("\n")); found && bytes.HasSuffix(first, []byte("\r")) {
		newline = "\r\n"
	}
	document := strings.ReplaceAll(string(all.Document()), "\n", newline)
	var out []byte
	if f.from >= 0 {
		out = slices.Concat(f.raw[:f.from], []byte(document), f.raw[f.to:])
	} else {
		end := ""
		if n := len(f.raw); n > 0 && f.raw[n-1] != '\n' {
			end = newline
		}
		out = slices.Concat(f.raw, []byte(end+"---"+newline+document))
	}
	after, err := Decode("the new file", out)
	if err != nil || !reflect.DeepEqual(after.Layout, f.Layout) || !reflect.DeepEqual(after.Bindings, all) {
		return nil, failure.Wrap(err, "the file is written in a way in which its bindings cannot be exchanged safely",
			"put the DiskBindings after a line with three dashes, or take them out")
	}
	return out, nil
}

// extent is where the document is that has something on a line, counted from 1: from the line after its marker to the next marker, or to
// the end. A line with a marker cannot be part of a value (YAML 1.2, c-forbidden).
func extent(raw []byte, line int) (from, to int) {
	at := 0
	for n := 1; at < len(raw); n++ {
		next := len(raw)
		if i := bytes.IndexByte(raw[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		switch {
		case !marker(raw[at:next]):
		case n <= line:
			from = next
		default:
			return from, at
		}
		at = next
	}
	return from, len(raw)
}

// marker reports whether a line is one between documents.
func marker(line []byte) bool {
	return len(line) >= 3 && (string(line[:3]) == "---" || string(line[:3]) == "...") &&
		(len(line) == 3 || bytes.IndexByte([]byte(" \t\r\n"), line[3]) >= 0)
}

// Document is the bindings as the text of one document, without a marker, nodes and volumes in their order.
func (b Bindings) Document() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Which disk each volume is on. Written by kubectl talosdisk layout; review it like code.\n")
	fmt.Fprintf(&out, "apiVersion: %s\nkind: %s\nmetadata: {name: %s}\n", APIVersion, BindingsKind, scalar(b.Metadata.Name))
	if len(b.Nodes) == 0 {
		out.WriteString("nodes: {}\n")
		return out.Bytes()
	}
	out.WriteString("nodes:\n")
	for _, node := range slices.Sorted(maps.Keys(b.Nodes)) {
		volumes := b.Nodes[node]
		if len(volumes) == 0 {
			fmt.Fprintf(&out, "  %s: {}\n", scalar(node))
			continue
		}
		fmt.Fprintf(&out, "  %s:\n", scalar(node))
		for _, key := range slices.SortedFunc(maps.Keys(volumes), compareVolumes) {
			fmt.Fprintf(&out, "    %s: %s\n", scalar(key), volumes[key].flow())
		}
	}
	return out.Bytes()
}

// compareVolumes orders keys of bindings by class, then by number.
func compareVolumes(a, b string) int {
	classA, x, okA := ParseVolumeName(a)
	classB, y, okB := ParseVolumeName(b)
	if okA && okB && classA == classB {
		return x - y
	}
	return strings.Compare(a, b)
}

// flow is the binding on one line.
func (b Binding) flow() string {
	var fields []string
	add := func(key, value string) {
		if value != "" {
			fields = append(fields, key+": "+scalar(value))
		}
	}
	add("name", b.Name)
	add("wwid", b.WWID)
	add("serial", b.Serial)
	add("byID", b.ByID)
	add("byPath", b.ByPath)
	if b.Size > 0 {
		fields = append(fields, "size: "+strconv.FormatUint(uint64(b.Size), 10))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// scalar is a text in YAML: plain where that can be read as nothing else, else in double quotes, in ASCII and on one line.
func scalar(s string) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	plain := s != "" && strings.ContainsRune(letters+"/", rune(s[0])) && strings.Trim(s, letters+"0123456789._-:/") == "" &&
		!strings.ContainsRune(":", rune(s[len(s)-1])) &&
		!slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "y", "n", "null"}, strings.ToLower(s))
	if plain {
		return s
	}
	return strconv.QuoteToASCII(strings.ToValidUTF8(s, "\uFFFD"))
}
