// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"go.yaml.in/yaml/v3"
)

// Fragment is the YAML of extra mounts, for people whose configuration lives in git.
func Fragment(add []ExtraMount) string {
	return strings.Join(talosStyle().keys(mountsPath[:], add, 0), "\n") + "\n"
}

// Diff tells what lies between two machine configurations, for people. It is written
// from what was read, not from the lines, which may hold keys and tokens next to what
// changed: of everything but extra mounts it shows at most the name, and of what Edit
// and Convert would not do it only says that it is there. It is "" if nothing is different.
func Diff(before, after []byte) string {
	if string(before) == string(after) {
		return ""
	}
	const unreadable = "(the configurations differ and cannot be compared)\n"
	was, err := parseText(before)
	if err != nil {
		return unreadable
	}
	now, err := parseText(after)
	if err != nil {
		return unreadable
	}
	oldConfig, err := was.config()
	if err != nil {
		return unreadable
	}
	newConfig, err := now.config()
	if err != nil {
		return unreadable
	}
	var kubelet, document []string
	explained := edited(was, now, Change{Remove: everyIndex(oldConfig.ExtraMounts), Add: newConfig.ExtraMounts})
	if oldConfig.KubeletDocument && !newConfig.KubeletDocument {
		if doc := was.kind("KubeletConfig")[0]; converted(was, now, doc, newConfig.ExtraMounts) {
			explained = true
			kubelet, document = movedLines(doc)
		}
	}
	if !explained {
		return "(the configurations differ in more than extra mounts; that is not shown)\n"
	}
	entries := entryLines(oldConfig.ExtraMounts, newConfig.ExtraMounts)
	var b strings.Builder
	if len(kubelet) > 0 || len(entries) > 0 {
		b.WriteString(" machine:\n     kubelet:\n")
		for _, l := range kubelet {
			b.WriteString("+        " + l + "\n")
		}
		if len(entries) > 0 {
			sign := " "
			if len(oldConfig.ExtraMounts) == 0 {
				sign = "+"
			} else if len(newConfig.ExtraMounts) == 0 {
				sign = "-"
			}
			b.WriteString(sign + "        extraMounts:\n")
		}
		for _, l := range entries {
			b.WriteString(l + "\n")
		}
	}
	for _, l := range document {
		b.WriteString("-" + l + "\n")
	}
	if b.Len() == 0 {
		return "(only the spelling differs)\n"
	}
	return b.String()
}

func everyIndex(mounts []ExtraMount) []int {
	all := make([]int, len(mounts))
	for i := range mounts {
		all[i] = i
	}
	return all
}

// entryLines are the entries that come and go, with their sign.
func entryLines(before, after []ExtraMount) []string {
	style := talosStyle()
	write := func(mounts []ExtraMount) []string {
		texts := make([]string, len(mounts))
		for i, m := range mounts {
			texts[i] = strings.Join(style.entries([]ExtraMount{m}, 12), "\n")
		}
		return texts
	}
	a, b := write(before), write(after)
	var lines []string
	sign := func(sign string, texts []string) {
		for _, text := range texts {
			for l := range strings.SplitSeq(text, "\n") {
				lines = append(lines, sign+l)
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
