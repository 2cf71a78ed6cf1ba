// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// stable has the link lead to its disk by a name that stays.
func (w world) stable() {
	w.entries("block", provisioner.Entry{Name: "vdf", Kind: provisioner.Link, Target: "/dev/disk/by-id/virtio-f", Device: "254:80"})
}

// unknowns are what a report leaves open.
func unknowns(r Report) []string {
	var all []string
	for _, u := range r.Unknown() {
		all = append(all, string(u.Code)+" "+u.Subject+" "+u.Why)
	}
	slices.Sort(all)
	return all
}

// shared is the article's cluster with two installations: the class of links is the first one's, that of file systems is the
// second one's.
func (w world) shared() {
	w.stable()
	second := w.Install
	second.Namespace, second.Name, second.ConfigMap = "tenant", "second", "second-config"
	w.Install.Classes, second.Classes = w.Install.Classes[:1], w.Install.Classes[1:]
	w.Install.Mounts, second.Mounts = []provisioner.Mount{second.Mounts[0], second.Mounts[2]}, second.Mounts[1:]
	view := *w.node().View.Value
	view.Dirs = map[string]snapshot.Dir{"hdd": view.Dirs["hdd"]}
	delete(w.node().View.Value.Dirs, "hdd")
	state := *w.Provisioner.Value
	w.Others = []snapshot.Installation{{
		Install: second, Provisioner: snapshot.Read(state),
		Nodes: map[string]snapshot.Presence{"w-4": {Wanted: true, Pod: snapshot.Read(snapshot.Pod{Name: "second-x"}), View: snapshot.Read(view)}},
	}}
}

// here changes what the second installation has on the node.
func (w world) here(change func(*snapshot.Presence)) {
	p := w.Others[0].Nodes["w-4"]
	change(&p)
	w.Others[0].Nodes["w-4"] = p
}

// TestSeveralInstallations: every chain is judged by the installation whose class it is of, and each installation by itself.
func TestSeveralInstallations(t *testing.T) {
	for name, c := range map[string]struct {
		change func(world)
		codes  string
		says   []string // What the findings say.
		hdd    Mark     // The provisioner's mark of the second one's volume,
		block  Mark     // and of the first one's.
	}{
		"well": {change: func(world) {}, hdd: MarkOK, block: MarkOK},
		"the second one's pod does not run": {change: func(w world) {
			w.here(func(p *snapshot.Presence) {
				why := `container "provisioner" of pod "tenant/second-x" does not run: CrashLoopBackOff`
				p.Pod, p.View = snapshot.Unread[snapshot.Pod](problem.FromText(why)), snapshot.Unread[snapshot.PodView](problem.FromText(why))
			})
		}, codes: "TD0204", says: []string{"tenant/second-x", "kubectl -n tenant get pods"}, hdd: MarkBroken, block: MarkOK},
		"the second one's class has no StorageClass": {
			change: func(w world) { delete(w.StorageClasses, "hdd") },
			codes:  "TD0209",
			says:   []string{`class "hdd" of the provisioner has no StorageClass`, "storageclass/hdd"},
			hdd:    MarkBroken,
			block:  MarkOK,
		},
		"the second one's configuration is missing": {change: func(w world) {
			w.Others[0].Problem, w.Others[0].Install.Classes = problem.FromText(`ConfigMap "tenant/second-config" of the provisioner does not exist`),
				nil
			w.here(func(p *snapshot.Presence) {
				p.View = snapshot.Unread[snapshot.PodView](problem.FromText(w.Others[0].Problem.Message))
			})
		}, codes: "TD0201", says: []string{"second-config"}, hdd: MarkUnknown, block: MarkOK},
		"the second one is meant for another node": {change: func(w world) {
			n := snapshot.Node{
				Name:       "w-5",
				UID:        "w-5-uid",
				Ready:      true,
				OSImage:    "Talos (v1.13.9)",
				Stats:      w.node().Stats,
				Kubelet:    w.node().Kubelet,
				Talos:      w.node().Talos,
				Selections: w.node().Selections,
			}
			n.Pod, n.View = snapshot.Unread[snapshot.Pod](problem.FromText("the DaemonSet's nodeSelector asks for a=b")),
				snapshot.Unread[snapshot.PodView](problem.FromText("the DaemonSet's nodeSelector asks for a=b"))
			w.Nodes = append(w.Nodes, n)
			view := *w.Others[0].Nodes["w-4"].View.Value
			view.Dirs = map[string]snapshot.Dir{"hdd": {Exists: true, MountPoint: true, Writable: true}}
			w.Others[0].Nodes["w-5"] = snapshot.Presence{Wanted: true, Pod: snapshot.Read(snapshot.Pod{Name: "second-y"}), View: snapshot.Read(view)}
			w.Others[0].Provisioner.Value.Log["w-5"] = nil
		}, hdd: MarkOK, block: MarkOK},
	} {
		t.Run(name, func(t *testing.T) {
			w := well(t)
			w.shared()
			c.change(w)
			r := Run(w.Snapshot, Options{})
			var codes, text []string
			for _, f := range r.Findings {
				if f.Severity == Info {
					continue
				}
				codes, text = append(codes, string(f.Code)), append(text, f.Summary, strings.Join(f.Evidence, " "))
				for _, step := range f.Fix {
					text = append(text, step.Command)
				}
				for _, o := range f.Objects {
					text = append(text, o.String())
				}
			}
			if got := strings.Join(codes, " "); got != c.codes {
				t.Errorf("codes %q, want %q\n%s", got, c.codes, strings.Join(text, "\n"))
			}
			for _, want := range c.says {
				if !strings.Contains(strings.Join(text, "\n"), want) {
					t.Errorf("it does not say %q:\n%s", want, strings.Join(text, "\n"))
				}
			}
			if len(r.Chains) != 2 {
				t.Fatalf("%d chains", len(r.Chains))
			}
			for _, chain := range r.Chains {
				want := c.block
				if chain.Volume == "local-pv-485eb69c" {
					want = c.hdd
				}
				i := slices.IndexFunc(chain.Links, func(l Link) bool { return l.Name == string(StageProvisioner) })
				if i < 0 || chain.Links[i].Mark != want {
					t.Errorf("%s: %+v, want %s", chain.Title, chain.Links, want)
				}
			}
			one := well(t)
			one.stable()
			if want := unknowns(Run(one.Snapshot, Options{})); c.codes == "" && !slices.Equal(unknowns(r), want) {
				t.Errorf("unknown: %q, and with one installation %q", unknowns(r), want)
			}
		})
	}
}

