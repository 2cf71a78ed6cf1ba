// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

const earlierUID = "0b0f5a3e-1111-2222-3333-444455556666"

// claimFor is a claim of the Block class that waits, with a pod that needs it, and one
// Available volume that would do.
func (w world) claimFor() (*snapshot.Claim, *snapshot.UserPod) {
	class := "block"
	*w.Claims.Value = append(*w.Claims.Value, snapshot.Claim{
		ClaimRef: snapshot.ClaimRef{Namespace: "default", Name: "data"}, UID: "9", Class: &class, Mode: provisioner.Block,
		AccessModes: []string{"ReadWriteOnce"}, Request: 5 << 30, Phase: "Pending",
	})
	*w.Pods.Value = append(*w.Pods.Value, snapshot.UserPod{
		Namespace: "default", Name: "db", UID: "10", Phase: "Pending",
		Unscheduled: "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.",
		Volumes:     []snapshot.PodVolume{{Name: "data", Claim: "data", Device: true}},
	})
	w.linked().AccessModes = []string{"ReadWriteOnce"}
	return &(*w.Claims.Value)[1], &(*w.Pods.Value)[1]
}

// lonely is claimFor without the pod.
func (w world) lonely() *snapshot.Claim {
	c, _ := w.claimFor()
	*w.Pods.Value = (*w.Pods.Value)[:1]
	return c
}

func (w world) says(kind, namespace, name, reason, message string) {
	*w.Events.Value = append(*w.Events.Value, snapshot.Event{
		About: snapshot.Ref{Kind: kind, Namespace: namespace, Name: name}, Reason: reason, Message: message, Count: 3,
		First: w.Time.Add(-30e9), Last: w.Time.Add(-10e9),
	})
}

func (w world) release(policy string) *snapshot.Volume {
	v := w.linked()
	v.Phase, v.ReclaimPolicy = "Released", policy
	v.Claim = &snapshot.ClaimRef{Namespace: "default", Name: "old"}
	return v
}

func TestVolumes(t *testing.T) { try(t, volumeCases()) }

