// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// volumeChecks are those of claims, volumes and their classes.
func volumeChecks() []Check {
	waiting := []Need{NeedClaims, NeedVolumes, NeedStorageClasses}
	fit := func(code Code, title string) Check {
		return Check{Code: code, Title: title, Severity: Error, Stage: StageClaim, About: OfChain, Needs: []Need{NeedClaims, NeedVolumes, NeedStorageClasses},
			Applies: seeksVolume, Run: func(s *Subject) Verdict { return misfitOf(s, code) }}
	}
	released := func(s *Subject) bool {
		return s.Volume != nil && (s.Volume.Phase == "Released" || s.Volume.Phase == "Failed")
	}
	return []Check{
		{Code: "TD0601", Title: "a claim waits for its first pod", Severity: Info, Stage: StageClaim, About: OfChain,
			Needs: append([]Need{NeedPods}, waiting...), Applies: pending, Run: waitsForPod},
		fit("TD0602", "no volume is large enough"),
		fit("TD0603", "no volume has the claim's volumeMode"),
		fit("TD0604", "no volume has the claim's access mode"),
		fit("TD0605", "no volume has the labels that the claim selects"),
		fit("TD0606", "all volumes of the class are taken"),
		fit("TD0607", "volumes that fit are only on other nodes"),
		{Code: "TD0608", Title: "a released volume is being cleaned", Severity: Info, Stage: StageVolume, About: OfChain,
			Needs: []Need{NeedVolumes, NeedEvents}, Applies: released, Run: beingCleaned},
		{Code: "TD0609", Title: "a released volume stays", Severity: Warning, Stage: StageVolume, About: OfChain,
			Needs: []Need{NeedVolumes, NeedEvents}, Applies: released, Run: releasedStays},
		{Code: "TD0610", Title: "a volume's node is gone, or was made anew", Severity: Error, Stage: StageVolume, About: OfChain,
			Needs: []Need{NeedVolumes, NeedNodes}, Applies: func(s *Subject) bool { return s.Volume != nil && s.Volume.Node != "" }, Run: nodeGone},
		{Code: "TD0611", Title: "a claim's StorageClass is missing", Severity: Error, Stage: StageClaim, About: OfChain,
			Needs: waiting, Applies: pending, Run: classMissing},
		{Code: "TD0612", Title: "a claim's volume was deleted", Severity: Error, Stage: StageVolume, About: OfChain,
			Needs: []Need{NeedClaims, NeedVolumes}, Applies: func(s *Subject) bool { return s.Claim != nil && s.Claim.Volume != "" && s.Claim.NotLocal == "" }, Run: volumeDeleted},
	}
}

// pending tells a claim that has no volume yet.
func pending(s *Subject) bool {
	return s.Claim != nil && s.Claim.Phase == "Pending" && s.Claim.NotLocal == "" && s.Volume == nil
}

// waits tells a class whose claims get a volume only once a pod needs it.
func (s *Subject) waits() bool {
	return s.StorageClass != nil && s.StorageClass.BindingMode == "WaitForFirstConsumer"
}

// claimEvents are the fresh events of the claim with one of the reasons.
func (s *Subject) claimEvents(reasons ...string) []snapshot.Event {
	if s.ClaimRef == nil {
		return nil
	}
	var uid types.UID
	if s.Claim != nil {
		uid = s.Claim.UID
	}
	return s.freshOf(s.events("pvc", s.ClaimRef.Namespace, s.ClaimRef.Name), uid, reasons)
}

// volumeEvents are the fresh events of the volume with one of the reasons.
func (s *Subject) volumeEvents(reasons ...string) []snapshot.Event {
	if s.Volume == nil {
		return nil
	}
	return s.freshOf(s.events("pv", "", s.Volume.Name), s.Volume.UID, reasons)
}

// freshOf are the fresh ones of events about the object of that UID with one of the
// reasons, the latest first. Without a UID all are taken for its own.
func (s *Subject) freshOf(events []*snapshot.Event, uid types.UID, reasons []string) []snapshot.Event {
	var of []snapshot.Event
	for _, e := range events {
		if slices.Contains(reasons, e.Reason) && !isOther(*e, uid) && s.fresh(*e) {
			of = append(of, *e)
		}
	}
	slices.SortStableFunc(of, func(a, b snapshot.Event) int { return b.Last.Compare(a.Last) })
	return of
}

func (s *Subject) evidence(events []snapshot.Event) []string {
	var lines []string
	for _, e := range events {
		lines = append(lines, eventText(e, e.Message, s.Snapshot.Time))
	}
	return lines
}

