// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"cmp"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/talosdisk/kubectl-talosdisk/pkg/cluster"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/layout"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

const diffFile = `apiVersion: talosdisk.dev/v1alpha1
kind: DiskLayout
metadata: {name: workers}
spec:
  nodes: {names: ["w-*"]}
  classes:
    - {name: block, volumeMode: Block, disks: {count: 1}}
    - {name: fast, disks: {count: 1}}
---
apiVersion: talosdisk.dev/v1alpha1
kind: DiskBindings
metadata: {name: workers}
nodes:
  w-1: {block-1: {name: sdb, serial: ZA1}, fast-1: {serial: ZA2}}
  w-2: {block-1: {serial: ZB1}}
  w-9: {block-1: {serial: ZX}}
`

// racked is the shelf, of which Talos tells what the pods see.
func racked() *snapshot.Snapshot {
	s := shelf()
	s.NoTalos = problem.Problem{}
	s.Install.Mounts = []provisioner.Mount{{HostPath: "/dev", MountPath: "/dev"}, {HostPath: "/var/lib/disks/block", MountPath: "/mnt/block"}}
	s.StorageClasses = map[string]snapshot.StorageClass{"block": {Name: "block", ReclaimPolicy: "Delete"}}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		n.OSImage = "Talos (v1.13.4)"
		if n.View.Value == nil {
			continue
		}
		var disks []snapshot.TalosDisk
		for _, d := range n.View.Value.Disks {
			disks = append(disks, snapshot.TalosDisk{Name: d.Name, Size: d.Size, Serial: d.Serial, Transport: "sata"})
		}
		n.Talos = snapshot.Read(snapshot.Talos{
			Disks: snapshot.Read(disks), System: snapshot.Read("sda"), Devices: snapshot.Read([]snapshot.TalosDevice{}),
			Volumes: snapshot.Read([]snapshot.TalosVolume{
				{ID: "u-data", Type: "partition", Phase: "ready", Location: "/dev/sdz1", ParentLocation: "/dev/sdz"},
			}),
			Mounts: snapshot.Read([]snapshot.TalosMount{}),
		})
	}
	return s
}

// sees says of every selector that it matches the disk whose serial number it has.
type sees struct{}

func (sees) Match(disks []snapshot.TalosDisk, _ string, selectors []machineconfig.VolumeSelector) []snapshot.Selection {
	var all []snapshot.Selection
	for _, s := range selectors {
		one := snapshot.Selection{VolumeSelector: s}
		for _, d := range disks {
			if strings.Contains(s.Match, `"`+d.Serial+`"`) {
				one.Disks = append(one.Disks, d.Name)
			}
		}
		all = append(all, one)
	}
	return all
}

// diffTo are the options of a run in a format, with these streams.
func diffTo(t *testing.T, format string) (o *diffOptions, out, errOut *bytes.Buffer) {
	t.Helper()
	out, errOut = &bytes.Buffer{}, &bytes.Buffer{}
	streams := output.Filter(genericiooptions.IOStreams{Out: out, ErrOut: errOut})
	printer, err := (&output.Flags{Format: format}).ToPrinter()
	if err != nil {
		t.Fatal(err)
	}
	return &diffOptions{commonOptions: commonOptions{shared: &shared{IOStreams: streams}, printer: printer}}, out, errOut
}

