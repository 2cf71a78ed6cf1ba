// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"reflect"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// newJobBench cleans by Jobs, and has a released volume whose Job was just made.
func newJobBench(t *testing.T) (b *bench, pvName string, job *batchv1.Job) {
	b = newBench(t)
	b.config.UseJobForCleaning = true
	b.config.JobTolerations = []corev1.Toleration{{Key: "disks", Operator: corev1.TolerationOpExists}}
	pvName = b.released("vdb")
	log := b.pass()
	if job = b.cluster.jobs["local-storage/cleanup-"+pvName]; job == nil {
		t.Fatalf("no Job: %v, log\n%s", b.cluster.jobs, log)
	}
	return b, pvName, job
}

func TestJob(t *testing.T) {
	b, pvName, job := newJobBench(t)
	want := map[string]string{"kubernetes.io/hostname": "w-1", "pv": pvName, "pvuuid": string(b.cluster.pvs[pvName].UID)}
	if !reflect.DeepEqual(job.Labels, want) {
		t.Errorf("labels %v, want %v", job.Labels, want)
	}
	device := b.dir + "/block/vdb"
	if job.Annotations["device"] != device || job.Annotations["start-time"] == "" {
		t.Errorf("annotations %v", job.Annotations)
	}
	pod := job.Spec.Template
	if len(pod.Labels)+len(pod.Annotations) > 0 {
		t.Errorf("the pod has labels %v and annotations %v", pod.Labels, pod.Annotations)
	}
	c := pod.Spec.Containers[0]
	if c.Name != "cleaner" || c.Image != "cleaner:1" || c.Env[0] != (corev1.EnvVar{Name: "LOCAL_PV_BLKDEVICE", Value: device}) ||
		!reflect.DeepEqual(c.Command, b.config.Classes["block"].BlockCleanerCommand) {
		t.Errorf("container %+v", c)
	}
	if pod.Spec.RestartPolicy != corev1.RestartPolicyOnFailure || pod.Spec.Tolerations[0].Key != "disks" ||
		pod.Spec.NodeSelector["kubernetes.io/hostname"] != "w-1" {
		t.Errorf("pod %+v", pod.Spec)
	}
	if events := b.takeEvents(); len(events) > 0 {
		t.Errorf("events %q, want none", events)
	}
}

// A Job that fails is never looked at again: no event, no log, and its volume is not made
// again either until somebody deletes the Job.
func TestFailedJobStays(t *testing.T) {
	b, pvName, job := newJobBench(t)
	job.Status.Failed = 1
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
	if log, events := b.pass(), b.takeEvents(); log != "" || len(events) > 0 || len(b.pvs()) != 1 || len(b.cluster.jobs) != 1 {
		t.Errorf("volumes %q, Jobs %v, events %q, log\n%s", b.pvs(), b.cluster.jobs, events, log)
	}
	delete(b.cluster.pvs, pvName)
	if log := b.pass(); !strings.Contains(log, "PV "+pvName+" is still being cleaned") || len(b.pvs()) != 0 {
		t.Errorf("volumes %q, log\n%s", b.pvs(), log)
	}
	clear(b.cluster.jobs)
	if log := b.pass(); len(b.pvs()) != 1 {
		t.Errorf("volumes %q, log\n%s", b.pvs(), log)
	}
}

func TestJobThatSucceeds(t *testing.T) {
	b, pvName, job := newJobBench(t)
	before := b.cluster.pvs[pvName].UID
	job.Status.Succeeded = 1
	b.pass()
	b.pass()
	if pv := b.cluster.pvs[pvName]; pv == nil || pv.UID == before || len(b.cluster.jobs) != 0 {
		t.Errorf("volume %v, Jobs %v", pv, b.cluster.jobs)
	}
}

// A filesystem is emptied in the provisioner itself (shouldRunJob in pkg/deleter/deleter.go).
func TestFilesystemHasNoJob(t *testing.T) {
	config := Config{UseJobForCleaning: true}
	if config.byJob(corev1.PersistentVolumeFilesystem) || !config.byJob(corev1.PersistentVolumeBlock) {
		t.Error("Jobs clean devices, and nothing else")
	}
}

func TestJobWithoutImage(t *testing.T) {
	b := newBench(t)
	b.config.UseJobForCleaning, b.JobImage = true, ""
	name := b.released("vdb")
	b.pass()
	want := `Warning VolumeFailedDelete Error cleaning PV "` + name +
		`": cannot run cleanup job without specifying job image name in the environment variable`
	if events := b.takeEvents(); len(events) != 1 || events[0] != want {
		t.Errorf("events %q, want %q", events, want)
	}
}
