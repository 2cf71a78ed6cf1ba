// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The codes of the checks of the provisioner's installation, its pods and its classes.
const (
	codeNoProvisioner    Code = "TD0201"
	codePodSecurity      Code = "TD0202"
	codeNoPod            Code = "TD0203"
	codePodDown          Code = "TD0204"
	codeReadOnlyHostDir  Code = "TD0205"
	codeClassNotMounted  Code = "TD0206"
	codeNotPropagated    Code = "TD0207"
	codeDevNotMounted    Code = "TD0208"
	codeNoStorageClass   Code = "TD0209"
	codeBindsImmediately Code = "TD0210"
	codePublishedTwice   Code = "TD0211"
	codeLeftOut          Code = "TD0212"
	codePublishesSystem  Code = "TD0213"
	codeTaintStays       Code = "TD0214"
	codeOldRelease       Code = "TD0215"
	codeLogErrors        Code = "TD0216"
)

// provisionerChecks are those of the provisioner's installation, its pods and its classes.
func provisionerChecks() []Check {
	return []Check{
		{
			Code: codeNoProvisioner, Title: "no provisioner is found", Severity: Error, Stage: StageProvisioner, About: OfCluster,
			// It is about the part itself: why there is none.
			Uses: []Need{NeedInstall},
			Run:  noInstall,
		},
		{
			Code: codePodSecurity, Title: "Pod Security refuses the provisioner's pods",
			Severity: Error, Stage: StageProvisioner, About: OfCluster,
			Needs: []Need{NeedInstall, NeedNodes},
			Uses:  []Need{NeedProvisioner, NeedEvents, NeedPod},
			Run:   podSecurity,
		},
		{
			Code: codeNoPod, Title: "no provisioner pod on the node", Severity: Warning, Stage: StageProvisioner, About: OfNode,
			Needs: []Need{NeedInstall},
			Uses:  []Need{NeedProvisioner, NeedPod, NeedVolumes, NeedEvents},
			Run:   noPod,
		},
		{
			Code: codePodDown, Title: "the provisioner's container does not run", Severity: Error, Stage: StageProvisioner, About: OfNode,
			Needs: []Need{NeedInstall},
			Uses:  []Need{NeedProvisioner, NeedPod},
			Run:   podDown,
		},
		{
			Code: codeReadOnlyHostDir, Title: "hostDir lies on the read-only root", Severity: Error, Stage: StageProvisioner, About: OfNode,
			Needs: []Need{NeedInstall},
			Uses:  []Need{NeedPod},
			Run:   readOnlyHostDir,
		},
		{
			Code: codeClassNotMounted, Title: "hostDir is not mounted into the provisioner's pod",
			Severity: Error, Stage: StageProvisioner, About: OfCluster,
			Needs: []Need{NeedInstall},
			Run:   classNotMounted,
		},
		{
			Code: codeNotPropagated, Title: "hostDir is mounted without HostToContainer",
			Severity: Error, Stage: StageProvisioner, About: OfCluster,
			Needs: []Need{NeedInstall},
			Run:   notPropagated,
		},
		{
			Code: codeDevNotMounted, Title: "/dev is not mounted into the provisioner's pod",
			Severity: Error, Stage: StageProvisioner, About: OfCluster,
			Needs:   []Need{NeedInstall},
			Applies: hasBlockClass,
			Run:     devNotMounted,
		},
		{
			Code: codeNoStorageClass, Title: "a class has no StorageClass", Severity: Error, Stage: StageProvisioner, About: OfCluster,
			Needs: []Need{NeedInstall, NeedStorageClasses},
			Run:   noStorageClass,
		},
		{
			Code: codeBindsImmediately, Title: "a StorageClass binds immediately",
			Severity: Warning, Stage: StageProvisioner, About: OfCluster,
			Needs: []Need{NeedInstall, NeedStorageClasses},
			Run:   bindsImmediately,
		},
		{
			Code: codePublishedTwice, Title: "two classes publish the same entry",
			Severity: Error, Stage: StageProvisioner, About: OfCluster,
			Needs: []Need{NeedInstall},
			Uses:  []Need{NeedNodes, NeedView, NeedVolumes},
			Run:   publishedTwice,
		},
		{
			Code: codeLeftOut, Title: "namePattern leaves an entry out", Severity: Warning, Stage: StageProvisioner, About: OfNode,
			Needs: []Need{NeedInstall, NeedView},
			Run:   leftOut,
		},
		{
			Code: codePublishesSystem, Title: "a class publishes the system's partitions",
			Severity: Error, Stage: StageProvisioner, About: OfCluster,
			Needs: []Need{NeedInstall},
			Uses:  []Need{NeedNodes, NeedView},
			Run:   publishesSystem,
		},
		{
			Code: codeTaintStays, Title: "the provisioner's startup taint stays", Severity: Error, Stage: StageProvisioner, About: OfNode,
			Needs: []Need{NeedNodes},
			Uses:  []Need{NeedInstall, NeedProvisioner, NeedPod},
			Run:   taintStays,
		},
		{
			Code: codeOldRelease, Title: "a release of the provisioner with known faults",
			Severity: Warning, Stage: StageProvisioner, About: OfCluster,
			Needs: []Need{NeedInstall},
			Run:   oldRelease,
		},
		{
			Code: codeLogErrors, Title: "the provisioner's log has errors", Severity: Warning, Stage: StageProvisioner, About: OfNode,
			Needs: []Need{NeedInstall, NeedProvisioner},
			Uses:  []Need{NeedPod, NeedView, NeedStorageClasses, NeedVolumes},
			Run:   logErrors,
		},
	}
}

