// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// world is a cluster whose nodes have the disks that a test gives them, beside a system disk vda, and two classes of the provisioner:
// block with links, and fast with Talos's volumes ssd-*.
type world struct{ *snapshot.Snapshot }

func newWorld(nodes ...string) world {
	w := world{&snapshot.Snapshot{
		Install: provisioner.Install{
			Namespace: "storage", Name: "lvp", ConfigMap: "lvp-config", Container: "provisioner",
			Classes: []provisioner.Class{
				{Name: "block", HostDir: "/var/lib/disks/block", MountDir: "/mnt/block", Mode: provisioner.Block},
				{Name: "fast", HostDir: "/var/mnt", MountDir: "/mnt/fast", Mode: provisioner.Filesystem, NamePattern: "ssd-*"},
				{Name: "raw", HostDir: "/dev/disk/by-partlabel", MountDir: "/dev/disk/by-partlabel", Mode: provisioner.Block, NamePattern: "r-raw-*"},
			},
			Mounts: []provisioner.Mount{
				{HostPath: "/dev", MountPath: "/dev"}, {HostPath: "/var/lib/disks/block", MountPath: "/mnt/block"},
				{HostPath: "/var/mnt", MountPath: "/mnt/fast"}, {HostPath: "/dev/disk/by-partlabel", MountPath: "/dev/disk/by-partlabel"},
			},
		},
		StorageClasses: map[string]snapshot.StorageClass{
			"block": {Name: "block", ReclaimPolicy: "Retain"}, "fast": {Name: "fast", ReclaimPolicy: "Delete"}, "raw": {Name: "raw"},
		},
	}}
	for _, name := range nodes {
		system := hdd("vda", 20<<30, "SYSTEM-"+name)
		system.Partitions = []string{"vda1"}
		system.Content = &disk.Content{Signed: disk.Yes, Signature: disk.Signature{PartitionTable: "gpt"}, Busy: disk.Yes}
		part := disk.Disk{
			Name: "vda1", Kernel: "vda1", Number: disk.Number{Major: 254, Minor: 9}, Kind: disk.KindPartition, Parent: "vda", PartLabel: "EPHEMERAL",
		}
		w.Nodes = append(w.Nodes, snapshot.Node{Name: name, Ready: true, Wanted: true, View: snapshot.Read(snapshot.PodView{
			Disks:   []disk.Disk{system, part},
			Beneath: map[disk.Number]string{part.Number: "holds /mnt/block", system.Number: "holds /mnt/block"},
			Dirs: map[string]snapshot.Dir{
				"block": {Exists: true, MountPoint: true, Writable: true}, "fast": {Exists: true, MountPoint: true, Writable: true},
				"raw": {Exists: true, MountPoint: true, Writable: true},
			},
		})})
	}
	return w
}

func (w world) node(name string) *snapshot.Node {
	return &w.Nodes[slices.IndexFunc(w.Nodes, func(n snapshot.Node) bool { return n.Name == name })]
}

// has gives a node disks.
func (w world) has(node string, disks ...disk.Disk) world {
	v := w.node(node).View.Value
	v.Disks = append(v.Disks, disks...)
	return w
}

// linked puts a link to a disk into the directory of class block.
func (w world) linked(node, entry, name string) world {
	v := w.node(node).View.Value
	d, _ := v.DiskByName(name)
	dir := v.Dirs["block"]
	dir.Entries = append(dir.Entries, provisioner.Entry{Name: entry, Kind: provisioner.Link, Target: d.Path(), Device: d.Number.String()})
	v.Dirs["block"] = dir
	return w
}

