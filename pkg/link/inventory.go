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
	// System is by what it is known that the node lives on the disk.
	System string `json:"system,omitempty"`
	// Links are the entries of class directories that lead to it, as host paths.
	Links []string `json:"links,omitempty"`
	// Volumes are those of its links, by name, with their phases.
	Volumes []VolumeUse `json:"volumes,omitempty"`
	// Drift is set where a volume was made for another disk than the one that its
	// link leads to now.
	Drift string `json:"drift,omitempty"`
	// Objections are what speaks against linking the disk into a Block class.
	Objections []disk.Objection `json:"objections,omitempty"`
}

// VolumeUse is a volume with its users.
type VolumeUse struct {
	Name  string `json:"name"`
	Phase string `json:"phase"`
	Claim string `json:"claim,omitempty"`
	// Pods that use the claim, in its namespace.
	Pods []string `json:"pods,omitempty"`
}

// Inventory lists the disks of every node that was looked at, in the order of
// nodes and names. Partitions and devices without a size are left out.
func Inventory(s *snapshot.Snapshot) []DiskUse {
	var all []DiskUse
	for _, node := range s.Nodes {
		if node.View.Value == nil {
			continue
		}
		view := *node.View.Value
		for _, d := range view.Disks {
			if d.Whole() && d.Size > 0 && !unusedLoop(d, view, s.Install) {
				all = append(all, useOf(s, node, view, d))
			}
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

func useOf(s *snapshot.Snapshot, node snapshot.Node, view snapshot.PodView, d disk.Disk) DiskUse {
	u := DiskUse{Kind: "Disk", Metadata: Metadata{Name: node.Name + "/" + d.Name}, Node: node.Name, Disk: d}
	add := func(r disk.Reason, format string, args ...any) {
		u.Objections = append(u.Objections, disk.Objection{Reason: r, Message: fmt.Sprintf(format, args...)})
	}
	if view.BeneathProblem != "" {
		add(disk.SystemDiskUnknown, "may be the system disk, which cannot be told: %s", view.BeneathProblem)
	}
	if why, is := disk.SystemDisks(view.Disks, view.Beneath)[d.Number]; is {
		u.System = why
		add(disk.SystemDisk, "is a disk that the node itself lives on: it %s", why)
	}
	var own []string
	for _, c := range s.Install.Classes {
		for _, e := range view.Dirs[c.Name].Entries {
			if e.Device != d.Number.String() {
				continue
			}
			u.Links = append(u.Links, c.VolumePath(e.Name))
			for _, v := range volumesOf(s, newLink(node, c, d.Name, e.Name)) {
				own = append(own, v.Name)
				u.Volumes = append(u.Volumes, volumeUse(s, v))
				if v.Identity != nil && v.Identity.Same(d.Identity()) == disk.No {
					u.Drift = fmt.Sprintf("volume %s was made for another disk: then %s, now %s", v.Name, v.Identity, d.Identity())
				}
			}
		}
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
		for _, n := range s.Nodes {
			if n.Name == u.Node && n.View.Value != nil && named(u.Disk, args, *n.View.Value) {
				kept = append(kept, u)
			}
		}
	}
	return kept
}

func named(d disk.Disk, args []disk.Arg, view snapshot.PodView) bool {
	for _, arg := range args {
		for _, found := range resolve(arg, view) {
			if found.Number == d.Number {
				return true
			}
		}
	}
	return false
}
