// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
)

// readLayout reads a file, or stdin for "-", no further than a file may be long.
func readLayout(stdin io.Reader, name string) (layout.File, []byte, error) {
	file, err := openFile(stdin, name)
	if err != nil {
		return layout.File{}, nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, layout.MaxFile+1))
	if err != nil {
		return layout.File{}, nil, err
	}
	f, err := layout.Decode(name, raw)
	return f, raw, err
}

// replaceLayout replaces a file that still is as it was read.
func replaceLayout(name string, before, after []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	now, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, before) {
		return failure.New(fmt.Sprintf("%q was changed while the disks were looked at, and is left as it is", name), "run the command again")
	}
	return replaceFile(name, "a layout", info.Mode().Perm(), func(w io.Writer) error { _, err := w.Write(after); return err })
}

// boundTable is a row for each volume that was bound.
func boundTable(bound []layout.Volume) *metav1.Table {
	t := newTable("Node", "Volume", "Disk", "Size", "Bound-By")
	for _, v := range bound {
		size := "-"
		if v.Binding.Size > 0 {
			size = output.Size(uint64(v.Binding.Size))
		}
		addRow(t, v.Node, v.Key, v.Disk, size, v.Binding.ID().String())
	}
	return t
}

// warnOfBindings says on stderr which bindings are not as they should be, the volumes of one state together.
func (o *layoutOptions) warnOfBindings(r layout.Report) {
	whys := make(map[string][]string)
	var order []string
	add := func(volume layout.Volume, why string) {
		if whys[why] == nil {
			order = append(order, why)
		}
		whys[why] = append(whys[why], volume.Node+"/"+volume.Key)
	}
	for _, v := range r.Volumes {
		switch v.State {
		case layout.Missing:
			add(v, "bound to a disk that is not there; a new one takes its place only if you remove the binding")
		case layout.Elsewhere:
			add(v, fmt.Sprintf("bound to a disk that is on node %s, as %s", v.Other, v.Disk))
		case layout.Twice:
			add(v, "bound to a disk that is bound to "+v.Other+" too")
		case layout.Changed:
			add(v, fmt.Sprintf("bound to a disk that %s may be, and something contradicts: %s", v.Disk, v.Why))
		case layout.Bound, layout.New, layout.Unknown:
		}
		if v.Orphan {
			add(v, "bound for a class that the layout does not have on the node")
		}
	}
	for _, why := range order {
		o.warn(fmt.Sprintf("%s: %s", some(whys[why]), why))
	}
	if len(r.Unchecked) > 0 {
		o.note(fmt.Sprintf("bound by what Talos alone tells: %s; whether there is data without a signature on the disks is not known",
			some(r.Unchecked)))
	}
}

// some are the first of many words.
func some(all []string) string {
	const most = 5
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}

// refused lists on stderr the disks that fit classes which have not got theirs, and returns why they have not. Classes of nodes that were
// not looked at are left out: that is said of the nodes.
func (o *layoutOptions) refused(r layout.Report) []failure.Part {
	var parts []failure.Part
	t := newTable("Node", "Class", "Disk", "Size", "Type", "Transport", "Model", "Serial", "Not-Free")
	at := make(map[string]int)
	nodes := make(map[int][]string)
	for _, one := range r.Refused {
		if one.Refusal == layout.NotLooked {
			continue
		}
		for _, f := range one.Fitting {
			addRow(t, one.Node, one.Class, f.Disk, output.Size(f.Size), rotation(f.Rotational), cmp.Or(f.Transport, "-"), cmp.Or(f.Model, "-"),
				cmp.Or(f.Serial, "-"), notFree(f))
		}
		why, hint := refusal(one)
		key := one.Class + "\n" + why
		i, said := at[key]
		if !said {
			i = len(parts)
			at[key] = i
			parts = append(parts, failure.Part{Err: failure.New(why, hint)})
		}
		nodes[i] = append(nodes[i], one.Node)
		parts[i].Subject = fmt.Sprintf("class %s on %s", one.Class, some(nodes[i]))
	}
	if len(t.Rows) > 0 {
		fmt.Fprintln(o.ErrOut, "Disks that fit:")
		_ = printTable(o.ErrOut, t) // What cannot be printed there is nothing that could be reported.
	}
	return parts
}

func rotation(rotational bool) string {
	if rotational {
		return "hdd"
	}
	return "ssd"
}

// notFree is why a disk is not to be had.
func notFree(f layout.Fitting) string {
	switch {
	case f.Volume != "":
		return f.Volume
	case len(f.Against) == 0:
		return "-"
	}
	var reasons []string
	for _, o := range f.Against {
		if r := string(o.Reason); !slices.Contains(reasons, r) {
			reasons = append(reasons, r)
		}
	}
	return orNone(reasons)
}

// refusal is why a class has not got its disks, and what helps.
func refusal(r layout.Refused) (why, hint string) {
	wanted := "at least 1 wanted"
	if r.Wanted != nil {
		wanted = fmt.Sprintf("%d wanted", *r.Wanted)
	}
	if r.Bound > 0 {
		wanted += fmt.Sprintf(", %d bound", r.Bound)
	}
	switch r.Refusal {
	case layout.TooFew:
		why = fmt.Sprintf("%s, and %d free", wanted, r.Free)
		if r.Why != "" {
			why += "; " + r.Why
		}
		return why, "an override has another count for a node; --accept REASON=NODE/DISK takes a disk in spite of a reason"
	case layout.TooMany:
		if r.Wanted != nil && r.Bound > *r.Wanted {
			return wanted, "give the node its count in an override, or remove a binding"
		}
		return fmt.Sprintf("%s, and %d free: nothing says which of them", wanted, r.Free),
			"choose by size, model, transport, names or match, or raise the count"
	case layout.SystemDisk:
		return "the system disk is one of those that are chosen", "with match: add && !system_disk; with names: leave it out"
	case layout.NoIdentity:
		return fmt.Sprintf("nothing tells disk %s from another one that could be in its place", r.Why), "kubectl talosdisk disks -o wide"
	case layout.Shared:
		return "another node has one of the disks too, bound there as " + r.Why, "bind it on one node: name the other ones in overrides"
	case layout.NotEvaluated:
		return "what its expression matches is not known: " + r.Why, ""
	case layout.NotLooked:
	}
	return r.Why, ""
}

// printTable prints a table that is no answer to -o.
func printTable(w io.Writer, t *metav1.Table) error {
	return new(output.Printer).Print(w, nil, func() *metav1.Table { return t })
}
