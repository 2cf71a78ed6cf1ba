// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The codes of the checks of the node.
const (
	codePathMissing       Code = "TD0301"
	codeNotMounted        Code = "TD0302"
	codeTalosVolumeFailed Code = "TD0303"
	codeSameMountpoint    Code = "TD0304"
	codeDeviceMissing     Code = "TD0305"
	codeVolumeByID        Code = "TD0306"
	codeStagedPending     Code = "TD0307"
)

// hostChecks are those of the node's own directories, mounts and Talos volumes.
func hostChecks() []Check {
	return []Check{
		{
			Code: codePathMissing, Title: "the path is missing on the node", Severity: Error, Stage: StageHost, About: OfNode,
			Needs: []Need{NeedVolumes},
			// Each of those who look reports whether a path is there; the others are who suffers.
			Uses: []Need{NeedInstall, NeedView, NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts, NeedTalosVolumes,
				NeedTalosMounts, NeedPods},
			Applies: hasVolumesHere,
			Run:     pathMissing,
		},
		{
			Code: codeNotMounted, Title: "the path is there and is no mount point", Severity: Error, Stage: StageHost, About: OfNode,
			Needs: []Need{NeedVolumes},
			Uses: []Need{NeedInstall, NeedView, NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts, NeedTalosVolumes,
				NeedTalosMounts, NeedPods},
			Applies: hasFilesystems,
			Run:     notMounted,
		},
		{
			Code: codeTalosVolumeFailed, Title: "a Talos volume failed", Severity: Error, Stage: StageHost, About: OfNode,
			Needs:   []Need{NeedTalosVolumes},
			Uses:    []Need{NeedVolumes, NeedPods, NeedKubeletConfig, NeedSelections},
			Applies: runsTalos,
			Run:     talosVolumeFailed,
		},
		{
			Code: codeSameMountpoint, Title: "two entries of machine.disks have one mountpoint",
			Severity: Error, Stage: StageHost, About: OfNode,
			Needs:   []Need{NeedKubeletConfig},
			Uses:    []Need{NeedVolumes, NeedPods},
			Applies: runsTalos,
			Run:     sameMountpoint,
		},
		{
			Code: codeDeviceMissing, Title: "a device of machine.disks is missing", Severity: Error, Stage: StageHost, About: OfNode,
			Needs:   []Need{NeedKubeletConfig, NeedTalosDisks},
			Uses:    []Need{NeedVolumes, NeedPods},
			Applies: runsTalos,
			Run:     deviceMissing,
		},
		{
			Code: codeVolumeByID, Title: "/var/mnt/u-NAME for /var/mnt/NAME", Severity: Error, Stage: StageHost, About: OfNode,
			Uses:    []Need{NeedInstall, NeedVolumes, NeedKubeletConfig, NeedTalosVolumes},
			Applies: namesVolumeByID,
			Run:     volumeByID,
		},
		{
			Code: codeStagedPending, Title: "a staged configuration is pending", Severity: Warning, Stage: StageHost, About: OfNode,
			Needs:   []Need{NeedKubeletConfig},
			Applies: runsTalos,
			Run:     stagedPending,
		},
	}
}

// volumesHere are the local volumes of the node, by path.
func (s *Subject) volumesHere() []snapshot.Volume {
	var here []snapshot.Volume
	for _, v := range s.index.byNode[s.NodeName] {
		if v.Path != "" && !v.Deleting && !s.foreign(*v) {
			here = append(here, *v)
		}
	}
	slices.SortFunc(here, func(a, b snapshot.Volume) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Name, b.Name))
	})
	return here
}

func hasVolumesHere(s *Subject) bool { return len(s.volumesHere()) > 0 }

// hasFilesystems tells a node with volumes, or directories that are to be volumes, that
// must be mount points.
func hasFilesystems(s *Subject) bool {
	return len(s.directories()) > 0 || slices.ContainsFunc(s.volumesHere(),
		func(v snapshot.Volume) bool { return v.Mode == provisioner.Filesystem })
}

