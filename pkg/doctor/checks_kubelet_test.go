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
		{"the article's", "TD0401", world.blind, OutcomeFinding, []string{
			`error[TD0401]: the kubelet on w-4 cannot see "/var/lib/disks"`, "no extraMount covers", "FailedMount 4 times in 3s: path \"/var/lib/disks/hdd/vde\" does not exist",
			"the node yes, the provisioner's pod yes, the kubelet no", "$ kubectl talosdisk mounts --nodes w-4", "pod/nginx-pod", "pv/local-pv-b", "path: /var/lib/disks\n"}},
		{"rslave works (talos.md 00.13)", "TD0401", func(world) {}, OutcomeOK, nil},
		{"an old event, since when the kubelet started with the mount", "TD0401", func(w world) {
			w.waits()
			w.node().KubeletStarted = &now
		}, OutcomeOK, nil},
		{"without Talos, by an event and the pod's view", "TD0401", func(w world) { w.waits(); w.NoTalos = problem.FromText("no talosconfig was found"); w.noTalos("", "") }, OutcomeFinding,
			[]string{`cannot see "/var/lib/disks/hdd"`, "FailedMount 4 times", "the provisioner's pod, which has the node's directory, lists it", "kubectl talosdisk mounts --nodes w-4"}},
		{"without Talos, and nobody saw the path", "TD0401", func(w world) {
			w.waits()
			w.noTalos("", "")
			w.node().View = snapshot.Unread[snapshot.PodView](problem.FromText("exec failed"))
		}, OutcomeUnknown, []string{"whether the node has it is not known"}},
		{"without Talos, and the node has it not", "TD0401", func(w world) {
			w.waits()
			w.noTalos("", "")
			w.node().View.Value.Dirs["hdd"] = snapshot.Dir{Exists: true, MountPoint: true}
			w.Install.Classes, w.Volumes = w.Install.Classes[1:], w.Volumes[:1]
		}, OutcomeUnknown, nil},
		{"without Talos, an event before the kubelet started", "TD0401", func(w world) {
			w.waits()
			w.noTalos("", "")
			w.node().KubeletStarted = &now
		}, OutcomeUnknown, nil},
		{"without Talos and events", "TD0401", func(w world) { w.noTalos("", "no answer") }, OutcomeUnknown, []string{"no answer"}},
		{"os:reader", "TD0401", func(w world) { w.blind(); w.reader() }, OutcomeFinding, []string{"which extraMounts are configured could not be read", "kubectl talosdisk mounts --nodes w-4"}},
		{"os:reader, all well", "TD0401", world.reader, OutcomeOK, nil},
		{"outside of /var", "TD0401", func(w world) {
			w.Install.Classes = []provisioner.Class{{Name: "fast", HostDir: "/mnt/fast-disks", MountDir: "/mnt/fast-disks", Mode: provisioner.Filesystem}}
			w.Volumes = nil
		}, OutcomeFinding, []string{"root file system is read-only", "UserVolumeConfig", "hostDir: /var/mnt"}},
		{"in /var/mnt", "TD0401", func(w world) {
			w.blind()
			w.Install.Classes = []provisioner.Class{{Name: "hdd", HostDir: "/var/mnt", MountDir: "/var/mnt", Mode: provisioner.Filesystem}}
			w.Volumes = nil
		}, OutcomeOK, nil},
		{"a volume by hand", "TD0401", func(w world) {
			w.blind()
			w.Install.Classes = nil
			w.Volumes = w.Volumes[:1]
			w.Volumes[0].ProvisionedBy = ""
		}, OutcomeFinding, []string{"no class of the provisioner has the directory", "options: [rbind, rslave, rw]", "edit machineconfig --mode no-reboot"}},
		{"where no provisioner is wanted", "TD0401", func(w world) { w.blind(); w.node().Wanted, w.Volumes = false, nil }, OutcomeOK, nil},
		{"a release whose restart is dangerous", "TD0401", func(w world) { w.blind(); w.kubelet().Release = talosVersion(w.t, "v1.12.2") }, OutcomeFinding, []string{"first: upgrade Talos", "then ask again what is next", "$ kubectl talosdisk doctor node/w-4"}},
		{"volumes were not read", "TD0401", func(w world) { w.Unread = map[string]problem.Problem{"volumes": problem.FromText("forbidden")} }, OutcomeUnknown, []string{"forbidden"}},

		{"not restarted since", "TD0402", func(w world) { w.blind(); w.extraMounts(bindMount(disks, "rbind", "rslave", "rw")) }, OutcomeFinding,
			[]string{`error[TD0402]: the mount of "/var/lib/disks/block" is configured on w-4 and not in force`, "talosctl -n 10.0.0.14 service kubelet restart"}},
		{"in force", "TD0402", func(world) {}, OutcomeOK, nil},
		{"not checked", "TD0402", func(w world) {
			w.kubelet().View, w.kubelet().ViewProblem = nil, problem.FromText("the kubelet restarted")
		}, OutcomeUnknown, []string{"the kubelet restarted"}},
		{"os:reader", "TD0402", world.reader, OutcomeUnknown, []string{"os:admin"}},
		{"not in force, and a dangerous release", "TD0402", func(w world) {
			w.blind()
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"))
			w.kubelet().Release = talosVersion(w.t, "v1.10.3")
		}, OutcomeFinding, []string{"upgrade Talos first"}},

		{"bind masks a disk (talos.md 00.14)", "TD0403", func(w world) {
			w.extraMounts(bindMount(disks, "bind", "rshared", "rw"))
			w.mounted(kubeletBound, hostDisk)
		}, OutcomeFinding,
			[]string{`error[TD0403]: pods that start on w-4 would write to the system disk instead of the disks in "/var/lib/disks/hdd"`, "replace bind by rbind", "$ kubectl talosdisk mounts --nodes w-4", "pod/nginx-pod", "/dev/vde1"}},
		{"bind masks a disk, and those of others", "TD0403", func(w world) {
			w.Install.Classes = slices.DeleteFunc(w.Install.Classes, func(c provisioner.Class) bool { return c.HostDir != disks+"/hdd" })
			w.extraMounts(bindMount(disks, "bind", "rshared", "rw"))
			w.mounted(kubeletBound, hostDisk+"385 51 254:66 / /var/lib/disks/theirs rw,relatime shared:52 - xfs /dev/vdx rw\n")
		}, OutcomeFinding, []string{"replace bind by rbind", "$ talosctl -n 10.0.0.14 edit machineconfig"}},
		{"bind, and nothing mounted below", "TD0403", func(w world) {
			w.extraMounts(bindMount(disks, "bind", "rw"))
			w.mounted(kubeletBound, "")
			w.kubelet().Settings.MachineDisks = nil
		}, OutcomeFinding, []string{"warning[TD0403]", "would hide", "$ talosctl -n 10.0.0.14 edit machineconfig"}},
		{"rbind", "TD0403", func(world) {}, OutcomeOK, nil},
		{"os:reader", "TD0403", world.reader, OutcomeUnknown, nil},

		{"private", "TD0404", func(w world) { w.extraMounts(bindMount(disks, "rbind", "rprivate", "rw")) }, OutcomeFinding, []string{"warning[TD0404]", "the entry is private", "rbind, rslave and rw"}},
		{"a disk mounted later", "TD0404", func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rprivate", "rw"))
			w.mounted("619 305 254:6 /lib/disks /var/lib/disks rw,relatime - xfs /dev/vda6 rw\n", hostDisk)
		}, OutcomeFinding, []string{"/dev/vde1"}},
		{"a mount that the node has no longer", "TD0404", func(w world) { w.mounted(kubeletSlave, "") }, OutcomeFinding, []string{"the node has no longer"}},
		{"slave", "TD0404", func(world) {}, OutcomeOK, nil},
		{"mounts were not read", "TD0404", func(w world) {
			v := w.kubelet().View
			v.Kubelet, v.Host, v.MountsProblem = nil, nil, problem.FromText("mountinfo could not be read")
		}, OutcomeUnknown, []string{"mountinfo could not be read"}},

		{"listed twice (talos.md 00.15)", "TD0405", func(w world) {
			w.extraMounts(bindMount(disks, rshared...), bindMount(disks, rshared...))
			w.mounted(kubeletSlave, leaked(7))
		}, OutcomeFinding, []string{"error[TD0405]", "doubles the node's own mounts", "mounted there 7 times", "leave one entry", "until the node reboots"}},
		{"leaked, and fixed since", "TD0405", func(w world) { w.mounted(kubeletSlave, leaked(31)) }, OutcomeFinding, []string{"warning[TD0405]: mounts of", "31 times"}},
		{"below what Talos mounts shared", "TD0405", func(w world) {
			w.kubelet().Release = talosVersion(w.t, "v1.12.9")
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"), bindMount("/var/mnt/x", rshared...))
		}, OutcomeFinding, []string{`"/var/mnt/x"`, "doubles"}},
		{"once", "TD0405", func(world) {}, OutcomeOK, nil},
		{"mounts were not read", "TD0405", func(w world) {
			v := w.kubelet().View
			v.Kubelet, v.Host, v.MountsProblem = nil, nil, problem.FromText("mountinfo could not be read")
		}, OutcomeUnknown, nil},

		{"another source", "TD0406", func(w world) {
			m := bindMount(disks, "rbind", "rslave", "rw")
			m.Source = "/var/lib/other"
			w.extraMounts(m)
		}, OutcomeFinding, []string{`"/var/lib/disks/block" is another directory in the kubelet`, "make source and destination of the entry the same"}},
		{"a slash at the end", "TD0406", func(w world) {
			m := bindMount(disks, "rbind", "rslave", "rw")
			m.Source += "/"
			w.extraMounts(m)
		}, OutcomeOK, nil},
		{"os:reader", "TD0406", world.reader, OutcomeUnknown, nil},

		{"generated by v1.14", "TD0407", world.kubeletDocument, OutcomeFinding, []string{`cannot see "/var/lib/disks", and its configuration has no place for it`, "volumeType: directory",
			"RawVolumeConfig", `namePattern: "r-block-*"`, "UserVolumeConfig", `namePattern: "block-*"`, "$ kubectl talosdisk mounts --nodes w-4 --convert-kubelet-config"}},
		{"generated by v1.14, in /var/mnt", "TD0407", func(w world) {
			w.kubeletDocument()
			w.Install.Classes = []provisioner.Class{{Name: "hdd", HostDir: "/var/mnt", MountDir: "/var/mnt", Mode: provisioner.Filesystem}}
			w.Volumes = nil
		}, OutcomeOK, nil},
		{"generated by v1.14, on devices", "TD0407", func(w world) {
			w.kubeletDocument()
			w.Install.Classes = []provisioner.Class{{Name: "raw", HostDir: "/dev/disk/by-partlabel", MountDir: "/dev/disk/by-partlabel", NamePattern: "r-*", Mode: provisioner.Block}}
			w.Volumes = nil
		}, OutcomeOK, nil},
		{"the old configuration", "TD0407", world.blind, OutcomeOK, nil},
		{"os:reader", "TD0407", world.reader, OutcomeUnknown, nil},
		{"is not the old way's", "TD0401", world.kubeletDocument, OutcomeOK, nil},

		{"read-only", "TD0408", func(w world) { w.extraMounts(bindMount(disks, "rbind", "rslave", "ro")) }, OutcomeFinding, []string{`warning[TD0408]: "/var/lib/disks/hdd" is read-only`, `warning[TD0408]: "/var/lib/disks/block"`, "stay writable", "replace ro by rw"}},
		{"read-only, and a plain directory", "TD0408", func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rslave", "ro"))
			w.mounted("619 305 254:6 /lib/disks /var/lib/disks ro,relatime master:22 - xfs /dev/vda6 rw\n", "")
		}, OutcomeFinding, []string{`error[TD0408]: "/var/lib/disks/hdd" is read-only`}},
		{"rw after ro", "TD0408", func(w world) { w.extraMounts(bindMount(disks, "rbind", "ro", "rslave", "rw")) }, OutcomeOK, nil},
		{"os:reader", "TD0408", world.reader, OutcomeUnknown, nil},

		{"in /var/mnt", "TD0409", func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"), bindMount("/var/mnt/x", "rbind", "rslave", "rw"))
		}, OutcomeFinding, []string{"info[TD0409]", `"/var/mnt/x" is needless`}},
		{"needed", "TD0409", func(world) {}, OutcomeOK, nil},
		{"os:reader", "TD0409", world.reader, OutcomeUnknown, nil},

		{"without destination (talos.md 00.4)", "TD0410", func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"), mounts.ExtraMount{Type: "bind", Source: "/var/x", Options: []string{"bind"}})
		}, OutcomeFinding, []string{"error[TD0410]", "keeps the kubelet on w-4 from starting", "has no destination"}},
		{"for the directory itself", "TD0410", func(w world) { w.extraMounts(bindMount(disks, "rw")) }, OutcomeFinding, []string{"neither bind nor rbind"}},
		{"a source on the read-only root", "TD0410", func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"), bindMount("/mnt/disks", "rbind", "rw"))
			w.node().Ready = false
		}, OutcomeFinding, []string{`source "/mnt/disks"`, "read-only root"}},
		{"such a source, and a kubelet that runs", "TD0410", func(w world) {
			w.extraMounts(bindMount(disks, "rbind", "rslave", "rw"), bindMount("/mnt/disks", "rbind", "rw"))
		}, OutcomeOK, nil},
		{"sound", "TD0410", func(world) {}, OutcomeOK, nil},
		{"os:reader", "TD0410", world.reader, OutcomeUnknown, nil},

		{"as a note", "TD0411", func(w world) { w.kubelet().Release = talosVersion(w.t, "v1.12.4") }, OutcomeFinding, []string{"info[TD0411]", "#12797"}},
		{"with a restart to come", "TD0411", func(w world) { w.kubelet().Release = talosVersion(w.t, "v1.12.4"); w.blind() }, OutcomeFinding, []string{"warning[TD0411]", "restarts the kubelet"}},
		{"tokens", "TD0411", func(w world) { w.kubelet().Release = talosVersion(w.t, "v1.13.2") }, OutcomeFinding, []string{"info[TD0411]", "#13352"}},
		{"fixed", "TD0411", func(w world) { w.kubelet().Release = talosVersion(w.t, "v1.12.5"); w.blind() }, OutcomeOK, nil},
		{"not asked", "TD0411", func(w world) { w.noTalos("", "no answer") }, OutcomeUnknown, nil},
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
	if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Summary, "w-4 and w-5") || len(r.Findings[0].Fix) != 1 || r.Findings[0].Fix[0].Command != "kubectl talosdisk mounts --nodes w-4,w-5" {
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
