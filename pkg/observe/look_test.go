// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// fakeTalos is a node that answers, except for what fails.
type fakeTalos struct {
	verify, config, view error
	// looked, if set, gets the directories that were asked for.
	looked func([]string)
}

func (f fakeTalos) Verify(context.Context) error            { return f.verify }
func (f fakeTalos) Version(context.Context) (string, error) { return "v1.13.9", nil }

func (f fakeTalos) Configs(context.Context) (machineconfig.Current, error) {
	return machineconfig.Current{Active: []byte("version: v1alpha1\nmachine: {kubelet: {}}\n"), Version: "1"}, f.config
}

func (f fakeTalos) View(_ context.Context, dirs []string) (mounts.KubeletView, error) {
	if f.looked != nil {
		f.looked(dirs)
	}
	return mounts.KubeletView{PID: 7}, f.view
}

func (f fakeTalos) Select(_ context.Context, selectors []machineconfig.VolumeSelector) ([]snapshot.Selection, error) {
	selections := []snapshot.Selection{}
	for _, s := range selectors {
		selections = append(selections, snapshot.Selection{VolumeSelector: s, Disks: []string{"vdb"}})
	}
	return selections, nil
}

var dbPod = []snapshot.Ref{{Kind: "pod", Namespace: "db", Name: "db-w-1"}}

func TestTheKubeletIsLookedAt(t *testing.T) {
	denied := error(&talos.Error{Kind: talos.ErrDenied})
	for name, c := range map[string]struct {
		node    *fakeTalos // nil: Talos is not asked
		noTalos string
		why     string
		kind    problem.Kind
		state   func(mounts.NodeState) bool
	}{
		"not asked":      {why: "it was not looked at"},
		"no talosconfig": {noTalos: "no talosconfig", why: "no talosconfig"},
		"not that node":  {node: &fakeTalos{verify: errors.New("another node")}, why: "another node"},
		"everything": {node: &fakeTalos{}, state: func(s mounts.NodeState) bool {
			return s.View.PID == 7 && s.ConfigProblem.Message == "" && s.Volumes["pv-w-1"] != ""
		}},
		"no configuration": {
			node:  &fakeTalos{config: errors.New("not for you")},
			state: func(s mounts.NodeState) bool { return s.View != nil && s.ConfigProblem.Message == "not for you" },
		},
		"no view": {
			node:  &fakeTalos{view: errors.New("gone")},
			state: func(s mounts.NodeState) bool { return s.View == nil && s.ViewProblem.Message == "gone" },
		},
		"the role is too weak": {node: &fakeTalos{verify: errKind{denied}}, why: "too weak", kind: problem.TalosDenied},
	} {
		t.Run(name, func(t *testing.T) {
			s := cluster(3)
			for _, o := range s.objects {
				if p, ok := o.(*corev1.Pod); ok && p.Name == "db-w-1" {
					p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{
						Name:         "logs",
						VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/logs/db/"}},
					})
				}
			}
			observer := &Observer{Client: s.client(t), NoTalos: problem.FromText(c.noTalos)}
			var asked []string
			if c.node != nil {
				c.node.looked = func(dirs []string) {
					if want := []string{"/var/lib/disks/block", "/var/logs"}; !slices.Equal(dirs, want) {
						t.Errorf("looked at %q, want %q", dirs, want)
					}
				}
				observer.Kubelet = func(m snapshot.Machine) TalosNode { asked = append(asked, m.Node+" "+m.Address); return *c.node }
			}
			got := diagnoseBy(t, observer, Request{Targets: dbPod})
			section := got.Nodes[0].Kubelet
			if c.state != nil {
				if section.Value == nil || !c.state(*section.Value) {
					t.Errorf("%+v, %+v", section, section.Value)
				}
			} else if section.Value != nil || section.Why().Message != c.why || section.Problem.Kind != c.kind {
				t.Errorf("%+v", section)
			}
			if c.node != nil && fmt.Sprint(asked) != "[w-1 10.0.0.1]" {
				t.Errorf("asked %q", asked)
			}
			if got.NoTalos.Message != c.noTalos {
				t.Errorf("NoTalos = %q", got.NoTalos)
			}
		})
	}
}

