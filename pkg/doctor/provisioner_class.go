// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// hostOf is the directory of the node that the container has at a path.
func hostOf(i provisioner.Install, containerPath string) (string, provisioner.Mount, bool) {
	m, ok := i.MountOf(containerPath)
	if !ok {
		return "", m, false
	}
	rest := strings.TrimPrefix(clean(containerPath), clean(m.MountPath))
	return path.Join(m.HostPath, rest), m, true
}

// classNotMounted compares what the ConfigMap says with what the DaemonSet mounts.
func classNotMounted(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	for _, c := range i.Classes {
		host, m, ok := hostOf(i, c.MountDir)
		if ok && host == c.HostDir {
			continue
		}
		f := Finding{
			Summary: fmt.Sprintf("%q of class %q is not mounted into the provisioner's pod", c.HostDir, c.Name),
			Because: fmt.Sprintf("nothing is mounted at its mountDir %q: the provisioner looks into a directory of its own container", c.MountDir),
			Fix: []Step{
				{Text: fmt.Sprintf("the chart mounts the directories of its classes by itself; have it deploy this one:\nclasses:\n- name: %s\n  hostDir: %s\n  mountDir: %s", c.Name, c.HostDir, c.MountDir)},
				{Text: "with manifests of your own, mount it into the container as a hostPath, with mountPropagation: HostToContainer:", Command: fmt.Sprintf("kubectl -n %s edit daemonset %s", i.Namespace, i.Name)},
			},
			Objects: []snapshot.Ref{daemonSet(i)}, Path: c.HostDir, class: c.Name, Masks: []Code{"TD0207", "TD0216", "TD0508"},
		}
		if ok {
			f.Because = fmt.Sprintf("its mountDir %q shows %q of the node, and volumes would carry the path %q", c.MountDir, host, c.HostDir)
			f.Evidence = []string{fmt.Sprintf("the DaemonSet mounts %s at %s", m.HostPath, m.MountPath)}
		}
		all = append(all, f)
	}
	return found(all...)
}

// notPropagated: without propagation a container sees what was mounted when it started.
func notPropagated(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	for _, c := range i.Classes {
		_, m, ok := hostOf(i, c.MountDir)
		if !ok || m.Propagation == corev1.MountPropagationHostToContainer || m.Propagation == corev1.MountPropagationBidirectional || within(c.HostDir, "/dev") {
			continue
		}
		f := Finding{
			Summary:  fmt.Sprintf("%q of class %q is mounted into the provisioner's pod without HostToContainer", c.HostDir, c.Name),
			Because:  "disks that are mounted on the node after the pod started stay hidden from it: it says that the directory is no mount point",
			Evidence: []string{fmt.Sprintf("mountPropagation of %s is %s", m.MountPath, cmp.Or(string(m.Propagation), "None"))},
			Fix: []Step{{Text: "set mountPropagation: HostToContainer at that volumeMount:",
				Command: fmt.Sprintf("kubectl -n %s edit daemonset %s", i.Namespace, i.Name)}},
			Objects: []snapshot.Ref{daemonSet(i)}, Path: c.HostDir, class: c.Name,
		}
		if c.Mode == provisioner.Block {
			f.Severity = Warning // Links are files; only a mount over the directory itself is missed.
			f.Because = "should the directory itself be mounted on the node later, the pod goes on linking into the one beneath"
		}
		all = append(all, f)
	}
	return found(all...)
}

func hasBlockClass(s *Subject) bool {
	return slices.ContainsFunc(s.Snapshot.Install.Classes, func(c provisioner.Class) bool { return c.Mode == provisioner.Block })
}

func devNotMounted(s *Subject) Verdict {
	i := s.Snapshot.Install
	if i.DevMounted() {
		return fine()
	}
	return found(Finding{
		Summary: "the node's /dev is not mounted into the provisioner's pod",
		Because: "links in the directory of a Block class lead to devices that its container does not have",
		Fix: []Step{
			{Text: "in the values of the chart:\nmountDevVolume: true"},
			{Text: "with manifests of your own, mount the hostPath /dev at /dev:", Command: fmt.Sprintf("kubectl -n %s edit daemonset %s", i.Namespace, i.Name)},
		},
		Objects: []snapshot.Ref{daemonSet(i)},
		Masks:   []Code{"TD0216", "TD0501", "TD0507", "TD0508"},
	})
}

