// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// linkOf is the link of a chain at which a stage's findings show.
func linkOf(stage Stage) Stage {
	if stage == StageLink { // A link in the class directory is a thing of the node's.
		return StageHost
	}
	return stage
}

// chains are the chains of a diagnosis with a mark at each link.
func chains(subjects []*Subject, answers []*answer) []Chain {
	about := make(reach)
	for _, a := range answers {
		for i, f := range a.found {
			if !a.masked[i] {
				about.add(placed{a.subject, f})
			}
		}
	}
	measured := make(map[*Subject]Outcome)
	for _, a := range answers {
		if a.check.Code == codeOtherCapacity {
			measured[a.subject] = a.outcome
		}
	}
	var all []Chain
	for _, s := range subjects {
		if s.Kind != OfChain || !s.Unseen.IsZero() {
			continue
		}
		var findings []Finding
		for p := range about.over(s) {
			if p.finding.narrow && (p.finding.Path == "" || s.place() == "" || !within(s.place(), p.finding.Path)) {
				continue
			}
			findings = append(findings, p.finding)
		}
		all = append(all, s.chain(findings, measured[s]))
	}
	return all
}

// chain is the subject's; measured is what came of comparing what its pod has with the volume.
func (s *Subject) chain(findings []Finding, measured Outcome) Chain {
	c := Chain{Node: s.NodeName, Path: s.Path.Path, Class: s.ClassName, Disk: s.diskName(), Links: s.links(findings, measured)}
	c.Target, c.Title = s.title()
	if s.ClaimRef != nil {
		c.Claim = s.ClaimRef.String()
	}
	if s.Volume != nil {
		c.Volume = s.Volume.Name
	}
	if s.Entry != nil && s.Volume == nil {
		c.Path = s.Class.VolumePath(s.Entry.Name)
	}
	for _, f := range findings {
		c.Codes = append(c.Codes, f.Code)
	}
	slices.Sort(c.Codes)
	c.Codes = slices.Compact(c.Codes)
	return c
}

// title is the object that a chain begins with, and how a person calls it.
func (s *Subject) title() (snapshot.Ref, string) {
	on := ""
	if s.NodeName != "" {
		on = ", on " + s.NodeName
	}
	switch {
	case s.Pod != nil:
		ref := snapshot.Ref{Kind: "pod", Namespace: s.Pod.Namespace, Name: s.Pod.Name, UID: s.Pod.UID}
		return ref, fmt.Sprintf("%s in %s%s", ref, ref.Namespace, on)
	case s.ClaimRef != nil && (s.Claim != nil || s.Volume == nil):
		ref := snapshot.Ref{Kind: "pvc", Namespace: s.ClaimRef.Namespace, Name: s.ClaimRef.Name}
		return ref, fmt.Sprintf("%s in %s%s", ref, ref.Namespace, on)
	case s.Volume != nil:
		ref := snapshot.Ref{Kind: "pv", Name: s.Volume.Name, UID: s.Volume.UID}
		return ref, ref.String() + on
	}
	ref := snapshot.Ref{Kind: "node", Name: s.NodeName}
	return ref, fmt.Sprintf("%s on %s", s.Class.VolumePath(s.Entry.Name), s.NodeName)
}

// links are the chain's, from the claim down to the disk and up to the pod. Behind one
// that is broken, what is not known does not matter.
func (s *Subject) links(findings []Finding, measured Outcome) []Link {
	var links []Link
	add := func(stage Stage, mark Mark, text string) {
		links = append(links, Link{Name: string(stage), Mark: mark, Text: text})
	}
	if s.ClaimRef != nil {
		mark, text := s.claimLink()
		add(StageClaim, mark, text)
	}
	if s.Volume != nil {
		add(StageVolume, MarkOK, s.volumeText())
		add(StageHost, markOf(s.hostAnswer()), s.hostText())
		if s.Path.Verdict == PathDangling {
			add(StageProvisioner, MarkSkipped, "sees the link")
			add(StageKubelet, MarkSkipped, "has nothing to see there")
		} else {
			add(StageProvisioner, markOf(s.Path.Provisioner.Answer), seenText(s.Path.Provisioner, s.Path.Path))
			add(StageKubelet, markOf(s.Path.Kubelet.Answer), s.kubeletText())
		}
	} else if s.Entry != nil {
		add(StageHost, markOf(entryAnswer(*s)), s.entryText())
		add(StageVolume, MarkUnknown, "there is no volume for it")
	}
	if s.Pod != nil {
		mark, text := s.podLink(findings, measured)
		add(StagePod, mark, text)
	}
	proved := -1
	if measured == OutcomeMasked {
		proved = len(links) - 1
	}
	return broken(links, findings, proved)
}

