// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// publicCase is a snapshot made after a public report, in testdata/cases.
func publicCase(t testing.TB, name string) *snapshot.Snapshot {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "cases", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s, err := snapshot.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A pod that is not scheduled for a reason that is nobody's here is never without problems: the scheduler's words are shown.
func TestUnscheduledForAnotherReason(t *testing.T) {
	for name, words := range map[string]string{
		"prebind-timeout":     `the scheduler says: running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded`,
		"insufficient-memory": "the scheduler says: 0/3 nodes are available: 1 Insufficient memory, 2 node(s) didn't find available persistent volumes to bind.",
	} {
		r := Run(publicCase(t, name), Options{})
		_, text := outcome(r)
		if len(r.Findings) != 1 || r.Problems(Error) != 1 || r.Findings[0].Code != "TD0712" || !strings.Contains(text, words) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func (w world) asked() {
	w.Targets = []snapshot.Ref{{Kind: "pod", Namespace: "default", Name: "nginx-pod"}}
}

// pulls has the pod wait for its image: its volumes are there.
func (w world) pulls(phase, reason string) {
	p := w.pod()
	p.Phase, p.Ready, p.Waiting = phase, false, []snapshot.Waiting{{Container: "nginx", Reason: reason}}
}

func waitingCases() []nodeCase {
	return []nodeCase{
		{
			name:   "too little memory",
			code:   "TD0712",
			change: func(w world) { w.unscheduled("0/1 nodes are available: 1 Insufficient memory.") },
			want:   OutcomeFinding,
			has: []string{
				`error[TD0712]: pod "default/nginx-pod" is not scheduled`, "the scheduler says: 0/1 nodes are available: 1 Insufficient memory.",
				"$ kubectl -n default describe pod nginx-pod"},
		},
		{name: "by an event", code: "TD0712", change: func(w world) {
			w.unscheduled("")
			w.says("pod", "default", "nginx-pod", "FailedScheduling", "0/1 nodes are available: 1 Too many pods.")
		}, want: OutcomeFinding, has: []string{"1 Too many pods", "FailedScheduling 3 times"}},
		{
			name:   "no scheduler runs",
			code:   "TD0712",
			change: func(w world) { w.unscheduled("") },
			want:   OutcomeUnknown,
			has:    []string{"the scheduler has said nothing of it yet"},
		},
		{
			name:   "no scheduler runs, and events were not read",
			code:   "TD0712",
			change: func(w world) { w.unscheduled(""); w.eventless() },
			want:   OutcomeUnknown,
			has:    []string{"forbidden"},
		},
		{name: "an image", code: "TD0712", change: func(w world) { w.pulls("Pending", "ImagePullBackOff") }, want: OutcomeFinding, has: []string{
			`error[TD0712]: pod "default/nginx-pod" has its volumes, and does not run on w-4`, `container "nginx": ImagePullBackOff`}},
		{
			name:   "a program that ends, and nobody asked",
			code:   "TD0712",
			change: func(w world) { w.pulls("Running", "CrashLoopBackOff") },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0712]", "CrashLoopBackOff"},
		},
		{
			name:   "a program that ends",
			code:   "TD0712",
			change: func(w world) { w.pulls("Running", "CrashLoopBackOff"); w.asked() },
			want:   OutcomeFinding,
			has:    []string{"error[TD0712]"},
		},
		{
			name:   "a probe that fails",
			code:   "TD0712",
			change: func(w world) { w.pod().Ready, w.pod().Started = false, true; w.asked() },
			want:   OutcomeUnknown,
			has:    []string{"is Running and not Ready: its containers run, and the kubelet says no more"},
		},
		{
			name:   "just made",
			code:   "TD0712",
			change: func(w world) { w.waits(); *w.Events.Value = nil },
			want:   OutcomeUnknown,
			has:    []string{"the kubelet has said nothing of it yet"},
		},
		{
			name:   "ended a moment ago",
			code:   "TD0712",
			change: func(w world) { w.pulls("Running", "Error"); w.asked() },
			want:   OutcomeUnknown,
			has:    []string{`container "nginx" has ended (Error), and the kubelet has not said yet what comes next`},
		},
		{name: "on a node that does not report", code: "TD0712", change: func(w world) {
			w.waits()
			*w.Events.Value = nil
			w.node().Ready, w.node().NotReady = false, "Kubelet stopped posting node status."
		}, want: OutcomeFinding, has: []string{"waits on w-4, where the kubelet does not report", "Kubelet stopped posting node status."}},
		{
			name:   "what is explained elsewhere",
			code:   "TD0712",
			change: func(w world) { w.complains("FailedMount", "the moon is in the wrong house") },
			want:   OutcomeFinding,
			has:    []string{"the kubelet says: the moon is in the wrong house"},
		},
		{name: "it runs", code: "TD0712", change: func(w world) { w.asked() }, want: OutcomeNone},
		{name: "it is deleted", code: "TD0712", change: func(w world) { w.unscheduled("x"); w.pod().Deleting = true }, want: OutcomeNone},
		{name: "it has ended", code: "TD0712", change: func(w world) { w.pod().Phase, w.pod().Ready = "Succeeded", false }, want: OutcomeNone},
		{name: "pods were not read", code: "TD0712", change: func(w world) {
			w.Pods = snapshot.Unread[[]snapshot.UserPod](problem.FromText("forbidden"))
			w.Targets = []snapshot.Ref{{Kind: "pv", Name: "local-pv-485eb69c"}}
		}, want: OutcomeUnknown, has: []string{"forbidden"}},
		{name: "a claim that binds at once", code: "TD0712", change: func(w world) {
			w.Pods = snapshot.Read([]snapshot.UserPod{})
			c := &(*w.Claims.Value)[0]
			c.Volume, c.Phase = "", "Pending"
			w.Volumes[0].Claim, w.Volumes[0].Phase = nil, "Available"
			sc := w.StorageClasses["hdd"]
			sc.BindingMode = "Immediate"
			w.StorageClasses["hdd"] = sc
			w.says("pvc", "default", "nginx-pvc", "FailedBinding", "the moon is in the wrong house")
		}, want: OutcomeFinding, has: []string{`error[TD0712]: claim "default/nginx-pvc" is Pending`,
			"Kubernetes says: the moon is in the wrong house"}},
		{name: "a claim that binds at once, and nobody says why", code: "TD0712", change: func(w world) {
			w.Pods = snapshot.Read([]snapshot.UserPod{})
			c := &(*w.Claims.Value)[0]
			c.Volume, c.Phase = "", "Pending"
			w.Volumes[0].Claim, w.Volumes[0].Phase = nil, "Available"
			sc := w.StorageClasses["hdd"]
			sc.BindingMode = "Immediate"
			w.StorageClasses["hdd"] = sc
		}, want: OutcomeUnknown, has: []string{`why claim "default/nginx-pvc" is Pending`}},
	}
}

func TestWaiting(t *testing.T) { try(t, waitingCases()) }

// A pod that was asked for and uses no claim is not without problems, either.
func TestPodWithoutClaim(t *testing.T) {
	w := well(t)
	w.pod().Volumes = nil
	w.asked()
	r := Run(w.Snapshot, Options{})
	if len(r.Findings)+len(r.Unknown()) > 0 || len(r.Chains) != 1 || len(r.Chains[0].Links) != 1 {
		t.Errorf("%+v", r)
	}
	w.unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint {x: }.")
	if _, text := outcome(Run(w.Snapshot, Options{})); !strings.Contains(text, "error[TD0712]") ||
		!strings.Contains(text, "untolerated taint") {
		t.Error(text)
	}
}

// Whatever keeps the article's pod, one finding says it: the last resort is for what none explains.
func TestLastResort(t *testing.T) {
	for name, change := range map[string]func(world){
		"TD0401": world.blind,
		"TD0711": func(w world) { w.complains("FailedMount", "the moon is in the wrong house") },
		"TD0709": func(w world) {
			w.unscheduled(`persistentvolumeclaim "nginx-pvc" not found`)
			*w.Claims.Value, w.Volumes = nil, nil
		},
	} {
		w := well(t)
		change(w)
		w.asked()
		r := Run(w.Snapshot, Options{})
		_, text := outcome(r)
		if len(r.Findings) != 1 || string(r.Findings[0].Code) != name {
			t.Errorf("%s: %s", name, text)
		}
	}
	// Beside what is wrong with the node, the scheduler's words about something else are not hidden.
	w := well(t)
	w.blind()
	*w.Events.Value = nil
	w.unscheduled("0/1 nodes are available: 1 Insufficient memory.")
	w.asked()
	if _, text := outcome(Run(w.Snapshot, Options{})); !strings.Contains(text, "error[TD0401]") || !strings.Contains(text, "error[TD0712]") {
		t.Error(text)
	}
}
