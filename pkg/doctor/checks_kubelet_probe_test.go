// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

const noTalosconfig = "no talosconfig was found in x"

// probed leaves what a Job sees, which is neither a configuration nor what Talos tells.
func (w world) probed() {
	w.NoTalos = problem.FromText(noTalosconfig)
	w.node().Talos = snapshot.Unread[snapshot.Talos](problem.FromText(noTalosconfig))
	w.kubelet().Settings, w.kubelet().ConfigProblem = mounts.Settings{}, problem.FromText(noTalosconfig)
	w.node().Probe = snapshot.Read(snapshot.Probe{})
}

// unprobed is a Job that saw nothing.
func (w world) unprobed(why string) {
	w.NoTalos = problem.FromText(noTalosconfig)
	w.noTalos("", noTalosconfig)
	w.node().Probe = snapshot.Unread[snapshot.Probe](problem.FromText(why))
}

func (w world) boundAndProbed() { w.mounted(kubeletBound, hostDisk); w.probed() }

func (w world) privateAndProbed() {
	w.mounted("619 305 254:6 /lib/disks /var/lib/disks rw,relatime - xfs /dev/vda6 rw\n", hostDisk)
	w.probed()
}

func (w world) staleAndProbed() { w.mounted(kubeletSlave, ""); w.probed() }

func (w world) otherAndProbed() {
	w.mounted("619 305 254:6 /lib/other /var/lib/disks rw,relatime master:22 - xfs /dev/vda6 rw\n", hostDisk)
	w.probed()
}

func TestProbed(t *testing.T) {
	try(t, []nodeCase{
		{name: "no entry", code: "TD0401", change: func(w world) { w.blind(); w.probed() }, want: OutcomeFinding, has: []string{
			`error[TD0401]: the kubelet on w-4 cannot see "/var/lib/disks"`, "which extraMounts are configured could not be read",
			"the node yes, the provisioner's pod yes, the kubelet no", "$ kubectl talosdisk mounts --nodes w-4", "pod/nginx-pod"}},
		{name: "all well", code: "TD0401", change: world.probed, want: OutcomeOK},
		{name: "bind masks a disk", code: "TD0401", change: world.boundAndProbed, want: OutcomeOK},
		{name: "a directory that was recreated", code: "TD0401", change: func(w world) {
			w.mounted("619 305 254:6 /lib/disks//deleted /var/lib/disks rw,relatime master:22 - xfs /dev/vda6 rw\n", hostDisk)
			w.probed()
		}, want: OutcomeFinding},
		{
			name:   "no Job could look",
			code:   "TD0401",
			change: func(w world) { w.unprobed("ErrImagePull: x") },
			want:   OutcomeUnknown,
			has:    []string{noTalosconfig + "; and no Job could look: ErrImagePull: x"},
		},

		{name: "bind masks a disk", code: "TD0403", change: world.boundAndProbed, want: OutcomeFinding, has: []string{
			`error[TD0403]: pods that start on w-4 would write to the system disk instead of the disks in "/var/lib/disks/hdd"`,
			"the entry was not read", "the mount at /var/lib/disks is shared",
			"replace bind by rbind", "$ kubectl talosdisk mounts --nodes w-4", "pod/nginx-pod", "/dev/vde1"}},
		{name: "all well, as things are", code: "TD0403", change: world.probed, want: OutcomeUnknown, has: []string{noTalosconfig}},
		{
			name:   "no Job could look",
			code:   "TD0403",
			change: func(w world) { w.unprobed("ErrImagePull: x") },
			want:   OutcomeUnknown,
			has:    []string{"no Job could look: ErrImagePull: x"},
		},

		{name: "private, and a disk mounted later", code: "TD0404", change: world.privateAndProbed, want: OutcomeFinding, has: []string{
			`error[TD0404]: the kubelet on w-4 does not see the disks that were mounted in "/var/lib/disks/hdd"`, "the kubelet's mount is private",
			"its entry was not read", "rbind, rslave and rw", "is private"}},
		{
			name:   "a mount that the node has no longer",
			code:   "TD0404",
			change: world.staleAndProbed,
			want:   OutcomeFinding,
			has:    []string{"the node has no longer", "rbind, rslave and rw"},
		},
		{name: "all well, as things are", code: "TD0404", change: world.probed, want: OutcomeUnknown, has: []string{noTalosconfig}},

		{
			name:   "leaked",
			code:   "TD0405",
			change: func(w world) { w.mounted(kubeletSlave, leaked(31)); w.probed() },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0405]: mounts of", "31 times"},
		},
		{name: "all well, as things are", code: "TD0405", change: world.probed, want: OutcomeUnknown, has: []string{noTalosconfig}},

		{name: "another source", code: "TD0406", change: world.otherAndProbed, want: OutcomeFinding, has: []string{
			`error[TD0406]: "/var/lib/disks" is another directory in the kubelet on w-4`, "/lib/other", "make source and destination",
			"path: /var/lib/disks\n", "pod/nginx-pod", "pv/local-pv-b"}},
		{name: "all well, as things are", code: "TD0406", change: world.probed, want: OutcomeUnknown, has: []string{noTalosconfig}},

		{
			name:   "what only the configuration tells",
			code:   "TD0402",
			change: func(w world) { w.blind(); w.probed() },
			want:   OutcomeUnknown,
			has:    []string{noTalosconfig},
		},
		{name: "what only the configuration tells", code: "TD0408", change: world.probed, want: OutcomeUnknown, has: []string{noTalosconfig}},
		{
			name:   "the release, as the kubelet reports it",
			code:   "TD0411",
			change: func(w world) { w.kubelet().Release = talosVersion(w.t, "v1.12.4"); w.probed() },
			want:   OutcomeFinding,
			has:    []string{"#12797"},
		},

		{
			name:   "no talosconfig",
			code:   "TD0102",
			change: world.probed,
			want:   OutcomeFinding,
			has:    []string{"info[TD0102]", "a Job saw the kubelet's mounts where it could"},
		},
		{
			name:   "no talosconfig, and no Job",
			code:   "TD0102",
			change: func(w world) { w.probed(); w.node().Probe = snapshot.Section[snapshot.Probe]{} },
			want:   OutcomeFinding,
			has:    []string{"$ kubectl talosdisk doctor --probe"},
		},
		{name: "Talos was not asked for it", code: "TD0103", change: world.probed, want: OutcomeUnknown, has: []string{noTalosconfig}},
		{name: "a role that may do nothing", code: "TD0105", change: func(w world) {
			w.probed()
			w.NoTalos = problem.FromText("")
			w.node().Talos = snapshot.Unread[snapshot.Talos](problem.Problem{Kind: problem.TalosDenied, Message: "x"})
			w.kubelet().ConfigProblem = problem.FromText("x needs the Talos role os:reader; y")
		}, want: OutcomeFinding, has: []string{"warning[TD0105]", "nothing at all can be read"}},
		{name: "a right that the Job needs", code: "TD0101", change: func(w world) {
			w.unprobed(`jobs.batch is forbidden: User "jane" cannot create resource "jobs" in API group "batch" in the namespace "kube-system"`)
		}, want: OutcomeFinding, has: []string{`forbidden: create jobs.batch in namespace "kube-system"`,
			"fix: who has this is root on every node",
			"docs/rbac/doctor-probe.yaml:\n$ kubectl -n kube-system create role talosdisk-create --verb=create --resource=jobs.batch"}},
		{name: "a right that is worth no more", code: "TD0101", change: func(w world) {
			w.unprobed(`jobs.batch is forbidden: User "jane" cannot list resource "jobs" in API group "batch" in the namespace "kube-system"`)
		}, want: OutcomeFinding, has: []string{"fix: \n$ kubectl -n kube-system create role talosdisk-list --verb=list --resource=jobs.batch"}},
	})
}

