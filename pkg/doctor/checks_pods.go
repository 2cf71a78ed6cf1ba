// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The codes of the checks of pods.
const (
	codeMixedUp          Code = "TD0701"
	codeAffinityConflict Code = "TD0702"
	codeWrongFilesystem  Code = "TD0703"
	codeFormatFailed     Code = "TD0704"
	codeNoMkfs           Code = "TD0705"
	codeHostPathType     Code = "TD0706"
	codeUsedByOther      Code = "TD0707"
	codeOtherCapacity    Code = "TD0708"
	codeClaimNotThere    Code = "TD0709"
	codeDiskErrors       Code = "TD0710"
	codeMountFailed      Code = "TD0711"
)

// podChecks are those of pods.
func podChecks() []Check {
	ofPod := func(s *Subject) bool { return s.Pod != nil && s.PodVolume != nil }
	return []Check{
		{
			Code: codeMixedUp, Title: "volumeMounts and volumeDevices are mixed up", Severity: Error, Stage: StagePod, About: OfChain,
			Needs:   []Need{NeedPods, NeedClaims},
			Uses:    []Need{NeedVolumes, NeedInstall, NeedStorageClasses, NeedEvents},
			Applies: func(s *Subject) bool { return ofPod(s) && (s.Claim != nil || s.Volume != nil) },
			Run:     ofLocal(mixedUp),
		},
		{
			Code: codeAffinityConflict, Title: "the pod cannot go where its volume is", Severity: Error, Stage: StagePod, About: OfChain,
			Needs:   []Need{NeedPods, NeedVolumes},
			Uses:    []Need{NeedEvents, NeedNodes, NeedClaims},
			Applies: func(s *Subject) bool { return ofPod(s) && s.Volume != nil },
			Run:     affinityConflict,
		},
		{
			Code: codeWrongFilesystem, Title: "the disk has another filesystem than its class",
			Severity: Error, Stage: StagePod, About: OfChain,
			Needs: []Need{NeedPods, NeedEvents},
			// Whether the volume is a local one, and what it is called; where the kubelet is, and since when it runs; and who has a
			// disk that the kubelet cannot open.
			Uses:    []Need{NeedClaims, NeedVolumes, NeedInstall, NeedStorageClasses, NeedNodes, NeedView, NeedTalosDisks, NeedTalosMounts},
			Applies: ofPod,
			Run:     ofTroubles(wrongFilesystem, CauseFilesystem),
		},
		{
			Code: codeFormatFailed, Title: "making the filesystem failed", Severity: Error, Stage: StagePod, About: OfChain,
			Needs:   []Need{NeedPods, NeedEvents},
			Uses:    []Need{NeedClaims, NeedVolumes, NeedInstall, NeedStorageClasses, NeedNodes, NeedView, NeedTalosDisks, NeedTalosMounts},
			Applies: ofPod,
			Run:     ofTroubles(formatFailed, CauseFormat, CauseUnformatted),
		},
		{
			Code: codeNoMkfs, Title: "the kubelet has no mkfs for the filesystem", Severity: Error, Stage: StagePod, About: OfChain,
			Needs:   []Need{NeedPods, NeedEvents},
			Uses:    []Need{NeedClaims, NeedVolumes, NeedInstall, NeedStorageClasses, NeedNodes},
			Applies: ofPod,
			Run:     ofTroubles(noMkfs, CauseNoMkfs),
		},
		{
			Code: codeHostPathType, Title: "a hostPath's type check fails in the kubelet", Severity: Error, Stage: StagePod, About: OfChain,
			Needs:   []Need{NeedPods, NeedEvents},
			Uses:    []Need{NeedClaims, NeedVolumes, NeedInstall, NeedStorageClasses, NeedNodes},
			Applies: ofPod,
			Run:     ofTroubles(hostPathType, CauseHostPathType),
		},
		{
			Code: codeUsedByOther, Title: "a ReadWriteOncePod volume is in use", Severity: Error, Stage: StagePod, About: OfChain,
			Needs:   []Need{NeedPods, NeedEvents},
			Uses:    []Need{NeedClaims, NeedVolumes, NeedInstall, NeedStorageClasses, NeedNodes},
			Applies: func(s *Subject) bool { return ofPod(s) && s.ClaimRef != nil },
			Run:     ofLocal(usedByOther),
		},
		{
			Code: codeOtherCapacity, Title: "the pod has another disk than its volume", Severity: Error, Stage: StagePod, About: OfChain,
			Needs: []Need{NeedPods, NeedVolumes, NeedStats},
			Uses:  []Need{NeedClaims, NeedEvents, NeedTalosVolumes, NeedKubeletConfig},
			Applies: func(s *Subject) bool {
				return ofPod(s) && s.Volume != nil && s.Volume.Mode == provisioner.Filesystem && s.PodVolume.Mounted && s.Pod.Phase == "Running" &&
					hasVolumes(*s.Pod)
			},
			Run: otherCapacity,
		},
		{
			Code: codeClaimNotThere, Title: "the pod's claim does not exist", Severity: Error, Stage: StageClaim, About: OfChain,
			Needs:   []Need{NeedPods, NeedClaims},
			Applies: func(s *Subject) bool { return ofPod(s) && s.ClaimRef != nil },
			Run:     claimNotThere,
		},
		{
			Code: codeDiskErrors, Title: "the disk has errors", Severity: Error, Stage: StagePod, About: OfChain,
			Needs:   []Need{NeedPods, NeedEvents},
			Uses:    []Need{NeedClaims, NeedVolumes, NeedInstall, NeedStorageClasses, NeedNodes, NeedView, NeedTalosDisks, NeedTalosMounts},
			Applies: ofPod,
			Run:     ofTroubles(diskErrors, CauseIO, CauseFsck, CauseProbe),
		},
		{
			Code: codeMountFailed, Title: "mounting failed", Severity: Error, Stage: StagePod, About: OfChain,
			Needs:   []Need{NeedPods, NeedEvents},
			Uses:    []Need{NeedClaims, NeedVolumes, NeedInstall, NeedStorageClasses, NeedNodes, NeedView, NeedTalosDisks, NeedTalosMounts},
			Applies: ofPod,
			Run: ofTroubles(mountFailed, CauseOther, CausePathMissing, CauseWrongKind, CauseDenied, CauseAffinity, CauseDeviceMissing, CauseBusy,
				CauseNotBound,
				CauseVolumeGone, CauseClaimGone, CauseBlockAsMount, CauseMountAsBlock, CauseMapDevice, CauseLoop, CauseGroup, CauseSubPath,
				CauseTimeout, CauseDeleting),
		},
	}
}

