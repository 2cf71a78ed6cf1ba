// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// Nothing is made for anyone who lacks any of the rights, and all of them are named; they are asked for once.
func TestKubeletProbesAskForAllRightsFirst(t *testing.T) {
	for name, c := range map[string]struct {
		denied []string
		says   []string
	}{
		"to delete": {
			denied: []string{"delete jobs"},
			says:   []string{`User "jane" cannot delete resource "jobs" in API group "batch" in the namespace "kube-system"`},
		},
		"two of them": {denied: []string{"create jobs", "get pods/log"}, says: []string{
			`cannot create resource "jobs" in API group "batch" in the namespace "kube-system"`,
			`cannot get resource "pods/log" in API group "" in the namespace "kube-system"`,
		}},
		"none": {},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var reviewed, other []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				w.Header().Set("Content-Type", "application/json")
				var answer any
				switch {
				case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
					var review authorizationv1.SelfSubjectAccessReview
					if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
						t.Error(err)
					}
					a := review.Spec.ResourceAttributes
					right := a.Verb + " " + a.Resource
					if a.Subresource != "" {
						right += "/" + a.Subresource
					}
					reviewed = append(reviewed, right)
					review.Status.Allowed = a.Namespace == "kube-system" && !slices.Contains(c.denied, right)
					answer = review
				case strings.HasSuffix(r.URL.Path, "/selfsubjectreviews"):
					answer = authenticationv1.SelfSubjectReview{
						Status: authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: "jane"}},
					}
				default:
					other = append(other, r.Method+" "+r.URL.Path)
					w.WriteHeader(http.StatusForbidden)
					answer = metav1.Status{
						TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
						Status:   "Failure",
						Reason:   metav1.StatusReasonForbidden,
						Code:     http.StatusForbidden,
						Message:  "made",
					}
				}
				if err := json.NewEncoder(w).Encode(answer); err != nil {
					t.Error(err)
				}
			}))
			t.Cleanup(server.Close)
			client, err := NewClient(&rest.Config{Host: server.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
			if err != nil {
				t.Fatal(err)
			}
			p := &AllowedKubeletProbes{KubeletProbes: &KubeletProbes{Client: client}}
			for range 2 {
				_, err := p.Probe(t.Context(), "w-1", "image", nil)
				if err == nil {
					t.Fatal("it has looked")
				}
				for _, part := range c.says {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q lacks %q", err, part)
					}
				}
				if strings.Count(err.Error(), "cannot ") != len(c.says) {
					t.Errorf("%q", err)
				}
			}
			slices.Sort(reviewed)
			if want := []string{"create jobs", "delete jobs", "get pods/log", "list jobs", "list pods", "watch pods"}; !slices.Equal(reviewed,
				want) {
				t.Errorf("asked for %q", reviewed)
			}
			if (len(other) > 0) != (len(c.denied) == 0) {
				t.Errorf("asked %q", other)
			}
		})
	}
}
