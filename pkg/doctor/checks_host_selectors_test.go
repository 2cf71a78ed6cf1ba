// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// selects has the node's configuration choose disks.
func (w world) selects(volumeType, name, match string, disks ...string) *snapshot.Selection {
	return w.chooses(snapshot.Selection{
		VolumeSelector: machineconfig.VolumeSelector{Kind: "UserVolumeConfig", Name: name, Type: volumeType, Match: match}, Disks: disks,
		NamesSystemDisk: strings.Contains(match, "system_disk"),
	})
}

// swap has it choose disks for swap.
func (w world) swap(name, match string, disks ...string) *snapshot.Selection {
	return w.chooses(snapshot.Selection{
		VolumeSelector: machineconfig.VolumeSelector{Kind: "SwapVolumeConfig", Name: name, Type: "partition", Match: match}, Disks: disks,
		NamesSystemDisk: strings.Contains(match, "system_disk"),
	})
}

// existing has it choose a volume that is there.
func (w world) existing(name, match string, volumes ...string) *snapshot.Selection {
	return w.chooses(snapshot.Selection{
		VolumeSelector: machineconfig.VolumeSelector{Kind: "ExistingVolumeConfig", Name: name, Type: "partition", Match: match},
		Volumes:        volumes,
	})
}

func (w world) chooses(selection snapshot.Selection) *snapshot.Selection {
	all := append(*w.node().Selections.Value, selection)
	w.node().Selections = snapshot.Read(all)
	return &all[len(all)-1]
}

// partitions are on a disk each, all with one label.
func (w world) partitions(label string, names ...string) {
	var devices []snapshot.TalosDevice
	for _, name := range names {
		devices = append(devices, snapshot.TalosDevice{
			Name:           name,
			Parent:         strings.TrimRight(name, "0123456789"),
			Content:        "xfs",
			PartitionLabel: label,
		})
	}
	w.talos().Devices = snapshot.Read(devices)
}

// remainder makes a volume in the space that another partition of its disk leaves.
func (w world) remainder(old, volume uint64) {
	w.talosVolume(snapshot.TalosVolume{
		ID: "u-data", Type: "partition", Phase: "ready", Location: "/dev/vdf2", ParentLocation: "/dev/vdf", Size: volume,
	})
	devices := []snapshot.TalosDevice{
		{Name: "vdf", Content: "gpt", Size: old + volume},
		{Name: "vdf2", Parent: "vdf", PartitionLabel: "u-data", Content: "xfs", Size: volume},
	}
	if old > 0 {
		devices = append(devices, snapshot.TalosDevice{Name: "vdf1", Parent: "vdf", Content: "ntfs", Size: old})
	}
	w.talos().Devices = snapshot.Read(devices)
}

