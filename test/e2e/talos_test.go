// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/siderolabs/talos/pkg/machinery/role"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// withTalos gives the cluster the Talos API for one test.
type withTalos struct {
	*talosnode.Cluster
	t *testing.T
	// talosconfig is that of os:admin.
	talosconfig string
}

func startTalos(t *testing.T, o talosnode.Options) *withTalos {
	t.Helper()
	c, err := talosnode.Start(t.Context(), theCluster, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(withoutEnd(t)); err != nil {
			t.Error(err)
		}
	})
	talos := &withTalos{Cluster: c, t: t}
	talos.talosconfig = talos.access(talostest.Access{})
	return talos
}

// access writes a talosconfig and returns its path.
func (c *withTalos) access(a talostest.Access) string {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), "talosconfig")
	if err := c.Talosconfig(path, a); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// as is access for somebody with one role.
func (c *withTalos) as(r role.Role) string {
	return c.access(talostest.Access{Roles: []role.Role{r}})
}

// command is the program with access to the Talos API, as its administrator.
func (c *withTalos) command(args ...string) command {
	return command{args: args, env: []string{"TALOSCONFIG=" + c.talosconfig}, secrets: c.Canaries()}
}

func (c *withTalos) run(args ...string) result {
	c.t.Helper()
	return c.command(args...).run(c.t)
}

// node is the Talos side of a node.
func (c *withTalos) node(name string) *talosnode.Node {
	c.t.Helper()
	n, err := c.Node(name)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// kubelets are the processes of all kubelets, by node.
func kubelets(t *testing.T) map[string]int {
	t.Helper()
	pids := map[string]int{}
	for _, n := range theCluster.Nodes() {
		pid, err := n.KubeletPID(withoutEnd(t))
		if err != nil {
			t.Fatal(err)
		}
		pids[n.Name()] = pid
	}
	return pids
}

// sees reports whether the kubelet of a node has something mounted at a directory.
func sees(t *testing.T, n *cluster.Node, dir string) bool {
	t.Helper()
	var found []*mountinfo.Info
	// A kubelet that has just ended, for another to start, has no mounts.
	eventually(t, 30*time.Second, func() string {
		pid := kubelets(t)[n.Name()]
		file, err := os.Open(hostPath(n, fmt.Sprintf("/proc/%d/mountinfo", pid)))
		if err != nil {
			return err.Error()
		}
		defer file.Close()
		if found, err = mountinfo.GetMountsFromReader(file, mountinfo.SingleEntryFilter(dir)); err != nil {
			return err.Error()
		}
		return ""
	})
	return len(found) > 0
}

// TestTalosNode holds down what the other tests stand on: that the Talos API of a
// node tells of, and acts on, the real kubelet.
func TestTalosNode(t *testing.T) {
	begin(t, manifests.Default())
	before := kubelets(t)
	talos := startTalos(t, talosnode.Options{})
	if after := kubelets(t); !maps.Equal(before, after) {
		t.Errorf("the kubelets were restarted: %v to %v", before, after)
	}
	n := talos.node("worker-2")
	plain := n.Config()

	const entry = "extraMounts:\n            - destination: /var/lib/disks\n              type: bind\n              source: /var/lib/disks\n              options: [%s]\n"
	with := func(options string) []byte {
		return bytes.Replace(plain, []byte("kubelet:\n"), []byte("kubelet:\n        "+fmt.Sprintf(entry, options)), 1)
	}
	for _, step := range []struct {
		config  []byte
		state   string
		message string
		sees    bool
	}{
		{with("rbind, rslave, rw"), "Running", "Health check successful", true},
		{with("rw"), "Waiting", "no such device", false},
		{plain, "Running", "Health check successful", false},
	} {
		if err := n.SetConfig(t.Context(), step.config); err != nil {
			t.Fatal(err)
		}
		if err := n.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got talostest.Kubelet
		eventually(t, 20*time.Second, func() string {
			if got = n.Kubelet(); got.State != step.state || !strings.Contains(got.Message, step.message) {
				return fmt.Sprintf("the kubelet is %s: %s; want %s: %s", got.State, got.Message, step.state, step.message)
			}
			return ""
		})
		pid := kubelets(t)[n.Below.Name()]
		if got.PID != pid || pid == before[n.Below.Name()] {
			t.Errorf("the kubelet is process %d, Talos says %d, it was %d", pid, got.PID, before[n.Below.Name()])
		}
		if pid != 0 && sees(t, n.Below, "/var/lib/disks") != step.sees {
			t.Errorf("the kubelet sees /var/lib/disks: %t, want %t", !step.sees, step.sees)
		}
	}
}

// TestTalosDisks lists disks that both the pods and Talos see: each is one disk.
func TestTalosDisks(t *testing.T) {
	begin(t, manifests.Default())
	n := node(t, "worker-1")
	d := addDisk(t, n, cluster.Disk{})
	talos := startTalos(t, talosnode.Options{})
	r := talos.run("disks", "--nodes", n.Name()).wantCode(t, 0)
	uses := map[string][]string{}
	for _, row := range table(r.stdout)[1:] {
		uses[row[1]] = append(uses[row[1]], row[4])
	}
	if want := map[string][]string{cluster.SystemDisk: {"system"}, d.Name: {"-"}}; !reflect.DeepEqual(uses, want) {
		t.Errorf("uses %v, want %v\n%s", uses, want, r)
	}
}