// The advice to look by a Job is not given to who has just done so.
func TestProbedIsNotAdvised(t *testing.T) {
	for name, change := range map[string]func(world){"seen": world.probed, "not seen": func(w world) { w.unprobed("x") }} {
		w := well(t)
		change(w)
		if _, text := outcome(Run(w.Snapshot, Options{Only: []Code{"TD0102"}})); strings.Contains(text, "--probe") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// Each cause is the only one, as it is where the configuration is known.
func TestProbedHasOneCause(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(world)
		want   []Code
	}{
		"no entry":          {func(w world) { w.blind(); w.probed() }, []Code{"TD0401"}},
		"bind":              {world.boundAndProbed, []Code{"TD0403"}},
		"private":           {world.privateAndProbed, []Code{"TD0404"}},
		"another directory": {world.otherAndProbed, []Code{"TD0406"}},
		"all well":          {world.probed, nil},
	} {
		w := well(t)
		tt.change(w)
		r := Run(w.Snapshot, Options{Only: rooms()})
		var got []Code
		for _, f := range r.Findings {
			if f.Severity == Error {
				got = append(got, f.Code)
			}
		}
		if !slices.Equal(got, tt.want) {
			_, text := outcome(r)
			t.Errorf("%s: %v, want %v\n%s", name, got, tt.want, text)
		}
	}
}

// The chain is told by what the kubelet was seen to see.
func TestProbedChain(t *testing.T) {
	w := well(t)
	w.boundAndProbed()
	chain := newIndex(w.Snapshot).podChains(&(*w.Pods.Value)[0])[0]
	if got := chain.Path; got.Verdict != PathOtherDisk || !got.Kubelet.Proof || got.Hidden == nil {
		t.Errorf("%+v", got)
	}
	w = well(t)
	w.unprobed("ErrImagePull: x")
	chain = newIndex(w.Snapshot).podChains(&(*w.Pods.Value)[0])[0]
	w.node().Kubelet = snapshot.Section[mounts.NodeState]{}
	if got := CompareViews(w.node(), w.Install, *chain.Volume).Kubelet; got.Proof ||
		!strings.Contains(got.Why, "no Job could look: ErrImagePull: x") {
		t.Errorf("%+v", got)
	}
}