func noStorageClass(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	for _, c := range i.Classes {
		sc, ok := s.Snapshot.StorageClasses[c.Name]
		switch {
		case !ok:
			all = append(all, Finding{
				Summary:  fmt.Sprintf("class %q of the provisioner has no StorageClass", c.Name),
				Because:  "the provisioner takes the reclaim policy from it and publishes nothing without; the chart makes it only if it is told to",
				Evidence: []string{fmt.Sprintf("no StorageClass is called %q", c.Name)},
				Fix: []Step{
					{Text: fmt.Sprintf("in the values of the chart:\nclasses:\n- name: %s\n  storageClass: true", c.Name)},
					{Text: "or without the chart:", Command: fmt.Sprintf("kubectl apply -f - <<'EOF'\napiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata:\n  name: %s\nprovisioner: %s\nvolumeBindingMode: WaitForFirstConsumer\nreclaimPolicy: Delete\nEOF", c.Name, noProvisioner)},
				},
				Objects: []snapshot.Ref{{Kind: "storageclass", Name: c.Name}}, class: c.Name,
				Masks: []Code{"TD0216", "TD0611"},
			})
		case sc.Provisioner != noProvisioner:
			all = append(all, Finding{
				Severity: Warning,
				Summary:  fmt.Sprintf("StorageClass %q is another provisioner's", c.Name),
				Because:  fmt.Sprintf("claims of it wait for %q to make a volume, unless one of the local volumes fits at once", sc.Provisioner),
				Evidence: []string{"provisioner: " + sc.Provisioner},
				Fix:      []Step{{Text: "a StorageClass cannot be changed: give the provisioner's class a name of its own:", Command: configMap(i)}},
				Objects:  []snapshot.Ref{{Kind: "storageclass", Name: c.Name}},
			})
		}
	}
	return found(all...)
}

func bindsImmediately(s *Subject) Verdict {
	var all []Finding
	for _, c := range s.Snapshot.Install.Classes {
		sc, ok := s.Snapshot.StorageClasses[c.Name]
		if !ok || sc.BindingMode == "WaitForFirstConsumer" {
			continue
		}
		all = append(all, Finding{
			Summary:  fmt.Sprintf("StorageClass %q binds claims before their pod is scheduled", c.Name),
			Because:  "a claim then takes a disk of any node, and a pod that cannot run there never starts",
			Evidence: []string{"volumeBindingMode: " + cmp.Or(sc.BindingMode, "Immediate")},
			Fix: []Step{
				{Text: "a StorageClass cannot be changed, only made again; bound claims keep their volumes:",
					Command: fmt.Sprintf("kubectl get storageclass %s -o yaml | sed 's/^volumeBindingMode: .*/volumeBindingMode: WaitForFirstConsumer/' | kubectl replace --force -f -", c.Name)},
				{Text: "where Helm or a repository deploys it, set volumeBindingMode: WaitForFirstConsumer there too"},
			},
			Objects: []snapshot.Ref{{Kind: "storageclass", Name: c.Name}}, class: c.Name,
		})
	}
	return found(all...)
}

