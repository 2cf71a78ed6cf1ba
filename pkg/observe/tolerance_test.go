// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// unread is everything that a snapshot says could not be read.
func unread(s *snapshot.Snapshot) string {
	var all []string
	add := func(part, problem string) {
		if problem != "" {
			all = append(all, part)
		}
	}
	for part, problem := range s.Unread {
		add(part, problem.Message)
	}
	add("claims", s.Claims.Problem.Message)
	add("pods", s.Pods.Problem.Message)
	add("events", s.Events.Problem.Message)
	add("provisioner", s.Provisioner.Problem.Message)
	if p := s.Provisioner.Value; p != nil {
		add("podSecurity", p.PodSecurityProblem.Message)
		add("own pods", p.PodsProblem.Message)
		add("cleaning Jobs", p.Jobs.Problem.Message)
		for node, problem := range p.LogProblem {
			add("log of "+node, problem.Message)
		}
	}
	for _, n := range s.Nodes {
		add("stats of "+n.Name, n.Stats.Problem.Message)
		add("pod of "+n.Name, n.Pod.Problem.Message)
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

// What may not be read is said, and the rest is there anyway.
func TestWhatIsForbiddenIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		forbidden []string
		whole     bool
		unread    string
		parts     string
	}{
		"nothing": {unread: "[]", parts: "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]"},
		"the pod": {forbidden: []string{"get pods"}, unread: "[pods]", parts: "[] [] [] []"},
		"claims":  {forbidden: []string{"get persistentvolumeclaims"}, unread: "[claims]", parts: "[db-w-1+data-w-1] [] [] [w-1]"},
		"volumes": {
			forbidden: []string{"get persistentvolumes"},
			unread:    "[volumes]",
			parts:     "[db-w-1+data-w-1] [data-w-1] [] [w-1]",
		},
		"nodes": {forbidden: []string{"get nodes"}, unread: "[nodes]", parts: "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]"},
		"classes": {
			forbidden: []string{"list storageclasses"},
			unread:    "[storageClasses]",
			parts:     "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]",
		},
		"the provisioner": {
			forbidden: []string{"list daemonsets"},
			unread:    "[install pod of w-1 provisioner]",
			parts:     "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]",
		},
		"its ConfigMap": {
			forbidden: []string{"get configmaps"},
			unread:    "[install records]",
			parts:     "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]",
		},
		"its namespace": {
			forbidden: []string{"get namespaces"},
			unread:    "[podSecurity]",
			parts:     "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]",
		},
		"its pods": {
			forbidden: []string{"list pods"},
			unread:    "[own pods pod of w-1]",
			parts:     "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]",
		},
		"its logs": {
			forbidden: []string{"get pods/log"},
			unread:    "[log of w-1]",
			parts:     "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]",
		},
		"stats": {
			forbidden: []string{"get nodes/proxy"},
			unread:    "[stats of w-1]",
			parts:     "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]",
		},
		"events": {
			forbidden: []string{"list events"},
			unread:    "[events]",
			parts:     "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]",
		},
		"events about the node": {
			forbidden: []string{"list events in default"},
			unread:    "[events]",
			parts:     "[db-w-1+data-w-1] [data-w-1] [pv-w-1@w-1] [w-1]",
		},
		"everything of one kind": {
			forbidden: []string{"list persistentvolumes"},
			whole:     true,
			unread:    "[volumes]",
			parts:     "[db-w-0+data-w-0 db-w-1+data-w-1] [data-w-0 data-w-1] [] [w-0 w-1]",
		},
		"all pods": {
			forbidden: []string{"list pods"},
			whole:     true,
			unread:    "[own pods pod of w-0 pod of w-1 pods]",
			parts:     "[] [data-w-0 data-w-1] [pv-w-0@w-0 pv-w-1@w-1] [w-0 w-1]",
		},
		"all claims": {
			forbidden: []string{"list persistentvolumeclaims"},
			whole:     true,
			unread:    "[claims]",
			parts:     "[] [] [pv-w-0@w-0 pv-w-1@w-1] [w-0 w-1]",
		},
		"all nodes": {
			forbidden: []string{"list nodes"},
			whole:     true,
			unread:    "[nodes]",
			parts:     "[db-w-0+data-w-0 db-w-1+data-w-1] [data-w-0 data-w-1] [pv-w-0@w-0 pv-w-1@w-1] [w-0 w-1]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := cluster(2)
			s.forbidden = c.forbidden
			r := Request{Targets: slices.Clone(dbPod)}
			if c.whole {
				r.Targets = nil
			}
			got := diagnose(t, s, r)
			if unread(got) != c.unread {
				t.Errorf("unread: %s, want %s", unread(got), c.unread)
			}
			if parts(got) != c.parts {
				t.Errorf("%s\nwant %s", parts(got), c.parts)
			}
		})
	}
}

// An event is evidence even if others may not be read.
func TestEventsThatMayBeReadAreThere(t *testing.T) {
	s := cluster(2)
	s.forbidden = []string{"list events in default"}
	got := diagnose(t, s, Request{Targets: dbPod})
	if got.Events.Value == nil || !slices.ContainsFunc(*got.Events.Value,
		func(e snapshot.Event) bool { return e.Reason == "FailedMapVolume" }) {
		t.Errorf("%+v", got.Events)
	}
	if !strings.Contains(got.Events.Problem.Message, `events about "node/w-1": events is forbidden`) &&
		!strings.Contains(got.Events.Problem.Message, `events about "node/w-1": `) {
		t.Errorf("problem: %q", got.Events.Problem)
	}
}

