// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Proposing is what a file is proposed by, beside what was observed.
type Proposing struct {
	// Name is the layout's.
	Name string
	// Nodes are the nodes as a person chose them; zero: all.
	Nodes Nodes
	// Accept are objections to a disk that do not keep it from being proposed.
	Accept []link.Acceptance
}

// Propose is a file for what was observed. The classes of the provisioner that have links or volumes of Talos are in it, those bound to
// their disks. Disks that could be given away become classes by what tells them apart, and are bound to nothing; where there are classes
// already they are comments. What cannot be given away is a comment with the reason. An error means that there is nothing to propose.
func (o *Observed) Propose(p Proposing) ([]byte, error) { return o.draft(p).file() }

func (o *Observed) draft(p Proposing) *draft {
	d := &draft{Observed: o, Proposing: p}
	d.layout = Layout{
		APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: p.Name},
		Spec: Spec{Provisioner: Provisioner{Namespace: o.s.Install.Namespace}},
	}
	d.bindings = d.layout.NewBindings()
	for _, n := range o.s.Nodes {
		d.binders = append(d.binders, &binder{
			Observed: o, request: Request{Accept: p.Accept}, node: n.Name, volumes: make(map[string]Binding), held: make(map[string]string),
		})
	}
	for _, c := range o.s.Install.Classes {
		d.present(c)
	}
	d.spare()
	return d
}

// draft is a file that is being proposed.
type draft struct {
	*Observed
	Proposing
	layout   Layout
	bindings Bindings
	binders  []*binder
	// there are classes that have something, free are those that free disks could become.
	there, free []drafted
	// notes are classes that cannot be in a file, and why.
	notes []string
	kept  []keptBack
}

// drafted is a class with how many disks each node has of it.
type drafted struct {
	class  Class
	counts map[string]int
	disks  []link.DiskUse
}

// keptBack are disks that cannot be given away, for one reason.
type keptBack struct {
	why   string
	disks []string
}

// present binds what is there of a class of the provisioner, and makes a class of the file of it.
func (d *draft) present(installed provisioner.Class) {
	as, found := d.kindOf(installed)
	if !found {
		why := "it has no link to a whole disk and no volume of Talos on a disk"
		if !d.volumesKnown() {
			why = "it has no link to a whole disk, and not all nodes have told of their volumes of Talos"
		}
		d.note(installed, why)
		return
	}
	c := Class{
		Name: installed.Name, VolumeMode: installed.Mode, As: as, By: ByIdentity,
		ReclaimPolicy: d.s.StorageClasses[installed.Name].ReclaimPolicy,
	}
	if as == AsLink {
		c.HostDir = installed.HostDir
	}
	one := drafted{counts: make(map[string]int)}
	for _, b := range d.binders {
		b.adopt(c)
		for _, key := range b.added {
			if of, _, _ := ParseVolumeName(key); of != c.Name {
				continue
			}
			one.counts[b.node]++
			u, _ := b.Find(b.node, b.volumes[key])
			one.disks = append(one.disks, u)
			c.Filesystem = cmp.Or(c.Filesystem, filesystem(u, cmp.Or(b.volumes[key].Name, key)))
		}
	}
	if len(one.disks) == 0 {
		d.note(installed, "nothing tells its disks from others")
		return
	}
	c.Disks = common(one.disks)
	one.class = c
	d.count(&one)
	probe := Layout{Spec: Spec{Classes: []Class{one.class}}}
	probe.setDefaults()
	one.class = probe.Spec.Classes[0]
	m := &mistakes{at: map[string]place{"": {}}}
	m.checkClass("", one.class)
	if len(m.all) > 0 {
		d.note(installed, m.all[0].text)
		return
	}
	for _, b := range d.binders {
		for key, binding := range b.volumes {
			if of, _, _ := ParseVolumeName(key); of == c.Name {
				if d.bindings.Nodes[b.node] == nil {
					d.bindings.Nodes[b.node] = make(map[string]Binding)
				}
				d.bindings.Nodes[b.node][key] = binding
			}
		}
	}
	d.there = append(d.there, one)
}

func (d *draft) note(c provisioner.Class, why string) {
	d.notes = append(d.notes, fmt.Sprintf("class %s (%s, %s): %s", c.Name, c.Mode, c.HostDir, why))
}

// volumesKnown reports whether every node has told which volumes of Talos it has.
func (d *draft) volumesKnown() bool {
	return !slices.ContainsFunc(d.s.Nodes, func(n snapshot.Node) bool { return n.Talos.Value == nil || n.Talos.Value.Volumes.Value == nil })
}

