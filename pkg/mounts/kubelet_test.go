// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"slices"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

func TestKubeletComesBack(t *testing.T) {
	was := KubeletHealth{Kubelet: Kubelet{PID: 1, State: "Running", Healthy: disk.Yes}, Readiness: Readiness{Ready: true, Heartbeat: "1"}}
	good := KubeletHealth{Kubelet: Kubelet{PID: 2, State: "Running", Healthy: disk.Yes}, Readiness: Readiness{Ready: true, Heartbeat: "2"}}
	for name, c := range map[string]struct {
		change func(*KubeletHealth)
		// dirs are looked at by process viewer, 2 if it is 0; "" is a directory of which no answer is known.
		dirs   map[string]disk.Answer
		viewer int
		want   string
	}{
		"all there":      {dirs: map[string]disk.Answer{"/a": disk.Yes}},
		"nothing to see": {},
		"no process": {change: func(h *KubeletHealth) { h.Kubelet = Kubelet{State: "Waiting", Healthy: disk.Unknown, Message: "no"} },
			want: "the kubelet has not restarted: no process, Waiting, health unknown: no"},
		"the old process": {
			change: func(h *KubeletHealth) { h.Kubelet.PID = 1 },
			want:   "the kubelet has not restarted: process 1, Running, healthy",
		},
		"unhealthy": {
			change: func(h *KubeletHealth) { h.Kubelet.Healthy = disk.No },
			want:   "the kubelet is not healthy: process 2, Running, unhealthy",
		},
		"health not told": {
			change: func(h *KubeletHealth) { h.Kubelet.Healthy = "" },
			want:   "the kubelet is not healthy: process 2, Running, health unknown",
		},
		"not ready": {change: func(h *KubeletHealth) { h.Readiness = Readiness{Why: "cni"} }, want: "the node is NotReady: cni"},
		"the old report": {
			change: func(h *KubeletHealth) { h.Readiness.Heartbeat = "1" },
			want:   "the kubelet has not reported to Kubernetes",
		},
		"not seen":           {dirs: map[string]disk.Answer{"/a": disk.Yes, "/b": disk.No, "/c": disk.No}, want: `the kubelet does not see "/b"`},
		"not known":          {dirs: map[string]disk.Answer{"/a": disk.Unknown}, want: `whether the kubelet sees "/a" is unknown`},
		"no answer is known": {dirs: map[string]disk.Answer{"/a": ""}, want: `whether the kubelet sees "/a" is unknown`},
		"seen by the next one": {dirs: map[string]disk.Answer{"/a": disk.Yes}, viewer: 3,
			want: "the kubelet restarted again: it was process 2, and is process 3"},
	} {
		now, view := good, KubeletView{PID: 2, Dirs: make(map[string]BothSides), MountsProblem: problem.FromText("not here")}
		if c.viewer != 0 {
			view.PID = c.viewer
		}
		if c.change != nil {
			c.change(&now)
		}
		var dirs []string
		for dir, exists := range c.dirs {
			dirs = append(dirs, dir)
			if exists != "" {
				view.Dirs[dir] = BothSides{
					Host:    DirectoryListing{Exists: disk.Yes, Entries: []string{"vdf"}},
					Kubelet: DirectoryListing{Exists: exists, Entries: []string{"vdf"}},
				}
			}
		}
		got := now.Missing(was)
		if got == "" {
			got = now.Unseen(view, dirs)
		}
		if got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := was.Missing(nil); got != "" {
		t.Errorf("after one that was not seen: %q", got)
	}
}

func TestKubeletIsWell(t *testing.T) {
	good := KubeletHealth{
		Node:      "w-1",
		Address:   "10.0.0.11",
		Kubelet:   Kubelet{PID: 2, State: "Running", Healthy: disk.Yes},
		Readiness: Readiness{Ready: true},
	}
	for name, c := range map[string]struct {
		change func(*KubeletHealth)
		want   []string
	}{
		"well": {change: func(*KubeletHealth) {}, want: []string{"", "", ""}},
		"no process": {
			change: func(h *KubeletHealth) { h.Kubelet.PID = 0 },
			want:   []string{"its kubelet is not healthy", "no process, Running, healthy", "talosctl -n 10.0.0.11 service kubelet"},
		},
		"unhealthy": {
			change: func(h *KubeletHealth) { h.Kubelet.Healthy = disk.No },
			want:   []string{"its kubelet is not healthy", "process 2, Running, unhealthy", "talosctl -n 10.0.0.11 service kubelet"},
		},
		"not known": {
			change: func(h *KubeletHealth) { h.Kubelet.Healthy, h.Address = disk.Unknown, "" },
			want:   []string{"its kubelet is not healthy", "process 2, Running, health unknown", "talosctl -n w-1 service kubelet"},
		},
		"is not ready": {
			change: func(h *KubeletHealth) { h.Readiness = Readiness{Why: "cni"} },
			want:   []string{"it is NotReady", "cni", "kubectl describe node w-1"},
		},
	} {
		now := good
		c.change(&now)
		what, detail, hint := now.Unwell()
		if got := []string{what, detail, hint}; !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