// reported has Talos report of the node what the pod sees, and of volumes on disks, as "u-NAME DEVICE".
func (w world) reported(node string, volumes ...string) world {
	n := w.node(node)
	var t snapshot.Talos
	disks, devices := []snapshot.TalosDisk{}, []snapshot.TalosDevice{}
	for _, d := range n.View.Value.Disks {
		if d.Kind != disk.KindDisk {
			continue
		}
		reported := snapshot.TalosDisk{
			Name: d.Name, Size: d.Size, Rotational: d.Rotational, Transport: "virtio", Model: d.Model, Serial: d.Serial, WWID: d.WWID,
		}
		for _, name := range d.ByID {
			reported.Symlinks = append(reported.Symlinks, "/dev/disk/by-id/"+name)
		}
		for _, name := range d.ByPath {
			reported.Symlinks = append(reported.Symlinks, "/dev/disk/by-path/"+name)
		}
		disks = append(disks, reported)
	}
	all := []snapshot.TalosVolume{}
	mounts := []snapshot.TalosMount{}
	for _, v := range volumes {
		id, device, _ := strings.Cut(v, " ")
		whole := strings.TrimRight(device, "0123456789")
		one := snapshot.TalosVolume{ID: id, Type: "partition", Phase: "ready", Location: "/dev/" + device, MountLocation: "/dev/" + device}
		if whole != device {
			one.ParentLocation = "/dev/" + whole
			devices = append(devices, snapshot.TalosDevice{Name: device, Parent: whole, Content: "ext4", PartitionLabel: id})
		}
		all = append(all, one)
		if id[0] == 'u' {
			mounts = append(mounts, snapshot.TalosMount{Source: "/dev/" + device, Target: "/var/mnt/" + id[2:], Volume: id})
		}
	}
	t.Disks, t.System, t.Devices = snapshot.Read(disks), snapshot.Read("vda"), snapshot.Read(devices)
	t.Volumes, t.Mounts, t.Links = snapshot.Read(all), snapshot.Read(mounts), snapshot.Read(map[string][]string{})
	n.Talos = snapshot.Read(t)
	return w
}

// alone leaves Talos alone to tell of the node, in a cluster without a provisioner.
func (w world) alone(node string, volumes ...string) world {
	w.reported(node, volumes...)
	w.node(node).View = snapshot.Unread[snapshot.PodView](problem.Text("there is no provisioner"))
	w.Install = provisioner.Install{}
	w.Unread = map[string]problem.Problem{snapshot.PartInstall: {Kind: problem.NoProvisioner, Message: "there is no provisioner"}}
	return w
}

func hdd(name string, size uint64, serial string) disk.Disk {
	d := disk.Disk{
		Name: name, Kernel: name, Number: disk.Number{Major: 254, Minor: uint32(name[len(name)-1]) * 16}, Kind: disk.KindDisk, Size: size,
		Rotational: true, Serial: serial, ByPath: []string{"pci-0000:00:1f.2-" + name}, Fingerprint: "f-" + name,
		Content: &disk.Content{Signed: disk.No, Busy: disk.No, Unsigned: disk.No},
	}
	if serial != "" {
		d.ByID = []string{"virtio-" + serial}
	}
	return d
}

func ssd(name string, size uint64, serial string) disk.Disk {
	d := hdd(name, size, serial)
	d.Rotational = false
	return d
}

// signed has a filesystem on a disk.
func signed(d disk.Disk) disk.Disk {
	d.Content = &disk.Content{Signed: disk.Yes, Signature: disk.Signature{Type: "xfs", Usage: "filesystem"}, Busy: disk.No, Unsigned: disk.No}
	return d
}

// layoutOf is a layout with classes, as a file has them.
func layoutOf(t *testing.T, classes string) File {
	t.Helper()
	f, err := Decode("f", []byte(fmt.Sprintf(`apiVersion: %s
kind: DiskLayout
metadata: {name: workers}
spec:
  nodes: {names: ["*"]}
  classes:
%s
`, APIVersion, classes)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// keys are volumes with the serial numbers or slots that they are bound to: "w-1/fast-1 A".
func keys(b Bindings) []string {
	var all []string
	for node, volumes := range b.Nodes {
		for key, binding := range volumes {
			text := node + "/" + key
			if binding.Name != "" {
				text += "=" + binding.Name
			}
			switch {
			case binding.Serial != "":
				text += " " + binding.Serial
			case binding.WWID != "":
				text += " " + binding.WWID
			case binding.ByID != "":
				text += " " + binding.ByID
			default:
				text += " " + binding.ByPath
			}
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return all
}

// refusals are what was refused: "w-1/fast too-few 1/2".
func refusals(r Report) []string {
	var all []string
	for _, one := range r.Refused {
		want := "all"
		if one.Wanted != nil {
			want = fmt.Sprint(*one.Wanted)
		}
		all = append(all, fmt.Sprintf("%s/%s %s %d+%d/%s", one.Node, one.Class, one.Refusal, one.Bound, one.Free, want))
	}
	return all
}
