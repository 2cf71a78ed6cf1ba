// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

const (
	blockClass = "block-storage"
	filesClass = "fs-storage"
)

func unseenCauses() []cause {
	return []cause{
		{name: "hostPath type check", code: "TD0706", do: hostPathTyped},
		{name: "kubelet without the mount", code: "TD0401", do: unseenByKubelet},
	}
}

func linkCauses() []cause {
	return []cause{
		{name: "dangling link", code: "TD0501", do: danglingLink},
		{name: "swapped disks", code: "TD0502", do: swappedDisks},
		{name: "two links to one disk", code: "TD0503", do: twoLinks},
		{name: "directory in a Block class", code: "TD0505", do: directoryAmongLinks},
		{name: "link removed", code: "TD0508", do: linkTakenAway},
		{name: "name that a reboot gives to another", code: "TD0504", do: unstableLink},
		{name: "linked disk in use", code: "TD0506", do: linkedInUse},
		{name: "unmounted filesystem", code: "TD0302", without: []string{"TD0708"}, do: unmounted},
	}
}

func claimCauses() []cause {
	return []cause{
		{name: "missing StorageClass", code: "TD0209", do: missingStorageClass},
		{name: "Immediate binding", code: "TD0210", do: immediateBinding},
		{name: "volumeMounts for volumeDevices", code: "TD0701", do: mountsForDevices},
		{name: "claim of another volumeMode", code: "TD0603", do: otherVolumeMode},
		{name: "request too big", code: "TD0602", do: tooBig},
		{name: "access mode of several nodes", code: "TD0604", do: otherAccessMode},
		{name: "selector that matches nothing", code: "TD0605", do: otherLabels},
		{name: "all volumes are taken", code: "TD0606", do: allTaken},
		{name: "volumes on other nodes", code: "TD0607", do: elsewhere},
		{name: "cordoned node", code: "TD0702", do: cordoned},
		{name: "volume that is being cleaned", code: "TD0608", do: beingCleaned},
		{name: "volume that is kept", code: "TD0609", do: kept},
		{name: "cleaner that fails", code: "TD0609", do: cleanerFails},
		{name: "cleaning Job that fails", code: "TD0609", do: cleaningJobFails},
		{name: "volume of a node that is gone", code: "TD0610", do: nodeGone},
		{name: "volume of an earlier node", code: "TD0610", do: nodeRecreated},
		{name: "volume deleted under its claim", code: "TD0612", do: volumeDeletedUnderClaim},
		{name: "volume made again under its claim", code: "TD0612", do: volumeMadeAgainUnderClaim},
		{name: "claim not found", code: "TD0709", do: claimNotFound},
	}
}

func clusterCauses() []cause {
	return []cause{
		{name: "kubelet hangs", code: "TD0107", do: kubeletHangs},
		{name: "Pod Security", code: "TD0202", do: podSecurity},
		{name: "tainted node", code: "TD0203", do: taintedNode},
		{name: "provisioner that crashes", code: "TD0204", do: crashes},
		{name: "hostDir on the read-only root", code: "TD0205", do: readOnlyRoot},
		{name: "two classes with one directory", code: "TD0211", do: publishedTwice},
		{name: "startup taint", code: "TD0214", do: startupTaint},
		{name: "namePattern leaves the entry out", code: "TD0212", do: namePattern},
	}
}

// blockPod makes a pod with a claim for a block device.
func blockPod(t *testing.T) *corev1.Pod {
	t.Helper()
	apply(t,
		manifests.Claim("default", "device", blockClass, corev1.PersistentVolumeBlock, resource.MustParse("1Gi")),
		manifests.BlockPod("default", "reader", "device"))
	return getPod(t, "reader")
}

// filesPod makes a pod with a claim for a filesystem.
func filesPod(t *testing.T) *corev1.Pod {
	t.Helper()
	apply(t,
		manifests.Claim("default", "files", filesClass, corev1.PersistentVolumeFilesystem, resource.MustParse("1Gi")),
		manifests.FilesystemPod("default", "writer", "files"))
	return getPod(t, "writer")
}

