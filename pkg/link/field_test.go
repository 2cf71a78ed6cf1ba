// SPDX-License-Identifier: Apache-2.0

package link

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// field is a snapshot made after a report from the field.
func field(t *testing.T, name string) *snapshot.Snapshot {
	t.Helper()
	b, err := os.ReadFile("testdata/field/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	s := new(snapshot.Snapshot)
	if err := json.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func decideField(t *testing.T, name string, r Request) Link {
	t.Helper()
	r.Class = "block"
	p, err := Decide(field(t, name), r)
	if err != nil || len(p.Links) != 1 {
		t.Fatalf("%v, %d links", err, len(p.Links))
	}
	return p.Links[0]
}

// A disk with an LVM volume that a reset left behind (talos#12263): Talos refuses to wipe it
// while the volume is there.
func TestFieldLeftoverLVM(t *testing.T) {
	l := decideField(t, "leftover-lvm", Request{Disks: []disk.Arg{{Name: "vdb"}}, Accept: []Acceptance{{Reason: disk.HasSignature}}})
	if l.Action != change.Refuse || says(l.Objections) != "in-use: is held by dm-0" {
		t.Errorf("%s: %s", l.Action, says(l.Objections))
	}
	hint := l.Objections[0].Hint
	first, then := strings.Index(hint, "talosctl -n 10.0.0.1 wipe lv ceph-x/osd-block"),
		strings.Index(hint, "talosctl -n 10.0.0.1 wipe disk vdb")
	if first < 0 || then < first || strings.Contains(hint, "--accept") {
		t.Errorf("the hint: %s", hint)
	}

	// Without the acceptance the signature is named too, and does not say to wipe or accept.
	l = decideField(t, "leftover-lvm", Request{Disks: []disk.Arg{{Name: "vdb"}}})
	if len(l.Objections) != 2 || l.Objections[1].Reason != disk.HasSignature || l.Objections[1].Hint != "" {
		t.Errorf("%+v", l.Objections)
	}

	for what, change := range map[string]func(*snapshot.PodView){
		"a holder in use":            func(v *snapshot.PodView) { v.Disks[2].Content.Busy = disk.Yes },
		"a holder that is held":      func(v *snapshot.PodView) { v.Disks[2].Holders = []string{"dm-1"} },
		"a holder under a loop":      func(v *snapshot.PodView) { v.Disks[2].Under = []string{"loop1"} },
		"a holder not looked at":     func(v *snapshot.PodView) { v.Disks[2].Content = nil },
		"a holder that is not there": func(v *snapshot.PodView) { v.Disks = v.Disks[:2] },
		"a name outside LVM's":       func(v *snapshot.PodView) { v.Disks[2].ByID = []string{"dm-name-a-b;reboot", "dm-uuid-LVM-x"} },
	} {
		s := field(t, "leftover-lvm")
		change(s.Nodes[0].View.Value)
		p, err := Decide(s, Request{Class: "block", Disks: []disk.Arg{{Name: "vdb"}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range p.Links[0].Objections {
			if strings.Contains(o.Hint, "wipe") || strings.Contains(o.Hint, "--accept") {
				t.Errorf("%s: %s: %s", what, o.Reason, o.Hint)
			}
		}
	}
	s := field(t, "leftover-lvm")
	s.Nodes[0].View.Value.Disks[2].ByID = []string{"dm-name-mpatha", "dm-uuid-mpath-3600"}
	p, err := Decide(s, Request{Class: "block", Disks: []disk.Arg{{Name: "vdb"}}})
	if err != nil || p.Links[0].Objections[0].Hint != "link the map: kubectl talosdisk link dm-0 --nodes n1" {
		t.Errorf("a path of a map: %+v, %v", p.Links, err)
	}
}

func TestLogicalVolume(t *testing.T) {
	for mapping, want := range map[string]string{
		"vg-lv": "vg/lv", "ceph--x-osd--block": "ceph-x/osd-block", "a-b-c": "/", "vg": "/", "": "/", "-lv": "/", "vg-": "/", "a--b": "/",
		"v g-lv": "/", "vg-l\x00v": "/", "a---b": "a-/b",
	} {
		if vg, lv := logicalVolume(mapping); vg+"/"+lv != want {
			t.Errorf("%q: %s/%s, want %s", mapping, vg, lv, want)
		}
	}
}

// The provisioner's own example has its class directory below /dev: it is no class to link into, and one elsewhere on such a file
// system is refused for each disk.
func TestFieldClassBelowDev(t *testing.T) {
	s, r := field(t, "class-below-dev"), Request{Disks: []disk.Arg{{Name: "nvme1n1"}}}
	for name, want := range map[string]string{
		"":      "has no class with volumeMode Block (classes: block below /dev)",
		"block": "what is below /dev is made by the kernel and udev",
	} {
		r.Class = name
		if _, err := Decide(s, r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("class %q: %v", name, err)
		}
	}
	dir := s.Nodes[0].View.Value.Dirs["block"]
	dir.Filesystem = "tmpfs"
	s.Nodes[0].View.Value.Dirs["block"] = dir
	s.Install.Classes[0].HostDir, s.Install.Classes[0].MountDir = "/var/lib/disks/block", "/mnt/block"
	p, err := Decide(s, r)
	if err != nil {
		t.Fatal(err)
	}
	if l := p.Links[0]; l.Action != change.Refuse ||
		!strings.Contains(says(l.Objections),
			"class-directory: cannot be linked: /var/lib/disks/block is on a tmpfs, so that its links are gone at each reboot") {
		t.Errorf("%s: %s", l.Action, says(l.Objections))
	}
}

// The disk of a virtual machine in which Talos runs (talos#14092) has a system's partitions.
func TestFieldGuestTalos(t *testing.T) {
	l := decideField(t, "guest-talos", Request{Disks: []disk.Arg{{Name: "vdf"}}})
	if want := "partitions: has 1 partition: vdf1, another system's by their names (vdf1 is EPHEMERAL)"; l.Action != change.Refuse ||
		says(l.Objections) != want {
		t.Errorf("%s: %s", l.Action, says(l.Objections))
	}
	l = decideField(t, "guest-talos", Request{Disks: []disk.Arg{{Name: "vdf"}}, Accept: []Acceptance{{Reason: disk.HasPartitions}}})
	if l.Action != change.Create {
		t.Errorf("accepted: %s: %s", l.Action, says(l.Objections))
	}
	l = decideField(t, "guest-talos", Request{Disks: []disk.Arg{{Name: "sda"}}})
	if !strings.HasPrefix(says(l.Objections), "system-disk: ") {
		t.Errorf("the system's disk: %s", says(l.Objections))
	}
}
