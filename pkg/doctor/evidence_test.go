// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// everyCase are the cases of all rooms.
func everyCase() []nodeCase {
	return slices.Concat(accessCases(), provisionerCases(), sharedCases(), hostCases(), selectorCases(), kubeletCases(), linkCases(),
		volumeCases(), podCases(), heldCases(), timeoutCases(), waitingCases(), eventCases(), talosCases())
}

// takers remove each part of a snapshot, as if it could not be read.
func takers() map[string]func(*snapshot.Snapshot) {
	const why = "it was removed"
	takers := map[string]func(*snapshot.Snapshot){
		"claims": func(s *snapshot.Snapshot) { s.Claims = snapshot.Unread[[]snapshot.Claim](problem.FromText(why)) },
		"pods":   func(s *snapshot.Snapshot) { s.Pods = snapshot.Unread[[]snapshot.UserPod](problem.FromText(why)) },
		"events": func(s *snapshot.Snapshot) {
			s.Events, s.Nodes = snapshot.Unread[[]snapshot.Event](problem.FromText(why)), slices.Clone(s.Nodes)
			for i := range s.Nodes {
				s.Nodes[i].KubeletStarted = nil // An event tells.
			}
		},
		"provisioner": func(s *snapshot.Snapshot) {
			s.Provisioner = snapshot.Unread[snapshot.ProvisionerState](problem.FromText(why))
		},
	}
	for part, forget := range map[string]func(*snapshot.Snapshot){
		snapshot.PartNodes:          func(s *snapshot.Snapshot) { s.Nodes = nil },
		snapshot.PartInstall:        func(s *snapshot.Snapshot) { s.Install.Classes = nil },
		snapshot.PartVolumes:        func(s *snapshot.Snapshot) { s.Volumes, s.AllVolumes = nil, false },
		snapshot.PartStorageClasses: func(s *snapshot.Snapshot) { s.StorageClasses = nil },
	} {
		takers[part] = func(s *snapshot.Snapshot) {
			forget(s)
			s.Unread = maps.Clone(s.Unread)
			if s.Unread == nil {
				s.Unread = make(map[string]problem.Problem)
			}
			s.Unread[part] = problem.FromText(why)
		}
	}
	ofNode := func(name string, forget func(*snapshot.Node)) {
		takers[name] = func(s *snapshot.Snapshot) {
			s.Nodes = slices.Clone(s.Nodes)
			for i := range s.Nodes {
				forget(&s.Nodes[i])
			}
		}
	}
	ofNode("pod", func(n *snapshot.Node) {
		n.Pod, n.View = snapshot.Unread[snapshot.Pod](problem.FromText(why)), snapshot.Unread[snapshot.PodView](problem.FromText(why))
	})
	nodes := takers["pod"]
	takers["pod"] = func(s *snapshot.Snapshot) {
		nodes(s)
		if s.Provisioner.Value != nil {
			state := *s.Provisioner.Value
			state.PodsProblem, s.Provisioner.Value = problem.FromText(why), &state
		}
	}
	ofNode("view", func(n *snapshot.Node) { n.View = snapshot.Unread[snapshot.PodView](problem.FromText(why)) })
	ofNode("stats", func(n *snapshot.Node) { n.Stats = snapshot.Unread[[]snapshot.VolumeStat](problem.FromText(why)) })
	ofNode("selections", func(n *snapshot.Node) { n.Selections = snapshot.Unread[[]snapshot.Selection](problem.FromText(why)) })
	ofNode("kubelet", func(n *snapshot.Node) { n.Kubelet = snapshot.Unread[mounts.NodeState](problem.FromText(why)) })
	ofNode("talos", func(n *snapshot.Node) { n.Talos = snapshot.Unread[snapshot.Talos](problem.FromText(why)) })
	ofKubelet := func(name string, forget func(*mounts.NodeState)) {
		ofNode(name, func(n *snapshot.Node) {
			if n.Kubelet.Value != nil {
				state := *n.Kubelet.Value
				forget(&state)
				n.Kubelet.Value = &state
			}
		})
	}
	ofKubelet("kubelet.config", func(k *mounts.NodeState) { k.Settings, k.ConfigProblem = mounts.Settings{}, problem.FromText(why) })
	ofKubelet("kubelet.view", func(k *mounts.NodeState) { k.View, k.ViewProblem = nil, problem.FromText(why) })
	ofKubelet("kubelet.mounts", func(k *mounts.NodeState) {
		if k.View != nil {
			view := *k.View
			view.Kubelet, view.Host, view.MountsProblem = nil, nil, problem.FromText(why)
			k.View = &view
		}
	})
	ofTalos := func(name string, forget func(*snapshot.Talos)) {
		ofNode(name, func(n *snapshot.Node) {
			if n.Talos.Value != nil {
				reported := *n.Talos.Value
				forget(&reported)
				n.Talos.Value = &reported
			}
		})
	}
	ofTalos("talos.disks", func(t *snapshot.Talos) { t.Disks = snapshot.Unread[[]snapshot.TalosDisk](problem.FromText(why)) })
	ofTalos("talos.volumes", func(t *snapshot.Talos) { t.Volumes = snapshot.Unread[[]snapshot.TalosVolume](problem.FromText(why)) })
	ofTalos("talos.mounts", func(t *snapshot.Talos) { t.Mounts = snapshot.Unread[[]snapshot.TalosMount](problem.FromText(why)) })
	ofTalos("talos.devices", func(t *snapshot.Talos) { t.Devices = snapshot.Unread[[]snapshot.TalosDevice](problem.FromText(why)) })
	return takers
}

