// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Decide plans what is to happen to one node so that its kubelet sees the required
// directories, or with Remove no longer has entries for them. A directory that
// is refused keeps the node as it is: each change restarts the kubelet, so there is one for all.
func Decide(n NodeState, r Request) Plan {
	p := Plan{Node: n.Node}
	if err := n.Release.Supported(); err != nil {
		if !n.Release.Known() {
			return p.end(change.Skip, ReasonVersionUnknown, err.Error(), "")
		}
		return p.end(change.Refuse, ReasonVersion, err.Error(), "upgrade Talos to "+talosrelease.Oldest+" or later")
	}
	p.warn(n.Release.Newer())
	dirs, err := cleanDirs(r.Required)
	if err != nil {
		return p.end(change.Refuse, ReasonDirectory, err.Error(), failure.Hint(err))
	}
	if len(dirs) == 0 {
		return p.end(change.Keep, ReasonNothing, "the provisioner has no directory", "")
	}
	if r.Remove {
		return n.remove(p, r, dirs)
	}
	options, ok := r.Propagation.options()
	if !ok {
		return p.end(change.Refuse, ReasonPropagation, fmt.Sprintf("propagation %q is none of rslave, rshared and private", r.Propagation),
			"--propagation rslave")
	}

	var need, bound []string
	for _, dir := range outer(dirs) {
		d := n.judge(dir, dirs)
		p.Directories = append(p.Directories, d)
		if d.Warning != "" {
			p.warn(fmt.Sprintf("%q %s", d.Path, d.Warning))
		}
		switch {
		case d.Action != change.Patch:
		case d.Reason == ReasonBindForRbind:
			bound = append(bound, dir)
		default:
			need = append(need, dir)
		}
	}
	for _, action := range []change.Action{change.Refuse, change.Skip} {
		if of := p.of(action); len(of) > 0 {
			p.Ways = n.ways(of)
			return p.end(action, of[0].Reason, sentence(of), hints(of))
		}
	}
	if len(need) == 0 && len(bound) == 0 {
		n.oddities(&p)
		p.warn(n.Unkept())
		reason := ReasonVisible
		for _, d := range p.Directories {
			if d.Reason == ReasonConfigured {
				reason = ReasonConfigured
				p.warn(fmt.Sprintf("%q %s", d.Path, d.Message))
			}
		}
		return p.end(change.Keep, reason, sentence(p.Directories), "")
	}

	if n.Settings.KubeletDocument && !r.Convert && len(need) > 0 {
		p.Ways = waysWithout(n.Release, need[0])
		return p.end(change.Refuse, ReasonKubeletDocument,
			"the kubelet is configured by a KubeletConfig document, which has no extraMounts, and "+n.doesNotSee(need),
			"give the provisioner a directory that the kubelet sees already; or have machine.kubelet back: "+
				shell.Command("kubectl", "talosdisk", "mounts", "--nodes", n.Node, "--convert-kubelet-config"))
	}
	if refused := n.obstacle(&p); refused != nil {
		return *refused
	}
	if refused := n.restart(&p, r); refused != nil {
		return *refused
	}
	taken := make([]string, 0, len(n.Settings.ExtraMounts))
	for _, m := range n.Settings.ExtraMounts {
		taken = append(taken, m.destination())
	}
	adds := join(n.Release, need, taken)
	changed := p.of(change.Patch)
	p.end(change.Patch, changed[0].Reason, sentence(changed), "")
	if refused := n.rebind(&p, bound); refused != nil {
		return *refused
	}
	for _, dir := range adds {
		if host := n.host(dir); host.Exists == disk.No && host.Problem != "" {
			return p.end(change.Refuse, ReasonDirectory, host.Problem+" on the node: the kubelet would not start with a mount of it",
				"give the provisioner another directory, such as /var/lib/disks")
		}
		p.Add = append(p.Add, ExtraMount{Destination: dir, Type: "bind", Source: dir, Options: slices.Clone(options)})
		if n.host(dir).Exists == disk.No {
			p.warn(fmt.Sprintf("%q does not exist on the node: Talos makes it", dir))
		}
	}
	if r.Propagation == PropagationPrivate {
		p.warn("with private propagation the kubelet does not see what is mounted on the node later, until it starts again")
	}
	p.Convert, p.Restarts = n.Settings.KubeletDocument, !r.Staged
	return p
}

