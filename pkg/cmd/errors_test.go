// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: lab
clusters: [{name: lab, cluster: {server: "https://10.0.0.2:6443"}}]
users: [{name: jane, user: {token: x}}]
contexts: [{name: lab, context: {cluster: lab, user: jane}}]
`

// withKubeconfig returns a shared as the flags of a run make it, and the path of its kubeconfig.
func withKubeconfig(t *testing.T, args ...string) (*shared, *bytes.Buffer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	streams, _, _, errOut := genericiooptions.NewTestIOStreams()
	root, s := newRoot(Deps{Streams: streams})
	if err := root.ParseFlags(append([]string{"--kubeconfig", path}, args...)); err != nil {
		t.Fatal(err)
	}
	return s, errOut, path
}

// answered is the error that a real client makes of an API server's answer.
func answered(t *testing.T, code int, status string) error {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprint(w, status)
	}))
	defer s.Close()
	client, err := rest.RESTClientFor(&rest.Config{Host: s.URL, APIPath: "/api", ContentConfig: rest.ContentConfig{
		GroupVersion: &corev1.SchemeGroupVersion, NegotiatedSerializer: scheme.Codecs.WithoutConversion(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return client.Get().Resource("nodes").MaxRetries(0).Do(t.Context()).Error()
}

func TestReport(t *testing.T) {
	deny := func(message string) error {
		return answered(t, 403, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":%q}`,
			message))
	}
	dial := &url.Error{
		Op:  "Get",
		URL: "https://10.0.0.2:6443/api/v1/nodes?limit=500",
		Err: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connect: no route to host")},
	}
	for name, c := range map[string]struct {
		err  error
		want string
		code int
	}{
		"nothing": {err: nil, want: "", code: 0},
		"plain":   {err: errors.New("it broke"), want: "error: it broke\n", code: 1},
		"failure": {
			err:  failure.Wrap(errors.New("no such file"), `cannot read "plan.yaml"`, "ls"),
			want: "error: cannot read \"plan.yaml\": no such file\n  hint: ls\n",
			code: 1,
		},
		"interrupted": {
			err:  fmt.Errorf("cannot list nodes: %w", context.Canceled),
			want: "error: cannot list nodes: interrupted\n",
			code: 1,
		},
		"deadline": {err: context.DeadlineExceeded, want: "error: it took too long\n", code: 1},
		"interrupted request": {
			err:  &url.Error{Op: "Get", URL: "https://10.0.0.2:6443/version", Err: context.Canceled},
			want: "error: interrupted\n",
			code: 1,
		},
		"no terminal, with a hint of its own": {
			err:  failure.New("not asked", "pass --yes"),
			want: "error: not asked\n  hint: pass --yes\n",
			code: 1,
		},
		"forbidden": {
			err: deny(`nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope`),
			want: `error: user "jane" may not list nodes
  hint: an administrator can allow it with:
        kubectl create clusterrole talosdisk-list-nodes --verb=list --resource=nodes
        kubectl create clusterrolebinding talosdisk-list-nodes --clusterrole=talosdisk-list-nodes --user=jane
`, code: 1,
		},
		"forbidden, wrapped, with a group": {
			err: fmt.Errorf("cannot read classes: %w",
				deny(`storageclasses.storage.k8s.io is forbidden: User "system:serviceaccount:ci:bot" cannot list resource "storageclasses" in API group "storage.k8s.io" at the cluster scope`)),
			want: `error: cannot read classes: user "system:serviceaccount:ci:bot" may not list storageclasses.storage.k8s.io
  hint: an administrator can allow it with:
        kubectl create clusterrole talosdisk-list-storageclasses-storage-k8s-io --verb=list --resource=storageclasses.storage.k8s.io
        kubectl create clusterrolebinding talosdisk-list-storageclasses-storage-k8s-io --clusterrole=talosdisk-list-storageclasses-storage-k8s-io --serviceaccount=ci:bot
`, code: 1,
		},
		"forbidden exec": {
			err: &exec.StartError{
				Target: exec.Target{Namespace: "kube-system", Pod: "p"},
				Cause:  deny(`pods "p" is forbidden: User "Jane O'Neil" cannot create resource "pods/exec" in API group "" in the namespace "kube-system"`),
			},
			want: `error: cannot run a command in pod "kube-system/p": user "Jane O'Neil" may not create pods/exec in namespace "kube-system"
  hint: an administrator can allow it with:
        kubectl create role talosdisk-create-pods-exec -n kube-system --verb=create --resource=pods/exec
        kubectl create rolebinding talosdisk-create-pods-exec -n kube-system --role=talosdisk-create-pods-exec '--user=Jane O'"'"'Neil'
`, code: 1,
		},
		"forbidden by something else": {
			err:  apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "p", errors.New("violates PodSecurity")),
			want: "error: pods \"p\" is forbidden: violates PodSecurity\n  hint: ask what you may do with: kubectl auth can-i --list\n", code: 1,
		},
		"unauthorized": {
			err: answered(t, 401,
				`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401,"message":"Unauthorized"}`),
			want: "error: the Kubernetes API server \"https://10.0.0.2:6443\" does not accept the credentials\n  hint: they may have expired (they are from context \"lab\" in KUBECONFIG); see who you are with: kubectl auth whoami\n",
			code: 1,
		},
		"timeout of the server": {
			err:  answered(t, 504, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Timeout","code":504,"message":"etcd is slow"}`),
			want: "error: the Kubernetes API server \"https://10.0.0.2:6443\" did not answer in time: etcd is slow\n  hint: try again\n", code: 1,
		},
		"not found says it all": {
			err: apierrors.NewNotFound(schema.GroupResource{Resource: "nodes"}, "w-9"), want: "error: nodes \"w-9\" not found\n", code: 1,
		},
		"unreachable": {
			err: fmt.Errorf("cannot list nodes: %w", dial),
			want: "error: cannot list nodes: cannot reach the Kubernetes API server \"https://10.0.0.2:6443\": dial tcp: connect: no route to host\n" +
				"  hint: check that it is up and that this is the cluster you mean (from context \"lab\" in KUBECONFIG): kubectl cluster-info\n",
			code: 1,
		},
		"request timeout": {
			err: &url.Error{Op: "Get", URL: "https://10.0.0.2:6443/version", Err: context.DeadlineExceeded},
			want: "error: the Kubernetes API server \"https://10.0.0.2:6443\" did not answer in time\n" +
				"  hint: check that it is up and that this is the cluster you mean (from context \"lab\" in KUBECONFIG): kubectl cluster-info\n",
			code: 1,
		},
		"request timeout of one node": {
			err: &url.Error{
				Op:  "Get",
				URL: "https://10.0.0.2:6443/version",
				Err: &failure.TimeoutError{After: 30 * time.Second, From: "the Kubernetes API server"},
			},
			want: "error: no answer within 30s from the Kubernetes API server \"https://10.0.0.2:6443\"; --node-timeout gives it longer\n" +
				"  hint: check that it is up and that this is the cluster you mean (from context \"lab\" in KUBECONFIG): kubectl cluster-info\n",
			code: 1,
		},
		"empty kubeconfig": {
			err:  clientcmd.ErrEmptyConfig,
			want: "error: no kubeconfig found\n  hint: set KUBECONFIG or pass --kubeconfig; on Talos \"talosctl kubeconfig\" writes one\n",
			code: 1,
		},
		"several, wrapped": {
			err:  fmt.Errorf("not done: %w", failure.Several("1 of 1 failed", []failure.Part{{Subject: "w-1", Err: errors.New("it broke")}})),
			want: "error: not done: 1 of 1 failed\n  w-1: it broke\n", code: 1,
		},
		"several": {
			err: failure.Several("2 of 3 links refused", []failure.Part{
				{Subject: "w-1/vdf", Err: failure.New("has partitions", "link it as it is with --accept partitions=w-1/vdf")},
				{Subject: "w-2", Err: fmt.Errorf("cannot look: %w", dial)},
			}),
			want: `error: 2 of 3 links refused
  w-1/vdf: has partitions
  hint: link it as it is with --accept partitions=w-1/vdf
  w-2: cannot look: cannot reach the Kubernetes API server "https://10.0.0.2:6443": dial tcp: connect: no route to host
  hint: check that it is up and that this is the cluster you mean (from context "lab" in KUBECONFIG): kubectl cluster-info
`, code: 1,
		},
		"several with one hint": {
			err: failure.Several("3 of 3 nodes refused", []failure.Part{
				{Subject: "w-1", Err: failure.New("has a document", "do\nthis")},
				{Subject: "w-2", Err: failure.New("has another", "do\nthis")},
				{Subject: "w-3", Err: errors.New("it broke")},
			}),
			want: `error: 3 of 3 nodes refused
  w-1: has a document
  w-2: has another
  hint: do
        this
  w-3: it broke
`, code: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, stderr, path := withKubeconfig(t)
			code := s.report(c.err)
			if got := strings.ReplaceAll(stderr.String(), path, "KUBECONFIG"); got != c.want || code != c.code {
				t.Errorf("exit code %d, want %d; got\n%s\nwant\n%s", code, c.code, got, c.want)
			}
		})
	}
}

