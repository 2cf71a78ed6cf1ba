// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

var _ Client = kubernetes.Interface(nil) // And so its fake is.

func TestEachGroupIsAskedWhereItIsServed(t *testing.T) {
	var path, agent string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, agent = r.URL.Path, r.UserAgent()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{}`))
	}))
	defer server.Close()
	for _, own := range []string{"", "kubectl-talosdisk/v1"} {
		client, err := NewClient(&rest.Config{Host: server.URL, UserAgent: own})
		if err != nil {
			t.Fatal(err)
		}
		want := own
		if want == "" {
			want = rest.DefaultKubernetesUserAgent()
		}
		for at, ask := range map[string]func(context.Context) error{
			"/api/v1/nodes": func(ctx context.Context) error {
				_, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
				return err
			},
			"/apis/apps/v1/daemonsets": func(ctx context.Context) error {
				_, err := client.AppsV1().DaemonSets("").List(ctx, metav1.ListOptions{})
				return err
			},
			"/apis/batch/v1/namespaces/n/jobs": func(ctx context.Context) error {
				_, err := client.BatchV1().Jobs("n").List(ctx, metav1.ListOptions{})
				return err
			},
			"/apis/storage.k8s.io/v1/storageclasses": func(ctx context.Context) error {
				_, err := client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
				return err
			},
		} {
			if err := ask(t.Context()); err != nil || path != at || agent != want {
				t.Errorf("%q was asked by %q, not %q by %q: %v", path, agent, at, want, err)
			}
		}
	}
}

func TestAClientThatCannotBeMadeIsAnError(t *testing.T) {
	config := &rest.Config{Host: "https://192.0.2.1", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("no certificate")}}
	if client, err := NewClient(config); err == nil {
		t.Errorf("%v, without an error", client)
	}
}

// A request that takes too long says who did not answer, and which flag gives it longer.
func TestClientSaysWhoIsLate(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	client, err := NewClient(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	node := func(ctx context.Context) error {
		_, err := client.CoreV1().Nodes().Get(ctx, "w-1", metav1.GetOptions{})
		return err
	}
	for from, ask := range map[string]func(context.Context) error{
		"the Kubernetes API server": node,
		"the Kubernetes API server, or the kubelet behind it": func(ctx context.Context) error {
			return client.CoreV1().RESTClient().Get().Resource("nodes").Name("w-1").SubResource("proxy").Suffix("stats/summary").Do(ctx).Error()
		},
	} {
		ctx, cancel := failure.WithTimeout(t.Context(), 20*time.Millisecond)
		err := ask(ctx)
		cancel()
		if late, ok := errors.AsType[*failure.TimeoutError](err); !ok || late.From != from || !strings.Contains(err.Error(), "--node-timeout") {
			t.Errorf("%s: %v", from, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := node(ctx); err == nil || strings.Contains(err.Error(), "--node-timeout") {
		t.Errorf("another limit: %v", err)
	}
}
