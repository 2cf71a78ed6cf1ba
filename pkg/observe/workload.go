// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// claimOf projects a PersistentVolumeClaim.
func claimOf(pvc *corev1.PersistentVolumeClaim) snapshot.Claim {
	request := pvc.Spec.Resources.Requests[corev1.ResourceStorage]
	c := snapshot.Claim{
		ClaimRef: snapshot.ClaimRef{Namespace: pvc.Namespace, Name: pvc.Name},
		UID:      pvc.UID,
		Created:  pvc.CreationTimestamp.Time,
		Class:    pvc.Spec.StorageClassName,
		Mode:     provisioner.Filesystem,
		Request:  request.Value(),
		Volume:   pvc.Spec.VolumeName,
		Phase:    string(pvc.Status.Phase),
		Deleting: pvc.DeletionTimestamp != nil,
	}
	if pvc.Spec.VolumeMode != nil {
		c.Mode = provisioner.Mode(*pvc.Spec.VolumeMode)
	}
	for _, m := range pvc.Spec.AccessModes {
		c.AccessModes = append(c.AccessModes, string(m))
	}
	if pvc.Spec.Selector != nil {
		// The API server takes none that cannot be converted.
		if s, err := metav1.LabelSelectorAsSelector(pvc.Spec.Selector); err == nil {
			c.Selector = s.String()
		}
	}
	return c
}

// userPodOf projects a pod, as far as its volumes are concerned.
func userPodOf(pod *corev1.Pod) snapshot.UserPod {
	p := snapshot.UserPod{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID,
		Created:      pod.CreationTimestamp.Time,
		Deleting:     pod.DeletionTimestamp != nil,
		Node:         pod.Spec.NodeName,
		Phase:        string(pod.Status.Phase),
		Waiting:      waiting(pod),
		NodeSelector: pod.Spec.NodeSelector,
		NodeAffinity: provisioner.NodeTerms(pod.Spec),
		Tolerations:  pod.Spec.Tolerations,
	}
	for _, c := range pod.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady:
			p.Ready = c.Status == corev1.ConditionTrue
		case c.Type == corev1.PodScheduled && c.Status != corev1.ConditionTrue:
			p.Unscheduled = c.Message
		}
	}
	p.Started = slices.ContainsFunc(slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses),
		func(s corev1.ContainerStatus) bool { return s.State.Running != nil })
	p.VolumesSince = volumesSince(pod)
	mounted, devices := uses(pod)
	for _, v := range pod.Spec.Volumes {
		volume := snapshot.PodVolume{Name: v.Name, Mounted: mounted[v.Name], Device: devices[v.Name]}
		switch {
		case v.PersistentVolumeClaim != nil:
			volume.Claim, volume.ReadOnly = v.PersistentVolumeClaim.ClaimName, v.PersistentVolumeClaim.ReadOnly
		case v.Ephemeral != nil: // The claim that the cluster makes for it has this name.
			volume.Claim = pod.Name + "-" + v.Name
		case v.HostPath != nil:
			volume.HostPath = v.HostPath.Path
			if v.HostPath.Type != nil {
				volume.HostPathType = string(*v.HostPath.Type)
			}
		default:
			continue
		}
		p.Volumes = append(p.Volumes, volume)
	}
	return p
}

// uses tells which volumes are among the containers' volumeMounts, and which among
// their volumeDevices.
func uses(pod *corev1.Pod) (mounted, devices map[string]bool) {
	mounted, devices = make(map[string]bool), make(map[string]bool)
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, m := range c.VolumeMounts {
			mounted[m.Name] = true
		}
		for _, d := range c.VolumeDevices {
			devices[d.Name] = true
		}
	}
	return mounted, devices
}

// volumesSince is when the pod's volumes were there at the latest: no sandbox and no container
// is made before (Kubernetes v1.37, pkg/kubelet/kubelet.go, SyncPod).
func volumesSince(pod *corev1.Pod) *time.Time {
	var since *time.Time
	take := func(at metav1.Time) {
		if !at.IsZero() && (since == nil || at.Time.Before(*since)) {
			since = &at.Time
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReadyToStartContainers && c.Status == corev1.ConditionTrue {
			take(c.LastTransitionTime)
		}
	}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		for _, state := range []corev1.ContainerState{s.State, s.LastTerminationState} {
			if state.Running != nil {
				take(state.Running.StartedAt)
			}
			if state.Terminated != nil {
				take(state.Terminated.StartedAt)
			}
		}
	}
	return since
}

// waiting are the containers that do not run, init containers first. What is said of them
// may be the application's own words, and is not kept.
func waiting(pod *corev1.Pod) []snapshot.Waiting {
	var all []snapshot.Waiting
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch {
		case s.State.Waiting != nil:
			all = append(all, snapshot.Waiting{Container: s.Name, Reason: s.State.Waiting.Reason})
		case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
			all = append(all, snapshot.Waiting{Container: s.Name, Reason: s.State.Terminated.Reason})
		}
	}
	return all
}

// claimsOf are the claims that a pod's volumes name, each once.
func claimsOf(p snapshot.UserPod) []snapshot.ClaimRef {
	var refs []snapshot.ClaimRef
	for _, v := range p.Volumes {
		ref := snapshot.ClaimRef{Namespace: p.Namespace, Name: v.Claim}
		if v.Claim != "" && !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs
}

// trimmed keeps those of a pod's volumes that are wanted.
func trimmed(p snapshot.UserPod, wanted func(snapshot.UserPod, snapshot.PodVolume) bool) (snapshot.UserPod, bool) {
	var kept []snapshot.PodVolume
	for _, v := range p.Volumes {
		if wanted(p, v) {
			kept = append(kept, v)
		}
	}
	p.Volumes = kept
	return p, len(kept) > 0
}

// over reports whether a pod uses nothing any more.
func over(p snapshot.UserPod) bool {
	return p.Phase == string(corev1.PodSucceeded) || p.Phase == string(corev1.PodFailed)
}

// sourceOf is the kind of volume that a PersistentVolume is, in the words of the API.
func sourceOf(pv *corev1.PersistentVolume) string {
	s := pv.Spec.PersistentVolumeSource
	switch {
	case s.Local != nil:
		return "local"
	case s.CSI != nil:
		return s.CSI.Driver
	case s.NFS != nil:
		return "nfs"
	case s.HostPath != nil:
		return "hostPath"
	case s.ISCSI != nil:
		return "iscsi"
	case s.FC != nil:
		return "fc"
	}
	return "another kind of volume"
}

// sorted are a map's values in the order of their names.
func sorted[V any](m map[string]V) []V {
	values := make([]V, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[key])
	}
	return values
}
