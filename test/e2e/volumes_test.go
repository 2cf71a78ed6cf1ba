// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// withVolumes publishes Talos's user volumes ssd-* and its raw volumes block-*.
func withVolumes() manifests.Provisioner {
	p := manifests.Default()
	p.Classes = []manifests.Class{
		{
			Name: "fs-storage", HostDir: "/var/mnt", MountDir: "/mnt/fast", NamePattern: "ssd-*",
			VolumeMode: corev1.PersistentVolumeFilesystem,
		},
		{Name: "block-storage", HostDir: "/dev/disk/by-partlabel", NamePattern: "r-block-*", VolumeMode: corev1.PersistentVolumeBlock},
	}
	return p
}

// volumeDocument is a volume of a kind on the disk of a serial number. More is the rest of it.
func volumeDocument(kind, name, serial, more string) string {
	return fmt.Sprintf("---\napiVersion: v1alpha1\nkind: %s\nname: %s\nprovisioning:\n    diskSelector:\n        match: disk.serial == %q\n%s",
		kind, name, serial, more)
}

// talosVolumes are a node's volumes but for EPHEMERAL: ID, phase, location, message.
func talosVolumes(t *testing.T, n *talosnode.Node) string {
	t.Helper()
	all, err := safe.StateListAll[*block.VolumeStatus](t.Context(), n.State())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for r := range all.All() {
		if s := r.TypedSpec(); r.Metadata().ID() != "EPHEMERAL" {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Metadata().ID(), s.Phase, s.Location, s.ErrorMessage)))
		}
	}
	return strings.Join(lines, "\n")
}

// TestTalosVolumes holds down what tests of layouts stand on: volumes of a Talos configuration are real on the node, the provisioner
// publishes them, pods run on them, and they can be wiped.
func TestTalosVolumes(t *testing.T) {
	begin(t, withVolumes())
	n := node(t, "worker-1")
	fast := addDisk(t, n, cluster.Disk{Size: 3 * gib})
	raw := addDisk(t, n, cluster.Disk{Size: 2 * gib})
	cleanupSh(t, n, `rmdir /var/mnt/ssd-1 /var/mnt/ssd-2`)
	talos := startTalos(t, talosnode.Options{})
	tn, before := talos.node(n.Name()), kubelets(t)
	plain := tn.Config()
	volumes := strings.Join([]string{
		string(plain),
		volumeDocument("UserVolumeConfig", "ssd-1", fast.Serial, "    maxSize: 1300MiB\n"),
		volumeDocument("UserVolumeConfig", "ssd-2", fast.Serial, "    minSize: 1GiB\nfilesystem:\n    type: ext4\n"),
		volumeDocument("RawVolumeConfig", "block-1", raw.Serial, "    minSize: 1GiB\n"),
	}, "")
	configure := func(config, want string) {
		t.Helper()
		if err := tn.SetConfig(t.Context(), []byte(config)); err != nil {
			t.Fatal(err)
		}
		if err := tn.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := talosVolumes(t, tn); got != want {
			t.Fatalf("volumes\n%s\nwant\n%s", got, want)
		}
	}
	made := fmt.Sprintf("r-block-1 ready /dev/%s1\nu-ssd-1 ready /dev/%s1\nu-ssd-2 ready /dev/%s2", raw.Name, fast.Name, fast.Name)
	configure(volumes, made)
	for _, name := range []string{"ssd-1", "ssd-2"} {
		if !sees(t, n, "/var/mnt/"+name) {
			t.Errorf("the kubelet does not see %s", name)
		}
	}
	if got := strings.TrimSpace(sh(t, n, `findmnt -n -o FSTYPE,OPTIONS /var/mnt/ssd-1`)); !strings.HasPrefix(got, "xfs") ||
		!strings.Contains(got, "nosuid,nodev") {
		t.Errorf("ssd-1 is mounted as %s", got)
	}

	volume(t, pvName("ssd-1", n.Name(), "fs-storage"))
	volume(t, pvName("ssd-2", n.Name(), "fs-storage"))
	volume(t, pvName("r-block-1", n.Name(), "block-storage"))
	usePods(t)
	waitReady(t, "writer")
	waitReady(t, "reader")
	if after := kubelets(t); !maps.Equal(before, after) {
		t.Errorf("the kubelets were restarted: %v to %v", before, after)
	}

	wipe := func(device string) error {
		return tn.Wipe(t.Context(), &storage.BlockDeviceWipeDescriptor{Device: device, DropPartition: true})
	}
	if err := wipe(fast.Name + "1"); err == nil || !strings.Contains(err.Error(), `in use by volume "u-ssd-1"`) {
		t.Errorf("wipe of a volume: %v", err)
	}
	// The volume's document is gone, but the pod is on it.
	configure(string(plain), "")
	busy := 0
	for _, device := range []string{fast.Name + "1", fast.Name + "2"} {
		if err := wipe(device); err != nil && strings.Contains(err.Error(), "is mounted or in use") {
			busy++
		}
	}
	if busy != 1 {
		t.Errorf("%d of two volumes are in use, and one pod runs", busy)
	}
	empty(t)
	// The kubelet unmounts what a pod had a moment after the pod is gone.
	eventually(t, 30*time.Second, func() string {
		if err := wipe(fast.Name); err != nil {
			return err.Error()
		}
		return ""
	})
	if err := wipe(raw.Name); err != nil {
		t.Error(err)
	}
	if got := sh(t, n, `cd /dev; find . -name "$1?" -o -name "$2?" -o -path '*-part?'; find disk/by-partlabel -type l; find /var/mnt/ssd-1`,
		fast.Name, raw.Name); strings.TrimSpace(got) != "/var/mnt/ssd-1" {
		t.Errorf("what is left: %s", got)
	}
	configure(volumes, made)
}

// TestTalosMachineDisks boots a node of a release that knows no other volumes.
func TestTalosMachineDisks(t *testing.T) {
	begin(t, manifests.Default())
	n := node(t, "worker-1")
	d := addDisk(t, n, cluster.Disk{Size: 2 * gib})
	talos := startTalos(t, talosnode.Options{Profile: talostest.V19})
	tn, starts := talos.node(n.Name()), talos.node(n.Name()).Kubelet().Starts
	const device = "/dev/disk/by-id/virtio-"
	path := classDirs["fs-storage"] + "/" + d.Name
	config := strings.NewReplacer(
		"machine:\n", "machine:\n    disks:\n        - device: "+device+d.Serial+"\n          partitions:\n            - mountpoint: "+path+"\n",
		"kubelet:\n", "kubelet:\n        extraMounts:\n            - destination: /var/lib/disks\n              type: bind\n"+
			"              source: /var/lib/disks\n              options: [rbind, rslave, rw]\n",
	).Replace(string(tn.Config()))
	if err := tn.Stage(t.Context(), []byte(config)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tn.Reboot(t.Context()), tn.Settle(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got, want := talosVolumes(t, tn), fmt.Sprintf("%s%s-1 ready /dev/%s1", device, d.Serial, d.Name); got != want {
		t.Errorf("volumes\n%s\nwant\n%s", got, want)
	}
	if got := tn.Kubelet(); got.State != "Running" || got.Starts != starts+1 {
		t.Errorf("the kubelet is %s, and was started %d times", got.State, got.Starts-starts)
	}
	if !sees(t, n, path) {
		t.Error("the kubelet does not see the disk")
	}
	volume(t, pvName(d.Name, n.Name(), "fs-storage"))
}
