// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

func TestView(t *testing.T) {
	n := start(t, talostest.Options{})
	s, node, ctx := sim(t, n), asAdmin(t, n), deadline(t)
	for _, link := range [][2]string{{"/var/lib/only-host", "/var/mnt/out"}, {"/dev/vdf", "/var/mnt/disks/vdf"}, {"disks", "/var/mnt/in"}} {
		if err := s.Symlink(link[0], link[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WriteFile("/var/lib/only-host/file", ""); err != nil {
		t.Fatal(err)
	}
	view, err := node.View(ctx, []string{"/var/mnt/disks", "/var/mnt/in", "/var/mnt/out", "/var/lib/only-host", "/var/lib/only-host/file",
		"/var/none", "/"})
	if err != nil {
		t.Fatal(err)
	}
	if view.PID != n.Kubelet().PID || view.PID == 0 {
		t.Errorf("PID is %d", view.PID)
	}
	yes := func(entries ...string) mounts.DirectoryListing {
		return mounts.DirectoryListing{Exists: disk.Yes, Entries: entries}
	}
	no := mounts.DirectoryListing{Exists: disk.No}
	for dir, want := range map[string]mounts.BothSides{
		"/var/mnt/disks": {Host: yes("vdf"), Kubelet: yes("vdf")},
		"/var/mnt/in":    {Host: yes("vdf"), Kubelet: yes("vdf")},
		// Asked for it below /proc/PID/root, Talos itself would list the node's.
		"/var/mnt/out":       {Host: yes("file"), Kubelet: no},
		"/var/lib/only-host": {Host: yes("file"), Kubelet: no},
		"/var/none":          {Host: no, Kubelet: no},
		"/var/lib/only-host/file": {
			Host:    mounts.DirectoryListing{Exists: disk.No, Problem: `"/var/lib/only-host/file" is not a directory`},
			Kubelet: no,
		},
	} {
		if got := view.Dirs[dir]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", dir, got, want)
		}
	}
	// The two roots differ: the node has /system, the kubelet's container does not.
	if root := view.Dirs["/"]; !slices.Contains(root.Host.Entries, "system") || slices.Contains(root.Kubelet.Entries, "system") ||
		!slices.Contains(root.Kubelet.Entries, "var") {
		t.Errorf("/: got %+v", root)
	}
	at := func(point string) func(mounts.Mount) bool {
		return func(m mounts.Mount) bool { return m.Point == point }
	}
	if view.MountsProblem.Message != "" || !slices.ContainsFunc(view.Kubelet, at("/var/mnt")) ||
		!slices.ContainsFunc(view.Host, at("/system")) || slices.ContainsFunc(view.Kubelet, at("/system")) {
		t.Errorf("mounts: %q, kubelet %v, host %v", view.MountsProblem, view.Kubelet, view.Host)
	}
}

// A kubelet that restarts has another PID, and its old one's directories are gone.
func TestViewRestart(t *testing.T) {
	for name, c := range map[string]struct {
		restarts int
		after    string
		lasts    bool
	}{
		"once, before the directories": {1, "Processes", true},
		"once, before the mounts":      {1, "Read", true},
		"again and again":              {100, "Processes", false},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, talostest.Options{})
			var restarts atomic.Int32
			n.SetHooks(talostest.Hooks{After: func(ctx context.Context, method string) error {
				if method != c.after || int(restarts.Add(1)) > c.restarts {
					return nil
				}
				if err := n.Machine().StopKubelet(ctx); err != nil {
					return err
				}
				_, err := n.Machine().StartKubelet(ctx, nil)
				return err
			}})
			view, err := asAdmin(t, n).View(deadline(t), []string{"/var/mnt"})
			if !c.lasts {
				is(t, err, ErrRestarted, n.Config())
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			processes, err := n.Machine().Processes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := processes[len(processes)-1].PID; view.PID != want || view.Dirs["/var/mnt"].Kubelet.Exists != disk.Yes ||
				len(view.Kubelet) == 0 {
				t.Errorf("the kubelet's PID is %d; got %+v", want, view)
			}
		})
	}
}

// A kubelet that restarts while it is asked for is not the new process with the
// health of the old one.
func TestKubeletRestart(t *testing.T) {
	n := start(t, talostest.Options{})
	before := n.Kubelet().PID
	var calls atomic.Int32
	n.SetHooks(talostest.Hooks{After: func(ctx context.Context, method string) error {
		if method != "Processes" && method != "ServiceList" || calls.Add(1) > 1 {
			return nil
		}
		if err := n.Machine().StopKubelet(ctx); err != nil {
			return err
		}
		_, err := n.Machine().StartKubelet(ctx, nil)
		return err
	}})
	if k, err := asAdmin(t, n).Kubelet(deadline(t)); err != nil || k.PID != before {
		t.Errorf("%+v, %v: want process %d", k, err, before)
	}
}
