// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// mountDisk gives a node a disk with a filesystem, mounted where the Filesystem
// class looks, as machine.disks does. It returns the disk and where it is.
func mountDisk(t *testing.T, n *cluster.Node) (d cluster.Disk, path string) {
	t.Helper()
	d = addDisk(t, n, cluster.Disk{})
	path = classDirs["fs-storage"] + "/" + d.Name
	// A kubelet that sees it has it mounted for its pod too, so it may go only later.
	cleanupSh(t, n, `umount $1 && rmdir $1`, path)
	sh(t, n, `mkfs.ext4 -q /dev/$1 && mkdir -p $2 && mount /dev/$1 $2`, d.Name, path)
	return d, path
}

// usePods makes a pod that uses the one volume of each class, and returns when
// the scheduler has placed them.
func usePods(t *testing.T) (filesystem, block *corev1.Pod) {
	t.Helper()
	size := resource.MustParse("1Gi")
	apply(t,
		manifests.Claim("default", "files", "fs-storage", corev1.PersistentVolumeFilesystem, size),
		manifests.FilesystemPod("default", "writer", "files"),
		manifests.Claim("default", "device", "block-storage", corev1.PersistentVolumeBlock, size),
		manifests.BlockPod("default", "reader", "device"))
	return getPod(t, "writer"), getPod(t, "reader")
}

func getPod(t *testing.T, name string) *corev1.Pod {
	t.Helper()
	pod, err := kube().CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// wantEvent waits for an event of a pod, whose first message must have the text.
func wantEvent(t *testing.T, pod *corev1.Pod, reason, text string) {
	t.Helper()
	selector := "reason=" + reason + ",involvedObject.uid=" + string(pod.UID)
	eventually(t, 30*time.Second, func() string {
		events, err := kube().CoreV1().Events(pod.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: selector})
		if err != nil || len(events.Items) == 0 {
			return fmt.Sprintf("no event %s of pod %s (%v)", reason, pod.Name, err)
		}
		if got := events.Items[0].Message; !strings.Contains(got, text) {
			t.Fatalf("the event %s of pod %s says %q, want %q", reason, pod.Name, got, text)
		}
		return ""
	})
}

// waitReady waits until a pod has used its claim.
func waitReady(t *testing.T, name string) {
	t.Helper()
	eventually(t, 60*time.Second, func() string {
		pod := getPod(t, name)
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return ""
			}
		}
		return fmt.Sprintf("pod %s is %s", name, pod.Status.Phase)
	})
}