// daemonSet names the installation as kubectl does.
func daemonSet(i provisioner.Install) snapshot.Ref {
	return snapshot.Ref{Kind: "daemonset", Namespace: i.Namespace, Name: i.Name}
}

// allOfProvisioner are the codes that mean nothing without a provisioner.
func allOfProvisioner() []Code {
	return []Code{codePodSecurity, codeNoPod, codePodDown, codeReadOnlyHostDir, codeClassNotMounted, codeNotPropagated, codeDevNotMounted,
		codeNoStorageClass, codeTaintStays, codeNoVolume, codeNoLink}
}

// noInstall is for none, for several, and for one whose classes make no sense.
func noInstall(s *Subject) Verdict {
	why := s.Snapshot.Unread[snapshot.PartInstall]
	f := Finding{Evidence: nonEmpty(why.Message), Masks: allOfProvisioner()}
	switch {
	case why.Forbidden != nil:
		return unknown("%s", why)
	case why.IsZero() && s.Snapshot.Install.Name != "":
		return fine()
	case why.IsZero() || why.Is(problem.NoProvisioner):
		f.Summary = "no local volume static provisioner is found"
		f.Because = "without it nothing makes volumes of what lies in a directory; it is known by its image or by its ConfigMap"
		f.Fix = []Step{
			{Text: "install it: https://github.com/kubernetes-sigs/sig-storage-local-static-provisioner"},
			{
				Text:    "or, if it has another image, name it:",
				Command: "kubectl talosdisk doctor --provisioner-namespace NAMESPACE --provisioner DAEMONSET",
			},
		}
	case why.Is(problem.SeveralProvisioners):
		f.Summary = "there are several provisioners, and none was chosen"
		f.Because = "which classes there are depends on which one is meant"
		f.Fix = []Step{{Text: "choose one:", Command: "kubectl talosdisk doctor --provisioner-namespace NAMESPACE --provisioner DAEMONSET"}}
	case why.Is(problem.BadClasses):
		f.Summary = "the provisioner's configuration makes no sense to it"
		f.Because = "it publishes no volumes of a class that it cannot read"
		f.Fix = []Step{{
			Text:    "fix the ConfigMap, or the classes in the values of the chart:",
			Command: "kubectl get configmaps -A | grep -i provisioner",
		}}
	default: // It could not be read.
		return unknown("%s", why)
	}
	return found(f)
}

func nonEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(t string) bool { return t == "" })
}

// podSecurity: the provisioner's hostPath volumes are refused by the levels baseline
// and restricted. Talos enforces baseline everywhere but in kube-system.
func podSecurity(s *Subject) Verdict {
	i := s.Snapshot.Install
	f := Finding{
		Summary: fmt.Sprintf("Pod Security refuses the provisioner's pods in namespace %q", i.Namespace),
		Because: "they are privileged and mount directories of the node, which the level baseline forbids; Talos enforces it in every namespace without a label but kube-system",
		Fix: []Step{{Text: "allow it in that namespace, which its cleaning Jobs need too:",
			Command: shell.Command("kubectl", "label", "namespace", i.Namespace, "pod-security.kubernetes.io/enforce=privileged", "--overwrite")}},
		Objects: []snapshot.Ref{daemonSet(i)},
		Masks:   []Code{codeNoPod},
	}
	withoutPod, wanted := 0, 0
	for _, n := range s.Snapshot.Nodes {
		if n.Wanted && n.Ready && !n.Skipped {
			wanted++
			if hasNone(&n) {
				withoutPod++
			}
		}
	}
	state := s.Snapshot.Provisioner.Value
	refused := ""
	for _, e := range s.events("daemonset", i.Namespace, i.Name) { // Each names another pod.
		if strings.Contains(e.Message, "violates PodSecurity") && (refused == "" || e.Message < refused) {
			refused = e.Message
		}
	}
	lacking := withoutPod > 0 || state != nil && state.Desired > state.Ready
	level, unread := "", s.Snapshot.Provisioner.Why()
	if state != nil {
		level, unread = state.PodSecurity, cmp.Or(state.PodSecurityProblem, state.PodsProblem)
	}
	switch {
	case level == "privileged", i.Namespace == "kube-system" && refused == "":
		return fine()
	case refused != "" && (lacking || wanted == 0):
		f.Evidence = []string{oneLine(refused)}
	case (level == "baseline" || level == "restricted") && withoutPod > 0:
		f.Evidence = []string{fmt.Sprintf("namespace %q enforces %s, and %d of %d nodes have no pod", i.Namespace, level, withoutPod, wanted)}
	case level == "baseline" || level == "restricted":
		f.Severity = Warning
		f.Summary = fmt.Sprintf("Pod Security will refuse the provisioner's next pod in namespace %q", i.Namespace)
		f.Evidence = []string{fmt.Sprintf("namespace %q enforces %s; a pod that already runs may keep running", i.Namespace, level)}
	case !unread.IsZero():
		return unknown("%s", unread)
	case withoutPod > 0 && s.Snapshot.Events.Value == nil:
		return unknown("%s", s.Snapshot.Events.Why())
	default:
		return fine()
	}
	return found(f)
}