// leave tells what is right to change: without what proves the better cause there is the
// other one, with what else is known.
func leave(code Code, without string) bool {
	switch code {
	case "TD0401", "TD0301": // An entry that is configured, or the volume of Talos, is the better cause.
		return strings.HasPrefix(without, "kubelet") || strings.HasPrefix(without, "talos")
	case "TD0302": // Talos tells of the mounts twice.
		return strings.HasPrefix(without, "kubelet")
	case "TD0216": // Log lines are left to checks of what a node's directories hold, or tell of what is fixed.
		return without == "view" || without == "pod" || without == "storageClasses" || without == "volumes"
	case "TD0306": // The configuration and the volumes both tell which there are.
		return strings.HasPrefix(without, "talos")
	case "TD0708": // That a volume was grown is only known from Talos; the finding says so.
		return strings.HasPrefix(without, "kubelet") || strings.HasPrefix(without, "talos")
	case "TD0502", "TD0504": // udev makes one link of a name that two disks have; Talos tells of both.
		return strings.HasPrefix(without, "talos")
	case "TD0711": // When the kubelet started, and what the volume is called, are better known with them.
		return without == "nodes" || without == "claims"
	}
	return false
}

// Nothing is in order because it was not looked at, and nothing is wrong: with any part of a
// snapshot removed, what was found or unknown is not ok, and what was ok is not found.
func TestPartsTakenAway(t *testing.T) {
	type question struct {
		code    Code
		subject string
	}
	answers := func(s *snapshot.Snapshot) map[question]Outcome {
		all := make(map[question]Outcome)
		for _, r := range Run(s, Options{}).Results {
			all[question{r.Code, r.Subject}] = r.Outcome
		}
		return all
	}
	for _, tt := range everyCase() {
		w := well(t)
		tt.change(w)
		whole := answers(w.Snapshot)
		for name, take := range takers() {
			part := *w.Snapshot
			take(&part)
			for q, now := range answers(&part) {
				was, asked := whole[q]
				if leave(q.code, name) {
					continue
				}
				switch {
				case !asked, q.code <= "TD0105": // Those are about what is missing.
				case now == OutcomeOK && was != OutcomeOK && was != OutcomeNone:
					t.Errorf("%s %s, without %s: %s of %s was %s, and is ok", tt.code, tt.name, name, q.code, q.subject, was)
				case was == OutcomeOK && (now == OutcomeFinding || now == OutcomeMasked):
					t.Errorf("%s %s, without %s: %s of %s was ok, and is a finding", tt.code, tt.name, name, q.code, q.subject)
				}
			}
		}
	}
}

