// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
)

// apiServer serves objects over HTTP as far as a diagnosis reads them, selectors and
// pages included, and counts what it is asked.
type apiServer struct {
	objects []metav1.Object
	// forbidden are verbs and resources, "list nodes".
	forbidden []string
	// logs are by pod, stats by node.
	logs, stats map[string]string

	// probes are Jobs' pods: each ends at once.
	probes bool

	// onAsk, if set, is called with each request.
	onAsk func(ask string)

	mu    sync.Mutex
	asked map[string]int
}

func (s *apiServer) client(t *testing.T) kube.Client {
	t.Helper()
	client, _ := s.connect(t)
	return client
}

func (s *apiServer) connect(t *testing.T) (kube.Client, *rest.Config) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	client, err := kube.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client, config
}

// resourceOf is where an object is served.
func resourceOf(o metav1.Object) string {
	switch o.(type) {
	case *corev1.Pod:
		return "pods"
	case *corev1.PersistentVolumeClaim:
		return "persistentvolumeclaims"
	case *corev1.PersistentVolume:
		return "persistentvolumes"
	case *corev1.Node:
		return "nodes"
	case *corev1.Event:
		return "events"
	case *corev1.ConfigMap:
		return "configmaps"
	case *corev1.Namespace:
		return "namespaces"
	case *appsv1.DaemonSet:
		return "daemonsets"
	case *storagev1.StorageClass:
		return "storageclasses"
	case *batchv1.Job:
		return "jobs"
	}
	panic(fmt.Sprintf("%T is not served", o))
}

func fieldsOf(o metav1.Object) fields.Set {
	set := fields.Set{"metadata.name": o.GetName(), "metadata.namespace": o.GetNamespace()}
	switch o := o.(type) {
	case *corev1.Pod:
		set["spec.nodeName"] = o.Spec.NodeName
	case *corev1.Event:
		set["involvedObject.uid"], set["involvedObject.kind"], set["involvedObject.name"] = string(o.InvolvedObject.UID), o.InvolvedObject.Kind,
			o.InvolvedObject.Name
	}
	return set
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] == "version" {
		s.count("get version")
		fmt.Fprint(w, `{"gitVersion":"v1.37.2"}`)
		return
	}
	// /api/v1/… or /apis/GROUP/v1/…
	parts = parts[map[string]int{"api": 2, "apis": 3}[parts[0]]:]
	namespace := ""
	if parts[0] == "namespaces" && len(parts) > 2 {
		namespace, parts = parts[1], parts[2:]
	}
	resource, name, sub := parts[0], "", ""
	verb := "list"
	if len(parts) > 1 {
		verb, name = "get", parts[1]
	}
	if len(parts) > 2 {
		sub = "/" + parts[2]
	}
	switch {
	case r.Method == http.MethodPost && resource == "jobs": // What is run in a pod is "get", by any method.
		verb = "create"
	case r.Method == http.MethodDelete:
		verb = "delete"
	case r.URL.Query().Get("watch") != "":
		verb = "watch"
	}
	ask := verb + " " + resource + sub
	s.count(ask)
	gr := schema.GroupResource{Resource: resource}
	switch {
	case slices.Contains(s.forbidden, ask), slices.Contains(s.forbidden, ask+" in "+namespace):
		refuse(w, apierrors.NewForbidden(gr, name, fmt.Errorf("not for you")))
	case resource == "jobs" && verb != "list":
		fmt.Fprint(w, `{}`)
	case verb == "watch":
		if s.probes {
			fmt.Fprint(w,
				`{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"probe","resourceVersion":"2"},"status":{"phase":"Succeeded"}}}`)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	case sub == "/log":
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, s.logs[name])
	case sub == "/proxy":
		fmt.Fprint(w, s.stats[name])
	case verb == "get":
		for _, o := range s.objects {
			if resourceOf(o) == resource && o.GetNamespace() == namespace && o.GetName() == name {
				_ = json.NewEncoder(w).Encode(o)
				return
			}
		}
		refuse(w, apierrors.NewNotFound(gr, name))
	default:
		s.list(w, r, resource, namespace)
	}
}

func (s *apiServer) list(w http.ResponseWriter, r *http.Request, resource, namespace string) {
	q := r.URL.Query()
	byLabel, err1 := labels.Parse(q.Get("labelSelector"))
	byField, err2 := fields.ParseSelector(q.Get("fieldSelector"))
	if err1 != nil || err2 != nil {
		refuse(w, apierrors.NewBadRequest("a selector"))
		return
	}
	items := []metav1.Object{}
	for _, o := range s.objects {
		if resourceOf(o) == resource && (namespace == "" || o.GetNamespace() == namespace) &&
			byLabel.Matches(labels.Set(o.GetLabels())) && byField.Matches(fieldsOf(o)) {
			items = append(items, o)
		}
	}
	from, _ := strconv.Atoi(q.Get("continue"))
	items = items[from:]
	meta := metav1.ListMeta{ResourceVersion: "1"}
	if limit, _ := strconv.Atoi(q.Get("limit")); limit > 0 && len(items) > limit {
		items, meta.Continue = items[:limit], strconv.Itoa(from+limit)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"metadata": meta, "items": items})
}

func refuse(w http.ResponseWriter, err *apierrors.StatusError) {
	err.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	w.WriteHeader(int(err.ErrStatus.Code))
	_ = json.NewEncoder(w).Encode(err.ErrStatus)
}

func (s *apiServer) count(ask string) {
	if s.onAsk != nil {
		s.onAsk(ask)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = make(map[string]int)
	}
	s.asked[ask]++
}
