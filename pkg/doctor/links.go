// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// linkChecks are those of the entries in the provisioner's directories.
func linkChecks() []Check {
	seen := []Need{NeedInstall, NeedView}
	volumes := []Need{NeedInstall, NeedVolumes, NeedView}
	entry := func(s *Subject) bool { return s.Class != nil && s.Entry != nil }
	linked := func(s *Subject) bool { return s.unseenLink() || entry(s) && s.Entry.Kind == provisioner.Link }
	device := func(s *Subject) bool { return s.unseenLink() || entry(s) && s.Entry.Device != "" }
	return []Check{
		{Code: "TD0501", Title: "a link leads nowhere", Severity: Error, Stage: StageLink, About: OfChain, Needs: seen, Applies: linked, Run: linkDangles},
		{Code: "TD0502", Title: "a link leads to another disk than recorded", Severity: Error, Stage: StageLink, About: OfChain, Needs: volumes,
			Applies: func(s *Subject) bool { return device(s) && s.Volume != nil && s.Volume.Identity != nil }, Run: otherDisk},
		{Code: "TD0503", Title: "two links lead to one disk", Severity: Error, Stage: StageLink, About: OfChain, Needs: seen, Applies: device, Run: linkedTwice},
		{Code: "TD0504", Title: "a link's target does not survive a reboot", Severity: Warning, Stage: StageLink, About: OfChain, Needs: seen,
			Applies: func(s *Subject) bool { return s.unseenLink() || linked(s) && s.Entry.Device != "" }, Run: unstableTarget},
		{Code: "TD0505", Title: "an entry is not what its class needs", Severity: Warning, Stage: StageLink, About: OfChain, Needs: seen,
			Applies: func(s *Subject) bool { return s.unseenLink() || entry(s) }, Run: wrongEntry},
		{Code: "TD0506", Title: "a linked disk is in use by something else", Severity: Error, Stage: StageLink, About: OfChain, Needs: seen, Applies: device, Run: linkedInUse},
		{Code: "TD0507", Title: "an entry has no volume", Severity: Warning, Stage: StageVolume, About: OfChain, Needs: volumes,
			Applies: func(s *Subject) bool { return entry(s) && s.Volume == nil || s.Node != nil && s.Unseen != "" }, Run: noVolume},
		{Code: "TD0508", Title: "a volume has no link", Severity: Error, Stage: StageLink, About: OfChain, Needs: volumes,
			Applies: (*Subject).ofLink, Run: noLink},
	}
}

// ofLink tells a volume that lives by a link in its class's directory.
func (s *Subject) ofLink() bool {
	return s.Volume != nil && s.Class != nil && s.Volume.Mode == provisioner.Block && path.Dir(clean(s.Volume.Path)) == s.Class.HostDir
}

// unseenLink tells such a volume of a node at which nobody looked, so that the engine
// says unknown of it.
func (s *Subject) unseenLink() bool {
	return s.ofLink() && (s.Node == nil || s.Node.View.Value == nil)
}

// entryPath is the entry's path on the node, which its volume carries.
func (s *Subject) entryPath() string { return s.Class.VolumePath(s.Entry.Name) }

// bound tells whether a claim has the volume.
func (s *Subject) bound() bool { return s.Volume != nil && s.Volume.Phase == "Bound" }

// recorded is the disk that the volume was made for, as the node has it now; false
// if it is not there, or if it cannot be told.
func (s *Subject) recorded() (disk.Disk, bool) {
	if s.Node == nil || s.Volume == nil || s.Volume.Identity == nil {
		return disk.Disk{}, false
	}
	for _, d := range value(s.Node.View).Disks {
		if d.Whole() && s.Volume.Identity.Same(d.Identity()) == disk.Yes {
			return d, true
		}
	}
	return disk.Disk{}, false
}

func (s *Subject) unlink() Step {
	return Step{Text: "take the link away:", Command: s.unlinkCommand(*s.Class, s.Entry.Name)}
}