// publishedTwice: entries that lie in the directory of two classes, or patterns of
// which one lets everything through.
func publishedTwice(s *Subject) Verdict {
	classes := s.Snapshot.Install.Classes
	var all []Finding
	for i, a := range classes {
		for _, b := range classes[i+1:] {
			if outer, inner, ok := nested(a, b); ok {
				all = append(all, publishesClass(s.Snapshot.Install, outer, inner))
			}
			if a.HostDir != b.HostDir {
				continue
			}
			var evidence []string
			for _, n := range s.Snapshot.Nodes {
				for _, e := range value(n.View).Dirs[a.Name].Entries {
					if a.Publishes(e.Name) && b.Publishes(e.Name) && !skips(a, e) && !skips(b, e) {
						evidence = append(evidence, fmt.Sprintf("%s: %s", n.Name, a.VolumePath(e.Name)))
					}
				}
			}
			if len(evidence) == 0 && !overlap(a, b) {
				continue
			}
			slices.Sort(evidence)
			f := Finding{
				Summary:  fmt.Sprintf("classes %q and %q both publish what lies in %q", a.Name, b.Name, a.HostDir),
				Because:  "one disk becomes two volumes, and two claims write to it",
				Evidence: evidence,
				Fix: []Step{
					{Text: fmt.Sprintf("give each class a hostDir of its own, or a namePattern that leaves out what is the other's, in the values of the chart:\nclasses:\n- name: %s\n  namePattern: \"%s-*\"\n- name: %s\n  namePattern: \"%s-*\"", a.Name, a.Name, b.Name, b.Name)},
					restart(s.Snapshot.Install),
				},
				Objects: []snapshot.Ref{daemonSet(s.Snapshot.Install)}, Path: a.HostDir,
			}
			if a.Mode != b.Mode {
				f.Because += "; the kubelet would format for the Filesystem class what a pod uses as a device"
			}
			if len(evidence) == 0 {
				f.Severity = Warning
				f.Because = "the next entry that lies there becomes two volumes, and two claims write to one disk"
			}
			all = append(all, f)
		}
	}
	return found(all...)
}

// nested tells two classes of which one has the other's directory as an entry, which is
// a mount point in the pod, because the pod mounts it.
func nested(a, b provisioner.Class) (outer, inner provisioner.Class, ok bool) {
	for _, pair := range [][2]provisioner.Class{{a, b}, {b, a}} {
		o, i := pair[0], pair[1]
		name := path.Base(i.HostDir)
		if o.Mode == provisioner.Filesystem && parent(i.HostDir) == o.HostDir && o.Publishes(name) && clean(i.MountDir) == o.EntryPath(name) {
			return o, i, true
		}
	}
	return outer, inner, false
}

func publishesClass(i provisioner.Install, outer, inner provisioner.Class) Finding {
	return Finding{
		Summary:  fmt.Sprintf("class %q publishes the directory of class %q as a volume", outer.Name, inner.Name),
		Because:  "in the provisioner's pod it is a mount point like any other: a claim can get it, and with it the entries of the other class, which are deleted with the claim",
		Evidence: []string{fmt.Sprintf("%s lies in %s", inner.HostDir, outer.HostDir)},
		Fix: []Step{
			{Text: "give each class a hostDir beside the other, or leave it out by namePattern, in the values of the chart:", Command: configMap(i)},
			restart(i),
		},
		Objects: []snapshot.Ref{daemonSet(i)}, Path: inner.HostDir,
	}
}

// skips tells the entries that a class of that mode never publishes: a Block class refuses
// directories, while a Filesystem class takes a device (pkg/discovery/discovery.go).
func skips(c provisioner.Class, e provisioner.Entry) bool {
	return c.Mode == provisioner.Block && e.Kind == provisioner.Directory || e.Kind == provisioner.File || e.Dangling()
}

func overlap(a, b provisioner.Class) bool {
	return everything(a) || everything(b) || a.NamePattern == b.NamePattern
}

// everything tells a class without a pattern, or with one that lets all names through.
func everything(c provisioner.Class) bool {
	return c.NamePattern == "" || slices.Contains(strings.Split(c.NamePattern, ","), "*")
}

// leftOut are links that no class with their directory lets through. Below /dev, and
// with directories, leaving out is what patterns are for.
func leftOut(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	seen := make(map[string]bool)
	for _, c := range i.Classes {
		if within(c.HostDir, "/dev") || seen[c.HostDir] {
			continue
		}
		seen[c.HostDir] = true
		for _, e := range value(s.Node.View).Dirs[c.Name].Entries {
			if e.Kind != provisioner.Link || slices.ContainsFunc(i.Classes, func(o provisioner.Class) bool { return o.HostDir == c.HostDir && o.Publishes(e.Name) }) {
				continue
			}
			all = append(all, Finding{
				Summary:  fmt.Sprintf("namePattern %q of class %q leaves out %q", c.NamePattern, c.Name, c.VolumePath(e.Name)),
				Because:  "the provisioner looks only at names that the pattern matches, so the link never becomes a volume",
				Evidence: []string{fmt.Sprintf("%s: %s -> %s", s.Node.Name, c.VolumePath(e.Name), e.Target)},
				Fix: []Step{
					{Text: "make the link under a name that matches, or widen the pattern in the values of the chart:", Command: configMap(i)},
					restart(i),
				},
				Path: c.VolumePath(e.Name), Masks: []Code{"TD0507"},
			})
		}
	}
	return found(all...)
}

