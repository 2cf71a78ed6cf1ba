// SPDX-License-Identifier: Apache-2.0

package link

import (
	"path"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Devices are the disks of all nodes of a snapshot, indexed once: what identifies
// them, which are the same, and what lies on them.
type Devices struct {
	// chosen is the snapshot. s is that with the nodes beside among its nodes: their disks count,
	// and nothing is decided of them.
	chosen, s *snapshot.Snapshot
	// nodes are those of s, by name.
	nodes    map[string]snapshot.Node
	of       map[string]*device
	pods     map[string]*disk.Set
	reported map[string]*disk.Set
	// volumes are positions in the snapshot's, by path and by what identifies the disks
	// that they were made for.
	byPath, byKey map[string][]int
	// byNode are positions too, of those outside the class directories.
	byNode map[string][]int
	// seen are the disks of all nodes by what identifies them, once asked for.
	seen map[string][]sighting
}

// device is what is known of one node's devices.
type device struct {
	// s is the snapshot as the installation has it whose pod saw the node.
	s    *snapshot.Snapshot
	node snapshot.Node
	view snapshot.PodView
	set  *disk.Set
	// reported is the set of Talos's disks.
	reported *disk.Set
	talos    talos
	entries  entries
}

// NewDevices indexes the disks of a snapshot.
func NewDevices(s *snapshot.Snapshot) *Devices {
	chosen := s
	if len(s.Beside) > 0 {
		every := *s
		every.Nodes, every.Beside = slices.Concat(s.Nodes, s.Beside), nil
		s = &every
	}
	x := &Devices{
		chosen: chosen, s: s, nodes: make(map[string]snapshot.Node), of: make(map[string]*device), pods: make(map[string]*disk.Set),
		reported: make(map[string]*disk.Set),
		byPath:   make(map[string][]int), byKey: make(map[string][]int), byNode: make(map[string][]int),
	}
	views := make([][]disk.Disk, 0, 2*len(s.Nodes))
	for _, n := range s.Nodes {
		_, seen := seenBy(s, n)
		views = append(views, value(seen.View).Disks, talosDisks(n))
	}
	repeated := disk.Repeated(views...)
	for i, n := range s.Nodes {
		x.nodes[n.Name] = n
		doubts := disk.Doubts{WWIDs: repeated, Claims: claims(n)}
		x.pods[n.Name], x.reported[n.Name] = disk.NewSet(views[2*i], doubts), disk.NewSet(views[2*i+1], doubts)
	}
	for i, v := range s.Volumes {
		x.byPath[v.Path] = append(x.byPath[v.Path], i)
		if !s.InClassDirectory(v) {
			x.byNode[v.Node] = append(x.byNode[v.Node], i)
		}
		if v.Identity != nil {
			for _, key := range v.Identity.Keys() {
				x.byKey[key] = append(x.byKey[key], i)
			}
		}
	}
	return x
}

// Set are the devices of a node as its provisioner pod sees them, none where nobody looked.
func (x *Devices) Set(node string) *disk.Set {
	if s := x.pods[node]; s != nil {
		return s
	}
	return disk.NewSet(nil, disk.Doubts{})
}

// Reported are the disks of a node as its Talos API tells of them, none where it was not asked.
func (x *Devices) Reported(node string) *disk.Set {
	if s := x.reported[node]; s != nil {
		return s
	}
	return disk.NewSet(nil, disk.Doubts{})
}

// node is what is known of one of the snapshot's nodes.
func (x *Devices) node(name string) *device {
	if x.of[name] == nil {
		s, n := seenBy(x.s, x.nodes[name])
		d := &device{s: s, node: n, view: value(n.View), set: x.pods[name], reported: x.reported[name]}
		d.talos = talosOf(s, n, d.set, d.reported)
		d.entries = entriesOf(d.talos.places, d.set)
		x.of[name] = d
	}
	return x.of[name]
}

// talosDisks are the disks that a node's Talos API reported.
func talosDisks(n snapshot.Node) []disk.Disk {
	var all []disk.Disk
	for _, d := range value(value(n.Talos).Disks) {
		all = append(all, d.Disk())
	}
	return all
}

// claims are the paths that Talos knows several devices to have, with the kernel's
// names of those: udev keeps for each device what it would be called, and makes one link.
func claims(n snapshot.Node) map[string][]string {
	all := make(map[string][]string)
	add := func(path, name string) {
		for _, other := range all[path] {
			if other == name {
				return
			}
		}
		all[path] = append(all[path], name)
	}
	for _, d := range value(value(n.Talos).Disks) {
		for _, path := range d.Symlinks {
			add(path, d.Name)
		}
	}
	for name, paths := range value(value(n.Talos).Links) {
		for _, path := range paths {
			add(path, name)
		}
	}
	for path, names := range all {
		if len(names) < 2 {
			delete(all, path)
		}
	}
	return all
}

// entries are the links of a node, of all installations, by the disks that they lead to.
type entries struct {
	all []entryAt
	set *disk.Set
	// leads are positions in all: by device number, by the name that one holds which leads
	// nowhere in its pod, and by the disk of a partition.
	byNumber, byTarget, byParent map[string][]int
	overlaps                     *disk.Overlaps
}

func entriesOf(places []place, set *disk.Set) entries {
	e := entries{
		all: links(places), set: set, overlaps: disk.NewOverlaps(set),
		byNumber: make(map[string][]int), byTarget: make(map[string][]int), byParent: make(map[string][]int),
	}
	for n, at := range e.all {
		if at.entry.Device == "" {
			e.byTarget[at.entry.Target] = append(e.byTarget[at.entry.Target], n)
			continue
		}
		e.byNumber[at.entry.Device] = append(e.byNumber[at.entry.Device], n)
		if d, known := set.ByNumber(at.entry.Device); known {
			e.overlaps.Add(d, n)
			if d.Kind == disk.KindPartition {
				e.byParent[d.Parent] = append(e.byParent[d.Parent], n)
			}
		}
	}
	return e
}

// to are the positions of the entries that lead to the device itself, in their order.
func (e entries) to(d disk.Disk) []int {
	found := slices.Clone(e.byNumber[d.Number.String()])
	if len(e.byTarget) > 0 {
		for _, path := range d.Names() {
			found = append(found, e.byTarget[path]...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// other is an entry, but the one of a name in a directory, that leads to the disk's
// bytes, as HOSTPATH, and the name of the disk's partition if it leads to one.
func (e entries) other(d disk.Disk, hostDir, entry string) (at, partition string) {
	skip := func(n int) bool {
		return hostDir != "" && e.all[n].entry.Name == entry && path.Clean(e.all[n].class.HostDir) == path.Clean(hostDir)
	}
	best, is := e.overlaps.First(d, skip)
	for _, n := range e.to(d) {
		if !skip(n) && (!is || n < best) {
			best, is = n, true
		}
	}
	if !is {
		return "", ""
	}
	if p, known := e.set.ByNumber(e.all[best].entry.Device); known && partOf(p, d) {
		partition = p.Name
	}
	return e.all[best].path(), partition
}

// on are the entries that lead to a disk, those to the whole disk first.
func (e entries) on(d disk.Disk) []entryOn {
	var found []entryOn
	seen := make(map[string]bool)
	add := func(n int, partition string) {
		at := entryOn{class: e.all[n].class, entry: e.all[n].entry.Name, path: e.all[n].path(), partition: partition}
		if !seen[at.path] { // Two classes can have that directory.
			seen[at.path] = true
			found = append(found, at)
		}
	}
	for _, n := range e.to(d) {
		add(n, "")
	}
	for _, n := range e.byParent[d.Name] {
		p, _ := e.set.ByNumber(e.all[n].entry.Device)
		add(n, p.Name)
	}
	return found
}
