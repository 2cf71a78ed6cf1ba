// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// aTalos is a Talos node, and the path of a talosconfig for it.
func aTalos(t *testing.T) (*talostest.Node, string) {
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
	return n, path
}

// talosconfig is one of a node that nobody needs to know.
func talosconfig(t *testing.T) string {
	t.Helper()
	_, path := aTalos(t)
	return path
}

func TestMountsTableTellsWhatIsNow(t *testing.T) {
	planned := func(restarts bool) cluster.NodeMounts {
		return cluster.NodeMounts{
			Plan: mounts.Plan{Node: "w-1", Action: change.Patch, Reason: mounts.ReasonNoEntry, Restarts: restarts, Directories: []mounts.Directory{
				{Path: "/dev", Action: change.Keep, Reason: mounts.ReasonVisible, Visible: disk.Unknown, Message: "is visible"},
				{Path: "/var/lib/disks", Action: change.Patch, Visible: disk.No, Message: "is not visible"},
			}},
		}
	}
	for name, c := range map[string]struct {
		run      dryRun
		restarts bool
		came     change.Result
		result   string
		other    string // That of a directory for which nothing was to be done.
	}{
		"patched":          {dryRunNone, true, change.Patched, "patched", "unchanged visible"},
		"rolled back":      {dryRunNone, true, change.RolledBack, "rolled back", "rolled back no-entry"},
		"staged":           {dryRunNone, false, change.Staged, "staged", "unchanged visible"},
		"would be patched": {dryRunClient, true, "", "patched (dry run)", "unchanged (dry run) visible"},
		"would be staged":  {dryRunServer, false, "", "staged (server dry run)", "unchanged (server dry run) visible"},
	} {
		n := planned(c.restarts)
		n.Result = c.came
		table := mountsTable([]cluster.NodeMounts{n}, c.run)
		if got := table.Rows[1].Cells; got[3] != string(disk.No) || got[4] != c.result || table.Rows[0].Cells[3] != "unknown" {
			t.Errorf("%s: %v", name, got)
		}
		if got := table.Rows[0].Cells; fmt.Sprint(got[4], " ", got[5]) != c.other {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A kubelet that nobody saw is a node that could not be looked at in full.
func TestMountsListTellsWhatWasNotSeen(t *testing.T) {
	version, err := talosrelease.Parse("v1.13.9")
	if err != nil {
		t.Fatal(err)
	}
	state := mounts.NodeState{Node: "w-1", Release: version}
	for name, c := range map[string]struct {
		kubelet    observe.Kubelet
		err        string
		configured string
	}{
		"all seen": {
			kubelet:    observe.Kubelet{State: with(state, func(s *mounts.NodeState) { s.View = &mounts.KubeletView{} })},
			configured: "-",
		},
		"no view": {
			kubelet:    observe.Kubelet{State: with(state, func(s *mounts.NodeState) { s.ViewProblem = problem.FromText("it broke") })},
			err:        "what its kubelet sees is unknown: it broke",
			configured: "-",
		},
		"no configuration": {
			kubelet: observe.Kubelet{
				State: with(state, func(s *mounts.NodeState) { s.ConfigProblem = problem.FromText("no role") }),
				Err:   errors.New("no role"),
			},
			err:        "no role",
			configured: "unknown",
		},
	} {
		n := kubeletMountsOf(c.kubelet, []string{"/var/lib/disks"})
		if got := failed(n.err); got != c.err {
			t.Errorf("%s: %q", name, got)
		}
		if n.Warning != "" {
			t.Errorf("%s: warning %q", name, n.Warning)
		}
		if got := kubeletMountsTable([]kubeletMounts{n}).Rows[0].Cells[3]; got != c.configured {
			t.Errorf("%s: configured %q", name, got)
		}
	}
}

// The hint after a configuration that was not kept leads to mounts list, which has to tell it.
func TestMountsListTellsWhatIsNotKept(t *testing.T) {
	n := kubeletMountsOf(observe.Kubelet{State: mounts.NodeState{Node: "w-1", StagedDiffers: true, View: &mounts.KubeletView{}}}, nil)
	if !strings.Contains(n.Warning, "is not the one on its disk") || n.err != nil {
		t.Errorf("%+v", n)
	}
}

func with(s mounts.NodeState, change func(*mounts.NodeState)) mounts.NodeState {
	change(&s)
	return s
}

func failed(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// No part of a configuration is in what is printed for machines.
func TestMountsPrintsNoConfiguration(t *testing.T) {
	n, _ := aTalos(t)
	node := cluster.NodeMounts{
		Before: machineconfig.Current{Active: n.Config()}, After: append(n.Config(), "# ours\n"...),
		Plan: mounts.Plan{Node: "w-1", Action: change.Patch},
	}
	var out bytes.Buffer
	flags := output.NewFlags()
	flags.Format = "json"
	printer, err := flags.ToPrinter()
	if err != nil {
		t.Fatal(err)
	}
	o := mountsOptions{commonOptions: commonOptions{shared: &shared{IOStreams: genericiooptions.IOStreams{Out: &out}}, printer: printer}}
	if err := o.print(&snapshot.Snapshot{}, []cluster.NodeMounts{node}); err != nil || !strings.Contains(out.String(), `"patch"`) {
		t.Fatalf("%v: %s", err, out.String())
	}
	for line := range strings.Lines(string(n.Config())) {
		if line = strings.TrimSpace(line); len(line) > 30 && strings.Contains(out.String(), line) {
			t.Fatalf("it has %q", line)
		}
	}
}

// For git the whole entry is printed, and which one it replaces.
func TestMountsPrintsReboundEntries(t *testing.T) {
	var out, errOut bytes.Buffer
	o := mountsOptions{commonOptions: commonOptions{shared: &shared{IOStreams: genericiooptions.IOStreams{Out: &out, ErrOut: &errOut}}}}
	entry := mounts.ExtraMount{Destination: "/var/lib/disks", Type: "bind", Source: "/var/lib/disks", Options: []string{"rbind", "rw"}}
	err := o.printFragments([]cluster.NodeMounts{{
		Plan: mounts.Plan{Node: "w-1", Action: change.Patch, Rebind: []int{2}, Rebound: []mounts.ExtraMount{entry}},
	}})
	if err != nil || out.String() != "# w-1\n"+mounts.Fragment([]mounts.ExtraMount{entry}) {
		t.Errorf("%v: %s", err, out.String())
	}
	if !strings.Contains(errOut.String(), `w-1: the entry for "/var/lib/disks" takes the place of machine.kubelet.extraMounts[2]`) {
		t.Errorf("%s", errOut.String())
	}
}
