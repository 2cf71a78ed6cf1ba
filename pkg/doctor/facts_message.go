// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"regexp"
	"strings"
	"sync"
)

// MountCause is what a message of a kubelet about a volume says: of the reasons
// FailedMount, FailedMapVolume, FailedMountOnFilesystemMismatch, AlreadyMountedVolume and Failed.
type MountCause struct {
	// Operation is the kubelet's name of what failed: MountVolume.NewMounter, ….
	Operation string
	// Volume is the name of the PersistentVolume; of other volumes, the pod's name for it.
	// Claim is "namespace/name" of the claim. Where the message has neither, Volumes are the
	// pod's names for those that were not mounted; none: it does not tell.
	Volume  string
	Claim   string
	Volumes []string
	Kind    CauseKind
	Path    string
	Device  string
	// Detail is the cause as the kubelet tells it, without what comes before it.
	Detail string
}

// CauseKind is a cause in one word.
type CauseKind string

// The causes that are distinguished.
const (
	CausePathMissing CauseKind = "path-missing"
	// CauseWrongKind: neither a directory nor a block device.
	CauseWrongKind CauseKind = "wrong-kind"
	CauseDenied    CauseKind = "denied"
	CauseIO        CauseKind = "io"
	CauseAffinity  CauseKind = "affinity"
	// CauseFilesystem: the disk holds another filesystem than was asked for.
	CauseFilesystem  CauseKind = "filesystem"
	CauseFormat      CauseKind = "format"
	CauseNoMkfs      CauseKind = "no-mkfs"
	CauseUnformatted CauseKind = "unformatted-read-only"
	// CauseFsck: the filesystem is damaged, as fsck or the kernel says.
	CauseFsck  CauseKind = "fsck"
	CauseProbe CauseKind = "probe"
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
	// CauseDeleting: the claim is being deleted. CauseTimeout: the kubelet waited long enough, and names no cause.
	CauseDeleting CauseKind = "claim-deleting"
	CauseTimeout  CauseKind = "timeout"
	CauseOther    CauseKind = "other"
)

// misses is the path that is not there for the kubelet, as it says; empty if that is not what it says. mount(8) calls what it
// is to mount a special device, a directory too.
func (c MountCause) misses() string {
	switch c.Kind {
	case CausePathMissing:
		return c.Path
	case CauseDeviceMissing:
		return c.Device
	}
	return ""
}

// rule recognises a cause. Its groups are called after the fields that they fill.
type rule struct {
	kind CauseKind
	like *regexp.Regexp
}

// mountRules come in the order in which they are tried: one that names its cause
// before one that only names what failed. Which releases of Kubernetes use which wording
// is in testdata/messages.txt. Making them takes as long as the rest of our start-up, and
// most runs need none.
var mountRules = sync.OnceValue(func() []rule {
	return []rule{
		like(CauseHostPathType, `hostPath type check failed[:,] (?P<path>/.*?) is not a `),
		like(CauseInUse, `ReadWriteOncePod access mode and is already in use`),
		like(CauseAffinity, `no matching NodeSelectorTerms`),
		like(CauseBlockAsMount, `volume (?P<volume>\S+) has volumeMode Block, but is specified in volumeMounts`),
		like(CauseBlockAsMount, `cannot find volume "(?P<volume>[^"]*)" to mount into container`),
		like(CauseMountAsBlock, `volume (?P<volume>\S+) has volumeMode Filesystem, but is specified in volumeDevices`),
		like(CauseMountAsBlock, `cannot find volume "(?P<volume>[^"]*)" to pass into container`),
		like(CauseClaimGone, `persistentvolumeclaims? "[^"]*" not found`),
		like(CauseVolumeGone, `persistentvolumes? "[^"]*" not found`),
		like(CauseNotBound, `PVC is not bound|PVC has empty pvc\.Spec\.VolumeName|indicating it is not yet bound to the claim`),
		like(CauseDeleting, `PVC is being deleted|persistentvolumeclaims? "[^"]*" is being deleted`),
		like(CauseNoMkfs, `format of disk "(?P<device>[^"]+)" failed: .*executable file not found in \$PATH`),
		like(CauseFsck, `'fsck' found errors on device (?P<device>\S+)`),
		like(CauseFsck, `structure needs cleaning`),
		like(CauseUnformatted, `cannot mount unformatted disk (?P<device>\S+)`),
		like(CauseIO, `input/output error|can't read superblock`),
		like(CauseFormat, `format of disk "(?P<device>[^"]+)" failed`),
		like(CauseProbe, `failed to get disk format of disk (?P<device>[^\s:]+)`),
		like(CauseLoop, `(?:Get|make)LoopDevice failed`),
		like(CausePathMissing, `path "(?P<path>[^"]+)" does not exist`),
		like(CausePathMissing, `(?:l?stat|open) (?P<path>/[^:]*): no such file or directory`),
		like(CauseDeviceMissing, `special device (?P<device>\S+) does not exist`),
		like(CauseDeviceMissing, `(?P<device>/\S+): Can't lookup blockdev`),
		like(CauseWrongKind, `only directory and block device are supported`),
		like(CauseDenied, `l?stat (?P<path>/[^:]*): permission denied`),
		like(CauseFilesystem, `wrong fs type|unknown filesystem type`),
		like(CauseBusy, `already mounted (?:on|or)|device or resource busy|Can't open blockdev`),
		like(CauseMapDevice, `blkUtil\.\w+ failed`),
		like(CauseSubPath, `failed to (?:prepare subPath|create subPath directory) for volumeMount "(?P<volume>[^"]*)"`),
		like(CauseGroup, `requested fsGroup is \d+, but the volume (?P<volume>\S+) has GID`),
		like(CauseTimeout, `timed out waiting for the condition|context deadline exceeded`),
	}
})