// linked is a disk of worker-2 with a link and a volume.
func linked(t *testing.T, args ...string) (n *cluster.Node, d cluster.Disk, pv string) {
	t.Helper()
	n = node(t, "worker-2")
	d = addDisk(t, n, cluster.Disk{})
	link(t, append([]string{d.Name, "--nodes", n.Name()}, args...)...).wantCode(t, 0)
	return n, d, pvName(d.Name, n.Name(), blockClass)
}

func again(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	kubectl(t, nil, "delete", "pod", pod.Name, "--grace-period=1")
}

// Before any kubelet has an extra mount.
func hostPathTyped(t *testing.T, p *causeTest) {
	n := node(t, "worker-2")
	cleanupSh(t, n, `rm -rf /var/lib/typed`)
	sh(t, n, `mkdir /var/lib/typed`)
	pod := manifests.FilesystemPod("default", "typed", "")
	directory := corev1.HostPathDirectory
	pod.Spec.NodeName = n.Name()
	pod.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/typed", Type: &directory}}
	apply(t, pod)
	wantEvent(t, getPod(t, "typed"), "FailedMount", "hostPath type check failed")
	f := p.diagnose(t, "pod/typed")
	f.wantWords(t, "leave the type of hostPath volume \"claim\" empty")
	again(t, pod)
	pod.Spec.Volumes[0].HostPath.Type = nil
	apply(t, pod)
	waitReady(t, "typed")
}

// The whole point.
func unseenByKubelet(t *testing.T, p *causeTest) {
	n := node(t, "worker-2")
	d, path := mountDisk(t, n)
	linked(t)
	volume(t, pvName(d.Name, n.Name(), filesClass))
	filesystem, block := usePods(t)
	wantEvent(t, filesystem, "FailedMount", path)
	wantEvent(t, block, "FailedMapVolume", disksDir)
	p.diagnose(t, "pod/writer")
	f := p.diagnose(t, "pod/reader")
	r := p.command("doctor", "pod/writer").run(t).wantCode(t, 2)
	for _, text := range []string{"error[TD0401]: ", "evidence: ", "fix: ", "kubectl talosdisk mounts --nodes worker-2",
		"kubectl talosdisk explain TD0401"} {
		if !strings.Contains(r.stdout, text) {
			t.Errorf("the text lacks %q\n%s", text, r)
		}
	}
	p.execute(t, f, "kubectl talosdisk mounts --nodes worker-2")
	waitReady(t, "writer")
	waitReady(t, "reader")
	kubectl(t, nil, "delete", "pod/writer", "pod/reader", "--grace-period=1")
}

// The link holds a name of the kernel's, which the disk has no longer.
func danglingLink(t *testing.T, p *causeTest) {
	n, d, pv := linked(t, "--target", "name")
	volume(t, pv)
	if err := n.RemoveDisk(d.Name); err != nil {
		t.Fatal(err)
	}
	addDisk(t, n, cluster.Disk{Serial: d.Serial, PathID: d.PathID})
	f := p.diagnose(t, "pv/"+pv)
	p.execute(t, f, "kubectl talosdisk unlink ", "kubectl talosdisk link ")
	blockPod(t)
	waitReady(t, "reader")
}

func swappedDisks(t *testing.T, p *causeTest) {
	n, a, pv := linked(t, "--target", "name")
	b := addDisk(t, n, cluster.Disk{})
	volume(t, pv)
	if err := n.SwapDisks(a.Name, b.Name, cluster.SwapOptions{}); err != nil {
		t.Fatal(err)
	}
	f := p.diagnose(t, "pv/"+pv)
	p.execute(t, f, "kubectl patch pv ", "kubectl talosdisk unlink ", "kubectl talosdisk link ")
	blockPod(t)
	waitReady(t, "reader")
}

func twoLinks(t *testing.T, p *causeTest) {
	n, d, _ := linked(t)
	makeLink(t, n, blockClass, "twin", byID(d))
	blockPod(t)
	waitReady(t, "reader")
	eventually(t, volumeTimeout, func() string {
		if got := len(volumeNames(t)); got < 2 {
			return fmt.Sprintf("%d volumes", got)
		}
		return ""
	})
	f := p.diagnose(t, "pod/reader")
	p.execute(t, f, "kubectl talosdisk unlink ")
	if got := len(links(t, n)); got != 1 {
		t.Errorf("links: %q", links(t, n))
	}
}