// ofLocal asks of local volumes only. What keeps a pod from its other volumes is for those
// who provide them.
func ofLocal(run func(*Subject) Verdict) func(*Subject) Verdict {
	return func(s *Subject) Verdict {
		switch local, why := s.local(); local {
		case disk.Yes:
			return run(s)
		case disk.No:
			return noQuestion("%s: what keeps a pod from it is not looked at", why)
		default:
			return unknown("%s", why)
		}
	}
}

// local reports whether the pod's volume is a local one, or a directory of its node; and
// what it is if it is neither, or why that is not known.
func (s *Subject) local() (local disk.Answer, why problem.Problem) {
	unread := s.Snapshot.Unread
	switch {
	case s.Volume != nil || s.PodVolume.HostPath != "":
		return disk.Yes, problem.Problem{}
	case s.Claim == nil && s.Snapshot.Claims.Value == nil:
		return disk.Unknown, problem.Because("whether claim %q has a local volume: %s", s.ClaimRef, s.Snapshot.Claims.Why())
	case s.Claim == nil:
		return disk.Yes, problem.Problem{} // It could become one.
	case s.Claim.NotLocal != "":
		return disk.No, problem.Because("claim %q is of %s, and no local volume", s.ClaimRef, s.Claim.NotLocal)
	case s.Class != nil:
		return disk.Yes, problem.Problem{}
	case s.Claim.Volume != "" && !unread[snapshot.PartVolumes].IsZero():
		return disk.Unknown, problem.Because("whether claim %q has a local volume: %s", s.ClaimRef, unread[snapshot.PartVolumes])
	case s.StorageClass == nil && !unread[snapshot.PartStorageClasses].IsZero():
		return disk.Unknown, problem.Because("whether claim %q has a local volume: %s", s.ClaimRef, unread[snapshot.PartStorageClasses])
	case s.StorageClass != nil && s.StorageClass.Provisioner != noProvisioner:
		return disk.No, problem.Because("claim %q is of %s, and no local volume", s.ClaimRef, s.StorageClass.Provisioner)
	}
	return disk.Yes, problem.Problem{}
}