// systemLabels are the labels of Talos's own partitions (Talos v1.14,
// pkg/machinery/constants).
func systemLabels() []string {
	return []string{"EFI", "BIOS", "BOOT", "META", "STATE", "EPHEMERAL", "IMAGECACHE"}
}

// udevDirs are the directories below /dev in which every disk and partition has a name.
func udevDirs() []string {
	return []string{"/dev", "/dev/block", "/dev/mapper", "/dev/disk/by-id", "/dev/disk/by-path", "/dev/disk/by-uuid", "/dev/disk/by-partuuid", "/dev/disk/by-label", "/dev/disk/by-diskseq", "/dev/disk/by-loop-ref"}
}

// publishesSystem: what a class publishes is wiped when its claim is deleted.
func publishesSystem(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	for _, c := range i.Classes {
		var evidence []string
		if c.HostDir == "/dev/disk/by-partlabel" {
			labels := slices.DeleteFunc(systemLabels(), func(label string) bool { return !c.Publishes(label) })
			if len(labels) > 0 {
				evidence = append(evidence, fmt.Sprintf("in %s it lets through %s", c.HostDir, strings.Join(labels, ", ")))
			}
		} else if slices.Contains(udevDirs(), c.HostDir) && everything(c) {
			evidence = append(evidence, fmt.Sprintf("it lets every name in %s through, the system disk's among them", c.HostDir))
		}
		for _, n := range s.Snapshot.Nodes {
			view := value(n.View)
			for _, e := range view.Dirs[c.Name].Entries {
				for number, why := range view.Beneath {
					if e.Device == number.String() && c.Publishes(e.Name) {
						evidence = append(evidence, fmt.Sprintf("%s: %s is a device that the node lives on: %s", n.Name, c.VolumePath(e.Name), why))
					}
				}
			}
		}
		if len(evidence) == 0 {
			continue
		}
		slices.Sort(evidence)
		pattern := "disk-*"
		if c.HostDir == "/dev/disk/by-partlabel" {
			pattern = "r-*"
		}
		all = append(all, Finding{
			Summary:  fmt.Sprintf("class %q publishes partitions of the system as volumes", c.Name),
			Because:  "a claim can get one of them, and the provisioner wipes it when the claim is deleted: the node is lost with it",
			Evidence: evidence,
			Fix: []Step{
				{Text: fmt.Sprintf("at once, before any claim is deleted, set a namePattern that only volumes for pods match, in the values of the chart:\nclasses:\n- name: %s\n  namePattern: %q", c.Name, pattern)},
				restart(i),
				{Text: "then look for volumes that it made already, and delete those that no claim has:", Command: "kubectl get pv -o custom-columns=NAME:.metadata.name,PATH:.spec.local.path,CLAIM:.spec.claimRef.name"},
			},
			Objects: []snapshot.Ref{daemonSet(i)}, Path: c.HostDir,
		})
	}
	if len(all) == 0 {
		if why := s.unseenNodes(); why != "" {
			return unknown("what lies in the directories of the classes %s", why)
		}
	}
	return found(all...)
}

// unseenNodes is why the directories of the classes are not known, of the first node where
// that is so.
func (s *Subject) unseenNodes() string {
	if why := s.Snapshot.Unread[snapshot.PartNodes]; why != "" {
		return "of the nodes: " + why
	}
	for _, n := range s.Snapshot.Nodes {
		if n.Wanted && !n.Aside && n.View.Value == nil {
			return "of " + n.Name + ": " + n.View.Why()
		}
	}
	return ""
}
