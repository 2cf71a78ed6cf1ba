// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// provisionerChecks are those of the provisioner's installation, its pods and its classes.
func provisionerChecks() []Check {
	return []Check{
		{Code: "TD0201", Title: "no provisioner is found", Severity: Error, Stage: StageProvisioner, About: OfCluster, Run: noInstall},
		{Code: "TD0202", Title: "Pod Security refuses the provisioner's pods", Severity: Error, Stage: StageProvisioner, About: OfCluster, Needs: []Need{NeedInstall, NeedNodes}, Run: podSecurity},
		{Code: "TD0203", Title: "no provisioner pod on the node", Severity: Warning, Stage: StageProvisioner, About: OfNode, Needs: []Need{NeedInstall}, Run: noPod},
		{Code: "TD0204", Title: "the provisioner's container does not run", Severity: Error, Stage: StageProvisioner, About: OfNode, Needs: []Need{NeedInstall}, Run: podDown},
		{Code: "TD0205", Title: "hostDir lies on the read-only root", Severity: Error, Stage: StageProvisioner, About: OfNode, Needs: []Need{NeedInstall}, Run: readOnlyHostDir},
		{Code: "TD0206", Title: "hostDir is not mounted into the provisioner's pod", Severity: Error, Stage: StageProvisioner, About: OfCluster, Needs: []Need{NeedInstall}, Run: classNotMounted},
		{Code: "TD0207", Title: "hostDir is mounted without HostToContainer", Severity: Error, Stage: StageProvisioner, About: OfCluster, Needs: []Need{NeedInstall}, Run: notPropagated},
		{Code: "TD0208", Title: "/dev is not mounted into the provisioner's pod", Severity: Error, Stage: StageProvisioner, About: OfCluster, Needs: []Need{NeedInstall}, Applies: hasBlockClass, Run: devNotMounted},
		{Code: "TD0209", Title: "a class has no StorageClass", Severity: Error, Stage: StageProvisioner, About: OfCluster, Needs: []Need{NeedInstall, NeedStorageClasses}, Run: noStorageClass},
		{Code: "TD0210", Title: "a StorageClass binds immediately", Severity: Warning, Stage: StageProvisioner, About: OfCluster, Needs: []Need{NeedInstall, NeedStorageClasses}, Run: bindsImmediately},
		{Code: "TD0211", Title: "two classes publish the same entry", Severity: Error, Stage: StageProvisioner, About: OfCluster, Needs: []Need{NeedInstall}, Run: publishedTwice},
		{Code: "TD0212", Title: "namePattern leaves an entry out", Severity: Warning, Stage: StageProvisioner, About: OfNode, Needs: []Need{NeedInstall, NeedView}, Run: leftOut},
		{Code: "TD0213", Title: "a class publishes the system's partitions", Severity: Error, Stage: StageProvisioner, About: OfCluster, Needs: []Need{NeedInstall}, Run: publishesSystem},
		{Code: "TD0214", Title: "the provisioner's startup taint stays", Severity: Error, Stage: StageProvisioner, About: OfNode, Needs: []Need{NeedNodes}, Run: taintStays},
		{Code: "TD0215", Title: "a release of the provisioner with known faults", Severity: Warning, Stage: StageProvisioner, About: OfCluster, Needs: []Need{NeedInstall}, Run: oldRelease},
		{Code: "TD0216", Title: "the provisioner's log has errors", Severity: Warning, Stage: StageProvisioner, About: OfNode, Needs: []Need{NeedInstall, NeedProvisioner}, Run: logErrors},
	}
}

// daemonSet names the installation as kubectl does.
func daemonSet(i provisioner.Install) snapshot.Ref {
	return snapshot.Ref{Kind: "daemonset", Namespace: i.Namespace, Name: i.Name}
}

// configMap is the command that shows the provisioner's classes.
func configMap(i provisioner.Install) string {
	return fmt.Sprintf("kubectl -n %s get configmap %s -o yaml", i.Namespace, i.ConfigMap)
}

