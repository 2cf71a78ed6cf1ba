// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestClaimOf(t *testing.T) {
	for name, c := range map[string]struct {
		pvc  corev1.PersistentVolumeClaim
		want snapshot.Claim
	}{
		"nothing said": {corev1.PersistentVolumeClaim{}, snapshot.Claim{Mode: provisioner.Filesystem}},
		"everything": {
			corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{
					Namespace:         "db",
					Name:              "data",
					UID:               "u",
					CreationTimestamp: metav1.NewTime(noon),
					DeletionTimestamp: new(metav1.NewTime(noon)),
				},
				Spec: corev1.PersistentVolumeClaimSpec{
					StorageClassName: new(""), VolumeMode: new(corev1.PersistentVolumeBlock), VolumeName: "pv",
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadOnlyMany},
					Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")}},
					Selector: &metav1.LabelSelector{
						MatchLabels:      map[string]string{"tier": "fast"},
						MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: metav1.LabelSelectorOpIn, Values: []string{"b", "a"}}},
					},
				},
				Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
			},
			snapshot.Claim{
				ClaimRef: snapshot.ClaimRef{Namespace: "db", Name: "data"}, UID: "u", Created: noon, Deleting: true, Class: new(""),
				Mode: provisioner.Block, Volume: "pv",
				AccessModes: []string{"ReadWriteOnce", "ReadOnlyMany"}, Request: 5 << 30, Selector: "rack in (a,b),tier=fast", Phase: "Bound",
			},
		},
	} {
		if got := claimOf(&c.pvc); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v\nwant %+v", name, got, c.want)
		}
	}
}