func TestNoContext(t *testing.T) {
	s, stderr, _ := withKubeconfig(t, "--context", "nope")
	_, err := s.RESTConfig()
	if s.report(err); stderr.String() != "error: context \"nope\" does not exist\n  hint: see what the kubeconfig has with: kubectl config get-contexts\n" {
		t.Errorf("got %q", stderr.String())
	}

	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(strings.Replace(kubeconfig, "current-context: lab\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s, stderr, _ = withKubeconfig(t, "--kubeconfig", path)
	_, err = s.RESTConfig()
	if s.report(err); !strings.HasPrefix(stderr.String(),
		"error: no context chosen, and none is current in "+path+"\n  hint: pass --context, or ") {
		t.Errorf("got %q", stderr.String())
	}
	if s, _, _ = withKubeconfig(t, "--kubeconfig", path, "--context", "lab"); true {
		if config, err := s.RESTConfig(); err != nil || config.Host != "https://10.0.0.2:6443" {
			t.Errorf("%v, %v", config, err)
		}
	}
}

func TestClientsAreNotThrottled(t *testing.T) {
	s, _, _ := withKubeconfig(t)
	config, err := s.RESTConfig()
	if err != nil || config.QPS != -1 || !strings.HasPrefix(config.UserAgent, "kubectl-talosdisk/") {
		t.Errorf("QPS %v, agent %q, %v", config.QPS, config.UserAgent, err)
	}
}