// restart has the provisioner read its configuration and mount its directories again.
func restart(i provisioner.Install) Step {
	return Step{Text: "then have its pods start again:", Command: fmt.Sprintf("kubectl -n %s rollout restart daemonset %s", i.Namespace, i.Name)}
}

// allOfProvisioner are the codes that mean nothing without a provisioner.
func allOfProvisioner() []Code {
	return []Code{"TD0202", "TD0203", "TD0204", "TD0205", "TD0206", "TD0207", "TD0208", "TD0209", "TD0214", "TD0507", "TD0508"}
}

// noInstall goes by what package collect says where it found none, several, or one
// whose classes make no sense.
func noInstall(s *Subject) Verdict {
	why := s.Snapshot.Unread[string(NeedInstall)]
	if _, denied := rightIn(why); denied {
		return unknown("%s", why)
	}
	f := Finding{Evidence: nonEmpty(why), Masks: allOfProvisioner()}
	switch {
	case why == "" && s.Snapshot.Install.Name != "":
		return fine()
	case why == "" || strings.HasPrefix(why, "no DaemonSet"):
		f.Summary = "no local volume static provisioner is found"
		f.Because = "without it nothing makes volumes of what lies in a directory; it is known by its image or by its ConfigMap"
		f.Fix = []Step{
			{Text: "install it: https://github.com/kubernetes-sigs/sig-storage-local-static-provisioner"},
			{Text: "or, if it has another image, name it:", Command: "kubectl talosdisk doctor --provisioner-namespace NAMESPACE --provisioner DAEMONSET"},
		}
	case strings.HasPrefix(why, "several provisioners"):
		f.Summary = "there are several provisioners, and none was chosen"
		f.Because = "which classes there are depends on which one is meant"
		f.Fix = []Step{{Text: "choose one:", Command: "kubectl talosdisk doctor --provisioner-namespace NAMESPACE --provisioner DAEMONSET"}}
	case strings.HasPrefix(why, "ConfigMap"):
		f.Summary = "the provisioner's configuration makes no sense to it"
		f.Because = "it publishes no volumes of a class that it cannot read"
		f.Fix = []Step{{Text: "mend the ConfigMap, or the classes in the values of the chart:", Command: "kubectl get configmaps -A | grep -i provisioner"}}
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
			Command: fmt.Sprintf("kubectl label namespace %s pod-security.kubernetes.io/enforce=privileged --overwrite", i.Namespace)}},
		Objects: []snapshot.Ref{daemonSet(i)},
		Masks:   []Code{"TD0203"},
	}
	podless, wanted := 0, 0
	for _, n := range s.Snapshot.Nodes {
		if n.Wanted && n.Ready {
			wanted++
			if hasNone(&n) {
				podless++
			}
		}
	}
	state := s.Snapshot.Provisioner.Value
	refused := ""
	for _, e := range value(s.Snapshot.Events) { // Each names another pod.
		if refused != "" && e.Message > refused {
			continue
		}
		if e.About.Kind == "daemonset" && e.About.Namespace == i.Namespace && e.About.Name == i.Name && strings.Contains(e.Message, "violates PodSecurity") {
			refused = e.Message
		}
	}
	lacking := podless > 0 || state != nil && state.Desired > state.Ready
	level, unread := "", s.Snapshot.Provisioner.Why()
	if state != nil {
		level, unread = state.PodSecurity, orElse(state.PodSecurityProblem, state.PodsProblem)
	}
	switch {
	case level == "privileged", i.Namespace == "kube-system" && refused == "":
		return fine()
	case refused != "" && (lacking || wanted == 0):
		f.Evidence = []string{refused}
	case (level == "baseline" || level == "restricted") && podless > 0:
		f.Evidence = []string{fmt.Sprintf("namespace %q enforces %s, and %d of %d nodes have no pod", i.Namespace, level, podless, wanted)}
	case level == "baseline" || level == "restricted":
		f.Severity = Warning
		f.Summary = fmt.Sprintf("Pod Security will refuse the provisioner's next pod in namespace %q", i.Namespace)
		f.Evidence = []string{fmt.Sprintf("namespace %q enforces %s; a pod that runs already may go on", i.Namespace, level)}
	case unread != "":
		return unknown("%s", unread)
	case podless > 0 && s.Snapshot.Events.Value == nil:
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
	}
	f := Finding{
		Summary:  "no provisioner pod runs on " + allNodes,
		Because:  "what lies in its directories is not published, and released volumes are not cleaned",
		Evidence: nonEmpty(n.Pod.Problem),
	}
	volumes := slices.ContainsFunc(s.Snapshot.Volumes, func(v snapshot.Volume) bool { return v.Node == n.Name })
	switch taint, tainted := strings.CutPrefix(n.Pod.Problem, "the DaemonSet does not tolerate the node's taint "); {
	case n.Wanted:
		f.Severity = Error
		f.Because = "its DaemonSet should have one there and has not made it: " + f.Because
		f.Fix = []Step{{Text: "its events tell why:", Command: fmt.Sprintf("kubectl -n %s describe daemonset %s", i.Namespace, i.Name)}}
	case tainted:
		f.Fix = []Step{{Text: "if its disks are to be used, tolerate the taint in the values of the chart:\n" + toleration(taint)}}
	default:
		f.Fix = []Step{{Text: "if its disks are to be used, label it as the nodeSelector asks, or change nodeSelector in the values of the chart:",
			Command: fmt.Sprintf("kubectl -n %s get daemonset %s -o jsonpath='{.spec.template.spec.nodeSelector}'", i.Namespace, i.Name)}}
	}
	if !n.Wanted && !volumes {
		f.Severity = Info // Nodes that are to be left alone are tainted for that.
	}
	return found(f)
}

