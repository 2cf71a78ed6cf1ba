// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// freshFor is how old the last event of a trouble that goes on can be: a kubelet tries
// again every two minutes at the latest, and of many events about one object the
// API server gets one in five minutes (client-go, tools/record, events_cache.go).
const freshFor = 15 * time.Minute

// Trouble is an event with what it says.
type Trouble struct {
	Event snapshot.Event
	Cause MountCause

	at time.Time
}

// String is the event as evidence: `FailedMount 4 times in 3s: …`.
func (t Trouble) String() string { return eventText(t.Event, t.Cause.Detail, t.at) }

// mountTroubles are what the kubelet says now of the subject's volume in its pod, the
// latest first. What it said before it started again, or before the pod had its
// volumes, proves nothing.
func (s *Subject) mountTroubles() []Trouble {
	if !s.asked {
		s.asked, s.troubles = true, s.findTroubles()
	}
	return s.troubles
}

func (s *Subject) findTroubles() []Trouble {
	if s.Pod == nil || s.PodVolume == nil || settledPod(*s.Pod) {
		return nil
	}
	var troubles []Trouble
	for _, e := range s.events("pod", s.Pod.Namespace, s.Pod.Name) {
		if isOther(*e, s.Pod.UID) || !s.fresh(*e) {
			continue
		}
		for _, c := range ParseMount(e.Message) {
			if s.concerns(c) && s.counts(*e, c) {
				troubles = append(troubles, Trouble{*e, c, s.Snapshot.Time})
			}
		}
	}
	if name := s.volumeName(); name != "" && !hasVolumes(*s.Pod) {
		for _, e := range s.freshOf(s.events("pv", "", name), s.volumeUID(), []string{mismatch}) {
			if s.Volume == nil && e.About.UID != "" { // It may be about an earlier one of the name.
				s.unsure = s.Snapshot.Unread[snapshot.PartVolumes]
				continue
			}
			for _, c := range ParseMount(e.Message) { // Whatever mount(8) says: the kubelet has compared.
				c.Kind = CauseFilesystem
				troubles = append(troubles, Trouble{e, c, s.Snapshot.Time})
			}
		}
	}
	slices.SortStableFunc(troubles, func(a, b Trouble) int {
		return cmp.Or(b.Event.Last.Compare(a.Event.Last), cmp.Compare(a.Event.Message, b.Event.Message))
	})
	return troubles
}

// mismatch is the reason of what a kubelet says of a PersistentVolume, beside what it says
// of the pod, when a disk holds another filesystem than was asked for (Kubernetes v1.37,
// pkg/kubelet/events/event.go).
const mismatch = "FailedMountOnFilesystemMismatch"

// EventReasons are the reasons of all events that a diagnosis reads. Others are not worth
// keeping: some say what has no place in a file that people send around.
func EventReasons() []string {
	return []string{
		"FailedMount", "FailedMapVolume", "AlreadyMountedVolume", "Failed", mismatch, "FailedScheduling",
		"FailedBinding", "ProvisioningFailed", "WaitForFirstConsumer", "VolumeDelete", "VolumeFailedDelete", "FailedCreate",
	}
}

// counts reports whether an event of the pod is about mounting, and not about what comes
// after it: a container or its image.
func (s *Subject) counts(e snapshot.Event, c MountCause) bool {
	switch e.Reason {
	case "FailedMount", "FailedMapVolume", "AlreadyMountedVolume":
		return !hasVolumes(*s.Pod)
	case "Failed":
		return slices.Contains([]CauseKind{CauseSubPath, CauseMountAsBlock, CauseBlockAsMount}, c.Kind)
	}
	return false
}

// concerns reports whether a message is about the subject's volume. One that names none
// is about all.
func (s *Subject) concerns(c MountCause) bool {
	names := []string{s.PodVolume.Name, s.volumeName()}
	switch {
	case c.Volume != "":
		return slices.Contains(names, c.Volume)
	case c.Claim != "":
		return s.ClaimRef != nil && s.ClaimRef.String() == c.Claim
	case len(c.Volumes) > 0:
		return slices.ContainsFunc(c.Volumes, func(v string) bool { return slices.Contains(names, v) })
	}
	return true
}

// volumeName is the name of the PersistentVolume, be it there or not; empty if none is known.
func (s *Subject) volumeName() string {
	switch {
	case s.Volume != nil:
		return s.Volume.Name
	case s.Claim != nil:
		return s.Claim.Volume
	}
	return ""
}

