// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"io"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// observed is a cluster of three nodes: one that its pod and its Talos API reported, one whose Talos API gave no answer,
// and a control plane where no pod is.
func observed() *snapshot.Snapshot {
	seen := func(name string, minor uint32, c disk.Content) disk.Disk {
		return disk.Disk{
			Name: name, Kernel: name, Number: disk.Number{Major: 254, Minor: minor}, Kind: disk.KindDisk, Size: 10 << 30, Serial: "serial-" + name,
			ByID: []string{"virtio-serial-" + name}, Content: &c,
		}
	}
	reported := func(name, serial string) snapshot.TalosDisk {
		return snapshot.TalosDisk{
			Name:      name,
			Size:      10 << 30,
			Serial:    serial,
			Transport: "virtio",
			Symlinks:  []string{"/dev/disk/by-id/virtio-" + serial},
		}
	}
	free := disk.Content{Signed: disk.No, Busy: disk.No}
	xfs := disk.Content{Signed: disk.Yes, Signature: disk.Signature{Type: "xfs", Usage: "filesystem"}, Busy: disk.No}
	open := disk.Content{Signed: disk.No, Busy: disk.Yes}
	pods := snapshot.PodView{
		Disks: []disk.Disk{seen("vda", 0, open), seen("vdb", 16, xfs), seen("vdc", 32, free), seen("vdd", 48, open), seen("vde", 64, xfs),
			seen("vdf", 80, disk.Content{})},
		Beneath: map[disk.Number]string{{Major: 254}: "holds /mnt/block"},
		Dirs: map[string]snapshot.Dir{"block": {Exists: true, MountPoint: true, Writable: true, Entries: []provisioner.Entry{
			{Name: "vdd", Kind: provisioner.Link, Target: "/dev/disk/by-id/virtio-serial-vdd", Device: "254:48"},
		}}},
	}
	volume := func(id, device, disk string) snapshot.TalosVolume {
		return snapshot.TalosVolume{
			ID:             id,
			Phase:          "ready",
			Location:       "/dev/" + device,
			MountLocation:  "/dev/" + device,
			ParentLocation: "/dev/" + disk,
		}
	}
	worker := snapshot.Talos{
		Disks: snapshot.Read([]snapshot.TalosDisk{reported("vda", "serial-vda"), reported("vdb", "serial-vdb"), reported("vdc", "another"),
			reported("vdd", "serial-vdd"), reported("vde", "serial-vde"), reported("vdf", "serial-vdf")}),
		System: snapshot.Read("vda"),
		Devices: snapshot.Read([]snapshot.TalosDevice{{Name: "vdb", Content: "gpt"}, {Name: "vdb1", Parent: "vdb", Content: "xfs"},
			{Name: "vde", Content: "xfs", Label: "old"}}),
		Volumes: snapshot.Read([]snapshot.TalosVolume{volume("EPHEMERAL", "vda6", "vda"), volume("u-a", "vdb1", "vdb"),
			volume("u-b", "vdb2", "vdb"), volume("r-c", "vdb3", "vdb")}),
		Mounts: snapshot.Read([]snapshot.TalosMount{{Source: "/dev/vda6", Target: "/var", Volume: "EPHEMERAL"},
			{Source: "/dev/vdb1", Target: "/var/mnt/a", Volume: "u-a"}}),
	}
	plane := snapshot.Talos{
		Disks:   snapshot.Read([]snapshot.TalosDisk{reported("vda", "plane-a"), reported("vdb", "plane-b"), reported("vdc", "plane-c")}),
		System:  snapshot.Read("vda"),
		Devices: snapshot.Read([]snapshot.TalosDevice{{Name: "vdb", Content: "lvm2-pv"}}),
		Volumes: snapshot.Read([]snapshot.TalosVolume{}),
		Mounts:  snapshot.Read([]snapshot.TalosMount{{Source: "/dev/vdc1", Target: "/var/lib/disks/hdd/vdc"}}),
	}
	alone := pods
	alone.Disks = pods.Disks[:3]
	alone.Dirs = map[string]snapshot.Dir{"block": {Exists: true, MountPoint: true, Writable: true}}
	return &snapshot.Snapshot{
		Install: provisioner.Install{
			Classes: []provisioner.Class{{Name: "block", HostDir: "/var/lib/disks/block", MountDir: "/mnt/block", Mode: provisioner.Block}},
		},
		Users: snapshot.Read(map[snapshot.ClaimRef][]string{{Namespace: "ns", Name: "c"}: {"pod-1"}}),
		Volumes: []snapshot.Volume{{
			Name: provisioner.PVName("vdd", "w-1", "block"), Path: "/var/lib/disks/block/vdd", Node: "w-1", Phase: "Bound",
			Claim: &snapshot.ClaimRef{Namespace: "ns", Name: "c"},
		}},
		Nodes: []snapshot.Node{
			{
				Name:  "cp-1",
				View:  snapshot.Unread[snapshot.PodView](problem.FromText("a taint keeps the DaemonSet away")),
				Talos: snapshot.Read(plane),
			},
			{Name: "w-1", Wanted: true, View: snapshot.Read(pods), Talos: snapshot.Read(worker)},
			{Name: "w-2", Wanted: true, View: snapshot.Read(alone), Talos: snapshot.Unread[snapshot.Talos](problem.FromText("no answer"))},
		},
	}
}