// allParts are the parts of a snapshot that a check can declare.
func allParts() []Need {
	return []Need{
		NeedNodes, NeedInstall, NeedVolumes, NeedStorageClasses, NeedClaims, NeedPods, NeedEvents, NeedProvisioner,
		NeedPod, NeedView, NeedStats, NeedKubelet, NeedKubeletConfig, NeedKubeletView, NeedKubeletMounts, NeedTalos, NeedTalosDisks,
		NeedTalosVolumes, NeedTalosMounts, NeedTalosDevices, NeedSelections,
	}
}

// holders are the parts that hold another one.
func (n Need) holders() []Need {
	switch n {
	case NeedKubeletMounts:
		return []Need{NeedKubeletView, NeedKubelet, NeedNodes}
	case NeedKubeletView, NeedKubeletConfig:
		return []Need{NeedKubelet, NeedNodes}
	case NeedTalosDisks, NeedTalosVolumes, NeedTalosMounts, NeedTalosDevices:
		return []Need{NeedTalos, NeedNodes}
	}
	if n.ofNode() {
		return []Need{NeedNodes}
	}
	return nil
}

// implied are the parts without which there is no such subject.
func implied(s *Subject) []Need {
	switch kind, _, _ := strings.Cut(s.Name, "/"); kind {
	case "pod":
		if s.PodVolume != nil && s.PodVolume.HostPath != "" { // It is one for what the kubelet says of it.
			return []Need{NeedPods, NeedEvents}
		}
		return []Need{NeedPods}
	case "pvc":
		return []Need{NeedClaims}
	case "pv":
		return []Need{NeedVolumes}
	case "entry":
		return []Need{NeedInstall, NeedView}
	case "node", "entries":
		return []Need{NeedNodes}
	}
	return nil
}

// undeclared are the parts that a check must not read on a subject.
func undeclared(c Check, s *Subject) []Need {
	kept := make(map[Need]bool)
	for _, n := range slices.Concat(c.Needs, c.Uses, implied(s)) {
		kept[n] = true
		for _, holder := range n.holders() {
			kept[holder] = true
		}
	}
	return slices.DeleteFunc(allParts(), func(n Need) bool { return kept[n] })
}

// without is the snapshot with parts removed.
func without(s *snapshot.Snapshot, parts []Need) *snapshot.Snapshot {
	part := *s
	all := takers()
	all[string(NeedPod)] = func(s *snapshot.Snapshot) {
		s.Nodes = slices.Clone(s.Nodes)
		for i := range s.Nodes {
			s.Nodes[i].Pod = snapshot.Unread[snapshot.Pod](problem.FromText("it was removed")) // What it saw is another part.
		}
	}
	for _, n := range parts {
		all[string(n)](&part)
	}
	return &part
}

// answered is what a check says of a subject: whether there is a question, and the verdict.
type answered struct {
	asked   bool
	verdict Verdict
}

func judge(c Check, s *Subject) answered {
	for _, n := range c.Needs {
		if why := n.missing(s); why.Message != "" {
			return answered{true, unknown("%s", why)}
		}
	}
	if c.Applies != nil && !c.Applies(s) {
		return answered{}
	}
	return answered{true, c.Run(s)}
}

// again is a subject as another snapshot has it; nil if it is not there.
func again(x *index, was *Subject) *Subject {
	var all []*Subject
	switch kind, name, _ := strings.Cut(was.Name, "/"); {
	case was.Kind == OfCluster || was.Name == "chains":
		s := *was
		s.Snapshot, s.index, s.asked, s.troubles, s.kubelet = x.s, x, false, nil, nil
		return &s
	case kind == "pod":
		for i := range value(x.s.Pods) {
			all = append(all, x.podChains(&value(x.s.Pods)[i])...)
		}
	case kind == "pvc":
		for ref := range x.claims {
			all = append(all, x.claimChain(ref))
		}
		if len(all) == 0 {
			all = append(all, x.claimChain(*was.ClaimRef))
		}
	case kind == "pv":
		for i := range x.s.Volumes {
			all = append(all, x.volumeChain(&x.s.Volumes[i]))
		}
	case kind == "node" && x.nodes[name] != nil:
		return &Subject{Kind: OfNode, Name: was.Name, Snapshot: x.s, Node: x.nodes[name], NodeName: name, index: x}
	default:
		for i := range x.s.Nodes {
			all = append(all, x.entryChains(&x.s.Nodes[i])...)
		}
	}
	for _, s := range all {
		if s.Name == was.Name {
			return s
		}
	}
	return nil
}

