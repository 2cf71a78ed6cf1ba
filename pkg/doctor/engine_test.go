// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/docs"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The table is whole: each code once, in order, with all that a report needs, and a
// page that explains it; and no page explains a code that is not there.
func TestTable(t *testing.T) {
	checks := Checks()
	var codes []string
	known := make(map[Code]Check)
	for _, c := range checks {
		codes = append(codes, string(c.Code))
		if _, twice := known[c.Code]; twice {
			t.Errorf("%s is there twice", c.Code)
		}
		known[c.Code] = c
		if len(c.Code) != 6 || !strings.HasPrefix(string(c.Code), "TD") || c.Title == "" || c.Run == nil {
			t.Errorf("%q is not whole: %+v", c.Code, c)
		}
		if !slices.Contains(Severities(), c.Severity) || !slices.Contains(Stages(), c.Stage) ||
			!slices.Contains([]Kind{OfCluster, OfNode, OfChain}, c.About) {
			t.Errorf("%s: severity %q, stage %q, about %q", c.Code, c.Severity, c.Stage, c.About)
		}
		for _, n := range c.Needs {
			if n.ofNode() && c.About == OfCluster {
				t.Errorf("%s is about the cluster and needs %s of a node", c.Code, n)
			}
		}
		page, ok := docs.Page(string(c.Code))
		if !ok || !strings.HasPrefix(page, "# "+string(c.Code)+": ") {
			t.Errorf("%s has no page", c.Code)
		}
	}
	if !slices.IsSorted(codes) {
		t.Errorf("not in order: %v", codes)
	}
	for _, code := range docs.Codes() {
		if !slices.Contains(codes, code) {
			t.Errorf("the page of %s explains a check that is not there", code)
		}
	}
}

// The article's case as a person reads it.
func TestArticle(t *testing.T) {
	w := well(t)
	w.blind()
	w.Targets = []snapshot.Ref{{Kind: "pod", Namespace: "default", Name: "nginx-pod"}}
	r := Run(w.Snapshot, Options{})
	if len(r.Chains) != 1 {
		t.Fatalf("%d chains: %+v", len(r.Chains), r.Chains)
	}
	c := r.Chains[0]
	var lines []string
	for _, l := range c.Links {
		lines = append(lines, fmt.Sprintf("%s %s: %s", l.Mark, l.Name, l.Text))
	}
	want := []string{
		"ok claim: nginx-pvc is Bound to local-pv-485eb69c",
		"ok volume: local-pv-485eb69c: /var/lib/disks/hdd/vde on w-4, 5Gi, Filesystem",
		"ok host: /var/lib/disks/hdd/vde is mounted from /dev/vde1 (xfs)",
		"ok provisioner: sees /var/lib/disks/hdd/vde",
		"broken kubelet: does not see /var/lib/disks",
		"skipped pod: nginx-pod is Pending",
	}
	if !slices.Equal(lines, want) || c.Title != "pod/nginx-pod in default, on w-4" {
		t.Errorf("%s\n%s", c.Title, strings.Join(lines, "\n"))
	}
	if len(r.Findings) != 1 || r.Findings[0].Code != "TD0401" || r.Problems(Error) != 1 {
		t.Fatalf("%+v", r.Findings)
	}
	if len(r.Masked) != 1 || r.Masked[0].Code != "TD0711" {
		t.Errorf("masked: %+v", r.Masked)
	}
	if evidence := strings.Join(r.Findings[0].Evidence, "\n"); !strings.Contains(evidence,
		`FailedMount 4 times in 3s: path "/var/lib/disks/hdd/vde" does not exist`) {
		t.Errorf("evidence: %s", evidence)
	}
	if !slices.Contains(r.Findings[0].Fix, Step{Command: "kubectl talosdisk mounts --nodes w-4"}) {
		t.Errorf("fix: %+v", r.Findings[0].Fix)
	}
}

