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
	d := disk.Disk{
		Name:    "vdg",
		Number:  disk.Number{Major: 254, Minor: 96},
		Kind:    disk.KindDisk,
		Size:    5 << 30,
		Serial:  serialG,
		ByID:    []string{"virtio-" + serialG},
		Content: &disk.Content{Signed: disk.No, Busy: disk.No},
	}
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
		{name: "no device", code: "TD0501", change: func(w world) { w.entries("block", link(byID, "")) }, want: OutcomeFinding,
			has: []string{`error[TD0501]: the link "/var/lib/disks/block/vdf" on w-4 leads nowhere`, byID + " does not exist there",
				"$ kubectl talosdisk disks --nodes w-4 -o wide", "$ kubectl talosdisk unlink vdf --nodes w-4"}},
		{name: "the disk has another name", code: "TD0501", change: func(w world) {
			w.vdf()
			id := w.vdg().Identity()
			w.named().Identity = &id
			w.entries("block", link("/dev/vdz", ""))
		}, want: OutcomeFinding, has: []string{`the disk that volume "local-pv-e7b5b552" was made for (serial talos-disk-g) is vdg now`,
			"$ kubectl talosdisk link vdg --nodes w-4 --class block --name vdf"}},
		{name: "the disk of a claim has another name", code: "TD0501", change: func(w world) {
			w.vdf()
			id := w.vdg().Identity()
			w.linked().Identity = &id
			w.bind(w.linked())
			w.entries("block", link("/dev/vdz", ""))
		}, want: OutcomeFinding, has: []string{"claim and volume stay",
			"$ kubectl -n local-storage exec prov-x -c provisioner -- ln -sfT /dev/disk/by-id/virtio-talos-disk-g /var/lib/disks/block/vdf"}},
		{name: "the disk by a name that Talos knows of two", code: "TD0501", change: func(w world) {
			w.vdf()
			d := w.vdg()
			w.twice(&d)
			w.linked().Identity = &disk.ID{ByID: d.ByID}
			w.entries("block", link("/dev/vdz", ""))
		}, want: OutcomeFinding, has: []string{"the disk is gone, or has another name now"}},
		{
			name:   "bound",
			code:   "TD0501",
			change: func(w world) { w.bind(w.linked()); w.entries("block", link(byID, "")) },
			want:   OutcomeFinding,
			has:    []string{`while claim "default/data" has its volume`, "persistentVolumeReclaimPolicy"},
		},
		{
			name:   "without a volume",
			code:   "TD0501",
			change: func(w world) { w.Volumes = w.Volumes[:1]; w.entries("block", link(byID, "")) },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0501]"},
		},
		{name: "it leads to the disk", code: "TD0501", change: func(world) {}, want: OutcomeOK},
		{
			name:   "a link to a directory is another mistake",
			code:   "TD0501",
			change: func(w world) { w.entries("hdd", link("/var/data", "")) },
			want:   OutcomeOK,
		},
		{name: "not checked", code: "TD0501", change: world.lookless, want: OutcomeUnknown, has: []string{"exec is forbidden"}},
		{name: "not checked", code: "TD0503", change: world.lookless, want: OutcomeUnknown},
		{name: "not checked", code: "TD0504", change: world.lookless, want: OutcomeUnknown},
		{name: "not checked", code: "TD0505", change: world.lookless, want: OutcomeUnknown},
		{name: "not checked", code: "TD0506", change: world.lookless, want: OutcomeUnknown},

		{name: "another serial", code: "TD0502", change: func(w world) {
			w.vdf()
			id := w.vdg().Identity()
			w.named().Identity = &id
		}, want: OutcomeFinding,
			has: []string{`error[TD0502]: the link "/var/lib/disks/block/vdf" on w-4 leads to another disk than volume "local-pv-e7b5b552" was made for`,
				"made for serial talos-disk-g", "is vdg now", "--name vdf"}},
		{
			name:   "no identifier, another size",
			code:   "TD0502",
			change: func(w world) { w.linked().Identity = &disk.ID{Size: 9 << 30} },
			want:   OutcomeFinding,
			has:    []string{"bring the disk back"},
		},
		{name: "one WWID, and another serial", code: "TD0502", change: func(w world) {
			d := w.vdf()
			d.WWID, d.ByID = "naa.5000000000000001", []string{"ata-WDC_WD-BBBB", "wwn-0x5000000000000001"}
			d.Serial = "WD-BBBB"
			w.linked().Identity = &disk.ID{
				WWID:   d.WWID,
				Serial: "WD-AAAA",
				ByID:   []string{"ata-WDC_WD-AAAA", "wwn-0x5000000000000001"},
				Size:   d.Size,
			}
		}, want: OutcomeFinding, has: []string{"error[TD0502]", "another disk than volume"}},
		{name: "one WWID, and another name", code: "TD0502", change: func(w world) {
			d := w.vdf()
			d.WWID, d.Serial, d.ByID = "naa.5000000000000001", "", []string{"ata-WDC_WD-BBBB", "wwn-0x5000000000000001"}
			w.linked().Identity = &disk.ID{WWID: d.WWID, ByID: []string{"ata-WDC_WD-AAAA", "wwn-0x5000000000000001"}, Size: d.Size}
		}, want: OutcomeFinding, has: []string{"error[TD0502]", "another disk than volume"}},
		{name: "zeros", code: "TD0502", change: func(w world) {
			w.vdf().WWID = "naa.0000000000000000"
			w.linked().Identity = &disk.ID{WWID: "naa.0000000000000000", Size: 5 << 30}
		}, want: OutcomeUnknown, has: []string{"had nothing of the kind"}},
		{name: "what another disk has too", code: "TD0502", change: func(w world) {
			id := w.vdf().Identity()
			w.linked().Identity = &disk.ID{Serial: id.Serial, Size: id.Size}
			w.vdg()
			other := &w.node().View.Value.Disks[1]
			other.Serial, other.Size = id.Serial, 9<<30
		}, want: OutcomeUnknown, has: []string{"and so has another disk"}},
		{name: "a name that Talos knows of two disks", code: "TD0502", change: func(w world) {
			w.twice(w.vdf())
			w.linked().Identity = &disk.ID{ByID: w.vdf().ByID, Size: 5 << 30}
		}, want: OutcomeUnknown, has: []string{"and so has another disk"}},
		{name: "the same serial, another size", code: "TD0502", change: func(w world) {
			id := w.vdf().Identity()
			id.Size = 9 << 30
			w.linked().Identity = &id
		}, want: OutcomeFinding, has: []string{"error[TD0502]", "a disk of another size than volume",
			"$ kubectl annotate pv local-pv-b --overwrite talosdisk.dev/size=5368709120"}},
		{name: "the same", code: "TD0502", change: func(w world) { id := w.vdf().Identity(); w.linked().Identity = &id }, want: OutcomeOK},
		{
			name:   "no identifier",
			code:   "TD0502",
			change: func(w world) { w.linked().Identity = &disk.ID{Size: 5 << 30} },
			want:   OutcomeNone,
			has:    []string{"it cannot be known whether they are the same"},
		},
		{
			name:   "no identifier, and a slot",
			code:   "TD0502",
			change: func(w world) { w.linked().Identity = &disk.ID{Size: 5 << 30, ByPath: []string{"pci-0"}} },
			want:   OutcomeNone,
			has:    []string{"it cannot be known"},
		},
		{
			name:   "no identifier then, and one now",
			code:   "TD0502",
			change: func(w world) { w.vdf(); w.linked().Identity = &disk.ID{Size: 5 << 30} },
			want:   OutcomeUnknown,
			has:    []string{"vdf has a serial talos-disk-f", "or this is another disk"},
		},
		{
			name:   "an identifier of another sort",
			code:   "TD0502",
			change: func(w world) { w.vdf(); w.linked().Identity = &disk.ID{Size: 5 << 30, WWID: "naa.5"} },
			want:   OutcomeUnknown,
			has:    []string{"wwid naa.5, now serial"},
		},
		{name: "not recorded", code: "TD0502", change: func(world) {}, want: OutcomeNone},

		{name: "in two classes", code: "TD0503", change: func(w world) {
			w.entries("hdd", provisioner.Entry{Name: "f", Kind: provisioner.Link, Target: "/dev/vdf", Device: "254:80"})
		}, want: OutcomeFinding, has: []string{"error[TD0503]: 2 links on w-4 lead to the one disk vdf",
			"/var/lib/disks/block/vdf (device 254:80): volume local-pv-b, Available", "/var/lib/disks/hdd/f",
			"$ kubectl -n local-storage exec prov-x -c provisioner -- rm /var/lib/disks/hdd/f"}},
		{name: "over two paths", code: "TD0503", change: func(w world) {
			w.vdg()
			disks := w.node().View.Value.Disks
			disks[0].WWID, disks[1].WWID = "naa.5", "naa.5"
			w.entries("block", link("/dev/vdf", "254:80"),
				provisioner.Entry{Name: "vdg", Kind: provisioner.Link, Target: "/dev/vdg", Device: "254:96"})
		}, want: OutcomeFinding, has: []string{"2 links on w-4 lead to one disk", "wwid naa.5"}},
		{name: "one is left out by namePattern", code: "TD0503", change: func(w world) {
			w.Install.Classes[1].NamePattern = "vd*"
			w.entries("hdd", provisioner.Entry{Name: "f", Kind: provisioner.Link, Target: "/dev/vdf", Device: "254:80"})
		}, want: OutcomeOK},
		{name: "two disks", code: "TD0503", change: func(w world) {
			w.vdg()
			w.entries("block", link("/dev/vdf", "254:80"),
				provisioner.Entry{Name: "vdg", Kind: provisioner.Link, Target: "/dev/vdg", Device: "254:96"})
		}, want: OutcomeOK},

		{
			name:   "a kernel name",
			code:   "TD0504",
			change: func(w world) { w.vdf(); w.named() },
			want:   OutcomeFinding,
			has: []string{`warning[TD0504]: the link "/var/lib/disks/block/vdf" on w-4 may lead to another disk after a reboot`,
				"it could be " + byID, "$ kubectl talosdisk unlink vdf --nodes w-4", "$ kubectl talosdisk link vdf --nodes w-4 --class block"},
		},
		{
			name:   "a kernel name of a loop device",
			code:   "TD0504",
			change: func(w world) { w.vdf().Kind = disk.KindLoop; w.named() },
			want:   OutcomeFinding,
			has: []string{"$ kubectl talosdisk unlink vdf --nodes w-4",
				"$ kubectl talosdisk link vdf --nodes w-4 --class block --accept loop=w-4/vdf"},
		},
		{
			name:   "a kernel name of a disk that holds something",
			code:   "TD0504",
			change: func(w world) { w.vdf().Content.Unsigned = disk.Yes; w.named() },
			want:   OutcomeFinding,
			has:    []string{"$ kubectl talosdisk unlink vdf --nodes w-4", "link would be refused: vdf has data"},
		},
		{
			name:   "a kernel name, bound",
			code:   "TD0504",
			change: func(w world) { w.vdf(); w.bind(w.linked()) },
			want:   OutcomeFinding,
			has:    []string{`once claim "default/data" is gone`},
		},
		{name: "no other name", code: "TD0504", change: func(world) {}, want: OutcomeFinding, has: []string{"the disk has no other", "serial="}},
		{
			name:   "by-diskseq",
			code:   "TD0504",
			change: func(w world) { w.vdf(); w.entries("block", link("/dev/disk/by-diskseq/7", "254:80")) },
			want:   OutcomeFinding,
			has:    []string{"by-diskseq/7"},
		},
		{name: "by-id", code: "TD0504", change: func(w world) { w.entries("block", link(byID, "254:80")) }, want: OutcomeOK},
		{name: "a name of zeros", code: "TD0504", change: func(w world) {
			d := w.vdf()
			d.ByID, d.ByPath = append(d.ByID, "wwn-0x0000000000000000"), []string{"pci-1"}
			w.entries("block", link("/dev/disk/by-id/wwn-0x0000000000000000", "254:80"))
		}, want: OutcomeFinding, has: []string{"that name may become another disk's", "it could be " + byID}},
		{name: "a name that two disks have", code: "TD0504", change: func(w world) {
			w.twice(w.vdf())
			w.entries("block", link(byID, "254:80"))
		}, want: OutcomeFinding, has: []string{"another device has virtio-talos-disk-f too"}},
		{name: "by-partlabel", code: "TD0504", change: func(w world) { w.entries("block", link("../../vdf1", "254:80")) }, want: OutcomeOK},

		{name: "a directory in a Block class", code: "TD0505", change: func(w world) {
			w.Volumes = w.Volumes[:1]
			w.entries("block", provisioner.Entry{Name: "vdf", Kind: provisioner.Directory})
		}, want: OutcomeFinding, has: []string{`warning[TD0505]: "/var/lib/disks/block/vdf" on w-4 cannot become a volume of class "block"`,
			"$ kubectl -n local-storage exec prov-x -c provisioner -- ls -ld /var/lib/disks/block/vdf"}},
		{
			name:   "a directory where a volume's link was",
			code:   "TD0505",
			change: func(w world) { w.entries("block", provisioner.Entry{Name: "vdf", Kind: provisioner.Directory}) },
			want:   OutcomeFinding,
			has:    []string{"error[TD0505]", `volume "local-pv-b" was made of something else`},
		},
		{
			name:   "a file with a name for a shell",
			code:   "TD0505",
			change: func(w world) { w.entries("hdd", provisioner.Entry{Name: "it's $(me)", Kind: provisioner.File}) },
			want:   OutcomeFinding,
			has:    []string{`ls -ld '/var/lib/disks/hdd/it'"'"'s $(me)'`},
		},
		{
			name:   "a link to a directory",
			code:   "TD0505",
			change: func(w world) { w.entries("hdd", link("/var/data", "")) },
			want:   OutcomeFinding,
			has:    []string{"a Filesystem class takes mount points"},
		},
		{name: "a directory in a Filesystem class", code: "TD0505", change: func(world) {}, want: OutcomeOK},

		{
			name:   "held",
			code:   "TD0506",
			change: func(w world) { w.vdf().Holders = []string{"md0"} },
			want:   OutcomeFinding,
			has: []string{`error[TD0506]: vdf on w-4 is linked as "/var/lib/disks/block/vdf", and in use by something else`,
				"held by the RAID array md0"},
		},
		{
			name:   "busy",
			code:   "TD0506",
			change: func(w world) { w.vdf().Content.Busy = disk.Yes },
			want:   OutcomeFinding,
			has:    []string{"an exclusive open was refused"},
		},
		{
			name:   "busy by its own pod",
			code:   "TD0506",
			change: func(w world) { w.vdf().Content.Busy = disk.Yes; w.bind(w.linked()) },
			want:   OutcomeOK,
		},
		{name: "mounted by Talos, and bound", code: "TD0506", change: func(w world) {
			w.vdf().Content.Busy = disk.Yes
			w.bind(w.linked())
			*w.talos().Disks.Value = append(*w.talos().Disks.Value, snapshot.TalosDisk{Name: "vdf", Size: 5 << 30, Serial: serialF})
			*w.talos().Mounts.Value = append(*w.talos().Mounts.Value, snapshot.TalosMount{Source: "/dev/vdf", Target: "/var/mnt/data"})
		}, want: OutcomeFinding, has: []string{"Talos tells of mount (vdf, /var/mnt/data)"}},
		{name: "nobody has it", code: "TD0506", change: func(w world) { w.vdf() }, want: OutcomeOK},
		{
			name:   "nobody has it, bound, and without Talos",
			code:   "TD0506",
			change: func(w world) { w.vdf(); w.bind(w.linked()); w.noTalos("", "no talosconfig") },
			want:   OutcomeOK,
		},
		{name: "somebody has it, bound, and without Talos", code: "TD0506", change: func(w world) {
			w.vdf().Content.Busy = disk.Yes
			w.bind(w.linked())
			w.noTalos("", "no talosconfig")
		}, want: OutcomeUnknown, has: []string{"no talosconfig"}},
		{
			name:   "bound, not looked at, and without Talos",
			code:   "TD0506",
			change: func(w world) { w.bind(w.linked()); w.noTalos("", "no talosconfig") },
			want:   OutcomeUnknown,
		},
		{name: "its use was not looked at", code: "TD0506", change: func(world) {}, want: OutcomeUnknown, has: []string{"was not found out"}},

		{name: "no volume", code: "TD0507", change: func(w world) {
			w.Volumes = w.Volumes[:1]
			w.Provisioner.Value.Log = map[string][]string{
				"w-4": {`E1123 discovery.go:203] Failed to discover local volumes`,
					`E1123 Path "/var/lib/disks/block/vdf" block stats error: permission denied`},
			}
		}, want: OutcomeFinding, has: []string{`warning[TD0507]: "/var/lib/disks/block/vdf" on w-4 has no volume`, "block stats error",
			"$ kubectl -n local-storage logs prov-x -c provisioner --tail=200"}},
		{name: "a volume of its name is elsewhere", code: "TD0507", change: func(w world) {
			w.linked().Name, w.linked().Path = provisioner.PVName("vdf", "w-4", "block"), "/var/lib/old/vdf"
		}, want: OutcomeFinding, has: []string{"which would be its, exists for /var/lib/old/vdf on w-4"}},
		{name: "it has one", code: "TD0507", change: func(world) {}, want: OutcomeNone},
		{
			name:   "it leads nowhere",
			code:   "TD0507",
			change: func(w world) { w.Volumes = w.Volumes[:1]; w.entries("block", link("/dev/vdf", "")) },
			want:   OutcomeOK,
		},
		{name: "volumes were not read", code: "TD0507", change: func(w world) {
			w.Volumes, w.Unread = nil, map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
		}, want: OutcomeUnknown, has: []string{"forbidden"}},

		{name: "no link, and the disk is there", code: "TD0508", change: func(w world) {
			id := w.vdf().Identity()
			w.named().Identity = &id
			w.vdf().Content.Signed, w.vdf().Content.Signature.Type = disk.Yes, "xfs"
			w.bind(w.linked())
			w.entries("block")
		}, want: OutcomeFinding, has: []string{`error[TD0508]: volume "local-pv-e7b5b552" has no link: "/var/lib/disks/block/vdf" is not on w-4`,
			"$ kubectl talosdisk link vdf --nodes w-4 --class block --accept signature=w-4/vdf"}},
		{name: "no link, and the disk by a name that Talos knows of two", code: "TD0508", change: func(w world) {
			w.twice(w.vdf())
			w.linked().Identity = &disk.ID{ByID: w.vdf().ByID}
			w.entries("block")
		}, want: OutcomeFinding, has: []string{"has no link"}},
		{
			name:   "no link, and which disk is not recorded",
			code:   "TD0508",
			change: func(w world) { w.bind(w.linked()); w.entries("block") },
			want:   OutcomeFinding,
			has:    []string{"only if you are sure"},
		},
		{
			name:   "no link, and no claim",
			code:   "TD0508",
			change: func(w world) { w.entries("block") },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0508]", "$ kubectl delete pv local-pv-b"},
		},
		{name: "it has one", code: "TD0508", change: func(world) {}, want: OutcomeOK},
		{
			name:   "the pod lacks the directory",
			code:   "TD0508",
			change: func(w world) { w.node().View.Value.Dirs["block"] = snapshot.Dir{Exists: true} },
			want:   OutcomeUnknown,
		},
		{name: "not checked", code: "TD0508", change: world.lookless, want: OutcomeUnknown, has: []string{"exec is forbidden"}},
	}
}