// podName is the pod as texts call it.
func (s *Subject) podName() string { return s.Pod.Namespace + "/" + s.Pod.Name }

// ofTroubles runs the check of what the kubelet says of the pod's volume, if it is a local one.
func ofTroubles(explain func(*Subject, Trouble) Finding, kinds ...CauseKind) func(*Subject) Verdict {
	return ofLocal(func(s *Subject) Verdict { return complaintsOf(s, explain, kinds...) })
}

// complaintsOf is a finding for the kubelet's latest complaint of one of the kinds, with
// all of them as evidence.
func complaintsOf(s *Subject, explain func(*Subject, Trouble) Finding, kinds ...CauseKind) Verdict {
	troubles := slices.DeleteFunc(slices.Clone(s.mountTroubles()), func(t Trouble) bool { return !slices.Contains(kinds, t.Cause.Kind) })
	switch {
	case len(troubles) > 0:
	case !s.unsure.IsZero() && slices.Contains(kinds, CauseFilesystem):
		return unknown("%s", s.unsure)
	default:
		return fine()
	}
	// One that tells a cause before those that tell none.
	slices.SortStableFunc(troubles, func(a, b Trouble) int { return vague(a.Cause.Kind) - vague(b.Cause.Kind) })
	f := explain(s, troubles[0])
	if opens(troubles[0].Cause.Kind) {
		s.nameHolders(&f, troubles[0])
	}
	for _, t := range troubles {
		f.Evidence = append(f.Evidence, t.String())
	}
	f.Evidence = once(f.Evidence)
	return found(f)
}

func mixedUp(s *Subject) Verdict {
	var mode provisioner.Mode
	var what string
	if s.Claim != nil {
		mode, what = s.Claim.Mode, fmt.Sprintf("claim %q", s.ClaimRef.Name)
	} else {
		mode, what = s.Volume.Mode, fmt.Sprintf("volume %q", s.Volume.Name)
	}
	f := Finding{Masks: []Code{codeMountFailed}}
	switch v := s.PodVolume; {
	case mode == provisioner.Block && v.Mounted:
		f.Summary = fmt.Sprintf("pod %q has %s, a block device, among its volumeMounts", s.podName(), what)
		f.Because = "a volume of volumeMode Block has no filesystem to mount: the container gets it as a device"
		f.Fix = []Step{{
			Text: "in the pod's template replace its volumeMounts entry by\nvolumeDevices:\n- name: " + v.Name + "\n  devicePath: /dev/" + v.Name,
		}}
	case mode == provisioner.Filesystem && v.Device:
		f.Summary = fmt.Sprintf("pod %q has %s, a filesystem, among its volumeDevices", s.podName(), what)
		f.Because = "a volume of volumeMode Filesystem is a directory, and no device"
		f.Fix = []Step{{
			Text: "in the pod's template replace its volumeDevices entry by\nvolumeMounts:\n- name: " + v.Name +
				"\n  mountPath: /data\nor make the claim with volumeMode: Block",
		}}
	default:
		return fine()
	}
	f.Evidence = []string{fmt.Sprintf("%s has volumeMode %s", what, mode)}
	for _, t := range s.mountTroubles() {
		if t.Cause.Kind == CauseBlockAsMount || t.Cause.Kind == CauseMountAsBlock {
			f.Evidence = append(f.Evidence, t.String())
		}
	}
	return found(f)
}