// kindOf is what most disks of a class have become.
func (d *draft) kindOf(c provisioner.Class) (As, bool) {
	counts := make(map[As]int)
	for _, uses := range d.uses {
		for _, u := range uses {
			for _, t := range d.There(u, c.Name) {
				if t.As != AsLink || t.HostDir == c.HostDir {
					counts[t.As]++
				}
			}
		}
	}
	best, found := As(""), 0
	for _, as := range []As{AsLink, AsVolume, AsDisk, AsPartition} {
		mode := provisioner.Filesystem
		if as == AsLink || as == AsPartition {
			mode = provisioner.Block
		}
		if mode == c.Mode && counts[as] > found {
			best, found = as, counts[as]
		}
	}
	return best, found > 0
}

// filesystem is what Talos knows to be on a volume of a disk, where it is one that a layout can ask for.
func filesystem(u link.DiskUse, volume string) string {
	device := ""
	for _, use := range u.Uses {
		if use.Kind == link.UseVolume && use.Name == "u-"+volume {
			device = use.Device
		}
	}
	for _, use := range u.Uses {
		if use.Kind == link.UseContent && use.Device == device && (use.Name == "xfs" || use.Name == "ext4") {
			return use.Name
		}
	}
	return ""
}

// common is what disks have in common.
func common(disks []link.DiskUse) Disks {
	first := disks[0]
	c := Disks{Rotational: new(first.Rotational), Transport: word(transport(first)), Size: Range{Min: Size(first.Size), Max: Size(first.Size)}}
	for _, u := range disks[1:] {
		if c.Rotational != nil && *c.Rotational != u.Rotational {
			c.Rotational = nil
		}
		if c.Transport != transport(u) {
			c.Transport = ""
		}
		c.Size.Min, c.Size.Max = min(c.Size.Min, Size(u.Size)), max(c.Size.Max, Size(u.Size))
	}
	if c.Transport == virtio { // It says of every disk that it rotates.
		c.Rotational = nil
	}
	return c
}

const virtio = "virtio"

// word is a transport as a file can have it.
func word(transport string) string {
	if strings.Trim(transport, transportChars) != "" {
		return ""
	}
	return transport
}

// spare sorts the disks that have no volume: into classes that they could become, and those that cannot be given away.
func (d *draft) spare() {
	var free []link.DiskUse
	for _, b := range d.binders {
		for _, u := range d.Disks(b.node) {
			if b.first(u) != u.Name || b.held[u.Name] != "" {
				continue
			}
			against, _ := d.Against(u, d.Accept)
			_, identified := d.BindingOf(u, ByIdentity)
			switch {
			case len(against) > 0:
				d.keep(u, against[0].Message)
			case !identified:
				d.keep(u, "has nothing that tells it from another disk")
			default:
				free = append(free, u)
			}
		}
	}
	for _, group := range groups(free) {
		one := drafted{
			class: Class{
				Name: d.name(group[0]), VolumeMode: provisioner.Filesystem, As: AsVolume, Filesystem: "xfs", By: ByIdentity, ReclaimPolicy: "Delete",
				Disks: common(group),
			},
			counts: make(map[string]int), disks: group,
		}
		for _, u := range group {
			one.counts[u.Node]++
		}
		d.count(&one)
		d.free = append(d.free, one)
	}
}

// keep notes a disk that cannot be given away.
func (d *draft) keep(u link.DiskUse, why string) {
	i := slices.IndexFunc(d.kept, func(k keptBack) bool { return k.why == why })
	if i < 0 {
		i = len(d.kept)
		d.kept = append(d.kept, keptBack{why: why})
	}
	d.kept[i].disks = append(d.kept[i].disks, u.Node+"/"+u.Name)
}

// groups are disks that a selector can tell from all others: by how they move, their bus and their size, where sizes that differ by less
// than a twentieth count as one.
func groups(disks []link.DiskUse) [][]link.DiskUse {
	kind := func(u link.DiskUse) string {
		if transport(u) == virtio {
			return virtio
		}
		return fmt.Sprintf("%v %s", u.Rotational, transport(u))
	}
	sorted := slices.Clone(disks)
	slices.SortStableFunc(sorted, func(a, b link.DiskUse) int { return cmp.Or(cmp.Compare(kind(a), kind(b)), cmp.Compare(a.Size, b.Size)) })
	var all [][]link.DiskUse
	for i, u := range sorted {
		if i == 0 || kind(sorted[i-1]) != kind(u) || u.Size-sorted[i-1].Size > sorted[i-1].Size/20 {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], u)
	}
	for _, group := range all {
		slices.SortStableFunc(group, func(a, b link.DiskUse) int { return strings.Compare(a.Node, b.Node) })
	}
	return all
}

