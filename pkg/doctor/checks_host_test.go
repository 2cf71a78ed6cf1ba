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
		{"gone", "TD0301", world.gone, OutcomeFinding, []string{`"/var/lib/disks/hdd/vde" of a volume is not on w-4`, "(volume local-pv-485eb69c)", "does not list it", "kubectl talosdisk disks --nodes w-4 -o wide", "pod/nginx-pod"}},
		{"the directory gone", "TD0301", func(w world) {
			w.gone()
			w.kubelet().View.Dirs[dirHDD], w.kubelet().View.Dirs[dirBlock] = mounts.BothSides{Host: absent(), Kubelet: absent()}, mounts.BothSides{Host: absent(), Kubelet: absent()}
			second := w.Volumes[0]
			second.Name, second.Path, second.Claim = "pv-2", dirHDD+"/vdz", nil
			w.Volumes = append(w.Volumes, second)
		}, OutcomeFinding, []string{`the directory "/var/lib/disks/hdd" of volumes is not on w-4`, "(volume pv-2)", "[pod/nginx-pod pv/pv-2]", `the directory "/var/lib/disks/block" of volumes`}},
		{"gone, without Talos", "TD0301", func(w world) { w.gone(); w.noTalos("", "") }, OutcomeFinding, []string{"the provisioner's pod"}},
		{"there", "TD0301", func(world) {}, OutcomeOK, nil},
		{"a link that is gone is another's", "TD0301", func(w world) {
			w.kubelet().View.Dirs[dirBlock] = mounts.BothSides{Host: present(), Kubelet: present()}
			w.node().View.Value.Dirs["block"] = snapshot.Dir{Exists: true, MountPoint: true}
		}, OutcomeOK, nil},
		{"its Talos volume failed, which is the cause", "TD0301", func(w world) {
			w.gone()
			w.talosVolume(snapshot.TalosVolume{ID: "/dev/vde-2", Phase: "failed"})
			(*w.talos().Volumes.Value)[1].Phase = "failed"
		}, OutcomeOK, nil},
		{"not checked", "TD0301", func(w world) { w.noTalos("", "no answer"); w.withoutPod(noPodThere) }, OutcomeUnknown, []string{"the node was not checked"}},
		{"no volumes", "TD0301", func(w world) { w.Volumes = nil }, OutcomeNone, nil},

		{"not mounted", "TD0302", world.unmounted, OutcomeFinding, []string{`nothing is mounted at "/var/lib/disks/hdd/vde"`, "machine.disks mounts /dev/vde there", "talosctl -n 10.0.0.14 get volumestatus"}},
		{"not mounted, as os:reader sees", "TD0302", func(w world) { w.unmounted(); w.reader() }, OutcomeFinding, nil},
		{"not mounted, as the pod sees", "TD0302", func(w world) {
			w.noTalos("", "no answer")
			w.entries("hdd", provisioner.Entry{Name: "vde", Kind: provisioner.Directory, Mounted: disk.No})
		}, OutcomeFinding, []string{`nothing is mounted at "/var/lib/disks/hdd/vde"`, "not among the mounts of the provisioner's pod"}},
		{"mounted, as the pod sees", "TD0302", func(w world) {
			w.noTalos("", "no answer")
			w.entries("hdd", provisioner.Entry{Name: "vde", Kind: provisioner.Directory, Mounted: disk.Yes, Mount: "/dev/vde1 (xfs)"})
		}, OutcomeOK, nil},
		{"no mount as the pod sees, to which none comes", "TD0302", func(w world) {
			w.noTalos("", "no answer")
			w.entries("hdd", provisioner.Entry{Name: "vde", Kind: provisioner.Directory, Mounted: disk.No})
			w.Install.Mounts[1].Propagation = ""
		}, OutcomeUnknown, nil},
		{"a directory by hand", "TD0302", func(w world) { w.unmounted(); w.Volumes[0].ProvisionedBy, w.kubelet().Settings.MachineDisks = "", nil }, OutcomeOK, nil},
		{"what a user volume leaves (talos.md 00.17)", "TD0302", func(w world) {
			w.at("/var/mnt/data")
			w.Volumes[0].ProvisionedBy = ""
			w.kubelet().View.Dirs["/var/mnt"] = mounts.BothSides{Host: present("data"), Kubelet: present("data")}
		}, OutcomeFinding, []string{"user volumes of Talos are mounted in /var/mnt"}},
		{"a user volume that is a directory", "TD0302", func(w world) {
			w.at("/var/mnt/data")
			w.reader()
			w.kubelet().View.Dirs["/var/mnt"] = mounts.BothSides{Host: present("data"), Kubelet: present("data")}
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Type: "directory", Phase: "ready"})
		}, OutcomeOK, nil},
		{"a device, which the kubelet mounts", "TD0302", func(w world) {
			w.kubelet().Settings.MachineDisks = nil
			w.unmounted()
			w.node().View.Value.Dirs["hdd"].Entries[0] = provisioner.Entry{Name: "vde", Kind: provisioner.Link, Target: "/dev/vde", Device: "254:64"}
		}, OutcomeOK, nil},
		{"a directory that is no volume yet", "TD0302", func(w world) {
			d := w.node().View.Value.Dirs["hdd"]
			d.Entries = append(d.Entries, provisioner.Entry{Name: "plain", Kind: provisioner.Directory})
			w.node().View.Value.Dirs["hdd"] = d
		}, OutcomeFinding, []string{`warning[TD0302]: "/var/lib/disks/hdd/plain" on w-4 is no mount point`, "TD0302"}},
		{"the directory of another class", "TD0302", func(w world) {
			class(w, "hdd").HostDir = "/var/lib/disks"
			w.node().View.Value.Dirs["hdd"] = snapshot.Dir{Exists: true, MountPoint: true, Entries: []provisioner.Entry{{Name: "block", Kind: provisioner.Directory}}}
		}, OutcomeOK, nil},
		{"mounted", "TD0302", func(world) {}, OutcomeOK, nil},
		{"no mounts were read", "TD0302", func(w world) { w.noTalos("", "no answer") }, OutcomeUnknown, []string{"mount point was not seen"}},
		{"only Block", "TD0302", func(w world) { w.Volumes, w.Install.Classes = w.Volumes[1:], w.Install.Classes[:1] }, OutcomeNone, nil},

		{"no disk matched", "TD0303", func(w world) {
			w.talosVolume(snapshot.TalosVolume{ID: "u-nomatch", Type: "partition", Phase: "failed", Problem: "no disks matched selector for volume"})
		}, OutcomeFinding, []string{`error[TD0303]: Talos volume "u-nomatch" on w-4 is failed`, "no disks matched", "path: /var/mnt/nomatch"}},
		{"too big", "TD0303", func(w world) {
			w.talosVolume(snapshot.TalosVolume{ID: "u-toobig", Type: "partition", Phase: "waiting"})
		}, OutcomeFinding, []string{"warning[TD0303]", "is waiting", "minSize"}},
		{"something else on the disk", "TD0303", func(w world) {
			w.talosVolume(snapshot.TalosVolume{ID: "/dev/vdx-1", Phase: "failed", Problem: "filesystem type mismatch: vfat != xfs"})
		}, OutcomeFinding, []string{"only if its data is not needed", "wipe disk"}},
		{"an existing volume that nothing is", "TD0303", func(w world) {
			w.existing("data", `volume.partition_label == "DATA"`)
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "missing"})
		}, OutcomeFinding, []string{`error[TD0303]: Talos volume "e-data" on w-4 is missing`, "makes no existing volume", "w-4: ExistingVolumeConfig data matches no volume, match: volume.partition_label", "path: /var/mnt/data", "$ talosctl -n 10.0.0.14 get discoveredvolumes"}},
		{"an existing volume before all devices are known", "TD0303", func(w world) {
			w.existing("data", `volume.partition_label == "DATA"`)
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "waiting"})
		}, OutcomeFinding, []string{"warning[TD0303]", "is waiting", "matches no volume"}},
		{"an existing volume whose selector is not understood", "TD0303", func(w world) {
			w.existing("data", `volume.mood == "fine"`).Problem = "undefined field 'mood'"
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "missing"})
		}, OutcomeFinding, []string{"error[TD0303]", "undefined field 'mood'"}},
		{"an existing volume that Talos says more of", "TD0303", func(w world) {
			w.existing("data", `disk.serial == "A"`, "vdf")
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "failed", Problem: "filesystem type mismatch"})
		}, OutcomeFinding, []string{"error[TD0303]", "filesystem type mismatch", "only if its data is not needed"}},
		{"an existing volume of a configuration that was not read", "TD0303", func(w world) {
			w.reader()
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "missing"})
		}, OutcomeFinding, []string{"error[TD0303]", "makes no existing volume"}},
		{"ready", "TD0303", func(w world) { w.talosVolume(snapshot.TalosVolume{ID: "u-data", Phase: "ready"}) }, OutcomeOK, nil},
		{"the system's waits", "TD0303", func(w world) { w.talosVolume(snapshot.TalosVolume{ID: "IMAGECACHE", Phase: "waiting"}) }, OutcomeOK, nil},
		{"not read", "TD0303", func(w world) {
			w.talos().Volumes = snapshot.Unread[[]snapshot.TalosVolume](problem.FromText("no answer"))
		}, OutcomeUnknown, []string{"no answer"}},

		{"one mountpoint", "TD0304", func(w world) {
			w.kubelet().Settings.MachineDisks = append(w.kubelet().Settings.MachineDisks, machineconfig.MachineDisk{Device: "/dev/vdf", Mountpoint: pathVDE + "/"})
		}, OutcomeFinding, []string{"mounts 2 partitions", "/dev/vde, /dev/vdf", "pod/nginx-pod"}},
		{"one below the other", "TD0304", func(w world) {
			w.kubelet().Settings.MachineDisks = append(w.kubelet().Settings.MachineDisks, machineconfig.MachineDisk{Device: "/dev/vdf", Mountpoint: pathVDE + "/f"})
		}, OutcomeOK, nil},
		{"os:reader", "TD0304", world.reader, OutcomeUnknown, []string{"os:admin"}},

		{"renamed", "TD0305", func(w world) {
			w.talos().Disks = snapshot.Read([]snapshot.TalosDisk{{Name: "vda"}, {Name: "vdg"}, {Name: "loop0"}})
		}, OutcomeFinding, []string{`"/dev/vde" of machine.disks is no disk of w-4`, "disks vda, vdg\n", "starts no kubelet"}},
		{"by a name that lasts", "TD0305", func(w world) {
			w.kubelet().Settings.MachineDisks[0].Device = "/dev/disk/by-id/virtio-e"
		}, OutcomeOK, nil},
		{"by such a name, on a release that tells none", "TD0305", func(w world) {
			w.kubelet().Settings.MachineDisks[0].Device = "/dev/disk/by-id/virtio-e"
			w.talos().Disks = snapshot.Read([]snapshot.TalosDisk{{Name: "vde"}})
		}, OutcomeUnknown, []string{"udev's names"}},
		{"disks were not read", "TD0305", func(w world) { w.talos().Disks = snapshot.Unread[[]snapshot.TalosDisk](problem.FromText("no answer")) }, OutcomeUnknown, nil},
		{"os:reader", "TD0305", world.reader, OutcomeUnknown, nil},

		{"a class", "TD0306", func(w world) {
			class(w, "hdd").HostDir = "/var/mnt/u-data"
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Phase: "ready"})
		}, OutcomeFinding, []string{`user volume "data" is mounted at "/var/mnt/data", not at "/var/mnt/u-data"`, `hostDir "/var/mnt/u-data" of class "hdd"`}},
		{"a volume, by the configuration alone", "TD0306", func(w world) {
			w.at("/var/mnt/u-data/x")
			w.node().Talos = snapshot.Unread[snapshot.Talos](problem.FromText("no answer"))
			w.kubelet().Settings.UserVolumes = []machineconfig.UserVolume{{Name: "data", Type: "partition"}}
		}, OutcomeFinding, []string{`path "/var/mnt/u-data/x"`}},
		{"one that is called so", "TD0306", func(w world) {
			class(w, "hdd").HostDir = "/var/mnt/u-data"
			w.talosVolume(snapshot.TalosVolume{ID: "u-u-data", Phase: "ready"})
		}, OutcomeOK, nil},
		{"both", "TD0306", func(w world) {
			class(w, "hdd").HostDir = "/var/mnt/u-data"
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Phase: "ready"})
			w.talosVolume(snapshot.TalosVolume{ID: "u-u-data", Phase: "ready"})
		}, OutcomeOK, nil},
		{"not named", "TD0306", func(world) {}, OutcomeNone, nil},
		{"volumes were not read", "TD0306", func(w world) { class(w, "hdd").HostDir = "/var/mnt/u-data"; w.noTalos("", "no answer") }, OutcomeUnknown, []string{"no answer"}},

		{"staged", "TD0307", func(w world) { w.kubelet().StagedDiffers = true }, OutcomeFinding, []string{"warning[TD0307]", "v1alpha1 and persistent differ", "talosctl -n 10.0.0.14 reboot"}},
		{"nothing staged", "TD0307", func(world) {}, OutcomeOK, nil},
		{"os:reader", "TD0307", world.reader, OutcomeUnknown, nil},
	}
}

func TestTalosDiagnostics(t *testing.T) { try(t, talosCases()) }

func talosCases() []nodeCase {
	return []nodeCase{
		{"one", "TD0901", func(w world) {
			w.talos().Diagnostics = snapshot.Read([]snapshot.TalosDiagnostic{{ID: "address-overlap", Message: "host and Kubernetes pod CIDR addresses overlap", Details: []string{"host 10.0.0.0/8", "pods 10.244.0.0/16"}}})
		}, OutcomeFinding, []string{"warning[TD0901]: Talos on w-4 warns: host and Kubernetes", "pods 10.244.0.0/16", "https://talos.dev/diagnostic/address-overlap"}},
		{"none", "TD0901", func(world) {}, OutcomeOK, nil},
		{"not asked for", "TD0901", func(w world) { w.talos().Diagnostics = snapshot.Section[[]snapshot.TalosDiagnostic]{} }, OutcomeUnknown, nil},
		{"not read", "TD0901", func(w world) { w.noTalos("", "no answer") }, OutcomeUnknown, []string{"no answer"}},
	}
}
