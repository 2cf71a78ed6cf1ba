// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"fmt"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Anybody who may create volumes chooses their paths.
func TestVolumePathsAreBounded(t *testing.T) {
	s := &snapshot.Snapshot{
		Install: provisioner.Install{
			Classes: []provisioner.Class{{Name: "block", HostDir: "/var/lib/disks/block", MountDir: "/mnt/block"}},
			Mounts:  []provisioner.Mount{{HostPath: "/dev", MountPath: "/dev"}, {HostPath: "/var/lib/disks/block", MountPath: "/mnt/block"}},
		},
		Nodes: []snapshot.Node{{Name: "w-1"}},
	}
	for i := range maxVolumes + 10 {
		s.Volumes = append(s.Volumes, snapshot.Volume{Node: "w-1", Path: fmt.Sprintf("/dev/disk/by-label/%d", i)})
	}
	for _, path := range []string{"/dev/a\nb", "/dev/a\x1eb", "/dev/" + strings.Repeat("x", maxPath), "/elsewhere/x", "/var/lib/disks/block/x",
		"/devices/x", ""} {
		s.Volumes = append(s.Volumes, snapshot.Volume{Node: "w-1", Path: path})
	}
	s.Volumes = append(s.Volumes, snapshot.Volume{Node: "w-2", Path: "/dev/other"})
	got := VolumePaths(s)
	if len(got) != 1 || len(got["w-1"]) != maxVolumes {
		t.Fatalf("%d nodes, %d paths", len(got), len(got["w-1"]))
	}
	for _, path := range got["w-1"] {
		if !strings.HasPrefix(path, "/dev/disk/by-label/") {
			t.Errorf("%q", path)
		}
	}
}
