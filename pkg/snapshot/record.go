// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// PartRecords is the key of Snapshot.Unread for what was recorded of volumes' disks beside the volumes.
const PartRecords = "records"

// Record says which disk a volume was made for, for the time after the volume: the provisioner deletes it with each claim,
// its annotations too, and makes one of the same name again (v2.9.0).
type Record struct {
	Node    string    `json:"node"`
	NodeUID types.UID `json:"nodeUID,omitempty"`
	Class   string    `json:"class"`
	// Path is the entry on the node, which is the volume's path.
	Path     string  `json:"path"`
	Identity disk.ID `json:"identity"`
}

// of reports whether the record is of a volume on that node: the same entry of the same class, and no other node of the name.
func (r Record) of(v Volume, node Node) bool {
	return r.Path == v.Path && r.Class == v.Class && r.Node == v.Node && r.Node == node.Name && r.NodeUID == node.UID
}

// Recall completes the volumes by records, which are by the volume's name. What a volume says of itself comes first.
func (s *Snapshot) Recall(records map[string]Record) {
	nodes := make(map[string]Node, len(s.Nodes))
	for _, n := range s.Nodes {
		nodes[n.Name] = n
	}
	for i := range s.Volumes {
		v := &s.Volumes[i]
		r, ok := records[v.Name]
		if node, known := nodes[v.Node]; !ok || !known || !r.of(*v, node) {
			continue
		}
		v.Recorded = true
		if v.Identity == nil {
			v.Identity = &r.Identity
		}
	}
}
