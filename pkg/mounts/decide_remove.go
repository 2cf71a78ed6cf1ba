// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
)

// remove plans to take out all entries for exactly these directories, or for the
// parent that stood for them when they were added.
func (n NodeState) remove(p Plan, r Request, dirs []string) Plan {
	if !n.ConfigProblem.IsZero() {
		return p.end(change.Skip, ReasonConfigNotRead, "its configuration was not read: "+n.ConfigProblem.Message, "")
	}
	exact := append(join(n.Release, dirs, nil), dirs...)
	var remove []int
	var removed, left []ExtraMount
	for i, m := range n.Settings.ExtraMounts {
		if m.Destination != "" && slices.Contains(exact, m.destination()) {
			remove, removed = append(remove, i), append(removed, m)
		} else {
			left = append(left, m)
		}
	}
	if len(remove) == 0 {
		p.warn(n.Unkept())
		return p.end(change.Keep, ReasonNoEntry, "its configuration has no extraMount for "+quoted(dirs), "")
	}
	if refused := n.restart(&p, r); refused != nil {
		return *refused
	}
	var gone []string
	for _, m := range removed {
		gone = append(gone, m.destination())
	}
	gone = outer(gone)
	var lost []string
	for _, name := range n.volumes() {
		if n.loses(n.Volumes[name], gone, left) {
			lost = append(lost, name)
		}
	}
	if refused := n.usedBy(&p, lost, "without the entry the kubelet could not unmount it, and the pod could not be deleted"); refused != nil {
		return *refused
	}
	p.end(change.Patch, ReasonRemove, "the extraMounts for "+quoted(gone)+" are taken out", "")
	p.Remove, p.Removed, p.Restarts = remove, removed, !r.Staged
	for _, name := range lost {
		p.warn(fmt.Sprintf("volume %q lies at %q: pods that use it can no longer start", name, n.Volumes[name]))
	}
	return p
}

// usedBy refuses to make something else of volumes that pods use. Above all not to hide
// a file system from the kubelet that has it mounted for a pod: it could not unmount it any more, and the pod could not be deleted until
// the entry is back (seen with kubelet v1.37.2).
func (n NodeState) usedBy(p *Plan, lost []string, why string) *Plan {
	if len(lost) == 0 {
		return nil
	}
	if n.UsedProblem != "" {
		skipped := p.end(change.Skip, ReasonVolumeInUse, "which pods use volumes there is unknown: "+n.UsedProblem, "")
		return &skipped
	}
	for _, name := range lost {
		if pods := n.Used[name]; len(pods) > 0 {
			namespace, pod, _ := strings.Cut(pods[0], "/")
			refused := p.end(change.Refuse, ReasonVolumeInUse,
				fmt.Sprintf("volume %q at %q is used by pod %q: %s", name, n.Volumes[name], pods[0], why),
				shell.Command("kubectl", "-n", namespace, "delete", "pod", pod))
			return &refused
		}
	}
	return nil
}

// loses reports whether dir is seen through the entries that go, and through nothing else.
func (n NodeState) loses(dir string, gone []string, left []ExtraMount) bool {
	at := func(destination string) bool { return below(dir, destination) }
	if _, talos := n.Release.DefaultMountAbove(dir); talos || !slices.ContainsFunc(gone, at) {
		return false
	}
	return !slices.ContainsFunc(left, func(m ExtraMount) bool { return m.fault() == "" && at(m.destination()) })
}
