// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

func fixtures(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.probe")
	if err != nil || len(names) < 3 {
		t.Fatalf("fixtures %v, %v", names, err)
	}
	return names
}

// load is what the script of a fixture said.
func load(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw(t, string(b))
}

func parsed(t *testing.T, name string) snapshot.PodView {
	t.Helper()
	view, err := Parse(load(t, "testdata/"+name+".probe"))
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func TestFixtures(t *testing.T) {
	for _, name := range fixtures(t) {
		out := load(t, name)
		if _, err := Parse(out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again := raw(t, readable(t, out)); again != out {
			t.Errorf("%s does not come back from its readable form", name)
		}
		cut(t, out)
	}
}

func TestParseHardware(t *testing.T) {
	view := parsed(t, "hardware")
	byName := make(map[string]disk.Disk)
	var names []string
	for _, d := range view.Disks {
		byName[d.Name] = d
		names = append(names, d.Name)
	}
	if want := "sda sdb sdc sdd sde sr0 vda vdb dm-0 dm-1 dm-2 gone md127 nvme0n1 nvme0n1p3"; strings.Join(names, " ") != want {
		t.Errorf("disks %v, want %s", names, want)
	}
	for name, kind := range map[string]disk.Kind{
		"nvme0n1": disk.KindDisk, "nvme0n1p3": disk.KindPartition, "sda": disk.KindDisk, "sr0": disk.KindCDROM, "dm-0": disk.KindMapper,
		"dm-2": disk.KindMapper, "md127": disk.KindRAID, "sde": disk.KindDisk, "vda": disk.KindDisk, "gone": disk.KindDisk,
	} {
		if got := byName[name].Kind; got != kind {
			t.Errorf("%s is a %s, want %s", name, got, kind)
		}
	}
	nvme := byName["nvme0n1"]
	if nvme.Model != "SAMSUNG MZVL2512HCJQ-00B00" || nvme.Serial != "S675NX0T123456" || nvme.WWID != "eui.0025388" ||
		nvme.Size != 1000215216*512 || nvme.Rotational ||
		len(nvme.Fingerprint) != 64 || !slices.Equal(nvme.ByID, []string{"nvme-eui.0025388"}) {
		t.Errorf("nvme0n1: %+v", nvme)
	}
	if nvme.Content == nil || nvme.Content.Busy != disk.Yes || nvme.Content.Signature.PartitionTable != "gpt" {
		t.Errorf("nvme0n1 holds %+v", nvme.Content)
	}
	if p := byName["nvme0n1p3"]; p.Parent != "nvme0n1" || p.PartLabel != "root" || p.Content != nil {
		t.Errorf("nvme0n1p3: %+v", p)
	}
	if d := byName["sda"]; d.WWID != "naa.600a0980" || d.WWID != byName["sdb"].WWID || d.Vendor != "NETAPP" || !d.Rotational ||
		!slices.Equal(d.Holders, []string{"dm-0"}) ||
		!slices.Equal(d.ByID, []string{"scsi-3600a0980", "wwn-0x600a0980"}) || d.Content.Signed != disk.No || d.Content.Busy != disk.Yes {
		t.Errorf("sda: %+v", d)
	}
	if d := byName["sdb"]; !slices.Equal(d.ByID, []string{"scsi-3600a0980-second"}) {
		t.Errorf("8:10 in hexadecimal is 8:16: %+v", d)
	}
	if d := byName["sdc"]; d.WWID != "t10.ATA ST8000NM000A-2KE101 WSD12345" || d.Content != nil {
		t.Errorf("sdc: %+v", d)
	}
	if d := byName["dm-0"]; !slices.Equal(d.Slaves, []string{"sda", "sdb"}) || !slices.Equal(d.ByID, []string{"dm-uuid-mpath-3600a0980"}) {
		t.Errorf("dm-0: %+v", d)
	}
	if d := byName["dm-1"]; !slices.Equal(d.Slaves, []string{"sdc"}) || !slices.Equal(d.Holders, []string{"dm-2"}) {
		t.Errorf("dm-1: %+v", d)
	}
	if d := byName["sde"]; !d.Removable || d.Vendor != "SanDisk" {
		t.Errorf("sde: %+v", d)
	}
	if d := byName["vda"]; d.Serial != "data-1" || d.Vendor != "" ||
		!slices.Equal(d.ByPath, []string{"pci-0000:00:06.0", "virtio-pci-0000:00:06.0"}) {
		t.Errorf("vda: %+v", d)
	}
	if d := byName["vdb"]; d.Identity().Known() || len(d.ByID) != 0 {
		t.Errorf("vdb: %+v", d)
	}
	if d := byName["gone"]; d.Size != 0 || d.Kernel != "" || len(d.Objections()) == 0 {
		t.Errorf("gone: %+v", d)
	}
	if dir := view.Dirs["block"]; !dir.Exists || !dir.Writable || !dir.MountPoint || len(dir.Entries) != 1 || dir.Entries[0].Device != "8:32" {
		t.Errorf("the directory: %+v", dir)
	}
	if dir := view.Dirs["files"]; !dir.MountPoint || dir.Writable {
		t.Errorf("the directory with a space: %+v", dir)
	}
	if len(view.Paths) != 1 || view.Paths["/dev/disk/by-id/virtio-data-1"] != (disk.Number{Major: 254}) {
		t.Errorf("paths %v", view.Paths)
	}
	// /etc/hosts is on no device here, which is no problem: the class directories are.
	if system := disk.NewSet(view.Disks, disk.Doubts{}).SystemDisks(view.Beneath); view.BeneathProblem != "" ||
		system[nvme.Number] != "holds /mnt/block" || len(system) != 2 {
		t.Errorf("system disks %v, %q", system, view.BeneathProblem)
	}
}

func TestParseTalos(t *testing.T) {
	view := parsed(t, "talos")
	view.Beneath = nil // The names of the partitions must do.
	set := disk.NewSet(view.Disks, disk.Doubts{})
	system := set.SystemDisks(view.Beneath)
	if len(system) != 1 || system[disk.Number{Major: 254}] != "has a partition named EFI" {
		t.Errorf("system disks %v", system)
	}
	b, _ := view.DiskByName("vdb")
	if o := b.Objections(); len(o) != 0 {
		t.Errorf("against vdb: %v", o)
	}
	if target, warning, err := set.Target(b, disk.TargetAuto); target != "/dev/disk/by-id/virtio-talos-disk-b" || warning != "" || err != nil {
		t.Errorf("the target of vdb: %q, %q, %v", target, warning, err)
	}
	c, _ := view.DiskByName("vdc")
	if o := c.Objections(); len(o) != 1 || o[0].Message != `has an xfs filesystem labelled "data"` {
		t.Errorf("against vdc: %v", o)
	}
}

func TestParseLoops(t *testing.T) {
	view := parsed(t, "loops")
	if dir := view.Dirs["block"]; len(dir.Entries) != 15 || !dir.MountPoint {
		t.Errorf("%d entries: %+v", len(dir.Entries), dir)
	}
	b, _ := view.DiskByName("vdb")
	c, _ := view.DiskByName("vdc")
	d, _ := view.DiskByName("vdd")
	if b.Kind != disk.KindLoop || b.Content.Signed != disk.No || b.Content.Busy != disk.No || c.Content.Signature.Type != "ext4" ||
		d.Content.Signature.PartitionTable != "dos" {
		t.Errorf("%+v, %+v, %+v", b.Content, c.Content, d.Content)
	}
}

func TestParseRefuses(t *testing.T) {
	const start = "start\n  version=1\n"
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                  {"end\n", "does not begin as it should"},
		"another beginning":        {"dir\nend\n", "does not begin as it should"},
		"another version":          {"start\n  version=2\nend\n", "does not begin as it should"},
		"mountinfo":                {"start\n  version=1\n  mountinfo=x\nend\n", "mountinfo is not understood"},
		"unknown record":           {start + "wish\nend\n", `unknown record "wish"`},
		"a second start":           {start + "start\n  version=1\nend\n", `unknown record "start"`},
		"a disk without a number":  {start + "disk\n  name=vdb\nend\n", "not MAJOR:MINOR"},
		"a size that is none":      {start + "disk\n  name=vdb\n  number=1:1\n  size=x\nend\n", "is not a number"},
		"a size beyond 64 bits":    {start + "disk\n  name=vdb\n  number=1:1\n  size=36028797018963968\nend\n", "is not a number"},
		"a path's number":          {start + "path\n  path=/dev/x\n  number=x\nend\n", "not MAJOR:MINOR"},
		"a volume's number":        {start + "volume\n  path=/dev/x\n  number=x\nend\n", "not MAJOR:MINOR"},
		"what lies beneath":        {start + "home\n  dir=/x\n  beneath=1:1 x\nend\n", "not MAJOR:MINOR"},
		"a step of another script": {start + "step\n  result=created\nend\n", `unknown record "step"`},
	} {
		if view, err := Parse(raw(t, c.text)); err == nil || !strings.Contains(err.Error(), c.want) || view.Disks != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	view, err := Parse(raw(t,
		start+"dir\n  class=a\n  path=/a\nhome\n  dir=/a\n  problem=no\nentry\n  class=a\n  name=\"x\\ny\"\n  kind=link\n  problem=bad\nend\n"))
	if err != nil || !strings.Contains(view.BeneathProblem, `class "a"`) || view.Dirs["a"].Problem != `"x\ny": bad` {
		t.Errorf("problems: %+v, %v", view, err)
	}
	if view, err = Parse(raw(t, start+"disk\n  number=1:1\n  name=x\n  size=36028797018963967\nend\n")); err != nil ||
		view.Disks[0].Size != (1<<55-1)*512 {
		t.Errorf("the largest size: %+v, %v", view, err)
	}
}

func TestArgs(t *testing.T) {
	got := Look{
		Classes: []provisioner.Class{{Name: "a", MountDir: "/mnt/a b", HostDir: "/h"}, {Name: "c", MountDir: "/mnt/c"}},
		Closely: []string{"vd*", "/dev/disk/by-id/x"}, Volumes: []string{"/v1", "/v2", "/v3"},
	}.args()
	if want := []string{"3", "a", "/mnt/a b", "c", "/mnt/c", "--", "vd*", "/dev/disk/by-id/x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// How a disk is reached is known by its place in sysfs, and by its NVMe controllers.
func TestTransport(t *testing.T) {
	for _, c := range []struct {
		sysfs, controllers, want string
		virtual                  bool
	}{
		{"/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda", "", "sata", false},
		{"/sys/devices/pci0000:00/0000:01:00.0/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sda", "", "", false},
		{"/sys/devices/platform/host2/session1/target2:0:0/2:0:0:1/block/sdb", "", "iscsi", false},
		{"/sys/devices/pci0000:00/0000:05:00.0/host7/session12/target7:0:0/7:0:0:0/block/sdb", "", "iscsi", false},
		{"/sys/devices/pci0000:80/0000:82:00.0/host1/rport-1:0-2/target1:0:0/1:0:0:0/block/sdc", "", "fc", false},
		{"/sys/devices/virtual/net/eth0.100/host4/rport-4:0-0/target4:0:0/4:0:0:0/block/sdc", "", "fc", false},
		{"/sys/devices/pci0000:00/0000:01:00.0/infiniband_srp/srp-mlx5_0-1/host7/target7:0:0/7:0:0:0/block/sdd", "", "srp", false},
		{"/sys/devices/platform/vhci_hcd.0/usb3/3-1/3-1:1.0/host9/target9:0:0/9:0:0:0/block/sde", "", "usbip", false},
		{"/sys/devices/pseudo_0/adapter0/host10/target10:0:0/10:0:0:0/block/sdf", "", "scsi-loop", false},
		{"/sys/devices/tcm_loop_0/tcm_loop_adapter_0/host11/target11:0:1/11:0:1:0/block/sdg", "", "scsi-loop", false},
		{"/sys/devices/pci0000:00/0000:02:00.0/nvme/nvme0/nvme0n1", "pcie", "", false},
		{"/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", "pcie", "", false},
		{"/sys/devices/platform/soc/27bcc0000.nvme/nvme/nvme0/nvme0n1", "apple-nvme", "", false},
		{"/sys/devices/virtual/nvme-fabrics/ctl/nvme1/nvme1n1", "tcp", "nvme-tcp", false},
		{"/sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1", "rdma fc", "nvme-rdma", false},
		{"/sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1", "pcie loop", "nvme-loop", false},
		{"/sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1", "", "nvme-unseen", false},
		{"/sys/devices/virtual/block/nbd0", "", "", true},
		{"/sys/devices/rbd/0/block/rbd0", "", "", false},
		{"/sys/devices/virtual/block/loop0", "", "", false},
		{"/sys/devices/virtual/block/dm-0", "", "", false},
		{"/sys/devices/pci0000:00/0000:00:05.0/virtio3/block/vdb", "", "", false},
		{"/sys/devices/vio/2000/session-not/block/sdh", "", "", false},
	} {
		text := "start\n  version=1\ndisk\n  name=x\n  number=1:1\n  sysfs=" + c.sysfs + "\n"
		for word := range strings.FieldsSeq(c.controllers) {
			text += "  transport=" + word + "\n"
		}
		view, err := Parse(raw(t, text+"end\n"))
		if err != nil {
			t.Fatal(err)
		}
		if d := view.Disks[0]; d.Transport != c.want || d.Virtual != c.virtual {
			t.Errorf("%s (%s): %q, virtual %v; want %q, %v", c.sysfs, c.controllers, d.Transport, d.Virtual, c.want, c.virtual)
		}
	}
}