// The same without Talos: the event and the pod's view are enough.
func TestArticleWithoutTalos(t *testing.T) {
	w := well(t)
	w.waits()
	w.noTalos("", "no talosconfig")
	w.Targets = []snapshot.Ref{{Kind: "pvc", Namespace: "default", Name: "nginx-pvc"}}
	r := Run(w.Snapshot, Options{})
	if len(r.Findings) != 1 || r.Findings[0].Code != "TD0401" || len(r.Unknown()) == 0 {
		t.Fatalf("%+v", r.Findings)
	}
	kubelet := r.Chains[0].Links[4]
	if kubelet.Name != "kubelet" || kubelet.Mark != MarkBroken {
		t.Errorf("%+v", kubelet)
	}
}

// many is the article's case on so many nodes, with so many pods on each.
func many(t testing.TB, nodes, pods int) world {
	w := well(t)
	w.blind()
	node, volume, claim, pod, event := w.Nodes[0], w.Volumes[0], (*w.Claims.Value)[0], (*w.Pods.Value)[0], (*w.Events.Value)[0]
	w.Nodes, w.Volumes, *w.Claims.Value, *w.Pods.Value, *w.Events.Value = nil, nil, nil, nil, nil
	for i := range nodes {
		n, state := node, *node.Kubelet.Value
		n.Name = fmt.Sprintf("w-%03d", i)
		state.Node = n.Name
		n.Kubelet = snapshot.Read(state)
		n.UID = ""
		view := *n.View.Value
		dir := snapshot.Dir{Exists: true, MountPoint: true, Writable: true}
		for j := range pods {
			dir.Entries = append(dir.Entries, provisioner.Entry{Name: fmt.Sprintf("d%d", j), Kind: provisioner.Directory})
		}
		view.Dirs = map[string]snapshot.Dir{"hdd": dir, "block": {Exists: true, MountPoint: true}}
		n.View = snapshot.Read(view)
		w.Nodes = append(w.Nodes, n)
		for j := range pods {
			id := fmt.Sprintf("%d-%d", i, j)
			ref := snapshot.ClaimRef{Namespace: "default", Name: "c" + id}
			v, c, p, e := volume, claim, pod, event
			v.Name, v.Node, v.Claim, v.Path = "pv"+id, n.Name, &ref, fmt.Sprintf("%s/d%d", dirHDD, j)
			c.ClaimRef, c.Volume = ref, v.Name
			p.Name, p.UID, p.Node, p.Volumes = "p"+id, "", n.Name, []snapshot.PodVolume{{Name: "data", Claim: ref.Name, Mounted: true}}
			e.About = snapshot.Ref{Kind: "pod", Namespace: "default", Name: p.Name}
			e.Message = fmt.Sprintf(`MountVolume.NewMounter initialization failed for volume %q : path %q does not exist`, v.Name, v.Path)
			w.Volumes = append(w.Volumes, v)
			*w.Claims.Value, *w.Pods.Value, *w.Events.Value = append(*w.Claims.Value, c), append(*w.Pods.Value, p), append(*w.Events.Value, e)
		}
	}
	return w
}

// A thousand pods with one cause are one finding, and soon found.
func TestGroup(t *testing.T) {
	w := many(t, 100, 10)
	for i := range w.Nodes { // Without Talos there is no mount to miss, only what the kubelet says.
		w.Nodes[i].Kubelet = snapshot.Unread[mounts.NodeState](problem.FromText("no talosconfig"))
		w.Nodes[i].Talos = snapshot.Unread[snapshot.Talos](problem.FromText("no talosconfig"))
	}
	start := time.Now()
	r := Run(w.Snapshot, Options{})
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if len(r.Findings) != 1 {
		for _, f := range r.Findings {
			t.Errorf("%s: %s", f.Code, f.Summary)
		}
		t.FailNow()
	}
	f := r.Findings[0]
	if f.Code != "TD0401" || len(f.Nodes) != 100 || len(f.Objects) != 1000 || len(f.Evidence) != 11 || len(r.Chains) != 1000 {
		t.Errorf("%s: %d nodes, %d objects, %d lines of evidence, %d chains", f.Code, len(f.Nodes), len(f.Objects), len(f.Evidence),
			len(r.Chains))
	}
	if !strings.Contains(f.Summary, "w-000, w-001, w-002 and 97 more nodes") {
		t.Errorf("summary: %s", f.Summary)
	}
	if i := slices.IndexFunc(f.Fix, func(s Step) bool {
		return strings.HasPrefix(s.Command, "kubectl talosdisk mounts --nodes w-000,w-001,")
	}); i < 0 {
		t.Errorf("fix: %+v", f.Fix)
	}
}

