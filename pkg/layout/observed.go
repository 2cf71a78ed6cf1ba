// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Observed is the disks of a snapshot, indexed once, in the words of a layout.
type Observed struct {
	s       *snapshot.Snapshot
	devices *link.Devices
	nodes   map[string]snapshot.Node
	// uses are the disks of each node, in the order in which they are bound.
	uses map[string][]link.DiskUse
	// byKey are disks of all nodes by what identifies them.
	byKey map[string][]sighting
}

// sighting is a disk of a node.
type sighting struct {
	node string
	use  link.DiskUse
}

// Observe indexes the disks of a snapshot.
func Observe(s *snapshot.Snapshot) *Observed {
	o := &Observed{
		s: s, devices: link.NewDevices(s), nodes: make(map[string]snapshot.Node), uses: make(map[string][]link.DiskUse),
		byKey: make(map[string][]sighting),
	}
	for _, n := range s.Nodes {
		o.nodes[n.Name] = n
	}
	for _, u := range o.devices.Inventory() {
		o.uses[u.Node] = append(o.uses[u.Node], u)
		for _, key := range o.set(u).Identity(u.Disk).Keys() {
			o.byKey[key] = append(o.byKey[key], sighting{u.Node, u})
		}
	}
	for _, uses := range o.uses {
		slices.SortStableFunc(uses, o.compare)
	}
	return o
}

// Disks are the disks of a node in the order in which they are bound: by slot, serial number and name.
func (o *Observed) Disks(node string) []link.DiskUse { return o.uses[node] }

// Unknown is why the disks of a node are not known; zero where they are.
func (o *Observed) Unknown(node string) problem.Problem {
	n, there := o.nodes[node]
	switch {
	case !there:
		return problem.Text("the node was not looked at")
	case n.View.Value != nil || n.Talos.Value != nil && n.Talos.Value.Disks.Value != nil:
		return problem.Problem{}
	case slices.ContainsFunc(o.s.Others, func(i snapshot.Installation) bool { return i.Nodes[node].View.Value != nil }):
		return problem.Problem{}
	case !n.Talos.Problem.IsZero():
		return problem.Join([]problem.Problem{n.View.Why(), n.Talos.Problem})
	}
	return n.View.Why()
}

// set are the devices of the disk's node by who saw the disk.
func (o *Observed) set(u link.DiskUse) *disk.Set {
	if slices.Contains(u.SeenBy, link.SeenByPod) {
		return o.devices.Set(u.Node)
	}
	return o.devices.Reported(u.Node)
}

func (o *Observed) compare(a, b link.DiskUse) int {
	return cmp.Or(natural(o.byPath(a), o.byPath(b)), natural(a.Serial, b.Serial), natural(a.Name, b.Name))
}

// byPath is the name in by-path that only the disk has; empty if it has none.
func (o *Observed) byPath(u link.DiskUse) string {
	target, _, err := o.set(u).Target(u.Disk, disk.TargetByPath)
	if err != nil || !udevName(path.Base(target)) {
		return ""
	}
	return path.Base(target)
}

// byID is the name in by-id that only the disk has; empty if it has none.
func (o *Observed) byID(u link.DiskUse) string {
	target, _, err := o.set(u).Target(u.Disk, disk.TargetByID)
	if err != nil || !udevName(path.Base(target)) {
		return ""
	}
	return path.Base(target)
}

// natural compares texts with the numbers in them as numbers. What has no text comes last.
func natural(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(b), len(a))
	}
	for i, j := 0, 0; ; {
		switch {
		case i == len(a) || j == len(b):
			return cmp.Or(cmp.Compare(len(a)-i, len(b)-j), cmp.Compare(a, b))
		case digit(a[i]) && digit(b[j]):
			x, y := number(a[i:]), number(b[j:])
			m, n := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if by := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n)); by != 0 {
				return by
			}
			i, j = i+len(x), j+len(y)
		case a[i] != b[j]:
			return cmp.Compare(a[i], b[j])
		default:
			i, j = i+1, j+1
		}
	}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// number is the digits that a text begins with.
