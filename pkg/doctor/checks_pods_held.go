// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// opens tells the causes that a disk gives which something else has: a mount, an exclusive open, mkfs or a look at it was refused.
func opens(kind CauseKind) bool {
	return slices.Contains([]CauseKind{CauseFormat, CauseFilesystem, CauseProbe, CauseBusy, CauseMapDevice, CauseLoop, CauseTimeout,
		CauseOther}, kind)
}

// troubled is the device that a message is about, as the observer calls it, and the devices beside it.
func (s *Subject) troubled(t Trouble) (disk.Disk, *disk.Set, bool) {
	if d, ok := s.entryDisk(); ok {
		return d, s.set(), true
	}
	paths := []string{t.Cause.Device, t.Cause.Path}
	if s.Volume != nil {
		if number, ok := value(s.nodeOrNone().View).VolumePaths[s.Volume.Path]; ok {
			if d, ok := s.set().ByNumber(number.String()); ok {
				return d, s.set(), true
			}
		}
		paths = append(paths, s.Volume.Path)
	}
	for _, set := range []*disk.Set{s.set(), s.index.devices().Reported(s.NodeName)} {
		for _, p := range paths {
			if d, ok := set.ByPath(p); ok && p != "" {
				return d, set, true
			}
		}
	}
	return disk.Disk{}, nil, false
}

// use is who else has a disk, and the multipath map among them.
type use struct {
	disk     disk.Disk
	by       []string
	evidence []string
	mapOf    disk.Disk
}

// usedBy is who is known to have the disk that a message is about. What this program cannot see, it does not name.
func (s *Subject) usedBy(t Trouble) use {
	d, set, ok := s.troubled(t)
	if !ok {
		return use{}
	}
	u := use{disk: d}
	for _, h := range set.HeldBy(d) {
		if h.IsMap() {
			u.mapOf = h.By
		}
		u.by = append(u.by, h.String())
		u.evidence = append(u.evidence, fmt.Sprintf("%s%s is held by %s", h.Of.Name, s.on(), h))
	}
	for _, m := range value(value(s.nodeOrNone().Talos).Mounts) {
		name := strings.TrimPrefix(m.Source, "/dev/")
		if (name == d.Name || slices.Contains(d.Partitions, name)) && !within(m.Target, "/var/lib/kubelet") &&
			(s.Volume == nil || clean(m.Target) != clean(s.Volume.Path)) {
			u.by = append(u.by, "the mount at "+m.Target)
			u.evidence = append(u.evidence, fmt.Sprintf("%s is mounted%s at %s", name, s.on(), m.Target))
		}
	}
	if c := d.Content; c != nil && c.Signed == disk.Yes {
		u.evidence = append(u.evidence, fmt.Sprintf("%s%s holds %s", d.Name, s.on(), c.Signature))
	}
	return u
}

// holders are the devices upon a disk of the subject's node, each with what it is.
func (s *Subject) holders(d disk.Disk) string {
	var all []string
	for _, h := range s.set().HeldBy(d) {
		all = append(all, h.String())
	}
	return strings.Join(all, ", ")
}

// nameHolders says of a disk that the kubelet could not open who has it, where that is known: then that is the cause, and
// nothing is wiped or repaired before.
func (s *Subject) nameHolders(f *Finding, t Trouble) {
	u := s.usedBy(t)
	f.Evidence = append(f.Evidence, u.evidence...)
	if len(u.by) == 0 {
		return
	}
	f.Because = fmt.Sprintf("%s has %s: the kernel gives a disk that something lies on to nobody else", strings.Join(u.by, ", "), u.disk.Name)
	if len(u.by) > 1 {
		f.Because = fmt.Sprintf("%s have %s: the kernel gives a disk that something lies on to nobody else", strings.Join(u.by, ", "),
			u.disk.Name)
	}
	f.Fix = []Step{s.disksCommand()}
	if u.mapOf.Name == "" {
		f.Fix = append(f.Fix, Step{
			Text: "if what has it is needed, the volume cannot be: delete the claim, and take the disk out of the class; if it is a leftover, remove it before anything is wiped",
		})
		return
	}
	f.Because = fmt.Sprintf("%s is a path of %s, which has it: no path of a map can be used by itself", u.disk.Name, strings.Join(u.by, ", "))
	f.Fix = append(f.Fix, s.freed()...)
	f.Fix = append(f.Fix, Step{Text: "let the class have the map " + u.mapOf.Called() + " instead, and none of its paths"})
}

// behindTimeout is what is known that keeps a kubelet waiting for the volume.
func (s *Subject) behindTimeout() []string {
	var all []string
	if why := s.nodeNotReady(); why != "" {
		all = append(all, fmt.Sprintf("node %s is not Ready: %s", s.Pod.Node, why))
	}
	if s.Volume != nil && s.Volume.Deleting {
		all = append(all, fmt.Sprintf("volume %q is being deleted", s.Volume.Name))
	}
	if s.Claim != nil && s.Claim.Deleting {
		all = append(all, fmt.Sprintf("claim %q is being deleted", s.ClaimRef))
	}
	for _, p := range s.otherPods() {
		if p.Deleting {
			all = append(all, fmt.Sprintf("pod %q has the claim%s, and is being deleted", p.Namespace+"/"+p.Name, onNode(p.Node)))
		}
	}
	return all
}

func onNode(node string) string {
	if node == "" {
		return ""
	}
	return " on " + node
}

// otherPods are those that have the claim beside the subject's, and have not ended.
func (s *Subject) otherPods() []*snapshot.UserPod {
	if s.ClaimRef == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.index.pods[*s.ClaimRef]), func(p *snapshot.UserPod) bool {
		return p == s.Pod || p.Phase == "Succeeded" || p.Phase == "Failed"
	})
}
