// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"cmp"
	"context"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Labels of the Jobs that clean volumes (sig-storage-local-static-provisioner v2.9.0, pkg/deleter/jobcontroller.go).
const (
	labelCleaned    = "pv"
	labelCleanedUID = "pvuuid"
)

// readCleaners reads the Jobs that clean volumes, and their pods. There are such for block devices only,
// and only with useJobForCleaning: without a released volume nobody asks for them.
func (d *observation) readCleaners(ctx context.Context) {
	state := d.s.Provisioner.Value
	if state == nil || !slices.ContainsFunc(sorted(d.objects.volumes), func(v snapshot.Volume) bool {
		return v.Phase == string(corev1.VolumeReleased) && v.Mode == provisioner.Block &&
			v.ReclaimPolicy == string(corev1.PersistentVolumeReclaimDelete)
	}) {
		return
	}
	namespace, found := d.s.Install.Namespace, []snapshot.CleaningJob{}
	byUID := make(map[types.UID]int)
	err := items(ctx, metav1.ListOptions{LabelSelector: labelCleaned + "," + labelCleanedUID},
		func(o metav1.ListOptions) (runtime.Object, error) {
			return d.Client.BatchV1().Jobs(namespace).List(ctx, o)
		}, func(j *batchv1.Job) {
			byUID[j.UID] = len(found)
			found = append(found, cleaningJobOf(j))
		})
	if err == nil && len(found) > 0 {
		err = items(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel}, func(o metav1.ListOptions) (runtime.Object, error) {
			return d.Client.CoreV1().Pods(namespace).List(ctx, o)
		}, func(p *corev1.Pod) {
			owner := metav1.GetControllerOfNoCopy(p)
			if owner == nil {
				return
			}
			if i, ok := byUID[owner.UID]; ok {
				of := ownPodOf(p)
				for _, c := range p.Status.Conditions {
					if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
						of.Unscheduled = c.Message
					}
				}
				found[i].Pods = append(found[i].Pods, of)
			}
		})
	}
	if err != nil {
		state.Jobs = snapshot.Unread[[]snapshot.CleaningJob](problem.From(err))
		return
	}
	slices.SortFunc(found, func(a, b snapshot.CleaningJob) int { return cmp.Compare(a.Name, b.Name) })
	state.Jobs = snapshot.Read(found)
}

// cleaningJobOf projects a Job.
func cleaningJobOf(j *batchv1.Job) snapshot.CleaningJob {
	job := snapshot.CleaningJob{
		Name: j.Name, Volume: j.Labels[labelCleaned], VolumeUID: types.UID(j.Labels[labelCleanedUID]), Created: j.CreationTimestamp.Time,
		Active: int(j.Status.Active), Succeeded: int(j.Status.Succeeded), Failed: int(j.Status.Failed),
	}
	for _, c := range j.Status.Conditions {
		if c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue {
			job.GaveUp = strings.TrimSpace(c.Reason + ": " + c.Message)
		}
	}
	return job
}
