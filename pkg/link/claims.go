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
				Hint:    fmt.Sprintf("kubectl -n %s rollout restart daemonset %s", install.Namespace, install.Name),
			})
		}
	}
	return found
}

// volumesOver are the volumes, but those of a link's own, that are known to lie on
// a disk: made for it, by what was recorded, or with one of its names as their path.
// A volume of another node counts if the disk's WWID is one that no other disk has.
func volumesOver(s *snapshot.Snapshot, node string, d disk.Disk, own func(snapshot.Volume) bool) []disk.Objection {
	var found []disk.Objection
	for _, v := range s.Volumes {
		if own(v) {
			continue
		}
		here := v.Node == node || v.Node == ""
		madeFor := v.Identity != nil && (v.Node == node && v.Identity.Same(d.Identity()) == disk.Yes ||
			worldwide(d.WWID) && v.Identity.WWID == d.WWID)
		what := ""
		switch {
		case madeFor && v.Node != node:
			what = fmt.Sprintf("is the disk that volume %s (%s) of node %q was made for", v.Name, v.Phase, v.Node)
		case madeFor:
			what = fmt.Sprintf("is the disk that volume %s (%s) was made for", v.Name, v.Phase)
		case here && slices.Contains(d.Names(), v.Path):
			what = fmt.Sprintf("is what volume %s (%s) has as its path", v.Name, v.Phase)
		default:
			continue
		}
		found = append(found, disk.Objection{Reason: disk.VolumeExists, Message: what, Hint: "kubectl get pv " + v.Name})
	}
	return found
}

// worldwide tells a WWID that names one disk on every machine; those of type t10
// are made of strings that virtual machines repeat.
func worldwide(wwid string) bool {
	return strings.HasPrefix(wwid, "naa.") || strings.HasPrefix(wwid, "eui.") || strings.HasPrefix(wwid, "uuid.")
}

// shared refuses links to one disk from several nodes: a LUN that all of them see.
func shared(links []Link) {
	first := make(map[string]*Link)
	for i := range links {
		l := &links[i]
		if l.Action != Create && l.Action != Unchanged || !worldwide(l.Identity.WWID) {
			continue
		}
		before, seen := first[l.Identity.WWID]
		switch {
		case !seen:
			first[l.Identity.WWID] = l
		case before.Node != l.Node && l.Action == Create:
			l.object(disk.AlreadyLinked, "link it on one node: --nodes "+before.Node, "is the same disk as %s of node %s (wwid %s)", before.Disk, before.Node, l.Identity.WWID)
		}
	}
}
