// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// unread is why a class directory may have more entries than were seen.
func unread(dir snapshot.Dir) string {
	switch {
	case !dir.Exists:
		return "it does not exist in the pod"
	case !dir.MountPoint:
		return "what the pod has there is not the node's"
	}
	return dir.Problem
}

// unreadClasses are the classes, but one, whose directories may hold links that
// were not seen.
func unreadClasses(install provisioner.Install, view snapshot.PodView, but string) []disk.Objection {
	var found []disk.Objection
	for _, c := range install.Classes {
		if why := unread(view.Dirs[c.Name]); c.Name != but && why != "" {
			found = append(found, disk.Objection{
				Reason:  disk.ClassDirectory,
				Message: fmt.Sprintf("may be linked already: the directory of class %s could not be read (%s)", c.Name, why),
				Hint:    shell.Command("kubectl", "-n", install.Namespace, "rollout", "restart", "daemonset", install.Name),
			})
		}
	}
	return found
}

// volumesOver are the volumes, but those of a link's own, that are known to lie on
// a disk: made for it, by what was recorded, or with a path that leads to it.
// A volume of another node counts if the disk's WWID is one that no other disk has.
// maybe is what is no more than possible.
func (x *Devices) volumesOver(node string, d disk.Disk, own func(snapshot.Volume) bool) (found []disk.Objection, maybe []string) {
	set := x.Set(node)
	id := set.Identity(d)
	var candidates []int
	for _, path := range d.Names() {
		candidates = append(candidates, x.byPath[path]...)
	}
	for _, key := range id.Keys() {
		candidates = append(candidates, x.byKey[key]...)
	}
	slices.Sort(candidates)
	for _, i := range slices.Compact(candidates) {
		v := x.s.Volumes[i]
		if own(v) {
			continue
		}
		what := ""
		switch madeFor, sized := madeFor(v, id); {
		case v.Node == node && v.Identity != nil && set.Same(*v.Identity, d) == disk.Yes:
			what = fmt.Sprintf("is the disk that volume %s (%s) was made for", v.Name, v.Phase)
		case (v.Node == node || v.Node == "") && slices.Contains(d.Names(), v.Path):
			what = fmt.Sprintf("is what volume %s (%s) has as its path", v.Name, v.Phase)
		case v.Node == node && v.Identity != nil && v.Identity.SizeOnly(id):
			maybe = append(maybe,
				fmt.Sprintf("has the %s of the disk that volume %s (%s) was made for, and another size: if it was grown, two volumes would share it",
					v.Identity, v.Name, v.Phase))
			continue
		case v.Node == node || v.Identity == nil:
			continue
		case madeFor && sized:
			what = fmt.Sprintf("is the disk that volume %s (%s) of node %q was made for", v.Name, v.Phase, v.Node)
		case madeFor:
			maybe = append(maybe,
				fmt.Sprintf("has the WWID of the disk that volume %s (%s) of node %q was made for, and another size: if that is one LUN, two volumes would share it",
					v.Name, v.Phase, v.Node))
			continue
		default:
			continue
		}
		found = append(found, disk.Objection{Reason: disk.VolumeExists, Message: what, Hint: shell.Command("kubectl", "get", "pv", v.Name)})
	}
	return append(found, x.atPaths(x.node(node), d, own)...), maybe
}

// madeFor reports whether a volume was recorded to be made for a disk that every
// machine knows by its WWID; sized is false where the size was another one.
func madeFor(v snapshot.Volume, id disk.ID) (same, sized bool) {
	if v.Identity == nil {
		return false, false
	}
	return v.Identity.SameLUN(id)
}

// sighting is a disk as somebody sees it on a node.
type sighting struct {
	device *device
	by     Observer
	disk   disk.Disk
	id     disk.ID
}

// sightings are the disks of all nodes that may be the one of an identifier: a WWID or
// a serial number, as Keys has it. Of several paths to a disk there is one.
func (x *Devices) sightings(key string) []sighting {
	if x.seen == nil {
		x.seen = make(map[string][]sighting)
		for _, n := range x.s.Nodes {
			at := x.node(n.Name)
			x.sight(at, SeenByPod, at.set)
			x.sight(at, SeenByTalos, at.reported)
		}
	}
	return x.seen[key]
}

func (x *Devices) sight(at *device, by Observer, set *disk.Set) {
	for _, d := range set.Firsts() {
		id := set.Identity(d)
		for _, key := range id.Keys() {
			if !strings.HasPrefix(key, "name ") {
				x.seen[key] = append(x.seen[key], sighting{at, by, d, id})
			}
		}
	}
}

// alike is what a disk of another node has to do with one that is to be linked.
type alike int

const (
	otherDisk alike = iota
	// maybeSame: a serial number and the size say so, or a WWID that virtual machines repeat.
	maybeSame
	// maybeGrown: a WWID of one LUN, and another size.
	maybeGrown
	sameLUN
)

// elsewhere are the disks of other nodes that are or may be the one of a link: of each
// node the one of which most is known.
func (x *Devices) elsewhere(l Link, ids []disk.ID) map[string]like {
	found := make(map[string]like)
	for _, id := range ids {
		for _, key := range id.Keys() {
			if strings.HasPrefix(key, "name ") {
				continue
			}
			for _, there := range x.sightings(key) {
				if there.device.node.Name == l.Node {
					continue
				}
				how := likeness(id, there.id)
				before := found[there.device.node.Name]
				if how > before.how || how == before.how && how != otherDisk && there.by == SeenByPod {
					found[there.device.node.Name] = like{how, there, id}
				}
			}
		}
	}
	return found
}

