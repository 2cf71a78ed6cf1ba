// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
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
