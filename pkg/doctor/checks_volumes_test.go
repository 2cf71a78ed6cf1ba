// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
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

// failing has the provisioner have begun to clean the linked volume so many times.
func (w world) failing(times int) {
	w.release("Delete")
	w.says("pv", "", "local-pv-b", "VolumeDelete", `Starting cleanup of Block PV "local-pv-b", this may take a while`)
	(*w.Events.Value)[0].Count = times
}

// job has a Job clean the linked volume.
func (w world) job(j snapshot.CleaningJob) {
	w.release("Delete")
	j.Name, j.Volume = "cleanup-local-pv-b", "local-pv-b"
	w.Provisioner.Value.Jobs = snapshot.Read([]snapshot.CleaningJob{j})
}

// remade has the node be another one than the linked volume was made on.
func (w world) remade() {
	w.node().UID = "0b0f5a3e-1111-2222-3333-444455557777"
	w.linked().ProvisionedBy = "local-volume-provisioner-w-4-" + earlierUID
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
			w.Pods = snapshot.Unread[[]snapshot.UserPod](problem.FromText("forbidden"))
		}, OutcomeUnknown, []string{"forbidden"}},

		{"too large", "TD0602", func(w world) { c, _ := w.claimFor(); c.Request = 5<<30 + 1<<20 }, OutcomeFinding,
			[]string{`error[TD0602]: claim "default/data" asks for 5121Mi, and no free volume of class "block" is that large`, "rounds a disk's size down", "local-pv-b on w-4: 5Gi", "$ kubectl -n default delete pvc data", "the scheduler: 0/1 nodes"}},
		{"just large enough", "TD0602", func(w world) { w.claimFor() }, OutcomeOK, nil},
		{"volumes were not read", "TD0602", func(w world) {
			w.claimFor()
			w.Unread = map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
		}, OutcomeUnknown, []string{"forbidden"}},
		{"only the target's volumes were read", "TD0602", func(w world) {
			w.claimFor()
			w.Targets = []snapshot.Ref{{Kind: "pod", Namespace: "default", Name: "db"}}
		}, OutcomeUnknown, []string{"not all volumes"}},

		{"a filesystem is asked for", "TD0603", func(w world) { c, _ := w.claimFor(); c.Mode = provisioner.Filesystem }, OutcomeFinding,
			[]string{`error[TD0603]: claim "default/data" asks for volumeMode Filesystem, and no free volume of class "block" has it`, "set volumeMode: Block"}},
		{"too large is not another mode", "TD0603", func(w world) { c, _ := w.claimFor(); c.Request = 9 << 30 }, OutcomeOK, nil},
		{"claims were not read", "TD0603", func(w world) { w.Claims = snapshot.Unread[[]snapshot.Claim](problem.FromText("forbidden")) }, OutcomeUnknown, nil},

		{"many writers", "TD0604", func(w world) { c, _ := w.claimFor(); c.AccessModes = []string{"ReadWriteMany"} }, OutcomeFinding,
			[]string{`error[TD0604]: claim "default/data" asks for ReadWriteMany`, "accessModes: [ReadWriteOnce]"}},
		{"one writer", "TD0604", func(w world) { w.claimFor() }, OutcomeOK, nil},
		{"StorageClasses were not read", "TD0604", func(w world) {
			w.claimFor()
			w.Unread = map[string]problem.Problem{snapshot.PartStorageClasses: problem.FromText("forbidden")}
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
			w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: CrashLoopBackOff`)
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
			w.Unread = map[string]problem.Problem{snapshot.PartNodes: problem.FromText("forbidden")}
		}, OutcomeUnknown, []string{"forbidden"}},

		{"being cleaned", "TD0608", func(w world) {
			w.release("Delete")
			w.says("pv", "", "local-pv-b", "VolumeDelete", "Starting cleanup of Block PV")
			(*w.Events.Value)[0].Count = 1
		}, OutcomeFinding, []string{`info[TD0608]: volume "local-pv-b" is Released, and being cleaned`, "VolumeDelete"}},
		{"kept", "TD0608", func(w world) { w.release("Retain") }, OutcomeOK, nil},
		{"Available", "TD0608", func(world) {}, OutcomeNone, nil},
		{"events were not read", "TD0608", func(w world) {
			w.release("Delete")
			w.Events = snapshot.Unread[[]snapshot.Event](problem.FromText("forbidden"))
		}, OutcomeUnknown, nil},

		{"kept", "TD0609", func(w world) { w.release("Retain") }, OutcomeFinding, []string{`warning[TD0609]: volume "local-pv-b" is Released, and stays so`, "its reclaim policy is Retain", `"persistentVolumeReclaimPolicy":"Delete"`}},
		{"cleaning fails", "TD0609", func(w world) {
			w.release("Delete")
			w.says("pv", "", "local-pv-b", "VolumeFailedDelete", `Error cleaning PV "local-pv-b": failed to get volume mode of path`)
		}, OutcomeFinding, []string{"the provisioner cannot clean it", "VolumeFailedDelete", "$ kubectl -n local-storage logs prov-x"}},
		{"nobody to clean it", "TD0609", func(w world) {
			w.release("Delete")
			w.node().Wanted, w.node().Pod = false, snapshot.Unread[snapshot.Pod](problem.FromText("the DaemonSet does not tolerate the node's taint gpu:NoSchedule"))
		}, OutcomeFinding, []string{"no provisioner runs on its node"}},
		{"its pod is not there", "TD0609", func(w world) { w.release("Delete"); w.withoutPod(noPodThere) }, OutcomeFinding, []string{"no provisioner runs on its node"}},
		{"its node is down", "TD0609", func(w world) {
			w.release("Delete")
			w.node().Ready = false
			w.withoutPod("the node is NotReady (KubeletNotReady)")
		}, OutcomeFinding, []string{"no provisioner runs on its node to clean it: the node is NotReady"}},
		{"pods were not read", "TD0609", func(w world) {
			w.release("Delete")
			w.withoutPod(`pods is forbidden: User "jane" cannot list resource "pods"`)
		}, OutcomeUnknown, []string{"forbidden"}},
		{"pods were not read", "TD0608", func(w world) {
			w.release("Delete")
			w.withoutPod(`pods is forbidden: User "jane" cannot list resource "pods"`)
		}, OutcomeUnknown, []string{"forbidden"}},
		{"being cleaned", "TD0609", func(w world) { w.release("Delete") }, OutcomeOK, nil},
		{"events were not read", "TD0609", func(w world) {
			w.release("Delete")
			w.Events = snapshot.Unread[[]snapshot.Event](problem.FromText("forbidden"))
		}, OutcomeUnknown, nil},

		{"the cleaner fails, by events alone", "TD0609", func(w world) { w.failing(3) }, OutcomeFinding,
			[]string{"begins to clean it again and again", `VolumeDelete 3 times in 20s: Starting cleanup of Block PV`, "$ kubectl -n local-storage logs prov-x"}},
		{"the cleaner fails", "TD0608", func(w world) { w.failing(3) }, OutcomeOK, nil},
		{"the cleaner failed once, by the log", "TD0609", func(w world) {
			w.failing(1)
			w.Provisioner.Value.Log["w-4"] = []string{
				`E1123 02:59:40.000001       1 deleter.go:320] exit status 1`, `E1123 02:59:40.000002       1 deleter.go:263] exit status 1`,
				`I1123 02:59:40.000000       1 deleter.go:342] Cleanup pv "local-pv-b": StderrBuf - "blkdiscard: /dev/vdf: BLKDISCARD ioctl failed: Operation not supported"`,
				`I1123 02:59:50.000000       1 deleter.go:215] Cleanup for pv local-pv-b failed. Restarting cleanup`,
			}
		}, OutcomeFinding, []string{"begins to clean it again", "BLKDISCARD ioctl failed", "Restarting cleanup"}},
		{"the cleaner of another volume fails", "TD0608", func(w world) {
			w.failing(1)
			w.Provisioner.Value.Log["w-4"] = []string{`E1123 02:59:40.000001       1 deleter.go:320] exit status 1`, `I1123 02:59:50.000000       1 deleter.go:215] Cleanup for pv local-pv-c failed. Restarting cleanup`}
		}, OutcomeFinding, []string{"being cleaned"}},
		{"the cleaner failed, and then did not", "TD0608", func(w world) {
			w.failing(2)
			w.Provisioner.Value.Log["w-4"] = []string{`I1123 02:59:50.000000       1 deleter.go:215] Cleanup for pv local-pv-b failed. Restarting cleanup`, `I1123 02:59:55.000000       1 deleter.go:324] Completed cleanup of pv "local-pv-b"`}
		}, OutcomeFinding, []string{"being cleaned"}},
		{"twice begun, and the log has the cleaner's end", "TD0609", func(w world) {
			w.failing(2)
			w.Provisioner.Value.Log["w-4"] = []string{`E1123 02:59:40.000001       1 deleter.go:320] exit status 1`}
		}, OutcomeFinding, []string{"deleter.go:320] exit status 1"}},
		{"begun again by a provisioner that started again", "TD0608", func(w world) {
			w.failing(2)
			w.Provisioner.Value.Pods = []snapshot.ProvisionerPod{{Name: "prov-x", Node: "w-4", Restarts: 1}}
		}, OutcomeFinding, []string{"being cleaned"}},
		{"cleanings of an earlier volume of the name", "TD0608", func(w world) {
			w.failing(9)
			(*w.Events.Value)[0].About.UID = "earlier"
		}, OutcomeFinding, []string{"being cleaned"}},
		{"a directory cannot be emptied", "TD0609", func(w world) {
			v := w.release("Delete")
			v.Class, v.Mode, v.Path = "hdd", provisioner.Filesystem, dirHDD+"/vdf"
			w.Provisioner.Value.Log["w-4"] = []string{`E1123 02:59:40.000001       1 deleter.go:263] unlinkat /var/lib/disks/hdd/vdf/lost+found: read-only file system`}
		}, OutcomeFinding, []string{"unlinkat /var/lib/disks/hdd/vdf/lost+found"}},
		{"a cleaner that fails, and the disk is there", "TD0609", func(w world) { w.failing(3) }, OutcomeFinding, []string{"blockCleanerCommand asks for"}},
		{"a cleaner that fails, and the disk is gone", "TD0609", func(w world) { w.failing(3); w.entries("block") }, OutcomeFinding, []string{"$ kubectl delete pv local-pv-b"}},

		{"the pod of a cleaning Job fails", "TD0609", func(w world) {
			w.job(snapshot.CleaningJob{Active: 1, Pods: []snapshot.ProvisionerPod{{Name: "cleanup-x", Restarts: 4, Phase: "Running", Waiting: []snapshot.Waiting{{Container: "cleaner", Reason: "CrashLoopBackOff"}}}}})
		}, OutcomeFinding, []string{`the cleaner in Job "cleanup-local-pv-b" fails`, `pod "cleanup-x": CrashLoopBackOff`, "its container has ended 4 times", "$ kubectl -n local-storage logs job/cleanup-local-pv-b", "$ kubectl -n local-storage delete job cleanup-local-pv-b"}},
		{"a cleaning Job has given up", "TD0609", func(w world) {
			w.job(snapshot.CleaningJob{Failed: 7, GaveUp: "BackoffLimitExceeded: Job has reached the specified backoff limit"})
		}, OutcomeFinding, []string{"has given up: BackoffLimitExceeded"}},
		{"a cleaning Job's pod is not scheduled", "TD0609", func(w world) {
			w.job(snapshot.CleaningJob{Active: 1, Pods: []snapshot.ProvisionerPod{{Name: "cleanup-x", Phase: "Pending", Unscheduled: "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: }"}}})
		}, OutcomeFinding, []string{"does not start", "untolerated taint"}},
		{"a cleaning Job without a pod", "TD0609", func(w world) { w.job(snapshot.CleaningJob{Created: now.Add(-5 * time.Minute)}) }, OutcomeFinding, []string{"has no pod"}},
		{"a cleaning Job of an earlier volume", "TD0609", func(w world) { w.job(snapshot.CleaningJob{Active: 1, VolumeUID: "earlier"}) }, OutcomeFinding, []string{"a Job of an earlier volume of the name is there"}},
		{"a cleaning Job runs", "TD0608", func(w world) {
			w.job(snapshot.CleaningJob{Active: 1, VolumeUID: "3", Created: now.Add(-5 * time.Minute), Pods: []snapshot.ProvisionerPod{{Name: "cleanup-x", Phase: "Running", Ready: true}}})
		}, OutcomeFinding, []string{"being cleaned", `Job "cleanup-local-pv-b" is cleaning it`}},
		{"Jobs are forbidden", "TD0608", func(w world) {
			w.release("Delete")
			w.Provisioner.Value.Jobs = snapshot.Unread[[]snapshot.CleaningJob](problem.FromText(`jobs.batch is forbidden`))
		}, OutcomeUnknown, []string{"whether a Job cleans it: jobs.batch is forbidden"}},
		{"Jobs are forbidden, and it is cleaned in the pod", "TD0608", func(w world) {
			w.failing(1)
			w.Provisioner.Value.Jobs = snapshot.Unread[[]snapshot.CleaningJob](problem.FromText(`jobs.batch is forbidden`))
		}, OutcomeFinding, nil},

		{"a claim of the name waits", "TD0609", func(w world) {
			v := w.release("Retain")
			v.Claim, v.ClaimUID = &snapshot.ClaimRef{Namespace: "default", Name: "data"}, "earlier"
			w.claimFor()
		}, OutcomeFinding, []string{`$ kubectl patch pv local-pv-b --type=json -p '[{"op":"test","path":"/spec/claimRef/uid","value":"earlier"},{"op":"remove","path":"/spec/claimRef/uid"}]'`}},
		{"a claim of the name waits, for more than it holds", "TD0609", func(w world) {
			v := w.release("Retain")
			v.Claim, v.ClaimUID = &snapshot.ClaimRef{Namespace: "default", Name: "data"}, "earlier"
			c, _ := w.claimFor()
			c.Request = 9 << 30
		}, OutcomeFinding, []string{`claim "default/data" waits for the volume`}},
		{"an earlier claim of the name had the only volume", "TD0606", func(w world) {
			v := w.release("Retain")
			v.Claim, v.ClaimUID = &snapshot.ClaimRef{Namespace: "default", Name: "data"}, "earlier"
			w.claimFor()
		}, OutcomeFinding, []string{`volume "local-pv-b" is kept for an earlier claim of the name: claims are known by UID`, `it was of claim "default/data" with UID earlier, and the claim of that name has UID 9`, "--type=json"}},
		{"another claim had the only volume", "TD0606", func(w world) { w.claimFor(); w.release("Retain").ClaimUID = "earlier" }, OutcomeFinding, []string{"1 Released"}},

		{"no such node", "TD0610", func(w world) { w.linked().Node = "w-9" }, OutcomeFinding, []string{`error[TD0610]: volume "local-pv-b" lies on node "w-9", which does not exist`, "$ kubectl delete pv local-pv-b"}},
		{"recreated", "TD0610", func(w world) {
			w.node().UID = "0b0f5a3e-1111-2222-3333-444455557777"
			w.linked().ProvisionedBy = "local-volume-provisioner-w-4-" + earlierUID
		}, OutcomeFinding, []string{`warning[TD0610]: volume "local-pv-b" was made on an earlier node "w-4"`, earlierUID}},
		{"recreated, and its pod lives on", "TD0610", func(w world) {
			w.remade()
			w.node().Created, w.node().Pod.Value.Started = now.Add(-time.Hour), now.Add(-2*time.Hour)
		}, OutcomeFinding, []string{"goes by the earlier UID as long as it runs", "fix: first have the node's provisioner pod start again:\n$ kubectl -n local-storage delete pod prov-x\nfix: then delete the volume: it is made again, not cleaned:\n$ kubectl delete pv local-pv-b"}},
		{"recreated, and when its pod started is not known", "TD0610", world.remade, OutcomeFinding, []string{"$ kubectl -n local-storage delete pod prov-x\nfix: then"}},
		{"recreated, and its pod started after", "TD0610", func(w world) {
			w.remade()
			w.node().Created, w.node().Pod.Value.Started = now.Add(-time.Hour), now.Add(-time.Minute)
		}, OutcomeFinding, []string{"path: \nfix: delete the volume"}},
		{"recreated, and bound", "TD0610", func(w world) { w.remade(); w.bind(w.linked()) }, OutcomeFinding, []string{"delete pod prov-x", "works as long as it is bound", "then ask again what is next"}},
		{"the same node", "TD0610", func(w world) {
			w.node().UID = earlierUID
			w.linked().ProvisionedBy = "local-volume-provisioner-w-4-" + earlierUID
		}, OutcomeOK, nil},
		{"the provisioner goes by names only", "TD0610", func(w world) { w.linked().ProvisionedBy = "local-volume-provisioner-w-4" }, OutcomeOK, nil},
		{"nodes were not read", "TD0610", func(w world) {
			w.Nodes = nil
			w.Unread = map[string]problem.Problem{snapshot.PartNodes: problem.FromText("forbidden")}
		}, OutcomeUnknown, []string{"forbidden"}},

		{"no such class", "TD0611", func(w world) { w.claimFor(); delete(w.StorageClasses, "block") }, OutcomeFinding, []string{`error[TD0611]: StorageClass "block" does not exist`, "volumeBindingMode: WaitForFirstConsumer"}},
		{"no class named", "TD0611", func(w world) { c, _ := w.claimFor(); c.Class = nil }, OutcomeFinding, []string{`claim "default/data" names no StorageClass, and the cluster has no default`}},
		{"the class is there", "TD0611", func(w world) { w.claimFor() }, OutcomeOK, nil},
		{"classes were not read", "TD0611", func(w world) {
			w.claimFor()
			w.StorageClasses, w.Unread = nil, map[string]problem.Problem{snapshot.PartStorageClasses: problem.FromText("forbidden")}
		}, OutcomeUnknown, nil},

		{"gone", "TD0612", func(w world) { w.Volumes = w.Volumes[1:] }, OutcomeFinding, []string{`error[TD0612]: volume "local-pv-485eb69c" of claim "default/nginx-pvc" is gone`, "$ kubectl -n default delete pvc nginx-pvc"}},
		{"there", "TD0612", func(world) {}, OutcomeOK, nil},
		{"published again, and free", "TD0612", func(w world) {
			w.Volumes[0].UID, w.Volumes[0].Phase, w.Volumes[0].Claim, w.Volumes[0].ClaimUID, w.Volumes[0].ResourceVersion = "8", "Available", nil, "", "77"
		}, OutcomeFinding, []string{`error[TD0612]: volume "local-pv-485eb69c" of claim "default/nginx-pvc" was deleted and published again, and is free for any other claim`,
			`$ kubectl patch pv local-pv-485eb69c --type=merge -p '{"metadata":{"resourceVersion":"77"},"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"nginx-pvc","namespace":"default","uid":"2"}}}'`}},
		{"published again, and another claim has it", "TD0612", func(w world) {
			w.Volumes[0].UID, w.Volumes[0].Claim, w.Volumes[0].ClaimUID = "8", &snapshot.ClaimRef{Namespace: "default", Name: "other"}, "20"
		}, OutcomeFinding, []string{`is another claim's`, `is Bound for claim "default/other" with UID 20`, "Retain"}},
		{"published again, and a claim of the name has it", "TD0612", func(w world) { w.Volumes[0].ClaimUID = "20"; (*w.Claims.Value)[0].Phase = "Lost" }, OutcomeFinding, []string{`is another claim's`}},
		{"lost, without a volume's name", "TD0612", func(w world) { c := &(*w.Claims.Value)[0]; c.Volume, c.Phase = "", "Lost" }, OutcomeFinding, []string{"is Lost, and names no volume any more"}},
		{"lost", "TD0612", func(w world) { w.Volumes = w.Volumes[1:]; (*w.Claims.Value)[0].Phase = "Lost" }, OutcomeFinding, []string{"is gone"}},
		{"waits for a volume that is another's", "TD0612", func(w world) { c, _ := w.claimFor(); c.Volume = "local-pv-485eb69c" }, OutcomeOK, nil},

		{"being deleted under its claim", "TD0613", func(w world) { w.Volumes[0].Deleting = true }, OutcomeFinding,
			[]string{`warning[TD0613]: volume "local-pv-485eb69c" is being deleted, and goes without being cleaned`, `it stays as long as claim "default/nginx-pvc" has it`, "copy it to another claim before", "$ kubectl get pv local-pv-485eb69c -o 'jsonpath="}},
		{"being deleted, and released", "TD0613", func(w world) { w.release("Delete").Deleting = true }, OutcomeFinding, []string{"goes without being cleaned"}},
		{"being deleted, and released", "TD0608", func(w world) { w.release("Delete").Deleting = true }, OutcomeNone, nil},
		{"not being deleted", "TD0613", func(world) {}, OutcomeNone, nil},
		{"volumes were not read", "TD0613", func(w world) {
			w.Volumes, w.Unread = nil, map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
		}, OutcomeUnknown, nil},
		{"not a local one", "TD0612", func(w world) {
			w.Volumes = w.Volumes[1:]
			(*w.Claims.Value)[0].NotLocal = "csi.example.com"
			w.Targets = []snapshot.Ref{{Kind: "pvc", Namespace: "default", Name: "nginx-pvc"}}
		}, OutcomeNone, nil},
		{"volumes were not read", "TD0612", func(w world) {
			w.Volumes, w.Unread = nil, map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
		}, OutcomeUnknown, nil},
	}
}
