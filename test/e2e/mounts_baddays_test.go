// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/siderolabs/talos/pkg/machinery/role"
	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// TestMountsBadDays has what goes wrong around a roll-out. Whatever is said of a node
// is compared with it.
func TestMountsBadDays(t *testing.T) {
	for _, test := range []struct {
		name    string
		options talosnode.Options
		do      func(*testing.T, *withTalos)
	}{
		{"node unreachable", talosnode.Options{}, nodeUnreachable},
		{"endpoint unreachable", talosnode.Options{}, endpointUnreachable},
		{"no talosconfig", talosnode.Options{}, noTalosconfig},
		{"certificate expired", talosnode.Options{}, certificateExpired},
		{"stranger", talosnode.Options{}, stranger},
		{"reader", talosnode.Options{}, reader},
		{"another node at the address", talosnode.Options{}, anotherNode},
		{"configuration changed meanwhile", talosnode.Options{}, changedMeanwhile},
		{"staged configuration", talosnode.Options{}, stagedConfiguration},
		{"trial of somebody else", talosnode.Options{}, othersTrial},
		{"kubelet does not start", talosnode.Options{}, kubeletFails},
		{"killed during a trial", talosnode.Options{}, killedInTrial},
		{"interrupted during a trial", talosnode.Options{}, interruptedInTrial},
		{"node not ready", talosnode.Options{}, mountsNotReady},
		{"restart unmounts volumes", talosnode.Options{Profile: "v1.12.3"}, hazard},
		{"KubeletConfig document", talosnode.Options{Profile: talostest.V114, Native: true}, kubeletDocument},
		{"every word of the log", talosnode.Options{}, everyWord},
	} {
		t.Run(test.name, func(t *testing.T) {
			begin(t, manifests.Default())
			test.do(t, startTalos(t, test.options))
		})
	}
}

// untouched runs the program and wants it to restart no kubelet and change no
// configuration.
func (c *withTalos) untouched(do func() result) result {
	c.t.Helper()
	pids, configs := kubelets(c.t), map[string]string{}
	for _, n := range c.Nodes() {
		configs[n.Below.Name()] = string(n.Config()) + string(n.DiskConfig())
	}
	r := do()
	if after := kubelets(c.t); !maps.Equal(pids, after) {
		c.t.Errorf("kubelets were restarted: %v, before %v\n%s", after, pids, r)
	}
	for _, n := range c.Nodes() {
		if string(n.Config())+string(n.DiskConfig()) != configs[n.Below.Name()] {
			c.t.Errorf("the configuration of %s was changed\n%s", n.Below.Name(), r)
		}
	}
	return r
}

// with is a node's configuration with another line in it.
func with(n *talosnode.Node, line string) []byte {
	return bytes.Replace(n.Config(), []byte("\nmachine:\n"), []byte("\nmachine:\n"+line+"\n"), 1)
}

// other is a change that somebody else makes.
const other = "    sysctls:\n        net.core.somaxconn: \"1024\""

func nodeUnreachable(t *testing.T, c *withTalos) {
	c.node("worker-3").Cut()
	before := kubelets(t)["worker-3"]
	r := c.run("mounts", "--yes", "-o", "json").wantError(t, "error: 1 of 3 nodes not done: 1 unknown", "worker-3: ",
		`does not reach the node at "10.99.0.13"`)
	if got, want := r.mounts(t).results(), []string{"worker-1=patched", "worker-2=patched", "worker-3=unknown"}; !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
	for _, n := range theCluster.Nodes() {
		if got := sees(t, n, disksDir); got != (n.Name() != "worker-3") {
			t.Errorf("the kubelet of %s sees %s: %t", n.Name(), disksDir, got)
		}
	}
	if after := kubelets(t)["worker-3"]; after != before {
		t.Error("the kubelet of the node that cannot be reached was restarted")
	}
}

func endpointUnreachable(t *testing.T, c *withTalos) {
	c.node("worker-1").Cut()
	c.untouched(func() result {
		return c.run("mounts", "--yes", "-o", "json").wantError(t, "no answer from the Talos API at ", c.node("worker-1").Endpoint())
	})
}

func noTalosconfig(t *testing.T, c *withTalos) {
	c.untouched(func() result { return run(t, "mounts", "--yes").wantError(t, "talosconfig") })
}

func (c *withTalos) runAs(talosconfig string, args ...string) result {
	c.t.Helper()
	command := c.command(args...)
	command.env = []string{"TALOSCONFIG=" + talosconfig}
	return command.run(c.t)
}

