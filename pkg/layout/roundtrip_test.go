// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"slices"
	"testing"
)

// What is proposed of a cluster that is in order differs from it in nothing.
func TestAProposalDiffersInNothing(t *testing.T) {
	document := func(kind, name, serial string) string {
		return "---\napiVersion: v1alpha1\nkind: " + kind + "\nname: " + name +
			"\nprovisioning: {diskSelector: {match: 'disk.serial == \"" + serial + "\"'}, minSize: 1GiB}\n"
	}
	for name, prepare := range map[string]func(*deciding){
		"links": func(d *deciding) {
			d.has("w-1", hdd("vdb", 5e9, "A"), hdd("vdc", 5e9, "B")).linked("w-1", "vdb", "vdb").linked("w-1", "block-1", "vdc").reported("w-1")
		},
		"links by slot": func(d *deciding) {
			one := hdd("vdb", 5e9, "")
			d.has("w-1", one).linked("w-1", "vdb", "vdb").reported("w-1")
		},
		"volumes of Talos": func(d *deciding) {
			d.has("w-1", ssd("vdb", 5e9, "A"), ssd("vdc", 5e9, "B")).reported("w-1", "u-ssd-1 vdb1", "r-raw-1 vdc1")
			d.config = document("UserVolumeConfig", "ssd-1", "A") + "filesystem: {type: ext4}\n" + document("RawVolumeConfig", "raw-1", "B")
		},
		"some of each, and a free disk": func(d *deciding) {
			d.has("w-1", ssd("vdb", 5e9, "A"), hdd("vdc", 5e9, "B"), hdd("vdd", 6e9, "C")).linked("w-1", "x", "vdc").reported("w-1", "u-ssd-1 vdb1")
			d.config = document("UserVolumeConfig", "ssd-1", "A") + "filesystem: {type: ext4}\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeciding(t, "  - {name: a, disks: {count: 1}}", "")
			prepare(d)
			raw, err := Observe(d.Snapshot).Propose(Proposing{Name: "disks"})
			if err != nil {
				t.Fatal(err)
			}
			f, err := Decode("f", raw)
			if err != nil {
				t.Fatal(err)
			}
			d.layout, d.bindings = f.Layout, f.Bindings
			p := d.decide(t)
			placed := slices.ContainsFunc(p.Volumes, func(v VolumePlan) bool { return v.Status == StatusInPlace })
			if !placed || p.Differs() || p.Unknown() {
				t.Errorf("%s\nvolumes: %s\ndocuments: %s\nprovisioner: %+v\nnodes: %+v", raw, rows(p), docs(p), p.Provisioner, p.Nodes)
			}
		})
	}
}
