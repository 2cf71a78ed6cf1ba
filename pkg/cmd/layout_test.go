// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// shelf is a cluster of two nodes, one with a link and two free disks, the other with one, and one that was not looked at.
func shelf() *snapshot.Snapshot {
	d := func(name string, minor uint32, serial string) disk.Disk {
		return disk.Disk{
			Name: name, Kernel: name, Number: disk.Number{Major: 8, Minor: minor}, Kind: disk.KindDisk, Size: 480e9, Serial: serial,
			Transport: "sata", Model: "SSD", ByPath: []string{"pci-0000:00:1f.2-ata-" + fmt.Sprint(minor/16)},
			Content: &disk.Content{Signed: disk.No, Busy: disk.No, Unsigned: disk.No},
		}
	}
	view := func(links []provisioner.Entry, disks ...disk.Disk) snapshot.Section[snapshot.PodView] {
		return snapshot.Read(snapshot.PodView{
			Disks:   disks,
			Beneath: map[disk.Number]string{{Major: 254}: "holds /mnt/block"},
			Dirs:    map[string]snapshot.Dir{"block": {Exists: true, MountPoint: true, Writable: true, Entries: links}},
		})
	}
	return &snapshot.Snapshot{
		Install: provisioner.Install{
			Namespace: "local-storage", Name: "local",
			Classes: []provisioner.Class{{Name: "block", HostDir: "/var/lib/disks/block", MountDir: "/mnt/block", Mode: provisioner.Block}},
		},
		NoTalos: problem.FromText("no talosconfig was found"),
		Nodes: []snapshot.Node{
			{Name: "w-1", Wanted: true, View: view([]provisioner.Entry{
				{Name: "sdb", Kind: provisioner.Link, Target: "/dev/sdb", Device: "8:16"},
			}, d("sdb", 16, "ZA1"), d("sdc", 32, "ZA2"), d("sdd", 48, "ZA3"))},
			{Name: "w-2", Wanted: true, View: view(nil, d("sdb", 16, "ZB1"))},
			{Name: "w-3", Wanted: true, View: snapshot.Unread[snapshot.PodView](problem.FromText("the pod is not running"))},
		},
	}
}

// layoutTo are the options of a run with these streams.
func layoutTo(t *testing.T) (o *layoutOptions, out, errOut *bytes.Buffer) {
	t.Helper()
	out, errOut = &bytes.Buffer{}, &bytes.Buffer{}
	streams := output.Filter(genericiooptions.IOStreams{Out: out, ErrOut: errOut})
	return &layoutOptions{commonOptions: commonOptions{shared: &shared{IOStreams: streams}}}, out, errOut
}

const layoutFile = `# ours` + "\u202e" + `
apiVersion: talosdisk.dev/v1alpha1
kind: DiskLayout
metadata: {name: workers}
spec:
  nodes: {names: ["w-*"]}
  classes:
    - name: block
      volumeMode: Block
      disks: {count: 2}
    - name: fast
      disks: {count: 1, transport: sata}
  overrides:
    - nodes: [w-1]
      classes: [{name: block, disks: {count: 1}}, {name: fast, disks: {count: 2}}]
`

