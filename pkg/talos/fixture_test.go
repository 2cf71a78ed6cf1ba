// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// start makes a node and waits for its kubelet.
func start(t *testing.T, o talostest.Options) *talostest.Node {
	t.Helper()
	n, err := talostest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.Settle(deadline(t)); err != nil {
		t.Fatal(err)
	}
	return n
}

// deadline ends what hangs.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// load reads the talosconfig that the access makes.
func load(t *testing.T, cluster *talostest.Cluster, access talostest.Access, o Options) *Config {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "talosconfig")
	if err := cluster.Talosconfig(o.Path, access); err != nil {
		t.Fatal(err)
	}
	config, err := Load(o, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// connect is a client of the node's cluster.
func connect(t *testing.T, cluster *talostest.Cluster, access talostest.Access) *Client {
	t.Helper()
	c, err := New(t.Context(), load(t, cluster, access, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// asAdmin is the node, spoken to as its administrator.
func asAdmin(t *testing.T, n *talostest.Node) *Node {
	t.Helper()
	return connect(t, n.Cluster(), talostest.Access{}).Node(machineOf(n.Name(), "127.0.0.1"))
}

// machineOf is what Kubernetes reports of a node.
func machineOf(name, address string) snapshot.Machine {
	return snapshot.Machine{Node: name, Address: address, MachineID: talostest.MachineID(name), SystemUUID: talostest.SystemUUID(name)}
}

// is fails unless err is of the kind, says the parts, and says no secret of config.
func is(t *testing.T, err, kind error, config []byte, parts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("%v is not %q", err, kind)
	}
	text := err.Error() + "\n" + failure.Hint(err)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
	for _, secret := range secrets(config) {
		if len(secret) > 15 && strings.Contains(text, secret) || strings.Contains(text, "CANARY") {
			t.Fatalf("%q has a secret", text)
		}
	}
}

// sim is the machine below a node.
func sim(t *testing.T, n *talostest.Node) *talostest.Sim {
	t.Helper()
	s, ok := n.Machine().(*talostest.Sim)
	if !ok {
		t.Fatalf("the machine is a %T", n.Machine())
	}
	return s
}
