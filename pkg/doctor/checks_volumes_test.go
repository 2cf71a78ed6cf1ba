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
		{name: "no pod yet", code: "TD0601", change: func(w world) {
			w.lonely()
			w.says("pvc", "default", "data", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
		}, want: OutcomeFinding, has: []string{`info[TD0601]: claim "default/data" waits for its first pod, which is as it should be`,
			"WaitForFirstConsumer 3 times in 20s: waiting"}},
		{name: "a pod is there", code: "TD0601", change: func(w world) { w.claimFor() }, want: OutcomeOK},
		{name: "its class binds at once", code: "TD0601", change: func(w world) {
			w.lonely()
			sc := w.StorageClasses["block"]
			sc.BindingMode = "Immediate"
			w.StorageClasses["block"] = sc
		}, want: OutcomeOK},
		{name: "bound", code: "TD0601", change: func(world) {}, want: OutcomeNone},
		{name: "pods were not read", code: "TD0601", change: func(w world) {
			w.lonely()
			w.Pods = snapshot.Unread[[]snapshot.UserPod](problem.FromText("forbidden"))
		}, want: OutcomeUnknown, has: []string{"forbidden"}},

		{name: "too large", code: "TD0602", change: func(w world) { c, _ := w.claimFor(); c.Request = 5<<30 + 1<<20 }, want: OutcomeFinding,
			has: []string{`error[TD0602]: claim "default/data" asks for 5121Mi, and no free volume of class "block" is that large`,
				"rounds a disk's size down", "local-pv-b on w-4: 5Gi", "$ kubectl -n default delete pvc data", "the scheduler: 0/1 nodes"}},
		{name: "just large enough", code: "TD0602", change: func(w world) { w.claimFor() }, want: OutcomeOK},
		{name: "volumes were not read", code: "TD0602", change: func(w world) {
			w.claimFor()
			w.Unread = map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
		}, want: OutcomeUnknown, has: []string{"forbidden"}},
		{name: "only the target's volumes were read", code: "TD0602", change: func(w world) {
			w.claimFor()
			w.Targets = []snapshot.Ref{{Kind: "pod", Namespace: "default", Name: "db"}}
		}, want: OutcomeUnknown, has: []string{"not all volumes"}},

		{
			name:   "a filesystem is asked for",
			code:   "TD0603",
			change: func(w world) { c, _ := w.claimFor(); c.Mode = provisioner.Filesystem },
			want:   OutcomeFinding,
			has: []string{`error[TD0603]: claim "default/data" asks for volumeMode Filesystem, and no free volume of class "block" has it`,
				"set volumeMode: Block"},
		},
		{
			name:   "too large is not another mode",
			code:   "TD0603",
			change: func(w world) { c, _ := w.claimFor(); c.Request = 9 << 30 },
			want:   OutcomeOK,
		},
		{
			name:   "claims were not read",
			code:   "TD0603",
			change: func(w world) { w.Claims = snapshot.Unread[[]snapshot.Claim](problem.FromText("forbidden")) },
			want:   OutcomeUnknown,
		},

		{
			name:   "many writers",
			code:   "TD0604",
			change: func(w world) { c, _ := w.claimFor(); c.AccessModes = []string{"ReadWriteMany"} },
			want:   OutcomeFinding,
			has:    []string{`error[TD0604]: claim "default/data" asks for ReadWriteMany`, "accessModes: [ReadWriteOnce]"},
		},
		{name: "one writer", code: "TD0604", change: func(w world) { w.claimFor() }, want: OutcomeOK},
		{name: "StorageClasses were not read", code: "TD0604", change: func(w world) {
			w.claimFor()
			w.Unread = map[string]problem.Problem{snapshot.PartStorageClasses: problem.FromText("forbidden")}
		}, want: OutcomeUnknown},

		{
			name:   "a selector",
			code:   "TD0605",
			change: func(w world) { c, _ := w.claimFor(); c.Selector = "tier=fast" },
			want:   OutcomeFinding,
			has:    []string{`selects volumes by tier=fast`, "local-pv-b on w-4: no labels"},
		},
		{name: "a selector that matches", code: "TD0605", change: func(w world) {
			c, _ := w.claimFor()
			c.Selector, w.linked().Labels = "tier in (fast)", map[string]string{"tier": "fast"}
		}, want: OutcomeOK},
		{
			name:   "a selector that cannot be read",
			code:   "TD0605",
			change: func(w world) { c, _ := w.claimFor(); c.Selector = "((" },
			want:   OutcomeUnknown,
			has:    []string{"could not be read"},
		},

		{name: "all taken", code: "TD0606", change: func(w world) { w.claimFor(); w.linked().Phase = "Bound" }, want: OutcomeFinding,
			has: []string{`error[TD0606]: no volume of class "block" is free for claim "default/data"`,
				`of the 1 volumes of class "block" none is Available: 1 Bound`, "$ kubectl talosdisk disks"}},
		{
			name:   "none at all",
			code:   "TD0606",
			change: func(w world) { w.claimFor(); w.Volumes = w.Volumes[:1] },
			want:   OutcomeFinding,
			has:    []string{"has no volume at all"},
		},
		{name: "no provisioner where a disk may be", code: "TD0606", change: func(w world) {
			w.claimFor()
			w.Volumes = w.Volumes[:1]
			w.withoutPod(`container "provisioner" of pod "local-storage/prov-x" does not run: CrashLoopBackOff`)
		}, want: OutcomeFinding, has: []string{"the provisioner does not run everywhere", "no provisioner runs on w-4: container \"provisioner\"",
			"$ kubectl -n local-storage get pods -o wide"}},
		{name: "no provisioner on nodes that were not looked at", code: "TD0606", change: func(w world) {
			w.claimFor()
			w.Volumes = w.Volumes[:1]
			w.Provisioner.Value.Desired = 3
		}, want: OutcomeFinding, has: []string{"the provisioner is ready on 1 of the 3 nodes"}},
		{name: "kept for another claim", code: "TD0606", change: func(w world) {
			w.claimFor()
			w.linked().Claim = &snapshot.ClaimRef{Namespace: "default", Name: "other"}
		}, want: OutcomeFinding, has: []string{"1 kept for another claim"}},
		{name: "kept for this claim", code: "TD0606", change: func(w world) {
			w.claimFor()
			w.linked().Claim = &snapshot.ClaimRef{Namespace: "default", Name: "data"}
		}, want: OutcomeNone},
		{name: "no pod needs it", code: "TD0606", change: func(w world) { w.lonely(); w.linked().Phase = "Bound" }, want: OutcomeNone},
		{
			name:   "claims were not read",
			code:   "TD0606",
			change: func(w world) { w.Claims = snapshot.Section[[]snapshot.Claim]{} },
			want:   OutcomeUnknown,
		},

		{name: "cordoned", code: "TD0607", change: func(w world) { w.claimFor(); w.node().Unschedulable = true }, want: OutcomeFinding,
			has: []string{`error[TD0607]: volumes that fit claim "default/data" are only on nodes that pod "db" cannot go to`,
				"local-pv-b on w-4: it is cordoned"}},
		{name: "tainted", code: "TD0607", change: func(w world) {
			w.claimFor()
			w.node().Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}
		}, want: OutcomeFinding, has: []string{"it has the taint gpu=yes:NoSchedule"}},
		{name: "tainted, and tolerated", code: "TD0607", change: func(w world) {
			_, p := w.claimFor()
			w.node().Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}
			p.Tolerations = []corev1.Toleration{{Key: "gpu", Value: "yes"}}
		}, want: OutcomeOK},
		{
			name:   "a nodeSelector",
			code:   "TD0607",
			change: func(w world) { _, p := w.claimFor(); p.NodeSelector = map[string]string{"disk": "ssd"} },
			want:   OutcomeFinding,
			has:    []string{"nodeSelector asks for disk=ssd"},
		},
		{
			name:   "a node affinity",
			code:   "TD0607",
			change: func(w world) { _, p := w.claimFor(); p.NodeAffinity = []string{"disk in (ssd)"} },
			want:   OutcomeFinding,
			has:    []string{"node affinity asks for disk in (ssd)"},
		},
		{name: "a node affinity that is met", code: "TD0607", change: func(w world) {
			_, p := w.claimFor()
			p.NodeAffinity = []string{"disk in (ssd)", "metadata.name in (w-4)"}
		}, want: OutcomeOK},
		{name: "nodes were not read", code: "TD0607", change: func(w world) {
			w.claimFor()
			w.Nodes = nil
			w.Unread = map[string]problem.Problem{snapshot.PartNodes: problem.FromText("forbidden")}
		}, want: OutcomeUnknown, has: []string{"forbidden"}},

		{name: "being cleaned", code: "TD0608", change: func(w world) {
			w.release("Delete")
			w.says("pv", "", "local-pv-b", "VolumeDelete", "Starting cleanup of Block PV")
			(*w.Events.Value)[0].Count = 1
		}, want: OutcomeFinding, has: []string{`info[TD0608]: volume "local-pv-b" is Released, and being cleaned`, "VolumeDelete"}},
		{name: "kept", code: "TD0608", change: func(w world) { w.release("Retain") }, want: OutcomeOK},
		{name: "Available", code: "TD0608", change: func(world) {}, want: OutcomeNone},
		{name: "events were not read", code: "TD0608", change: func(w world) {
			w.release("Delete")
			w.Events = snapshot.Unread[[]snapshot.Event](problem.FromText("forbidden"))
		}, want: OutcomeUnknown},

		{
			name:   "kept",
			code:   "TD0609",
			change: func(w world) { w.release("Retain") },
			want:   OutcomeFinding,
			has: []string{`warning[TD0609]: volume "local-pv-b" is Released, and stays so`, "its reclaim policy is Retain",
				`"persistentVolumeReclaimPolicy":"Delete"`},
		},
		{name: "cleaning fails", code: "TD0609", change: func(w world) {
			w.release("Delete")
			w.says("pv", "", "local-pv-b", "VolumeFailedDelete", `Error cleaning PV "local-pv-b": failed to get volume mode of path`)
		}, want: OutcomeFinding, has: []string{"the provisioner cannot clean it", "VolumeFailedDelete",
			"$ kubectl -n local-storage logs prov-x"}},
		{name: "nobody to clean it", code: "TD0609", change: func(w world) {
			w.release("Delete")
			w.node().Wanted, w.node().Pod = false,
				snapshot.Unread[snapshot.Pod](problem.FromText("the DaemonSet does not tolerate the node's taint gpu:NoSchedule"))
		}, want: OutcomeFinding, has: []string{"no provisioner runs on its node"}},
		{
			name:   "its pod is not there",
			code:   "TD0609",
			change: func(w world) { w.release("Delete"); w.withoutPod(noPodThere) },
			want:   OutcomeFinding,
			has:    []string{"no provisioner runs on its node"},
		},
		{name: "its node is down", code: "TD0609", change: func(w world) {
			w.release("Delete")
			w.node().Ready = false
			w.withoutPod("the node is NotReady (KubeletNotReady)")
		}, want: OutcomeFinding, has: []string{"no provisioner runs on its node to clean it: the node is NotReady"}},
		{name: "pods were not read", code: "TD0609", change: func(w world) {
			w.release("Delete")
			w.withoutPod(`pods is forbidden: User "jane" cannot list resource "pods"`)
		}, want: OutcomeUnknown, has: []string{"forbidden"}},
		{name: "pods were not read", code: "TD0608", change: func(w world) {
			w.release("Delete")
			w.withoutPod(`pods is forbidden: User "jane" cannot list resource "pods"`)
		}, want: OutcomeUnknown, has: []string{"forbidden"}},
		{name: "being cleaned", code: "TD0609", change: func(w world) { w.release("Delete") }, want: OutcomeOK},
		{name: "events were not read", code: "TD0609", change: func(w world) {
			w.release("Delete")
			w.Events = snapshot.Unread[[]snapshot.Event](problem.FromText("forbidden"))
		}, want: OutcomeUnknown},

		{name: "the cleaner fails, by events alone", code: "TD0609", change: func(w world) { w.failing(3) }, want: OutcomeFinding,
			has: []string{"begins to clean it again and again", `VolumeDelete 3 times in 20s: Starting cleanup of Block PV`,
				"$ kubectl -n local-storage logs prov-x"}},
		{name: "the cleaner fails", code: "TD0608", change: func(w world) { w.failing(3) }, want: OutcomeOK},
		{name: "the cleaner failed once, by the log", code: "TD0609", change: func(w world) {
			w.failing(1)
			w.Provisioner.Value.Log["w-4"] = []string{
				`E1123 02:59:40.000001       1 deleter.go:320] exit status 1`, `E1123 02:59:40.000002       1 deleter.go:263] exit status 1`,
				`I1123 02:59:40.000000       1 deleter.go:342] Cleanup pv "local-pv-b": StderrBuf - "blkdiscard: /dev/vdf: BLKDISCARD ioctl failed: Operation not supported"`,
				`I1123 02:59:50.000000       1 deleter.go:215] Cleanup for pv local-pv-b failed. Restarting cleanup`,
			}
		}, want: OutcomeFinding, has: []string{"begins to clean it again", "BLKDISCARD ioctl failed", "Restarting cleanup"}},
		{name: "the cleaner of another volume fails", code: "TD0608", change: func(w world) {
			w.failing(1)
			w.Provisioner.Value.Log["w-4"] = []string{`E1123 02:59:40.000001       1 deleter.go:320] exit status 1`,
				`I1123 02:59:50.000000       1 deleter.go:215] Cleanup for pv local-pv-c failed. Restarting cleanup`}
		}, want: OutcomeFinding, has: []string{"being cleaned"}},
		{name: "the cleaner failed, and then did not", code: "TD0608", change: func(w world) {
			w.failing(2)
			w.Provisioner.Value.Log["w-4"] = []string{`I1123 02:59:50.000000       1 deleter.go:215] Cleanup for pv local-pv-b failed. Restarting cleanup`,
				`I1123 02:59:55.000000       1 deleter.go:324] Completed cleanup of pv "local-pv-b"`}
		}, want: OutcomeFinding, has: []string{"being cleaned"}},
		{name: "twice begun, and the log has the cleaner's end", code: "TD0609", change: func(w world) {
			w.failing(2)
			w.Provisioner.Value.Log["w-4"] = []string{`E1123 02:59:40.000001       1 deleter.go:320] exit status 1`}
		}, want: OutcomeFinding, has: []string{"deleter.go:320] exit status 1"}},
		{name: "begun again by a provisioner that started again", code: "TD0608", change: func(w world) {
			w.failing(2)
			w.Provisioner.Value.Pods = []snapshot.ProvisionerPod{{Name: "prov-x", Node: "w-4", Restarts: 1}}
		}, want: OutcomeFinding, has: []string{"being cleaned"}},
		{name: "cleanings of an earlier volume of the name", code: "TD0608", change: func(w world) {
			w.failing(9)
			(*w.Events.Value)[0].About.UID = "earlier"
		}, want: OutcomeFinding, has: []string{"being cleaned"}},
		{name: "a directory cannot be emptied", code: "TD0609", change: func(w world) {
			v := w.release("Delete")
			v.Class, v.Mode, v.Path = "hdd", provisioner.Filesystem, dirHDD+"/vdf"
			w.Provisioner.Value.Log["w-4"] = []string{`E1123 02:59:40.000001       1 deleter.go:263] unlinkat /var/lib/disks/hdd/vdf/lost+found: read-only file system`}
		}, want: OutcomeFinding, has: []string{"unlinkat /var/lib/disks/hdd/vdf/lost+found"}},
		{
			name:   "a cleaner that fails, and the disk is there",
			code:   "TD0609",
			change: func(w world) { w.failing(3) },
			want:   OutcomeFinding,
			has:    []string{"blockCleanerCommand asks for"},
		},
		{
			name:   "a cleaner that fails, and the disk is gone",
			code:   "TD0609",
			change: func(w world) { w.failing(3); w.entries("block") },
			want:   OutcomeFinding,
			has:    []string{"$ kubectl delete pv local-pv-b"},
		},

		{name: "the pod of a cleaning Job fails", code: "TD0609", change: func(w world) {
			w.job(snapshot.CleaningJob{
				Active: 1,
				Pods: []snapshot.ProvisionerPod{{
					Name:     "cleanup-x",
					Restarts: 4,
					Phase:    "Running",
					Waiting:  []snapshot.Waiting{{Container: "cleaner", Reason: "CrashLoopBackOff"}},
				}},
			})
		}, want: OutcomeFinding, has: []string{`the cleaner in Job "cleanup-local-pv-b" fails`, `pod "cleanup-x": CrashLoopBackOff`,
			"its container has ended 4 times", "$ kubectl -n local-storage logs job/cleanup-local-pv-b",
			"$ kubectl -n local-storage delete job cleanup-local-pv-b"}},
		{name: "a cleaning Job has given up", code: "TD0609", change: func(w world) {
			w.job(snapshot.CleaningJob{Failed: 7, GaveUp: "BackoffLimitExceeded: Job has reached the specified backoff limit"})
		}, want: OutcomeFinding, has: []string{"has given up: BackoffLimitExceeded"}},
		{name: "a cleaning Job's pod is not scheduled", code: "TD0609", change: func(w world) {
			w.job(snapshot.CleaningJob{
				Active: 1,
				Pods: []snapshot.ProvisionerPod{{
					Name:        "cleanup-x",
					Phase:       "Pending",
					Unscheduled: "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: }",
				}},
			})
		}, want: OutcomeFinding, has: []string{"does not start", "untolerated taint"}},
		{
			name:   "a cleaning Job without a pod",
			code:   "TD0609",
			change: func(w world) { w.job(snapshot.CleaningJob{Created: now.Add(-5 * time.Minute)}) },
			want:   OutcomeFinding,
			has:    []string{"has no pod"},
		},
		{
			name:   "a cleaning Job of an earlier volume",
			code:   "TD0609",
			change: func(w world) { w.job(snapshot.CleaningJob{Active: 1, VolumeUID: "earlier"}) },
			want:   OutcomeFinding,
			has:    []string{"a Job of an earlier volume of the name is there"},
		},
		{name: "a cleaning Job runs", code: "TD0608", change: func(w world) {
			w.job(snapshot.CleaningJob{
				Active:    1,
				VolumeUID: "3",
				Created:   now.Add(-5 * time.Minute),
				Pods:      []snapshot.ProvisionerPod{{Name: "cleanup-x", Phase: "Running", Ready: true}},
			})
		}, want: OutcomeFinding, has: []string{"being cleaned", `Job "cleanup-local-pv-b" is cleaning it`}},
		{name: "Jobs are forbidden", code: "TD0608", change: func(w world) {
			w.release("Delete")
			w.Provisioner.Value.Jobs = snapshot.Unread[[]snapshot.CleaningJob](problem.FromText(`jobs.batch is forbidden`))
		}, want: OutcomeUnknown, has: []string{"whether a Job cleans it: jobs.batch is forbidden"}},
		{name: "Jobs are forbidden, and it is cleaned in the pod", code: "TD0608", change: func(w world) {
			w.failing(1)
			w.Provisioner.Value.Jobs = snapshot.Unread[[]snapshot.CleaningJob](problem.FromText(`jobs.batch is forbidden`))
		}, want: OutcomeFinding},

		{name: "a claim of the name waits", code: "TD0609", change: func(w world) {
			v := w.release("Retain")
			v.Claim, v.ClaimUID = &snapshot.ClaimRef{Namespace: "default", Name: "data"}, "earlier"
			w.claimFor()
		}, want: OutcomeFinding,
			has: []string{`$ kubectl patch pv local-pv-b --type=json -p '[{"op":"test","path":"/spec/claimRef/uid","value":"earlier"},{"op":"remove","path":"/spec/claimRef/uid"}]'`}},
		{name: "a claim of the name waits, for more than it holds", code: "TD0609", change: func(w world) {
			v := w.release("Retain")
			v.Claim, v.ClaimUID = &snapshot.ClaimRef{Namespace: "default", Name: "data"}, "earlier"
			c, _ := w.claimFor()
			c.Request = 9 << 30
		}, want: OutcomeFinding, has: []string{`claim "default/data" waits for the volume`}},
		{name: "an earlier claim of the name had the only volume", code: "TD0606", change: func(w world) {
			v := w.release("Retain")
			v.Claim, v.ClaimUID = &snapshot.ClaimRef{Namespace: "default", Name: "data"}, "earlier"
			w.claimFor()
		}, want: OutcomeFinding, has: []string{`volume "local-pv-b" is kept for an earlier claim of the name: claims are known by UID`,
			`it was of claim "default/data" with UID earlier, and the claim of that name has UID 9`, "--type=json"}},
		{
			name:   "another claim had the only volume",
			code:   "TD0606",
			change: func(w world) { w.claimFor(); w.release("Retain").ClaimUID = "earlier" },
			want:   OutcomeFinding,
			has:    []string{"1 Released"},
		},

		{
			name:   "no such node",
			code:   "TD0610",
			change: func(w world) { w.linked().Node = "w-9" },
			want:   OutcomeFinding,
			has:    []string{`error[TD0610]: volume "local-pv-b" lies on node "w-9", which does not exist`, "$ kubectl delete pv local-pv-b"},
		},
		{name: "recreated", code: "TD0610", change: func(w world) {
			w.node().UID = "0b0f5a3e-1111-2222-3333-444455557777"
			w.linked().ProvisionedBy = "local-volume-provisioner-w-4-" + earlierUID
		}, want: OutcomeFinding, has: []string{`warning[TD0610]: volume "local-pv-b" was made on an earlier node "w-4"`, earlierUID}},
		{name: "recreated, and its pod lives on", code: "TD0610", change: func(w world) {
			w.remade()
			w.node().Created, w.node().Pod.Value.Started = now.Add(-time.Hour), now.Add(-2*time.Hour)
		}, want: OutcomeFinding, has: []string{"goes by the earlier UID as long as it runs",
			"fix: first have the node's provisioner pod start again:\n$ kubectl -n local-storage delete pod prov-x\nfix: then delete the volume: it is made again, not cleaned:\n$ kubectl delete pv local-pv-b"}},
		{
			name:   "recreated, and when its pod started is not known",
			code:   "TD0610",
			change: world.remade,
			want:   OutcomeFinding,
			has:    []string{"$ kubectl -n local-storage delete pod prov-x\nfix: then"},
		},
		{name: "recreated, and its pod started after", code: "TD0610", change: func(w world) {
			w.remade()
			w.node().Created, w.node().Pod.Value.Started = now.Add(-time.Hour), now.Add(-time.Minute)
		}, want: OutcomeFinding, has: []string{"path: \nfix: delete the volume"}},
		{
			name:   "recreated, and bound",
			code:   "TD0610",
			change: func(w world) { w.remade(); w.bind(w.linked()) },
			want:   OutcomeFinding,
			has:    []string{"delete pod prov-x", "works as long as it is bound", "then ask again what is next"},
		},
		{name: "the same node", code: "TD0610", change: func(w world) {
			w.node().UID = earlierUID
			w.linked().ProvisionedBy = "local-volume-provisioner-w-4-" + earlierUID
		}, want: OutcomeOK},
		{
			name:   "the provisioner goes by names only",
			code:   "TD0610",
			change: func(w world) { w.linked().ProvisionedBy = "local-volume-provisioner-w-4" },
			want:   OutcomeOK,
		},
		{name: "nodes were not read", code: "TD0610", change: func(w world) {
			w.Nodes = nil
			w.Unread = map[string]problem.Problem{snapshot.PartNodes: problem.FromText("forbidden")}
		}, want: OutcomeUnknown, has: []string{"forbidden"}},

		{
			name:   "no such class",
			code:   "TD0611",
			change: func(w world) { w.claimFor(); delete(w.StorageClasses, "block") },
			want:   OutcomeFinding,
			has:    []string{`error[TD0611]: StorageClass "block" does not exist`, "volumeBindingMode: WaitForFirstConsumer"},
		},
		{
			name:   "no class named",
			code:   "TD0611",
			change: func(w world) { c, _ := w.claimFor(); c.Class = nil },
			want:   OutcomeFinding,
			has:    []string{`claim "default/data" names no StorageClass, and the cluster has no default`},
		},
		{name: "the class is there", code: "TD0611", change: func(w world) { w.claimFor() }, want: OutcomeOK},
		{name: "classes were not read", code: "TD0611", change: func(w world) {
			w.claimFor()
			w.StorageClasses, w.Unread = nil, map[string]problem.Problem{snapshot.PartStorageClasses: problem.FromText("forbidden")}
		}, want: OutcomeUnknown},

		{
			name:   "gone",
			code:   "TD0612",
			change: func(w world) { w.Volumes = w.Volumes[1:] },
			want:   OutcomeFinding,
			has: []string{`error[TD0612]: volume "local-pv-485eb69c" of claim "default/nginx-pvc" is gone`,
				"$ kubectl -n default delete pvc nginx-pvc"},
		},
		{name: "there", code: "TD0612", change: func(world) {}, want: OutcomeOK},
		{name: "published again, and free", code: "TD0612", change: func(w world) {
			w.Volumes[0].UID, w.Volumes[0].Phase, w.Volumes[0].Claim, w.Volumes[0].ClaimUID, w.Volumes[0].ResourceVersion = "8", "Available", nil,
				"", "77"
		}, want: OutcomeFinding,
			has: []string{`error[TD0612]: volume "local-pv-485eb69c" of claim "default/nginx-pvc" was deleted and published again, and is free for any other claim`,
				`$ kubectl patch pv local-pv-485eb69c --type=merge -p '{"metadata":{"resourceVersion":"77"},"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"nginx-pvc","namespace":"default","uid":"2"}}}'`}},
		{name: "published again, and another claim has it", code: "TD0612", change: func(w world) {
			w.Volumes[0].UID, w.Volumes[0].Claim, w.Volumes[0].ClaimUID = "8", &snapshot.ClaimRef{Namespace: "default", Name: "other"}, "20"
		}, want: OutcomeFinding, has: []string{`is another claim's`, `is Bound for claim "default/other" with UID 20`, "Retain"}},
		{
			name:   "published again, and a claim of the name has it",
			code:   "TD0612",
			change: func(w world) { w.Volumes[0].ClaimUID = "20"; (*w.Claims.Value)[0].Phase = "Lost" },
			want:   OutcomeFinding,
			has:    []string{`is another claim's`},
		},
		{
			name:   "lost, without a volume's name",
			code:   "TD0612",
			change: func(w world) { c := &(*w.Claims.Value)[0]; c.Volume, c.Phase = "", "Lost" },
			want:   OutcomeFinding,
			has:    []string{"is Lost, and names no volume any more"},
		},
		{
			name:   "lost",
			code:   "TD0612",
			change: func(w world) { w.Volumes = w.Volumes[1:]; (*w.Claims.Value)[0].Phase = "Lost" },
			want:   OutcomeFinding,
			has:    []string{"is gone"},
		},
		{
			name:   "waits for a volume that is another's",
			code:   "TD0612",
			change: func(w world) { c, _ := w.claimFor(); c.Volume = "local-pv-485eb69c" },
			want:   OutcomeOK,
		},

		{name: "being deleted under its claim", code: "TD0613", change: func(w world) { w.Volumes[0].Deleting = true }, want: OutcomeFinding,
			has: []string{`warning[TD0613]: volume "local-pv-485eb69c" is being deleted, and goes without being cleaned`,
				`it stays as long as claim "default/nginx-pvc" has it`, "copy it to another claim before",
				"$ kubectl get pv local-pv-485eb69c -o 'jsonpath="}},
		{
			name:   "being deleted, and released",
			code:   "TD0613",
			change: func(w world) { w.release("Delete").Deleting = true },
			want:   OutcomeFinding,
			has:    []string{"goes without being cleaned"},
		},
		{name: "being deleted, and released", code: "TD0608", change: func(w world) { w.release("Delete").Deleting = true }, want: OutcomeNone},
		{name: "not being deleted", code: "TD0613", change: func(world) {}, want: OutcomeNone},
		{name: "volumes were not read", code: "TD0613", change: func(w world) {
			w.Volumes, w.Unread = nil, map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
		}, want: OutcomeUnknown},
		{name: "not a local one", code: "TD0612", change: func(w world) {
			w.Volumes = w.Volumes[1:]
			(*w.Claims.Value)[0].NotLocal = "csi.example.com"
			w.Targets = []snapshot.Ref{{Kind: "pvc", Namespace: "default", Name: "nginx-pvc"}}
		}, want: OutcomeNone},
		{name: "volumes were not read", code: "TD0612", change: func(w world) {
			w.Volumes, w.Unread = nil, map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
		}, want: OutcomeUnknown},
	}
}
