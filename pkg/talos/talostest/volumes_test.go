// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// user is a user volume on the disks that match. More is the rest of the document, from the
// margin.
func user(name, match, more string) string {
	return fmt.Sprintf("---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: %s\nprovisioning:\n    diskSelector:\n        match: %s\n%s",
		name, match, more)
}

// raw is a raw volume.
func raw(name, match, more string) string {
	return strings.Replace(user(name, match, more), "UserVolumeConfig", "RawVolumeConfig", 1)
}

// existing is an existing volume.
func existing(name, match string) string {
	return fmt.Sprintf(
		"---\napiVersion: v1alpha1\nkind: ExistingVolumeConfig\nname: %s\ndiscovery:\n    volumeSelector:\n        match: %s\n", name, match)
}

// Ends of documents.
const (
	atLeast1GiB = "    minSize: 1GiB\n"
	wholeDisk   = "volumeType: disk\n"
)

// configure applies the node's configuration with these documents, and waits.
func configure(t *testing.T, n *talostest.Node, base []byte, documents ...string) {
	t.Helper()
	data := string(base) + strings.Join(documents, "")
	if _, err := apply(t, dial(t, n), []byte(data), machine.ApplyConfigurationRequest_NO_REBOOT, false); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
}

// volumesOf are the node's VolumeStatuses but for the system's, one a line: ID, phase, location, size in MiB, file system,
// and the message.
func volumesOf(t *testing.T, n *talostest.Node) string {
	t.Helper()
	all, err := safe.StateListAll[*block.VolumeStatus](t.Context(), n.State())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for r := range all.All() {
		s := r.TypedSpec()
		if strings.ToUpper(r.Metadata().ID()) == r.Metadata().ID() {
			continue
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %d %s %s", r.Metadata().ID(), s.Phase, s.Location, s.Size>>20, s.Filesystem,
			s.ErrorMessage)))
	}
	return strings.Join(lines, "\n")
}

// mountsOf are the node's MountStatuses but for the system's: source and target.
func mountsOf(t *testing.T, n *talostest.Node) string {
	t.Helper()
	all, err := safe.StateListAll[*block.MountStatus](t.Context(), n.State())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for r := range all.All() {
		if r.Metadata().ID() != "EPHEMERAL" {
			lines = append(lines, fmt.Sprintf("%s on %s", r.TypedSpec().Source, r.TypedSpec().Target))
		}
	}
	return strings.Join(lines, "\n")
}

// contentsOf are the disks that have some content, and their partitions.
func contentsOf(t *testing.T, n *talostest.Node, skip ...string) string {
	t.Helper()
	all, err := safe.StateListAll[*block.DiscoveredVolume](t.Context(), n.State())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for r := range all.All() {
		s := r.TypedSpec()
		if id := r.Metadata().ID(); id == "loop0" || strings.HasPrefix(id, "vda") || slices.Contains(skip, id) ||
			s.Name == "" && s.Type == "disk" {
			continue
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Metadata().ID(), s.Name, s.PartitionLabel)))
	}
	return strings.Join(lines, "\n")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != strings.TrimSpace(want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, strings.TrimSpace(want))
	}
}