// noPod: tolerated taints and the node selector decide where a DaemonSet has pods.
func noPod(s *Subject) Verdict {
	n, i := s.Node, s.Snapshot.Install
	switch {
	case n.Pod.Value != nil:
		return fine()
	case n.Wanted && (podState(n) != "" || !n.Ready):
		return fine() // There is one, and it does not run; or its node does not.
	case n.Wanted && !hasNone(n):
		return unknown("%s", n.Pod.Why())
	case !podsUnread(s.Snapshot).IsZero():
		return unknown("%s", podsUnread(s.Snapshot))
	}
	f := Finding{
		Summary:  "no provisioner pod runs on " + allNodes,
		Because:  "what lies in its directories is not published, and released volumes are not cleaned",
		Evidence: nonEmpty(n.Pod.Problem.Message),
	}
	volumes := len(s.index.byNode[n.Name]) > 0
	switch taint := n.Pod.Problem.Object; {
	case n.Wanted:
		f.Severity = Error
		f.Because = "its DaemonSet should have one there and has not made it: " + f.Because
		if refused := s.freshOf(s.events("daemonset", i.Namespace, i.Name), "", []string{"FailedCreate"}); len(refused) > 0 {
			f.Because = "the cluster does not let its DaemonSet make one there, and says why"
			f.Evidence = append(f.Evidence, s.evidence(refused[:1])...)
		}
		f.Fix = []Step{{Text: "its events tell why:", Command: shell.Command("kubectl", "-n", i.Namespace, "describe", "daemonset", i.Name)}}
	case n.Pod.Problem.Is(problem.NotTolerated):
		f.Fix = []Step{
			{Text: "if its disks are to be used, have the provisioner tolerate the taint:", Command: tolerate(i, taint)},
			{Text: "where Helm or a repository deploys it, in the values of the chart, too:\n" + toleration(taint)},
		}
	default:
		f.Fix = []Step{{
			Text: "if its disks are to be used, label it as the DaemonSet asks, or change nodeSelector or affinity in the values of the chart:",
			Command: shell.Command("kubectl", "-n", i.Namespace, "get", "daemonset", i.Name, "-o",
				"jsonpath={.spec.template.spec.nodeSelector} {.spec.template.spec.affinity}"),
		}}
	}
	if !n.Wanted && !volumes {
		f.Severity = Info // Nodes that are to be left alone are tainted for that.
	}
	return found(f)
}

// podsUnread is why the provisioner's pods are not known.
func podsUnread(s *snapshot.Snapshot) problem.Problem {
	if state := s.Provisioner.Value; state != nil {
		return state.PodsProblem
	}
	return s.Provisioner.Problem
}

// tolerationOf is what tolerates a taint as kubectl writes it, "key=value:Effect".
func tolerationOf(taint string) corev1.Toleration {
	keyValue, effect, _ := strings.Cut(taint, ":")
	key, val, _ := strings.Cut(keyValue, "=")
	t := corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffect(effect)}
	if val != "" {
		t.Operator, t.Value = corev1.TolerationOpEqual, val
	}
	return t
}

// toleration are the lines of the chart's values for a taint.
func toleration(taint string) string {
	t := tolerationOf(taint)
	lines := fmt.Sprintf("tolerations:\n- key: %s\n  operator: %s", t.Key, t.Operator)
	if t.Value != "" {
		lines += fmt.Sprintf("\n  value: %q", t.Value)
	}
	if t.Effect != "" {
		lines += "\n  effect: " + string(t.Effect)
	}
	return lines
}

// tolerate is the command that has the DaemonSet tolerate a taint besides what it does.
func tolerate(i provisioner.Install, taint string) string {
	patch := []map[string]any{{"op": "add", "path": "/spec/template/spec/tolerations/-", "value": tolerationOf(taint)}}
	if len(i.Tolerations) == 0 { // There is no list to add to.
		patch[0]["path"], patch[0]["value"] = "/spec/template/spec/tolerations", []corev1.Toleration{tolerationOf(taint)}
	}
	text, _ := json.Marshal(patch) // Of strings, which always have a form in JSON.
	return shell.Command("kubectl", "-n", i.Namespace, "patch", "daemonset", i.Name, "--type=json", "-p", string(text))
}

// hasNone reports whether the DaemonSet should have a pod on the node and has none.
func hasNone(n *snapshot.Node) bool { return n.Pod.Value == nil && n.Pod.Problem.Is(problem.NoPod) }

// podState is the state of a provisioner pod that is there and does not run; empty if there is none.
func podState(n *snapshot.Node) string {
	if n.Pod.Value == nil && n.Pod.Problem.Is(problem.PodDown, problem.PodDeleted) {
		return n.Pod.Problem.Message
	}
	return ""
}

