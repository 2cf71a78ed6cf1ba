// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// labelPodSecurity is the level that the API server enforces in a namespace
// (k8s.io/pod-security-admission, api/constants.go).
const labelPodSecurity = "pod-security.kubernetes.io/enforce"

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

// How much is read of each log, and kept of it. What is not fixed is logged
// again every 10 seconds; what is older may have been fixed.
const (
	logSeconds = 600
	logTail    = 200
	logBytes   = 256 << 10
	logKept    = 40
	logLine    = 600
)

// readLogs reads the logs of the provisioners' pods on the nodes. down has why a node is NotReady.
func (d *observation) readLogs(ctx context.Context, down map[string]string) {
	for _, in := range d.installs {
		d.readLogsOf(ctx, in, down)
	}
}

func (d *observation) readLogsOf(ctx context.Context, of *installation, down map[string]string) {
	state, own := of.state, of.own
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
	logs = exec.Each(ctx, logs, d.Limit, d.Timeout, func(ctx context.Context, l log) log {
		var text []byte
		err := exec.OncePodsAreKnown(ctx, func() (err error) {
			text, err = kube.Raw(d.Client.CoreV1().Pods(l.pod.Namespace).GetLogs(l.pod.Name, l.options).Do(ctx))
			return err
		})
		l.lines, l.err = errorLines(string(text), d.request.LogLine),
			failure.Wrap(err, fmt.Sprintf("the log of pod %q", key(l.pod.Namespace, l.pod.Name)), "")
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
