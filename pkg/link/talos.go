// SPDX-License-Identifier: Apache-2.0

package link

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// UseKind is what sort of use Talos tells of.
type UseKind string

// The kinds, the strongest first.
const (
	// UseSystem: Talos itself lives there.
	UseSystem UseKind = "system"
	// UseVolume: a volume of Talos's configuration lies there, in whatever phase.
	UseVolume UseKind = "volume"
	// UseMount: it is mounted, and by no volume.
	UseMount UseKind = "mount"
	// UseContent: Talos's probe knows what is written there.
	UseContent UseKind = "content"
)

// Use is one use of a disk, as the node's Talos API tells it.
type Use struct {
	Kind UseKind `json:"kind"`
	// Device is the disk or the partition, by the kernel's name. Empty: it is not known
	// yet, the volume only names the disk.
	Device string `json:"device,omitempty"`
	// Name is the volume's ID, or the kind of content (xfs, luks, gpt, …).
	Name string `json:"name,omitempty"`
	// Phase and Problem are a volume's.
	Phase   string `json:"phase,omitempty"`
	Problem string `json:"problem,omitempty"`
	// Label is a file system's, or else the partition's.
	Label string `json:"label,omitempty"`
	// Target is where it is mounted on the node.
	Target string `json:"target,omitempty"`
}

// String is the use for a person: "u-data (vdb2, ready, /var/mnt/data)".
func (u Use) String() string {
	name := u.Name
	switch {
	case u.Kind == UseSystem && name == "":
		name = "system disk"
	case u.Kind == UseMount:
		name = "mount"
	}
	var in []string
	for _, s := range []string{u.Device, u.Phase, u.Label, u.Target} {
		if s != "" {
			in = append(in, s)
		}
	}
	if len(in) == 0 {
		return name
	}
	return name + " (" + strings.Join(in, ", ") + ")"
}

// talos is what a node's Talos API reported its disks, put together with what the
// node's provisioner pod sees. The zero value says nothing of any disk.
type talos struct {
	node snapshot.Node
	view snapshot.PodView
	set  *disk.Set
	// places are the installations of the provisioner that have to do with the node.
	places   []place
	reported snapshot.Talos
	disks    []snapshot.TalosDisk
	// system are the disks that the node lives on, by what the pod sees.
	system map[disk.Number]string
	// byName are positions in disks; parents the disks of partitions; links the
	// devices of udev's names.
	byName  map[string]int
	parents map[string]string
	links   map[string]string
	// uses are by disk, the strongest first.
	uses map[string][]Use
	// matches are the whole disks of the view.
	matches map[disk.Number]match
	// paths are those of the matches that Talos tells a use of, by the first path to the
	// same disk.
	paths map[string][]disk.Number
	// sure reports whether Talos reported everything that the node lives on, of the node that the
	// pod sees: its system disk is surely one of the pod's.
	sure bool
}

// talosOf puts a node's two views together; set and reported are their disks.
func talosOf(s *snapshot.Snapshot, n snapshot.Node, set, reported *disk.Set) talos {
	t := talos{node: n, view: value(n.View), set: set, reported: value(n.Talos), places: placesOf(s, n)}
	t.system = set.SystemDisks(t.view.Beneath)
	if t.reported.Disks.Value == nil {
		return t
	}
	t.disks = *t.reported.Disks.Value
	t.byName, t.parents, t.links = make(map[string]int), make(map[string]string), make(map[string]string)
	for i, d := range t.disks {
		t.byName[d.Name] = i
		for _, path := range d.Symlinks {
			t.links[path] = d.Name
		}
	}
	for name, paths := range value(t.reported.Links) {
		for _, path := range paths {
			t.links[path] = name
		}
	}
	for _, d := range value(t.reported.Devices) {
		if d.Parent != "" {
			t.parents[d.Name] = d.Parent
		}
	}
	t.findUses()
	t.matches, t.paths = make(map[disk.Number]match), make(map[string][]disk.Number)
	for _, d := range t.view.Disks {
		if d.Whole() {
			m := matching(set, reported, t.disks, t.byName, d)
			t.matches[d.Number] = m
			if m.disk != nil && len(t.uses[m.disk.Name]) > 0 {
				first := set.First(d).Name
				t.paths[first] = append(t.paths[first], d.Number)
			}
			t.sure = t.sure || m.sure && m.disk.Name == value(t.reported.System)
		}
	}
	t.sure = t.sure && t.reported.Volumes.Value != nil
	return t
}

// value is a section's value, or nothing.
func value[T any](s snapshot.Section[T]) T {
	if s.Value == nil {
		var none T
		return none
	}
	return *s.Value
}

// name is the kernel's name of a device from one of its paths; empty: it is not known.
func (t talos) name(path string) string {
	name, ok := strings.CutPrefix(path, "/dev/")
	if !ok || strings.Contains(name, "/") {
		return t.links[path]
	}
	return name
}