// schedulingTrouble is what the scheduler says of a pod that is not scheduled.
func (s *Subject) schedulingTrouble(kind SchedulingKind) (string, bool) {
	if s.Pod.Node != "" || hasVolumes(*s.Pod) {
		return "", false
	}
	has := func(message string) bool {
		return slices.ContainsFunc(ParseScheduling(message), func(c SchedulingCause) bool { return c.Kind == kind })
	}
	if has(s.Pod.Unscheduled) {
		return "FailedScheduling: " + oneLine(s.Pod.Unscheduled), true
	}
	for _, e := range s.freshOf(s.events("pod", s.Pod.Namespace, s.Pod.Name), s.Pod.UID, []string{"FailedScheduling"}) {
		if has(e.Message) {
			return eventText(e, e.Message, s.Snapshot.Time), true
		}
	}
	return "", false
}

func affinityConflict(s *Subject) Verdict {
	evidence, conflict := s.schedulingTrouble(SchedulingAffinity)
	for _, t := range s.mountTroubles() {
		if t.Cause.Kind == CauseAffinity {
			evidence, conflict = t.String(), true
		}
	}
	switch {
	case conflict:
	case s.Snapshot.Events.Value == nil && !hasVolumes(*s.Pod):
		return unknown("%s", s.Snapshot.Events.Why())
	default:
		return fine()
	}
	v := s.Volume
	f := Finding{
		Summary:  fmt.Sprintf("pod %q cannot go to %s, where its volume %q is", s.podName(), cmp.Or(v.Node, "the node"), v.Name),
		Because:  "a local volume's pod runs on the node that has the disk",
		Evidence: []string{evidence},
		Masks:    []Code{codeMountFailed},
	}
	if others := s.otherNodes(); len(others) > 0 {
		f.Summary = fmt.Sprintf("the volumes of pod %q are on several nodes", s.podName())
		f.Because = "no node has all of its disks"
		f.Evidence = append(f.Evidence, append(others, fmt.Sprintf("%s on %s", v.Name, v.Node))...)
		slices.Sort(f.Evidence[1:])
		f.Fix = []Step{{Text: "recreate one of the claims, so that it gets a disk of the same node"}}
		return found(f)
	}
	switch {
	case s.Node == nil && !s.Snapshot.Unread[snapshot.PartNodes].IsZero():
		f.Fix = []Step{{Text: "see what keeps pods away from it:", Command: shell.Command("kubectl", "describe", "node", v.Node)}}
	case s.Node == nil:
		f.Because = fmt.Sprintf("node %q does not exist", v.Node)
	default:
		bar := keepsAway(s.Pod, s.Node)
		f.Because = fmt.Sprintf("a local volume's pod runs where the disk is, and %s: %s", v.Node, bar.why)
		switch {
		case bar.cordon:
			f.Fix = []Step{{Text: "let pods go there again:", Command: shell.Command("kubectl", "uncordon", v.Node)}}
		case bar.why == "":
			f.Because = fmt.Sprintf("a local volume's pod runs where the disk is; something else keeps it from %s: too little memory or CPU left, or the volume's own node affinity",
				v.Node)
			if foreign := s.foreignVolumes(); len(foreign) > 0 {
				f.Because = fmt.Sprintf("a local volume's pod runs where the disk is; something else keeps it from %s: most likely its other volumes, which are no local ones, and may be out of reach there",
					v.Node)
				f.Evidence = append(f.Evidence, foreign...)
			}
			f.Fix = []Step{{Text: "see what is left there:", Command: shell.Command("kubectl", "describe", "node", v.Node)}}
		default:
			f.Fix = []Step{{
				Text:    "let the pod go there (nodeSelector, affinity, tolerations), or see to the node:",
				Command: shell.Command("kubectl", "describe", "node", v.Node),
			}}
		}
	}
	return found(f)
}

