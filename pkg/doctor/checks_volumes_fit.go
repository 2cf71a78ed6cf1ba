// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// seeksVolume tells a claim that should get a volume of a local class now: a pod needs
// it, or its class does not wait for one.
func seeksVolume(s *Subject) bool {
	local := s.Class != nil || s.StorageClass != nil && s.StorageClass.Provisioner == noProvisioner
	return pending(s) && s.ClassName != "" && local && (s.Pod != nil || s.StorageClass != nil && !s.waits())
}

// misfit is why a claim gets no volume.
type misfit struct {
	code    Code
	finding Finding
	// unknown is why it is not known.
	unknown problem.Problem
}

// misfitOf runs the check of one reason for which a claim gets no volume.
func misfitOf(code Code) func(*Subject) Verdict {
	return func(s *Subject) Verdict {
		m := s.misfit()
		switch {
		case !m.unknown.IsZero():
			return unknown("%s", m.unknown)
		case m.code == code:
			return found(m.finding)
		}
		return fine()
	}
}

// misfit removes from the volumes of the claim's class those that do not do, one
// condition after the other. The one that leaves none is the cause.
func (s *Subject) misfit() misfit {
	// A claim that names a volume can get no other.
	if named := s.index.volumes[s.Claim.Volume]; named == nil && !s.Snapshot.AllVolumes && len(s.Snapshot.Targets) > 0 {
		return misfit{unknown: problem.Text("not all volumes of the cluster were read")}
	}
	c := s.Claim
	left := s.volumesOfClass()
	all := len(left)
	why := func(code Code, summary, because string, evidence []string, fix ...Step) misfit {
		return misfit{
			code:    code,
			finding: Finding{Summary: summary, Because: because, Evidence: append(evidence, s.schedulerSays()...), Fix: fix},
		}
	}
	list := Step{Text: "the volumes there are:", Command: "kubectl get pv"}
	recreate := Step{
		Text:    "or change the claim, which has to be recreated for it:",
		Command: shell.Command("kubectl", "-n", c.Namespace, "delete", "pvc", c.Name),
	}
	more := Step{Text: "link another disk; the disks there are:", Command: "kubectl talosdisk disks"}

	free := keep(left, func(v *snapshot.Volume) bool { return s.free(v) })
	if len(free) == 0 {
		because := fmt.Sprintf("class %q has no volume at all", s.ClassName)
		if all > 0 {
			because = fmt.Sprintf("of the %d volumes of class %q none is Available: %s", all, s.ClassName, phases(left))
		}
		fix := []Step{more, list}
		var evidence []string
		if earlier := s.ofEarlier(); earlier != nil {
			because += fmt.Sprintf("; volume %q is kept for an earlier claim of the name: claims are known by UID", earlier.Name)
			evidence = append(evidence, earlierText(earlier, c))
			if step, ok := giveBack(earlier, c); ok {
				fix = slices.Insert(fix, 0, step)
			}
		}
		down, see := s.provisionersDown()
		if len(down) > 0 {
			because += "; the provisioner does not run everywhere, so that there may be disks that it has not published"
			fix = slices.Insert(fix, 0, see...)
		}
		return why(codeAllTaken, fmt.Sprintf("no volume of class %q is free for claim %q", s.ClassName, s.ClaimRef), because,
			append(evidence, down...), fix...)
	}
	left = keep(free, func(v *snapshot.Volume) bool { return v.Mode == c.Mode })
	if len(left) == 0 {
		return why(codeOtherMode, fmt.Sprintf("claim %q asks for volumeMode %s, and no free volume of class %q has it", s.ClaimRef, c.Mode,
			s.ClassName),
			"a volume's volumeMode is that of its class in the provisioner's configuration",
			volumeLines(free, func(v *snapshot.Volume) string { return string(v.Mode) }),
			Step{
				Text:    fmt.Sprintf("set volumeMode: %s in the claim, or name another class; it has to be recreated:", free[0].Mode),
				Command: recreate.Command,
			})
	}
	before := left
	left = keep(left, func(v *snapshot.Volume) bool { return holds(v.AccessModes, c.AccessModes) })
	if len(left) == 0 {
		return why(codeOtherAccessMode, fmt.Sprintf("claim %q asks for %s, and no free volume of class %q has it", s.ClaimRef,
			strings.Join(c.AccessModes, ", "), s.ClassName),
			"a disk is in one node: local volumes are ReadWriteOnce",
			volumeLines(before, func(v *snapshot.Volume) string { return strings.Join(v.AccessModes, ", ") }),
			Step{Text: "set accessModes: [ReadWriteOnce] in the claim; it has to be recreated:", Command: recreate.Command})
	}
	before = left
	selector, err := labels.Parse(c.Selector)
	if err != nil {
		return misfit{unknown: problem.Because("the selector of claim %q could not be read: %v", s.ClaimRef, err)}
	}
	left = keep(left, func(v *snapshot.Volume) bool { return selector.Matches(labels.Set(v.Labels)) })
	if len(left) == 0 {
		return why(codeOtherLabels, fmt.Sprintf("claim %q selects volumes by %s, and no free volume of class %q matches", s.ClaimRef, c.Selector,
			s.ClassName),
			"the provisioner gives volumes only the labels that its configuration names (labelsForPV, nodeLabelsForPV)",
			volumeLines(before, func(v *snapshot.Volume) string { return cmp.Or(labels.Set(v.Labels).String(), "no labels") }),
			Step{Text: "label a volume, or take the selector out of the claim:", Command: "kubectl get pv --show-labels"}, recreate)
	}
	before = left
	left = keep(left, func(v *snapshot.Volume) bool { return v.Capacity >= c.Request })
	if len(left) == 0 {
		largest := slices.MaxFunc(before, func(a, b *snapshot.Volume) int { return int(min(1, max(-1, a.Capacity-b.Capacity))) })
		because := fmt.Sprintf("the largest of %d is %q with %s", len(before), largest.Name, size(largest.Capacity))
		if short := c.Request - largest.Capacity; short < 1<<30 {
			because += "; the provisioner rounds a disk's size down to whole Gi"
		}
		return why(codeTooSmall, fmt.Sprintf("claim %q asks for %s, and no free volume of class %q is that large", s.ClaimRef, size(c.Request),
			s.ClassName), because,
			volumeLines(before, func(v *snapshot.Volume) string { return size(v.Capacity) }),
			Step{
				Text:    fmt.Sprintf("ask for no more than %s in the claim; it has to be recreated:", size(largest.Capacity)),
				Command: recreate.Command,
			}, more)
	}
	if s.Pod == nil {
		return misfit{}
	}
	return s.elsewhere(left, why)
}

