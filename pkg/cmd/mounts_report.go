// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// alike are nodes of which the same is to be said.
type alike struct {
	text, hint string
	nodes      []string
}

// group puts nodes together, in their order, by what say says of them; nothing is
// said of those for which it is empty.
func group(nodes []cluster.NodeMounts, say func(cluster.NodeMounts) (text, hint string)) []alike {
	var groups []alike
	for _, n := range nodes {
		text, hint := say(n)
		if text == "" {
			continue
		}
		i := slices.IndexFunc(groups, func(g alike) bool { return g.text == text && g.hint == hint })
		if i < 0 {
			groups = append(groups, alike{text: text, hint: hint})
			i = len(groups) - 1
		}
		groups[i].nodes = append(groups[i].nodes, n.Node)
	}
	return groups
}

// warnOf prints what people should know before they go on.
func (o *mountsOptions) warnOf(nodes []cluster.NodeMounts) {
	style := o.Colour.Style(o.ErrOut)
	var all []cluster.NodeMounts
	for _, n := range nodes {
		for _, w := range n.Warnings {
			one := n
			one.Message = w
			all = append(all, one)
		}
	}
	for _, g := range group(all, func(n cluster.NodeMounts) (string, string) { return n.Message, "" }) {
		fmt.Fprintf(o.ErrOut, "%s %s: %s\n", style.Warning("warning:"), strings.Join(g.nodes, ", "), g.text)
	}
}

// printDiffs shows on stderr what is to be changed, and returns on how many nodes.
func (o *mountsOptions) printDiffs(nodes []cluster.NodeMounts) int {
	changes := 0
	for _, g := range group(nodes, func(n cluster.NodeMounts) (string, string) {
		if n.After == nil {
			return "", ""
		}
		return mounts.Diff(n.Before.Active, n.After), ""
	}) {
		changes += len(g.nodes)
		fmt.Fprintf(o.ErrOut, "%s:\n", strings.Join(g.nodes, ", "))
		for line := range strings.Lines(g.text) {
			fmt.Fprint(o.ErrOut, "  "+line)
		}
	}
	return changes
}

// printFragments prints what is missing in the nodes' configurations.
func (o *mountsOptions) printFragments(nodes []cluster.NodeMounts) error {
	groups := group(nodes, func(n cluster.NodeMounts) (string, string) {
		if n.Action != change.Patch {
			return "", ""
		}
		return mounts.Fragment(slices.Concat(n.Rebound, n.Add)), ""
	})
	if len(groups) > 0 {
		fmt.Fprintf(o.ErrOut,
			"%s merge this by hand: talosctl patch appends to the list each time that it is applied, and an entry that is there twice\ndoubles the node's mounts with each start of the kubelet\n",
			o.Colour.Style(o.ErrOut).Warning("warning:"))
	}
	for _, n := range nodes {
		for i, m := range n.Rebound {
			fmt.Fprintf(o.ErrOut, "%s %s: the entry for %q takes the place of machine.kubelet.extraMounts[%d]\n",
				o.Colour.Style(o.ErrOut).Warning("warning:"), n.Node, m.Destination, n.Rebind[i])
		}
	}
	for i, g := range groups {
		if i > 0 {
			fmt.Fprintln(o.Out, "---")
		}
		fmt.Fprintf(o.Out, "# %s\n%s", strings.Join(g.nodes, ", "), g.text)
	}
	return o.errors(nodes)
}

// print writes the nodes to stdout.
func (o *mountsOptions) print(s *snapshot.Snapshot, nodes []cluster.NodeMounts) error {
	list := mountsList{
		TypeMeta:    metav1.TypeMeta{APIVersion: output.APIVersion, Kind: "NodeMountsList"},
		Provisioner: s.Install.Namespace + "/" + s.Install.Name, Items: make([]nodeMounts, 0, len(nodes)),
	}
	for _, n := range nodes {
		list.Items = append(list.Items, nodeMounts{"NodeMounts", metav1.ObjectMeta{Name: n.Node}, n.Talos, n.Plan, n.Result, n.Detail})
	}
	return o.printer.Print(o.Out, list, func() *metav1.Table { return mountsTable(nodes, o.dryRun) })
}

