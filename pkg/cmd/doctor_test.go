// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/talosdisk/kubectl-talosdisk/docs"
	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// testdata/unseen.json is the article's case without Talos: a link that the node and the
// provisioner have, and the kubelet does not see.
const unseen = "doctor --from-snapshot testdata/unseen.json "

func TestDoctorGolden(t *testing.T) {
	for name, args := range map[string]string{
		"doctor":           unseen,
		"doctor-short":     unseen + "--short",
		"doctor-colour":    unseen + "--short --color=always",
		"doctor-list":      "doctor --list",
		"doctor-no-target": "doctor nginx",
		"doctor-kind":      "doctor deploy/nginx",
		"doctor-code":      unseen + "--only TD0499",
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, run(t, strings.Fields(args)...)) })
	}
}

func TestDoctorExitCodes(t *testing.T) {
	for args, want := range map[string]int{
		"":                             exitFound,
		"-o json":                      exitFound,
		"--short":                      exitFound,
		"--fail-on warning":            exitFound,
		"--only TD0102":                exitDone, // A note is as bad as info.
		"--only TD0102 --fail-on info": exitFound,
		"--only TD0303":                exitUnknown,
		"--skip TD0401 --only 0301":    exitDone,
		"--fail-on nothing":            exitFailed,
		"pod/x":                        exitFailed,
		"-l app=x":                     exitFailed,
	} {
		if got := run(t, strings.Fields(unseen+args)...); got.code != want {
			t.Errorf("%q: exit code %d, want %d\n%s%s", args, got.code, want, got.stdout, got.stderr)
		}
	}
}

// A Job is never made for what a file holds, nor by who did not ask for one.
func TestProbeNeedsACluster(t *testing.T) {
	r := run(t, strings.Fields("doctor --probe --from-snapshot testdata/missing.json")...)
	if r.code != exitFailed || !strings.Contains(r.stderr, "--from-snapshot asks no cluster, and --probe makes a Job in one") ||
		strings.Contains(r.stderr, "missing.json") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
}

