// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// nodeOf projects a node and finds its provisioner pod, or why there is none.
func nodeOf(i provisioner.Install, n corev1.Node, pods []corev1.Pod) snapshot.Node {
	node := snapshot.Node{
		Name:          n.Name,
		UID:           n.UID,
		Created:       n.CreationTimestamp.Time,
		Unschedulable: n.Spec.Unschedulable,
		Labels:        n.Labels,
		Taints:        n.Spec.Taints,
		Wanted:        true,

		OSImage:        n.Status.NodeInfo.OSImage,
		KubeletVersion: n.Status.NodeInfo.KubeletVersion,
		MachineID:      n.Status.NodeInfo.MachineID,
		SystemUUID:     n.Status.NodeInfo.SystemUUID,
	}
	for _, a := range n.Status.Addresses {
		// The kubelet writes it, and nobody checks that it is an address.
		if _, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP && node.Address == "" {
			node.Address = a.Address
		}
	}
	notReady := "the node reports no Ready condition"
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			node.Ready = c.Status == corev1.ConditionTrue
			notReady = fmt.Sprintf("the node is NotReady (%s)", c.Reason)
		}
	}
	if !node.Ready {
		node.NotReady = notReady
	}
	pod, why := runningPod(i, pods)
	away := keptAway(i, n)
	switch {
	case pod != nil && !node.Ready:
		// Its kubelet is what would run the command.
		node.Pod = snapshot.Unread[snapshot.Pod](problem.Text(notReady))
	case pod != nil:
		node.Pod = snapshot.Read(podOf(i, pod))
	case why.IsZero() && !away.IsZero():
		node.Wanted = false
		node.Pod = snapshot.Unread[snapshot.Pod](away)
	case !node.Ready:
		node.Pod = snapshot.Unread[snapshot.Pod](problem.Text(notReady))
	case why.IsZero():
		node.Pod = snapshot.Unread[snapshot.Pod](problem.Problem{
			Kind:    problem.NoPod,
			Message: fmt.Sprintf("DaemonSet %q has no pod there", i.Namespace+"/"+i.Name),
		})
	default:
		node.Pod = snapshot.Unread[snapshot.Pod](why)
	}
	return node
}

// podOf projects a provisioner's pod whose container runs.
func podOf(i provisioner.Install, pod *corev1.Pod) snapshot.Pod {
	p := snapshot.Pod{Name: pod.Name, UID: pod.UID}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == i.Container && c.State.Running != nil {
			p.Started = c.State.Running.StartedAt.Time
		}
	}
	return p
}

// runningPod is a pod whose provisioner container runs, ready or not: one
// dangling entry makes it unready. Otherwise why none does; no problem if there is no pod.
func runningPod(i provisioner.Install, pods []corev1.Pod) (*corev1.Pod, problem.Problem) {
	var why problem.Problem
	for p := range pods {
		pod := &pods[p]
		if pod.DeletionTimestamp != nil {
			why = problem.Problem{Kind: problem.PodDeleted, Message: fmt.Sprintf("pod %q is being deleted", pod.Namespace+"/"+pod.Name)}
			continue
		}
		at := slices.IndexFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == i.Container })
		switch {
		case at < 0:
			why = problem.Problem{Kind: problem.PodDown, Message: fmt.Sprintf("pod %q is %s", pod.Namespace+"/"+pod.Name, pod.Status.Phase)}
		case pod.Status.ContainerStatuses[at].State.Running != nil:
			return pod, problem.Problem{}
		default:
			why = problem.Problem{
				Kind: problem.PodDown,
				Message: fmt.Sprintf("container %q of pod %q does not run%s", i.Container, pod.Namespace+"/"+pod.Name,
					stateOf(pod.Status.ContainerStatuses[at].State)),
			}
		}
	}
	return nil, why
}

func stateOf(s corev1.ContainerState) string {
	switch {
	case s.Waiting != nil && s.Waiting.Message != "":
		return fmt.Sprintf(": %s: %s", s.Waiting.Reason, s.Waiting.Message)
	case s.Waiting != nil:
		return ": " + s.Waiting.Reason
	case s.Terminated != nil:
		return fmt.Sprintf(": it ended with code %d (%s)", s.Terminated.ExitCode, s.Terminated.Reason)
	}
	return ""
}

// keptAway is why the DaemonSet wants no pod on a node; no problem if nothing here
// keeps it away.
func keptAway(i provisioner.Install, n corev1.Node) problem.Problem {
	for _, key := range slices.Sorted(maps.Keys(i.NodeSelector)) { // The same words each time.
		if value := i.NodeSelector[key]; n.Labels[key] != value {
			return problem.Text(fmt.Sprintf("the DaemonSet's nodeSelector asks for %s=%s", key, value))
		}
	}
	if len(i.NodeAffinity) > 0 && !slices.ContainsFunc(i.NodeAffinity, func(term string) bool { return meets(n, term) }) {
		return problem.Text("the DaemonSet's node affinity asks for " + strings.Join(i.NodeAffinity, " or "))
	}
	for t := range n.Spec.Taints {
		taint := &n.Spec.Taints[t]
		if taint.Effect == corev1.TaintEffectPreferNoSchedule || toleratedByEveryDaemonSet(taint.Key) {
			continue
		}
		tolerated := slices.ContainsFunc(i.Tolerations, func(tol corev1.Toleration) bool {
			return tol.ToleratesTaint(klog.Background(), taint, true)
		})
		if !tolerated {
			text := strings.TrimSuffix(taint.ToString(), "=")
			return problem.Problem{Kind: problem.NotTolerated, Object: text, Message: "the DaemonSet does not tolerate the node's taint " + text}
		}
	}
	return problem.Problem{}
}

// meets reports whether a node meets a term of a node affinity. One that cannot be read
// keeps no node away.
func meets(n corev1.Node, term string) bool {
	selector, err := labels.Parse(term)
	return err != nil || selector.Matches(labels.Merge(n.Labels, labels.Set{metav1.ObjectNameField: n.Name}))
}

// toleratedByEveryDaemonSet are the taints that the DaemonSet controller adds
// tolerations for (Kubernetes v1.37, pkg/controller/daemon/util/daemonset_util.go).
func toleratedByEveryDaemonSet(key string) bool {
	return slices.Contains([]string{
		corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeDiskPressure,
		corev1.TaintNodeMemoryPressure, corev1.TaintNodePIDPressure, corev1.TaintNodeUnschedulable,
	}, key)
}
