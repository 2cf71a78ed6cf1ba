// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The rows of the truth table: who sees the path, and what follows.
func TestThreeWay(t *testing.T) {
	unlist := func(w world, class string) {
		view := w.node().View.Value
		dir := view.Dirs[class]
		dir.Entries = nil
		view.Dirs[class] = dir
	}
	for _, tt := range []struct {
		name                       string
		change                     func(w world)
		volume                     int
		verdict                    PathVerdict
		host, provisioner, kubelet disk.Answer
		why                        string
	}{
		{
			name:        "all see the disk",
			change:      func(world) {},
			verdict:     PathSeen,
			host:        disk.Yes,
			provisioner: disk.Yes,
			kubelet:     disk.Yes,
			why:         "mounted",
		},
		{
			name:        "all see the link",
			change:      func(world) {},
			volume:      1,
			verdict:     PathSeen,
			host:        disk.Yes,
			provisioner: disk.Yes,
			kubelet:     disk.Yes,
			why:         "mounted into the kubelet",
		},
		{
			name:        "the article's case",
			change:      world.blind,
			verdict:     PathNotInKubelet,
			host:        disk.Yes,
			provisioner: disk.Yes,
			kubelet:     disk.No,
			why:         "no mount of the kubelet's leads there",
		},
		{
			name:        "bind for rbind",
			change:      func(w world) { w.mounted(kubeletBound, hostDisk) },
			verdict:     PathOtherDisk,
			host:        disk.Yes,
			provisioner: disk.Yes,
			kubelet:     disk.No,
			why:         "/dev/vde1",
		},
		{
			name:        "the same to a reader",
			change:      func(w world) { w.blind(); w.reader() },
			verdict:     PathNotInKubelet,
			host:        disk.Yes,
			provisioner: disk.Yes,
			kubelet:     disk.No,
			why:         "does not exist in the kubelet",
		},
		{
			name:        "a reader cannot know whether the disk is mounted",
			change:      world.reader,
			verdict:     PathSeen,
			host:        disk.Yes,
			provisioner: disk.Yes,
			kubelet:     disk.Yes,
			why:         "were not compared",
		},
		{name: "gone", change: func(w world) {
			w.mounted(kubeletSlave, "")
			w.kubelet().View.Dirs[dirHDD] = mounts.BothSides{Host: present(), Kubelet: present()}
			unlist(w, "hdd")
		}, verdict: PathMissing, host: disk.No, provisioner: disk.No, kubelet: disk.No},
		{name: "not in the provisioner's pod", change: func(w world) {
			w.node().View.Value.Dirs["hdd"] = snapshot.Dir{Exists: true}
		}, verdict: PathNotInProvisioner, host: disk.Yes, provisioner: disk.No, kubelet: disk.Yes},
		{name: "a link that leads nowhere", change: func(w world) {
			w.node().View.Value.Dirs["block"].Entries[0].Device = ""
		}, volume: 1, verdict: PathDangling, host: disk.Yes, provisioner: disk.Yes, kubelet: disk.Yes},
		{name: "not checked", change: func(w world) {
			w.noTalos("", "no talosconfig")
			w.node().View = snapshot.Unread[snapshot.PodView](problem.FromText("exec is forbidden"))
		}, verdict: PathUnknown, host: disk.Unknown, provisioner: disk.Unknown, kubelet: disk.Unknown, why: "no talosconfig"},
		{
			name:        "in the eyes of the pod alone",
			change:      func(w world) { w.noTalos("", "no talosconfig") },
			verdict:     PathUnknown,
			host:        disk.Yes,
			provisioner: disk.Yes,
			kubelet:     disk.Unknown,
			why:         "no talosconfig",
		},
		{
			name:        "of no class",
			change:      func(w world) { w.Volumes[0].Path = "/var/mnt/data" },
			verdict:     PathUnknown,
			host:        disk.Unknown,
			provisioner: disk.Unknown,
			kubelet:     disk.Yes,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := well(t)
			tt.change(w)
			got := CompareViews(w.node(), w.Install, w.Volumes[tt.volume])
			if got.Verdict != tt.verdict || got.Host.Answer != tt.host || got.Provisioner.Answer != tt.provisioner ||
				got.Kubelet.Answer != tt.kubelet {
				t.Errorf("got %s: node %s, provisioner %s, kubelet %s", got.Verdict, got.Host.Answer, got.Provisioner.Answer, got.Kubelet.Answer)
			}
			if !strings.Contains(got.Kubelet.Why, tt.why) {
				t.Errorf("the kubelet's: %s", got.Kubelet.Why)
			}
			for _, seen := range []Seen{got.Host, got.Provisioner, got.Kubelet} {
				if seen.Why == "" || seen.Proof != (seen.Answer != disk.Unknown) {
					t.Errorf("not said how it is known: %+v", seen)
				}
			}
		})
	}
	if got := CompareViews(nil, provisioner.Install{}, snapshot.Volume{Path: "/x"}); got.Verdict != PathUnknown || got.Kubelet.Why == "" {
		t.Errorf("without a node: %+v", got)
	}
}

// What one mount would bring is named, not the class's own directory; and the mount
// that hides is known.
func TestThreeWayNames(t *testing.T) {
	w := well(t)
	w.mounted(kubeletBound, hostDisk)
	got := CompareViews(w.node(), w.Install, w.Volumes[0])
	if got.Dir != "/var/lib/disks" || got.Source != "/dev/vde1 (xfs)" || got.Mounted != disk.Yes || got.Hidden == nil ||
		got.Hidden.Source != "/dev/vde1" {
		t.Errorf("%+v", got)
	}
}

// Without Talos a complaint of the kubelet counts as much as a look, if it is of now
// and about the path; and a pod that runs proves that the path was there.
func TestKubeletByWord(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(w world)
		want   disk.Answer
	}{
		{"it complains", world.waits, disk.No},
		{"it complained, and the pod runs now", func(w world) {
			w.waits()
			pod := &(*w.Pods.Value)[0]
			pod.Phase, pod.Ready, pod.Waiting = "Running", true, nil
		}, disk.Yes},
		{"it complained before it started again", func(w world) {
			w.waits()
			started := w.Time.Add(-10e9)
			w.node().KubeletStarted = &started
		}, disk.Unknown},
		{"it complained an hour ago", func(w world) {
			w.waits()
			(*w.Events.Value)[0].Last = w.Time.Add(-3600e9)
		}, disk.Unknown},
		{"it complains of another pod of that name", func(w world) {
			w.waits()
			(*w.Events.Value)[0].About.UID = "other"
		}, disk.Unknown},
		{"it complains of another volume", func(w world) {
			w.waits()
			e := &(*w.Events.Value)[0]
			e.Message = strings.Replace(e.Message, "local-pv-485eb69c", "local-pv-other", 1)
		}, disk.Unknown},
		{"it complains of another path", func(w world) {
			w.waits()
			e := &(*w.Events.Value)[0]
			e.Message = strings.Replace(e.Message, pathVDE, "/dev/disk/by-id/x", 1)
		}, disk.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := well(t)
			w.noTalos("", "no talosconfig")
			tt.change(w)
			chain := newIndex(w.Snapshot).podChains(&(*w.Pods.Value)[0])[0]
			if got := chain.Path.Kubelet; got.Answer != tt.want || got.Proof {
				t.Errorf("got %+v, want %s", got, tt.want)
			}
		})
	}
}
