// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// made reports whether a document made a volume of Talos, and none of its own (Talos v1.14, pkg/machinery/constants).
func made(v snapshot.TalosVolume) bool {
	return len(v.ID) > 2 && v.ID[1] == '-' && slices.Contains([]byte("uresx"), v.ID[0])
}

// inVarMnt reports whether a volume is mounted at /var/mnt/NAME.
func inVarMnt(v snapshot.TalosVolume) bool { return made(v) && slices.Contains([]byte("uex"), v.ID[0]) }

// label is what Talos calls a volume, and the partition that it makes for it.
func label(as As, name string) string {
	switch as {
	case AsPartition:
		return "r-" + name
	case AsVolume, AsDisk:
		return "u-" + name
	}
	return ""
}

// label is what Talos calls a volume of the class; empty where Talos has no name for it.
func (w ClassWay) label(name string) string {
	if w.Way == WayMachineDisks {
		return ""
	}
	return label(w.Class.As, name)
}

// located decides on a volume that Talos makes, by where it is now.
func (d *decider) located(v *VolumePlan, w ClassWay, u link.DiskUse, t snapshot.Talos) {
	if w.Way == WayMachineDisks {
		d.mounted(v, w, u, t)
		return
	}
	if why := cmp.Or(t.Volumes.Why().Message, t.Devices.Why().Message); why != "" {
		v.end(StatusUnknown, change.Skip, "the node's volumes could not be read: "+why)
		return
	}
	id := w.label(v.Name)
	var status *snapshot.TalosVolume
	for i, one := range *t.Volumes.Value {
		if one.ID == id {
			status = &(*t.Volumes.Value)[i]
		}
	}
	var on []snapshot.TalosDevice // With the label, of the paths to one disk one.
	for _, device := range *t.Devices.Value {
		same := func(o snapshot.TalosDevice) bool { return d.samePlace(v.Node, parent(o), parent(device)) }
		if device.PartitionLabel == id && !slices.ContainsFunc(on, same) {
			on = append(on, device)
		}
	}
	switch {
	case len(on) > 1:
		v.end(StatusTwice, change.Refuse, fmt.Sprintf("partitions with the label %s are on %s and %s", id, parent(on[0]), parent(on[1])))
	case len(on) == 1 && !d.samePlace(v.Node, parent(on[0]), u.Name):
		v.end(StatusElsewhere, change.Refuse,
			fmt.Sprintf("the partition with the label %s is on %s, and the bound disk is %s", id, parent(on[0]), u.Name))
	case len(on) == 1 && w.Way == WayWholeDisk:
		v.end(StatusMismatch, change.Refuse, "it is a partition, and the class asks for the whole disk")
	case len(on) == 1:
		d.partition(v, w, on[0], status)
	case status != nil && status.Location != "" && !d.samePlace(v.Node, disk0(*status), u.Name):
		v.end(StatusElsewhere, change.Refuse, fmt.Sprintf("it is on %s, and the bound disk is %s", disk0(*status), u.Name))
	case status != nil && status.Location != "" && w.Way == WayWholeDisk && status.ParentLocation == "":
		d.there(v, w, *status, status.Filesystem)
	case status != nil && (status.Location != "" || status.Type == typeDirectory):
		v.end(StatusMismatch, change.Refuse, fmt.Sprintf("Talos has a volume %s of type %s, and the class asks for another one", id, status.Type))
	default:
		d.give(v, u)
		if status != nil && v.Status == StatusCreate { // A document asks for it, and all that Talos needs is there.
			v.end(StatusFailed, change.Refuse, cmp.Or(status.Problem, "Talos has not made it: it is "+status.Phase))
		}
	}
}

// parent is the disk that a device is on, or is.
func parent(d snapshot.TalosDevice) string { return cmp.Or(d.Parent, d.Name) }

// disk0 is the disk that a volume is on, or is.
func disk0(v snapshot.TalosVolume) string { return path.Base(cmp.Or(v.ParentLocation, v.Location)) }

// samePlace reports whether two names of one node are of one disk: it can have several paths.
func (d *decider) samePlace(node, a, b string) bool {
	if a == b {
		return true
	}
	var one, other *link.DiskUse
	for i, u := range d.Disks(node) {
		name := cmp.Or(u.Kernel, u.Name)
		if name == a || u.Name == a {
			one = &d.Disks(node)[i]
		}
		if name == b || u.Name == b {
			other = &d.Disks(node)[i]
		}
	}
	return one != nil && other != nil && (one.Name == other.Name || d.set(*one).SameDisk(one.Disk, other.Disk))
}

// partition decides on a partition with the volume's label, on the bound disk.
func (d *decider) partition(v *VolumePlan, w ClassWay, device snapshot.TalosDevice, status *snapshot.TalosVolume) {
	fs := device.Content
	if status != nil {
		fs = cmp.Or(status.Filesystem, fs)
		d.there(v, w, *status, fs)
		return
	}
	if d.mismatched(v, w, fs) {
		return
	}
	v.end(StatusAdopt, change.Create, "its partition is on the bound disk, and is taken with its data")
}

