// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// kubeletDocument is a node whose configuration Talos v1.14 generated.
func (w world) kubeletDocument() {
	w.blind()
	w.node().OSImage = "Talos (v1.14.0)"
	w.kubelet().Release = talosVersion(w.t, "v1.14.0")
	w.kubelet().Settings = mounts.Settings{KubeletDocument: true, MachineDisks: w.kubelet().Settings.MachineDisks}
}

func TestKubelet(t *testing.T) { try(t, kubeletCases()) }

func kubeletCases() []nodeCase {
	const disks = "/var/lib/disks"
	rshared := []string{"rbind", "rshared", "rw"}
	return []nodeCase{
		// The article's case: everything is there, and no extraMount.
		{name: "the article's", code: "TD0401", change: world.blind, want: OutcomeFinding, has: []string{
			`error[TD0401]: the kubelet on w-4 cannot see "/var/lib/disks"`, "no extraMount covers",
			"FailedMount 4 times in 3s: path \"/var/lib/disks/hdd/vde\" does not exist",
			"the node yes, the provisioner's pod yes, the kubelet no", "$ kubectl talosdisk mounts --nodes w-4", "pod/nginx-pod", "pv/local-pv-b",
			"path: /var/lib/disks\n"}},
		{name: "rslave works (talos.md 00.13)", code: "TD0401", change: func(world) {}, want: OutcomeOK},
		{name: "an old event, since when the kubelet started with the mount", code: "TD0401", change: func(w world) {
			w.waits()
			w.node().KubeletStarted = &now
		}, want: OutcomeOK},
		{
			name:   "without Talos, by an event and the pod's view",
			code:   "TD0401",
			change: func(w world) { w.waits(); w.NoTalos = problem.FromText("no talosconfig was found"); w.noTalos("", "") },
			want:   OutcomeFinding,
			has: []string{`cannot see "/var/lib/disks/hdd"`, "FailedMount 4 times",
				"the provisioner's pod, which has the node's directory, lists it", "kubectl talosdisk mounts --nodes w-4"},
		},
		{name: "without Talos, and nobody saw the path", code: "TD0401", change: func(w world) {
			w.waits()
			w.noTalos("", "")
			w.node().View = snapshot.Unread[snapshot.PodView](problem.FromText("exec failed"))
		}, want: OutcomeUnknown, has: []string{"whether the node has it is not known"}},
		{name: "without Talos, and the node has it not", code: "TD0401", change: func(w world) {
			w.waits()
			w.noTalos("", "")
			w.node().View.Value.Dirs["hdd"] = snapshot.Dir{Exists: true, MountPoint: true}
			w.Install.Classes, w.Volumes = w.Install.Classes[1:], w.Volumes[:1]
		}, want: OutcomeUnknown},
		{name: "without Talos, an event before the kubelet started", code: "TD0401", change: func(w world) {
			w.waits()
			w.noTalos("", "")
			w.node().KubeletStarted = &now
		}, want: OutcomeUnknown},
		{
			name:   "without Talos and events",
			code:   "TD0401",
			change: func(w world) { w.noTalos("", "no answer") },
			want:   OutcomeUnknown,
			has:    []string{"no answer"},
		},
		{
			name:   "os:reader",
			code:   "TD0401",
			change: func(w world) { w.blind(); w.reader() },
			want:   OutcomeFinding,
			has:    []string{"which extraMounts are configured could not be read", "kubectl talosdisk mounts --nodes w-4"},
		},
		{name: "os:reader, all well", code: "TD0401", change: world.reader, want: OutcomeOK},
		{name: "outside of /var", code: "TD0401", change: func(w world) {
			w.Install.Classes = []provisioner.Class{{
				Name:     "fast",
				HostDir:  "/mnt/fast-disks",
				MountDir: "/mnt/fast-disks",
				Mode:     provisioner.Filesystem,
			}}
			w.Volumes = nil
		}, want: OutcomeFinding, has: []string{"root file system is read-only", "UserVolumeConfig", "hostDir: /var/mnt"}},
		{name: "in /var/mnt", code: "TD0401", change: func(w world) {
			w.blind()
			w.Install.Classes = []provisioner.Class{{Name: "hdd", HostDir: "/var/mnt", MountDir: "/var/mnt", Mode: provisioner.Filesystem}}
			w.Volumes = nil
		}, want: OutcomeOK},
		{name: "a volume by hand", code: "TD0401", change: func(w world) {
			w.blind()
			w.Install.Classes = nil
			w.Volumes = w.Volumes[:1]
			w.Volumes[0].ProvisionedBy = ""
		}, want: OutcomeFinding, has: []string{"no class of the provisioner has the directory", "options: [rbind, rslave, rw]",
			"edit machineconfig --mode no-reboot"}},
		{
			name:   "where no provisioner is wanted",
			code:   "TD0401",
			change: func(w world) { w.blind(); w.node().Wanted, w.Volumes = false, nil },
			want:   OutcomeOK,
		},
		{
			name:   "a release whose restart is dangerous",
			code:   "TD0401",
			change: func(w world) { w.blind(); w.kubelet().Release = talosVersion(w.t, "v1.12.2") },
			want:   OutcomeFinding,
			has:    []string{"first: upgrade Talos", "then ask again what is next", "$ kubectl talosdisk doctor node/w-4"},
		},
		{
			name:   "volumes were not read",
			code:   "TD0401",
			change: func(w world) { w.Unread = map[string]problem.Problem{"volumes": problem.FromText("forbidden")} },
			want:   OutcomeUnknown,
			has:    []string{"forbidden"},
		},

		{
			name:   "not restarted since",
			code:   "TD0402",
			change: func(w world) { w.blind(); w.extraMounts(bindMount(disks, "rbind", "rslave", "rw")) },
			want:   OutcomeFinding,
			has: []string{`error[TD0402]: the mount of "/var/lib/disks/block" is configured on w-4 and not in force`,
				"talosctl -n 10.0.0.14 service kubelet restart"},
		},
		{name: "in force", code: "TD0402", change: func(world) {}, want: OutcomeOK},
		{name: "not checked", code: "TD0402", change: func(w world) {
			w.kubelet().View, w.kubelet().ViewProblem = nil, problem.FromText("the kubelet restarted")
		}, want: OutcomeUnknown, has: []string{"the kubelet restarted"}},
		{name: "os:reader", code: "TD0402", change: world.reader, want: OutcomeUnknown, has: []string{"os:admin"}},
		{name: "not in force, and a dangerous release", code: "TD0402", change: func(w world) {
			w.blind()
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"))
			w.kubelet().Release = talosVersion(w.t, "v1.10.3")
		}, want: OutcomeFinding, has: []string{"upgrade Talos first"}},

		{name: "bind masks a disk (talos.md 00.14)", code: "TD0403", change: func(w world) {
			w.extraMounts(bindMount(disks, "bind", "rshared", "rw"))
			w.mounted(kubeletBound, hostDisk)
		}, want: OutcomeFinding,
			has: []string{`error[TD0403]: pods that start on w-4 would write to the system disk instead of the disks in "/var/lib/disks/hdd"`,
				"replace bind by rbind", "$ kubectl talosdisk mounts --nodes w-4", "pod/nginx-pod", "/dev/vde1"}},
		{name: "bind masks a disk, and those of others", code: "TD0403", change: func(w world) {
			w.Install.Classes = slices.DeleteFunc(w.Install.Classes, func(c provisioner.Class) bool { return c.HostDir != disks+"/hdd" })
			w.extraMounts(bindMount(disks, "bind", "rshared", "rw"))
			w.mounted(kubeletBound, hostDisk+"385 51 254:66 / /var/lib/disks/theirs rw,relatime shared:52 - xfs /dev/vdx rw\n")
		}, want: OutcomeFinding, has: []string{"replace bind by rbind", "$ talosctl -n 10.0.0.14 edit machineconfig"}},
		{name: "bind, and nothing mounted below", code: "TD0403", change: func(w world) {
			w.extraMounts(bindMount(disks, "bind", "rw"))
			w.mounted(kubeletBound, "")
			w.kubelet().Settings.MachineDisks = nil
		}, want: OutcomeFinding, has: []string{"warning[TD0403]", "would hide", "$ talosctl -n 10.0.0.14 edit machineconfig"}},
		{name: "rbind", code: "TD0403", change: func(world) {}, want: OutcomeOK},
		{name: "os:reader", code: "TD0403", change: world.reader, want: OutcomeUnknown},

		{
			name:   "private",
			code:   "TD0404",
			change: func(w world) { w.extraMounts(bindMount(disks, "rbind", "rprivate", "rw")) },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0404]", "the entry is private", "rbind, rslave and rw"},
		},
		{name: "a disk mounted later", code: "TD0404", change: func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rprivate", "rw"))
			w.mounted("619 305 254:6 /lib/disks /var/lib/disks rw,relatime - xfs /dev/vda6 rw\n", hostDisk)
		}, want: OutcomeFinding, has: []string{"/dev/vde1"}},
		{
			name:   "a mount that the node has no longer",
			code:   "TD0404",
			change: func(w world) { w.mounted(kubeletSlave, "") },
			want:   OutcomeFinding,
			has:    []string{"the node has no longer"},
		},
		{name: "slave", code: "TD0404", change: func(world) {}, want: OutcomeOK},
		{name: "mounts were not read", code: "TD0404", change: func(w world) {
			v := w.kubelet().View
			v.Kubelet, v.Host, v.MountsProblem = nil, nil, problem.FromText("mountinfo could not be read")
		}, want: OutcomeUnknown, has: []string{"mountinfo could not be read"}},

		{name: "listed twice (talos.md 00.15)", code: "TD0405", change: func(w world) {
			w.extraMounts(bindMount(disks, rshared...), bindMount(disks, rshared...))
			w.mounted(kubeletSlave, leaked(7))
		}, want: OutcomeFinding, has: []string{"error[TD0405]", "doubles the node's own mounts", "mounted there 7 times", "leave one entry",
			"until the node reboots"}},
		{
			name:   "leaked, and fixed since",
			code:   "TD0405",
			change: func(w world) { w.mounted(kubeletSlave, leaked(31)) },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0405]: mounts of", "31 times"},
		},
		{name: "below what Talos mounts shared", code: "TD0405", change: func(w world) {
			w.kubelet().Release = talosVersion(w.t, "v1.12.9")
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"), bindMount("/var/mnt/x", rshared...))
		}, want: OutcomeFinding, has: []string{`"/var/mnt/x"`, "doubles"}},
		{name: "once", code: "TD0405", change: func(world) {}, want: OutcomeOK},
		{name: "mounts were not read", code: "TD0405", change: func(w world) {
			v := w.kubelet().View
			v.Kubelet, v.Host, v.MountsProblem = nil, nil, problem.FromText("mountinfo could not be read")
		}, want: OutcomeUnknown},

		{name: "another source", code: "TD0406", change: func(w world) {
			m := bindMount(disks, "rbind", "rslave", "rw")
			m.Source = "/var/lib/other"
			w.extraMounts(m)
		}, want: OutcomeFinding, has: []string{`"/var/lib/disks/block" is another directory in the kubelet`,
			"make source and destination of the entry the same"}},
		{name: "a slash at the end", code: "TD0406", change: func(w world) {
			m := bindMount(disks, "rbind", "rslave", "rw")
			m.Source += "/"
			w.extraMounts(m)
		}, want: OutcomeOK},
		{name: "os:reader", code: "TD0406", change: world.reader, want: OutcomeUnknown},

		{
			name:   "generated by v1.14",
			code:   "TD0407",
			change: world.kubeletDocument,
			want:   OutcomeFinding,
			has: []string{`cannot see "/var/lib/disks", and its configuration has no place for it`, "volumeType: directory",
				"RawVolumeConfig", `namePattern: "r-block-*"`, "UserVolumeConfig", `namePattern: "block-*"`,
				"$ kubectl talosdisk mounts --nodes w-4 --convert-kubelet-config"},
		},
		{name: "generated by v1.14, in /var/mnt", code: "TD0407", change: func(w world) {
			w.kubeletDocument()
			w.Install.Classes = []provisioner.Class{{Name: "hdd", HostDir: "/var/mnt", MountDir: "/var/mnt", Mode: provisioner.Filesystem}}
			w.Volumes = nil
		}, want: OutcomeOK},
		{name: "generated by v1.14, on devices", code: "TD0407", change: func(w world) {
			w.kubeletDocument()
			w.Install.Classes = []provisioner.Class{{
				Name:        "raw",
				HostDir:     "/dev/disk/by-partlabel",
				MountDir:    "/dev/disk/by-partlabel",
				NamePattern: "r-*",
				Mode:        provisioner.Block,
			}}
			w.Volumes = nil
		}, want: OutcomeOK},
		{name: "the old configuration", code: "TD0407", change: world.blind, want: OutcomeOK},
		{name: "os:reader", code: "TD0407", change: world.reader, want: OutcomeUnknown},
		{name: "is not the old way's", code: "TD0401", change: world.kubeletDocument, want: OutcomeOK},

		{
			name:   "read-only",
			code:   "TD0408",
			change: func(w world) { w.extraMounts(bindMount(disks, "rbind", "rslave", "ro")) },
			want:   OutcomeFinding,
			has: []string{`warning[TD0408]: "/var/lib/disks/hdd" is read-only`, `warning[TD0408]: "/var/lib/disks/block"`, "stay writable",
				"replace ro by rw"},
		},
		{name: "read-only, and a plain directory", code: "TD0408", change: func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rslave", "ro"))
			w.mounted("619 305 254:6 /lib/disks /var/lib/disks ro,relatime master:22 - xfs /dev/vda6 rw\n", "")
		}, want: OutcomeFinding, has: []string{`error[TD0408]: "/var/lib/disks/hdd" is read-only`}},
		{
			name:   "rw after ro",
			code:   "TD0408",
			change: func(w world) { w.extraMounts(bindMount(disks, "rbind", "ro", "rslave", "rw")) },
			want:   OutcomeOK,
		},
		{name: "os:reader", code: "TD0408", change: world.reader, want: OutcomeUnknown},

		{name: "in /var/mnt", code: "TD0409", change: func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"), bindMount("/var/mnt/x", "rbind", "rslave", "rw"))
		}, want: OutcomeFinding, has: []string{"info[TD0409]", `"/var/mnt/x" is needless`}},
		{name: "needed", code: "TD0409", change: func(world) {}, want: OutcomeOK},
		{name: "os:reader", code: "TD0409", change: world.reader, want: OutcomeUnknown},

		{name: "without destination (talos.md 00.4)", code: "TD0410", change: func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"), mounts.ExtraMount{Type: "bind", Source: "/var/x", Options: []string{"bind"}})
		}, want: OutcomeFinding, has: []string{"error[TD0410]", "keeps the kubelet on w-4 from starting", "has no destination"}},
		{
			name:   "for the directory itself",
			code:   "TD0410",
			change: func(w world) { w.extraMounts(bindMount(disks, "rw")) },
			want:   OutcomeFinding,
			has:    []string{"neither bind nor rbind"},
		},
		{name: "a source on the read-only root", code: "TD0410", change: func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"), bindMount("/mnt/disks", "rbind", "rw"))
			w.node().Ready = false
		}, want: OutcomeFinding, has: []string{`source "/mnt/disks"`, "read-only root"}},
		{name: "such a source, and a kubelet that runs", code: "TD0410", change: func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"), bindMount("/mnt/disks", "rbind", "rw"))
		}, want: OutcomeOK},
		{name: "sound", code: "TD0410", change: func(world) {}, want: OutcomeOK},
		{name: "os:reader", code: "TD0410", change: world.reader, want: OutcomeUnknown},

		{
			name:   "as a note",
			code:   "TD0411",
			change: func(w world) { w.kubelet().Release = talosVersion(w.t, "v1.12.4") },
			want:   OutcomeFinding,
			has:    []string{"info[TD0411]", "#12797"},
		},
		{
			name:   "with a restart to come",
			code:   "TD0411",
			change: func(w world) { w.kubelet().Release = talosVersion(w.t, "v1.12.4"); w.blind() },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0411]", "restarts the kubelet"},
		},
		{
			name:   "tokens",
			code:   "TD0411",
			change: func(w world) { w.kubelet().Release = talosVersion(w.t, "v1.13.2") },
			want:   OutcomeFinding,
			has:    []string{"info[TD0411]", "#13352"},
		},
		{name: "fixed", code: "TD0411", change: func(w world) { w.kubelet().Release = talosVersion(w.t, "v1.12.5"); w.blind() }, want: OutcomeOK},
		{name: "not asked", code: "TD0411", change: func(w world) { w.noTalos("", "no answer") }, want: OutcomeUnknown},
	}
}