func waitsForPod(s *Subject) Verdict {
	if s.Pod != nil || !s.waits() {
		return fine()
	}
	return found(Finding{
		Summary:  fmt.Sprintf("claim %q waits for its first pod, which is as it should be", s.ClaimRef),
		Because:  fmt.Sprintf("StorageClass %q binds when a pod needs the claim (WaitForFirstConsumer), so that pod and disk end up on the same node", s.ClassName),
		Evidence: s.evidence(s.claimEvents("WaitForFirstConsumer")),
		Fix:      []Step{{Text: "make a pod that uses the claim"}},
	})
}

func classMissing(s *Subject) Verdict {
	if s.Claim.Class == nil {
		if s.Claim.Volume != "" {
			return fine()
		}
		return found(Finding{
			Summary:  fmt.Sprintf("claim %q names no StorageClass, and the cluster has no default", s.ClaimRef),
			Because:  "volumes of the local static provisioner all have a class: a claim without one gets none of them",
			Evidence: s.evidence(s.claimEvents("FailedBinding")),
			Fix:      []Step{{Text: "set storageClassName in the claim (it has to be made anew); the classes there are:", Command: "kubectl get storageclass"}},
			Masks:    []Code{"TD0711"},
		})
	}
	if s.ClassName == "" || s.StorageClass != nil {
		return fine()
	}
	f := Finding{
		Summary:  fmt.Sprintf("StorageClass %q does not exist", s.ClassName),
		Because:  fmt.Sprintf("claim %q asks for it, and waits", s.ClaimRef),
		Evidence: s.evidence(s.claimEvents("ProvisioningFailed")),
		Masks:    []Code{"TD0711"},
		Fix: []Step{{Text: "create it (the chart does with storageClass: true):\n" +
			"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata:\n  name: " + s.ClassName + "\nprovisioner: " + noProvisioner + "\nvolumeBindingMode: WaitForFirstConsumer\nreclaimPolicy: Delete"}},
	}
	if s.Class == nil {
		f.Fix = append([]Step{{Text: "or the claim means another one:", Command: "kubectl get storageclass"}}, f.Fix...)
	}
	return found(f)
}

func volumeDeleted(s *Subject) Verdict {
	if s.Volume != nil || s.Claim.Phase == "Pending" {
		return fine()
	}
	f := Finding{
		Summary:  fmt.Sprintf("volume %q of claim %q is gone", s.Claim.Volume, s.ClaimRef),
		Because:  "somebody deleted the PersistentVolume while the claim had it; the claim cannot be used again, and the disk is published anew, with its data, once the link is seen",
		Evidence: []string{fmt.Sprintf("claim %q is %s, and there is no volume %q", s.ClaimRef, s.Claim.Phase, s.Claim.Volume)},
		Fix: []Step{
			{Text: "if its data matters, copy it off the disk before anybody gets it; then delete the pods, and the claim:", Command: fmt.Sprintf("kubectl -n %s delete pvc %s", s.ClaimRef.Namespace, s.ClaimRef.Name)},
			{Text: "and make the claim anew"},
		},
		Masks: []Code{"TD0711", "TD0702"},
	}
	return found(f)
}

func nodeGone(s *Subject) Verdict {
	v := s.Volume
	if s.Node == nil {
		return found(Finding{
			Summary:  fmt.Sprintf("volume %q lies on node %q, which does not exist", v.Name, v.Node),
			Because:  "its pods cannot run on any other node, and no provisioner cleans it",
			Evidence: []string{fmt.Sprintf("volume %q: %s, %s", v.Name, v.Path, v.Phase)},
			Fix: []Step{
				{Text: "if the node comes back under its name, nothing is to do; if not, the data is where the disk is:"},
				{Text: "delete pods and claim, then the volume:", Command: "kubectl delete pv " + v.Name},
			},
			Masks: []Code{"TD0609", "TD0702", "TD0711"},
		})
	}
	uid, ok := madeOn(v.ProvisionedBy, s.Node.Name)
	if !ok || s.Node.UID == "" || uid == string(s.Node.UID) {
		return fine()
	}
	f := Finding{
		Severity: Warning,
		Summary:  fmt.Sprintf("volume %q was made on an earlier node %q", v.Name, v.Node),
		Because:  "the node was deleted and has come back: to its provisioner the volume is not its own, so that it is never cleaned, and none is made in its place",
		Evidence: []string{fmt.Sprintf("made by %s; the node's UID is %s", v.ProvisionedBy, s.Node.UID)},
		Masks:    []Code{"TD0507"},
	}
	if v.Phase == "Bound" {
		f.Fix = []Step{{Text: "it works as long as it is bound; when the claim is gone, delete the volume, and it is made anew, not cleaned:", Command: "kubectl delete pv " + v.Name}}
	} else {
		f.Fix = []Step{{Text: "delete it: it is made anew:", Command: "kubectl delete pv " + v.Name}}
		if v.Phase != "Available" {
			f.Fix[0].Text = "nothing cleans it: the next claim would find the data of the last one; wipe the disk first if nobody may read that, and delete the volume, which is made anew:"
		}
		f.Masks = append(f.Masks, "TD0608", "TD0609")
	}
	return found(f)
}