// mountsTable is one row a node and directory.
func mountsTable(nodes []cluster.NodeMounts, run dryRun) *metav1.Table {
	t := newTable("Node", "Talos", "Directory", "Visible", "Result", "Reason")
	addWide(t, "Message")
	for _, n := range nodes {
		result := cmp.Or(string(n.Result), would(n)+run.suffix())
		if len(n.Directories) == 0 {
			addRow(t, n.Node, cmp.Or(n.Talos.String(), "-"), "-", "-", result, string(n.Reason), n.Message)
		}
		for _, d := range n.Directories {
			result, reason := result, n.Reason
			if n.Action == change.Patch && d.Action == change.Patch {
				reason = d.Reason
			}
			if leaves(n, d) {
				result, reason = string(change.Unchanged), d.Reason
				if n.Result == "" {
					result += run.suffix()
				}
			}
			addRow(t, n.Node, n.Talos.String(), d.Path, cmp.Or(string(d.Visible), "unknown"), result, string(reason), d.Message)
		}
	}
	return t
}

// leaves tells that nothing was to be done for a directory, and that what came of its node left it as it was.
func leaves(n cluster.NodeMounts, d mounts.Directory) bool {
	switch n.Result {
	case "", change.Unchanged, change.Refused, change.NotDone, change.Patched, change.Staged:
		return d.Action == change.Keep
	}
	return false
}

// would is what would become of a node.
func would(n cluster.NodeMounts) string {
	switch n.Action {
	case change.Keep:
		return string(change.Unchanged)
	case change.Patch:
		if !n.Restarts {
			return string(change.Staged)
		}
		return string(change.Patched)
	case change.Refuse:
		return string(change.Refused)
	}
	return string(change.Unknown)
}

// errors says which nodes are not as they should be, those alike together.
func (o *mountsOptions) errors(nodes []cluster.NodeMounts) error {
	counts := make(map[string]int)
	bad := 0
	groups := group(nodes, func(n cluster.NodeMounts) (string, string) {
		word, text, hint := trouble(n)
		if word != "" {
			counts[word]++
			bad++
		}
		return text, hint
	})
	var parts []failure.Part
	for _, g := range groups {
		parts = append(parts, failure.Part{Subject: strings.Join(g.nodes, ", "), Err: failure.New(g.text, g.hint)})
	}
	var words []string
	for _, r := range []change.Result{
		change.Refused, change.Failed, change.RolledBack, change.Tried, change.Unknown, change.NotDone,
	} {
		if n := counts[string(r)]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, r))
		}
	}
	return failure.Several(fmt.Sprintf("%d of %d nodes not done: %s", bad, len(nodes), strings.Join(words, ", ")), parts)
}

// trouble is why a node is not as it should be: the result's word, the text and a hint.
func trouble(n cluster.NodeMounts) (word, text, hint string) {
	switch {
	case n.Action == change.Refuse:
		return string(change.Refused), n.Message, withWays(n.Hint, n.Ways)
	case n.Action == change.Skip:
		if n.Err != nil {
			return string(change.Unknown), n.Err.Error(), cmp.Or(failure.Hint(n.Err), n.Hint)
		}
		return string(change.Unknown), n.Message, n.Hint
	case n.Result == "" || n.Result.Done() || n.Result == change.Unchanged:
		return "", "", ""
	}
	return string(n.Result), n.Detail, n.Hint
}

// withWays adds the ways around to a hint.
func withWays(hint string, ways []mounts.Way) string {
	lines := []string{hint}
	for _, w := range ways {
		lines = append(lines, strings.TrimRight(w.String(), "\n"))
	}
	return strings.TrimLeft(strings.Join(lines, "\n"), "\n")
}