// Checks of the other kinds must not fire where bind masks a disk: it is one cause.
func TestOneCause(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(world)
		want   []Code
	}{
		"no extraMount": {world.blind, []Code{"TD0401"}},
		"KubeletConfig": {world.kubeletDocument, []Code{"TD0407"}},
		"not in force":  {func(w world) { w.blind(); w.extraMounts(bindMount("/var/lib/disks", "rbind", "rslave", "rw")) }, []Code{"TD0402"}},
		"bind masks": {func(w world) {
			w.extraMounts(bindMount("/var/lib/disks", "bind", "rshared", "rw"))
			w.mounted(kubeletBound, hostDisk)
		}, []Code{"TD0403"}},
		"read-only": {func(w world) { w.extraMounts(bindMount("/var/lib/disks", "rbind", "rslave", "ro")) }, []Code{"TD0408"}},
		"private, hidden": {func(w world) {
			w.extraMounts(bindMount("/var/lib/disks", "rbind", "rprivate", "rw"))
			w.mounted("619 305 254:6 /lib/disks /var/lib/disks rw,relatime - xfs /dev/vda6 rw\n", hostDisk)
		}, []Code{"TD0404"}},
	} {
		w := well(t)
		tt.change(w)
		r := Run(w.Snapshot, Options{Only: rooms()})
		var got []Code
		for _, f := range r.Findings {
			got = append(got, f.Code)
		}
		if got = slices.Compact(got); !slices.Equal(got, tt.want) {
			_, text := outcome(r)
			t.Errorf("%s: %v\n%s", name, got, text)
		}
	}
}