// otherNodes are the pod's volumes that are on other nodes than this one.
func (s *Subject) otherNodes() []string {
	var others []string
	for _, pv := range s.Pod.Volumes {
		if v := s.index.volumeOf(snapshot.ClaimRef{Namespace: s.Pod.Namespace, Name: pv.Claim}); pv.Claim != "" && v != nil &&
			v.Node != s.Volume.Node {
			others = append(others, fmt.Sprintf("%s on %s", v.Name, v.Node))
		}
	}
	return once(others)
}

// foreignVolumes are the pod's claims of other storage.
func (s *Subject) foreignVolumes() []string {
	var foreign []string
	for _, pv := range s.Pod.Volumes {
		if c := s.index.claims[snapshot.ClaimRef{Namespace: s.Pod.Namespace, Name: pv.Claim}]; pv.Claim != "" && c != nil && c.NotLocal != "" {
			foreign = append(foreign, fmt.Sprintf("claim %q is of %s", c.ClaimRef, c.NotLocal))
		}
	}
	return once(foreign)
}

// device is what a message is about: the device that it names, or the volume's path.
func (s *Subject) device(t Trouble) string {
	switch {
	case t.Cause.Device != "":
		return t.Cause.Device
	case t.Cause.Path != "":
		return t.Cause.Path
	case s.Volume != nil:
		return s.Volume.Path
	}
	return s.PodVolume.Name
}

func (s *Subject) on() string {
	if node := cmp.Or(s.Pod.Node, s.NodeName); node != "" {
		return " on " + node
	}
	return ""
}

func (s *Subject) disksCommand() Step {
	return Step{
		Text:    "what is on the disks there:",
		Command: shell.Command("kubectl", "talosdisk", "disks", "--nodes", cmp.Or(s.Pod.Node, s.NodeName), "-o", "wide"),
	}
}

func (s *Subject) lookStep() Step {
	return Step{
		Text:    "look through the eyes of node and kubelet:",
		Command: shell.Command("kubectl", "talosdisk", "mounts", "list", "--nodes", cmp.Or(s.Pod.Node, s.NodeName)),
	}
}

func wrongFilesystem(s *Subject, t Trouble) Finding {
	want := "that the volume asks for"
	if s.Class != nil && s.Class.FSType != "" {
		want = fmt.Sprintf("%s, which class %q asks for", s.Class.FSType, s.Class.Name)
	}
	return Finding{
		Summary: fmt.Sprintf("%q%s does not hold the filesystem %s", s.device(t), s.on(), want),
		Because: "a disk that holds something else, a partition table too, is never formatted over",
		Fix: []Step{
			s.disksCommand(),
			{
				Text: "if nobody needs what is on it, delete the claim and wipe the disk with talosctl wipe disk; else set the class's fsType to what is there, and have the volume recreated",
			},
		},
		Masks: []Code{codeMountFailed},
	}
}

func formatFailed(s *Subject, t Trouble) Finding {
	f := Finding{
		Summary: fmt.Sprintf("making a filesystem on %q%s failed", s.device(t), s.on()),
		Because: "mkfs was refused: the disk is in use by something else, read-only or broken",
		Fix:     []Step{s.disksCommand(), {Text: "the kernel's own words:", Command: shell.Command("talosctl", "-n", s.talosAddress(), "dmesg")}},
		Masks:   []Code{codeMountFailed},
	}
	if t.Cause.Kind == CauseUnformatted {
		f.Because = "it has none yet, and the pod has the volume read-only"
		f.Fix = []Step{{Text: "let one pod have it without readOnly once"}}
	}
	return f
}

// talosAddress is what talosctl takes for the pod's node.
func (s *Subject) talosAddress() string {
	if s.Node != nil && s.Node.Address != "" {
		return s.Node.Address
	}
	return cmp.Or(s.NodeName, cmp.Or(s.Pod.Node, "NODE"))
}

