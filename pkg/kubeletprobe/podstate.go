// SPDX-License-Identifier: Apache-2.0

package kubeletprobe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// PodState is what has become of a Job's pod.
type PodState struct {
	// Ended: it has said all that it had to say, and its log can be read.
	Ended bool
	// Failed is why it will never do so, in the pod's own words.
	Failed string
	// Waiting is what it waits for, where it does neither.
	Waiting string
}

// final are the reasons for which a container waits and that time does not fix, or not in the
// time that a look may take (Kubernetes v1.37, pkg/kubelet/images/types.go, pkg/kubelet/container/sync_result.go).
var final = []string{
	"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable",
	"SignatureValidationFailed",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError",
}

// PodStateOf judges the pod as it is now.
func PodStateOf(pod *corev1.Pod) PodState {
	for _, c := range pod.Status.ContainerStatuses {
		switch s := c.State; {
		case s.Terminated != nil && s.Terminated.ExitCode == 0:
			return PodState{Ended: true}
		case s.Terminated != nil:
			return PodState{
				Failed: said(cmp.Or(s.Terminated.Reason, "Error"),
					cmp.Or(s.Terminated.Message, fmt.Sprintf("it ended with exit code %d", s.Terminated.ExitCode))),
			}
		case s.Waiting != nil && slices.Contains(final, s.Waiting.Reason):
			return PodState{Failed: said(s.Waiting.Reason, s.Waiting.Message)}
		}
	}
	switch {
	case pod.Status.Phase == corev1.PodSucceeded:
		return PodState{Ended: true}
	case pod.Status.Phase == corev1.PodFailed: // The kubelet did not take it, or it took too long.
		return PodState{Failed: said(cmp.Or(pod.Status.Reason, "Failed"), pod.Status.Message)}
	case pod.DeletionTimestamp != nil:
		return PodState{Failed: "it was deleted"}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			return PodState{Waiting: said(w.Reason, w.Message)}
		}
	}
	return PodState{Waiting: said(string(pod.Status.Phase), pod.Status.Message)}
}

// said is a reason with its message, in one line.
func said(reason, message string) string {
	message = strings.Join(strings.Fields(message), " ")
	switch {
	case message == "":
		return reason
	case reason == "":
		return message
	}
	return reason + ": " + message
}
