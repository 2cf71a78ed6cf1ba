// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// A part that is not asked for takes no request, and is neither there nor a problem.
func TestOnlyThePartsThatAreAskedForAreRead(t *testing.T) {
	const always = "get configmaps list daemonsets list nodes list persistentvolumes list pods list storageclasses"
	asked := func(r Request) (*snapshot.Snapshot, string) {
		t.Helper()
		s := released()
		r.Every, r.EventReasons, r.LogLine = true, doctor.EventReasons(), doctor.LogTells
		got, err := (&Observer{Client: s.client(t)}).Observe(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		all := slices.Sorted(maps.Keys(s.asked))
		return got, fmt.Sprint(all)
	}
	for name, tt := range map[string]struct {
		parts Parts
		asks  string // beside what is always asked
		has   func(*snapshot.Snapshot) bool
	}{
		"nothing": {has: func(*snapshot.Snapshot) bool { return true }},
		"server":  {parts: Server, asks: "get version", has: func(s *snapshot.Snapshot) bool { return s.Kubernetes != "" }},
		"users":   {parts: Users, has: func(s *snapshot.Snapshot) bool { return s.Users.Value != nil }},
		"workload": {
			parts: Workload,
			asks:  "list persistentvolumeclaims",
			has:   func(s *snapshot.Snapshot) bool { return s.Claims.Value != nil && s.Pods.Value != nil },
		},
		"provisioner": {parts: Provisioner, asks: "get namespaces", has: func(s *snapshot.Snapshot) bool { return s.Provisioner.Value != nil }},
		"events":      {parts: Events, asks: "list events", has: func(s *snapshot.Snapshot) bool { return s.Events.Value != nil }},
		"logs": {
			parts: Provisioner | Logs,
			asks:  "get namespaces get pods/log",
			has:   func(s *snapshot.Snapshot) bool { return s.Provisioner.Value.Log != nil },
		},
		"jobs": {
			parts: Provisioner | CleaningJobs,
			asks:  "get namespaces list jobs",
			has:   func(s *snapshot.Snapshot) bool { return s.Provisioner.Value.Jobs.Value != nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, got := asked(Request{Parts: tt.parts})
			want := map[string]bool{}
			for _, text := range []string{always, tt.asks} {
				words := strings.Fields(text)
				for i := 0; i+1 < len(words); i += 2 {
					want[words[i]+" "+words[i+1]] = true
				}
			}
			if want := fmt.Sprint(slices.Sorted(maps.Keys(want))); got != want {
				t.Errorf("asked %s, want %s", got, want)
			}
			if !tt.has(s) {
				t.Error("the part is not there")
			}
			none := snapshot.Snapshot{
				Kubernetes:  s.Kubernetes,
				Users:       s.Users,
				Claims:      s.Claims,
				Pods:        s.Pods,
				Provisioner: s.Provisioner,
				Events:      s.Events,
			}
			for _, part := range []struct {
				of    Parts
				clear func()
			}{
				{Server, func() { none.Kubernetes = "" }},
				{Users | Workload, func() { none.Users = snapshot.Snapshot{}.Users }},
				{Workload, func() { none.Claims, none.Pods = snapshot.Snapshot{}.Claims, snapshot.Snapshot{}.Pods }},
				{Provisioner, func() { none.Provisioner = snapshot.Snapshot{}.Provisioner }},
				{Events, func() { none.Events = snapshot.Snapshot{}.Events }},
			} {
				if tt.parts&part.of != 0 {
					part.clear()
				}
			}
			if none.Kubernetes != "" || none.Users.Value != nil || none.Claims.Value != nil || none.Pods.Value != nil ||
				none.Provisioner.Value != nil || none.Events.Value != nil || s.Unread != nil {
				t.Errorf("parts that were not asked for: %+v, unread %v", none, s.Unread)
			}
		})
	}
}

// What cannot be read ends a run that is strict, and is said in the snapshot of any other.
func TestStrictRequestsEndWithWhatCannotBeRead(t *testing.T) {
	for _, ask := range []string{"list daemonsets", "list nodes", "list persistentvolumes", "list storageclasses", "get configmaps",
		"list pods in local-storage"} {
		t.Run(ask, func(t *testing.T) {
			for _, strict := range []bool{true, false} {
				s := cluster(2)
				s.forbidden = []string{ask}
				got, err := (&Observer{Client: s.client(t)}).Observe(t.Context(), Request{Strict: strict, Parts: Provisioner})
				if strict != apierrors.IsForbidden(err) || strict != (got == nil) {
					t.Errorf("strict: %v: %v, %v", strict, got, err)
				}
				if !strict && len(got.Unread) == 0 && got.Provisioner.Value.PodsProblem.IsZero() {
					t.Error("nothing is said of it")
				}
			}
		})
	}
}