// unlinkCommand takes an entry's link away, by hand where the class is none of unlink's.
func (s *Subject) unlinkCommand(c provisioner.Class, entry string) string {
	if c.Mode != provisioner.Block {
		return s.inPod("rm " + quote(c.EntryPath(entry)))
	}
	command := fmt.Sprintf("kubectl talosdisk unlink %s --nodes %s", quote(entry), s.NodeName)
	for _, o := range s.Snapshot.Install.Classes {
		if _, ok := value(s.Node.View).Dirs[o.Name].Entry(entry); ok && o.Name != c.Name && o.Mode == provisioner.Block {
			return command + " --class " + c.Name // The other class has one of that name.
		}
	}
	return command
}

// pointAgain changes where the link of a volume leads, so that claim and volume stay.
func (s *Subject) pointAgain(d disk.Disk) (Step, bool) {
	target, _, err := d.Target(disk.TargetAuto)
	if err != nil || !s.bound() || value(s.Node.Pod).Name == "" {
		return Step{}, false
	}
	return Step{
		Text:    fmt.Sprintf("stop the pods of claim %q, and point the link at its disk again; claim and volume stay:", s.Volume.Claim),
		Command: s.inPod("ln -sfT " + quote(target) + " " + quote(s.Class.EntryPath(s.Entry.Name))),
	}, true
}

// linkAgain makes the link to a disk under the entry's name, so that the volume is found again.
func (s *Subject) linkAgain(d disk.Disk, name string) Step {
	if target, _, err := d.Target(disk.TargetAuto); err == nil && s.Class.Mode != provisioner.Block { // Only Block classes are for link.
		return Step{Text: "make it again to the same disk, under the same name, in the provisioner's pod:",
			Command: s.inPod("ln -sT " + quote(target) + " " + quote(s.Class.EntryPath(name)))}
	}
	command := fmt.Sprintf("kubectl talosdisk link %s --nodes %s --class %s", quote(d.Name), s.NodeName, s.Class.Name)
	if name != d.Name {
		command += " --name " + quote(name)
	}
	if s.bound() { // What it holds is the claim's.
		command += fmt.Sprintf(" --accept signature=%[1]s/%[2]s --accept partitions=%[1]s/%[2]s", s.NodeName, d.Name)
	}
	return Step{Text: "make it again to the same disk, under the same name:", Command: command}
}

// freed are the steps before a link that a claim has can be changed.
func (s *Subject) freed() []Step {
	if !s.bound() {
		return nil
	}
	return []Step{{
		Text:    fmt.Sprintf("a link is not taken away while claim %q has its volume: keep what is written, and delete the pods and the claim first:", s.Volume.Claim),
		Command: fmt.Sprintf(`kubectl patch pv %s -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`, s.Volume.Name),
	}}
}

func linkDangles(s *Subject) Verdict {
	if !s.Entry.Dangling() || linkToDirectory(s) {
		return fine()
	}
	f := Finding{
		Summary:  fmt.Sprintf("the link %q on %s leads nowhere", s.entryPath(), s.NodeName),
		Because:  fmt.Sprintf("%s does not exist there: the disk is gone, or has another name now", s.Entry.Target),
		Evidence: []string{fmt.Sprintf("%s -> %s: no device, as the provisioner's pod sees it", s.entryPath(), s.Entry.Target)},
		Masks:    []Code{"TD0507", "TD0710", "TD0711"},
		Path:     s.entryPath(),
	}
	f.Fix = append(f.Fix, Step{Text: "is the disk there, by serial and size?", Command: fmt.Sprintf("kubectl talosdisk disks --nodes %s -o wide", s.NodeName)})
	if d, ok := s.recorded(); ok {
		f.Because = fmt.Sprintf("%s does not exist there; the disk that volume %q was made for (%s) is %s now", s.Entry.Target, s.Volume.Name, s.Volume.Identity, d.Name)
		if step, ok := s.pointAgain(d); ok {
			f.Fix = append(f.Fix, step)
		} else {
			f.Fix = append(s.freed(), s.unlink(), s.linkAgain(d, s.Entry.Name))
		}
	} else {
		f.Fix = append(f.Fix, s.freed()...)
		step := s.unlink()
		step.Text = "if it will not come back, take the link away:"
		f.Fix = append(f.Fix, step)
	}
	if s.Volume == nil {
		f.Severity = Warning
	}
	return found(f)
}

