// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// expressions are those that the package writes; pkg/cluster has the test with Talos's own environment.
var expressions = regexp.MustCompile(`^(?:disk\.(wwid|serial) == ("(?:[^"\\]|\\.)*")|("(?:[^"\\]|\\.)*") in disk\.symlinks)( && !system_disk)?$`)

// matcher evaluates them.
type matcher struct{ asked *int }

func (m matcher) Match(disks []snapshot.TalosDisk, system string, selectors []machineconfig.VolumeSelector) []snapshot.Selection {
	var all []snapshot.Selection
	for _, s := range selectors {
		if m.asked != nil {
			*m.asked++
		}
		one := snapshot.Selection{VolumeSelector: s}
		parts := expressions.FindStringSubmatch(s.Match)
		if parts == nil || parts[4] != "" && s.Whole() {
			one.Problem = "it is not understood"
			all = append(all, one)
			continue
		}
		want, err := strconv.Unquote(parts[2] + parts[3])
		if err != nil {
			panic(err)
		}
		for _, d := range disks {
			is := map[string]bool{"wwid": d.WWID == want, "serial": d.Serial == want, "": slices.Contains(d.Symlinks, want)}[parts[1]]
			if is && !d.ReadOnly && (parts[4] == "" || d.Name != system) {
				one.Disks = append(one.Disks, d.Name)
			}
		}
		all = append(all, one)
	}
	return all
}

func TestSelectors(t *testing.T) {
	disk := snapshot.TalosDisk{
		Name: "sdb", WWID: "naa.5000c500a1b2c3d4", Serial: " ZA1 ", Symlinks: []string{"/dev/disk/by-id/ata-X_ZA1", "/dev/disk/by-path/pci-1"},
	}
	all := Binding{WWID: "naa.5000c500a1b2c3d4", Serial: "ZA1", ByID: "ata-X_ZA1", ByPath: "pci-1"}
	for name, c := range map[string]struct {
		binding Binding
		others  []snapshot.TalosDisk
		whole   bool
		want    string
	}{
		"wwid":        {binding: all, want: `disk.wwid == "naa.5000c500a1b2c3d4" && !system_disk`},
		"whole disks": {binding: all, whole: true, want: `disk.wwid == "naa.5000c500a1b2c3d4"`},
		"serial, as Talos has it": {
			binding: all, others: []snapshot.TalosDisk{{Name: "sdc", WWID: "naa.5000c500a1b2c3d4"}}, want: `disk.serial == " ZA1 " && !system_disk`,
		},
		"by-id": {
			binding: all, others: []snapshot.TalosDisk{{Name: "sdc", WWID: "naa.5000c500a1b2c3d4", Serial: " ZA1 "}},
			want: `"/dev/disk/by-id/ata-X_ZA1" in disk.symlinks && !system_disk`,
		},
		"by-path": {binding: Binding{ByPath: "pci-1"}, want: `"/dev/disk/by-path/pci-1" in disk.symlinks && !system_disk`},
		"only what others have": {
			binding: Binding{Serial: "ZA1", ByPath: "pci-1"},
			others:  []snapshot.TalosDisk{{Name: "sdc", Serial: " ZA1 ", Symlinks: []string{"/dev/disk/by-path/pci-1"}}},
		},
		"another disk": {binding: Binding{WWID: "naa.5", Serial: "ZA2", ByID: "ata-X_ZA2", ByPath: "pci-2"}},
		"no facts":     {},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := c.binding.selector(disk, append([]snapshot.TalosDisk{disk}, c.others...), c.whole)
			if got != c.want || ok != (c.want != "") {
				t.Errorf("%q, %v", got, ok)
			}
		})
	}
}

func TestDocuments(t *testing.T) {
	files := ClassWay{Way: WayUserVolume, Class: Class{As: AsVolume, Filesystem: "ext4"}}
	whole := ClassWay{Way: WayWholeDisk, Class: Class{As: AsDisk, Filesystem: "xfs"}}
	raw := ClassWay{Way: WayRawVolume, Class: Class{As: AsPartition}}
	links := ClassWay{Way: WayVolumeOfLinks, Volume: "block"}
	disks := ClassWay{Way: WayMachineDisks, Wanted: provisioner.Class{HostDir: "/var/lib/disks/hdd"}}
	for name, c := range map[string]struct {
		document Document
		want     string
	}{
		"user volume": {document: files.document("fast-1", `disk.serial == "a: #b" && !system_disk`, 100<<30-16<<20), want: `apiVersion: v1alpha1
kind: UserVolumeConfig
name: fast-1
provisioning:
    diskSelector:
        match: 'disk.serial == "a: #b" && !system_disk'
    minSize: 102384MiB
    grow: true
filesystem:
    type: ext4
`},
		"whole disk": {document: whole.document("fast-1", `disk.wwid == "naa.5"`, 1<<30), want: `apiVersion: v1alpha1
kind: UserVolumeConfig
name: fast-1
volumeType: disk
provisioning:
    diskSelector:
        match: disk.wwid == "naa.5"
filesystem:
    type: xfs
`},
		"raw volume": {document: raw.document("raw-1", `disk.wwid == "naa.5" && !system_disk`, 93<<30), want: `apiVersion: v1alpha1
kind: RawVolumeConfig
name: raw-1
provisioning:
    diskSelector:
        match: disk.wwid == "naa.5" && !system_disk
    minSize: 95232MiB
    grow: true
`},
		"directory": {document: links.directory(), want: `apiVersion: v1alpha1
kind: UserVolumeConfig
name: block
volumeType: directory
`},
		"machine.disks": {document: disks.machineDisk("hdd-1", "/dev/disk/by-id/virtio-A"), want: `machine:
    disks:
        - device: /dev/disk/by-id/virtio-A
          partitions:
            - mountpoint: /var/lib/disks/hdd/hdd-1
`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.document.Text(); got != c.want {
				t.Errorf("%s", got)
			}
			raw := "machine: {}\n---\n" + c.want
			if c.document.Kind == MachineDiskKind {
				raw = c.want
			}
			stored, err := ReadStored([]byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			if state := stored.find(c.document, never); state != DocumentEqual {
				t.Errorf("read again it %s", state)
			}
		})
	}
}

