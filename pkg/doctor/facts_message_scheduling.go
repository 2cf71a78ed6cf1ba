// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// SchedulingCause is one of the reasons for which nodes were left out.
type SchedulingCause struct {
	Kind SchedulingKind
	// Nodes is how many; 0: the message does not count.
	Nodes  int
	Detail string
}

// SchedulingKind is such a reason in one word.
type SchedulingKind string

// The reasons that have to do with volumes, and taints.
const (
	SchedulingAffinity   SchedulingKind = "volume-affinity"
	SchedulingNoVolume   SchedulingKind = "no-volume"
	SchedulingUnbound    SchedulingKind = "unbound-immediate"
	SchedulingVolumeGone SchedulingKind = "volume-gone"
	SchedulingClaimGone  SchedulingKind = "claim-gone"
	SchedulingDeleting   SchedulingKind = "claim-deleting"
	SchedulingInUse      SchedulingKind = "in-use"
	SchedulingTaint      SchedulingKind = "taint"
	SchedulingOther      SchedulingKind = "other"
)

// schedulingKind is what words are about. Which releases of Kubernetes use which is in
// testdata/messages.txt.
func schedulingKind(words string) SchedulingKind {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(words, part) })
	}
	switch {
	case claimNotFound.MatchString(words):
		return SchedulingClaimGone
	case has("didn't match PersistentVolume's node affinity", "volume node affinity conflict", "node affinity doesn't match node"):
		return SchedulingAffinity
	case has("didn't find available persistent volumes to bind"):
		return SchedulingNoVolume
	case has("unbound immediate PersistentVolumeClaims"):
		return SchedulingUnbound
	case has("bound to non-existent pv", "bound to non-existent persistentvolume"):
		return SchedulingVolumeGone
	case claimDeleted.MatchString(words):
		return SchedulingDeleting
	case has("ReadWriteOncePod access mode"):
		return SchedulingInUse
	case has("untolerated taint"):
		return SchedulingTaint
	}
	return SchedulingOther
}

var (
	// available begins what a scheduler says of nodes; what the plugins add that come
	// after it, about pods that could make room, follows the first full stop.
	available     = regexp.MustCompile(`^\d+/\d+ nodes are available: ?`)
	counted       = regexp.MustCompile(`(?s)^(\d+) (.+)$`)
	claimNotFound = regexp.MustCompile(`persistentvolumeclaim "[^"]+" not found`)
	claimDeleted  = regexp.MustCompile(`persistentvolumeclaim "[^"]+" is being deleted`)
)

// ParseScheduling reads why a pod was not scheduled, from the event FailedScheduling or
// the pod's condition; what preemption would bring is left out.
func ParseScheduling(message string) []SchedulingCause {
	parts := []string{message}
	if head := available.FindString(message); head != "" {
		reasons, _, _ := strings.Cut(message[len(head):]+" ", ". ")
		parts = strings.Split(reasons, ", ")
	}
	var causes []SchedulingCause
	for _, part := range parts {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		c := SchedulingCause{Kind: schedulingKind(part), Detail: part}
		if m := counted.FindStringSubmatch(part); m != nil {
			// A count that is too large for a number is none.
			if n, err := strconv.Atoi(m[1]); err == nil {
				c.Nodes, c.Detail = n, m[2]
			}
		}
		causes = append(causes, c)
	}
	return causes
}