func TestDisksTable(t *testing.T) {
	s := observed()
	disks := link.Inventory(s)
	for name, format := range map[string]string{"disks": "", "disks-wide": "wide"} {
		flags := output.NewFlags()
		flags.Format = format
		printer, err := flags.ToPrinter()
		if err != nil {
			t.Fatal(err)
		}
		var out, errOut bytes.Buffer
		disksTo(&errOut).warnOf(s, disks)
		if err := printer.Print(&out, diskList{Items: disks}, func() *metav1.Table { return disksTable(s, disks) }); err != nil {
			t.Fatal(err)
		}
		golden(t, name, result{out.String(), errOut.String(), 0})
	}
}

// TestDisksTableOfLinksAndVolumes has a row for each link and volume, and says what is not known.
func TestDisksTableOfLinksAndVolumes(t *testing.T) {
	s := &snapshot.Snapshot{Users: snapshot.Read(map[snapshot.ClaimRef][]string{})}
	d := func(name string, size uint64, kind disk.Kind, change func(*link.DiskUse)) link.DiskUse {
		u := link.DiskUse{Node: "w-1", Disk: disk.Disk{Name: name, Size: size, Kind: kind}, SeenBy: []link.Observer{link.SeenByPod}}
		if change != nil {
			change(&u)
		}
		return u
	}
	disks := []link.DiskUse{
		d("sr0", 0, disk.KindCDROM, func(u *link.DiskUse) { u.Objections = []disk.Objection{{Reason: disk.CDROM}} }),
		d("vdb", 10<<30, disk.KindDisk, func(u *link.DiskUse) {
			u.PartitionLinks = []string{"/dev/disk/by-partlabel/r-a", "/dev/disk/by-partlabel/r-b", "/dev/disk/by-partlabel/r-c"}
			u.Volumes = []link.VolumeUse{
				{Name: "pv-b", Phase: "Bound", Claim: "ns/b", Pods: []string{"p", "q"}, Path: "/dev/disk/by-partlabel/r-b", Device: "vdb2"},
				{Name: "pv-a", Phase: "Available", Path: "/dev/disk/by-partlabel/r-a", Device: "vdb1"},
			}
			u.Objections = []disk.Objection{{Reason: disk.PartitionLinked}, {Reason: disk.HasPartitions}}
		}),
		d("vdc", 10<<30, disk.KindDisk, func(u *link.DiskUse) {
			u.Volumes, u.Uses = []link.VolumeUse{{Name: "pv-u", Phase: "Bound", Claim: "ns/u", Path: "/var/mnt/data", Device: "vdc1"}},
				[]link.Use{{Kind: link.UseVolume, Name: "u-data"}}
		}),
		d("vdd", 10<<30, disk.KindDisk, func(u *link.DiskUse) { u.LinksProblem = "the directory could not be read" }),
		d("vde", 10<<30, disk.KindDisk, func(u *link.DiskUse) { u.VolumesProblem = "not checked there" }),
	}
	flags := output.NewFlags()
	printer, err := flags.ToPrinter()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printer.Print(&out, diskList{Items: disks}, func() *metav1.Table { return disksTable(s, disks) }); err != nil {
		t.Fatal(err)
	}
	golden(t, "disks-rows", result{out.String(), "", 0})
}

// disksTo is a run of disks that says on errOut what it has to say.
func disksTo(errOut io.Writer) *disksOptions {
	return &disksOptions{commonOptions: commonOptions{shared: &shared{IOStreams: genericiooptions.IOStreams{ErrOut: errOut}}}}
}

// TestNodesWithoutAProvisioner: those that Talos did not tell of are an error.
func TestNodesWithoutAProvisioner(t *testing.T) {
	var errOut bytes.Buffer
	why := snapshot.Unread[snapshot.PodView](problem.FromText("there is no provisioner in the cluster"))
	talos := snapshot.Read(snapshot.Talos{Disks: snapshot.Read([]snapshot.TalosDisk{{Name: "vda", Size: 1 << 30}})})
	s := &snapshot.Snapshot{
		Unread: map[string]problem.Problem{snapshot.PartInstall: problem.FromText("none")},
		Nodes:  []snapshot.Node{{Name: "w-1", View: why, Talos: talos}, {Name: "w-2", View: why, Talos: talos}, {Name: "w-3", View: why}},
	}
	disksTo(&errOut).warnOf(s, nil)
	if want := "note: nodes w-1, w-2 are known from Talos alone: there is no provisioner in the cluster\n"; !strings.HasPrefix(errOut.String(),
		want) {
		t.Errorf("said %q, want %q", errOut.String(), want)
	}
	if parts := unlooked(s); len(parts) != 1 || parts[0].Subject != "node w-3" {
		t.Errorf("%v", parts)
	}
}

func TestNodesThatCouldNotBeLookedAt(t *testing.T) {
	s := observed()
	if parts := unlooked(s); len(parts) != 0 {
		t.Errorf("%v", parts)
	}
	s.Nodes[0].Wanted = true
	if parts := unlooked(s); len(parts) != 1 || parts[0].Subject != "node cp-1" {
		t.Errorf("a node that should have a pod: %v", parts)
	}
	if parts := talosUnread(s); len(parts) != 1 || parts[0].Subject != "the Talos API of node w-2" {
		t.Errorf("%v", parts)
	}
	var errOut bytes.Buffer
	s.NoTalos = problem.FromText("no talosconfig was found")
	disksTo(&errOut).warnOf(s, nil)
	want := "note: without the Talos API: no talosconfig was found; disks that Talos uses are known only by what the pods see\n"
	if !strings.HasSuffix(errOut.String(), want) || strings.Contains(errOut.String(), "warning") {
		t.Errorf("said %q, want %q", errOut.String(), want)
	}
}
