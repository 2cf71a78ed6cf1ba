// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Subject is what checks are asked about: the cluster, a node, or a chain from a
// pod to a disk. Of a chain there is as much as is known; the rest is nil.
type Subject struct {
	Kind Kind
	// Name is unique in a report: "cluster", "node/w-1", "pod/default/nginx:data".
	Name     string
	Snapshot *snapshot.Snapshot

	Pod       *snapshot.UserPod
	PodVolume *snapshot.PodVolume
	// ClaimRef names the claim, be it there or not.
	ClaimRef *snapshot.ClaimRef
	Claim    *snapshot.Claim
	Volume   *snapshot.Volume
	// ClassName is the claim's or the volume's; Class that of the provisioner,
	// StorageClass that of Kubernetes.
	ClassName    string
	Class        *provisioner.Class
	StorageClass *snapshot.StorageClass
	// Entry is what lies in the class directory, as the provisioner's pod sees it.
	Entry *provisioner.Entry
	Node  *snapshot.Node
	// NodeName is the node's, be it in the snapshot or not.
	NodeName string
	// Path is the volume's path as the node, the provisioner and the kubelet see it.
	Path ThreeWay

	// Unseen is why nothing is known of what the subject stands for: objects that could not
	// be read, and are no chain of their own; entries of a node that nobody saw.
	Unseen problem.Problem

	index *index
	// troubles are what mountTroubles found, once asked; unsure is why it is not known
	// whether there is one with the filesystem.
	troubles []Trouble
	unsure   problem.Problem
	asked    bool
	// kubelet is what judgeKubelet found, once asked.
	kubelet *kubeletReport
}

// index finds the parts of a snapshot that belong together.
type index struct {
	// views are the snapshot as each installation has it, and s is the one at this place.
	views []*snapshot.Snapshot
	at    int

	s       *snapshot.Snapshot
	claims  map[snapshot.ClaimRef]*snapshot.Claim
	pods    map[snapshot.ClaimRef][]*snapshot.UserPod
	volumes map[string]*snapshot.Volume
	// kept are the volumes whose claimRef has the name: of this claim, or of an earlier one.
	kept  map[snapshot.ClaimRef][]*snapshot.Volume
	nodes map[string]*snapshot.Node
	// paths are volumes by node and path.
	paths   map[[2]string]*snapshot.Volume
	byNode  map[string][]*snapshot.Volume
	events  map[snapshot.Ref][]*snapshot.Event
	classes map[string]*provisioner.Class
	chains  map[*snapshot.UserPod][]*Subject
	// inventory are disks by node and name, once asked for.
	inventory map[[2]string]link.DiskUse
	// found are the devices of all nodes, once asked for.
	found *link.Devices
}

// devices are the disks of all nodes, with what identifies them.
func (x *index) devices() *link.Devices {
	if x.found == nil {
		x.found = link.NewDevices(x.s)
	}
	return x.found
}

// disks are the disks of all nodes with what uses them, by node and name.
func (x *index) disks() map[[2]string]link.DiskUse {
	if x.inventory == nil {
		x.inventory = make(map[[2]string]link.DiskUse)
		for _, u := range x.devices().Inventory() {
			x.inventory[[2]string{u.Node, u.Name}] = u
		}
	}
	return x.inventory
}

func newIndex(s *snapshot.Snapshot) *index {
	x := &index{
		s: s, claims: make(map[snapshot.ClaimRef]*snapshot.Claim), pods: make(map[snapshot.ClaimRef][]*snapshot.UserPod),
		volumes: make(map[string]*snapshot.Volume), kept: make(map[snapshot.ClaimRef][]*snapshot.Volume),
		nodes: make(map[string]*snapshot.Node), paths: make(map[[2]string]*snapshot.Volume), byNode: make(map[string][]*snapshot.Volume),
		chains: make(map[*snapshot.UserPod][]*Subject),
		events: make(map[snapshot.Ref][]*snapshot.Event), classes: make(map[string]*provisioner.Class),
	}
	for i := range s.Nodes {
		x.nodes[s.Nodes[i].Name] = &s.Nodes[i]
	}
	for i := range s.Install.Classes {
		x.classes[s.Install.Classes[i].Name] = &s.Install.Classes[i]
	}
	for i := range s.Volumes {
		v := &s.Volumes[i]
		x.volumes[v.Name] = v
		x.paths[[2]string{v.Node, path.Clean(v.Path)}] = v
		x.byNode[v.Node] = append(x.byNode[v.Node], v)
		if v.Claim != nil {
			x.kept[*v.Claim] = append(x.kept[*v.Claim], v)
		}
	}
	for i := range value(s.Claims) {
		c := &value(s.Claims)[i]
		x.claims[c.ClaimRef] = c
	}
	for i := range value(s.Pods) {
		p := &value(s.Pods)[i]
		for _, v := range p.Volumes {
			if ref := (snapshot.ClaimRef{Namespace: p.Namespace, Name: v.Claim}); v.Claim != "" && !slices.Contains(x.pods[ref], p) {
				x.pods[ref] = append(x.pods[ref], p)
			}
		}
	}
	reasons := EventReasons()
	for i := range value(s.Events) {
		e := &value(s.Events)[i]
		if !slices.Contains(reasons, e.Reason) {
			continue // It may be missing from what was kept, and its absence would prove nothing.
		}
		about := e.About
		about.UID = ""
		x.events[about] = append(x.events[about], e)
	}
	return x
}