// rackedDiff is how the rack differs from a file.
func rackedDiff(t *testing.T, text string, s *snapshot.Snapshot) cluster.LayoutDiff {
	t.Helper()
	f, err := layout.Decode("layout.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := layout.ReadStored([]byte("machine: {token: CANARY}\n"))
	if err != nil {
		t.Fatal(err)
	}
	release, err := talosrelease.Parse("v1.13.4")
	if err != nil {
		t.Fatal(err)
	}
	in := layout.Deciding{
		Matcher: sees{}, Configs: make(map[string]snapshot.Section[layout.Stored]), Kubelets: make(map[string]mounts.NodeState),
	}
	for _, n := range s.Nodes[:min(2, len(s.Nodes))] {
		in.Configs[n.Name] = snapshot.Read(stored)
		in.Kubelets[n.Name] = mounts.NodeState{Node: n.Name, Release: release, Ready: true, View: &mounts.KubeletView{}}
	}
	return cluster.LayoutDiff{Snapshot: s, Plan: layout.Observe(s).Decide(f.Layout, f.Bindings, in)}
}

func TestDiff(t *testing.T) {
	for name, format := range map[string]string{"diff": "", "diff-yaml": "yaml", "diff-name": "name"} {
		t.Run(name, func(t *testing.T) {
			o, out, errOut := diffTo(t, format)
			o.showConfig = format == ""
			code := o.report(o.finish(rackedDiff(t, diffFile, racked())))
			golden(t, name, result{out.String(), errOut.String(), code})
			if strings.Contains(out.String()+errOut.String(), "CANARY") {
				t.Error("it prints a secret")
			}
		})
	}
}

// Nothing to do, and nothing that is not known.
func TestDiffOfWhatIsInOrder(t *testing.T) {
	s := racked()
	s.Nodes = s.Nodes[:1]
	file := strings.NewReplacer("    - {name: fast, disks: {count: 1}}\n", "", ", fast-1: {serial: ZA2}", "",
		"  w-2: {block-1: {serial: ZB1}}\n", "", "  w-9: {block-1: {serial: ZX}}\n", "").Replace(diffFile)
	came := rackedDiff(t, file, s)
	came.Plan.Nodes[0].Mounts.Action = "unchanged"
	o, out, errOut := diffTo(t, "")
	if code := o.report(o.finish(came)); code != 0 {
		t.Errorf("%d: %s%s", code, out, errOut)
	}
	came.Plan.NotObserved = []string{"w-9"}
	if code := o.report(o.finish(came)); code != exitUnknown {
		t.Errorf("%d: %s%s", code, out, errOut)
	}
	o.nodes.Patterns = []string{"w-1"}
	if code := o.report(o.finish(came)); code != 0 {
		t.Errorf("a node that was not asked for: %d: %s%s", code, out, errOut)
	}
}

func TestValues(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*snapshot.Snapshot)
		diff   bool
	}{
		"values":      {},
		"values-diff": {diff: true},
		"values-new": {change: func(s *snapshot.Snapshot) {
			s.Install, s.StorageClasses = provisioner.Install{}, nil
			s.Unread = map[string]problem.Problem{snapshot.PartInstall: {Kind: problem.NoProvisioner, Message: "there is none"}}
		}},
		"values-refused": {change: func(s *snapshot.Snapshot) {
			s.StorageClasses["block"] = snapshot.StorageClass{Name: "block", ReclaimPolicy: "Retain"}
		}},
		"values-unknown": {diff: true, change: func(s *snapshot.Snapshot) {
			s.Install = provisioner.Install{}
			s.Unread = map[string]problem.Problem{snapshot.PartInstall: problem.FromText("it is forbidden")}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := racked()
			if c.change != nil {
				c.change(s)
			}
			f, err := layout.Decode("layout.yaml", []byte(diffFile))
			if err != nil {
				t.Fatal(err)
			}
			plan := layout.Observe(s).Values(f.Layout, f.Bindings, nil)
			out, errOut := &bytes.Buffer{}, &bytes.Buffer{}
			streams := output.Filter(genericiooptions.IOStreams{Out: out, ErrOut: errOut})
			o := &valuesOptions{commonOptions: commonOptions{shared: &shared{IOStreams: streams}}}
			do := o.values
			if c.diff {
				do = o.compare
			}
			code := o.report(do(plan))
			golden(t, name, result{out.String(), errOut.String(), code})
		})
	}
}

func TestFlagsOfDiffAndValues(t *testing.T) {
	for name, c := range map[string]struct{ args, want string }{
		"diff without a file":   {args: "diff", want: "-f names the file of a layout"},
		"values without a file": {args: "values", want: "-f names the file of a layout"},
		"no file":               {args: "diff -f /nonexistent/x", want: "no such file"},
		"no file for values":    {args: "values -f /nonexistent/x", want: "no such file"},
		"an argument":           {args: "diff vdb", want: "diff"},
		"an output of values":   {args: "values -o json", want: "unknown shorthand flag"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := run(t, strings.Fields(c.args)...); r.code != 1 || !strings.Contains(r.stderr, c.want) || r.stdout != "" {
				t.Errorf("%+v", r)
			}
		})
	}
}

// What a node calls its disks is printed as text.
func TestHostileNamesInADiff(t *testing.T) {
	s := racked()
	v := s.Nodes[0].View.Value
	v.Disks[1].Serial = "ZA2\x1b[31m\u202e"
	s.Nodes[0].Talos.Value.Disks.Value = &[]snapshot.TalosDisk{{Name: "sdc", Size: 480e9, Serial: v.Disks[1].Serial}}
	v.Disks[1].Content = &disk.Content{Signed: disk.Yes, Signature: disk.Signature{Type: "xfs", Usage: "filesystem", Label: "\x1b]0;x\a"}}
	f := strings.ReplaceAll(diffFile, "serial: ZA2", `byPath: "`+cmp.Or(v.Disks[1].ByPath[0], "x")+`"`)
	for _, format := range []string{"", "yaml", "json"} {
		o, out, errOut := diffTo(t, format)
		o.showConfig = true
		_ = o.report(o.finish(rackedDiff(t, f, s)))
		if text := out.String() + errOut.String(); strings.ContainsAny(text, "\x1b\a\u202e") {
			t.Errorf("%q: %q", format, text)
		}
	}
}
