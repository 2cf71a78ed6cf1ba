// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// What is as it should be now, and may not stay so, or was not seen, is told.
func TestDecideWarnsOfWhatMayNotBeSo(t *testing.T) {
	pending := func(n *NodeState) { n.StagedDiffers = true }
	tried := func(n *NodeState) { n.Tried = true }
	listed := watched(listing(map[string][2]string{disksDir: {"hdd", "hdd"}}))
	lost := func(n *NodeState) { n.ViewProblem = problem.FromText("the connection broke") }
	for name, c := range map[string]struct {
		node    NodeState
		request Request
		action  change.Action
		warning string
	}{
		"seen, and something is staged or tried": {
			node:    plain(t, "v1.13.9", bind(disksDir)).with(listed).with(pending),
			request: ask(disksDir),
			action:  change.Keep,
			warning: "not the one on its disk",
		},
		"seen": {node: plain(t, "v1.13.9", bind(disksDir)).with(listed), request: ask(disksDir), action: change.Keep},
		"nothing to remove, and something is staged": {
			node:    plain(t, "v1.13.9").with(pending),
			request: Request{Required: []string{disksDir}, Remove: true},
			action:  change.Keep,
			warning: "not the one on its disk",
		},
		"nothing to remove": {
			node:    plain(t, "v1.13.9"),
			request: Request{Required: []string{disksDir}, Remove: true},
			action:  change.Keep,
		},
		"seen, and tried since the boot": {
			node:    plain(t, "v1.13.9", bind(disksDir)).with(listed).with(tried),
			request: ask(disksDir),
			action:  change.Keep,
			warning: "was tried since the node booted",
		},
		"nothing to remove, and tried since the boot": {
			node:    plain(t, "v1.13.9").with(tried),
			request: Request{Required: []string{disksDir}, Remove: true},
			action:  change.Keep,
			warning: "was tried since the node booted",
		},
		"to be changed, and tried since the boot": {
			node:    plain(t, "v1.13.9").with(tried),
			request: ask(disksDir),
			action:  change.Patch,
			warning: "was tried since the node booted",
		},
		"asked for, and not seen": {
			node:    plain(t, "v1.13.9", bind(disksDir)).with(lost),
			request: ask(disksDir),
			action:  change.Keep,
			warning: "is unknown: the connection broke",
		},
		"to be staged where a staged one is not shown": {
			node:    plain(t, "v1.9.6"),
			request: Request{Required: []string{disksDir}, Staged: true},
			action:  change.Patch,
			warning: "if there is one, it is lost",
		},
		"to be staged where a staged one is shown": {
			node:    plain(t, "v1.13.9"),
			request: Request{Required: []string{disksDir}, Staged: true},
			action:  change.Patch,
		},
		"to be changed where a staged one is not shown": {
			node:    plain(t, "v1.9.6"),
			request: ask(disksDir),
			action:  change.Patch,
			warning: "if there is one, it is lost",
		},
		"to be taken out where a staged one is not shown": {
			node:    plain(t, "v1.9.6", bind(disksDir)),
			request: Request{Required: []string{disksDir}, Remove: true, Staged: true},
			action:  change.Patch,
			warning: "if there is one, it is lost",
		},
	} {
		p := Decide(c.node, c.request)
		warnings := strings.Join(p.Warnings, "\n")
		if p.Action != c.action || !strings.Contains(warnings, c.warning) || (c.warning == "") != (warnings == "") {
			t.Errorf("%s: %s, warnings %q", name, p.Action, p.Warnings)
		}
	}
}

// A mount whose source is a file leaves the node without a kubelet.
func TestDecideRefusesAFile(t *testing.T) {
	file := DirectoryListing{Exists: disk.No, Problem: `"/var/lib/disks" is not a directory`}
	view := &KubeletView{PID: 1, Dirs: map[string]BothSides{disksDir: {Host: file, Kubelet: DirectoryListing{Exists: disk.No}}}}
	for _, staged := range []bool{false, true} {
		p := Decide(plain(t, "v1.13.9").with(watched(view)), Request{Required: []string{disksDir}, Staged: staged})
		if p.Action != change.Refuse || p.Reason != ReasonDirectory || !strings.Contains(p.Message, "is not a directory") {
			t.Errorf("%s %s: %s", p.Action, p.Reason, p.Message)
		}
	}
}

func TestTried(t *testing.T) {
	for name, c := range map[string]struct {
		release string
		configs machineconfig.Current
		want    bool
	}{
		"as it booted":                   {"v1.14.0", machineconfig.Current{Version: "1"}, false},
		"tried":                          {"v1.10.0", machineconfig.Current{Version: "2"}, true},
		"applied":                        {"v1.14.0", machineconfig.Current{Version: "2", Persistent: []byte("x")}, false},
		"applied, on a release of old":   {"v1.9.6", machineconfig.Current{Version: "2"}, false},
		"a version that was not told of": {"v1.14.0", machineconfig.Current{}, false},
	} {
		if c.configs.Tried(version(t, c.release)) != c.want {
			t.Errorf("%s: %t", name, !c.want)
		}
	}
}
