// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Deciding is what a layout is decided by, beside what was observed of disks and of the provisioner.
type Deciding struct {
	// Releases are those of nodes that reported theirs, and of the layout's nodes that were not observed: a class becomes the same on all.
	// Of the others the kubelet's osImage counts.
	Releases map[string]talosrelease.Release
	// Wipe are disks, as NODE/DISK, that may be wiped.
	Wipe []string
	// Matcher proves that a selector matches the bound disk alone. Without one no document is written.
	Matcher Matcher
	// Configs are the volumes of the nodes' machine configurations, and Kubelets what is known of their kubelets, by node. What is
	// not there is unknown.
	Configs  map[string]snapshot.Section[Stored]
	Kubelets map[string]mounts.NodeState
}

// inherent are objections that a binding overrides, since it names the disk: they are about what kind of disk it is, not about what is on
// it.
func inherent() []link.Acceptance {
	var all []link.Acceptance
	for _, r := range []disk.Reason{disk.Removable, disk.TooSmall, disk.Loop, disk.Remote, disk.Virtual} {
		all = append(all, link.Acceptance{Reason: r})
	}
	return all
}

// data reports whether an objection is about something that a wipe takes away.
func data(o disk.Objection) bool {
	return o.Reason == disk.HasSignature || o.Reason == disk.HasPartitions || o.Reason == disk.HasData
}

// Decide compares a layout and its bindings with what was observed. A document is only planned for a disk that a binding names.
func (o *Observed) Decide(l Layout, b Bindings, in Deciding) Plan {
	d := &decider{
		Observed: o, layout: l, bindings: b, in: in, ground: o.ground(l, in.Releases),
		nodes: make(map[string]snapshot.Node), ways: make(map[string]ClassWay), plans: make(map[string]*NodePlan),
	}
	p := Plan{Classes: l.Ways(b, d.ground)}
	for _, w := range p.Classes {
		d.ways[w.Class.Name] = w
	}
	for _, n := range o.s.Nodes {
		d.nodes[n.Name] = n
		d.plans[n.Name] = &NodePlan{Node: n.Name, Address: n.Address, Release: d.ground.Releases[n.Name]}
	}
	for _, node := range slices.Sorted(maps.Keys(b.Nodes)) {
		if d.plans[node] == nil {
			p.NotObserved = append(p.NotObserved, node)
		}
	}
	byNode := make(map[string][]VolumePlan)
	for _, v := range d.bound() {
		byNode[v.Node] = append(byNode[v.Node], v)
	}
	for _, n := range o.s.Nodes {
		rows := byNode[n.Name]
		if l.Includes(n.Name) {
			rows = append(rows, d.unbound(n.Name)...)
		}
		rows = append(rows, d.beside(n)...)
		d.requirements(n.Name, rows)
		d.pending(d.plans[n.Name])
		if l.Includes(n.Name) || len(rows) > 0 {
			p.Nodes = append(p.Nodes, *d.plans[n.Name])
		}
		p.Volumes = append(p.Volumes, rows...)
	}
	p.Provisioner = o.values(l, p.Classes)
	return p
}

// decider is one decision on a layout.
type decider struct {
	*Observed
	layout   Layout
	bindings Bindings
	in       Deciding
	ground   Ground
	nodes    map[string]snapshot.Node
	ways     map[string]ClassWay
	plans    map[string]*NodePlan
}

// ground is what the ways of the layout's classes depend on.
func (o *Observed) ground(l Layout, releases map[string]talosrelease.Release) Ground {
	install, _ := o.install(l)
	g := Ground{Releases: make(map[string]talosrelease.Release), Installed: install.Classes, Entries: make(map[string][]string)}
	for name, r := range releases { // Of nodes that were not observed, too.
		if l.Includes(name) {
			g.Releases[name] = r
		}
	}
	add := func(dir, name string) { g.Entries[dir] = append(g.Entries[dir], name) }
	observed := 0
	for _, n := range o.s.Nodes {
		if !l.Includes(n.Name) {
			continue
		}
		observed++
		r := releases[n.Name]
		if parsed, err := talosrelease.Parse(n.OSImage); err == nil && !r.Known() {
			r = parsed
		}
		g.Releases[n.Name] = r
		if n.Talos.Value == nil || n.Talos.Value.Volumes.Value == nil || n.Talos.Value.Devices.Value == nil {
			g.Unseen = true
		}
		if n.Talos.Value == nil {
			continue
		}
		for _, v := range value(n.Talos.Value.Volumes) {
			if inVarMnt(v) {
				add(varMnt, v.ID[2:])
			}
		}
		for _, device := range value(n.Talos.Value.Devices) {
			if device.PartitionLabel != "" {
				add(byPartLabel, device.PartitionLabel)
			}
		}
	}
	g.Unseen = g.Unseen || observed < len(g.Releases)
	for dir, names := range g.Entries {
		slices.Sort(names)
		g.Entries[dir] = slices.Compact(names)
	}
	return g
}