// directories are what lies in the directories of Filesystem classes and is no volume,
// as the volumes that they would be.
func (s *Subject) directories() []snapshot.Volume {
	var all []snapshot.Volume
	for _, c := range s.Snapshot.Install.Classes {
		if c.Mode != provisioner.Filesystem {
			continue
		}
		for _, e := range value(s.Node.View).Dirs[c.Name].Entries {
			p := c.VolumePath(e.Name)
			anothers := slices.ContainsFunc(s.Snapshot.Install.HostDirs(), func(dir string) bool { return within(dir, p) })
			if e.Kind == provisioner.Directory && c.Publishes(e.Name) && !anothers && s.index.paths[[2]string{s.NodeName, p}] == nil {
				all = append(all, snapshot.Volume{Class: c.Name, Mode: c.Mode, Path: p, Node: s.NodeName})
			}
		}
	}
	return all
}

// pathMissing leaves out links that are gone from a directory that is there, which are
// TD0508, and volumes whose Talos volume failed, which is TD0303.
func pathMissing(s *Subject) Verdict {
	var verdict Verdict
	for _, v := range s.volumesHere() {
		t := CompareViews(s.Node, s.Snapshot.Install, v)
		switch {
		case t.Host.Answer == disk.Yes || t.Verdict == PathDangling:
		case t.Host.Answer != disk.No:
			verdict.Unknown = problem.Because("%s: %s", v.Path, t.Host.reason())
		case v.Mode == provisioner.Block && !within(v.Path, "/dev") && t.Host.Missing != MissingDirectory:
		case s.failedAt(v.Path):
		default:
			f := Finding{
				Summary:  fmt.Sprintf("%q of a volume is not on %s", clean(v.Path), allNodes),
				Because:  "the volume goes on saying where its data was; the directory went with the disk, its mount, or the EPHEMERAL partition that it lay on",
				Evidence: []string{fmt.Sprintf("%s: %s (volume %s)", s.Node.Name, t.Host.Why, v.Name)},
				Objects:  s.affected(v.Path), Path: clean(v.Path), Masks: []Code{codeNoLink, codeMountFailed},
				Fix: []Step{
					{
						Text:    "see which disks are there, and what they hold:",
						Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", allNodes, "-o", "wide"),
					},
					{
						Text: "mount the disk there again, under the same path; if its data is not needed any more, delete the claim and then the volume with kubectl delete",
					},
				},
			}
			if dir := parent(v.Path); t.Host.Missing == MissingDirectory && !within(dir, "/dev") {
				f.Summary, f.Path = fmt.Sprintf("the directory %q of volumes is not on %s", dir, allNodes), dir
			}
			if within(v.Path, "/dev") {
				f.Because = "the device, or the raw volume that had this name, is gone"
			}
			if last := len(verdict.Findings) - 1; last >= 0 && verdict.Findings[last].Summary == f.Summary { // Of one directory.
				verdict.Findings[last].Evidence = append(verdict.Findings[last].Evidence, f.Evidence...)
				verdict.Findings[last].Objects = s.affected(f.Path)
				continue
			}
			verdict.Findings = append(verdict.Findings, f)
		}
	}
	return verdict
}

