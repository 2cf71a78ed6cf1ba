// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
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
	// Links are the entries of class directories that lead to it, as host paths.
	Links []string `json:"links,omitempty"`
	// Volumes are those of its links, by name, with their phases.
	Volumes []VolumeUse `json:"volumes,omitempty"`
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
}

// Inventory lists the disks of every node, as its provisioner pod and its Talos API
// see them, in the order of nodes and names. Partitions and devices without a size
// are left out, and of what only Talos sees the virtual devices.
func Inventory(s *snapshot.Snapshot) []DiskUse {
	var all []DiskUse
	for _, node := range s.Nodes {
		t := talosOf(node)
		for _, d := range t.view.Disks {
			if d.Whole() && d.Size > 0 && !unusedLoop(d, t.view, s.Install) {
				all = append(all, useOf(s, t, d))
			}
		}
		for _, d := range t.unmatched() {
			all = append(all, useOfUnseen(s, t, d))
		}
	}
	return all
}

// unusedLoop tells the loop devices that the kubelet puts over Block volumes,
// and those of the system's own images: nobody's disks.
func unusedLoop(d disk.Disk, view snapshot.PodView, install provisioner.Install) bool {
	if d.Kind != disk.KindLoop || !strings.HasPrefix(d.Name, "loop") {
		return false
	}
	for _, c := range install.Classes {
		for _, e := range view.Dirs[c.Name].Entries {
			if e.Device == d.Number.String() {
				return false
			}
		}
	}
	return true
}

func useOf(s *snapshot.Snapshot, t talos, d disk.Disk) DiskUse {
	node, view := t.node, t.view
	u := DiskUse{Kind: "Disk", Metadata: Metadata{Name: node.Name + "/" + d.Name}, Node: node.Name, Disk: d, SeenBy: []Observer{SeenByPod}}
	add := func(r disk.Reason, format string, args ...any) {
		u.Objections = append(u.Objections, disk.Objection{Reason: r, Message: fmt.Sprintf(format, args...)})
	}
	w := t.of(d)
	u.Uses, u.Conflict = w.uses, w.conflict
	if w.disk != nil {
		u.SeenBy, u.Transport = append(u.SeenBy, SeenByTalos), w.disk.Transport
	}
	u.System, u.Objections = t.claims(d)
	var own []string
	take := func(v snapshot.Volume) {
		if slices.Contains(own, v.Name) {
			return
		}
		own = append(own, v.Name)
		u.Volumes = append(u.Volumes, volumeUse(s, v))
		if v.Identity != nil && v.Identity.Same(d.Identity()) == disk.No {
			u.Drift = fmt.Sprintf("volume %s was made for another disk: then %s, now %s", v.Name, v.Identity, d.Identity())
		}
	}
	for _, c := range s.Install.Classes {
		for _, e := range view.Dirs[c.Name].Entries {
			if e.Device != d.Number.String() {
				continue
			}
			u.Links = append(u.Links, c.VolumePath(e.Name))
			for _, v := range volumesOf(s, newLink(node, c, d.Name, e.Name)) {
				take(v)
			}
		}
	}
	for _, v := range volumesAt(s, node.Name, w.uses) {
		take(v)
	}
	u.Objections = append(u.Objections, unreadClasses(s.Install, view, "")...)
	u.Objections = append(u.Objections, volumesOver(s, node.Name, d, func(v snapshot.Volume) bool { return slices.Contains(own, v.Name) })...)
	if len(u.Links) > 0 {
		add(disk.AlreadyLinked, "is linked already, as %s", strings.Join(u.Links, ", "))
	} else if other := (judge{s: s, view: view}).otherEntry(d, "", ""); other != "" {
		add(disk.AlreadyLinked, "is linked already, as %s", other)
	}
	u.Objections = append(u.Objections, d.Objections()...)
	return u
}

// useOfUnseen is a disk that Talos tells of and no provisioner pod has seen. Links to
// it cannot be known, and its volumes are those that were recorded to be made for it.
func useOfUnseen(s *snapshot.Snapshot, t talos, told snapshot.TalosDisk) DiskUse {
	d, w := told.Disk(), t.ofTalos(told)
	u := DiskUse{
		Kind: "Disk", Metadata: Metadata{Name: t.node.Name + "/" + d.Name}, Node: t.node.Name, Disk: d,
		SeenBy: []Observer{SeenByTalos}, Transport: told.Transport, System: w.system(), Uses: w.uses,
	}
	u.Objections = t.objections(w, u.System)
	why := "the provisioner's pod does not see it"
	if t.node.View.Value == nil {
		why = "no provisioner pod looked at it: " + t.node.View.Why()
	}
	u.Objections = append(u.Objections, disk.Objection{Reason: disk.NotChecked, Message: "may be linked or in use, which could not be found out: " + why})
	for _, v := range s.Volumes {
		if v.Node == t.node.Name && v.Identity != nil && v.Identity.Same(d.Identity()) == disk.Yes {
			u.Volumes = append(u.Volumes, volumeUse(s, v))
		}
	}
	for _, v := range volumesAt(s, t.node.Name, w.uses) {
		if !slices.ContainsFunc(u.Volumes, func(b VolumeUse) bool { return b.Name == v.Name }) {
			u.Volumes = append(u.Volumes, volumeUse(s, v))
		}
	}
	return u
}

// volumesAt are the volumes of a node whose paths are where Talos has mounted the disk.
func volumesAt(s *snapshot.Snapshot, node string, uses []Use) []snapshot.Volume {
	var at []snapshot.Volume
	for _, v := range s.Volumes {
		if v.Node == node && slices.ContainsFunc(uses, func(u Use) bool { return u.Target != "" && u.Target == v.Path }) {
			at = append(at, v)
		}
	}
	return at
}

func volumeUse(s *snapshot.Snapshot, v snapshot.Volume) VolumeUse {
	use := VolumeUse{Name: v.Name, Phase: v.Phase}
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
	var kept []DiskUse
	for _, u := range all {
		i := slices.IndexFunc(s.Nodes, func(n snapshot.Node) bool { return n.Name == u.Node })
		if i >= 0 && named(u, args, value(s.Nodes[i].View)) {
			kept = append(kept, u)
		}
	}
	return kept
}

func named(u DiskUse, args []disk.Arg, view snapshot.PodView) bool {
	for _, arg := range args {
		if !slices.Contains(u.SeenBy, SeenByPod) {
			if arg.Matches(u.Disk) || arg.Name == u.Name || slices.Contains(u.Names(), arg.Path) {
				return true
			}
			continue
		}
		for _, found := range resolve(arg, view) {
			if found.Number == u.Number {
				return true
			}
		}
	}
	return false
}
