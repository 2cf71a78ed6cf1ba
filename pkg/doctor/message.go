// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// MountCause is what a message of a kubelet about a volume says: of the reasons
// FailedMount, FailedMapVolume and Failed.
type MountCause struct {
	// Operation is the kubelet's name of what failed: MountVolume.NewMounter, ….
	Operation string
	// Volume is the name of the PersistentVolume; of other volumes, the pod's name for it.
	// Empty: the message does not tell. Volumes are the pod's names for those that were
	// not mounted, where several are named.
	Volume  string
	Volumes []string
	Kind    CauseKind
	Path    string
	Device  string
	// Detail is the cause as the kubelet tells it, without what comes before it.
	Detail string
}

// CauseKind is a cause in one word.
type CauseKind string

// The causes that are told apart.
const (
	CausePathMissing CauseKind = "path-missing"
	// CauseWrongKind: neither a directory nor a block device.
	CauseWrongKind   CauseKind = "wrong-kind"
	CauseDenied      CauseKind = "denied"
	CauseIO          CauseKind = "io"
	CauseAffinity    CauseKind = "affinity"
	CauseFilesystem  CauseKind = "filesystem"
	CauseFormat      CauseKind = "format"
	CauseNoMkfs      CauseKind = "no-mkfs"
	CauseUnformatted CauseKind = "unformatted-read-only"
	CauseFsck        CauseKind = "fsck"
	CauseProbe       CauseKind = "probe"
	// CauseDeviceMissing: the device vanished between two looks.
	CauseDeviceMissing CauseKind = "device-missing"
	CauseHostPathType  CauseKind = "hostpath-type"
	CauseInUse         CauseKind = "in-use"
	CauseBusy          CauseKind = "busy"
	CauseNotBound      CauseKind = "not-bound"
	CauseVolumeGone    CauseKind = "volume-gone"
	CauseClaimGone     CauseKind = "claim-gone"
	// CauseBlockAsMount: a Block volume among volumeMounts; CauseMountAsBlock the reverse.
	CauseBlockAsMount CauseKind = "block-as-mount"
	CauseMountAsBlock CauseKind = "mount-as-block"
	CauseMapDevice    CauseKind = "map-device"
	CauseLoop         CauseKind = "loop"
	CauseGroup        CauseKind = "group"
	CauseSubPath      CauseKind = "subpath"
	CauseTimeout      CauseKind = "timeout"
	CauseOther        CauseKind = "other"
)

// rule recognises a cause. Wording varies between releases of Kubernetes, so that a
// rule is about the words that stay.
type rule struct {
	kind CauseKind
	like *regexp.Regexp
}

// mountRules come in the order in which they are tried: one that names its cause
// before one that only names what failed. Making them takes as long as the rest of our
// start-up, and most runs need none.
var mountRules = sync.OnceValue(func() []rule {
	return []rule{
		like(CauseHostPathType, `hostPath type check failed:?,? (?P<path>/[^\s,]*)`),
		like(CauseInUse, `ReadWriteOncePod access mode and is already in use`),
		like(CauseAffinity, `no matching NodeSelectorTerms|NodeAffinity check failed`),
		like(CauseBlockAsMount, `has volumeMode "?Block"?, but is specified in volumeMounts`),
		like(CauseMountAsBlock, `has volumeMode "?Filesystem"?, but is specified in volumeDevices|cannot find volume "[^"]*" to pass into container`),
		like(CauseClaimGone, `persistentvolumeclaims? "[^"]*" not found|failed to fetch PVC from API server`),
		like(CauseVolumeGone, `persistentvolumes? "[^"]*" not found|failed to fetch PV "?[^"\s]*"? from API server`),
		like(CauseNotBound, `PVC is not bound`),
		like(CauseNoMkfs, `"?mkfs\.\w+"?: executable file not found|mkfs[.\w]*: (?:command )?not found`),
		like(CauseFsck, `'fsck' found errors on device (?P<device>\S+)`),
		like(CauseUnformatted, `cannot mount unformatted disk (?P<device>\S+)`),
		like(CauseIO, `input/output error`),
		like(CauseFormat, `format of disk "?(?P<device>[^"\s]+)"? failed`),
		like(CauseProbe, `failed to get disk format of disk (?P<device>[^\s:]+)`),
		like(CauseLoop, `makeLoopDevice failed|losetup .*failed`),
		like(CausePathMissing, `path "(?P<path>[^"]+)" does not exist`),
		like(CausePathMissing, `l?stat (?P<path>/[^\s:]*): no such file or directory`),
		like(CauseDeviceMissing, `special device (?P<device>\S+) does not exist`),
		like(CauseWrongKind, `only directory and block device are supported`),
		like(CauseDenied, `stat (?P<path>/[^\s:]*): permission denied`),
		like(CauseFilesystem, `unknown data, probably partitions|wrong fs type|unknown filesystem type|unsupported filesystem|superblock`),
		like(CauseBusy, `already mounted or .*busy|device or resource busy`),
		like(CauseMapDevice, `blkUtil\.\w+ failed`),
		like(CauseSubPath, `failed to prepare subPath`),
		like(CauseGroup, `requested fsGroup is \d+`),
		like(CauseFilesystem, `failed to mount device (?P<device>\S+) at`),
		like(CauseTimeout, `timed out waiting for the condition|context deadline exceeded`),
	}
})