// broken marks the links that findings are about, and skips what lies behind, except for the one that is proved to be broken too.
func broken(links []Link, findings []Finding, proved int) []Link {
	for i, l := range links {
		for _, f := range findings {
			if string(linkOf(f.stage)) != l.Name || f.Severity != Error {
				continue
			}
			if l.Mark != MarkBroken {
				l.Text = settledText(f)
			}
			l.Mark = MarkBroken
		}
		links[i] = l
	}
	first := slices.IndexFunc(links, func(l Link) bool { return l.Mark == MarkBroken })
	for i := range links {
		if first >= 0 && i > first && i != proved && (links[i].Mark == MarkUnknown || links[i].Name == string(StagePod)) {
			links[i].Mark = MarkSkipped
		}
	}
	return links
}

func settledText(f Finding) string {
	return strings.ReplaceAll(f.Summary, allNodes, enumerate(f.Nodes))
}

func markOf(a disk.Answer) Mark {
	switch a {
	case disk.Yes:
		return MarkOK
	case disk.No:
		return MarkBroken
	}
	return MarkUnknown
}

func (s *Subject) claimLink() (Mark, string) {
	name := s.ClaimRef.Name
	switch {
	case s.Claim == nil && s.Snapshot.Claims.Value == nil:
		return MarkUnknown, fmt.Sprintf("%s: %s", name, s.Snapshot.Claims.Why())
	case s.Claim == nil && s.index.claims[*s.ClaimRef] != nil:
		return MarkBroken, fmt.Sprintf("an earlier claim %s, which is gone; the one of that name now is another", name)
	case s.Claim == nil:
		return MarkBroken, name + " does not exist"
	case s.Claim.NotLocal != "":
		return MarkOK, fmt.Sprintf("%s is %s, and no local volume: %s", name, s.Claim.Phase, s.Claim.NotLocal)
	case s.Claim.Phase == "Bound":
		return MarkOK, fmt.Sprintf("%s is Bound to %s", name, s.Claim.Volume)
	case s.Claim.Phase == "Pending":
		return MarkUnknown, name + " is Pending"
	}
	return MarkBroken, fmt.Sprintf("%s is %s", name, s.Claim.Phase)
}

func (s *Subject) volumeText() string {
	v := s.Volume
	on := ""
	if v.Node != "" {
		on = " on " + v.Node
	}
	text := fmt.Sprintf("%s: %s%s, %s, %s", v.Name, v.Path, on, size(v.Capacity), v.Mode)
	if v.Phase != "Bound" {
		text += ", " + v.Phase
	}
	return text
}

// hostAnswer is No also where the path is a link that leads nowhere.
func (s *Subject) hostAnswer() disk.Answer {
	if s.Path.Verdict == PathDangling {
		return disk.No
	}
	return s.Path.Host.Answer
}

func (s *Subject) hostText() string {
	p := s.Path
	switch {
	case p.Verdict == PathDangling:
		return fmt.Sprintf("%s leads nowhere", s.entryLine())
	case p.Host.Answer == disk.No:
		return p.Path + " is not on the node"
	case p.Host.Answer != disk.Yes:
		return fmt.Sprintf("%s: %s", p.Path, p.Host.Why)
	case p.Mounted == disk.Yes:
		return fmt.Sprintf("%s is mounted from %s", p.Path, p.Source)
	case s.Entry != nil && s.neverRecorded():
		return s.entryLine() + "; which disk it was made for was never recorded"
	case s.Entry != nil:
		return s.entryLine()
	}
	return p.Path + " is there"
}

