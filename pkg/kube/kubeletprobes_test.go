// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// sight is a whole answer of the script.
const sight = "record=start\x1fversion=1\x1fself=9\x1fboot=1\x1f\x1e" +
	"record=process\x1fpid=1\x1fstarted=1\x1f\x1erecord=mounts\x1fpid=1\x1ftext=1 0 8:1 / / rw - ext4 x rw\n\x1fcode=0\x1f\x1erecord=after\x1fpid=1\x1fstarted=1\x1f\x1e" +
	"record=process\x1fpid=7\x1fstarted=1\x1fexe=/usr/local/bin/kubelet\x1fconfig=/etc/kubernetes/kubelet.yaml\x1fspaces=7\x1f\x1e" +
	"record=mounts\x1fpid=7\x1ftext=1 0 8:2 / / rw - ext4 x rw\n\x1fcode=0\x1f\x1erecord=after\x1fpid=7\x1fstarted=1\x1f\x1erecord=end\x1f\x1e"

// jobServer is an API server that has Jobs, as far as KubeletProbes asks.
type jobServer struct {
	t *testing.T
	// refuse answers a request otherwise, where it returns a status.
	refuse func(ask string) *apierrors.StatusError
	// run is what becomes of a Job's pod, one state after the other; without any there is no pod.
	run []corev1.PodStatus
	// early: the pod is there before anybody watches.
	early bool
	// stuck, if set, is called when nothing more will come of the pod.
	stuck func()
	// lost is what is answered instead of the Job that was made.
	lost *apierrors.StatusError
	// ahead is how far its clock is before the client's.
	ahead time.Duration
	// slow, if set, holds a request up.
	slow func(path string)
	log  string

	mu      sync.Mutex
	jobs    map[string]*batchv1.Job
	events  []corev1.Event
	asked   []string
	deleted []string
}

func (s *jobServer) now() time.Time { return time.Now().Add(s.ahead) }

func (s *jobServer) client() Client {
	s.t.Helper()
	server := httptest.NewServer(s)
	s.t.Cleanup(server.Close)
	client, err := NewClient(&rest.Config{Host: server.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

func (s *jobServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, path, _ := strings.Cut(r.URL.Path, "/namespaces/kube-system/")
	parts := strings.Split(path, "/")
	verb := map[string]string{"GET": "list", "POST": "create", "DELETE": "delete"}[r.Method]
	if r.URL.Query().Get("watch") != "" {
		verb = "watch"
	}
	if len(parts) == 3 {
		verb, parts[0] = "get", parts[0]+"/"+parts[2]
	}
	ask := verb + " " + parts[0]
	s.mu.Lock()
	s.asked = append(s.asked, ask)
	s.mu.Unlock()
	if s.slow != nil {
		s.slow(verb + " " + path)
	}
	if s.refuse != nil {
		if err := s.refuse(ask); err != nil {
			err.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
			w.WriteHeader(int(err.ErrStatus.Code))
			s.answer(w, err.ErrStatus)
			return
		}
	}
	switch ask {
	case "create jobs":
		j := new(batchv1.Job)
		if err := json.NewDecoder(r.Body).Decode(j); err != nil {
			s.t.Error(err)
		}
		j.CreationTimestamp = metav1.NewTime(s.now())
		s.mu.Lock()
		s.jobs[j.Name] = j
		s.mu.Unlock()
		if s.lost != nil {
			s.lost.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
			w.WriteHeader(int(s.lost.ErrStatus.Code))
			s.answer(w, s.lost.ErrStatus)
			return
		}
		s.answer(w, j)
	case "delete jobs":
		s.mu.Lock()
		s.deleted = append(s.deleted, parts[1])
		delete(s.jobs, parts[1])
		s.mu.Unlock()
		var options metav1.DeleteOptions
		if err := json.NewDecoder(r.Body).Decode(&options); err != nil || options.PropagationPolicy == nil ||
			*options.PropagationPolicy != metav1.DeletePropagationBackground {
			s.t.Errorf("deleted with %+v, %v", options, err)
		}
		s.answer(w, metav1.Status{Status: metav1.StatusSuccess})
	case "list jobs":
		list := batchv1.JobList{}
		s.mu.Lock()
		for _, j := range s.jobs {
			list.Items = append(list.Items, *j)
		}
		s.mu.Unlock()
		s.answer(w, list)
	case "list pods":
		list := corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
		if s.early {
			list.Items = []corev1.Pod{podOf(s.run[0], 1)}
		}
		s.answer(w, list)
	case "watch pods":
		for i, status := range s.run {
			pod := podOf(status, i+2)
			kind := "MODIFIED"
			if status.Phase == "Gone" {
				kind, pod.Status.Phase = "DELETED", corev1.PodPending
			}
			s.answer(w, map[string]any{"type": kind, "object": pod})
		}
		w.(http.Flusher).Flush()
		if s.stuck != nil {
			s.stuck()
		}
		<-r.Context().Done()
	case "get pods/log":
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, s.log)
	case "list events":
		s.answer(w, corev1.EventList{Items: s.events})
	default:
		s.t.Errorf("%s was asked for: %s", ask, r.URL)
	}
}

func (s *jobServer) answer(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Log(err)
	}
}

func podOf(status corev1.PodStatus, version int) corev1.Pod {
	return corev1.Pod{
		TypeMeta:   metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "p", ResourceVersion: fmt.Sprint(version)}, Status: status,
	}
}