func directoryAmongLinks(t *testing.T, p *causeTest) {
	n := node(t, "worker-2")
	cleanupSh(t, n, `rmdir $1 2>/dev/null || true`, classDirs[blockClass]+"/oops")
	sh(t, n, `mkdir $1`, classDirs[blockClass]+"/oops")
	f := p.diagnose(t, "node/"+n.Name())
	p.execute(t, f, "kubectl -n local-storage exec ")
}

func linkTakenAway(t *testing.T, p *causeTest) {
	n, d, pv := linked(t)
	volume(t, pv)
	sh(t, n, `rm $1`, classDirs[blockClass]+"/"+d.Name)
	pod := blockPod(t)
	wantEvent(t, pod, "FailedMapVolume", d.Name)
	f := p.diagnose(t, "pod/reader")
	p.execute(t, f, "kubectl talosdisk link ")
	waitReady(t, "reader")
}

// The pod would start, and write to the system disk.
func unmounted(t *testing.T, p *causeTest) {
	n := node(t, "worker-2")
	d, path := mountDisk(t, n)
	volume(t, pvName(d.Name, n.Name(), filesClass))
	sh(t, n, `umount $1`, path)
	filesPod(t)
	waitReady(t, "writer")
	p.diagnose(t, "pod/writer")
	again(t, getPod(t, "writer"))
	sh(t, n, `rm $2/written-by && mount /dev/$1 $2`, d.Name, path)
	filesPod(t)
	waitReady(t, "writer")
	sh(t, n, `test -s $1/written-by`, path)
}

func missingStorageClass(t *testing.T, p *causeTest) {
	_, _, pv := linked(t)
	volume(t, pv)
	kubectl(t, nil, "delete", "storageclass", blockClass)
	t.Cleanup(func() { restoreClasses(t) })
	blockPod(t)
	f := p.diagnose(t, "pod/reader")
	p.execute(t, f, "printf ")
	waitReady(t, "reader")
}