// entryLine is the entry with what it leads to: "/p/vdf -> /dev/disk/by-id/x (vdf)".
func (s *Subject) entryLine() string {
	line := s.Path.Path
	if line == "" {
		line = s.Class.VolumePath(s.Entry.Name)
	}
	if s.Entry == nil {
		return line
	}
	if s.Entry.Target != "" {
		line += " -> " + s.Entry.Target
	}
	if d, ok := s.entryDisk(); ok {
		line += " (" + d.Name + ")"
	}
	return line
}

// diskName is the device at the end of the chain: the one that the link leads to, or the
// one that is mounted at the path.
func (s *Subject) diskName() string {
	if d, ok := s.entryDisk(); ok {
		return d.Name
	}
	if within(s.Path.device, "/dev") {
		return path.Base(s.Path.device)
	}
	return ""
}

func entryAnswer(s Subject) disk.Answer {
	if s.Entry.Dangling() {
		return disk.No
	}
	return disk.Yes
}

func (s *Subject) entryText() string {
	if s.Entry.Dangling() {
		return s.entryLine() + " leads nowhere"
	}
	return s.entryLine()
}

func seenText(seen Seen, p string) string {
	switch seen.Answer {
	case disk.Yes:
		return "sees " + p
	case disk.No:
		return "does not see " + p
	}
	return "sees " + p + " or not: " + cmp.Or(seen.Why, "not checked")
}

func (s *Subject) kubeletText() string {
	switch {
	case s.Path.Hidden != nil:
		return fmt.Sprintf("sees a directory at %s, not %s", s.Path.Path, s.Path.Hidden)
	case s.Path.Kubelet.Answer == disk.No && s.Path.Host.Answer == disk.Yes:
		return "does not see " + s.Path.Dir
	case s.Path.Kubelet.Answer == disk.Yes && !s.Path.Kubelet.Proof:
		return s.Path.Kubelet.Why
	}
	return seenText(s.Path.Kubelet, s.Path.Path)
}

// podLink: a container that runs proves that its volumes were mounted, and not that this was the disk where the kubelet has the
// directory beneath it. What was measured in the pod does.
func (s *Subject) podLink(findings []Finding, measured Outcome) (Mark, string) {
	p := s.Pod
	switch {
	case p.Phase == "Succeeded", p.Phase == "Failed":
		return MarkOK, fmt.Sprintf("%s has ended (%s)", p.Name, p.Phase)
	case hasVolumes(*p) && measured == OutcomeMasked:
		return MarkBroken, fmt.Sprintf("%s has another filesystem than its volume (%s)", p.Name, codeOtherCapacity)
	case hasVolumes(*p) && measured != OutcomeOK && s.mayLackDisk(findings):
		return MarkUnknown, p.Name + " runs; whether with the disk or the directory beneath it was not measured"
	case hasVolumes(*p):
		return MarkOK, p.Name + " has its volumes"
	case p.Node == "":
		return MarkUnknown, p.Name + " is not scheduled"
	}
	return MarkUnknown, fmt.Sprintf("%s is %s", p.Name, p.Phase)
}

// mayLackDisk tells a chain whose kubelet, or node, has the directory without the disk.
func (s *Subject) mayLackDisk(findings []Finding) bool {
	return s.Path.Verdict == PathOtherDisk || slices.ContainsFunc(findings, func(f Finding) bool {
		return f.Severity == Error && slices.Contains(f.Masks, codeOtherCapacity)
	})
}

// size is a capacity as Kubernetes writes it: in the largest unit that divides it.
func size(bytes int64) string {
	units := []string{"", "Ki", "Mi", "Gi", "Ti"}
	i := 0
	for bytes != 0 && bytes%1024 == 0 && i < len(units)-1 {
		bytes, i = bytes/1024, i+1
	}
	return fmt.Sprintf("%d%s", bytes, units[i])
}
