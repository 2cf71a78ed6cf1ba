// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"path"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// pathSeen reports whether the pod looked where the path of a volume leads.
func pathSeen(install provisioner.Install, view snapshot.PodView, v snapshot.Volume) bool {
	at, ok := install.PathOf(v.Path)
	_, looked := view.VolumePaths[at]
	return ok && looked
}

// pathOver reports whether the path of a volume leads to bytes of a disk. It is
// Unknown where the pod did not look there.
func (at *device) pathOver(v snapshot.Volume, d disk.Disk) disk.Answer {
	inPod, ok := at.s.Install.PathOf(v.Path)
	number, looked := at.view.VolumePaths[inPod]
	switch {
	case !ok || !looked:
		return disk.Unknown
	case number == disk.Number{}:
		return disk.No
	case number == d.Number:
		return disk.Yes
	}
	if there, known := at.set.ByNumber(number.String()); known && at.set.Overlap(there, d) {
		return disk.Yes
	}
	return disk.No
}

// atPaths are the volumes of a node, but those of a link's own and those with a name of the
// disk as their path, whose paths lead to a disk, and the raw ones that may: the pod did not
// look where their paths lead, and either it could have, or their name is the disk's. Of the
// others that nobody has seen, unplacedVolumes warns.
func (x *Devices) atPaths(at *device, d disk.Disk, own func(snapshot.Volume) bool) []disk.Objection {
	var found []disk.Objection
	for _, i := range slices.Concat(x.byNode[at.node.Name], x.byNode[""]) {
		v := x.s.Volumes[i]
		if own(v) || slices.Contains(d.Names(), v.Path) {
			continue
		}
		may := v.Mode == provisioner.Block && (v.Identity == nil || at.set.Same(*v.Identity, d) == disk.Unknown)
		switch _, visible := at.s.Install.PathOf(v.Path); at.pathOver(v, d) {
		case disk.Yes:
			found = append(found, disk.Objection{
				Reason: disk.VolumeExists, Message: fmt.Sprintf("is what volume %s (%s) has as its path, %s", v.Name, v.Phase, v.Path),
				Hint: shell.Command("kubectl", "get", "pv", v.Name),
			})
		case disk.No:
		default:
			if why := unseenPath(v, visible && at.view.VolumePaths != nil, calls(d, path.Base(v.Path))); may && why != "" {
				found = append(found, disk.Objection{
					Reason: disk.NotChecked, Message: fmt.Sprintf("may be what volume %s (%s) lies on: %s", v.Name, v.Phase, why),
					Hint: shell.Command("kubectl", "get", "pv", v.Name, "-o", "yaml"),
				})
			}
		}
	}
	return found
}

// unseenPath is why it matters that nobody looked where the path of a volume leads; empty: it does not.
func unseenPath(v snapshot.Volume, visible, named bool) string {
	switch {
	case visible:
		return "where its path " + v.Path + " leads was not looked at"
	case named:
		return "the provisioner's pod does not see its path " + v.Path
	}
	return ""
}

// calls reports whether a name is one of the disk's, without its directory.
func calls(d disk.Disk, name string) bool {
	return name == d.Name || slices.Contains(d.ByID, name) || slices.Contains(d.ByPath, name)
}
