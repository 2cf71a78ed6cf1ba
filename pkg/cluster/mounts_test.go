// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rollout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// aNode is a Talos node, and a client for it.
func aNode(t *testing.T) (*talostest.Node, *talos.Node) {
	t.Helper()
	n, err := talostest.New(talostest.Options{Name: "w-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	path := filepath.Join(t.TempDir(), "talosconfig")
	if err := n.Cluster().Talosconfig(path, talostest.Access{}); err != nil {
		t.Fatal(err)
	}
	api, err := DialTalos(t.Context(), talos.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	return n, api.Node(snapshot.Machine{Node: "w-1", Address: "127.0.0.1", MachineID: talostest.MachineID("w-1")})
}

// A check changes nothing, nor does it end a trial that somebody began meanwhile.
func TestCheckMounts(t *testing.T) {
	n, api := aNode(t)
	if err := n.Try(t.Context(), append(n.Config(), "# theirs\n"...)); err != nil {
		t.Fatal(err)
	}
	c := &Cluster{options: Options{Concurrency: 1, NodeTimeout: time.Minute}, reporter: &heard{}}
	patch := mounts.Plan{Action: change.Patch, Restarts: true}
	good := NodeMounts{Plan: patch, After: append(n.Config(), "# ours\n"...), node: api}
	bad := NodeMounts{Plan: patch, After: []byte("version: v1alpha1\nnonsense: 1\n"), node: api}
	nodes := []NodeMounts{good, bad}
	c.CheckMounts(t.Context(), nodes)
	if nodes[0].Action != change.Patch || nodes[1].Action != change.Refuse || nodes[1].Reason != mounts.ReasonConfig || nodes[1].After != nil {
		t.Errorf("%s and %s: %s", nodes[0].Action, nodes[1].Action, nodes[1].Message)
	}
	if !n.RollbackPending() {
		t.Error("the trial was ended")
	}
	// Not asked is not refused.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	nodes = []NodeMounts{good}
	c.CheckMounts(ctx, nodes)
	if got := nodes[0]; got.Action != change.Skip || !strings.Contains(got.Message, "whether Talos takes the configuration is unknown: ") ||
		got.After != nil || got.Restarts {
		t.Errorf("%+v", got.Plan)
	}
}

// What came of a node is in it: the directory is seen only if it was. The roll-out has its address, for the hints.
func TestTheEndOfARollOut(t *testing.T) {
	_, api := aNode(t)
	for result, visible := range map[change.Result]disk.Answer{change.Patched: disk.Yes, change.RolledBack: disk.No, change.Staged: disk.No} {
		n := NodeMounts{node: api, Plan: mounts.Plan{Node: "w-1", Directories: []mounts.Directory{
			{Path: "/dev", Action: change.Keep, Visible: disk.Unknown},
			{Path: "/var/lib/disks", Action: change.Patch, Visible: disk.No},
		}}}
		n.end(rollout.Outcome{Result: result, Detail: "x", Hint: "talosctl -n 127.0.0.1 x"})
		if n.Result != result || n.Directories[1].Visible != visible || n.Directories[0].Visible != disk.Unknown ||
			n.Hint != "talosctl -n 127.0.0.1 x" {
			t.Errorf("%s: %+v", result, n)
		}
		if s := n.step(rollOutNode{Node: api}); s.Node != "w-1" || s.Address != "127.0.0.1" || s.Works != nil {
			t.Errorf("%+v", s)
		}
	}
}