// restoreClasses makes the StorageClasses what the chart makes.
func restoreClasses(t *testing.T) {
	for _, c := range manifests.Default().StorageClasses() {
		if err := kube().StorageV1().StorageClasses().Delete(context.Background(), c.Name, deleteNow); err != nil {
			t.Log(err)
		}
		if _, err := kube().StorageV1().StorageClasses().Create(context.Background(), c, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
}

func immediateBinding(t *testing.T, p *causeTest) {
	t.Cleanup(func() { restoreClasses(t) })
	class := manifests.Default().StorageClasses()[0]
	kubectl(t, nil, "delete", "storageclass", class.Name)
	class.VolumeBindingMode = nil
	apply(t, class)
	_, _, pv := linked(t)
	volume(t, pv)
	f := p.diagnose(t)
	p.execute(t, f, "kubectl get storageclass ")
	blockPod(t)
	waitReady(t, "reader")
	got, err := kube().StorageV1().StorageClasses().Get(t.Context(), class.Name, metav1.GetOptions{})
	if err != nil || string(*got.VolumeBindingMode) != "WaitForFirstConsumer" {
		t.Errorf("volumeBindingMode %v (%v)", got.VolumeBindingMode, err)
	}
}

func mountsForDevices(t *testing.T, p *causeTest) {
	_, _, pv := linked(t)
	volume(t, pv)
	apply(t,
		manifests.Claim("default", "device", blockClass, corev1.PersistentVolumeBlock, resource.MustParse("1Gi")),
		manifests.FilesystemPod("default", "reader", "device"))
	wantEvent(t, getPod(t, "reader"), "FailedMount", "volumeMode Block, but is specified in volumeMounts")
	f := p.diagnose(t, "pod/reader")
	f.wantWords(t, "volumeDevices:\n- name: claim")
	again(t, getPod(t, "reader"))
	blockPod(t)
	waitReady(t, "reader")
}

func otherVolumeMode(t *testing.T, p *causeTest) {
	_, _, pv := linked(t)
	volume(t, pv)
	apply(t,
		manifests.Claim("default", "device", blockClass, corev1.PersistentVolumeFilesystem, resource.MustParse("1Gi")),
		manifests.FilesystemPod("default", "reader", "device"))
	f := p.diagnose(t, "pod/reader")
	f.wantWords(t, "volumeMode: Block")
	again(t, getPod(t, "reader"))
	p.execute(t, f, "kubectl -n default delete pvc device")
	blockPod(t)
	waitReady(t, "reader")
}

func tooBig(t *testing.T, p *causeTest) {
	_, _, pv := linked(t)
	volume(t, pv)
	apply(t,
		manifests.Claim("default", "device", blockClass, corev1.PersistentVolumeBlock, resource.MustParse("3Gi")),
		manifests.BlockPod("default", "reader", "device"))
	f := p.diagnose(t, "pod/reader")
	f.wantWords(t, "ask for no more than 2Gi")
	again(t, getPod(t, "reader"))
	p.execute(t, f, "kubectl -n default delete pvc device")
	blockPod(t)
	waitReady(t, "reader")
}

func elsewhere(t *testing.T, p *causeTest) {
	_, _, pv := linked(t)
	volume(t, pv)
	pod := manifests.BlockPod("default", "reader", "device")
	pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "worker-1"}
	apply(t, manifests.Claim("default", "device", blockClass, corev1.PersistentVolumeBlock, resource.MustParse("1Gi")), pod)
	p.diagnose(t, "pod/reader")
	again(t, pod)
	blockPod(t)
	waitReady(t, "reader")
}

func unscheduled(t *testing.T, name, text string) {
	t.Helper()
	eventually(t, 30*time.Second, func() string {
		for _, c := range getPod(t, name).Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && strings.Contains(c.Message, text) {
				return ""
			}
		}
		return "pod " + name + " was not refused yet"
	})
}

func cordoned(t *testing.T, p *causeTest) {
	n, _, pv := linked(t)
	volume(t, pv)
	pod := blockPod(t)
	waitReady(t, "reader")
	t.Cleanup(func() {
		if _, err := kube().CoreV1().Nodes().Patch(context.Background(), n.Name(), types.MergePatchType,
			[]byte(`{"spec":{"unschedulable":null}}`), metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	})
	kubectl(t, nil, "cordon", n.Name())
	again(t, pod)
	blockPod(t)
	unscheduled(t, "reader", "unschedulable")
	f := p.diagnose(t, "pod/reader")
	p.execute(t, f, "kubectl uncordon ")
	waitReady(t, "reader")
}

// The provisioner stands still, as it would bring the volume back under its name.
func volumeDeletedUnderClaim(t *testing.T, p *causeTest) {
	n, _, pv := linked(t)
	volume(t, pv)
	pod := blockPod(t)
	waitReady(t, "reader")
	provisionerProcess(t, n, "STOP")
	goOn := func() { provisionerProcess(t, n, "CONT") }
	t.Cleanup(goOn)
	again(t, pod)
	kubectl(t, nil, "delete", "pv", pv, "--wait=false")
	kubectl(t, nil, "patch", "pv", pv, "-p", `{"metadata":{"finalizers":null}}`)
	eventually(t, 20*time.Second, func() string {
		claim, err := kube().CoreV1().PersistentVolumeClaims("default").Get(t.Context(), "device", metav1.GetOptions{})
		if err != nil || claim.Status.Phase != corev1.ClaimLost {
			return fmt.Sprintf("the claim is %s (%v)", claim.Status.Phase, err)
		}
		return ""
	})
	blockPod(t)
	f := p.diagnose(t, "pod/reader")
	again(t, pod)
	p.execute(t, f, "kubectl -n default delete pvc device")
	goOn()
	volume(t, pv)
	blockPod(t)
	waitReady(t, "reader")
}

func claimNotFound(t *testing.T, p *causeTest) {
	_, _, pv := linked(t)
	volume(t, pv)
	apply(t, manifests.BlockPod("default", "reader", "device"))
	unscheduled(t, "reader", "not found")
	f := p.diagnose(t, "pod/reader")
	p.execute(t, f, "kubectl -n default get pvc")
	blockPod(t)
	waitReady(t, "reader")
}

func kubeletHangs(t *testing.T, p *causeTest) {
	n, _, pv := linked(t)
	volume(t, pv)
	blockPod(t)
	waitReady(t, "reader")
	sh(t, n, `runc --root /run/runc-kubelet kill kubelet STOP`)
	goOn := func() { sh(t, n, `runc --root /run/runc-kubelet kill kubelet CONT`) }
	t.Cleanup(goOn)
	setReady(t, n, corev1.ConditionUnknown, "NodeStatusUnknown")
	p.diagnose(t, "pod/reader")
	goOn()
	eventually(t, 60*time.Second, func() string {
		node, err := kube().CoreV1().Nodes().Get(t.Context(), n.Name(), metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return ""
			}
		}
		return "the node is not Ready again"
	})
	waitReady(t, "reader")
}

