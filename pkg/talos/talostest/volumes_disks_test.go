// SPDX-License-Identifier: Apache-2.0

package talostest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
)

// withDisks puts machine.disks into a configuration.
func withDisks(t *testing.T, base []byte, disks string) []byte {
	t.Helper()
	text := strings.Replace(string(base), "machine:\n", "machine:\n    disks:\n"+disks, 1)
	if text == string(base) {
		t.Fatal("no machine in the configuration")
	}
	return []byte(text)
}

// userDisk is an entry of machine.disks with one partition of the whole disk.
func userDisk(device, mountpoint string) string {
	return "        - device: " + device + "\n          partitions:\n            - mountpoint: " + mountpoint + "\n"
}

// mountedOn is what the node's /proc/mounts has below /var.
func mountedOn(t *testing.T, n *talostest.Node) string {
	t.Helper()
	answer, err := dial(t, n).MachineClient.Mounts(t.Context(), &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, m := range answer.GetMessages()[0].GetStats() {
		if strings.HasPrefix(m.GetMountedOn(), "/var/") {
			lines = append(lines, m.GetFilesystem()+" on "+m.GetMountedOn())
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestMachineDisksByRelease is how an entry comes into force, and what becomes of the disk: block/user_disk_config.go from v1.8 on,
// before that v1alpha1_sequencer_tasks.go, partitionAndFormatDisks. The ID and the live change are of live-rslave-works.txt.
func TestMachineDisksByRelease(t *testing.T) {
	t.Parallel()
	const mountpoint = "/var/lib/disks/hdd/vde"
	xfs := talostest.Content{Type: "xfs"}
	for _, tt := range []struct {
		name      string
		profile   talostest.Profile
		device    string
		edit      func(*talostest.Disk)
		reboots   int
		volumes   string
		contents  string
		mounted   string
		noKubelet bool
	}{
		{
			name: "v1.6", profile: talostest.V16, device: "/dev/vde", reboots: 1,
			volumes: "/dev/vde-1 ready /dev/vde1 5118 xfs", contents: "vde gpt\nvde1 xfs", mounted: "/dev/vde1 on " + mountpoint,
		},
		{
			name: "v1.6, over a file system", profile: talostest.V16, device: "/dev/vde", reboots: 1,
			edit:    func(d *talostest.Disk) { d.Content = talostest.Content{Type: "ext4"} },
			volumes: "/dev/vde-1 ready /dev/vde1 5118 xfs", contents: "vde gpt\nvde1 xfs", mounted: "/dev/vde1 on " + mountpoint,
		},
		{
			name: "v1.6, what has partitions", profile: talostest.V16, device: "/dev/vde", reboots: 1,
			edit: func(d *talostest.Disk) {
				d.Partitions = []talostest.Partition{{Name: "x", Size: 1 << 30, Content: xfs}}
			},
			volumes: "/dev/vde-1 ready /dev/vde1 1024 xfs", contents: "vde gpt\nvde1 xfs x", mounted: "/dev/vde1 on " + mountpoint,
		},
		{
			name: "v1.9", profile: talostest.V19, device: "/dev/vde", reboots: 1,
			volumes: "/dev/vde-1 ready /dev/vde1 5118 xfs", contents: "vde gpt\nvde1 xfs", mounted: "/dev/vde1 on " + mountpoint,
		},
		{
			name: "v1.9, by a link", profile: talostest.V19, device: "/dev/disk/by-id/virtio-talos-disk-e", reboots: 1,
			volumes:  "/dev/disk/by-id/virtio-talos-disk-e-1 ready /dev/vde1 5118 xfs",
			contents: "vde gpt\nvde1 xfs", mounted: "/dev/vde1 on " + mountpoint,
		},
		{
			name: "v1.9, not over a file system", profile: talostest.V19, device: "/dev/vde", reboots: 1,
			edit:    func(d *talostest.Disk) { d.Content = talostest.Content{Type: "ext4"} },
			volumes: "/dev/vde-1 failed  0 none no disks matched for volume", contents: "vde ext4", noKubelet: true,
		},
		{
			name: "v1.9, another file system", profile: talostest.V19, device: "/dev/vde", reboots: 1,
			edit: func(d *talostest.Disk) {
				d.Partitions = []talostest.Partition{{Name: "x", Content: talostest.Content{Type: "ext4"}}}
			},
			volumes:  "/dev/vde-1 failed /dev/vde1 5118 none filesystem type mismatch: ext4 != xfs",
			contents: "vde gpt\nvde1 ext4 x", noKubelet: true,
		},
		{name: "v1.9, no such disk", profile: talostest.V19, device: "/dev/vdx", reboots: 1, noKubelet: true},
		{
			name: "v1.13", profile: talostest.V113, device: "/dev/vde", reboots: 1,
			volumes: "/dev/vde-1 ready /dev/vde1 5118 xfs", contents: "vde gpt\nvde1 xfs", mounted: "/dev/vde1 on " + mountpoint,
		},
		{
			name: "v1.14", profile: talostest.V114, device: "/dev/vde",
			volumes: "/dev/vde-1 ready /dev/vde1 5118 xfs", contents: "vde gpt\nvde1 xfs", mounted: "/dev/vde1 on " + mountpoint,
		},
		{name: "v1.14, no such disk", profile: talostest.V114, device: "/dev/vdx"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := node(t, talostest.Options{Profile: tt.profile})
			if tt.edit != nil {
				if err := n.EditDisk(t.Context(), "vde", tt.edit); err != nil {
					t.Fatal(err)
				}
			}
			data, c := withDisks(t, n.Config(), userDisk(tt.device, mountpoint)), dial(t, n)
			_, err := apply(t, c, data, machine.ApplyConfigurationRequest_NO_REBOOT, false)
			if refused := status.Convert(err).Message(); tt.reboots > 0 !=
				strings.HasPrefix(refused, "this config change can't be applied in immediate mode") {
				t.Fatalf("at once: answered %v", err)
			}
			if err != nil {
				if _, err := apply(t, c, data, machine.ApplyConfigurationRequest_STAGED, false); err != nil {
					t.Fatal(err)
				}
				settle(t, n)
				expect(t, "volumes, staged", volumesOf(t, n), "")
				if err := n.Reboot(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			settle(t, n)
			expect(t, "volumes", volumesOf(t, n), tt.volumes)
			expect(t, "contents", contentsOf(t, n), tt.contents)
			expect(t, "mounted", mountedOn(t, n), tt.mounted)
			if runs := n.Kubelet().State == "Running"; runs == tt.noKubelet {
				t.Errorf("the kubelet is %s", n.Kubelet().State)
			}
		})
	}
}

// TestBootGoesOnWithItsDisk is a boot that waited for one of machine.disks.
func TestBootGoesOnWithItsDisk(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V19})
	if err := n.Stage(t.Context(), withDisks(t, n.Config(), userDisk("/dev/vdh", "/var/hdd"))); err != nil {
		t.Fatal(err)
	}
	if err := n.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if got := n.Kubelet(); got.State != "Initialized" || got.PID != 0 {
		t.Errorf("the kubelet is %s", got.State)
	}
	if err := n.AddDisk(t.Context(), talostest.Disk{Name: "vdh", Size: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if got := n.Kubelet(); got.State != "Running" {
		t.Errorf("the kubelet is %s", got.State)
	}
}

// TestPartitionsOfMachineDisks are found by their numbers, and made in their order.
func TestPartitionsOfMachineDisks(t *testing.T) {
	t.Parallel()
	n := node(t, talostest.Options{Profile: talostest.V114})
	base := n.Config()
	entry := "        - device: /dev/vde\n          partitions:\n" +
		"            - mountpoint: /var/a\n              size: 2GB\n            - mountpoint: /var/b\n"
	send := func(data []byte) {
		t.Helper()
		if _, err := apply(t, dial(t, n), data, machine.ApplyConfigurationRequest_NO_REBOOT, false); err != nil {
			t.Fatal(err)
		}
		settle(t, n)
	}
	send(withDisks(t, base, entry))
	expect(t, "volumes", volumesOf(t, n), "/dev/vde-1 ready /dev/vde1 1907 xfs\n/dev/vde-2 ready /dev/vde2 3210 xfs")
	expect(t, "mounted", mountedOn(t, n), "/dev/vde1 on /var/a\n/dev/vde2 on /var/b")
	// Without the entry they stay, and an existing volume takes one up.
	send([]byte(string(base) + existing("hdd-1", `volume.partition_index == 2u && disk.serial == "talos-disk-e"`)))
	expect(t, "volumes", volumesOf(t, n), "e-hdd-1 ready /dev/vde2 3210 xfs")
	expect(t, "mounted", mountedOn(t, n), "/dev/vde2 on /var/mnt/hdd-1")
}
