// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// cluster has so many nodes, each with a provisioner pod, a local volume, a claim bound to
// it, and a pod that uses the claim; and a few things that have nothing to do with it.
func cluster(nodes int) *apiServer {
	s := &apiServer{stats: make(map[string]string), logs: make(map[string]string)}
	ds := daemonSet("provisioner", func(ds *appsv1.DaemonSet) {
		ds.UID, ds.Status.DesiredNumberScheduled, ds.Status.NumberReady = "uid-provisioner", int32(nodes), int32(nodes)
	})
	s.objects = append(s.objects, ds, configMap(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{labelPodSecurity: "privileged"}}},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "block"}, Provisioner: noProvisioner},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "nfs"}, Provisioner: "nfs.csi.k8s.io"},
		claim("db", "other", func(c *corev1.PersistentVolumeClaim) {
			c.Spec.StorageClassName, c.Spec.VolumeName = new("nfs"), "pv-other"
		}),
		&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-other"}, Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "nfs.csi.k8s.io"}},
		}},
		user("db", "other", "w-0", "other"), user("db", "none", "w-0"),
	)
	for i := range nodes {
		n := fmt.Sprintf("w-%d", i)
		s.objects = append(s.objects,
			node(n, func(n *corev1.Node) {
				n.UID = types.UID("uid-" + n.Name)
				n.Labels = map[string]string{corev1.LabelHostname: n.Name, "zone": "a", "password": "canary"}
			}),
			pod(n, func(p *corev1.Pod) {
				p.UID, p.Status.Conditions = types.UID("uid-own-"+n), []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			}),
			user("db", "db-"+n, n, "data-"+n), claim("db", "data-"+n, func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "pv-" + n }),
			volume("pv-"+n, n, "data-"+n),
			event("Pod", "db", "db-"+n, "uid-db-"+n, "FailedMapVolume"),
			event("PersistentVolumeClaim", "db", "data-"+n, "uid-data-"+n, "WaitForFirstConsumer"),
			event("Node", "", n, n, "Starting"),
		)
		s.logs["provisioner-"+n] = "I1123 02:00:00.000001       1 main.go:1] well\nE1123 02:00:00.000002       1 discovery.go:1] not well on " +
			n + "\n"
		s.stats[n] = fmt.Sprintf(`{"pods":[{"podRef":{"name":"db-%s","namespace":"db"},"volume":[{"name":"data","capacityBytes":60,"pvcRef":{"name":"data-%s","namespace":"db"}}]},
			{"podRef":{"name":"else","namespace":"kube-system"},"volume":[{"capacityBytes":1,"pvcRef":{"name":"x","namespace":"kube-system"}}]}]}`,
			n, n)
	}
	s.objects = append(s.objects, event("DaemonSet", namespace, "provisioner", "uid-provisioner", "FailedCreate"),
		event("Job", "db", "j", "uid-j", "Failed"))
	return s
}

func claim(namespace, name string, change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name)},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: new("block"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")}},
		},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}
	if change != nil {
		change(c)
	}
	return c
}

func volume(name, host, claim string) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"tier": "fast", "password": "canary"}},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName:       "block",
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("60Gi")},
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/var/lib/disks/block/vdf"}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key:      corev1.LabelHostname,
					Operator: corev1.NodeSelectorOpIn,
					Values:   []string{host},
				}},
			}}}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
	}
	if claim != "" {
		pv.Spec.ClaimRef, pv.Status.Phase = &corev1.ObjectReference{Namespace: "db", Name: claim, UID: types.UID("uid-" + claim)},
			corev1.VolumeBound
	}
	return pv
}

func user(namespace, name, on string, claims ...string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": "db"}},
		Spec:       corev1.PodSpec{NodeName: on, Containers: []corev1.Container{{Name: "c"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, c := range claims {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: c, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c},
		}})
		p.Spec.Containers[0].VolumeDevices = append(p.Spec.Containers[0].VolumeDevices, corev1.VolumeDevice{Name: c, DevicePath: "/dev/x"})
	}
	return p
}

