// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// wantWell wants no finding, and nothing that was not looked at.
func (c *healthyCluster) wantWell(t *testing.T, target ...string) {
	t.Helper()
	c.sync(t)
	r := c.run(append([]string{"doctor", "-o", "json"}, target...)...)
	d := r.diagnosis(t)
	if len(d.Findings) > 0 || len(d.unknown()) > 0 || r.code != 0 {
		t.Errorf("%d findings, unknown %q, exit code %d\n%s", len(d.Findings), d.unknown(), r.code, brief(r, d))
	}
}

// wantNothingWrong is wantWell without Talos, where not everything can be looked at.
func wantNothingWrong(t *testing.T, target ...string) {
	t.Helper()
	r := run(t, append([]string{"doctor", "-o", "json"}, target...)...)
	d := r.diagnosis(t)
	for _, f := range d.Findings {
		if f.Severity != "info" {
			t.Errorf("without Talos: %s: %s", f.Code, f.Summary)
		}
	}
	if r.code != 3 {
		t.Errorf("without Talos: exit code %d, want 3\n%s", r.code, brief(r, d))
	}
}

// TestDoctorHealthy has a cluster as it should be, whose pods could not start for a while.
func TestDoctorHealthy(t *testing.T) {
	begin(t, manifests.Default())
	c := &healthyCluster{withTalos: startTalos(t, talosnode.Options{})}
	n := node(t, "worker-2")
	d, path := mountDisk(t, n)
	linked(t)
	volume(t, pvName(d.Name, n.Name(), filesClass))
	filesystem, block := usePods(t)
	wantEvent(t, filesystem, "FailedMount", path)
	wantEvent(t, block, "FailedMapVolume", disksDir)
	c.run("mounts", "--yes").wantCode(t, 0)
	waitReady(t, "writer")
	waitReady(t, "reader")
	for _, target := range [][]string{{"pod/writer"}, {"pod/reader"}, {"pvc/files"}, {"node/worker-2"}, {}} {
		t.Run(fmt.Sprint(target), func(t *testing.T) {
			c.wantWell(t, target...)
			wantNothingWrong(t, target...)
		})
	}
	kubectl(t, nil, "delete", "pod/writer", "pod/reader", "--grace-period=1")
}

// TestDoctorForeign has pods that fail for reasons that have nothing to do with disks.
func TestDoctorForeign(t *testing.T) {
	begin(t, manifests.Default())
	c := &healthyCluster{withTalos: startTalos(t, talosnode.Options{})}
	c.run("mounts", "--yes").wantCode(t, 0)
	always := func(name string) *corev1.Pod {
		pod := manifests.BlockPod("default", name, "")
		pod.Spec.Volumes, pod.Spec.Containers[0].VolumeDevices = nil, nil
		pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
		return pod
	}
	pull, crash := always("pull"), always("crash")
	pull.Spec.Containers[0].Image = "registry.invalid/none:none"
	crash.Spec.Containers[0].Command = []string{"false"}
	csi := &storagev1.StorageClass{
		TypeMeta:    metav1.TypeMeta{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass"},
		ObjectMeta:  metav1.ObjectMeta{Name: "remote"},
		Provisioner: "remote.csi.example.com",
	}
	t.Cleanup(func() {
		if err := kube().StorageV1().StorageClasses().Delete(withoutEnd(t), csi.Name, deleteNow); err != nil {
			t.Error(err)
		}
	})
	apply(t, pull, crash, csi,
		manifests.Claim("default", "far", csi.Name, corev1.PersistentVolumeFilesystem, resource.MustParse("1Gi")),
		manifests.FilesystemPod("default", "csi", "far"))
	for name, reason := range map[string]string{"pull": "ImagePullBackOff", "crash": "CrashLoopBackOff"} {
		eventually(t, 60*time.Second, func() string {
			pod := getPod(t, name)
			if all := pod.Status.ContainerStatuses; len(all) != 1 || all[0].State.Waiting == nil || all[0].State.Waiting.Reason != reason {
				return fmt.Sprintf("pod %s is not in %s", name, reason)
			}
			return ""
		})
	}
	// crashed is how often the container crashed; empty while that is not what the pod says.
	crashed := func() string {
		all := getPod(t, "crash").Status.ContainerStatuses
		if len(all) != 1 || all[0].State.Waiting == nil || all[0].State.Waiting.Reason != "CrashLoopBackOff" {
			return ""
		}
		return strconv.Itoa(int(all[0].RestartCount))
	}
	// Who asks about them is told in Kubernetes' own words what they wait for, and nothing of local volumes.
	for _, target := range [][]string{{"pod/pull", "pod/crash"}, {"pod/csi"}, {"pvc/far"}} {
		t.Run(fmt.Sprint(target), func(t *testing.T) {
			c.sync(t)
			var r result
			eventually(t, 60*time.Second, func() string { // The container that crashes is started again now and then.
				before := crashed()
				r = c.run(append([]string{"doctor", "-o", "json"}, target...)...)
				if after := crashed(); before == "" || before != after {
					return fmt.Sprintf("container %q was started again", crash.Name)
				}
				return ""
			})
			d := r.wantCode(t, 2).diagnosis(t)
			for _, f := range d.Findings {
				if f.Code != "TD0712" {
					t.Errorf("%s\n%s", f.Code, brief(r, d))
				}
			}
			if len(d.Findings) != len(target) || len(d.unknown()) > 0 {
				t.Errorf("%d findings, unknown %q\n%s", len(d.Findings), d.unknown(), brief(r, d))
			}
		})
	}
	t.Run("everything", func(t *testing.T) { c.wantWell(t) })
}