// noMkfs: since Kubernetes 1.31 the kubelet's image of Talos is slim where its tag does not
// end in -fat (Talos v1.8, hack/release.toml).
func noMkfs(s *Subject, _ Trouble) Finding {
	fs := "this filesystem"
	if s.Class != nil && s.Class.FSType != "" {
		fs = s.Class.FSType
	}
	return Finding{
		Summary: fmt.Sprintf("the kubelet%s has no program to make %s", s.on(), fs),
		Because: "since Kubernetes 1.31 the kubelet's image of Talos comes without e2fsprogs and xfsprogs; the one whose tag ends in -fat has them, and neither can make other filesystems",
		Fix: []Step{
			{
				Text: "let Talos make it: a UserVolumeConfig for the disk, and a class with hostDir /var/mnt and a namePattern for its volumes (Talos v1.10)",
			},
			{Text: "or take the image whose tag ends in -fat, which restarts the kubelet, with fsType: xfs or ext4 in the provisioner's class:",
				Command: shell.Command("talosctl", "-n", s.talosAddress(), "edit", "machineconfig", "--mode", "no-reboot")},
		},
		Masks: []Code{codeMountFailed},
	}
}

func hostPathType(s *Subject, t Trouble) Finding {
	p := cmp.Or(t.Cause.Path, s.PodVolume.HostPath)
	f := Finding{
		Summary: fmt.Sprintf("the kubelet%s does not find %q as hostPath type %s asks", s.on(), p,
			cmp.Or(s.PodVolume.HostPathType, "of the pod")),
		Because: "the type is checked in the kubelet's own mount namespace, which on Talos lacks most directories of the node",
		Masks:   []Code{codeMountFailed},
		Path:    p,
	}
	f.Fix = []Step{{
		Text: fmt.Sprintf("leave the type of hostPath volume %q empty: the container runtime, which sees the node, mounts it without the kubelet",
			s.PodVolume.Name),
	}}
	if within(p, "/var") {
		dirs := []string{}
		for _, d := range s.Snapshot.Install.HostDirs() {
			if within(p, d) || within(d, p) {
				dirs = append(dirs, d)
			}
		}
		if len(dirs) > 0 {
			f.Fix = append(f.Fix, s.mountsStep("or show the provisioner's directories to the kubelet:"))
		}
	}
	return f
}

func usedByOther(s *Subject) Verdict {
	evidence, used := s.schedulingTrouble(SchedulingInUse)
	for _, t := range s.mountTroubles() {
		if t.Cause.Kind == CauseInUse {
			evidence, used = t.String(), true
		}
	}
	if !used {
		return fine()
	}
	f := Finding{
		Summary:  fmt.Sprintf("claim %q is ReadWriteOncePod, and another pod has it", s.ClaimRef),
		Because:  "such a claim is for one pod at a time, on whatever node",
		Evidence: []string{evidence},
		Fix: []Step{{
			Text:    "wait for the other pod to end, or delete it; who has the claim:",
			Command: shell.Command("kubectl", "-n", s.ClaimRef.Namespace, "describe", "pvc", s.ClaimRef.Name),
		}},
		Masks: []Code{codeMountFailed},
	}
	for _, p := range s.otherPods() {
		f.Evidence = append(f.Evidence, fmt.Sprintf("pod %q uses it, %s", p.Name, podPhase(p)))
	}
	return found(f)
}

// podPhase is a pod's phase, or that it is on its way out, which takes as long as its containers do not end.
func podPhase(p *snapshot.UserPod) string {
	if p.Deleting {
		return "being deleted"
	}
	return p.Phase
}

