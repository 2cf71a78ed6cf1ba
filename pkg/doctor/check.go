// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
)

// Check is one question.
type Check struct {
	Code Code
	// Title is the thing that is wrong, in a few words.
	Title    string
	Severity Severity
	Stage    Stage
	// About is what it is asked about.
	About Kind
	// Needs are the parts of a snapshot without which the answer is unknown. Uses are those
	// that it takes in beside them if they are there: as more evidence, or because they tell
	// of a better cause, or leave something known to ask about. One that lies in another brings
	// what all of that says. No other part matters to it.
	Needs, Uses []Need
	// Applies reports whether there is a question at all; nil: always. It is asked once
	// the cluster's parts among Needs are known to be there, before the node's are.
	Applies func(*Subject) bool
	// LastResort tells that its findings are for what no other finding explains.
	LastResort bool
	// Run answers, from what is there.
	Run func(*Subject) Verdict
}

// Verdict is an answer: what is wrong; or nothing; or why neither is known; or why
// there is no question.
type Verdict struct {
	Findings []Finding
	// Unknown is why it is not known.
	Unknown problem.Problem
	// NoQuestion is for what cannot be known, or not yet: looking again with more rights,
	// or another way, would not answer it. It is neither in order nor unknown.
	NoQuestion string
}

func found(f ...Finding) Verdict { return Verdict{Findings: f} }

func fine() Verdict { return Verdict{} }

// unknown is for what could not be read. Problems among the arguments give theirs the kind.
func unknown(format string, args ...any) Verdict {
	return Verdict{Unknown: problem.Because(format, args...)}
}

func noQuestion(format string, args ...any) Verdict {
	return Verdict{NoQuestion: fmt.Sprintf(format, args...)}
}

// Checks are all of them, in the order of their codes.
func Checks() []Check {
	all := slices.Concat(accessChecks(), provisionerChecks(), sharedChecks(), hostChecks(), selectorChecks(), kubeletChecks(), linkChecks(),
		volumeChecks(), podChecks(), waitingChecks(), talosChecks())
	slices.SortStableFunc(all, func(a, b Check) int { return strings.Compare(string(a.Code), string(b.Code)) })
	return all
}

// Need is a part of the snapshot that a check's answer rests on.
type Need string

// Parts of the cluster's.
const (
	NeedNodes          Need = "nodes"
	NeedInstall        Need = "install"
	NeedVolumes        Need = "volumes"
	NeedStorageClasses Need = "storageClasses"
	NeedClaims         Need = "claims"
	NeedPods           Need = "pods"
	NeedEvents         Need = "events"
	NeedProvisioner    Need = "provisioner"
)

// Parts of a node's.
const (
	// NeedPod is the provisioner's pod that runs there, or why none does.
	NeedPod Need = "pod"
	// NeedView is what the provisioner's pod sees.
	NeedView Need = "view"
	// NeedKubelet is what is known of the kubelet at all, NeedKubeletView what it sees,
	// NeedKubeletMounts its mounts, NeedKubeletConfig what the configuration says of it.
	// Talos tells all of it, and a Job the first three.
	NeedKubelet       Need = "kubelet"
	NeedKubeletView   Need = "kubelet.view"
	NeedKubeletMounts Need = "kubelet.mounts"
	NeedKubeletConfig Need = "kubelet.config"
	NeedStats         Need = "stats"
	NeedTalos         Need = "talos"
	NeedTalosDisks    Need = "talos.disks"
	NeedTalosVolumes  Need = "talos.volumes"
	NeedTalosMounts   Need = "talos.mounts"
	NeedTalosDevices  Need = "talos.devices"
	// NeedSelections is which disks the selectors of the configuration match.
	NeedSelections Need = "selections"
)

// ofNode tells the parts that each node has for itself.
func (n Need) ofNode() bool {
	switch n {
	case NeedNodes, NeedInstall, NeedVolumes, NeedStorageClasses, NeedClaims, NeedPods, NeedEvents, NeedProvisioner:
		return false
	}
	return true
}

// missing is why the part is not there for the subject; no problem if it is.
func (n Need) missing(s *Subject) problem.Problem {
	if n.ofNode() {
		if s.Node == nil {
			return problem.Text("its node was not looked at")
		}
		return n.missingOfNode(s)
	}
	switch n {
	case NeedClaims:
		return s.Snapshot.Claims.Why()
	case NeedPods:
		return s.Snapshot.Pods.Why()
	case NeedEvents:
		return s.Snapshot.Events.Why()
	case NeedProvisioner:
		return s.Snapshot.Provisioner.Why()
	}
	return s.Snapshot.Unread[string(n)]
}

func (n Need) missingOfNode(s *Subject) problem.Problem {
	node := s.Node
	switch n {
	case NeedPod:
		return node.Pod.Why()
	case NeedView:
		return node.View.Why()
	case NeedStats:
		return node.Stats.Why()
	case NeedSelections:
		if node.Selections.Value == nil {
			return cmp.Or(s.Snapshot.NoTalos, node.Selections.Why())
		}
		return problem.Problem{}
	case NeedKubelet, NeedKubeletView, NeedKubeletMounts, NeedKubeletConfig:
		if node.Kubelet.Value == nil {
			return andProbe(node, cmp.Or(s.Snapshot.NoTalos, node.Kubelet.Why()))
		}
		state := node.Kubelet.Value
		switch {
		case n == NeedKubeletConfig:
			return state.ConfigProblem
		case n == NeedKubelet:
			return problem.Problem{}
		case state.View == nil:
			return andProbe(node, cmp.Or(state.ViewProblem, problem.Text("not checked")))
		case n == NeedKubeletMounts && !state.View.HasMounts():
			return andProbe(node, cmp.Or(state.View.MountsProblem, problem.Text("its mounts were not read")))
		}
		return problem.Problem{}
	}
	if node.Talos.Value == nil {
		return cmp.Or(s.Snapshot.NoTalos, node.Talos.Why())
	}
	switch reported := node.Talos.Value; n {
	case NeedTalosDisks:
		return reported.Disks.Why()
	case NeedTalosVolumes:
		return reported.Volumes.Why()
	case NeedTalosMounts:
		return reported.Mounts.Why()
	case NeedTalosDevices:
		return reported.Devices.Why()
	}
	return problem.Problem{}
}