// toleration are the lines of the chart's values for a taint as kubectl writes it, "key=value:Effect".
func toleration(taint string) string {
	keyValue, effect, _ := strings.Cut(taint, ":")
	key, val, hasValue := strings.Cut(keyValue, "=")
	lines := "tolerations:\n- key: " + key + "\n"
	if hasValue && val != "" {
		lines += "  operator: Equal\n  value: " + fmt.Sprintf("%q", val) + "\n"
	} else {
		lines += "  operator: Exists\n"
	}
	if effect != "" {
		lines += "  effect: " + effect + "\n"
	}
	return strings.TrimSuffix(lines, "\n")
}

// hasNone tells a node on which the DaemonSet should have a pod and has none, in the
// words of package collect.
func hasNone(n *snapshot.Node) bool {
	return n.Pod.Value == nil && strings.HasSuffix(n.Pod.Problem, "has no pod there")
}

// podState is what package collect says of a provisioner pod that is there and does not run.
func podState(n *snapshot.Node) string {
	if n.Pod.Value == nil && (strings.HasPrefix(n.Pod.Problem, "container ") || strings.HasPrefix(n.Pod.Problem, "pod ")) {
		return n.Pod.Problem
	}
	return ""
}

// readOnlyMkdir is what containerd says of a hostPath that it cannot make
// (v2.3, internal/cri/opts/spec_linux_opts.go).
var readOnlyMkdir = regexp.MustCompile(`failed to mkdir "([^"]+)".*read-only file system`)

