// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

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
				{
					Text: fmt.Sprintf("the chart mounts the directories of its classes by itself; have it deploy this one:\nclasses:\n- name: %s\n  hostDir: %s\n  mountDir: %s",
						c.Name, c.HostDir, c.MountDir),
				},
				{
					Text:    "with manifests of your own, mount it into the container as a hostPath, with mountPropagation: HostToContainer:",
					Command: shell.Command("kubectl", "-n", i.Namespace, "edit", "daemonset", i.Name),
				},
			},
			Objects: []snapshot.Ref{daemonSet(i)}, Path: c.HostDir, class: c.Name, Masks: []Code{codeNotPropagated, codeLogErrors, codeNoLink},
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
		if !ok || propagates(m) || within(c.HostDir, "/dev") {
			continue
		}
		f := Finding{
			Summary:  fmt.Sprintf("%q of class %q is mounted into the provisioner's pod without HostToContainer", c.HostDir, c.Name),
			Because:  "disks that are mounted on the node after the pod started stay hidden from it: it says that the directory is no mount point",
			Evidence: []string{fmt.Sprintf("mountPropagation of %s is %s", m.MountPath, cmp.Or(string(m.Propagation), "None"))},
			Fix: []Step{{Text: "set mountPropagation: HostToContainer at that volumeMount:",
				Command: shell.Command("kubectl", "-n", i.Namespace, "edit", "daemonset", i.Name)}},
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
			{
				Text:    "with manifests of your own, mount the hostPath /dev at /dev:",
				Command: shell.Command("kubectl", "-n", i.Namespace, "edit", "daemonset", i.Name),
			},
		},
		Objects: []snapshot.Ref{daemonSet(i)},
		Masks:   []Code{codeLogErrors, codeLinkDangles, codeNoVolume, codeNoLink},
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
					{Text: "or without the chart:", Command: makeClass(c.Name)},
				},
				Objects: []snapshot.Ref{{Kind: "storageclass", Name: c.Name}}, class: c.Name,
				Masks: []Code{codeLogErrors, codeNoVolume, codeTooSmall, codeOtherMode, codeOtherAccessMode, codeOtherLabels, codeAllTaken,
					codeOtherNodes, codeClassMissing, codeMountFailed},
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
					Command: shell.Pipe(shell.Command("kubectl", "get", "storageclass", c.Name, "-o", "yaml"),
						shell.Command("sed", "s/^volumeBindingMode: .*/volumeBindingMode: WaitForFirstConsumer/"),
						shell.Command("kubectl", "replace", "--force", "-f", "-"))},
				{Text: "where Helm or a repository deploys it, set volumeBindingMode: WaitForFirstConsumer there too"},
			},
			Objects: []snapshot.Ref{{Kind: "storageclass", Name: c.Name}}, class: c.Name,
		})
	}
	return found(all...)
}

// splitting is how the entries of a directory could be distinguished by two classes.
type splitting struct {
	// both are the entries that both publish, twice those that are two volumes, as evidence.
	both, twice []string
	// names are the entries of each class: those that it alone publishes, and those of its volumes.
	names [2][]string
	// unseen is why there may be more.
	unseen string
}

// mostNames is how many names a pattern may list.
const mostNames = 40

// splitOf goes through the entries in the directory of two classes. One that both publish belongs to the
// class of its volume; without one, to the class for its kind.
func (s *Subject) splitOf(a, b provisioner.Class) splitting {
	split := splitting{unseen: s.unseenNodes().Message}
	add := func(of provisioner.Class, name string) {
		i := 0
		if of.Name == b.Name {
			i = 1
		}
		split.names[i] = append(split.names[i], name)
	}
	for _, n := range s.Snapshot.Nodes {
		for _, e := range value(n.View).Dirs[a.Name].Entries {
			inA, inB := a.Publishes(e.Name) && !skips(a, e), b.Publishes(e.Name) && !skips(b, e)
			of := a
			switch v := s.index.paths[[2]string{n.Name, a.VolumePath(e.Name)}]; {
			case v != nil && v.Class == b.Name, v == nil && inB && !inA:
				of = b
			case v != nil && v.Class == a.Name, inA && !inB:
			case e.Kind != provisioner.Directory && b.Mode == provisioner.Block, e.Kind == provisioner.Directory && b.Mode == provisioner.Filesystem:
				if a.Mode != b.Mode {
					of = b
				}
			}
			if inA && inB {
				split.both = append(split.both, fmt.Sprintf("%s: %s", n.Name, a.VolumePath(e.Name)))
			}
			if inA || inB {
				add(of, e.Name)
			}
		}
	}
	at := make(map[[2]string]snapshot.Volume)
	for _, v := range s.Snapshot.Volumes {
		if parent(v.Path) != a.HostDir || v.Class != a.Name && v.Class != b.Name {
			continue
		}
		key := [2]string{v.Node, clean(v.Path)}
		if other, ok := at[key]; ok && other.Class != v.Class {
			split.twice = append(split.twice, fmt.Sprintf("%s: %s is volume %s of class %s, and volume %s of class %s", v.Node, v.Path, other.Name,
				other.Class, v.Name, v.Class))
		}
		at[key] = v
		if v.Class == a.Name {
			add(a, path.Base(v.Path))
		} else {
			add(b, path.Base(v.Path))
		}
	}
	slices.Sort(split.both)
	slices.Sort(split.twice)
	for i := range split.names {
		slices.Sort(split.names[i])
		split.names[i] = slices.Compact(split.names[i])
	}
	return split
}