func number(s string) string {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return s[:n]
}

// BindingOf is what binds a disk; false if nothing on its node tells it from another one.
func (o *Observed) BindingOf(u link.DiskUse, by By) (Binding, bool) {
	b := Binding{ByPath: o.byPath(u)}
	if by != BySlot {
		id := o.set(u).Identity(u.Disk)
		b.WWID, b.Serial, b.Size = known(id.WWID), known(id.Serial), Size(u.Size)
		if b.WWID == "" && b.Serial == "" {
			b.ByID = o.byID(u)
		}
	}
	found, ok := o.Find(u.Node, b)
	return b, ok && found.Name == u.Name
}

// known is an identifier as a file has it; empty if it can have none of that.
func known(identifier string) string {
	if s := strings.TrimSpace(identifier); fact(s) {
		return s
	}
	return ""
}

// Find is the disk of a node that a binding is of; false if there is none, or more than one.
func (o *Observed) Find(node string, b Binding) (link.DiskUse, bool) {
	var found []link.DiskUse
	for _, u := range o.candidates(node, b) {
		if o.is(u, b) && !slices.ContainsFunc(found, func(f link.DiskUse) bool { return o.set(u).SameDisk(f.Disk, u.Disk) }) {
			found = append(found, u)
		}
	}
	if len(found) != 1 {
		return link.DiskUse{}, false
	}
	return found[0], true
}

// candidates are the disks of a node that can be a binding's.
func (o *Observed) candidates(node string, b Binding) []link.DiskUse {
	if b.Slot() {
		return slices.DeleteFunc(slices.Clone(o.uses[node]), func(u link.DiskUse) bool { return !slices.Contains(u.ByPath, b.ByPath) })
	}
	var all []link.DiskUse
	for _, key := range b.ID().Keys() {
		for _, at := range o.byKey[key] {
			if at.node == node && !slices.ContainsFunc(all, func(u link.DiskUse) bool { return u.Name == at.use.Name }) {
				all = append(all, at.use)
			}
		}
	}
	return all
}

// is reports whether a disk is a binding's. Where only the slot is known, what is there has to have the size.
func (o *Observed) is(u link.DiskUse, b Binding) bool {
	if b.Slot() {
		return o.byPath(u) != "" && (b.Size == 0 || uint64(b.Size) == u.Size)
	}
	return o.set(u).Same(b.ID(), u.Disk) == disk.Yes
}

// changed is a disk of the node that a binding may be of, but for a fact that contradicts: another size, or another serial number.
func (o *Observed) changed(node string, b Binding) (link.DiskUse, bool) {
	for _, u := range o.uses[node] {
		if b.Slot() && slices.Contains(u.ByPath, b.ByPath) {
			return u, true
		}
		if b.ID().SizeOnly(u.Identity()) {
			return u, true
		}
	}
	return link.DiskUse{}, false
}

// elsewhere is another node that has the disk of a binding: by a WWID that names one disk on every machine, or by an identifier that no
// other disk of the cluster has. Serial numbers of virtual machines repeat from node to node.
func (o *Observed) elsewhere(node string, b Binding) (link.DiskUse, bool) {
	const few = 16 // More nodes than that do not share a disk.
	id := b.ID()
	for _, key := range id.Keys() {
		seen := o.byKey[key]
		if len(seen) > few {
			continue
		}
		for _, at := range seen {
			now := at.use.Identity()
			if same, _ := id.SameLUN(now); at.node != node && (same || len(seen) == 1) && id.Same(now) == disk.Yes {
				return at.use, true
			}
		}
	}
	return link.DiskUse{}, false
}

