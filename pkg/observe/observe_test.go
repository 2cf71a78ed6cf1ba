// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

const namespace = "local-storage"

func daemonSet(name string, change func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
	labels := map[string]string{"app": name}
	ds := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name)},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				Containers: []corev1.Container{{
					Name: "provisioner", Image: "registry.k8s.io/sig-storage/local-volume-provisioner:v2.9.0",
					VolumeMounts: []corev1.VolumeMount{
						{Name: "config", MountPath: "/etc/provisioner/config"},
						{Name: "dev", MountPath: "/dev"},
						{Name: "block", MountPath: "/mnt/block"},
					},
				}},
				Volumes: []corev1.Volume{
					{
						Name: "config",
						VolumeSource: corev1.VolumeSource{
							ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}},
						},
					},
					{Name: "dev", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/dev"}}},
					{Name: "block", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/disks/block"}}},
				},
			}},
		},
	}
	if change != nil {
		change(ds)
	}
	return ds
}

func configMap() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "config"},
		Data: map[string]string{
			"storageClassMap": "block:\n  hostDir: /var/lib/disks/block\n  mountDir: /mnt/block\n  volumeMode: Block\n",
		},
	}
}

func node(name string, change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
		},
	}
	if change != nil {
		change(n)
	}
	return n
}

func pod(on string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "provisioner-" + on, Labels: map[string]string{"app": "provisioner"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "DaemonSet", Name: "provisioner", UID: "uid-provisioner", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{NodeName: on},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
			{Name: "provisioner", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		}},
	}
	if change != nil {
		change(p)
	}
	return p
}

func TestNodesWithoutAPodAreNamedWithTheReason(t *testing.T) {
	taint := func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
	}
	notReady := func(n *corev1.Node) {
		n.Status.Conditions[0].Status, n.Status.Conditions[0].Reason = corev1.ConditionUnknown, "NodeStatusUnknown"
	}
	affine := func(label string) func(*appsv1.DaemonSet) {
		return func(ds *appsv1.DaemonSet) {
			ds.Spec.Template.Spec.Affinity = &corev1.Affinity{
				NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
					NodeSelectorTerms: []corev1.NodeSelectorTerm{
						{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: label, Operator: corev1.NodeSelectorOpExists}}},
						{
							MatchFields: []corev1.NodeSelectorRequirement{{
								Key:      metav1.ObjectNameField,
								Operator: corev1.NodeSelectorOpIn,
								Values:   []string{"other"},
							}},
						},
					},
				}},
			}
		}
	}
	for name, c := range map[string]struct {
		node   *corev1.Node
		pods   []runtime.Object
		ds     func(*appsv1.DaemonSet)
		why    string // empty: its pod is found
		wanted bool
	}{
		"running": {node: node("w", nil), pods: []runtime.Object{pod("w", nil)}, wanted: true},
		"running, not ready": {
			node:   node("w", nil),
			pods:   []runtime.Object{pod("w", func(p *corev1.Pod) { p.Status.Conditions = nil })},
			wanted: true,
		},
		"tainted": {
			node: node("w", taint),
			why:  "does not tolerate the node's taint node-role.kubernetes.io/control-plane:NoSchedule",
		},
		"tainted with a pod": {node: node("w", taint), pods: []runtime.Object{pod("w", nil)}, wanted: true},
		"tolerated, no pod": {node: node("w", taint), ds: func(ds *appsv1.DaemonSet) {
			ds.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		}, why: `DaemonSet "local-storage/provisioner" has no pod there`, wanted: true},
		"cordoned": {node: node("w", func(n *corev1.Node) {
			n.Spec.Unschedulable = true
			n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}}
		}), pods: []runtime.Object{pod("w", nil)}, wanted: true},
		"other nodeSelector": {node: node("w", nil), ds: func(ds *appsv1.DaemonSet) {
			ds.Spec.Template.Spec.NodeSelector = map[string]string{"disks": "yes"}
		}, why: "nodeSelector asks for disks=yes"},
		"other node affinity": {
			node: node("w", nil),
			ds:   affine("disks"),
			why:  "the DaemonSet's node affinity asks for disks or metadata.name in (other)",
		},
		"its node affinity": {node: node("w", func(n *corev1.Node) { n.Labels = map[string]string{"disks": "yes"} }), ds: affine("disks"),
			why: `DaemonSet "local-storage/provisioner" has no pod there`, wanted: true},
		"NotReady": {
			node:   node("w", notReady),
			pods:   []runtime.Object{pod("w", nil)},
			why:    "the node is NotReady (NodeStatusUnknown)",
			wanted: true,
		},
		"waiting": {node: node("w", nil), pods: []runtime.Object{pod("w", func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].State = corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerError", Message: "read-only file system"},
			}
		})}, why: `container "provisioner" of pod "local-storage/provisioner-w" does not run: CreateContainerError: read-only file system`,
			wanted: true},
		"ended": {node: node("w", nil), pods: []runtime.Object{pod("w", func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}}
		})}, why: "it ended with code 1 (Error)", wanted: true},
		"pending": {node: node("w", nil), pods: []runtime.Object{pod("w", func(p *corev1.Pod) {
			p.Status.ContainerStatuses, p.Status.Phase = nil, corev1.PodPending
		})}, why: "is Pending", wanted: true},
		"another container runs": {node: node("w", nil), pods: []runtime.Object{pod("w", func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].Name = "sidecar"
		})}, why: "is Running", wanted: true},
		"being deleted": {node: node("w", nil), pods: []runtime.Object{pod("w", func(p *corev1.Pod) {
			p.Finalizers, p.DeletionTimestamp = []string{"x"}, &metav1.Time{}
		})}, why: "is being deleted", wanted: true},
	} {
		t.Run(name, func(t *testing.T) {
			objects := append([]runtime.Object{c.node, configMap(), daemonSet("provisioner", c.ds)}, c.pods...)
			s, err := (&Observer{Client: fake.NewClientset(objects...)}).Observe(t.Context(), Request{Strict: true})
			if err != nil {
				t.Fatal(err)
			}
			got := s.Nodes[0]
			if c.why == "" && got.Pod.Value == nil || c.why != "" && (got.Pod.Value != nil || !strings.Contains(got.Pod.Why().Message, c.why)) {
				t.Errorf("pod = %v, %q, want %q", got.Pod.Value, got.Pod.Why(), c.why)
			}
			if got.Wanted != c.wanted {
				t.Errorf("wanted = %v", got.Wanted)
			}
			if got.View.Value != nil || got.View.Why().Message != "it was not looked at" {
				t.Errorf("a node that was not looked at has the view %+v", got.View)
			}
		})
	}
}