// value is a section's, or the zero value.
func value[T any](s snapshot.Section[T]) T {
	if s.Value == nil {
		var zero T
		return zero
	}
	return *s.Value
}

// subjects are what a diagnosis of the snapshot's targets looks at, in a fixed
// order: the cluster, the nodes, the chains. missing are targets that are not there.
func (x *index) subjects() (all []*Subject, missing []snapshot.Ref) {
	var chains []*Subject
	if len(x.s.Targets) == 0 {
		chains = x.everything()
	}
	nodes := make(map[string]bool)
	for _, target := range x.s.Targets {
		of, there := x.chainsOf(target)
		if !there {
			missing = append(missing, target)
		}
		chains = append(chains, of...)
		if target.Kind == "node" {
			nodes[target.Name] = true
		}
	}
	chains = unique(chains)
	if len(chains) == 0 {
		chains = x.unread()
	}
	chains = slices.DeleteFunc(chains, func(s *Subject) bool { return !x.owns(s) })
	all = append(all, &Subject{Kind: OfCluster, Name: string(OfCluster) + x.of(), Snapshot: x.s, index: x})
	every := len(x.s.Targets) == 0
	busy := make(map[string]bool)
	for _, c := range chains {
		nodes[c.NodeName], busy[c.NodeName] = true, true
		// A claim that waits could get a volume of any node.
		every = every || c.NodeName == ""
	}
	for _, name := range slices.Sorted(maps.Keys(x.nodes)) {
		if (every || nodes[name]) && !x.nodes[name].Skipped && (busy[name] || x.has(x.nodes[name])) {
			all = append(all, &Subject{Kind: OfNode, Name: "node/" + name + x.of(), Snapshot: x.s, Node: x.nodes[name], NodeName: name, index: x})
		}
	}
	slices.SortFunc(chains, func(a, b *Subject) int { return cmp.Compare(a.Name, b.Name) })
	return append(all, chains...), missing
}

// unread stands for the chains of which nothing could be read, so that what is asked of
// chains is unknown and not left out.
func (x *index) unread() []*Subject {
	why := cmp.Or(x.s.Pods.Why(), cmp.Or(x.s.Claims.Why(), x.s.Unread[snapshot.PartVolumes]))
	if why.IsZero() {
		return nil
	}
	return []*Subject{{Kind: OfChain, Name: "chains", Snapshot: x.s, Unseen: why, index: x}}
}

func unique(chains []*Subject) []*Subject {
	seen := make(map[string]bool, len(chains))
	return slices.DeleteFunc(chains, func(s *Subject) bool {
		before := seen[s.Name]
		seen[s.Name] = true
		return before
	})
}

// everything is each chain of the cluster: those of pods, then of claims without a
// pod, of volumes without a claim, of entries without a volume.
func (x *index) everything() []*Subject {
	var chains []*Subject
	for i := range value(x.s.Pods) {
		chains = append(chains, x.podChains(&value(x.s.Pods)[i])...)
	}
	for i := range value(x.s.Claims) {
		if c := &value(x.s.Claims)[i]; len(x.pods[c.ClaimRef]) == 0 {
			chains = append(chains, x.claimChain(c.ClaimRef))
		}
	}
	chains = slices.DeleteFunc(chains, func(s *Subject) bool { return !s.ours() })
	for i := range x.s.Volumes {
		v := &x.s.Volumes[i]
		if c := x.volumeChain(v); x.claimOf(v) == nil && c.ours() {
			chains = append(chains, c)
		}
	}
	for i := range x.s.Nodes {
		chains = append(chains, x.entryChains(&x.s.Nodes[i])...)
	}
	return chains
}