// likeness is what two disks of different nodes have to do with each other.
func likeness(id, there disk.ID) alike {
	switch same, sized := id.SameLUN(there); {
	case same && sized:
		return sameLUN
	case same:
		return maybeGrown
	case id.Compare(there) == disk.Yes && id.Size == there.Size && id.Size != 0:
		return maybeSame
	}
	return otherDisk
}

type like struct {
	how alike
	at  sighting
	// id is what of the link's disk they have in common: of a multipath map, a path's.
	id disk.ID
}

// useOf is what uses a disk of another node, in words that follow "which"; empty:
// nothing is known to. unknown is why that could not be found out.
func (x *Devices) useOf(there sighting) (use, unknown string) {
	at := there.device
	if there.by == SeenByTalos {
		w := at.talos.ofTalos(at.talos.disks[at.talos.byName[there.disk.Name]])
		if found := at.talos.objections(w, w.system()); len(found) > 0 {
			return found[0].Message, ""
		}
		if at.node.View.Value == nil && at.node.Wanted {
			return "", at.node.View.Why().Message
		}
		return "", ""
	}
	if path, _ := at.entries.other(there.disk, "", ""); path != "" {
		return "is linked there, as " + path, ""
	}
	for _, d := range append([]disk.Disk{there.disk}, at.set.OtherPaths(there.disk)...) {
		_, found := at.talos.claims(d)
		volumes, _ := x.volumesOver(at.node.Name, d, func(v snapshot.Volume) bool { return v.Node != at.node.Name })
		for _, o := range slices.Concat(found, d.Objections(), volumes) {
			if o.Reason == disk.SystemDisk || o.Reason == disk.InUse || o.Reason == disk.VolumeExists {
				return o.Message, ""
			}
		}
	}
	if there.disk.Content == nil {
		return "", "it was not read"
	}
	return "", at.talos.unreadDirectories()
}

// compareNodes refuses and warns of links to one disk from several nodes: a LUN that
// all of them see. Every disk of every node counts, asked for or not, and every link
// of the plan, refused or not.
func (x *Devices) compareNodes(links []Link) {
	planned := make(map[*device]map[string]int)
	for i, l := range links {
		if d, at := x.linked(l); at != nil {
			if planned[at] == nil {
				planned[at] = make(map[string]int)
			}
			first := at.set.First(d).Name
			if before, is := planned[at][first]; !is || links[before].Refused() {
				planned[at][first] = i
			}
		}
	}
	actions := make([]change.Action, len(links))
	for i, l := range links {
		actions[i] = l.Action
	}
	for i := range links {
		l := &links[i]
		d, at := x.linked(*l)
		if at == nil || actions[i] != change.Create && actions[i] != change.Keep {
			continue
		}
		var maybe []string
		id := at.set.Identity(d)
		alikeIn := id
		others := x.elsewhere(*l, at.set.Identities(d))
		if len(others) == 0 {
			continue
		}
		for _, n := range x.s.Nodes {
			other, is := others[n.Name]
			if !is {
				continue
			}
			name := fmt.Sprintf("%s of node %s", other.at.disk.Name, n.Name)
			if other.how == maybeSame {
				alikeIn, maybe = other.id, append(maybe, name)
				continue
			}
			if other.how == maybeGrown {
				l.Warnings = append(l.Warnings, fmt.Sprintf("has the WWID of %s, and another size (%s): if that is one LUN, link it on one node only",
					name, id))
				continue
			}
			same := fmt.Sprintf("is the same disk as %s (%s)", name, id)
			use, unknown := x.useOf(other.at)
			asked, is := planned[other.at.device][other.at.disk.Name]
			switch {
			case actions[i] == change.Keep && (use != "" || is && actions[asked] == change.Keep):
				l.Warnings = append(l.Warnings, same+": two volumes share it")
			case actions[i] == change.Keep:
			case use != "":
				l.object(disk.AlreadyLinked, "link it on one node only", "%s, which %s", same, use)
			case is && (actions[asked] == change.Keep || actions[asked] == change.Create && asked < i):
				l.object(disk.AlreadyLinked, "link it on one node: "+shell.Command("--nodes", n.Name), "%s", same)
			case is && actions[asked] == change.Refuse:
				l.object(disk.AlreadyLinked, "see first why it is refused there, then link it on one node only", "%s, where it is refused", same)
			case unknown != "":
				l.object(disk.NotChecked, shell.Command("kubectl", "talosdisk", "disks", "--nodes", n.Name),
					"%s, and whether it is in use there could not be found out: %s", same, unknown)
			case !is:
				l.Warnings = append(l.Warnings, same+": link it on one node only")
			}
		}
		if len(maybe) > 0 {
			more := ""
			if len(maybe) > 1 {
				more = fmt.Sprintf(" and of %d more nodes", len(maybe)-1)
			}
			l.Warnings = append(l.Warnings, fmt.Sprintf("has the %s and the size of %s%s: if that is one LUN, link it on one node only", alikeIn,
				maybe[0], more))
		}
	}
}

// linked is the disk of a link, and its node; nil if there is none.
func (x *Devices) linked(l Link) (disk.Disk, *device) {
	set := x.pods[l.Node]
	if set == nil || l.Device == (disk.Number{}) {
		return disk.Disk{}, nil
	}
	d, known := set.ByNumber(l.Device.String())
	if !known {
		return disk.Disk{}, nil
	}
	return d, x.node(l.Node)
}
