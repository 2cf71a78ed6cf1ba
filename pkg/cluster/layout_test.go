// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

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
		"A1", `"`, `\`, `B" || true || "`, "c: #d", `\u00a0`, "界", "%s", "0815", "'", "`", "\U0001F4A9", "${x}", "{{ .X }}", "a b",
		"!system_disk", "\\x41", "?",
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

// Where some of a layout's nodes are chosen, the releases of all are asked for.
func TestReleasesOfNodesThatWereNotChosen(t *testing.T) {
	node := func(name, image, label string) *corev1.Node {
		return &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"disk": label}},
			Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{OSImage: image}},
		}
	}
	client := fake.NewClientset(node("w-1", "Talos (v1.13.0)", "yes"), node("w-2", "Talos (v1.11.0)", "yes"), node("v-1", "Debian", "no"))
	byName := layout.Layout{Spec: layout.Spec{Nodes: layout.Nodes{Names: []string{"w-*"}}}}
	no := &metav1.LabelSelector{MatchLabels: map[string]string{"disk": "no"}}
	byLabel := layout.Layout{Spec: layout.Spec{Nodes: layout.Nodes{Selector: no}}}
	for name, c := range map[string]struct {
		options Options
		layout  layout.Layout
		want    map[string]string
	}{
		"all are chosen": {layout: byName, want: map[string]string{}},
		"one is":         {options: Options{Nodes: []string{"w-1"}}, layout: byName, want: map[string]string{"w-1": "v1.13.0", "w-2": "v1.11.0"}},
		"by label":       {options: Options{Nodes: []string{"w-1"}}, layout: byLabel, want: map[string]string{"v-1": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &Cluster{Client: client, options: c.options}
			got, err := cluster.others(t.Context(), c.layout)
			if err != nil {
				t.Fatal(err)
			}
			tags := make(map[string]string)
			for node, release := range got {
				tags[node] = release.String()
			}
			if !maps.Equal(tags, c.want) {
				t.Errorf("%v", tags)
			}
		})
	}
}