// linkToDirectory tells a link in a Filesystem class to what is no device: that
// is another mistake than a disk that is gone.
func linkToDirectory(s *Subject) bool {
	return s.Class.Mode == provisioner.Filesystem && s.Entry.Dangling() && path.IsAbs(s.Entry.Target) && !within(s.Entry.Target, "/dev")
}

func otherDisk(s *Subject) Verdict {
	now, ok := s.entryDisk()
	if !ok {
		return unknown("device %s, to which the link leads, is not among the disks that were seen", s.Entry.Device)
	}
	then := *s.Volume.Identity
	switch then.Same(now.Identity()) {
	case disk.Yes:
		return fine()
	case disk.Unknown:
		switch {
		case then.Size != 0 && now.Size != 0 && then.Size != now.Size:
		case !then.Known() && !now.Identity().Known():
			return noQuestion("neither the disk that the volume was made for nor the one that its link leads to has a serial, a wwid or a name in by-id: nobody can tell whether they are the same")
		case !then.Known():
			return unknown("%s has a %s, and the disk that volume %q was made for had nothing of the kind: it was given since, or this is another disk", now.Name, now.Identity(), s.Volume.Name)
		default:
			return unknown("the disk has no identifier of the sort that was recorded (%s, now %s)", then, now.Identity())
		}
	}
	f := Finding{
		Summary: fmt.Sprintf("the link %q on %s leads to another disk than volume %q was made for", s.entryPath(), s.NodeName, s.Volume.Name),
		Because: "a pod would find the data of another disk, and deleting the claim would wipe it",
		Evidence: []string{
			fmt.Sprintf("made for %s, %d bytes", then, then.Size),
			fmt.Sprintf("%s leads to %s: %s, %d bytes", s.entryPath(), now.Name, now.Identity(), now.Size),
		},
		Fix:   []Step{{Text: "keep it from being wiped first:", Command: fmt.Sprintf(`kubectl patch pv %s -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`, s.Volume.Name)}},
		Masks: []Code{"TD0504", "TD0708", "TD0711", "TD0703"},
		Path:  s.entryPath(),
	}
	if d, ok := s.recorded(); ok {
		f.Evidence = append(f.Evidence, fmt.Sprintf("the disk with %s is %s now", then, d.Name))
		if step, ok := s.pointAgain(d); ok {
			f.Fix = append(f.Fix, step)
		} else {
			f.Fix = append(f.Fix, Step{Text: "stop the pods that use it, and delete the claim"}, s.unlink(), s.linkAgain(d, s.Entry.Name))
		}
	} else {
		f.Fix = append(f.Fix, Step{Text: "bring the disk back that it was made for, or take it as lost: stop the pods, delete the claim, and"}, s.unlink())
	}
	return found(f)
}

// twin is another entry that leads to the same disk.
type twin struct {
	class provisioner.Class
	entry provisioner.Entry
	same  string
}

// twins are the other entries of the node that are published and lead to the subject's disk,
// by the device or, where there are several paths to it, by its WWID.
func (s *Subject) twins() []twin {
	view := value(s.Node.View)
	mine, known := s.entryDisk()
	var found []twin
	for _, c := range s.Snapshot.Install.Classes {
		for _, e := range view.Dirs[c.Name].Entries {
			if c.VolumePath(e.Name) == s.entryPath() || e.Device == "" || !c.Publishes(e.Name) {
				continue
			}
			if e.Device == s.Entry.Device {
				found = append(found, twin{c, e, "device " + e.Device})
				continue
			}
			if d, ok := view.DiskByNumber(e.Device); ok && known && mine.WWID != "" && mine.WWID == d.WWID && mine.Whole() == d.Whole() {
				found = append(found, twin{c, e, "wwid " + d.WWID})
			}
		}
	}
	return found
}