// Against is what speaks against giving a disk away, and is not accepted. unchecked tells that only Talos has reported it: no pod looked
// for links and for data without a signature, and there is no provisioner in the cluster that could have made or published any.
func (o *Observed) Against(u link.DiskUse, accepted []link.Acceptance) (against []disk.Objection, unchecked bool) {
	against = u.Against(accepted)
	if slices.Contains(u.SeenBy, link.SeenByPod) {
		return against, false
	}
	for _, use := range u.Uses { // A pod tells of what is written there itself.
		if use.Kind == link.UseContent && !u.Accepts(accepted, disk.HasSignature) {
			against = append(against, disk.Objection{Reason: disk.HasSignature, Message: "has something on it: " + use.String()})
		}
	}
	n := o.nodes[u.Node]
	if !o.s.Unread[snapshot.PartInstall].Is(problem.NoProvisioner) || n.Talos.Value == nil || n.Talos.Value.Legacy ||
		len(n.Talos.Value.Unread()) > 0 ||
		slices.ContainsFunc(o.s.Volumes, func(v snapshot.Volume) bool { return v.Node == u.Node || v.Node == "" }) {
		return against, false
	}
	return slices.DeleteFunc(against, func(o disk.Objection) bool { return o.Reason == disk.NotChecked }), true
}

// There is a volume of a class that is on a disk already.
type There struct {
	// Name is a Talos volume's name, or a link's.
	Name string
	// As is what the disk has become.
	As As
	// HostDir is the directory of a link.
	HostDir string
}

// There are the volumes of a class that are on a disk already: links in the class's directory, and volumes of Talos that the class
// publishes or that are called as the class's are.
func (o *Observed) There(u link.DiskUse, class string) []There {
	var all []There
	add := func(t There) {
		if !slices.Contains(all, t) && (t.As == AsLink && disk.CheckEntry(t.Name) == nil || talosName(t.Name)) {
			all = append(all, t)
		}
	}
	installed := o.classes(class)
	for _, p := range u.Links {
		dir, name := path.Dir(p), path.Base(p)
		if slices.ContainsFunc(installed, func(c provisioner.Class) bool { return path.Clean(c.HostDir) == dir && c.Publishes(name) }) {
			add(There{Name: name, As: AsLink, HostDir: dir})
		}
	}
	for _, use := range u.Uses {
		t, ok := talosVolume(use, u.Name)
		if !ok {
			continue
		}
		of, _, _ := ParseVolumeName(t.Name)
		published := slices.ContainsFunc(installed, func(c provisioner.Class) bool {
			if t.As == AsPartition {
				return path.Clean(c.HostDir) == byPartLabel && c.Mode == provisioner.Block && c.Publishes(use.Name)
			}
			return path.Clean(c.HostDir) == varMnt && c.Mode == provisioner.Filesystem && c.Publishes(t.Name)
		})
		if published || of == class {
			add(t)
		}
	}
	return all
}

// talosVolume is a volume that a document of a machine configuration makes, by its ID (Talos v1.14, pkg/machinery/constants).
func talosVolume(u link.Use, whole string) (There, bool) {
	if u.Kind != link.UseVolume || len(u.Name) < 3 || u.Name[1] != '-' {
		return There{}, false
	}
	t := There{Name: u.Name[2:]}
	switch {
	case u.Name[0] == 'u' && u.Device == whole:
		t.As = AsDisk
	case u.Name[0] == 'u' && u.Device != "":
		t.As = AsVolume
	case u.Name[0] == 'r' && u.Device != "":
		t.As = AsPartition
	default:
		return There{}, false
	}
	return t, true
}

// talosName reports whether a volume of Talos can be called so.
func talosName(name string) bool {
	return name != "" && len(name) <= maxVolume &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// classes are the classes of that name of all installations of the provisioner.
func (o *Observed) classes(name string) []provisioner.Class {
	var all []provisioner.Class
	for _, s := range o.s.Installations() {
		if c, there := s.Install.ClassOf(name); there {
			all = append(all, c)
		}
	}
	return all
}
