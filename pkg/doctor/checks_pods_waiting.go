// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The codes of the checks of what waits.
const (
	codeWaits Code = "TD0712"
)

// waitingChecks are those of what keeps pods and claims from being well, whatever it is. What another check finds explains it.
func waitingChecks() []Check {
	return []Check{
		{
			Code: codeWaits, Title: "a pod or a claim waits for something else",
			Severity: Error, Stage: StagePod, About: OfChain, LastResort: true,
			Needs:   []Need{NeedPods},
			Uses:    []Need{NeedEvents, NeedNodes, NeedClaims, NeedVolumes, NeedStorageClasses},
			Applies: notRunning,
			Run:     waitsFor,
		},
	}
}

// notRunning tells a pod that should run and does not, and a claim that should be bound and is not.
func notRunning(s *Subject) bool {
	if s.Pod != nil {
		return !settledPod(*s.Pod) && !s.Pod.Deleting
	}
	return s.Claim != nil && s.Claim.Phase == "Pending" && !s.waits()
}

// waitsFor is what keeps the pod or the claim, as the event says it.
func waitsFor(s *Subject) Verdict {
	if s.Pod == nil {
		return claimWaits(s)
	}
	p := s.Pod
	describe := Step{Text: "all that is said of it:", Command: shell.Command("kubectl", "-n", p.Namespace, "describe", "pod", p.Name)}
	switch waiting := waitingReasons(*p); {
	case p.Node == "" && !hasVolumes(*p):
		words, evidence := s.schedulerWords()
		if words == "" {
			return unknown("why pod %q is not scheduled: %s", s.podName(),
				cmp.Or(s.Snapshot.Events.Why(), problem.Text("the scheduler has said nothing of it yet")))
		}
		return found(Finding{
			Summary: fmt.Sprintf("pod %q is not scheduled", s.podName()),
			Because: "the scheduler says: " + words, Evidence: evidence, Fix: []Step{describe},
		})
	case !hasVolumes(*p) && len(s.podTroubles()) > 0:
		troubles := s.podTroubles()
		slices.SortStableFunc(troubles, func(a, b Trouble) int { return vague(a.Cause.Kind) - vague(b.Cause.Kind) })
		f := Finding{
			Summary: fmt.Sprintf("pod %q waits for its volumes%s", s.podName(), s.on()),
			Because: "the kubelet says: " + oneLine(troubles[0].Cause.Detail),
			Fix:     []Step{describe},
		}
		for _, t := range troubles {
			f.Evidence = append(f.Evidence, t.String())
		}
		f.Evidence = once(f.Evidence)
		return found(f)
	case hasVolumes(*p) && len(waiting) > 0:
		f := Finding{
			Summary: fmt.Sprintf("pod %q has its volumes, and does not run%s", s.podName(), s.on()),
			Because: "the kubelet says of " + strings.Join(waiting, "; of ") + "; that comes after the volumes",
			Fix:     []Step{describe},
		}
		if p.Phase != "Pending" && len(s.Snapshot.Targets) == 0 {
			f.Severity = Warning // It ran, or tries to; nobody asked about it.
		}
		return found(f)
	case hasVolumes(*p) && p.Phase == "Running" && len(s.Snapshot.Targets) == 0: // Nobody asked about it.
		return noQuestion("whether pod %q is well: its containers run and are not Ready, which is for the application to tell", s.podName())
	case hasVolumes(*p):
		return unknown("why pod %q is %s and not Ready: its containers run, and the kubelet says no more", s.podName(), p.Phase)
	case s.nodeNotReady() != "":
		return found(Finding{
			Summary: fmt.Sprintf("pod %q waits%s, where the kubelet does not report", s.podName(), s.on()),
			Because: "the node is not Ready: " + s.nodeNotReady(), Fix: []Step{describe},
		})
	case p.Phase == "Running" && len(p.Waiting) > 0:
		w := p.Waiting[0]
		return unknown("why pod %q is not Ready: container %q has ended (%s), and the kubelet has not said yet what comes next", s.podName(),
			w.Container, cmp.Or(w.Reason, "no reason given"))
	}
	return unknown("why pod %q is %s: %s", s.podName(), p.Phase,
		cmp.Or(s.Snapshot.Events.Why(), problem.Text("the kubelet has said nothing of it yet")))
}

// claimWaits is for a claim without a pod that does not wait for one.
func claimWaits(s *Subject) Verdict {
	events := s.claimEvents("FailedBinding", "ProvisioningFailed")
	if len(events) == 0 {
		return unknown("why claim %q is Pending: %s", s.ClaimRef,
			cmp.Or(s.Snapshot.Events.Why(), problem.Text("nobody has said anything of it yet")))
	}
	return found(Finding{
		Summary: fmt.Sprintf("claim %q is Pending", s.ClaimRef),
		Because: "Kubernetes says: " + oneLine(events[0].Message), Evidence: s.evidence(events),
		Fix: []Step{{
			Text:    "all that is said of it:",
			Command: shell.Command("kubectl", "-n", s.ClaimRef.Namespace, "describe", "pvc", s.ClaimRef.Name),
		}},
	})
}

// waitingReasons are the containers that do not run, and why.
func waitingReasons(p snapshot.UserPod) []string {
	var all []string
	for _, w := range p.Waiting {
		if afterMounting(w.Reason) {
			all = append(all, fmt.Sprintf("container %q: %s", w.Container, w.Reason))
		}
	}
	slices.Sort(all)
	return all
}

// schedulerWords are what the scheduler says of a pod now, and the same as evidence.
func (s *Subject) schedulerWords() (words string, evidence []string) {
	words = s.Pod.Unscheduled
	for _, e := range s.freshOf(s.events("pod", s.Pod.Namespace, s.Pod.Name), s.Pod.UID, []string{"FailedScheduling"}) {
		words = cmp.Or(words, e.Message)
		evidence = append(evidence, eventText(e, e.Message, s.Snapshot.Time))
	}
	if len(evidence) == 0 && words != "" {
		evidence = []string{"the pod's condition PodScheduled: " + oneLine(words)}
	}
	return oneLine(words), once(evidence)
}

// podTroubles are what the kubelet says of the chain's own volume; where it says nothing of that, of any of the pod's: a ConfigMap
// that is missing keeps a pod as well.
func (s *Subject) podTroubles() []Trouble {
	if s.PodVolume != nil {
		if own := s.mountTroubles(); len(own) > 0 {
			return own
		}
	}
	var all []Trouble
	reasons := []string{"FailedMount", "FailedMapVolume", "AlreadyMountedVolume"}
	for _, e := range s.freshOf(s.events("pod", s.Pod.Namespace, s.Pod.Name), s.Pod.UID, reasons) {
		causes := ParseMount(e.Message)
		if len(causes) == 0 {
			causes = []MountCause{{Kind: CauseOther, Detail: e.Message}}
		}
		for _, c := range causes {
			all = append(all, Trouble{e, c, s.Snapshot.Time})
		}
	}
	return all
}

// nodeNotReady is why the pod's node is not Ready; empty if it is, or that is not known.
func (s *Subject) nodeNotReady() string {
	node := s.index.nodes[s.Pod.Node]
	if node == nil || node.Ready {
		return ""
	}
	return cmp.Or(node.NotReady, "no reason is given")
}