// there decides on a volume that Talos has on the bound disk.
func (d *decider) there(v *VolumePlan, w ClassWay, status snapshot.TalosVolume, fs string) {
	switch {
	case d.mismatched(v, w, fs):
	case status.Phase == "failed":
		v.end(StatusFailed, change.Refuse, cmp.Or(status.Problem, "Talos says that it failed"))
	default:
		v.end(StatusInPlace, change.Keep, "")
	}
}

// mismatched reports whether a filesystem is there that the class does not ask for. What is encrypted Talos tells once it is open.
func (d *decider) mismatched(v *VolumePlan, w ClassWay, fs string) bool {
	if w.Way == WayRawVolume || fs == "" || fs == "luks" || fs == w.Class.Filesystem {
		return false
	}
	v.end(StatusMismatch, change.Refuse, fmt.Sprintf("it has %s, and the class asks for %s", fs, w.Class.Filesystem))
	return true
}

// mounted decides on a volume of machine.disks: what is mounted at its mountpoint.
func (d *decider) mounted(v *VolumePlan, w ClassWay, u link.DiskUse, t snapshot.Talos) {
	if why := t.Mounts.Why(); !why.IsZero() {
		v.end(StatusUnknown, change.Skip, "its mounts could not be read: "+why.Message)
		return
	}
	at := path.Join(w.Wanted.HostDir, v.Name)
	var on []string
	for _, m := range *t.Mounts.Value {
		if path.Clean(m.Target) == at {
			on = append(on, d.diskOf(v.Node, path.Base(m.Source), t))
		}
	}
	switch {
	case len(on) > 1:
		v.end(StatusTwice, change.Refuse, fmt.Sprintf("%s and %s are both mounted at %s", on[0], on[1], at))
	case len(on) == 1 && d.samePlace(v.Node, on[0], u.Name):
		v.end(StatusInPlace, change.Keep, "")
	case len(on) == 1:
		v.end(StatusElsewhere, change.Refuse, fmt.Sprintf("%s is mounted at %s, and the bound disk is %s", on[0], at, u.Name))
	default:
		d.give(v, u)
	}
}

// diskOf is the disk of a partition, or the disk itself.
func (d *decider) diskOf(node, device string, t snapshot.Talos) string {
	for _, one := range value(t.Devices) {
		if one.Name == device {
			return parent(one)
		}
	}
	seen, _ := d.s.Seen(node).NodeByName(node)
	if part, known := value(seen.View).DiskByName(device); known && part.Kind == disk.KindPartition {
		return part.Parent
	}
	return device
}

// document plans the document of a volume that is there or will be.
func (d *decider) document(v *VolumePlan, w ClassWay, b Binding, u link.DiskUse, t snapshot.Talos) {
	if !v.going() {
		return
	}
	doc, found := d.documentOf(v, w, b, u, t)
	plan := DocumentPlan{Document: doc, Volume: v.Volume, Class: v.Class, Action: change.Keep}
	config := d.in.Configs[v.Node]
	if config.Value == nil {
		plan.State, plan.Action, plan.Why = DocumentUnknown, change.Skip, config.Why().Message
		if v.Status == StatusInPlace && w.Way != WayMachineDisks { // Talos has the volume, so that a document asks for it.
			plan.State, plan.Action, plan.Why = DocumentServes, change.Keep, ""
		}
		d.plan(v.Node, plan)
		return
	}
	plan.State = config.Value.find(doc, func(s machineconfig.VolumeSelector) bool {
		// Where the partition was found by its label the selector plays no part (Talos v1.10 to v1.14, volumes/locate.go).
		return v.Status == StatusInPlace && w.Way != WayWholeDisk || exact(d.in.Matcher, t, s, cmp.Or(u.Kernel, u.Name))
	})
	if plan.State == DocumentDiffers && w.Way == WayMachineDisks && v.Status == StatusInPlace {
		plan.State = DocumentServes // It is this disk that is mounted there.
	}
	switch {
	case plan.State == DocumentEqual, plan.State == DocumentServes:
	case plan.State == DocumentDiffers:
		plan.Action, plan.Why = change.Refuse, "the node's configuration has another document for this volume"
	case !found || w.Way != WayMachineDisks && !exact(d.in.Matcher, t, doc.Selector, cmp.Or(u.Kernel, u.Name)):
		plan.Action, plan.Why = change.Refuse, "no expression of what the binding knows matches the bound disk alone"
	default:
		plan.Action = change.Create
		plan.Staged = w.Way == WayMachineDisks && !d.ground.Releases[v.Node].Has(talosrelease.NeverReboots)
	}
	if plan.Action == change.Refuse && v.Status != StatusInPlace {
		v.end(StatusRefused, change.Refuse, plan.Why)
		v.Wipe = false
	}
	d.plan(v.Node, plan)
}