// Of what fixes many, a person reads what fixes the first, to the last step; few are all there.
func TestBrief(t *testing.T) {
	steps := func(n int) []Step {
		var all []Step
		for i := range n {
			all = append(all, Step{Text: fmt.Sprint(i)})
		}
		return all
	}
	for _, tt := range []struct{ all, each, evidence, wantSteps, wantEvidence int }{
		{2, 2, 0, 2, 0}, {mostSteps, 2, mostEvidence, mostSteps, mostEvidence}, {1800, 3, 1800, 3, mostEvidence}, {12, 12, 1, 12, 1},
	} {
		f := Finding{Fix: steps(tt.all), Evidence: make([]string, tt.evidence), each: tt.each}
		brief, evidence, more := f.Brief()
		if len(brief.Fix) != tt.wantSteps || more != tt.all-tt.wantSteps || len(brief.Evidence) != tt.wantEvidence ||
			evidence != tt.evidence-tt.wantEvidence {
			t.Errorf("%+v: %d steps and %d more, %d lines and %d more", tt, len(brief.Fix), more, len(brief.Evidence), evidence)
		}
	}
}

// A whole cluster of 300 nodes with six disks each is diagnosed while a person waits.
func BenchmarkRun(b *testing.B) {
	w := many(b, 300, 6)
	for b.Loop() {
		if r := Run(w.Snapshot, Options{}); len(r.Chains) != 1800 {
			b.Fatalf("%d chains", len(r.Chains))
		}
	}
}

// The order in which a snapshot's lists and maps come does not matter.
func TestDeterministic(t *testing.T) {
	report := func(shuffle bool) string {
		w := many(t, 3, 4)
		w.claimForAll()
		if shuffle {
			mix := func(n int, swap func(i, j int)) { rand.Shuffle(n, swap) }
			mix(len(w.Nodes), func(i, j int) { w.Nodes[i], w.Nodes[j] = w.Nodes[j], w.Nodes[i] })
			mix(len(w.Volumes), func(i, j int) { w.Volumes[i], w.Volumes[j] = w.Volumes[j], w.Volumes[i] })
			mix(len(*w.Pods.Value), func(i, j int) { (*w.Pods.Value)[i], (*w.Pods.Value)[j] = (*w.Pods.Value)[j], (*w.Pods.Value)[i] })
			mix(len(*w.Claims.Value), func(i, j int) {
				(*w.Claims.Value)[i], (*w.Claims.Value)[j] = (*w.Claims.Value)[j], (*w.Claims.Value)[i]
			})
			mix(len(*w.Events.Value), func(i, j int) {
				(*w.Events.Value)[i], (*w.Events.Value)[j] = (*w.Events.Value)[j], (*w.Events.Value)[i]
			})
		}
		before, _ := json.Marshal(w.Snapshot)
		r := Run(w.Snapshot, Options{})
		if after, _ := json.Marshal(w.Snapshot); string(after) != string(before) {
			t.Error("the snapshot was changed")
		}
		text, err := json.MarshalIndent(r, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	want := report(false)
	for range 10 {
		if got := report(true); got != want {
			a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Fatalf("line %d: %s\nbefore: %s", i, b[i], a[i])
				}
			}
			t.Fatal("one is longer")
		}
	}
}