func podSecurity(t *testing.T, p *causeTest) {
	of := manifests.Default()
	t.Cleanup(func() {
		_, err := kube().CoreV1().Namespaces().Patch(context.Background(), of.Namespace, types.MergePatchType,
			[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`), metav1.PatchOptions{})
		if err != nil {
			t.Error(err)
		}
	})
	kubectl(t, nil, "label", "namespace", of.Namespace, "pod-security.kubernetes.io/enforce=baseline", "--overwrite")
	kubectl(t, nil, "-n", of.Namespace, "delete", "pods", "--all", "--force")
	eventually(t, 30*time.Second, func() string {
		events, err := kube().CoreV1().Events(of.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=FailedCreate"})
		if err != nil || len(events.Items) == 0 {
			return fmt.Sprintf("no pod was refused (%v)", err)
		}
		return ""
	})
	f := p.diagnose(t)
	p.execute(t, f, "kubectl label namespace ")
	waitRunning(t, of)
}

func taintedNode(t *testing.T, p *causeTest) {
	n, _, pv := linked(t)
	volume(t, pv)
	taint := func(taints string) {
		patch := `{"spec":{"taints":` + taints + `}}`
		if _, err := kube().CoreV1().Nodes().Patch(context.Background(), n.Name(), types.MergePatchType, []byte(patch),
			metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { taint("null") })
	taint(`[{"key":"gpu","value":"yes","effect":"NoExecute"}]`)
	of := manifests.Default()
	eventually(t, 40*time.Second, func() string {
		pods, err := kube().CoreV1().Pods(of.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name()})
		if err != nil || len(pods.Items) > 0 {
			return fmt.Sprintf("pods on %s: %d (%v)", n.Name(), len(pods.Items), err)
		}
		return ""
	})
	f := p.diagnose(t, "node/"+n.Name())
	f.wantWords(t, "tolerations:\n- key: gpu\n  operator: Equal\n  value: \"yes\"\n  effect: NoExecute")
	of.Tolerations = []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpEqual, Value: "yes", Effect: corev1.TaintEffectNoExecute}}
	installed = []manifests.Provisioner{of} // That is what the command makes of it.
	p.execute(t, f, "kubectl -n local-storage patch daemonset ")
	waitRunning(t, of)
}

func namePattern(t *testing.T, p *causeTest) {
	of := manifests.Default()
	of.Classes[0].NamePattern = "disk-*"
	begin(t, of)
	n := node(t, "worker-2")
	d := addDisk(t, n, cluster.Disk{})
	makeLink(t, n, blockClass, d.Name, byID(d))
	f := p.diagnose(t, "node/"+n.Name())
	f.wantWords(t, "make the link under a name that matches")
	sh(t, n, `rm $1`, classDirs[blockClass]+"/"+d.Name)
	link(t, d.Name, "--nodes", n.Name(), "--name", "disk-"+d.Name).wantCode(t, 0)
	blockPod(t)
	waitReady(t, "reader")
}
