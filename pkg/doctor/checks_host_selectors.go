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
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The codes of the checks of disk selectors.
const (
	codeSelectsBySystemDisk Code = "TD0308"
	codeLabelTwice          Code = "TD0309"
	codeSelectsSeveral      Code = "TD0310"
	codeLittleRoom          Code = "TD0311"
)

// selectorChecks are those of how Talos finds the disk of a volume.
func selectorChecks() []Check {
	return []Check{
		{
			Code: codeSelectsBySystemDisk, Title: "the selector of a whole disk uses system_disk",
			Severity: Error, Stage: StageHost, About: OfNode,
			Needs:   []Need{NeedSelections},
			Uses:    []Need{NeedVolumes, NeedPods},
			Applies: runsTalos,
			Run:     selectsBySystemDisk,
		},
		{
			Code: codeLabelTwice, Title: "one partition label is on two disks", Severity: Error, Stage: StageHost, About: OfNode,
			Needs:   []Need{NeedTalosDevices},
			Uses:    []Need{NeedInstall, NeedVolumes, NeedPods, NeedTalosDisks, NeedTalosVolumes},
			Applies: runsTalos,
			Run:     labelTwice,
		},
		{
			Code: codeSelectsSeveral, Title: "a selector matches several disks", Severity: Warning, Stage: StageHost, About: OfNode,
			Needs:   []Need{NeedSelections},
			Uses:    []Need{NeedVolumes, NeedPods, NeedTalosVolumes, NeedTalosDisks, NeedTalosDevices},
			Applies: runsTalos,
			Run:     selectsSeveral,
		},
		{
			Code: codeLittleRoom, Title: "old partitions leave a volume little room", Severity: Warning, Stage: StageHost, About: OfNode,
			Needs:   []Need{NeedTalosVolumes, NeedTalosDevices},
			Uses:    []Need{NeedVolumes, NeedPods},
			Applies: runsTalos,
			Run:     littleRoom,
		},
	}
}

// maskedByVolume are the codes of what a volume of Talos that has not come to be shows as.
func maskedByVolume() []Code {
	return []Code{codePathMissing, codeNotMounted, codeTalosVolumeFailed, codeNoLink, codeWrongFilesystem, codeOtherCapacity, codeMountFailed}
}

// editSelector has a selector name one disk. Talos takes a document without a reboot.
func (s *Subject) editSelector(text string) []Step {
	return []Step{
		{
			Text:    "see what tells its disk from the others, a serial number, a WWID or a name in by-id:",
			Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", allNodes, "-o", "wide"),
		},
		{Text: text, Command: shell.Command("talosctl", "-n", address(s.Node), "edit", "machineconfig", "--mode", "no-reboot")},
	}
}

// selectsBySystemDisk: for a whole disk Talos evaluates the selector as the locator of the volume, and
// gives that the disk alone (Talos v1.12 to v1.14; siderolabs/talos#13301). Neither swap nor an existing volume can make this mistake:
// swap is a partition always, made by a selector that knows system_disk, and in the environment of an existing volume's selector there is
// no such variable, so that the document does not pass the validation (pkg/machinery/config/types/block and cel/celenv, v1.13).
func selectsBySystemDisk(s *Subject) Verdict {
	var verdict Verdict
	for _, selection := range value(s.Node.Selections) {
		switch {
		case !selection.Whole():
		case selection.NamesSystemDisk:
			f := Finding{
				Summary: fmt.Sprintf("the selector of Talos volume %q on %s uses system_disk, which a whole disk cannot be selected by",
					selection.ID(), allNodes),
				Because: "with volumeType disk Talos knows no system_disk when it looks for the disk: the selector passes the validation, and fails on the very disk that it would match",
				Evidence: []string{fmt.Sprintf("%s: %s %s, volumeType %s, match: %s", s.Node.Name, selection.Kind, selection.Name, selection.Type,
					oneLine(selection.Match))},
				Path: s.mountOfID(selection.ID()), Masks: maskedByVolume(),
				Fix: s.editSelector("name that disk in the document, and leave system_disk out, as in match: 'disk.serial == \"SERIAL\"':"),
			}
			if selection.Problem != "" {
				f.Evidence = append(f.Evidence, s.Node.Name+": "+oneLine(selection.Problem))
			}
			f.Objects = s.affected(f.Path)
			verdict.Findings = append(verdict.Findings, f)
		case selection.Problem != "":
			verdict.Unknown = problem.Because("the selector of Talos volume %q: %s", selection.ID(), selection.Problem)
		}
	}
	return verdict
}