func volumeCases() []nodeCase {
	return []nodeCase{
		{"no pod yet", "TD0601", func(w world) {
			w.lonely()
			w.says("pvc", "default", "data", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
		}, OutcomeFinding, []string{`info[TD0601]: claim "default/data" waits for its first pod, which is as it should be`, "WaitForFirstConsumer 3 times in 20s: waiting"}},
		{"a pod is there", "TD0601", func(w world) { w.claimFor() }, OutcomeOK, nil},
		{"its class binds at once", "TD0601", func(w world) {
			w.lonely()
			sc := w.StorageClasses["block"]
			sc.BindingMode = "Immediate"
			w.StorageClasses["block"] = sc
		}, OutcomeOK, nil},
		{"bound", "TD0601", func(world) {}, OutcomeNone, nil},
		{"pods were not read", "TD0601", func(w world) {
			w.lonely()
			w.Pods = snapshot.Unread[[]snapshot.UserPod]("forbidden")
		}, OutcomeUnknown, []string{"forbidden"}},

		{"too large", "TD0602", func(w world) { c, _ := w.claimFor(); c.Request = 5<<30 + 1<<20 }, OutcomeFinding,
			[]string{`error[TD0602]: claim "default/data" asks for 5121Mi, and no free volume of class "block" is that large`, "rounds a disk's size down", "local-pv-b on w-4: 5Gi", "$ kubectl -n default delete pvc data", "the scheduler: 0/1 nodes"}},
		{"just large enough", "TD0602", func(w world) { w.claimFor() }, OutcomeOK, nil},
		{"volumes were not read", "TD0602", func(w world) {
			w.claimFor()
			w.Unread = map[string]string{snapshot.PartVolumes: "forbidden"}
		}, OutcomeUnknown, []string{"forbidden"}},
		{"only the target's volumes were read", "TD0602", func(w world) {
			w.claimFor()
			w.Targets = []snapshot.Ref{{Kind: "pod", Namespace: "default", Name: "db"}}
		}, OutcomeUnknown, []string{"not all volumes"}},

		{"a filesystem is asked for", "TD0603", func(w world) { c, _ := w.claimFor(); c.Mode = provisioner.Filesystem }, OutcomeFinding,
			[]string{`error[TD0603]: claim "default/data" asks for volumeMode Filesystem, and no free volume of class "block" has it`, "set volumeMode: Block"}},
		{"too large is not another mode", "TD0603", func(w world) { c, _ := w.claimFor(); c.Request = 9 << 30 }, OutcomeOK, nil},
		{"claims were not read", "TD0603", func(w world) { w.Claims = snapshot.Unread[[]snapshot.Claim]("forbidden") }, OutcomeUnknown, nil},

		{"many writers", "TD0604", func(w world) { c, _ := w.claimFor(); c.AccessModes = []string{"ReadWriteMany"} }, OutcomeFinding,
			[]string{`error[TD0604]: claim "default/data" asks for ReadWriteMany`, "accessModes: [ReadWriteOnce]"}},
		{"one writer", "TD0604", func(w world) { w.claimFor() }, OutcomeOK, nil},
		{"StorageClasses were not read", "TD0604", func(w world) {
			w.claimFor()
			w.Unread = map[string]string{snapshot.PartStorageClasses: "forbidden"}
		}, OutcomeUnknown, nil},

		{"a selector", "TD0605", func(w world) { c, _ := w.claimFor(); c.Selector = "tier=fast" }, OutcomeFinding, []string{`selects volumes by tier=fast`, "local-pv-b on w-4: no labels"}},
		{"a selector that matches", "TD0605", func(w world) {
			c, _ := w.claimFor()
			c.Selector, w.linked().Labels = "tier in (fast)", map[string]string{"tier": "fast"}
		}, OutcomeOK, nil},
		{"a selector that cannot be read", "TD0605", func(w world) { c, _ := w.claimFor(); c.Selector = "((" }, OutcomeUnknown, []string{"could not be read"}},

		{"all taken", "TD0606", func(w world) { w.claimFor(); w.linked().Phase = "Bound" }, OutcomeFinding,
			[]string{`error[TD0606]: no volume of class "block" is free for claim "default/data"`, `of the 1 volumes of class "block" none is Available: 1 Bound`, "$ kubectl talosdisk disks"}},
		{"none at all", "TD0606", func(w world) { w.claimFor(); w.Volumes = w.Volumes[:1] }, OutcomeFinding, []string{"has no volume at all"}},
		{"no provisioner where a disk may be", "TD0606", func(w world) {
			w.claimFor()
			w.Volumes = w.Volumes[:1]
			w.podless(`container "provisioner" of pod "local-storage/prov-x" does not run: CrashLoopBackOff`)
		}, OutcomeFinding, []string{"the provisioner does not run everywhere", "no provisioner runs on w-4: container \"provisioner\"", "$ kubectl -n local-storage get pods -o wide"}},
		{"no provisioner on nodes that were not looked at", "TD0606", func(w world) {
			w.claimFor()
			w.Volumes = w.Volumes[:1]
			w.Provisioner.Value.Desired = 3
		}, OutcomeFinding, []string{"the provisioner is ready on 1 of the 3 nodes"}},
		{"kept for another claim", "TD0606", func(w world) {
			w.claimFor()
			w.linked().Claim = &snapshot.ClaimRef{Namespace: "default", Name: "other"}
		}, OutcomeFinding, []string{"1 kept for another claim"}},
		{"kept for this claim", "TD0606", func(w world) {
			w.claimFor()
			w.linked().Claim = &snapshot.ClaimRef{Namespace: "default", Name: "data"}
		}, OutcomeNone, nil},
		{"no pod needs it", "TD0606", func(w world) { w.lonely(); w.linked().Phase = "Bound" }, OutcomeNone, nil},
		{"claims were not read", "TD0606", func(w world) { w.Claims = snapshot.Section[[]snapshot.Claim]{} }, OutcomeUnknown, nil},

		{"cordoned", "TD0607", func(w world) { w.claimFor(); w.node().Unschedulable = true }, OutcomeFinding,
			[]string{`error[TD0607]: volumes that fit claim "default/data" are only on nodes that pod "db" cannot go to`, "local-pv-b on w-4: it is cordoned"}},
		{"tainted", "TD0607", func(w world) {
			w.claimFor()
			w.node().Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}
		}, OutcomeFinding, []string{"it has the taint gpu=yes:NoSchedule"}},
		{"tainted, and tolerated", "TD0607", func(w world) {
			_, p := w.claimFor()
			w.node().Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}
			p.Tolerations = []corev1.Toleration{{Key: "gpu", Value: "yes"}}
		}, OutcomeOK, nil},
		{"a nodeSelector", "TD0607", func(w world) { _, p := w.claimFor(); p.NodeSelector = map[string]string{"disk": "ssd"} }, OutcomeFinding, []string{"nodeSelector asks for disk=ssd"}},
		{"a node affinity", "TD0607", func(w world) { _, p := w.claimFor(); p.NodeAffinity = []string{"disk in (ssd)"} }, OutcomeFinding, []string{"node affinity asks for disk in (ssd)"}},
		{"a node affinity that is met", "TD0607", func(w world) {
			_, p := w.claimFor()
			p.NodeAffinity = []string{"disk in (ssd)", "metadata.name in (w-4)"}
		}, OutcomeOK, nil},
		{"nodes were not read", "TD0607", func(w world) {
			w.claimFor()
			w.Nodes = nil
			w.Unread = map[string]string{snapshot.PartNodes: "forbidden"}
		}, OutcomeUnknown, []string{"forbidden"}},

		{"being cleaned", "TD0608", func(w world) {
			w.release("Delete")
			w.says("pv", "", "local-pv-b", "VolumeDelete", "Starting cleanup of Block PV")
		}, OutcomeFinding, []string{`info[TD0608]: volume "local-pv-b" is Released, and being cleaned`, "VolumeDelete"}},
		{"kept", "TD0608", func(w world) { w.release("Retain") }, OutcomeOK, nil},
		{"Available", "TD0608", func(world) {}, OutcomeNone, nil},
		{"events were not read", "TD0608", func(w world) {
			w.release("Delete")
			w.Events = snapshot.Unread[[]snapshot.Event]("forbidden")
		}, OutcomeUnknown, nil},

		{"kept", "TD0609", func(w world) { w.release("Retain") }, OutcomeFinding, []string{`warning[TD0609]: volume "local-pv-b" is Released, and stays so`, "its reclaim policy is Retain", `"persistentVolumeReclaimPolicy":"Delete"`}},
		{"cleaning fails", "TD0609", func(w world) {
			w.release("Delete")
			w.says("pv", "", "local-pv-b", "VolumeFailedDelete", `Error cleaning PV "local-pv-b": failed to get volume mode of path`)
		}, OutcomeFinding, []string{"the provisioner cannot clean it", "VolumeFailedDelete", "$ kubectl -n local-storage logs prov-x"}},
		{"nobody to clean it", "TD0609", func(w world) {
			w.release("Delete")
			w.node().Wanted, w.node().Pod = false, snapshot.Unread[snapshot.Pod]("the DaemonSet does not tolerate the node's taint gpu:NoSchedule")
		}, OutcomeFinding, []string{"no provisioner runs on its node"}},
		{"its pod is not there", "TD0609", func(w world) { w.release("Delete"); w.podless(noPodThere) }, OutcomeFinding, []string{"no provisioner runs on its node"}},
		{"its node is down", "TD0609", func(w world) {
			w.release("Delete")
			w.node().Ready = false
			w.podless("the node is NotReady (KubeletNotReady)")
		}, OutcomeFinding, []string{"no provisioner runs on its node to clean it: the node is NotReady"}},
		{"pods were not read", "TD0609", func(w world) {
			w.release("Delete")
			w.podless(`pods is forbidden: User "jane" cannot list resource "pods"`)
		}, OutcomeUnknown, []string{"forbidden"}},
		{"pods were not read", "TD0608", func(w world) {
			w.release("Delete")
			w.podless(`pods is forbidden: User "jane" cannot list resource "pods"`)
		}, OutcomeUnknown, []string{"forbidden"}},
		{"being cleaned", "TD0609", func(w world) { w.release("Delete") }, OutcomeOK, nil},
		{"events were not read", "TD0609", func(w world) {
			w.release("Delete")
			w.Events = snapshot.Unread[[]snapshot.Event]("forbidden")
		}, OutcomeUnknown, nil},

		{"no such node", "TD0610", func(w world) { w.linked().Node = "w-9" }, OutcomeFinding, []string{`error[TD0610]: volume "local-pv-b" lies on node "w-9", which does not exist`, "$ kubectl delete pv local-pv-b"}},
		{"made anew", "TD0610", func(w world) {
			w.node().UID = "0b0f5a3e-1111-2222-3333-444455557777"
			w.linked().ProvisionedBy = "local-volume-provisioner-w-4-" + earlierUID
		}, OutcomeFinding, []string{`warning[TD0610]: volume "local-pv-b" was made on an earlier node "w-4"`, earlierUID}},
		{"the same node", "TD0610", func(w world) {
			w.node().UID = earlierUID
			w.linked().ProvisionedBy = "local-volume-provisioner-w-4-" + earlierUID
		}, OutcomeOK, nil},
		{"the provisioner goes by names only", "TD0610", func(w world) { w.linked().ProvisionedBy = "local-volume-provisioner-w-4" }, OutcomeOK, nil},
		{"nodes were not read", "TD0610", func(w world) {
			w.Nodes = nil
			w.Unread = map[string]string{snapshot.PartNodes: "forbidden"}
		}, OutcomeUnknown, []string{"forbidden"}},

		{"no such class", "TD0611", func(w world) { w.claimFor(); delete(w.StorageClasses, "block") }, OutcomeFinding, []string{`error[TD0611]: StorageClass "block" does not exist`, "volumeBindingMode: WaitForFirstConsumer"}},
		{"no class named", "TD0611", func(w world) { c, _ := w.claimFor(); c.Class = nil }, OutcomeFinding, []string{`claim "default/data" names no StorageClass, and the cluster has no default`}},
		{"the class is there", "TD0611", func(w world) { w.claimFor() }, OutcomeOK, nil},
		{"classes were not read", "TD0611", func(w world) {
			w.claimFor()
			w.StorageClasses, w.Unread = nil, map[string]string{snapshot.PartStorageClasses: "forbidden"}
		}, OutcomeUnknown, nil},

		{"gone", "TD0612", func(w world) { w.Volumes = w.Volumes[1:] }, OutcomeFinding, []string{`error[TD0612]: volume "local-pv-485eb69c" of claim "default/nginx-pvc" is gone`, "$ kubectl -n default delete pvc nginx-pvc"}},
		{"there", "TD0612", func(world) {}, OutcomeOK, nil},
		{"not a local one", "TD0612", func(w world) {
			w.Volumes = w.Volumes[1:]
			(*w.Claims.Value)[0].NotLocal = "csi.example.com"
			w.Targets = []snapshot.Ref{{Kind: "pvc", Namespace: "default", Name: "nginx-pvc"}}
		}, OutcomeNone, nil},
		{"volumes were not read", "TD0612", func(w world) {
			w.Volumes, w.Unread = nil, map[string]string{snapshot.PartVolumes: "forbidden"}
		}, OutcomeUnknown, nil},
	}
}