func TestWhichProvisioner(t *testing.T) {
	second := func(classes string) []metav1.Object {
		ds := daemonSet("second", func(ds *appsv1.DaemonSet) {
			ds.UID = "uid-second"
			ds.Spec.Template.Spec.Volumes[0].ConfigMap.Name = "config-2"
		})
		return []metav1.Object{ds, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "config-2"},
			Data:       map[string]string{"storageClassMap": classes},
		}}
	}
	for name, c := range map[string]struct {
		change  func(*apiServer)
		request Request
		install string
		unread  string
	}{
		"the only one": {func(*apiServer) {}, Request{Targets: dbPod}, "provisioner", ""},
		"that of the class": {func(s *apiServer) {
			s.objects = append(s.objects, second("hdd: {hostDir: /var/hdd, mountDir: /mnt/hdd}")...)
		},
			Request{Targets: dbPod}, "provisioner", ""},
		"two with the class": {func(s *apiServer) {
			s.objects = append(s.objects, second("block: {hostDir: /var/hdd, mountDir: /mnt/hdd}")...)
		},
			Request{Targets: dbPod}, "provisioner second", ""},
		"one that was named": {func(s *apiServer) {
			s.objects = append(s.objects, second("block: {hostDir: /var/hdd, mountDir: /mnt/hdd}")...)
		},
			Request{Targets: dbPod, DaemonSet: "second"}, "second", ""},
		"two, of everything": {func(s *apiServer) {
			s.objects = append(s.objects, second("hdd: {hostDir: /var/hdd, mountDir: /mnt/hdd}")...)
		},
			Request{}, "provisioner second", ""},
		"two, of which one makes no sense": {func(s *apiServer) {
			s.objects = append(s.objects, second("hdd: {hostDir: /var/hdd, mountDir: /mnt/hdd}")...)
			for _, o := range s.objects {
				if cm, ok := o.(*corev1.ConfigMap); ok && cm.Name == "config" {
					cm.Data["storageClassMap"] = "block: {}"
				}
			}
		}, Request{}, "second provisioner", ""},
		"none": {func(s *apiServer) {
			s.objects = slices.DeleteFunc(s.objects, func(o metav1.Object) bool { return resourceOf(o) == "daemonsets" })
		}, Request{Targets: dbPod}, "", "no DaemonSet that runs the local volume static provisioner in any namespace"},
		"classes that make no sense": {func(s *apiServer) {
			for _, o := range s.objects {
				if cm, ok := o.(*corev1.ConfigMap); ok {
					cm.Data["storageClassMap"] = "block: {}"
				}
			}
		}, Request{Targets: dbPod}, "provisioner",
			`ConfigMap "local-storage/config" of the provisioner: class "block" in storageClassMap: hostDir is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			s := cluster(2)
			c.change(s)
			got := diagnose(t, s, c.request)
			install := got.Install.Name
			for _, as := range got.Installations()[1:] {
				install += " " + as.Install.Name
				if as.Provisioner.Value == nil || (as.Unread[snapshot.PartInstall].Message != "") != (name == "two, of which one makes no sense") ||
					len(got.Others[0].Nodes) != len(got.Nodes) {
					t.Errorf("%+v, %v", as.Provisioner, as.Unread)
				}
			}
			if install != c.install || !strings.HasPrefix(got.Unread[snapshot.PartInstall].Message, c.unread) ||
				(c.unread == "") != (got.Unread[snapshot.PartInstall].Message == "") {
				t.Errorf("install %q, unread %q", install, got.Unread[snapshot.PartInstall])
			}
			if (got.Provisioner.Value != nil) != (c.install != "") {
				t.Errorf("provisioner %+v", got.Provisioner)
			}
		})
	}
}

func TestNoAnswerIsAnError(t *testing.T) {
	refusing := func(status int, reason metav1.StatusReason) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			refuse(w, &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: int32(status), Reason: reason}})
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		is      func(error) bool
	}{
		"unauthorized": {refusing(401, metav1.StatusReasonUnauthorized), apierrors.IsUnauthorized},
		"out of reach": {nil, func(err error) bool { return err != nil && !apierrors.IsUnauthorized(err) }},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			if c.handler == nil {
				server.Close()
			}
			client, err := kube.NewClient(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
			if err != nil {
				t.Fatal(err)
			}
			if s, err := (&Observer{Client: client}).Observe(t.Context(), diagnosing(Request{})); s != nil || !c.is(err) {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
}

func TestAnInterruptionIsTheError(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	s := cluster(2)
	s.onAsk = func(ask string) {
		if ask == "list daemonsets" {
			cancel(stop)
		}
	}
	if _, err := (&Observer{Client: s.client(t)}).Observe(ctx, diagnosing(Request{Targets: dbPod})); !errors.Is(err, stop) {
		t.Errorf("err = %v", err)
	}
}
