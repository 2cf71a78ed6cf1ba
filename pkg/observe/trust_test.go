// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kubeletprobe"
)

// A command that changes something follows what a DaemonSet says only where an administrator vouches for it.
func TestTrust(t *testing.T) {
	for name, c := range map[string]struct {
		level   string
		request Request
		in      string
		refused string
	}{
		"a namespace without a level":    {"", Request{Trust: true}, namespace, "has no label pod-security.kubernetes.io/enforce"},
		"a restricted namespace":         {"restricted", Request{Trust: true}, namespace, `enforces the Pod Security level "restricted"`},
		"a privileged namespace":         {"privileged", Request{Trust: true}, namespace, ""},
		"a namespace that was named":     {"", Request{Trust: true, Namespace: namespace}, namespace, ""},
		"a DaemonSet that was named":     {"", Request{Trust: true, DaemonSet: "provisioner"}, namespace, "is not known to be the provisioner's"},
		"kube-system":                    {"", Request{Trust: true}, kubeletprobe.Namespace, ""},
		"a command that changes nothing": {"", Request{}, namespace, ""},
	} {
		ds, config := daemonSet("provisioner", nil), configMap()
		ds.Namespace, config.Namespace = c.in, c.in
		own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.in}}
		if c.level != "" {
			own.Labels = map[string]string{labelPodSecurity: c.level}
		}
		c.request.Strict = true
		_, err := (&Observer{Client: fake.NewClientset(ds, config, own, node("w-1", nil))}).Observe(t.Context(), c.request)
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused) ||
			!strings.Contains(failure.Hint(err), "--provisioner-namespace "+c.in)):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Labels do not make a pod the provisioner's: nothing is run in one that another owner has, or none.
func TestOnlyTheDaemonSetsOwnPods(t *testing.T) {
	for name, change := range map[string]func(*corev1.Pod){
		"no owner":                   func(p *corev1.Pod) { p.OwnerReferences = nil },
		"another DaemonSet":          func(p *corev1.Pod) { p.OwnerReferences[0].UID = "uid-another" },
		"one of that name, deleted":  func(p *corev1.Pod) { p.OwnerReferences[0].UID = "uid-before" },
		"an owner, not a controller": func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil },
		"another kind of that UID":   func(p *corev1.Pod) { p.OwnerReferences[0].Kind = "ReplicaSet" },
	} {
		client := fake.NewClientset(daemonSet("provisioner", nil), configMap(), node("w-1", nil), pod("w-1", change))
		s, err := (&Observer{Client: client}).Observe(t.Context(), Request{Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		if s.Nodes[0].Pod.Value != nil || !strings.Contains(s.Nodes[0].Pod.Why().Message, "has no pod there") {
			t.Errorf("%s: %+v", name, s.Nodes[0].Pod)
		}
	}
	s := cluster(1)
	for _, o := range s.objects {
		if p, ok := o.(*corev1.Pod); ok && p.Namespace == namespace {
			p.OwnerReferences = nil
		}
	}
	got := diagnose(t, s, Request{})
	if got.Nodes[0].Pod.Value != nil || len(got.Provisioner.Value.Pods) != 0 {
		t.Errorf("a pod without an owner: %+v, %+v", got.Nodes[0].Pod, got.Provisioner.Value.Pods)
	}
}
