// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// ofProbes chooses the Jobs of --probe, and their pods.
var ofProbes = metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=kubectl-talosdisk,app.kubernetes.io/component=probe"}

func probeJobs(t *testing.T) int {
	t.Helper()
	jobs, err := kube().BatchV1().Jobs("kube-system").List(t.Context(), ofProbes)
	if err != nil {
		t.Fatal(err)
	}
	return len(jobs.Items)
}

// wantNoProbes wants no Job when the program has ended, and no pod soon after.
func wantNoProbes(t *testing.T) {
	t.Helper()
	if n := probeJobs(t); n > 0 {
		t.Errorf("%d Jobs are left over", n)
	}
	eventually(t, 30*time.Second, func() string {
		pods, err := kube().CoreV1().Pods("kube-system").List(t.Context(), ofProbes)
		switch {
		case err != nil:
			return err.Error()
		case len(pods.Items) > 0:
			return "pod " + pods.Items[0].Name + " is left over"
		}
		return ""
	})
}

// probed diagnoses with --probe and without Talos. The cause must be named first, by what
// the kubelet was seen to see.
func probed(t *testing.T, code string, target string) finding {
	t.Helper()
	if without := run(t, "doctor", target, "-o", "json").diagnosis(t); probeJobs(t) > 0 ||
		len(without.Findings) > 0 && without.Findings[0].Code == code && code != "TD0401" {
		t.Errorf("without --probe: %d Jobs, %+v", probeJobs(t), without.Findings)
	}
	r := run(t, "doctor", target, "--probe", "-o", "json")
	t.Logf("%s --probe took %s", target, r.took.Round(time.Millisecond))
	wantNoProbes(t)
	d := r.wantCode(t, 2).diagnosis(t)
	if len(d.Findings) == 0 || d.Findings[0].Code != code || len(d.errors()) != 1 {
		t.Fatalf("the only error is not %s\n%s", code, brief(r, d))
	}
	if strings.Contains(r.stdout, "warning:") || strings.Contains(r.stderr, "warning:") {
		t.Errorf("it warns\n%s", r)
	}
	f := d.Findings[0]
	if !slices.ContainsFunc(f.Evidence, func(e string) bool { return strings.Contains(e, "the kubelet no") }) {
		t.Errorf("nothing tells what the kubelet sees\n%s", brief(r, d))
	}
	// What only the configuration tells stays unknown.
	if unknown := d.unknown(); !slices.Contains(unknown, "TD0402") || !slices.Contains(unknown, "TD0307") {
		t.Errorf("unknown are %q", unknown)
	}
	return f
}

// restart starts worker-2's kubelet with an extra mount of those options, and at the end of
// the test with none.
func restart(t *testing.T, n *cluster.Node, options ...string) {
	t.Helper()
	t.Cleanup(func() {
		if err := n.StartKubelet(withoutEnd(t)); err != nil {
			t.Error(err)
		}
	})
	if err := n.StartKubelet(t.Context(), cluster.Mount{Source: disksDir, Destination: disksDir, Options: options}); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorProbe looks through real kubelets' eyes without the Talos API.
func TestDoctorProbe(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"without the mount", probeUnseen},
		{"bind over a mounted disk", probeBind},
		{"private, and a disk mounted later", probePrivate},
		{"another directory", probeOther},
		{"everything in order", probeWell},
		{"cordoned and tainted", probeTainted},
		{"NotReady", probeNotReady},
		{"interrupted", probeInterrupted},
		{"forbidden", probeForbidden},
		{"with the role for it", probeGranted},
		{"an image that cannot be had", probeNoImage},
		{"Talos tells", probeNotNeeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t, manifests.Default())
			c.do(t)
		})
	}
}

func probeUnseen(t *testing.T) {
	n, _, pv := linked(t)
	volume(t, pv)
	// No pod has failed, and no event tells.
	probed(t, "TD0401", "node/"+n.Name())
	pod := blockPod(t)
	wantEvent(t, pod, "FailedMapVolume", disksDir)
	f := probed(t, "TD0401", "pod/reader")
	if !slices.ContainsFunc(f.Evidence, func(e string) bool {
		return strings.Contains(e, "the node yes, the provisioner's pod yes, the kubelet no")
	}) {
		t.Errorf("the three views are not among %q", f.Evidence)
	}
	if !slices.ContainsFunc(f.Fix, func(s struct{ Text, Command string }) bool {
		return s.Command == "kubectl talosdisk mounts --nodes "+n.Name()
	}) {
		t.Errorf("the fix is %+v", f.Fix)
	}
	again(t, pod)
}

