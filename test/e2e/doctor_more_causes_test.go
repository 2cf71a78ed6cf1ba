// SPDX-License-Identifier: Apache-2.0

package e2e

import (
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

func unstableLink(t *testing.T, p *causeTest) {
	n, d, pv := linked(t, "--target", "name")
	volume(t, pv)
	f := p.diagnose(t, "pv/"+pv)
	p.execute(t, f, "kubectl talosdisk unlink ", "kubectl talosdisk link ")
	if got, want := links(t, n), "block/"+d.Name+" -> "+byID(d); len(got) != 1 || got[0] != want {
		t.Errorf("links %q, want %q", got, want)
	}
	blockPod(t)
	waitReady(t, "reader")
}

func linkedInUse(t *testing.T, p *causeTest) {
	n, d, pv := linked(t)
	volume(t, pv)
	cleanupSh(t, n, `umount /var/other; rmdir /var/other`)
	sh(t, n, `mkfs.ext4 -q /dev/$1 && mkdir /var/other && mount /dev/$1 /var/other && echo mine >/var/other/file`, d.Name)
	f := p.diagnose(t, "pv/"+pv)
	p.execute(t, f, "kubectl talosdisk unlink ")
	if got := links(t, n); len(got) > 0 {
		t.Errorf("links: %q", got)
	}
	sh(t, n, `grep -q mine /var/other/file`)
}

// claimed makes a claim for a block device that is changed, and the pod that uses it.
func claimed(t *testing.T, change func(*corev1.PersistentVolumeClaimSpec)) {
	t.Helper()
	claim := manifests.Claim("default", "device", blockClass, corev1.PersistentVolumeBlock, resource.MustParse("1Gi"))
	change(&claim.Spec)
	apply(t, claim, manifests.BlockPod("default", "reader", "device"))
}

func otherAccessMode(t *testing.T, p *causeTest) {
	_, _, pv := linked(t)
	volume(t, pv)
	claimed(t, func(c *corev1.PersistentVolumeClaimSpec) {
		c.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	})
	unscheduled(t, "reader", "didn't find available persistent volumes to bind")
	f := p.diagnose(t, "pod/reader")
	f.wantWords(t, "accessModes: [ReadWriteOnce]")
	again(t, getPod(t, "reader"))
	p.execute(t, f, "kubectl -n default delete pvc device")
	blockPod(t)
	waitReady(t, "reader")
}

func otherLabels(t *testing.T, p *causeTest) {
	_, _, pv := linked(t)
	volume(t, pv)
	claimed(t, func(c *corev1.PersistentVolumeClaimSpec) {
		c.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "fast"}}
	})
	f := p.diagnose(t, "pod/reader")
	p.execute(t, f, "kubectl get pv --show-labels")
	kubectl(t, nil, "label", "pv", pv, "tier=fast") // The text says so.
	f.wantWords(t, "label a volume")
	waitReady(t, "reader")
}

func allTaken(t *testing.T, p *causeTest) {
	n, _, pv := linked(t)
	volume(t, pv)
	blockPod(t)
	waitReady(t, "reader")
	apply(t,
		manifests.Claim("default", "second", blockClass, corev1.PersistentVolumeBlock, resource.MustParse("1Gi")),
		manifests.BlockPod("default", "late", "second"))
	f := p.diagnose(t, "pod/late")
	p.execute(t, f, "kubectl talosdisk disks", "kubectl get pv")
	f.wantWords(t, "link another disk")
	link(t, addDisk(t, n, cluster.Disk{}).Name, "--nodes", n.Name()).wantCode(t, 0)
	waitReady(t, "late")
}

// released is a volume of worker-2 whose claim is gone.
func released(t *testing.T) (n *cluster.Node, pv string) {
	t.Helper()
	n, _, pv = linked(t)
	volume(t, pv)
	blockPod(t)
	waitReady(t, "reader")
	return n, pv
}

func beingCleaned(t *testing.T, p *causeTest) {
	n, pv := released(t)
	provisionerProcess(t, n, "STOP") // It would be done too soon.
	goOn := func() { provisionerProcess(t, n, "CONT") }
	t.Cleanup(goOn)
	kubectl(t, nil, "delete", "pod/reader", "pvc/device", "--grace-period=1")
	volumeInPhase(t, pv, corev1.VolumeReleased)
	p.diagnose(t, "pv/"+pv)
	goOn()
	volumeInPhase(t, pv, corev1.VolumeAvailable)
}