// madeOn is the UID at the end of the provisioner's annotation, where it has one
// (pkg/common, GetProvisionerName: without it with useNodeNameOnly).
func madeOn(provisionedBy, node string) (string, bool) {
	const uid = 36
	rest, ok := strings.CutPrefix(provisionedBy, "local-volume-provisioner-"+node+"-")
	if !ok || len(rest) != uid || strings.Count(rest, "-") != 4 {
		return "", false
	}
	return rest, true
}

func beingCleaned(s *Subject) Verdict {
	switch why, unseen := s.stays(); {
	case why != "":
		return fine()
	case unseen != "":
		return unknown("whether a provisioner runs on its node to clean it: %s", unseen)
	}
	return found(Finding{
		Summary:  fmt.Sprintf("volume %q is Released, and being cleaned", s.Volume.Name),
		Because:  "the provisioner wipes it before anybody gets it again; with shred that takes minutes for each 10Gi",
		Evidence: append([]string{s.releasedText()}, s.evidence(s.volumeEvents("VolumeDelete"))...),
		Fix:      []Step{{Text: "leave the disk where it is, and wait:", Command: "kubectl get pv " + s.Volume.Name + " --watch"}},
	})
}

// releasedText is a released volume as evidence.
func (s *Subject) releasedText() string {
	v := s.Volume
	text := fmt.Sprintf("%s on %s: %s, reclaim policy %s", v.Path, orElse(v.Node, "no node"), v.Phase, orElse(v.ReclaimPolicy, "not set"))
	if v.Claim != nil {
		text += fmt.Sprintf("; it was claim %q's", v.Claim)
	}
	return text
}

// stays is why a released volume is not on its way to be Available again; empty if it is.
// unseen is why that is not known.
func (s *Subject) stays() (why, unseen string) {
	v := s.Volume
	failed := s.volumeEvents("VolumeFailedDelete")
	switch {
	case v.ReclaimPolicy != "Delete":
		return fmt.Sprintf("its reclaim policy is %s: it keeps its data until a person decides", orElse(v.ReclaimPolicy, "not set")), ""
	case len(failed) > 0:
		return "the provisioner cannot clean it", ""
	case v.Phase == "Failed":
		return "deleting it failed: " + orElse(v.Message, "no reason is given"), ""
	case len(s.volumeEvents("VolumeDelete")) > 0:
		return "", ""
	case s.Node == nil:
		return "", orElse(s.Snapshot.Unread[snapshot.PartNodes], "its node was not looked at")
	case s.Node.Pod.Value != nil:
		return "", ""
	case s.Snapshot.Unread[snapshot.PartNodes] != "":
		return "", s.Snapshot.Unread[snapshot.PartNodes]
	case s.Node.Wanted && s.Node.Ready && !hasNone(s.Node) && podState(s.Node) == "":
		return "", s.Node.Pod.Why()
	}
	return "no provisioner runs on its node to clean it: " + s.Node.Pod.Why(), ""
}

func releasedStays(s *Subject) Verdict {
	why, unseen := s.stays()
	switch {
	case unseen != "":
		return unknown("whether a provisioner runs on its node to clean it: %s", unseen)
	case why == "":
		return fine()
	}
	v := s.Volume
	f := Finding{
		Summary:  fmt.Sprintf("volume %q is %s, and stays so", v.Name, v.Phase),
		Because:  why,
		Evidence: append([]string{s.releasedText()}, s.evidence(s.volumeEvents("VolumeFailedDelete"))...),
	}
	if v.ReclaimPolicy != "Delete" {
		f.Fix = []Step{
			{Text: "if its data is not needed, have it cleaned and published again:", Command: fmt.Sprintf(`kubectl patch pv %s -p '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}'`, v.Name)},
		}
		return found(f)
	}
	i := s.Snapshot.Install
	if s.Node != nil && s.Node.Pod.Value != nil {
		f.Fix = append(f.Fix, Step{Text: "the provisioner's log tells more:", Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --tail=200", i.Namespace, s.Node.Pod.Value.Name, i.Container)})
	} else {
		f.Fix = append(f.Fix, Step{Text: "have the provisioner run on the node:", Command: fmt.Sprintf("kubectl talosdisk doctor node/%s", v.Node)})
	}
	f.Fix = append(f.Fix, Step{Text: "if the disk is dead, and only then, delete the volume: a disk that is still there would be published without being cleaned:", Command: "kubectl delete pv " + v.Name})
	return found(f)
}
