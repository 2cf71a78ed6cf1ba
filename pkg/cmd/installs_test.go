// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell/shelltest"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// installation is a DaemonSet of the provisioner and its configuration, with one class.
func installation(namespace, name, class, dir string) map[string]any {
	return map[string]any{
		"set": map[string]any{"metadata": map[string]any{"namespace": namespace, "name": name, "uid": "uid-" + name}, "spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]string{"app": name}},
			"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{
					"name":  "provisioner",
					"image": "registry.k8s.io/sig-storage/local-volume-provisioner:v2.9.0",
					"volumeMounts": []any{
						map[string]any{"name": "config", "mountPath": "/etc/provisioner/config"}, map[string]any{"name": "disks", "mountPath": "/mnt/disks"},
					},
				}},
				"volumes": []any{map[string]any{"name": "config", "configMap": map[string]string{"name": "config-" + name}},
					map[string]any{"name": "disks", "hostPath": map[string]string{"path": dir}}},
			}},
		}},
		"config": map[string]any{
			"data": map[string]string{"storageClassMap": class + ":\n  hostDir: " + dir + "\n  mountDir: /mnt/disks\n  volumeMode: Block\n"},
		},
	}
}

// twoInstallations is an API server with one node and two installations of the provisioner; the configuration of those in
// missing is not there.
func twoInstallations(t *testing.T, missing ...string) string {
	t.Helper()
	a, b := installation("local-storage", "prov", "block", "/var/lib/disks/block"), installation("tenant", "lvp", "fast", "/var/lib/tenant")
	empty := map[string]any{"items": []any{}}
	answers := map[string]any{
		"/apis/apps/v1/daemonsets": map[string]any{"items": []any{a["set"], b["set"]}},
		"/api/v1/nodes": map[string]any{
			"items": []any{map[string]any{"metadata": map[string]string{"name": "w-1", "uid": "u"}, "status": map[string]any{
				"conditions": []any{map[string]string{"type": "Ready", "status": "True"}},
				"addresses":  []any{map[string]string{"type": "InternalIP", "address": "127.0.0.1"}},
				"nodeInfo":   map[string]string{"machineID": talostest.MachineID("w-1"), "osImage": "Talos (v1.13.9)"},
			}}},
		},
		"/api/v1/persistentvolumes": empty, "/apis/storage.k8s.io/v1/storageclasses": empty,
		"/api/v1/namespaces/local-storage/pods": empty, "/api/v1/namespaces/tenant/pods": empty,
		"/api/v1/namespaces/local-storage/configmaps/config-prov": a["config"], "/api/v1/namespaces/tenant/configmaps/config-lvp": b["config"],
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.URL.Path]
		if !ok || slices.ContainsFunc(missing, func(name string) bool { return strings.HasSuffix(r.URL.Path, name) }) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"not here"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestMountsListOfSeveralInstallations: looking is about all of them, or about the one that is named.
func TestMountsListOfSeveralInstallations(t *testing.T) {
	const block, tenant = "/var/lib/disks/block", "/var/lib/tenant"
	for name, c := range map[string]struct {
		args, missing []string
		lists, not    []string
		says          string
		code          int
	}{
		"all":                    {lists: []string{block, tenant}},
		"the one that is named":  {args: []string{"--provisioner", "lvp"}, lists: []string{tenant}, not: []string{block}},
		"the one in a namespace": {args: []string{"-n", "local-storage"}, lists: []string{block}, not: []string{tenant}},
		"the classes of one are not known": {
			missing: []string{"config-lvp"},
			lists:   []string{block},
			not:     []string{tenant},
			says:    "the directories of not every provisioner are known",
			code:    1,
		},
		"the classes of the first are unknown": {
			missing: []string{"config-prov"},
			lists:   []string{tenant},
			not:     []string{block},
			says:    "provisioner local-storage/prov: ",
			code:    1,
		},
		"the classes of the named are unknown": {
			args:    []string{"--provisioner", "lvp"},
			missing: []string{"config-lvp"},
			not:     []string{block, tenant},
			says:    "provisioner tenant/lvp: ",
			code:    1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"mounts", "list", "-s", twoInstallations(t, c.missing...), "--talosconfig", talosconfig(t)}, c.args...)
			r := run(t, args...)
			if r.code != c.code || !strings.Contains(r.stderr, c.says) {
				t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			for _, dir := range c.lists {
				if !strings.Contains(r.stdout, dir+" ") {
					t.Errorf("no %s in\n%s", dir, r.stdout)
				}
			}
			for _, dir := range c.not {
				if strings.Contains(r.stdout, dir) {
					t.Errorf("%s is in\n%s", dir, r.stdout)
				}
			}
		})
	}
}

// TestChoosingAnInstallation: a command that needs one prints itself, with the flags that choose, for each.
func TestChoosingAnInstallation(t *testing.T) {
	server := twoInstallations(t)
	choose := []string{"--provisioner-namespace", "tenant", "--provisioner", "lvp"}
	for name, c := range map[string]struct {
		args []string // without -s
		want []string // with it, and without the flags that choose
	}{
		"link": {
			args: []string{"link", "vdf", "vdg", "--nodes", "w-1,w-*", "--accept", "signature=w-1/vdf", "--accept", "data=w-1/vdf", "--yes"},
			want: []string{"link", "vdf", "vdg", "--accept", "signature=w-1/vdf", "--accept", "data=w-1/vdf", "--nodes", "w-1", "--nodes", "w-*",
				"--server", server, "--yes"},
		},
		"unlink": {
			args: []string{"unlink", "vd*", "--wait=false", "--yes"},
			want: []string{"unlink", "vd*", "--server", server, "--wait=false", "--yes"},
		},
		"one that was not it": {
			args: []string{"unlink", "vdf", "--provisioner-namespace", "", "--yes"},
			want: []string{"unlink", "vdf", "--server", server, "--yes"},
		},
		"a token is not for it": {
			args: []string{"unlink", "vdf", "--token", "CANARY", "--yes"},
			want: []string{"unlink", "vdf", "--server", server, "--yes"},
		},
		"mounts": {
			args: []string{"mounts", "--dry-run=client", "--talosconfig", "TALOSCONFIG"},
			want: []string{"mounts", "--dry-run", "client", "--server", server, "--talosconfig", "TALOSCONFIG"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			args, want := append(slices.Clone(c.args), "-s", server), slices.Concat([]string{"kubectl", "talosdisk"}, c.want, choose)
			for i := range args {
				if args[i] == "TALOSCONFIG" {
					args[i] = talosconfig(t)
					want[slices.Index(want, "TALOSCONFIG")] = args[i]
				}
			}
			r := run(t, args...)
			if r.code != 1 || !strings.Contains(r.stderr, `several provisioners: "local-storage/prov", "tenant/lvp"`) ||
				strings.Contains(r.stderr, "CANARY") {
				t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
			commands, err := shelltest.Words(strings.TrimSpace(lines[len(lines)-1]))
			if err != nil || len(commands) != 1 || !slices.Equal(commands[0], want) {
				t.Errorf("%q, %v, not %q", commands, err, want)
			}
		})
	}
}
