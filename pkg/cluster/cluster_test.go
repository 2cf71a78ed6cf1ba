// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// heard keeps what a run said.
type heard struct{ notes, warnings []string }

func (*heard) Count(string, int) func()    { return func() {} }
func (*heard) Show(string, ...any)         {}
func (*heard) Clear()                      {}
func (h *heard) Note(text string)          { h.notes = append(h.notes, text) }
func (h *heard) Warn(text string, e error) { h.warnings = append(h.warnings, fmt.Sprint(text, e)) }

// A decision that takes too long does not hold up a run that is to end.
func TestADecisionEndsWithTheRun(t *testing.T) {
	over, never := errors.New("over"), make(chan struct{})
	t.Cleanup(func() { close(never) })
	ctx, cancel := context.WithCancelCause(t.Context())
	begun := make(chan struct{})
	go func() {
		<-begun
		cancel(over)
	}()
	if _, err := Decided(ctx, func() (int, error) { close(begun); <-never; return 1, nil }); !errors.Is(err, over) {
		t.Errorf("it ended with %v", err)
	}
	for _, ctx := range []context.Context{t.Context(), ctx} { // What was seen before the end is decided on.
		if n, err := Decided(ctx, func() (int, error) { return 2, over }); n != 2 || !errors.Is(err, over) {
			t.Errorf("%d, %v", n, err)
		}
	}
}

// Nodes without the provisioner's pod are left out, unless they were named, Talos listed their disks, or there is no provisioner.
func TestNodesThatAreLeftOut(t *testing.T) {
	disks := snapshot.Read(snapshot.Talos{Disks: snapshot.Read([]snapshot.TalosDisk{{Name: "vda", Size: 1 << 30}})})
	silent := snapshot.Unread[snapshot.Talos](problem.FromText("no answer"))
	nodes := []snapshot.Node{
		{Name: "cp-1", Pod: snapshot.Unread[snapshot.Pod](problem.FromText("a taint")), Talos: disks},
		{Name: "cp-2", Pod: snapshot.Unread[snapshot.Pod](problem.FromText("a taint")), Talos: silent},
		{Name: "w-1", Wanted: true, Talos: silent},
	}
	for name, c := range map[string]struct {
		options Options
		unread  map[string]problem.Problem
		kept    string
		notes   []string
	}{
		"by default":            {kept: "cp-1 w-1", notes: []string{"left out node cp-2: a taint"}},
		"named":                 {options: Options{Nodes: []string{"*"}}, kept: "cp-1 cp-2 w-1"},
		"without a provisioner": {unread: map[string]problem.Problem{snapshot.PartInstall: problem.FromText("none")}, kept: "cp-1 cp-2 w-1"},
	} {
		t.Run(name, func(t *testing.T) {
			var h heard
			s := &snapshot.Snapshot{Nodes: slices.Clone(nodes), Unread: c.unread}
			if err := (&Cluster{options: c.options, reporter: &h}).leaveOut(s, s.WantedBy); err != nil {
				t.Fatal(err)
			}
			var kept []string
			for _, n := range s.Nodes {
				kept = append(kept, n.Name)
			}
			if got := strings.Join(kept, " "); got != c.kept || !slices.Equal(h.notes, c.notes) {
				t.Errorf("kept %q, said %q", got, h.notes)
			}
		})
	}
	c := &Cluster{reporter: &heard{}}
	if err := c.leaveOut(&snapshot.Snapshot{}, nil); err == nil || err.Error() != "the cluster has no nodes" || failure.Hint(err) == "" {
		t.Errorf("without nodes: %v", err)
	}
	s := &snapshot.Snapshot{Nodes: slices.Clone(nodes[1:2])}
	if err := c.leaveOut(s, s.WantedBy); err == nil || !strings.Contains(err.Error(), "on any of the chosen nodes: cp-2: a taint") {
		t.Errorf("without any node that is wanted: %v", err)
	}
}

// The Talos API is used where it is at hand. Only who asked for it gets an error when it is not.
func TestTalosIsOptional(t *testing.T) {
	dir := t.TempDir()
	empty, broken := filepath.Join(dir, "empty"), filepath.Join(dir, "broken")
	if err := errors.Join(os.WriteFile(empty, []byte("context: ''\ncontexts: {}\n"), 0o600),
		os.WriteFile(broken, []byte("context: x\ncontexts: {y: {}}\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env     string
		options talos.Options
		err     string // empty: there is none
		why     string
		missing bool
	}{
		"nothing":             {why: "no talosconfig was found", missing: true},
		"of the environment":  {env: broken, why: "it has no context \"x\""},
		"named":               {options: talos.Options{Path: broken}, err: "it has no context \"x\""},
		"named, missing":      {options: talos.Options{Path: filepath.Join(dir, "none")}, err: "no such file"},
		"named, empty":        {options: talos.Options{Path: empty}, err: "it has no contexts"},
		"a context asked for": {options: talos.Options{Context: "x"}, err: "no talosconfig was found"},
		"endpoints asked for": {options: talos.Options{Endpoints: []string{"10.0.0.1"}}, err: "no talosconfig was found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HOME", dir)
			t.Setenv("TALOS_HOME", "")
			t.Setenv("TALOSCONFIG", c.env)
			var cl Cluster
			err := cl.AskTalos(t.Context(), c.options)
			if (err != nil) != (c.err != "") || err != nil && (!strings.Contains(err.Error(), c.err) || failure.Hint(err) == "") {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if !strings.Contains(cl.noTalos.Message, c.why) || (cl.noTalos.Message != "") != (c.why != "") || cl.NoTalosconfig() != c.missing ||
				cl.talos != nil {
				t.Errorf("%+v", &cl)
			}
		})
	}
}
