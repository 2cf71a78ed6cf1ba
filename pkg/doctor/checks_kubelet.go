// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// The codes of the checks of the kubelet.
const (
	codeUnseenDirectory Code = "TD0401"
	codeNotInForce      Code = "TD0402"
	codeBindForRbind    Code = "TD0403"
	codePropagation     Code = "TD0404"
	codeLeakedMounts    Code = "TD0405"
	codeOtherSource     Code = "TD0406"
	codeEmptyDocument   Code = "TD0407"
	codeReadOnlyMount   Code = "TD0408"
	codeNeedlessEntry   Code = "TD0409"
	codeBadEntry        Code = "TD0410"
	codeRestartHazard   Code = "TD0411"
)

// kubeletChecks are those of what the kubelet sees. Package mounts judges; here its
// judgement is put in relation to the volumes that suffer.
func kubeletChecks() []Check {
	return []Check{
		{
			Code: codeUnseenDirectory, Title: "the kubelet does not see the directory", Severity: Error, Stage: StageKubelet, About: OfNode,
			Needs: []Need{NeedInstall, NeedVolumes},
			// One look at a node tells all that is wrong with its kubelet: which directories it must see, what it sees of them, and who
			// suffers. Where nobody looked, the node may have the directory anyway.
			Uses:    []Need{NeedPods, NeedEvents, NeedView, NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts, NeedTalosMounts},
			Applies: runsTalos,
			Run:     ofKubelet(codeUnseenDirectory),
		},
		{
			Code: codeNotInForce, Title: "a mount is configured and not in force", Severity: Error, Stage: StageKubelet, About: OfNode,
			Needs:   []Need{NeedKubeletConfig},
			Uses:    []Need{NeedInstall, NeedVolumes, NeedPods, NeedEvents, NeedView, NeedKubeletView, NeedKubeletMounts},
			Applies: runsTalos,
			Run:     ofKubelet(codeNotInForce),
		},
		{
			Code: codeBindForRbind, Title: "bind where rbind is needed", Severity: Error, Stage: StageKubelet, About: OfNode,
			Needs: []Need{NeedKubelet},
			Uses: []Need{NeedInstall, NeedVolumes, NeedPods, NeedEvents, NeedView, NeedKubeletConfig, NeedKubeletView,
				NeedKubeletMounts},
			Applies: runsTalos,
			Run:     ofKubelet(codeBindForRbind),
		},
		{
			Code: codePropagation, Title: "propagation hides later mounts", Severity: Error, Stage: StageKubelet, About: OfNode,
			Needs: []Need{NeedKubelet},
			Uses: []Need{NeedInstall, NeedVolumes, NeedPods, NeedEvents, NeedView, NeedKubeletConfig, NeedKubeletView,
				NeedKubeletMounts},
			Applies: runsTalos,
			Run:     ofKubelet(codePropagation),
		},
		{
			Code: codeLeakedMounts, Title: "entries upon each other leak mounts", Severity: Error, Stage: StageKubelet, About: OfNode,
			Needs: []Need{NeedKubelet},
			Uses: []Need{NeedInstall, NeedVolumes, NeedPods, NeedEvents, NeedView, NeedKubeletConfig, NeedKubeletView,
				NeedKubeletMounts},
			Applies: runsTalos,
			Run:     ofKubelet(codeLeakedMounts),
		},
		{
			Code: codeOtherSource, Title: "source and destination of an entry differ", Severity: Error, Stage: StageKubelet, About: OfNode,
			Needs: []Need{NeedKubelet},
			Uses: []Need{NeedInstall, NeedVolumes, NeedPods, NeedEvents, NeedView, NeedKubeletConfig, NeedKubeletView,
				NeedKubeletMounts},
			Applies: runsTalos,
			Run:     ofKubelet(codeOtherSource),
		},
		{
			Code: codeEmptyDocument, Title: "a KubeletConfig document has no extraMounts",
			Severity: Error, Stage: StageKubelet, About: OfNode,
			Needs:   []Need{NeedInstall, NeedVolumes, NeedKubeletConfig},
			Uses:    []Need{NeedPods, NeedEvents, NeedView, NeedKubeletView, NeedKubeletMounts},
			Applies: runsTalos,
			Run:     ofKubelet(codeEmptyDocument),
		},
		{
			Code: codeReadOnlyMount, Title: "a directory is read-only in the kubelet", Severity: Error, Stage: StageKubelet, About: OfNode,
			Needs:   []Need{NeedKubeletConfig},
			Uses:    []Need{NeedInstall, NeedVolumes, NeedPods, NeedEvents, NeedView, NeedKubeletView, NeedKubeletMounts},
			Applies: runsTalos,
			Run:     ofKubelet(codeReadOnlyMount),
		},
		{
			Code: codeNeedlessEntry, Title: "an entry is needless", Severity: Info, Stage: StageKubelet, About: OfNode,
			Needs:   []Need{NeedKubeletConfig},
			Applies: runsTalos,
			Run:     ofKubelet(codeNeedlessEntry),
		},
		{
			Code: codeBadEntry, Title: "an entry keeps the kubelet down", Severity: Error, Stage: StageKubelet, About: OfNode,
			Needs:   []Need{NeedKubeletConfig},
			Uses:    []Need{NeedInstall, NeedVolumes, NeedPods, NeedEvents, NeedView, NeedKubeletView, NeedKubeletMounts},
			Applies: runsTalos,
			Run:     ofKubelet(codeBadEntry),
		},
		{
			Code: codeRestartHazard, Title: "a release on which a kubelet restart is dangerous",
			Severity: Info, Stage: StageKubelet, About: OfNode,
			Needs: []Need{NeedKubelet},
			Uses: []Need{NeedInstall, NeedVolumes, NeedPods, NeedEvents, NeedView, NeedKubeletConfig, NeedKubeletView,
				NeedKubeletMounts, NeedTalosMounts},
			Applies: runsTalos,
			Run:     ofKubelet(codeRestartHazard),
		},
	}
}

