// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// labelPodSecurity is the level that the API server enforces in a namespace
// (k8s.io/pod-security-admission, api/constants.go).
const labelPodSecurity = "pod-security.kubernetes.io/enforce"

// candidate is a DaemonSet that may be the provisioner's.
type candidate struct {
	install provisioner.Install
	state   snapshot.ProvisionerState
}

// candidates lists the DaemonSets and finds the provisioners among them.
func (d *diagnosis) candidates(ctx context.Context) ([]candidate, error) {
	r := d.request
	var found []candidate
	err := items(ctx, metav1.ListOptions{}, func(o metav1.ListOptions) (runtime.Object, error) {
		return d.Client.AppsV1().DaemonSets(r.ProvisionerNamespace).List(ctx, o)
	}, func(ds *appsv1.DaemonSet) {
		for _, i := range provisioner.Detect([]appsv1.DaemonSet{*ds}) {
			found = append(found, candidate{i, snapshot.ProvisionerState{
				UID: ds.UID, Desired: int(ds.Status.DesiredNumberScheduled), Ready: int(ds.Status.NumberReady),
			}})
		}
	})
	return found, err
}

// noInstall says why it is not known which provisioner there is.
func (d *diagnosis) noInstall(why error) {
	d.unread(snapshot.PartInstall, why)
	d.s.Provisioner = snapshot.Unread[snapshot.ProvisionerState](why.Error())
}

// provisioner chooses one of the candidates and reads its ConfigMap and namespace. Of
// several it is the one that has a class of what is diagnosed.
func (d *diagnosis) provisioner(ctx context.Context, found []candidate) {
	asked := Request{Namespace: d.request.ProvisionerNamespace, DaemonSet: d.request.DaemonSet}
	if asked.DaemonSet != "" {
		found = slices.DeleteFunc(found, func(c candidate) bool { return c.install.Name != asked.DaemonSet })
	}
	type read struct {
		classes []provisioner.Class
		err     error
	}
	configs := exec.Each(ctx, found, d.request.Limit, 0, func(ctx context.Context, c candidate) read {
		classes, err := d.Collector.classes(ctx, c.install)
		return read{classes, err}
	})
	for i := range found {
		found[i].install.Classes = configs[i].classes
	}
	if len(found) > 1 && !d.whole {
		names := d.classNames()
		serving := slices.DeleteFunc(slices.Clone(found), func(c candidate) bool {
			return !slices.ContainsFunc(names, func(name string) bool { _, ok := c.install.ClassOf(name); return ok })
		})
		if len(serving) == 1 {
			i := slices.IndexFunc(found, func(c candidate) bool { return c.state.UID == serving[0].state.UID })
			found, configs = serving, configs[i:i+1]
		}
	}
	installs := make([]provisioner.Install, 0, len(found))
	for _, c := range found {
		installs = append(installs, c.install)
	}
	install, err := choose(installs, asked)
	if err != nil {
		d.noInstall(err)
		return
	}
	d.s.Install = install
	if err := configs[0].err; err != nil {
		d.unread(snapshot.PartInstall, err)
	}
	state := found[0].state
	namespace, err := d.Client.CoreV1().Namespaces().Get(ctx, install.Namespace, metav1.GetOptions{})
	if err != nil {
		state.PodSecurityProblem = err.Error()
	} else {
		state.PodSecurity = namespace.Labels[labelPodSecurity]
	}
	d.s.Provisioner = snapshot.Read(state)
}

// readOwnPods reads the provisioner's pods on the nodes that belong to what is
// diagnosed.
func (d *diagnosis) readOwnPods(ctx context.Context) {
	state := d.s.Provisioner.Value
	if state == nil {
		return
	}
	list := func(node string) ([]corev1.Pod, error) {
		options := metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.s.Install.Selector)}
		if node != "" {
			options.FieldSelector = onNode(node)
		}
		var pods []corev1.Pod
		err := items(ctx, options, func(o metav1.ListOptions) (runtime.Object, error) {
			return d.Client.CoreV1().Pods(d.s.Install.Namespace).List(ctx, o)
		}, func(p *corev1.Pod) {
			if metav1.GetControllerOfNoCopy(p) == nil || metav1.GetControllerOfNoCopy(p).UID == state.UID {
				pods = append(pods, *p)
			}
		})
		return pods, err
	}
	nodes := d.objects.nodesWanted()
	if d.whole || len(nodes) > few {
		nodes = []string{""}
	}
	for _, node := range nodes {
		pods, err := list(node)
		if err != nil {
			state.PodsProblem = err.Error()
			d.own = nil
			return
		}
		d.own = append(d.own, pods...)
	}
	if !d.whole {
		d.own = slices.DeleteFunc(d.own, func(p corev1.Pod) bool { return !d.objects.wantedNodes[p.Spec.NodeName] })
	}
	for i := range d.own {
		state.Pods = append(state.Pods, ownPodOf(&d.own[i]))
	}
	slices.SortFunc(state.Pods, func(a, b snapshot.ProvisionerPod) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Name, b.Name))
	})
}