func selectorCases() []nodeCase {
	const all = `disk.transport == "virtio" && !system_disk`
	raw := func(w world) {
		w.Install.Classes = append(slices.Clone(w.Install.Classes),
			provisioner.Class{Name: "raw", HostDir: partlabels, MountDir: partlabels, Mode: provisioner.Block, NamePattern: "r-*,data"})
	}
	return []nodeCase{
		{name: "a whole disk that is not the system's", code: "TD0308", change: func(w world) {
			w.selects("disk", "data", `disk.serial == "A" && !system_disk`).Problem = "it fails on vdf: no such attribute(s): system_disk"
		}, want: OutcomeFinding, has: []string{`error[TD0308]: the selector of Talos volume "u-data" on w-4 uses system_disk`,
			"fails on the very disk", "it fails on vdf", "path: /var/mnt/data", "$ talosctl -n 10.0.0.14 edit machineconfig --mode no-reboot"}},
		{
			name:   "one that no disk here would match",
			code:   "TD0308",
			change: func(w world) { w.selects("disk", "data", all) },
			want:   OutcomeFinding,
			has:    []string{"uses system_disk"},
		},
		{
			name:   "whose volume a claim has",
			code:   "TD0308",
			change: func(w world) { w.selects("disk", "data", all); w.at("/var/mnt/data") },
			want:   OutcomeFinding,
			has:    []string{"pod/nginx-pod"},
		},
		{name: "a partition", code: "TD0308", change: func(w world) { w.selects("partition", "data", all, "vdf") }, want: OutcomeOK},
		{
			name:   "a whole disk by its serial",
			code:   "TD0308",
			change: func(w world) { w.selects("disk", "data", `disk.serial == "A"`, "vdf") },
			want:   OutcomeOK,
		},
		{name: "an expression of a later Talos", code: "TD0308", change: func(w world) {
			w.selects("disk", "data", `disk.smart == "fine"`).Problem = "undefined field 'smart'"
		}, want: OutcomeUnknown, has: []string{`the selector of Talos volume "u-data": undefined field 'smart'`}},
		{name: "os:reader", code: "TD0308", change: world.reader, want: OutcomeUnknown, has: []string{"os:admin"}},
		{
			name:   "no Talos",
			code:   "TD0308",
			change: func(w world) { w.noTalos("", "no answer") },
			want:   OutcomeUnknown,
			has:    []string{"no answer"},
		},

		{name: "swap, which is a partition", code: "TD0308", change: func(w world) { w.swap("one", all, "vdf") }, want: OutcomeOK},
		{name: "an existing volume, which knows no system_disk", code: "TD0308", change: func(w world) {
			w.existing("data", "!system_disk").Problem = "undeclared reference to 'system_disk'"
		}, want: OutcomeOK},

		{name: "a user volume's", code: "TD0309", change: func(w world) {
			w.partitions("u-data", "vde1", "vdf1")
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Type: "partition", Phase: "ready", Location: "/dev/vde1"})
		}, want: OutcomeFinding, has: []string{`error[TD0309]: the partition label "u-data" is on more than one disk of w-4`,
			"vde1 of disk vde has it, with xfs", "vdf1 of disk vdf has it", "the volume is /dev/vde1 now", "path: /var/mnt/data",
			"$ kubectl talosdisk disks --nodes w-4 -o wide"}},
		{name: "a user volume's that a claim has", code: "TD0309", change: func(w world) {
			w.partitions("u-data", "vde1", "vdf1")
			w.at("/var/mnt/data")
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Type: "partition", Phase: "ready", Location: "/dev/vde1"})
		}, want: OutcomeFinding, has: []string{"pod/nginx-pod"}},
		{
			name:   "a volume's that is not in the configuration",
			code:   "TD0309",
			change: func(w world) { w.partitions("r-old", "vde1", "vdf1") },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0309]"},
		},
		{
			name:   "a raw volume's that a class publishes",
			code:   "TD0309",
			change: func(w world) { raw(w); w.partitions("r-block", "vde1", "vdf1") },
			want:   OutcomeFinding,
			has:    []string{"error[TD0309]", `class "raw" publishes it`},
		},
		{
			name:   "another label that a class publishes",
			code:   "TD0309",
			change: func(w world) { raw(w); w.partitions("data", "vde1", "vdf1") },
			want:   OutcomeFinding,
			has:    []string{"error[TD0309]"},
		},
		{
			name:   "the disk of another Talos",
			code:   "TD0309",
			change: func(w world) { w.partitions("EPHEMERAL", "vda6", "vdf6") },
			want:   OutcomeFinding,
			has:    []string{"error[TD0309]", "the volume is /dev/vda6 now"},
		},
		{name: "swap's", code: "TD0309", change: func(w world) {
			w.partitions("s-one", "vde1", "vdf1")
			w.talosVolume(snapshot.TalosVolume{ID: "s-one", Type: "partition", Phase: "ready", Location: "/dev/vde1"})
		}, want: OutcomeFinding, has: []string{`error[TD0309]: the partition label "s-one" is on more than one disk of w-4`}},
		{name: "a label that an existing volume is found by, which TD0310 has", code: "TD0309", change: func(w world) {
			w.partitions("DATA", "vde1", "vdf1")
			w.existing("data", `volume.partition_label == "DATA"`, "vde1", "vdf1")
		}, want: OutcomeOK},
		{name: "a label that says nothing", code: "TD0309", change: func(w world) { w.partitions("primary", "vde1", "vdf1") }, want: OutcomeOK},
		{name: "two partitions of one disk", code: "TD0309", change: func(w world) { w.partitions("u-data", "vde1", "vde2") }, want: OutcomeOK},
		{name: "members of one array", code: "TD0309", change: func(w world) {
			w.partitions("u-data", "vde1", "vdf1")
			*w.talos().Disks.Value = append(*w.talos().Disks.Value, snapshot.TalosDisk{Name: "md127", Secondaries: []string{"vde", "vdf"}})
		}, want: OutcomeOK},
		{name: "two paths to one LUN", code: "TD0309", change: func(w world) {
			w.partitions("u-data", "vde1", "vdf1")
			disks := *w.talos().Disks.Value
			for i := range disks[1:] {
				disks[i+1].WWID = "naa.6005076801810523100000000000a000"
			}
		}, want: OutcomeOK},
		{name: "disks were not read", code: "TD0309", change: func(w world) {
			w.partitions("u-data", "vde1", "vdf1")
			w.talos().Disks = snapshot.Unread[[]snapshot.TalosDisk](problem.FromText("no answer"))
		}, want: OutcomeUnknown, has: []string{"no answer"}},
		{
			name:   "os:reader sees it",
			code:   "TD0309",
			change: func(w world) { w.reader(); w.partitions("u-data", "vde1", "vdf1") },
			want:   OutcomeFinding,
		},
		{name: "partitions were not read", code: "TD0309", change: func(w world) {
			w.talos().Devices = snapshot.Unread[[]snapshot.TalosDevice](problem.FromText("no answer"))
		}, want: OutcomeUnknown, has: []string{"no answer"}},

		{
			name:   "a whole disk",
			code:   "TD0310",
			change: func(w world) { w.selects("disk", "data", `disk.rotational`, "vde", "vdf") },
			want:   OutcomeFinding,
			has: []string{`error[TD0310]: the selector of Talos volume "u-data" on w-4 matches 2 disks`, "at each boot", "matches vde, vdf",
				"path: /var/mnt/data"},
		},
		{name: "a whole disk, whatever Talos tells of volumes", code: "TD0310", change: func(w world) {
			w.selects("disk", "data", `disk.rotational`, "vde", "vdf")
			w.talos().Volumes = snapshot.Unread[[]snapshot.TalosVolume](problem.FromText("no answer"))
		}, want: OutcomeFinding},
		{name: "a volume that is not made yet", code: "TD0310", change: func(w world) {
			w.selects("partition", "data", all, "vde", "vdf")
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Type: "partition", Phase: "waiting"})
		}, want: OutcomeFinding, has: []string{"warning[TD0310]", "which disk the volume gets is chance"}},
		{
			name:   "a volume of which Talos tells nothing",
			code:   "TD0310",
			change: func(w world) { w.selects("partition", "data", all, "vde", "vdf") },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0310]"},
		},
		{name: "a volume that has its disk", code: "TD0310", change: func(w world) {
			w.selects("partition", "data", all, "vde", "vdf")
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Type: "partition", Phase: "ready", Location: "/dev/vde1"})
		}, want: OutcomeFinding, has: []string{"info[TD0310]", "keeps the disk that it has", "it is /dev/vde1 now"}},
		{
			name:   "whose volume a claim has",
			code:   "TD0310",
			change: func(w world) { w.selects("partition", "data", all, "vde", "vdf"); w.at("/var/mnt/data") },
			want:   OutcomeFinding,
			has:    []string{"pod/nginx-pod"},
		},
		{name: "one disk", code: "TD0310", change: func(w world) { w.selects("partition", "data", all, "vdf") }, want: OutcomeOK},
		{
			name:   "no disk, which Talos says itself",
			code:   "TD0310",
			change: func(w world) { w.selects("partition", "data", all) },
			want:   OutcomeOK,
		},
		{name: "a whole disk by system_disk, which is another mistake", code: "TD0310", change: func(w world) {
			w.selects("disk", "data", all).Problem = "no such attribute(s): system_disk"
		}, want: OutcomeOK},
		{
			name:   "what is not understood",
			code:   "TD0310",
			change: func(w world) { w.selects("partition", "data", "x").Problem = "undeclared reference to 'x'" },
			want:   OutcomeUnknown,
			has:    []string{"undeclared reference"},
		},
		{name: "volumes were not read", code: "TD0310", change: func(w world) {
			w.selects("partition", "data", all, "vde", "vdf")
			w.talos().Volumes = snapshot.Unread[[]snapshot.TalosVolume](problem.FromText("no answer"))
		}, want: OutcomeUnknown, has: []string{"no answer"}},
		{name: "os:reader", code: "TD0310", change: world.reader, want: OutcomeUnknown, has: []string{"os:admin"}},

		{
			name:   "swap that is not made yet",
			code:   "TD0310",
			change: func(w world) { w.swap("one", all, "vde", "vdf") },
			want:   OutcomeFinding,
			has: []string{`warning[TD0310]: the selector of Talos volume "s-one" on w-4 matches 2 disks`,
				"SwapVolumeConfig one matches vde, vdf"},
		},
		{name: "swap that has its disk", code: "TD0310", change: func(w world) {
			w.swap("one", all, "vde", "vdf")
			w.talosVolume(snapshot.TalosVolume{ID: "s-one", Type: "partition", Phase: "ready", Location: "/dev/vde1"})
		}, want: OutcomeFinding, has: []string{"info[TD0310]", "it is /dev/vde1 now"}},
		{name: "swap on one disk", code: "TD0310", change: func(w world) { w.swap("one", all, "vdf") }, want: OutcomeOK},

		{name: "an existing volume", code: "TD0310", change: func(w world) {
			w.existing("data", `volume.partition_label == "DATA"`, "vde1", "vdf1")
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "ready", Location: "/dev/vde1"})
		}, want: OutcomeFinding, has: []string{
			`warning[TD0310]: the selector of Talos volume "e-data" on w-4 matches 2 volumes`, "may be another one after a reboot",
			"ExistingVolumeConfig data matches vde1, vdf1", "it is /dev/vde1 now", "path: /var/mnt/data",
			"$ talosctl -n 10.0.0.14 get discoveredvolumes -o yaml", "$ talosctl -n 10.0.0.14 edit machineconfig --mode no-reboot",
		}},
		{name: "an existing volume, of a disk and of what is on it", code: "TD0310", change: func(w world) {
			w.existing("data", `disk.serial == "A"`, "vde", "vde1")
			w.talosVolume(snapshot.TalosVolume{
				ID:       "e-data",
				Type:     "partition",
				Phase:    "failed",
				Location: "/dev/vde",
				Problem:  "unsupported filesystem: gpt",
			})
		}, want: OutcomeFinding, has: []string{"error[TD0310]", "matches vde, vde1", "it is /dev/vde now unsupported filesystem: gpt"}},
		{
			name:   "an existing volume that a claim has",
			code:   "TD0310",
			change: func(w world) { w.existing("data", "true", "vde1", "vdf1"); w.at("/var/mnt/data") },
			want:   OutcomeFinding,
			has:    []string{"pod/nginx-pod"},
		},
		{name: "an existing volume, whatever Talos tells of volumes", code: "TD0310", change: func(w world) {
			w.existing("data", "true", "vde1", "vdf1")
			w.talos().Volumes = snapshot.Unread[[]snapshot.TalosVolume](problem.FromText("no answer"))
		}, want: OutcomeFinding, has: []string{"warning[TD0310]"}},
		{name: "an existing volume by two paths", code: "TD0310", change: func(w world) {
			w.partitions("DATA", "vde1", "vdf1")
			disks := *w.talos().Disks.Value
			for i := range disks[1:] {
				disks[i+1].WWID = "naa.6005076801810523100000000000a000"
			}
			w.existing("data", `volume.partition_label == "DATA"`, "vde1", "vdf1")
		}, want: OutcomeOK},
		{name: "two partitions of one LUN", code: "TD0310", change: func(w world) {
			w.partitions("DATA", "vde1", "vde2")
			(*w.talos().Disks.Value)[1].WWID = "naa.6005076801810523100000000000a000"
			w.existing("data", `volume.partition_label == "DATA"`, "vde1", "vde2")
		}, want: OutcomeFinding, has: []string{"matches 2 volumes"}},
		{name: "an existing volume on an array, which its members look like", code: "TD0310", change: func(w world) {
			*w.talos().Disks.Value = append(*w.talos().Disks.Value, snapshot.TalosDisk{Name: "md127", Secondaries: []string{"vde", "vdf"}})
			w.existing("data", `volume.label == "data"`, "md127", "vde", "vdf")
		}, want: OutcomeOK},
		{name: "two existing volumes, and disks that were not read", code: "TD0310", change: func(w world) {
			w.existing("data", "true", "vde1", "vdf1")
			w.talos().Disks = snapshot.Unread[[]snapshot.TalosDisk](problem.FromText("no answer"))
		}, want: OutcomeUnknown, has: []string{"are on disks of their own: no answer"}},
		{name: "one existing volume", code: "TD0310", change: func(w world) { w.existing("data", "true", "vde1") }, want: OutcomeOK},
		{name: "no volume, of which TD0303 tells", code: "TD0310", change: func(w world) { w.existing("data", "false") }, want: OutcomeOK},
		{
			name:   "an existing volume that is not understood",
			code:   "TD0310",
			change: func(w world) { w.existing("data", "x").Problem = "undeclared reference to 'x'" },
			want:   OutcomeUnknown,
			has:    []string{`the selector of Talos volume "e-data": undeclared reference`},
		},
		{name: "what an old partition left", code: "TD0311", change: func(w world) {
			w.remainder(800<<30, 187<<30)
			w.at("/var/mnt/data")
		}, want: OutcomeFinding, has: []string{`warning[TD0311]: Talos volume "u-data" on w-4 has only 187Gi`,
			"vdf1 of disk vdf has 800Gi, with ntfs",
			"path: /var/mnt/data", "pod/nginx-pod", "$ kubectl talosdisk disks --nodes w-4 -o wide"}},
		{name: "most of the disk", code: "TD0311", change: func(w world) { w.remainder(1<<30, 187<<30) }, want: OutcomeOK},
		{name: "the whole disk", code: "TD0311", change: func(w world) { w.remainder(0, 187<<30) }, want: OutcomeOK},
		{name: "beside other volumes", code: "TD0311", change: func(w world) {
			w.remainder(800<<30, 187<<30)
			volumes := *w.talos().Volumes.Value
			w.talos().Volumes = snapshot.Read(append(slices.Clone(volumes),
				snapshot.TalosVolume{
					ID:             "r-big",
					Type:           "partition",
					Phase:          "ready",
					Location:       "/dev/vdf1",
					ParentLocation: "/dev/vdf",
					Size:           800 << 30,
				}))
		}, want: OutcomeOK},
		{name: "on the disk of Talos", code: "TD0311", change: func(w world) {
			w.remainder(800<<30, 187<<30)
			devices := *w.talos().Devices.Value
			w.talos().Devices = snapshot.Read(append(slices.Clone(devices),
				snapshot.TalosDevice{Name: "vdf9", Parent: "vdf", PartitionLabel: "EPHEMERAL", Size: 1 << 30}))
		}, want: OutcomeOK},
		{name: "one that is not made", code: "TD0311", change: func(w world) {
			w.remainder(800<<30, 187<<30)
			volumes := *w.talos().Volumes.Value
			volumes[len(volumes)-1].Phase = "failed"
		}, want: OutcomeOK},
		{name: "volumes were not read", code: "TD0311", change: func(w world) {
			w.talos().Volumes = snapshot.Unread[[]snapshot.TalosVolume](problem.FromText("no answer"))
		}, want: OutcomeUnknown, has: []string{"no answer"}},
		{
			name:   "no Talos",
			code:   "TD0311",
			change: func(w world) { w.noTalos("", "no answer") },
			want:   OutcomeUnknown,
			has:    []string{"no answer"},
		},
	}
}