func TestTheProvisionerIsFoundOrChosen(t *testing.T) {
	for name, c := range map[string]struct {
		objects []runtime.Object
		request Request
		want    string // of the DaemonSet
		err     string
		hint    string
	}{
		"one": {objects: []runtime.Object{daemonSet("a", nil), configMap()}, request: Request{}, want: "a"},
		"none": {
			request: Request{},
			err:     "no DaemonSet that runs the local volume static provisioner in any namespace",
			hint:    "--provisioner-namespace",
		},
		"several": {
			objects: []runtime.Object{daemonSet("a", nil), daemonSet("b", nil)},
			request: Request{},
			err:     `several provisioners: "local-storage/a", "local-storage/b"`,
		},
		"chosen": {objects: []runtime.Object{daemonSet("a", nil), daemonSet("b", nil), configMap()}, request: Request{DaemonSet: "b"}, want: "b"},
		"not that one": {
			objects: []runtime.Object{daemonSet("a", nil)}, request: Request{Namespace: namespace, DaemonSet: "c"},
			err: `no DaemonSet "c" that runs the local volume static provisioner in namespace "local-storage"`,
		},
		"no ConfigMap": {
			objects: []runtime.Object{daemonSet("a", nil)},
			request: Request{},
			err:     `ConfigMap "local-storage/config" of the provisioner does not exist`,
			hint:    "describe daemonset a",
		},
		"no classes": {
			objects: []runtime.Object{daemonSet("a", nil), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "config"}}},
			request: Request{}, err: "has no storageClassMap", hint: "get configmap config",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.request.Strict = true
			s, err := (&Observer{Client: fake.NewClientset(c.objects...)}).Observe(t.Context(), c.request)
			if c.err == "" {
				if err != nil || s.Install.Name != c.want || len(s.Install.Classes) != 1 {
					t.Fatalf("install = %+v, %v", s, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(failure.Hint(err), c.hint) {
				t.Errorf("error %v, hint %q", err, failure.Hint(err))
			}
		})
	}
}

