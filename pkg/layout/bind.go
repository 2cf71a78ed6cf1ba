// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Request is what disks are bound by, beside what was observed.
type Request struct {
	// Accept are objections to a disk that do not keep it from being bound.
	Accept []link.Acceptance
	// Selections are, by node, what the expressions of its classes match. A selection's name is that of its class.
	Selections map[string]snapshot.Section[[]snapshot.Selection]
}

// Selectors are the expressions of a node's classes, by which Talos would choose the disk of a partition. They find the disks once; that
// of a whole disk is none that Talos ever evaluates, and may name system_disk.
func (l Layout) Selectors(node string) []machineconfig.VolumeSelector {
	var all []machineconfig.VolumeSelector
	for _, c := range l.ClassesFor(node) {
		if c.Disks.Match != "" {
			all = append(all, machineconfig.VolumeSelector{Kind: "UserVolumeConfig", Name: c.Name, Type: "partition", Match: c.Disks.Match})
		}
	}
	return all
}

// Refusal is why no disks of a node were bound to a class.
type Refusal string

// The refusals.
const (
	// TooFew disks fit and can be given away.
	TooFew Refusal = "too-few"
	// TooMany fit, or more are bound or there than the class has.
	TooMany Refusal = "too-many"
	// SystemDisk: it is one of those that were named, or that the expression matches.
	SystemDisk Refusal = "system-disk"
	// NoIdentity: nothing tells a disk that fits from another one.
	NoIdentity Refusal = "no-identity"
	// Shared: another node has a disk that fits, too.
	Shared Refusal = "shared"
	// NotEvaluated: what the expression matches is not known.
	NotEvaluated Refusal = "not-evaluated"
	// NotLooked: the node's disks are not known.
	NotLooked Refusal = "not-looked"
)

// Refused is a class for which nothing was bound on a node.
type Refused struct {
	Node    string  `json:"node"`
	Class   string  `json:"class"`
	Refusal Refusal `json:"refusal"`
	// Wanted is how many disks the class has on the node; nil: all that fit. Bound are how many have a binding, and Free how many fit and
	// can be given away.
	Wanted *int `json:"wanted,omitempty"`
	Bound  int  `json:"bound"`
	Free   int  `json:"free"`
	// Why is what could not be found out, or the names of disks that are not there.
	Why string `json:"why,omitempty"`
	// Fitting are all disks that fit.
	Fitting []Fitting `json:"fitting,omitempty"`
}

// Fitting is a disk that fits a class.
type Fitting struct {
	// Disk is its name in /dev.
	Disk       string `json:"disk"`
	Size       uint64 `json:"size"`
	Rotational bool   `json:"rotational"`
	Transport  string `json:"transport,omitempty"`
	Model      string `json:"model,omitempty"`
	Serial     string `json:"serial,omitempty"`
	// Volume is the key of the volume that it is bound to already.
	Volume string `json:"volume,omitempty"`
	// Against is what speaks against giving it away.
	Against []disk.Objection `json:"against,omitempty"`

	use       link.DiskUse
	unchecked bool
}

// Report is what came of binding.
type Report struct {
	Volumes []Volume  `json:"volumes"`
	Refused []Refused `json:"refused,omitempty"`
	// Unchecked are the new volumes, as NODE/VOLUME, of whose disks only Talos has reported.
	Unchecked []string `json:"unchecked,omitempty"`
}

// Done reports whether every class of every node has its disks, and every binding its disk.
func (r Report) Done() bool {
	return len(r.Refused) == 0 && !slices.ContainsFunc(r.Volumes, func(v Volume) bool { return v.State != Bound && v.State != New })
}

// Bind adds to bindings what has none yet: what is there of a class already, then disks that fit and can be given away, in their order.
// No binding is changed or removed. A class that cannot have all its disks on a node gets none of them.
func (o *Observed) Bind(l Layout, b Bindings, r Request) (Bindings, Report) {
	after := l.NewBindings()
	for node, volumes := range b.Nodes {
		after.Nodes[node] = maps.Clone(volumes)
	}
	var report Report
	added := make(map[string]bool)
	for _, n := range o.s.Nodes {
		if !l.Includes(n.Name) {
			continue
		}
		if after.Nodes[n.Name] == nil {
			after.Nodes[n.Name] = make(map[string]Binding)
		}
		on := binder{Observed: o, request: r, node: n.Name, volumes: after.Nodes[n.Name]}
		on.bind(l.ClassesFor(n.Name))
		report.Refused = append(report.Refused, on.refused...)
		report.Unchecked = append(report.Unchecked, on.unchecked...)
		for _, key := range on.added {
			added[n.Name+"/"+key] = true
		}
	}
	o.unshare(after, added, &report)
	for _, n := range o.s.Nodes {
		if _, had := b.Nodes[n.Name]; !had && len(after.Nodes[n.Name]) == 0 {
			delete(after.Nodes, n.Name)
		}
	}
	report.Volumes = o.States(l, after)
	for i, v := range report.Volumes {
		if added[v.Node+"/"+v.Key] && v.State == Bound {
			report.Volumes[i].State = New
		}
	}
	return after, report
}