// notMounted: without the disk mounted, what pods write goes to the disk beneath. A
// directory that somebody made a volume of by hand may be meant to be one.
func notMounted(s *Subject) Verdict {
	var verdict Verdict
	for _, v := range s.volumesHere() {
		if v.Mode != provisioner.Filesystem || within(v.Path, "/dev") {
			continue
		}
		t := CompareViews(s.Node, s.Snapshot.Install, v)
		if e, ok := s.entryAt(v); ok && e.Kind != provisioner.Directory {
			continue // A device, which the kubelet mounts itself.
		}
		meant := v.ProvisionedBy != "" || s.meantMount(v.Path) != ""
		switch {
		case t.Mounted == disk.Yes || t.Host.Answer == disk.No || s.failedAt(v.Path):
		case t.Host.Answer != disk.Yes:
			verdict.Unknown = problem.Because("%s: %s", v.Path, t.Host.reason())
		case t.Mounted != disk.No || s.isDirectoryVolume(v.Path):
			if t.Mounted != disk.No {
				verdict.Unknown = problem.Because("whether %s is a mount point was not seen: no mounts of the node were read", v.Path)
			}
		case meant && path.Dir(clean(v.Path)) == varMnt && value(s.Node.Talos).Volumes.Value == nil:
			verdict.Unknown = problem.Because("whether %s is a user volume that is a directory: %s", v.Path,
				cmp.Or(value(s.Node.Talos).Volumes.Problem, cmp.Or(s.Snapshot.NoTalos, s.Node.Talos.Why())))
		case meant && s.meantMount(v.Path) == "" && !s.unseenEntries().IsZero():
			verdict.Unknown = problem.Because("whether %s is a directory or a device: %s", v.Path, s.unseenEntries())
		case !meant && !value(s.Node.Kubelet).ConfigProblem.IsZero():
			verdict.Unknown = problem.Because("whether a disk is meant to be mounted at %s: %s", v.Path, value(s.Node.Kubelet).ConfigProblem)
		case meant:
			verdict.Findings = append(verdict.Findings, Finding{
				Summary: fmt.Sprintf("nothing is mounted at %q of a volume on %s", clean(v.Path), allNodes),
				Because: "the directory is there without its disk: a pod would write to the system disk, and find none of its data",
				Evidence: nonEmpty(fmt.Sprintf("%s: %s, and it is not among %s (volume %s)", s.Node.Name, t.Host.Why, t.mountsOf, v.Name),
					s.meantMount(v.Path)),
				Objects: s.affected(v.Path), Path: clean(v.Path),
				Masks: []Code{codeLogErrors, codeReleasedStays, codeWrongFilesystem, codeOtherCapacity},
				Fix: []Step{
					{
						Text:    "stop its pods before they write there; see what became of the disk:",
						Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", allNodes, "-o", "wide"),
					},
					{Text: "and of its volume in Talos:", Command: shell.Command("talosctl", "-n", address(s.Node), "get", "volumestatus")},
				},
			})
		}
	}
	if why := s.unseenEntries(); !why.IsZero() && verdict.Unknown.IsZero() {
		verdict.Unknown = problem.Because("what lies in the directories of the classes: %s", why)
	}
	for _, v := range s.directories() {
		t := CompareViews(s.Node, s.Snapshot.Install, v)
		switch {
		case t.Mounted == disk.Unknown && verdict.Unknown.IsZero():
			verdict.Unknown = problem.Because("whether %s is a mount point was not seen: no mounts of the node were read", v.Path)
		case t.Mounted != disk.No || s.isDirectoryVolume(v.Path) || s.failedAt(v.Path):
		default:
			verdict.Findings = append(verdict.Findings, Finding{
				Severity: Warning,
				Summary:  fmt.Sprintf("%q on %s is no mount point, and becomes no volume", v.Path, allNodes),
				Because:  fmt.Sprintf("in the directory of class %q the provisioner publishes only what a disk is mounted at", v.Class),
				Evidence: nonEmpty(fmt.Sprintf("%s: %s is not among %s", s.Node.Name, v.Path, t.mountsOf), s.meantMount(v.Path)),
				Path:     v.Path, Masks: []Code{codeLogErrors, codeNoVolume},
				Fix: []Step{{
					Text:    "see what became of its disk, or remove the directory if it is not meant to be one:",
					Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", allNodes, "-o", "wide"),
				}},
			})
		}
	}
	return verdict
}

// unseenEntries is why it is not known what lies in the directories of the classes, where
// something may.
func (s *Subject) unseenEntries() problem.Problem {
	switch {
	case !s.Snapshot.Unread[snapshot.PartInstall].IsZero():
		return s.Snapshot.Unread[snapshot.PartInstall]
	case s.Node.Wanted:
		return s.Node.View.Why()
	}
	return problem.Problem{}
}

// entryAt is the entry of a volume, as the provisioner's pod sees it.
func (s *Subject) entryAt(v snapshot.Volume) (provisioner.Entry, bool) {
	c, ok := s.Snapshot.Install.ClassOf(v.Class)
	return entryOf(s.Node, c, ok && parent(v.Path) == c.HostDir, clean(v.Path))
}

// meantMount is what says that a disk is to be mounted at a path; empty if nothing does.
func (s *Subject) meantMount(p string) string {
	state := value(s.Node.Kubelet)
	for _, d := range state.Settings.MachineDisks {
		if clean(d.Mountpoint) == clean(p) {
			return fmt.Sprintf("machine.disks mounts %s there", d.Device)
		}
	}
	if path.Dir(clean(p)) == varMnt {
		return "user volumes of Talos are mounted in " + varMnt
	}
	return ""
}

