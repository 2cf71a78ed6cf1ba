// SPDX-License-Identifier: Apache-2.0

package link

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// DiskUse is one disk of one node with everything that uses it, and what speaks
// against linking it.
type DiskUse struct {
	Kind     string   `json:"kind,omitempty"`
	Metadata Metadata `json:"metadata"`
	Node     string   `json:"node"`
	disk.Disk
	// SeenBy are who saw the disk: pod, talos.
	SeenBy []Observer `json:"seenBy,omitempty"`
	// Transport is Talos's word for the bus: nvme, sata, virtio, …
	Transport string `json:"transport,omitempty"`
	// System is by what it is known that the node lives on the disk.
	System string `json:"system,omitempty"`
	// Uses are what Talos tells of it, the strongest first.
	Uses []Use `json:"uses,omitempty"`
	// Links are the entries of class directories that lead to it, as host paths, and
	// PartitionLinks those that lead to one of its partitions. An entry below /dev that
	// namePattern leaves out is none: it is udev's own name.
	Links          []string `json:"links,omitempty"`
	PartitionLinks []string `json:"partitionLinks,omitempty"`
	// LinksProblem is why there may be more of both.
	LinksProblem string `json:"linksProblem,omitempty"`
	// Volumes are those that lie on the disk or on one of its partitions.
	Volumes []VolumeUse `json:"volumes,omitempty"`
	// VolumesProblem is why there may be more.
	VolumesProblem string `json:"volumesProblem,omitempty"`
	// Conflict is set where Talos and the pod have different disks of that name.
	Conflict string `json:"conflict,omitempty"`
	// Drift is set where a volume was made for another disk than the one that its
	// link leads to now.
	Drift string `json:"drift,omitempty"`
	// Objections are what speaks against linking the disk into a Block class.
	Objections []disk.Objection `json:"objections,omitempty"`
}

// Observer is who looked at a node.
type Observer string

// The observers.
const (
	SeenByPod   Observer = "pod"
	SeenByTalos Observer = "talos"
)

// VolumeUse is a volume with its users.
type VolumeUse struct {
	Name  string `json:"name"`
	Phase string `json:"phase"`
	Claim string `json:"claim,omitempty"`
	// Pods that use the claim, in its namespace.
	Pods []string `json:"pods,omitempty"`
	// Path is the volume's on the node; Device the partition that it lies on, by the
	// kernel's name, and empty where that is the whole disk or is not known.
	Path   string `json:"path,omitempty"`
	Device string `json:"device,omitempty"`
}

// Inventory lists the disks of every node, as its provisioner pod and its Talos API
// see them, in the order of nodes and names. Partitions and devices without a size
// are left out, and of what only Talos sees the virtual devices.
func Inventory(s *snapshot.Snapshot) []DiskUse { return NewDevices(s).Inventory() }

// Inventory is that of the snapshot which the devices are from.
func (x *Devices) Inventory() []DiskUse {
	var all []DiskUse
	for _, n := range x.chosen.Nodes {
		at := x.node(n.Name)
		first := len(all)
		for _, d := range at.view.Disks {
			if d.Whole() && d.Size > 0 && !unusedLoop(d, at.entries) {
				all = append(all, x.inventoryOf(at, d))
			}
		}
		for _, d := range at.talos.unmatched() {
			all = append(all, x.inventoryOfUnseen(at, d))
		}
		at.talos.notPlaced(at.s, all[first:])
	}
	return all
}

// seenBy is the snapshot and the node as the first installation has them whose pod saw the node.
func seenBy(s *snapshot.Snapshot, node snapshot.Node) (*snapshot.Snapshot, snapshot.Node) {
	seen := s.Seen(node.Name)
	if there, ok := seen.NodeByName(node.Name); ok {
		node = there
	}
	return seen, node
}

// unusedLoop tells the loop devices that the kubelet puts over Block volumes,
// and those of the system's own images: nobody's disks.
func unusedLoop(d disk.Disk, linked entries) bool {
	return d.Kind == disk.KindLoop && strings.HasPrefix(d.Name, "loop") && len(linked.to(d)) == 0
}

func (x *Devices) inventoryOf(at *device, d disk.Disk) DiskUse {
	s, node, t := at.s, at.node, at.talos
	u := DiskUse{Kind: "Disk", Metadata: Metadata{Name: node.Name + "/" + d.Name}, Node: node.Name, Disk: d, SeenBy: []Observer{SeenByPod}}
	add := func(r disk.Reason, format string, args ...any) {
		u.Objections = append(u.Objections, disk.Objection{Reason: r, Message: fmt.Sprintf(format, args...)})
	}
	w := t.of(d)
	u.Uses, u.Conflict = w.uses, w.conflict
	if w.disk != nil {
		u.SeenBy, u.Transport = append(u.SeenBy, SeenByTalos), w.disk.Transport
	}
	u.Transport = cmp.Or(u.Transport, d.Transport)
	u.System, u.Objections = t.claims(d)
	var own []string
	for _, e := range at.entries.on(d) {
		if e.partition == "" {
			u.Links = append(u.Links, e.path)
		} else {
			u.PartitionLinks = append(u.PartitionLinks, e.path)
		}
		for _, v := range volumesOf(s, newLink(node, e.class, d.Name, e.entry)) {
			own = u.take(s, at.set, v, e.partition, own)
		}
	}
	for _, on := range t.volumesOn(s, w) {
		own = u.take(s, at.set, on.volume, on.partition, own)
	}
	u.LinksProblem = t.unreadDirectories()
	for _, p := range t.places {
		u.Objections = append(u.Objections, p.unread("")...)
	}
	j := judge{device: at, devices: x, s: s}
	u.Objections = append(u.Objections, j.mayBeOthers()...)
	over, _ := x.volumesOver(node.Name, d, func(v snapshot.Volume) bool { return slices.Contains(own, v.Name) })
	u.Objections = append(u.Objections, over...)
	switch other, partition := at.entries.other(d, "", ""); {
	case len(u.Links) > 0:
		add(disk.AlreadyLinked, "is linked already, as %s", strings.Join(u.Links, ", "))
	case other != "":
		o := linkedAs(other, partition)
		add(o.Reason, "%s", o.Message)
	}
	u.Objections = append(u.Objections, j.objections(d)...)
	if emptyDrive(d) {
		u.Size = 0
	}
	return u
}