// ours tells a chain that has to do with local volumes. Claims of other storage are not
// for this program, unless a person asks for one by name.
func (s *Subject) ours() bool {
	switch {
	case s.Claim != nil && s.Claim.NotLocal != "", s.ofAnother() != "":
		return false
	case s.Volume != nil, s.Class != nil:
		return true
	case s.Claim == nil:
		return s.ClaimRef != nil || s.hostPathTrouble()
	case s.Claim.Volume != "" && s.Claim.Phase != "Lost":
		return false
	case s.StorageClass != nil:
		return s.StorageClass.Provisioner == noProvisioner
	}
	return true
}

// ofAnother is the provisioner that made the chain's volume, where that is another one with rules of its own.
func (s *Subject) ofAnother() string {
	if s.Volume != nil && s.foreign(*s.Volume) {
		return s.Volume.ProvisionedBy
	}
	return ""
}

// noProvisioner is what classes of volumes say that nothing makes on demand.
const noProvisioner = "kubernetes.io/no-provisioner"

// chainsOf are the chains of a target; false if it is not there.
func (x *index) chainsOf(target snapshot.Ref) ([]*Subject, bool) {
	switch target.Kind {
	case "pod":
		for i := range value(x.s.Pods) {
			if p := &value(x.s.Pods)[i]; p.Namespace == target.Namespace && p.Name == target.Name {
				chains := x.podChains(p)
				if len(chains) == 0 { // Something may keep it anyway.
					bare := &Subject{Kind: OfChain, Name: "pod/" + p.Namespace + "/" + p.Name, Snapshot: x.s, Pod: p, index: x}
					x.atNode(bare, p.Node)
					chains = []*Subject{bare}
				}
				return chains, true
			}
		}
		if x.s.Pods.Value != nil {
			return nil, false
		}
		return []*Subject{{Kind: OfChain, Name: "pod/" + target.Namespace + "/" + target.Name, Snapshot: x.s, Unseen: x.s.Pods.Why(), index: x}},
			true
	case "pvc":
		ref := snapshot.ClaimRef{Namespace: target.Namespace, Name: target.Name}
		if x.claims[ref] == nil && x.s.Claims.Value != nil {
			return nil, false
		}
		return x.claimChains(ref), true
	case "pv":
		v := x.volumes[target.Name]
		switch {
		case v == nil:
			return nil, !x.s.Unread[snapshot.PartVolumes].IsZero()
		case x.claimOf(v) != nil:
			return x.claimChains(*v.Claim), true
		}
		return []*Subject{x.volumeChain(v)}, true
	case "node":
		n := x.nodes[target.Name]
		if n == nil {
			return nil, !x.s.Unread[snapshot.PartNodes].IsZero()
		}
		return slices.DeleteFunc(x.everything(), func(s *Subject) bool { return s.NodeName != target.Name }), true
	}
	return nil, false
}

func (x *index) claimChains(ref snapshot.ClaimRef) []*Subject {
	var chains []*Subject
	for _, p := range x.pods[ref] {
		for _, s := range x.podChains(p) {
			if s.ClaimRef != nil && *s.ClaimRef == ref {
				chains = append(chains, s)
			}
		}
	}
	if len(chains) == 0 {
		chains = append(chains, x.claimChain(ref))
	}
	return chains
}

// podChains are the same ones for anyone who asks, so that what one finds out the next one knows.
func (x *index) podChains(p *snapshot.UserPod) []*Subject {
	chains, made := x.chains[p]
	if !made {
		chains = x.makeChains(p)
		x.chains[p] = chains
	}
	return chains
}

func (x *index) makeChains(p *snapshot.UserPod) []*Subject {
	var chains []*Subject
	for i := range p.Volumes {
		v := &p.Volumes[i]
		s := &Subject{Kind: OfChain, Name: "pod/" + p.Namespace + "/" + p.Name + ":" + v.Name, Snapshot: x.s, Pod: p, PodVolume: v, index: x}
		if v.Claim != "" {
			x.fromClaim(s, snapshot.ClaimRef{Namespace: p.Namespace, Name: v.Claim})
			chains = append(chains, s)
			continue
		}
		// A directory of the node is none of ours unless it is what fails.
		x.atNode(s, p.Node)
		if s.hostPathTrouble() {
			chains = append(chains, s)
		}
	}
	return chains
}

// hostPathTrouble tells a chain of a hostPath volume that the kubelet complains about.
func (s *Subject) hostPathTrouble() bool {
	return s.PodVolume != nil && s.PodVolume.HostPath != "" && len(s.mountTroubles()) > 0
}