// mountOfID is where a Talos volume of that ID would be.
func (s *Subject) mountOfID(id string) string { return s.mountOf(snapshot.TalosVolume{ID: id}) }

// selectsSeveral: Talos gives a new volume the first of the disks that match and have room
// (internal/app/machined/pkg/controllers/block/internal/volumes/locate.go, v1.14). Once it is made it is
// found by its partition's label; a whole disk has none, and more than one match is refused since v1.12.5. Swap is a partition like others.
// That no disk matches Talos says itself, as the problem of a volume that failed.
func selectsSeveral(s *Subject) Verdict {
	var verdict Verdict
	reported := value(s.Node.Talos)
	volumes, disks, devices := reported.Volumes, reported.Disks, reported.Devices
	for _, selection := range value(s.Node.Selections) {
		id := selection.ID()
		switch {
		case selection.Whole() && selection.NamesSystemDisk: // That is TD0308.
			continue
		case selection.Problem != "":
			verdict.Unknown = problem.Because("the selector of Talos volume %q: %s", id, selection.Problem)
			continue
		case selection.Existing() && len(selection.Volumes) < 2: // That there is none is TD0303.
			continue
		case selection.Existing() && (disks.Value == nil || devices.Value == nil):
			why := cmp.Or(disks.Problem, cmp.Or(devices.Problem, cmp.Or(s.Snapshot.NoTalos, s.Node.Talos.Why())))
			verdict.Unknown = problem.Because("whether the %d volumes that the selector of Talos volume %q matches are on disks of their own: %s",
				len(selection.Volumes), id, why)
			continue
		case selection.Existing():
			if f, ok := s.severalVolumes(selection); ok {
				verdict.Findings = append(verdict.Findings, f)
			}
			continue
		case len(selection.Disks) < 2:
			continue
		case !selection.Whole() && volumes.Value == nil:
			verdict.Unknown = problem.Because("whether Talos volume %q has its disk, of the %d that its selector matches: %s", id,
				len(selection.Disks), cmp.Or(volumes.Problem, cmp.Or(s.Snapshot.NoTalos, s.Node.Talos.Why())))
			continue
		}
		f := Finding{
			Summary: fmt.Sprintf("the selector of Talos volume %q on %s matches %d disks", id, allNodes, len(selection.Disks)),
			Because: "Talos takes the first of them that has room: which disk the volume gets is chance",
			Evidence: []string{fmt.Sprintf("%s: %s %s matches %s, match: %s", s.Node.Name, selection.Kind, selection.Name, few(selection.Disks),
				oneLine(selection.Match))},
			Path: s.mountOfID(id),
			Fix:  s.editSelector("name one disk in the document, as in match: 'disk.serial == \"SERIAL\"':"),
		}
		at := slices.IndexFunc(value(volumes), func(v snapshot.TalosVolume) bool { return v.ID == id })
		switch {
		case selection.Whole():
			f.Severity, f.Masks = Error, maskedByVolume()
			f.Because = "a whole disk is found by its selector at each boot: Talos refuses more than one match, and before v1.12.5 takes the first, which may be another one after a reboot"
		case at >= 0 && !unready(value(volumes)[at]):
			v := value(volumes)[at]
			f.Severity = Info
			f.Because = "it keeps the disk that it has, by its partition's label; made again, on this node or on another one with the document, it gets the first that has room"
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s: it is %s now", s.Node.Name, cmp.Or(v.Location, v.Phase)))
		}
		if f.Path != "" { // Pods know nothing of swap.
			f.Objects = s.affected(f.Path)
		}
		verdict.Findings = append(verdict.Findings, f)
	}
	return verdict
}

