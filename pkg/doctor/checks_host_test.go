// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// gone removes the disk's directory from the node and all that look at it.
func (w world) gone() {
	w.mounted(kubeletSlave, "")
	w.kubelet().View.Dirs[dirHDD] = mounts.BothSides{Host: present(), Kubelet: present()}
	w.talos().Mounts = snapshot.Read([]snapshot.TalosMount{{Source: "/dev/vda6", Target: "/var"}})
	w.node().View.Value.Dirs["hdd"] = snapshot.Dir{Exists: true, MountPoint: true}
}

// unmounted leaves the directory, and removes the disk.
func (w world) unmounted() {
	w.mounted("", "")
	w.talos().Mounts = snapshot.Read([]snapshot.TalosMount{{Source: "/dev/vda6", Target: "/var"}})
}

// talosVolume adds one of the recorded volumes.
func (w world) talosVolume(v snapshot.TalosVolume) {
	*w.talos().Volumes.Value = append(*w.talos().Volumes.Value, v)
}

// at moves the volume of the pod to another path.
func (w world) at(path string) { w.Volumes[0].Path = path }

func TestHost(t *testing.T) { try(t, hostCases()) }

func hostCases() []nodeCase {
	return []nodeCase{
		{
			name:   "gone",
			code:   "TD0301",
			change: world.gone,
			want:   OutcomeFinding,
			has: []string{`"/var/lib/disks/hdd/vde" of a volume is not on w-4`, "(volume local-pv-485eb69c)", "does not list it",
				"kubectl talosdisk disks --nodes w-4 -o wide", "pod/nginx-pod"},
		},
		{name: "the directory gone", code: "TD0301", change: func(w world) {
			w.gone()
			w.kubelet().View.Dirs[dirHDD], w.kubelet().View.Dirs[dirBlock] = mounts.BothSides{Host: absent(), Kubelet: absent()},
				mounts.BothSides{Host: absent(), Kubelet: absent()}
			second := w.Volumes[0]
			second.Name, second.Path, second.Claim = "pv-2", dirHDD+"/vdz", nil
			w.Volumes = append(w.Volumes, second)
		}, want: OutcomeFinding, has: []string{`the directory "/var/lib/disks/hdd" of volumes is not on w-4`, "(volume pv-2)",
			"[pod/nginx-pod pv/pv-2]", `the directory "/var/lib/disks/block" of volumes`}},
		{
			name:   "gone, without Talos",
			code:   "TD0301",
			change: func(w world) { w.gone(); w.noTalos("", "") },
			want:   OutcomeFinding,
			has:    []string{"the provisioner's pod"},
		},
		{name: "there", code: "TD0301", change: func(world) {}, want: OutcomeOK},
		{name: "a link that is gone is another's", code: "TD0301", change: func(w world) {
			w.kubelet().View.Dirs[dirBlock] = mounts.BothSides{Host: present(), Kubelet: present()}
			w.node().View.Value.Dirs["block"] = snapshot.Dir{Exists: true, MountPoint: true}
		}, want: OutcomeOK},
		{name: "its Talos volume failed, which is the cause", code: "TD0301", change: func(w world) {
			w.gone()
			w.talosVolume(snapshot.TalosVolume{ID: "/dev/vde-2", Phase: "failed"})
			(*w.talos().Volumes.Value)[1].Phase = "failed"
		}, want: OutcomeOK},
		{
			name:   "not checked",
			code:   "TD0301",
			change: func(w world) { w.noTalos("", "no answer"); w.withoutPod(noPodThere) },
			want:   OutcomeUnknown,
			has:    []string{"the node was not checked"},
		},
		{name: "no volumes", code: "TD0301", change: func(w world) { w.Volumes = nil }, want: OutcomeNone},

		{
			name:   "not mounted",
			code:   "TD0302",
			change: world.unmounted,
			want:   OutcomeFinding,
			has: []string{`nothing is mounted at "/var/lib/disks/hdd/vde"`, "machine.disks mounts /dev/vde there",
				"talosctl -n 10.0.0.14 get volumestatus"},
		},
		{name: "not mounted, as os:reader sees", code: "TD0302", change: func(w world) { w.unmounted(); w.reader() }, want: OutcomeFinding},
		{name: "not mounted, as the pod sees", code: "TD0302", change: func(w world) {
			w.noTalos("", "no answer")
			w.entries("hdd", provisioner.Entry{Name: "vde", Kind: provisioner.Directory, Mounted: disk.No})
		}, want: OutcomeFinding, has: []string{`nothing is mounted at "/var/lib/disks/hdd/vde"`,
			"not among the mounts of the provisioner's pod"}},
		{name: "mounted, as the pod sees", code: "TD0302", change: func(w world) {
			w.noTalos("", "no answer")
			w.entries("hdd", provisioner.Entry{Name: "vde", Kind: provisioner.Directory, Mounted: disk.Yes, Mount: "/dev/vde1 (xfs)"})
		}, want: OutcomeOK},
		{name: "no mount as the pod sees, to which none comes", code: "TD0302", change: func(w world) {
			w.noTalos("", "no answer")
			w.entries("hdd", provisioner.Entry{Name: "vde", Kind: provisioner.Directory, Mounted: disk.No})
			w.Install.Mounts[1].Propagation = ""
		}, want: OutcomeUnknown},
		{
			name:   "a directory by hand",
			code:   "TD0302",
			change: func(w world) { w.unmounted(); w.Volumes[0].ProvisionedBy, w.kubelet().Settings.MachineDisks = "", nil },
			want:   OutcomeOK,
		},
		{name: "what a user volume leaves (talos.md 00.17)", code: "TD0302", change: func(w world) {
			w.at("/var/mnt/data")
			w.Volumes[0].ProvisionedBy = ""
			w.kubelet().View.Dirs["/var/mnt"] = mounts.BothSides{Host: present("data"), Kubelet: present("data")}
		}, want: OutcomeFinding, has: []string{"user volumes of Talos are mounted in /var/mnt"}},
		{name: "a user volume that is a directory", code: "TD0302", change: func(w world) {
			w.at("/var/mnt/data")
			w.reader()
			w.kubelet().View.Dirs["/var/mnt"] = mounts.BothSides{Host: present("data"), Kubelet: present("data")}
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Type: "directory", Phase: "ready"})
		}, want: OutcomeOK},
		{name: "a device, which the kubelet mounts", code: "TD0302", change: func(w world) {
			w.kubelet().Settings.MachineDisks = nil
			w.unmounted()
			w.node().View.Value.Dirs["hdd"].Entries[0] = provisioner.Entry{Name: "vde", Kind: provisioner.Link, Target: "/dev/vde", Device: "254:64"}
		}, want: OutcomeOK},
		{name: "a directory that is no volume yet", code: "TD0302", change: func(w world) {
			d := w.node().View.Value.Dirs["hdd"]
			d.Entries = append(d.Entries, provisioner.Entry{Name: "plain", Kind: provisioner.Directory})
			w.node().View.Value.Dirs["hdd"] = d
		}, want: OutcomeFinding, has: []string{`warning[TD0302]: "/var/lib/disks/hdd/plain" on w-4 is no mount point`, "TD0302"}},
		{name: "the directory of another class", code: "TD0302", change: func(w world) {
			class(w, "hdd").HostDir = "/var/lib/disks"
			w.node().View.Value.Dirs["hdd"] = snapshot.Dir{
				Exists:     true,
				MountPoint: true,
				Entries:    []provisioner.Entry{{Name: "block", Kind: provisioner.Directory}},
			}
		}, want: OutcomeOK},
		{name: "mounted", code: "TD0302", change: func(world) {}, want: OutcomeOK},
		{
			name:   "no mounts were read",
			code:   "TD0302",
			change: func(w world) { w.noTalos("", "no answer") },
			want:   OutcomeUnknown,
			has:    []string{"mount point was not seen"},
		},
		{
			name:   "only Block",
			code:   "TD0302",
			change: func(w world) { w.Volumes, w.Install.Classes = w.Volumes[1:], w.Install.Classes[:1] },
			want:   OutcomeNone,
		},

		{name: "no disk matched", code: "TD0303", change: func(w world) {
			w.talosVolume(snapshot.TalosVolume{ID: "u-nomatch", Type: "partition", Phase: "failed", Problem: "no disks matched selector for volume"})
		}, want: OutcomeFinding, has: []string{`error[TD0303]: Talos volume "u-nomatch" on w-4 is failed`, "no disks matched",
			"path: /var/mnt/nomatch"}},
		{name: "too big", code: "TD0303", change: func(w world) {
			w.talosVolume(snapshot.TalosVolume{ID: "u-toobig", Type: "partition", Phase: "waiting"})
		}, want: OutcomeFinding, has: []string{"warning[TD0303]", "is waiting", "minSize"}},
		{name: "something else on the disk", code: "TD0303", change: func(w world) {
			w.talosVolume(snapshot.TalosVolume{ID: "/dev/vdx-1", Phase: "failed", Problem: "filesystem type mismatch: vfat != xfs"})
		}, want: OutcomeFinding, has: []string{"only if its data is not needed", "wipe disk"}},
		{name: "an existing volume that nothing is", code: "TD0303", change: func(w world) {
			w.existing("data", `volume.partition_label == "DATA"`)
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "missing"})
		}, want: OutcomeFinding, has: []string{`error[TD0303]: Talos volume "e-data" on w-4 is missing`, "makes no existing volume",
			"w-4: ExistingVolumeConfig data matches no volume, match: volume.partition_label", "path: /var/mnt/data",
			"$ talosctl -n 10.0.0.14 get discoveredvolumes"}},
		{name: "an existing volume before all devices are known", code: "TD0303", change: func(w world) {
			w.existing("data", `volume.partition_label == "DATA"`)
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "waiting"})
		}, want: OutcomeFinding, has: []string{"warning[TD0303]", "is waiting", "matches no volume"}},
		{name: "an existing volume whose selector is not understood", code: "TD0303", change: func(w world) {
			w.existing("data", `volume.mood == "fine"`).Problem = "undefined field 'mood'"
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "missing"})
		}, want: OutcomeFinding, has: []string{"error[TD0303]", "undefined field 'mood'"}},
		{name: "an existing volume that Talos says more of", code: "TD0303", change: func(w world) {
			w.existing("data", `disk.serial == "A"`, "vdf")
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "failed", Problem: "filesystem type mismatch"})
		}, want: OutcomeFinding, has: []string{"error[TD0303]", "filesystem type mismatch", "only if its data is not needed"}},
		{name: "an existing volume of a configuration that was not read", code: "TD0303", change: func(w world) {
			w.reader()
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "missing"})
		}, want: OutcomeFinding, has: []string{"error[TD0303]", "makes no existing volume"}},
		{
			name:   "ready",
			code:   "TD0303",
			change: func(w world) { w.talosVolume(snapshot.TalosVolume{ID: "u-data", Phase: "ready"}) },
			want:   OutcomeOK,
		},
		{
			name:   "the system's waits",
			code:   "TD0303",
			change: func(w world) { w.talosVolume(snapshot.TalosVolume{ID: "IMAGECACHE", Phase: "waiting"}) },
			want:   OutcomeOK,
		},
		{name: "not read", code: "TD0303", change: func(w world) {
			w.talos().Volumes = snapshot.Unread[[]snapshot.TalosVolume](problem.FromText("no answer"))
		}, want: OutcomeUnknown, has: []string{"no answer"}},

		{name: "one mountpoint", code: "TD0304", change: func(w world) {
			w.kubelet().Settings.MachineDisks = append(w.kubelet().Settings.MachineDisks,
				machineconfig.MachineDisk{Device: "/dev/vdf", Mountpoint: pathVDE + "/"})
		}, want: OutcomeFinding, has: []string{"mounts 2 partitions", "/dev/vde, /dev/vdf", "pod/nginx-pod"}},
		{name: "one below the other", code: "TD0304", change: func(w world) {
			w.kubelet().Settings.MachineDisks = append(w.kubelet().Settings.MachineDisks,
				machineconfig.MachineDisk{Device: "/dev/vdf", Mountpoint: pathVDE + "/f"})
		}, want: OutcomeOK},
		{name: "os:reader", code: "TD0304", change: world.reader, want: OutcomeUnknown, has: []string{"os:admin"}},

		{name: "renamed", code: "TD0305", change: func(w world) {
			w.talos().Disks = snapshot.Read([]snapshot.TalosDisk{{Name: "vda"}, {Name: "vdg"}, {Name: "loop0"}})
		}, want: OutcomeFinding, has: []string{`"/dev/vde" of machine.disks is no disk of w-4`, "disks vda, vdg\n", "starts no kubelet"}},
		{name: "by a name that lasts", code: "TD0305", change: func(w world) {
			w.kubelet().Settings.MachineDisks[0].Device = "/dev/disk/by-id/virtio-e"
		}, want: OutcomeOK},
		{name: "by such a name, on a release that tells none", code: "TD0305", change: func(w world) {
			w.kubelet().Settings.MachineDisks[0].Device = "/dev/disk/by-id/virtio-e"
			w.talos().Disks = snapshot.Read([]snapshot.TalosDisk{{Name: "vde"}})
		}, want: OutcomeUnknown, has: []string{"udev's names"}},
		{
			name:   "disks were not read",
			code:   "TD0305",
			change: func(w world) { w.talos().Disks = snapshot.Unread[[]snapshot.TalosDisk](problem.FromText("no answer")) },
			want:   OutcomeUnknown,
		},
		{name: "os:reader", code: "TD0305", change: world.reader, want: OutcomeUnknown},

		{name: "a class", code: "TD0306", change: func(w world) {
			class(w, "hdd").HostDir = "/var/mnt/u-data"
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Phase: "ready"})
		}, want: OutcomeFinding, has: []string{`user volume "data" is mounted at "/var/mnt/data", not at "/var/mnt/u-data"`,
			`hostDir "/var/mnt/u-data" of class "hdd"`}},
		{name: "a volume, by the configuration alone", code: "TD0306", change: func(w world) {
			w.at("/var/mnt/u-data/x")
			w.node().Talos = snapshot.Unread[snapshot.Talos](problem.FromText("no answer"))
			w.kubelet().Settings.UserVolumes = []machineconfig.UserVolume{{Name: "data", Type: "partition"}}
		}, want: OutcomeFinding, has: []string{`path "/var/mnt/u-data/x"`}},
		{name: "one that is called so", code: "TD0306", change: func(w world) {
			class(w, "hdd").HostDir = "/var/mnt/u-data"
			w.talosVolume(snapshot.TalosVolume{ID: "u-u-data", Phase: "ready"})
		}, want: OutcomeOK},
		{name: "both", code: "TD0306", change: func(w world) {
			class(w, "hdd").HostDir = "/var/mnt/u-data"
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Phase: "ready"})
			w.talosVolume(snapshot.TalosVolume{ID: "u-u-data", Phase: "ready"})
		}, want: OutcomeOK},
		{name: "not named", code: "TD0306", change: func(world) {}, want: OutcomeNone},
		{
			name:   "volumes were not read",
			code:   "TD0306",
			change: func(w world) { class(w, "hdd").HostDir = "/var/mnt/u-data"; w.noTalos("", "no answer") },
			want:   OutcomeUnknown,
			has:    []string{"no answer"},
		},

		{
			name:   "staged",
			code:   "TD0307",
			change: func(w world) { w.kubelet().StagedDiffers = true },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0307]", "v1alpha1 and persistent differ", "talosctl -n 10.0.0.14 reboot"},
		},
		{name: "nothing staged", code: "TD0307", change: func(world) {}, want: OutcomeOK},
		{name: "os:reader", code: "TD0307", change: world.reader, want: OutcomeUnknown},
	}
}

func TestTalosDiagnostics(t *testing.T) { try(t, talosCases()) }

func talosCases() []nodeCase {
	return []nodeCase{
		{name: "one", code: "TD0901", change: func(w world) {
			w.talos().Diagnostics = snapshot.Read([]snapshot.TalosDiagnostic{{
				ID:      "address-overlap",
				Message: "host and Kubernetes pod CIDR addresses overlap",
				Details: []string{"host 10.0.0.0/8", "pods 10.244.0.0/16"},
			}})
		}, want: OutcomeFinding, has: []string{"warning[TD0901]: Talos on w-4 warns: host and Kubernetes", "pods 10.244.0.0/16",
			"https://talos.dev/diagnostic/address-overlap"}},
		{name: "none", code: "TD0901", change: func(world) {}, want: OutcomeOK},
		{
			name:   "not asked for",
			code:   "TD0901",
			change: func(w world) { w.talos().Diagnostics = snapshot.Section[[]snapshot.TalosDiagnostic]{} },
			want:   OutcomeUnknown,
		},
		{
			name:   "not read",
			code:   "TD0901",
			change: func(w world) { w.noTalos("", "no answer") },
			want:   OutcomeUnknown,
			has:    []string{"no answer"},
		},
	}
}