func (x *index) claimChain(ref snapshot.ClaimRef) *Subject {
	s := &Subject{Kind: OfChain, Name: "pvc/" + ref.String(), Snapshot: x.s, index: x}
	x.fromClaim(s, ref)
	return s
}

func (x *index) volumeChain(v *snapshot.Volume) *Subject {
	s := &Subject{Kind: OfChain, Name: "pv/" + v.Name, Snapshot: x.s, ClaimRef: v.Claim, index: x}
	x.fromVolume(s, v)
	return s
}

// entryChains are those of what lies in a node's class directories and is no volume's.
func (x *index) entryChains(n *snapshot.Node) []*Subject {
	var chains []*Subject
	view := value(n.View)
	if why := x.unseen(n); !why.IsZero() && !n.Skipped {
		s := &Subject{Kind: OfChain, Name: "entries/" + n.Name + x.of(), Snapshot: x.s, Unseen: why, index: x}
		x.atNode(s, n.Name)
		chains = append(chains, s)
	}
	for i := range x.s.Install.Classes {
		c := &x.s.Install.Classes[i]
		for _, e := range view.Dirs[c.Name].Entries {
			if x.paths[[2]string{n.Name, c.VolumePath(e.Name)}] != nil || !c.Publishes(e.Name) {
				continue
			}
			s := &Subject{
				Kind:      OfChain,
				Name:      "entry/" + n.Name + c.VolumePath(e.Name),
				Snapshot:  x.s,
				Class:     c,
				ClassName: c.Name,
				Entry:     &e,
				index:     x,
			}
			x.atNode(s, n.Name)
			chains = append(chains, s)
		}
	}
	return chains
}

// unseen is why there may be entries on a node that were not seen.
func (x *index) unseen(n *snapshot.Node) problem.Problem {
	if n.View.Value == nil {
		return n.View.Why()
	}
	for _, c := range x.s.Install.Classes {
		if why := n.View.Value.Dirs[c.Name].Problem; why != "" {
			return problem.Text(why)
		}
	}
	return problem.Problem{}
}

func (x *index) fromClaim(s *Subject, ref snapshot.ClaimRef) {
	s.ClaimRef, s.Claim = &ref, x.claims[ref]
	if s.Claim != nil && s.Claim.Class != nil {
		s.ClassName = *s.Claim.Class
	}
	if v := x.volumeOf(ref); v != nil {
		x.fromVolume(s, v)
		return
	}
	x.ofClass(s)
	node := ""
	if s.Pod != nil {
		node = s.Pod.Node
	}
	x.atNode(s, node)
}

// claimOf is the claim that has the volume, or that it is kept for; nil if there is none, if an
// earlier claim of the name had it, or if claims were not read.
func (x *index) claimOf(v *snapshot.Volume) *snapshot.Claim {
	if v.Claim == nil {
		return nil
	}
	if c := x.claims[*v.Claim]; c != nil && !isEarlier(v, c) {
		return c
	}
	return nil
}

// isEarlier tells a volume of an earlier claim of the claim's name. A volume that is kept for a
// claim by name alone has no UID, and old snapshots have none of claims.
func isEarlier(v *snapshot.Volume, c *snapshot.Claim) bool {
	return v.ClaimUID != "" && c.UID != "" && v.ClaimUID != c.UID
}

// volumeOf is the volume that a claim has, or that is kept for it; nil if it has none. That it
// names one is not enough: that one may be another claim's, or recreated.
func (x *index) volumeOf(ref snapshot.ClaimRef) *snapshot.Volume {
	claim, kept := x.claims[ref], x.kept[ref]
	if claim == nil { // A released one was of a claim that is gone.
		if i := slices.IndexFunc(kept, func(v *snapshot.Volume) bool { return !released(v) }); i >= 0 {
			return kept[i]
		}
		return nil
	}
	for _, v := range kept {
		if !isEarlier(v, claim) && (claim.Volume == "" || claim.Volume == v.Name) {
			return v
		}
	}
	return nil
}

func (x *index) fromVolume(s *Subject, v *snapshot.Volume) {
	s.Volume, s.ClassName = v, v.Class
	x.ofClass(s)
	x.atNode(s, v.Node)
	if s.Node != nil && s.Class != nil && path.Dir(path.Clean(v.Path)) == s.Class.HostDir {
		if e, ok := value(s.Node.View).Dirs[s.Class.Name].Entry(path.Base(v.Path)); ok {
			s.Entry = &e
		}
	}
	s.Path = compare(s)
}