// claimForAll is a claim that waits, so that the volumes are gone through.
func (w world) claimForAll() {
	class := "hdd"
	*w.Claims.Value = append(*w.Claims.Value,
		snapshot.Claim{
			ClaimRef: snapshot.ClaimRef{Namespace: "default", Name: "waits"},
			Class:    &class,
			Mode:     provisioner.Filesystem,
			Phase:    "Pending",
		})
	*w.Pods.Value = append(*w.Pods.Value, snapshot.UserPod{
		Namespace: "default",
		Name:      "waits",
		Phase:     "Pending",
		Volumes:   []snapshot.PodVolume{{Name: "v", Claim: "waits", Mounted: true}},
	})
}

// What the engine does with checks, whatever they ask.
func TestEngine(t *testing.T) {
	chain := func(code Code, f ...Finding) Check {
		return Check{Code: code, Severity: Error, Stage: StagePod, About: OfChain, Run: func(*Subject) Verdict { return found(f...) }}
	}
	node := func(code Code, f ...Finding) Check {
		return Check{Code: code, Severity: Error, Stage: StageKubelet, About: OfNode, Run: func(*Subject) Verdict { return found(f...) }}
	}
	results := func(r Report, code Code) (outcomes []Outcome) {
		for _, result := range r.Results {
			if result.Code == code {
				outcomes = append(outcomes, result.Outcome)
			}
		}
		return slices.Compact(outcomes)
	}
	const a, b = Code("TD9901"), Code("TD9902")
	for _, tt := range []struct {
		name   string
		checks []Check
		want   map[Code][]Outcome
	}{
		{
			name:   "a cause on the chain masks",
			checks: []Check{chain(a, Finding{Summary: "a", Masks: []Code{b}}), chain(b, Finding{Summary: "b"})},
			want:   map[Code][]Outcome{a: {OutcomeFinding}, b: {OutcomeMasked}},
		},
		{
			name:   "a cause on the node masks",
			checks: []Check{node(a, Finding{Summary: "a", Masks: []Code{b}}), chain(b, Finding{Summary: "b"})},
			want:   map[Code][]Outcome{b: {OutcomeMasked}},
		},
		{
			name:   "a cause in a directory masks there",
			checks: []Check{node(a, Finding{Summary: "a", Path: dirHDD, Masks: []Code{b}}), chain(b, Finding{Summary: "b"})},
			want:   map[Code][]Outcome{b: {OutcomeMasked, OutcomeFinding}},
		},
		{
			name:   "a cause on the chain does not mask on the node",
			checks: []Check{chain(a, Finding{Summary: "a", Masks: []Code{b}}), node(b, Finding{Summary: "b"})},
			want:   map[Code][]Outcome{b: {OutcomeFinding}},
		},
		{
			name:   "none masks itself",
			checks: []Check{chain(a, Finding{Summary: "a", Masks: []Code{a}})},
			want:   map[Code][]Outcome{a: {OutcomeFinding}},
		},
		{
			name:   "what is missing is unknown",
			checks: []Check{{Code: a, About: OfCluster, Needs: []Need{NeedProvisioner}, Run: func(*Subject) Verdict { panic("asked") }}},
			want:   map[Code][]Outcome{a: {OutcomeUnknown}},
		},
		{
			name:   "what is missing of the node is unknown",
			checks: []Check{{Code: a, About: OfNode, Needs: []Need{NeedStats}, Run: func(*Subject) Verdict { panic("asked") }}},
			want:   map[Code][]Outcome{a: {OutcomeUnknown}},
		},
		{
			name: "what does not apply is not asked",
			checks: []Check{{
				Code:    a,
				About:   OfNode,
				Needs:   []Need{NeedStats},
				Applies: func(*Subject) bool { return false },
				Run:     func(*Subject) Verdict { panic("asked") },
			}},
			want: map[Code][]Outcome{a: {OutcomeNone}},
		},
		{name: "nothing found is ok", checks: []Check{chain(a)}, want: map[Code][]Outcome{a: {OutcomeOK}}},
	} {
		w := well(t)
		w.Provisioner = snapshot.Unread[snapshot.ProvisionerState](problem.FromText("forbidden"))
		w.node().Stats = snapshot.Section[[]snapshot.VolumeStat]{}
		r := run(w.Snapshot, Options{}, tt.checks)
		for code, want := range tt.want {
			if got := results(r, code); !slices.Equal(got, want) {
				t.Errorf("%s: %s is %v, want %v", tt.name, code, got, want)
			}
		}
		for _, result := range r.Unknown() {
			if result.Why == "" {
				t.Errorf("%s: not said why", tt.name)
			}
		}
	}
	r := run(well(t).Snapshot, Options{Only: []Code{a, b}, Skip: []Code{b}}, []Check{chain(a), chain(b), chain("TD9903")})
	for _, result := range r.Results {
		if result.Code != a {
			t.Errorf("%s was run", result.Code)
		}
	}
}