// kubeletReport is all that is wrong with what one node's kubelet sees.
type kubeletReport struct {
	findings []Finding
	// unknown is why a code is not known either way.
	unknown map[Code]problem.Problem
}

func (r *kubeletReport) verdict(code Code) Verdict {
	v := Verdict{Unknown: r.unknown[code]}
	for _, f := range r.findings {
		if f.Code == code {
			v.Findings = append(v.Findings, f)
		}
	}
	return v
}

// add takes a finding in, or what it says as more evidence for the one about the
// same directory.
func (r *kubeletReport) add(f Finding) {
	for i, have := range r.findings {
		if have.Code == f.Code && (within(f.Path, have.Path) || within(have.Path, f.Path)) {
			r.findings[i].Evidence = once(slices.Concat(have.Evidence, f.Evidence))
			return
		}
	}
	r.findings = append(r.findings, f)
}

func (r *kubeletReport) cannotTell(why problem.Problem, codes ...Code) {
	for _, code := range codes {
		if r.unknown[code].IsZero() {
			r.unknown[code] = why
		}
	}
}

// ofKubelet runs the check of one thing that can be wrong with what a node's kubelet sees.
func ofKubelet(code Code) func(*Subject) Verdict {
	return func(s *Subject) Verdict { return judgeKubelet(s).verdict(code) }
}

// judgeKubelet looks at one node once; all checks of the room pick from it.
func judgeKubelet(s *Subject) *kubeletReport {
	if s.kubelet != nil {
		return s.kubelet
	}
	j := kubeletJudge{s: s, node: s.Node, report: &kubeletReport{unknown: make(map[Code]problem.Problem)}, byDir: make(map[Code][]hiddenDir)}
	if s.Node.Kubelet.Value != nil {
		j.state, j.reported = *s.Node.Kubelet.Value, true
		j.findFaults()
	}
	for _, dir := range s.localDirs() {
		j.dir(dir)
	}
	j.hidden(codeUnseenDirectory)
	j.hidden(codeEmptyDocument)
	if j.reported {
		j.entries()
		j.readOnlyRoot()
		j.hazard()
	}
	s.kubelet = j.report
	return s.kubelet
}

// localDirs are the directories of the node that its kubelet must see: of the
// classes, where the provisioner is meant to run, and of local volumes that lie elsewhere.
func (s *Subject) localDirs() []string {
	var dirs []string
	if s.Node.Wanted {
		dirs = s.Snapshot.Install.HostDirs()
	}
	for _, v := range s.Snapshot.Volumes {
		if v.Node != s.NodeName || v.Path == "" || s.foreign(v) ||
			slices.ContainsFunc(dirs, func(dir string) bool { return within(v.Path, dir) }) {
			continue
		}
		dirs = append(dirs, parent(v.Path))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// affected are those who suffer from what is wrong with a directory of the node: pods,
// of volumes without pods the volumes, and where there are none the node.
func (s *Subject) affected(dir string) []snapshot.Ref {
	var refs []snapshot.Ref
	for _, v := range s.volumesHere() {
		if !within(v.Path, dir) {
			continue
		}
		var pods []*snapshot.UserPod
		if v.Claim != nil {
			pods = s.index.pods[*v.Claim]
		}
		for _, p := range pods {
			refs = append(refs, snapshot.Ref{Kind: "pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID})
		}
		if len(pods) == 0 {
			refs = append(refs, snapshot.Ref{Kind: "pv", Name: v.Name, UID: v.UID})
		}
	}
	if len(refs) == 0 {
		return []snapshot.Ref{{Kind: "node", Name: s.Node.Name, UID: s.Node.UID}}
	}
	slices.SortFunc(refs, func(a, b snapshot.Ref) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return once(refs)
}

// chainsIn are the chains of pods on the node whose volumes lie in a directory.
func (s *Subject) chainsIn(dir string) []*Subject {
	var chains []*Subject
	for _, v := range s.index.byNode[s.NodeName] {
		if v.Claim == nil || !within(v.Path, dir) {
			continue
		}
		for _, p := range s.index.pods[*v.Claim] {
			for _, c := range s.index.podChains(p) {
				if c.Volume != nil && c.Volume.Name == v.Name {
					chains = append(chains, c)
				}
			}
		}
	}
	slices.SortFunc(chains, func(a, b *Subject) int { return cmp.Compare(a.Name, b.Name) })
	return chains
}

// edit is the step of changing the machine configuration by hand. No patch is
// offered: Talos's merge appends to the list of extraMounts.
func edit(n *snapshot.Node, what string) Step {
	return Step{Text: what, Command: shell.Command("talosctl", "-n", address(n), "edit", "machineconfig", "--mode", "no-reboot")}
}

// restartKubelet are the steps that put in force what is configured already.
func restartKubelet(n *snapshot.Node, v talosrelease.Release) []Step {
	steps := []Step{{
		Text:    "restart the kubelet; pods keep running:",
		Command: shell.Command("talosctl", "-n", address(n), "service", "kubelet", "restart"),
	}}
	if hazard := v.RestartHazard(); hazard != "" {
		steps = append([]Step{{Text: "upgrade Talos first: " + hazard}}, steps...)
	}
	return steps
}
