// SPDX-License-Identifier: Apache-2.0

package link

import (
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// ToRecord is which disk each volume of the plan's links is made for, by the volume's name, as far as that is known and is
// not recorded: of links that were made, and of those that were there before and whose volume tells it, or nobody claims.
func ToRecord(s *snapshot.Snapshot, p *Plan) map[string]snapshot.Record {
	records := make(map[string]snapshot.Record)
	for i := range p.Links {
		l := &p.Links[i]
		r := snapshot.Record{Node: l.Node, NodeUID: l.NodeUID, Class: l.Class, Path: l.HostPath, Identity: l.Identity}
		v, there := s.VolumeByName(l.Volume)
		there = there && v.Node == l.Node && v.Path == l.HostPath
		l.recorded = there && v.Recorded
		switch {
		case l.Volume == "" || l.Identity.Size == 0 && !l.Identity.Known():
			continue
		case l.Result == change.Created:
		case l.Result != change.Unchanged || l.recorded:
			continue
		case there && v.Identity != nil:
			r.Identity = *v.Identity
		case there && (v.Phase != "Available" || v.Claim != nil):
			continue // Whose data lies there now is not known; today's disk may not be the one.
		}
		records[l.Volume] = r
	}
	return records
}

// ToForget are the volumes of links that are gone.
func ToForget(p Plan) []string {
	var volumes []string
	for _, l := range p.Links {
		if l.Result == change.Unlinked && l.Volume != "" {
			volumes = append(volumes, l.Volume)
		}
	}
	return volumes
}
