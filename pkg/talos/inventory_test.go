// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// userVolume gives a node a user volume on vdb, with everything that tells of it.
func userVolume(t *testing.T, n *talostest.Node) {
	t.Helper()
	found := block.NewDiscoveredVolume(block.NamespaceName, "vdb1")
	*found.TypedSpec() = block.DiscoveredVolumeSpec{
		DevPath:        "/dev/vdb1",
		Type:           "partition",
		Parent:         "vdb",
		Size:           1 << 30,
		Name:           "luks",
		PartitionLabel: "u-data",
	}
	volume := block.NewVolumeStatus(block.NamespaceName, "u-data")
	*volume.TypedSpec() = block.VolumeStatusSpec{
		Phase: block.VolumePhaseProvisioned, Type: block.VolumeTypePartition, Location: "/dev/vdb1", MountLocation: "/dev/dm-0",
		ParentLocation: "/dev/vdb",
		Size:           1 << 30, Filesystem: block.FilesystemTypeEXT4, ErrorMessage: "not yet", ConfiguredEncryptionKeys: []string{"CANARY-key"},
	}
	directory := block.NewMountStatus(block.NamespaceName, "u-dir")
	*directory.TypedSpec() = block.MountStatusSpec{Target: "/var/mnt/dir"}
	mount := block.NewMountStatus(block.NamespaceName, "u-data")
	*mount.TypedSpec() = block.MountStatusSpec{
		Source:   "/dev/dm-0",
		Target:   "/var/mnt/data",
		ReadOnly: true,
		Spec:     block.MountRequestSpec{VolumeID: "u-data"},
	}
	disk := block.NewDisk(block.NamespaceName, "nvme0n1")
	*disk.TypedSpec() = block.DiskSpec{
		DevPath:        "/dev/nvme0n1",
		Size:           4 << 30,
		Model:          "Fast",
		Serial:         " S1 ",
		WWID:           "eui.1  2",
		Transport:      "nvme",
		SecondaryDisks: []string{"vdc"},
	}
	links := block.NewSymlink(block.NamespaceName, "nvme0n1")
	links.TypedSpec().Paths = []string{"/dev/disk/by-id/nvme-eui.1"}
	for _, r := range []resource.Resource{found, volume, directory, mount, disk, links} {
		if err := n.State().Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// What Talos itself complains about is told, with what it says of the details.
func TestInventoryDiagnostics(t *testing.T) {
	n := start(t, talostest.Options{})
	d := runtime.NewDiagnostic(runtime.NamespaceName, "address-overlap")
	*d.TypedSpec() = runtime.DiagnosticSpec{Message: "host and Kubernetes addresses overlap", Details: []string{"10.0.0.0/8"}}
	if err := n.State().Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	reported, err := connect(t, n.Cluster(), talostest.Access{Roles: []role.Role{role.Reader}}).Inventory(deadline(t),
		machineOf(n.Name(), "127.0.0.1"))
	want := []snapshot.TalosDiagnostic{{
		ID:      "address-overlap",
		Message: "host and Kubernetes addresses overlap",
		Details: []string{"10.0.0.0/8"},
	}}
	if err != nil || reported.Diagnostics.Value == nil || !reflect.DeepEqual(*reported.Diagnostics.Value, want) {
		t.Errorf("%+v, %v", reported.Diagnostics, err)
	}
}

// TestInventory is what each kind of release tells, to whom.
func TestInventory(t *testing.T) {
	for _, profile := range []talostest.Profile{talostest.V16, talostest.V19, talostest.V111, talostest.V113, talostest.V114} {
		t.Run(string(profile), func(t *testing.T) {
			n := start(t, talostest.Options{Profile: profile})
			userVolume(t, n)
			var last string
			for _, r := range []role.Role{role.Reader, role.Admin} {
				reported, err := connect(t, n.Cluster(), talostest.Access{Roles: []role.Role{r}}).Inventory(deadline(t),
					machineOf(n.Name(), "127.0.0.1"))
				if err != nil {
					t.Fatal(err)
				}
				checkInventory(t, profile, reported)
				text, err := json.Marshal(reported)
				if err != nil || strings.Contains(string(text), "CANARY") {
					t.Errorf("%s, %v", text, err)
				}
				if last != "" && last != string(text) {
					t.Errorf("%s sees something else:\n%s\n%s", r, text, last)
				}
				last = string(text)
			}
		})
	}
}

func checkInventory(t *testing.T, profile talostest.Profile, reported snapshot.Talos) {
	t.Helper()
	if k := reported.Kubelet.Value; k == nil || k.State != "Running" || k.Healthy != "yes" || k.Unhealthy != "" {
		t.Errorf("kubelet %+v", reported.Kubelet)
	}
	legacy, early := profile == talostest.V16, profile == talostest.V16 || profile == talostest.V19
	if reported.Legacy != legacy || len(reported.Unread()) != 0 {
		t.Errorf("legacy %v, unread %q", reported.Legacy, reported.Unread())
	}
	if reported.Disks.Value == nil || reported.System.Value == nil || reported.Mounts.Value == nil {
		t.Fatalf("%+v", reported)
	}
	names := make([]string, 0, len(*reported.Disks.Value))
	for _, d := range *reported.Disks.Value {
		names = append(names, d.Name)
	}
	if want := []string{"loop0", "nvme0n1", "vda", "vdb", "vdc", "vdd", "vde", "vdf", "vdg"}; !slices.Equal(names, want) ||
		*reported.System.Value != "vda" {
		t.Fatalf("disks %q, system disk %q", names, *reported.System.Value)
	}
	d := (*reported.Disks.Value)[1]
	wwid, transport, secondaries := "eui.1 2", "nvme", []string{"vdc"}
	if legacy {
		wwid, transport, secondaries = "", "", nil
	}
	if d.Size != 4<<30 || d.Model != "Fast" || d.Serial != "S1" || d.WWID != wwid || d.Transport != transport ||
		!slices.Equal(d.Secondaries, secondaries) {
		t.Errorf("%+v", d)
	}
	if want := []string{"/dev/disk/by-id/nvme-eui.1"}; !early && !slices.Equal(d.Symlinks, want) {
		t.Errorf("names %q", d.Symlinks)
	}
	mount := snapshot.TalosMount{Source: "/dev/dm-0", Target: "/var/mnt/data", Volume: "u-data", ReadOnly: true}
	if early { // /proc/mounts knows no volumes.
		mount.Volume, mount.ReadOnly = "", false
	}
	if !slices.Contains(*reported.Mounts.Value, mount) || len(*reported.Mounts.Value) != 2 {
		t.Errorf("mounts %+v", *reported.Mounts.Value)
	}
	if (reported.Links.Value == nil) != early || (reported.Volumes.Value == nil) != legacy || (reported.Devices.Value == nil) != legacy {
		t.Fatalf("links %q, volumes %q, devices %q", reported.Links.Why(), reported.Volumes.Why(), reported.Devices.Why())
	}
	if legacy {
		return
	}
	want := snapshot.TalosVolume{
		ID: "u-data", Type: "partition", Phase: "provisioned", Location: "/dev/vdb1", MountLocation: "/dev/dm-0", ParentLocation: "/dev/vdb",
		Filesystem: "ext4", Size: 1 << 30, Problem: "not yet",
	}
	if !slices.Contains(*reported.Volumes.Value, want) || len(*reported.Volumes.Value) != 4 {
		t.Errorf("volumes %+v", *reported.Volumes.Value)
	}
	if want := (snapshot.TalosDevice{
		Name:           "vdb1",
		Parent:         "vdb",
		Content:        "luks",
		PartitionLabel: "u-data",
		Size:           1 << 30,
	}); !slices.Contains(*reported.Devices.Value, want) {
		t.Errorf("devices %+v", *reported.Devices.Value)
	}
}

// TestInventoryInPart is a node that does not tell everything.
func TestInventoryInPart(t *testing.T) {
	n := start(t, talostest.Options{})
	c := connect(t, n.Cluster(), talostest.Access{Roles: []role.Role{role.Reader}})
	n.SetHooks(talostest.Hooks{Before: talostest.Fail(status.Error(codes.Internal, "the state is gone"), "cosi.List")})
	reported, err := c.Inventory(deadline(t), machineOf(n.Name(), "127.0.0.1"))
	if err != nil || reported.Legacy || reported.System.Value == nil || reported.Disks.Value != nil {
		t.Fatalf("%+v, %v", reported, err)
	}
	unread := strings.Join(reported.Unread(), "; ")
	for _, part := range []string{"disks: ", "discovered volumes: ", "volumes: ", "mounts: ", "the state is gone"} {
		if !strings.Contains(unread, part) {
			t.Errorf("%q does not say %q", unread, part)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	n.SetHooks(talostest.Hooks{Before: talostest.Hang("cosi.List")})
	if reported, err = c.Inventory(ctx, machineOf(n.Name(), "127.0.0.1")); err == nil && reported.Disks.Value != nil {
		t.Errorf("a node that hangs told %+v", reported)
	}

	n.SetHooks(talostest.Hooks{})
	if err := n.State().Destroy(t.Context(), block.NewSystemDisk(block.NamespaceName, block.SystemDiskID).Metadata()); err != nil {
		t.Fatal(err)
	}
	reported, err = c.Inventory(deadline(t), machineOf(n.Name(), "127.0.0.1"))
	if err != nil || reported.System.Value != nil || reported.System.Problem.Message != noSystemDisk || reported.Disks.Value == nil {
		t.Errorf("without a system disk: %+v, %v", reported, err)
	}
}

// TestInventoryOfNothing is a node of which nothing can be said.
func TestInventoryOfNothing(t *testing.T) {
	n := start(t, talostest.Options{})
	c := connect(t, n.Cluster(), talostest.Access{})
	if _, err := c.Inventory(deadline(t), machineOf("another", "127.0.0.1")); !errors.Is(err, ErrOtherNode) {
		t.Errorf("another node: %v", err)
	}
	n.Cut()
	if _, err := c.Inventory(deadline(t), machineOf(n.Name(), "127.0.0.1")); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a node that is gone: %v", err)
	}
}