func never(machineconfig.VolumeSelector) bool { return false }

// The whole of a disk is asked for: what an old partition leaves is less.
func TestLeastSize(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for name, c := range map[string]struct {
		size uint64
		slot bool
		want Size
	}{
		"a disk":      {size: 100 * gib, want: 100*gib - 16*mib},
		"odd bytes":   {size: 480103981056, want: 457846 * mib},
		"tiny":        {size: 3 * mib, want: mib},
		"nothing":     {want: mib},
		"a slot":      {size: 100 * gib, slot: true, want: 93 * gib},
		"a tiny slot": {size: 32 * mib, slot: true, want: 30 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			got := leastSize(c.size, c.slot)
			if got != c.want {
				t.Errorf("%d MiB, want %d", got/mib, c.want/mib)
			}
		})
	}
}

// A document is found by its meaning, whatever the spelling.
func TestStoredDocuments(t *testing.T) {
	w := ClassWay{Way: WayUserVolume, Class: Class{As: AsVolume, Filesystem: "xfs"}}
	doc := w.document("fast-1", `disk.serial == "A" && !system_disk`, 2<<30)
	const equal = `apiVersion: v1alpha1
kind: UserVolumeConfig
name: fast-1 # ours
volumeType: partition
encryption: null
provisioning: {grow: true, minSize: 2GiB, diskSelector: {match: "  disk.serial == \"A\" && !system_disk\n"}}
`
	for name, c := range map[string]struct {
		text   string
		serves bool
		want   DocumentState
	}{
		"equal":                 {text: equal, want: DocumentEqual},
		"bytes":                 {text: strings.Replace(equal, "2GiB", "2147483648", 1), want: DocumentEqual},
		"another size":          {text: strings.Replace(equal, "2GiB", "3GiB", 1), want: DocumentDiffers},
		"another size, and it":  {text: strings.Replace(equal, "2GiB", "3GiB", 1), serves: true, want: DocumentServes},
		"another filesystem":    {text: equal + "filesystem: {type: ext4}\n", serves: true, want: DocumentDiffers},
		"its own filesystem":    {text: equal + "filesystem: {type: xfs}\n", want: DocumentEqual},
		"quota":                 {text: equal + "filesystem: {projectQuotaSupport: true}\n", serves: true, want: DocumentServes},
		"another type":          {text: strings.Replace(equal, "Type: partition", "Type: disk", 1), serves: true, want: DocumentDiffers},
		"another name":          {text: strings.Replace(equal, "fast-1", "fast-2", 1), want: DocumentMissing},
		"the name is taken":     {text: strings.Replace(equal, "UserVolume", "ExistingVolume", 1), serves: true, want: DocumentDiffers},
		"a raw one of its name": {text: strings.Replace(equal, "UserVolumeConfig", "RawVolumeConfig", 1), want: DocumentMissing},
		"none":                  {text: "", want: DocumentMissing},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ReadStored([]byte("machine: {token: CANARY}\n---\n" + c.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.find(doc, func(machineconfig.VolumeSelector) bool { return c.serves }); got != c.want {
				t.Errorf("%s", got)
			}
		})
	}
	if _, err := ReadStored([]byte("machine: {disks: CANARY}")); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("%v", err)
	}
}

func TestStoredMachineDisks(t *testing.T) {
	s, err := ReadStored([]byte("machine: {disks: [{device: /dev/vdb, partitions: [{mountpoint: /var/lib/disks/hdd/hdd-1}]}]}"))
	if err != nil {
		t.Fatal(err)
	}
	w := ClassWay{Way: WayMachineDisks, Wanted: provisioner.Class{HostDir: "/var/lib/disks/hdd"}}
	for device, want := range map[string]DocumentState{"/dev/vdb": DocumentEqual, "/dev/vdc": DocumentDiffers} {
		if got := s.find(w.machineDisk("hdd-1", device), never); got != want {
			t.Errorf("%s: %s", device, got)
		}
	}
	if got := s.find(w.machineDisk("hdd-2", "/dev/vdb"), never); got != DocumentMissing {
		t.Errorf("another one: %s", got)
	}
}