func certificateExpired(t *testing.T, c *withTalos) {
	c.untouched(func() result {
		return c.runAs(c.access(talostest.Access{Expired: true}), "mounts", "--yes").wantError(t,
			`the client certificate of Talos context "test" ended at `, "talosctl config new")
	})
}

// The talosconfig of another cluster.
func stranger(t *testing.T, c *withTalos) {
	c.untouched(func() result {
		return c.runAs(c.access(talostest.Access{Stranger: true}), "mounts", "--yes").wantError(t,
			"has a certificate of another CA than context \"test\"")
	})
}

func reader(t *testing.T, c *withTalos) {
	talosconfig := c.as(role.Reader)
	c.untouched(func() result {
		return c.runAs(talosconfig, "mounts", "--yes", "-o", "json").wantError(t, "needs the Talos role os:admin; context \"test\" has os:reader",
			"talosctl config new NEW-TALOSCONFIG --roles os:admin")
	})
	// What the kubelets see he may know.
	r := c.runAs(talosconfig, "mounts", "list").wantError(t, "needs the Talos role os:admin")
	if !strings.Contains(r.stdout, "no ") {
		t.Errorf("it is not told what the kubelets see\n%s", r)
	}
}

func anotherNode(t *testing.T, c *withTalos) {
	if err := c.node("worker-2").Rename(t.Context(), "worker-9"); err != nil {
		t.Fatal(err)
	}
	c.untouched(func() result {
		r := c.run("mounts", "--yes", "--nodes", "worker-2", "-o", "json").wantError(t, "10.99.0.12", `"worker-9"`)
		if got := r.mounts(t).of(t, "worker-2"); got.Result != "unknown" {
			t.Errorf("result %q\n%s", got.Result, r)
		}
		return r
	})
}

func changedMeanwhile(t *testing.T, c *withTalos) {
	n := c.node("worker-1")
	p := c.command("mounts", "--nodes", "worker-1", "-o", "json").startInTerminal(t)
	p.expect("Continue?")
	if err := n.SetConfig(t.Context(), with(n, other)); err != nil {
		t.Fatal(err)
	}
	c.untouched(func() result {
		p.send("y\r")
		r := p.wait().wantError(t, "1 refused", "its configuration changed since the plan was made")
		if got := r.mounts(t).of(t, "worker-1"); got.Result != "refused" {
			t.Errorf("result %q\n%s", got.Result, r)
		}
		return r
	})
}

func stagedConfiguration(t *testing.T, c *withTalos) {
	n := c.node("worker-1")
	if err := n.Stage(t.Context(), with(n, other)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--dry-run=server"}, {"--yes"}} {
		c.untouched(func() result {
			return c.run(append([]string{"mounts", "--nodes", "worker-1"}, args...)...).wantError(t, "1 refused", "another configuration is staged")
		})
	}
}

// Any request, also one that is refused, would make the trial last.
func othersTrial(t *testing.T, c *withTalos) {
	n := c.node("worker-2")
	// Only what was applied since the boot shows what is on the disk.
	if err := n.SetConfig(t.Context(), append(n.Config(), '\n')); err != nil {
		t.Fatal(err)
	}
	before := n.Config()
	if err := n.Try(t.Context(), with(n, other)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list"}, {"--dry-run=server"}, {"--yes"}} {
		c.untouched(func() result { return c.run(append([]string{"mounts", "--nodes", "worker-2"}, args...)...) })
		if !n.RollbackPending() {
			t.Fatalf("mounts %s ended somebody's trial", args)
		}
	}
	if n.FireRollback(); !bytes.Equal(n.Config(), before) {
		t.Error("the trial was not taken back")
	}
}

// shortTrial is the shortest that can be asked for.
const shortTrial = "20s"

// runc refuses a mount, so that there is no kubelet until Talos takes the configuration
// back.
func kubeletFails(t *testing.T, c *withTalos) {
	n := c.node("worker-1")
	before := n.Config()
	n.Spoil(func(extra []specs.Mount) []specs.Mount {
		for i := range extra {
			extra[i].Options = []string{"rw"}
		}
		return extra
	})
	r := c.run("mounts", "--yes", "--try-timeout", shortTrial, "-o", "json").wantError(t, "1 rolled back, 2 not done", "worker-1: ",
		"the kubelet has not restarted: no process, Waiting", "no such device", "Talos took the configuration back, and the kubelet is healthy",
		"the roll-out stopped at node \"worker-1\"")
	if got, want := r.mounts(t).results(), []string{"worker-1=rolled back", "worker-2=not done", "worker-3=not done"}; !slices.Equal(got,
		want) {
		t.Errorf("results %q, want %q", got, want)
	}
	if !bytes.Equal(n.Config(), before) || !bytes.Equal(n.DiskConfig(), before) || !n.Kubelet().Healthy {
		t.Errorf("the node is not as before: %+v", n.Kubelet())
	}
	wantSeen(t, false)
}

