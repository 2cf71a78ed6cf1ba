// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// accessChecks are those of what could not be looked at.
func accessChecks() []Check {
	return []Check{
		{Code: codeRights, Title: "Kubernetes rights are missing", Severity: Warning, Stage: StageAccess, About: OfCluster, Run: rightsMissing},
		{Code: "TD0102", Title: "Talos is not configured", Severity: Info, Stage: StageAccess, About: OfCluster, Run: talosNotConfigured},
		{Code: "TD0103", Title: "Talos is out of reach", Severity: Warning, Stage: StageAccess, About: OfNode, Applies: runsTalos, Run: talosOutOfReach},
		{Code: "TD0104", Title: "the Talos client certificate has ended", Severity: Warning, Stage: StageAccess, About: OfNode, Applies: runsTalos, Run: talosExpired},
		{Code: "TD0105", Title: "the Talos role is too weak", Severity: Info, Stage: StageAccess, About: OfNode, Applies: runsTalos, Run: talosDenied},
		{Code: "TD0106", Title: "the node does not run Talos", Severity: Info, Stage: StageAccess, About: OfNode, Needs: []Need{NeedNodes}, Run: notTalos},
		{Code: "TD0107", Title: "the node is not Ready", Severity: Error, Stage: StageAccess, About: OfNode, Needs: []Need{NeedNodes}, Run: nodeNotReady},
	}
}

// right is something that a user may not do in Kubernetes.
type right struct{ user, verb, resource, namespace string }

// forbidden is how the API server refuses (Kubernetes v1.37, apiserver,
// pkg/endpoints/handlers/responsewriters/errors.go).
var forbidden = regexp.MustCompile(`User "([^"]*)" cannot (\S+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?`)

// rightsIn are the rights that a problem tells are missing.
func rightsIn(problem string) []right {
	var rights []right
	for _, m := range forbidden.FindAllStringSubmatch(problem, -1) {
		resource, sub, _ := strings.Cut(m[3], "/")
		if m[4] != "" {
			resource += "." + m[4]
		}
		if sub != "" {
			resource += "/" + sub
		}
		rights = append(rights, right{user: m[1], verb: m[2], resource: resource, namespace: m[5]})
	}
	return rights
}

// nodeProxy is the kubelet's whole API: who may get it can run commands in every pod
// (kubernetes.io, "Good practices for Kubernetes RBAC").
const nodeProxy = "nodes/proxy"

// jobs are what --probe makes in kube-system, where nothing keeps a pod from the node.
const jobs = "jobs.batch"

// String is the right as a sentence goes on.
func (r right) String() string {
	where := "in all namespaces"
	if r.namespace != "" {
		where = fmt.Sprintf("in namespace %q", r.namespace)
	}
	return fmt.Sprintf("%s %s %s", r.verb, r.resource, where)
}

// codeRights is of rights in Kubernetes that are missing.
const codeRights Code = "TD0101"

// rightsMissing gathers what Kubernetes refused from everything that it was asked for.
func rightsMissing(s *Subject) Verdict {
	missing := make(map[right]bool)
	for _, problem := range kubernetesProblems(s.Snapshot) {
		for _, r := range rightsIn(problem) {
			missing[r] = true
		}
	}
	if len(missing) == 0 {
		return fine()
	}
	all := slices.SortedFunc(maps.Keys(missing), func(a, b right) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.verb, b.verb), cmp.Compare(a.resource, b.resource), cmp.Compare(a.user, b.user))
	})
	f := Finding{
		Summary: fmt.Sprintf("%q lacks rights in Kubernetes that a diagnosis needs", all[0].user),
		Because: "what it may not read is unknown here, not in order",
	}
	for _, r := range all {
		f.Evidence = append(f.Evidence, "forbidden: "+r.String())
	}
	toGive := slices.DeleteFunc(slices.Clone(all), func(r right) bool { return r.resource == nodeProxy })
	if len(toGive) > 0 {
		f.Fix = grants(toGive)
	} else {
		f.Severity = Info
	}
	if len(toGive) < len(all) {
		f.Fix = append(f.Fix, Step{Text: "do without " + nodeProxy + ", which tells only how large the file systems in pods are: who has it can run commands in every pod of the cluster"})
	}
	return found(f)
}

