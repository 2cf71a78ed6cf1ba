// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"go.yaml.in/yaml/v3"
)

// Fragment is the YAML of entries, for people whose configuration lives in git.
func (l List) Fragment(add []any) string {
	return strings.Join(talosStyle().keys(l.Path, add, 0), "\n") + "\n"
}

// Diff tells what lies between two machine configurations, for people. It is written from what was read, not from the lines,
// which may hold keys and tokens next to what changed: of everything but the list it shows at most the name, and of what Edit
// and Convert would not do it only says that it is there. It is "" if nothing is different.
func (l List) Diff(before, after []byte) string {
	if string(before) == string(after) {
		return ""
	}
	const unreadable = "(the configurations differ and cannot be compared)\n"
	was, err := Parse(before)
	if err != nil {
		return unreadable
	}
	now, err := Parse(after)
	if err != nil {
		return unreadable
	}
	had, err := l.Read(was)
	if err != nil {
		return unreadable
	}
	has, err := l.Read(now)
	if err != nil {
		return unreadable
	}
	var kubelet, document []string
	explained := l.edited(was, now, Change{Remove: positions(had), Add: has})
	if docs := was.Documents(kubeletConfig); len(docs) > 0 && len(now.Documents(kubeletConfig)) == 0 && l.converted(was, now, docs[0], has) {
		explained = true
		kubelet, document = movedLines(docs[0])
	}
	if !explained {
		return "(the configurations differ in more than " + l.Item + "s; that is not shown)\n"
	}
	entries := l.entryLines(had, has)
	var b strings.Builder
	if len(kubelet) > 0 || len(entries) > 0 {
		last := len(l.Path) - 1
		for i, key := range l.Path[:last] {
			b.WriteString(" " + indent(i) + key + ":\n")
		}
		for _, line := range kubelet {
			b.WriteString("+" + indent(2) + line + "\n")
		}
		if len(entries) > 0 {
			sign := " "
			if len(had) == 0 {
				sign = "+"
			} else if len(has) == 0 {
				sign = "-"
			}
			b.WriteString(sign + indent(last) + l.Path[last] + ":\n")
		}
		for _, line := range entries {
			b.WriteString(line + "\n")
		}
	}
	for _, line := range document {
		b.WriteString("-" + line + "\n")
	}
	if b.Len() == 0 {
		return "(only the spelling differs)\n"
	}
	return b.String()
}

// indent is what Talos writes in front of a key that is so many levels deep.
func indent(level int) string { return strings.Repeat(" ", level*talosStyle().step) }

func positions(list []any) []int {
	all := make([]int, len(list))
	for i := range list {
		all[i] = i
	}
	return all
}

// entryLines are the entries that come and go, with their sign.
func (l List) entryLines(before, after []any) []string {
	style := talosStyle()
	write := func(values []any) []string {
		texts := make([]string, len(values))
		for i, value := range values {
			texts[i] = strings.Join(style.entries([]any{value}, len(l.Path)*style.step), "\n")
		}
		return texts
	}
	a, b := write(before), write(after)
	var lines []string
	sign := func(sign string, texts []string) {
		for _, text := range texts {
			for line := range strings.SplitSeq(text, "\n") {
				lines = append(lines, sign+line)
			}
		}
	}
	for _, op := range difflib.NewMatcher(a, b).GetOpCodes() {
		if op.Tag != 'e' {
			sign("-", a[op.I1:op.I2])
			sign("+", b[op.J1:op.J2])
		}
	}
	return lines
}

// movedLines name the fields of a KubeletConfig document, as machine.kubelet has them and as it has them itself.
func movedLines(doc *yaml.Node) (kubelet, document []string) {
	document = []string{"apiVersion: v1alpha1", "kind: KubeletConfig"}
	for i := 0; i+1 < len(doc.Content); i += 2 {
		field := doc.Content[i].Value
		if name, known := moved(field); known && name != "" {
			kubelet = append(kubelet, name+": (moved)")
			document = append(document, field+": (moved)")
		}
	}
	return append(kubelet, disableManifests+": true"), slices.Clip(document)
}
