// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// rooms are the codes that this file and its neighbours test.
func rooms() []Code {
	var codes []Code
	for _, c := range Checks() {
		if strings.HasPrefix(string(c.Code), "TD01") || strings.HasPrefix(string(c.Code), "TD02") || strings.HasPrefix(string(c.Code), "TD03") ||
			strings.HasPrefix(string(c.Code), "TD04") || strings.HasPrefix(string(c.Code), "TD09") {
			codes = append(codes, c.Code)
		}
	}
	return codes
}

func TestAllIsWell(t *testing.T) {
	got, text := outcome(Run(well(t).Snapshot, Options{Only: rooms()}))
	if got != OutcomeOK {
		t.Errorf("%s\n%s", got, text)
	}
}

// Nothing that was not looked at is in order.
func TestNothingWasRead(t *testing.T) {
	s := &snapshot.Snapshot{
		Unread: map[string]problem.Problem{
			"nodes":          problem.FromText("x"),
			"install":        problem.FromText("x"),
			"volumes":        problem.FromText("x"),
			"storageClasses": problem.FromText("x"),
		},
		Nodes: []snapshot.Node{{Name: "w-4"}},
	}
	r := Run(s, Options{Only: rooms()})
	for _, result := range r.Results {
		if result.Outcome == OutcomeOK && result.Code != "TD0101" {
			t.Errorf("%s on %s is ok", result.Code, result.Subject)
		}
	}
	if len(r.Findings) > 0 {
		t.Errorf("%+v", r.Findings)
	}
}

func TestAccess(t *testing.T) { try(t, accessCases()) }

