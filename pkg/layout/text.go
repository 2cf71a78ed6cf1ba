// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// lines are a text in YAML that is being written.
type lines struct{ strings.Builder }

func (w *lines) add(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// text is the file of a draft, without its bindings.
func (d *draft) text(classes, spare []drafted) string {
	w := &lines{}
	w.add("# Which disks become which class of the provisioner. Proposed by kubectl talosdisk layout; from here on it is yours.")
	if len(d.bindings.Nodes) == 0 {
		w.add("# Nothing is bound yet. Change it, then bind the disks: kubectl talosdisk layout -f FILE --write")
	}
	l := d.layout
	w.add("apiVersion: %s\nkind: %s\nmetadata: {name: %s}\nspec:", APIVersion, Kind, scalar(l.Metadata.Name))
	w.add("  nodes: %s", l.Spec.Nodes.flow())
	if p := l.Spec.Provisioner; p.Namespace != "" {
		w.add("  provisioner: {namespace: %s} # and release, where the Helm release is not called local", scalar(p.Namespace))
	}
	w.add("  classes:")
	for _, c := range classes {
		about := "there already"
		if !d.isThere(c) {
			about = "free"
		}
		d.about(w, "    ", about, c)
		w.WriteString(c.class.block())
	}
	if len(spare) > 0 {
		w.add("    # Free disks. Remove the # before what you want.")
	}
	for _, c := range spare {
		d.about(w, "    ", "free", c)
		for line := range strings.SplitSeq(strings.TrimSuffix(c.class.block(), "\n"), "\n") {
			w.add("    #%s", line[len("    "):])
		}
	}
	if len(l.Spec.Overrides) > 0 {
		w.add("  overrides:")
		for _, o := range l.Spec.Overrides {
			w.add("    - nodes: %s", list(o.Nodes))
			w.add("      classes:")
			for _, c := range o.Classes {
				w.add("        - {name: %s, disks: {count: %d}}", scalar(c.Name), *c.Disks.Count)
			}
		}
	}
	if why := d.s.Unread[snapshot.PartInstall]; !why.IsZero() {
		w.add("# No class of a provisioner is known: %s", comment(why.Message))
	}
	for _, o := range d.s.Others {
		d.notes = append(d.notes, fmt.Sprintf("the classes of provisioner %s, which is another one than that of this file", o.Name()))
	}
	if len(d.notes) > 0 {
		w.add("# Not in this file:")
		for _, n := range d.notes {
			w.add("#   %s", comment(n))
		}
	}
	for _, n := range d.s.Nodes {
		if why := d.Unknown(n.Name); !why.IsZero() {
			w.add("# Not looked at: %s: %s", comment(n.Name), comment(why.Message))
		}
	}
	if len(d.kept) > 0 {
		w.add("# Cannot be given away:")
		for _, k := range d.kept {
			w.add("#   %s: %s", comment(some(k.disks)), comment(k.why))
		}
	}
	return w.String()
}

func (d *draft) isThere(c drafted) bool {
	return slices.ContainsFunc(d.there, func(t drafted) bool { return t.class.Name == c.class.Name })
}

// about says of a class which disks it has.
func (d *draft) about(w *lines, indent, how string, c drafted) {
	w.add("%s# %d %s on %d of %d nodes: %s", indent, len(c.disks), how, len(c.counts), len(d.s.Nodes), comment(models(c.disks)))
	if how == "free" && c.class.Disks.Transport == virtio {
		w.add("%s# virtio says of every disk that it rotates, so that only the size tells these from others.", indent)
	}
	if most := *c.class.Disks.Count; how == "free" && most > 1 {
		w.add("%s# Those of one node differ only in name and slot: to give them to several classes, use names.", indent)
	}
}

// models are the different models of disks, or their transports where they have none.
func models(disks []link.DiskUse) string {
	var all []string
	for _, u := range disks {
		text := strings.TrimSpace(u.Model)
		if text == "" {
			text = strings.TrimSpace(transport(u) + " disk")
		}
		text = fmt.Sprintf("%s (%s)", text, about(u.Size))
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return some(all)
}

// some are the first of many texts.
func some(all []string) string {
	const most = 5
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}

// comment is a text in a comment: on one line, and of what a terminal prints.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(s, "?"))
}

// block is a class as an element of a list.
func (c Class) block() string {
	w := &lines{}
	w.add("    - name: %s", scalar(c.Name))
	w.add("      volumeMode: %s", c.VolumeMode)
	w.add("      as: %s", c.As)
	field := func(key, value, unless string) {
		if value != unless {
			w.add("      %s: %s", key, scalar(value))
		}
	}
	field("filesystem", c.Filesystem, "")
	field("by", string(c.By), string(ByIdentity))
	field("reclaimPolicy", c.ReclaimPolicy, "Delete")
	field("hostDir", c.HostDir, "")
	w.add("      disks: %s", c.Disks.flow())
	return w.String()
}

// flow are the disks on one line.
func (d Disks) flow() string {
	var fields []string
	add := func(format string, args ...any) { fields = append(fields, fmt.Sprintf(format, args...)) }
	if d.Count != nil {
		add("count: %d", *d.Count)
	}
	if d.Rotational != nil {
		add("rotational: %v", *d.Rotational)
	}
	if d.Transport != "" {
		add("transport: %s", scalar(d.Transport))
	}
	switch {
	case d.Size.Min > 0 && d.Size.Max > 0:
		add("size: {min: %s, max: %s}", d.Size.Min, d.Size.Max)
	case d.Size.Min > 0:
		add("size: {min: %s}", d.Size.Min)
	case d.Size.Max > 0:
		add("size: {max: %s}", d.Size.Max)
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

func (n Nodes) flow() string {
	if n.Selector == nil {
		return "{names: " + list(n.Names) + "}"
	}
	var parts []string
	if len(n.Selector.MatchLabels) > 0 {
		var labels []string
		for _, key := range slices.Sorted(maps.Keys(n.Selector.MatchLabels)) {
			labels = append(labels, scalar(key)+": "+scalar(n.Selector.MatchLabels[key]))
		}
		parts = append(parts, "matchLabels: {"+strings.Join(labels, ", ")+"}")
	}
	if len(n.Selector.MatchExpressions) > 0 {
		var all []string
		for _, e := range n.Selector.MatchExpressions {
			text := fmt.Sprintf("{key: %s, operator: %s", scalar(e.Key), e.Operator)
			if e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn {
				text += ", values: " + list(e.Values)
			}
			all = append(all, text+"}")
		}
		parts = append(parts, "matchExpressions: ["+strings.Join(all, ", ")+"]")
	}
	return "{selector: {" + strings.Join(parts, ", ") + "}}"
}

func list(words []string) string {
	all := make([]string, 0, len(words))
	for _, w := range words {
		all = append(all, scalar(w))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