// manyCases are those of all rooms, and others in which one part alone tells.
func manyCases() []nodeCase {
	all := everyCase()
	add := func(name string, change func(world)) { all = append(all, nodeCase{name: name, change: change}) }
	for _, why := range []problem.Problem{
		{Kind: problem.TalosNotConfigured, Message: "no talosconfig was found"},
		{Kind: problem.TalosUnreachable, Message: "no answer from the Talos API at 10.0.0.2"},
		{Kind: problem.TalosExpired, Message: `the client certificate of Talos context "lab" ended at noon`},
		{
			Kind:    problem.TalosDenied,
			Message: `the mounts need: the machine configuration needs the Talos role os:admin; context "lab" has os:reader`,
		},
	} {
		add("configuration: "+why.Message, func(w world) { w.kubelet().Settings, w.kubelet().ConfigProblem = mounts.Settings{}, why })
		add("view: "+why.Message, func(w world) { w.kubelet().View, w.kubelet().ViewProblem = nil, why })
		add("mounts: "+why.Message, func(w world) {
			w.kubelet().View.Kubelet, w.kubelet().View.Host, w.kubelet().View.MountsProblem = nil, nil, why
		})
		add("Talos's disks: "+why.Message, func(w world) { w.talos().Disks = snapshot.Unread[[]snapshot.TalosDisk](why) })
		add("Talos's volumes: "+why.Message, func(w world) { w.talos().Volumes = snapshot.Unread[[]snapshot.TalosVolume](why) })
		add("Talos's partitions: "+why.Message, func(w world) { w.talos().Devices = snapshot.Unread[[]snapshot.TalosDevice](why) })
		add("selectors: "+why.Message, func(w world) { w.node().Selections = snapshot.Unread[[]snapshot.Selection](why) })
		add("Talos's mounts: "+why.Message, func(w world) { w.talos().Mounts = snapshot.Unread[[]snapshot.TalosMount](why) })
	}
	const forbidden = `it is forbidden: User "jane" cannot list resource "x" in API group "" at the cluster scope`
	add("volumes are forbidden", func(w world) {
		w.Volumes, w.Unread = nil, map[string]problem.Problem{snapshot.PartVolumes: problem.FromText(forbidden)}
	})
	add("classes are forbidden", func(w world) {
		w.StorageClasses, w.Unread = nil, map[string]problem.Problem{snapshot.PartStorageClasses: problem.FromText(forbidden)}
	})
	add("the provisioner is forbidden", func(w world) {
		w.Provisioner = snapshot.Unread[snapshot.ProvisionerState](problem.FromText(forbidden))
	})
	add("its pod is forbidden", func(w world) { w.node().Pod = snapshot.Unread[snapshot.Pod](problem.FromText(forbidden)) })
	for _, tt := range kubeletCases() {
		add(tt.name+", and the pod waits", func(w world) { tt.change(w); w.waits() })
		add(tt.name+", by its mounts alone", func(w world) {
			tt.change(w)
			if v := value(w.node().Kubelet).View; v != nil {
				v.Dirs = nil
			}
		})
		add(tt.name+", where a restart is dangerous", func(w world) {
			tt.change(w)
			if w.node().Kubelet.Value != nil {
				w.kubelet().Release = talosVersion(w.t, "v1.12.4")
			}
		})
	}
	add("a restart to come, by what the kubelet says of a pod and Talos of mounts", func(w world) {
		w.waits()
		w.kubelet().Release = talosVersion(w.t, "v1.12.4")
		w.kubelet().View, w.kubelet().Settings, w.kubelet().ConfigProblem = nil, mounts.Settings{}, problem.FromText("it was not read")
		w.node().View = snapshot.Unread[snapshot.PodView](problem.FromText("no command runs"))
	})
	add("two entries, and neither in force", func(w world) {
		w.blind()
		entry := bindMount("/var/lib/disks", "rbind", "rslave", "rw")
		w.extraMounts(entry, entry)
	})
	add("a restart to come, for a class without volumes", func(w world) {
		w.blind()
		w.kubelet().Release, w.Volumes = talosVersion(w.t, "v1.12.4"), nil
	})
	add("a restart to come, by what the kubelet says of a pod", func(w world) {
		w.waits()
		w.kubelet().Release = talosVersion(w.t, "v1.12.4")
		w.kubelet().View, w.kubelet().Settings, w.kubelet().ConfigProblem = nil, mounts.Settings{}, problem.FromText("it was not read")
		w.talos().Mounts = snapshot.Unread[[]snapshot.TalosMount](problem.FromText("not asked"))
	})
	add("another disk under the link of a claim", func(w world) {
		w.vdf()
		id := w.vdg().Identity()
		w.linked().Identity = &id
		w.bind(w.linked())
	})
	add("only mounts", func(w world) {
		w.kubelet().View.Dirs, w.node().View = nil, snapshot.Unread[snapshot.PodView](problem.FromText("no command runs"))
		w.talos().Mounts = snapshot.Unread[[]snapshot.TalosMount](problem.FromText("not asked"))
	})
	add("only Talos's mounts", func(w world) {
		w.kubelet().View, w.node().View = nil, snapshot.Unread[snapshot.PodView](problem.FromText("no command runs"))
	})
	return all
}

