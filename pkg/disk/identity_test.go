// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"strings"
	"testing"
)

// FuzzSame: identity never outweighs a contradiction, and asks the same both ways.
func FuzzSame(f *testing.F) {
	f.Add("naa.5000c500a1b2c3d4", "WD-A", "ata-M_A,wwn-0x5000c500a1b2c3d4", uint64(1), "naa.5000c500a1b2c3d4", "WD-B", "ata-M_B", uint64(1))
	f.Add("naa.0000000000000000", "", "", uint64(1), "naa.0000000000000000", "", "", uint64(1))
	f.Add("", "Default string", "usb-X_0123456789ABCDEF-0:0", uint64(5), "", "Default string", "usb-X_0123456789ABCDEF-0:0", uint64(5))
	f.Add("t10.ATA     ", "1", "nvme-M_S_1", uint64(0), "t10.ATA     ", "1", "nvme-M_S_2", uint64(0))
	f.Fuzz(func(t *testing.T, w1, s1, n1 string, z1 uint64, w2, s2, n2 string, z2 uint64) {
		a := ID{WWID: w1, Serial: s1, ByID: strings.Split(n1, ","), Size: z1}
		b := ID{WWID: w2, Serial: s2, ByID: strings.Split(n2, ","), Size: z2}
		if a.Compare(b) != b.Compare(a) || (a.Same(b) == Yes) != (b.Same(a) == Yes) {
			t.Errorf("%+v and %+v: %s, %s", a, b, a.Same(b), b.Same(a))
		}
		fa, fb := a.facts(), b.facts()
		differ := z1 != 0 && z2 != 0 && z1 != z2 || fa.wwid != "" && fb.wwid != "" && fa.wwid != fb.wwid ||
			fa.serial != "" && fb.serial != "" && fa.serial != fb.serial
		if differ && a.Same(b) == Yes {
			t.Errorf("%+v and %+v contradict and are the same", a, b)
		}
		if a.Known() && a.Same(a) != Yes || !a.Known() && (a.Same(b) == Yes || a.Same(b) == No) != (z1 != 0 && z2 != 0 && z1 != z2) {
			t.Errorf("%+v: itself %s, another %s", a, a.Same(a), a.Same(b))
		}
		if set := NewSet([]Disk{{Name: "a", WWID: w1, Serial: s1, ByID: a.ByID, Size: z1},
			{Name: "b", WWID: w2, Serial: s2, ByID: b.ByID, Size: z2}}, Doubts{}); differ && set.SameDisk(set.disks[0], set.disks[1]) {
			t.Errorf("%+v and %+v are two paths to one disk", a, b)
		}
	})
}

func TestPlaceholders(t *testing.T) {
	for _, serial := range []string{"", " ", "0", "0000 0000", "00000000000000000000", "FFFFFFFF", "xxxxxxxx", "1234567890",
		"0123456789ABCDEF", "unknown", "N/A", "None", "Default string", "To Be Filled By O.E.M.", "9876543210",
		"0x0", "0x00000000", "1234567890ABCDEF", "ABCDEF0123456789", "23456789", "1234567890123456789012345", "9876543210987", "1122334455667788",
		"0011223344556677", "DEADBEEFDEADBEEF", "ABABABAB", "0000000000000001",
		"OEM_Serial", "Product serial", "filled by O.E.M.", "Not Provided", "TBD", "-", "????"} {
		if key := serialKey(serial); key != "" {
			t.Errorf("serial %q is %q", serial, key)
		}
	}
	for _, wwid := range []string{"", "naa.0000000000000000", "eui.00", "nvme.0000-00-00-00000001", "nvme.1b36-2020-51-00000001", "0x000",
		"0000 0000", "t10.ATA     ", "t10.", "uuid.00000000-0000-0000-0000-000000000000", "t10.ATA M 000000", "t10.ATA M Default string",
		"t10.JMicron Tech 0123456789ABCDEF",
		"naa.5000000000000000", "naa.5000000000000001", "naa.5000000123456789", "naa.500a075000000000", "naa.500a075100000000",
		"naa.ffffffffffffffff", "NAA.0000000000000000", "naa.60000000000000000000000000000000",
		"eui.0000000000000001", "eui.6479a70000000000", "eui.6479a7000000000a", "eui.0123456789abcdef", "eui.01000000000000000000000000000000",
		"eui.0100000000000000e4d25c0000000000", "eui.ffffffffffffffffffffffffffffffff",
		"uuid.ffffffff-ffff-ffff-ffff-ffffffffffff", "uuid.12345678-1234-1234-1234-123456789abc", "uuid.12345678-1234-5678-1234-567812345678"} {
		if key := wwidKey(wwid); key != "" {
			t.Errorf("wwid %q is %q", wwid, key)
		}
	}
	for _, wwid := range []string{"naa.5000c500a1b2c3d4", "eui.0025385b01400001", "nvme.1344-32-4d-00000001",
		"t10.ATA TEAM T2534TB SERIAL0001", "uuid.8f3c1c1e-0000-0000-0000-000000000001"} {
		if wwidKey(wwid) == "" {
			t.Errorf("wwid %q identifies nothing", wwid)
		}
	}
	for _, serial := range []string{"1", "12345", "FF", "00000001", "QM00001", "S64GNE0RB00153", "WD-WX11A1234567", "drive-scsi1", "a1b2c3d4",
		"12341234", "232942269630"} {
		if serialKey(serial) == "" {
			t.Errorf("serial %q identifies nothing", serial)
		}
	}
	for _, name := range []string{"wwn-0x5000000000000001", "scsi-3500000000000000001", "nvme-eui.0000000000000001",
		"nvme-eui.ffffffffffffffff", "nvme-M_Not_Specified_1", "ata-M_Default_string", "ata-M_To_Be_Filled_By_O.E.M.",
		"mmc-SD_0x00000000", "usb-JMicron_Tech_0123456789ABCDEF-0:0", "dm-uuid-mpath-eui.0000000000000001", "dm-uuid-mpath-3500000000000000001",
		"virtio-None"} {
		if parseName(name).telling() {
			t.Errorf("name %q is of one device", name)
		}
	}
	d := Disk{Model: "T2534TB", Vendor: "TEAM", Serial: "T2534TB", WWID: "t10.ATA TEAM T2534TB", ByID: []string{"ata-T2534TB"}}
	if id := d.Identity(); id.Known() {
		t.Errorf("a model is an identity: %+v", id)
	}
}

// A partition of a multipath map is a partition.
func TestPartitionOfAMap(t *testing.T) {
	d := Disk{Name: "dm-1", Kind: KindMapper, Slaves: []string{"dm-0"}, ByID: []string{"dm-uuid-part1-mpath-3600"}, Size: 1 << 40}
	if o := d.Objections(); d.Whole() || len(o) != 1 || o[0].Reason != Partition || o[0].Message != "is a partition of dm-0" {
		t.Errorf("%v", o)
	}
}