// ownPodOf projects a pod of the provisioner.
func ownPodOf(pod *corev1.Pod) snapshot.ProvisionerPod {
	p := snapshot.ProvisionerPod{
		Name: pod.Name, UID: pod.UID, Node: pod.Spec.NodeName, Phase: string(pod.Status.Phase),
		Deleting: pod.DeletionTimestamp != nil, Waiting: waiting(pod),
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			p.Ready = c.Status == corev1.ConditionTrue
		}
	}
	for _, s := range pod.Status.ContainerStatuses {
		p.Restarts += int(s.RestartCount)
	}
	return p
}

// How much is read of each log, and kept of it. What does not mend itself is logged
// again every 10 seconds; what is older may have been mended.
const (
	logSeconds = 600
	logTail    = 200
	logBytes   = 256 << 10
	logKept    = 40
	logLine    = 600
)

// readLogs reads the logs of the provisioner's pods on the nodes. down has why a node is NotReady.
func (d *diagnosis) readLogs(ctx context.Context, down map[string]string) {
	state := d.s.Provisioner.Value
	if state == nil {
		return
	}
	type log struct {
		pod     *corev1.Pod
		options *corev1.PodLogOptions
		lines   []string
		err     error
	}
	var logs []log
	state.Log, state.LogProblem = make(map[string][]string), make(map[string]string)
	for i := range d.own {
		options := logOptions(d.s.Install.Container, &d.own[i])
		if options == nil {
			continue
		}
		node := d.own[i].Spec.NodeName
		if down[node] != "" {
			state.LogProblem[node] = down[node] // As with its figures.
			continue
		}
		logs = append(logs, log{pod: &d.own[i], options: options})
	}
	logs = exec.Each(ctx, logs, d.request.Limit, d.request.Timeout, func(ctx context.Context, l log) log {
		text, err := kube.Raw(d.Client.CoreV1().Pods(l.pod.Namespace).GetLogs(l.pod.Name, l.options).Do(ctx))
		l.lines, l.err = errorLines(string(text)), failure.Wrap(err, fmt.Sprintf("the log of pod %q", key(l.pod.Namespace, l.pod.Name)), "")
		return l
	})
	for _, l := range logs {
		if node := l.pod.Spec.NodeName; l.err != nil {
			state.LogProblem[node] = l.err.Error()
		} else {
			state.Log[node] = append(state.Log[node], l.lines...)
		}
	}
}

// logOptions are how to read a pod's log; nil if it has none, because its container never
// ran. One that waits to be started again has said why in the log before.
func logOptions(container string, pod *corev1.Pod) *corev1.PodLogOptions {
	i := slices.IndexFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == container })
	if i < 0 || pod.Spec.NodeName == "" {
		return nil
	}
	options := &corev1.PodLogOptions{Container: container, TailLines: new(int64(logTail)), LimitBytes: new(int64(logBytes))}
	switch status := pod.Status.ContainerStatuses[i]; {
	case status.State.Waiting == nil:
		options.SinceSeconds = new(int64(logSeconds))
	case status.RestartCount == 0:
		return nil
	default:
		options.Previous = true
	}
	return options
}

// klogLine is a line that klog writes: level, month and day, time, process, file and
// line, "]", message (k8s.io/klog, klog.go).
var klogLine = regexp.MustCompile(`^[EWF]\d{4} [0-9:.]+ +\d+ [^]]*\] `)

// errorLines are the lines of a log that tell of warnings and errors, in their order; of
// those that say the same the last one. The provisioner repeats itself every 10 seconds.
func errorLines(text string) []string {
	kept := []string{}
	said := make(map[string]bool)
	for _, line := range slices.Backward(strings.Split(text, "\n")) {
		head := klogLine.FindString(line)
		if head == "" || said[line[len(head):]] {
			continue
		}
		said[line[len(head):]] = true
		if len(line) > logLine {
			line = strings.ToValidUTF8(line[:logLine], "") + "…"
		}
		if kept = append(kept, line); len(kept) == logKept {
			break
		}
	}
	slices.Reverse(kept)
	return kept
}
