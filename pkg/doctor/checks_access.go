// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rights"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The codes of the checks of what could not be looked at.
const (
	// CodeRights: rights in Kubernetes are missing.
	CodeRights           Code = "TD0101"
	codeNoTalosconfig    Code = "TD0102"
	codeTalosUnreachable Code = "TD0103"
	codeTalosExpired     Code = "TD0104"
	codeTalosDenied      Code = "TD0105"
	codeNotTalos         Code = "TD0106"
	codeNodeNotReady     Code = "TD0107"
)

// accessChecks are those of what could not be looked at.
func accessChecks() []Check {
	return []Check{
		{
			Code: CodeRights, Title: "Kubernetes rights are missing", Severity: Warning, Stage: StageAccess, About: OfCluster,
			// This is about what could not be read, and so about every part that comes from Kubernetes; the next ones about those that
			// come from Talos.
			Uses: []Need{NeedNodes, NeedInstall, NeedVolumes, NeedStorageClasses, NeedClaims, NeedPods, NeedEvents, NeedProvisioner,
				NeedPod, NeedView, NeedStats},
			Run: rightsMissing,
		},
		{
			Code: codeNoTalosconfig, Title: "Talos is not configured", Severity: Info, Stage: StageAccess, About: OfCluster,
			Uses: []Need{NeedNodes, NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts, NeedTalosDisks, NeedTalosVolumes,
				NeedTalosMounts, NeedTalosDevices, NeedSelections},
			Run: talosNotConfigured,
		},
		{
			Code: codeTalosUnreachable, Title: "Talos is out of reach", Severity: Warning, Stage: StageAccess, About: OfNode,
			Uses: []Need{NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts, NeedTalosDisks, NeedTalosVolumes, NeedTalosMounts,
				NeedTalosDevices, NeedSelections},
			Applies: runsTalos,
			Run:     talosOutOfReach,
		},
		{
			Code: codeTalosExpired, Title: "the Talos client certificate has ended", Severity: Warning, Stage: StageAccess, About: OfNode,
			Uses: []Need{NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts, NeedTalosDisks, NeedTalosVolumes, NeedTalosMounts,
				NeedTalosDevices, NeedSelections},
			Applies: runsTalos,
			Run:     talosExpired,
		},
		{
			Code: codeTalosDenied, Title: "the Talos role is too weak", Severity: Info, Stage: StageAccess, About: OfNode,
			Uses: []Need{NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts, NeedTalosDisks, NeedTalosVolumes, NeedTalosMounts,
				NeedTalosDevices, NeedSelections},
			Applies: runsTalos,
			Run:     talosDenied,
		},
		{
			Code: codeNotTalos, Title: "the node does not run Talos", Severity: Info, Stage: StageAccess, About: OfNode,
			Needs: []Need{NeedNodes},
			Run:   notTalos,
		},
		{
			Code: codeNodeNotReady, Title: "the node is not Ready", Severity: Error, Stage: StageAccess, About: OfNode,
			Needs: []Need{NeedNodes},
			// Talos tells how the kubelet does.
			Uses: []Need{NeedTalos},
			Run:  nodeNotReady,
		},
	}
}

// nodeProxy is the kubelet's whole API: who may get it can run commands in every pod
// (kubernetes.io, "Good practices for Kubernetes RBAC").
const nodeProxy = "nodes/proxy"

// jobs are what --probe makes in kube-system, where nothing keeps a pod from the node.
const jobs = "jobs.batch"

// rightText is the right as a sentence goes on.
func rightText(r rights.Right) string {
	where := "in all namespaces"
	if r.Namespace != "" {
		where = fmt.Sprintf("in namespace %q", r.Namespace)
	}
	return fmt.Sprintf("%s %s %s", r.Verb, r.Qualified(), where)
}

// missingRight is a right, and who lacks it.
type missingRight struct {
	user string
	rights.Right
}

