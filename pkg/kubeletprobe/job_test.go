// SPDX-License-Identifier: Apache-2.0

package kubeletprobe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

var request = Request{
	Name:     "talosdisk-probe-x",
	Node:     "w-1",
	Image:    "registry/p:1",
	Dirs:     []string{"/var/lib/disks", "relative", "/a $(HOME) $$"},
	Deadline: 29500 * time.Millisecond,
}

// What the pod may do is all that it needs.
func TestJobHasNoRightsBesides(t *testing.T) {
	spec := Job(request).Spec.Template.Spec
	c := spec.Containers[0]
	s := c.SecurityContext
	if len(spec.Containers) != 1 || len(spec.InitContainers) > 0 || len(spec.Volumes) > 0 || len(c.VolumeMounts) > 0 || len(c.Env) > 0 ||
		spec.HostNetwork || spec.HostIPC || !spec.HostPID {
		t.Errorf("%+v", spec)
	}
	if s.Privileged != nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem ||
		fmt.Sprint(*s.Capabilities) != "{[SYS_PTRACE] [ALL]}" {
		t.Errorf("%+v", s)
	}
	if *spec.AutomountServiceAccountToken || *spec.EnableServiceLinks ||
		spec.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || *spec.SecurityContext.RunAsUser != 0 {
		t.Errorf("%+v", spec)
	}
	if c.Image != request.Image || c.ImagePullPolicy != corev1.PullIfNotPresent || c.Resources.Limits.Memory().IsZero() ||
		c.Resources.Requests.Cpu().IsZero() {
		t.Errorf("%+v", c)
	}
}

// It goes to its node whatever that is like, once, and ends by itself.
func TestJobRunsOnceOnItsNode(t *testing.T) {
	j := Job(request)
	spec := j.Spec.Template.Spec
	if spec.NodeName != "w-1" || fmt.Sprint(spec.Tolerations) != fmt.Sprint([]corev1.Toleration{{Operator: corev1.TolerationOpExists}}) {
		t.Errorf("node %q, %+v", spec.NodeName, spec.Tolerations)
	}
	if *j.Spec.BackoffLimit != 0 || spec.RestartPolicy != corev1.RestartPolicyNever || *j.Spec.ActiveDeadlineSeconds != 30 ||
		*j.Spec.TTLSecondsAfterFinished != 60 {
		t.Errorf("%+v", j.Spec)
	}
	if j.Namespace != "kube-system" || j.Name != request.Name || !Selector().Matches(labels.Set(j.Labels)) ||
		!PodSelector(j.Name).Matches(labels.Set(j.Spec.Template.Labels)) ||
		PodSelector("another").Matches(labels.Set(j.Spec.Template.Labels)) {
		t.Errorf("%+v", j.ObjectMeta)
	}
	for _, v := range j.Labels {
		if why := validation.IsValidLabelValue(v); len(why) > 0 {
			t.Errorf("label %q: %q", v, why)
		}
	}
	if got := *Job(Request{}).Spec.ActiveDeadlineSeconds; got != 1 {
		t.Errorf("a Job without any time has %d s", got)
	}
}

// The kubelet makes $ of $$, and a value of $(NAME).
func TestJobHandsArgumentsOverAsTheyAre(t *testing.T) {
	c := Job(request).Spec.Template.Spec.Containers[0]
	argv := slices.Concat(c.Command, c.Args)
	for i := range argv {
		if strings.Contains(strings.ReplaceAll(argv[i], "$$", ""), "$") {
			t.Errorf("argument %d: the kubelet would read %q", i, argv[i])
		}
		argv[i] = strings.ReplaceAll(argv[i], "$$", "$")
	}
	want := []string{"/bin/sh", "-c", Script(), "talosdisk-probe", "/var/lib/disks", "/a $(HOME) $$"}
	if !slices.Equal(argv, want) {
		t.Errorf("%q", argv)
	}
}

func TestLeftovers(t *testing.T) {
	now := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	job := func(name string, age time.Duration, deadline *int64) batchv1.Job {
		return batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))},
			Spec:       batchv1.JobSpec{ActiveDeadlineSeconds: deadline},
		}
	}
	got := Leftovers([]batchv1.Job{
		job("another's", 39*time.Second, new(int64(40))), job("being read", 99*time.Second, new(int64(40))),
		job("old", 101*time.Second, new(int64(40))),
		job("without a deadline", 61*time.Second, nil), job("young", 59*time.Second, nil),
	}, now)
	if want := []string{"old", "without a deadline"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPodStateOf(t *testing.T) {
	in := func(phase corev1.PodPhase, s ...corev1.ContainerState) corev1.Pod {
		p := corev1.Pod{Status: corev1.PodStatus{Phase: phase}}
		for _, state := range s {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{State: state})
		}
		return p
	}
	waits := func(reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	ended := func(code int32, reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}
	}
	refused := in(corev1.PodFailed)
	refused.Status.Reason, refused.Status.Message = "OutOfpods", "Node didn't have enough resource: pods"
	deleted := in(corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
	deleted.DeletionTimestamp = &metav1.Time{}
	for name, c := range map[string]struct {
		pod  corev1.Pod
		want PodState
	}{
		"new":        {pod: in(corev1.PodPending), want: PodState{Waiting: "Pending"}},
		"being made": {pod: in(corev1.PodPending, waits("ContainerCreating", "")), want: PodState{Waiting: "ContainerCreating"}},
		"runs": {
			pod:  in(corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}),
			want: PodState{Waiting: "Running"},
		},
		"ended":     {pod: in(corev1.PodRunning, ended(0, "Completed", "")), want: PodState{Ended: true}},
		"succeeded": {pod: in(corev1.PodSucceeded), want: PodState{Ended: true}},
		"no image": {
			pod:  in(corev1.PodPending, waits("ErrImagePull", "failed to pull\n and unpack")),
			want: PodState{Failed: "ErrImagePull: failed to pull and unpack"},
		},
		"still no image": {
			pod:  in(corev1.PodPending, waits("ImagePullBackOff", "Back-off pulling")),
			want: PodState{Failed: "ImagePullBackOff: Back-off pulling"},
		},
		"cannot be started": {
			pod:  in(corev1.PodFailed, ended(128, "StartError", `exec: "/bin/sh": no such file`)),
			want: PodState{Failed: `StartError: exec: "/bin/sh": no such file`},
		},
		"failed": {pod: in(corev1.PodFailed, ended(2, "Error", "")), want: PodState{Failed: "Error: it ended with exit code 2"}},
		"too much memory": {
			pod:  in(corev1.PodFailed, ended(137, "OOMKilled", "")),
			want: PodState{Failed: "OOMKilled: it ended with exit code 137"},
		},
		"not taken": {pod: refused, want: PodState{Failed: "OutOfpods: Node didn't have enough resource: pods"}},
		"deleted":   {pod: deleted, want: PodState{Failed: "it was deleted"}},
	} {
		if got := PodStateOf(&c.pod); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
