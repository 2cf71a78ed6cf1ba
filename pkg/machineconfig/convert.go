// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// moved maps the fields of a KubeletConfig document to those of machine.kubelet
// (Talos v1.14.0, machinery/config/types/k8s/kubelet.go). Empty: not a field of the kubelet.
func moved(field string) (name string, known bool) {
	switch field {
	case "apiVersion", "kind":
		return "", true
	case "image", "extraArgs", "clusterDNS", "defaultRuntimeSeccompProfileEnabled":
		return field, true
	case "config":
		return "extraConfig", true
	}
	return "", false
}

// disableManifests is what a KubeletConfig document stands for without saying so.
const disableManifests = "disableManifestsDirectory"

// kubeletConfig is the kind of document that Talos v1.14 generates in the place of machine.kubelet.
const kubeletConfig = "KubeletConfig"

// Convert moves a KubeletConfig document into machine.kubelet, where the list is possible, and adds entries there. What the
// document says stays in its own words, with its comments; all other documents keep their bytes. A field that it does not know
// is refused by its name. The list has to be one of machine.kubelet.
func (l List) Convert(raw []byte, c Change) ([]byte, error) {
	t, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	e := editor{Text: t, List: l}
	if err := e.editable(); err != nil {
		return nil, err
	}
	doc, err := e.convertible(c)
	if err != nil {
		return nil, err
	}
	body, drop := t.body(doc)
	for _, splices := range e.takeOver(doc, body, c.Add) {
		text, err := Parse(t.apply(append(splices, drop)))
		if err == nil && (editor{text, l}).editable() == nil && l.converted(t, text, doc, c.Add) {
			return text.raw, nil
		}
	}
	return nil, failure.New(`the "KubeletConfig" document is written in a way in which no conversion is safe`, l.Hints.Without)
}

// convertible is the KubeletConfig document, if it can be moved.
func (t editor) convertible(c Change) (*yaml.Node, error) {
	docs := t.Documents(kubeletConfig)
	switch {
	case len(docs) == 0:
		return nil, failure.New(`the machine configuration has no "KubeletConfig" document to convert`, "")
	case len(docs) > 1:
		return nil, failure.New(fmt.Sprintf(`the machine configuration has several "KubeletConfig" documents (lines %d and %d)`, docs[0].Line,
			docs[1].Line), "")
	case !isNull(t.At(t.Path[:2]...)):
		return nil,
			failure.New(`the machine configuration has a "KubeletConfig" document and machine.kubelet, which Talos does not take together`, "")
	case len(c.Remove) > 0 || len(c.Replace) > 0:
		return nil, failure.New(fmt.Sprintf(`a "KubeletConfig" document has no %ss to remove or change`, t.Item), "")
	case len(t.Documents("KubeCredentialProviderConfig")) > 0:
		return nil,
			failure.New(`the machine configuration has a "KubeCredentialProviderConfig" document, which Talos does not take beside machine.kubelet`,
				t.Hints.Without)
	}
	doc := docs[0]
	if line := reference(doc); line > 0 {
		return nil, failure.New(fmt.Sprintf(`the "KubeletConfig" document has an anchor, an alias or a tag (line %d), and is not converted`,
			line),
			"write it out with talosctl edit machineconfig")
	}
	machine := t.At(t.Path[0])
	if isNull(machine) {
		return nil, failure.New(`the machine configuration has no "machine"`, "")
	}
	if doc.Style&yaml.FlowStyle != 0 || machine.Style&yaml.FlowStyle != 0 {
		return nil, failure.New(`the "KubeletConfig" document or "machine" is written in brackets, and is not converted`,
			"write it in lines with talosctl edit machineconfig, or "+t.Hints.Without)
	}
	for i := 0; i+1 < len(doc.Content); i += 2 {
		if key := doc.Content[i]; key.Kind != yaml.ScalarNode {
			return nil, failure.New(fmt.Sprintf(`the "KubeletConfig" document has a key that is no name (line %d)`, key.Line), "")
		} else if _, known := moved(key.Value); !known {
			return nil,
				failure.New(fmt.Sprintf(`the "KubeletConfig" document has the field %q, of which it is not known what it is in machine.kubelet`,
					key.Value), t.Hints.Without)
		}
	}
	return doc, nil
}