func accessCases() []nodeCase {
	const forbiddenNodes = `pods is forbidden: User "jane@example.com" cannot list resource "pods" in API group "" at the cluster scope`
	return []nodeCase{
		{name: "forbidden", code: "TD0101", change: func(w world) {
			w.Pods = snapshot.Unread[[]snapshot.UserPod](problem.FromText(forbiddenNodes))
			w.Unread = map[string]problem.Problem{
				"install": problem.FromText(`daemonsets.apps is forbidden: User "jane@example.com" cannot list resource "daemonsets" in API group "apps" at the cluster scope`),
			}
			w.node().View = snapshot.Unread[snapshot.PodView](problem.FromText(`pods "prov-x" is forbidden: User "jane@example.com" cannot create resource "pods/exec" in API group "" in the namespace "local-storage"`))
		}, want: OutcomeFinding, has: []string{`warning[TD0101]: "jane@example.com" lacks rights`, "list pods in all namespaces",
			`create pods/exec in namespace "local-storage"`,
			"kubectl create clusterrole talosdisk-list --verb=list --resource=daemonsets.apps,pods",
			"kubectl create clusterrolebinding talosdisk-list --clusterrole=talosdisk-list --user=jane@example.com",
			"kubectl -n local-storage create role talosdisk-create --verb=create --resource=pods/exec"}},
		{name: "forbidden to a service account", code: "TD0101", change: func(w world) {
			w.Claims = snapshot.Unread[[]snapshot.Claim](problem.FromText(`persistentvolumeclaims is forbidden: User "system:serviceaccount:ops:doc" cannot list resource "persistentvolumeclaims" in API group "" at the cluster scope`))
		}, want: OutcomeFinding, has: []string{"--serviceaccount=ops:doc"}},
		{name: "several in one problem", code: "TD0101", change: func(w world) {
			w.Events = snapshot.Unread[[]snapshot.Event](problem.FromText(`events about "pod/a": events is forbidden: User "jane" cannot list resource "events" in API group "" in the namespace "a"; events about "node/w-4": events is forbidden: User "jane" cannot list resource "events" in API group "" in the namespace "default"`))
		}, want: OutcomeFinding, has: []string{`kubectl -n a create role talosdisk-list --verb=list --resource=events`,
			`kubectl -n default create role talosdisk-list --verb=list --resource=events`}},
		{name: "what would let somebody run commands in every pod", code: "TD0101", change: func(w world) {
			w.node().Stats = snapshot.Unread[[]snapshot.VolumeStat](problem.FromText(`nodes "w-4" is forbidden: User "jane" cannot get resource "nodes/proxy" in API group "" at the cluster scope`))
		}, want: OutcomeFinding, has: []string{"info[TD0101]", "forbidden: get nodes/proxy", "do without nodes/proxy"}},
		{
			name:   "unread for another reason",
			code:   "TD0101",
			change: func(w world) { w.Pods = snapshot.Unread[[]snapshot.UserPod](problem.FromText("connection refused")) },
			want:   OutcomeOK,
		},

		{name: "no talosconfig", code: "TD0102", change: func(w world) {
			w.NoTalos = problem.FromText("no talosconfig was found")
			w.noTalos("", "no talosconfig was found")
		}, want: OutcomeFinding, has: []string{"info[TD0102]", "--roles os:reader"}},
		{
			name:   "unusable talosconfig",
			code:   "TD0102",
			change: func(w world) { w.noTalos(problem.TalosConfig, `talosconfig "/x" cannot be used: it has no contexts`) },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0102]", "talosctl config contexts"},
		},
		{
			name:   "out of reach is no lack of a talosconfig",
			code:   "TD0102",
			change: func(w world) { w.noTalos(problem.TalosUnreachable, "no answer") },
			want:   OutcomeOK,
		},
		{
			name:   "not asked",
			code:   "TD0102",
			change: func(w world) { w.noTalos("", "") },
			want:   OutcomeUnknown,
			has:    []string{"no node's Talos API was asked"},
		},

		{
			name:   "unreachable",
			code:   "TD0103",
			change: func(w world) { w.noTalos(problem.TalosUnreachable, `no answer from the Talos API at "10.0.0.1"`) },
			want:   OutcomeFinding,
			has:    []string{"cannot be asked about w-4", "talosctl -e 10.0.0.14 -n 10.0.0.14 version"},
		},
		{name: "unreachable, by its text", code: "TD0103", change: func(w world) {
			w.noTalos("", `asking the Talos API at "10.0.0.1" for the disks: context deadline exceeded`)
		}, want: OutcomeFinding},
		{name: "late, by its text", code: "TD0103", change: func(w world) {
			w.noTalos("", `asking the Talos API at "10.0.0.1" for the disks: no answer within 30s from the node; --node-timeout gives it longer`)
		}, want: OutcomeFinding},
		{
			name:   "a worker as endpoint",
			code:   "TD0103",
			change: func(w world) { w.noTalos(problem.TalosForwarding, "x") },
			want:   OutcomeFinding,
			has:    []string{"--talos-endpoints"},
		},
		{
			name:   "another CA",
			code:   "TD0103",
			change: func(w world) { w.noTalos(problem.TalosTLS, "x") },
			want:   OutcomeFinding,
			has:    []string{"--talos-context"},
		},
		{
			name:   "another node",
			code:   "TD0103",
			change: func(w world) { w.noTalos(problem.TalosOtherNode, "x") },
			want:   OutcomeFinding,
			has:    []string{"kubectl get nodes -o wide"},
		},
		{
			name:   "not proved",
			code:   "TD0103",
			change: func(w world) { w.noTalos(problem.TalosUnproven, "x") },
			want:   OutcomeFinding,
			has:    []string{"proves that the machine", "kubectl get node w-4 -o 'jsonpath"},
		},
		{name: "another machine, by its text", code: "TD0103", change: func(w world) {
			w.noTalos("", `the node at "10.0.0.14" is another machine than node "w-4" of Kubernetes: its machine ID is 1, and the kubelet reports 2`)
		}, want: OutcomeFinding, has: []string{"another node than Kubernetes means"}},
		{name: "a weak role is no lack of reach", code: "TD0103", change: world.reader, want: OutcomeOK},
		{
			name:   "no talosconfig",
			code:   "TD0103",
			change: func(w world) { w.noTalos(problem.TalosNotConfigured, "no talosconfig was found") },
			want:   OutcomeUnknown,
		},
		{
			name:   "another system",
			code:   "TD0103",
			change: func(w world) { w.node().OSImage = "Ubuntu 24.04"; w.noTalos(problem.TalosUnreachable, "x") },
			want:   OutcomeNone,
		},

		{
			name:   "ended",
			code:   "TD0104",
			change: func(w world) { w.noTalos(problem.TalosExpired, "ended at 2026-01-01") },
			want:   OutcomeFinding,
			has:    []string{"ended at 2026-01-01", "talosctl config new"},
		},
		{name: "ended, by its text", code: "TD0104", change: func(w world) {
			w.noTalos("", `the client certificate of Talos context "lab" ended at 2026-01-01T00:00:00Z`)
		}, want: OutcomeFinding},
		{name: "out of reach", code: "TD0104", change: func(w world) { w.noTalos(problem.TalosUnreachable, "x") }, want: OutcomeOK},
		{name: "not asked", code: "TD0104", change: func(w world) { w.noTalos("", "") }, want: OutcomeUnknown},

		{
			name:   "reader",
			code:   "TD0105",
			change: world.reader,
			want:   OutcomeFinding,
			has:    []string{"info[TD0105]", "needs the Talos role os:admin", "--roles os:admin"},
		},
		{
			name:   "nothing at all",
			code:   "TD0105",
			change: func(w world) { w.noTalos(problem.TalosDenied, "x needs the Talos role os:reader; y") },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0105]"},
		},
		{name: "out of reach", code: "TD0105", change: func(w world) { w.noTalos(problem.TalosUnreachable, "x") }, want: OutcomeOK},
		{name: "not asked", code: "TD0105", change: func(w world) { w.noTalos("", "") }, want: OutcomeUnknown},

		{
			name:   "Ubuntu",
			code:   "TD0106",
			change: func(w world) { w.node().OSImage = "Ubuntu 24.04.1 LTS" },
			want:   OutcomeFinding,
			has:    []string{"info[TD0106]", "another system than Talos runs on w-4", "Ubuntu 24.04.1 LTS"},
		},
		{name: "Talos of tomorrow", code: "TD0106", change: func(w world) { w.node().OSImage = "Talos (v1.15.0-alpha.0)" }, want: OutcomeOK},
		{name: "unsaid", code: "TD0106", change: func(w world) { w.node().OSImage = "" }, want: OutcomeUnknown},

		{
			name:   "not ready",
			code:   "TD0107",
			change: func(w world) { w.node().Ready, w.node().NotReady = false, "the node is NotReady (KubeletNotReady)" },
			want:   OutcomeFinding,
			has:    []string{"the kubelet on w-4 is not Ready", "KubeletNotReady", "kubectl describe node w-4"},
		},
		{name: "not ready, and Talos tells why", code: "TD0107", change: func(w world) {
			w.node().Ready, w.node().NotReady = false, "the node is NotReady (NodeStatusUnknown)"
			w.talos().Kubelet = snapshot.Read(snapshot.TalosService{
				State:     "Waiting",
				Message:   "Error running Containerd(kubelet), going to restart forever",
				Healthy:   disk.No,
				Unhealthy: "connection refused",
			})
		}, want: OutcomeFinding, has: []string{
			"Talos says of its service kubelet: Waiting: Error running Containerd(kubelet), going to restart forever; not healthy: connection refused; as long as",
			"w-4: Talos's service kubelet is Waiting: Error running"}},
		{name: "not ready, and Talos does not say", code: "TD0107", change: func(w world) {
			w.node().Ready = false
			w.talos().Kubelet = snapshot.Unread[snapshot.TalosService](problem.FromText("no answer"))
		}, want: OutcomeFinding, has: []string{"because: the kubelet there starts no pod"}},
		{name: "cordoned", code: "TD0107", change: func(w world) { w.node().Unschedulable = true }, want: OutcomeOK},
		{
			name:   "nodes were not read",
			code:   "TD0107",
			change: func(w world) { w.Unread = map[string]problem.Problem{"nodes": problem.FromText("forbidden")} },
			want:   OutcomeUnknown,
		},
	}
}