// isDirectoryVolume tells a user volume that is a directory: Talos tells no device
// of it, so it is not among the mounts of block devices.
func (s *Subject) isDirectoryVolume(p string) bool {
	talos := value(s.Node.Talos)
	return slices.ContainsFunc(value(talos.Volumes), func(v snapshot.TalosVolume) bool {
		return v.Type == "directory" && v.Phase == "ready" && s.mountOf(v) == clean(p)
	})
}

// failedAt reports whether a Talos volume that failed would be mounted at a path.
func (s *Subject) failedAt(p string) bool {
	talos := value(s.Node.Talos)
	return slices.ContainsFunc(value(talos.Volumes), func(v snapshot.TalosVolume) bool {
		return unready(v) && s.mountOf(v) == clean(p)
	})
}

// unready tells a volume that has not come to be.
func unready(v snapshot.TalosVolume) bool {
	return slices.Contains([]string{"failed", "waiting", "missing"}, v.Phase)
}

// varMnt is where Talos mounts user, existing and external volumes (Talos v1.10).
const varMnt = "/var/mnt"

// mountOf is where a Talos volume is mounted, or what pods know it by; empty if that is not known.
func (s *Subject) mountOf(v snapshot.TalosVolume) string {
	for _, prefix := range []string{"u-", "e-", "x-"} {
		if name, ok := strings.CutPrefix(v.ID, prefix); ok {
			return path.Join(varMnt, name)
		}
	}
	if strings.HasPrefix(v.ID, "r-") {
		return "/dev/disk/by-partlabel/" + v.ID
	}
	state := value(s.Node.Kubelet)
	count := make(map[string]int)
	for _, d := range state.Settings.MachineDisks {
		count[d.Device]++ // The volumes of machine.disks are DEVICE-1, DEVICE-2, ….
		if fmt.Sprintf("%s-%d", d.Device, count[d.Device]) == v.ID {
			return clean(d.Mountpoint)
		}
	}
	return ""
}

// forPods tells Talos's volumes that hold pods' data from those of the system.
func forPods(v snapshot.TalosVolume) bool {
	return slices.ContainsFunc([]string{"u-", "r-", "e-", "x-", "/dev/"}, func(p string) bool { return strings.HasPrefix(v.ID, p) })
}

func talosVolumeFailed(s *Subject) Verdict {
	var all []Finding
	for _, v := range value(value(s.Node.Talos).Volumes) {
		if !unready(v) || v.Phase != "failed" && !forPods(v) {
			continue
		}
		f := Finding{
			Summary:  fmt.Sprintf("Talos volume %q on %s is %s", v.ID, allNodes, v.Phase),
			Because:  cmp.Or(v.Problem, "Talos does not say why; a minSize that no disk has room for looks like this"),
			Evidence: []string{fmt.Sprintf("%s: VolumeStatus %s: phase %s %s", s.Node.Name, v.ID, v.Phase, v.Problem)},
			Path:     s.mountOf(v), Masks: []Code{codeNoLink, codeMountFailed, codeWrongFilesystem, codeOtherCapacity},
			Fix: []Step{
				{
					Text:    "compare what its document asks for with the disks that there are:",
					Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", allNodes, "-o", "wide"),
				},
				{
					Text:    "fix the document; that needs no reboot:",
					Command: shell.Command("talosctl", "-n", address(s.Node), "edit", "machineconfig", "--mode", "no-reboot"),
				},
			},
		}
		f.Evidence[0] = strings.TrimSpace(f.Evidence[0])
		if f.Path != "" {
			f.Objects = s.affected(f.Path)
		} else {
			f.Masks = nil // Which volumes of pods it would have held is not known.
		}
		switch {
		case strings.Contains(v.Problem, "filesystem type mismatch"), strings.Contains(v.Problem, "partition size must be greater"):
			f.Fix = append(f.Fix, Step{
				Text: "something else lies on the disk: only if its data is not needed, remove the document, wipe the disk with talosctl wipe disk, which refuses as long as a volume of the configuration or another device has it, and put the document back",
			})
		}
		if v.Phase != "failed" || !forPods(v) {
			f.Severity = Warning
		}
		s.nothingExists(v, &f)
		all = append(all, f)
	}
	return found(all...)
}