// unshare takes back what was bound now of disks that another node's bindings have too.
func (o *Observed) unshare(after Bindings, added map[string]bool, report *Report) {
	for _, pair := range o.twice(after) {
		for i, one := range pair {
			node, key, _ := strings.Cut(one, "/")
			if !added[one] {
				continue
			}
			class, _, _ := ParseVolumeName(key)
			report.Refused = append(report.Refused, Refused{Node: node, Class: class, Refusal: Shared, Why: pair[1-i]})
			for key := range after.Nodes[node] {
				if of, _, _ := ParseVolumeName(key); of == class && added[node+"/"+key] {
					delete(after.Nodes[node], key)
					delete(added, node+"/"+key)
					report.Unchecked = slices.DeleteFunc(report.Unchecked, func(u string) bool { return u == node+"/"+key })
				}
			}
		}
	}
}

// binder binds the disks of one node.
type binder struct {
	*Observed
	request Request
	node    string
	volumes map[string]Binding

	// held are the volumes of the disks that have one, by the first path to each.
	held             map[string]string
	added, unchecked []string
	refused          []Refused
}

// hold gives a disk to a volume.
func (b *binder) hold(u link.DiskUse, key string, binding Binding) {
	b.volumes[key] = binding
	b.held[b.first(u)] = key
	b.added = append(b.added, key)
}

// first is the name of the first path to a disk.
func (b *binder) first(u link.DiskUse) string { return b.set(u).First(u.Disk).Name }

func (b *binder) bind(classes []Class) {
	if why := b.Unknown(b.node); !why.IsZero() {
		for _, c := range classes {
			if b.wants(c) {
				b.refused = append(b.refused, Refused{
					Node: b.node, Class: c.Name, Refusal: NotLooked, Wanted: wanted(c), Bound: b.bound(c.Name), Why: why.Message,
				})
			}
		}
		return
	}
	b.held = make(map[string]string)
	for key, binding := range b.volumes {
		if u, found := b.Find(b.node, binding); found {
			b.held[b.first(u)] = key
		}
	}
	for _, c := range classes {
		b.adopt(c)
	}
	for _, c := range classes {
		if b.wants(c) {
			b.choose(c)
		}
	}
}

// wanted is how many disks a class has on its node; nil: all that fit.
func wanted(c Class) *int {
	if n := len(c.Disks.Names); n > 0 && c.Disks.Count == nil {
		return &n
	}
	return c.Disks.Count
}

// bound is how many volumes of a class have a binding, whether their disks are there or not.
func (b *binder) bound(class string) int {
	n := 0
	for key := range b.volumes {
		if of, _, _ := ParseVolumeName(key); of == class {
			n++
		}
	}
	return n
}

// wants reports whether a class does not have all its disks.
func (b *binder) wants(c Class) bool {
	want := wanted(c)
	return want == nil || b.bound(c.Name) != *want
}

// free is the first key of a class that no volume has, and that no volume of the class is called by.
func (b *binder) free(class string) string {
	for n := 1; ; n++ {
		if key := VolumeName(class, n); !b.has(key) && !b.called(class, key) {
			return key
		}
	}
}

// called reports whether a volume of the class has a name on the node.
func (b *binder) called(class, name string) bool {
	for key, binding := range b.volumes {
		if of, _, _ := ParseVolumeName(key); of == class && cmp.Or(binding.Name, key) == name {
			return true
		}
	}
	return false
}

// adopt binds what is there of a class: first what is called as the class's volumes are.
func (b *binder) adopt(c Class) {
	for _, own := range []bool{true, false} {
		for _, u := range b.Disks(b.node) {
			for _, t := range b.There(u, c.Name) {
				of, _, _ := ParseVolumeName(t.Name)
				if (of == c.Name) == own && t.As == c.As && (c.HostDir == "" || t.HostDir == c.HostDir) && b.held[b.first(u)] == "" {
					b.take(c, u, t)
				}
			}
		}
	}
}

// take binds what is there on a disk. Where a binding of the class is of another disk by that name, nobody knows which of the two is meant.
func (b *binder) take(c Class, u link.DiskUse, t There) {
	if b.called(c.Name, t.Name) {
		return
	}
	binding, ok := b.BindingOf(u, c.By)
	if !ok {
		b.refused = append(b.refused, Refused{
			Node: b.node, Class: c.Name, Refusal: NoIdentity, Wanted: wanted(c), Bound: b.bound(c.Name), Why: u.Name,
			Fitting: []Fitting{b.fitting(u)},
		})
		return
	}
	key := t.Name
	if of, _, _ := ParseVolumeName(key); of != c.Name || b.has(key) {
		key, binding.Name = b.free(c.Name), t.Name
	}
	b.hold(u, key, binding)
}

