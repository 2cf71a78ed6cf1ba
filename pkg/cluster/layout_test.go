// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// Whatever disks are called, Talos's own environment finds by a document the disk that is bound, and only that.
func TestDocumentsInTalossEnvironment(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	words := []string{
		"A1", `"`, `\`, `B" || true || "`, "c: #d", `\u00a0`, "界", "%s", "0815", "'", "`", "\U0001F4A9", "${x}", "{{ .X }}", "a b", "!system_disk", "\\x41", "?",
	}
	documents := 0
	for range 60 {
		s := &snapshot.Snapshot{Nodes: []snapshot.Node{{Name: "w-1", OSImage: "Talos (v1.13.2)", Ready: true}}}
		var view snapshot.PodView
		var disks []snapshot.TalosDisk
		bindings := make(map[string]layout.Binding)
		for n, name := range []string{"vda", "vdb", "vdc", "vdd"} {
			serial := words[random.IntN(len(words))] + words[random.IntN(len(words))] + fmt.Sprint(n*7919+13)
			d := disk.Disk{
				Name: name, Kernel: name, Number: disk.Number{Major: 254, Minor: uint32(n) * 16}, Kind: disk.KindDisk, Size: 50 << 30, Serial: serial,
				Content: &disk.Content{Signed: disk.No, Busy: disk.No, Unsigned: disk.No},
			}
			view.Disks = append(view.Disks, d)
			disks = append(disks, snapshot.TalosDisk{Name: name, Size: d.Size, Serial: serial})
			if n > 0 {
				bindings[layout.VolumeName("fast", n)] = layout.Binding{Serial: serial}
			}
		}
		view.Beneath = map[disk.Number]string{{Major: 254}: "holds /var"}
		s.Nodes[0].View = snapshot.Read(view)
		s.Nodes[0].Talos = snapshot.Read(snapshot.Talos{
			Disks: snapshot.Read(disks), System: snapshot.Read("vda"), Devices: snapshot.Read([]snapshot.TalosDevice{}),
			Volumes: snapshot.Read([]snapshot.TalosVolume{}), Mounts: snapshot.Read([]snapshot.TalosMount{}),
		})
		class := layout.Class{Name: "fast", VolumeMode: provisioner.Filesystem, As: layout.AsVolume, Filesystem: "xfs"}
		if random.IntN(2) == 0 {
			class.As = layout.AsDisk
		}
		l := layout.Layout{Spec: layout.Spec{Nodes: layout.Nodes{Names: []string{"*"}}, Classes: []layout.Class{class}}}
		stored, err := layout.ReadStored([]byte("machine: {}"))
		if err != nil {
			t.Fatal(err)
		}
		p := layout.Observe(s).Decide(l, layout.Bindings{Nodes: map[string]map[string]layout.Binding{"w-1": bindings}}, layout.Deciding{
			Matcher: talos.Matcher{}, Configs: map[string]snapshot.Section[layout.Stored]{"w-1": snapshot.Read(stored)},
		})
		for _, v := range p.Volumes {
			if v.Status != layout.StatusCreate {
				t.Fatalf("%+v", v)
			}
		}
		for i, d := range p.Nodes[0].Documents {
			if d.Action != change.Create {
				t.Fatalf("%+v", d)
			}
			documents++
			read, err := machineconfig.ReadVolumeSelectors([]byte(d.Text()))
			if err != nil || len(read) != 1 || read[0] != d.Selector {
				t.Fatalf("%v: %s", err, d.Text())
			}
			found := talos.Matcher{}.Match(disks, "vda", read)
			if found[0].Problem != "" || !slices.Equal(found[0].Disks, []string{disks[i+1].Name}) {
				t.Fatalf("%s: %+v", d.Text(), found)
			}
		}
	}
	if documents != 180 {
		t.Errorf("%d documents", documents)
	}
}