// rightsMissing gathers what Kubernetes refused from everything that it was asked for.
func rightsMissing(s *Subject) Verdict {
	var all []missingRight
	for _, p := range kubernetesProblems(s.Snapshot) {
		if p.Forbidden == nil {
			continue
		}
		for _, r := range p.Forbidden.Missing {
			all = append(all, missingRight{p.Forbidden.User, r})
		}
	}
	if len(all) == 0 {
		return fine()
	}
	slices.SortFunc(all, func(a, b missingRight) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Qualified(), b.Qualified()),
			cmp.Compare(a.user, b.user))
	})
	all = slices.Compact(all)
	f := Finding{
		Summary: fmt.Sprintf("%q lacks rights in Kubernetes that a diagnosis needs", all[0].user),
		Because: "what it may not read is unknown here, not in order",
	}
	for _, r := range all {
		f.Evidence = append(f.Evidence, "forbidden: "+rightText(r.Right))
	}
	toGive := slices.DeleteFunc(slices.Clone(all), func(r missingRight) bool { return r.Qualified() == nodeProxy })
	if len(toGive) > 0 {
		f.Fix = grants(toGive)
	} else {
		f.Severity = Info
	}
	if len(toGive) < len(all) {
		f.Fix = append(f.Fix, Step{
			Text: "do without " + nodeProxy +
				", which tells only how large the file systems in pods are: who has it can run commands in every pod of the cluster",
		})
	}
	return found(f)
}

// kubernetesProblems are why parts of the snapshot that come from the API server are not there.
func kubernetesProblems(s *snapshot.Snapshot) []problem.Problem {
	problems := slices.Collect(maps.Values(s.Unread))
	problems = append(problems, s.Users.Problem, s.Claims.Problem, s.Pods.Problem, s.Events.Problem, s.Provisioner.Problem)
	for _, n := range s.Nodes {
		problems = append(problems, n.Pod.Problem, n.View.Problem, n.Stats.Problem, n.Probe.Problem)
	}
	if state := s.Provisioner.Value; state != nil {
		problems = append(problems, state.PodSecurityProblem, state.PodsProblem, state.Jobs.Problem)
		problems = slices.AppendSeq(problems, maps.Values(state.LogProblem))
	}
	return problems
}

// grants are the commands with which an administrator gives the rights: a role for each
// verb and place, since kubectl's roles give every verb on every resource.
func grants(missing []missingRight) []Step {
	steps := []Step{{Text: "an administrator can allow it with:"}}
	type role struct{ user, verb, namespace string }
	var order []role
	resources := make(map[role][]string)
	for _, r := range missing {
		k := role{r.user, r.Verb, r.Namespace}
		if resources[k] == nil {
			order = append(order, k)
		}
		resources[k] = append(resources[k], r.Qualified())
	}
	for _, k := range order {
		name, of, kubectl := "talosdisk-"+k.verb, "clusterrole", []string{"kubectl"}
		if k.namespace != "" {
			of, kubectl = "role", append(kubectl, "-n", k.namespace)
		}
		subject := "--user=" + k.user
		if account, ok := strings.CutPrefix(k.user, "system:serviceaccount:"); ok {
			subject = "--serviceaccount=" + account
		}
		create := func(words ...string) string {
			return shell.Command(slices.Concat(kubectl, []string{"create"}, words)...)
		}
		steps = append(steps,
			Step{Text: warning(k.verb, resources[k]), Command: create(of, name, "--verb="+k.verb, "--resource="+strings.Join(resources[k], ","))},
			Step{Command: create(of+"binding", name, "--"+of+"="+name, subject)})
	}
	return steps
}

// warning is what to know before a right is given that is worth more than it says (docs/rbac.md).
func warning(verb string, resources []string) string {
	if verb != "create" || !slices.Contains(resources, jobs) {
		return ""
	}
	return "who has this is root on every node, for a Job there may have any pod: do without --probe, or give it to nobody who may not be that; all that --probe takes is in docs/rbac/doctor-probe.yaml:"
}

// troubles are why the node's Talos API could not be asked, or not everything; each kind once.
func troubles(n *snapshot.Node) []problem.Problem {
	var all []problem.Problem
	add := func(p problem.Problem) {
		if !p.IsZero() && !slices.ContainsFunc(all, func(have problem.Problem) bool { return have.Kind == p.Kind }) {
			all = append(all, p)
		}
	}
	add(n.Talos.Problem)
	add(n.Kubelet.Problem)
	if state := n.Kubelet.Value; state != nil {
		add(state.ConfigProblem)
		add(state.ViewProblem)
		if state.View != nil {
			add(state.View.MountsProblem)
		}
	}
	if reported := n.Talos.Value; reported != nil {
		add(reported.Disks.Problem)
		add(reported.Volumes.Problem)
		add(reported.Mounts.Problem)
		add(reported.Devices.Problem)
	}
	add(n.Selections.Problem)
	return all
}

