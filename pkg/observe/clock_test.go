// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
)

// A snapshot's time is the cluster's, whatever the clock of the machine that it is made on
// says; without a date in the answer it is that machine's. What stands before the API
// server's own paths stays.
func TestTheTimeIsTheCluster(t *testing.T) {
	for name, tt := range map[string]struct {
		ahead   time.Duration
		undated bool
		below   string
	}{
		"the same":         {},
		"behind us":        {ahead: -20 * time.Minute},
		"ahead of us":      {ahead: 3 * time.Hour},
		"behind a gateway": {ahead: time.Hour, below: "/k8s/clusters/c-1"},
		"undated":          {undated: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := cluster(2)
			server := httptest.NewServer(http.StripPrefix(tt.below, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Date"] = nil
				if !tt.undated {
					w.Header().Set("Date", time.Now().Add(tt.ahead).UTC().Format(http.TimeFormat))
				}
				if agent := r.Header.Get("User-Agent"); !strings.HasPrefix(agent, "somebody") {
					t.Errorf("%s is asked by %q", r.URL, agent)
				}
				s.ServeHTTP(w, r)
			})))
			defer server.Close()
			client, err := kube.NewClient(&rest.Config{
				Host:          server.URL + tt.below,
				QPS:           -1,
				UserAgent:     "somebody",
				ContentConfig: rest.ContentConfig{ContentType: "application/json"},
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := (&Observer{Client: client}).Observe(t.Context(), diagnosing(Request{Targets: dbPod}))
			if err != nil {
				t.Fatal(err)
			}
			if off := time.Until(got.Time) - tt.ahead; off.Abs() > time.Minute || got.Kubernetes != "v1.37.2" {
				t.Errorf("it is %s off, of %q", off, got.Kubernetes)
			}
		})
	}
}