// TestVolumesAreAsRecorded replays what a real node made of the documents in uv-01-dry.txt, and then of bad ones
// (badvol-02-status.txt, badvol-03-yaml.txt).
func TestVolumesAreAsRecorded(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: "v1.14.0-rc.1"})
	base := n.Config()
	err := n.EditDisk(t.Context(), "vdf", func(d *talostest.Disk) { d.Content = talostest.Content{Type: "ext4", Label: "existing-f"} })
	if err != nil {
		t.Fatal(err)
	}
	good := []string{
		user("data-b", `disk.serial == "talos-disk-b"`, "    minSize: 1GiB\n    maxSize: 3GiB\n"),
		user("data-b2", `disk.serial == "talos-disk-b"`, "    minSize: 1GiB\n    maxSize: 2GiB\nfilesystem:\n    type: ext4\n"),
		user("disk-d", `disk.serial == "talos-disk-d"`, wholeDisk),
		"---\napiVersion: v1alpha1\nkind: UserVolumeConfig\nname: dir-e\nvolumeType: directory\n",
		raw("raw-c", `disk.serial == "talos-disk-c"`, "    minSize: 1GiB\n    maxSize: 2GiB\n"),
		raw("raw-c2", `disk.serial == "talos-disk-c"`, "    minSize: 1GiB\n    maxSize: 2GiB\n"),
		existing("exist-f", `volume.label == "existing-f"`),
	}
	configure(t, n, base, good...)
	made := `
e-exist-f ready /dev/vdf 2048 ext4
r-raw-c ready /dev/vdc1 2048 none
r-raw-c2 ready /dev/vdc2 2048 none
u-data-b ready /dev/vdb2 3072 xfs
u-data-b2 ready /dev/vdb1 2048 ext4
u-dir-e ready  0 none
u-disk-d ready /dev/vdd 5120 xfs`
	expect(t, "volumes", volumesOf(t, n), made)
	expect(t, "mounts", mountsOf(t, n), `
/dev/vdf on /var/mnt/exist-f
/dev/vdb2 on /var/mnt/data-b
/dev/vdb1 on /var/mnt/data-b2
 on /var/mnt/dir-e
/dev/vdd on /var/mnt/disk-d`)
	expect(t, "contents", contentsOf(t, n), `
vdb gpt
vdb1 ext4 u-data-b2
vdb2 xfs u-data-b
vdc gpt
vdc1  r-raw-c
vdc2  r-raw-c2
vdd xfs
vdf ext4`)

	configure(t, n, base, append(good,
		user("nomatch", `disk.serial == "none"`, atLeast1GiB), user("toobig", `disk.serial == "talos-disk-g"`, "    minSize: 100GiB\n"))...)
	expect(t, "volumes, with bad ones", volumesOf(t, n), made+`
u-nomatch failed  0 none no disks matched selector for volume
u-toobig waiting  0 none`)
}

// TestVolumesOfTheNodeAreSeen looks for volumes where the plugin does: in the node's files and in its kubelet's.
func TestVolumesOfTheNodeAreSeen(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V114})
	base := n.Config()
	document := user("ssd-1", `disk.serial == "talos-disk-b"`, atLeast1GiB)
	seen := func() string {
		t.Helper()
		names, err := list(t, dial(t, n), fmt.Sprintf("/proc/%d/root/var/mnt/ssd-1", n.Kubelet().PID))
		if err != nil {
			return err.Error()
		}
		return strings.Join(names, " ")
	}
	configure(t, n, base, document)
	if err := n.Machine().(*talostest.Sim).WriteFile("/var/mnt/ssd-1/data", "kept"); err != nil {
		t.Fatal(err)
	}
	if got := seen(); !strings.Contains(got, "data") {
		t.Errorf("the kubelet sees %q", got)
	}
	// uvdel-02.txt: the document is gone, the partition stays, and so does an empty directory.
	configure(t, n, base)
	expect(t, "volumes", volumesOf(t, n), "")
	expect(t, "mounts", mountsOf(t, n), "")
	expect(t, "contents", contentsOf(t, n), "vdb gpt\nvdb1 xfs u-ssd-1")
	if got := seen(); strings.Contains(got, "data") || strings.Contains(got, "no such file") {
		t.Errorf("the kubelet sees %q", got)
	}
	// uvdel-03.txt: it comes back, and is adopted.
	configure(t, n, base, document)
	expect(t, "volumes", volumesOf(t, n), "u-ssd-1 ready /dev/vdb1 10238 xfs")
	if got := seen(); !strings.Contains(got, "data") {
		t.Errorf("the kubelet sees %q", got)
	}
}

