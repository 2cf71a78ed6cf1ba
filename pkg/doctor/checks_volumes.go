// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The codes of the checks of volumes and claims.
const (
	codeWaitsForPod        Code = "TD0601"
	codeTooSmall           Code = "TD0602"
	codeOtherMode          Code = "TD0603"
	codeOtherAccessMode    Code = "TD0604"
	codeOtherLabels        Code = "TD0605"
	codeAllTaken           Code = "TD0606"
	codeOtherNodes         Code = "TD0607"
	codeBeingCleaned       Code = "TD0608"
	codeReleasedStays      Code = "TD0609"
	codeNodeGone           Code = "TD0610"
	codeClassMissing       Code = "TD0611"
	codeVolumeDeleted      Code = "TD0612"
	codeVolumeBeingDeleted Code = "TD0613"
	codeClaimBeingDeleted  Code = "TD0614"
)

// volumeChecks are those of claims, volumes and their classes.
func volumeChecks() []Check {
	isReleased := func(s *Subject) bool { return s.Volume != nil && released(s.Volume) && !s.Volume.Deleting }
	return []Check{
		{
			Code: codeWaitsForPod, Title: "a claim waits for its first pod", Severity: Info, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedPods, NeedClaims, NeedVolumes, NeedStorageClasses},
			Uses:    []Need{NeedEvents},
			Applies: pending,
			Run:     waitsForPod,
		},
		{
			Code: codeTooSmall, Title: "no volume is large enough", Severity: Error, Stage: StageClaim, About: OfChain,
			Needs: []Need{NeedClaims, NeedVolumes, NeedStorageClasses},
			// The nodes are those that the pod can go to, and the classes those of local volumes.
			Uses:    []Need{NeedNodes, NeedInstall},
			Applies: seeksVolume,
			Run:     misfitOf(codeTooSmall),
		},
		{
			Code: codeOtherMode, Title: "no volume has the claim's volumeMode", Severity: Error, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedClaims, NeedVolumes, NeedStorageClasses},
			Uses:    []Need{NeedNodes, NeedInstall},
			Applies: seeksVolume,
			Run:     misfitOf(codeOtherMode),
		},
		{
			Code: codeOtherAccessMode, Title: "no volume has the claim's access mode", Severity: Error, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedClaims, NeedVolumes, NeedStorageClasses},
			Uses:    []Need{NeedNodes, NeedInstall},
			Applies: seeksVolume,
			Run:     misfitOf(codeOtherAccessMode),
		},
		{
			Code: codeOtherLabels, Title: "no volume has the labels that the claim selects",
			Severity: Error, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedClaims, NeedVolumes, NeedStorageClasses},
			Uses:    []Need{NeedNodes, NeedInstall},
			Applies: seeksVolume,
			Run:     misfitOf(codeOtherLabels),
		},
		{
			Code: codeAllTaken, Title: "all volumes of the class are taken", Severity: Error, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedClaims, NeedVolumes, NeedStorageClasses},
			Uses:    []Need{NeedNodes, NeedInstall, NeedPod, NeedProvisioner},
			Applies: seeksVolume,
			Run:     misfitOf(codeAllTaken),
		},
		{
			Code: codeOtherNodes, Title: "volumes that fit are only on other nodes", Severity: Error, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedClaims, NeedVolumes, NeedStorageClasses},
			Uses:    []Need{NeedNodes, NeedInstall},
			Applies: seeksVolume,
			Run:     misfitOf(codeOtherNodes),
		},
		{
			Code: codeBeingCleaned, Title: "a released volume is being cleaned", Severity: Info, Stage: StageVolume, About: OfChain,
			Needs: []Need{NeedVolumes, NeedEvents},
			// How the cleaner does is said in the provisioner's log, and by the Jobs that it has.
			Uses:    []Need{NeedInstall, NeedNodes, NeedPod, NeedProvisioner},
			Applies: isReleased,
			Run:     beingCleaned,
		},
		{
			Code: codeReleasedStays, Title: "a released volume stays", Severity: Warning, Stage: StageVolume, About: OfChain,
			Needs:   []Need{NeedVolumes, NeedEvents},
			Uses:    []Need{NeedInstall, NeedNodes, NeedPod, NeedView, NeedProvisioner, NeedClaims},
			Applies: isReleased,
			Run:     releasedStays,
		},
		{
			Code: codeNodeGone, Title: "a volume's node is gone, or was recreated", Severity: Error, Stage: StageVolume, About: OfChain,
			Needs:   []Need{NeedVolumes, NeedNodes},
			Uses:    []Need{NeedInstall, NeedPod, NeedClaims},
			Applies: func(s *Subject) bool { return s.Volume != nil && s.Volume.Node != "" },
			Run:     nodeGone,
		},
		{
			Code: codeClassMissing, Title: "a claim's StorageClass is missing", Severity: Error, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedClaims, NeedVolumes, NeedStorageClasses},
			Uses:    []Need{NeedInstall, NeedEvents},
			Applies: pending,
			Run:     classMissing,
		},
		{
			Code: codeVolumeDeleted, Title: "a claim's volume was deleted", Severity: Error, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedClaims, NeedVolumes},
			Applies: canLoseVolume,
			Run:     volumeDeleted,
		},
		{
			Code: codeVolumeBeingDeleted, Title: "a volume is being deleted", Severity: Warning, Stage: StageVolume, About: OfChain,
			Needs:   []Need{NeedVolumes},
			Applies: func(s *Subject) bool { return s.Volume != nil && s.Volume.Deleting },
			Run:     volumeBeingDeleted,
		},
		{
			Code: codeClaimBeingDeleted, Title: "a claim is being deleted", Severity: Warning, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedClaims, NeedPods},
			Uses:    []Need{NeedEvents, NeedVolumes},
			Applies: func(s *Subject) bool { return s.Claim != nil && s.Claim.Deleting && s.Claim.NotLocal == "" },
			Run:     claimBeingDeleted,
		},
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
		Summary: fmt.Sprintf("claim %q waits for its first pod, which is as it should be", s.ClaimRef),
		Because: fmt.Sprintf("StorageClass %q binds when a pod needs the claim (WaitForFirstConsumer), so that pod and disk end up on the same node",
			s.ClassName),
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
			Fix: []Step{{
				Text:    "set storageClassName in the claim (it has to be recreated); the classes there are:",
				Command: "kubectl get storageclass",
			}},
			Masks: []Code{codeMountFailed},
		})
	}
	if s.ClassName == "" || s.StorageClass != nil {
		return fine()
	}
	f := Finding{
		Summary:  fmt.Sprintf("StorageClass %q does not exist", s.ClassName),
		Because:  fmt.Sprintf("claim %q asks for it, and waits", s.ClaimRef),
		Evidence: s.evidence(s.claimEvents("ProvisioningFailed")),
		Masks:    []Code{codeTooSmall, codeOtherMode, codeOtherAccessMode, codeOtherLabels, codeAllTaken, codeOtherNodes, codeMountFailed},
		Fix: []Step{{Text: "create it (the chart does with storageClass: true):\n" +
			"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata:\n  name: " + s.ClassName + "\nprovisioner: " + noProvisioner +
			"\nvolumeBindingMode: WaitForFirstConsumer\nreclaimPolicy: Delete"}},
	}
	if s.Class == nil {
		f.Fix = append([]Step{{Text: "or the claim means another one:", Command: "kubectl get storageclass"}}, f.Fix...)
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
				{Text: "if the node comes back under its name, nothing is to do; if not, the data is where the disk is: delete the pods and the claim"},
				deleteVolume(v.Name, "then delete the volume:"),
			},
			Masks: []Code{codeReleasedStays, codeAffinityConflict, codeMountFailed},
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
		Masks:    []Code{codeNoVolume},
	}
	if pod := s.earlierPod(); pod != "" {
		f.Because += "; a provisioner pod that ran before goes by the earlier UID as long as it runs, and makes each volume again with it"
		f.Fix = []Step{{
			Text:    "first have the node's provisioner pod start again:",
			Command: shell.Command("kubectl", "-n", s.Snapshot.Install.Namespace, "delete", "pod", pod),
		}}
	}
	text := "delete the volume: it is made again, not cleaned:"
	if len(f.Fix) > 0 || v.Phase == "Bound" {
		text = "then " + text
	}
	switch v.Phase {
	case "Bound":
		f.Fix = append(f.Fix, Step{Text: "the volume works as long as it is bound; then"}, deleteVolume(v.Name, text))
	case "Available":
		f.Fix = append(f.Fix, deleteVolume(v.Name, text))
		f.Masks = append(f.Masks, codeBeingCleaned, codeReleasedStays)
	default:
		f.Fix = append(f.Fix, deleteVolume(v.Name,
			"nothing cleans it: the next claim would find the data of the last one; wipe the disk first if nobody may read that, and delete the volume, which is made again:"))
		f.Masks = append(f.Masks, codeBeingCleaned, codeReleasedStays)
	}
	return found(f)
}

