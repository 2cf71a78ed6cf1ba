// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"context"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// wipe sends a request, and returns the answer's status.
func wipe(ctx context.Context, c *client.Client, devices ...*storage.BlockDeviceWipeDescriptor) *status.Status {
	_, err := c.StorageClient.BlockDeviceWipe(ctx, &storage.BlockDeviceWipeRequest{Devices: devices})
	return status.Convert(err)
}

// TestWipeIsRefused has Talos's refusals (internal/app/storaged/server.go, validateDeviceForWipe and wipeDevice).
func TestWipeIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		profile talostest.Profile
		roles   []role.Role
		devices []*storage.BlockDeviceWipeDescriptor
		code    codes.Code
		message string
	}{
		{
			name: "before v1.9", profile: "v1.8.4", devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdh"}},
			code: codes.Unimplemented, message: "unknown method BlockDeviceWipe for service storage.StorageService",
		},
		{
			name: "as a reader", profile: talostest.V113, roles: []role.Role{role.Reader},
			devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdh"}}, code: codes.PermissionDenied, message: "not authorized",
		},
		{
			name: "no such device", profile: talostest.V113, devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdx"}},
			code: codes.NotFound, message: `blockdevice "vdx" not found`,
		},
		{
			name: "a path", profile: talostest.V113, devices: []*storage.BlockDeviceWipeDescriptor{{Device: "/dev/vdh"}},
			code: codes.NotFound, message: `blockdevice "/dev/vdh" not found`,
		},
		{
			name: "read-only", profile: talostest.V113, devices: []*storage.BlockDeviceWipeDescriptor{{Device: "loop0"}},
			code: codes.FailedPrecondition, message: `blockdevice "loop0" is read-only`,
		},
		{
			name: "a CD-ROM", profile: talostest.V113, devices: []*storage.BlockDeviceWipeDescriptor{{Device: "sr0"}},
			code: codes.FailedPrecondition, message: `blockdevice "sr0" is a CD-ROM`,
		},
		{
			name: "a member", profile: talostest.V113, devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdg"}},
			code: codes.FailedPrecondition, message: `blockdevice "vdg" is in use by disk "dm-0"`,
		},
		{
			name: "a member that is not to be asked about, before v1.11", profile: "v1.10.9",
			devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdg", SkipSecondaryCheck: true}},
			code:    codes.FailedPrecondition, message: `blockdevice "vdg" is in use by disk "dm-0"`,
		},
		{
			name: "the disk of a volume", profile: talostest.V113, devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdb"}},
			code: codes.FailedPrecondition, message: `blockdevice "vdb" is in use by volume "u-a"`,
		},
		{
			name: "the partition of a volume", profile: talostest.V113, devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdb1"}},
			code: codes.FailedPrecondition, message: `blockdevice "vdb1" is in use by volume "u-a"`,
		},
		{
			name: "a partition of a disk that a volume wants as a whole", profile: talostest.V113,
			devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdi1"}},
			code:    codes.FailedPrecondition, message: `blockdevice "vdi" is in use by volume "u-whole"`,
		},
		{
			name: "the system's disk", profile: talostest.V113, devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vda"}},
			code: codes.FailedPrecondition, message: `blockdevice "vda" is in use by volume "EPHEMERAL"`,
		},
		{
			name: "a volume that is mounted, unasked", profile: talostest.V113,
			devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdb1", SkipVolumeCheck: true}},
			code:    codes.FailedPrecondition, message: `block device "vdb1" is mounted or in use`,
		},
		{
			name: "a volume that is mounted, unasked, before v1.12.2", profile: "v1.12.1",
			devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdb1", SkipVolumeCheck: true}},
			code:    codes.Internal, message: `failed to open block device "vdb1": device or resource busy`,
		},
		{
			name: "a method that is none", profile: talostest.V113, devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdh", Method: 7}},
			code: codes.InvalidArgument, message: "unsupported wipe method 7",
		},
		{
			name: "the second of two", profile: talostest.V113,
			devices: []*storage.BlockDeviceWipeDescriptor{{Device: "vdh"}, {Device: "vdb"}},
			code:    codes.FailedPrecondition, message: `blockdevice "vdb" is in use by volume "u-a"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := node(t, talostest.Options{Profile: tt.profile})
			for _, d := range []talostest.Disk{
				{Name: "vdh", Size: 1 << 30, Content: talostest.Content{Type: "ext4"}}, {Name: "sr0", Size: 1 << 30, CDROM: true},
				{Name: "dm-0", Size: 1 << 30, Secondaries: []string{"vdg"}},
				{Name: "vdi", Serial: "old", Size: 1 << 30, Partitions: []talostest.Partition{{Name: "x"}}},
			} {
				if err := n.AddDisk(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			documents := []string{user("a", `disk.serial == "talos-disk-b"`, atLeast1GiB), user("whole", `disk.serial == "old"`, wholeDisk)}
			switch tt.profile {
			case "v1.8.4":
				documents = nil
			case "v1.10.9":
				documents = documents[:1]
			}
			configure(t, n, n.Config(), documents...)
			before := contentsOf(t, n)
			got := wipe(t.Context(), dial(t, n, tt.roles...), tt.devices...)
			if got.Code() != tt.code || got.Message() != tt.message {
				t.Errorf("answered %s %q, want %s %q", got.Code(), got.Message(), tt.code, tt.message)
			}
			expect(t, "contents", contentsOf(t, n), before)
		})
	}
}

func TestWiping(t *testing.T) {
	t.Parallel()
	document := user("a", `disk.serial == "talos-disk-b"`, atLeast1GiB)
	for _, tt := range []struct {
		name     string
		profile  talostest.Profile
		document string
		device   *storage.BlockDeviceWipeDescriptor
		want     string
	}{
		{
			name: "a disk", profile: talostest.V113, document: document,
			device: &storage.BlockDeviceWipeDescriptor{Device: "vdb"}, want: "",
		},
		{
			name: "a disk, with zeroes", profile: talostest.V113, document: document,
			device: &storage.BlockDeviceWipeDescriptor{Device: "vdb", Method: storage.BlockDeviceWipeDescriptor_ZEROES}, want: "",
		},
		{
			name: "a partition", profile: talostest.V113, document: document,
			device: &storage.BlockDeviceWipeDescriptor{Device: "vdb1"}, want: "vdb gpt\nvdb1  u-a",
		},
		{
			name: "a partition, which goes too", profile: talostest.V113, document: document,
			device: &storage.BlockDeviceWipeDescriptor{Device: "vdb1", DropPartition: true}, want: "vdb gpt",
		},
		{
			name: "a partition, which does not go before v1.10", profile: talostest.V19,
			device: &storage.BlockDeviceWipeDescriptor{Device: "vdb1", DropPartition: true}, want: "vdb gpt\nvdb1  u-a",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := node(t, talostest.Options{Profile: tt.profile})
			c, base := dial(t, n), n.Config()
			if tt.document == "" {
				err := n.EditDisk(t.Context(), "vdb", func(d *talostest.Disk) {
					d.Partitions = []talostest.Partition{{Name: "u-a", Content: talostest.Content{Type: "xfs"}}}
				})
				if err != nil {
					t.Fatal(err)
				}
			} else {
				configure(t, n, base, tt.document)
				configure(t, n, base)
			}
			expect(t, "before", contentsOf(t, n), "vdb gpt\nvdb1 xfs u-a")
			if got := wipe(t.Context(), c, tt.device); got.Code() != codes.OK {
				t.Fatal(got.Err())
			}
			expect(t, "contents", contentsOf(t, n), tt.want)
			if tt.document == "" {
				return
			}
			// What is made after it has nothing of what was there.
			configure(t, n, base, tt.document)
			expect(t, "volumes", volumesOf(t, n), "u-a ready /dev/vdb1 10238 xfs")
		})
	}
}

// TestWipeLetsAVolumeBeMade is one that a signature was in the way of.
func TestWipeLetsAVolumeBeMade(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V114})
	if err := n.AddDisk(t.Context(), talostest.Disk{
		Name: "vdh", Serial: "old", Size: 2 << 30, Content: talostest.Content{Type: "lvm2-pv"},
	}); err != nil {
		t.Fatal(err)
	}
	configure(t, n, n.Config(), user("a", `disk.serial == "old"`, atLeast1GiB))
	expect(t, "volumes", volumesOf(t, n), "u-a failed  0 none no disks matched for volume (1 matched selector): "+
		"0 have not enough space, 1 have wrong format, 0 have other issues")
	if got := wipe(t.Context(), dial(t, n), &storage.BlockDeviceWipeDescriptor{Device: "vdh"}); got.Code() != codes.OK {
		t.Fatal(got.Err())
	}
	settle(t, n)
	expect(t, "volumes", volumesOf(t, n), "u-a ready /dev/vdh1 2046 xfs")
	if _, err := n.State().Get(t.Context(), block.NewSymlink(block.NamespaceName, "vdh1").Metadata()); err != nil {
		t.Errorf("udev's names of the partition: %v", err)
	}
}
