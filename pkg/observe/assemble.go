// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The kinds of a snapshot.Ref.
const (
	kindPod       = "pod"
	kindClaim     = "pvc"
	kindVolume    = "pv"
	kindNode      = "node"
	kindDaemonSet = "daemonset"
)

// nodes puts the nodes and the provisioner's pods on them together.
func (d *observation) nodes() {
	s, o := d.s, &d.objects
	if !s.Unread[snapshot.PartNodes].IsZero() {
		d.nameNodes()
	}
	all := make([]corev1.Node, 0, len(o.nodes))
	for _, n := range o.nodes {
		all = append(all, n)
	}
	var own []corev1.Pod
	if len(d.installs) > 0 {
		own = d.installs[0].own
	}
	s.Nodes = join(s.Install, all, own)
	for i := range s.Others {
		in := d.installs[i+1]
		s.Others[i].Nodes = presences(join(in.install, all, in.own))
	}
	busy := make(map[string]bool)
	for name, v := range o.volumes {
		v.Node = s.NodeByHostname(v.Node)
		o.volumes[name], busy[v.Node] = v, true
	}
	s.Volumes = sorted(o.volumes)
	for _, p := range o.pods {
		busy[p.Node] = true
	}
	// A provisioner that is meant for no node at all is not meant to be so. Who acts leaves nodes out by name.
	leave := d.whole && !d.request.Strict && slices.ContainsFunc(s.Nodes, s.WantedBy)
	for i := range s.Nodes {
		n := &s.Nodes[i]
		n.Skipped = leave && !s.WantedBy(*n) && !busy[n.Name] || !d.whole && !o.wantedNodes[n.Name]
		if len(d.installs) == 0 {
			d.podless(n)
			continue
		}
		n.Pod = d.podOf(n, n.Pod, d.installs[0])
		if n.UID == "" && !s.Unread[snapshot.PartNodes].IsZero() && d.installs[0].state.PodsProblem.IsZero() {
			n.NotReady = "" // It is known by its name only.
		}
		for k := range s.Others {
			here := s.Others[k].Nodes[n.Name]
			here.Pod = d.podOf(n, here.Pod, d.installs[k+1])
			s.Others[k].Nodes[n.Name] = here
		}
	}
}

// podOf is an installation's pod on a node, of which here is what was read of its pods and of the node.
func (d *observation) podOf(n *snapshot.Node, here snapshot.Section[snapshot.Pod], in *installation) snapshot.Section[snapshot.Pod] {
	switch {
	case n.Skipped && !d.whole: // Its pods were not read.
		return snapshot.Section[snapshot.Pod]{}
	case !in.state.PodsProblem.IsZero(): // That it has no pod anywhere is not known.
		return snapshot.Unread[snapshot.Pod](in.state.PodsProblem)
	case n.UID == "" && !d.s.Unread[snapshot.PartNodes].IsZero():
		return podOn(n.Name, in.install, in.own, d.s.Unread[snapshot.PartNodes])
	}
	return here
}

// nameNodes adds the nodes that could not be read but are known, by name, from what lies
// on them. Nothing else is known of them.
func (d *observation) nameNodes() {
	o := &d.objects
	names := slices.Collect(maps.Keys(o.wantedNodes))
	if d.whole {
		for _, v := range o.volumes {
			names = append(names, v.Node)
		}
		for _, p := range o.pods {
			names = append(names, p.Node)
		}
		for _, p := range d.allOwn() {
			names = append(names, p.Spec.NodeName)
		}
	}
	for _, name := range names {
		if _, ok := o.nodes[name]; !ok && name != "" {
			n := corev1.Node{}
			n.Name = name
			o.nodes[name] = n
		}
	}
}

// podOn is an installation's pod on a node of which nothing else is known, which why tells.
func podOn(node string, install provisioner.Install, own []corev1.Pod, why problem.Problem) snapshot.Section[snapshot.Pod] {
	here := slices.DeleteFunc(slices.Clone(own), func(p corev1.Pod) bool { return p.Spec.NodeName != node })
	pod, down := runningPod(install, here)
	if pod == nil {
		return snapshot.Unread[snapshot.Pod](cmp.Or(down, why))
	}
	return snapshot.Read(podOf(install, pod))
}