// earlierPod is the node's provisioner pod, if it may have started before the node was made again; a pod
// reads its node once, when it starts (sig-storage-local-static-provisioner v2.9.0, cmd/local-volume-provisioner/main.go).
func (s *Subject) earlierPod() string {
	pod := value(s.Node.Pod)
	if !pod.Started.IsZero() && !s.Node.Created.IsZero() && pod.Started.After(s.Node.Created) {
		return ""
	}
	return pod.Name
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
	case why.text != "":
		return fine()
	case !unseen.IsZero():
		return unknown("%s", unseen)
	}
	f := Finding{
		Summary:  fmt.Sprintf("volume %q is Released, and being cleaned", s.Volume.Name),
		Because:  "the provisioner wipes it before anybody gets it again; with shred that takes minutes for each 10Gi",
		Evidence: append([]string{s.releasedText()}, s.evidence(s.volumeEvents("VolumeDelete"))...),
		Fix: []Step{{
			Text:    "leave the disk where it is, and wait:",
			Command: shell.Command("kubectl", "get", "pv", s.Volume.Name, "--watch"),
		}},
	}
	if job := s.cleaningJob(); job != nil {
		f.Evidence = append(f.Evidence, fmt.Sprintf("Job %q is cleaning it", job.Name))
	}
	return found(f)
}

// releasedText is a released volume as evidence.
func (s *Subject) releasedText() string {
	v := s.Volume
	text := fmt.Sprintf("%s on %s: %s, reclaim policy %s", v.Path, cmp.Or(v.Node, "no node"), v.Phase, cmp.Or(v.ReclaimPolicy, "not set"))
	if v.Claim != nil {
		text += fmt.Sprintf("; it was claim %q's", v.Claim)
	}
	return text
}