// nothingExists says why an existing volume is missing, which Talos does not: it makes none, and sizes play no part
// (internal/app/machined/pkg/controllers/block/internal/volumes/locate.go, v1.11 to v1.14).
func (s *Subject) nothingExists(v snapshot.TalosVolume, f *Finding) {
	if !strings.HasPrefix(v.ID, "e-") || v.Problem != "" {
		return
	}
	f.Because = "Talos makes no existing volume: it waits for one that the selector of its document matches"
	if v.Phase == "missing" { // All devices are known.
		f.Severity = Error
	}
	f.Fix[0] = Step{
		Text:    "compare what its document asks for with the volumes that there are:",
		Command: shell.Command("talosctl", "-n", address(s.Node), "get", "discoveredvolumes"),
	}
	at := slices.IndexFunc(value(s.Node.Selections), func(selection snapshot.Selection) bool { return selection.ID() == v.ID })
	if at < 0 {
		return
	}
	switch selection := value(s.Node.Selections)[at]; {
	case selection.Problem != "":
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: the selector of %s %s: %s", s.Node.Name, selection.Kind, selection.Name,
			oneLine(selection.Problem)))
	case len(selection.Volumes) == 0:
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %s %s matches no volume, match: %s", s.Node.Name, selection.Kind, selection.Name,
			oneLine(selection.Match)))
	}
}

func sameMountpoint(s *Subject) Verdict {
	devices := make(map[string][]string)
	for _, d := range s.Node.Kubelet.Value.Settings.MachineDisks {
		devices[clean(d.Mountpoint)] = append(devices[clean(d.Mountpoint)], d.Device)
	}
	var all []Finding
	for _, point := range slices.Sorted(maps.Keys(devices)) {
		if len(devices[point]) < 2 {
			continue
		}
		all = append(all, Finding{
			Summary:  fmt.Sprintf("machine.disks mounts %d partitions at %q on %s", len(devices[point]), point, allNodes),
			Because:  "Talos does not check it: which one pods write to depends on the order in which they are mounted",
			Evidence: []string{fmt.Sprintf("%s: %s", s.Node.Name, strings.Join(devices[point], ", "))},
			Objects:  s.affected(point), Path: point,
			Fix: []Step{{
				Text:    "give each a mountpoint of its own; before Talos v1.14 that takes a reboot:",
				Command: shell.Command("talosctl", "-n", address(s.Node), "edit", "machineconfig", "--mode", "staged"),
			}},
		})
	}
	return found(all...)
}

// deviceMissing compares machine.disks with the disks that there are. Talos v1.8 and
// later waits for it at boot, and starts no kubelet.
func deviceMissing(s *Subject) Verdict {
	var verdict Verdict
	talos := value(s.Node.Talos)
	seen := make(map[string]bool)
	names := false // udev's names are known at all: since Talos v1.10.
	for _, d := range value(talos.Disks) {
		names = names || len(d.Symlinks) > 0
	}
	for _, m := range s.Node.Kubelet.Value.Settings.MachineDisks {
		if seen[m.Device] {
			continue
		}
		seen[m.Device] = true
		there := slices.ContainsFunc(value(talos.Disks), func(d snapshot.TalosDisk) bool {
			return d.Path() == m.Device || slices.Contains(d.Symlinks, m.Device)
		})
		switch {
		case there:
		case strings.HasPrefix(m.Device, "/dev/disk/") && !names:
			verdict.Unknown = problem.Because("whether %s is there: udev's names of the disks were not read", m.Device)
		default:
			verdict.Findings = append(verdict.Findings, Finding{
				Summary:  fmt.Sprintf("%q of machine.disks is no disk of %s", m.Device, allNodes),
				Because:  "the disk is gone, or the kernel calls it by another name since the last boot: /dev/vdX and /dev/sdX are given in the order in which disks are found; at the next boot Talos waits for it, and starts no kubelet",
				Evidence: []string{fmt.Sprintf("%s: disks %s", s.Node.Name, diskNames(value(talos.Disks)))},
				Objects:  s.affected(m.Mountpoint), Path: clean(m.Mountpoint),
				Fix: []Step{
					{
						Text:    "see which disks there are, and their names that last:",
						Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", allNodes, "-o", "wide"),
					},
					{
						Text:    "name the disk below /dev/disk/by-id in machine.disks, before the node boots again:",
						Command: shell.Command("talosctl", "-n", address(s.Node), "edit", "machineconfig", "--mode", "staged"),
					},
				},
			})
		}
	}
	return verdict
}

