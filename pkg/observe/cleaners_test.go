// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"reflect"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// released is a cluster with a volume that is to be cleaned, by a Job whose pod fails.
func released() *apiServer {
	s := cluster(2)
	for _, o := range s.objects {
		if pv, ok := o.(*corev1.PersistentVolume); ok && pv.Name == "pv-w-1" {
			pv.Spec.VolumeMode, pv.Spec.PersistentVolumeReclaimPolicy, pv.Status.Phase = new(corev1.PersistentVolumeBlock),
				corev1.PersistentVolumeReclaimDelete, corev1.VolumeReleased
		}
	}
	s.objects = append(s.objects,
		&batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace,
				Name:      "cleanup-pv-w-1",
				UID:       "uid-job",
				Labels:    map[string]string{"pv": "pv-w-1", "pvuuid": "uid-pv-w-1"},
			},
			Status: batchv1.JobStatus{Failed: 7, Conditions: []batchv1.JobCondition{
				{
					Type:    batchv1.JobFailed,
					Status:  corev1.ConditionTrue,
					Reason:  "BackoffLimitExceeded",
					Message: "Job has reached the specified backoff limit",
				},
			}},
		},
		&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "another", UID: "uid-other"}},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace:       namespace,
				Name:            "cleanup-pv-w-1-x",
				UID:             "uid-x",
				Labels:          map[string]string{batchv1.JobNameLabel: "cleanup-pv-w-1"},
				OwnerReferences: []metav1.OwnerReference{{Kind: "Job", Name: "cleanup-pv-w-1", UID: "uid-job", Controller: new(true)}},
			},
			Status: corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{{Name: "cleaner", RestartCount: 6}},
				Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "no node"}}},
		})
	return s
}

func TestCleaningJobsAreReadForAReleasedVolume(t *testing.T) {
	got := diagnose(t, released(), Request{}).Provisioner.Value.Jobs
	want := []snapshot.CleaningJob{{
		Name: "cleanup-pv-w-1", Volume: "pv-w-1", VolumeUID: "uid-pv-w-1", Failed: 7,
		GaveUp: "BackoffLimitExceeded: Job has reached the specified backoff limit",
		Pods:   []snapshot.ProvisionerPod{{Name: "cleanup-pv-w-1-x", UID: "uid-x", Phase: "Failed", Restarts: 6, Unscheduled: "no node"}},
	}}
	if got.Value == nil || !reflect.DeepEqual(*got.Value, want) {
		t.Errorf("%+v", got)
	}
	s := cluster(2)
	if jobs := diagnose(t, s, Request{}).Provisioner.Value.Jobs; jobs.Value != nil || jobs.Problem.Message != "" || s.asked["list jobs"] != 0 {
		t.Errorf("without a released volume: %+v", jobs)
	}
	s = released()
	s.forbidden = []string{"list jobs"}
	if jobs := diagnose(t, s, Request{}).Provisioner.Value.Jobs; jobs.Value != nil || !strings.Contains(jobs.Problem.Message, "forbidden") {
		t.Errorf("without the right: %+v", jobs)
	}
}

func TestLinesThatTellOfCleaningAreKept(t *testing.T) {
	log := strings.Join([]string{
		`I1130 10:00:00.000000       1 deleter.go:215] Cleanup for pv local-pv-x failed. Restarting cleanup`,
		`I1130 10:00:00.000001       1 deleter.go:342] Cleanup pv "local-pv-x": StderrBuf - "blkdiscard: failed"`,
		`E1130 10:00:00.000002       1 deleter.go:320] exit status 1`,
		`I1130 10:00:00.000003       1 cache.go:1] Updated pv "local-pv-x" to cache`,
		`I1130 10:00:00.000004       1 discovery.go:420] Created PV "local-pv-y" for volume at "/p/y"`,
	}, "\n")
	if got := errorLines(log, doctor.LogTells); len(got) != 4 || strings.Contains(strings.Join(got, "\n"), "cache.go") {
		t.Errorf("%q", got)
	}
}
