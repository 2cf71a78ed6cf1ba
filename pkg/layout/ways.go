// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Way is what the disks of a class become on their nodes.
type Way string

// The ways.
const (
	// WayUserVolume: a partition with a filesystem, mounted at /var/mnt/NAME (UserVolumeConfig, Talos v1.10).
	WayUserVolume Way = "user-volume"
	// WayWholeDisk: the same without a partition (volumeType disk, Talos v1.12).
	WayWholeDisk Way = "whole-disk"
	// WayRawVolume: a partition without a filesystem, /dev/disk/by-partlabel/r-NAME (RawVolumeConfig, Talos v1.11).
	WayRawVolume Way = "raw-volume"
	// WayVolumeOfLinks: links in a directory volume, /var/mnt/CLASS, which the kubelet sees (volumeType directory, Talos v1.12).
	WayVolumeOfLinks Way = "volume-of-links"
	// WayLinks: links in a directory of the system disk, which the kubelet sees by an extraMount.
	WayLinks Way = "links"
	// WayMachineDisks: an entry of machine.disks, mounted below /var/lib/disks/CLASS, which the kubelet sees by an extraMount.
	WayMachineDisks Way = "machine-disks"
)

// Linked reports whether the disks stay as they are, and links lead to them.
func (w Way) Linked() bool { return w == WayLinks || w == WayVolumeOfLinks }

// Where Talos and udev have volumes (Talos v1.14, pkg/machinery/constants; systemd 257, 60-persistent-storage.rules).
const (
	varMnt      = "/var/mnt"
	byPartLabel = "/dev/disk/by-partlabel"
	disksDir    = "/var/lib/disks"
)

// Ground is what the ways of classes depend on beside the layout and its bindings.
type Ground struct {
	// Releases are those of the layout's nodes, by name; the zero value: not known.
	Releases map[string]talosrelease.Release
	// Installed are the classes of the provisioner that is there.
	Installed []provisioner.Class
	// Entries are the names of what is on any node in /var/mnt and /dev/disk/by-partlabel, by these directories.
	Entries map[string][]string
	// Unseen: what is there is not known of every node.
	Unseen bool
}

// ClassWay is what a class becomes on all its nodes, and the class of the provisioner that publishes it.
type ClassWay struct {
	Class Class `json:"-"`
	Way   Way   `json:"way,omitempty"`
	// Wanted is the provisioner's class.
	Wanted provisioner.Class `json:"class"`
	// Volume is the name of the directory volume that the links lie in.
	Volume string `json:"volume,omitempty"`
	// Nodes are those with disks of the class, sorted.
	Nodes []string `json:"nodes,omitempty"`
	// NoWay is why the class can be nothing on its nodes; nil: it can.
	NoWay *NoWay `json:"noWay,omitempty"`
}

// NoWayReason is why a class can be nothing on its nodes, in a word for machines.
type NoWayReason string

// The reasons.
const (
	// NoWayReleases: the releases of the nodes have no way in common.
	NoWayReleases NoWayReason = "releases"
	// NoWayUnknown: no release is known.
	NoWayUnknown NoWayReason = "releases-unknown"
	// NoWayFilesystem: machine.disks has xfs alone.
	NoWayFilesystem NoWayReason = "filesystem"
	// NoWayMountDir: another class needs the same directory in the provisioner's pod.
	NoWayMountDir NoWayReason = "mount-directory"
	// NoWayPublished: another class of the provisioner would publish its volumes too.
	NoWayPublished NoWayReason = "published"
	// NoWayName: a volume of another class has the name of the directory volume.
	NoWayName NoWayReason = "name"
)

// NoWay is why a class can be nothing on its nodes.
type NoWay struct {
	Reason NoWayReason `json:"reason"`
	// Needs is the oldest release that has what the class asks for, where releases are the reason.
	Needs string `json:"needs,omitempty"`
	// Nodes are those that are too old, as NODE (RELEASE), or of which the release is not known.
	Nodes []string `json:"nodes,omitempty"`
	// Other is the other class, or the volume that has the name.
	Other string `json:"other,omitempty"`
}