// podDeleted reports whether the provisioner's pod is being deleted.
func podDeleted(n *snapshot.Node) bool {
	return n.Pod.Value == nil && n.Pod.Problem.Is(problem.PodDeleted)
}

// readOnlyMkdir is what containerd says of a hostPath that it cannot make
// (v2.3, internal/cri/opts/spec_linux_opts.go).
var readOnlyMkdir = regexp.MustCompile(`failed to mkdir "([^"]+)".*read-only file system`)

func podDown(s *Subject) Verdict {
	state := podState(s.Node)
	if state == "" && s.Node.Pod.Value == nil && s.Node.Wanted && s.Node.Ready && !hasNone(s.Node) {
		return unknown("%s", s.Node.Pod.Why())
	}
	if state == "" || !s.Node.Ready || podDeleted(s.Node) {
		return fine()
	}
	i := s.Snapshot.Install
	f := Finding{
		Summary:  "the provisioner does not run on " + allNodes,
		Because:  "until it does, what lies in its directories is not published",
		Evidence: []string{state},
	}
	for _, p := range value(s.Snapshot.Provisioner).Pods {
		if p.Node != s.Node.Name {
			continue
		}
		f.Fix = append(f.Fix, Step{Text: "see why:", Command: shell.Command("kubectl", "-n", i.Namespace, "describe", "pod", p.Name)})
		if p.Restarts > 0 { // Another container has left no log.
			f.Fix = append(f.Fix, Step{
				Text:    "what it said before it ended:",
				Command: shell.Command("kubectl", "-n", i.Namespace, "logs", p.Name, "-c", i.Container, "--previous"),
			})
		}
	}
	if len(f.Fix) == 0 {
		f.Fix = []Step{{
			Text:    "see which pod it is:",
			Command: shell.Command("kubectl", "-n", i.Namespace, "get", "pods", "-o", "wide", "--field-selector", "spec.nodeName="+s.Node.Name),
		}}
	}
	if strings.Contains(state, "ImagePull") || strings.Contains(state, "ErrImage") {
		f.Because = fmt.Sprintf("its image %q cannot be pulled", i.Image)
	}
	if strings.Contains(state, "is not a shared or slave mount") || strings.Contains(state, "is not a shared mount") {
		f.Because = "a directory that it mounts with propagation lies in a private mount of the node, where none is possible"
	}
	return found(f)
}

// readOnlyHostDir: containerd makes a hostPath that is not there, which it cannot
// outside of /var on Talos.
func readOnlyHostDir(s *Subject) Verdict {
	dir, evidence, here := s.uncreatableDir()
	if dir == "" {
		if s.Node.Pod.Value == nil && s.Node.Wanted && s.Node.Ready && !hasNone(s.Node) && podState(s.Node) == "" {
			return unknown("%s", s.Node.Pod.Why())
		}
		return fine()
	}
	f := Finding{
		Summary:  fmt.Sprintf("the provisioner's hostDir %q lies on the read-only root of %s", dir, allNodes),
		Because:  "on Talos only /var can be written to, and the container runtime cannot make the directory",
		Evidence: []string{evidence},
		Fix: []Step{
			{
				Text: fmt.Sprintf("give the class a directory below /var in the values of the chart:\nclasses:\n- hostDir: %s",
					path.Join("/var/lib/disks", path.Base(dir))),
			},
			s.mountsStep("then make it visible to the kubelet:"),
		},
		Path:  dir,
		Masks: []Code{codePathMissing, codeUnseenDirectory},
	}
	if here {
		f.Masks = append(f.Masks, codePodDown)
	}
	return found(f)
}

