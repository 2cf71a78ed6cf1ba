// SPDX-License-Identifier: Apache-2.0

package kubeletprobe

import (
	"path"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Namespace is where the Jobs are: Talos exempts it, and no other, from Pod Security, which
// lets no pod have the node's processes (Talos v1.6 to v1.14,
// pkg/machinery/config/generate/init.go).
const Namespace = metav1.NamespaceSystem

// kept is for how long a Job that has ended may be read. What is older belongs to nobody.
const kept = time.Minute

// The labels of the Jobs and their pods.
const (
	labelName      = "app.kubernetes.io/name"
	labelInstance  = "app.kubernetes.io/instance"
	labelComponent = "app.kubernetes.io/component"
	labelManagedBy = "app.kubernetes.io/managed-by"
)

// Request is one look at one node.
type Request struct {
	// Name is the Job's, which nothing else may have.
	Name string
	Node string
	// Image is the provisioner's, which the node has already.
	Image string
	// Dirs are the directories to list. One that is not absolute is left out.
	Dirs []string
	// Deadline ends the pod; the Job does it by itself, whatever became of who made it.
	Deadline time.Duration
}

// Job runs Script on the node, once.
//
// The pod goes where it is sent, whatever the node's taints are and whether or not it is
// cordoned. It has the node's processes, and of root's rights only that to look into them:
// who has fewer capabilities than a process needs SYS_PTRACE to read its root and its
// program (Linux, ptrace(2), PTRACE_MODE_READ_FSCREDS).
func Job(r Request) *batchv1.Job {
	set := map[string]string{
		labelName: "talosdisk-probe", labelInstance: r.Name, labelComponent: "probe", labelManagedBy: "kubectl-talosdisk",
	}
	args := []string{literal(Script()), "talosdisk-probe"}
	for _, dir := range r.Dirs {
		if path.IsAbs(dir) {
			args = append(args, literal(dir))
		}
	}
	seconds := max(1, int64((r.Deadline+time.Second-1)/time.Second))
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: r.Name, Labels: set},
		Spec: batchv1.JobSpec{
			BackoffLimit:            new(int32(0)),
			ActiveDeadlineSeconds:   &seconds,
			TTLSecondsAfterFinished: new(int32(kept / time.Second)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: set},
				Spec: corev1.PodSpec{
					NodeName:                      r.Node,
					Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
					HostPID:                       true,
					RestartPolicy:                 corev1.RestartPolicyNever,
					TerminationGracePeriodSeconds: new(int64(1)),
					AutomountServiceAccountToken:  new(false),
					EnableServiceLinks:            new(false),
					SecurityContext: &corev1.PodSecurityContext{
						RunAsUser: new(int64(0)), RunAsGroup: new(int64(0)),
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{{
						Name: "probe", Image: r.Image, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"/bin/sh", "-c"}, Args: args,
						Resources: corev1.ResourceRequirements{
							Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
							Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
						},
						SecurityContext: &corev1.SecurityContext{
							AllowPrivilegeEscalation: new(false),
							ReadOnlyRootFilesystem:   new(true),
							Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"SYS_PTRACE"}},
						},
					}},
				},
			},
		},
	}
}

// literal keeps the kubelet from reading $(NAME) and $$ in an argument as its own
// (Kubernetes v1.37, third_party/forked/golang/expansion/expand.go).
func literal(arg string) string { return strings.ReplaceAll(arg, "$", "$$") }

// Selector finds the Jobs of all runs, on any machine.
func Selector() labels.Selector {
	return labels.SelectorFromSet(labels.Set{labelComponent: "probe", labelManagedBy: "kubectl-talosdisk"})
}

// PodSelector finds the pod of one Job.
func PodSelector(job string) labels.Selector {
	return labels.SelectorFromSet(labels.Set{labelInstance: job, labelManagedBy: "kubectl-talosdisk"})
}

// Leftovers are the Jobs that nobody reads any more: who made them was killed, or
// could not delete them. A younger one may be another's run.
func Leftovers(jobs []batchv1.Job, now time.Time) []string {
	var names []string
	for _, j := range jobs {
		life := kept
		if d := j.Spec.ActiveDeadlineSeconds; d != nil {
			life += time.Duration(*d) * time.Second
		}
		if now.Sub(j.CreationTimestamp.Time) > life {
			names = append(names, j.Name)
		}
	}
	return names
}
