// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// tenant gives the second installation a Block class with entries.
func (w world) tenant(class, dir string, entries ...provisioner.Entry) {
	o := &w.Others[0]
	o.Install.Classes = append(o.Install.Classes, provisioner.Class{Name: class, HostDir: dir, MountDir: dir, Mode: provisioner.Block})
	w.StorageClasses[class] = snapshot.StorageClass{
		Name:          class,
		Provisioner:   noProvisioner,
		ReclaimPolicy: "Delete",
		BindingMode:   "WaitForFirstConsumer",
	}
	w.here(func(p *snapshot.Presence) {
		p.View.Value.Dirs[class] = snapshot.Dir{Exists: true, MountPoint: true, Writable: true, Entries: entries}
	})
}

// TestTwoLinksOfTwoInstallations: one disk is no two volumes, no matter who publishes them.
func TestTwoLinksOfTwoInstallations(t *testing.T) {
	const dir = "/var/lib/disks/tenant"
	link := func(target, device string) provisioner.Entry {
		return provisioner.Entry{Name: "f", Kind: provisioner.Link, Target: target, Device: device}
	}
	for name, c := range map[string]struct {
		change func(world)
		want   Outcome
		has    []string
		fixes  int
	}{
		"by the device": {change: func(w world) { w.tenant("tenant", dir, link("/dev/vdf", "254:80")) }, want: OutcomeFinding,
			has: []string{"2 links on w-4 lead to the one disk vdf", "/var/lib/disks/block/vdf (device 254:80): volume local-pv-b",
				dir + "/f (device 254:80)",
				"$ kubectl talosdisk unlink f --nodes w-4 --provisioner-namespace tenant --provisioner second"}, fixes: 1},
		"by the target, in a pod without /dev": {
			change: func(w world) { w.tenant("tenant", dir, link("/dev/disk/by-id/virtio-f", "")) },
			want:   OutcomeFinding,
			has: []string{"(to /dev/disk/by-id/virtio-f)",
				"$ kubectl talosdisk unlink f --nodes w-4 --provisioner-namespace tenant --provisioner second"},
			fixes: 1,
		},
		"asked about the volume of the one": {change: func(w world) {
			w.tenant("tenant", dir, link("/dev/vdf", "254:80"))
			w.Targets = []snapshot.Ref{{Kind: "pv", Name: "local-pv-b"}}
		}, want: OutcomeFinding, has: []string{"$ kubectl talosdisk unlink f --nodes w-4 --provisioner-namespace tenant --provisioner second"},
			fixes: 1},
		"one entry in two classes": {change: func(w world) {
			w.tenant("tenant", dirBlock, provisioner.Entry{Name: "vdf", Kind: provisioner.Link, Target: "/dev/vdf", Device: "254:80"})
		}, want: OutcomeFinding, has: []string{`provisioners "local-storage/prov" and "tenant/second" both publish "/var/lib/disks/block/vdf"`},
			fixes: 2},
		"another disk": {change: func(w world) { w.tenant("tenant", dir, link("/dev/vdg", "254:96")) }, want: OutcomeOK},
		"left out by a pattern": {change: func(w world) {
			w.tenant("tenant", dir, link("/dev/vdf", "254:80"))
			w.Others[0].Install.Classes[1].NamePattern = "x*"
		}, want: OutcomeOK},
		"what the other has was not seen": {change: func(w world) {
			w.tenant("tenant", dir)
			w.here(func(p *snapshot.Presence) { p.View = snapshot.Unread[snapshot.PodView](problem.FromText("it crashes")) })
		}, want: OutcomeUnknown, has: []string{"what provisioner tenant/second has on w-4: it crashes"}},
		"the classes of the other are not known": {
			change: func(w world) { w.Others[0].Problem = problem.FromText("no such ConfigMap") },
			want:   OutcomeUnknown,
			has:    []string{"what provisioner tenant/second has: no such ConfigMap"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := well(t)
			w.shared()
			c.change(w)
			r := Run(w.Snapshot, Options{Only: []Code{"TD0503"}})
			got, text := outcome(r)
			if got != c.want {
				t.Errorf("%s, not %s:\n%s", got, c.want, text)
			}
			for _, part := range c.has {
				if !strings.Contains(text, part) {
					t.Errorf("no %q in\n%s", part, text)
				}
			}
			if c.want == OutcomeFinding && (len(r.Findings) != 1 || len(r.Findings[0].Fix) != c.fixes) {
				t.Errorf("%d findings:\n%s", len(r.Findings), text)
			}
		})
	}
}

// TestPendingBesideSeveralInstallations: every installation that has the claim's class may owe it a volume.
func TestPendingBesideSeveralInstallations(t *testing.T) {
	for name, both := range map[string]bool{"the second one has the class": false, "both have": true} {
		w := well(t)
		w.shared()
		class := "hdd"
		claim := snapshot.Claim{
			ClaimRef:    snapshot.ClaimRef{Namespace: "default", Name: "nginx-pvc"},
			UID:         "c",
			Phase:       "Pending",
			Class:       &class,
			Mode:        "Filesystem",
			Request:     1 << 30,
			AccessModes: []string{"ReadWriteOnce"},
		}
		w.Volumes, w.Claims = w.Volumes[1:], snapshot.Read([]snapshot.Claim{claim})
		pod := &(*w.Pods.Value)[0]
		pod.Node, pod.Phase, pod.Ready, pod.Unscheduled = "", "Pending", false, "0/1 nodes are available"
		w.here(func(p *snapshot.Presence) {
			p.Pod, p.View = snapshot.Unread[snapshot.Pod](problem.FromText("it crashes")),
				snapshot.Unread[snapshot.PodView](problem.FromText("it crashes"))
		})
		if both {
			w.Install.Classes = append(w.Install.Classes, w.Others[0].Install.Classes...)
		}
		_, text := outcome(Run(w.Snapshot, Options{Only: []Code{"TD0606"}}))
		for _, part := range []string{"no provisioner runs on w-4: it crashes", "$ kubectl -n tenant get pods -o wide"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no %q in\n%s", name, part, text)
			}
		}
	}
}

// TestOnlyWhatActsIsDoneThroughOne: the flags that choose are for the operations of this program alone, whatever a command looks like.
func TestOnlyWhatActsIsDoneThroughOne(t *testing.T) {
	w := well(t)
	w.shared()
	s := &Subject{Snapshot: w.Snapshot}
	steps := []Step{
		{Command: "kubectl talosdisk mounts --nodes w-4", operation: operation{kind: opMounts}},
		{Command: "kubectl talosdisk unlink f", operation: operation{kind: opUnlink}},
		{Command: "kubectl talosdisk link f", operation: operation{kind: opLink}},
		{Command: "kubectl talosdisk mounts list --nodes w-4"}, {Command: "kubectl talosdisk disks"},
		{Command: "rm f", operation: operation{kind: opRemove}}, {Text: "kubectl talosdisk link f"},
	}
	const flags = " --provisioner-namespace local-storage --provisioner prov"
	for i, step := range s.ofChosen(steps) {
		if want := steps[i].operation.acts(); strings.HasSuffix(step.Command, flags) != want || want != (i < 3) {
			t.Errorf("%q of %q", step.Command, steps[i].operation.kind)
		}
	}
	w.Others = nil
	if got := (&Subject{Snapshot: w.Snapshot}).ofChosen(steps); got[0].Command != steps[0].Command {
		t.Errorf("there is one installation: %q", got[0].Command)
	}
}