func like(kind CauseKind, pattern string) rule {
	return rule{kind, regexp.MustCompile(`(?is)` + pattern)}
}

var (
	// ofOne begins what a kubelet says of one volume, ofSeveral of those of a pod that it
	// could not so much as begin with.
	ofOne     = regexp.MustCompile(`^((?:Mount|Map)Volume[.\w]*)[^"]*? for volume "([^"]+)" ?:? ?`)
	ofSeveral = regexp.MustCompile(`unmounted volumes=\[([^\]]*)\], unattached volumes=\[[^\]]*\](?:, failed to process volumes=\[([^\]]*)\])?: `)
	ofClaim   = regexp.MustCompile(`^error processing PVC ([^\s:]+): `)
	// ofVolume names the volume within what the kubelet says of one of several.
	ofVolume = regexp.MustCompile(` for volume(?:Spec)? "([^"]+)"`)
	// mounting and looking name what it was about, whatever came of it.
	mounting = regexp.MustCompile(`^local: failed to mount device (\S+) at `)
	looking  = regexp.MustCompile(`^l?stat (/[^:]*): `)
)

// ParseMount reads what a kubelet says of volumes: a cause for each error that it tells.
// Of a message that is about none there is none; one whose cause is not known is CauseOther.
func ParseMount(message string) []MountCause {
	if m := ofOne.FindStringSubmatch(message); m != nil {
		return []MountCause{causeOf(MountCause{Operation: m[1], Volume: m[2]}, message[len(m[0]):])}
	}
	at := ofSeveral.FindStringSubmatchIndex(message)
	if at == nil {
		if c := causeOf(MountCause{}, message); vague(c.Kind) == 0 {
			return []MountCause{c}
		}
		return nil
	}
	volumes := strings.Fields(message[at[2]:at[3]])
	if at[4] >= 0 && at[5] > at[4] {
		volumes = strings.Fields(message[at[4]:at[5]])
	}
	var all []MountCause
	for part := range strings.SplitSeq(message[at[1]:], "; ") {
		c := causeOf(MountCause{}, part)
		if m := ofVolume.FindStringSubmatch(part); m != nil && c.Volume == "" {
			c.Volume = m[1]
		}
		if c.Volume == "" && c.Claim == "" {
			c.Volumes = volumes
		}
		all = append(all, c)
	}
	return all
}

// causeOf completes what is known from before an error with what the error says.
func causeOf(c MountCause, text string) MountCause {
	c.Kind, c.Detail = CauseOther, strings.TrimSpace(text)
	for _, r := range mountRules() {
		m := r.like.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		c.Kind = r.kind
		for i, name := range r.like.SubexpNames() {
			switch name {
			case "path":
				c.Path = m[i]
			case "device":
				c.Device = m[i]
			case "volume":
				if c.Volume == "" {
					c.Volume = m[i]
				}
			}
		}
		break
	}
	first := func(value string, named *regexp.Regexp) string {
		if m := named.FindStringSubmatch(text); m != nil && value == "" {
			return m[1]
		}
		return value
	}
	c.Claim, c.Device, c.Path = first(c.Claim, ofClaim), first(c.Device, mounting), first(c.Path, looking)
	return c
}

// vague is 1 for what the kubelet says without a cause.
func vague(kind CauseKind) int {
	if kind == CauseTimeout || kind == CauseOther {
		return 1
	}
	return 0
}