func waiting(reason, message string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
	}}}
}

func forbid(ask string) func(string) *apierrors.StatusError {
	return func(asked string) *apierrors.StatusError {
		if asked != ask {
			return nil
		}
		verb, resource, _ := strings.Cut(ask, " ")
		return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", fmt.Errorf(`User "jane" cannot %s resource`, verb))
	}
}

var succeeded = corev1.PodStatus{Phase: corev1.PodSucceeded}

// Whatever becomes of a look, its Job is deleted, and the reason is the one that there is.
func TestKubeletProbe(t *testing.T) {
	for name, c := range map[string]struct {
		server *jobServer
		// timeout is the look's own.
		timeout time.Duration
		// err is in the error; empty: there is none.
		err string
		// kept: no Job was made, so none is deleted.
		kept bool
		// warns is in the warning.
		warns string
	}{
		"it goes well": {
			server: &jobServer{run: []corev1.PodStatus{{Phase: corev1.PodPending}, waiting("ContainerCreating", ""), succeeded}, log: sight},
		},
		"it is over at once": {server: &jobServer{early: true, run: []corev1.PodStatus{succeeded}, log: sight}},
		"the answer is cut": {
			server: &jobServer{run: []corev1.PodStatus{succeeded}, log: sight[:len(sight)-5]},
			err:    "the node's answer stops in the middle",
		},
		"there is no answer": {server: &jobServer{run: []corev1.PodStatus{succeeded}}, err: "the node's answer has no end"},
		"the image cannot be had": {
			server: &jobServer{run: []corev1.PodStatus{{Phase: corev1.PodPending}, waiting("ErrImagePull", "not found: x:1")}},
			err:    `pod "kube-system/p": ErrImagePull: not found: x:1`,
		},
		"the node is full": {
			server: &jobServer{run: []corev1.PodStatus{{Phase: corev1.PodFailed, Reason: "OutOfpods"}}},
			err:    `pod "kube-system/p": OutOfpods`,
		},
		"somebody deletes the pod": {
			server: &jobServer{run: []corev1.PodStatus{waiting("ContainerCreating", ""), {Phase: "Gone"}}},
			err:    `pod "kube-system/p": it was deleted`,
		},
		"the pod does not start": {
			server:  &jobServer{run: []corev1.PodStatus{waiting("ContainerCreating", "")}},
			timeout: 100 * time.Millisecond,
			err:     `pod "kube-system/p" has not ended (ContainerCreating): no answer within 100ms`,
		},
		"there is no pod": {server: &jobServer{}, timeout: 100 * time.Millisecond, err: "has no pod: no answer within 100ms"},
		"Pod Security refuses the pod": {
			server:  &jobServer{events: []corev1.Event{{Message: "older"}, {Message: `pods "x" is forbidden: violates PodSecurity`}}},
			timeout: 100 * time.Millisecond,
			err:     `has no pod: pods "x" is forbidden: violates PodSecurity`,
		},
		"no right to make it":   {server: &jobServer{refuse: forbid("create jobs")}, err: `User "jane" cannot create`, kept: true},
		"no right to list pods": {server: &jobServer{refuse: forbid("list pods")}, err: `User "jane" cannot list`},
		"no right to watch":     {server: &jobServer{refuse: forbid("watch pods")}, err: `User "jane" cannot watch`},
		"no right to read the log": {
			server: &jobServer{run: []corev1.PodStatus{succeeded}, refuse: forbid("get pods/log")},
			err:    `the log of pod "kube-system/p": pods/log is forbidden`,
		},
		"no right to delete": {
			server: &jobServer{run: []corev1.PodStatus{succeeded}, log: sight, refuse: forbid("delete jobs")},
			kept:   true,
			warns:  "; it ends by itself; delete it: kubectl -n kube-system delete job talosdisk-probe-",
		},
		"no right to look for others": {
			server: &jobServer{run: []corev1.PodStatus{succeeded}, log: sight, refuse: forbid("list jobs")},
			warns:  "look: kubectl -n kube-system get jobs -l ",
		},
		"somebody else has deleted it":  {server: &jobServer{run: []corev1.PodStatus{succeeded}, log: sight, refuse: gone}, kept: true},
		"whether it was made is unsure": {server: &jobServer{refuse: unsure}, err: "etcdserver: request timed out"},
		"a balancer's answer is lost":   {server: &jobServer{lost: apierrors.NewServiceUnavailable("try again")}, err: "try again"},
		"an answer that nobody knows": {
			server: &jobServer{
				lost: &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusBadGateway, Message: "no"}},
			},
			err: "no",
		},
		"asked for twice": {
			server: &jobServer{
				run:  []corev1.PodStatus{succeeded},
				log:  sight,
				lost: apierrors.NewAlreadyExists(schema.GroupResource{Resource: "jobs"}, "j"),
			},
		},
		"too many at once": {server: &jobServer{refuse: busy}, err: "too many", kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.server
			s.t, s.jobs = t, make(map[string]*batchv1.Job)
			var warned []string
			p := &KubeletProbes{Client: s.client(), Warn: func(text string) {
				s.mu.Lock()
				defer s.mu.Unlock()
				warned = append(warned, text)
			}}
			ctx, cancel := failure.WithTimeout(t.Context(), c.timeout)
			defer cancel()
			answer, err := p.Probe(ctx, "w-1", "x:1", []string{"/d"})
			switch {
			case c.err == "" && (err != nil || !answer.View.HasMounts() || answer.View.PID != 7):
				t.Errorf("%v, %+v", err, answer)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("error %v, want %q", err, c.err)
			}
			if got := strings.Join(warned, "\n"); (got == "") != (c.warns == "") || !strings.Contains(got, c.warns) {
				t.Errorf("it warns %q, want %q", got, c.warns)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if (len(s.deleted) != 1) != c.kept || len(s.deleted) == 1 && len(s.jobs) > 0 {
				t.Errorf("deleted are %q, left over %v", s.deleted, s.jobs)
			}
		})
	}
}