// provisionersDown are the nodes that should have a provisioner pod and have none that runs,
// as evidence, and where to see why. Of nodes that were not looked at there is only how many. It is about
// every installation that has the claim's class.
func (s *Subject) provisionersDown() (all []string, see []Step) {
	for _, as := range s.index.all() {
		i := as.Install
		if _, ok := i.ClassOf(s.ClassName); !ok && as != s.Snapshot {
			continue
		}
		var down []string
		for _, n := range as.Nodes {
			if n.Wanted && !n.Skipped && n.Pod.Value == nil && !n.Pod.Problem.IsZero() {
				down = append(down, fmt.Sprintf("no provisioner runs on %s: %s", n.Name, n.Pod.Problem))
			}
		}
		slices.Sort(down)
		if state := as.Provisioner.Value; state != nil && len(down) == 0 && state.Ready < state.Desired {
			down = []string{fmt.Sprintf("the provisioner is ready on %d of the %d nodes that should have it", state.Ready, state.Desired)}
		}
		if len(down) > 0 {
			see = append(see, Step{
				Text:    "see where the provisioner does not run:",
				Command: shell.Command("kubectl", "-n", i.Namespace, "get", "pods", "-o", "wide"),
			})
		}
		all = append(all, down...)
	}
	return once(all), once(see)
}

// elsewhere is the misfit of volumes that all lie on nodes that the pod cannot go to.
func (s *Subject) elsewhere(left []*snapshot.Volume, why func(Code, string, string, []string, ...Step) misfit) misfit {
	var lines, unseen []string
	for _, v := range left {
		node := s.index.nodes[v.Node]
		switch {
		case node == nil && !s.Snapshot.Unread[snapshot.PartNodes].IsZero():
			unseen = append(unseen, v.Node)
		case node == nil:
			lines = append(lines, fmt.Sprintf("%s on %s: the node does not exist", v.Name, v.Node))
		default:
			bar := keepsAway(s.Pod, node)
			if bar.why == "" {
				return misfit{}
			}
			lines = append(lines, fmt.Sprintf("%s on %s: %s", v.Name, v.Node, bar.why))
		}
	}
	if len(unseen) > 0 {
		return misfit{unknown: s.Snapshot.Unread[snapshot.PartNodes]}
	}
	return why(codeOtherNodes, fmt.Sprintf("volumes that fit claim %q are only on nodes that pod %q cannot go to", s.ClaimRef, s.Pod.Name),
		"a local volume's pod runs where the disk is", lines,
		Step{
			Text:    "let the pod go there (nodeSelector, affinity, tolerations), free the node, or link a disk on another:",
			Command: "kubectl talosdisk disks",
		})
}

