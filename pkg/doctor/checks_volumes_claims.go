// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// ofEarlier is a released volume that an earlier claim of the claim's name had; nil if there is none.
func (s *Subject) ofEarlier() *snapshot.Volume {
	for _, v := range s.index.kept[*s.ClaimRef] {
		if released(v) && isEarlier(v, s.Claim) && (s.Claim.Volume == "" || s.Claim.Volume == v.Name) {
			return v
		}
	}
	return nil
}

// earlierText is a volume of an earlier claim as evidence.
func earlierText(v *snapshot.Volume, c *snapshot.Claim) string {
	return fmt.Sprintf("volume %q is %s: it was of claim %q with UID %s, and the claim of that name has UID %s", v.Name, v.Phase, v.Claim,
		v.ClaimUID, c.UID)
}

// giveBack keeps a volume for the claim that has the name of the one that had it, data and all: the
// volume becomes Available, and only a claim of that name gets it. A volume that is being cleaned or
// deleted, or that does not fit, is not given back.
func giveBack(v *snapshot.Volume, c *snapshot.Claim) (Step, bool) {
	fits := v.Mode == c.Mode && v.Capacity >= c.Request && holds(v.AccessModes, c.AccessModes) && (c.Class == nil || *c.Class == v.Class)
	if !fits || v.Deleting || v.ReclaimPolicy != "Retain" {
		return Step{}, false
	}
	patch := jsonText([]map[string]any{
		{"op": "test", "path": "/spec/claimRef/uid", "value": string(v.ClaimUID)},
		{"op": "remove", "path": "/spec/claimRef/uid"},
	})
	return Step{
		Text:    fmt.Sprintf("to give claim %q the volume with its data, take the earlier claim's UID out of it:", c.ClaimRef),
		Command: shell.Command("kubectl", "patch", "pv", v.Name, "--type=json", "-p", patch),
	}, true
}

// keepFor reserves a volume for a claim that lost it, before another claim gets it. The patch fails
// if the volume has changed since it was read.
func keepFor(v *snapshot.Volume, c *snapshot.Claim) Step {
	ref := map[string]string{
		"apiVersion": "v1",
		"kind":       "PersistentVolumeClaim",
		"namespace":  c.Namespace,
		"name":       c.Name,
		"uid":        string(c.UID),
	}
	patch := map[string]any{"spec": map[string]any{"claimRef": ref}}
	if v.ResourceVersion != "" {
		patch["metadata"] = map[string]string{"resourceVersion": v.ResourceVersion}
	}
	return Step{
		Text:    "at once, before another claim gets it: keep the volume for this claim, which then has its data again:",
		Command: shell.Command("kubectl", "patch", "pv", v.Name, "--type=merge", "-p", jsonText(patch)),
	}
}

