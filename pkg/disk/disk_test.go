// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestNumber(t *testing.T) {
	for in, want := range map[string]Number{"7:0": {7, 0}, "254:16": {254, 16}, "4294967295:4294967295": {1<<32 - 1, 1<<32 - 1}} {
		if got, err := ParseNumber(in); err != nil || got != want || got.String() != in {
			t.Errorf("ParseNumber(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ":", "7", "7:", ":0", "a:b", "7:0:1", "-7:0", "7: 0", "4294967296:0", "0x7:0"} {
		if got, err := ParseNumber(in); err == nil {
			t.Errorf("ParseNumber(%q) = %v", in, got)
		}
	}
	b, err := json.Marshal(map[Number]Number{{7, 0}: {7, 1}})
	if err != nil || string(b) != `{"7:0":"7:1"}` {
		t.Errorf("in JSON: %s, %v", b, err)
	}
	var back map[Number]Number
	if err := json.Unmarshal(b, &back); err != nil || back[Number{7, 0}] != (Number{7, 1}) {
		t.Errorf("from JSON: %v, %v", back, err)
	}
	if json.Unmarshal([]byte(`"x"`), new(Number)) == nil {
		t.Error("a number that is none is taken")
	}
}

func TestSignatureString(t *testing.T) {
	for want, s := range map[string]Signature{
		"signatures of several kinds":                    {Ambiguous: true, Type: "xfs"},
		"an xfs filesystem":                              {Type: "xfs", Usage: "filesystem"},
		`an ext4 filesystem labelled "a b"`:              {Type: "ext4", Usage: "filesystem", Label: "a b"},
		`an ext4 filesystem labelled "\x1b[31m"`:         {Type: "ext4", Usage: "filesystem", Label: "\x1b[31m"},
		"a btrfs filesystem":                             {Type: "btrfs", Usage: "filesystem"},
		"a vfat filesystem":                              {Type: "vfat", Usage: "filesystem"},
		"an LVM physical volume":                         {Type: "LVM2_member", Usage: "raid"},
		`a Linux RAID member labelled "h:0"`:             {Type: "linux_raid_member", Usage: "raid", Label: "h:0"},
		"a LUKS container":                               {Type: "crypto_LUKS", Usage: "crypto"},
		"a Ceph BlueStore OSD":                           {Type: "ceph_bluestore", Usage: "other"},
		"a swap area":                                    {Type: "swap", Usage: "other"},
		"an isw_raid_member RAID signature":              {Type: "isw_raid_member", Usage: "raid"},
		"a bcache signature":                             {Type: "bcache", Usage: "other"},
		"a gpt partition table":                          {PartitionTable: "gpt"},
		"a signature of unknown kind":                    {},
		`a signature of unknown kind labelled "archive"`: {Label: "archive"},
	} {
		if got := s.String(); got != want {
			t.Errorf("%+v is %q, want %q", s, got, want)
		}
	}
}

// targetOf is the target of a node's only disk.
func targetOf(d Disk, mode TargetMode) (path, warning string, err error) {
	return NewSet([]Disk{d}, Doubts{}).Target(d, mode)
}

func TestTarget(t *testing.T) {
	// From the best to the worst; the alphabet decides within a line.
	ranked := []string{
		"dm-uuid-mpath-35000", "wwn-0x5000", "scsi-35000", "nvme-eui.0025", "nvme-Samsung_1", "ata-WDC_1", "virtio-vdb", "dm-uuid-LVM-1",
		"md-uuid-1:2",
		"scsi-0QEMU_1", "usb-Stick_1",
	}
	for i := range ranked {
		names := slices.Clone(ranked[i:])
		slices.Reverse(names)
		got, warning, err := targetOf(Disk{Name: "sda", ByID: names, ByPath: []string{"pci-1"}}, TargetAuto)
		if want := "/dev/disk/by-id/" + ranked[i]; got != want || warning != "" || err != nil {
			t.Errorf("of %v: %q, %q, %v; want %q", names, got, warning, err, want)
		}
	}
	content := []string{"lvm-pv-uuid-x"}
	for name, c := range map[string]struct {
		disk    Disk
		mode    TargetMode
		want    string
		warning string
		err     string
	}{
		"two of a rank": {disk: Disk{ByID: []string{"wwn-2", "wwn-1"}}, want: "/dev/disk/by-id/wwn-1"},
		"never a name of the content": {
			disk: Disk{Name: "sda", ByID: content, ByPath: []string{"pci-1"}},
			mode: TargetAuto,
			want: "/dev/disk/by-path/pci-1",
		},
		"by-id never content": {disk: Disk{Name: "sda", ByID: content}, mode: TargetByID, err: "no name in /dev/disk/by-id"},
		"by-path when asked": {
			disk: Disk{ByID: []string{"wwn-1"}, ByPath: []string{"pci-1"}},
			mode: TargetByPath,
			want: "/dev/disk/by-path/pci-1",
		},
		"the bus before the driver": {
			disk: Disk{ByPath: []string{"virtio-pci-0000:00:05.0", "pci-0000:00:05.0"}},
			mode: TargetAuto,
			want: "/dev/disk/by-path/pci-0000:00:05.0",
		},
		"the driver if it is alone": {disk: Disk{ByPath: []string{"virtio-pci-0"}}, mode: TargetAuto, want: "/dev/disk/by-path/virtio-pci-0"},
		"the alphabet of slots": {
			disk: Disk{ByPath: []string{"pci-1-ata-1.0", "pci-1-ata-1"}},
			mode: TargetAuto,
			want: "/dev/disk/by-path/pci-1-ata-1",
		},
		"no slot": {disk: Disk{ByID: []string{"wwn-1"}}, mode: TargetByPath, err: "no name in /dev/disk/by-path"},
		"no name": {disk: Disk{Name: "vdb"}, mode: TargetAuto, want: "/dev/vdb", warning: "neither a by-id nor a by-path"},
		"the kernel's when asked": {
			disk:    Disk{Name: "vdb", ByID: []string{"wwn-1"}},
			mode:    TargetName,
			want:    "/dev/vdb",
			warning: "may be another disk",
		},
		"a mode that is none": {disk: Disk{Name: "vdb"}, mode: "by-diskseq", err: "not one of auto"},
	} {
		got, warning, err := targetOf(c.disk, c.mode)
		if got != c.want || !strings.Contains(warning, c.warning) || (warning == "") != (c.warning == "") ||
			(err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %q, %v", name, got, warning, err)
		}
	}
	for _, m := range TargetModes() {
		if _, _, err := targetOf(Disk{Name: "x", ByID: []string{"wwn-1"}, ByPath: []string{"pci-1"}}, m); err != nil {
			t.Errorf("mode %s: %v", m, err)
		}
	}
	for target, want := range map[string]bool{
		"/dev/disk/by-id/x": true, "/dev/disk/by-path/x": true, "/dev/vdb": false, "/dev/disk/by-diskseq/9": false, "/dev/disk/by-uuid/x": false,
		"":                          false,
		"/dev/disk/by-id/../../vdb": false, "/dev/disk//by-id/x": true, "/dev/disk/by-id": false,
	} {
		if StableTarget(target) != want {
			t.Errorf("StableTarget(%q) is %v", target, !want)
		}
	}
}

func TestSame(t *testing.T) {
	for name, c := range map[string]struct {
		recorded, now ID
		want          Answer
	}{
		"wwid":                     {recorded: ID{WWID: "a", Serial: "1"}, now: ID{WWID: "a"}, want: Yes},
		"wwid, and another serial": {recorded: ID{WWID: "a", Serial: "1"}, now: ID{WWID: "a", Serial: "2"}, want: No},
		"wwid, and another size":   {recorded: ID{WWID: "a", Size: 1}, now: ID{WWID: "a", Size: 2}, want: No},
		"wwid, and a size unknown": {recorded: ID{WWID: "a", Size: 1}, now: ID{WWID: "a"}, want: Yes},
		"wwid, and a name with another serial": {
			recorded: ID{WWID: "naa.5", ByID: []string{"wwn-0x5", "ata-M_A"}},
			now:      ID{WWID: "naa.5", ByID: []string{"wwn-0x5", "ata-M_B"}},
			want:     No,
		},
		"wwid, and a name that a new udev writes differently": {
			recorded: ID{WWID: "naa.5", ByID: []string{"ata-WDC_M_A"}},
			now:      ID{WWID: "naa.5", ByID: []string{"ata-M_A"}},
			want:     Yes,
		},
		"a serial and another namespace": {
			recorded: ID{Serial: "S", ByID: []string{"nvme-M_S_1"}},
			now:      ID{Serial: "S", ByID: []string{"nvme-M_S_2"}},
			want:     No,
		},
		"a serial, written differently": {recorded: ID{Serial: "AB-1"}, now: ID{Serial: "AB_1 "}, want: Yes},
		"zeros": {
			recorded: ID{WWID: "naa.0000000000000000"},
			now:      ID{WWID: "naa.0000000000000000"},
			want:     Unknown,
		},
		"zeros, and another serial":  {recorded: ID{WWID: "eui.00", Serial: "1"}, now: ID{WWID: "eui.00", Serial: "2"}, want: No},
		"zeros, and a serial":        {recorded: ID{WWID: "eui.00", Serial: "1"}, now: ID{WWID: "eui.00", Serial: "1"}, want: Yes},
		"a placeholder":              {recorded: ID{Serial: "Default string"}, now: ID{Serial: "Default string"}, want: Unknown},
		"zeros in place of a serial": {recorded: ID{Serial: "1"}, now: ID{Serial: "0000"}, want: No},
		"a name of zeros": {
			recorded: ID{ByID: []string{"wwn-0x0000000000000000"}},
			now:      ID{ByID: []string{"wwn-0x0000000000000000"}},
			want:     Unknown,
		},
		"another wwid":           {recorded: ID{WWID: "a", Serial: "1"}, now: ID{WWID: "b", Serial: "1"}, want: No},
		"serial":                 {recorded: ID{Serial: "1"}, now: ID{Serial: "1"}, want: Yes},
		"serial, and a wwid now": {recorded: ID{Serial: "1"}, now: ID{WWID: "a", Serial: "1"}, want: Yes},
		"another serial": {
			recorded: ID{Serial: "1", ByID: []string{"x"}},
			now:      ID{Serial: "2", ByID: []string{"x"}},
			want:     No,
		},
		"a name in common":  {recorded: ID{ByID: []string{"x", "y"}}, now: ID{ByID: []string{"y", "z"}}, want: Yes},
		"no name in common": {recorded: ID{ByID: []string{"x"}}, now: ID{ByID: []string{"y"}}, want: No},
		"nothing recorded":  {recorded: ID{}, now: ID{WWID: "a"}, want: Unknown},
		"only slot and size": {
			recorded: ID{ByPath: []string{"pci-1"}, Size: 5},
			now:      ID{ByPath: []string{"pci-1"}, Size: 5},
			want:     Unknown,
		},
		"only slot and size, and another size": {
			recorded: ID{ByPath: []string{"pci-1"}, Size: 5},
			now:      ID{ByPath: []string{"pci-1"}, Size: 6},
			want:     No,
		},
		"a WWID of no device, and a serial": {
			recorded: ID{WWID: "naa.5000000000000001", Serial: "1"},
			now:      ID{WWID: "naa.5000000000000001"},
			want:     No,
		},
		"recorded slot, known now": {
			recorded: ID{ByPath: []string{"pci-1"}, Size: 5},
			now:      ID{Serial: "1", ByPath: []string{"pci-1"}, Size: 5},
			want:     Unknown,
		},
		"an identifier does not get lost":  {recorded: ID{Serial: "1", ByPath: []string{"pci-1"}}, now: ID{ByPath: []string{"pci-1"}}, want: No},
		"identifiers of different sorts":   {recorded: ID{WWID: "a"}, now: ID{Serial: "1"}, want: Unknown},
		"identifiers of different sorts 2": {recorded: ID{ByID: []string{"x"}}, now: ID{WWID: "a"}, want: Unknown},
	} {
		if got := c.recorded.Same(c.now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestIdentity(t *testing.T) {
	d := Disk{WWID: "w", Serial: "s", ByID: []string{"lvm-pv-uuid-1", "wwn-1"}, ByPath: []string{"pci-1"}, Size: 7}
	id := d.Identity()
	if id.WWID != "w" || id.Serial != "s" || !slices.Equal(id.ByID, []string{"wwn-1"}) || !slices.Equal(id.ByPath, d.ByPath) || id.Size != 7 {
		t.Errorf("identity %+v", id)
	}
	if !slices.Equal(d.ByID, []string{"lvm-pv-uuid-1", "wwn-1"}) {
		t.Errorf("the disk's own names changed: %v", d.ByID)
	}
	if (Disk{ByID: []string{"lvm-pv-uuid-1"}, Size: 7}).Identity().Known() {
		t.Error("a name of what is on a disk identifies it")
	}
	for want, id := range map[string]ID{
		"wwid w": id, "serial s": {Serial: "s", ByID: []string{"x"}}, "wwn-1": {ByID: []string{"ata-1", "wwn-1"}},
		"slot pci-1": {ByPath: []string{"pci-1"}, Size: 7}, "no identifier": {Size: 7},
	} {
		if id.String() != want {
			t.Errorf("%+v is %q, want %q", id, id, want)
		}
	}
}

// good is a disk that nothing speaks against.
func good(change func(*Disk)) Disk {
	d := Disk{Name: "vdb", Kind: KindDisk, Size: 10 << 30, Content: &Content{Signed: No, Busy: No}}
	if change != nil {
		change(&d)
	}
	return d
}

func TestObjections(t *testing.T) {
	for name, c := range map[string]struct {
		disk Disk
		want string
	}{
		"nothing":    {disk: good(nil)},
		"just large": {disk: good(func(d *Disk) { d.Size = MinSize })},
		"partition": {
			disk: good(func(d *Disk) { d.Kind, d.Parent, d.ReadOnly = KindPartition, "vda", true }),
			want: "partition: is a partition of vda",
		},
		"cdrom":     {disk: good(func(d *Disk) { d.Kind, d.Removable = KindCDROM, true }), want: "cdrom: is a CD-ROM drive"},
		"read-only": {disk: good(func(d *Disk) { d.ReadOnly = true }), want: "read-only: is read-only"},
		"held": {
			disk: good(func(d *Disk) { d.Holders = []string{"dm-0", "md1"}; d.Content.Busy = Yes }),
			want: "in-use: is held by dm-0, md1",
		},
		"held, free": {disk: good(func(d *Disk) { d.Holders = []string{"dm-0"} }), want: "in-use: is held by dm-0"},
		"busy": {
			disk: good(func(d *Disk) { d.Content.Busy, d.Content.BusyDetail = Yes, "it is mounted" }),
			want: "in-use: is in use: it is mounted",
		},
		"busy, no detail": {disk: good(func(d *Disk) { d.Content.Busy = Yes }), want: "in-use: is in use: an exclusive open was refused"},
		"busy unknown": {
			disk: good(func(d *Disk) { d.Content.Busy, d.Content.BusyDetail = Unknown, "no mke2fs" }),
			want: "not-checked: may be in use, which could not be found out: no mke2fs",
		},
		"busy not said": {
			disk: good(func(d *Disk) { d.Content.Busy = "" }),
			want: "not-checked: may be in use, which could not be found out: no reason given",
		},
		"content unknown": {
			disk: good(func(d *Disk) { d.Content.Signed, d.Content.SignedError = Unknown, "EIO" }),
			want: "not-checked: may hold data, which could not be found out: EIO",
		},
		"content not said": {
			disk: good(func(d *Disk) { d.Content.Signed = "" }),
			want: "not-checked: may hold data, which could not be found out: no reason given",
		},
		"not looked at": {disk: good(func(d *Disk) { d.Content = nil }),
			want: "not-checked: may be in use, which could not be found out: it was not looked at; not-checked: may hold data, which could not be found out: it was not looked at"},
		"signature": {disk: good(func(d *Disk) {
			d.Content.Signed, d.Content.Signature = Yes, Signature{Type: "xfs", Usage: "filesystem"}
		}), want: "signature: has an xfs filesystem"},
		"several": {
			disk: good(func(d *Disk) { d.Content.Signed, d.Content.Signature = Yes, Signature{Ambiguous: true} }),
			want: "signature: has signatures of several kinds",
		},
		"signed, not told": {disk: good(func(d *Disk) { d.Content.Signed = Yes }), want: "signature: has a signature of unknown kind"},
		"a table": {
			disk: good(func(d *Disk) { d.Content.Signed, d.Content.Signature = Yes, Signature{PartitionTable: "gpt"} }),
			want: "partitions: has a gpt partition table",
		},
		"table and data": {disk: good(func(d *Disk) {
			d.Content.Signed, d.Content.Signature = Yes, Signature{PartitionTable: "dos", Type: "iso9660", Usage: "filesystem"}
		}), want: "signature: has an iso9660 filesystem; partitions: has a dos partition table"},
		"one partition": {disk: good(func(d *Disk) { d.Partitions = []string{"vdb1"} }), want: "partitions: has 1 partition: vdb1"},
		"two partitions": {
			disk: good(func(d *Disk) { d.Partitions = []string{"vdb1", "vdb2"} }),
			want: "partitions: has 2 partitions: vdb1, vdb2",
		},
		"removable":      {disk: good(func(d *Disk) { d.Removable = true }), want: "removable: is removable"},
		"loop":           {disk: good(func(d *Disk) { d.Kind, d.Backing = KindLoop, "/f" }), want: "loop: is a loop device over /f"},
		"loop over what": {disk: good(func(d *Disk) { d.Kind = KindLoop }), want: "loop: is a loop device"},
		"small":          {disk: good(func(d *Disk) { d.Size = MinSize - 1 }), want: "too-small: is smaller than 1Gi (1073741823 bytes)"},
		"in this order": {disk: good(func(d *Disk) {
			d.Kind, d.Size, d.Removable, d.ReadOnly, d.Content, d.Holders = KindLoop, 0, true, true,
				&Content{Signed: Yes, Signature: Signature{Type: "swap"}, Busy: Yes}, []string{"dm-0"}
			d.Partitions = []string{"p"}
		}),
			want: "read-only: is read-only; in-use: is held by dm-0; signature: has a swap area; partitions: has 1 partition: p; removable: is removable; loop: is a loop device; too-small: is smaller than 1Gi (0 bytes)"},
	} {
		var got []string
		for _, o := range c.disk.Objections() {
			got = append(got, string(o.Reason)+": "+o.Message)
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("%s: %q\nwant %q", name, s, c.want)
		}
	}
}

func TestSystemDisks(t *testing.T) {
	disks := []Disk{
		{Name: "vda", Number: Number{254, 0}, Kind: KindDisk},
		{Name: "vda1", Number: Number{254, 1}, Kind: KindPartition, Parent: "vda", PartLabel: "EFI"},
		{Name: "vdb", Number: Number{254, 16}, Kind: KindDisk},
		{Name: "vdb1", Number: Number{254, 17}, Kind: KindPartition, Parent: "vdb", PartLabel: "data"},
		{Name: "vdc", Number: Number{254, 32}, Kind: KindDisk, PartLabel: "STATE"},
		{Name: "sda", Number: Number{8, 0}, Kind: KindDisk, WWID: "naa.1"},
		{Name: "sdb", Number: Number{8, 16}, Kind: KindDisk, WWID: "naa.1"},
		{Name: "sdc", Number: Number{8, 32}, Kind: KindDisk, WWID: "naa.2"},
	}
	got := NewSet(disks, Doubts{}).SystemDisks(map[Number]string{{8, 0}: "holds /d", {253, 0}: "holds /d"})
	want := map[Number]string{
		{254, 0}: "has a partition named EFI", {8, 0}: "holds /d", {253, 0}: "holds /d", {8, 16}: "is another path to sda (wwid naa.1)",
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for label, system := range map[string]bool{
		"EFI": true, "BIOS": true, "BOOT": true, "META": true, "STATE": true, "EPHEMERAL": true, "": false, "u-data": false, "r-data": false,
		"efi": false, "EFI system": false,
	} {
		got := NewSet([]Disk{{Name: "a", Number: Number{1, 0}},
			{Name: "a1", Number: Number{1, 1}, Kind: KindPartition, Parent: "a", PartLabel: label}}, Doubts{}).SystemDisks(nil)
		if (len(got) == 1) != system {
			t.Errorf("a partition named %q: %v", label, got)
		}
	}
}

func TestReasons(t *testing.T) {
	seen := make(map[Reason]bool)
	for _, r := range Reasons() {
		if seen[r] || r == "" || strings.ToLower(string(r)) != string(r) || strings.ContainsAny(string(r), " =/") {
			t.Errorf("%q is twice there, or no word for a command line", r)
		}
		seen[r] = true
	}
	for r, want := range map[Reason]bool{
		HasSignature: true, HasPartitions: true, HasData: true, Removable: true, TooSmall: true, Loop: true, Remote: true, Virtual: true,
		Volatile: false,
		InUse:    false, SystemDisk: false, SystemDiskUnknown: false, NotChecked: false, AlreadyLinked: false, VolumeExists: false, "": false,
		"x": false,
	} {
		if r.Acceptable() != want {
			t.Errorf("Acceptable(%q) is %v", r, !want)
		}
	}
	if len(AcceptableReasons()) != 8 {
		t.Errorf("acceptable: %v", AcceptableReasons())
	}
}

// A disk that a virtual machine with Talos inside had is named like the system's; one that the
// node boots from, and does not keep its data on, is too.
func TestSystemDisksByName(t *testing.T) {
	part := func(name, parent, label string, minor uint32) Disk {
		return Disk{Name: name, Parent: parent, PartLabel: label, Kind: KindPartition, Number: Number{Major: 9, Minor: minor}}
	}
	a, b := Number{Major: 8}, Number{Major: 8, Minor: 16}
	disks := []Disk{{Name: "sda", Number: a, Kind: KindDisk}, {Name: "sdb", Number: b, Kind: KindDisk}}
	for name, c := range map[string]struct {
		parts   []Disk
		beneath map[Number]string
		want    string
	}{
		"nothing is known":               {parts: []Disk{part("sdb1", "sdb", "EPHEMERAL", 1)}, want: "has a partition named EPHEMERAL"},
		"EPHEMERAL, and it is elsewhere": {parts: []Disk{part("sdb1", "sdb", "EPHEMERAL", 1)}, beneath: map[Number]string{a: "holds /x"}},
		"a whole system, and it is elsewhere": {
			parts:   []Disk{part("sdb1", "sdb", "EFI", 1), part("sdb2", "sdb", "META", 2), part("sdb3", "sdb", "EPHEMERAL", 3)},
			beneath: map[Number]string{a: "holds /x"},
		},
		"the same names as the system's": {
			parts:   []Disk{part("sda1", "sda", "META", 1), part("sdb1", "sdb", "META", 2)},
			beneath: map[Number]string{a: "holds /x"},
		},
		"the disk that the node boots from, with EPHEMERAL on another": {
			parts:   []Disk{part("sda1", "sda", "EPHEMERAL", 1), part("sdb1", "sdb", "META", 2), part("sdb2", "sdb", "STATE", 3)},
			beneath: map[Number]string{a: "holds /x"},
			want:    "has a partition named META",
		},
		"the system's own": {parts: []Disk{part("sdb1", "sdb", "EPHEMERAL", 1)}, beneath: map[Number]string{b: "holds /x"}, want: "holds /x"},
	} {
		if got := NewSet(append(slices.Clone(disks), c.parts...), Doubts{}).SystemDisks(c.beneath)[b]; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What is no hardware of the node is named by how it is reached, and by its driver.
func TestOrigin(t *testing.T) {
	for _, c := range []struct {
		disk Disk
		want string
	}{
		{Disk{Kernel: "sda", Kind: KindDisk}, " "},
		{Disk{Kernel: "sda", Kind: KindDisk, Transport: "iscsi"}, "remote an iSCSI disk"},
		{Disk{Kernel: "sda", Kind: KindDisk, Transport: "fc"}, "remote a Fibre Channel disk"},
		{Disk{Kernel: "sda", Kind: KindDisk, Transport: "scsi-loop"}, "virtual a SCSI disk that the node emulates"},
		{Disk{Kernel: "nvme0n1", Kind: KindDisk}, " "},
		{Disk{Kernel: "nvme0n1", Kind: KindDisk, Transport: "nvme-rdma"}, "remote an NVMe-oF namespace (rdma)"},
		{Disk{Kernel: "nvme0n1", Kind: KindDisk, Transport: "nvme-new\x1b"}, `remote an NVMe-oF namespace ("new\x1b")`},
		{Disk{Kernel: "nvme0n1", Kind: KindDisk, Transport: "nvme-unseen"}, "remote an NVMe namespace of which no controller is seen"},
		{Disk{Kernel: "rbd0", Kind: KindDisk}, "remote a Ceph RBD image"},
		{Disk{Name: "nbd15", Kind: KindDisk, Virtual: true}, "remote a network block device (nbd)"},
		{Disk{Kernel: "rnbd0", Kind: KindDisk}, "remote an RDMA network block device (rnbd)"},
		{Disk{Kernel: "etherd!e1.1", Kind: KindDisk}, "remote an ATA-over-Ethernet disk"},
		{Disk{Kernel: "drbd1000", Kind: KindDisk, Virtual: true}, "virtual a DRBD device"},
		{Disk{Kernel: "zd0", Kind: KindDisk, Virtual: true}, "virtual a ZFS volume"},
		{Disk{Kernel: "bcache0", Kind: KindDisk, Virtual: true}, "virtual a bcache device"},
		{Disk{Kernel: "ublkb0", Kind: KindDisk, Virtual: true}, "virtual a device that a process on the node serves (ublk)"},
		{Disk{Kernel: "zram0", Kind: KindDisk, Virtual: true}, "volatile compressed memory (zram)"},
		{Disk{Kernel: "ram15", Kind: KindDisk, Virtual: true}, "volatile memory (brd)"},
		{Disk{Kernel: "nullb0", Kind: KindDisk, Virtual: true}, "volatile a device that keeps nothing (null_blk)"},
		{Disk{Kernel: "new0", Kind: KindDisk, Virtual: true}, "virtual no hardware, but made by software on the node"},
		{Disk{Kernel: "loop0", Kind: KindLoop, Virtual: true}, " "},
		{Disk{Kernel: "dm-0", Kind: KindMapper, Virtual: true}, " "},
		{Disk{Kernel: "md0", Kind: KindRAID, Virtual: true}, " "},
		{Disk{Kernel: "rbdx", Kind: KindDisk}, " "},
	} {
		if r, is := c.disk.origin(); string(r)+" "+is != c.want {
			t.Errorf("%s%s: %s %s, want %s", c.disk.Kernel, c.disk.Name, r, is, c.want)
		}
	}
}
