// SPDX-License-Identifier: Apache-2.0

package link

import (
	"slices"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

func TestToRecord(t *testing.T) {
	today, own := disk.ID{Serial: "today", Size: 1}, disk.ID{Serial: "own", Size: 1}
	claim := &snapshot.ClaimRef{Namespace: "default", Name: "data"}
	for name, c := range map[string]struct {
		result change.Result
		volume *snapshot.Volume
		serial string // empty: not recorded
	}{
		"made":                           {change.Created, nil, "today"},
		"made, with a record of before":  {change.Created, &snapshot.Volume{Recorded: true, Identity: &own, Phase: "Available"}, "today"},
		"there, without a volume":        {change.Unchanged, nil, "today"},
		"there, and free":                {change.Unchanged, &snapshot.Volume{Phase: "Available"}, "today"},
		"there, and claimed":             {change.Unchanged, &snapshot.Volume{Phase: "Bound", Claim: claim}, ""},
		"there, and reserved":            {change.Unchanged, &snapshot.Volume{Phase: "Available", Claim: claim}, ""},
		"the volume tells it, claimed":   {change.Unchanged, &snapshot.Volume{Phase: "Bound", Claim: claim, Identity: &own}, "own"},
		"recorded before":                {change.Unchanged, &snapshot.Volume{Phase: "Available", Identity: &own, Recorded: true}, ""},
		"failed":                         {change.Failed, nil, ""},
		"whether it was made is unknown": {change.Unknown, nil, ""},
	} {
		s := &snapshot.Snapshot{}
		if c.volume != nil {
			c.volume.Name, c.volume.Node, c.volume.Path = "pv", "w-1", "/x/vdf"
			s.Volumes = []snapshot.Volume{*c.volume}
		}
		p := Plan{Links: []Link{{Node: "w-1", NodeUID: "u", Class: "block", HostPath: "/x/vdf", Volume: "pv", Identity: today, Result: c.result}}}
		got := ToRecord(s, &p)
		if got["pv"].Identity.Serial != c.serial || len(got) > 1 || len(got) == 1 && (got["pv"].Path != "/x/vdf" || got["pv"].NodeUID != "u") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestToForget(t *testing.T) {
	p := Plan{
		Links: []Link{{Volume: "a", Result: change.Unlinked}, {Volume: "b", Result: change.Refused}, {Volume: "c", Result: change.Unknown},
			{Result: change.Unlinked}},
	}
	if got := ToForget(p); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %q", got)
	}
}