// Undeclared evidence does not matter: what a check says of a subject is the same with every
// part removed that it neither needs nor uses.
func TestUndeclaredEvidenceDoesNotMatter(t *testing.T) {
	checks := Checks()
	for _, tt := range manyCases() {
		w := well(t)
		tt.change(w)
		whole := ordered(w.Snapshot)
		subjects, _ := newIndex(whole).subjects()
		indexes := make(map[string]*index)
		for _, s := range subjects {
			for _, c := range checks {
				if c.About != s.Kind || slices.ContainsFunc(c.Needs, func(n Need) bool { return n.missing(s).Message != "" }) {
					continue
				}
				left := undeclared(c, s)
				key := fmt.Sprint(left)
				if indexes[key] == nil {
					indexes[key] = newIndex(without(whole, left))
				}
				said := judge(c, s)
				other := again(indexes[key], s)
				if other != nil && reflect.DeepEqual(judge(c, other), said) {
					continue
				}
				var which []Need
				for _, n := range left {
					if other := again(newIndex(without(whole, []Need{n})), s); other == nil || !reflect.DeepEqual(judge(c, other), said) {
						which = append(which, n)
					}
				}
				t.Errorf("%s %s: %s of %s says something else without what it does not declare: %v", tt.code, tt.name, c.Code, s.Name, which)
			}
		}
	}
}

// What a check is said to use does matter to it: in some case it says something else without.
func TestUsedEvidenceMatters(t *testing.T) {
	open := make(map[Code]map[Need]bool)
	checks := Checks()
	for _, c := range checks {
		open[c.Code] = make(map[Need]bool)
		for _, n := range c.Uses {
			if slices.Contains(c.Needs, n) {
				t.Errorf("%s needs and uses %s", c.Code, n)
			}
			open[c.Code][n] = true
		}
	}
	for _, tt := range manyCases() {
		w := well(t)
		tt.change(w)
		whole := ordered(w.Snapshot)
		subjects, _ := newIndex(whole).subjects()
		indexes := make(map[Need]*index)
		for _, s := range subjects {
			for _, c := range checks {
				if c.About != s.Kind || len(open[c.Code]) == 0 ||
					slices.ContainsFunc(c.Needs, func(n Need) bool { return n.missing(s).Message != "" }) {
					continue
				}
				said := judge(c, s)
				for n := range open[c.Code] {
					if indexes[n] == nil {
						indexes[n] = newIndex(without(whole, []Need{n}))
					}
					if other := again(indexes[n], s); other == nil || !reflect.DeepEqual(judge(c, other), said) {
						delete(open[c.Code], n)
					}
				}
			}
		}
	}
	for _, c := range checks {
		for _, n := range c.Uses {
			if open[c.Code][n] {
				t.Errorf("%s is said to use %s, and no case shows it", c.Code, n)
			}
		}
	}
}