// otherCapacity compares what statfs says in the pod with the volume: the local plugin
// of the kubelet never checks that a directory is the mount that it should be.
func otherCapacity(s *Subject) Verdict {
	v := s.Volume
	for _, stat := range *s.Node.Stats.Value {
		if stat.Namespace != s.Pod.Namespace || stat.Pod != s.Pod.Name || stat.Claim != s.ClaimRef.Name {
			continue
		}
		if alike(stat.Capacity, v.Capacity) || s.grown(stat.Capacity) {
			return fine()
		}
		f := Finding{
			Summary: fmt.Sprintf("pod %q does not write to volume %q, but to another filesystem", s.podName(), v.Name),
			Because: "the directory is there for the kubelet, and the disk that should be mounted on it is not: most likely the data lands on the node's system disk",
			Evidence: []string{fmt.Sprintf("in the pod it has %s (%d bytes), the volume has %s", about(stat.Capacity), stat.Capacity,
				size(v.Capacity))},
			Fix: []Step{
				{
					Text:    "stop the pod, and see why the kubelet does not have the disk:",
					Command: shell.Command("kubectl", "talosdisk", "mounts", "list", "--nodes", v.Node),
				},
				{Text: fmt.Sprintf("what was written lies below %s on the system disk: copy it before it is hidden by the mount", clean(v.Path))},
			},
			Path: clean(v.Path),
		}
		if stat.Capacity > v.Capacity && value(s.Node.Talos).Volumes.Value == nil {
			f.Because += "; or the filesystem was grown since the volume was made, which only Talos can tell"
		}
		return found(f)
	}
	if s.unmeasured() {
		return noQuestion("the kubelet has not measured yet the file systems in pods that started less than %s ago: look again then",
			measuredWithin)
	}
	return unknown("the kubelet, which measures once a minute, has no figures of claim %q in pod %q", s.ClaimRef.Name, s.Pod.Name)
}

// measuredWithin is how long a kubelet can take to measure a volume that has been mounted: it
// looks for new pods once a minute, and measures each again after one to two (Kubernetes v1.37,
// pkg/kubelet/server/stats/fs_resource_analyzer.go and volume_stat_calculator.go;
// volumeStatsAggPeriod, pkg/kubelet/apis/config/v1beta1/defaults.go).
const measuredWithin = 2 * time.Minute

// unmeasured tells a pod whose volumes the kubelet need not have measured yet: they are new,
// or it is, and has forgotten what it had measured.
func (s *Subject) unmeasured() bool {
	since := s.kubeletStarted()
	if mounted := s.Pod.VolumesSince; mounted != nil && mounted.After(since) {
		since = *mounted
	}
	age := s.Snapshot.Time.Sub(since)
	return !since.IsZero() && age >= 0 && age < measuredWithin
}

// grown tells that a file system of that many bytes can be that of the Talos volume at the
// path as it is now: Talos grows its volumes, and the PersistentVolume goes on saying what it was.
func (s *Subject) grown(inPod int64) bool {
	return slices.ContainsFunc(value(value(s.Node.Talos).Volumes), func(v snapshot.TalosVolume) bool {
		return v.Size > 0 && s.mountOf(v) == clean(s.Volume.Path) && alike(inPod, int64(v.Size))
	})
}

// alike reports whether a file system of that many bytes can be the volume's: one made on a
// device is smaller by what it needs itself, and the provisioner rounds down by less than
// 1Gi (pkg/common, RoundDownCapacityPretty).
func alike(inPod, capacity int64) bool {
	const gib, log = 1 << 30, 128 << 20 // xfs keeps 64Mi and more for its log, however small it is.
	return inPod >= capacity-capacity/8-log && inPod <= capacity+capacity/8+gib
}