// severalVolumes: an existing volume has no label of Talos's. Its selector finds it at each boot, and of several that match the first by
// the kernel's name is taken, without a word (internal/app/machined/pkg/controllers/block/internal/volumes/locate.go, v1.11 to v1.14, goes
// through the DiscoveredVolumes, which cosi-project/runtime lists by their IDs).
func (s *Subject) severalVolumes(selection snapshot.Selection) (Finding, bool) {
	if len(s.apart(selection.Volumes)) < 2 {
		return Finding{}, false
	}
	id := selection.ID()
	f := Finding{
		Summary: fmt.Sprintf("the selector of Talos volume %q on %s matches %d volumes", id, allNodes, len(selection.Volumes)),
		Because: "an existing volume is found by its selector at each boot: Talos takes the first by the kernel's name, which may be another one after a reboot",
		Evidence: []string{fmt.Sprintf("%s: %s %s matches %s, match: %s", s.Node.Name, selection.Kind, selection.Name, few(selection.Volumes),
			oneLine(selection.Match))},
		Path: s.mountOfID(id),
		Fix: append([]Step{{
			Text:    "see what Talos knows of each, and which is meant:",
			Command: shell.Command("talosctl", "-n", address(s.Node), "get", "discoveredvolumes", "-o", "yaml"),
		}},
			s.editSelector("name one volume in the document, as in match: 'volume.partition_index == 1u && disk.serial == \"SERIAL\"':")[1:]...),
	}
	volumes := value(s.Node.Talos).Volumes
	if at := slices.IndexFunc(value(volumes), func(v snapshot.TalosVolume) bool { return v.ID == id }); at >= 0 {
		v := value(volumes)[at]
		f.Evidence = append(f.Evidence, strings.TrimSpace(fmt.Sprintf("%s: it is %s now %s", s.Node.Name, cmp.Or(v.Location, v.Phase),
			v.Problem)))
		if unready(v) { // The first of them may be one that cannot be mounted, such as a disk with partitions.
			f.Severity, f.Masks = Error, maskedByVolume()
		}
	}
	f.Objects = s.affected(f.Path)
	return f, true
}

// apart are the devices that are volumes of their own: what is seen by several paths to one LUN counts once, and what is part of an array
// or of a multipath device not at all.
func (s *Subject) apart(names []string) []string {
	reported := value(s.Node.Talos)
	parent := make(map[string]string)
	for _, d := range *reported.Devices.Value {
		parent[d.Name] = d.Parent
	}
	disks, member := make(map[string]snapshot.TalosDisk), make(map[string]bool)
	for _, d := range *reported.Disks.Value {
		disks[d.Name] = d
		for _, name := range d.Secondaries {
			member[name] = true
		}
	}
	on := func(name string) (on, part string) {
		on = cmp.Or(parent[name], name)
		return on, strings.TrimPrefix(strings.TrimPrefix(name, on), "p")
	}
	var all []string
	for _, name := range names {
		disk, part := on(name)
		seen := func(before string) bool {
			otherDisk, otherPart := on(before)
			same, _ := disks[disk].Disk().Identity().SameLUN(disks[otherDisk].Disk().Identity())
			return same && part == otherPart
		}
		if !member[disk] && !slices.ContainsFunc(all, seen) {
			all = append(all, name)
		}
	}
	return all
}

// few lists names, of many the first.
func few(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// labelTwice: Talos takes the first partition with a volume's label, on whatever disk it is, and udev has
// one link of that name.
func labelTwice(s *Subject) Verdict {
	reported := value(s.Node.Talos)
	on := make(map[string][]snapshot.TalosDevice)
	for _, d := range *reported.Devices.Value {
		if d.PartitionLabel != "" && d.Parent != "" {
			on[d.PartitionLabel] = append(on[d.PartitionLabel], d)
		}
	}
	var verdict Verdict
	for _, label := range slices.Sorted(maps.Keys(on)) {
		devices := on[label]
		if !disksDiffer(devices, nil) {
			continue
		}
		known := slices.IndexFunc(value(reported.Volumes), func(v snapshot.TalosVolume) bool { return v.ID == label && v.Type == "partition" })
		class, published := s.publishesLabel(label)
		meant := known >= 0 || published
		switch {
		case !meant && !ofTalos(label): // Labels of other systems say little.
			if why := s.Snapshot.Unread[snapshot.PartInstall]; !why.IsZero() {
				verdict.Unknown = problem.Because("whether a class publishes the partitions with the label %q, which is on two disks: %s", label, why)
			}
			continue
		case reported.Disks.Value == nil:
			verdict.Unknown = problem.Because("whether partitions with the label %q are on disks of their own: %s", label, reported.Disks.Why())
			continue
		case !disksDiffer(devices, *reported.Disks.Value):
			continue
		}
		f := Finding{
			Summary: fmt.Sprintf("the partition label %q is on more than one disk of %s", label, allNodes),
			Because: "Talos finds a volume by this label, on whatever disk it is: which of them becomes the volume may be another one after a reboot",
			Path:    s.mountOfID(label),
			Fix: []Step{
				{
					Text:    "see which of the disks holds what is meant:",
					Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", allNodes, "-o", "wide"),
				},
				{
					Text: "take the other disk out of the node; or, only if nobody needs its data, remove the volume's document and wipe that partition with talosctl wipe disk --drop-partition, which refuses what is in use, and put the document back",
				},
			},
		}
		for _, d := range devices {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %s of disk %s has it, with %s", s.Node.Name, d.Name, d.Parent,
				cmp.Or(d.Content, "no content that Talos knows")))
		}
		if known >= 0 {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s: the volume is %s now", s.Node.Name,
				cmp.Or(value(reported.Volumes)[known].Location, value(reported.Volumes)[known].Phase)))
		}
		if published {
			f.Because += fmt.Sprintf("; of the link %s, by which class %q publishes it, the same is true", path.Join(partlabels, label), class.Name)
		}
		if !meant {
			f.Severity = Warning
		}
		f.Objects = s.affected(path.Join(partlabels, label))
		if f.Path != "" && f.Path != path.Join(partlabels, label) {
			f.Objects = s.affected(f.Path)
		}
		verdict.Findings = append(verdict.Findings, f)
	}
	return verdict
}

