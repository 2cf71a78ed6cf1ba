// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"errors"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// secondInstall is another installation, in namespace "tenant", for nodes with the label fast, with its pod on w-2.
func secondInstall() []runtime.Object {
	ds := daemonSet("lvp", func(ds *appsv1.DaemonSet) {
		ds.Spec.Template.Spec.NodeSelector = map[string]string{"fast": "yes"}
		ds.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "lvp"}}
	})
	ds.Namespace, ds.UID = "tenant", "uid-lvp"
	config := configMap()
	config.Namespace = "tenant"
	config.Data = map[string]string{"storageClassMap": "fast:\n  hostDir: /var/lib/disks/fast\n  mountDir: /mnt/fast\n  volumeMode: Block\n"}
	p := pod("w-2", nil)
	p.Namespace, p.Name, p.Labels = "tenant", "lvp-w-2", map[string]string{"app": "lvp"}
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "DaemonSet", Name: "lvp", UID: types.UID("uid-lvp"), Controller: new(true)}}
	return []runtime.Object{ds, config, p}
}

func fast(n *corev1.Node) { n.Labels = map[string]string{"fast": "yes"} }

// TestSeveralInstallations: a command that is about all takes them all in; one that acts has to be told which one is meant, and
// is told of the others.
func TestSeveralInstallations(t *testing.T) {
	objects := append([]runtime.Object{daemonSet("provisioner", nil), configMap(), node("w-1", nil), node("w-2", fast), pod("w-1", nil)},
		secondInstall()...)
	observe := func(t *testing.T, r Request, change func(*fake.Clientset)) (*snapshot.Snapshot, error) {
		t.Helper()
		client := fake.NewClientset(objects...)
		if change != nil {
			change(client)
		}
		r.Strict = true
		return (&Observer{Client: client}).Observe(t.Context(), r)
	}
	check := func(t *testing.T, s *snapshot.Snapshot, err error, first, other, class string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got := key(s.Install.Namespace, s.Install.Name); got != first || len(s.Others) != 1 || s.Others[0].Name() != other {
			t.Fatalf("first %s, others %+v", got, s.Others)
		}
		as := s.Installations()[1]
		if len(as.Install.Classes) != 1 || as.Install.Classes[0].Name != class || as.Unread[snapshot.PartInstall].Message != "" ||
			s.Unread[snapshot.PartOthers].Message != "" {
			t.Errorf("%+v, %v", as.Install, as.Unread)
		}
	}
	t.Run("not chosen", func(t *testing.T) {
		_, err := observe(t, Request{}, nil)
		var several *SeveralError
		if !errors.As(err, &several) || err.Error() != `several provisioners: "local-storage/provisioner", "tenant/lvp"` ||
			len(several.Installs) != 2 || several.Installs[1].Namespace != "tenant" || several.Installs[1].Name != "lvp" {
			t.Errorf("%v", err)
		}
	})
	t.Run("every one", func(t *testing.T) {
		s, err := observe(t, Request{Every: true}, nil)
		check(t, s, err, "local-storage/provisioner", "tenant/lvp", "fast")
		as := s.Installations()[1]
		if as.Nodes[0].Wanted || as.Nodes[0].Pod.Value != nil || !as.Nodes[1].Wanted || as.Nodes[1].Pod.Value == nil ||
			as.Nodes[1].Pod.Value.Name != "lvp-w-2" {
			t.Errorf("%+v", as.Nodes)
		}
		if s.Nodes[0].Pod.Value == nil || s.Nodes[1].Pod.Value != nil || !s.Nodes[1].Wanted {
			t.Errorf("%+v", s.Nodes)
		}
	})
	t.Run("one is chosen", func(t *testing.T) {
		s, err := observe(t, Request{Namespace: "tenant"}, nil)
		check(t, s, err, "tenant/lvp", "local-storage/provisioner", "block")
	})
	t.Run("the first one's configuration is missing", func(t *testing.T) {
		missing := func(client *fake.Clientset) {
			client.PrependReactor("get", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
				gone := a.GetNamespace() == namespace
				return gone, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, "config")
			})
		}
		s, err := observe(t, Request{Every: true}, missing)
		if err != nil || s.Install.Name != "lvp" || len(s.Others) != 1 || !strings.Contains(s.Others[0].Problem.Message, "does not exist") ||
			s.Nodes[1].Pod.Value == nil {
			t.Errorf("%+v, %v", s, err)
		}
		if _, err := observe(t, Request{Namespace: namespace}, missing); err == nil {
			t.Error("the chosen one's configuration is missing, and there is no error")
		}
		s, err = observe(t, Request{Namespace: "tenant"}, missing)
		if err != nil || s.Installations()[1].Unread[snapshot.PartInstall].Message == "" {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("only one namespace may be listed", func(t *testing.T) {
		s, err := observe(t, Request{Namespace: "tenant"}, func(client *fake.Clientset) {
			client.PrependReactor("list", "daemonsets", func(a clienttesting.Action) (bool, runtime.Object, error) {
				all := a.GetNamespace() == ""
				return all, nil, apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "daemonsets"}, "", nil)
			})
		})
		if err != nil || s.Install.Name != "lvp" || len(s.Others) != 0 || !strings.Contains(s.Unread[snapshot.PartOthers].Message, "forbidden") {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// TestAProvisionerThatIsMeantForNoNode: its nodes are not left alone, they are looked at.
func TestAProvisionerThatIsMeantForNoNode(t *testing.T) {
	for selector, aside := range map[string]bool{"a": false, "": true} {
		s := cluster(2)
		s.objects = slices.DeleteFunc(s.objects, func(o metav1.Object) bool {
			return slices.Contains([]string{"pods", "persistentvolumes", "persistentvolumeclaims"}, resourceOf(o))
		})
		for _, o := range s.objects {
			if ds, ok := o.(*appsv1.DaemonSet); ok && selector != "" {
				ds.Spec.Template.Spec.NodeSelector = map[string]string{selector: "yes"}
			}
			if n, ok := o.(*corev1.Node); ok && n.Name == "w-1" {
				n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}
			}
		}
		got := diagnose(t, s, Request{})
		for _, n := range got.Nodes {
			if n.Name == "w-1" && n.Skipped != aside {
				t.Errorf("node selector %q: %s is aside: %v", selector, n.Name, n.Skipped)
			}
		}
		if len(got.Nodes) < 2 {
			t.Errorf("%d nodes", len(got.Nodes))
		}
	}
}
