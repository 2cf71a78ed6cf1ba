// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// article is a file with everything that a file can have.
func article(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/article.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestDecode(t *testing.T) {
	f, err := Decode("layout.yaml", []byte(article(t)))
	if err != nil {
		t.Fatal(err)
	}
	layout := Layout{
		APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: "workers"},
		Spec: Spec{
			Nodes:       Nodes{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"example.com/storage": "yes"}}},
			Provisioner: Provisioner{Namespace: "local-storage", Release: "local", Chart: "2.9.0"},
			Classes: []Class{
				{
					Name: "fast-storage", VolumeMode: provisioner.Filesystem, As: AsVolume, Filesystem: "xfs", By: ByIdentity,
					ReclaimPolicy: "Delete",
					Disks:         Disks{Count: new(2), Rotational: new(false), Size: Range{Min: 50 << 30}},
				},
				{
					Name: "slow-storage", VolumeMode: provisioner.Filesystem, As: AsDisk, Filesystem: "ext4", By: BySlot, ReclaimPolicy: "Retain",
					Disks: Disks{Count: new(2), Match: "disk.rotational && !system_disk"},
				},
				{
					Name: "block-storage", VolumeMode: provisioner.Block, As: AsLink, By: ByIdentity, ReclaimPolicy: "Delete",
					HostDir: "/var/lib/disks/block",
					Disks:   Disks{Names: []string{"vdf", "/dev/disk/by-id/virtio-vdg"}},
				},
			},
			Overrides: []Override{
				{Nodes: []string{"w-3", "x-*"}, Classes: []ClassOverride{{Name: "slow-storage", Disks: Disks{Count: new(0)}}}},
			},
		},
	}
	if !reflect.DeepEqual(f.Layout, layout) {
		t.Errorf("%+v", f.Layout)
	}
	bindings := map[string]map[string]Binding{
		"w-1": {
			"fast-storage-1":  {WWID: "naa.5000c500a1b2c3d4", Serial: "ZA1", Size: 480103981056, ByPath: "pci-0000:00:1f.2-ata-1"},
			"slow-storage-1":  {ByPath: "pci-0000:00:1f.2-ata-3"},
			"block-storage-1": {Name: "vdf", ByID: "virtio-vdf", Size: 64 << 30},
		},
		"w-2": {},
	}
	if !reflect.DeepEqual(f.Bindings.Nodes, bindings) || f.Bindings.Metadata.Name != "workers" {
		t.Errorf("%+v", f.Bindings)
	}
}