func (x *index) ofClass(s *Subject) {
	s.Class = x.classes[s.ClassName]
	if c, ok := x.s.StorageClasses[s.ClassName]; ok {
		s.StorageClass = &c
	}
}

func (x *index) atNode(s *Subject, name string) {
	s.NodeName, s.Node = name, x.nodes[name]
}

// place is the path on the node that the chain ends in; empty if there is none.
func (s *Subject) place() string {
	switch {
	case s.Volume != nil:
		return s.Volume.Path
	case s.Entry != nil:
		return s.Class.VolumePath(s.Entry.Name)
	case s.PodVolume != nil:
		return s.PodVolume.HostPath
	}
	return ""
}

// touches reports whether a directory of the node has to do with the chain: the volume lies
// in it, or could.
func (s *Subject) touches(dir string) bool {
	p := s.place()
	if p == "" && s.Class != nil {
		p = s.Class.HostDir
	}
	return p != "" && (within(p, dir) || within(dir, p))
}

// refs are the objects of a chain, the one that suffers first.
func (s *Subject) refs() []snapshot.Ref {
	switch {
	case s.Pod != nil:
		return []snapshot.Ref{{Kind: "pod", Namespace: s.Pod.Namespace, Name: s.Pod.Name, UID: s.Pod.UID}}
	case s.ClaimRef != nil && s.Claim != nil:
		return []snapshot.Ref{{Kind: "pvc", Namespace: s.ClaimRef.Namespace, Name: s.ClaimRef.Name, UID: s.Claim.UID}}
	case s.Volume != nil:
		return []snapshot.Ref{{Kind: "pv", Name: s.Volume.Name, UID: s.Volume.UID}}
	case s.Node != nil:
		return []snapshot.Ref{{Kind: "node", Name: s.Node.Name, UID: s.Node.UID}}
	}
	return nil
}

// foreign tells a volume of another provisioner, which has rules of its own: many give their pods plain directories.
func (s *Subject) foreign(v snapshot.Volume) bool {
	_, ours := s.Snapshot.Install.ClassOf(v.Class)
	return !ours && v.ProvisionedBy != "" && !strings.HasPrefix(v.ProvisionedBy, provisionedByPrefix)
}

func released(v *snapshot.Volume) bool { return v.Phase == "Released" || v.Phase == "Failed" }

// set are the devices of the subject's node, with what identifies them.
func (s *Subject) set() *disk.Set { return s.index.devices().Set(s.NodeName) }

// within reports whether a path is dir or lies in it.
func within(p, dir string) bool {
	p, dir = clean(p), clean(dir)
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// andProbe is why nobody looked through the kubelet's eyes: why Talos did not, and why
// no Job did, where that was asked for.
func andProbe(node *snapshot.Node, why problem.Problem) problem.Problem {
	if node.Probe.Problem.IsZero() {
		return why
	}
	return problem.Because("%s; and no Job could look: %s", why, node.Probe.Problem)
}

// Kind is what a check is asked about.
type Kind string

// The kinds of subject.
const (
	OfCluster Kind = "cluster"
	OfNode    Kind = "node"
	// OfChain: a pod's claim, down to the disk; or as much of it as there is.
	OfChain Kind = "chain"
)

// neverRecorded tells such a volume of which nothing tells the disk, though all records were read.
func (s *Subject) neverRecorded() bool {
	return s.recordable() && s.Volume.Identity == nil && s.Snapshot.Unread[snapshot.PartRecords].IsZero()
}

// bound reports whether a claim has the volume.
func (s *Subject) bound() bool { return s.Volume != nil && s.Volume.Phase == "Bound" }

// recordable tells a volume whose disk is recorded: a partition has a label instead, and a file system its own signature; only a
// link to a whole disk in a Block class needs it.
func (s *Subject) recordable() bool {
	if s.Volume == nil || s.Class == nil || s.Entry == nil {
		return false
	}
	now, ok := s.entryDisk()
	return s.Class.Mode == provisioner.Block && s.Entry.Kind == provisioner.Link && (!ok || now.Whole())
}

// provisionedByPrefix begins the name that the static provisioner gives itself (pkg/common, GetProvisionerName).
const provisionedByPrefix = "local-volume-provisioner-"

// entryDisk is the device that the entry leads to.
func (s *Subject) entryDisk() (disk.Disk, bool) {
	if s.Entry == nil || s.Node == nil || s.Entry.Device == "" {
		return disk.Disk{}, false
	}
	return s.set().ByNumber(s.Entry.Device)
}
