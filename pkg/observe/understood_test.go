// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// judged are the outcomes of some checks on the one node of a snapshot, or on the cluster.
func judged(s *snapshot.Snapshot, codes ...doctor.Code) map[doctor.Code]doctor.Result {
	all := make(map[doctor.Code]doctor.Result)
	for _, r := range doctor.Run(s, doctor.Options{Only: codes}).Results {
		all[r.Code] = r
	}
	return all
}

// The doctor goes by the words in which it is told here why a node has no provisioner pod that
// runs: whatever they are, it has to understand them.
func TestWhyNoPodRunsIsUnderstood(t *testing.T) {
	install := provisioner.Install{
		Namespace:    namespace,
		Name:         "prov",
		Container:    "provisioner",
		NodeSelector: map[string]string{"disks": "yes"},
	}
	labels := map[string]string{"disks": "yes"}
	ready := corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}
	down := corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady"}},
	}
	in := func(state corev1.ContainerState) []corev1.Pod {
		return []corev1.Pod{{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "prov-x"},
			Status:     corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "provisioner", State: state}}},
		}}
	}
	waits := func(reason, message string) []corev1.Pod {
		return in(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}})
	}
	going := in(corev1.ContainerState{})
	going[0].DeletionTimestamp = &metav1.Time{Time: noon}
	const ok, found = doctor.OutcomeOK, doctor.OutcomeFinding
	for name, c := range map[string]struct {
		node corev1.Node
		pods []corev1.Pod
		// want are TD0203 (no pod), TD0204 (it does not run) and TD0205 (its directory is on the read-only root).
		want [3]doctor.Outcome
		says string
	}{
		"it runs": {
			node: corev1.Node{Status: ready},
			pods: in(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}),
			want: [3]doctor.Outcome{ok, ok, ok},
		},
		"there is none":            {node: corev1.Node{Status: ready}, want: [3]doctor.Outcome{found, ok, ok}, says: "has not made it"},
		"there is none, node down": {node: corev1.Node{Status: down}, want: [3]doctor.Outcome{ok, ok, ok}},
		"it is not scheduled there": {
			node: corev1.Node{Status: ready},
			pods: []corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodPending}}},
			want: [3]doctor.Outcome{ok, found, ok},
			says: "is Pending",
		},
		"it has ended": {
			node: corev1.Node{Status: ready},
			pods: in(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}),
			want: [3]doctor.Outcome{ok, found, ok},
			says: "ended with code 1",
		},
		"it is being deleted": {node: corev1.Node{Status: ready}, pods: going, want: [3]doctor.Outcome{ok, ok, ok}},
		"its image cannot be pulled": {
			node: corev1.Node{Status: ready},
			pods: waits("ImagePullBackOff", "Back-off"),
			want: [3]doctor.Outcome{ok, found, ok},
			says: "cannot be pulled",
		},
		"its directory cannot be made": {node: corev1.Node{Status: ready}, pods: waits("CreateContainerError",
			`failed to generate container "x" spec: failed to generate spec: failed to mkdir "/disks": mkdir /disks: read-only file system`),
			want: [3]doctor.Outcome{ok, found, found}, says: `"/disks"`},
		"the node lacks the label": {
			node: corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"disks": "no"}}, Status: ready},
			want: [3]doctor.Outcome{found, ok, ok},
			says: "nodeSelector",
		},
		"the node has a taint": {
			node: corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "own", Effect: corev1.TaintEffectNoSchedule}}}, Status: ready},
			want: [3]doctor.Outcome{found, ok, ok},
			says: "tolerations:\n- key: own",
		},
	} {
		c.node.Name = "w-1"
		if c.node.Labels == nil {
			c.node.Labels = labels
		}
		s := &snapshot.Snapshot{
			Install: install, Nodes: []snapshot.Node{nodeOf(install, c.node, c.pods)}, Targets: []snapshot.Ref{{Kind: "node", Name: "w-1"}},
			Provisioner: snapshot.Read(snapshot.ProvisionerState{}), Events: snapshot.Read([]snapshot.Event{}),
		}
		got := judged(s, "TD0203", "TD0204", "TD0205")
		for i, code := range []doctor.Code{"TD0203", "TD0204", "TD0205"} {
			outcome := got[code].Outcome
			if outcome == doctor.OutcomeMasked { // TD0205 tells why TD0204 is so.
				outcome = found
			}
			if outcome != c.want[i] {
				t.Errorf("%s: %s is %s, want %s (%s)", name, code, outcome, c.want[i], s.Nodes[0].Pod.Problem)
			}
		}
		var text strings.Builder
		r := doctor.Run(s, doctor.Options{Only: []doctor.Code{"TD0203", "TD0204", "TD0205"}})
		for _, f := range append(r.Findings, r.Masked...) {
			text.WriteString(f.Summary + f.Because + strings.Join(f.Evidence, " "))
			for _, step := range f.Fix {
				text.WriteString(step.Text)
			}
		}
		if !strings.Contains(text.String(), c.says) {
			t.Errorf("%s: no %q in %s", name, c.says, text.String())
		}
	}
}

// The same for why it is not known which provisioner there is.
func TestWhyNoProvisionerIsUnderstood(t *testing.T) {
	one, other := provisioner.Install{Namespace: "a", Name: "prov", ConfigMap: "config"}, provisioner.Install{Namespace: "b", Name: "prov"}
	chosen := func(found []provisioner.Install, r Request) error {
		var all []*installation
		for _, i := range found {
			all = append(all, &installation{install: i})
		}
		_, err := chooseFrom(all, r)
		return err
	}
	classes := func(data map[string]string) error {
		client := fake.NewClientset()
		if data != nil {
			client = fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "config"}, Data: data})
		}
		_, err := (&Observer{Client: client}).classesOf(context.Background(), one)
		return err
	}
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"none":                {err: chosen(nil, Request{}), says: "no local volume static provisioner is found"},
		"none in a namespace": {err: chosen(nil, Request{Namespace: "a"}), says: "no local volume static provisioner is found"},
		"none of that name": {
			err:  chosen([]provisioner.Install{one}, Request{DaemonSet: "x"}),
			says: "no local volume static provisioner is found",
		},
		"several": {
			err:  chosen([]provisioner.Install{one, other}, Request{}),
			says: "there are several provisioners, and none was chosen",
		},
		"no ConfigMap":            {err: classes(nil), says: "the provisioner's configuration makes no sense to it"},
		"a ConfigMap without one": {err: classes(map[string]string{"x": "y"}), says: "the provisioner's configuration makes no sense to it"},
		"a ConfigMap of something": {
			err:  classes(map[string]string{provisioner.ConfigKey: "- x"}),
			says: "the provisioner's configuration makes no sense to it",
		},
	} {
		if c.err == nil {
			t.Errorf("%s: there is no error", name)
			continue
		}
		s := &snapshot.Snapshot{Unread: map[string]problem.Problem{snapshot.PartInstall: problem.FromText(c.err.Error())}}
		r := doctor.Run(s, doctor.Options{Only: []doctor.Code{"TD0201"}})
		if len(r.Findings) != 1 || r.Findings[0].Summary != c.says {
			t.Errorf("%s: of %q: %+v, want %q", name, c.err, r.Findings, c.says)
		}
	}
}