// take adds a volume that lies on the disk, or on the partition of it that is named, and
// returns the names of all that were taken.
func (u *DiskUse) take(s *snapshot.Snapshot, set *disk.Set, v snapshot.Volume, partition string, taken []string) []string {
	if slices.Contains(taken, v.Name) {
		return taken
	}
	use := volumeUse(s, v)
	use.Device = partition
	u.Volumes = append(u.Volumes, use)
	// What a volume was made for is recorded of whole disks.
	if v.Identity != nil && partition == "" && slices.Contains(u.SeenBy, SeenByPod) && set.Same(*v.Identity, u.Disk) == disk.No {
		u.Drift = fmt.Sprintf("volume %s was made for another disk: then %s, now %s", v.Name, v.Identity, nowOf(u.Disk, *v.Identity))
	}
	return append(taken, v.Name)
}

// nowOf is what a disk is now that is not the one of a record: what tells them apart.
func nowOf(d disk.Disk, then disk.ID) string {
	now := d.Identity()
	if then.SizeOnly(now) || now.String() == then.String() && now.Size != then.Size {
		return fmt.Sprintf("%s with %d bytes and not %d", now, now.Size, then.Size)
	}
	if now.String() == then.String() && now.Serial != "" {
		return fmt.Sprintf("%s, serial %s and not %s", now, now.Serial, then.Serial)
	}
	return now.String()
}

// inventoryOfUnseen is a disk that Talos tells of and no provisioner pod has seen. Links
// to it cannot be known, and its volumes are those that were recorded to be made for it.
func (x *Devices) inventoryOfUnseen(at *device, reported snapshot.TalosDisk) DiskUse {
	s, t := at.s, at.talos
	d, w := reported.Disk(), t.ofTalos(reported)
	u := DiskUse{
		Kind: "Disk", Metadata: Metadata{Name: t.node.Name + "/" + d.Name}, Node: t.node.Name, Disk: d,
		SeenBy: []Observer{SeenByTalos}, Transport: reported.Transport, System: w.system(), Uses: w.uses,
	}
	u.Objections = t.objections(w, u.System)
	if o, objects := d.Origin(); objects {
		u.Objections = append(u.Objections, o)
	}
	why := "the provisioner's pod does not see it"
	if t.node.View.Value == nil {
		why = "no provisioner pod looked at it: " + t.node.View.Why().Message
	}
	u.Objections = append(u.Objections, disk.Objection{
		Reason:  disk.NotChecked,
		Message: "may be linked or in use, which could not be found out: " + why,
	})
	u.LinksProblem = why
	var own []string
	for _, v := range s.Volumes {
		if v.Node == t.node.Name && v.Identity != nil && at.reported.Same(*v.Identity, d) == disk.Yes {
			own = u.take(s, at.reported, v, "", own)
		}
	}
	for _, on := range t.volumesOn(s, w) {
		own = u.take(s, at.reported, on.volume, on.partition, own)
	}
	if emptyDrive(d) {
		u.Size = 0
	}
	return u
}

func volumeUse(s *snapshot.Snapshot, v snapshot.Volume) VolumeUse {
	use := VolumeUse{Name: v.Name, Phase: v.Phase, Path: v.Path}
	if v.Claim != nil {
		use.Claim = v.Claim.String()
		if s.Users.Value != nil {
			use.Pods = (*s.Users.Value)[*v.Claim]
		}
	}
	return use
}

// Select keeps the disks that one of the arguments names.
func Select(s *snapshot.Snapshot, all []DiskUse, args []disk.Arg) []DiskUse {
	named := make(map[[2]string]bool)
	for _, n := range s.Nodes {
		_, node := seenBy(s, n)
		view := value(node.View)
		set := disk.NewSet(view.Disks, disk.Doubts{})
		for _, arg := range args {
			for _, d := range resolve(arg, view, set) {
				named[[2]string{n.Name, d.Name}] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(u DiskUse) bool {
		if slices.Contains(u.SeenBy, SeenByPod) {
			return !named[[2]string{u.Node, u.Name}]
		}
		return !slices.ContainsFunc(args, func(arg disk.Arg) bool {
			return arg.Matches(u.Disk) || arg.Name == u.Name || slices.Contains(u.Names(), arg.Path)
		})
	})
}