func TestLocatingAVolume(t *testing.T) {
	t.Parallel()
	labelled := func(names ...string) []talostest.Partition {
		var all []talostest.Partition
		for _, name := range names {
			all = append(all, talostest.Partition{Name: name, Size: 1 << 30, Content: talostest.Content{Type: "xfs"}})
		}
		return all
	}
	for _, tt := range []struct {
		name, source string
		profile      talostest.Profile
		disks        []talostest.Disk
		documents    []string
		want         string
	}{
		{
			name: "by its label, whatever the selector says", source: "locate.go, locateVolumeByMatch", profile: talostest.V113,
			disks:     []talostest.Disk{{Name: "vdh", Size: 4 << 30, Partitions: labelled("u-other", "u-ssd-1")}},
			documents: []string{user("ssd-1", `disk.serial == "talos-disk-b"`, atLeast1GiB)},
			want:      "u-ssd-1 ready /dev/vdh2 1024 xfs",
		},
		{
			name: "a label twice: the first disk", source: "locate.go, locateVolumeByMatch", profile: talostest.V113,
			disks: []talostest.Disk{
				{Name: "vdi", Size: 4 << 30, Partitions: labelled("u-ssd-1")}, {Name: "vdh", Size: 4 << 30, Partitions: labelled("u-ssd-1")},
			},
			documents: []string{user("ssd-1", `disk.serial == "talos-disk-b"`, atLeast1GiB)},
			want:      "u-ssd-1 ready /dev/vdh1 1024 xfs",
		},
		{
			name: "another file system than it is to have", source: "format.go, Format", profile: talostest.V113,
			disks:     []talostest.Disk{{Name: "vdh", Size: 4 << 30, Partitions: labelled("u-ssd-1")}},
			documents: []string{user("ssd-1", `disk.serial == "talos-disk-b"`, atLeast1GiB+"filesystem:\n    type: ext4\n")},
			want:      "u-ssd-1 failed /dev/vdh1 1024 none filesystem type mismatch: xfs != ext4",
		},
		{
			name: "an unlabelled partition of machine.disks, as an existing volume", source: "user_volumes.go, ExistingVolumeTransformer",
			profile:   talostest.V111,
			disks:     []talostest.Disk{{Name: "vdh", Serial: "old", Size: 4 << 30, Partitions: labelled("")}},
			documents: []string{existing("hdd-1", `volume.partition_index == 1u && disk.serial == "old"`)},
			want:      "e-hdd-1 ready /dev/vdh1 1024 xfs",
		},
		{
			name: "an existing volume that is not there", source: "locate.go, provisionNewVolume", profile: talostest.V113,
			documents: []string{existing("hdd-1", `volume.label == "none"`)},
			want:      "e-hdd-1 missing  0 none",
		},
		{
			name: "an existing volume without a file system", source: "format.go, Format", profile: talostest.V113,
			documents: []string{existing("hdd-1", `volume.dev_path == "/dev/vdb"`)},
			want:      "e-hdd-1 failed /dev/vdb 10240 none filesystem not found on /dev/vdb",
		},
		{
			name: "a whole disk with a partition table", source: "format.go, Format", profile: talostest.V113,
			disks:     []talostest.Disk{{Name: "vdh", Serial: "old", Size: 4 << 30, Partitions: labelled("x")}},
			documents: []string{user("d", `disk.serial == "old"`, wholeDisk)},
			want:      "u-d failed /dev/vdh 4096 none filesystem type mismatch: gpt != xfs",
		},
		{
			name: "a whole disk with the file system", source: "format.go, Format", profile: talostest.V113,
			disks:     []talostest.Disk{{Name: "vdh", Serial: "old", Size: 4 << 30, Content: talostest.Content{Type: "xfs"}}},
			documents: []string{user("d", `disk.serial == "old"`, wholeDisk)},
			want:      "u-d ready /dev/vdh 4096 xfs",
		},
		{
			name: "several whole disks", source: "commit 8a0e79774", profile: "v1.12.5",
			documents: []string{user("d", `disk.size == 5u * GiB`, wholeDisk)},
			want:      "u-d failed  0 none multiple disks matched locator for disk volume; matched disks: [/dev/vdd /dev/vde]",
		},
		{
			name: "several whole disks, once", source: "v1.12.4, locate.go", profile: "v1.12.4",
			documents: []string{user("d", `disk.size == 5u * GiB`, wholeDisk)},
			want:      "u-d ready /dev/vdd 5120 xfs",
		},
		{
			name: "a whole disk knows no system_disk", source: "siderolabs/talos#13301", profile: talostest.V114,
			documents: []string{user("d", `disk.serial == "talos-disk-d" && !system_disk`, wholeDisk)},
			want:      "u-d failed  0 none error evaluating disk locator: no such attribute(s): system_disk",
		},
		{
			name: "a whole disk knew none ever", source: "v1.12.4, locate.go", profile: "v1.12.4",
			documents: []string{user("d", `disk.serial == "talos-disk-d" && !system_disk`, wholeDisk)},
			want:      "u-d failed  0 none error evaluating volume locator: no such attribute(s): system_disk",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := node(t, talostest.Options{Profile: tt.profile})
			for _, d := range tt.disks {
				if err := n.AddDisk(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			configure(t, n, n.Config(), tt.documents...)
			expect(t, tt.source, volumesOf(t, n), tt.want)
		})
	}
}

func TestProvisioningAVolume(t *testing.T) {
	t.Parallel()
	const all = `disk.transport == "virtio" && !system_disk`
	for _, tt := range []struct {
		name, source string
		profile      talostest.Profile
		disks        []talostest.Disk
		documents    []string
		want         string
	}{
		{
			name: "the first disk that has room", source: "locate.go, selectBestDisk", profile: talostest.V113,
			documents: []string{
				user("big", all, "    minSize: 4GiB\n    maxSize: 4GiB\n"), user("small", all, "    minSize: 1GiB\n    maxSize: 1GiB\n"),
			},
			want: "u-big ready /dev/vdb2 4096 xfs\nu-small ready /dev/vdb1 1024 xfs",
		},
		{
			name: "not the system disk, that is full", source: "disk.go, CheckDiskForProvisioning", profile: talostest.V113,
			documents: []string{user("a", `disk.dev_path == "/dev/vda"`, atLeast1GiB)},
			want: "u-a failed  0 none no disks matched for volume (1 matched selector): 1 have not enough space, " +
				"0 have wrong format, 0 have other issues",
		},
		{
			name: "a remainder of a disk becomes a small volume", source: "siderolabs/talos#11223", profile: talostest.V113,
			disks:     []talostest.Disk{{Name: "vdh", Serial: "old", Size: 4 << 30, Partitions: []talostest.Partition{{Name: "x", Size: 3 << 30}}}},
			documents: []string{user("a", `disk.serial == "old"`, "    minSize: 100MiB\n    grow: true\n")},
			want:      "u-a ready /dev/vdh2 1022 xfs",
		},
		{
			name: "the size can be a part of what is free", source: "partition.go, CreatePartition", profile: "v1.12.6",
			documents: []string{user("a", `disk.serial == "talos-disk-g"`, "    maxSize: 50%\n")},
			want:      "u-a ready /dev/vdg1 511 xfs",
		},
		{
			name: "the size can be what is left free", source: "partition.go, CreatePartition", profile: talostest.V113,
			documents: []string{user("a", `disk.serial == "talos-disk-g"`, "    maxSize: -300MiB\n")},
			want:      "u-a ready /dev/vdg1 722 xfs",
		},
		{
			name: "a renamed volume finds its disk full", source: "locate.go, selectBestDisk", profile: talostest.V113,
			disks: []talostest.Disk{
				{Name: "vdh", Serial: "old", Size: 4 << 30, Partitions: []talostest.Partition{{Name: "u-before"}}},
			},
			documents: []string{user("after", `disk.serial == "old"`, "    minSize: 100MiB\n")},
			want: "u-after failed  0 none no disks matched for volume (1 matched selector): 1 have not enough space, " +
				"0 have wrong format, 0 have other issues",
		},
		{
			name: "a file system is in the way", source: "disk.go, CheckDiskForProvisioning", profile: talostest.V111,
			disks:     []talostest.Disk{{Name: "vdh", Serial: "old", Size: 4 << 30, Content: talostest.Content{Type: "ext4"}}},
			documents: []string{user("a", `disk.serial == "old"`, atLeast1GiB)},
			want: "u-a failed  0 none no disks matched for volume (1 matched selector): 0 have not enough space, " +
				"1 have wrong format, 0 have other issues",
		},
		{
			name: "a file system is in the way, said in fewer words", source: "v1.10.9, locate.go", profile: "v1.10.9",
			disks:     []talostest.Disk{{Name: "vdh", Serial: "old", Size: 4 << 30, Content: talostest.Content{Type: "ext4"}}},
			documents: []string{user("a", `disk.serial == "old"`, atLeast1GiB)},
			want:      "u-a failed  0 none no disks matched for volume",
		},
		{
			name: "no disk matches, in fewer words", source: "v1.10.9, locate.go", profile: "v1.10.9",
			documents: []string{user("a", `disk.serial == "none"`, atLeast1GiB)},
			want:      "u-a failed  0 none no disks matched for volume",
		},
		{
			name: "a disk that is read-only is no disk", source: "locate.go, findCandidateDisks", profile: talostest.V113,
			disks:     []talostest.Disk{{Name: "vdh", Serial: "old", Size: 4 << 30, ReadOnly: true}},
			documents: []string{user("a", `disk.serial == "old"`, atLeast1GiB)},
			want:      "u-a failed  0 none no disks matched selector for volume",
		},
		{
			name: "one that fails keeps those after it waiting", source: "volume_manager.go, fullyProvisionedWave", profile: talostest.V113,
			documents: []string{
				user("first", `disk.serial == "none"`, "    maxSize: 1GiB\n"), user("second", `disk.serial == "talos-disk-b"`, atLeast1GiB),
			},
			want: "u-first failed  0 none no disks matched selector for volume\nu-second waiting  0 none",
		},
		{
			name: "one that is located does not wait", source: "volume_manager.go, fullyProvisionedWave", profile: talostest.V113,
			disks: []talostest.Disk{{Name: "vdh", Size: 4 << 30, Partitions: []talostest.Partition{{Name: "u-second", Size: 1 << 30}}}},
			documents: []string{
				user("first", `disk.serial == "none"`, "    maxSize: 1GiB\n"), user("second", `disk.serial == "talos-disk-b"`, atLeast1GiB),
			},
			want: "u-first failed  0 none no disks matched selector for volume\nu-second ready /dev/vdh1 1024 xfs",
		},
		{
			name: "equal ones by their IDs", source: "commit b7c0497b0", profile: talostest.V114,
			documents: []string{user("b", all, "    minSize: 9GiB\n"), user("a", all, "    minSize: 9GiB\n")},
			want:      "u-a ready /dev/vdb1 10238 xfs\nu-b ready /dev/vdc1 10238 xfs",
		},
		{
			name: "equal ones in no order", source: "v1.13.9, volumes.go", profile: talostest.V113,
			documents: []string{user("b", all, "    minSize: 9GiB\n"), user("a", all, "    minSize: 9GiB\n")},
			want:      "u-a ready /dev/vdc1 10238 xfs\nu-b ready /dev/vdb1 10238 xfs",
		},
		{
			name: "one that grows comes last", source: "volumes.go, CompareVolumeConfigs", profile: talostest.V114,
			documents: []string{user("a", all, "    minSize: 1GiB\n    grow: true\n"), user("b", all, "    minSize: 9GiB\n")},
			want:      "u-a ready /dev/vdc1 10238 xfs\nu-b ready /dev/vdb1 10238 xfs",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := node(t, talostest.Options{Profile: tt.profile})
			for _, d := range tt.disks {
				if err := n.AddDisk(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			configure(t, n, n.Config(), tt.documents...)
			expect(t, tt.source, volumesOf(t, n), tt.want)
		})
	}
}

// TestVolumesInTime is what becomes of a volume when disks come and go.
func TestVolumesInTime(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V113, Clock: clock()})
	base := n.Config()
	late := user("late", `disk.serial == "new"`, atLeast1GiB)
	configure(t, n, base, late)
	expect(t, "before its disk", volumesOf(t, n), "u-late failed  0 none no disks matched selector for volume")
	if err := n.AddDisk(t.Context(), talostest.Disk{Name: "vdh", Serial: "new", Size: 2 << 30}); err != nil {
		t.Fatal(err)
	}
	ready := "u-late ready /dev/vdh1 2046 xfs"
	expect(t, "with its disk", volumesOf(t, n), ready)
	if err := n.PullDisk(t.Context(), "vdh"); err != nil {
		t.Fatal(err)
	}
	expect(t, "with its disk pulled", volumesOf(t, n), ready)
	if err := n.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	// The node boots from its disk, on which the configuration is.
	expect(t, "booted without its disk", volumesOf(t, n), "u-late failed  0 none no disks matched selector for volume")
	expect(t, "mounts", mountsOf(t, n), "")
}

