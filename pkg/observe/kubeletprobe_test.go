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

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kubeletprobe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// fakeProber is a look by a Job that answers, or fails.
type fakeProber struct {
	answer kubeletprobe.Answer
	err    error
	// hang, if set, is the node that does not answer.
	hang string

	mu    sync.Mutex
	asked []string
}

func (p *fakeProber) Probe(ctx context.Context, node, image string, dirs []string) (kubeletprobe.Answer, error) {
	p.mu.Lock()
	p.asked = append(p.asked, fmt.Sprint(node, " ", image, " ", dirs))
	p.mu.Unlock()
	if node == p.hang {
		<-ctx.Done()
		return kubeletprobe.Answer{}, context.Cause(ctx)
	}
	return p.answer, p.err
}

// seen is a view with the mounts of both sides.
func seen(pid int) mounts.KubeletView {
	return mounts.KubeletView{PID: pid, Kubelet: []mounts.Mount{{ID: 1}}, Host: []mounts.Mount{{ID: 1}}}
}

// reported is a node whose Talos API shows this view.
type reported struct {
	fakeTalos
	view mounts.KubeletView
}

func (n reported) View(context.Context, []string) (mounts.KubeletView, error) { return n.view, nil }

// change changes the node that dbPod is on.
func change(s *apiServer, f func(*corev1.Node)) {
	for _, o := range s.objects {
		if n, ok := o.(*corev1.Node); ok && n.Name == "w-1" {
			f(n)
		}
	}
}

