// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// guarded is an API server with a provisioner, one node and its pod, and a user who may do everything but some things. It
// answers requests as they are allowed, and keeps those that would do something on the node.
type guarded struct {
	denied []string // "delete persistentvolumes"

	mu       sync.Mutex
	asked    []string
	reviewed []string
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	path := strings.TrimPrefix(r.URL.Path, "/api")
	record := func(all *[]string, what string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		*all = append(*all, what)
	}
	switch path {
	case "s/authorization.k8s.io/v1/selfsubjectaccessreviews":
		var review authorizationv1.SelfSubjectAccessReview
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, _, err = scheme.Codecs.UniversalDeserializer().Decode(body, nil, &review)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a := review.Spec.ResourceAttributes
		right := a.Verb + " " + strings.Trim(a.Resource+"/"+a.Subresource, "/")
		record(&g.reviewed, right)
		review.Status.Allowed = !slices.Contains(g.denied, right)
		_ = json.NewEncoder(w).Encode(review)
		return
	case "s/authentication.k8s.io/v1/selfsubjectreviews":
		fmt.Fprint(w, `{"status":{"userInfo":{"username":"jane"}}}`)
		return
	}
	answers := map[string][2]string{
		"s/apps/v1/daemonsets": {"list daemonsets",
			`{"items":[{"metadata":{"namespace":"local-storage","name":"prov","uid":"uid-ds"},"spec":{"selector":{"matchLabels":{"app":"prov"}},
			"template":{"spec":{"containers":[{"name":"provisioner","image":"registry.k8s.io/sig-storage/local-volume-provisioner:v2.9.0",
			"volumeMounts":[{"name":"config","mountPath":"/etc/provisioner/config"},
				{"name":"dev","mountPath":"/dev"},{"name":"block","mountPath":"/mnt/block"}]}],
			"volumes":[{"name":"config","configMap":{"name":"config"}},
				{"name":"dev","hostPath":{"path":"/dev"}},{"name":"block","hostPath":{"path":"/var/lib/disks/block"}}]}}}}]}`},
		"/v1/nodes": {"list nodes",
			`{"items":[{"metadata":{"name":"w-1","uid":"u"},"status":{"conditions":[{"type":"Ready","status":"True"}],"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}}]}`},
		"/v1/persistentvolumes": {"list persistentvolumes", `{"items":[]}`},
		"s/storage.k8s.io/v1/storageclasses": {"list storageclasses",
			`{"items":[{"metadata":{"name":"block"},"provisioner":"kubernetes.io/no-provisioner","reclaimPolicy":"Delete","volumeBindingMode":"WaitForFirstConsumer"}]}`},
		"/v1/pods": {"list pods", `{"items":[]}`},
		"/v1/namespaces/local-storage": {"get namespaces",
			`{"metadata":{"name":"local-storage","labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`},
		"/v1/namespaces/local-storage/configmaps/config": {"get configmaps",
			`{"data":{"storageClassMap":"block:\n  hostDir: /var/lib/disks/block\n  mountDir: /mnt/block\n  volumeMode: Block\n"}}`},
		"/v1/namespaces/local-storage/pods": {"list pods",
			`{"items":[{"metadata":{"namespace":"local-storage","name":"prov-w-1","ownerReferences":[{"kind":"DaemonSet","uid":"uid-ds","controller":true}]},"spec":{"nodeName":"w-1"},"status":{"phase":"Running","containerStatuses":[{"name":"provisioner","state":{"running":{}}}]}}]}`},
		"/v1/namespaces/local-storage/pods/prov-w-1/exec": {"create pods/exec",
			`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"not here"}`},
	}
	answer, ok := answers[path]
	right := answer[0]
	if !ok {
		right = r.Method + " " + r.URL.Path
	}
	record(&g.asked, right)
	switch {
	case slices.Contains(g.denied, right):
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w,
			`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"User \"jane\" cannot %s resource \"%s\" in API group \"\" at the cluster scope"}`,
			strings.Fields(right)[0], strings.Fields(right)[1])
	case !ok || strings.HasSuffix(path, "/exec"):
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"not here"}`)
	default:
		fmt.Fprint(w, answer[1])
	}
}

// All rights that a command lacks are named together, before any node is touched.
func TestRightsComeFirst(t *testing.T) {
	unlink, link, mounts := []string{"unlink", "vdf", "--yes"}, []string{"link", "vdf", "--yes"}, []string{"mounts", "--yes"}
	for name, c := range map[string]struct {
		args   []string
		denied []string
		says   []string
		// looked tells that nothing was missing, so that the node was looked at.
		looked bool
	}{
		"unlink with the rights of disks": {args: unlink, denied: []string{"get persistentvolumes", "delete persistentvolumes"}, says: []string{
			`user "jane" may not get persistentvolumes, nor delete persistentvolumes`,
			"kubectl create clusterrole talosdisk-get-delete-persistentvolumes --verb=get,delete --resource=persistentvolumes",
			`the role of "unlink"`,
		}},
		"a list that is refused, and more": {
			args:   unlink,
			denied: []string{"list nodes", "delete persistentvolumes", "create pods/exec"},
			says: []string{
				`user "jane" may not list nodes, create pods/exec in namespace "local-storage", nor delete persistentvolumes`,
				"talosdisk-create-pods-exec -n local-storage",
			},
		},
		"where the provisioner is cannot be seen": {args: unlink, denied: []string{"list daemonsets", "delete persistentvolumes"}, says: []string{
			`user "jane" may not list daemonsets.apps, nor delete persistentvolumes`,
		}},
		"unlink, in a dry run": {
			args:   append(unlink, "--dry-run=server"),
			denied: []string{"delete persistentvolumes"},
			says:   []string{`may not delete persistentvolumes`},
		},
		"unlink": {args: unlink, looked: true},
		"link, to the watch": {
			args:   link,
			denied: []string{"watch persistentvolumes", "create pods/exec"},
			says:   []string{`may not create pods/exec in namespace "local-storage", nor watch persistentvolumes`},
		},
		"link, which waits for nothing": {args: append(link, "--wait=false"), denied: []string{"watch persistentvolumes"}, looked: true},
		"link, trusting": {
			args:   link,
			denied: []string{"get namespaces"},
			says:   []string{`may not get namespaces in namespace "local-storage"`},
		},
		"mounts": {
			args:   mounts,
			denied: []string{"get nodes", "list storageclasses"},
			says:   []string{`may not list storageclasses.storage.k8s.io, nor get nodes`},
		},
		"mounts --remove": {args: append(mounts, "--remove"), denied: []string{"get nodes"}, says: []string{`may not get nodes`}},
	} {
		t.Run(name, func(t *testing.T) {
			g := &guarded{denied: c.denied}
			server := httptest.NewServer(g)
			t.Cleanup(server.Close)
			args := c.args
			if c.args[0] == "mounts" {
				args = append(slices.Clone(args), "--talosconfig", talosconfig(t))
			}
			r := run(t, append(slices.Clone(args), "-s", server.URL)...)
			if r.code != 1 || r.stdout != "" && !c.looked {
				t.Errorf("exit code %d, stdout %q", r.code, r.stdout)
			}
			for _, text := range c.says {
				if !strings.Contains(r.stderr, text) {
					t.Errorf("it does not say %q:\n%s", text, r.stderr)
				}
			}
			if looked := slices.Contains(g.asked, "create pods/exec"); looked != c.looked {
				t.Errorf("the node was looked at: %t, want %t\n%s%s", looked, c.looked, r.stdout, r.stderr)
			}
		})
	}
}

// A dry run that asks no node asks for no right either.
func TestAClientDryRunReviewsNothing(t *testing.T) {
	g := &guarded{denied: []string{"delete persistentvolumes"}}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	run(t, "unlink", "vdf", "--dry-run=client", "-s", server.URL)
	if len(g.reviewed) > 0 || slices.Contains(g.asked, "create pods/exec") {
		t.Errorf("reviewed %q, asked %q", g.reviewed, g.asked)
	}
}