// errKind is an error of a kind with a text, as package talos makes them.
type errKind struct{ error }

func (e errKind) Error() string { return "too weak" }
func (e errKind) Unwrap() error { return e.error }

// Only the nodes that belong to what is observed are asked, each in its own time.
func TestOnlyNodesThatBelongAreLookedAt(t *testing.T) {
	for name, c := range map[string]struct {
		targets []snapshot.Ref
		asked   string
	}{
		"a pod":              {dbPod, "[w-1 10.0.0.1]"},
		"everything":         {nil, "[w-0 10.0.0.1 w-1 10.0.0.1 w-2 10.0.0.1]"},
		"a claim that waits": {[]snapshot.Ref{{Kind: "pvc", Namespace: "db", Name: "wish"}}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := cluster(3)
			s.objects = append(s.objects, claim("db", "wish", nil), node("cp", func(n *corev1.Node) {
				n.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
			}))
			asked := &nodesTalos{}
			_, err := (&Observer{Client: s.client(t), Talos: asked, Limit: 2}).Observe(t.Context(), diagnosing(Request{Targets: c.targets}))
			if err != nil {
				t.Fatal(err)
			}
			if slices.Sort(asked.asked); fmt.Sprint(asked.asked) != c.asked {
				t.Errorf("asked %q, want %s", asked.asked, c.asked)
			}
		})
	}
}

func TestANodeThatHangsEndsByItself(t *testing.T) {
	s := cluster(2)
	s.objects = append(s.objects, node("hangs", nil), volume("pv-h", "hangs", ""))
	got, err := (&Observer{Client: s.client(t), Talos: &nodesTalos{}, Timeout: 50 * time.Millisecond}).Observe(t.Context(),
		diagnosing(Request{}))
	if err != nil {
		t.Fatal(err)
	}
	if n := got.Nodes[0]; n.Name != "hangs" || n.Talos.Why().Message != "no answer within 50ms; --node-timeout gives it longer" {
		t.Errorf("%s: %q", n.Name, n.Talos.Why())
	}
	if got.Nodes[1].Talos.Value == nil {
		t.Errorf("%s: %q", got.Nodes[1].Name, got.Nodes[1].Talos.Why())
	}
}

// To be forbidden to look through the provisioner's pods is no reason not to go on.
func TestExecThatIsForbiddenIsSaid(t *testing.T) {
	s := cluster(1)
	s.forbidden = []string{"get pods/exec"}
	client, config := s.connect(t)
	executor, err := exec.New(config)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	steps := 0
	c := &Observer{Client: client, Pods: &kube.Pods{Executor: executor, Limit: 1}, Progress: func(nodes int) func() {
		return func() {
			mu.Lock()
			defer mu.Unlock()
			steps += nodes
		}
	}}
	got, err := c.Observe(t.Context(), diagnosing(Request{}))
	if err != nil {
		t.Fatal(err)
	}
	if why := got.Nodes[0].View.Why(); !strings.Contains(why.Message, "forbidden") {
		t.Errorf("view: %q", why)
	}
	if steps != 1 {
		t.Errorf("%d steps", steps)
	}
}

func TestKubeletWithoutPods(t *testing.T) {
	gone := apierrors.NewGenericServerResponse(404, "get", schema.GroupResource{Resource: "pods/exec"}, "prov-x", "unknown", 0, true)
	view := viewOf("w-1", nodescript.Answer{Err: gone, NotStarted: true})
	if view.Value != nil || !view.Problem.Is(problem.KubeletStarting) ||
		!strings.Contains(view.Problem.Message, "the kubelet on w-1 does not know its pods yet") {
		t.Errorf("%+v", view)
	}
	if view := viewOf("w-1", nodescript.Answer{Err: errors.New("forbidden")}); view.Problem.Kind != "" || view.Problem.Message != "forbidden" {
		t.Errorf("%+v", view)
	}
}