// unhealthy keeps a node's trial from ending well.
func unhealthy(n *talosnode.Node) {
	n.SetHooks(talostest.Hooks{Healthy: func(ctx context.Context) error {
		if n.RollbackPending() {
			return errors.New("the test says so")
		}
		return n.Below.KubeletHealthy(ctx)
	}})
}

func (c *withTalos) inTrial(t *testing.T, n *talosnode.Node) *process {
	t.Helper()
	p := c.command("mounts", "--yes", "--try-timeout", shortTrial, "-o", "json").start(t)
	eventually(t, 30*time.Second, func() string {
		if !n.RollbackPending() {
			return "nothing is being tried on " + n.Below.Name() + p.stderr.String()
		}
		return ""
	})
	return p
}

// The node needs nobody to become what it was.
func killedInTrial(t *testing.T, c *withTalos) {
	n := c.node("worker-1")
	before := n.Config()
	unhealthy(n)
	c.inTrial(t, n).kill()
	eventually(t, 30*time.Second, func() string {
		if n.RollbackPending() || !bytes.Equal(n.Config(), before) || !n.Kubelet().Healthy {
			return "the node has not rolled back"
		}
		return ""
	})
	wantSeen(t, false)
	if !bytes.Equal(n.DiskConfig(), before) {
		t.Error("the configuration on disk is not as before")
	}
}

func interruptedInTrial(t *testing.T, c *withTalos) {
	n := c.node("worker-1")
	unhealthy(n)
	p := c.inTrial(t, n)
	p.signal(syscall.SIGINT)
	r := p.wait().wantError(t, "1 tried, 2 not done", "the run ended during the trial: Talos takes the configuration back by itself within ")
	if got, want := r.mounts(t).results(), []string{"worker-1=tried", "worker-2=not done", "worker-3=not done"}; !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
	if !n.FireRollback() {
		t.Error("the trial was ended")
	}
}

func mountsNotReady(t *testing.T, c *withTalos) {
	n := c.node("worker-2")
	if err := n.Below.StopKubelet(t.Context()); err != nil {
		t.Fatal(err)
	}
	setReady(t, n.Below, corev1.ConditionUnknown, "NodeStatusUnknown")
	c.untouched(func() result {
		return c.run("mounts", "--yes", "--nodes", "worker-2").wantError(t, "1 refused", "the node is not ready")
	})
}

func hazard(t *testing.T, c *withTalos) {
	c.untouched(func() result {
		return c.run("mounts", "--yes", "--nodes", "worker-1").wantError(t, "1 refused", "--accept kubelet-restart-hazard")
	})
	r := c.run("mounts", "--yes", "--nodes", "worker-1", "--accept", "kubelet-restart-hazard", "-o", "json").wantCode(t, 0)
	if got := r.mounts(t).of(t, "worker-1"); got.Result != "patched" || !sees(t, node(t, "worker-1"), disksDir) {
		t.Errorf("result %q\n%s", got.Result, r)
	}
}

// What Talos 1.14 generates has no place for extraMounts.
func kubeletDocument(t *testing.T, c *withTalos) {
	c.untouched(func() result {
		return c.run("mounts", "--yes", "--nodes", "worker-3").wantError(t, "1 refused", "KubeletConfig document", "volumeType: directory",
			"hostDir: /dev/disk/by-partlabel", "--convert-kubelet-config")
	})
	r := c.run("mounts", "--yes", "--nodes", "worker-3", "--convert-kubelet-config", "-o", "json").wantCode(t, 0)
	if got := r.mounts(t).of(t, "worker-3"); got.Result != "patched" || !sees(t, node(t, "worker-3"), disksDir) {
		t.Errorf("result %q\n%s", got.Result, r)
	}
}

// Secrets are looked for in whatever a run says; here it says all that it can.
func everyWord(t *testing.T, c *withTalos) {
	key, err := os.ReadFile(c.talosconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mounts", "list", "-o", "yaml"}, {"mounts", "--dry-run=server", "-o", "yaml"}, {"mounts", "-o", "patch"},
		{"mounts", "--yes", "--nodes", "worker-1", "-o", "json"},
	} {
		command := c.command(append(args, "-v=9")...)
		for line := range strings.Lines(string(key)) {
			if _, value, ok := strings.Cut(strings.TrimSpace(line), "key: "); ok {
				command.secrets = append(command.secrets, value)
			}
		}
		command.run(t).wantCode(t, 0)
	}
}
