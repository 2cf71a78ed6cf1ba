// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// TestTalosAloneBeforeThereIsAProvisioner: what disks there are is the first thing to find out, before one is installed.
func TestTalosAloneBeforeThereIsAProvisioner(t *testing.T) {
	nodes := []runtime.Object{node("w-1", nil), node("w-2", nil)}
	with := append([]runtime.Object{daemonSet("provisioner", nil), configMap()}, nodes...)
	for name, c := range map[string]struct {
		objects []runtime.Object
		talos   Talos
		request Request
		alone   bool
		hint    string // of the error, where there is one
	}{
		"no provisioner":                   {nodes, &nodesTalos{}, Request{WithoutPod: true}, true, ""},
		"no provisioner, and no Talos":     {nodes, nil, Request{WithoutPod: true}, false, "which needs no provisioner: --talosconfig FILE"},
		"no provisioner, of that name":     {nodes, &nodesTalos{}, Request{WithoutPod: true, DaemonSet: "x"}, false, "--provisioner DAEMONSET"},
		"no provisioner, in the namespace": {nodes, &nodesTalos{}, Request{WithoutPod: true, Namespace: "x"}, false, "--provisioner DAEMONSET"},
		"a command that needs its pods":    {nodes, &nodesTalos{}, Request{}, false, "--provisioner DAEMONSET"},
		"a provisioner":                    {with, &nodesTalos{}, Request{WithoutPod: true}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.request.Strict, c.request.Parts = true, OnNodes
			observer := Observer{Client: fake.NewClientset(c.objects...), Pods: &kube.Pods{}, Talos: c.talos}
			s, err := observer.Observe(t.Context(), c.request)
			if c.hint != "" {
				if err == nil || !strings.Contains(failure.Hint(err), c.hint) {
					t.Fatalf("%v, hint %q", err, failure.Hint(err))
				}
				return
			}
			if err != nil || len(s.Nodes) != 2 {
				t.Fatalf("%+v, %v", s, err)
			}
			if got := s.Unread[snapshot.PartInstall].Message != "" && s.Install.Name == ""; got != c.alone {
				t.Errorf("%q, %+v", s.Unread, s.Install)
			}
			if n := s.Nodes[0]; n.Talos.Value == nil || n.View.Value != nil || n.View.Why().Message == "" {
				t.Errorf("%+v", n)
			}
			if n := s.Nodes[1]; c.alone && (n.Wanted || n.View.Why().Message != "there is no provisioner in the cluster" ||
				n.Talos.Why().Message != "no answer") {
				t.Errorf("%+v", n)
			}
		})
	}
}
