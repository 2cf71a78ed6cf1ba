// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

func TestRoles(t *testing.T) {
	n := start(t, talostest.Options{})
	for _, weak := range []role.Role{role.Reader, role.Operator} {
		t.Run(string(weak), func(t *testing.T) {
			client := connect(t, n.Cluster(), talostest.Access{Context: "me", Roles: []role.Role{weak}})
			node, ctx := client.Node(machineOf(n.Name(), "127.0.0.1")), deadline(t)
			if err := node.Verify(ctx); err != nil {
				t.Error(err)
			}
			if _, err := node.Version(ctx); err != nil {
				t.Error(err)
			}
			if _, err := node.Kubelet(ctx); err != nil {
				t.Error(err)
			}
			view, err := node.View(ctx, []string{"/var/mnt"})
			if err != nil {
				t.Fatal(err)
			}
			if view.Dirs["/var/mnt"].Kubelet.Exists != disk.Yes {
				t.Errorf("got %+v", view)
			}
			if view.Kubelet != nil || view.Host != nil || !strings.Contains(view.MountsProblem.Message, "os:admin") ||
				!strings.Contains(view.MountsProblem.Message, string(weak)) {
				t.Errorf("mounts: %q", view.MountsProblem)
			}
			_, configs := node.Configs(ctx)
			_, read := node.Read(ctx, "/proc/1/mountinfo")
			for what, err := range map[string]error{
				"machine configuration": configs, "/proc/1/mountinfo": read,
				"the machine configuration": node.Apply(ctx, changed(n), machineconfig.NoReboot, 0),
				"configuration":             node.DryRun(ctx, changed(n), machineconfig.NoReboot),
			} {
				is(t, err, ErrDenied, n.Config(), what, "os:admin", string(weak), `context "me"`)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	cluster, err := talostest.NewCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Close() })
	plane, err := cluster.Add(talostest.Options{Name: "cp", Addresses: []string{"10.0.0.11"}})
	if err != nil {
		t.Fatal(err)
	}
	worker, err := cluster.Add(talostest.Options{Name: "w-1", Addresses: []string{"10.0.0.12"}, Worker: true})
	if err != nil {
		t.Fatal(err)
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // It takes connections, and says nothing.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	at := func(endpoints ...string) talostest.Access { return talostest.Access{Endpoints: endpoints} }
	ask := func(access talostest.Access, address string) error {
		return connect(t, cluster, access).Node(machineOf("w-1", address)).Verify(deadline(t))
	}
	if err := ask(at(plane.Endpoint()), "10.0.0.12"); err != nil {
		t.Error(err)
	}
	if err := ask(at(dead.Addr().String(), plane.Endpoint()), "10.0.0.12"); err != nil {
		t.Errorf("one of two endpoints is up: %v", err)
	}
	is(t, ask(at(dead.Addr().String()), "10.0.0.12"), ErrUnreachable, nil, "no answer from the Talos API at", dead.Addr().String(),
		"connection refused")
	is(t, ask(at(plane.Endpoint()), "10.0.0.99"), ErrUnreachable, nil, `does not reach the node at "10.0.0.99"`)
	is(t, ask(at(worker.Endpoint()), "10.0.0.11"), ErrForwarding, nil, "--talos-endpoints")
	if err := ask(at(worker.Endpoint()), "10.0.0.12"); err != nil {
		t.Errorf("a worker answers for itself: %v", err)
	}

	client := connect(t, cluster, at(silent.Addr().String()))
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, context.DeadlineExceeded)
	defer cancel()
	is(t, client.Node(machineOf("w-1", "10.0.0.12")).Verify(ctx), context.DeadlineExceeded, nil)

	worker.Cut()
	is(t, ask(at(plane.Endpoint()), "10.0.0.12"), ErrUnreachable, nil, `does not reach the node at "10.0.0.12"`)
}

func TestTrust(t *testing.T) {
	n := start(t, talostest.Options{})
	ctx := deadline(t)
	ask := func(config *Config) error {
		c, err := New(ctx, config)
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Node(machineOf(n.Name(), "127.0.0.1")).Verify(ctx)
	}
	good := load(t, n.Cluster(), talostest.Access{}, Options{})
	if err := ask(good); err != nil {
		t.Fatal(err)
	}
	stranger := load(t, n.Cluster(), talostest.Access{Stranger: true}, Options{})
	is(t, ask(stranger), ErrTLS, n.Config(), "another CA", `context "test"`)
	// It trusts the server; the server does not trust it.
	stranger.file.Contexts["test"].CA = good.file.Contexts["test"].CA
	is(t, ask(stranger), ErrTLS, n.Config(), "does not accept the client certificate")
	c, err := New(ctx, stranger)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Where gRPC saw only the end of the connection, a second one tells why.
	hung := unsent{status.Error(codes.Unavailable, "write tcp: broken pipe")}
	if err := c.refusal(ctx, hung); !hungUp(hung) || !strings.Contains(err.Error(), "remote error: tls: unknown certificate authority") {
		t.Errorf("got %v", err)
	}

	old := load(t, n.Cluster(), talostest.Access{Expired: true, Roles: []role.Role{role.Reader}}, Options{})
	if !old.Expired(time.Now()) {
		t.Error("Expired says no")
	}
	is(t, ask(old), ErrExpired, n.Config(), `context "test" ended at `, "talosctl config new", "os:reader")
	// The clock here is wrong: only the server knows.
	old.identity.NotAfter = time.Now().Add(time.Hour)
	is(t, ask(old), ErrExpired, n.Config(), "clocks")
}

func TestEnd(t *testing.T) {
	n := start(t, talostest.Options{})
	node := asAdmin(t, n)
	n.SetHooks(talostest.Hooks{
		Before: talostest.Hang("Version", "cosi.Get", "Read", "ServiceList", "Processes", "ApplyConfiguration", "List"),
	})
	for name, call := range map[string]func(context.Context) error{
		"version": func(ctx context.Context) error { _, err := node.Version(ctx); return err },
		"configs": func(ctx context.Context) error { _, err := node.Configs(ctx); return err },
		"read":    func(ctx context.Context) error { _, err := node.Read(ctx, "/etc/os-release"); return err },
		"list":    func(ctx context.Context) error { _, err := node.List(ctx, "/", 1); return err },
		"kubelet": func(ctx context.Context) error { _, err := node.Kubelet(ctx); return err },
		"view":    func(ctx context.Context) error { _, err := node.View(ctx, []string{"/var"}); return err },
		"apply":   func(ctx context.Context) error { return node.Apply(ctx, changed(n), machineconfig.NoReboot, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			is(t, call(ctx), context.DeadlineExceeded, n.Config(), "asking the Talos API at")
			ctx, cancel = context.WithCancel(t.Context())
			cancel()
			is(t, call(ctx), context.Canceled, n.Config())
		})
	}
}