func TestAJobLooksWhereTalosDoesNotTell(t *testing.T) {
	const talosImage = "Talos (v1.13.9)"
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change  func(*apiServer)
		talos   TalosNode // nil: Talos is not asked, for want of a talosconfig
		prober  *fakeProber
		probe   string // its problem
		asked   bool
		kubelet func(snapshot.Section[mounts.NodeState]) bool
	}{
		"no talosconfig": {
			prober: &fakeProber{answer: kubeletprobe.Answer{View: seen(7), Started: at}},
			asked:  true,
			kubelet: func(k snapshot.Section[mounts.NodeState]) bool {
				v := k.Value
				return v != nil && v.View.PID == 7 && v.ConfigProblem.Message == "no talosconfig" && v.Release.String() == "v1.13.9" &&
					v.Volumes["pv-w-1"] != "" && v.Ready && v.Node == "w-1"
			},
		},
		"Talos tells everything": {
			talos:   reported{view: seen(5)},
			prober:  &fakeProber{answer: kubeletprobe.Answer{View: seen(7)}},
			kubelet: func(k snapshot.Section[mounts.NodeState]) bool { return k.Value.View.PID == 5 },
		},
		"Talos tells that no kubelet runs": {
			talos:  reported{view: mounts.KubeletView{MountsProblem: problem.FromText("no kubelet runs")}},
			prober: &fakeProber{answer: kubeletprobe.Answer{View: seen(7)}},
			kubelet: func(k snapshot.Section[mounts.NodeState]) bool {
				return k.Value.View.MountsProblem.Message == "no kubelet runs"
			},
		},
		"the role is too weak for mounts": {
			talos:  reported{fakeTalos{config: errors.New("not for you")}, mounts.KubeletView{PID: 5, MountsProblem: problem.FromText("nor this")}},
			prober: &fakeProber{answer: kubeletprobe.Answer{View: seen(7)}},
			asked:  true,
			kubelet: func(k snapshot.Section[mounts.NodeState]) bool {
				return k.Value.View.PID == 7 && k.Value.ConfigProblem.Message == "not for you" && k.Value.Release.String() == "v1.13.9"
			},
		},
		"Talos does not show the view": {
			talos:  fakeTalos{view: errors.New("gone")},
			prober: &fakeProber{answer: kubeletprobe.Answer{View: seen(7)}},
			asked:  true,
			kubelet: func(k snapshot.Section[mounts.NodeState]) bool {
				return k.Value.View.PID == 7 && k.Value.ViewProblem.Message == "" && k.Value.ConfigProblem.Message == ""
			},
		},
		"Talos does not answer": {
			talos:  fakeTalos{verify: errors.New("no answer from Talos")},
			prober: &fakeProber{answer: kubeletprobe.Answer{View: seen(7)}},
			asked:  true,
			kubelet: func(k snapshot.Section[mounts.NodeState]) bool {
				return k.Value.View.PID == 7 && k.Value.ConfigProblem.Message == "no answer from Talos"
			},
		},
		"the Job fails": {
			prober: &fakeProber{err: errors.New("ErrImagePull")},
			asked:  true,
			probe:  "ErrImagePull",
			kubelet: func(k snapshot.Section[mounts.NodeState]) bool {
				return k.Value == nil && k.Why().Message == "no talosconfig"
			},
		},
		"the Job fails beside Talos": {
			talos:  fakeTalos{view: errors.New("gone")},
			prober: &fakeProber{err: errors.New("ErrImagePull")},
			asked:  true,
			probe:  "ErrImagePull",
			kubelet: func(k snapshot.Section[mounts.NodeState]) bool {
				return k.Value.View == nil && k.Value.ViewProblem.Message == "gone"
			},
		},
		"the node is NotReady": {change: func(s *apiServer) {
			change(s, func(n *corev1.Node) {
				n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown"}}
			})
		}, prober: &fakeProber{}, probe: "the node is NotReady (NodeStatusUnknown)"},
		"another system": {
			change: func(s *apiServer) { change(s, func(n *corev1.Node) { n.Status.NodeInfo.OSImage = "Debian" }) },
			prober: &fakeProber{},
			probe:  "the node does not run Talos",
		},
		"no provisioner": {change: func(s *apiServer) {
			s.objects = slices.DeleteFunc(s.objects, func(o metav1.Object) bool { _, is := o.(*appsv1.DaemonSet); return is })
		}, prober: &fakeProber{}, probe: "no DaemonSet that runs the local volume static provisioner in any namespace"},
		"the node could not be read": {
			change: func(s *apiServer) { s.forbidden = []string{"get nodes", "list nodes"} },
			prober: &fakeProber{},
			probe:  `nodes "w-1" is forbidden: not for you`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := cluster(3)
			change(s, func(n *corev1.Node) { n.Status.NodeInfo.OSImage = talosImage })
			if c.change != nil {
				c.change(s)
			}
			observer := &Observer{Client: s.client(t)}
			if c.prober != nil {
				observer.KubeletProbe = c.prober
			}
			if c.talos != nil {
				observer.Kubelet = func(snapshot.Machine) TalosNode { return c.talos }
			} else {
				observer.NoTalos = problem.FromText("no talosconfig")
			}
			got := diagnoseBy(t, observer, Request{Targets: dbPod})
			n := got.Nodes[0]
			if n.Probe.Problem.Message != c.probe || (n.Probe.Value != nil) != (c.asked && c.probe == "") {
				t.Errorf("probe: %+v", n.Probe)
			}
			if c.kubelet != nil && !c.kubelet(n.Kubelet) {
				t.Errorf("%+v, %+v", n.Kubelet, n.Kubelet.Value)
			}
			var want []string
			if c.asked {
				want = []string{"w-1 registry.k8s.io/sig-storage/local-volume-provisioner:v2.9.0 [/var/lib/disks/block]"}
			}
			if !slices.Equal(c.prober.asked, want) {
				t.Errorf("asked %q, want %q", c.prober.asked, want)
			}
			if name == "no talosconfig" && (n.KubeletStarted == nil || !n.KubeletStarted.Equal(at)) {
				t.Errorf("the kubelet started at %v", n.KubeletStarted)
			}
		})
	}
}