// TestReadyVolumeStaysAsItIs is one whose document changes: only a boot, or a document that went and came back, has it located
// again (block/volume_manager.go, processVolumeConfig, v1.12.0 to v1.14.0-rc.1).
func TestReadyVolumeStaysAsItIs(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V114})
	base := n.Config()
	configure(t, n, base, user("d", `disk.serial == "talos-disk-d"`, wholeDisk))
	configure(t, n, base, user("d", `disk.serial == "talos-disk-e"`, wholeDisk))
	expect(t, "volumes", volumesOf(t, n), "u-d ready /dev/vdd 5120 xfs")
	if err := n.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	expect(t, "volumes after a boot", volumesOf(t, n), "u-d ready /dev/vde 5120 xfs")
	expect(t, "contents", contentsOf(t, n), "vdd xfs\nvde xfs")
}

func TestSwappedDisksKeepTheirVolumes(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V113})
	configure(t, n, n.Config(), user("a", `disk.serial == "talos-disk-b"`, atLeast1GiB))
	if err := n.SwapDisks(t.Context(), "vdb", "vdc"); err != nil {
		t.Fatal(err)
	}
	if err := n.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	expect(t, "volumes", volumesOf(t, n), "u-a ready /dev/vdc1 10238 xfs")
}

// TestVolumeFaults are those that a test can ask for.
func TestVolumeFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("I/O error")
	for _, tt := range []struct {
		name  string
		step  talostest.VolumeStep
		err   error
		want  string
		mount string
	}{
		{name: "stays waiting", step: talostest.VolumeLocate, err: talostest.ErrStall, want: "u-a waiting  0 none"},
		{name: "fails", step: talostest.VolumePartition, err: broken, want: "u-a failed  0 none I/O error"},
		{name: "stays without a file system", step: talostest.VolumeFormat, err: talostest.ErrStall, want: "u-a prepared /dev/vdb1 10238 none"},
		{name: "is not mounted", step: talostest.VolumeMounting, err: broken, want: "u-a ready /dev/vdb1 10238 xfs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			time := clock()
			n := node(t, talostest.Options{Profile: talostest.V113, Clock: time})
			n.SetHooks(talostest.Hooks{Volume: func(_ context.Context, _ string, step talostest.VolumeStep) error {
				if step == tt.step {
					return tt.err
				}
				return nil
			}})
			configure(t, n, n.Config(), user("a", `disk.serial == "talos-disk-b"`, atLeast1GiB))
			expect(t, "volumes", volumesOf(t, n), tt.want)
			expect(t, "mounts", mountsOf(t, n), "")
			n.SetHooks(talostest.Hooks{})
			if err := n.Rescan(t.Context()); err != nil {
				t.Fatal(err)
			}
			expect(t, "after the fault", volumesOf(t, n), "u-a ready /dev/vdb1 10238 xfs")
			expect(t, "mounts after the fault", mountsOf(t, n), "/dev/vdb1 on /var/mnt/a")
		})
	}
}

