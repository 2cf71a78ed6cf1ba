// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

func TestSection(t *testing.T) {
	read, failed, not := Read(7), Unread[int](problem.FromText("the pod is gone")), Section[int]{}
	if *read.Value != 7 || read.Why().Message != "" {
		t.Errorf("read: %+v, %q", read, read.Why())
	}
	if failed.Value != nil || failed.Why().Message != "the pod is gone" {
		t.Errorf("failed: %+v, %q", failed, failed.Why())
	}
	if not.Value != nil || not.Why().Message == "" {
		t.Errorf("not asked for: %+v, %q", not, not.Why())
	}
}

func TestLookups(t *testing.T) {
	v := PodView{Disks: []disk.Disk{{Name: "vda", Number: disk.Number{Major: 254}}, {Name: "vdb", Number: disk.Number{Major: 254, Minor: 16}}}}
	if d, ok := v.DiskByName("vdb"); !ok || d.Number.Minor != 16 {
		t.Errorf("by name: %+v, %v", d, ok)
	}
	if d, ok := v.DiskByNumber("254:16"); !ok || d.Name != "vdb" {
		t.Errorf("by number: %+v, %v", d, ok)
	}
	if _, ok := v.DiskByNumber(""); ok {
		t.Error("a number that is none finds a disk")
	}
	if _, ok := v.DiskByName("vdc"); ok {
		t.Error("a disk that is not there")
	}
	dir := Dir{Entries: []provisioner.Entry{{Name: "a"}, {Name: "b", Target: "/dev/vdb"}}}
	if e, ok := dir.Entry("b"); !ok || e.Target != "/dev/vdb" {
		t.Errorf("entry: %+v, %v", e, ok)
	}
	if _, ok := dir.Entry("c"); ok {
		t.Error("an entry that is not there")
	}
	s := Snapshot{Volumes: []Volume{{Name: "x"}, {Name: "y", Path: "/p"}}}
	if v, ok := s.VolumeByName("y"); !ok || v.Path != "/p" {
		t.Errorf("volume: %+v, %v", v, ok)
	}
	if _, ok := s.VolumeByName("z"); ok {
		t.Error("a volume that is not there")
	}
}

// A snapshot is saved and loaded: keys that are structs must be texts.
func TestJSON(t *testing.T) {
	in := Snapshot{
		Users: Read(map[ClaimRef][]string{{Namespace: "ns", Name: "c"}: {"p"}}),
		Nodes: []Node{{
			Name: "n",
			View: Read(PodView{Beneath: map[disk.Number]string{{Major: 254}: "holds /x"}, Paths: map[string]disk.Number{"/dev/x": {Major: 7}}}),
		}},
	}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"ns/c":["p"]`, `"254:0":"holds /x"`, `"/dev/x":"7:0"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s has no %s", b, want)
		}
	}
}