func (b *binder) has(key string) bool { _, has := b.volumes[key]; return has }

func (b *binder) fitting(u link.DiskUse) Fitting {
	f := Fitting{
		Disk: u.Name, Size: u.Size, Rotational: u.Rotational, Transport: transport(u), Model: u.Model, Serial: u.Serial,
		Volume: b.held[b.first(u)], use: u,
	}
	f.Against, f.unchecked = b.Against(u, b.request.Accept)
	return f
}

// choose binds disks that fit a class and can be given away.
func (b *binder) choose(c Class) {
	no := Refused{Node: b.node, Class: c.Name, Wanted: wanted(c), Bound: b.bound(c.Name)}
	refuse := func(why Refusal) {
		no.Refusal = why
		b.refused = append(b.refused, no)
	}
	if no.Wanted != nil && no.Bound > *no.Wanted {
		refuse(TooMany)
		return
	}
	fits, why := b.rule(c)
	if no.Why = why; fits == nil {
		refuse(NotEvaluated)
		return
	}
	system := false
	var free []Fitting
	for _, u := range b.Disks(b.node) {
		if !fits(u) || b.first(u) != u.Name { // Of the paths to one disk the first stands for it.
			continue
		}
		f := b.fitting(u)
		no.Fitting = append(no.Fitting, f)
		system = system || u.System != ""
		if f.Volume == "" && len(f.Against) == 0 {
			free = append(free, f)
		}
	}
	no.Free = len(free)
	need := max(1-no.Bound, len(free))
	if no.Wanted != nil {
		need = *no.Wanted - no.Bound
	}
	switch {
	case system && (c.Disks.Match != "" || len(c.Disks.Names) > 0):
		refuse(SystemDisk)
		return
	case len(free) < need || b.bound(c.Name)+need > maxCount:
		refuse(TooFew)
		return
	case len(free) > need:
		refuse(TooMany)
		return
	}
	bindings := make([]Binding, len(free))
	for i, f := range free {
		var ok bool
		if bindings[i], ok = b.BindingOf(f.use, c.By); !ok {
			no.Why = f.Disk
			refuse(NoIdentity)
			return
		}
	}
	for i, binding := range bindings {
		key := b.free(c.Name)
		b.hold(free[i].use, key, binding)
		if free[i].unchecked {
			b.unchecked = append(b.unchecked, b.node+"/"+key)
		}
	}
}

// rule reports which disks fit a class. Nil: that is not known, and why; else why are the disks that are named and are not there.
func (b *binder) rule(c Class) (fits func(link.DiskUse) bool, why string) {
	d := c.Disks
	switch {
	case d.Match != "":
		section := b.request.Selections[b.node]
		if section.Value == nil {
			return nil, section.Why().Message
		}
		at := slices.IndexFunc(*section.Value, func(s snapshot.Selection) bool { return s.Name == c.Name })
		if at < 0 {
			return nil, "it was not evaluated"
		}
		s := (*section.Value)[at]
		if s.Problem != "" {
			return nil, s.Problem
		}
		return func(u link.DiskUse) bool { return slices.Contains(s.Disks, cmp.Or(u.Kernel, u.Name)) }, ""
	case len(d.Names) > 0:
		named := func(u link.DiskUse, name string) bool {
			arg, err := disk.ParseArg(name)
			return err == nil && (arg.Name == u.Name || arg.Path != "" && slices.Contains(u.Names(), arg.Path))
		}
		var missing []string
		for _, name := range d.Names {
			if !slices.ContainsFunc(b.Disks(b.node), func(u link.DiskUse) bool { return named(u, name) }) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			why = fmt.Sprintf("not there: %s", strings.Join(missing, ", "))
		}
		return func(u link.DiskUse) bool {
			return slices.ContainsFunc(d.Names, func(name string) bool { return named(u, name) })
		}, why
	}
	return func(u link.DiskUse) bool {
		return (d.Rotational == nil || *d.Rotational == u.Rotational) && (d.Transport == "" || d.Transport == transport(u)) &&
			(d.Model == "" || wild(d.Model, u.Model)) && uint64(d.Size.Min) <= u.Size && (d.Size.Max == 0 || u.Size <= uint64(d.Size.Max)) &&
			u.Size > 0
	}, ""
}

// transport is Talos's word for the disk's bus; where Talos has not reported it, what the kernel's name says of it.
func transport(u link.DiskUse) string {
	if u.Transport != "" {
		return u.Transport
	}
	for _, driver := range []struct{ prefix, transport string }{{"nvme", "nvme"}, {"vd", "virtio"}, {"mmcblk", "mmc"}} {
		if strings.HasPrefix(cmp.Or(u.Kernel, u.Name), driver.prefix) {
			return driver.transport
		}
	}
	return ""
}

// wild reports whether a text is a pattern's, in which a "*" stands for any characters.
func wild(pattern, text string) bool {
	star, retry := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p, t = p+1, t+1
		case star >= 0:
			retry++
			p, t = star+1, retry
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