// about is a number of bytes for a person.
func about(bytes int64) string {
	switch {
	case bytes >= 10<<30:
		return fmt.Sprintf("%dGi", bytes>>30)
	case bytes >= 10<<20:
		return fmt.Sprintf("%dMi", bytes>>20)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

func claimNotThere(s *Subject) Verdict {
	if s.Claim != nil {
		return fine()
	}
	return found(Finding{
		Summary:  fmt.Sprintf("pod %q uses claim %q, which does not exist in namespace %q", s.podName(), s.ClaimRef.Name, s.Pod.Namespace),
		Because:  "it was deleted, never made, or is in another namespace",
		Evidence: []string{fmt.Sprintf("volume %q of the pod names claim %q", s.PodVolume.Name, s.ClaimRef.Name)},
		Fix:      []Step{{Text: "the claims there are:", Command: shell.Command("kubectl", "-n", s.Pod.Namespace, "get", "pvc")}},
		Masks:    []Code{codeMountFailed, codeVolumeDeleted},
	})
}

func diskErrors(s *Subject, t Trouble) Finding {
	f := Finding{
		Summary: fmt.Sprintf("%q%s has errors", s.device(t), s.on()),
		Because: "reading it failed: the disk, its cable or its controller is broken",
		Fix: []Step{
			{Text: "the kernel's own words:", Command: shell.Command("talosctl", "-n", s.talosAddress(), "dmesg")},
			{Text: "keep what is on it from being wiped, and replace the disk"},
		},
		Masks: []Code{codeMountFailed},
	}
	switch t.Cause.Kind {
	case CauseFsck:
		f.Because = "its filesystem is damaged, and fsck does not fix that by itself"
		f.Fix[1] = Step{Text: "copy the disk, then repair the filesystem with nothing mounted"}
	case CauseProbe:
		f.Because = "what is on it could not be found out: it cannot be read, or holds signatures that exclude each other"
		f.Fix = append(f.Fix, s.disksCommand())
	}
	return f
}

// mountFailed is for messages that no other check explains. Those that do mask it.
func mountFailed(s *Subject, t Trouble) Finding {
	f := Finding{
		Summary: fmt.Sprintf("the kubelet cannot give pod %q its volume %q", s.podName(), s.PodVolume.Name),
		Because: "the kubelet says: " + oneLine(t.Cause.Detail),
		Fix:     []Step{{Text: "all that it says:", Command: shell.Command("kubectl", "-n", s.Pod.Namespace, "describe", "pod", s.Pod.Name)}},
	}
	switch t.Cause.Kind {
	case CausePathMissing:
		f.Because = fmt.Sprintf("%s does not exist for the kubelet%s; whether it is on the node was not found out", t.Cause.Path, s.on())
		f.Fix = append(f.Fix, s.lookStep())
	case CauseWrongKind:
		f.Because = fmt.Sprintf("%s is neither a directory nor a block device", s.device(t))
	case CauseBusy:
		f.Because = fmt.Sprintf("something else has %s open: another mount, swap, or a device upon it", s.device(t))
		f.Fix = append(f.Fix, s.disksCommand())
	case CauseLoop:
		f.Because = "no loop device could be put over the block volume: none is left, or the device vanished"
		f.Fix = append(f.Fix, Step{
			Text:    "the loop devices there are:",
			Command: shell.Command("talosctl", "-n", s.talosAddress(), "ls", "/sys/block"),
		})
	case CauseGroup:
		f.Severity = Warning
		f.Because = "two pods share the volume with different fsGroup: " + oneLine(t.Cause.Detail)
	case CauseDeviceMissing:
		f.Because = fmt.Sprintf("%s was gone when it was to be mounted, for the kubelet%s; whether it is on the node was not found out",
			s.device(t), s.on())
		f.Fix = append(f.Fix, s.lookStep())
	case CauseTimeout:
		f.Because = "the kubelet gave up waiting, and does not say for what; its log does"
		if behind := s.behindTimeout(); len(behind) > 0 {
			f.Because = "the kubelet gave up waiting, and does not say for what: " + strings.Join(behind, "; ")
		}
		f.Fix = append(f.Fix, s.disksCommand(), Step{
			Text:    "what the kubelet waited for:",
			Command: shell.Command("talosctl", "-n", s.talosAddress(), "logs", "kubelet", "--tail", "200"),
		})
	case CauseDeleting:
		f.Because = "its claim is being deleted, and no new pod gets it"
	case CauseNotBound:
		f.Because = "its claim is not bound"
	case CauseSubPath:
		f.Because = "the kubelet cannot open the subPath in the volume: it does not see the disk, or the subPath is not a directory"
	}
	return f
}
