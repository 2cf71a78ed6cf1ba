// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// TestLayoutOfACluster runs the whole command on a cluster with a Talos node and no provisioner: what Talos tells is enough.
func TestLayoutOfACluster(t *testing.T) {
	n, err := talostest.New(talostest.Options{Profile: talostest.V114})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	if err := n.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	talosconfig, file := filepath.Join(dir, "talosconfig"), filepath.Join(dir, "layout.yaml")
	if err := n.Talosconfig(talosconfig, talostest.Access{}); err != nil {
		t.Fatal(err)
	}
	list := func(version, kind, items string) http.HandlerFunc {
		return body(fmt.Sprintf(`{"apiVersion":"`+version+`","kind":"%sList","metadata":{},"items":[%s]}`, kind, items))
	}
	url := serve(t, map[string]http.HandlerFunc{
		"GET /api/v1/nodes": list("v1", "Node", fmt.Sprintf(
			`{"metadata":{"name":%q,"uid":"u"},"status":{"addresses":[{"type":"InternalIP","address":"127.0.0.1"}],`+
				`"conditions":[{"type":"Ready","status":"True"}],"nodeInfo":{"machineID":%q,"systemUUID":%q,"osImage":"Talos (v1.14.0)"}}}`,
			n.Name(), talostest.MachineID(n.Name()), talostest.SystemUUID(n.Name()))),
		"GET /api/v1/persistentvolumes":              list("v1", "PersistentVolume", ""),
		"GET /apis/apps/v1/daemonsets":               list("apps/v1", "DaemonSet", ""),
		"GET /apis/storage.k8s.io/v1/storageclasses": list("storage.k8s.io/v1", "StorageClass", ""),
	})
	do := func(args ...string) result {
		return run(t, append([]string{"layout", "-s", url, "--talosconfig", talosconfig}, args...)...)
	}

	proposed := do()
	if proposed.code != 0 || !strings.Contains(proposed.stdout, "kind: DiskLayout\n") ||
		strings.Contains(proposed.stdout, "kind: DiskBindings\n") ||
		!strings.Contains(proposed.stdout, n.Name()+"/vda: is a disk that the node itself lives on") {
		t.Fatalf("%+v", proposed)
	}
	if err := os.WriteFile(file, []byte(proposed.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := do("-f", file, "--write"); r.code != 0 || !strings.Contains(r.stdout, "serial talos-disk-b") ||
		!strings.Contains(r.stderr, "Talos alone") {
		t.Errorf("%+v", r)
	}
	bound, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(bound), proposed.stdout+"---\n") {
		t.Errorf("%v\n%s", err, bound)
	}
	if r := do("-f", file); r.code != 0 || r.stdout != string(bound) {
		t.Errorf("bound again: %+v", r)
	}

	const chosen = `apiVersion: talosdisk.dev/v1alpha1
kind: DiskLayout
metadata: {name: chosen}
spec:
  nodes: {names: ["*"]}
  classes:
    - {name: a, disks: {match: 'disk.serial == "talos-disk-c" && !system_disk'}}
    - {name: b, as: disk, disks: {match: 'disk.serial == "talos-disk-d" && !system_disk'}}
    - {name: d, disks: {match: 'disk.name == "vde"'}}
    - {name: c, disks: {match: 'disk.transport == "virtio"'}}
`
	if err := os.WriteFile(file, []byte(chosen), 0o600); err != nil {
		t.Fatal(err)
	}
	r := do("-f", file)
	for _, want := range []string{
		"class d on " + n.Name() + ": what its expression matches is not known: ERROR: <input>:1:5: undefined field 'name'",
		"class c on " + n.Name() + ": the system disk is one of those that are chosen",
	} {
		if r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%+v\nwant %s", r, want)
		}
	}
	if !strings.HasPrefix(r.stdout, chosen+"---\n") || !strings.Contains(r.stdout, "    a-1: {serial: talos-disk-c") ||
		!strings.Contains(r.stdout, "    b-1: {serial: talos-disk-d") || strings.Contains(r.stdout, "c-1") {
		t.Errorf("%s", r.stdout)
	}
}