func podDown(s *Subject) Verdict {
	state := podState(s.Node)
	if state == "" && s.Node.Pod.Value == nil && s.Node.Wanted && s.Node.Ready && !hasNone(s.Node) {
		return unknown("%s", s.Node.Pod.Why())
	}
	if state == "" || !s.Node.Ready || strings.HasSuffix(state, "is being deleted") {
		return fine()
	}
	i := s.Snapshot.Install
	f := Finding{
		Summary:  "the provisioner does not run on " + allNodes,
		Because:  "until it does, what lies in its directories is not published",
		Evidence: []string{state},
		Fix: []Step{
			{Text: "see why:", Command: fmt.Sprintf("kubectl -n %s describe pods --field-selector spec.nodeName=%s", i.Namespace, s.Node.Name)},
			{Command: fmt.Sprintf("kubectl -n %s logs daemonset/%s -c %s --previous", i.Namespace, i.Name, i.Container)},
		},
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
	m := readOnlyMkdir.FindStringSubmatch(podState(s.Node))
	if m == nil {
		if s.Node.Pod.Value == nil && s.Node.Pod.Problem == "" {
			return unknown("%s", s.Node.Pod.Why())
		}
		return fine()
	}
	return found(Finding{
		Summary:  fmt.Sprintf("the provisioner's hostDir %q lies on the read-only root of %s", m[1], allNodes),
		Because:  "on Talos only /var can be written to, and the container runtime cannot make the directory",
		Evidence: []string{podState(s.Node)},
		Fix: []Step{
			{Text: fmt.Sprintf("give the class a directory below /var in the values of the chart:\nclasses:\n- hostDir: %s", path.Join("/var/lib/disks", path.Base(m[1])))},
			{Text: "then make it visible to the kubelet:", Command: "kubectl talosdisk mounts --nodes " + allNodes},
		},
		Path:  m[1],
		Masks: []Code{"TD0204", "TD0301", "TD0401"},
	})
}

// hostOf is the directory of the node that the container has at a path.
func hostOf(i provisioner.Install, containerPath string) (string, provisioner.Mount, bool) {
	m, ok := i.MountOf(containerPath)
	if !ok {
		return "", m, false
	}
	rest := strings.TrimPrefix(clean(containerPath), clean(m.MountPath))
	return path.Join(m.HostPath, rest), m, true
}

// classNotMounted compares what the ConfigMap says with what the DaemonSet mounts.
func classNotMounted(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	for _, c := range i.Classes {
		host, m, ok := hostOf(i, c.MountDir)
		if ok && host == c.HostDir {
			continue
		}
		f := Finding{
			Summary: fmt.Sprintf("%q of class %q is not mounted into the provisioner's pod", c.HostDir, c.Name),
			Because: fmt.Sprintf("nothing is mounted at its mountDir %q: the provisioner looks into a directory of its own container", c.MountDir),
			Fix: []Step{
				{Text: fmt.Sprintf("the chart mounts the directories of its classes by itself; have it deploy this one:\nclasses:\n- name: %s\n  hostDir: %s\n  mountDir: %s", c.Name, c.HostDir, c.MountDir)},
				{Text: "with manifests of your own, mount it into the container as a hostPath, with mountPropagation: HostToContainer:", Command: fmt.Sprintf("kubectl -n %s edit daemonset %s", i.Namespace, i.Name)},
			},
			Objects: []snapshot.Ref{daemonSet(i)}, Path: c.HostDir, Masks: []Code{"TD0207", "TD0216", "TD0508"},
		}
		if ok {
			f.Because = fmt.Sprintf("its mountDir %q shows %q of the node, and volumes would carry the path %q", c.MountDir, host, c.HostDir)
			f.Evidence = []string{fmt.Sprintf("the DaemonSet mounts %s at %s", m.HostPath, m.MountPath)}
		}
		all = append(all, f)
	}
	return found(all...)
}

// notPropagated: without propagation a container sees what was mounted when it started.
func notPropagated(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	for _, c := range i.Classes {
		_, m, ok := hostOf(i, c.MountDir)
		if !ok || m.Propagation == corev1.MountPropagationHostToContainer || m.Propagation == corev1.MountPropagationBidirectional || within(c.HostDir, "/dev") {
			continue
		}
		f := Finding{
			Summary:  fmt.Sprintf("%q of class %q is mounted into the provisioner's pod without HostToContainer", c.HostDir, c.Name),
			Because:  "disks that are mounted on the node after the pod started stay hidden from it: it says that the directory is no mount point",
			Evidence: []string{fmt.Sprintf("mountPropagation of %s is %s", m.MountPath, cmp.Or(string(m.Propagation), "None"))},
			Fix: []Step{{Text: "set mountPropagation: HostToContainer at that volumeMount:",
				Command: fmt.Sprintf("kubectl -n %s edit daemonset %s", i.Namespace, i.Name)}},
			Objects: []snapshot.Ref{daemonSet(i)}, Path: c.HostDir,
		}
		if c.Mode == provisioner.Block {
			f.Severity = Warning // Links are files; only a mount over the directory itself is missed.
			f.Because = "should the directory itself be mounted on the node later, the pod goes on linking into the one beneath"
		}
		all = append(all, f)
	}
	return found(all...)
}

func hasBlockClass(s *Subject) bool {
	return slices.ContainsFunc(s.Snapshot.Install.Classes, func(c provisioner.Class) bool { return c.Mode == provisioner.Block })
}

func devNotMounted(s *Subject) Verdict {
	i := s.Snapshot.Install
	if i.DevMounted() {
		return fine()
	}
	return found(Finding{
		Summary: "the node's /dev is not mounted into the provisioner's pod",
		Because: "links in the directory of a Block class lead to devices that its container does not have",
		Fix: []Step{
			{Text: "in the values of the chart:\nmountDevVolume: true"},
			{Text: "with manifests of your own, mount the hostPath /dev at /dev:", Command: fmt.Sprintf("kubectl -n %s edit daemonset %s", i.Namespace, i.Name)},
		},
		Objects: []snapshot.Ref{daemonSet(i)},
		Masks:   []Code{"TD0216", "TD0501", "TD0507", "TD0508"},
	})
}

func noStorageClass(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	for _, c := range i.Classes {
		sc, ok := s.Snapshot.StorageClasses[c.Name]
		switch {
		case !ok:
			all = append(all, Finding{
				Summary: fmt.Sprintf("class %q of the provisioner has no StorageClass", c.Name),
				Because: "the provisioner takes the reclaim policy from it and publishes nothing without; the chart makes it only if it is told to",
				Fix: []Step{
					{Text: fmt.Sprintf("in the values of the chart:\nclasses:\n- name: %s\n  storageClass: true", c.Name)},
					{Text: "or without the chart:", Command: fmt.Sprintf("kubectl apply -f - <<'EOF'\napiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata:\n  name: %s\nprovisioner: %s\nvolumeBindingMode: WaitForFirstConsumer\nreclaimPolicy: Delete\nEOF", c.Name, noProvisioner)},
				},
				Objects: []snapshot.Ref{{Kind: "storageclass", Name: c.Name}},
				Masks:   []Code{"TD0216", "TD0611"},
			})
		case sc.Provisioner != noProvisioner:
			all = append(all, Finding{
				Severity: Warning,
				Summary:  fmt.Sprintf("StorageClass %q is another provisioner's", c.Name),
				Because:  fmt.Sprintf("claims of it wait for %q to make a volume, unless one of the local volumes fits at once", sc.Provisioner),
				Evidence: []string{"provisioner: " + sc.Provisioner},
				Fix:      []Step{{Text: "a StorageClass cannot be changed: give the provisioner's class a name of its own:", Command: configMap(i)}},
				Objects:  []snapshot.Ref{{Kind: "storageclass", Name: c.Name}},
			})
		}
	}
	return found(all...)
}

func bindsImmediately(s *Subject) Verdict {
	var all []Finding
	for _, c := range s.Snapshot.Install.Classes {
		sc, ok := s.Snapshot.StorageClasses[c.Name]
		if !ok || sc.BindingMode == "WaitForFirstConsumer" {
			continue
		}
		all = append(all, Finding{
			Summary:  fmt.Sprintf("StorageClass %q binds claims before their pod is scheduled", c.Name),
			Because:  "a claim then takes a disk of any node, and a pod that cannot run there never starts",
			Evidence: []string{"volumeBindingMode: " + cmp.Or(sc.BindingMode, "Immediate")},
			Fix: []Step{
				{Text: "a StorageClass cannot be changed, only made again; bound claims keep their volumes:",
					Command: fmt.Sprintf("kubectl get storageclass %s -o yaml | sed 's/^volumeBindingMode: .*/volumeBindingMode: WaitForFirstConsumer/' | kubectl replace --force -f -", c.Name)},
				{Text: "where Helm or a repository deploys it, set volumeBindingMode: WaitForFirstConsumer there too"},
			},
			Objects: []snapshot.Ref{{Kind: "storageclass", Name: c.Name}},
		})
	}
	return found(all...)
}

// publishedTwice: entries that lie in the directory of two classes, or patterns of
// which one lets everything through.
func publishedTwice(s *Subject) Verdict {
	classes := s.Snapshot.Install.Classes
	var all []Finding
	for i, a := range classes {
		for _, b := range classes[i+1:] {
			if outer, inner, ok := nested(a, b); ok {
				all = append(all, publishesClass(s.Snapshot.Install, outer, inner))
			}
			if a.HostDir != b.HostDir {
				continue
			}
			var evidence []string
			for _, n := range s.Snapshot.Nodes {
				for _, e := range value(n.View).Dirs[a.Name].Entries {
					if a.Publishes(e.Name) && b.Publishes(e.Name) && !skips(a, e) && !skips(b, e) {
						evidence = append(evidence, fmt.Sprintf("%s: %s", n.Name, a.VolumePath(e.Name)))
					}
				}
			}
			if len(evidence) == 0 && !overlap(a, b) {
				continue
			}
			slices.Sort(evidence)
			f := Finding{
				Summary:  fmt.Sprintf("classes %q and %q both publish what lies in %q", a.Name, b.Name, a.HostDir),
				Because:  "one disk becomes two volumes, and two claims write to it",
				Evidence: evidence,
				Fix: []Step{
					{Text: fmt.Sprintf("give each class a hostDir of its own, or a namePattern that leaves out what is the other's, in the values of the chart:\nclasses:\n- name: %s\n  namePattern: \"%s-*\"\n- name: %s\n  namePattern: \"%s-*\"", a.Name, a.Name, b.Name, b.Name)},
					restart(s.Snapshot.Install),
				},
				Objects: []snapshot.Ref{daemonSet(s.Snapshot.Install)}, Path: a.HostDir,
			}
			if a.Mode != b.Mode {
				f.Because += "; the kubelet would format for the Filesystem class what a pod uses as a device"
			}
			if len(evidence) == 0 {
				f.Severity = Warning
				f.Because = "the next entry that lies there becomes two volumes, and two claims write to one disk"
			}
			all = append(all, f)
		}
	}
	return found(all...)
}

// nested tells two classes of which one has the other's directory as an entry, which is
// a mount point in the pod, because the pod mounts it.
func nested(a, b provisioner.Class) (outer, inner provisioner.Class, ok bool) {
	for _, pair := range [][2]provisioner.Class{{a, b}, {b, a}} {
		o, i := pair[0], pair[1]
		name := path.Base(i.HostDir)
		if o.Mode == provisioner.Filesystem && parent(i.HostDir) == o.HostDir && o.Publishes(name) && clean(i.MountDir) == o.EntryPath(name) {
			return o, i, true
		}
	}
	return outer, inner, false
}

func publishesClass(i provisioner.Install, outer, inner provisioner.Class) Finding {
	return Finding{
		Summary:  fmt.Sprintf("class %q publishes the directory of class %q as a volume", outer.Name, inner.Name),
		Because:  "in the provisioner's pod it is a mount point like any other: a claim can get it, and with it the entries of the other class, which are deleted with the claim",
		Evidence: []string{fmt.Sprintf("%s lies in %s", inner.HostDir, outer.HostDir)},
		Fix: []Step{
			{Text: "give each class a hostDir beside the other, or leave it out by namePattern, in the values of the chart:", Command: configMap(i)},
			restart(i),
		},
		Objects: []snapshot.Ref{daemonSet(i)}, Path: inner.HostDir,
	}
}

// skips tells the entries that a class of that mode never publishes: a Block class refuses
// directories, while a Filesystem class takes a device (pkg/discovery/discovery.go).
func skips(c provisioner.Class, e provisioner.Entry) bool {
	return c.Mode == provisioner.Block && e.Kind == provisioner.Directory || e.Kind == provisioner.File || e.Dangling()
}

func overlap(a, b provisioner.Class) bool {
	return everything(a) || everything(b) || a.NamePattern == b.NamePattern
}

// everything tells a class without a pattern, or with one that lets all names through.
func everything(c provisioner.Class) bool {
	return c.NamePattern == "" || slices.Contains(strings.Split(c.NamePattern, ","), "*")
}

// leftOut are links that no class with their directory lets through. Below /dev, and
// with directories, leaving out is what patterns are for.
func leftOut(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	seen := make(map[string]bool)
	for _, c := range i.Classes {
		if within(c.HostDir, "/dev") || seen[c.HostDir] {
			continue
		}
		seen[c.HostDir] = true
		for _, e := range value(s.Node.View).Dirs[c.Name].Entries {
			if e.Kind != provisioner.Link || slices.ContainsFunc(i.Classes, func(o provisioner.Class) bool { return o.HostDir == c.HostDir && o.Publishes(e.Name) }) {
				continue
			}
			all = append(all, Finding{
				Summary:  fmt.Sprintf("namePattern %q of class %q leaves out %q", c.NamePattern, c.Name, c.VolumePath(e.Name)),
				Because:  "the provisioner looks only at names that the pattern matches, so the link never becomes a volume",
				Evidence: []string{fmt.Sprintf("%s: %s -> %s", s.Node.Name, c.VolumePath(e.Name), e.Target)},
				Fix: []Step{
					{Text: "make the link under a name that matches, or widen the pattern in the values of the chart:", Command: configMap(i)},
					restart(i),
				},
				Path: c.VolumePath(e.Name), Masks: []Code{"TD0507"},
			})
		}
	}
	return found(all...)
}

// systemLabels are the labels of Talos's own partitions (Talos v1.14,
// pkg/machinery/constants).
func systemLabels() []string {
	return []string{"EFI", "BIOS", "BOOT", "META", "STATE", "EPHEMERAL", "IMAGECACHE"}
}

// udevDirs are the directories below /dev in which every disk and partition has a name.
func udevDirs() []string {
	return []string{"/dev", "/dev/block", "/dev/mapper", "/dev/disk/by-id", "/dev/disk/by-path", "/dev/disk/by-uuid", "/dev/disk/by-partuuid", "/dev/disk/by-label", "/dev/disk/by-diskseq", "/dev/disk/by-loop-ref"}
}

// publishesSystem: what a class publishes is wiped when its claim is deleted.
func publishesSystem(s *Subject) Verdict {
	i := s.Snapshot.Install
	var all []Finding
	for _, c := range i.Classes {
		var evidence []string
		if c.HostDir == "/dev/disk/by-partlabel" {
			labels := slices.DeleteFunc(systemLabels(), func(label string) bool { return !c.Publishes(label) })
			if len(labels) > 0 {
				evidence = append(evidence, fmt.Sprintf("in %s it lets through %s", c.HostDir, strings.Join(labels, ", ")))
			}
		} else if slices.Contains(udevDirs(), c.HostDir) && everything(c) {
			evidence = append(evidence, fmt.Sprintf("it lets every name in %s through, the system disk's among them", c.HostDir))
		}
		for _, n := range s.Snapshot.Nodes {
			view := value(n.View)
			for _, e := range view.Dirs[c.Name].Entries {
				for number, why := range view.Beneath {
					if e.Device == number.String() && c.Publishes(e.Name) {
						evidence = append(evidence, fmt.Sprintf("%s: %s is a device that the node lives on: %s", n.Name, c.VolumePath(e.Name), why))
					}
				}
			}
		}
		if len(evidence) == 0 {
			continue
		}
		slices.Sort(evidence)
		pattern := "disk-*"
		if c.HostDir == "/dev/disk/by-partlabel" {
			pattern = "r-*"
		}
		all = append(all, Finding{
			Summary:  fmt.Sprintf("class %q publishes partitions of the system as volumes", c.Name),
			Because:  "a claim can get one of them, and the provisioner wipes it when the claim is deleted: the node is lost with it",
			Evidence: evidence,
			Fix: []Step{
				{Text: fmt.Sprintf("at once, before any claim is deleted, set a namePattern that only volumes for pods match, in the values of the chart:\nclasses:\n- name: %s\n  namePattern: %q", c.Name, pattern)},
				restart(i),
				{Text: "then look for volumes that it made already, and delete those that no claim has:", Command: "kubectl get pv -o custom-columns=NAME:.metadata.name,PATH:.spec.local.path,CLAIM:.spec.claimRef.name"},
			},
			Objects: []snapshot.Ref{daemonSet(i)}, Path: c.HostDir,
		})
	}
	return found(all...)
}

// startupTaint is the chart's default (v2.9.0, provisionerNotReadyNodeTaintKey).
const startupTaint = "sig-storage-local-static-provisioner/agent-not-ready"

// taintStays: release 2.9.0 takes it away only if it is not meant to
// (pkg/controller/controller.go, ShouldRemoveTaint).
func taintStays(s *Subject) Verdict {
	tainted := slices.ContainsFunc(s.Node.Taints, func(t corev1.Taint) bool { return t.Key == startupTaint })
	switch {
	case !tainted:
		return fine()
	case s.Snapshot.Unread[string(NeedInstall)] != "":
		return unknown("%s", s.Snapshot.Unread[string(NeedInstall)])
	case s.Node.Pod.Value == nil:
		return fine() // As it is meant to be until its pod runs.
	}
	f := Finding{
		Summary:  "the provisioner's startup taint stays on " + allNodes,
		Because:  "the provisioner runs there, and its taint keeps all pods away that do not tolerate it",
		Evidence: []string{fmt.Sprintf("%s: taint %s, provisioner pod %s runs", s.Node.Name, startupTaint, s.Node.Pod.Value.Name)},
		Fix:      []Step{{Command: fmt.Sprintf("kubectl taint nodes %s %s-", s.Node.Name, startupTaint)}},
		Masks:    []Code{"TD0607", "TD0702"},
	}
	if v := release(s.Snapshot.Install.Image); v != nil && v.Major() == 2 && v.Minor() == 9 {
		f.Because += "; release " + v.String() + " never takes it away"
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
	mended := utilversion.MustParseSemantic("2.8.0")
	switch {
	case v == nil:
		return unknown("image %q has no tag that names its release", i.Image)
	case !v.LessThan(mended):
		return fine()
	}
	return found(Finding{
		Summary: fmt.Sprintf("release %s of the provisioner has a fault that can lose data", v),
		// sig-storage-local-static-provisioner, pull request 465.
		Because:  "before v2.8.0 a volume that is being deleted by hand could be wiped while it went",
		Evidence: []string{"image " + i.Image},
		Fix: []Step{{Text: "use v2.8.0 or later:",
			Command: fmt.Sprintf("kubectl -n %s set image daemonset/%s %s=registry.k8s.io/sig-storage/local-volume-provisioner:v2.8.0", i.Namespace, i.Name, i.Container)}},
		Objects: []snapshot.Ref{daemonSet(i)},
	})
}