// text are the values of the chart that tell the classes apart and leave no entry out that one has.
func (p splitting) text(a, b provisioner.Class) string {
	own := "give each class a hostDir of its own, in the values of the chart, and make its links there again; a claim keeps its volume only at its path"
	patterns, ok := p.patterns(a, b)
	if !ok {
		return own
	}
	text := fmt.Sprintf("give each class a hostDir of its own, or a namePattern that leaves out what is the other's and nothing that is its own, in the values of the chart:\nclasses:\n- name: %s\n  namePattern: %q\n- name: %s\n  namePattern: %q",
		a.Name, patterns[0], b.Name, patterns[1])
	if p.unseen != "" {
		text += "\nand add the names on nodes that were not looked at: " + p.unseen
	}
	return text
}

// patterns lists the names that each class has, and lets new ones begin with the class's name. There are
// none where a name is of both classes, or is no name in a pattern.
func (p splitting) patterns(a, b provisioner.Class) (patterns [2]string, ok bool) {
	for i, c := range []provisioner.Class{a, b} {
		own, others := p.names[i], p.names[1-i]
		if len(own) > mostNames || slices.ContainsFunc(own,
			func(name string) bool { return strings.ContainsAny(name, `,*?[]\`) || slices.Contains(others, name) }) {
			return patterns, false
		}
		list := slices.Clone(own)
		later := c.Name + "-*"
		if !slices.ContainsFunc(others, func(name string) bool { return strings.HasPrefix(name, c.Name+"-") }) &&
			!strings.HasPrefix(a.Name+"-", b.Name+"-") && !strings.HasPrefix(b.Name+"-", a.Name+"-") {
			list = append(list, later)
		}
		if len(list) == 0 || strings.ContainsAny(c.Name, `,*?[]\`) {
			return patterns, false
		}
		patterns[i] = strings.Join(list, ",")
	}
	return patterns, true
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
			split := s.splitOf(a, b)
			if len(split.both) == 0 && !overlap(a, b) {
				continue
			}
			f := Finding{
				Summary:  fmt.Sprintf("classes %q and %q both publish what lies in %q", a.Name, b.Name, a.HostDir),
				Because:  "the provisioner gives a path to the class that it looks at first, in no fixed order, and refuses it to the other with an error in its log: which class a disk is of is chance, and may change whenever its volume is made again",
				Evidence: split.both,
				Fix: []Step{
					{Text: split.text(a, b)},
					restart(s.Snapshot.Install),
				},
				Objects: []snapshot.Ref{daemonSet(s.Snapshot.Install)}, Path: a.HostDir,
			}
			if a.Mode != b.Mode {
				f.Because += "; for the Filesystem class the kubelet would format what is meant to be a device"
			}
			if len(split.twice) > 0 {
				f.Because = "one disk is two volumes, and two claims would write to it"
				f.Evidence = append(split.twice, f.Evidence...)
			}
			if len(split.both) == 0 {
				f.Severity = Warning
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
			if e.Kind != provisioner.Link || slices.ContainsFunc(i.Classes,
				func(o provisioner.Class) bool { return o.HostDir == c.HostDir && o.Publishes(e.Name) }) {
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
				Path: c.VolumePath(e.Name), Masks: []Code{codeNoVolume},
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
	return []string{"/dev", "/dev/block", "/dev/mapper", "/dev/disk/by-id", "/dev/disk/by-path", "/dev/disk/by-uuid", "/dev/disk/by-partuuid",
		"/dev/disk/by-label", "/dev/disk/by-diskseq", "/dev/disk/by-loop-ref"}
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
			pattern = "r-disk-*"
		}
		all = append(all, Finding{
			Summary:  fmt.Sprintf("class %q publishes partitions of the system as volumes", c.Name),
			Because:  "a claim can get one of them, and the provisioner wipes it when the claim is deleted: the node is lost with it",
			Evidence: evidence,
			Fix: []Step{
				{
					Text: fmt.Sprintf("at once, before any claim is deleted, set a namePattern that only the volumes for this class match, in the values of the chart:\nclasses:\n- name: %s\n  namePattern: %q",
						c.Name, pattern),
				},
				restart(i),
				{
					Text:    "then look for volumes that it made already, and delete those that no claim has:",
					Command: "kubectl get pv -o custom-columns=NAME:.metadata.name,PATH:.spec.local.path,CLAIM:.spec.claimRef.name",
				},
			},
			Objects: []snapshot.Ref{daemonSet(i)}, Path: c.HostDir,
		})
	}
	if len(all) == 0 {
		if why := s.unseenNodes(); !why.IsZero() {
			return unknown("what lies in the directories of the classes %s", why)
		}
	}
	return found(all...)
}

// unseenNodes is why the directories of the classes are not known, of the first node where
// that is so.
func (s *Subject) unseenNodes() problem.Problem {
	if why := s.Snapshot.Unread[snapshot.PartNodes]; !why.IsZero() {
		return problem.Because("of the nodes: %s", why)
	}
	for _, n := range s.Snapshot.Nodes {
		if n.Wanted && !n.Skipped && n.View.Value == nil {
			return problem.Because("of %s: %s", n.Name, n.View.Why())
		}
	}
	return problem.Problem{}
}

// makeClass is the command that makes a StorageClass as the chart does.
func makeClass(name string) string {
	quoted, _ := json.Marshal(name) // A string always has a form in JSON, which is YAML.
	return shell.Feed("apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata:\n  name: "+string(quoted)+
		"\nprovisioner: "+noProvisioner+"\nvolumeBindingMode: WaitForFirstConsumer\nreclaimPolicy: Delete\n",
		"kubectl", "apply", "-f", "-")
}