// doesNotSee says of directories that no entry shows whether the kubelet sees them.
func (n NodeState) doesNotSee(dirs []string) string {
	var unseen, unknown []string
	why := ""
	for _, dir := range dirs {
		if s := n.Visibility(dir); s.Visible == disk.No {
			unseen = append(unseen, dir)
		} else {
			unknown, why = append(unknown, dir), cmp.Or(why, s.Why)
		}
	}
	var parts []string
	if len(unseen) > 0 {
		parts = append(parts, "does not see "+quoted(unseen))
	}
	if len(unknown) > 0 {
		parts = append(parts, fmt.Sprintf("whether it sees %s is unknown: %s", quoted(unknown), why))
	}
	return strings.Join(parts, "; ")
}

// host is what the node has at dir; nothing where nobody looked.
func (n NodeState) host(dir string) DirectoryListing {
	if n.View == nil {
		return DirectoryListing{}
	}
	return n.View.Dirs[dir].Host
}

// options are an entry's. Only rbind takes what is mounted already along.
func (p Propagation) options() ([]string, bool) {
	switch p {
	case "", PropagationSlave, PropagationShared:
		return []string{"rbind", string(cmp.Or(p, PropagationSlave)), "rw"}, true
	case PropagationPrivate:
		return []string{"rbind", "rprivate", "rw"}, true
	}
	return nil, false
}

// obstacle refuses to change a list of entries that is wrong already: the restart
// would fail, or double the node's mounts.
func (n NodeState) obstacle(p *Plan) *Plan {
	entries := n.Settings.ExtraMounts
	for i, m := range entries {
		if fault := m.fault(); fault != "" {
			refused := p.end(change.Refuse, ReasonBadEntry, fmt.Sprintf("%s %s: the kubelet does not start with it", entry(i), fault),
				n.edit("take it out or fix it"))
			return &refused
		}
	}
	for _, c := range conflicts(n.Release, entries) {
		if c.lower < 0 && !c.leaks {
			p.warn(c.text(entries))
			continue
		}
		reason := ReasonNested
		if c.same && c.lower >= 0 {
			reason = ReasonDuplicate
		}
		refused := p.end(change.Refuse, reason, c.text(entries), n.edit("leave one of them"))
		return &refused
	}
	return nil
}

// oddities warns of what is wrong with the entries although nothing is changed.
func (n NodeState) oddities(p *Plan) {
	for i, m := range n.Settings.ExtraMounts {
		if fault := m.fault(); fault != "" {
			p.warn(entry(i) + " " + fault + ": the kubelet does not start with it")
		}
	}
	for _, c := range conflicts(n.Release, n.Settings.ExtraMounts) {
		p.warn(c.text(n.Settings.ExtraMounts))
	}
}

// text says which two lie upon each other, and what comes of it.
func (c conflict) text(entries []ExtraMount) string {
	upper := entries[c.upper].destination()
	var text string
	switch {
	case c.lower < 0 && c.same:
		text = fmt.Sprintf("%s mounts %s, which Talos mounts itself", entry(c.upper), upper)
	case c.lower < 0:
		text = fmt.Sprintf("%s mounts %s, below %s, which Talos mounts itself", entry(c.upper), upper, c.byTalos)
	case c.same:
		text = fmt.Sprintf("%s and %s both mount %s", entry(c.lower), entry(c.upper), upper)
	default:
		text = fmt.Sprintf("%s mounts %s, below %s of %s", entry(c.upper), upper, entries[c.lower].destination(), entry(c.lower))
	}
	if c.leaks {
		text += ": each start of the kubelet doubles the node's mounts there"
	}
	return text
}

