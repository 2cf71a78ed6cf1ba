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

// place is an installation on one node: its classes, and their directories as its pod sees
// them. Device numbers are the kernel's, and so the same ones for the pods of all installations.
type place struct {
	install provisioner.Install
	dirs    map[string]snapshot.Dir
	// other tells an installation that is not the one that is worked with.
	other bool
	// problem is why nothing is known of its directories.
	problem string
}

// placesOf are the installations that have to do with a node, the one that is worked with
// first. Of the others those count that have a pod there, or are meant to.
func placesOf(s *snapshot.Snapshot, node snapshot.Node) []place {
	places := []place{{install: s.Install, dirs: value(node.View).Dirs}}
	for _, o := range s.Others {
		here, known := o.Nodes[node.Name]
		if known && !here.Wanted && here.Pod.Value == nil && here.View.Value == nil {
			continue
		}
		p := place{install: o.Install, dirs: value(here.View).Dirs, other: true}
		switch {
		case !o.Problem.IsZero():
			p.problem = o.Problem.Message
		case here.View.Value == nil:
			p.problem = here.View.Why().Message
		}
		places = append(places, p)
	}
	return places
}

// class is how a person calls one of its classes: with the installation where it is another one.
func (p place) class(c provisioner.Class) string {
	if p.other {
		return fmt.Sprintf("%s of provisioner %s/%s", c.Name, p.install.Namespace, p.install.Name)
	}
	return c.Name
}

// unread are the reasons that there may be links of this installation that were not seen,
// but in one class.
func (p place) unread(but string) []disk.Objection {
	if !p.other {
		return unreadClasses(p.install, snapshot.PodView{Dirs: p.dirs}, but)
	}
	may := func(what, why string) []disk.Objection {
		return []disk.Objection{{
			Reason:  disk.ClassDirectory,
			Message: fmt.Sprintf("may be linked already: %s could not be read (%s)", what, why),
			Hint:    shell.Command("kubectl", "-n", p.install.Namespace, "describe", "daemonset", p.install.Name),
		}}
	}
	if p.problem != "" {
		return may(fmt.Sprintf("the directories of provisioner %s/%s", p.install.Namespace, p.install.Name), p.problem)
	}
	var found []disk.Objection
	for _, c := range p.install.Classes {
		if why := unread(p.dirs[c.Name]); why != "" {
			found = append(found, may("the directory of class "+p.class(c), why)...)
		}
	}
	return found
}

// entryAt is an entry of a class directory of any installation.
type entryAt struct {
	place place
	class provisioner.Class
	entry provisioner.Entry
}

// path is the entry's on the node.
func (e entryAt) path() string { return e.class.VolumePath(e.entry.Name) }

// links are the entries of the places that lead to some device, or would in the pod of an
// installation that has the node's /dev.
func links(places []place) []entryAt {
	var all []entryAt
	for _, p := range places {
		for _, c := range p.install.Classes {
			for _, e := range p.dirs[c.Name].Entries {
				if isLink(c, e.Name) && (e.Device != "" || p.other && e.Target != "") {
					all = append(all, entryAt{p, c, e})
				}
			}
		}
	}
	return all
}

// alsoPublished are the classes that would publish an entry too, since they have the same
// directory.
func (j judge) alsoPublished(entry string) []disk.Objection {
	var found []disk.Objection
	for _, p := range j.talos.places {
		for _, c := range p.install.Classes {
			if !p.other && c.Name == j.class.Name || path.Clean(c.HostDir) != path.Clean(j.class.HostDir) || !c.Publishes(entry) {
				continue
			}
			found = append(found, disk.Objection{
				Reason:  disk.OtherClass,
				Message: fmt.Sprintf("would be published by class %s (%s) too, which has the same hostDir", p.class(c), c.Mode),
				Hint:    shell.Command("kubectl", "-n", p.install.Namespace, "edit", "configmap", p.install.ConfigMap),
			})
		}
	}
	return found
}

// unplacedVolumes are the Block volumes of a node that may lie on any of its disks: their
// paths are in no directory that a pod looked into, and lead to no device that is known.
func (j judge) unplacedVolumes() []snapshot.Volume {
	var found []snapshot.Volume
	for _, v := range j.s.Volumes {
		if v.Mode != provisioner.Block || v.Node != j.node.Name && v.Node != "" || v.Identity != nil {
			continue
		}
		p := path.Clean(v.Path)
		known := within(p, "/dev") || pathSeen(j.s.Install, j.view, v) || slices.ContainsFunc(j.talos.places, func(at place) bool {
			return slices.ContainsFunc(at.install.Classes, func(c provisioner.Class) bool { return path.Dir(p) == path.Clean(c.HostDir) })
		})
		if !known { // What is not known of such a directory is an objection already.
			found = append(found, v)
		}
	}
	return found
}

// mayBeOthers are the volumes that may be an installation's that nobody could look for, and so
// may lie on the disk.
func (j judge) mayBeOthers() []disk.Objection {
	why := j.s.Unread[snapshot.PartOthers]
	if why.IsZero() {
		return nil
	}
	var found []disk.Objection
	for _, v := range j.unplacedVolumes() {
		found = append(found, disk.Objection{
			Reason: disk.VolumeExists,
			Message: fmt.Sprintf("may be the disk of volume %s (%s): where %s leads could not be found out, nor whether another provisioner made it (%s)",
				v.Name, v.Phase, v.Path, why),
			Hint: shell.Command("kubectl", "get", "pv", v.Name),
		})
	}
	return found
}