// volumesOfClass are the candidates: those of the claim's class, or the one that it names.
func (s *Subject) volumesOfClass() []*snapshot.Volume {
	var of []*snapshot.Volume
	for i := range s.Snapshot.Volumes {
		if v := &s.Snapshot.Volumes[i]; v.Class == s.ClassName && (s.Claim.Volume == "" || s.Claim.Volume == v.Name) {
			of = append(of, v)
		}
	}
	return of
}

// free tells a volume that the claim could get: one without a claim, or kept for this one.
func (s *Subject) free(v *snapshot.Volume) bool {
	return !v.Deleting && v.Phase == "Available" && (v.Claim == nil || *v.Claim == *s.ClaimRef && !isEarlier(v, s.Claim))
}

func keep(volumes []*snapshot.Volume, ok func(*snapshot.Volume) bool) []*snapshot.Volume {
	return slices.DeleteFunc(slices.Clone(volumes), func(v *snapshot.Volume) bool { return !ok(v) })
}

func holds(all, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(m string) bool { return !slices.Contains(all, m) })
}

// phases counts: "2 Bound, 1 Released".
func phases(volumes []*snapshot.Volume) string {
	count := make(map[string]int)
	var names []string
	for _, v := range volumes {
		phase := v.Phase
		switch {
		case v.Deleting:
			phase = "being deleted"
		case v.Phase == "Available" && v.Claim != nil:
			phase = "kept for another claim"
		}
		if count[phase]++; count[phase] == 1 {
			names = append(names, phase)
		}
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", count[name], name)
	}
	return strings.Join(names, ", ")
}

// volumeLines are volumes with one of their properties, as evidence.
func volumeLines(volumes []*snapshot.Volume, what func(*snapshot.Volume) string) []string {
	var lines []string
	for _, v := range volumes {
		lines = append(lines, fmt.Sprintf("%s on %s: %s", v.Name, v.Node, what(v)))
	}
	slices.Sort(lines)
	return lines
}

// schedulerSays is the scheduler's own word on the pod, where it is about volumes.
func (s *Subject) schedulerSays() []string {
	if s.Pod == nil || s.Pod.Unscheduled == "" {
		return nil
	}
	return []string{"the scheduler: " + oneLine(s.Pod.Unscheduled)}
}

// obstacle is what keeps a pod from a node; cordon: that the node is cordoned.
type obstacle struct {
	why    string
	cordon bool
}

// keepsAway is why a pod cannot be scheduled to a node, as far as selectors, taints
// and the node's own state tell; empty if nothing does.
func keepsAway(p *snapshot.UserPod, n *snapshot.Node) obstacle {
	for key, want := range p.NodeSelector {
		if n.Labels[key] != want {
			return obstacle{why: fmt.Sprintf("the pod's nodeSelector asks for %s", labels.Set(p.NodeSelector))}
		}
	}
	if len(p.NodeAffinity) > 0 && !slices.ContainsFunc(p.NodeAffinity, func(term string) bool { return meets(term, n) }) {
		return obstacle{why: "the pod's node affinity asks for " + strings.Join(p.NodeAffinity, " or ")}
	}
	for _, t := range n.Taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule || tolerated(t, p.Tolerations) {
			continue
		}
		if t.Key == corev1.TaintNodeUnschedulable {
			return obstacle{why: "it is cordoned", cordon: true}
		}
		return obstacle{why: "it has the taint " + t.ToString()}
	}
	switch {
	case n.Unschedulable && !tolerated(corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}, p.Tolerations):
		return obstacle{why: "it is cordoned", cordon: true}
	case !n.Ready:
		return obstacle{why: "it is not Ready"}
	}
	return obstacle{}
}

// meets reports whether a node meets a term of a node affinity. One that cannot be read
// is taken to be met: it is no proof.
func meets(term string, n *snapshot.Node) bool {
	selector, err := labels.Parse(term)
	if err != nil {
		return true
	}
	set := labels.Set{"metadata.name": n.Name}
	for k, v := range n.Labels {
		set[k] = v
	}
	return selector.Matches(set)
}

func tolerated(t corev1.Taint, tolerations []corev1.Toleration) bool {
	return slices.ContainsFunc(tolerations, func(o corev1.Toleration) bool {
		switch {
		case o.Effect != "" && o.Effect != t.Effect, o.Key != "" && o.Key != t.Key:
			return false
		case o.Operator == corev1.TolerationOpExists:
			return true
		}
		return o.Key != "" && o.Value == t.Value
	})
}