func TestSelectors(t *testing.T) { try(t, selectorCases()) }

// Why a volume of Talos did not come to be hides that it did not.
func TestSelectorHidesTheFailedVolume(t *testing.T) {
	for name, change := range map[string]func(w world){
		"system_disk":   func(w world) { w.selects("disk", "data", "!system_disk") },
		"several disks": func(w world) { w.selects("disk", "data", "true", "vde", "vdf") },
		"several volumes": func(w world) {
			w.existing("data", "true", "vde1", "vdf1")
			w.talosVolume(snapshot.TalosVolume{ID: "e-data", Type: "partition", Phase: "failed", Problem: "error"})
		},
	} {
		w := well(t)
		change(w)
		if len(value(w.talos().Volumes)) == len(value(well(t).talos().Volumes)) {
			w.talosVolume(snapshot.TalosVolume{ID: "u-data", Type: "disk", Phase: "failed", Problem: "error"})
		}
		w.talosVolume(snapshot.TalosVolume{ID: "u-other", Type: "disk", Phase: "failed", Problem: "error"})
		r := Run(w.Snapshot, Options{Only: []Code{"TD0303", "TD0308", "TD0310"}})
		if len(r.Findings) != 2 || r.Findings[0].Code != "TD0303" || r.Findings[0].Path != "/var/mnt/other" || len(r.Masked) != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