// What could not be read at all is unknown to each check, and never ok or left out.
func TestNothingOfChainsWasRead(t *testing.T) {
	for _, targets := range [][]snapshot.Ref{nil, {{Kind: "pod", Namespace: "default", Name: "x"}}} {
		s := &snapshot.Snapshot{
			Targets: targets,
			Unread: map[string]problem.Problem{
				"nodes":          problem.FromText("x"),
				"install":        problem.FromText("x"),
				"volumes":        problem.FromText("x"),
				"storageClasses": problem.FromText("x"),
			},
		}
		r := Run(s, Options{})
		asked := make(map[Code]bool)
		for _, result := range r.Results {
			asked[result.Code] = true
			if c := result.Code[2:4]; (c == "05" || c == "06" || c == "07") && result.Outcome != OutcomeUnknown {
				t.Errorf("%v: %s is %s", targets, result.Code, result.Outcome)
			}
		}
		if !asked["TD0501"] || !asked["TD0601"] || !asked["TD0711"] || len(r.Chains) > 0 || len(r.Missing) > 0 {
			t.Errorf("%v: asked %v, chains %v, missing %v", targets, asked, r.Chains, r.Missing)
		}
	}
}

func TestTargets(t *testing.T) {
	for _, tt := range []struct {
		target snapshot.Ref
		chains []string
		nodes  int
	}{
		{
			target: snapshot.Ref{Kind: "pod", Namespace: "default", Name: "nginx-pod"},
			chains: []string{"pod/nginx-pod in default, on w-4"},
			nodes:  1,
		},
		{
			target: snapshot.Ref{Kind: "pvc", Namespace: "default", Name: "nginx-pvc"},
			chains: []string{"pod/nginx-pod in default, on w-4"},
			nodes:  1,
		},
		{target: snapshot.Ref{Kind: "pv", Name: "local-pv-485eb69c"}, chains: []string{"pod/nginx-pod in default, on w-4"}, nodes: 1},
		{target: snapshot.Ref{Kind: "pv", Name: "local-pv-b"}, chains: []string{"pv/local-pv-b, on w-4"}, nodes: 1},
		{
			target: snapshot.Ref{Kind: "node", Name: "w-4"},
			chains: []string{"pod/nginx-pod in default, on w-4", "pv/local-pv-b, on w-4", "/var/lib/disks/hdd/new on w-4"},
			nodes:  1,
		},
		{target: snapshot.Ref{Kind: "pod", Namespace: "other", Name: "nginx-pod"}},
		{target: snapshot.Ref{Kind: "node", Name: "w-9"}},
	} {
		w := well(t)
		w.entries("hdd", provisioner.Entry{Name: "vde", Kind: provisioner.Directory}, provisioner.Entry{Name: "new", Kind: provisioner.Directory})
		aside := *w.node()
		aside.Name, aside.Skipped = "w-5", true
		w.Nodes = append(w.Nodes, aside)
		w.Targets = []snapshot.Ref{tt.target, tt.target}
		r := Run(w.Snapshot, Options{})
		var titles []string
		for _, c := range r.Chains {
			titles = append(titles, c.Title)
		}
		slices.Sort(titles)
		slices.Sort(tt.chains)
		nodes := make(map[string]bool)
		for _, result := range r.Results {
			if strings.HasPrefix(result.Subject, "node/") {
				nodes[result.Subject] = true
			}
		}
		if !slices.Equal(titles, tt.chains) || len(nodes) != tt.nodes || (len(r.Missing) > 0) != (tt.chains == nil) {
			t.Errorf("%v: chains %q, nodes %v, missing %v", tt.target, titles, nodes, r.Missing)
		}
	}
}