func TestVolumeDisks(t *testing.T) {
	s := &snapshot.Snapshot{
		Install: provisioner.Install{Classes: []provisioner.Class{{Name: "block", HostDir: "/var/lib/disks/block", MountDir: "/mnt/block"}}},
	}
	v := func(class, path, node string) snapshot.Volume {
		return snapshot.Volume{Class: class, Path: path, Node: node}
	}
	got := volumeDisks(s, []snapshot.Volume{
		v("block", "/var/lib/disks/block/vdg", "w-1"), v("block", "/var/lib/disks/block/vdf", "w-1"),
		v("block", "/var/lib/disks/block/vdf", "w-1"),
		v("block", "/var/lib/disks/block/vdh", "w-2"), v("other", "/var/lib/disks/block/vdi", "w-1"), v("block", "/elsewhere/vdj", "w-1"),
		v("block", "/var/lib/disks/block/two words", "w-1"), v("block", "/var/lib/disks/block/*", "w-1"),
		{Class: "block", Path: "/var/lib/disks/block/*", Node: "w-1", Identity: &disk.ID{ByID: []string{"virtio-x", "a b"}}},
	}, "w-1")
	if want := []string{"/dev/disk/by-id/virtio-x", "/mnt/block/vdf", "/mnt/block/vdg"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestStatsOf(t *testing.T) {
	got, err := statsOf([]byte(`{"node":{},"pods":[
		{"podRef":{"name":"p","namespace":"db"},"volume":[{"name":"z","capacityBytes":7,"pvcRef":{"name":"z","namespace":"db"}},
			{"name":"a","capacityBytes":0,"pvcRef":{"name":"a","namespace":"db"}},
			{"name":"token","capacityBytes":1},{"name":"u","pvcRef":{"name":"u","namespace":"db"}}]},
		{"podRef":{"name":"none","namespace":"db"}}]}`))
	if want := "[{db p a 0} {db p z 7}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v; want %s", got, err, want)
	}
	if got, err := statsOf([]byte(`{}`)); err != nil || got == nil || len(got) != 0 {
		t.Errorf("no pods: %v, %v", got, err)
	}
	if _, err := statsOf([]byte("<html>")); err == nil || !strings.HasPrefix(err.Error(), "the kubelet's stats/summary is not understood: ") {
		t.Error(err)
	}
}

func TestErrorLines(t *testing.T) {
	const head = "E1123 02:00:00.000002       1 discovery.go:1] "
	long := strings.Repeat("é", logLine)
	var many []string
	for i := range logKept + 5 {
		many = append(many, fmt.Sprintf("%sproblem %d", head, i))
	}
	for name, c := range map[string]struct {
		log  string
		want []string
	}{
		"nothing": {want: []string{}},
		"levels": {
			log:  "I1123 02:00:00.000002       1 a.go:1] fine\nW1123 02:00:00.000002       1 a.go:1] hm\nF1123 02:00:00.000002       1 a.go:1] dead\n",
			want: []string{"W1123 02:00:00.000002       1 a.go:1] hm", "F1123 02:00:00.000002       1 a.go:1] dead"},
		},
		"no klog": {log: "Error: x\ngoroutine 1 [running]:\nE1123 is a name\n", want: []string{}},
		"the same again": {
			log:  "E1123 02:00:00.000002       1 d.go:1] x\n" + head + "y\nE1123 02:00:10.000002       1 d.go:1] x\n",
			want: []string{head + "y", "E1123 02:00:10.000002       1 d.go:1] x"},
		},
		"long": {log: head + long + ": the cause", want: []string{snapshot.Shorten(head+long+": the cause", logLine)}},
		"many": {log: strings.Join(many, "\n"), want: many[5:]},
	} {
		got := errorLines(c.log, doctor.LogTells)
		if !slices.Equal(got, c.want) || got == nil {
			t.Errorf("%s: %q\nwant %q", name, got, c.want)
		}
		if name == "long" && (!strings.HasPrefix(got[0], head) || !strings.HasSuffix(got[0], ": the cause") ||
			utf8.RuneCountInString(got[0]) != logLine) {
			t.Errorf("%d characters: %q", utf8.RuneCountInString(got[0]), got[0])
		}
	}
}