func linkedTwice(s *Subject) Verdict {
	twins := s.twins()
	if len(twins) == 0 {
		return fine()
	}
	paths := []string{s.entryPath()}
	for _, t := range twins {
		paths = append(paths, t.class.VolumePath(t.entry.Name))
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	name := "one disk"
	if d, ok := s.entryDisk(); ok && !strings.HasPrefix(twins[0].same, "wwid") {
		name = "the one disk " + d.Name
	}
	f := Finding{
		Summary: fmt.Sprintf("%d links on %s lead to %s", len(paths), s.NodeName, name),
		Because: "each is published as a volume of its own: two claims would write over each other",
		Masks:   []Code{"TD0507"},
	}
	for _, p := range paths {
		v := s.index.paths[[2]string{s.NodeName, p}]
		line := fmt.Sprintf("%s (%s)", p, twins[0].same)
		if v != nil {
			line += fmt.Sprintf(": volume %s, %s", v.Name, v.Phase)
			f.Objects = append(f.Objects, snapshot.Ref{Kind: "pv", Name: v.Name, UID: v.UID})
		}
		f.Evidence = append(f.Evidence, line)
	}
	if len(f.Objects) == 0 {
		f.Objects = []snapshot.Ref{{Kind: "node", Name: s.NodeName}}
	}
	class, entry := s.spare(append(twins, twin{class: *s.Class, entry: *s.Entry}))
	f.Fix = []Step{{Text: "take away all but one, and none that a claim has:", Command: s.unlinkCommand(class, entry)}}
	return found(f)
}

// spare is the entry that nobody would miss: the last one without a claim.
func (s *Subject) spare(all []twin) (provisioner.Class, string) {
	at := func(t twin) string { return t.class.VolumePath(t.entry.Name) }
	slices.SortFunc(all, func(a, b twin) int { return cmp.Compare(at(a), at(b)) })
	last := all[len(all)-1]
	for _, t := range all {
		if v := s.index.paths[[2]string{s.NodeName, at(t)}]; v == nil || v.Phase != "Bound" {
			last = t
		}
	}
	return last.class, last.entry.Name
}

// unstableTarget: the kernel counts its names and by-diskseq anew at each boot.
func unstableTarget(s *Subject) Verdict {
	target := s.Entry.Target
	named := within(target, "/dev/disk") && !within(target, "/dev/disk/by-diskseq")
	if disk.StableTarget(target) || named || within(target, "/dev/mapper") || !path.IsAbs(target) {
		return fine()
	}
	f := Finding{
		Summary:  fmt.Sprintf("the link %q on %s may lead to another disk after a reboot", s.entryPath(), s.NodeName),
		Because:  fmt.Sprintf("it leads to %s, and the kernel counts such names anew at each boot", target),
		Evidence: []string{s.entryLine()},
	}
	d, ok := s.entryDisk()
	better, _, err := d.Target(disk.TargetAuto)
	switch {
	case !ok || err != nil || !disk.StableTarget(better):
		f.Because += "; the disk has no other"
		f.Fix = []Step{{Text: "give the disk a serial in the hypervisor (serial= in Proxmox and libvirt), then link it anew"}}
	case s.bound():
		f.Evidence = append(f.Evidence, "it could be "+better)
		f.Fix = []Step{{Text: fmt.Sprintf("once claim %q is gone, take the link away and make it anew; until then, note which disk it is:", s.Volume.Claim),
			Command: fmt.Sprintf("kubectl talosdisk disks %s --nodes %s -o wide", quote(d.Name), s.NodeName)}}
	default:
		f.Evidence = append(f.Evidence, "it could be "+better)
		again := s.linkAgain(d, s.Entry.Name)
		again.Text = "and make it anew:"
		f.Fix = []Step{s.unlink(), again}
	}
	return found(f)
}

func wrongEntry(s *Subject) Verdict {
	e, because := s.Entry, ""
	switch {
	case linkToDirectory(s):
		because = fmt.Sprintf("it is a link to %s: a Filesystem class takes mount points, and a link is none", e.Target)
	case e.Kind == provisioner.File || e.Kind == provisioner.Other:
		because = fmt.Sprintf("it is a %s, neither a directory nor a block device: the provisioner goes over it", kindText(e.Kind))
	case e.Kind == provisioner.Directory && s.Class.Mode == provisioner.Block:
		because = "it is a directory, and the class is for block devices: the provisioner reports it as an error every 10s; a link made with ln onto a link to a directory lands in it"
	default:
		return fine()
	}
	f := Finding{
		Summary:  fmt.Sprintf("%q on %s cannot become a volume of class %q", s.entryPath(), s.NodeName, s.Class.Name),
		Because:  because,
		Evidence: []string{s.entryLine() + ": " + kindText(e.Kind)},
		Masks:    []Code{"TD0507", "TD0711"},
		Path:     s.entryPath(),
	}
	if s.Volume != nil {
		f.Severity = Error
		f.Because += fmt.Sprintf("; volume %q was made of something else at this path", s.Volume.Name)
	}
	f.Fix = []Step{{Text: "look what it is, and take it away by hand if nobody needs it:", Command: s.inPod("ls -ld " + quote(s.Class.EntryPath(e.Name)))}}
	return found(f)
}

func kindText(k provisioner.EntryKind) string {
	switch k {
	case provisioner.Other:
		return "special file"
	case provisioner.BlockNode:
		return "device node"
	}
	return string(k)
}

// inPod is a command in the node's provisioner pod.
func (s *Subject) inPod(command string) string {
	i := s.Snapshot.Install
	return fmt.Sprintf("kubectl -n %s exec %s -c %s -- %s", i.Namespace, cmp.Or(value(s.Node.Pod).Name, "POD"), i.Container, command)
}

// linkedInUse: what the pods of the volume itself do with the disk is no other use.
func linkedInUse(s *Subject) Verdict {
	d, ok := s.entryDisk()
	if !ok {
		return unknown("device %s, to which the entry leads, is not among the disks that were seen", s.Entry.Device)
	}
	var uses []string
	use, listed := s.index.disks()[[2]string{s.NodeName, d.Name}]
	if use.System != "" {
		uses = append(uses, "the node lives on it: "+use.System)
	}
	for _, u := range use.Uses {
		claimed := u.Kind == link.UseSystem || (u.Kind == link.UseMount || u.Kind == link.UseVolume) && u.Target != ""
		if claimed && !within(u.Target, "/var/lib/kubelet") && clean(u.Target) != s.entryPath() {
			uses = append(uses, "Talos tells of "+u.String())
		}
	}
	open := s.Volume == nil || s.Volume.Phase == "Available"
	content := d.Content
	if open && len(d.Holders) > 0 {
		uses = append(uses, "it is held by "+strings.Join(d.Holders, ", "))
	} else if open && content != nil && content.Busy == disk.Yes {
		uses = append(uses, "an exclusive open was refused: "+orElse(content.BusyDetail, "it is in use"))
	}
	if len(uses) > 0 {
		f := Finding{
			Summary:  fmt.Sprintf("%s on %s is linked as %q, and in use by something else", d.Name, s.NodeName, s.entryPath()),
			Because:  "the provisioner does not look: a pod would write over the other use, and deleting the claim would wipe it",
			Evidence: uses,
			Fix:      append(s.freed(), s.unlink()),
		}
		return found(f)
	}
	free := content != nil && content.Busy == disk.No
	switch {
	case open && !free:
		return unknown("whether anything has %s open was not found out", d.Name)
	case !listed && d.Whole():
		return unknown("%s is not among the disks of the node", d.Name)
	case free: // Nobody has it for themselves: neither a pod, which could, nor a mount, swap or a device upon it, which do.
	case !open && runsTalos(s) && (value(s.Node.Talos).Disks.Value == nil || value(s.Node.Talos).Mounts.Value == nil):
		return unknown("%s", orElse(s.Snapshot.NoTalos, orElse(s.Node.Talos.Why(), "its disks or mounts were not read")))
	}
	return fine()
}

func noVolume(s *Subject) Verdict {
	switch {
	case s.Entry == nil:
		return unknown("%s", s.Unseen)
	case s.Entry.Dangling(), s.Entry.Kind == provisioner.File, s.Entry.Kind == provisioner.Other:
		return fine() // Another check tells.
	case s.Snapshot.Unread[snapshot.PartVolumes] != "":
		return unknown("%s", s.Snapshot.Unread[snapshot.PartVolumes])
	}
	i := s.Snapshot.Install
	f := Finding{
		Summary:  fmt.Sprintf("%q on %s has no volume", s.entryPath(), s.NodeName),
		Because:  "the provisioner looks every 10s and has not published it; its log tells why",
		Evidence: []string{s.entryLine()},
		Fix: []Step{{Text: "read what the provisioner says of it:",
			Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --tail=200", i.Namespace, cmp.Or(value(s.Node.Pod).Name, "POD"), i.Container)}},
		Path: s.entryPath(),
	}
	for _, line := range value(s.Snapshot.Provisioner).Log[s.NodeName] {
		if strings.Contains(line, s.Class.EntryPath(s.Entry.Name)) || strings.Contains(line, s.entryPath()) {
			f.Evidence = append(f.Evidence, oneLine(line))
		}
	}
	name := provisioner.PVName(s.Entry.Name, s.NodeName, s.Class.Name)
	if v := s.index.volumes[name]; v != nil {
		f.Because = fmt.Sprintf("volume %q, which would be its, exists for %s on %s", name, v.Path, orElse(v.Node, "no node"))
	}
	return found(f)
}

func noLink(s *Subject) Verdict {
	if s.Entry != nil {
		return fine()
	}
	switch s.Path.Provisioner.Answer {
	case disk.No:
	case disk.Yes:
		return fine()
	default:
		return unknown("%s", s.Path.Provisioner.Why)
	}
	if dir := value(s.Node.View).Dirs[s.Class.Name]; !dir.Exists || !dir.MountPoint {
		return unknown("%s", s.Path.Provisioner.Why) // The directory is missing in the pod, not the link.
	}
	f := Finding{
		Summary:  fmt.Sprintf("volume %q has no link: %q is not on %s", s.Volume.Name, clean(s.Volume.Path), s.NodeName),
		Because:  "links lie on the node's own disk: a reset or wipe of EPHEMERAL takes them away, and so does a person",
		Evidence: []string{s.Path.Provisioner.Why},
		Masks:    []Code{"TD0609", "TD0711"},
		Path:     clean(s.Volume.Path),
	}
	d, there := s.recorded()
	switch {
	case there && (s.Volume.Phase == "Bound" || s.Volume.Phase == "Available"):
		f.Evidence = append(f.Evidence, fmt.Sprintf("it was made for %s, which is %s", s.Volume.Identity, d.Name))
		f.Fix = []Step{s.linkAgain(d, path.Base(s.Volume.Path))}
	case s.bound():
		f.Fix = []Step{
			{Text: "find the disk that it was made for, by size and serial:", Command: fmt.Sprintf("kubectl talosdisk disks --nodes %s -o wide", s.NodeName)},
			{Text: "only if you are sure which one it is, make the link again by hand, in the provisioner's pod:",
				Command: s.inPod("ln -sT /dev/disk/by-id/NAME " + quote(s.Class.EntryPath(path.Base(s.Volume.Path))))},
		}
	default:
		f.Severity = Warning
		f.Fix = []Step{{Text: "nobody has a claim on it: delete it, and link the disk anew:", Command: "kubectl delete pv " + s.Volume.Name}}
	}
	return found(f)
}

// quote makes a word that a shell takes as it is.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