func TestDefaults(t *testing.T) {
	f, err := Decode("layout.yaml", []byte(`
kind: DiskLayout
apiVersion: talosdisk.dev/v1alpha1
metadata: {name: w}
spec:
  nodes: {names: ["*"]}
  classes:
  - {name: a, disks: {count: 1}}
  - {name: b, volumeMode: Block, disks: {count: 1}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Spec{
		Nodes: Nodes{Names: []string{"*"}}, Provisioner: Provisioner{Namespace: "local-storage", Release: "local"},
		Classes: []Class{
			{
				Name: "a", VolumeMode: provisioner.Filesystem, As: AsVolume, Filesystem: "xfs", By: ByIdentity, ReclaimPolicy: "Delete",
				Disks: Disks{Count: new(1)},
			},
			{Name: "b", VolumeMode: provisioner.Block, As: AsLink, By: ByIdentity, ReclaimPolicy: "Delete", Disks: Disks{Count: new(1)}},
		},
	}
	if !reflect.DeepEqual(f.Layout.Spec, want) {
		t.Errorf("%+v", f.Layout.Spec)
	}
	if f.Bindings.Nodes == nil || len(f.Bindings.Nodes) > 0 || f.Bindings.Metadata.Name != "w" {
		t.Errorf("%+v", f.Bindings)
	}
}

// base is a file whose parts the cases of TestMistakes replace.
const base = `apiVersion: talosdisk.dev/v1alpha1
kind: DiskLayout
metadata: {name: workers}
spec:
  nodes: {names: [w-1]}
  provisioner: {release: local}
  classes:
  - name: fast
    disks: {count: 1}
  - name: raw
    volumeMode: Block
    disks: {names: [vdf]}
  overrides:
  - nodes: [w-1]
    classes: [{name: fast}]
---
apiVersion: talosdisk.dev/v1alpha1
kind: DiskBindings
metadata: {name: workers}
nodes:
  w-1:
    fast-1: {serial: A}
`

func TestTheBaseHasNoMistakes(t *testing.T) {
	if _, err := Decode("f", []byte(base)); err != nil {
		t.Error(err)
	}
}

func TestMistakes(t *testing.T) {
	const reserved = `cannot be the name of a class: the provisioner's pod has a volume of that name`
	for name, c := range map[string]struct {
		// old is replaced by new, at the first place where it is.
		old, new string
		want     []string
	}{
		"unknown key": {
			old: "count: 1", new: "count: 1, kount: 2",
			want: []string{`f:9:23: key "kount" is not known here: count, rotational,`},
		},
		"unknown key at top":    {old: "spec:", new: "status: {}\nspec:", want: []string{`f:4:1: key "status" is not known here`}},
		"unknown key of a list": {old: "release: local", new: "releas: local", want: []string{`f:6:17: key "releas" is not known`}},
		"key twice": {
			old: "  - name: fast\n", new: "  - name: fast\n    name: fest\n",
			want: []string{`f:9:5: key "name" stands here twice, first on line 8`},
		},
		"key twice, flow": {old: "{count: 1}", new: "{count: 1, count: 2}", want: []string{`f:9:23: key "count" stands here twice`}},
		"volume twice": {
			old: "    fast-1:", new: "    fast-1: {serial: B}\n    fast-1:",
			want: []string{`f:23:5: key "fast-1" stands here twice, first on line 22`},
		},
		"no list":    {old: "[w-1]", new: "w-1", want: []string{"f:5:18: names is not a list"}},
		"no mapping": {old: "{count: 1}", new: "[a]", want: []string{"f:9:12: disks is not a mapping"}},
		"no text": {
			old: "name: fast", new: "name: 5",
			want: []string{`f:8:11: name is not a text: write "5"`, `f:15:22: there is no class "fast"`},
		},
		"no text, a list": {
			old: "name: fast", new: "name: [a]",
			want: []string{`f:8:11: name is not a text`, `f:15:22: there is no class "fast"`},
		},
		"no number":  {old: "count: 1", new: "count: two", want: []string{"f:9:20: count is not a whole number"}},
		"a fraction": {old: "count: 1", new: "count: 1.5", want: []string{"f:9:20: count is not a whole number"}},
		"no truth":   {old: "count: 1", new: "rotational: yes", want: []string{"f:9:25: rotational is neither true nor false"}},
		"no value":   {old: "count: 1", new: "count: 1, match: ", want: []string{"f:9:30: match has no value"}},
		"anchor":     {old: "{count: 1}", new: "&x {count: 1}", want: []string{"f:9:12: anchors and aliases are not supported"}},
		"merge":      {old: "{count: 1}", new: "{<<: {count: 1}}", want: []string{"f:9:13: a key is a plain text"}},
		"size of a letter": {
			old: "count: 1", new: "size: {min: 100G}",
			want: []string{`f:9:25: size "100G" can mean two things: write 100GB (powers of 1000)`},
		},
		"size of nothing": {old: "count: 1", new: "size: {min: []}", want: []string{"f:9:25: a size is a number of bytes, or one with a unit"}},
		"a negative size": {old: "count: 1", new: "size: {min: -1}", want: []string{`f:9:25: size "-1" is not a number`}},
		"sizes, turned": {
			old: "count: 1", new: "size: {min: 2TB, max: 1TB}",
			want: []string{"f:9:19: size has a min of 2TB, more than its max of 1TB"},
		},
		"no YAML":         {old: "spec:", new: "spec: [", want: []string{"f: it is not valid YAML: yaml: line "}},
		"a tab":           {old: "  nodes:", new: "\tnodes:", want: []string{"f: it is not valid YAML: yaml: line "}},
		"no UTF-8":        {old: "workers", new: "w\xff", want: []string{"f: it is not UTF-8"}},
		"another version": {old: "v1alpha1", new: "v1", want: []string{`f:1:13: apiVersion "talosdisk.dev/v1" is not talosdisk.dev/v1alpha1`}},
		"another kind": {
			old: "kind: DiskLayout", new: "kind: Pod",
			want: []string{`f:2:7: kind "Pod" is neither DiskLayout nor DiskBindings`},
		},
		"no kind": {old: "kind: DiskLayout\n", new: "", want: []string{"f:1:1: a document has an apiVersion and a kind"}},
		"a text":  {old: base, new: "hello", want: []string{"f:1:1: a document has an apiVersion and a kind"}},
		"empty": {
			old: base, new: "",
			want: []string{"f: it has no document with apiVersion: talosdisk.dev/v1alpha1 and kind: DiskLayout"},
		},
		"bindings alone": {old: base, new: base[strings.Index(base, "---"):], want: []string{"f: it has no document"}},
		"two layouts": {
			old: base, new: base + "---\n" + base[:strings.Index(base, "---")],
			want: []string{"f:24:1: a file has one DiskLayout, and this is the second one"},
		},
		"two bindings": {old: base, new: base + base[strings.Index(base, "---"):], want: []string{"f:24:1: a file has one DiskBindings"}},
		"of another layout": {
			old: "kind: DiskBindings\nmetadata: {name: workers}", new: "kind: DiskBindings\nmetadata: {name: others}",
			want: []string{`f:19:18: these bindings are of a layout "others", and the file's is "workers"`},
		},
		"no name": {old: "{name: workers}", new: "{}", want: []string{"f:3:11: name is missing", "f:19:18: these bindings are of"}},
		"a bad name": {
			old: "{name: workers}", new: "{name: W_}",
			want: []string{`f:3:18: "W_" cannot be the name of a layout: a lowercase RFC 1123 subdomain`, "f:19:18: "},
		},
		"no nodes": {old: "{names: [w-1]}", new: "{}", want: []string{"f:5:10: nodes has either names, or a selector"}},
		"nodes twice": {
			old: "{names: [w-1]}", new: "{names: [w-1], selector: {}}",
			want: []string{"f:5:10: nodes has names and a selector"},
		},
		"a bad selector": {
			old: "{names: [w-1]}", new: "{selector: {matchExpressions: [{key: a, operator: Is}]}}",
			want: []string{"f:5:21: it is not a selector for labels: "},
		},
		"a bad pattern":   {old: "[w-1]", new: "['w-[']", want: []string{`f:5:19: "w-[" is neither the name of a node nor a pattern`}},
		"namespace":       {old: "release: local", new: "namespace: a/b", want: []string{`f:6:28: "a/b" cannot be the name of a namespace`}},
		"release":         {old: "release: local", new: "release: -x", want: []string{`f:6:26: "-x" cannot be the name of a Helm release`}},
		"chart":           {old: "release: local", new: "chart: --version", want: []string{`f:6:24: "--version" is not a version of a chart`}},
		"chart, a number": {old: "release: local", new: "chart: 2.9", want: []string{`f:6:24: chart is not a text: write "2.9"`}},
		"no classes": {
			old:  "  classes:\n  - name: fast\n    disks: {count: 1}\n  - name: raw\n    volumeMode: Block\n    disks: {names: [vdf]}\n  overrides:\n  - nodes: [w-1]\n    classes: [{name: fast}]\n",
			new:  "",
			want: []string{"f:5:3: a layout has at least one class"},
		},
		"class without name": {
			old: "  - name: fast\n    disks", new: "  - disks",
			want: []string{"f:8:5: name is missing", `f:14:22: there is no class "fast" to override`},
		},
		"class name": {
			old: "name: fast", new: "name: Fast",
			want: []string{`f:8:11: "Fast" cannot be the name of a class: a lowercase RFC 1123 label`, "f:15:22: "},
		},
		"config's name":     {old: "name: raw", new: "name: provisioner-config", want: []string{`f:10:11: "provisioner-config" ` + reserved}},
		"the devices' name": {old: "name: raw", new: "name: provisioner-dev", want: []string{`f:10:11: "provisioner-dev" ` + reserved}},
		"two of a name":     {old: "name: raw", new: "name: fast", want: []string{`f:10:11: there are two classes "fast"`}},
		"mode": {
			old: "volumeMode: Block", new: "volumeMode: block",
			want: []string{`f:11:17: volumeMode "block" is neither Filesystem nor Block`},
		},
		"a link with files": {
			old: "volumeMode: Block", new: "as: link",
			want: []string{`f:11:9: as "link" does not go with volumeMode Filesystem: volume or disk does`},
		},
		"a volume of blocks": {
			old: "Block", new: "Block\n    as: volume",
			want: []string{`f:12:9: as "volume" does not go with volumeMode Block: link or partition does`},
		},
		"as what": {old: "Block", new: "Block\n    as: zfs", want: []string{`f:12:9: as "zfs" does not go with`}},
		"filesystem of blocks": {
			old: "Block", new: "Block\n    filesystem: xfs",
			want: []string{"f:12:17: a class with volumeMode Block has no filesystem"},
		},
		"filesystem": {
			old: "name: fast", new: "name: fast\n    filesystem: zfs",
			want: []string{`f:9:17: filesystem "zfs" is neither xfs nor ext4`},
		},
		"by": {
			old: "name: fast", new: "name: fast\n    by: name",
			want: []string{`f:9:9: by "name" is neither identity nor slot`},
		},
		"policy": {
			old: "name: fast", new: "name: fast\n    reclaimPolicy: Keep",
			want: []string{`f:9:20: reclaimPolicy "Keep" is neither`},
		},
		"hostDir": {
			old: "name: fast", new: "name: fast\n    hostDir: /var/x",
			want: []string{"f:9:14: only a class as: link has a hostDir"},
		},
		"hostDir below /dev": {
			old: "Block", new: "Block\n    hostDir: /dev/disks",
			want: []string{`f:12:14: "/dev/disks" is not a directory that links stay in`},
		},
		"hostDir of volumes": {old: "Block", new: "Block\n    hostDir: /var/mnt", want: []string{`f:12:14: "/var/mnt" is not a directory`}},
		"hostDir, not clean": {old: "Block", new: "Block\n    hostDir: /var/../dev", want: []string{`f:12:14: "/var/../dev" is not`}},
		"hostDir twice": {
			old:  "name: raw",
			new:  "name: row\n    volumeMode: Block\n    hostDir: /var/a/b\n    disks: {count: 1}\n  - name: raw\n    hostDir: /var/a/b",
			want: []string{`f:15:14: class "row" has hostDir /var/a/b too`},
		},
		"a long name": {
			old: "name: fast", new: "name: " + strings.Repeat("a", 33) + "\n    by: slot", want: []string{
				"f:8:11: the volumes of class \"" + strings.Repeat("a", 33) + "\" would have names like \"" +
					strings.Repeat("a", 33) + "-1\", longer than the 34",
				"f:16:22: there is no class",
			},
		},
		"a long name of links": {old: "name: raw", new: "name: " + strings.Repeat("a", 60)},
		"count 0":              {old: "count: 1", new: "count: 0", want: []string{"f:9:20: count 0 is not between 1 and 999"}},
		"count 1000":           {old: "count: 1", new: "count: 1000", want: []string{"f:9:20: count 1000 is not between"}},
		"no choice":            {old: "{count: 1}", new: "{}", want: []string{`f:9:12: class "fast" chooses no disks`}},
		"match and more":       {old: "count: 1", new: `match: "true", rotational: true`, want: []string{"f:9:20: match stands alone"}},
		"match and count":      {old: "count: 1", new: `match: "true", count: 2`},
		"match and names":      {old: "count: 1", new: `match: "true", names: [vda]`, want: []string{"f:9:20: match stands alone"}},
		"names and more":       {old: "names: [vdf]", new: "names: [vdf], transport: sata", want: []string{"f:12:20: names stand alone"}},
		"names and count": {
			old: "names: [vdf]", new: "names: [vdf], count: 1",
			want: []string{"f:12:34: names and count do not go together"},
		},
		"a glob":       {old: "[vdf]", new: "['vd*']", want: []string{`f:12:21: disk "vd*" is a pattern`}},
		"a disk twice": {old: "[vdf]", new: "[vdf, /dev/vdf]", want: []string{`f:12:26: disk "/dev/vdf" is named twice`}},
		"no disk":      {old: "[vdf]", new: "['$(x)']", want: []string{`f:12:21: disk "$(x)" has a character that no disk name has`}},
		"transport":    {old: "count: 1", new: "transport: SATA", want: []string{`f:9:24: transport "SATA" is not a word of Talos's`}},
		"model":        {old: "count: 1", new: `model: "a\x07"`, want: []string{`f:9:20: model "a\a" is not a disk's`}},
		"a long match": {
			old: "count: 1", new: "match: " + strings.Repeat("a", 8193),
			want: []string{"f:9:20: match is longer than 8192 bytes"},
		},
		"override of no node":  {old: "nodes: [w-1]\n", new: "nodes: []\n", want: []string{"f:14:12: an override names nodes"}},
		"override of no class": {old: "[{name: fast}]", new: "[]", want: []string{"f:15:14: an override names classes"}},
		"override of another":  {old: "[{name: fast}]", new: "[{name: fost}]", want: []string{`f:15:22: there is no class "fost" to override`}},
		"override twice": {
			old: "[{name: fast}]", new: "[{name: fast}, {name: fast}]",
			want: []string{`f:15:36: class "fast" is overridden twice`},
		},
		"override of count": {old: "[{name: fast}]", new: "[{name: fast, disks: {count: 0}}]"},
		"a negative count": {
			old: "[{name: fast}]", new: "[{name: fast, disks: {count: -1}}]",
			want: []string{"f:15:43: count -1 is not between 0 and 999"},
		},
		"override of as": {
			old: "[{name: fast}]", new: "[{name: fast, as: disk}]",
			want: []string{`f:15:28: key "as" is not known here: name, by, disks`},
		},
		"override by": {old: "[{name: fast}]", new: "[{name: fast, by: x}]", want: []string{`f:15:32: by "x" is neither`}},
		"count onto names": {
			old: "[{name: fast}]", new: "[{name: raw, disks: {count: 2}}]",
			want: []string{`f:15:34: class "raw" has names`},
		},
		"no disks of names":     {old: "[{name: fast}]", new: "[{name: raw, disks: {count: 0}}]"},
		"names for a count":     {old: "[{name: fast}]", new: "[{name: fast, disks: {names: [vda, vdb]}}]"},
		"node's name":           {old: "  w-1:\n", new: "  W_1:\n", want: []string{`f:22:5: "W_1" cannot be the name of a node`}},
		"volume's name":         {old: "    fast-1:", new: "    fast:", want: []string{`f:22:11: "fast" is not a volume of a class, as CLASS-1`}},
		"a class that is gone":  {old: "    fast-1:", new: "    old-7:"},
		"no disk bound":         {old: "{serial: A}", new: "{size: 5000}", want: []string{"f:22:13: the binding names no disk"}},
		"a small disk":          {old: "{serial: A}", new: "{serial: A, size: 5}", want: []string{"f:22:31: no disk has 5 bytes"}},
		"a path in a name":      {old: "{serial: A}", new: "{byID: ../x}", want: []string{`f:22:20: byID "../x" is not a name below /dev/disk`}},
		"quotes in a name":      {old: "{serial: A}", new: `{byPath: 'a"b'}`, want: []string{`f:22:22: byPath "a\"b" is not a name`}},
		"breaks in a serial":    {old: "{serial: A}", new: `{serial: "a\nb"}`, want: []string{`f:22:22: serial "a\nb" is not a disk's`}},
		"a number for a serial": {old: "{serial: A}", new: `{serial: 0815}`, want: []string{`f:22:22: serial is not a text: write "0815"`}},
		"a name for a link": {
			old: "{serial: A}", new: "{serial: A, name: .x}",
			want: []string{`f:22:31: ".x" cannot be the name of a volume or a link`},
		},
		"several": {
			old: "count: 1", new: "kount: 1, size: {min: 5G}",
			want: []string{`f:9:13: key "kount"`, `f:9:35: size "5G" can mean`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(base, c.old, c.new, 1)
			if text == base {
				t.Fatal("nothing was replaced")
			}
			_, err := Decode("f", []byte(text))
			if len(c.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var several *failure.Partial
			if !errors.As(err, &several) || several.Message != `file "f" is not understood` {
				t.Fatalf("%v", err)
			}
			if len(several.Parts) != len(c.want) {
				t.Errorf("%d mistakes, want %d: %v", len(several.Parts), len(c.want), err)
			}
			for _, want := range c.want {
				if !strings.Contains("; "+strings.TrimPrefix(err.Error(), several.Message+": "), "; "+want) {
					t.Errorf("%v\nwant %s", err, want)
				}
			}
		})
	}
}

func TestAFileIsBounded(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"bytes":   {text: "#" + strings.Repeat("x", MaxFile), want: "it is larger than 16 MiB"},
		"entries": {text: "[" + strings.Repeat("a,", maxEntries) + "]", want: "it has more than 500000 entries"},
		"depth":   {text: strings.Repeat("[", 20000), want: "it is not valid YAML"},
		"expansion": {
			text: base[:strings.Index(base, "spec:")] + "spec: &a {nodes: *a}\n", want: "anchors and aliases are not supported",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Decode("f", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%.300v", err)
			}
		})
	}
}

func TestManyMistakes(t *testing.T) {
	text := strings.Replace(base, "[w-1]", "["+strings.Repeat("'w [', ", 40)+"]", 1)
	_, err := Decode("f", []byte(text))
	var several *failure.Partial
	if !errors.As(err, &several) || len(several.Parts) != 30 ||
		several.Message != `file "f" is not understood: 40 mistakes, of which these are the first` {
		t.Errorf("%v", err)
	}
}