// kubernetesProblems are why parts of the snapshot that come from the API server are not there.
func kubernetesProblems(s *snapshot.Snapshot) []string {
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
func grants(missing []right) []Step {
	steps := []Step{{Text: "an administrator can allow it with:"}}
	type role struct{ user, verb, namespace string }
	var order []role
	resources := make(map[role][]string)
	for _, r := range missing {
		k := role{r.user, r.verb, r.namespace}
		if resources[k] == nil {
			order = append(order, k)
		}
		resources[k] = append(resources[k], r.resource)
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

// Kinds of problems with the Talos API, as a section's Kind has them (talos.Kind).
const (
	kindNotConfigured = "not configured"
	kindConfig        = "unusable talosconfig"
	kindTLS           = "not trusted"
	kindExpired       = "certificate expired"
	kindDenied        = "role too weak"
	kindForwarding    = "no request forwarding"
	kindOtherNode     = "another node"
	kindUnproven      = "not proved"
	kindUnreachable   = "unreachable"
	// kindOther is none of these: Talos was asked and answered something else.
	kindOther = ""
)

// kindOf is the kind of a problem that came as a text only; the texts are package talos's.
func kindOf(text string) string {
	for _, k := range []struct {
		kind  string
		parts []string
	}{
		{kindNotConfigured, []string{"no talosconfig was found"}},
		{kindConfig, []string{"talosconfig ", " cannot be used"}},
		{kindConfig, []string{"the Talos API cannot be used"}},
		{kindExpired, []string{"the client certificate of Talos context", " ended at "}},
		{kindExpired, []string{"takes the client certificate of", "for expired"}},
		{kindDenied, []string{"needs the Talos role "}},
		{kindDenied, []string{"does not know who context"}},
		{kindForwarding, []string{"is a worker, which forwards no requests"}},
		{kindOtherNode, []string{"calls itself", "in Kubernetes, not"}},
		{kindOtherNode, []string{"is another machine than node"}},
		{kindUnproven, []string{"it is not proved that the node at", "of Kubernetes"}},
		{kindTLS, []string{"has a certificate of another CA"}},
		{kindTLS, []string{"certificate is not for the endpoint"}},
		{kindTLS, []string{"does not accept the client certificate"}},
		{kindTLS, []string{"the Talos API's certificate at", "is not trusted"}},
		{kindUnreachable, []string{"no answer from the Talos API at"}},
		{kindUnreachable, []string{"the Talos API endpoint", "does not reach the node"}},
		{kindUnreachable, []string{"the connection to the node at", "broke"}},
		{kindUnreachable, []string{"asking the Talos API at", "deadline exceeded"}},
		{kindUnreachable, []string{"asking the Talos API at", "no answer within"}},
	} {
		if !slices.ContainsFunc(k.parts, func(part string) bool { return !strings.Contains(text, part) }) {
			return k.kind
		}
	}
	return kindOther
}

// trouble is why Talos could not be asked, or not everything.
type trouble struct{ kind, text string }

// troubles are those of one node, each kind once.
func troubles(n *snapshot.Node) []trouble {
	var all []trouble
	add := func(kind, text string) {
		if text == "" {
			return
		}
		if kind == "" {
			kind = kindOf(text)
		}
		if !slices.ContainsFunc(all, func(t trouble) bool { return t.kind == kind }) {
			all = append(all, trouble{kind, text})
		}
	}
	add(n.Talos.Kind, n.Talos.Problem)
	add(n.Kubelet.Kind, n.Kubelet.Problem)
	if state := n.Kubelet.Value; state != nil {
		add("", state.ConfigProblem)
		add("", state.ViewProblem)
		if state.View != nil {
			add("", state.View.MountsProblem)
		}
	}
	if told := n.Talos.Value; told != nil {
		add(told.Disks.Kind, told.Disks.Problem)
		add(told.Volumes.Kind, told.Volumes.Problem)
		add(told.Mounts.Kind, told.Mounts.Problem)
		add(told.Devices.Kind, told.Devices.Problem)
	}
	add(n.Selections.Kind, n.Selections.Problem)
	return all
}

// ofKind is a node's trouble of one of the kinds.
func ofKind(n *snapshot.Node, kinds ...string) (trouble, bool) {
	all := troubles(n)
	i := slices.IndexFunc(all, func(t trouble) bool { return slices.Contains(kinds, t.kind) })
	if i < 0 {
		return trouble{}, false
	}
	return all[i], true
}

// asked tells whether the node's Talos API was asked at all: nothing else can say
// that it may be.
func asked(n *snapshot.Node) bool {
	return n.Talos.Value != nil || n.Kubelet.Value != nil && n.Probe.Value == nil || len(troubles(n)) > 0
}

// runsTalos leaves out the nodes that are known to be of another system.
func runsTalos(s *Subject) bool { return s.Node.OSImage == "" || isTalos(s.Node) }

// isTalos goes by what the kubelet reports as osImage, "Talos (v1.14.0)" (Talos
// v1.14, pkg/machinery/constants, OSReleaseTemplate).
func isTalos(n *snapshot.Node) bool { return strings.HasPrefix(n.OSImage, "Talos (") }

func talosNotConfigured(s *Subject) Verdict {
	text, kind := s.Snapshot.NoTalos, kindNotConfigured
	if text != "" && kindOf(text) == kindConfig {
		kind = kindConfig
	}
	for i := range s.Snapshot.Nodes { // They all say the same, as there is one talosconfig.
		if t, ok := ofKind(&s.Snapshot.Nodes[i], kindNotConfigured, kindConfig); ok && text == "" {
			text, kind = t.text, t.kind
		}
	}
	switch {
	case text == "" && len(s.Snapshot.Nodes) > 0 && !slices.ContainsFunc(s.Snapshot.Nodes, func(n snapshot.Node) bool { return asked(&n) }):
		return unknown("no node's Talos API was asked")
	case text == "":
		return fine()
	}
	f := Finding{
		Summary:  "the Talos API is not asked, for there is no talosconfig",
		Because:  "without it the kubelet's mounts, the node's own directories and Talos's volumes are judged by events and by what the provisioner's pods see",
		Evidence: []string{text},
		Fix: []Step{
			{Text: "have one made, of a role that may only read, by somebody who has one already:", Command: "talosctl config new talosconfig --roles os:reader"},
			{Command: "kubectl talosdisk doctor --talosconfig talosconfig"},
		},
	}
	probed := func(n snapshot.Node) bool { return n.Probe.Value != nil || n.Probe.Problem != "" }
	if slices.ContainsFunc(s.Snapshot.Nodes, probed) {
		f.Because = "a Job saw the kubelet's mounts where it could; the configurations and Talos's volumes are unknown without it"
	} else {
		f.Fix = append(f.Fix, Step{Text: "or see by a Job on each node what its kubelet sees, which needs no talosconfig:", Command: "kubectl talosdisk doctor --probe"})
	}
	if kind == kindConfig {
		f.Severity, f.Summary = Warning, "the Talos API is not asked, for the talosconfig cannot be used"
		f.Fix = []Step{{Text: "look at its contexts, and choose with --talosconfig and --talos-context:", Command: "talosctl config contexts"}}
	}
	return found(f)
}

func talosOutOfReach(s *Subject) Verdict {
	t, ok := ofKind(s.Node, kindUnreachable, kindTLS, kindForwarding, kindOtherNode, kindUnproven)
	switch {
	case !asked(s.Node) || isBlind(s.Node):
		return unknown("%s", orElse(s.Snapshot.NoTalos, "its Talos API was not asked"))
	case !ok:
		return fine()
	}
	f := Finding{
		Summary:  "the Talos API cannot be asked about " + allNodes,
		Because:  "no endpoint of the talosconfig answers, or none reaches the node",
		Evidence: []string{t.text},
		Fix:      []Step{{Text: "see whether the node answers by itself:", Command: shell.Command("talosctl", "-e", address(s.Node), "-n", address(s.Node), "version")}},
	}
	switch t.kind {
	case kindTLS:
		f.Because = "one side does not trust the other's certificate: the talosconfig is of another cluster or an old one, or the clocks differ"
		f.Fix = []Step{{Text: "choose the right one with --talosconfig and --talos-context:", Command: "talosctl config contexts"}}
	case kindForwarding:
		f.Because = "the endpoint is a worker, and only control-plane nodes forward requests"
		f.Fix = []Step{
			{Text: "find the control-plane nodes, and name them with --talos-endpoints, or for good with talosctl config endpoint:", Command: "kubectl get nodes -l node-role.kubernetes.io/control-plane -o wide"},
		}
	case kindOtherNode:
		f.Because = "another node than Kubernetes means answers at the address"
		f.Fix = []Step{{Text: "see whether the talosconfig is of this cluster, comparing with:", Command: "kubectl get nodes -o wide"}}
	case kindUnproven:
		f.Because = "nothing that Kubernetes and Talos both tell proves that the machine at the address is the node, so that what it says does not count"
		f.Fix = []Step{{Text: "see what the kubelet reports of the machine:", Command: shell.Command("kubectl", "get", "node", s.Node.Name, "-o", "jsonpath={.status.nodeInfo}")}}
	}
	return found(f)
}

func talosExpired(s *Subject) Verdict {
	t, ok := ofKind(s.Node, kindExpired)
	switch {
	case ok:
		return found(Finding{
			Summary:  "the client certificate of the talosconfig has ended",
			Because:  "Talos takes no request by it any more; what only Talos can tell is unknown",
			Evidence: []string{t.text},
			Fix: []Step{
				{Text: "somebody whose certificate is still good can make a new one:", Command: "talosctl config new talosconfig --roles os:admin"},
				{Text: "if it has not ended, compare the clocks:", Command: shell.Command("talosctl", "-n", address(s.Node), "time")},
			},
		})
	case !asked(s.Node) || isBlind(s.Node):
		return unknown("%s", orElse(s.Snapshot.NoTalos, "its Talos API was not asked"))
	}
	return fine()
}

func talosDenied(s *Subject) Verdict {
	t, ok := ofKind(s.Node, kindDenied)
	switch {
	case !ok && (!asked(s.Node) || isBlind(s.Node)):
		return unknown("%s", orElse(s.Snapshot.NoTalos, "its Talos API was not asked"))
	case !ok:
		return fine()
	}
	f := Finding{
		Summary:  "the Talos role is too weak to read everything",
		Because:  "the machine configuration and the mounts themselves need os:admin; os:reader shows directories and volumes, and so tells less of the kubelet",
		Evidence: []string{t.text},
		Fix:      []Step{{Text: "an administrator can make a talosconfig that may:", Command: "talosctl config new talosconfig --roles os:admin"}},
	}
	if s.Node.Talos.Value == nil && (s.Node.Kubelet.Value == nil || s.Node.Probe.Value != nil) {
		f.Severity = Warning
		f.Because = "nothing at all can be read by it"
	}
	return found(f)
}

// isBlind tells that there is no talosconfig to ask by, which TD0102 says.
func isBlind(n *snapshot.Node) bool {
	_, ok := ofKind(n, kindNotConfigured, kindConfig)
	return ok
}

func notTalos(s *Subject) Verdict {
	switch n := s.Node; {
	case n.OSImage == "":
		return unknown("its kubelet does not say which system it runs")
	case !isTalos(n):
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
		Fix:     []Step{{Command: shell.Command("kubectl", "describe", "node", s.Node.Name)}, {Command: shell.Command("talosctl", "-n", address(s.Node), "service", "kubelet")}},
		Masks:   []Code{"TD0203", "TD0204", "TD0206", "TD0207", "TD0208"},
	}
	if s.Node.NotReady != "" {
		f.Evidence = []string{s.Node.Name + ": " + s.Node.NotReady}
	}
	if kubelet := value(s.Node.Talos).Kubelet.Value; kubelet != nil {
		f.Because = fmt.Sprintf("Talos says of its service kubelet: %s; as long as it is like that, it starts no pod, and no command can be run in one", oneLine(kubelet.String()))
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: Talos's service kubelet is %s", s.Node.Name, oneLine(kubelet.String())))
	}
	return found(f)
}

// address is what talosctl takes for the node.
func address(n *snapshot.Node) string { return cmp.Or(n.Address, n.Name) }
