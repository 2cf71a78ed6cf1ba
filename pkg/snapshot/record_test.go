// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// The provisioner deletes a volume with its claim and makes one of the same name again, without annotations. Which disk it
// was made for is known anyway, as long as it is the same entry of the same node.
func TestRecall(t *testing.T) {
	then := disk.ID{Serial: "ZA1", Size: 1 << 30}
	good := Record{Node: "w-1", NodeUID: "uid-1", Class: "block", Path: "/var/lib/disks/block/vdf", Identity: then}
	for name, c := range map[string]struct {
		change func(*Volume, *Record)
		serial string // empty: unknown
	}{
		"made again":             {nil, "ZA1"},
		"its own comes first":    {func(v *Volume, _ *Record) { v.Identity = &disk.ID{Serial: "own"} }, "own"},
		"another entry":          {func(v *Volume, _ *Record) { v.Path = "/var/lib/disks/block/vdg" }, ""},
		"another class":          {func(v *Volume, _ *Record) { v.Class = "other" }, ""},
		"another node":           {func(_ *Volume, r *Record) { r.Node = "w-2" }, ""},
		"a node made again":      {func(_ *Volume, r *Record) { r.NodeUID = "uid-0" }, ""},
		"a node nobody knows of": {func(v *Volume, r *Record) { v.Node, r.Node = "w-9", "w-9" }, ""},
		"another volume":         {func(v *Volume, _ *Record) { v.Name = "pv-2" }, ""},
	} {
		v, r := Volume{Name: "pv-1", Node: "w-1", Class: "block", Path: good.Path}, good
		if c.change != nil {
			c.change(&v, &r)
		}
		s := &Snapshot{Nodes: []Node{{Name: "w-1", UID: "uid-1"}, {Name: "w-2", UID: "uid-2"}}, Volumes: []Volume{v}}
		s.Recall(map[string]Record{"pv-1": r})
		got := ""
		if id := s.Volumes[0].Identity; id != nil {
			got = id.Serial
		}
		if got != c.serial || s.Volumes[0].Recorded != (c.serial != "") {
			t.Errorf("%s: %q, recorded %t", name, got, s.Volumes[0].Recorded)
		}
	}
}