func TestANameThatNoNodeHasIsAnError(t *testing.T) {
	client := fake.NewClientset(daemonSet("provisioner", nil), configMap(), node("w-1", nil), node("w-2", nil), node("x-1", nil))
	s, err := (&Observer{Client: client}).Observe(t.Context(), Request{Strict: true, Nodes: []string{"w-*", "x-1"}})
	if err != nil || len(s.Nodes) != 3 {
		t.Fatalf("%v, %v", s, err)
	}
	_, err = (&Observer{Client: client}).Observe(t.Context(), Request{Strict: true, Nodes: []string{"w-1", "w-9"}})
	if err == nil || err.Error() != `no node is called "w-9"` {
		t.Errorf("err = %v", err)
	}
}

func TestUsersAreKeptByClaim(t *testing.T) {
	with := func(name, claim string, phase corev1.PodPhase) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
			Spec: corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
			}}}},
			Status: corev1.PodStatus{Phase: phase},
		}
	}
	client := fake.NewClientset(daemonSet("provisioner", nil), configMap(), node("w", nil),
		with("a", "c1", corev1.PodRunning), with("b", "c1", corev1.PodPending), with("done", "c2", corev1.PodSucceeded))
	s, err := (&Observer{Client: client}).Observe(t.Context(), Request{Strict: true, Parts: Users})
	if err != nil {
		t.Fatal(err)
	}
	users := *s.Users.Value
	if got := users[snapshot.ClaimRef{Namespace: "ns", Name: "c1"}]; fmt.Sprint(got) != "[a b]" {
		t.Errorf("users of c1 = %v", got)
	}
	if got := users[snapshot.ClaimRef{Namespace: "ns", Name: "c2"}]; got != nil {
		t.Errorf("a pod that is over uses c2: %v", got)
	}
}

// The number of requests must not grow with the cluster.
func TestOneListOfEachWhateverTheSize(t *testing.T) {
	requests := func(nodes int) string {
		objects := []runtime.Object{daemonSet("provisioner", nil), configMap(),
			&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "block"}}}
		for i := range nodes {
			name := fmt.Sprintf("w-%d", i)
			objects = append(objects, node(name, nil), pod(name, nil))
		}
		client := fake.NewClientset(objects...)
		s, err := (&Observer{Client: client}).Observe(t.Context(), Request{Strict: true, Parts: Users})
		if err != nil || len(s.Nodes) != nodes {
			t.Fatalf("%d nodes of %d, %v", len(s.Nodes), nodes, err)
		}
		counts := make(map[string]int)
		for _, a := range client.Actions() {
			counts[a.GetVerb()+" "+a.GetResource().Resource]++
		}
		return fmt.Sprint(counts)
	}
	small, large := requests(3), requests(300)
	if small != large {
		t.Errorf("at 3 nodes %s, at 300 nodes %s", small, large)
	}
	if want := "map[get configmaps:2 list daemonsets:1 list nodes:1 list persistentvolumes:1 list pods:2 list storageclasses:1]"; small != want {
		t.Errorf("requests = %s, want %s", small, want)
	}
}

// A volume says where it is by the hostname label, which need not be the node's name.
func TestVolumesAreOfNodesByName(t *testing.T) {
	labelled := node("w-1", func(n *corev1.Node) { n.Labels = map[string]string{corev1.LabelHostname: "w-1.example.org"} })
	pv := func(name, hostname string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/x"}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key:      corev1.LabelHostname,
					Operator: corev1.NodeSelectorOpIn,
					Values:   []string{hostname},
				}},
			}}}},
		}}
	}
	client := fake.NewClientset(daemonSet("provisioner", nil), configMap(), labelled, pv("a", "w-1.example.org"), pv("b", "w-2"))
	s, err := (&Observer{Client: client}).Observe(t.Context(), Request{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "w-1", "b": "w-2"} {
		if v, _ := s.VolumeByName(name); v.Node != want {
			t.Errorf("volume %s is of node %q, want %q", name, v.Node, want)
		}
	}
}