// uncreatableDir is the hostDir that the container runtime cannot make on the node, and what it
// says; or what it says of another node with the same system, not of this one: a rollout stops
// at the first that fails, and the others go on with the provisioner as it was. A pod that is
// down for a reason of its own does not.
func (s *Subject) uncreatableDir() (dir, evidence string, here bool) {
	state := podState(s.Node)
	if m := readOnlyMkdir.FindStringSubmatch(state); m != nil {
		return m[1], state, true
	}
	if state != "" && !podDeleted(s.Node) {
		return "", "", false
	}
	for i := range s.Snapshot.Nodes {
		n := &s.Snapshot.Nodes[i]
		if m := readOnlyMkdir.FindStringSubmatch(podState(n)); m != nil && s.Node.Wanted && n.RunsTalos() && n.OSImage == s.Node.OSImage {
			return m[1], podState(n), false
		}
	}
	return "", "", false
}

// startupTaint is the chart's default (v2.9.0, provisionerNotReadyNodeTaintKey).
const startupTaint = "sig-storage-local-static-provisioner/agent-not-ready"

// taintStays: release 2.9.0 removes it only if it is not meant to
// (pkg/controller/controller.go, ShouldRemoveTaint).
func taintStays(s *Subject) Verdict {
	tainted := slices.ContainsFunc(s.Node.Taints, func(t corev1.Taint) bool { return t.Key == startupTaint })
	switch {
	case !tainted:
		return fine()
	case !s.Snapshot.Unread[snapshot.PartInstall].IsZero():
		return unknown("%s", s.Snapshot.Unread[snapshot.PartInstall])
	case s.Node.Pod.Value == nil && !podsUnread(s.Snapshot).IsZero():
		return unknown("%s", podsUnread(s.Snapshot))
	case s.Node.Pod.Value == nil:
		return fine() // As it is meant to be until its pod runs.
	}
	f := Finding{
		Summary:  "the provisioner's startup taint stays on " + allNodes,
		Because:  "the provisioner runs there, and its taint keeps all pods away that do not tolerate it",
		Evidence: []string{fmt.Sprintf("%s: taint %s, provisioner pod %s runs", s.Node.Name, startupTaint, s.Node.Pod.Value.Name)},
		Fix:      []Step{{Command: shell.Command("kubectl", "taint", "nodes", s.Node.Name, startupTaint+"-")}},
		Masks:    []Code{codeOtherNodes, codeAffinityConflict},
	}
	if v := release(s.Snapshot.Install.Image); v != nil && v.Major() == 2 && v.Minor() == 9 {
		f.Because += "; release " + v.String() + " never removes it"
		f.Fix = append(f.Fix, Step{Text: "for the nodes to come, leave it out in the values of the chart:\nremoveNodeNotReadyTaint: false"})
	}
	return found(f)
}

// release is that of an image by its tag; nil if the tag is none.
func release(image string) *utilversion.Version {
	image, _, _ = strings.Cut(image, "@")
	i := strings.LastIndex(image, ":")
	if i <= strings.LastIndex(image, "/") {
		return nil
	}
	v, err := utilversion.ParseSemantic(image[i+1:])
	if err != nil {
		return nil
	}
	return v
}

// oldRelease knows the faults that lose data.
func oldRelease(s *Subject) Verdict {
	i := s.Snapshot.Install
	v := release(i.Image)
	fixed := utilversion.MustParseSemantic("2.8.0")
	switch {
	case v == nil:
		return unknown("image %q has no tag that names its release", i.Image)
	case !v.LessThan(fixed):
		return fine()
	}
	return found(Finding{
		Summary: fmt.Sprintf("release %s of the provisioner has a fault that can lose data", v),
		// sig-storage-local-static-provisioner, pull request 465.
		Because:  "before v2.8.0 a volume that is being deleted by hand could be wiped while it went",
		Evidence: []string{"image " + i.Image},
		Fix: []Step{{Text: "use v2.8.0 or later:",
			Command: shell.Command("kubectl", "-n", i.Namespace, "set", "image", "daemonset/"+i.Name,
				i.Container+"=registry.k8s.io/sig-storage/local-volume-provisioner:v2.8.0")}},
		Objects: []snapshot.Ref{daemonSet(i)},
	})
}