// body is the document's lines except for apiVersion and kind, with the names that its
// fields have in machine.kubelet, and the splice that takes the document out.
func (t *Text) body(doc *yaml.Node) (lines []string, drop splice) {
	first, begin, next := t.extent(doc)
	last := next - 1
	skipped, renamed := map[int]bool{}, map[int]splice{}
	column := doc.Column - 1
	for i := 0; i+1 < len(doc.Content); i += 2 {
		key := doc.Content[i]
		name, _ := moved(key.Value)
		keyEnd := t.end(key, column, false)
		if name == "" {
			end := t.colon(key, column, false)
			if value := doc.Content[i+1]; !isEmpty(value) {
				end = t.end(value, column, false)
			}
			for l := key.Line - 1; l <= t.lineOf(max(end-1, 0)); l++ {
				skipped[l] = true
			}
		} else if name != key.Value {
			renamed[key.Line-1] = splice{t.start(key), keyEnd, name}
		}
	}
	for l := begin; l <= last; l++ {
		start, end := t.lines[l], t.lineEnd(l)
		if skipped[l] || l == last && start == end && next == len(t.lines) {
			continue
		}
		s := string(t.raw[start:end])
		if r, ok := renamed[l]; ok {
			s = string(t.raw[start:r.from]) + r.with + string(t.raw[r.to:end])
		}
		lines = append(lines, s)
	}
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	to := last
	if next < len(t.lines) && t.isLine(next, "...") {
		to = next
	}
	return lines, splice{t.lines[first], t.nextLine(to), ""}
}

// takeOver are the ways to write a document's lines and entries as machine.kubelet, the best first.
func (t editor) takeOver(doc *yaml.Node, body []string, add []any) [][]splice {
	trimmed := body
	for len(trimmed) > 0 && strings.TrimSpace(trimmed[len(trimmed)-1]) == "" {
		trimmed = trimmed[:len(trimmed)-1]
	}
	machine, style := t.At(t.Path[0]), t.style()
	column := machine.Column - 1
	var ways [][]splice
	// Blank lines at the end are part of a block scalar that keeps them.
	for _, body := range [][]string{trimmed, body} {
		inner := shift(body, column+style.step-(doc.Column-1))
		inner = append(inner, strings.Repeat(" ", column+style.step)+disableManifests+": true")
		if len(add) > 0 {
			inner = append(inner, style.keys(t.Path[2:], add, column+style.step)...)
		}
		if key, null := child(machine, t.Path[1]); key != nil {
			ways = append(ways, t.fillLines(machine, key, null, inner))
			continue
		}
		ways = append(ways, t.addLines(machine, append([]string{strings.Repeat(" ", column) + t.Path[1] + ":"}, inner...))...)
	}
	return ways
}

// shift indents lines by columns, out if they are negative.
func shift(lines []string, columns int) []string {
	shifted := make([]string, 0, len(lines))
	for _, l := range lines {
		for n := columns; n < 0 && strings.HasPrefix(l, " "); n++ {
			l = l[1:]
		}
		if l != "" {
			l = strings.Repeat(" ", max(columns, 0)) + l
		}
		shifted = append(shifted, l)
	}
	return shifted
}

// converted reports whether a document has become machine.kubelet with entries, and nothing else is changed.
func (l List) converted(before, after *Text, doc *yaml.Node, add []any) bool {
	own, err := before.Main()
	if err != nil || len(after.docs) != len(before.docs)-1 {
		return false
	}
	i := 0
	for _, d := range before.docs {
		switch {
		case d == doc:
			continue
		case d == own:
			if !sameBut(d, after.docs[i], l.Path[:2]) {
				return false
			}
		case !same(d, after.docs[i]):
			return false
		}
		i++
	}
	kubelet := after.At(l.Path[:2]...)
	if kubelet == nil || kubelet.Kind != yaml.MappingNode {
		return false
	}
	content := kubelet.Content
	for i := 0; i+1 < len(doc.Content); i += 2 {
		name, _ := moved(doc.Content[i].Value)
		if name == "" {
			continue
		}
		if len(content) < 2 || content[0].Value != name || !same(content[1], doc.Content[i+1]) {
			return false
		}
		content = content[2:]
	}
	if len(content) < 2 || content[0].Value != disableManifests || content[1].Value != "true" {
		return false
	}
	return len(content) == 2+2*min(len(add), 1) && l.changed(before, after, Change{Add: add})
}
