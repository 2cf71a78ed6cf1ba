// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// jobName is that of the Job that cleans a volume. A volume has no second one.
func jobName(pvName string) string { return "cleanup-" + pvName }

// jobRunning reports whether a Job cleans a volume. One that has not succeeded counts as
// running, also when it has failed for good: what becomes of it is left to a person
// (pkg/deleter/jobcontroller.go). The real provisioner reads Jobs from a watch, and logs
// each change of one; that is left out.
func (p *Provisioner) jobRunning(ctx context.Context, pvName string) bool {
	job, err := p.Cluster.Job(ctx, p.Namespace, jobName(pvName))
	switch {
	case apierrors.IsNotFound(err):
		return false
	case err != nil:
		p.Log.Errorf("Failed to check whether job %s is running (%s). Assuming its still running.", jobName(pvName), err)
		return true
	}
	return job.Status.Succeeded == 0
}

// takeJob deletes a Job that has succeeded. There is no outcome that is a failure.
func (p *Provisioner) takeJob(ctx context.Context, pvName string) (cleaningState, error) {
	name := jobName(pvName)
	job, err := p.Cluster.Job(ctx, p.Namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return cleaningNone, nil
	case err != nil:
		return cleaningNone, fmt.Errorf("Failed to check whether job %s has succeeded. Error - %w", name, err)
	case job.Status.Succeeded == 0:
		return cleaningNone, fmt.Errorf("Error deleting Job %q: Cannot remove job that has not succeeded", name)
	}
	if err := p.Cluster.DeleteJob(ctx, p.Namespace, name); err != nil {
		return cleaningNone, fmt.Errorf("Error deleting Job %q: %w", name, err)
	}
	return cleaningSucceeded, nil
}

// runJob makes the Job of a device. It is told nowhere but in the Job itself: no event says
// that the cleaning begins.
func (p *Provisioner) runJob(ctx context.Context, config Config, pv *corev1.PersistentVolume, class Class, path string) error {
	if p.JobImage == "" {
		return errors.New("cannot run cleanup job without specifying job image name in the environment variable")
	}
	return p.Cluster.CreateJob(ctx, p.job(config, pv, class, path))
}

// job is the Job as 2.9.0 makes it, with its labels and annotations. Its pod has none of them.
func (p *Provisioner) job(config Config, pv *corev1.PersistentVolume, class Class, path string) *batchv1.Job {
	privileged := true
	mount := mountName(class)
	hostPath := func(name, path string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}}
	}
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   p.Namespace,
			Name:        jobName(pv.Name),
			Labels:      map[string]string{corev1.LabelHostname: p.Node.Name, "pv": pv.Name, "pvuuid": string(pv.UID)},
			Annotations: map[string]string{"device": path, "start-time": time.Now().Format(time.RFC3339Nano)},
		},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyOnFailure,
			NodeSelector:  map[string]string{corev1.LabelHostname: p.Node.Name},
			Tolerations:   config.JobTolerations,
			Volumes:       []corev1.Volume{hostPath(mount, class.HostDir), hostPath("dev", "/dev")},
			Containers: []corev1.Container{{
				Name: "cleaner", Image: p.JobImage, Command: class.BlockCleanerCommand,
				Env:             []corev1.EnvVar{{Name: deviceVariable, Value: path}},
				SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
				VolumeMounts:    []corev1.VolumeMount{{Name: mount, MountPath: class.MountDir}, {Name: "dev", MountPath: "/dev"}},
			}},
		}}},
	}
}

// mountName is the name of a class's volume in a Job's pod (pkg/common/common.go).
func mountName(class Class) string {
	sum := fnv.New32a()
	for _, part := range []string{class.HostDir, class.MountDir} {
		sum.Write([]byte(part))
	}
	return fmt.Sprintf("mount-%x", sum.Sum32())
}