func TestLogOptions(t *testing.T) {
	state := func(restarts int32, s corev1.ContainerState) corev1.PodStatus {
		return corev1.PodStatus{
			ContainerStatuses: []corev1.ContainerStatus{{Name: "sidecar"}, {Name: "provisioner", RestartCount: restarts, State: s}},
		}
	}
	waits := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	for name, c := range map[string]struct {
		status   corev1.PodStatus
		read     bool
		previous bool
	}{
		"runs":             {state(3, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}), true, false},
		"ended":            {state(0, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}), true, false},
		"never ran":        {state(0, waits), false, false},
		"ran":              {state(1, waits), true, true},
		"no status so far": {corev1.PodStatus{}, false, false},
	} {
		got := logOptions("provisioner", &corev1.Pod{Spec: corev1.PodSpec{NodeName: "w"}, Status: c.status})
		if (got != nil) != c.read || got != nil &&
			(got.Previous != c.previous || (got.SinceSeconds == nil) != c.previous || got.Container != "provisioner") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := logOptions("provisioner", &corev1.Pod{Status: state(1, waits)}); got != nil {
		t.Errorf("a pod of no node: %+v", got)
	}
}

func TestEventLists(t *testing.T) {
	pods := func(n, spaces int) []snapshot.Ref {
		var refs []snapshot.Ref
		for i := range n {
			refs = append(refs, snapshot.Ref{Kind: "pod", Namespace: fmt.Sprintf("ns-%d", i%spaces), Name: "p", UID: "u"})
		}
		return refs
	}
	for name, c := range map[string]struct {
		about []snapshot.Ref
		all   bool
		want  string
	}{
		"each by itself": {
			about: []snapshot.Ref{{Kind: "pod", Namespace: "db", Name: "p", UID: "u1"}, {Kind: "pv", Name: "v", UID: "u2"},
				{
					Kind: "node",
					Name: "w",
				}},
			want: `[{db involvedObject.uid=u1 events about "pod/p"} {default involvedObject.uid=u2 events about "pv/v"} {default involvedObject.kind=Node,involvedObject.name=w events about "node/w"}]`,
		},
		"many of few namespaces": {
			about: append(pods(40, 2), snapshot.Ref{Kind: "node", Name: "w"}),
			want:  `[{default  events in namespace "default"} {ns-0  events in namespace "ns-0"} {ns-1  events in namespace "ns-1"}]`,
		},
		"many of many namespaces": {about: pods(40, 20), want: "[{  events}]"},
		"everything":              {about: pods(1, 1), all: true, want: "[{  events}]"},
		"about nothing":           {want: "[]"},
	} {
		if got := fmt.Sprint(eventLists(c.about, c.all)); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

// What a kubelet would have to answer is not asked of a node that is NotReady: one that
// hangs takes all the time that it is given.
func TestAKubeletThatIsDownIsNotAsked(t *testing.T) {
	s := cluster(2)
	for _, o := range s.objects {
		if n, ok := o.(*corev1.Node); ok && n.Name == "w-1" {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown"}}
		}
	}
	got := diagnose(t, s, Request{Targets: dbPod})
	const why = "the node is NotReady (NodeStatusUnknown)"
	if got.Nodes[0].Stats.Problem.Message != why || got.Provisioner.Value.LogProblem["w-1"].Message != why {
		t.Errorf("stats: %q, log: %q", got.Nodes[0].Stats.Problem, got.Provisioner.Value.LogProblem["w-1"])
	}
	for ask, times := range s.asked {
		if strings.Contains(ask, "proxy") || strings.Contains(ask, "log") {
			t.Errorf("%s was asked %d times", ask, times)
		}
	}
}