// Ways are what the layout's classes become, in the order of the file. The nodes of a class have one way in common, since the
// provisioner has one class for all of them.
func (l Layout) Ways(b Bindings, g Ground) []ClassWay {
	all := make([]ClassWay, 0, len(l.Spec.Classes))
	for _, c := range l.Spec.Classes {
		all = append(all, l.wayOf(c, b, g))
	}
	l.separate(all, b, g)
	return all
}

// Dirs are the directories of nodes that the classes' volumes can be in, sorted: those at which a kubelet is looked.
func (l Layout) Dirs() []string {
	dirs := []string{varMnt, byPartLabel}
	for _, c := range l.Spec.Classes {
		dirs = append(dirs, path.Join(varMnt, c.Name), path.Join(disksDir, c.Name))
		if c.HostDir != "" {
			dirs = append(dirs, c.HostDir)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// nodesOf are the nodes with disks of a class, sorted.
func (l Layout) nodesOf(class string, b Bindings, g Ground) []string {
	var nodes []string
	for _, node := range slices.Sorted(maps.Keys(g.Releases)) {
		wants := slices.ContainsFunc(l.ClassesFor(node), func(c Class) bool {
			return c.Name == class && (c.Disks.Count == nil || *c.Disks.Count > 0)
		})
		bound := false
		for key := range b.Nodes[node] {
			of, _, _ := ParseVolumeName(key)
			bound = bound || of == class
		}
		if wants || bound {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func (l Layout) wayOf(c Class, b Bindings, g Ground) ClassWay {
	w := ClassWay{Class: c, Nodes: l.nodesOf(c.Name, b, g), Wanted: provisioner.Class{Name: c.Name, Mode: c.VolumeMode}}
	known := slices.ContainsFunc(w.Nodes, func(n string) bool { return g.Releases[n].Known() })
	if len(w.Nodes) > 0 && !known {
		w.NoWay = &NoWay{Reason: NoWayUnknown, Nodes: w.Nodes}
	}
	installed, there := installedClass(g.Installed, c)
	need := func(f talosrelease.Fact, way Way) {
		w.Way = way
		if old := w.without(f, g); len(old) > 0 {
			w.NoWay = &NoWay{Reason: NoWayReleases, Needs: f.Since(), Nodes: old}
		}
	}
	switch c.As {
	case AsVolume:
		old := w.without(talosrelease.UserVolumes, g)
		stays := there && !inDir(path.Clean(installed.HostDir), varMnt)
		if stays || known && len(old) == w.known(g) {
			w.machineDisks(g, installed, there)
		} else {
			need(talosrelease.UserVolumes, WayUserVolume)
			w.Wanted.HostDir, w.Wanted.MountDir = varMnt, path.Join("/mnt", c.Name)
		}
	case AsDisk:
		need(talosrelease.VolumeTypes, WayWholeDisk)
		w.Wanted.HostDir, w.Wanted.MountDir = varMnt, path.Join("/mnt", c.Name)
	case AsPartition:
		need(talosrelease.RawVolumes, WayRawVolume)
		w.Wanted.HostDir, w.Wanted.MountDir = byPartLabel, byPartLabel
	default:
		w.links(g, installed, there)
	}
	if there && path.Clean(installed.HostDir) == w.Wanted.HostDir {
		w.Wanted.MountDir, w.Wanted.FSType = installed.MountDir, installed.FSType
	}
	w.Wanted.NamePattern = w.pattern(l, b, g, installed)
	return w
}

// installedClass is the class of that name and volume mode that is there.
func installedClass(all []provisioner.Class, c Class) (provisioner.Class, bool) {
	i := slices.IndexFunc(all, func(i provisioner.Class) bool { return i.Name == c.Name && i.Mode == c.VolumeMode })
	if i < 0 {
		return provisioner.Class{}, false
	}
	return all[i], true
}

// known is how many of the nodes have a release that is known.
func (w ClassWay) known(g Ground) int {
	n := 0
	for _, node := range w.Nodes {
		if g.Releases[node].Known() {
			n++
		}
	}
	return n
}

// without are the nodes whose release is known and does not have it.
func (w ClassWay) without(f talosrelease.Fact, g Ground) []string {
	var old []string
	for _, node := range w.Nodes {
		if r := g.Releases[node]; r.Known() && !r.Has(f) {
			old = append(old, fmt.Sprintf("%s (%s)", node, r))
		}
	}
	return old
}

// machineDisks is the way before Talos had volumes, and the one that a class keeps which was made by it: its disks have no label
// that a volume could be found by.
func (w *ClassWay) machineDisks(g Ground, installed provisioner.Class, there bool) {
	w.Way = WayMachineDisks
	w.Wanted.HostDir = path.Join(disksDir, w.Class.Name)
	if there && inDir(path.Clean(installed.HostDir), "/var") && !inDir(path.Clean(installed.HostDir), varMnt) {
		w.Wanted.HostDir = path.Clean(installed.HostDir)
	}
	w.Wanted.MountDir = w.Wanted.HostDir
	if w.Class.Filesystem != "xfs" {
		w.NoWay = &NoWay{Reason: NoWayFilesystem, Needs: talosrelease.UserVolumes.Since(), Nodes: w.without(talosrelease.UserVolumes, g)}
	}
}

// links has the file's directory; else that of the installed class, which must not move because a node was upgraded; else the one that
// needs no extraMount if all nodes have that.
func (w *ClassWay) links(g Ground, installed provisioner.Class, there bool) {
	dir := w.Class.HostDir
	if at := path.Clean(installed.HostDir); dir == "" && there && hostDir(at) {
		dir = at
	}
	if dir == "" {
		dir = path.Join(disksDir, w.Class.Name)
		if len(w.without(talosrelease.VolumeTypes, g)) == 0 && len(w.Class.Name) <= maxVolume {
			dir = path.Join(varMnt, w.Class.Name)
		}
	}
	w.Way, w.Wanted.HostDir, w.Wanted.MountDir = WayLinks, dir, dir
	if path.Dir(dir) == varMnt && talosName(path.Base(dir)) {
		w.Way, w.Volume = WayVolumeOfLinks, path.Base(dir)
		if old := w.without(talosrelease.VolumeTypes, g); len(old) > 0 {
			w.NoWay = &NoWay{Reason: NoWayReleases, Needs: talosrelease.VolumeTypes.Since(), Nodes: old}
		}
	}
}

// entry is what a volume is called in the class's directory.
func (w ClassWay) entry(volume string) string {
	if w.Way == WayRawVolume {
		return "r-" + volume
	}
	return volume
}

// volumesOf are what the volumes of a class are called on their nodes, sorted, each once.
func (b Bindings) volumesOf(class string) []string {
	var names []string
	for _, volumes := range b.Nodes {
		for key, binding := range volumes {
			if of, _, _ := ParseVolumeName(key); of == class {
				names = append(names, cmp.Or(binding.Name, key))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// pattern is the namePattern that publishes the class's volumes and no other entry of a directory that is not the class's alone. There is
// always one for such a directory. That of the installed class stays if it does so.
func (w ClassWay) pattern(l Layout, b Bindings, g Ground, installed provisioner.Class) string {
	shared := w.Wanted.HostDir == varMnt || w.Wanted.HostDir == byPartLabel
	same := path.Clean(installed.HostDir) == w.Wanted.HostDir
	class := w.entry(w.Class.Name)
	own := make([]string, 0, len(b.Nodes))
	for _, name := range b.volumesOf(w.Class.Name) {
		own = append(own, w.entry(name))
	}
	if len(own) == 0 {
		own = []string{VolumeName(class, 1)}
	}
	good := func(pattern string) bool {
		c := provisioner.Class{NamePattern: pattern}
		for _, name := range own {
			if !c.Publishes(name) {
				return false
			}
		}
		return !shared || pattern != "" && !slices.ContainsFunc(w.strangers(l, b, g, own), c.Publishes)
	}
	if same && good(installed.NamePattern) {
		return installed.NamePattern
	}
	if !shared {
		return ""
	}
	numbers := strings.ReplaceAll("C-[1-9],C-[1-9][0-9],C-[1-9][0-9][0-9]", "C", class)
	patterns := []string{class + "-*", numbers}
	if g.Unseen { // A name that is like those of the class may be there.
		patterns = patterns[1:]
	}
	for _, pattern := range patterns {
		for _, name := range own {
			if !(provisioner.Class{NamePattern: pattern}).Publishes(name) {
				pattern += "," + name
			}
		}
		if good(pattern) {
			return pattern
		}
	}
	return strings.Join(own, ",")
}

// strangers are names in the class's directory that are not of its volumes: what is there, and the volumes of other classes.
func (w ClassWay) strangers(l Layout, b Bindings, g Ground, own []string) []string {
	var all []string
	for _, name := range g.Entries[w.Wanted.HostDir] {
		of, _, ok := ParseVolumeName(name)
		if !slices.Contains(own, name) && (!ok || of != w.entry(w.Class.Name)) {
			all = append(all, name)
		}
	}
	for _, other := range l.Spec.Classes {
		if other.Name == w.Class.Name || other.As == AsPartition != (w.Way == WayRawVolume) {
			continue
		}
		for _, name := range append(b.volumesOf(other.Name), VolumeName(other.Name, 1), VolumeName(other.Name, maxCount)) {
			all = append(all, w.entry(name))
		}
	}
	return all
}

// separate refuses classes that do not go together, or not with one of the installation that is not in the layout.
func (l Layout) separate(all []ClassWay, b Bindings, g Ground) {
	mountDirs := make(map[string]string)
	var kept []provisioner.Class
	for _, i := range g.Installed {
		if !slices.ContainsFunc(all, func(w ClassWay) bool { return w.Class.Name == i.Name }) {
			kept = append(kept, i)
			mountDirs[path.Clean(i.MountDir)] = i.Name
		}
	}
	volumes := make(map[string]string) // of Talos, by name: what is mounted at /var/mnt/NAME
	for _, w := range all {
		if w.Way == WayUserVolume || w.Way == WayWholeDisk {
			for _, name := range b.volumesOf(w.Class.Name) {
				volumes[name] = w.Class.Name
			}
		}
	}
	for i := range all {
		w := &all[i]
		other, taken := mountDirs[w.Wanted.MountDir]
		if !taken {
			mountDirs[w.Wanted.MountDir] = w.Class.Name
		}
		at := slices.IndexFunc(kept, func(k provisioner.Class) bool { return w.publishes(k, b) })
		switch {
		case w.NoWay != nil:
		case taken:
			w.NoWay = &NoWay{Reason: NoWayMountDir, Other: other}
		case at >= 0:
			w.NoWay = &NoWay{Reason: NoWayPublished, Other: kept[at].Name}
		case w.Volume != "" && volumes[w.Volume] != "":
			w.NoWay = &NoWay{Reason: NoWayName, Other: volumes[w.Volume]}
		}
	}
}

// publishes reports whether another class of the provisioner would make volumes of the class's.
func (w ClassWay) publishes(k provisioner.Class, b Bindings) bool {
	return path.Clean(k.HostDir) == w.Wanted.HostDir && slices.ContainsFunc(append(b.volumesOf(w.Class.Name), VolumeName(w.Class.Name, 1)),
		func(name string) bool { return k.Publishes(w.entry(name)) })
}

// String says why the class can be nothing on its nodes.
func (n NoWay) String() string {
	nodes := strings.Join(n.Nodes, ", ")
	switch n.Reason {
	case NoWayReleases:
		return fmt.Sprintf("its nodes have no way in common: it needs Talos %s, which these do not have: %s", n.Needs, nodes)
	case NoWayUnknown:
		return "the Talos release of its nodes is not known: " + nodes
	case NoWayFilesystem:
		return fmt.Sprintf("before Talos %s there are volumes with xfs only: %s", n.Needs, nodes)
	case NoWayMountDir:
		return fmt.Sprintf("class %q needs the same directory in the provisioner's pod, which can have it once", n.Other)
	case NoWayPublished:
		return fmt.Sprintf("class %q of the provisioner, which is not in the layout, would publish its volumes too", n.Other)
	case NoWayName:
		return fmt.Sprintf("a volume of class %q has the name of the directory of its links", n.Other)
	}
	return string(n.Reason)
}

// inDir reports whether a clean path is dir or lies below it.
func inDir(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