// volumeUID is that of the PersistentVolume; empty if it is not known.
func (s *Subject) volumeUID() types.UID {
	if s.Volume == nil {
		return ""
	}
	return s.Volume.UID
}

// isOther tells an event about an earlier object of the same name. Names come back: that of
// a local volume is made of its node, its class and its path.
func isOther(e snapshot.Event, uid types.UID) bool {
	return e.About.UID != "" && uid != "" && e.About.UID != uid
}

// events are those about an object, or others of its name, in the order in which they were read.
func (s *Subject) events(kind, namespace, name string) []*snapshot.Event {
	return s.index.events[snapshot.Ref{Kind: kind, Namespace: namespace, Name: name}]
}

// fresh reports whether an event can be about how things are now.
func (s *Subject) fresh(e snapshot.Event) bool {
	if e.Last.IsZero() {
		return true
	}
	if started := s.kubeletStarted(); e.From == "kubelet" && !started.IsZero() && e.Last.Before(started) {
		return false
	}
	return s.Snapshot.Time.IsZero() || s.Snapshot.Time.Sub(e.Last) <= freshFor
}

// kubeletStarted is when the kubelet of the pod's node last said that it started; zero:
// nothing tells.
func (s *Subject) kubeletStarted() time.Time {
	node := s.Node
	if s.Pod != nil && s.Pod.Node != "" {
		node = s.index.nodes[s.Pod.Node]
	}
	if node == nil || node.KubeletStarted == nil {
		return time.Time{}
	}
	return *node.KubeletStarted
}

// settledPod tells a pod that nothing keeps from running any more: it does, or it has ended.
func settledPod(p snapshot.UserPod) bool {
	return p.Ready || p.Phase == "Succeeded" || p.Phase == "Failed"
}

// hasVolumes tells a pod that has its volumes, and one that is past needing them: no image
// is pulled and no container made before all of them are mounted. A container that has ended
// proves nothing: after a reboot of the node the kubelet goes on reporting how it ended,
// while it waits for the volumes.
func hasVolumes(p snapshot.UserPod) bool {
	return settledPod(p) || p.Started || slices.ContainsFunc(p.Waiting, func(w snapshot.Waiting) bool { return afterMounting(w.Reason) })
}

// afterMounting tells the reasons for which a container waits once the volumes are there
// (Kubernetes v1.37, pkg/kubelet/images/types.go and pkg/kubelet/container/sync_result.go).
func afterMounting(reason string) bool {
	return slices.Contains([]string{
		"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable",
		"SignatureValidationFailed",
		"CrashLoopBackOff", "CreateContainerConfigError", "PreCreateHookError", "CreateContainerError", "PreStartHookError", "PostStartHookError",
		"RunContainerError",
	}, reason)
}

// eventText is an event as evidence. Its age is said where it is not of just now.
func eventText(e snapshot.Event, message string, now time.Time) string {
	text := e.Reason
	if e.Count > 1 {
		text += fmt.Sprintf(" %d times", e.Count)
		if over := e.Last.Sub(e.First); over > 0 && !e.First.IsZero() {
			text += " in " + duration(over)
		}
	}
	if age := now.Sub(e.Last); !now.IsZero() && !e.Last.IsZero() && age >= time.Minute {
		text += ", last " + duration(age) + " ago"
	}
	return text + ": " + oneLine(message)
}

// duration is as long as a person wants to know it: 3s, 5m, 2h, 4d.
func duration(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// oneLine makes a message one line of a bearable length.
func oneLine(message string) string {
	const longest = 400
	return snapshot.Shorten(strings.Join(strings.Fields(message), " "), longest)
}

// freshOf are the fresh ones of events about the object of that UID with one of the
// reasons, the latest first. Without a UID all are taken for its own.
func (s *Subject) freshOf(events []*snapshot.Event, uid types.UID, reasons []string) []snapshot.Event {
	var of []snapshot.Event
	for _, e := range events {
		if slices.Contains(reasons, e.Reason) && !isOther(*e, uid) && s.fresh(*e) {
			of = append(of, *e)
		}
	}
	slices.SortStableFunc(of, func(a, b snapshot.Event) int { return b.Last.Compare(a.Last) })
	return of
}