func kept(t *testing.T, p *causeTest) {
	_, pv := released(t)
	kubectl(t, nil, "patch", "pv", pv, "-p", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	kubectl(t, nil, "delete", "pod/reader", "pvc/device", "--grace-period=1")
	volumeInPhase(t, pv, corev1.VolumeReleased)
	f := p.diagnose(t, "pv/"+pv)
	p.execute(t, f, "kubectl patch pv ")
	volumeInPhase(t, pv, corev1.VolumeAvailable)
}

// As it is left behind when a node is taken out of the cluster.
func nodeGone(t *testing.T, p *causeTest) {
	_, _, pv := linked(t)
	ghost := volume(t, pv).DeepCopy()
	ghost.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"}
	ghost.ObjectMeta = metav1.ObjectMeta{
		Name: "local-pv-ghost",
		Annotations: map[string]string{
			"pv.kubernetes.io/provisioned-by": "local-volume-provisioner-worker-9-0b0f5a3e-1111-2222-3333-444455556666",
		},
	}
	ghost.Status, ghost.Spec.ClaimRef = corev1.PersistentVolumeStatus{}, nil
	ghost.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values = []string{"worker-9"}
	apply(t, ghost)
	f := p.diagnose(t, "pv/"+ghost.Name)
	p.execute(t, f, "kubectl delete pv ")
}

// spoil applies another DaemonSet, and waits for the first pod whose container does not run
// for that reason. The next test's beginning puts it right.
func spoil(t *testing.T, of manifests.Provisioner, change func(*corev1.Container), reason string) {
	t.Helper()
	of.PodLabels = map[string]string{"spoilt": "yes"}
	installed = []manifests.Provisioner{of}
	set := of.DaemonSet()
	if change != nil {
		change(&set.Spec.Template.Spec.Containers[0])
	}
	apply(t, of.ConfigMap(), set)
	eventually(t, 60*time.Second, func() string {
		pods, err := kube().CoreV1().Pods(of.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		for _, pod := range pods.Items {
			for _, s := range pod.Status.ContainerStatuses {
				if s.State.Waiting != nil && s.State.Waiting.Reason == reason {
					return ""
				}
			}
		}
		return "no container is in " + reason
	})
}

func crashes(t *testing.T, p *causeTest) {
	spoil(t, manifests.Default(), func(c *corev1.Container) { c.Command = []string{"sh", "-c", "echo no luck; exit 1"} }, "CrashLoopBackOff")
	f := p.diagnose(t)
	p.execute(t, f, "kubectl -n local-storage describe pod ", "kubectl -n local-storage logs ")
}

// What containerd cannot make it says in its own words.
func readOnlyRoot(t *testing.T, p *causeTest) {
	of := manifests.Default()
	of.Classes[0].HostDir = "/usr/disks"
	spoil(t, of, nil, "CreateContainerError")
	f := p.diagnose(t)
	f.wantWords(t, "hostDir: /var/lib/disks/disks")
	if !strings.Contains(f.Summary, "/usr/disks") {
		t.Errorf("summary: %s", f.Summary)
	}
}

func publishedTwice(t *testing.T, p *causeTest) {
	of := manifests.Default()
	twin := of.Classes[0]
	twin.Name, twin.MountDir = "block-twin", "/mnt/twin"
	of.Classes = append(of.Classes, twin)
	begin(t, of)
	n := node(t, "worker-2")
	d := addDisk(t, n, cluster.Disk{})
	makeLink(t, n, blockClass, d.Name, byID(d)) // link would refuse to.
	// The provisioner gives the path to one of them, and tells of the other in its log alone.
	volume(t, pvName(d.Name, n.Name(), blockClass))
	eventually(t, volumeTimeout, func() string {
		return lacks(provisionerLog(t, of, n), `Volume path already in use: PV "`+pvName(d.Name, n.Name(), twin.Name)+`"`)
	})
	f := p.diagnose(t)
	f.wantWords(t, "namePattern: \""+d.Name+","+blockClass+"-*\"") // What is there keeps its class.
	p.execute(t, f, "kubectl -n local-storage rollout restart daemonset ")
}

func startupTaint(t *testing.T, p *causeTest) {
	n := node(t, "worker-2")
	const taint = "sig-storage-local-static-provisioner/agent-not-ready"
	t.Cleanup(func() {
		if _, err := kube().CoreV1().Nodes().Patch(withoutEnd(t), n.Name(), types.MergePatchType, []byte(`{"spec":{"taints":null}}`),
			metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	})
	kubectl(t, nil, "taint", "nodes", n.Name(), taint+"=:NoSchedule")
	f := p.diagnose(t, "node/"+n.Name())
	p.execute(t, f, "kubectl taint nodes ")
	got, err := kube().CoreV1().Nodes().Get(t.Context(), n.Name(), metav1.GetOptions{})
	if err != nil || len(got.Spec.Taints) > 0 {
		t.Errorf("taints %v (%v)", got.Spec.Taints, err)
	}
}