// whole is the disk that a device is or is a partition of; the device itself where
// that is not known.
func (t talos) whole(path string) string {
	name := t.name(path)
	if _, is := t.byName[name]; is {
		return name
	}
	if parent := t.parents[name]; parent != "" {
		return parent
	}
	for _, d := range t.disks {
		if partitionOf(name, d.Name) {
			return d.Name
		}
	}
	return name
}

// partitionOf tells by the kernel's naming whether a device is a partition of a
// disk: vdb1 of vdb, nvme0n1p1 of nvme0n1 (Linux, block/partitions/core.c).
func partitionOf(name, whole string) bool {
	number, ok := strings.CutPrefix(name, whole)
	if !ok || whole == "" {
		return false
	}
	if last := whole[len(whole)-1]; last >= '0' && last <= '9' {
		if number, ok = strings.CutPrefix(number, "p"); !ok {
			return false
		}
	}
	return numeral(number)
}

func numeral(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// beneath are the disks that what is at the paths lies on, all the way down.
func (t talos) beneath(paths ...string) []string {
	var all []string
	add := func(name string) {
		if name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	for _, p := range paths {
		add(t.whole(p))
	}
	for i := 0; i < len(all); i++ {
		if at, is := t.byName[all[i]]; is {
			for _, s := range t.disks[at].Secondaries {
				add(t.whole("/dev/" + s))
			}
		}
	}
	return all
}

// findUses fills uses.
func (t *talos) findUses() {
	t.uses = make(map[string][]Use)
	add := func(u Use, disks []string) {
		for _, name := range disks {
			t.uses[name] = append(t.uses[name], u)
		}
	}
	if at := value(t.reported.System); at != "" {
		add(Use{Kind: UseSystem, Device: at}, t.beneath("/dev/"+at))
	}
	mounted := make(map[string]bool)
	for _, v := range value(t.reported.Volumes) {
		u := Use{Kind: UseVolume, Device: t.name(v.Location), Name: v.ID, Phase: v.Phase, Problem: v.Problem, Target: t.target(v)}
		if systemVolume(v.ID) {
			u.Kind = UseSystem
		}
		add(u, t.beneath(v.ParentLocation, v.Location, v.MountLocation, userDisk(v.ID)))
		mounted[v.Location], mounted[v.MountLocation] = true, true
	}
	for _, m := range value(t.reported.Mounts) {
		// Of a device that is mounted in many places the first is its own; what
		// follows are the kubelet's.
		if !mounted[m.Source] {
			mounted[m.Source] = true
			add(Use{Kind: UseMount, Device: t.name(m.Source), Target: m.Target}, t.beneath(m.Source))
		}
	}
	for _, d := range value(t.reported.Devices) {
		if d.Content != "" {
			u := Use{Kind: UseContent, Device: d.Name, Name: d.Content, Label: cmp.Or(d.Label, d.PartitionLabel)}
			add(u, []string{cmp.Or(d.Parent, d.Name)})
		}
	}
	rank := []UseKind{UseSystem, UseVolume, UseMount, UseContent}
	for _, uses := range t.uses {
		slices.SortStableFunc(uses, func(a, b Use) int { return cmp.Compare(slices.Index(rank, a.Kind), slices.Index(rank, b.Kind)) })
	}
}

// target is where a volume is mounted.
func (t talos) target(v snapshot.TalosVolume) string {
	for _, m := range value(t.reported.Mounts) {
		if m.Volume == v.ID || m.Volume == "" && (m.Source == v.MountLocation || m.Source == v.Location) {
			return m.Target
		}
	}
	return ""
}

// systemVolume tells Talos's own volumes, which have the names of its partitions and
// services (v1.8 to v1.14), from those that a configuration adds.
func systemVolume(id string) bool {
	return slices.Contains([]string{"META", "STATE", "EPHEMERAL", "IMAGECACHE", "CRI", "ETCD", "KUBELET", "LOG"}, id)
}

// userDisk is the device that the ID of a volume of machine.disks names, "DEVICE-N"
// (v1.8, internal/app/machined/pkg/controllers/block/user_disk_config.go). Such a
// volume has no location until it is found, but its disk is known anyway.
func userDisk(id string) string {
	at := strings.LastIndex(id, "-")
	if at < 0 || !strings.HasPrefix(id, "/dev/") || !numeral(id[at+1:]) {
		return ""
	}
	return id[:at]
}

// word is what Talos says of one device.
type word struct {
	match
	uses []Use
}

// of finds what Talos says of a device that the pod sees: of its disk if it is a
// partition, and of every other path to that disk.
func (t talos) of(d disk.Disk) word {
	if parent, ok := t.set.ByName(d.Parent); ok && d.Kind == disk.KindPartition {
		d = parent
	}
	w := word{match: t.matches[d.Number]}
	if w.disk != nil {
		w.uses = slices.Clone(t.uses[w.disk.Name])
	}
	for _, other := range t.paths[t.set.First(d).Name] {
		if other != d.Number {
			w.uses = append(w.uses, t.uses[t.matches[other].disk.Name]...)
		}
	}
	return w
}

// ofTalos is what Talos says of a disk that it tells of itself.
func (t talos) ofTalos(d snapshot.TalosDisk) word {
	return word{match: match{disk: &d, sure: true}, uses: t.uses[d.Name]}
}

// unmatched are the disks that only Talos tells of, by name. Virtual devices are left
// out, and those without a size.
func (t talos) unmatched() []snapshot.TalosDisk {
	var left []snapshot.TalosDisk
	seen := make(map[string]bool)
	for _, m := range t.matches {
		if m.disk != nil {
			seen[m.disk.Name] = true
		}
	}
	for _, d := range t.disks {
		if !seen[d.Name] && !d.Virtual() && d.Size > 0 {
			left = append(left, d)
		}
	}
	slices.SortFunc(left, func(a, b snapshot.TalosDisk) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return left
}

// system is by what Talos says that it lives on the device.
func (w word) system() string {
	for _, u := range w.uses {
		switch {
		case u.Kind != UseSystem:
		case u.Name == "":
			return "is Talos's system disk"
		default:
			return "holds Talos's volume " + u.Name
		}
	}
	return ""
}

// claims are what speaks against giving a device of the pod's view away because the
// node itself uses it. why is by what it is known to be the system's.
func (t talos) claims(d disk.Disk) (why string, found []disk.Objection) {
	w := t.of(d)
	if t.view.BeneathProblem != "" && (!t.sure || !w.sure || w.conflict != "") {
		found = append(found, disk.Objection{
			Reason:  disk.SystemDiskUnknown,
			Message: "may be the system disk, which is not known: " + t.view.BeneathProblem,
		})
	}
	why = cmp.Or(t.system[d.Number], w.system())
	return why, append(found, t.objections(w, why)...)
}

// objections are what Talos's word speaks against, and that it is the system's disk.
func (t talos) objections(w word, why string) []disk.Objection {
	var found []disk.Objection
	add := func(r disk.Reason, message, hint string) {
		found = append(found, disk.Objection{Reason: r, Message: message, Hint: hint})
	}
	if why != "" {
		add(disk.SystemDisk, "is a disk that the node itself lives on: it "+why, "")
	}
	var volumes, mounts []string
	for _, u := range w.uses {
		switch u.Kind {
		case UseVolume:
			volumes = append(volumes, u.String())
		case UseMount:
			mounts = append(mounts, u.Target)
		case UseSystem, UseContent:
		}
	}
	switch {
	case len(volumes) > 0:
		add(disk.InUse, "belongs to Talos volume "+strings.Join(volumes, ", "),
			shell.Command("talosctl", "-n", orNode(t.node), "get", "volumestatus"))
	case len(mounts) > 0 && why == "":
		add(disk.InUse, "is mounted on the node, at "+strings.Join(mounts, ", "), shell.Command("talosctl", "-n", orNode(t.node), "mounts"))
	}
	if w.conflict != "" {
		add(disk.DeviceChanged, w.conflict, "try again; if it stays so, the talosconfig may be another cluster's")
	}
	return found
}

// TalosUnread are the nodes that Talos was asked about in vain, wholly or in part,
// and why, in the order of nodes. Where it was not asked there are none.
func TalosUnread(s *snapshot.Snapshot) []Unread {
	var all []Unread
	for _, n := range s.Nodes {
		var whys []string
		switch {
		case !s.NoTalos.IsZero() || n.Talos.Value == nil && n.Talos.Problem.IsZero():
		case n.Talos.Value == nil:
			whys = []string{n.Talos.Problem.Message}
		default:
			whys = n.Talos.Value.Unread()
		}
		if len(whys) == 0 {
			continue
		}
		all = join(all, n.Name, strings.Join(whys, "; "))
	}
	return all
}

// Unread is what could not be read of some nodes, for one reason.
type Unread struct {
	Nodes []string
	Why   string
}

// Where are the nodes by name, the first of them if there are many.
func (u Unread) Where() string {
	const most = 5
	switch n := len(u.Nodes); {
	case n == 1:
		return "node " + u.Nodes[0]
	case n > most:
		return fmt.Sprintf("nodes %s and %d more", strings.Join(u.Nodes[:most], ", "), n-most)
	}
	return "nodes " + strings.Join(u.Nodes, ", ")
}

// join puts a node to those with the same reason.
func join(all []Unread, node, why string) []Unread {
	if i := slices.IndexFunc(all, func(u Unread) bool { return u.Why == why }); i >= 0 {
		all[i].Nodes = append(all[i].Nodes, node)
		return all
	}
	return append(all, Unread{Nodes: []string{node}, Why: why})
}
