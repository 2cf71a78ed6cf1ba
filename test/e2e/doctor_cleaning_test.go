// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// cleanedBy is an installation whose block cleaner is a command.
func cleanedBy(command string) manifests.Provisioner {
	of := manifests.Default()
	of.Classes[0].BlockCleanerCommand = []string{"sh", "-c", command}
	return of
}

// letGo is a volume of worker-2 whose claim has just gone, for of to clean.
func letGo(t *testing.T, of manifests.Provisioner) (n *cluster.Node, pv string) {
	t.Helper()
	begin(t, of)
	n, pv = released(t)
	kubectl(t, nil, "delete", "pod/reader", "pvc/device", "--grace-period=1")
	volumeInPhase(t, pv, corev1.VolumeReleased)
	return n, pv
}

// The provisioner starts its cleaner again and again. No event says that it fails.
func cleanerFails(t *testing.T, p *causeTest) {
	of := cleanedBy("echo no luck >&2; exit 1")
	n, pv := letGo(t, of)
	events := func(reason string) (count int) {
		list, err := kube().CoreV1().Events("default").List(t.Context(),
			metav1.ListOptions{FieldSelector: "reason=" + reason + ",involvedObject.name=" + pv})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			count += int(max(e.Count, 1))
		}
		return count
	}
	eventually(t, volumeTimeout, func() string {
		if got := events("VolumeDelete"); got < 3 {
			return fmt.Sprintf("%d starts", got)
		}
		return ""
	})
	if got := events("VolumeFailedDelete"); got > 0 {
		t.Errorf("%d events VolumeFailedDelete: 2.9.0 has none", got)
	}
	log := provisionerLog(t, of, n)
	for _, text := range []string{"deleter.go:", "] exit status 1\n", "Cleanup for pv " + pv + " failed. Restarting cleanup"} {
		if why := lacks(log, text); why != "" {
			t.Error(why)
		}
	}
	f := p.diagnose(t, "pv/"+pv)
	if !strings.Contains(f.String(), "no luck") {
		t.Errorf("%s\nwant what the cleaner said", f)
	}
	workingCleaner(t)
	volumeInPhase(t, pv, corev1.VolumeAvailable)
}

// The Job's pod fails, and the provisioner says nothing at all.
func cleaningJobFails(t *testing.T, p *causeTest) {
	of := cleanedBy("echo no luck >&2; exit 1")
	of.UseJobForCleaning = true
	_, pv := letGo(t, of)
	eventually(t, 60*time.Second, func() string {
		pods, err := kube().CoreV1().Pods(of.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=cleanup-" + pv})
		if err != nil || len(pods.Items) == 0 {
			return fmt.Sprintf("the Job has no pod (%v)", err)
		}
		for _, s := range pods.Items[0].Status.ContainerStatuses {
			if s.RestartCount > 0 && s.State.Waiting != nil {
				return ""
			}
		}
		return "the Job's pod has not failed"
	})
	f := p.diagnose(t, "pv/"+pv)
	if !strings.Contains(f.String(), "cleanup-"+pv) {
		t.Errorf("%s\nwant the Job", f)
	}
	workingCleaner(t)
	p.execute(t, f, "kubectl -n local-storage delete job ") // With the cleaner of before, the new one would fail too.
	volumeInPhase(t, pv, corev1.VolumeAvailable)
}

// workingCleaner gives the class the default cleaner, and waits for the pods that have it.
func workingCleaner(t *testing.T) {
	t.Helper()
	of := manifests.Default()
	of.UseJobForCleaning = installed[0].UseJobForCleaning
	apply(t, of.ConfigMap(), of.DaemonSet())
	installed = []manifests.Provisioner{of}
	kubectl(t, nil, "-n", of.Namespace, "rollout", "status", "daemonset", of.FullName(), "--timeout=60s")
}

func (f finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s[%s]: %s\n  because: %s\n", f.Severity, f.Code, f.Summary, f.Because)
	for _, e := range f.Evidence {
		fmt.Fprintf(&b, "  evidence: %s\n", e)
	}
	for _, s := range f.Fix {
		fmt.Fprintf(&b, "  fix: %s $ %s\n", s.Text, s.Command)
	}
	return b.String()
}
