// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// everyCase are the cases of all rooms.
func everyCase() []nodeCase {
	return slices.Concat(accessCases(), provisionerCases(), hostCases(), kubeletCases(), linkCases(), volumeCases(), podCases(), eventCases(), talosCases())
}

// takers take each part of a snapshot away, as if it could not be read.
func takers() map[string]func(*snapshot.Snapshot) {
	const why = "it was taken away"
	takers := map[string]func(*snapshot.Snapshot){
		"claims": func(s *snapshot.Snapshot) { s.Claims = snapshot.Unread[[]snapshot.Claim](why) },
		"pods":   func(s *snapshot.Snapshot) { s.Pods = snapshot.Unread[[]snapshot.UserPod](why) },
		"events": func(s *snapshot.Snapshot) { s.Events = snapshot.Unread[[]snapshot.Event](why) },
		"provisioner": func(s *snapshot.Snapshot) {
			s.Provisioner = snapshot.Unread[snapshot.ProvisionerState](why)
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
				s.Unread = make(map[string]string)
			}
			s.Unread[part] = why
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
		n.Pod, n.View = snapshot.Unread[snapshot.Pod](why), snapshot.Unread[snapshot.PodView](why)
	})
	nodes := takers["pod"]
	takers["pod"] = func(s *snapshot.Snapshot) {
		nodes(s)
		if s.Provisioner.Value != nil {
			state := *s.Provisioner.Value
			state.PodsProblem, s.Provisioner.Value = why, &state
		}
	}
	ofNode("view", func(n *snapshot.Node) { n.View = snapshot.Unread[snapshot.PodView](why) })
	ofNode("stats", func(n *snapshot.Node) { n.Stats = snapshot.Unread[[]snapshot.VolumeStat](why) })
	ofNode("kubelet", func(n *snapshot.Node) { n.Kubelet = snapshot.Unread[mounts.NodeState](why) })
	ofNode("talos", func(n *snapshot.Node) { n.Talos = snapshot.Unread[snapshot.Talos](why) })
	ofKubelet := func(name string, forget func(*mounts.NodeState)) {
		ofNode(name, func(n *snapshot.Node) {
			if n.Kubelet.Value != nil {
				state := *n.Kubelet.Value
				forget(&state)
				n.Kubelet.Value = &state
			}
		})
	}
	ofKubelet("kubelet.config", func(k *mounts.NodeState) { k.Config, k.ConfigProblem = mounts.Config{}, why })
	ofKubelet("kubelet.view", func(k *mounts.NodeState) { k.View, k.ViewProblem = nil, why })
	ofKubelet("kubelet.mounts", func(k *mounts.NodeState) {
		if k.View != nil {
			view := *k.View
			view.Kubelet, view.Host, view.MountsProblem = nil, nil, why
			k.View = &view
		}
	})
	ofTalos := func(name string, forget func(*snapshot.Talos)) {
		ofNode(name, func(n *snapshot.Node) {
			if n.Talos.Value != nil {
				told := *n.Talos.Value
				forget(&told)
				n.Talos.Value = &told
			}
		})
	}
	ofTalos("talos.disks", func(t *snapshot.Talos) { t.Disks = snapshot.Unread[[]snapshot.TalosDisk](why) })
	ofTalos("talos.volumes", func(t *snapshot.Talos) { t.Volumes = snapshot.Unread[[]snapshot.TalosVolume](why) })
	ofTalos("talos.mounts", func(t *snapshot.Talos) { t.Mounts = snapshot.Unread[[]snapshot.TalosMount](why) })
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
	case "TD0216": // Log lines are left to checks of what a node's directories hold.
		return without == "view" || without == "pod"
	case "TD0306": // The configuration and the volumes both tell which there are.
		return strings.HasPrefix(without, "talos")
	case "TD0708": // That a volume was grown is only known from Talos; the finding says so.
		return strings.HasPrefix(without, "kubelet") || strings.HasPrefix(without, "talos")
	case "TD0711": // When the kubelet started, and what the volume is called, are better known with them.
		return without == "nodes" || without == "claims"
	}
	return false
}

// Nothing is in order because it was not looked at, and nothing is wrong: with any part of a
// snapshot taken away, what was found or unknown is not ok, and what was ok is not found.
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