func (d *decider) plan(node string, p DocumentPlan) {
	d.plans[node].Documents = append(d.plans[node].Documents, p)
}

// documentOf is the document of a volume; false if nothing of the binding is the disk's alone.
func (d *decider) documentOf(v *VolumePlan, w ClassWay, b Binding, u link.DiskUse, t snapshot.Talos) (Document, bool) {
	if w.Way == WayMachineDisks {
		device := d.byPath(u)
		dir := "by-path"
		if name := d.byID(u); name != "" && w.Class.By != BySlot {
			dir, device = "by-id", name
		}
		return w.machineDisk(v.Name, path.Join("/dev/disk", dir, device)), device != ""
	}
	at := slices.IndexFunc(value(t.Disks), func(o snapshot.TalosDisk) bool { return o.Name == cmp.Or(u.Kernel, u.Name) })
	if at < 0 {
		return w.document(v.Name, "", 0), false
	}
	it := (*t.Disks.Value)[at]
	match, found := b.selector(it, *t.Disks.Value, w.Way == WayWholeDisk)
	return w.document(v.Name, match, leastSize(it.Size, b.Slot())), found
}

// directory plans the document of the directory volume that the class's links lie in.
func (d *decider) directory(p *NodePlan, w ClassWay) {
	plan := DocumentPlan{Document: w.directory(), Class: w.Class.Name, Action: change.Keep}
	n := d.nodes[p.Node]
	there := slices.ContainsFunc(value(value(n.Talos).Volumes), func(v snapshot.TalosVolume) bool {
		return v.ID == "u-"+w.Volume && v.Type == typeDirectory
	})
	config := d.in.Configs[p.Node]
	switch {
	case config.Value == nil && there:
		plan.State = DocumentServes
	case config.Value == nil:
		plan.State, plan.Action, plan.Why = DocumentUnknown, change.Skip, config.Why().Message
	default:
		switch plan.State = config.Value.find(plan.Document, func(machineconfig.VolumeSelector) bool { return true }); plan.State {
		case DocumentMissing:
			plan.Action = change.Create
		case DocumentDiffers:
			plan.Action, plan.Why = change.Refuse, "the node's configuration has another volume of this name"
		}
	}
	p.Documents = append(p.Documents, plan)
}

// links are the decisions on the links of all classes, by "NODE/VOLUME". Those of a class that the provisioner does not have as it should
// be are not among them.
func (d *decider) links(states []Volume) map[string]link.Link {
	all := make(map[string]link.Link)
	for _, w := range d.ordered() {
		installed, there := installedClass(d.ground.Installed, w.Class)
		if !w.Way.Linked() || !there || path.Clean(installed.HostDir) != w.Wanted.HostDir {
			continue
		}
		var wants []link.Want
		var names []string
		for _, s := range states {
			if s.Class != w.Class.Name || s.State != Bound || s.Orphan {
				continue
			}
			want := link.Want{Node: s.Node, Disk: s.Disk, Entry: cmp.Or(s.Binding.Name, s.Key), Target: disk.TargetAuto}
			if s.Binding.Slot() {
				want.Target = disk.TargetByPath
			}
			wants, names = append(wants, want), append(names, s.Node+"/"+s.Key)
		}
		decided, err := d.devices.Each(w.Class.Name, wants, inherent())
		if err != nil || len(decided) != len(wants) {
			continue
		}
		for i, l := range decided {
			all[names[i]] = l
		}
	}
	return all
}

// linked decides on a volume that is a link, as link does. Where the provisioner does not have the class yet, what speaks against the
// disk decides.
func (d *decider) linked(v *VolumePlan, w ClassWay, u link.DiskUse, links map[string]link.Link) {
	l, decided := links[v.Node+"/"+v.Volume]
	if !decided {
		if at := slices.IndexFunc(u.Links, func(p string) bool { return p == path.Join(w.Wanted.HostDir, v.Name) }); at >= 0 {
			v.end(StatusInPlace, change.Keep, "")
			return
		}
		d.give(v, u)
		return
	}
	v.Warnings = l.Warnings
	switch l.Action {
	case change.Keep:
		v.end(StatusInPlace, change.Keep, "")
	case change.Create:
		v.end(StatusCreate, change.Create, "")
	case change.Skip:
		v.end(StatusUnknown, change.Skip, l.Detail)
	default:
		against := slices.DeleteFunc(slices.Clone(l.Objections), func(o disk.Objection) bool {
			// The provisioner's pod has the directory once the class is installed and the volume is there.
			return o.Reason == disk.ClassDirectory && w.Way == WayVolumeOfLinks
		})
		d.judge(v, against)
		for _, o := range against {
			if o.Reason == disk.NameTaken || o.Reason == disk.AlreadyLinked {
				v.end(StatusElsewhere, change.Refuse, v.Disk+" "+o.Message)
			}
		}
	}
}