// bindTo binds what is on the shelf by a file's text.
func bindTo(t *testing.T, o *layoutOptions, text string, s *snapshot.Snapshot) error {
	t.Helper()
	f, err := layout.Decode("layout.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	bindings, report := layout.Observe(s).Bind(f.Layout, f.Bindings, layout.Request{Accept: o.accept})
	return o.finish(f, []byte(text), cluster.BoundLayout{Snapshot: s, Bindings: bindings, Report: report})
}

func TestLayoutIsProposed(t *testing.T) {
	s := shelf()
	o, out, errOut := layoutTo(t)
	raw, err := layout.Observe(s).Propose(layout.Proposing{Name: "disks"})
	code := o.report(o.proposed(s, raw, err))
	golden(t, "layout", result{out.String(), errOut.String(), code})
}

func TestNothingToPropose(t *testing.T) {
	s := shelf()
	s.Nodes = s.Nodes[2:]
	o, out, errOut := layoutTo(t)
	raw, err := layout.Observe(s).Propose(layout.Proposing{Name: "disks"})
	if code := o.report(o.proposed(s, raw, err)); code != 1 || out.Len() > 0 ||
		!strings.Contains(errOut.String(), "node w-3: the pod is not running") {
		t.Errorf("%d, %s, %s", code, out, errOut)
	}
}

func TestLayoutIsBound(t *testing.T) {
	o, out, errOut := layoutTo(t)
	code := o.report(bindTo(t, o, layoutFile, shelf()))
	if !strings.HasPrefix(out.String(), layoutFile+"---\n") {
		t.Errorf("the person's document is not as it was:\n%s", out)
	}
	golden(t, "layout-bind", result{strings.TrimPrefix(out.String(), layoutFile), errOut.String(), code})
}

func TestWrittenLayout(t *testing.T) {
	name := filepath.Join(t.TempDir(), "layout.yaml")
	if err := os.WriteFile(name, []byte(layoutFile), 0o640); err != nil {
		t.Fatal(err)
	}
	s := shelf()
	s.Nodes = s.Nodes[:1]
	o, out, errOut := layoutTo(t)
	o.filename, o.write = name, true
	code := o.report(bindTo(t, o, layoutFile, s))
	golden(t, "layout-write", result{out.String(), errOut.String(), code})
	raw, err := os.ReadFile(name)
	if err != nil || !strings.HasPrefix(string(raw), layoutFile+"---\n") || !strings.Contains(string(raw), "fast-2: {serial: ZA3") {
		t.Errorf("%v\n%s", err, raw)
	}
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}

	o, out, errOut = layoutTo(t)
	o.filename, o.write = name, true
	if err := bindTo(t, o, string(raw), s); err != nil || out.Len() > 0 || !strings.Contains(errOut.String(), "Nothing was bound") {
		t.Errorf("the second time: %v, %s, %s", err, out, errOut)
	}
	o, out, _ = layoutTo(t)
	if err := bindTo(t, o, string(raw), s); err != nil || out.String() != string(raw) {
		t.Errorf("printed again it is another file: %v\n%s", err, out)
	}
}

func TestALayoutThatIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	name, other := filepath.Join(dir, "layout.yaml"), filepath.Join(dir, "link.yaml")
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("changed")
	if err := replaceLayout(name, []byte("before"), []byte("after")); err == nil || !strings.Contains(err.Error(), "was changed while") {
		t.Errorf("%v", err)
	}
	if err := os.Symlink(name, other); err != nil {
		t.Fatal(err)
	}
	if err := replaceLayout(other, []byte("changed"), []byte("after")); err == nil || !strings.Contains(err.Error(), "is a symbolic link") {
		t.Errorf("%v", err)
	}
	if err := replaceLayout(filepath.Join(dir, "none"), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if raw, err := os.ReadFile(name); err != nil || string(raw) != "changed" {
		t.Errorf("%q, %v", raw, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%d files, %v", len(entries), err)
	}
}

func TestWarningsOfBindings(t *testing.T) {
	v := func(node, key string, state layout.State, orphan bool) layout.Volume {
		return layout.Volume{Node: node, Key: key, State: state, Orphan: orphan, Disk: "sdb", Other: "w-9", Why: "another size"}
	}
	o, _, errOut := layoutTo(t)
	o.warnOfBindings(layout.Report{
		Volumes: []layout.Volume{v("w-1", "a-1", layout.Missing, false), v("w-2", "a-1", layout.Missing, false),
			v("w-1", "a-2", layout.Elsewhere, false),
			v("w-1", "a-3", layout.Twice, false), v("w-1", "a-4", layout.Changed, false), v("w-1", "a-5", layout.Bound, true),
			v("w-1", "a-6", layout.New, false), v("w-1", "a-7", layout.Unknown, false)},
		Unchecked: []string{"w-1/a-6"},
	})
	golden(t, "layout-warnings", result{"", errOut.String(), 0})
}

func TestRefusals(t *testing.T) {
	o, _, errOut := layoutTo(t)
	fitting := []layout.Fitting{
		{Disk: "sdb", Size: 480e9, Model: "SSD", Serial: "ZA1", Transport: "sata", Against: []disk.Objection{{Reason: disk.HasSignature}}},
		{Disk: "sdc", Size: 4e12, Rotational: true, Volume: "a-1"},
	}
	var all []layout.Refused
	for _, one := range []layout.Refused{
		{Refusal: layout.TooFew, Wanted: new(2), Bound: 1, Why: "not there: vdz", Fitting: fitting}, {Refusal: layout.TooFew},
		{Refusal: layout.TooMany, Wanted: new(1), Free: 2},
		{Refusal: layout.TooMany, Wanted: new(1), Bound: 2}, {Refusal: layout.SystemDisk}, {Refusal: layout.NoIdentity, Why: "sdb"},
		{Refusal: layout.Shared, Why: "w-9/a-1"}, {Refusal: layout.NotEvaluated, Why: "no answer"}, {Refusal: layout.NotLooked, Why: "no pod"},
	} {
		one.Node, one.Class = "w-1", "a"
		all = append(all, one)
	}
	all = append(all, layout.Refused{Node: "w-2", Class: "a", Refusal: layout.SystemDisk},
		layout.Refused{Node: "w-2", Class: "b", Refusal: layout.SystemDisk})
	err := failure.Several("not every class has its disks", o.refused(layout.Report{Refused: all}))
	golden(t, "layout-refusals", result{"", errOut.String() + o.render(err), 1})
}

func TestLayoutFlags(t *testing.T) {
	for name, c := range map[string]struct{ args, want string }{
		"write without a file": {args: "layout --write", want: "--write replaces a file, and -f names none"},
		"write to stdin":       {args: "layout -f - --write", want: "--write replaces a file"},
		"accept":               {args: "layout --accept x", want: `--accept: reason "x" does not exist`},
		"an argument":          {args: "layout vdb", want: "layout"},
		"no file":              {args: "layout -f /nonexistent/x", want: "no such file"},
		"an output":            {args: "layout -o json", want: "unknown shorthand flag"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := run(t, strings.Fields(c.args)...); r.code != 1 || !strings.Contains(r.stderr, c.want) || r.stdout != "" {
				t.Errorf("%+v", r)
			}
		})
	}
	f := layoutFlags{commonFlags: commonFlags{run: newRunFlags()}, Filename: "f", Write: true, Accept: []string{"signature=w-1/vdb"}}
	o, err := f.ToOptions(&shared{})
	if err != nil || o.filename != "f" || !o.write || len(o.accept) != 1 ||
		o.accept[0] != (link.Acceptance{Reason: disk.HasSignature, Node: "w-1", Disk: "vdb"}) {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestMistakesInALayout(t *testing.T) {
	name := filepath.Join(t.TempDir(), "layout.yaml")
	text := strings.NewReplacer("count: 2}\n    - name: fast", "kount: 2}\n    - name: fast", "name: workers", "name: W_").Replace(layoutFile)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, "layout", "-f", name)
	for _, want := range []string{
		fmt.Sprintf("error: file %q is not understood\n", name), fmt.Sprintf("\n  %s:10:15: key \"kount\" is not known here", name),
		fmt.Sprintf("\n  %s:4:18: \"W_\" cannot be", name),
	} {
		if r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%+v\nwant %s", r, want)
		}
	}
	if _, _, err := readLayout(strings.NewReader(layoutFile), "-"); err != nil {
		t.Error(err)
	}
	_, _, err := readLayout(strings.NewReader(strings.Repeat("#", layout.MaxFile+2)), "-")
	if err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("%v", err)
	}
}