func TestUserPodOf(t *testing.T) {
	at := func(seconds int) metav1.Time { return metav1.NewTime(noon.Add(time.Duration(seconds) * time.Second)) }
	hostPath := func(path string, typ *corev1.HostPathType) corev1.VolumeSource {
		return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: typ}}
	}
	for name, c := range map[string]struct {
		pod  corev1.Pod
		want snapshot.UserPod
	}{
		"volumes": {
			corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "p"},
				Spec: corev1.PodSpec{
					Volumes: []corev1.Volume{
						{
							Name:         "data",
							VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c", ReadOnly: true}},
						},
						{Name: "raw", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "d"}}},
						{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
						{Name: "host", VolumeSource: hostPath("/var/x", new(corev1.HostPathDirectory))},
						{Name: "plain", VolumeSource: hostPath("/var/y", nil)},
						{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}},
					},
					InitContainers: []corev1.Container{{VolumeDevices: []corev1.VolumeDevice{{Name: "raw"}}}},
					Containers:     []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "data"}, {Name: "raw"}}}},
				},
			},
			snapshot.UserPod{Name: "p", Volumes: []snapshot.PodVolume{
				{Name: "data", Claim: "c", ReadOnly: true, Mounted: true}, {Name: "raw", Claim: "d", Mounted: true, Device: true},
				{Name: "scratch", Claim: "p-scratch"},
				{Name: "host", HostPath: "/var/x", HostPathType: "Directory"}, {Name: "plain", HostPath: "/var/y"},
			}},
		},
		"not scheduled": {
			corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available"},
			}}},
			snapshot.UserPod{Phase: "Pending", Unscheduled: "0/3 nodes are available"},
		},
		"runs": {
			corev1.Pod{Spec: corev1.PodSpec{NodeName: "w-1"}, Status: corev1.PodStatus{
				Phase: corev1.PodRunning,
				Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, Message: "old"},
					{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
				ContainerStatuses: []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
			}},
			snapshot.UserPod{Node: "w-1", Phase: "Running", Ready: true, Started: true},
		},
		"started again, after a minute with its volumes": {
			corev1.Pod{Status: corev1.PodStatus{
				Conditions: []corev1.PodCondition{{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue, LastTransitionTime: at(90)}},
				ContainerStatuses: []corev1.ContainerStatus{{
					State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(120)}},
					LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: at(60)}},
				}},
			}},
			snapshot.UserPod{Started: true, VolumesSince: new(at(60).Time)},
		},
		"its sandbox is there": {
			corev1.Pod{
				Status: corev1.PodStatus{
					Conditions: []corev1.PodCondition{{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue, LastTransitionTime: at(90)}},
				},
			},
			snapshot.UserPod{VolumesSince: new(at(90).Time)},
		},
		"its sandbox is gone": {
			corev1.Pod{
				Status: corev1.PodStatus{
					Conditions: []corev1.PodCondition{{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionFalse, LastTransitionTime: at(90)}},
				},
			},
			snapshot.UserPod{},
		},
		"containers that do not run": {
			corev1.Pod{Status: corev1.PodStatus{
				InitContainerStatuses: []corev1.ContainerStatus{{
					Name:  "done",
					State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}},
				}},
				ContainerStatuses: []corev1.ContainerStatus{
					{
						Name: "a",
						State: corev1.ContainerState{
							Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerError", Message: "read-only file system"},
						},
					},
					{
						Name: "b",
						State: corev1.ContainerState{
							Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", Message: "the application's last words"},
						},
					},
				},
			}},
			snapshot.UserPod{Waiting: []snapshot.Waiting{{Container: "a", Reason: "CreateContainerError"}, {Container: "b", Reason: "OOMKilled"}}},
		},
		"where it may run": {
			corev1.Pod{Spec: corev1.PodSpec{
				NodeSelector: map[string]string{"disk": "ssd"},
				Tolerations:  []corev1.Toleration{{Key: "k"}},
				Affinity: &corev1.Affinity{
					NodeAffinity: &corev1.NodeAffinity{
						RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
							{MatchExpressions: []corev1.NodeSelectorRequirement{
								{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"a", "b"}},
								{Key: "arm", Operator: corev1.NodeSelectorOpDoesNotExist},
								{Key: "cpus", Operator: corev1.NodeSelectorOpGt, Values: []string{"4"}},
							}},
							{
								MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "ssd", Operator: corev1.NodeSelectorOpExists},
									{Key: "old", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"yes"}},
									{Key: "disks", Operator: corev1.NodeSelectorOpLt, Values: []string{"9"}}},
								MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"w-1"}}},
							},
						}},
					},
				},
			}},
			snapshot.UserPod{
				NodeSelector: map[string]string{"disk": "ssd"}, Tolerations: []corev1.Toleration{{Key: "k"}},
				NodeAffinity: []string{"zone in (a,b),!arm,cpus>4", "ssd,old notin (yes),disks<9,metadata.name in (w-1)"},
			},
		},
	} {
		got := userPodOf(&c.pod)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v\nwant %+v", name, got, c.want)
		}
		for _, term := range got.NodeAffinity {
			if _, err := labels.Parse(term); err != nil {
				t.Errorf("%s: %q: %v", name, term, err)
			}
		}
	}
}