// name is a class's name by what its disks are: "ssd-480gb". No other class has it.
func (d *draft) name(u link.DiskUse) string {
	kind := "ssd"
	switch {
	case transport(u) == "nvme" || transport(u) == virtio:
		kind = transport(u)
	case u.Rotational:
		kind = "hdd"
	}
	size := strings.ToLower(about(u.Size))
	name := kind + "-" + size
	taken := func(name string) bool {
		_, installed := d.s.Install.ClassOf(name)
		return installed || slices.ContainsFunc(d.free, func(f drafted) bool { return f.class.Name == name })
	}
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s-%s-%c", kind, size, 'a'+n-1)
	}
	return name
}

// about is a size as it is printed on a disk, or as a virtual one is made: "480GB", "10GiB".
func about(size uint64) string {
	const gib = 1 << 30
	switch tb, gb := (size+5e11)/1e12, (size+5e8)/1e9; {
	case size >= gib && size%gib == 0:
		return fmt.Sprintf("%dGiB", size/gib)
	case tb > 0 && max(size, tb*1e12)-min(size, tb*1e12) < tb*2e10:
		return fmt.Sprintf("%dTB", tb)
	case gb > 0:
		return fmt.Sprintf("%dGB", gb)
	}
	return fmt.Sprintf("%dMB", size/1e6)
}

// count gives a class the count that most nodes have; the others get overrides later.
func (d *draft) count(one *drafted) {
	nodes := make(map[int]int)
	for _, n := range one.counts {
		nodes[n]++
	}
	best := 0
	for n := range nodes {
		if best == 0 || nodes[n] > nodes[best] || nodes[n] == nodes[best] && n > best {
			best = n
		}
	}
	one.class.Disks.Count = &best
}

// included are the nodes that have something of a class.
func (d *draft) included(classes []drafted) []string {
	var all []string
	for _, n := range d.s.Nodes {
		if slices.ContainsFunc(classes, func(c drafted) bool { return c.counts[n.Name] > 0 }) {
			all = append(all, n.Name)
		}
	}
	return all
}

// overrides are the nodes that have another number of disks of a class than its count.
func overrides(nodes []string, classes []drafted) []Override {
	var all []Override
	for _, node := range nodes {
		var changes []ClassOverride
		for _, c := range classes {
			if n := c.counts[node]; n != *c.class.Disks.Count {
				changes = append(changes, ClassOverride{Name: c.class.Name, Disks: Disks{Count: &n}})
			}
		}
		if changes == nil {
			continue
		}
		same := slices.IndexFunc(all, func(o Override) bool {
			return slices.EqualFunc(o.Classes, changes, func(a, b ClassOverride) bool {
				return a.Name == b.Name && *a.Disks.Count == *b.Disks.Count
			})
		})
		if same < 0 {
			all = append(all, Override{Classes: changes})
			same = len(all) - 1
		}
		all[same].Nodes = append(all[same].Nodes, node)
	}
	return all
}

// file writes the draft, and reads it again.
func (d *draft) file() ([]byte, error) {
	if len(d.there)+len(d.free) == 0 {
		return nil, failure.New("none of the nodes has a volume of a class, or a disk that could be given away", "kubectl talosdisk disks")
	}
	classes, spare := d.there, d.free
	if len(classes) == 0 {
		classes, spare = d.free, nil
	}
	nodes := d.included(slices.Concat(classes, spare))
	d.layout.Spec.Nodes = d.Nodes
	if d.Nodes.Selector == nil && len(d.Nodes.Names) == 0 {
		d.layout.Spec.Nodes.Names = []string{"*"}
	}
	if len(nodes) < len(d.s.Nodes) {
		d.layout.Spec.Nodes = Nodes{Names: nodes}
	}
	for _, c := range classes {
		d.layout.Spec.Classes = append(d.layout.Spec.Classes, c.class)
	}
	d.layout.Spec.Overrides = overrides(nodes, classes)
	raw := []byte(d.text(classes, spare))
	f, err := Decode("the proposal", raw)
	if err != nil || len(d.bindings.Nodes) == 0 {
		return raw, err
	}
	return f.WithBindings(d.bindings)
}
