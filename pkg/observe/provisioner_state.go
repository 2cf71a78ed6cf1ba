// SPDX-License-Identifier: Apache-2.0

package observe

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
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
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
	// problem is why its classes are not known.
	problem error
}

// candidates lists the DaemonSets and finds the provisioners among them.
func (d *diagnosis) candidates(ctx context.Context) ([]candidate, error) {
	r := d.request
	var found []candidate
	err := items(ctx, metav1.ListOptions{}, func(o metav1.ListOptions) (runtime.Object, error) {
		return d.Client.AppsV1().DaemonSets(r.ProvisionerNamespace).List(ctx, o)
	}, func(ds *appsv1.DaemonSet) {
		for _, i := range provisioner.Detect([]appsv1.DaemonSet{*ds}) {
			found = append(found, candidate{install: i, state: snapshot.ProvisionerState{
				UID: ds.UID, Desired: int(ds.Status.DesiredNumberScheduled), Ready: int(ds.Status.NumberReady),
			}})
		}
	})
	return found, err
}

// noInstall says why it is not known which provisioner there is.
func (d *diagnosis) noInstall(why error) {
	d.unread(snapshot.PartInstall, why)
	d.s.Provisioner = snapshot.Unread[snapshot.ProvisionerState](problem.From(why))
}

// provisioner reads the ConfigMaps and namespaces of the candidates. Where there are targets,
// those that have a class of theirs are enough. The first one whose classes are known is the
// snapshot's, and the further ones are its Others.
func (d *diagnosis) provisioner(ctx context.Context, found []candidate) {
	asked := Request{Namespace: d.request.ProvisionerNamespace, DaemonSet: d.request.DaemonSet, Every: true}
	if asked.DaemonSet != "" {
		found = slices.DeleteFunc(found, func(c candidate) bool { return c.install.Name != asked.DaemonSet })
	}
	if _, err := choose(installsOf(found), asked); err != nil {
		d.noInstall(err)
		return
	}
	found = exec.Each(ctx, found, d.request.Limit, 0, func(ctx context.Context, c candidate) candidate {
		c.install.Classes, c.problem = d.Collector.classes(ctx, c.install)
		return c
	})
	names := d.classNames()
	serving := slices.DeleteFunc(slices.Clone(found), func(c candidate) bool {
		return !slices.ContainsFunc(names, func(name string) bool { _, ok := c.install.ClassOf(name); return ok })
	})
	if !d.whole && len(serving) > 0 {
		found = serving
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		known := func(c candidate) int {
			if c.problem != nil {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(known(a), known(b)), cmp.Compare(a.install.Namespace, b.install.Namespace), cmp.Compare(a.install.Name, b.install.Name))
	})
	found = exec.Each(ctx, found, d.request.Limit, 0, func(ctx context.Context, c candidate) candidate {
		namespace, err := d.Client.CoreV1().Namespaces().Get(ctx, c.install.Namespace, metav1.GetOptions{})
		if err != nil {
			c.state.PodSecurityProblem = problem.From(err)
		} else {
			c.state.PodSecurity = namespace.Labels[labelPodSecurity]
		}
		return c
	})
	for i, c := range found {
		if i == 0 {
			d.s.Install, d.s.Provisioner = c.install, snapshot.Read(c.state)
			if c.problem != nil {
				d.unread(snapshot.PartInstall, c.problem)
			}
			continue
		}
		other := snapshot.Installation{Install: c.install, Provisioner: snapshot.Read(c.state)}
		if c.problem != nil {
			other.Problem = problem.From(c.problem)
		}
		d.s.Others = append(d.s.Others, other)
	}
	d.readRecords(ctx, found)
}

// readRecords reads what was recorded of volumes' disks in the namespaces of the installations.
func (d *diagnosis) readRecords(ctx context.Context, found []candidate) {
	d.records = make(map[string]snapshot.Record)
	var read []string
	for _, c := range found {
		if slices.Contains(read, c.install.Namespace) {
			continue
		}
		read = append(read, c.install.Namespace)
		records, err := kube.Records(ctx, d.Client, c.install.Namespace)
		if err != nil {
			d.unread(snapshot.PartRecords, err)
		}
		for name, r := range records {
			if _, there := d.records[name]; !there {
				d.records[name] = r
			}
		}
	}
}

func installsOf(found []candidate) []provisioner.Install {
	installs := make([]provisioner.Install, 0, len(found))
	for _, c := range found {
		installs = append(installs, c.install)
	}
	return installs
}

// installation is one of the snapshot's, to be filled in.
type installation struct {
	install provisioner.Install
	state   *snapshot.ProvisionerState
	// own are its pods.
	own *[]corev1.Pod
}

// installations are the snapshot's, the first one first; none where there is none.
func (d *diagnosis) installations() []installation {
	if d.s.Provisioner.Value == nil {
		return nil
	}
	all := []installation{{d.s.Install, d.s.Provisioner.Value, &d.own}}
	for len(d.ownOfOthers) < len(d.s.Others) {
		d.ownOfOthers = append(d.ownOfOthers, nil)
	}
	for i := range d.s.Others {
		all = append(all, installation{d.s.Others[i].Install, d.s.Others[i].Provisioner.Value, &d.ownOfOthers[i]})
	}
	return all
}