func event(kind, space, name, uid, reason string) *corev1.Event {
	at := metav1.NewTime(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC))
	where := space
	if where == "" {
		where = metav1.NamespaceDefault
	}
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: where, Name: name + ".1"},
		InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: space, Name: name, UID: types.UID(uid)},
		Type:           corev1.EventTypeWarning, Reason: reason, Message: "because", Count: 4, FirstTimestamp: at, LastTimestamp: at,
		Source: corev1.EventSource{Component: "kubelet", Host: "w-0"},
	}
}

// diagnosing is a request for all that a diagnosis reads.
func diagnosing(r Request) Request {
	r.Parts, r.Every, r.NamedOnly, r.WithoutPod = Diagnosis, true, true, true
	r.EventReasons, r.LogLine = doctor.EventReasons(), doctor.LogTells
	return r
}

func diagnose(t *testing.T, s *apiServer, r Request) *snapshot.Snapshot {
	t.Helper()
	return diagnoseBy(t, &Observer{Client: s.client(t)}, r)
}

func diagnoseBy(t *testing.T, c *Observer, r Request) *snapshot.Snapshot {
	t.Helper()
	got, err := c.Observe(t.Context(), diagnosing(r))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// For one pod the requests must be the same, and as many, whatever the cluster's size.
func TestOnePodCostsTheSameInAnyCluster(t *testing.T) {
	requests := func(nodes int) string {
		s := cluster(nodes)
		got := diagnose(t, s, Request{Targets: []snapshot.Ref{{Kind: "pod", Namespace: "db", Name: "db-w-1"}}})
		if len(got.Nodes) != 1 || got.Nodes[0].Skipped || len(got.Volumes) != 1 || len(*got.Claims.Value) != 1 || len(*got.Pods.Value) != 1 ||
			len(got.Unread) != 0 {
			t.Errorf("of %d nodes: %+v", nodes, got)
		}
		return fmt.Sprint(s.asked)
	}
	small, large := requests(3), requests(300)
	if small != large {
		t.Errorf("at 3 nodes %s\nat 300 nodes %s", small, large)
	}
	const want = "map[get configmaps:2 get namespaces:1 get nodes:1 get nodes/proxy:1 get persistentvolumeclaims:1 get persistentvolumes:1 " +
		"get pods:1 get pods/log:1 get version:1 list daemonsets:1 list events:5 list pods:1 list storageclasses:1]"
	if small != want {
		t.Errorf("requests = %s\nwant %s", small, want)
	}
}

func TestAPodHasItsWholeChain(t *testing.T) {
	got := diagnose(t, cluster(3), Request{Targets: []snapshot.Ref{{Kind: "pod", Namespace: "db", Name: "db-w-1"}}})
	if got.Version != snapshot.FormatVersion || got.Kubernetes != "v1.37.2" || got.AllVolumes || got.Time.IsZero() ||
		got.Targets[0].UID != "uid-db-w-1" {
		t.Errorf("%+v", got)
	}
	p, c, v, n := (*got.Pods.Value)[0], (*got.Claims.Value)[0], got.Volumes[0], got.Nodes[0]
	if p.Name != "db-w-1" || !p.Volumes[0].Device || c.Name != "data-w-1" || c.NotLocal != "" || v.Name != "pv-w-1" ||
		v.ClaimUID != "uid-data-w-1" || n.Name != "w-1" {
		t.Errorf("%+v\n%+v\n%+v\n%+v", p, c, v, n)
	}
	if n.Pod.Value == nil || n.Pod.Value.Name != "provisioner-w-1" || n.View.Why().Message != "it was not looked at" ||
		n.Talos.Why().Message != "it was not looked at" {
		t.Errorf("node: %+v", n)
	}
	if n.KubeletStarted == nil || n.Stats.Value == nil || fmt.Sprint(*n.Stats.Value) != "[{db db-w-1 data-w-1 60}]" {
		t.Errorf("node: started %v, stats %+v", n.KubeletStarted, n.Stats)
	}
	var about []string
	for _, e := range *got.Events.Value {
		about = append(about, e.About.String()+" "+e.Reason)
	}
	if want := "[daemonset/provisioner FailedCreate node/w-1 Starting pod/db-w-1 FailedMapVolume pvc/data-w-1 WaitForFirstConsumer]"; fmt.Sprint(about) != want {
		t.Errorf("events = %s, want %s", about, want)
	}
	state := *got.Provisioner.Value
	if state.Desired != 3 || state.Ready != 3 || state.PodSecurity != "privileged" || len(state.Pods) != 1 || len(state.Log["w-1"]) != 1 {
		t.Errorf("provisioner: %+v", state)
	}
	if got.StorageClasses["block"].Provisioner != noProvisioner || got.Install.Classes[0].Name != "block" {
		t.Errorf("classes: %+v, %+v", got.StorageClasses, got.Install)
	}
}

// names of a snapshot's parts, to compare.
func parts(s *snapshot.Snapshot) string {
	var pods, claims, volumes, nodes []string
	if s.Pods.Value != nil {
		for _, p := range *s.Pods.Value {
			text := p.Name
			for _, v := range p.Volumes {
				text += "+" + v.Claim + v.HostPath
			}
			pods = append(pods, text)
		}
	}
	if s.Claims.Value != nil {
		for _, c := range *s.Claims.Value {
			text := c.Name
			if c.NotLocal != "" {
				text += "=" + c.NotLocal
			}
			claims = append(claims, text)
		}
	}
	for _, v := range s.Volumes {
		volumes = append(volumes, v.Name+"@"+v.Node)
	}
	for _, n := range s.Nodes {
		if n.Skipped && (n.Pod.Value != nil || strings.HasSuffix(n.Pod.Problem.Message, "has no pod there")) {
			nodes = append(nodes, n.Name+" aside, and its pod looked for: "+n.Pod.Problem.Message)
		} else if n.Skipped {
			nodes = append(nodes, n.Name+" aside")
		} else {
			nodes = append(nodes, n.Name)
		}
	}
	return fmt.Sprint(pods, claims, volumes, nodes)
}

func TestWhatBelongsToATarget(t *testing.T) {
	ref := func(kind, name string) []snapshot.Ref {
		r := snapshot.Ref{Kind: kind, Name: name}
		if kind == "pod" || kind == "pvc" {
			r.Namespace = "db"
		}
		return []snapshot.Ref{r}
	}
	db, err := labels.Parse("app=db")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change  func(*apiServer)
		request Request
		want    string
	}{
		"a claim":  {nil, Request{Targets: ref("pvc", "data-w-1")}, "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]"},
		"a volume": {nil, Request{Targets: ref("pv", "pv-w-1")}, "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]"},
		"a node": {nil, Request{Targets: ref("node", "w-1")},
			"[db-w-1+data-w-1] [data-w-1] [pv-w-0@w-0 pv-w-1@w-1 pv-w-2@w-2] [w-1]"},
		"a pod without a local volume": {nil, Request{Targets: ref("pod", "other")}, "[other+other] [other=nfs.csi.k8s.io] [] [w-0]"},
		"a pod without any":            {nil, Request{Targets: ref("pod", "none")}, "[none] [] [] [w-0]"},
		"several": {nil, Request{Targets: slices.Concat(ref("pod", "db-w-0"), ref("pv", "pv-w-2"))},
			"[db-w-0+data-w-0 db-w-2+data-w-2] [data-w-0 data-w-2] [pv-w-0@w-0 pv-w-2@w-2] [w-0 w-2]"},
		"by labels": {nil, Request{PodSelector: db, PodNamespace: "db"},
			"[db-w-0+data-w-0 db-w-1+data-w-1 db-w-2+data-w-2 none other+other] [data-w-0 data-w-1 data-w-2 other=nfs.csi.k8s.io] [pv-w-0@w-0 pv-w-1@w-1 pv-w-2@w-2] [w-0 w-1 w-2]"},
		"everything": {nil, Request{},
			"[db-w-0+data-w-0 db-w-1+data-w-1 db-w-2+data-w-2] [data-w-0 data-w-1 data-w-2] [pv-w-0@w-0 pv-w-1@w-1 pv-w-2@w-2] [w-0 w-1 w-2]"},
		"a claim that waits": {func(s *apiServer) {
			s.objects = append(s.objects, user("db", "waits", "", "wish"), claim("db", "wish", nil), volume("free", "w-2", ""))
		}, Request{Targets: ref("pod", "waits")},
			"[waits+wish] [wish] [free@w-2 pv-w-0@w-0 pv-w-1@w-1 pv-w-2@w-2] [w-0 aside w-1 aside w-2 aside]"},
		"a claim that waits for another sort of volume": {func(s *apiServer) {
			s.objects = append(s.objects, user("db", "waits", "", "wish"),
				claim("db", "wish", func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = new("nfs") }))
		}, Request{Targets: ref("pod", "waits")}, "[waits+wish] [wish=nfs.csi.k8s.io] [] []"},
		"a claim that does not exist": {func(s *apiServer) { s.objects = append(s.objects, user("db", "waits", "", "wish")) },
			Request{Targets: ref("pod", "waits")}, "[waits+wish] [] [] []"},
		"a volume that does not exist any more": {func(s *apiServer) {
			s.objects = append(s.objects, user("db", "lost", "w-1", "lost"),
				claim("db", "lost", func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "gone" }))
		}, Request{Targets: ref("pod", "lost")}, "[lost+lost] [lost] [] [w-1]"},
		"a claim for one pod at a time": {func(s *apiServer) {
			s.objects = append(s.objects, user("db", "first", "w-1", "one", "data-w-0"), user("db", "second", "w-1", "one"),
				volume("pv-one", "w-1", "one"),
				claim("db", "one", func(c *corev1.PersistentVolumeClaim) {
					c.Spec.AccessModes, c.Spec.VolumeName = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}, "pv-one"
				}))
		}, Request{Targets: ref("pod", "second")}, "[first+one second+one] [one] [pv-one@w-1] [w-1]"},
		"a node of another hostname": {func(s *apiServer) {
			s.objects = append(s.objects, node("n-9",
				func(n *corev1.Node) { n.Labels = map[string]string{corev1.LabelHostname: "n-9.example.org"} }), volume("pv-9", "n-9.example.org", ""))
		}, Request{Targets: ref("pv", "pv-9")}, "[] [] [pv-9@n-9] [n-9]"},
		"a node that is gone": {func(s *apiServer) { s.objects = append(s.objects, volume("pv-9", "n-9", "")) },
			Request{Targets: ref("pv", "pv-9")}, "[] [] [pv-9@n-9] []"},
		"a pod that asks for a node": {func(s *apiServer) {
			p := user("db", "waits", "", "wish")
			p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "w-2"}
			s.objects = append(s.objects, p, claim("db", "wish", nil))
		}, Request{Targets: ref("pod", "waits")}, "[waits+wish] [wish] [pv-w-0@w-0 pv-w-1@w-1 pv-w-2@w-2] [w-0 aside w-1 aside w-2]"},
		"everything, with a typo, a lost claim and a directory": {func(s *apiServer) {
			host := user("x", "host", "w-1")
			host.Spec.Volumes = []corev1.Volume{{
				Name:         "h",
				VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/disks/block/x"}},
			}}
			s.objects = append(s.objects, host, user("x", "lost", "", "nowhere"),
				claim("x", "typo", func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = new("blok") }))
		}, Request{},
			"[db-w-0+data-w-0 db-w-1+data-w-1 db-w-2+data-w-2 host+/var/lib/disks/block/x lost+nowhere] [data-w-0 data-w-1 data-w-2 typo] [pv-w-0@w-0 pv-w-1@w-1 pv-w-2@w-2] [w-0 w-1 w-2]"},
		"everything, with a node that has no disks": {func(s *apiServer) {
			s.objects = append(s.objects, node("cp", func(n *corev1.Node) {
				n.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
			}))
		}, Request{},
			"[db-w-0+data-w-0 db-w-1+data-w-1 db-w-2+data-w-2] [data-w-0 data-w-1 data-w-2] [pv-w-0@w-0 pv-w-1@w-1 pv-w-2@w-2] [cp aside w-0 w-1 w-2]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := cluster(3)
			if c.change != nil {
				c.change(s)
			}
			got := diagnose(t, s, c.request)
			if parts(got) != c.want {
				t.Errorf("%s\nwant %s", parts(got), c.want)
			}
			if len(got.Unread) != 0 {
				t.Errorf("unread: %v", got.Unread)
			}
		})
	}
}

func TestATargetThatDoesNotExistIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		request   Request
		err, hint string
	}{
		"pod": {
			request: Request{Targets: []snapshot.Ref{{Kind: "pod", Namespace: "db", Name: "x"}}},
			err:     `"pod/x" does not exist in namespace "db"`,
			hint:    "kubectl -n db get pod",
		},
		"claim": {
			request: Request{Targets: []snapshot.Ref{{Kind: "pvc", Namespace: "db", Name: "x"}}},
			err:     `"pvc/x" does not exist in namespace "db"`,
			hint:    "kubectl -n db get pvc",
		},
		"volume": {request: Request{Targets: []snapshot.Ref{{Kind: "pv", Name: "x"}}}, err: `"pv/x" does not exist`, hint: "kubectl get pv"},
		"node": {
			request: Request{Targets: []snapshot.Ref{{Kind: "node", Name: "x"}}},
			err:     `"node/x" does not exist`,
			hint:    "kubectl get node",
		},
		"two of three": {
			request: Request{Targets: []snapshot.Ref{{Kind: "node", Name: "x"}, {Kind: "pv", Name: "y"}, {Kind: "node", Name: "w-0"}}},
			err:     "not all targets exist: pv/y: it does not exist; node/x: it does not exist",
		},
		"another sort of volume": {
			request: Request{Targets: []snapshot.Ref{{Kind: "pv", Name: "pv-other"}}},
			err:     `PersistentVolume "pv-other" is not a local one, but nfs.csi.k8s.io`,
		},
		"another kind": {
			request: Request{Targets: []snapshot.Ref{{Kind: "job", Name: "x"}}},
			err:     `"job/x" cannot be diagnosed`,
			hint:    "pod/NAME",
		},
		"labels": {request: Request{PodSelector: labels.SelectorFromSet(labels.Set{"a": "b"}), PodNamespace: "db"},
			err: `no pod in namespace "db" has the labels a=b`, hint: "kubectl -n db get pods --show-labels"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Observer{Client: cluster(1).client(t)}).Observe(t.Context(), diagnosing(c.request))
			if err == nil || err.Error() != c.err || failure.Hint(err) != c.hint && !strings.HasPrefix(failure.Hint(err), c.hint) {
				t.Errorf("error %v, hint %q", err, failure.Hint(err))
			}
		})
	}
}

