// SPDX-License-Identifier: Apache-2.0

package link

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// situation reads a snapshot of testdata/identity.
func situation(t *testing.T, name string) *snapshot.Snapshot {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "identity", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	s := new(snapshot.Snapshot)
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func args(t *testing.T, names ...string) []disk.Arg {
	t.Helper()
	var all []disk.Arg
	for _, n := range names {
		arg, err := disk.ParseArg(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, arg)
	}
	return all
}

// outcome is each link of a plan in a line: NODE/DISK ACTION TARGET, objections, hints and warnings.
func outcome(t *testing.T, s *snapshot.Snapshot, r Request) []string {
	t.Helper()
	r.Class = "block"
	p, err := Decide(s, r)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range p.Links {
		target := strings.TrimPrefix(l.Target, "/dev/disk/")
		line := fmt.Sprintf("%s/%s %s %s", l.Node, l.Disk, l.Action, target)
		for _, o := range l.Objections {
			line += fmt.Sprintf(" | %s: %s", o.Reason, o.Message)
			if o.Hint != "" {
				line += " -> " + o.Hint
			}
		}
		for _, w := range l.Warnings {
			line += " ! " + w
		}
		all = append(all, line)
	}
	return all
}

// TestIdentityOfReportedDisks are situations from public reports (harvester#6604, incus-os#1145,
// scrutiny#435, multipath-tools#142, openmediavault#665, systemd#31448, talos#14441).
func TestIdentityOfReportedDisks(t *testing.T) {
	for name, c := range map[string]struct {
		file  string
		disks []string
		// want has what each row is to contain, and never has; "..." between.
		want  []string
		never []string
	}{
		"a WWN of zeros": {file: "H1c-zero-wwn-t10", disks: []string{"sdb", "sdc"}, want: []string{
			"n1/sdb create by-id/ata-TEAM_T2534TB_SERIAL0001", "n1/sdc create by-id/ata-TEAM_T2534TB_SERIAL0002"}, never: []string{"wwn-0x0"}},
		"the system disk has the same zeros": {
			file:  "H1b-zero-wwn-system",
			disks: []string{"sdb"},
			want:  []string{"n1/sdb create by-id/ata-TEAM_T2534TB_SERIAL0001"},
			never: []string{"another path"},
		},
		"one WWID on disks with other serials": {file: "H2-placeholder-wwn", disks: []string{"sdb", "sdc"}, want: []string{
			"n1/sdb create by-id/ata-WDC_WD20EFPX_WD-AAAA", "n1/sdc create by-id/ata-WDC_WD20EFPX_WD-BBBB",
			"n2/sdb create by-id/ata-WDC_WD20EFPX_WD-CCCC", "n2/sdc refuse"}, never: []string{"same disk", "twice"}},
		"two USB bridges with one serial": {file: "H4-jmicron", disks: []string{"sdb", "sdc"}, want: []string{
			"n1/sdb create by-path/platform-fd500000.pcie-pci-0000:01:00.0-usb-0:1:1.0-scsi-0:0:0:0 ! ",
			"n1/sdc create by-path/platform-fd500000.pcie-pci-0000:01:00.0-usb-0:2:1.0-scsi-0:0:0:0"}, never: []string{"by-id/usb"}},
		"NVMe namespaces": {file: "H5-nvme-namespaces", disks: []string{"nvme0n1", "nvme0n2"}, want: []string{
			"n1/nvme0n1 create by-id/nvme-Micron_7450_MTFDKCB960TFR_232942269630_1",
			"n1/nvme0n2 create by-id/nvme-Micron_7450_MTFDKCB960TFR_232942269630_2"}},
		"a multipath map and a path of it": {file: "H6-multipath", disks: []string{"dm-0", "sda", "sdb"}, want: []string{
			"n1/dm-0 create by-id/dm-uuid-mpath-360060e80", "n1/sda refuse ... in-use: is a path of multipath map dm-0 (/dev/mapper/mpatha)",
			"n1/sdb refuse ... in-use: is a path of multipath map dm-0 (/dev/mapper/mpatha)"},
			never: []string{"wipe", "accept"}},
		"a map by its name": {
			file:  "H6-multipath",
			disks: []string{"/dev/mapper/mpatha"},
			want:  []string{"n1/dm-0 create by-id/dm-uuid-mpath-360060e80"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rows := outcome(t, situation(t, c.file), Request{Disks: args(t, c.disks...)})
			all := strings.Join(rows, "\n")
			if len(rows) != len(c.want) {
				t.Fatalf("%d rows:\n%s", len(rows), all)
			}
			for i, want := range c.want {
				for j, part := range strings.Split(want, " ... ") {
					if j == 0 && !strings.HasPrefix(rows[i], part) || !strings.Contains(rows[i], part) {
						t.Errorf("row %q has no %q", rows[i], part)
					}
				}
			}
			for _, part := range c.never {
				if strings.Contains(all, part) {
					t.Errorf("%q is said:\n%s", part, all)
				}
			}
		})
	}
}

// A node may have very many disks, and say anything of them.
func TestManyDisksAreDecidedOnQuickly(t *testing.T) {
	const many = 3000
	world := func(change func(i int, d *disk.Disk)) *snapshot.Snapshot {
		w := newWorld()
		for i := range many {
			d := whole(fmt.Sprintf("vdx%d", i), 0)
			d.Number = disk.Number{Major: 259, Minor: uint32(i)}
			change(i, &d)
			w.view.Disks = append(w.view.Disks, d)
		}
		return &w.Snapshot
	}
	for name, s := range map[string]*snapshot.Snapshot{
		"each its own":   world(func(int, *disk.Disk) {}),
		"one WWID":       world(func(_ int, d *disk.Disk) { d.WWID, d.Serial, d.ByID = "naa.5000c500a1b2c3d4", "s", nil }),
		"one serial":     world(func(_ int, d *disk.Disk) { d.Serial, d.Model, d.ByID = "S0001", "M", []string{"ata-M_S0001"} }),
		"one on another": world(func(i int, d *disk.Disk) { d.Slaves = []string{fmt.Sprintf("vdx%d", i+1)} }),
		"in circles":     world(func(i int, d *disk.Disk) { d.Slaves = []string{fmt.Sprintf("vdx%d", (i+1)%many), "vdx0"} }),
		"all over others": world(func(i int, d *disk.Disk) {
			for j := range 20 {
				d.Slaves = append(d.Slaves, fmt.Sprintf("vdx%d", (i*31+j)%many))
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			p, err := Decide(s, Request{Disks: args(t, "vdx*"), Class: "block"})
			if err != nil || len(p.Links) != many {
				t.Fatalf("%d links, %v", len(p.Links), err)
			}
			decided := time.Since(begun)
			begun = time.Now()
			if _, err := DecideAgain(s, p); err != nil {
				t.Fatal(err)
			}
			again := time.Since(begun)
			begun = time.Now()
			Inventory(s)
			t.Logf("decided in %s, again in %s, listed in %s", decided, again, time.Since(begun))
			if limit := 30 * time.Second; decided > limit || again > limit || time.Since(begun) > limit {
				t.Error("it took too long")
			}
		})
	}
	// All of them are links already, to disks that have volumes.
	s := world(func(int, *disk.Disk) {})
	view := s.Nodes[0].View.Value
	dir := view.Dirs["block"]
	for i, d := range view.Disks[4:] {
		dir.Entries = append(dir.Entries, provisioner.Entry{Name: d.Name, Kind: provisioner.Link, Target: d.Path(), Device: d.Number.String()})
		id := d.Identity()
		s.Volumes = append(s.Volumes, snapshot.Volume{
			Name:     fmt.Sprint("pv", i),
			Node:     "w-1",
			Path:     blockClass.VolumePath(d.Name),
			Phase:    "Bound",
			Identity: &id,
		})
	}
	view.Dirs["block"] = dir
	begun := time.Now()
	p, err := Decide(s, Request{Disks: args(t, "vd*"), Class: "block"})
	if err != nil {
		t.Fatal(err)
	}
	Inventory(s)
	if took := time.Since(begun); took > 30*time.Second || len(p.Links) != many+3 {
		t.Errorf("%d links took %s", len(p.Links), took)
	}
}

// lun makes vdb of the world's node, and of a second node, one LUN.
func lun(w *world, wwid string) *world {
	second := newWorld()
	for _, v := range []*world{w, second} {
		d := v.disk("vdb")
		d.WWID, d.Serial, d.ByID = wwid, "lun", []string{"wwn-0x5"}
	}
	second.Nodes[0].Name, second.Nodes[0].UID = "w-2", "u2"
	w.Nodes = append(w.Nodes, second.Nodes[0])
	return second
}

// Nodes are compared by every disk that was seen, whatever becomes of the links.
func TestSharedLUNs(t *testing.T) {
	for name, c := range map[string]struct {
		wwid   string
		change func(first, second *world)
		disks  []string
		want   []string // what the links of vdb on w-1 and w-2 begin with; objections and warnings follow
	}{
		"asked for on both": {
			wwid:  "naa.5000c500a1b2c3d4",
			disks: []string{"vdb"},
			want:  []string{"create", "refuse already-linked: is the same disk as vdb of node w-1"},
		},
		"linked there under another name": {
			wwid:   "naa.5000c500a1b2c3d4",
			change: func(_, second *world) { second.lies("files", "x", "/dev/vdb", "254:16") },
			disks:  []string{"vdb"},
			want: []string{"refuse already-linked: is the same disk as vdb of node w-2 (wwid naa.5000c500a1b2c3d4), which is linked there, as /var/lib/disks/files/x",
				"refuse "},
		},
		"in use there": {
			wwid:   "naa.5000c500a1b2c3d4",
			change: func(first, _ *world) { first.disk("vdb").Content.Busy = disk.Yes },
			disks:  []string{"vdb"},
			want: []string{"refuse in-use",
				"refuse already-linked: is the same disk as vdb of node w-1 (wwid naa.5000c500a1b2c3d4), which is in use"},
		},
		"refused there": {
			wwid:   "naa.5000c500a1b2c3d4",
			change: func(first, _ *world) { first.disk("vdb").ReadOnly = true },
			disks:  []string{"vdb"},
			want: []string{"refuse read-only",
				"refuse already-linked: is the same disk as vdb of node w-1 (wwid naa.5000c500a1b2c3d4), where it is refused"},
		},
		"under another name, not asked for": {
			wwid:   "naa.5000c500a1b2c3d4",
			change: func(_, second *world) { second.disk("vdb").Name = "vdz" },
			disks:  []string{"vdb"},
			want:   []string{"create is the same disk as vdz of node w-2 (wwid naa.5000c500a1b2c3d4): link it on one node only", "refuse not-found"},
		},
		"a volume of another one's path": {wwid: "naa.5000c500a1b2c3d4", change: func(first, _ *world) {
			first.volume("y", func(v *snapshot.Volume) { v.Node, v.Path = "w-2", "/dev/vdb" })
		}, disks: []string{"vdb"},
			want: []string{"refuse already-linked: is the same disk as vdb of node w-2 (wwid naa.5000c500a1b2c3d4), which is what volume",
				"refuse volume-exists"}},
		"equal serials and sizes": {
			change: func(first, second *world) { first.disk("vdb").ByID, second.disk("vdb").ByID = nil, nil },
			disks:  []string{"vdb"},
			want: []string{"create has the serial lun and the size of vdb of node w-2",
				"create has the serial lun and the size of vdb of node w-1"},
		},
		"a WWID in a name alone": {change: func(first, second *world) {
			first.disk("vdb").ByID, second.disk("vdb").ByID = []string{"wwn-0x5000c500a1b2c3d4"}, []string{"wwn-0x5000c500a1b2c3d4"}
		}, disks: []string{"vdb"}, want: []string{"create", "refuse already-linked: is the same disk as vdb of node w-1"}},
		"a multipath map": {change: func(first, second *world) {
			for _, w := range []*world{first, second} {
				w.disk("vdb").Serial, w.disk("vdb").ByID = "", []string{"dm-name-mpatha", "dm-uuid-mpath-3600a098038303053453f463045727a6b"}
			}
		}, disks: []string{"vdb"}, want: []string{"create", "refuse already-linked: is the same disk as vdb of node w-1"}},
		"a map over NVMe": {change: func(first, second *world) {
			for _, w := range []*world{first, second} {
				w.disk("vdb").Serial, w.disk("vdb").ByID = "", []string{"dm-name-mpatha", "dm-uuid-mpath-eui.0025385b01400001"}
			}
		}, disks: []string{"vdb"}, want: []string{"create", "refuse already-linked: is the same disk as vdb of node w-1"}},
		"a map by EUI-64 here, a path there": {change: func(first, second *world) {
			first.disk("vdb").Serial, first.disk("vdb").ByID = "", []string{"dm-uuid-mpath-20025385b01400001"}
			second.disk("vdb").WWID, second.disk("vdb").ByID, second.disk("vdb").Content.Busy = "eui.0025385b01400001", nil, disk.Yes
		}, disks: []string{"vdb"}, want: []string{"refuse already-linked: is the same disk as vdb of node w-2", "refuse in-use"}},
		"a map of t10 paths here, a path there": {wwid: "t10.LIO-ORG disk0 8f3c1c1e", change: func(first, _ *world) {
			first.disk("vdc").WWID, first.disk("vdc").Serial, first.disk("vdc").ByID, first.disk("vdc").Holders = "t10.LIO-ORG disk0 8f3c1c1e", "",
				nil, []string{"vdb"}
			first.disk("vdb").WWID, first.disk("vdb").Serial, first.disk("vdb").ByID, first.disk("vdb").Slaves = "", "",
				[]string{"dm-uuid-mpath-1LIO-ORG_disk0"}, []string{"vdc"}
		}, disks: []string{"vdb"}, want: []string{"create has the wwid t10.LIO-ORG disk0 8f3c1c1e and the size of vdb of node w-2",
			"create has the wwid t10.LIO-ORG disk0 8f3c1c1e and the size of vdc of node w-1"}},
		"a WWID of no device": {wwid: "naa.5000000000000001", change: func(first, second *world) {
			first.disk("vdb").Serial, second.disk("vdb").Serial = "", ""
		}, disks: []string{"vdb"}, want: []string{"create", "create"}},
		"a map here, a path there": {change: func(first, second *world) {
			first.disk("vdb").Serial, first.disk("vdb").ByID = "", []string{"dm-name-mpatha", "dm-uuid-mpath-3600a098038303053453f463045727a6b"}
			second.disk("vdb").WWID, second.disk("vdb").ByID, second.disk("vdb").Content.Busy = "naa.600a098038303053453f463045727a6b", nil, disk.Yes
		}, disks: []string{"vdb"}, want: []string{"refuse already-linked: is the same disk as vdb of node w-2", "refuse in-use"}},
		"a WWID that machines repeat": {
			wwid:  "t10.ATA QEMU HARDDISK QM00001",
			disks: []string{"vdb"},
			want:  []string{"create has the wwid t10.ATA QEMU HARDDISK QM00001 and the size of vdb of node w-2", "create has the wwid"},
		},
		"another serial": {
			wwid:   "naa.5000c500a1b2c3d4",
			change: func(_, second *world) { second.disk("vdb").Serial = "other" },
			disks:  []string{"vdb"},
			want:   []string{"create", "create"},
		},
		"another size": {
			wwid:   "naa.5000c500a1b2c3d4",
			change: func(_, second *world) { second.disk("vdb").Size++ },
			disks:  []string{"vdb"},
			want:   []string{"create has the WWID of vdb of node w-2, and another size", "create has the WWID of vdb of node w-1"},
		},
	} {
		w := newWorld()
		second := lun(w, c.wwid)
		if c.change != nil {
			c.change(w, second)
		}
		p, err := Decide(&w.Snapshot, Request{Disks: args(t, c.disks...)})
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range p.Links {
			got := string(l.Action) + " " + says(l.Objections) + strings.Join(l.Warnings, "; ")
			if !strings.HasPrefix(got, c.want[i]) || c.want[i] == "create" && got != "create " {
				t.Errorf("%s: %s/%s: %q, want %q", name, l.Node, l.Disk, got, c.want[i])
			}
		}
	}
}