// In JSON every check has its result, found or not.
func TestDoctorJSON(t *testing.T) {
	r := run(t, strings.Fields(unseen+"-o json")...)
	var report struct {
		APIVersion, Kind string
		Findings         []doctor.Finding
		Results          []doctor.Result
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	if report.Kind != "Diagnosis" || len(report.Findings) == 0 || report.Findings[0].Code != "TD0401" {
		t.Errorf("%s, %+v", report.Kind, report.Findings)
	}
	for _, c := range doctor.Checks() {
		if c.About == doctor.OfChain && !slices.ContainsFunc(report.Results, func(r doctor.Result) bool { return r.Code == c.Code }) {
			t.Errorf("%s has no result", c.Code)
		}
	}
}

// What is wrong has one name, whether doctor or explain speaks of it.
func TestEveryCheckIsExplained(t *testing.T) {
	var checks []string
	for _, c := range doctor.Checks() {
		checks = append(checks, string(c.Code))
		if got := explanationOf(string(c.Code)).Title; got != c.Title {
			t.Errorf("%s is %q to doctor, and %q to explain", c.Code, c.Title, got)
		}
	}
	slices.Sort(checks)
	if !slices.Equal(slices.Compact(checks), docs.Codes()) {
		t.Errorf("checks %v, pages %v", checks, docs.Codes())
	}
}

// A fix that is a command of this program is one that it takes. The file is that of the
// tests of pkg/doctor: every command of every finding that they know.
func TestFixesParse(t *testing.T) {
	commands, err := os.ReadFile(filepath.Join("..", "doctor", "testdata", "commands.golden"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(commands)) {
		code, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(command, name) {
			continue
		}
		seen++
		if err := parse(strings.TrimPrefix(command, name)); err != nil {
			t.Errorf("%s: %q: %v", code, command, err)
		}
	}
	if seen < 20 {
		t.Errorf("only %d commands of this program", seen)
	}
}

// What others wrote, in an event or a log, does not move the cursor.
func TestDoctorEscapes(t *testing.T) {
	const evil = "all is well \x1b[2J\x1b[31m\r"
	f := doctor.Finding{
		Code:     "TD0711",
		Severity: doctor.Error,
		Summary:  evil,
		Because:  evil,
		Evidence: []string{evil},
		Fix:      []doctor.Step{{Text: evil, Command: evil}},
	}
	r := doctor.Report{Findings: []doctor.Finding{f}, Chains: []doctor.Chain{{Title: evil, Links: []doctor.Link{{Text: evil}}}},
		Results: []doctor.Result{{Outcome: doctor.OutcomeUnknown, Why: evil}}}
	p := reportText{w: new(strings.Builder)}
	p.full(&snapshot.Snapshot{Targets: make([]snapshot.Ref, 1)}, r)
	p.short(r)
	var out strings.Builder
	streams := output.Filter(genericiooptions.IOStreams{Out: &out, ErrOut: io.Discard})
	io.WriteString(streams.Out, p.w.String())
	if text := out.String(); strings.ContainsAny(text, "\x1b\r") || !strings.Contains(text, "all is well") {
		t.Errorf("%q", text)
	}
}

// A pod without claims is not said to be in order without a word.
func TestDoctorOfNothing(t *testing.T) {
	pod := snapshot.Ref{Kind: "pod", Namespace: "default", Name: "web"}
	s := &snapshot.Snapshot{
		Targets: []snapshot.Ref{pod},
		Pods:    snapshot.Read([]snapshot.UserPod{{Namespace: "default", Name: "web", Phase: "Running"}}),
	}
	p := reportText{w: new(strings.Builder)}
	p.full(s, doctor.Run(s, doctor.Options{Only: []doctor.Code{"TD0711"}}))
	if text := p.w.String(); !strings.Contains(text, "pod/web in default uses no claim") {
		t.Errorf("%s", text)
	}
}

// Volumes that may not be read have no row: status says so.
func TestStatusUnseen(t *testing.T) {
	s := &snapshot.Snapshot{Volumes: nil, Unread: map[string]problem.Problem{
		snapshot.PartVolumes: problem.FromText(`persistentvolumes is forbidden: User "jane" cannot list resource "persistentvolumes" in API group "" at the cluster scope`),
	}}
	got := withoutRows(doctor.Run(s, doctor.Options{}))
	if len(got) != 1 || !strings.Contains(got[0], `"jane" lacks rights`) || !strings.Contains(got[0], "forbidden: list persistentvolumes") {
		t.Errorf("%q", got)
	}
}

// What status says of a cluster, and how it ends: never nothing at all, and never 0 where something is wrong or unknown.
func TestStatusEnds(t *testing.T) {
	load := func(file string) *snapshot.Snapshot {
		s, err := loadSnapshot(nil, file)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	forbidden := &snapshot.Snapshot{
		Unread: map[string]problem.Problem{
			snapshot.PartVolumes: problem.FromText("it is forbidden"),
			snapshot.PartInstall: problem.FromText("it is forbidden"),
			snapshot.PartNodes:   problem.FromText("it is forbidden"),
		},
	}
	for name, tt := range map[string]struct {
		s    *snapshot.Snapshot
		code int
		says string
	}{
		"something is broken": {s: load("testdata/unseen.json"), code: exitFound},
		"no rights":           {s: forbidden, code: exitFound, says: "No local volumes are known: it is forbidden"},
		"no provisioner": {
			s: &snapshot.Snapshot{
				Nodes:      []snapshot.Node{{Name: "w-1", Ready: true}},
				AllVolumes: true,
				Claims:     snapshot.Read([]snapshot.Claim{}),
				Pods:       snapshot.Read([]snapshot.UserPod{}),
				Unread:     map[string]problem.Problem{snapshot.PartInstall: problem.FromText("no local static provisioner was found")},
			},
			code: exitFound,
			says: "no local static provisioner was found",
		},
		"no nodes": {s: &snapshot.Snapshot{}, code: exitFound, says: "the cluster has no nodes"},
	} {
		r := doctor.Run(tt.s, doctor.Options{})
		var said bytes.Buffer
		err := endStatus(&said, output.Style{}, tt.s, r, statusOf(r))
		code, ok := err.(exitCode)
		if !ok || int(code) == exitDone || name == "something is broken" && int(code) != tt.code || !strings.Contains(said.String(), tt.says) {
			t.Errorf("%s: %v, want %d\n%s", name, err, tt.code, said.String())
		}
	}
}

// A finding with many of everything, many findings of a code, and many reasons: a person
// reads some of each, and how many there are besides.
func TestDoctorOfMany(t *testing.T) {
	var r doctor.Report
	for i := range 1800 {
		f := doctor.Finding{
			Code:     "TD0501",
			Severity: doctor.Error,
			Summary:  fmt.Sprintf("link %d leads nowhere", i),
			Fix:      []doctor.Step{{Text: "remove it"}},
		}
		if i == 0 {
			for j := range 300 {
				f.Evidence = append(f.Evidence, fmt.Sprintf("evidence %d", j))
				f.Objects = append(f.Objects, snapshot.Ref{Kind: "pv", Name: fmt.Sprint(j)})
			}
		}
		r.Findings = append(r.Findings, f)
		r.Results = append(r.Results, doctor.Result{Code: "TD0502", Outcome: doctor.OutcomeUnknown, Why: fmt.Sprintf("reason %d", i)},
			doctor.Result{Code: "TD0708", Outcome: doctor.OutcomeNone, Why: "too early"})
	}
	p := reportText{w: new(strings.Builder)}
	p.full(&snapshot.Snapshot{}, r)
	text := p.w.String()
	for _, part := range []string{
		"evidence: … and 295 more\n", "pv/3 and 296 more", "link 4 leads",
		"error[TD0501]: 1795 more; --only TD0501 --short has a line for each\n",
		"reason 9 (TD0502)\n  … and 1790 more reasons, which -o json has\n",
		"not asked: what cannot be known, or not yet\n  too early (TD0708)\n",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q", part)
		}
	}
	if lines := strings.Count(text, "\n"); lines > 60 {
		t.Errorf("%d lines", lines)
	}
}

// What fixes many objects one by one is printed for the first.
func TestDoctorOfManySteps(t *testing.T) {
	s := &snapshot.Snapshot{
		StorageClasses: map[string]snapshot.StorageClass{"block": {Name: "block", Provisioner: "kubernetes.io/no-provisioner"}},
	}
	nodes := make([]snapshot.Node, 0, 40)
	for i := range 40 {
		nodes = append(nodes, snapshot.Node{Name: fmt.Sprintf("w-%02d", i), Ready: true, Pod: snapshot.Read(snapshot.Pod{Name: "p"}),
			Taints: []corev1.Taint{{Key: "sig-storage-local-static-provisioner/agent-not-ready", Effect: corev1.TaintEffectNoSchedule}}})
	}
	s.Nodes, s.Install = nodes, provisioner.Install{Namespace: "local-storage", Name: "prov"}
	r := doctor.Run(s, doctor.Options{Only: []doctor.Code{"TD0214"}})
	p := reportText{w: new(strings.Builder)}
	p.full(s, r)
	if text := p.w.String(); len(r.Findings) != 1 || strings.Count(text, "\n") > 20 {
		t.Errorf("%d findings\n%s", len(r.Findings), text)
	}
}

func TestParseTargets(t *testing.T) {
	pod := func(n string) snapshot.Ref { return snapshot.Ref{Kind: "pod", Namespace: "ns", Name: n} }
	for args, want := range map[string][]snapshot.Ref{
		"":                     nil,
		"pod/a":                {pod("a")},
		"pods/a po/b":          {pod("a"), pod("b")},
		"pod/a pod/a":          {pod("a")},
		"pod a b":              {pod("a"), pod("b")},
		"POD/a":                {pod("a")},
		"pvc/c":                {{Kind: "pvc", Namespace: "ns", Name: "c"}},
		"persistentvolume/v":   {{Kind: "pv", Name: "v"}},
		"node w-1":             {{Kind: "node", Name: "w-1"}},
		"pod/a nodes/w-1 pv/v": {pod("a"), {Kind: "node", Name: "w-1"}, {Kind: "pv", Name: "v"}},
	} {
		got, err := parseTargets(strings.Fields(args), "ns")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", args, got, err)
		}
	}
	for _, args := range []string{"a", "pod", "pod/", "pod/a/b", "pod a/b", "deploy/x", "deploy x", "/a", "pod/a b"} {
		if got, err := parseTargets(strings.Fields(args), "ns"); err == nil || failure.Hint(err) == "" && !strings.Contains(err.Error(), "TYPE") {
			t.Errorf("%q: %v, %v", args, got, err)
		}
	}
}

func TestStatusTable(t *testing.T) {
	file, err := os.Open(filepath.Join("testdata", "unseen.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s, err := snapshot.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]any
	for _, row := range statusTable(statusOf(doctor.Run(s, doctor.Options{}))).Rows {
		rows = append(rows, row.Cells)
	}
	want := [][]any{{
		"w-1", "vdf", "block-storage", "/var/lib/disks/block/vdf", "ok", "ok", "broken", "default/raw-claim", "reader", "kubelet TD0401",
		"local-pv-5550d324", "kubelet: does not see /var/lib/disks/block",
	}}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("%q", rows)
	}
}