// restart refuses what must not be done to this node now: every change restarts its
// kubelet, except for one that is staged.
func (n NodeState) restart(p *Plan, r Request) *Plan {
	hazard := n.Release.RestartHazard()
	var refused Plan
	switch {
	case n.StagedDiffers:
		refused = p.end(change.Refuse, ReasonStaged, machineconfig.PendingDetail, machineconfig.PendingHint)
	case r.Staged: // Nothing restarts before the node does.
		n.unshown(p)
		p.warn(n.Unkept())
		return nil
	case !n.Ready:
		message := "the node is not ready"
		if n.NotReady != "" {
			message += ": " + n.NotReady
		}
		refused = p.end(change.Refuse, ReasonNotReady, message, shell.Command("kubectl", "describe", "node", n.Node))
	case hazard != "" && !r.AcceptHazard:
		refused = p.end(change.Refuse, ReasonHazard, hazard, "upgrade Talos, or restart it anyway with --accept "+string(ReasonHazard))
	default:
		p.warn(hazard)
		for _, caution := range n.Release.RestartCautions() {
			p.warn(caution)
		}
		n.unshown(p)
		p.warn(n.Unkept())
		return nil
	}
	return &refused
}

// unshown warns that a staged configuration cannot be seen.
func (n NodeState) unshown(p *Plan) {
	if !n.Release.Has(talosrelease.StoredConfig) {
		p.warn("Talos before v1.10 does not show a staged configuration: if there is one, it is lost")
	}
}

// Unkept is a warning where what is in force may end without anybody doing anything.
func (n NodeState) Unkept() string {
	switch {
	case n.Tried:
		return "a configuration was tried since the node booted, and that Talos has taken it back cannot be seen: look again once its time is over"
	case !n.StagedDiffers:
		return ""
	}
	return "the configuration in force is not the one on its disk: another one is staged, or this one is being tried or was not kept; look again after the node's next reboot"
}

// ways are those around the directories that no entry can serve.
func (n NodeState) ways(refused []Directory) []Way {
	for _, d := range refused {
		if d.Reason == ReasonOffVar || d.Reason == ReasonVarMnt || d.Reason == ReasonHoldsTalos {
			return waysWithout(n.Release, d.Path)
		}
	}
	return nil
}

// edit is a hint to edit the configuration by hand. No patch is ever printed: Talos's
// merge appends to the list of extraMounts.
func (n NodeState) edit(what string) string {
	return what + ": " + shell.Command("talosctl", "-n", n.address(), "edit", "machineconfig", "--mode", "no-reboot")
}

// address is what talosctl takes for the node.
func (n NodeState) address() string {
	if n.Address == "" {
		return n.Node
	}
	return n.Address
}

// of are the directories with an action.
func (p *Plan) of(action change.Action) []Directory {
	var of []Directory
	for _, d := range p.Directories {
		if d.Action == action {
			of = append(of, d)
		}
	}
	return of
}

func sentence(dirs []Directory) string {
	parts := make([]string, 0, len(dirs))
	for _, d := range dirs {
		parts = append(parts, fmt.Sprintf("%q %s", d.Path, d.Message))
	}
	return strings.Join(parts, "; ")
}

func hints(dirs []Directory) string {
	var all []string
	for _, d := range dirs {
		if d.Hint != "" && !slices.Contains(all, d.Hint) {
			all = append(all, d.Hint)
		}
	}
	return strings.Join(all, "; ")
}

func quoted(dirs []string) string {
	parts := make([]string, 0, len(dirs))
	for _, dir := range dirs {
		parts = append(parts, fmt.Sprintf("%q", dir))
	}
	return strings.Join(parts, ", ")
}