// finish puts what was read into the snapshot, without the labels that nobody asks for.
func (d *observation) finish() {
	s, o := d.s, &d.objects
	if d.request.wants(Server) {
		s.Time = d.clock.now()
	}
	s.Recall(d.records)
	if len(s.Unread) == 0 {
		s.Unread = nil
	}
	if d.request.wants(Users) {
		s.Users = snapshot.Read(o.users)
		if !o.podsProblem.IsZero() {
			s.Users = snapshot.Unread[map[snapshot.ClaimRef][]string](o.podsProblem)
		}
	}
	if !d.request.wants(Workload) {
		return
	}
	switch {
	case !o.claimsProblem.IsZero():
		s.Claims = snapshot.Unread[[]snapshot.Claim](o.claimsProblem)
	case !o.podsProblem.IsZero() && len(o.claims) == 0: // It is not known which to read.
	default:
		s.Claims = snapshot.Read(sorted(o.claims))
	}
	if !o.podsProblem.IsZero() {
		s.Pods = snapshot.Unread[[]snapshot.UserPod](o.podsProblem)
	} else {
		s.Pods = snapshot.Read(sorted(o.pods))
	}
	if d.whole && s.Pods.Value != nil {
		s.Users = snapshot.Read(users(*s.Pods.Value))
	}
	for i, t := range s.Targets {
		switch t.Kind {
		case kindPod:
			s.Targets[i].UID = o.pods[key(t.Namespace, t.Name)].UID
		case kindClaim:
			s.Targets[i].UID = o.claims[key(t.Namespace, t.Name)].UID
		case kindVolume:
			s.Targets[i].UID = o.volumes[t.Name].UID
		case kindNode:
			s.Targets[i].UID = o.nodes[t.Name].UID
		}
	}
	forgetLabels(s)
}

// users are the pods of each claim.
func users(pods []snapshot.UserPod) map[snapshot.ClaimRef][]string {
	by := make(map[snapshot.ClaimRef][]string)
	for _, p := range pods {
		for _, ref := range claimsOf(p) {
			by[ref] = append(by[ref], p.Name)
		}
	}
	return by
}

// forgetLabels leaves the labels that a selector in the snapshot asks for. Others are
// nobody's business.
func forgetLabels(s *snapshot.Snapshot) {
	ofNodes := map[string]bool{corev1.LabelHostname: true}
	for _, as := range s.Installations() {
		for k := range as.Install.NodeSelector {
			ofNodes[k] = true
		}
	}
	if s.Pods.Value != nil {
		for _, p := range *s.Pods.Value {
			for k := range p.NodeSelector {
				ofNodes[k] = true
			}
			for _, term := range p.NodeAffinity {
				addKeys(ofNodes, term)
			}
		}
	}
	ofVolumes := make(map[string]bool)
	if s.Claims.Value != nil {
		for _, c := range *s.Claims.Value {
			addKeys(ofVolumes, c.Selector)
		}
	}
	for i := range s.Nodes {
		s.Nodes[i].Labels = only(s.Nodes[i].Labels, ofNodes)
	}
	for i := range s.Volumes {
		s.Volumes[i].Labels = only(s.Volumes[i].Labels, ofVolumes)
	}
}

// addKeys adds the labels that a selector asks for.
func addKeys(keys map[string]bool, selector string) {
	parsed, err := labels.Parse(selector)
	if err != nil {
		return
	}
	requirements, _ := parsed.Requirements()
	for _, r := range requirements {
		keys[r.Key()] = true
	}
}

func only(all map[string]string, keys map[string]bool) map[string]string {
	kept := make(map[string]string)
	for k, v := range all {
		if keys[k] {
			kept[k] = v
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// key names an object of a namespace.
func key(namespace, name string) string { return namespace + "/" + name }

// notThere is the error about targets that do not exist.
func notThere(refs []snapshot.Ref) error {
	if len(refs) == 0 {
		return nil
	}
	var parts []failure.Part
	for _, r := range refs {
		text, hint := "does not exist", shell.Command("kubectl", "get", r.Kind)
		if r.Namespace != "" {
			text, hint = "does not exist in namespace \""+r.Namespace+"\"", shell.Command("kubectl", "-n", r.Namespace, "get", r.Kind)
		}
		if len(refs) == 1 {
			return failure.New("\""+r.String()+"\" "+text, hint)
		}
		parts = append(parts, failure.Part{Subject: r.String(), Err: failure.New("it "+text, hint)})
	}
	return failure.Several("not all targets exist", parts)
}

// classNames are the classes of what is observed.
func (d *observation) classNames() []string {
	var names []string
	for _, c := range d.objects.claims {
		if c.Class != nil && c.NotLocal == "" {
			names = append(names, *c.Class)
		}
	}
	for _, v := range d.objects.volumes {
		names = append(names, v.Class)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