// ofKind is a node's trouble with the Talos API of one of the kinds.
func ofKind(n *snapshot.Node, kinds ...problem.Kind) (problem.Problem, bool) {
	all := troubles(n)
	i := slices.IndexFunc(all, func(p problem.Problem) bool { return p.Is(kinds...) })
	if i < 0 {
		return problem.Problem{}, false
	}
	return all[i], true
}

// asked reports whether the node's Talos API was asked at all: nothing else can say
// that it may be.
func asked(n *snapshot.Node) bool {
	return n.Talos.Value != nil || n.Kubelet.Value != nil && n.Probe.Value == nil || len(troubles(n)) > 0
}

// runsTalos leaves out the nodes that are known to be of another system.
func runsTalos(s *Subject) bool { return s.Node.OSImage == "" || s.Node.RunsTalos() }

func talosNotConfigured(s *Subject) Verdict {
	why := s.Snapshot.NoTalos
	for i := range s.Snapshot.Nodes { // They all say the same, as there is one talosconfig.
		if p, ok := ofKind(&s.Snapshot.Nodes[i], problem.TalosNotConfigured, problem.TalosConfig); ok && why.IsZero() {
			why = p
		}
	}
	switch {
	case why.IsZero() && len(s.Snapshot.Nodes) > 0 && !slices.ContainsFunc(s.Snapshot.Nodes, func(n snapshot.Node) bool { return asked(&n) }):
		return unknown("no node's Talos API was asked")
	case why.IsZero():
		return fine()
	}
	f := Finding{
		Summary:  "the Talos API is not asked, for there is no talosconfig",
		Because:  "without it the kubelet's mounts, the node's own directories and Talos's volumes are judged by events and by what the provisioner's pods see",
		Evidence: []string{why.Message},
		Fix: []Step{
			{
				Text:    "have one made, of a role that may only read, by somebody who has one already:",
				Command: "talosctl config new talosconfig --roles os:reader",
			},
			{Command: "kubectl talosdisk doctor --talosconfig talosconfig"},
		},
	}
	probed := func(n snapshot.Node) bool { return n.Probe.Value != nil || !n.Probe.Problem.IsZero() }
	if slices.ContainsFunc(s.Snapshot.Nodes, probed) {
		f.Because = "a Job saw the kubelet's mounts where it could; the configurations and Talos's volumes are unknown without it"
	} else {
		f.Fix = append(f.Fix, Step{
			Text:    "or see by a Job on each node what its kubelet sees, which needs no talosconfig:",
			Command: "kubectl talosdisk doctor --probe",
		})
	}
	if why.Is(problem.TalosConfig) {
		f.Severity, f.Summary = Warning, "the Talos API is not asked, for the talosconfig cannot be used"
		f.Fix = []Step{{Text: "look at its contexts, and choose with --talosconfig and --talos-context:", Command: "talosctl config contexts"}}
	}
	return found(f)
}

func talosOutOfReach(s *Subject) Verdict {
	t, ok := ofKind(s.Node, problem.TalosUnreachable, problem.NoAnswer, problem.TalosTLS, problem.TalosForwarding, problem.TalosOtherNode,
		problem.TalosUnproven)
	switch {
	case !asked(s.Node) || hasNoTalosconfig(s.Node):
		return unknown("%s", cmp.Or(s.Snapshot.NoTalos, problem.Text("its Talos API was not asked")))
	case !ok:
		return fine()
	}
	f := Finding{
		Summary:  "the Talos API cannot be asked about " + allNodes,
		Because:  "no endpoint of the talosconfig answers, or none reaches the node",
		Evidence: []string{t.Message},
		Fix: []Step{{
			Text:    "see whether the node answers by itself:",
			Command: shell.Command("talosctl", "-e", address(s.Node), "-n", address(s.Node), "version"),
		}},
	}
	switch t.Kind {
	case problem.TalosTLS:
		f.Because = "one side does not trust the other's certificate: the talosconfig is of another cluster or an old one, or the clocks differ"
		f.Fix = []Step{{Text: "choose the right one with --talosconfig and --talos-context:", Command: "talosctl config contexts"}}
	case problem.TalosForwarding:
		f.Because = "the endpoint is a worker, and only control-plane nodes forward requests"
		f.Fix = []Step{
			{
				Text:    "find the control-plane nodes, and name them with --talos-endpoints, or for good with talosctl config endpoint:",
				Command: "kubectl get nodes -l node-role.kubernetes.io/control-plane -o wide",
			},
		}
	case problem.TalosOtherNode:
		f.Because = "another node than Kubernetes means answers at the address"
		f.Fix = []Step{{Text: "see whether the talosconfig is of this cluster, comparing with:", Command: "kubectl get nodes -o wide"}}
	case problem.TalosUnproven:
		f.Because = "nothing that Kubernetes and Talos both tell proves that the machine at the address is the node, so that what it says does not count"
		f.Fix = []Step{{
			Text:    "see what the kubelet reports of the machine:",
			Command: shell.Command("kubectl", "get", "node", s.Node.Name, "-o", "jsonpath={.status.nodeInfo}"),
		}}
	}
	return found(f)
}