// hostDirs are the directories of the classes of all installations.
func (d *diagnosis) hostDirs() []string {
	dirs := d.s.Install.HostDirs()
	for _, o := range d.s.Others {
		dirs = append(dirs, o.Install.HostDirs()...)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// allOwn are the pods of all installations.
func (d *diagnosis) allOwn() []corev1.Pod {
	return slices.Concat(d.own, slices.Concat(d.ownOfOthers...))
}

// readOwnPods reads the provisioners' pods on the nodes that belong to what is diagnosed.
func (d *diagnosis) readOwnPods(ctx context.Context) {
	for _, i := range d.installations() {
		d.readPodsOf(ctx, i)
	}
}

func (d *diagnosis) readPodsOf(ctx context.Context, i installation) {
	state := i.state
	list := func(node string) ([]corev1.Pod, error) {
		options := metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(i.install.Selector)}
		if node != "" {
			options.FieldSelector = onNode(node)
		}
		var pods []corev1.Pod
		err := items(ctx, options, func(o metav1.ListOptions) (runtime.Object, error) {
			return d.Client.CoreV1().Pods(i.install.Namespace).List(ctx, o)
		}, func(p *corev1.Pod) {
			if controls(state.UID, p) {
				pods = append(pods, *p)
			}
		})
		return pods, err
	}
	nodes := d.objects.nodesWanted()
	if d.whole || len(nodes) > few {
		nodes = []string{""}
	}
	var own []corev1.Pod
	for _, node := range nodes {
		pods, err := list(node)
		if err != nil {
			state.PodsProblem = problem.From(err)
			*i.own = nil
			return
		}
		own = append(own, pods...)
	}
	if !d.whole {
		own = slices.DeleteFunc(own, func(p corev1.Pod) bool { return !d.objects.wantedNodes[p.Spec.NodeName] })
	}
	for p := range own {
		state.Pods = append(state.Pods, ownPodOf(&own[p]))
	}
	slices.SortFunc(state.Pods, func(a, b snapshot.ProvisionerPod) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Name, b.Name))
	})
	*i.own = own
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

// readLogs reads the logs of the provisioners' pods on the nodes. down has why a node is NotReady.
func (d *diagnosis) readLogs(ctx context.Context, down map[string]string) {
	for _, i := range d.installations() {
		d.readLogsOf(ctx, i, down)
	}
}

func (d *diagnosis) readLogsOf(ctx context.Context, of installation, down map[string]string) {
	state, own := of.state, *of.own
	type log struct {
		pod     *corev1.Pod
		options *corev1.PodLogOptions
		lines   []string
		err     error
	}
	var logs []log
	state.Log, state.LogProblem = make(map[string][]string), make(map[string]problem.Problem)
	for i := range own {
		options := logOptions(of.install.Container, &own[i])
		if options == nil {
			continue
		}
		node := own[i].Spec.NodeName
		if down[node] != "" {
			state.LogProblem[node] = problem.Text(down[node]) // As with its figures.
			continue
		}
		logs = append(logs, log{pod: &own[i], options: options})
	}
	logs = exec.Each(ctx, logs, d.request.Limit, d.request.Timeout, func(ctx context.Context, l log) log {
		var text []byte
		err := exec.OncePodsAreKnown(ctx, func() (err error) {
			text, err = kube.Raw(d.Client.CoreV1().Pods(l.pod.Namespace).GetLogs(l.pod.Name, l.options).Do(ctx))
			return err
		})
		l.lines, l.err = errorLines(string(text), d.request.LogLine), failure.Wrap(err, fmt.Sprintf("the log of pod %q", key(l.pod.Namespace, l.pod.Name)), "")
		return l
	})
	for _, l := range logs {
		if node := l.pod.Spec.NodeName; exec.PodUnknown(l.err) {
			state.LogProblem[node] = problem.Starting(node)
		} else if l.err != nil {
			state.LogProblem[node] = problem.From(l.err)
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
var klogLine = regexp.MustCompile(`^[EWFI]\d{4} [0-9:.]+ +\d+ [^]]*\] `)

// errorLines are the lines of a log that tell of warnings and errors, and those that are to be kept beside them, in their order; of
// those that say the same the last one. The provisioner repeats itself every 10 seconds.
func errorLines(text string, keep func(string) bool) []string {
	kept := []string{}
	said := make(map[string]bool)
	for _, line := range slices.Backward(strings.Split(text, "\n")) {
		head := klogLine.FindString(line)
		if head == "" || line[0] == 'I' && (keep == nil || !keep(line)) || said[line[len(head):]] {
			continue
		}
		said[line[len(head):]] = true
		if kept = append(kept, snapshot.Shorten(strings.ToValidUTF8(line, "\uFFFD"), logLine)); len(kept) == logKept {
			break
		}
	}
	slices.Reverse(kept)
	return kept
}
