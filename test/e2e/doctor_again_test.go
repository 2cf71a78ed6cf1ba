// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// controllerManager sends a signal to the cluster's kube-controller-manager.
func controllerManager(t *testing.T, s syscall.Signal) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	sent := false
	for _, path := range found {
		words, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(words, []byte("\x00kube-controller-manager\x00")) ||
			!bytes.Contains(words, []byte(filepath.Dir(theCluster.Kubeconfig()))) {
			continue // It has ended, or is another.
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
		sent = true
	}
	if !sent {
		t.Fatal("there is no kube-controller-manager")
	}
}

// deleteUnderClaim deletes a bound volume, and returns when the provisioner has made it again and
// nobody has it. Kubernetes looks at a claim that lost its volume every 15 seconds, and gives it the one
// that it finds under the name; so that it stays like this, the controller manager stands still.
func deleteUnderClaim(t *testing.T, n *cluster.Node, pv string) *corev1.PersistentVolume {
	t.Helper()
	for range 3 {
		before := volume(t, pv)
		provisionerProcess(t, n, "STOP")
		kubectl(t, nil, "delete", "pv", pv, "--wait=false")
		kubectl(t, nil, "patch", "pv", pv, "-p", `{"metadata":{"finalizers":null}}`)
		claimInPhase(t, corev1.ClaimLost)
		provisionerProcess(t, n, "CONT")
		volumeInPhase(t, pv, corev1.VolumeAvailable)
		controllerManager(t, syscall.SIGSTOP)
		if again := volume(t, pv); again.Spec.ClaimRef == nil {
			if again.UID == before.UID || len(again.Annotations) != 1 {
				t.Fatalf("the volume made again is %+v", again.ObjectMeta)
			}
			return again
		}
		controllerManager(t, syscall.SIGCONT)
		claimInPhase(t, corev1.ClaimBound)
	}
	t.Fatal("each time the claim had the volume again before anybody could look")
	return nil
}

func claimInPhase(t *testing.T, phase corev1.PersistentVolumeClaimPhase) {
	t.Helper()
	eventually(t, 40*time.Second, func() string {
		claim, err := kube().CoreV1().PersistentVolumeClaims("default").Get(t.Context(), "device", metav1.GetOptions{})
		if err != nil || claim.Status.Phase != phase {
			return fmt.Sprintf("the claim is %s (%v), not %s", claim.Status.Phase, err, phase)
		}
		return ""
	})
}

func volumeMadeAgainUnderClaim(t *testing.T, p *causeTest) {
	n, _, pv := linked(t)
	volume(t, pv)
	blockPod(t)
	waitReady(t, "reader")
	goOn := func() {
		provisionerProcess(t, n, "CONT")
		controllerManager(t, syscall.SIGCONT)
	}
	t.Cleanup(goOn)
	again := deleteUnderClaim(t, n, pv)
	f := p.diagnose(t, "pvc/device")
	if f.Severity != "error" || !strings.Contains(f.String(), pv) {
		t.Errorf("%s\nwant an error that names the volume", f)
	}
	p.execute(t, f, "kubectl patch pv ")
	goOn()
	claimInPhase(t, corev1.ClaimBound)
	if got := volumeInPhase(t, pv, corev1.VolumeBound); got.UID != again.UID || got.Spec.ClaimRef.Name != "device" {
		t.Errorf("volume %s of %+v, want %s of device", got.UID, got.Spec.ClaimRef, again.UID)
	}
	waitReady(t, "reader")
}

// A node that was deleted and has come back has another UID. Its provisioner's pod has lived on,
// and does not know: the volume that it makes again is the old node's again.
func nodeRecreated(t *testing.T, p *causeTest) {
	n, _, pv := linked(t)
	before := volume(t, pv)
	of := manifests.Default()
	pod, why := podOn(t.Context(), of, n)
	if why != "" {
		t.Fatal(why)
	}
	old, err := kube().CoreV1().Nodes().Get(t.Context(), n.Name(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, nil, "delete", "node", n.Name(), "--wait=false")
	p.entries(t, "rbind, rshared, rw") // A kubelet registers its node when it starts.
	eventually(t, 60*time.Second, func() string {
		node, err := kube().CoreV1().Nodes().Get(t.Context(), n.Name(), metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if node.UID == old.UID {
			return "the node is the old one"
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return ""
			}
		}
		return "the node is not ready"
	})
	waitRunning(t, of)
	same, why := podOn(t.Context(), of, n)
	if why != "" || same.UID != pod.UID {
		t.Fatalf("the provisioner's pod has not lived on (%s)", why)
	}

	// By itself, or by the old advice, it does not get well.
	kubectl(t, nil, "delete", "pv", pv)
	made := func() *corev1.PersistentVolume {
		var got *corev1.PersistentVolume
		uid := before.UID
		eventually(t, volumeTimeout, func() string {
			if got = volume(t, pv); got.UID == uid {
				return "the volume is not made again"
			}
			return ""
		})
		before = got
		return got
	}
	const by = "pv.kubernetes.io/provisioned-by"
	if got := made().Annotations[by]; !strings.HasSuffix(got, string(old.UID)) {
		t.Fatalf("the pod that has lived on made the volume as %s", got)
	}

	f := p.diagnose(t, "pv/"+pv)
	var commands []string
	for _, s := range f.Fix {
		commands = append(commands, s.Command)
	}
	first := slices.IndexFunc(commands, func(c string) bool { return strings.HasPrefix(c, "kubectl -n local-storage delete pod") })
	then := slices.IndexFunc(commands, func(c string) bool { return strings.HasPrefix(c, "kubectl delete pv ") })
	if first < 0 || then < first {
		t.Fatalf("the provisioner's pod is not deleted first, and then the volume: %q", commands)
	}
	p.execute(t, f, "kubectl -n local-storage delete pod", "kubectl delete pv ")
	if got := made().Annotations[by]; strings.HasSuffix(got, string(old.UID)) {
		t.Errorf("the volume is by %s, the old node's", got)
	}
	waitRunning(t, of)
	if d := p.run("doctor", "pv/"+pv, "-o", "json").diagnosis(t); len(d.errors()) > 0 {
		t.Errorf("errors %q", d.errors())
	}
	blockPod(t)
	waitReady(t, "reader")
	kubectl(t, nil, "delete", "pod/reader", "--grace-period=1")
}
