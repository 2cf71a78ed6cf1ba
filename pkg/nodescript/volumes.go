// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Bounds of what is asked of one node, which anybody who may create volumes can choose.
const (
	maxVolumes = 2000 // Far more than a node has disks.
	maxPath    = 4096 // bytes: PATH_MAX.
)

// VolumePaths are, by node, the paths of the cluster's local volumes there, as the provisioner's pod has them: of any class and
// provisioner, except those that lie directly in a class directory of an installation, which a pod of its own lists. A path that no mount
// shows is not among them.
func VolumePaths(s *snapshot.Snapshot) map[string][]string {
	all := make(map[string][]string)
	for _, n := range s.Nodes {
		var paths []string
		for _, v := range s.Volumes {
			if v.Node != n.Name && v.Node != "" || s.InClassDirectory(v) {
				continue
			}
			if at, ok := s.Install.PathOf(v.Path); ok && len(at) <= maxPath && !strings.ContainsFunc(at, control) {
				paths = append(paths, at)
			}
		}
		slices.Sort(paths)
		if paths = slices.Compact(paths); len(paths) > maxVolumes {
			paths = paths[:maxVolumes]
		}
		if len(paths) > 0 {
			all[n.Name] = paths
		}
	}
	return all
}

// control reports whether a character would end a line or a record of the script.
func control(r rune) bool { return r < ' ' || r == 0x7f }