// What is wrong with other directories of a pod's node is not told to who asks for the pod.
func TestOtherDirectoriesAreLeftOut(t *testing.T) {
	check := Check{Code: "TD9901", Severity: Error, Stage: StageHost, About: OfNode, Run: func(*Subject) Verdict {
		return found(Finding{Summary: "here", Path: dirHDD}, Finding{Summary: "elsewhere", Path: dirBlock}, Finding{Summary: "everywhere"})
	}}
	for kind, want := range map[string][]string{"pod": {"everywhere", "here"}, "node": {"elsewhere", "everywhere", "here"}} {
		w := well(t)
		w.Targets = []snapshot.Ref{{Kind: kind, Namespace: "default", Name: map[string]string{"pod": "nginx-pod", "node": "w-4"}[kind]}}
		var got []string
		for _, f := range run(w.Snapshot, Options{}, []Check{check}).Findings {
			got = append(got, f.Summary)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
}

// What is wrong with one class or directory is no cause of the same with another.
func TestCausesStayWithTheirClass(t *testing.T) {
	outcomes := func(w world, codes ...Code) (all []string) {
		for _, r := range Run(w.Snapshot, Options{Only: codes}).Results {
			if r.Outcome == OutcomeFinding || r.Outcome == OutcomeMasked {
				all = append(all, string(r.Code)+" "+string(r.Outcome))
			}
		}
		return all
	}
	w := well(t)
	w.Install.Mounts = slices.DeleteFunc(w.Install.Mounts, func(m provisioner.Mount) bool { return m.MountPath == dirBlock })
	for i := range w.Install.Mounts {
		w.Install.Mounts[i].Propagation = ""
	}
	if got, want := outcomes(w, "TD0206", "TD0207"), []string{"TD0206 finding", "TD0207 finding"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	w = well(t)
	w.claimForAll()
	delete(w.StorageClasses, "block")
	delete(w.StorageClasses, "hdd")
	w.Install.Classes = slices.DeleteFunc(w.Install.Classes, func(c provisioner.Class) bool { return c.Name == "hdd" })
	if got, want := outcomes(w, "TD0209", "TD0611"), []string{"TD0209 finding", "TD0611 finding"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Who asks for a pod of one class is not told of the others, and who asks for a pod of other
// storage is not told of the provisioner.
func TestOtherClassesAreLeftOut(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w world)
		want   []Code
	}{
		"another class": {func(w world) { delete(w.StorageClasses, "block") }, nil},
		"its class":     {func(w world) { delete(w.StorageClasses, "hdd") }, []Code{"TD0209"}},
		"other storage": {func(w world) {
			w.foreign()
			w.Install = provisioner.Install{}
			w.Unread = map[string]problem.Problem{"install": problem.FromText("no DaemonSet")}
		}, nil},
		"no provisioner": {func(w world) {
			w.Install = provisioner.Install{}
			w.Unread = map[string]problem.Problem{"install": problem.FromText("no DaemonSet")}
		}, []Code{"TD0201"}},
	} {
		w := well(t)
		w.Targets = []snapshot.Ref{{Kind: "pod", Namespace: "default", Name: "nginx-pod"}}
		tt.change(w)
		var got []Code
		for _, f := range Run(w.Snapshot, Options{Only: []Code{"TD0201", "TD0209"}}).Findings {
			got = append(got, f.Code)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// foreign makes the pod's claim one of other storage.
func (w world) foreign() {
	c := &(*w.Claims.Value)[0]
	c.NotLocal, c.Volume = "csi.example.com", "pvc-1"
	w.Volumes[0].Claim = nil
}