// jsonText is a value as JSON. Maps of strings and lists of them always have a form in it.
func jsonText(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// canLoseVolume tells a claim that had a volume.
func canLoseVolume(s *Subject) bool {
	return s.Claim != nil && s.Claim.NotLocal == "" && s.Claim.Phase != "Pending" && (s.Claim.Volume != "" || s.Claim.Phase == "Lost")
}

// volumeDeleted: a volume that the claim names, and whose claimRef does not have its UID, is not the
// one that it was bound to (Kubernetes, pkg/controller/volume/persistentvolume, syncBoundClaim).
func volumeDeleted(s *Subject) Verdict {
	c := s.Claim
	if s.Volume != nil && c.Volume != "" {
		return fine()
	}
	again := []Step{
		{
			Text:    "if its data matters, copy it off the disk before anybody gets it; then delete the pods, and the claim:",
			Command: shell.Command("kubectl", "-n", c.Namespace, "delete", "pvc", c.Name),
		},
		{Text: "and make the claim again"},
	}
	f := Finding{Masks: []Code{codeMountFailed, codeAffinityConflict}}
	switch v := s.index.volumes[c.Volume]; {
	case c.Volume == "":
		f.Summary = fmt.Sprintf("claim %q is Lost, and names no volume any more", s.ClaimRef)
		f.Because = "somebody took the volume's name out of the claim; it cannot be used again"
		f.Evidence = []string{fmt.Sprintf("claim %q is %s", s.ClaimRef, c.Phase)}
		f.Fix = again
	case v == nil:
		f.Summary = fmt.Sprintf("volume %q of claim %q is gone", c.Volume, s.ClaimRef)
		f.Because = "somebody deleted the PersistentVolume while the claim had it; the claim cannot be used, and the disk is published again, with its data, once the link is seen"
		f.Evidence = []string{fmt.Sprintf("claim %q is %s, and there is no volume %q", s.ClaimRef, c.Phase, c.Volume)}
		f.Fix = again
	case v.Claim == nil:
		f.Summary = fmt.Sprintf("volume %q of claim %q was deleted and published again, and is free for any other claim", v.Name, s.ClaimRef)
		f.Because = "the provisioner makes a deleted volume again under the same name, with the data that is on the disk; pods of this claim may still write to it, and the next claim that fits would share the disk with them"
		f.Evidence = []string{fmt.Sprintf("claim %q is %s; volume %q is %s, and kept for nobody", s.ClaimRef, c.Phase, v.Name, v.Phase)}
		if v.Phase == "Available" && !v.Deleting && c.UID != "" {
			f.Fix = []Step{keepFor(v, c)}
		} else {
			f.Fix = again
		}
	default:
		f.Summary = fmt.Sprintf("volume %q of claim %q is another claim's", v.Name, s.ClaimRef)
		f.Because = "the volume was deleted and published again, and another claim got it: the pods of both write to one disk"
		f.Evidence = []string{fmt.Sprintf("claim %q has UID %s and is %s; volume %q is %s for claim %q with UID %s", s.ClaimRef, c.UID, c.Phase,
			v.Name, v.Phase, v.Claim, v.ClaimUID)}
		f.Fix = []Step{
			{Text: "stop the pods of both claims; keep what is written from being wiped:", Command: retainCommand(v.Name)},
			{Text: "copy off the disk what each needs; then delete the claim that lost it:", Command: again[0].Command},
			again[1],
		}
	}
	return found(f)
}

// beingDeleted: the deleter goes over volumes that are being deleted (sig-storage-local-static-provisioner
// v2.9.0, pkg/deleter, DeletePVs), and the API server keeps one as long as a claim has it.
func volumeBeingDeleted(s *Subject) Verdict {
	v := s.Volume
	f := Finding{
		Summary:  fmt.Sprintf("volume %q is being deleted, and goes without being cleaned", v.Name),
		Because:  "the provisioner does not clean a volume that is being deleted; once it is gone, the disk is published again with the data that is on it",
		Evidence: []string{fmt.Sprintf("volume %q: %s, with a deletionTimestamp", v.Name, cmp.Or(v.Phase, "no phase"))},
		Masks:    []Code{codeBeingCleaned, codeReleasedStays},
	}
	see := Step{
		Text:    "what keeps it:",
		Command: shell.Command("kubectl", "get", "pv", v.Name, "-o", `jsonpath={.metadata.deletionTimestamp} {.metadata.finalizers}{"\n"}`),
	}
	if v.Phase != "Bound" {
		f.Fix = []Step{{Text: "if nobody may read the data, remove the link once the volume is gone, or wipe the disk"}, see}
		return found(f)
	}
	f.Because = fmt.Sprintf("it stays as long as claim %q has it, and cannot be taken back; ", v.Claim) + f.Because
	f.Fix = []Step{
		{Text: "the claim works until it is deleted; to keep the data, copy it to another claim before"},
		{Text: "if nobody else may read it, wipe it from within the pod, before the claim is deleted"},
		see,
	}
	return found(f)
}

// claimBeingDeleted: the claim stays as long as a pod that was scheduled has it (finalizer kubernetes.io/pvc-protection), and no new
// pod gets it: neither a scheduler nor a kubelet takes it (Kubernetes v1.37, volume_binding.go and
// desired_state_of_world_populator.go).
func claimBeingDeleted(s *Subject) Verdict {
	c := s.Claim
	f := Finding{
		Summary:  fmt.Sprintf("claim %q is being deleted", s.ClaimRef),
		Because:  "once no pod has it, it is gone, and a deletion cannot be taken back",
		Evidence: []string{fmt.Sprintf("claim %q: %s, with a deletionTimestamp", s.ClaimRef, c.Phase)},
		Masks:    []Code{codeMountFailed},
	}
	for _, p := range s.index.pods[*s.ClaimRef] {
		if p.Node != "" && p.Phase != "Succeeded" && p.Phase != "Failed" {
			f.Evidence = append(f.Evidence, fmt.Sprintf("pod %q has it%s, %s", p.Namespace+"/"+p.Name, onNode(p.Node), podPhase(p)))
		}
	}
	if s.Volume != nil && s.Volume.ReclaimPolicy == "Delete" {
		f.Because += "; its volume is then wiped"
		f.Fix = append(f.Fix, s.retain("if its data is needed, keep that from being wiped first:"))
	}
	see := Step{Text: "who has it:", Command: shell.Command("kubectl", "-n", c.Namespace, "describe", "pvc", c.Name)}
	if s.Pod == nil || settledPod(*s.Pod) || hasVolumes(*s.Pod) {
		f.Fix = append(f.Fix, see)
		return found(f)
	}
	f.Severity = Error
	f.Summary = fmt.Sprintf("pod %q waits for claim %q, which is being deleted", s.podName(), s.ClaimRef)
	f.Because = "no new pod gets such a claim; " + f.Because
	for _, t := range s.mountTroubles() {
		if t.Cause.Kind == CauseDeleting {
			f.Evidence = append(f.Evidence, t.String())
		}
	}
	if evidence, reported := s.schedulingTrouble(SchedulingDeleting); reported {
		f.Evidence = append(f.Evidence, evidence)
	}
	f.Fix = append(f.Fix, see, Step{
		Text: "delete this pod and the others that have it, and make the claim again once it is gone (a StatefulSet does both)",
	})
	return found(f)
}