func diskNames(disks []snapshot.TalosDisk) string {
	var names []string
	for _, d := range disks {
		if !d.Virtual() {
			names = append(names, d.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// byID are the directories of classes and volumes that are called by a user volume's ID.
func (s *Subject) byID() map[string]string {
	found := make(map[string]string)
	add := func(p, whose string) {
		rest, ok := strings.CutPrefix(clean(p), varMnt+"/u-")
		if name, _, _ := strings.Cut(rest, "/"); ok && name != "" && found[name] == "" {
			found[name] = whose
		}
	}
	for _, c := range s.Snapshot.Install.Classes {
		add(c.HostDir, fmt.Sprintf("hostDir %q of class %q", c.HostDir, c.Name))
	}
	for _, v := range s.volumesHere() {
		add(v.Path, fmt.Sprintf("path %q of volume %q", v.Path, v.Name))
	}
	return found
}

func namesVolumeByID(s *Subject) bool { return runsTalos(s) && len(s.byID()) > 0 }

// volumeByID: a page of Talos's documentation says /var/mnt/u-NAME, and Talos mounts
// /var/mnt/NAME (Talos v1.10, block/internal/volumes/volumeconfig/user_volumes.go).
func volumeByID(s *Subject) Verdict {
	volumes := value(s.Node.Talos).Volumes
	state := s.Node.Kubelet.Value
	configured := state != nil && state.ConfigProblem.IsZero()
	if volumes.Value == nil && !configured {
		return unknown("which user volumes there are: %s", cmp.Or(s.Snapshot.NoTalos, cmp.Or(volumes.Problem, s.Node.Talos.Why())))
	}
	has := func(name string) bool {
		if configured {
			for _, v := range state.Settings.UserVolumes {
				if v.Name == name {
					return true
				}
			}
		}
		return slices.ContainsFunc(value(volumes), func(v snapshot.TalosVolume) bool { return v.ID == "u-"+name })
	}
	wrong := s.byID()
	var all []Finding
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		if !has(name) || has("u-"+name) {
			continue
		}
		all = append(all, Finding{
			Summary:  fmt.Sprintf("user volume %q is mounted at %q, not at %q", name, path.Join(varMnt, name), path.Join(varMnt, "u-"+name)),
			Because:  "u- begins the volume's ID and the label of its partition, and is no part of its directory",
			Evidence: []string{wrong[name]},
			Path:     path.Join(varMnt, "u-"+name),
			Fix: []Step{
				{
					Text:    fmt.Sprintf("set the right directory in the values of the chart, for hostDir and mountDir: %s", path.Join(varMnt, name)),
					Command: configMap(s.Snapshot.Install),
				},
				restart(s.Snapshot.Install),
			},
		})
	}
	return found(all...)
}

func stagedPending(s *Subject) Verdict {
	if !s.Node.Kubelet.Value.StagedDiffers {
		return fine()
	}
	return found(Finding{
		Summary:  fmt.Sprintf("another machine configuration waits on the disk of %s", allNodes),
		Because:  "it is staged for the next boot, or the one in force is being tried; a change that is made now throws it away",
		Evidence: []string{s.Node.Name + ": the MachineConfig resources v1alpha1 and persistent differ"},
		Fix: []Step{
			{
				Text:    "see what it changes; it holds the keys of the node:",
				Command: shell.Command("talosctl", "-n", address(s.Node), "get", "machineconfig", "persistent", "-o", "yaml"),
			},
			{
				Text:    "a tried one rolls back by itself in some minutes; for a staged one reboot the node:",
				Command: shell.Command("talosctl", "-n", address(s.Node), "reboot"),
			},
		},
	})
}
