// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

const (
	serialF = "talos-disk-f"
	serialG = "talos-disk-g"
)

// vdf is the linked disk, which has a serial and a by-id name here, and nobody uses.
func (w world) vdf() *disk.Disk {
	d := &w.node().View.Value.Disks[0]
	if d.Serial == "" {
		d.Serial, d.ByID = serialF, []string{"virtio-" + serialF}
		d.Content = &disk.Content{Signed: disk.No, Busy: disk.No}
	}
	return d
}

// vdg is another disk of the node.
func (w world) vdg() disk.Disk {
	view := w.node().View.Value
	d := disk.Disk{Name: "vdg", Number: disk.Number{Major: 254, Minor: 96}, Kind: disk.KindDisk, Size: 5 << 30, Serial: serialG, ByID: []string{"virtio-" + serialG},
		Content: &disk.Content{Signed: disk.No, Busy: disk.No}}
	view.Disks = append(view.Disks, d)
	return d
}

// entries are those of a class directory.
func (w world) entries(class string, entries ...provisioner.Entry) {
	view := w.node().View.Value
	dir := view.Dirs[class]
	dir.Entries = entries
	view.Dirs[class] = dir
}

func (w world) linked() *snapshot.Volume { return &w.Volumes[1] }

// named gives the volume the name that the provisioner gives it.
func (w world) named() *snapshot.Volume {
	w.linked().Name = provisioner.PVName("vdf", "w-4", "block")
	return w.linked()
}

// bind gives a volume to a claim without a pod.
func (w world) bind(v *snapshot.Volume) {
	ref := snapshot.ClaimRef{Namespace: "default", Name: "data"}
	v.Phase, v.Claim = "Bound", &ref
	*w.Claims.Value = append(*w.Claims.Value, snapshot.Claim{ClaimRef: ref, Class: &v.Class, Mode: v.Mode, Volume: v.Name, Phase: "Bound"})
}

// twice makes the disk's first name in by-id one that Talos knows of two disks.
func (w world) twice(d *disk.Disk) {
	paths := []string{"/dev/disk/by-id/" + d.ByID[0]}
	*w.talos().Disks.Value = append(*w.talos().Disks.Value, snapshot.TalosDisk{Name: d.Name, Size: d.Size, Serial: d.Serial, Symlinks: paths},
		snapshot.TalosDisk{Name: "vdy", Size: d.Size, Symlinks: paths})
}

func (w world) lookless() {
	w.node().View = snapshot.Unread[snapshot.PodView](problem.FromText("exec is forbidden"))
}

func TestLinks(t *testing.T) { try(t, linkCases()) }

