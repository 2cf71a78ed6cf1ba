// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The codes of the checks of directories that are shared with others.
const (
	codePublishesOthers Code = "TD0217"
)

// sharedChecks are those of directories in which not only the provisioner's volumes lie.
func sharedChecks() []Check {
	return []Check{
		{
			Code: codePublishesOthers, Title: "a class publishes the volumes of others",
			Severity: Error, Stage: StageProvisioner, About: OfCluster,
			Needs:   []Need{NeedInstall},
			Uses:    []Need{NeedNodes, NeedVolumes, NeedPods, NeedView, NeedTalosVolumes},
			Applies: func(s *Subject) bool { return len(s.Snapshot.Install.Classes) > 0 },
			Run:     publishesOthers,
		},
	}
}

// publishesOthers: the provisioner takes every mount point whose name its pattern lets through for a disk of its own,
// publishes it, and empties it when a claim on it is deleted (pkg/discovery/discovery.go and pkg/deleter/deleter.go).
func publishesOthers(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	for _, c := range i.Classes {
		var evidence []string
		var nodes []string
		for n := range s.Snapshot.Nodes {
			node := &s.Snapshot.Nodes[n]
			for _, name := range s.publishedIn(node, c) {
				if whose := s.othersAt(node, c, c.VolumePath(name)); whose != "" {
					evidence, nodes = append(evidence, fmt.Sprintf("%s: %s is %s", node.Name, c.VolumePath(name), whose)), append(nodes, node.Name)
				}
			}
		}
		slices.Sort(evidence)
		f := Finding{
			Summary:  fmt.Sprintf("class %q publishes volumes in %q that are not its own", c.Name, c.HostDir),
			Because:  "the provisioner takes whatever its namePattern lets through for a free disk: a claim can get it, and what is on it is deleted with the claim",
			Evidence: once(evidence), Nodes: once(nodes), Objects: []snapshot.Ref{daemonSet(i)}, Path: c.HostDir, class: c.Name,
			Fix: []Step{
				{
					Text: fmt.Sprintf("set a namePattern that only the volumes for this class match, in the values of the chart:\nclasses:\n- name: %s\n  namePattern: %q",
						c.Name, patternFor(c)),
				},
				restart(i),
				{
					Text:    "then look for volumes that it made already, and delete those that no claim has:",
					Command: "kubectl get pv -o custom-columns=NAME:.metadata.name,PATH:.spec.local.path,CLASS:.spec.storageClassName,CLAIM:.spec.claimRef.name",
				},
			},
		}
		switch {
		case len(evidence) > 0:
		case c.HostDir == varMnt && c.Mode == provisioner.Filesystem && everything(c):
			f.Severity = Warning
			f.Summary = fmt.Sprintf("class %q publishes whatever is mounted in %q", c.Name, c.HostDir)
			f.Because = "all user volumes of Talos are mounted there, those of other software too: the next one becomes a volume that a claim can get, and is emptied with the claim"
			f.Evidence = []string{"it has no namePattern that leaves anything out"}
		default:
			continue
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		if why := s.unseenNodes(); !why.IsZero() {
			return unknown("what lies in the directories of the classes %s", why)
		}
		if why := cmp.Or(s.Snapshot.Unread[snapshot.PartVolumes], s.Snapshot.Pods.Why()); !why.IsZero() {
			return unknown("what others use in the directories of the classes: %s", why)
		}
	}
	return found(all...)
}

// patternFor is an example of a pattern that lets through one class's volumes only.
func patternFor(c provisioner.Class) string {
	if c.HostDir == partlabels {
		return "r-" + c.Name + "-*"
	}
	return c.Name + "-*"
}

// partlabels is where udev has a name for each partition with a label, those of raw volumes among them.
const partlabels = "/dev/disk/by-partlabel"

// publishedIn are the names in a class's directory of a node that the class lets through: as the provisioner's pod lists
// them, and as Talos tells of its volumes.
func (s *Subject) publishedIn(n *snapshot.Node, c provisioner.Class) []string {
	var names []string
	for _, e := range value(n.View).Dirs[c.Name].Entries {
		if !skips(c, e) {
			names = append(names, e.Name)
		}
	}
	at := Subject{Node: n}
	for _, v := range value(value(n.Talos).Volumes) {
		if p := at.mountOf(v); path.Dir(p) == c.HostDir && v.Phase == "ready" && (c.Mode == provisioner.Filesystem || v.Type != "directory") {
			names = append(names, path.Base(p))
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return !c.Publishes(name) })
}

// othersAt is what says that a path in a class's directory is no disk for that class; empty if nothing does.
func (s *Subject) othersAt(n *snapshot.Node, c provisioner.Class, p string) string {
	i := s.Snapshot.Install
	for _, other := range i.Classes {
		if _, _, reported := nested(c, other); within(other.HostDir, p) && other.Name != c.Name && !reported { // Else it is TD0211.
			return fmt.Sprintf("the directory of class %q, or holds it", other.Name)
		}
	}
	if v := s.index.paths[[2]string{n.Name, p}]; v != nil && v.Class != c.Name && !ofInstall(i, *v) {
		return fmt.Sprintf("volume %q, which is not this provisioner's", v.Name)
	}
	at := Subject{Node: n}
	for _, v := range value(value(n.Talos).Volumes) {
		if at.mountOf(v) != p {
			continue
		}
		switch {
		case v.Type == "directory":
			return fmt.Sprintf("Talos's volume %q, a directory on the system disk", v.ID)
		case strings.HasPrefix(v.ID, "x-"):
			return fmt.Sprintf("Talos's volume %q, which lies outside the node", v.ID)
		}
	}
	for _, pod := range value(s.Snapshot.Pods) {
		for _, v := range pod.Volumes {
			if pod.Node == n.Name && v.HostPath != "" && within(v.HostPath, p) && pod.Phase != "Succeeded" && pod.Phase != "Failed" {
				return fmt.Sprintf("in use by pod \"%s/%s\", which has %s as hostPath", pod.Namespace, pod.Name, v.HostPath)
			}
		}
	}
	return ""
}

// ofInstall tells a volume that one of the installation's classes has made.
func ofInstall(i provisioner.Install, v snapshot.Volume) bool {
	_, ok := i.ClassOf(v.Class)
	return ok && v.ProvisionedBy != ""
}
