// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// TestRolesAreWhatIsAsked holds the roles of docs/rbac to the requests that are made: a right that is missing makes a command fail,
// and one too many is not minimal.
func TestRolesAreWhatIsAsked(t *testing.T) {
	observe := func(r Request) func(*testing.T, *apiServer) {
		r.Strict = true // A look is pods/exec.
		return func(t *testing.T, s *apiServer) {
			if _, err := (&Observer{Client: s.client(t)}).Observe(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	pods := make([]snapshot.Ref, 0, 2*few)
	for _, n := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		pods = append(pods, snapshot.Ref{Kind: kindPod, Namespace: "db", Name: "db-w-" + n})
	}
	for role, c := range map[string]struct {
		run func(*testing.T, *apiServer)
		// besides are rights that others than this package use: what acts, and what looks through pods;
		// and those for what this cluster does not have: a released volume, which a Job may clean.
		besides []string
	}{
		"disks":  {run: observe(Request{Parts: Users}), besides: []string{"create pods/exec"}},
		"layout": {run: observe(Request{}), besides: []string{"create pods/exec"}},
		"diff":   {run: observe(Request{}), besides: []string{"create pods/exec"}},
		"values": {run: observe(Request{})},
		"link": {
			run:     observe(Request{Trust: true}),
			besides: []string{"create pods/exec", "watch persistentvolumes", "patch persistentvolumes", "create configmaps", "patch configmaps"},
		},
		"unlink": {
			run:     observe(Request{Parts: Users, Trust: true}),
			besides: []string{"create pods/exec", "get persistentvolumes", "delete persistentvolumes", "patch configmaps"},
		},
		"mounts":      {run: observe(Request{Parts: Users, Trust: true}), besides: []string{"get nodes"}},
		"mounts-list": {run: observe(Request{})},
		"status":      {run: func(t *testing.T, s *apiServer) { diagnose(t, s, Request{}) }, besides: []string{"create pods/exec", "list jobs"}},
		"doctor": {run: func(t *testing.T, s *apiServer) {
			diagnose(t, s, Request{})
			diagnose(t, s, Request{Targets: pods[:1]})
			diagnose(t, s, Request{Targets: pods})
			diagnose(t, s, Request{Targets: []snapshot.Ref{{Kind: kindClaim, Namespace: "db", Name: "data-w-1"}}})
			diagnose(t, s, Request{Targets: []snapshot.Ref{{Kind: kindVolume, Name: "pv-w-1"}}})
			diagnose(t, s, Request{Targets: []snapshot.Ref{{Kind: kindNode, Name: "w-1"}}})
			diagnose(t, s, Request{PodSelector: labels.SelectorFromSet(labels.Set{"app": "db"}), AllNamespaces: true})
		}, besides: []string{"create pods/exec", "list jobs"}},
		// Beside doctor, and in kube-system.
		"doctor-probe": {run: func(t *testing.T, s *apiServer) {
			probes := &kube.KubeletProbes{Client: s.client(t)}
			for _, s.probes = range []bool{true, false} {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if _, err := probes.Probe(ctx, "w-1", "image", nil); err == nil {
					t.Error("an answer that has nothing in it is taken for one")
				}
			}
		}},
	} {
		t.Run(role, func(t *testing.T) {
			s := cluster(12)
			c.run(t, s)
			asked := maps.Clone(s.asked)
			delete(asked, "get version")     // Everybody may.
			delete(asked, "get nodes/proxy") // It is optional, and has a role of its own.
			want := append(slices.Collect(maps.Keys(asked)), c.besides...)
			slices.Sort(want)
			want = slices.Compact(want)
			if got := rightsOf(t, role); !slices.Equal(got, want) {
				t.Errorf("docs/rbac/%s.yaml gives\n%q\nneeded are\n%q", role, got, want)
			}
		})
	}
}

// rightsOf are the verbs and resources of a role's file, each once, and sorted.
func rightsOf(t *testing.T, role string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "rbac", role+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var r rbacv1.Role
		if err := yaml.UnmarshalStrict(document, &r); err != nil {
			t.Fatal(err)
		}
		for _, rule := range r.Rules {
			for _, resource := range rule.Resources {
				if group, known := groups[resource]; known && rule.APIGroups[0] != group || !known && rule.APIGroups[0] != corev1.GroupName {
					t.Errorf("%s is not of the group %q", resource, rule.APIGroups[0])
				}
				for _, verb := range rule.Verbs {
					all = append(all, verb+" "+resource)
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// groups are those of what is not of the core.
var groups = map[string]string{"daemonsets": "apps", "jobs": "batch", "storageclasses": "storage.k8s.io"}