func TestEventOf(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	pod := corev1.ObjectReference{Kind: "Pod", Namespace: "db", Name: "p", UID: "u"}
	about := snapshot.Ref{Kind: "pod", Namespace: "db", Name: "p", UID: "u"}
	for name, c := range map[string]struct {
		event corev1.Event
		want  snapshot.Event
		ok    bool
	}{
		"of the kubelet": {
			event: corev1.Event{
				InvolvedObject: pod, Type: "Warning", Reason: "FailedMount", Message: "m", Count: 4,
				FirstTimestamp: metav1.NewTime(at(0)), LastTimestamp: metav1.NewTime(at(3)),
				Source: corev1.EventSource{Component: "kubelet", Host: "w-1"},
			},
			want: snapshot.Event{
				About:   about,
				Type:    "Warning",
				Reason:  "FailedMount",
				Message: "m",
				From:    "kubelet",
				Host:    "w-1",
				Count:   4,
				First:   at(0),
				Last:    at(3),
			}, ok: true,
		},
		"of events.k8s.io": {
			event: corev1.Event{
				InvolvedObject: pod, Reason: "FailedScheduling", EventTime: metav1.NewMicroTime(at(1)), ReportingController: "default-scheduler",
				ReportingInstance: "default-scheduler-cp-1",
				Series:            &corev1.EventSeries{Count: 7, LastObservedTime: metav1.NewMicroTime(at(9))},
				ObjectMeta:        metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(at(2))},
			},
			want: snapshot.Event{About: about, Reason: "FailedScheduling", From: "default-scheduler", Count: 7, First: at(1), Last: at(9)}, ok: true,
		},
		"once": {
			event: corev1.Event{
				InvolvedObject:      pod,
				Reason:              "FailedMapVolume",
				EventTime:           metav1.NewMicroTime(at(1)),
				ReportingController: "kubelet",
				ReportingInstance:   "w-2",
			},
			want: snapshot.Event{About: about, Reason: "FailedMapVolume", From: "kubelet", Host: "w-2", Count: 1, First: at(1), Last: at(1)},
			ok:   true,
		},
		"without any time but its own": {
			event: corev1.Event{InvolvedObject: pod, Reason: "Failed", ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(at(2))}},
			want:  snapshot.Event{About: about, Reason: "Failed", Count: 1, First: at(2), Last: at(2)}, ok: true,
		},
		"about a node, by the kubelet": {
			event: corev1.Event{
				InvolvedObject: corev1.ObjectReference{Kind: "Node", Name: "w-1", UID: "w-1"},
				Reason:         "Starting",
				EventTime:      metav1.NewMicroTime(at(1)),
			},
			want: snapshot.Event{About: snapshot.Ref{Kind: "node", Name: "w-1"}, Reason: "Starting", Count: 1, First: at(1), Last: at(1)}, ok: true,
		},
		"about something else": {
			event: corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "Job", Name: "j"}, Reason: "Failed"},
			want:  snapshot.Event{},
		},
		// It quotes what the pod answered.
		"a failed probe": {
			event: corev1.Event{InvolvedObject: pod, Reason: "Unhealthy", Message: "HTTP probe failed: token=abc"},
			want:  snapshot.Event{},
		},
	} {
		if got, ok := eventOf(&c.event, doctor.EventReasons()); ok != c.ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, ok, c.want)
		}
	}
}

func TestEventsThatSayTheSameAreOne(t *testing.T) {
	pod := snapshot.Ref{Kind: "pod", Namespace: "db", Name: "p", UID: "u"}
	e := func(reason, message string, count, first, last int) snapshot.Event {
		return snapshot.Event{
			About:   pod,
			Reason:  reason,
			Message: message,
			Count:   count,
			First:   noon.Add(time.Duration(first)),
			Last:    noon.Add(time.Duration(last)),
		}
	}
	got := merged([]snapshot.Event{e("A", "x", 2, 5, 6), e("B", "x", 1, 0, 1), e("A", "x", 3, 2, 4), e("A", "y", 1, 1, 1)})
	want := []snapshot.Event{e("A", "y", 1, 1, 1), e("B", "x", 1, 0, 1), e("A", "x", 5, 2, 6)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestKubeletStart(t *testing.T) {
	e := func(node, from, reason string, minutes int) snapshot.Event {
		return snapshot.Event{
			About:  snapshot.Ref{Kind: "node", Name: node},
			From:   from,
			Reason: reason,
			Last:   noon.Add(time.Duration(minutes) * time.Minute),
		}
	}
	events := []snapshot.Event{e("w-1", "kubelet", "Starting", 1), e("w-1", "kubelet", "Starting", 5), e("w-1", "kubelet", "Starting", 3),
		e("w-1", "kube-proxy", "Starting", 7), e("w-1", "kubelet", "NodeReady", 8), e("w-2", "kubelet", "Starting", 9)}
	if got := kubeletStart("w-1", events); got == nil || !got.Equal(noon.Add(5*time.Minute)) {
		t.Errorf("w-1: %v", got)
	}
	if got := kubeletStart("w-3", events); got != nil {
		t.Errorf("w-3: %v", got)
	}
}

func TestSourceOf(t *testing.T) {
	for want, source := range map[string]corev1.PersistentVolumeSource{
		"local": {Local: &corev1.LocalVolumeSource{}}, "x.example": {CSI: &corev1.CSIPersistentVolumeSource{Driver: "x.example"}},
		"nfs":      {NFS: &corev1.NFSVolumeSource{}},
		"hostPath": {HostPath: &corev1.HostPathVolumeSource{}}, "iscsi": {ISCSI: &corev1.ISCSIPersistentVolumeSource{}},
		"fc": {FC: &corev1.FCVolumeSource{}}, "another kind of volume": {},
	} {
		if got := sourceOf(&corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: source}}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
