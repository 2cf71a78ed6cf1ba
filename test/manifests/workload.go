// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/image"
)

const (
	// DevicePath is where BlockPod's container has its claim.
	DevicePath = "/dev/claim"
	// DataPath is where FilesystemPod's container has its claim.
	DataPath = "/data"
)

// Claim returns a claim for a volume of a class.
func Claim(namespace, name, class string, mode corev1.PersistentVolumeMode, size resource.Quantity) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		TypeMeta:   typeMeta("v1", "PersistentVolumeClaim"),
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class,
			VolumeMode:       &mode,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
		},
	}
}

// BlockPod returns a pod that becomes ready once it has read the device of a
// claim and then sleeps.
func BlockPod(namespace, name, claim string) *corev1.Pod {
	pod := workload(namespace, name, claim, fmt.Sprintf("dd if=%s of=/dev/null bs=4096 count=1", DevicePath))
	pod.Spec.Containers[0].VolumeDevices = []corev1.VolumeDevice{{Name: "claim", DevicePath: DevicePath}}
	return pod
}

// FilesystemPod returns a pod that becomes ready once it has written a file to
// the filesystem of a claim and then sleeps.
func FilesystemPod(namespace, name, claim string) *corev1.Pod {
	pod := workload(namespace, name, claim, fmt.Sprintf("echo %s > %s/written-by && sync", name, DataPath))
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "claim", MountPath: DataPath}}
	return pod
}

// workload is a pod that runs a command on its claim and is ready when that
// has succeeded. It does not start again: a failure is to be seen.
func workload(namespace, name, claim, command string) *corev1.Pod {
	second := int64(1)
	return &corev1.Pod{
		TypeMeta:   typeMeta("v1", "Pod"),
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: &second,
			Containers: []corev1.Container{{
				Name: "main", Image: image.Busybox, ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{"sh", "-c", fmt.Sprintf("set -e; %s; touch /tmp/done; exec sleep 86400", command)},
				ReadinessProbe: &corev1.Probe{
					ProbeHandler:  corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-e", "/tmp/done"}}},
					PeriodSeconds: 1,
				},
			}},
			Volumes: []corev1.Volume{{
				Name:         "claim",
				VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}},
			}},
		},
	}
}