func value[T any](s snapshot.Section[T]) T {
	var none T
	if s.Value == nil {
		return none
	}
	return *s.Value
}

// bound are the volumes of the bindings, in the order of nodes and volumes.
func (d *decider) bound() []VolumePlan {
	states := d.States(d.layout, d.bindings)
	links := d.links(states)
	rows := make([]VolumePlan, 0, len(states))
	for _, s := range states {
		v := VolumePlan{
			Node: s.Node, Volume: s.Key, Name: cmp.Or(s.Binding.Name, s.Key), Class: s.Class, Disk: s.Disk, Size: uint64(s.Binding.Size),
		}
		w, of := d.ways[s.Class]
		switch {
		case s.Orphan || !of:
			v.end(StatusOrphan, change.Keep, "the layout has no such class for this node")
		case s.State == Unknown:
			v.end(StatusUnknown, change.Skip, s.Why)
		case s.State == Missing:
			v.end(StatusMissing, change.Refuse, "no disk of the node is the bound one")
		case s.State == Changed:
			v.end(StatusMissing, change.Refuse, "the bound disk has changed: "+s.Why)
		case s.State == Elsewhere:
			v.end(StatusMissing, change.Refuse, fmt.Sprintf("the bound disk is %s of node %s", s.Disk, s.Other))
			v.Disk = ""
		case s.State == Twice:
			v.end(StatusTwice, change.Refuse, "the bound disk is that of "+s.Other+" too")
		case w.NoWay != nil && w.NoWay.Reason == NoWayUnknown:
			v.end(StatusUnknown, change.Skip, w.NoWay.String())
		case w.NoWay != nil:
			v.end(StatusRefused, change.Refuse, w.NoWay.String())
		default:
			u, _ := d.Find(s.Node, s.Binding)
			v.Size = u.Size
			d.volume(&v, w, s.Binding, u, links)
		}
		rows = append(rows, v)
	}
	return rows
}

func (v *VolumePlan) end(status Status, action change.Action, why string) {
	v.Status, v.Action, v.Why = status, action, why
}

// volume decides on a volume whose disk is there, and plans its document.
func (d *decider) volume(v *VolumePlan, w ClassWay, b Binding, u link.DiskUse, links map[string]link.Link) {
	if !d.ground.Releases[v.Node].Known() {
		v.end(StatusUnknown, change.Skip, "the node's Talos release is not known")
		return
	}
	if w.Way.Linked() {
		d.linked(v, w, u, links)
		return
	}
	n := d.nodes[v.Node]
	if n.Talos.Value == nil {
		v.end(StatusUnknown, change.Skip, "Talos was not asked: "+n.Talos.Why().Message)
		return
	}
	d.located(v, w, u, *n.Talos.Value)
	d.document(v, w, b, u, *n.Talos.Value)
}

// give decides on a disk that is to be given to a volume.
func (d *decider) give(v *VolumePlan, u link.DiskUse) {
	against, unchecked := d.Against(u, inherent())
	v.Unchecked = unchecked
	d.judge(v, against)
}

// judge decides on a disk by what speaks against it.
func (d *decider) judge(v *VolumePlan, against []disk.Objection) {
	v.Objections = against
	var other, unchecked []disk.Objection
	for _, o := range against {
		switch {
		case o.Reason == disk.NotChecked, o.Reason == disk.SystemDiskUnknown:
			unchecked = append(unchecked, o)
		case !data(o):
			other = append(other, o)
		}
	}
	accepted := slices.Contains(d.in.Wipe, v.Node+"/"+v.Disk)
	switch {
	case len(other) > 0:
		v.end(StatusInUse, change.Refuse, v.Disk+" "+other[0].Message)
	case len(unchecked) > 0:
		v.end(StatusUnknown, change.Skip, v.Disk+" "+unchecked[0].Message)
	case len(against) > 0 && accepted:
		v.Wipe = true
		v.end(StatusLeftovers, change.Create, v.Disk+" "+against[0].Message+", and is wiped first")
	case len(against) > 0:
		v.end(StatusLeftovers, change.Refuse, v.Disk+" "+against[0].Message)
	default:
		v.end(StatusCreate, change.Create, "")
	}
}