func gone(ask string) *apierrors.StatusError {
	if ask == "delete jobs" {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "jobs"}, "j")
	}
	return nil
}

func busy(ask string) *apierrors.StatusError {
	if ask == "create jobs" {
		return apierrors.NewTooManyRequestsError("too many")
	}
	return nil
}

func unsure(ask string) *apierrors.StatusError {
	if ask == "create jobs" {
		return apierrors.NewInternalError(errors.New("etcdserver: request timed out"))
	}
	return nil
}

// A run that ends takes its Job with it.
func TestKubeletProbeInterrupted(t *testing.T) {
	for _, at := range []string{"create jobs", "watch pods", "get pods/log"} {
		t.Run(at, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			interrupted := errors.New("interrupted")
			s := &jobServer{t: t, jobs: make(map[string]*batchv1.Job), log: sight}
			s.refuse = func(ask string) *apierrors.StatusError {
				if ask == at && at != "watch pods" {
					cancel(interrupted)
				}
				return nil
			}
			s.stuck = func() {
				if at == "watch pods" {
					cancel(interrupted)
				}
			}
			if at == "get pods/log" {
				s.run = []corev1.PodStatus{succeeded}
			}
			p := &KubeletProbes{Client: s.client(), Warn: func(text string) { t.Error(text) }}
			if _, err := p.Probe(ctx, "w-1", "x:1", nil); err == nil {
				t.Error("no error")
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.deleted) != 1 || len(s.jobs) > 0 {
				t.Errorf("deleted are %q, left over %v", s.deleted, s.jobs)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &jobServer{t: t, jobs: make(map[string]*batchv1.Job)}
	if _, err := (&KubeletProbes{Client: s.client(), Warn: func(text string) { t.Error(text) }}).Probe(ctx, "w-1", "x:1", nil); err == nil ||
		slices.Contains(s.asked, "create jobs") {
		t.Errorf("a run that is over asked %q: %v", s.asked, err)
	}
}

// What earlier runs left behind is deleted once, and what another run reads is not,
// whatever the client's clock says.
func TestKubeletProbeSweeps(t *testing.T) {
	for name, ahead := range map[string]time.Duration{
		"the same clock":         0,
		"the client's is behind": time.Hour,
		"the client's is before": -time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			s := &jobServer{t: t, ahead: ahead, run: []corev1.PodStatus{succeeded}, log: sight}
			s.jobs = map[string]*batchv1.Job{"old": s.job("old", 10*time.Minute), "young": s.job("young", 30*time.Second)}
			p := &KubeletProbes{Client: s.client()}
			var group sync.WaitGroup
			for range 3 {
				group.Go(func() {
					if _, err := p.Probe(t.Context(), "w-1", "x:1", nil); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			lists := slices.DeleteFunc(slices.Clone(s.asked), func(ask string) bool { return ask != "list jobs" })
			if len(lists) != 1 || !slices.Contains(s.deleted, "old") || slices.Contains(s.deleted, "young") || len(s.deleted) != 4 ||
				len(s.jobs) != 1 {
				t.Errorf("listed %d times, deleted %q, left %v", len(lists), s.deleted, s.jobs)
			}
		})
	}
}

// job is one of a run of that age, by the server's clock.
func (s *jobServer) job(name string, age time.Duration) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(s.now().Add(-age))},
		Spec:       batchv1.JobSpec{ActiveDeadlineSeconds: new(int64(40))},
	}
}

// While one look deletes what was left behind, slowly, the others go on.
func TestKubeletProbeSweepsBesideTheOthers(t *testing.T) {
	sweeping, others := make(chan struct{}), make(chan struct{})
	s := &jobServer{t: t, run: []corev1.PodStatus{succeeded}, log: sight}
	s.jobs = map[string]*batchv1.Job{"old": s.job("old", time.Hour)}
	s.slow = func(ask string) {
		if ask == "delete jobs/old" {
			close(sweeping)
			<-others
		}
	}
	p := &KubeletProbes{Client: s.client(), Warn: func(text string) { t.Error(text) }}
	first := make(chan error, 1)
	go func() {
		_, err := p.Probe(t.Context(), "w-1", "x:1", nil)
		first <- err
	}()
	<-sweeping
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := p.Probe(ctx, "w-2", "x:1", nil); err != nil {
		t.Error(err)
	}
	close(others)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if len(s.jobs) > 0 {
		t.Errorf("left are %v", s.jobs)
	}
}