// Of the whole cluster one list of each kind is read; only nodes are asked one by one.
func TestEverythingCostsOneListOfEach(t *testing.T) {
	requests := func(nodes int) (string, *snapshot.Snapshot) {
		s := cluster(nodes)
		s.objects = append(s.objects, event("Pod", "db", "none", "uid-none", "BackOff"))
		got := diagnose(t, s, Request{})
		for _, perNode := range []string{"get nodes/proxy", "get pods/log"} {
			if s.asked[perNode] != nodes {
				t.Errorf("%s: %d times for %d nodes", perNode, s.asked[perNode], nodes)
			}
			delete(s.asked, perNode)
		}
		return fmt.Sprint(s.asked), got
	}
	small, got := requests(2)
	large, _ := requests(80)
	if small != large {
		t.Errorf("at 2 nodes %s\nat 80 nodes %s", small, large)
	}
	const want = "map[get configmaps:2 get namespaces:1 get version:1 list daemonsets:1 list events:1 list nodes:1 list persistentvolumeclaims:1 " +
		"list persistentvolumes:1 list pods:2 list storageclasses:1]"
	if small != want {
		t.Errorf("requests = %s\nwant %s", small, want)
	}
	for _, e := range *got.Events.Value {
		if e.About.Name == "none" {
			t.Errorf("an event about a pod that has nothing to do with it: %+v", e)
		}
	}
	if users := (*got.Users.Value)[snapshot.ClaimRef{Namespace: "db", Name: "data-w-1"}]; fmt.Sprint(users) != "[db-w-1]" || !got.AllVolumes {
		t.Errorf("users %q, all volumes %v", users, got.AllVolumes)
	}
}