// unbound are the classes of a node that have fewer bindings than disks.
func (d *decider) unbound(node string) []VolumePlan {
	var rows []VolumePlan
	for _, c := range d.layout.ClassesFor(node) {
		bound := 0
		for key := range d.bindings.Nodes[node] {
			if of, _, _ := ParseVolumeName(key); of == c.Name {
				bound++
			}
		}
		v := VolumePlan{Node: node, Class: c.Name}
		switch want := wanted(c); {
		case want != nil && bound > *want:
			v.end(StatusOrphan, change.Keep, fmt.Sprintf("%d volumes are bound, and the class has %d disks on the node", bound, *want))
		case want != nil && bound < *want:
			v.end(StatusUnbound, change.Skip, fmt.Sprintf("%d of %d disks are bound", bound, *want))
		case want == nil && bound == 0:
			v.end(StatusUnbound, change.Skip, "no disk is bound")
		default:
			continue
		}
		rows = append(rows, v)
	}
	return rows
}

// beside are the volumes on a node that the bindings do not have: those of the layout's classes, and those of Talos that are nobody's here.
func (d *decider) beside(n snapshot.Node) []VolumePlan {
	var rows []VolumePlan
	own := make(map[string]bool) // The IDs of Talos's volumes that are the layout's, or have a row.
	entries := make(map[string]bool)
	for key, b := range d.bindings.Nodes[n.Name] {
		class, _, _ := ParseVolumeName(key)
		w := d.ways[class]
		name := cmp.Or(b.Name, key)
		own[w.label(name)] = true
		entries[path.Join(w.Wanted.HostDir, name)] = true
	}
	for _, w := range d.ways {
		if w.Volume != "" {
			own["u-"+w.Volume] = true
		}
	}
	for _, u := range d.Disks(n.Name) {
		for _, c := range d.layout.Spec.Classes {
			for _, t := range d.There(u, c.Name) {
				id := path.Join(t.HostDir, t.Name)
				taken := entries[id]
				if t.As != AsLink {
					id = label(t.As, t.Name)
					taken = own[id]
				}
				if taken {
					continue
				}
				own[id], entries[id] = true, true
				v := VolumePlan{Node: n.Name, Name: t.Name, Class: c.Name, Disk: u.Name, Size: u.Size}
				v.end(StatusOrphan, change.Keep, "it is there, and the bindings do not have it")
				rows = append(rows, v)
			}
		}
	}
	if n.Talos.Value == nil {
		return rows
	}
	volumes := slices.Clone(value(n.Talos.Value.Volumes))
	slices.SortFunc(volumes, func(a, b snapshot.TalosVolume) int { return strings.Compare(a.ID, b.ID) })
	for _, t := range volumes {
		if !made(t) || own[t.ID] {
			continue
		}
		v := VolumePlan{Node: n.Name, Name: t.ID, Disk: path.Base(cmp.Or(t.ParentLocation, t.Location, "-")), Size: t.Size}
		v.end(StatusForeign, change.Keep, "a volume of Talos that is not the layout's")
		rows = append(rows, v)
	}
	return rows
}

// requirements are the documents of directory volumes, and what the node's kubelet must see.
func (d *decider) requirements(node string, rows []VolumePlan) {
	p := d.plans[node]
	config := d.in.Configs[node]
	if config.Value == nil && d.layout.Includes(node) {
		p.ConfigProblem = config.Why()
	}
	for _, w := range d.ordered() {
		if !slices.ContainsFunc(rows, func(v VolumePlan) bool { return v.Volume != "" && v.Class == w.Class.Name && v.going() }) {
			continue
		}
		p.Required = append(p.Required, w.Wanted.HostDir)
		if w.Volume != "" {
			d.directory(p, w)
		}
	}
	slices.Sort(p.Required)
	p.Required = slices.Compact(p.Required)
	if len(p.Required) == 0 {
		p.Mounts.Action = change.Keep
		return
	}
	state, known := d.in.Kubelets[node]
	if !known {
		p.Mounts.Action, p.Mounts.Reason, p.Mounts.Message = change.Skip, mounts.ReasonNotSeen, "the kubelet was not looked at"
		return
	}
	p.Mounts = mounts.Decide(state, mounts.Request{Required: p.Required})
}

// pending refuses what would be lost, or would end somebody's trial.
func (d *decider) pending(p *NodePlan) {
	if !d.in.Kubelets[p.Node].StagedDiffers {
		return
	}
	for i := range p.Documents {
		if one := &p.Documents[i]; one.Action == change.Create {
			one.Action, one.Why = change.Refuse, machineconfig.PendingDetail
		}
	}
}

// going reports whether the volume is there, or will be.
func (v VolumePlan) going() bool {
	return v.Status == StatusInPlace || v.Action == change.Create || v.Action == change.Patch
}

// ordered are the ways in the order of the file.
func (d *decider) ordered() []ClassWay {
	all := make([]ClassWay, 0, len(d.layout.Spec.Classes))
	for _, c := range d.layout.Spec.Classes {
		all = append(all, d.ways[c.Name])
	}
	return all
}