func probeBind(t *testing.T) {
	n := node(t, "worker-2")
	d, path := mountDisk(t, n)
	restart(t, n, "bind", "rshared", "rw")
	volume(t, pvName(d.Name, n.Name(), filesClass))
	filesPod(t)
	waitReady(t, "writer")
	onSystemDisk(t, n, path)
	probed(t, "TD0403", "pod/writer").wantWords(t, "replace bind by rbind")
	wipeBeneath(t, n, d, path)
}

// wipeBeneath removes the pod, and what it has written where it should not.
func wipeBeneath(t *testing.T, n *cluster.Node, d cluster.Disk, path string) {
	t.Helper()
	again(t, getPod(t, "writer"))
	sh(t, n, `umount $2 && rm $2/written-by && mount /dev/$1 $2`, d.Name, path)
}

func probePrivate(t *testing.T) {
	n := node(t, "worker-2")
	restart(t, n, "rbind", "rprivate", "rw")
	d, path := mountDisk(t, n)
	volume(t, pvName(d.Name, n.Name(), filesClass))
	filesPod(t)
	waitReady(t, "writer")
	onSystemDisk(t, n, path)
	probed(t, "TD0404", "pod/writer").wantWords(t, "rbind, rslave and rw")
	wipeBeneath(t, n, d, path)
}

func probeOther(t *testing.T) {
	n, _, pv := linked(t)
	volume(t, pv)
	cleanupSh(t, n, `rmdir /var/lib/other`)
	sh(t, n, `mkdir /var/lib/other`)
	t.Cleanup(func() {
		if err := n.StartKubelet(withoutEnd(t)); err != nil {
			t.Error(err)
		}
	})
	if err := n.StartKubelet(t.Context(), cluster.Mount{Source: "/var/lib/other", Destination: disksDir}); err != nil {
		t.Fatal(err)
	}
	probed(t, "TD0406", "node/"+n.Name()).wantWords(t, "make source and destination")
}

func probeWell(t *testing.T) {
	n, _, pv := linked(t)
	restart(t, n)
	volume(t, pv)
	blockPod(t)
	waitReady(t, "reader")
	r := run(t, "doctor", "pod/reader", "--probe", "-o", "json").wantCode(t, 3)
	wantNoProbes(t)
	if d := r.diagnosis(t); len(d.errors()) > 0 || slices.Contains(d.unknown(), "TD0401") || !slices.Contains(d.unknown(), "TD0403") {
		t.Errorf("a kubelet that sees everything\n%s", brief(r, d))
	}
	again(t, getPod(t, "reader"))
}