// A node that is not Ready has no pods, which is no fault of the provisioner's.
func TestNotReadyMasks(t *testing.T) {
	w := well(t)
	w.node().Ready, w.node().NotReady = false, "the node is NotReady (x)"
	w.node().Pod = snapshot.Unread[snapshot.Pod](problem.FromText("the node is NotReady (x)"))
	w.noTalos(problem.TalosUnreachable, "x")
	w.node().Kubelet = snapshot.Section[mounts.NodeState]{}
	r := Run(w.Snapshot, Options{Only: []Code{"TD0107", "TD0203", "TD0204"}})
	if len(r.Findings) != 1 || r.Findings[0].Code != "TD0107" {
		_, text := outcome(r)
		t.Error(text)
	}
}

// A right that is missing is something that was not seen, whatever it would have shown; except for the one that is better not given.
func TestWithoutARightADiagnosisIsIncomplete(t *testing.T) {
	for text, want := range map[string]bool{
		"": false,
		`events is forbidden: User "jane" cannot list resource "events" in API group "" at the cluster scope`:          true,
		`nodes "w-4" is forbidden: User "jane" cannot get resource "nodes/proxy" in API group "" at the cluster scope`: false,
	} {
		w := well(t)
		if text != "" {
			w.Events = snapshot.Unread[[]snapshot.Event](problem.FromText(text))
		}
		r := Run(w.Snapshot, Options{Only: []Code{CodeRights}})
		if r.Incomplete() != want || len(r.Unknown()) > 0 {
			t.Errorf("%q: incomplete: %t, want %t", text, r.Incomplete(), want)
		}
	}
}

// What nobody knows because a kubelet has just started is one sentence, whichever checks want to know it.
func TestKubeletThatHasJustStarted(t *testing.T) {
	w := well(t)
	w.node().View = snapshot.Unread[snapshot.PodView](problem.Starting("w-4"))
	w.Provisioner.Value.Log, w.Provisioner.Value.LogProblem = map[string][]string{}, map[string]problem.Problem{"w-4": w.node().View.Problem}
	w.noTalos(problem.TalosNotConfigured, "no talosconfig was found")
	r := Run(w.Snapshot, Options{})
	about := make(map[string]int)
	for _, u := range r.Unknown() {
		if strings.Contains(u.Why, "does not know its pods yet") {
			about[u.Why]++
		}
	}
	if len(about) != 1 || about["the kubelet on w-4 does not know its pods yet, as after a start: ask again in a minute"] < 9 {
		t.Errorf("%v", about)
	}
	// Another reason stays as it is, with what each check was after.
	w.node().View = snapshot.Unread[snapshot.PodView](problem.FromText("exec is forbidden"))
	whys := make(map[string]bool)
	for _, u := range Run(w.Snapshot, Options{}).Unknown() {
		if strings.Contains(u.Why, "exec is forbidden") {
			whys[u.Why] = true
		}
	}
	if len(whys) < 2 {
		t.Errorf("%v", whys)
	}
}