// A pod that has the node's processes has no image that a tenant may have chosen: any
// DaemonSet can look like the provisioner's.
func TestAJobHasNoImageOfATenant(t *testing.T) {
	const unknown = `the image of DaemonSet "local-storage/provisioner" is not known to be the provisioner's: name it with --provisioner-namespace and --provisioner`
	for name, c := range map[string]struct {
		level   string // of Pod Security
		request Request
		want    string
	}{
		"privileged pods are allowed":           {level: "privileged"},
		"nothing allows them":                   {want: unknown},
		"they are not allowed":                  {level: "baseline", want: unknown},
		"the user names it":                     {request: Request{Namespace: "local-storage", DaemonSet: "provisioner"}},
		"the user names its namespace":          {level: "baseline", request: Request{Namespace: "local-storage"}},
		"a name is the same in every namespace": {level: "baseline", request: Request{DaemonSet: "provisioner"}, want: unknown},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := cluster(1), &fakeProber{answer: kubeletprobe.Answer{View: seen(7)}}
			for _, o := range s.objects {
				if ns, ok := o.(*corev1.Namespace); ok && ns.Name == "local-storage" {
					ns.Labels = map[string]string{labelPodSecurity: c.level}
				}
			}
			got := diagnoseBy(t, &Observer{Client: s.client(t), KubeletProbe: p}, c.request)
			if problem := got.Nodes[0].Probe.Problem; problem.Message != c.want || (len(p.asked) == 0) != (c.want != "") {
				t.Errorf("%q, want %q; asked %q", problem, c.want, p.asked)
			}
		})
	}
}

// Without being asked for nothing is made, and no more at once than the run allows; a node
// that hangs ends by itself.
func TestAJobHasTheBoundsOfTheRun(t *testing.T) {
	p := &fakeProber{answer: kubeletprobe.Answer{View: seen(7)}, hang: "w-1"}
	c := &Observer{
		Client:       cluster(3).client(t),
		NoTalos:      problem.FromText("no talosconfig"),
		KubeletProbe: p,
		Limit:        1,
		Timeout:      50 * time.Millisecond,
	}
	got := diagnoseBy(t, c, Request{})
	if len(p.asked) != 3 || got.Nodes[0].Probe.Value == nil ||
		got.Nodes[1].Probe.Problem.Message != "no answer within 50ms; --node-timeout gives it longer" || got.Nodes[2].Probe.Value == nil {
		t.Errorf("%+v", got.Nodes)
	}
	if without := diagnose(t, cluster(3), Request{}); without.Nodes[0].Probe.Value != nil || without.Nodes[0].Probe.Problem.Message != "" {
		t.Errorf("%+v", without.Nodes[0].Probe)
	}
}

func TestStarted(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	probe := func(at *time.Time) snapshot.Section[snapshot.Probe] {
		return snapshot.Read(snapshot.Probe{KubeletStarted: at})
	}
	for name, c := range map[string]struct {
		node snapshot.Node
		want *time.Time
	}{
		"nothing tells":           {snapshot.Node{}, nil},
		"an event":                {snapshot.Node{KubeletStarted: &early}, &early},
		"an event, no process":    {snapshot.Node{KubeletStarted: &early, Probe: probe(nil)}, &early},
		"the process":             {snapshot.Node{Probe: probe(&early)}, &early},
		"the process after it":    {snapshot.Node{KubeletStarted: &early, Probe: probe(&late)}, &late},
		"the process before that": {snapshot.Node{KubeletStarted: &late, Probe: probe(&early)}, &late},
	} {
		if got := started(c.node); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What is forbidden is said in the words by which doctor knows the right.
func TestARefusedBodyHasItsReason(t *testing.T) {
	s := cluster(2)
	s.forbidden = []string{"get pods/log", "get nodes/proxy"}
	got := diagnose(t, s, Request{Targets: dbPod})
	for _, problem := range []string{got.Provisioner.Value.LogProblem["w-1"].Message, got.Nodes[0].Stats.Problem.Message} {
		if !strings.Contains(problem, "forbidden: not for you") {
			t.Errorf("%q", problem)
		}
	}
}