// The same cause on many nodes is one finding, and one command fixes it.
func TestManyNodes(t *testing.T) {
	w := well(t)
	w.blind()
	second := w.Nodes[0]
	second.Name, second.UID, second.Address = "w-5", "w-5-uid", "10.0.0.15"
	w.Nodes = append(w.Nodes, second)
	r := Run(w.Snapshot, Options{Only: []Code{"TD0401"}})
	if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Summary, "w-4 and w-5") || len(r.Findings[0].Fix) != 1 ||
		r.Findings[0].Fix[0].Command != "kubectl talosdisk mounts --nodes w-4,w-5" {
		_, text := outcome(r)
		t.Error(text)
	}
}

// The other class's directory is hidden too, and holds nothing that anybody could miss.
func TestHiddenEvidenceIsOfVolumes(t *testing.T) {
	w := well(t)
	w.blind()
	w.Volumes = slices.DeleteFunc(w.Volumes, func(v snapshot.Volume) bool { return within(v.Path, dirBlock) })
	r := Run(w.Snapshot, Options{Only: []Code{"TD0401"}})
	if len(r.Findings) != 1 {
		t.Fatalf("findings %+v", r.Findings)
	}
	evidence := strings.Join(r.Findings[0].Evidence, "\n")
	if !strings.Contains(evidence, "who sees "+dirHDD) || strings.Contains(evidence, "who sees "+dirBlock) {
		t.Errorf("evidence:\n%s", evidence)
	}
}