func like(kind CauseKind, pattern string) rule {
	return rule{kind, regexp.MustCompile(`(?i)` + pattern)}
}

// mountPrefix begins what a kubelet says of one volume (Kubernetes v1.37,
// pkg/volume/util/operationexecutor).
var (
	mountPrefix = regexp.MustCompile(`^((?:Mount|Map|Unmount|Unmap)Volume[.\w]*)[^"]*? for volume "([^"]+)"[^:]*: ?`)
	wrapper     = regexp.MustCompile(`unmounted volumes=\[([^\]]*)\]`)
)

// ParseMount reads what a kubelet says of a volume. A message that is none of these
// is false; one whose cause is not known is CauseOther.
func ParseMount(message string) (MountCause, bool) {
	c := MountCause{Kind: CauseOther, Detail: strings.TrimSpace(message)}
	known := false
	if m := mountPrefix.FindStringSubmatch(message); m != nil {
		c.Operation, c.Volume, known = m[1], m[2], true
		c.Detail = strings.TrimSpace(message[len(m[0]):])
	} else if m := wrapper.FindStringSubmatch(message); m != nil {
		c.Volumes, known = strings.Fields(m[1]), true
		if i := strings.LastIndex(message, "]: "); i >= 0 {
			c.Detail = strings.TrimSpace(message[i+len("]: "):])
		}
	}
	for _, r := range mountRules() {
		m := r.like.FindStringSubmatch(message)
		if m == nil {
			continue
		}
		c.Kind, known = r.kind, true
		if i := r.like.SubexpIndex("path"); i > 0 {
			c.Path = m[i]
		}
		if i := r.like.SubexpIndex("device"); i > 0 {
			c.Device = m[i]
		}
		break
	}
	return c, known
}

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

func schedulingRules() []struct {
	kind  SchedulingKind
	words []string
} {
	return []struct {
		kind  SchedulingKind
		words []string
	}{
		{SchedulingAffinity, []string{"didn't match PersistentVolume's node affinity", "volume node affinity conflict"}},
		{SchedulingNoVolume, []string{"didn't find available persistent volumes to bind"}},
		{SchedulingUnbound, []string{"unbound immediate PersistentVolumeClaims"}},
		{SchedulingVolumeGone, []string{"bound to non-existent pv", "bound to non-existent persistentvolume"}},
		{SchedulingDeleting, []string{"is being deleted"}},
		{SchedulingInUse, []string{"ReadWriteOncePod access mode"}},
		{SchedulingTaint, []string{"untolerated taint"}},
	}
}

var (
	schedulerPrefix = regexp.MustCompile(`^\d+/\d+ nodes are available:? ?`)
	counted         = regexp.MustCompile(`^(\d+) (.*)$`)
	claimNotFound   = regexp.MustCompile(`persistentvolumeclaim "[^"]+" not found`)
)

// ParseScheduling reads why a pod was not scheduled, from the event FailedScheduling or
// the pod's condition; what preemption would bring is left out.
func ParseScheduling(message string) []SchedulingCause {
	message, _, _ = strings.Cut(message, "preemption:")
	message = strings.TrimSpace(message)
	message = strings.TrimSuffix(schedulerPrefix.ReplaceAllString(message, ""), ".")
	var causes []SchedulingCause
	for _, part := range strings.Split(message, ", ") {
		part = strings.TrimSuffix(strings.TrimSpace(part), ".")
		if part == "" {
			continue
		}
		c := SchedulingCause{Kind: SchedulingOther, Detail: part}
		if m := counted.FindStringSubmatch(part); m != nil {
			// A count that is too large for a number is none.
			if n, err := strconv.Atoi(m[1]); err == nil {
				c.Nodes, c.Detail = n, m[2]
			}
		}
		if claimNotFound.MatchString(part) {
			c.Kind = SchedulingClaimGone
		}
		for _, r := range schedulingRules() {
			for _, words := range r.words {
				if c.Kind == SchedulingOther && strings.Contains(part, words) {
					c.Kind = r.kind
				}
			}
		}
		causes = append(causes, c)
	}
	return causes
}