func linkCases() []nodeCase {
	link := func(target, device string) provisioner.Entry {
		return provisioner.Entry{Name: "vdf", Kind: provisioner.Link, Target: target, Device: device}
	}
	byID := "/dev/disk/by-id/virtio-" + serialF
	return []nodeCase{
		{"no device", "TD0501", func(w world) { w.entries("block", link(byID, "")) }, OutcomeFinding,
			[]string{`error[TD0501]: the link "/var/lib/disks/block/vdf" on w-4 leads nowhere`, byID + " does not exist there", "$ kubectl talosdisk disks --nodes w-4 -o wide", "$ kubectl talosdisk unlink vdf --nodes w-4"}},
		{"the disk has another name", "TD0501", func(w world) {
			w.vdf()
			id := w.vdg().Identity()
			w.named().Identity = &id
			w.entries("block", link("/dev/vdz", ""))
		}, OutcomeFinding, []string{`the disk that volume "local-pv-e7b5b552" was made for (serial talos-disk-g) is vdg now`, "$ kubectl talosdisk link vdg --nodes w-4 --class block --name vdf"}},
		{"the disk of a claim has another name", "TD0501", func(w world) {
			w.vdf()
			id := w.vdg().Identity()
			w.linked().Identity = &id
			w.bind(w.linked())
			w.entries("block", link("/dev/vdz", ""))
		}, OutcomeFinding, []string{"claim and volume stay", "$ kubectl -n local-storage exec prov-x -c provisioner -- ln -sfT /dev/disk/by-id/virtio-talos-disk-g /var/lib/disks/block/vdf"}},
		{"the disk by a name that Talos knows of two", "TD0501", func(w world) {
			w.vdf()
			d := w.vdg()
			w.twice(&d)
			w.linked().Identity = &disk.ID{ByID: d.ByID}
			w.entries("block", link("/dev/vdz", ""))
		}, OutcomeFinding, []string{"the disk is gone, or has another name now"}},
		{"bound", "TD0501", func(w world) { w.bind(w.linked()); w.entries("block", link(byID, "")) }, OutcomeFinding, []string{`while claim "default/data" has its volume`, "persistentVolumeReclaimPolicy"}},
		{"without a volume", "TD0501", func(w world) { w.Volumes = w.Volumes[:1]; w.entries("block", link(byID, "")) }, OutcomeFinding, []string{"warning[TD0501]"}},
		{"it leads to the disk", "TD0501", func(world) {}, OutcomeOK, nil},
		{"a link to a directory is another mistake", "TD0501", func(w world) { w.entries("hdd", link("/var/data", "")) }, OutcomeOK, nil},
		{"not checked", "TD0501", world.lookless, OutcomeUnknown, []string{"exec is forbidden"}},
		{"not checked", "TD0503", world.lookless, OutcomeUnknown, nil},
		{"not checked", "TD0504", world.lookless, OutcomeUnknown, nil},
		{"not checked", "TD0505", world.lookless, OutcomeUnknown, nil},
		{"not checked", "TD0506", world.lookless, OutcomeUnknown, nil},

		{"another serial", "TD0502", func(w world) {
			w.vdf()
			id := w.vdg().Identity()
			w.named().Identity = &id
		}, OutcomeFinding, []string{`error[TD0502]: the link "/var/lib/disks/block/vdf" on w-4 leads to another disk than volume "local-pv-e7b5b552" was made for`, "made for serial talos-disk-g", "is vdg now", "--name vdf"}},
		{"no identifier, another size", "TD0502", func(w world) { w.linked().Identity = &disk.ID{Size: 9 << 30} }, OutcomeFinding, []string{"bring the disk back"}},
		{"one WWID, and another serial", "TD0502", func(w world) {
			d := w.vdf()
			d.WWID, d.ByID = "naa.5000000000000001", []string{"ata-WDC_WD-BBBB", "wwn-0x5000000000000001"}
			d.Serial = "WD-BBBB"
			w.linked().Identity = &disk.ID{WWID: d.WWID, Serial: "WD-AAAA", ByID: []string{"ata-WDC_WD-AAAA", "wwn-0x5000000000000001"}, Size: d.Size}
		}, OutcomeFinding, []string{"error[TD0502]", "another disk than volume"}},
		{"one WWID, and another name", "TD0502", func(w world) {
			d := w.vdf()
			d.WWID, d.Serial, d.ByID = "naa.5000000000000001", "", []string{"ata-WDC_WD-BBBB", "wwn-0x5000000000000001"}
			w.linked().Identity = &disk.ID{WWID: d.WWID, ByID: []string{"ata-WDC_WD-AAAA", "wwn-0x5000000000000001"}, Size: d.Size}
		}, OutcomeFinding, []string{"error[TD0502]", "another disk than volume"}},
		{"zeros", "TD0502", func(w world) {
			w.vdf().WWID = "naa.0000000000000000"
			w.linked().Identity = &disk.ID{WWID: "naa.0000000000000000", Size: 5 << 30}
		}, OutcomeUnknown, []string{"had nothing of the kind"}},
		{"what another disk has too", "TD0502", func(w world) {
			id := w.vdf().Identity()
			w.linked().Identity = &disk.ID{Serial: id.Serial, Size: id.Size}
			w.vdg()
			other := &w.node().View.Value.Disks[1]
			other.Serial, other.Size = id.Serial, 9<<30
		}, OutcomeUnknown, []string{"and so has another disk"}},
		{"a name that Talos knows of two disks", "TD0502", func(w world) {
			w.twice(w.vdf())
			w.linked().Identity = &disk.ID{ByID: w.vdf().ByID, Size: 5 << 30}
		}, OutcomeUnknown, []string{"and so has another disk"}},
		{"the same serial, another size", "TD0502", func(w world) {
			id := w.vdf().Identity()
			id.Size = 9 << 30
			w.linked().Identity = &id
		}, OutcomeFinding, []string{"error[TD0502]", "a disk of another size than volume", "$ kubectl annotate pv local-pv-b --overwrite talosdisk.dev/size=5368709120"}},
		{"the same", "TD0502", func(w world) { id := w.vdf().Identity(); w.linked().Identity = &id }, OutcomeOK, nil},
		{"no identifier", "TD0502", func(w world) { w.linked().Identity = &disk.ID{Size: 5 << 30} }, OutcomeNone, []string{"it cannot be known whether they are the same"}},
		{"no identifier, and a slot", "TD0502", func(w world) { w.linked().Identity = &disk.ID{Size: 5 << 30, ByPath: []string{"pci-0"}} }, OutcomeNone, []string{"it cannot be known"}},
		{"no identifier then, and one now", "TD0502", func(w world) { w.vdf(); w.linked().Identity = &disk.ID{Size: 5 << 30} }, OutcomeUnknown, []string{"vdf has a serial talos-disk-f", "or this is another disk"}},
		{"an identifier of another sort", "TD0502", func(w world) { w.vdf(); w.linked().Identity = &disk.ID{Size: 5 << 30, WWID: "naa.5"} }, OutcomeUnknown, []string{"wwid naa.5, now serial"}},
		{"not recorded", "TD0502", func(world) {}, OutcomeNone, nil},

		{"in two classes", "TD0503", func(w world) {
			w.entries("hdd", provisioner.Entry{Name: "f", Kind: provisioner.Link, Target: "/dev/vdf", Device: "254:80"})
		}, OutcomeFinding, []string{"error[TD0503]: 2 links on w-4 lead to the one disk vdf", "/var/lib/disks/block/vdf (device 254:80): volume local-pv-b, Available", "/var/lib/disks/hdd/f", "$ kubectl -n local-storage exec prov-x -c provisioner -- rm /var/lib/disks/hdd/f"}},
		{"over two paths", "TD0503", func(w world) {
			w.vdg()
			disks := w.node().View.Value.Disks
			disks[0].WWID, disks[1].WWID = "naa.5", "naa.5"
			w.entries("block", link("/dev/vdf", "254:80"), provisioner.Entry{Name: "vdg", Kind: provisioner.Link, Target: "/dev/vdg", Device: "254:96"})
		}, OutcomeFinding, []string{"2 links on w-4 lead to one disk", "wwid naa.5"}},
		{"one is left out by namePattern", "TD0503", func(w world) {
			w.Install.Classes[1].NamePattern = "vd*"
			w.entries("hdd", provisioner.Entry{Name: "f", Kind: provisioner.Link, Target: "/dev/vdf", Device: "254:80"})
		}, OutcomeOK, nil},
		{"two disks", "TD0503", func(w world) {
			w.vdg()
			w.entries("block", link("/dev/vdf", "254:80"), provisioner.Entry{Name: "vdg", Kind: provisioner.Link, Target: "/dev/vdg", Device: "254:96"})
		}, OutcomeOK, nil},

		{"a kernel name", "TD0504", func(w world) { w.vdf(); w.named() }, OutcomeFinding, []string{`warning[TD0504]: the link "/var/lib/disks/block/vdf" on w-4 may lead to another disk after a reboot`, "it could be " + byID, "$ kubectl talosdisk unlink vdf --nodes w-4", "$ kubectl talosdisk link vdf --nodes w-4 --class block"}},
		{"a kernel name of a loop device", "TD0504", func(w world) { w.vdf().Kind = disk.KindLoop; w.named() }, OutcomeFinding, []string{"$ kubectl talosdisk unlink vdf --nodes w-4", "$ kubectl talosdisk link vdf --nodes w-4 --class block --accept loop=w-4/vdf"}},
		{"a kernel name of a disk that holds something", "TD0504", func(w world) { w.vdf().Content.Unsigned = disk.Yes; w.named() }, OutcomeFinding, []string{"$ kubectl talosdisk unlink vdf --nodes w-4", "link would be refused: vdf has data"}},
		{"a kernel name, bound", "TD0504", func(w world) { w.vdf(); w.bind(w.linked()) }, OutcomeFinding, []string{`once claim "default/data" is gone`}},
		{"no other name", "TD0504", func(world) {}, OutcomeFinding, []string{"the disk has no other", "serial="}},
		{"by-diskseq", "TD0504", func(w world) { w.vdf(); w.entries("block", link("/dev/disk/by-diskseq/7", "254:80")) }, OutcomeFinding, []string{"by-diskseq/7"}},
		{"by-id", "TD0504", func(w world) { w.entries("block", link(byID, "254:80")) }, OutcomeOK, nil},
		{"a name of zeros", "TD0504", func(w world) {
			d := w.vdf()
			d.ByID, d.ByPath = append(d.ByID, "wwn-0x0000000000000000"), []string{"pci-1"}
			w.entries("block", link("/dev/disk/by-id/wwn-0x0000000000000000", "254:80"))
		}, OutcomeFinding, []string{"that name may become another disk's", "it could be " + byID}},
		{"a name that two disks have", "TD0504", func(w world) {
			w.twice(w.vdf())
			w.entries("block", link(byID, "254:80"))
		}, OutcomeFinding, []string{"another device has virtio-talos-disk-f too"}},
		{"by-partlabel", "TD0504", func(w world) { w.entries("block", link("../../vdf1", "254:80")) }, OutcomeOK, nil},

		{"a directory in a Block class", "TD0505", func(w world) {
			w.Volumes = w.Volumes[:1]
			w.entries("block", provisioner.Entry{Name: "vdf", Kind: provisioner.Directory})
		}, OutcomeFinding, []string{`warning[TD0505]: "/var/lib/disks/block/vdf" on w-4 cannot become a volume of class "block"`, "$ kubectl -n local-storage exec prov-x -c provisioner -- ls -ld /var/lib/disks/block/vdf"}},
		{"a directory where a volume's link was", "TD0505", func(w world) { w.entries("block", provisioner.Entry{Name: "vdf", Kind: provisioner.Directory}) }, OutcomeFinding, []string{"error[TD0505]", `volume "local-pv-b" was made of something else`}},
		{"a file with a name for a shell", "TD0505", func(w world) { w.entries("hdd", provisioner.Entry{Name: "it's $(me)", Kind: provisioner.File}) }, OutcomeFinding, []string{`ls -ld '/var/lib/disks/hdd/it'"'"'s $(me)'`}},
		{"a link to a directory", "TD0505", func(w world) { w.entries("hdd", link("/var/data", "")) }, OutcomeFinding, []string{"a Filesystem class takes mount points"}},
		{"a directory in a Filesystem class", "TD0505", func(world) {}, OutcomeOK, nil},

		{"held", "TD0506", func(w world) { w.vdf().Holders = []string{"md0"} }, OutcomeFinding, []string{`error[TD0506]: vdf on w-4 is linked as "/var/lib/disks/block/vdf", and in use by something else`, "held by the RAID array md0"}},
		{"busy", "TD0506", func(w world) { w.vdf().Content.Busy = disk.Yes }, OutcomeFinding, []string{"an exclusive open was refused"}},
		{"busy by its own pod", "TD0506", func(w world) { w.vdf().Content.Busy = disk.Yes; w.bind(w.linked()) }, OutcomeOK, nil},
		{"mounted by Talos, and bound", "TD0506", func(w world) {
			w.vdf().Content.Busy = disk.Yes
			w.bind(w.linked())
			*w.talos().Disks.Value = append(*w.talos().Disks.Value, snapshot.TalosDisk{Name: "vdf", Size: 5 << 30, Serial: serialF})
			*w.talos().Mounts.Value = append(*w.talos().Mounts.Value, snapshot.TalosMount{Source: "/dev/vdf", Target: "/var/mnt/data"})
		}, OutcomeFinding, []string{"Talos tells of mount (vdf, /var/mnt/data)"}},
		{"nobody has it", "TD0506", func(w world) { w.vdf() }, OutcomeOK, nil},
		{"nobody has it, bound, and without Talos", "TD0506", func(w world) { w.vdf(); w.bind(w.linked()); w.noTalos("", "no talosconfig") }, OutcomeOK, nil},
		{"somebody has it, bound, and without Talos", "TD0506", func(w world) {
			w.vdf().Content.Busy = disk.Yes
			w.bind(w.linked())
			w.noTalos("", "no talosconfig")
		}, OutcomeUnknown, []string{"no talosconfig"}},
		{"bound, not looked at, and without Talos", "TD0506", func(w world) { w.bind(w.linked()); w.noTalos("", "no talosconfig") }, OutcomeUnknown, nil},
		{"its use was not looked at", "TD0506", func(world) {}, OutcomeUnknown, []string{"was not found out"}},

		{"no volume", "TD0507", func(w world) {
			w.Volumes = w.Volumes[:1]
			w.Provisioner.Value.Log = map[string][]string{"w-4": {`E1123 discovery.go:203] Failed to discover local volumes`, `E1123 Path "/var/lib/disks/block/vdf" block stats error: permission denied`}}
		}, OutcomeFinding, []string{`warning[TD0507]: "/var/lib/disks/block/vdf" on w-4 has no volume`, "block stats error", "$ kubectl -n local-storage logs prov-x -c provisioner --tail=200"}},
		{"a volume of its name is elsewhere", "TD0507", func(w world) {
			w.linked().Name, w.linked().Path = provisioner.PVName("vdf", "w-4", "block"), "/var/lib/old/vdf"
		}, OutcomeFinding, []string{"which would be its, exists for /var/lib/old/vdf on w-4"}},
		{"it has one", "TD0507", func(world) {}, OutcomeNone, nil},
		{"it leads nowhere", "TD0507", func(w world) { w.Volumes = w.Volumes[:1]; w.entries("block", link("/dev/vdf", "")) }, OutcomeOK, nil},
		{"volumes were not read", "TD0507", func(w world) {
			w.Volumes, w.Unread = nil, map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
		}, OutcomeUnknown, []string{"forbidden"}},

		{"no link, and the disk is there", "TD0508", func(w world) {
			id := w.vdf().Identity()
			w.named().Identity = &id
			w.vdf().Content.Signed, w.vdf().Content.Signature.Type = disk.Yes, "xfs"
			w.bind(w.linked())
			w.entries("block")
		}, OutcomeFinding, []string{`error[TD0508]: volume "local-pv-e7b5b552" has no link: "/var/lib/disks/block/vdf" is not on w-4`, "$ kubectl talosdisk link vdf --nodes w-4 --class block --accept signature=w-4/vdf"}},
		{"no link, and the disk by a name that Talos knows of two", "TD0508", func(w world) {
			w.twice(w.vdf())
			w.linked().Identity = &disk.ID{ByID: w.vdf().ByID}
			w.entries("block")
		}, OutcomeFinding, []string{"has no link"}},
		{"no link, and which disk is not recorded", "TD0508", func(w world) { w.bind(w.linked()); w.entries("block") }, OutcomeFinding, []string{"only if you are sure"}},
		{"no link, and no claim", "TD0508", func(w world) { w.entries("block") }, OutcomeFinding, []string{"warning[TD0508]", "$ kubectl delete pv local-pv-b"}},
		{"it has one", "TD0508", func(world) {}, OutcomeOK, nil},
		{"the pod lacks the directory", "TD0508", func(w world) { w.node().View.Value.Dirs["block"] = snapshot.Dir{Exists: true} }, OutcomeUnknown, nil},
		{"not checked", "TD0508", world.lookless, OutcomeUnknown, []string{"exec is forbidden"}},
	}
}