// TestTargetsBesideSeveralInstallations: a target is there whichever installation it is of.
func TestTargetsBesideSeveralInstallations(t *testing.T) {
	for _, target := range []snapshot.Ref{{Kind: "pod", Namespace: "default", Name: "nginx-pod"}, {Kind: "pv", Name: "local-pv-b"},
		{Kind: "node", Name: "w-4"}} {
		w := well(t)
		w.shared()
		w.Targets = []snapshot.Ref{target}
		if r := Run(w.Snapshot, Options{}); len(r.Missing) != 0 || len(r.Chains) == 0 || len(r.Findings) != 0 {
			t.Errorf("%s: %+v", target, r)
		}
	}
	w := well(t)
	w.shared()
	w.Targets = []snapshot.Ref{{Kind: "pv", Name: "none"}}
	if r := Run(w.Snapshot, Options{}); len(r.Missing) != 1 {
		t.Errorf("missing %v", r.Missing)
	}
}

// TestCommandsBesideSeveralInstallations: a printed command that acts says which installation it means.
func TestCommandsBesideSeveralInstallations(t *testing.T) {
	w := well(t)
	w.shared()
	w.blind()
	r := Run(w.Snapshot, Options{})
	found := false
	for _, f := range r.Findings {
		for _, step := range f.Fix {
			if strings.HasPrefix(step.Command, "kubectl talosdisk mounts ") {
				found = true
				if !strings.HasSuffix(step.Command, " --provisioner-namespace tenant --provisioner second") &&
					!strings.HasSuffix(step.Command, " --provisioner-namespace local-storage --provisioner prov") {
					t.Errorf("%s: %s", f.Code, step.Command)
				}
			}
		}
	}
	if !found {
		t.Errorf("no command: %+v", r.Findings)
	}
}

// TestSeveralInstallationsInAFile: what a file holds of them is diagnosed as what was seen.
func TestSeveralInstallationsInAFile(t *testing.T) {
	w := well(t)
	w.shared()
	var file bytes.Buffer
	if err := snapshot.Save(&file, w.Snapshot); err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.Load(&file)
	if err != nil {
		t.Fatal(err)
	}
	if r := Run(s, Options{}); len(r.Findings) != 0 || len(r.Chains) != 2 {
		t.Errorf("%+v", r)
	}
}

// TestNothingToLookAt: where there are no nodes, or the provisioner is meant for none of them, nothing was found to be well.
func TestNothingToLookAt(t *testing.T) {
	w := well(t)
	w.Nodes, w.Volumes, w.Claims, w.Pods = nil, nil, snapshot.Read([]snapshot.Claim{}), snapshot.Read([]snapshot.UserPod{})
	r := Run(w.Snapshot, Options{})
	if len(r.Unknown()) == 0 || !strings.Contains(strings.Join(unknowns(r), "\n"), "the cluster has no nodes") {
		t.Errorf("without nodes: %+v", r.Unknown())
	}

	w = well(t)
	w.Volumes, w.Claims, w.Pods = nil, snapshot.Read([]snapshot.Claim{}), snapshot.Read([]snapshot.UserPod{})
	why := "the DaemonSet's nodeSelector asks for disks=yes"
	w.node().Wanted, w.node().Pod, w.node().View = false, snapshot.Unread[snapshot.Pod](problem.FromText(why)),
		snapshot.Unread[snapshot.PodView](problem.FromText(why))
	w.Provisioner.Value.Desired, w.Provisioner.Value.Ready = 0, 0
	r = Run(w.Snapshot, Options{})
	if len(r.Findings) != 1 || r.Findings[0].Code != "TD0203" || !slices.Contains(r.Findings[0].Evidence, why) || len(r.Unknown()) == 0 {
		t.Errorf("meant for no node: %+v, %q", r.Findings, unknowns(r))
	}
}
