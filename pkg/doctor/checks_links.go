// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The codes of the checks of links.
const (
	codeLinkDangles    Code = "TD0501"
	codeOtherDisk      Code = "TD0502"
	codeLinkedTwice    Code = "TD0503"
	codeUnstableTarget Code = "TD0504"
	codeWrongEntry     Code = "TD0505"
	codeLinkedInUse    Code = "TD0506"
	codeNoVolume       Code = "TD0507"
	codeNoLink         Code = "TD0508"
)

// linkChecks are those of the entries in the provisioner's directories.
func linkChecks() []Check {
	entry := func(s *Subject) bool { return s.Class != nil && s.Entry != nil }
	linked := func(s *Subject) bool { return s.unseenLink() || entry(s) && s.Entry.Kind == provisioner.Link }
	device := func(s *Subject) bool { return s.unseenLink() || entry(s) && s.Entry.Device != "" }
	return []Check{
		{
			Code: codeLinkDangles, Title: "a link leads nowhere", Severity: Error, Stage: StageLink, About: OfChain,
			Needs: []Need{NeedInstall, NeedView},
			// Of a pod or a claim it is the volume that leads to the entry. Talos tells which names several disks have.
			Uses:    []Need{NeedVolumes, NeedPod, NeedTalosDisks},
			Applies: linked,
			Run:     linkDangles,
		},
		{
			Code: codeOtherDisk, Title: "a link leads to another disk than recorded", Severity: Error, Stage: StageLink, About: OfChain,
			Needs:   []Need{NeedInstall, NeedVolumes, NeedView},
			Uses:    []Need{NeedPod, NeedTalosDisks},
			Applies: func(s *Subject) bool { return device(s) && s.Volume != nil },
			Run:     otherDisk,
		},
		{
			Code: codeLinkedTwice, Title: "two links lead to one disk", Severity: Error, Stage: StageLink, About: OfChain,
			Needs:   []Need{NeedInstall, NeedView},
			Uses:    []Need{NeedVolumes, NeedPod},
			Applies: device,
			Run:     linkedTwice,
		},
		{
			Code: codeUnstableTarget, Title: "a link's target does not survive a reboot",
			Severity: Warning, Stage: StageLink, About: OfChain,
			Needs:   []Need{NeedInstall, NeedView},
			Uses:    []Need{NeedVolumes, NeedTalosDisks},
			Applies: func(s *Subject) bool { return s.unseenLink() || linked(s) && s.Entry.Device != "" },
			Run:     unstableTarget,
		},
		{
			Code: codeWrongEntry, Title: "an entry is not what its class needs", Severity: Warning, Stage: StageLink, About: OfChain,
			Needs:   []Need{NeedInstall, NeedView},
			Uses:    []Need{NeedVolumes, NeedPod, NeedClaims},
			Applies: func(s *Subject) bool { return s.unseenLink() || entry(s) },
			Run:     wrongEntry,
		},
		{
			Code: codeLinkedInUse, Title: "a linked disk is in use by something else", Severity: Error, Stage: StageLink, About: OfChain,
			Needs:   []Need{NeedInstall, NeedView},
			Uses:    []Need{NeedVolumes, NeedPod, NeedTalosDisks, NeedTalosMounts},
			Applies: device,
			Run:     linkedInUse,
		},
		{
			Code: codeNoVolume, Title: "an entry has no volume", Severity: Warning, Stage: StageVolume, About: OfChain,
			Needs:   []Need{NeedInstall, NeedVolumes, NeedView},
			Uses:    []Need{NeedPod, NeedProvisioner},
			Applies: func(s *Subject) bool { return entry(s) && s.Volume == nil || s.Node != nil && !s.Unseen.IsZero() },
			Run:     noVolume,
		},
		{
			Code: codeNoLink, Title: "a volume has no link", Severity: Error, Stage: StageLink, About: OfChain,
			Needs:   []Need{NeedInstall, NeedVolumes, NeedView},
			Uses:    []Need{NeedPod, NeedTalosDisks},
			Applies: (*Subject).ofLink,
			Run:     noLink,
		},
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

// recorded is the disk that the volume was made for, as the node has it now; false
// if it is not there, or if it is not known.
func (s *Subject) recorded() (disk.Disk, bool) {
	if s.Node == nil || s.Volume == nil || s.Volume.Identity == nil {
		return disk.Disk{}, false
	}
	return s.set().Find(*s.Volume.Identity)
}

func linkDangles(s *Subject) Verdict {
	if !s.Entry.Dangling() || linkToDirectory(s) {
		return fine()
	}
	f := Finding{
		Summary:  fmt.Sprintf("the link %q on %s leads nowhere", s.entryPath(), s.NodeName),
		Because:  fmt.Sprintf("%s does not exist there: the disk is gone, or has another name now", s.Entry.Target),
		Evidence: []string{fmt.Sprintf("%s -> %s: no device, as the provisioner's pod sees it", s.entryPath(), s.Entry.Target)},
		Masks:    []Code{codeNoVolume, codeDiskErrors, codeMountFailed},
		Path:     s.entryPath(),
	}
	f.Fix = append(f.Fix, Step{
		Text:    "is the disk there, by serial and size?",
		Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", s.NodeName, "-o", "wide"),
	})
	if d, ok := s.recorded(); ok {
		f.Because = fmt.Sprintf("%s does not exist there; the disk that volume %q was made for (%s) is %s now", s.Entry.Target, s.Volume.Name,
			s.Volume.Identity, d.Name)
		if step, ok := s.pointAgain(d); ok {
			f.Fix = append(f.Fix, step)
		} else {
			f.Fix = append(f.Fix, slices.Concat(s.freed(), s.unlinkSteps("remove the link:", *s.Class, s.Entry.Name),
				[]Step{s.linkAgain(d, s.Entry.Name)})...)
		}
	} else {
		f.Fix = append(f.Fix, append(s.freed(), s.unlinkSteps("if it will not come back, remove the link:", *s.Class, s.Entry.Name)...)...)
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

// notRecorded is what is said of a volume of which nothing tells the disk that it was made for. That is no answer that anybody could
// still give: it is said in the chain, and asks for no second look.
func notRecorded(s *Subject) Verdict {
	if !s.recordable() {
		return noQuestion("which disk volume %q was made for is not recorded", s.Volume.Name)
	}
	if why := s.Snapshot.Unread[snapshot.PartRecords]; !why.IsZero() {
		return unknown("which disk volume %q was made for could not be read: %s", s.Volume.Name, why)
	}
	return noQuestion("which disk volume %q was made for was never recorded: it cannot be known whether its link still leads there (kubectl talosdisk link records it while no claim has the volume)",
		s.Volume.Name)
}

func otherDisk(s *Subject) Verdict {
	if s.Volume.Identity == nil {
		return notRecorded(s)
	}
	now, ok := s.entryDisk()
	if !ok {
		return unknown("device %s, to which the link leads, is not among the disks that were seen", s.Entry.Device)
	}
	then := *s.Volume.Identity
	switch s.set().Same(then, now) {
	case disk.Yes:
		return fine()
	case disk.Unknown:
		switch {
		case then.Size != 0 && now.Size != 0 && then.Size != now.Size:
		case !then.Known() && !now.Identity().Known():
			return noQuestion("neither the disk that the volume was made for nor the one that its link leads to has a serial, a wwid or a name in by-id: it cannot be known whether they are the same")
		case !then.Known():
			return unknown("%s has a %s, and the disk that volume %q was made for had nothing of the kind: it was given since, or this is another disk",
				now.Name, now.Identity(), s.Volume.Name)
		case then.Same(now.Identity()) == disk.Yes:
			return unknown("%s has what was recorded (%s), and so has another disk of %s: which of them volume %q was made for is not known",
				now.Name, then, s.NodeName, s.Volume.Name)
		default:
			return unknown("the disk has no identifier of the sort that was recorded (%s, now %s)", then, now.Identity())
		}
	}
	if then.SizeOnly(now.Identity()) {
		return otherSize(s, now)
	}
	f := Finding{
		Summary: fmt.Sprintf("the link %q on %s leads to another disk than volume %q was made for", s.entryPath(), s.NodeName, s.Volume.Name),
		Because: "a pod would find the data of another disk, and deleting the claim would wipe it",
		Evidence: []string{
			fmt.Sprintf("made for %s, %d bytes", then, then.Size),
			fmt.Sprintf("%s leads to %s: %s, %d bytes", s.entryPath(), now.Name, now.Identity(), now.Size),
		},
		Fix:   []Step{s.retain("keep it from being wiped first:")},
		Masks: []Code{codeUnstableTarget, codeOtherCapacity, codeMountFailed, codeWrongFilesystem},
		Path:  s.entryPath(),
	}
	if d, ok := s.recorded(); ok {
		f.Evidence = append(f.Evidence, fmt.Sprintf("the disk with %s is %s now", then, d.Name))
		if step, ok := s.pointAgain(d); ok {
			f.Fix = append(f.Fix, step)
		} else {
			f.Fix = append(f.Fix, s.unlinkSteps("nobody has a claim on it, so remove the link:", *s.Class, s.Entry.Name)...)
			f.Fix = append(f.Fix, s.linkAgain(d, s.Entry.Name))
		}
	} else {
		f.Fix = append(f.Fix, Step{Text: "bring the disk back that it was made for, or take it as lost: stop the pods, and delete the claim"})
		f.Fix = append(f.Fix, s.unlinkSteps("then remove the link:", *s.Class, s.Entry.Name)...)
	}
	return found(f)
}

// otherSize is a link to a disk that has the recorded identifiers and another size.
func otherSize(s *Subject, now disk.Disk) Verdict {
	then := *s.Volume.Identity
	return found(Finding{
		Summary: fmt.Sprintf("the link %q on %s leads to a disk of another size than volume %q was made for", s.entryPath(), s.NodeName,
			s.Volume.Name),
		Because: fmt.Sprintf("it has the recorded %s, and not the recorded size: it was grown, or another disk was given the name of the old one",
			then),
		Evidence: []string{
			fmt.Sprintf("made for %s, %d bytes", then, then.Size),
			fmt.Sprintf("%s leads to %s: %s, %d bytes", s.entryPath(), now.Name, now.Identity(), now.Size),
		},
		Fix: []Step{
			s.retain("until you know which, keep it from being wiped:"),
			{
				Text:    "if you grew the disk, record its new size:",
				Command: shell.Command("kubectl", "annotate", "pv", s.Volume.Name, "--overwrite", "talosdisk.dev/size="+fmt.Sprintf("%d", now.Size)),
			},
		},
		Masks: []Code{codeUnstableTarget, codeOtherCapacity, codeMountFailed, codeWrongFilesystem},
		Path:  s.entryPath(),
	})
}

// twin is another entry that leads to the same disk.
type twin struct {
	// of is the snapshot as the installation has it whose class it is in.
	of    *snapshot.Snapshot
	class provisioner.Class
	entry provisioner.Entry
	// same is by what it is known, and sameDevice: by the device number.
	same       string
	sameDevice bool
}

// path is the entry's on the node.
func (t twin) path() string { return t.class.VolumePath(t.entry.Name) }

// twins are the other entries of the node that are published and lead to the subject's disk,
// by the device or, where there are several paths to it, by its WWID. unseen is why another
// installation may have more.
func (s *Subject) twins() (found []twin, unseen problem.Problem) {
	for _, as := range s.index.all() {
		node, _ := as.NodeByName(s.NodeName)
		name := as.Install.Namespace + "/" + as.Install.Name
		switch {
		case as == s.Snapshot:
		case !as.Unread[snapshot.PartInstall].IsZero():
			unseen = problem.Because("what provisioner %s has: %s", name, as.Unread[snapshot.PartInstall])
		case node.Wanted && node.View.Value == nil:
			unseen = problem.Because("what provisioner %s has on %s: %s", name, s.NodeName, node.View.Why())
		}
		for _, c := range as.Install.Classes {
			for _, e := range value(node.View).Dirs[c.Name].Entries {
				t := twin{of: as, class: c, entry: e}
				if !c.Publishes(e.Name) || t.path() == s.entryPath() && (as == s.Snapshot || c.Name == s.Class.Name) {
					continue // Of two classes of one installation in one directory TD0211 tells.
				}
				if t.same = s.leadsToo(e); t.same != "" {
					t.sameDevice = e.Device != "" && e.Device == s.Entry.Device
					found = append(found, t)
				}
			}
		}
	}
	return found, unseen
}

// leadsToo is by what another entry of the node is known to lead to the subject's disk; empty if it does not. Device
// numbers are the kernel's, and so those of every pod. A pod without the node's /dev tells none.
func (s *Subject) leadsToo(e provisioner.Entry) string {
	switch {
	case e.Device == "" && e.Kind == provisioner.Link && e.Target == s.Entry.Target && path.IsAbs(e.Target):
		return "to " + e.Target
	case e.Device == "":
		return ""
	case e.Device == s.Entry.Device:
		return "device " + e.Device
	}
	mine, known := s.entryDisk()
	if d, ok := s.set().ByNumber(e.Device); ok && known && s.set().SameDisk(mine, d) {
		return cmp.Or(wwidOf(d), "another path to it")
	}
	return ""
}

func wwidOf(d disk.Disk) string {
	if d.WWID == "" {
		return ""
	}
	return "wwid " + d.WWID
}

func linkedTwice(s *Subject) Verdict {
	twins, unseen := s.twins()
	switch {
	case len(twins) == 0 && !unseen.IsZero():
		return unknown("%s", unseen)
	case len(twins) == 0:
		return fine()
	}
	paths := []string{s.entryPath()}
	for _, t := range twins {
		if t.path() == s.entryPath() {
			return found(s.publishedByTwo(t))
		}
		paths = append(paths, t.path())
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	name := "one disk"
	if d, ok := s.entryDisk(); ok && twins[0].sameDevice {
		name = "the one disk " + d.Name
	}
	f := Finding{
		Summary: fmt.Sprintf("%d links on %s lead to %s", len(paths), s.NodeName, name),
		Because: "each is published as a volume of its own: two claims would write over each other",
		Masks:   []Code{codeNoVolume},
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
	last := s.spare(append(twins, twin{of: s.Snapshot, class: *s.Class, entry: *s.Entry}))
	whose := *s // Its own installation removes it.
	whose.Snapshot = last.of
	if node, ok := last.of.NodeByName(s.NodeName); ok {
		whose.Node = &node
	}
	f.Fix = whose.simulate(whose.ofChosen(whose.unlinkSteps("remove all except one, and none that a claim has:", last.class, last.entry.Name)))
	return found(f)
}

// publishedByTwo is one entry that two installations have in classes of different names.
func (s *Subject) publishedByTwo(t twin) Finding {
	i := s.Snapshot.Install
	other := t.of.Install
	names := []string{i.Namespace + "/" + i.Name, other.Namespace + "/" + other.Name}
	classes := []string{s.Class.Name, t.class.Name}
	slices.Sort(names)
	slices.Sort(classes)
	return Finding{
		Summary: fmt.Sprintf("provisioners %q and %q both publish %q on %s", names[0], names[1], s.entryPath(), s.NodeName),
		Because: fmt.Sprintf("it becomes a volume of class %q and another one of class %q: two claims would write over each other", classes[0],
			classes[1]),
		Evidence: []string{s.entryLine()},
		Objects:  []snapshot.Ref{{Kind: "node", Name: s.NodeName}},
		Fix: []Step{{
			Text:    "give each class a hostDir of its own, or a namePattern that leaves out what is the other's, in the values of the chart:",
			Command: configMap(i),
		}, restart(i)},
		Masks: []Code{codeNoVolume},
	}
}

// spare is the entry that nobody would miss: the last one without a claim.
func (s *Subject) spare(all []twin) twin {
	slices.SortFunc(all, func(a, b twin) int { return cmp.Compare(a.path(), b.path()) })
	last := all[len(all)-1]
	for _, t := range all {
		if v := s.index.paths[[2]string{s.NodeName, t.path()}]; v == nil || v.Phase != "Bound" {
			last = t
		}
	}
	return last
}

// unstableTarget: the kernel counts its names and by-diskseq again at each boot, and a
// name that two disks can claim leads to the one that is found last.
func unstableTarget(s *Subject) Verdict {
	target := s.Entry.Target
	d, ok := s.entryDisk()
	doubt := ""
	if ok {
		doubt = s.set().Doubt(d, target)
	}
	named := within(target, "/dev/disk") && !within(target, "/dev/disk/by-diskseq")
	if doubt == "" && (disk.StableTarget(target) || named || within(target, "/dev/mapper") || !path.IsAbs(target)) {
		return fine()
	}
	f := Finding{
		Summary:  fmt.Sprintf("the link %q on %s may lead to another disk after a reboot", s.entryPath(), s.NodeName),
		Because:  fmt.Sprintf("it leads to %s, and the kernel counts such names again at each boot", target),
		Evidence: []string{s.entryLine()},
	}
	if doubt != "" {
		f.Because = fmt.Sprintf("it leads to %s, and that name may become another disk's: %s", target, doubt)
	}
	better, _, err := s.set().Target(d, disk.TargetAuto)
	switch {
	case !ok || err != nil || !disk.StableTarget(better):
		f.Because += "; the disk has no other"
		f.Fix = []Step{{Text: "give the disk a serial in the hypervisor (serial= in Proxmox and libvirt), then link it again"}}
	case s.bound():
		f.Evidence = append(f.Evidence, "it could be "+better)
		f.Fix = []Step{{
			Text:    fmt.Sprintf("once claim %q is gone, remove the link and recreate it; until then, note which disk it is:", s.Volume.Claim),
			Command: shell.Command("kubectl", "talosdisk", "disks", d.Name, "--nodes", s.NodeName, "-o", "wide"),
		}}
	default:
		f.Evidence = append(f.Evidence, "it could be "+better)
		again := s.linkAgain(d, s.Entry.Name)
		again.Text = "and recreate it:"
		f.Fix = append(s.unlinkSteps("remove the link:", *s.Class, s.Entry.Name), again)
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
		Masks:    []Code{codeNoVolume, codeMountFailed},
		Path:     s.entryPath(),
	}
	if s.Volume != nil {
		f.Severity = Error
		f.Because += fmt.Sprintf("; volume %q was made of something else at this path", s.Volume.Name)
	}
	f.Fix = []Step{{
		Text:    "look what it is, and remove it by hand if nobody needs it:",
		Command: s.inPod("ls", "-ld", s.Class.EntryPath(e.Name)),
	}}
	if inDev(*s.Class) {
		f.Fix = s.leaveOut(*s.Class, e.Name)
	}
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

// published is how a class has an entry: as a link that somebody made, or as it is.
func (s *Subject) published() string {
	if s.Entry.Kind == provisioner.Link && !inDev(*s.Class) {
		return "linked"
	}
	return "published"
}

// opened is the name of the one dm-crypt device over an encrypted partition (Talos v1.11,
// block/internal/volumes: luks2-VOLUME); empty if what holds the disk is something else.
func (s *Subject) opened(d disk.Disk) string {
	if len(d.Holders) != 1 {
		return ""
	}
	for _, holder := range value(s.Node.View).Disks {
		if holder.Kernel != d.Holders[0] && holder.Name != d.Holders[0] {
			continue
		}
		for _, id := range holder.ByID {
			if name, ok := strings.CutPrefix(id, "dm-name-"); ok && strings.HasPrefix(name, "luks2-") {
				return name
			}
		}
	}
	return ""
}

// mapperClass has the provisioner publish an encrypted volume by its opened device.
func mapperClass(c provisioner.Class, name string) Step {
	return Step{
		Text: fmt.Sprintf("publish the opened device, with a class over /dev/mapper, in the values of the chart:\nclasses:\n- name: %s-encrypted\n  hostDir: /dev/mapper\n  mountDir: /dev/mapper\n  volumeMode: Block\n  namePattern: %s",
			c.Name, name),
	}
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
		uses = append(uses, "it is held by "+s.holders(d))
	} else if open && content != nil && content.Busy == disk.Yes {
		uses = append(uses, "an exclusive open was refused: "+cmp.Or(content.BusyDetail, "it is in use"))
	}
	if len(uses) > 0 {
		f := Finding{
			Summary:  fmt.Sprintf("%s on %s is %s as %q, and in use by something else", d.Name, s.NodeName, s.published(), s.entryPath()),
			Because:  "the provisioner does not look: a pod would write over the other use, and deleting the claim would wipe it",
			Evidence: uses,
			Fix:      append(s.freed(), s.unlinkSteps("remove the link:", *s.Class, s.Entry.Name)...),
		}
		if name := s.opened(d); name != "" {
			f.Because = "the partition is encrypted, and its device for pods is /dev/mapper/" + name +
				": a pod that had the partition would write over the encrypted data, and deleting the claim would wipe it"
			f.Fix = append([]Step{mapperClass(*s.Class, name)}, f.Fix...)
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
		return unknown("%s", cmp.Or(s.Snapshot.NoTalos, cmp.Or(s.Node.Talos.Why(), problem.Text("its disks or mounts were not read"))))
	}
	return fine()
}

func noVolume(s *Subject) Verdict {
	switch {
	case s.Entry == nil:
		return unknown("%s", s.Unseen)
	case s.Entry.Dangling(), s.Entry.Kind == provisioner.File, s.Entry.Kind == provisioner.Other:
		return fine() // Another check tells.
	case !s.Snapshot.Unread[snapshot.PartVolumes].IsZero():
		return unknown("%s", s.Snapshot.Unread[snapshot.PartVolumes])
	}
	i := s.Snapshot.Install
	f := Finding{
		Summary:  fmt.Sprintf("%q on %s has no volume", s.entryPath(), s.NodeName),
		Because:  "the provisioner looks every 10s and has not published it; its log tells why",
		Evidence: []string{s.entryLine()},
		Fix: []Step{{Text: "read what the provisioner says of it:",
			Command: shell.Command("kubectl", "-n", i.Namespace, "logs", cmp.Or(value(s.Node.Pod).Name, "POD"), "-c", i.Container, "--tail=200")}},
		Path: s.entryPath(),
	}
	for _, line := range value(s.Snapshot.Provisioner).Log[s.NodeName] {
		if strings.Contains(line, s.Class.EntryPath(s.Entry.Name)) || strings.Contains(line, s.entryPath()) {
			f.Evidence = append(f.Evidence, oneLine(line))
		}
	}
	name := provisioner.PVName(s.Entry.Name, s.NodeName, s.Class.Name)
	if v := s.index.volumes[name]; v != nil {
		f.Because = fmt.Sprintf("volume %q, which would be its, exists for %s on %s", name, v.Path, cmp.Or(v.Node, "no node"))
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
		return unknown("%s", s.Path.Provisioner.reason())
	}
	if dir := value(s.Node.View).Dirs[s.Class.Name]; !dir.Exists || !dir.MountPoint {
		return unknown("%s", s.Path.Provisioner.reason()) // The directory is missing in the pod, not the link.
	}
	f := Finding{
		Summary:  fmt.Sprintf("volume %q has no link: %q is not on %s", s.Volume.Name, clean(s.Volume.Path), s.NodeName),
		Because:  "links lie on the node's own disk: a reset or wipe of EPHEMERAL removes them, and so does a person",
		Evidence: []string{s.Path.Provisioner.Why},
		Masks:    []Code{codeReleasedStays, codeMountFailed},
		Path:     clean(s.Volume.Path),
	}
	reserved := s.Volume.Claim != nil && s.Volume.Phase == "Available"
	d, there := s.recorded()
	switch {
	case inDev(*s.Class):
		f.Because = "the device, or the raw volume that had this name, is gone"
		f.Fix = []Step{{
			Text:    "see which disks are there, and what they hold:",
			Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", s.NodeName, "-o", "wide"),
		}}
	case there && (s.Volume.Phase == "Bound" || s.Volume.Phase == "Available"):
		f.Evidence = append(f.Evidence, fmt.Sprintf("it was made for %s, which is %s", s.Volume.Identity, d.Name))
		f.Fix = []Step{s.linkAgain(d, path.Base(s.Volume.Path))}
	case s.bound() || reserved:
		f.Fix = []Step{
			{
				Text:    "find the disk that it was made for, by size and serial:",
				Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", s.NodeName, "-o", "wide"),
			},
			{Text: "only if you are sure which one it is, make the link again by hand, in the provisioner's pod:",
				Command: s.inPod("ln", "-sT", "/dev/disk/by-id/NAME", s.Class.EntryPath(path.Base(s.Volume.Path)))},
		}
	default:
		f.Severity = Warning
		f.Fix = []Step{deleteVolume(s.Volume.Name, "nobody has a claim on it: delete it, and link the disk again:")}
	}
	return found(f)
}