func talosExpired(s *Subject) Verdict {
	t, ok := ofKind(s.Node, problem.TalosExpired)
	switch {
	case ok:
		return found(Finding{
			Summary:  "the client certificate of the talosconfig has ended",
			Because:  "Talos takes no request by it any more; what only Talos can tell is unknown",
			Evidence: []string{t.Message},
			Fix: []Step{
				{Text: "somebody whose certificate is still good can make a new one:", Command: "talosctl config new talosconfig --roles os:admin"},
				{Text: "if it has not ended, compare the clocks:", Command: shell.Command("talosctl", "-n", address(s.Node), "time")},
			},
		})
	case !asked(s.Node) || hasNoTalosconfig(s.Node):
		return unknown("%s", cmp.Or(s.Snapshot.NoTalos, problem.Text("its Talos API was not asked")))
	}
	return fine()
}

func talosDenied(s *Subject) Verdict {
	t, ok := ofKind(s.Node, problem.TalosDenied)
	switch {
	case !ok && (!asked(s.Node) || hasNoTalosconfig(s.Node)):
		return unknown("%s", cmp.Or(s.Snapshot.NoTalos, problem.Text("its Talos API was not asked")))
	case !ok:
		return fine()
	}
	f := Finding{
		Summary:  "the Talos role is too weak to read everything",
		Because:  "the machine configuration and the mounts themselves need os:admin; os:reader shows directories and volumes, and so tells less of the kubelet",
		Evidence: []string{t.Message},
		Fix: []Step{{
			Text:    "an administrator can make a talosconfig that may:",
			Command: "talosctl config new talosconfig --roles os:admin",
		}},
	}
	if s.Node.Talos.Value == nil && (s.Node.Kubelet.Value == nil || s.Node.Probe.Value != nil) {
		f.Severity = Warning
		f.Because = "nothing at all can be read by it"
	}
	return found(f)
}

// hasNoTalosconfig reports that there is no talosconfig to ask by, which TD0102 says.
func hasNoTalosconfig(n *snapshot.Node) bool {
	_, ok := ofKind(n, problem.TalosNotConfigured, problem.TalosConfig)
	return ok
}

func notTalos(s *Subject) Verdict {
	switch n := s.Node; {
	case n.OSImage == "":
		return unknown("its kubelet does not say which system it runs")
	case !n.RunsTalos():
		return found(Finding{
			Summary:  "another system than Talos runs on " + allNodes,
			Because:  "directories, volumes and the kubelet's mounts are not Talos's there, and are not looked at",
			Evidence: []string{fmt.Sprintf("%s: osImage %q", n.Name, n.OSImage)},
		})
	}
	return fine()
}

func nodeNotReady(s *Subject) Verdict {
	if s.Node.Ready {
		return fine()
	}
	f := Finding{
		Summary: "the kubelet on " + allNodes + " is not Ready",
		Because: "the kubelet there starts no pod, and no command can be run in one",
		Fix: []Step{{Command: shell.Command("kubectl", "describe", "node", s.Node.Name)},
			{Command: shell.Command("talosctl", "-n", address(s.Node), "service", "kubelet")}},
		Masks: []Code{codeNoPod, codePodDown, codeClassNotMounted, codeNotPropagated, codeDevNotMounted},
	}
	if s.Node.NotReady != "" {
		f.Evidence = []string{s.Node.Name + ": " + s.Node.NotReady}
	}
	if kubelet := value(s.Node.Talos).Kubelet.Value; kubelet != nil {
		f.Because = fmt.Sprintf("Talos says of its service kubelet: %s; as long as it is like that, it starts no pod, and no command can be run in one",
			oneLine(kubelet.String()))
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: Talos's service kubelet is %s", s.Node.Name, oneLine(kubelet.String())))
	}
	return found(f)
}

// address is what talosctl takes for the node.
func address(n *snapshot.Node) string { return cmp.Or(n.Address, n.Name) }