// ofTalos tells the labels that Talos gives the partitions of a configuration's volumes, and its own.
func ofTalos(label string) bool {
	return slices.ContainsFunc([]string{"u-", "r-", "s-"}, func(p string) bool { return strings.HasPrefix(label, p) }) ||
		slices.Contains([]string{"META", "STATE", "EPHEMERAL"}, label)
}

// publishesLabel is the class that has a label's link for an entry.
func (s *Subject) publishesLabel(label string) (provisioner.Class, bool) {
	for _, c := range s.Snapshot.Install.Classes {
		if c.HostDir == partlabels && c.Publishes(label) {
			return c, true
		}
	}
	return provisioner.Class{}, false
}

// disksDiffer reports whether partitions are on several disks. The members of an array or of a multipath
// device are parts of one, and so are two paths to one LUN.
func disksDiffer(partitions []snapshot.TalosDevice, disks []snapshot.TalosDisk) bool {
	byName := make(map[string]snapshot.TalosDisk, len(disks))
	member := make(map[string]bool)
	for _, d := range disks {
		byName[d.Name] = d
		for _, name := range d.Secondaries {
			member[name] = true
		}
	}
	first := ""
	for _, p := range partitions {
		switch {
		case member[p.Parent], p.Parent == first:
		case first == "":
			first = p.Parent
		default:
			if same, _ := byName[first].Disk().Identity().SameLUN(byName[p.Parent].Disk().Identity()); !same {
				return true
			}
		}
	}
	return false
}

// littleRoom: a disk with partitions is not refused if it has room for one more, so that what others left becomes the volume
// (internal/app/machined/pkg/controllers/block/internal/volumes/provision.go, v1.10 to v1.14; siderolabs/talos#11223). Disks that
// Talos itself lies on have other partitions by intention, and so has a disk with several volumes.
func littleRoom(s *Subject) Verdict {
	reported := value(s.Node.Talos)
	ofVolume := make(map[string]bool)
	for _, v := range *reported.Volumes.Value {
		ofVolume[v.Location] = true
	}
	others := make(map[string][]snapshot.TalosDevice)
	system := make(map[string]bool)
	for _, d := range *reported.Devices.Value {
		switch {
		case d.Parent == "":
		case slices.Contains([]string{"EFI", "META", "STATE", "EPHEMERAL"}, d.PartitionLabel):
			system[d.Parent] = true
		case !ofVolume["/dev/"+d.Name]:
			others[d.Parent] = append(others[d.Parent], d)
		}
	}
	var all []Finding
	for _, v := range *reported.Volumes.Value {
		parent := strings.TrimPrefix(v.ParentLocation, "/dev/")
		made := strings.HasPrefix(v.ID, "u-") || strings.HasPrefix(v.ID, "r-") // By a document, for pods.
		if v.Type != "partition" || !made || unready(v) || v.Size == 0 || parent == "" || system[parent] {
			continue
		}
		f := Finding{
			Summary: fmt.Sprintf("Talos volume %q on %s has only %s: other partitions have the rest of its disk", v.ID, allNodes,
				size(int64(v.Size))),
			Because: "Talos makes a volume in the free space of a disk that has partitions, and these belong to none of its volumes",
			Path:    s.mountOf(v),
			Fix: []Step{
				{
					Text:    "see what the other partitions hold:",
					Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", allNodes, "-o", "wide"),
				},
				{
					Text: "if nobody needs what they hold, nor what the volume holds: remove the volume's document, wipe the whole disk with talosctl wipe disk, which refuses what is in use, and put the document back",
				},
			},
		}
		taken := uint64(0)
		for _, d := range others[parent] {
			taken += d.Size
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %s of disk %s has %s, with %s", s.Node.Name, d.Name, d.Parent, size(int64(d.Size)),
				cmp.Or(d.Content, "no content that Talos knows")))
		}
		if taken < v.Size {
			continue
		}
		f.Objects = s.affected(f.Path)
		all = append(all, f)
	}
	return found(all...)
}