func probeTainted(t *testing.T) {
	n, _, pv := linked(t)
	volume(t, pv)
	spec := func(text string) {
		if _, err := kube().CoreV1().Nodes().Patch(withoutEnd(t), n.Name(), types.MergePatchType, []byte(`{"spec":`+text+`}`),
			metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { spec(`{"unschedulable":null,"taints":null}`) })
	spec(`{"unschedulable":true,"taints":[{"key":"full","value":"yes","effect":"NoSchedule"}]}`)
	probed(t, "TD0401", "pv/"+pv)
}

func probeNotReady(t *testing.T) {
	n, _, pv := linked(t)
	volume(t, pv)
	t.Cleanup(func() {
		if err := n.StartKubelet(withoutEnd(t)); err != nil {
			t.Error(err)
		}
	})
	if err := n.StopKubelet(t.Context()); err != nil {
		t.Fatal(err)
	}
	setReady(t, n, corev1.ConditionUnknown, "NodeStatusUnknown")
	r := run(t, "doctor", "pv/"+pv, "--probe", "--node-timeout", "5s", "-o", "json")
	d := r.diagnosis(t)
	if why := unknownWhy(d, "TD0403"); !strings.Contains(why, "no Job could look: the node is NotReady") || probeJobs(t) > 0 {
		t.Errorf("TD0403 is unknown because of %q, with %d Jobs\n%s", why, probeJobs(t), brief(r, d))
	}
}

// unknownWhy is why a check could not be answered.
func unknownWhy(d diagnosis, code string) string {
	for _, r := range d.Results {
		if r.Code == code && r.Outcome == "unknown" {
			return r.Why
		}
	}
	return ""
}

// A kubelet that hangs starts no pod.
func probeInterrupted(t *testing.T) {
	n, _, pv := linked(t)
	volume(t, pv)
	stopKubelet(t, n)
	p := command{args: []string{"doctor", "pv/" + pv, "--probe"}}.start(t)
	eventually(t, 20*time.Second, func() string {
		if probeJobs(t) == 0 {
			return "there is no Job"
		}
		return ""
	})
	interrupted := time.Now()
	p.signal(syscall.SIGINT)
	p.wait().wantError(t, "interrupted")
	if took := time.Since(interrupted); took > 20*time.Second {
		t.Errorf("it went on for %s", took)
	}
	if jobs := probeJobs(t); jobs > 0 {
		t.Errorf("%d Jobs are left over", jobs)
	}
	sh(t, n, `runc --root /run/runc-kubelet kill kubelet CONT`)
	wantNoProbes(t)
}

func probeForbidden(t *testing.T) {
	_, _, pv := linked(t)
	volume(t, pv)
	kubeconfig := granted(t, "no-probe", "doctor", "sizes")
	r := command{kubeconfig: kubeconfig, args: []string{"doctor", "pv/" + pv, "--probe", "-o", "json"}}.run(t).wantCode(t, 3)
	d := r.diagnosis(t)
	i := slices.IndexFunc(d.Findings, func(f finding) bool { return f.Code == "TD0101" })
	for _, right := range []string{"create jobs.batch", "delete jobs.batch", "list jobs.batch", "watch pods", "get pods/log"} {
		if i < 0 || !slices.Contains(d.Findings[i].Evidence, fmt.Sprintf("forbidden: %s in namespace %q", right, "kube-system")) {
			t.Errorf("TD0101 does not name the right to %s\n%s", right, brief(r, d))
		}
	}
	if why := unknownWhy(d, "TD0403"); !strings.Contains(why, "forbidden") {
		t.Errorf("TD0403 is unknown because of %q", why)
	}
}

// The role is enough to look, and to leave nothing behind.
func probeGranted(t *testing.T) {
	_, _, pv := linked(t)
	volume(t, pv)
	kubeconfig := granted(t, "only-probe", "doctor", "sizes", "doctor-probe")
	r := command{kubeconfig: kubeconfig, args: []string{"doctor", "pv/" + pv, "--probe", "-o", "json"}}.run(t).wantCode(t, 2)
	wantNoProbes(t)
	if d := r.diagnosis(t); !slices.Equal(d.errors(), []string{"TD0401"}) || strings.Contains(r.stdout+r.stderr, "forbidden") ||
		r.stderr != "" {
		t.Errorf("with docs/rbac/doctor-probe.yaml\n%s\n%s", r.stderr, brief(r, d))
	}
}

// The pod says why it does not start, and nobody waits for it.
func probeNoImage(t *testing.T) {
	n, _, pv := linked(t)
	volume(t, pv)
	p := manifests.Default()
	ds, err := kube().AppsV1().DaemonSets(p.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(ds.Items) != 1 {
		t.Fatalf("%d DaemonSets, %v", len(ds.Items), err)
	}
	// The pods that run stay.
	api, was := kube().AppsV1().DaemonSets(p.Namespace), ds.Items[0].Spec
	set := func(spec appsv1.DaemonSetSpec) {
		now, err := api.Get(withoutEnd(t), ds.Items[0].Name, metav1.GetOptions{})
		if err == nil {
			now.Spec = spec
			_, err = api.Update(withoutEnd(t), now, metav1.UpdateOptions{})
		}
		if err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { set(was) })
	without := *was.DeepCopy()
	without.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
	without.Template.Spec.Containers[0].Image = "registry.invalid/local-volume-provisioner:none"
	set(without)
	r := run(t, "doctor", "pv/"+pv, "--probe", "--node-timeout=60s", "-o", "json")
	wantNoProbes(t)
	d := r.diagnosis(t)
	if why := unknownWhy(d, "TD0403"); !strings.Contains(why, "registry.invalid") || r.took > 45*time.Second {
		t.Errorf("after %s, TD0403 on %s is unknown because of %q\n%s", r.took, n.Name(), why, brief(r, d))
	}
}

func probeNotNeeded(t *testing.T) {
	_, _, pv := linked(t)
	volume(t, pv)
	talos := startTalos(t, talosnode.Options{})
	var most int
	p := talos.command("doctor", "pv/"+pv, "--probe", "-o", "json").start(t)
	ended := make(chan result, 1)
	go func() { ended <- p.wait() }()
	for r := (result{}); r.args == nil; {
		most = max(most, probeJobs(t))
		select {
		case r = <-ended:
			r.wantStderr(t, "note: --probe started nothing: Talos reported what the kubelets see")
			if d := r.diagnosis(t); len(d.Findings) == 0 || d.Findings[0].Code != "TD0401" || slices.Contains(d.unknown(), "TD0403") {
				t.Errorf("with Talos\n%s", brief(r, d))
			}
		default:
		}
	}
	if most > 0 {
		t.Errorf("%d Jobs were started", most)
	}
}