// TestNodeGoesAwayWhileItFormats leaves a partition without a file system, which the next boot makes.
func TestNodeGoesAwayWhileItFormats(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V113})
	n.SetHooks(talostest.Hooks{Volume: func(_ context.Context, _ string, step talostest.VolumeStep) error {
		if step == talostest.VolumeFormat {
			n.Cut()
			return talostest.ErrStall
		}
		return nil
	}})
	// Who sends it may or may not get an answer.
	data := string(n.Config()) + user("a", `disk.serial == "talos-disk-b"`, atLeast1GiB)
	if err := n.SetConfig(t.Context(), []byte(data)); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if _, err := dial(t, n).Version(t.Context()); err == nil {
		t.Error("the node still answers")
	}
	expect(t, "contents", contentsOf(t, n), "vdb gpt\nvdb1  u-a")
	n.SetHooks(talostest.Hooks{})
	if err := errors.Join(n.Reboot(t.Context()), n.Restore()); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	expect(t, "volumes", volumesOf(t, n), "u-a ready /dev/vdb1 10238 xfs")
}

// TestBusyVolumeStays is a volume that something on the node is in: its document is gone, it is not.
func TestBusyVolumeStays(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V113})
	base := n.Config()
	configure(t, n, base, user("a", `disk.serial == "talos-disk-b"`, atLeast1GiB))
	sim := n.Machine().(*talostest.Sim)
	sim.SetBusy("/var/mnt/a", true)
	configure(t, n, base)
	expect(t, "volumes", volumesOf(t, n), "u-a ready /dev/vdb1 10238 xfs")
	sim.SetBusy("/var/mnt/a", false)
	if err := n.Rescan(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, "volumes", volumesOf(t, n), "")
}
