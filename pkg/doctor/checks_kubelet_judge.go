// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// kubeletJudge looks at one node.
type kubeletJudge struct {
	s      *Subject
	node   *snapshot.Node
	report *kubeletReport
	// state is what Talos or a Job tells of the kubelet, if reported.
	state    mounts.NodeState
	reported bool
	// byDir are the directories that no mount brings to the kubelet, by code; siblings
	// become one finding.
	byDir    map[Code][]hiddenDir
	restarts bool
	// faults are what package mounts finds in the entries, private and bound the
	// destinations of those that are private, and that have bind for rbind.
	faults         []mounts.Finding
	private, bound []string
}

// findFaults asks package mounts about the entries, once.
func (j *kubeletJudge) findFaults() {
	j.faults = mounts.Findings(j.state)
	for _, f := range j.faults {
		switch f.Fault {
		case mounts.FaultPropagation:
			j.private = append(j.private, f.Path)
		case mounts.FaultBindForRbind:
			j.bound = append(j.bound, f.Path)
		}
	}
}

// faultCodes are the codes of the faults. That of a fault which is seen more closely may be another one.
var faultCodes = map[mounts.Fault]Code{
	mounts.FaultNotInForce:    codeNotInForce,
	mounts.FaultBindForRbind:  codeBindForRbind,
	mounts.FaultHidden:        codePropagation,
	mounts.FaultPropagation:   codePropagation,
	mounts.FaultStale:         codePropagation,
	mounts.FaultDuplicated:    codeLeakedMounts,
	mounts.FaultNested:        codeLeakedMounts,
	mounts.FaultLeaked:        codeLeakedMounts,
	mounts.FaultOtherSource:   codeOtherSource,
	mounts.FaultReadOnly:      codeReadOnlyMount,
	mounts.FaultNeedless:      codeNeedlessEntry,
	mounts.FaultNoDestination: codeBadEntry,
	mounts.FaultBadEntry:      codeBadEntry,
}

func inOneOf(p string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return within(p, dir) })
}

// hiddenDir is a directory that the kubelet does not see.
type hiddenDir struct {
	path, because string
	evidence      []string
	plan          mounts.Plan
}

// dir judges one directory that the kubelet must see.
func (j *kubeletJudge) dir(dir string) {
	if !j.reported {
		j.byEvents(dir)
		return
	}
	plan := mounts.Decide(j.state, mounts.Request{Required: []string{dir}})
	if len(plan.Directories) == 0 { // Its release is not known, or not one that is known here.
		j.bySight(dir, plan)
		return
	}
	d := plan.Directories[0]
	if d.Visible == disk.No && j.seesVolumes(dir) {
		return // Each by an entry of its own: what is seen is what pods get.
	}
	is := fmt.Sprintf("%s %s", dir, d.Message)
	switch d.Reason {
	case mounts.ReasonVisible:
	case mounts.ReasonNoEntry:
		code := codeUnseenDirectory
		because := "the kubelet runs in its own mount namespace, and no extraMount covers the directory"
		if j.state.Settings.KubeletDocument {
			code, because = codeEmptyDocument,
				"the configuration has a KubeletConfig document, as Talos generates it since v1.14, which knows no extraMounts"
		}
		j.hides(code, hiddenDir{dir, because, j.views(dir, d.Visible), plan})
	case mounts.ReasonOffVar, mounts.ReasonVarMnt, mounts.ReasonHoldsTalos:
		j.hides(codeUnseenDirectory, hiddenDir{dir, is, j.views(dir, d.Visible), plan})
	case mounts.ReasonConfigNotRead, mounts.ReasonConfigured, mounts.ReasonNotSeen:
		if d.Visible == disk.No {
			if j.byMounts(dir, d) {
				return
			}
			j.hides(codeUnseenDirectory, hiddenDir{dir,
				"the kubelet runs in its own mount namespace; which extraMounts are configured could not be read", j.views(dir, d.Visible), plan})
		} else {
			j.byEvents(dir)
		}
	default:
		j.byEntry(dir, is, d)
	}
}

// seesVolumes tells that the kubelet sees all that the node has in a directory that it does not see as the node does: each
// volume, and what is to be one. Without any there is nothing to go by.
func (j *kubeletJudge) seesVolumes(dir string) bool {
	seen := 0
	for _, v := range slices.Concat(j.s.volumesHere(), j.s.directories()) {
		if !within(v.Path, dir) {
			continue
		}
		if CompareViews(j.node, j.s.Snapshot.Install, v).Kubelet.Answer != disk.Yes {
			return false
		}
		seen++
	}
	return seen > 0
}

// holdsDisks tells an entry in which disks of local volumes are mounted, or could be: a directory of a class lies in it,
// or a volume does that is not the entry itself.
func (j *kubeletJudge) holdsDisks(p string) bool {
	return slices.ContainsFunc(j.s.localDirs(), func(dir string) bool { return within(dir, p) }) ||
		slices.ContainsFunc(j.s.volumesHere(), func(v snapshot.Volume) bool { return within(v.Path, p) && clean(v.Path) != clean(p) })
}

// byMounts judges a directory that an entry brings to the kubelet, and that the kubelet
// does not see as the node does, where the entry was not read: the mounts that came of it
// tell what it is like.
func (j *kubeletJudge) byMounts(dir string, d mounts.Directory) bool {
	s := j.state.Visibility(dir)
	if s.Mount == nil || s.Mount.Point == "/" || strings.HasSuffix(s.Mount.Root, "//deleted") {
		return false
	}
	f := Finding{Severity: Error, Path: dir, Objects: j.s.affected(dir), Evidence: j.views(dir, d.Visible), Masks: []Code{codeMountFailed}}
	f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %s; the mount at %s is %s", j.node.Name, s.Why, s.Mount.Point, s.Propagation))
	switch {
	case len(s.Hidden) > 0 && s.Propagation == "private":
		j.late(&f, dir)
		f.Because = "the kubelet's mount is private, so nothing that is mounted later reaches it: pods would write to the directory beneath; its entry was not read"
	case len(s.Hidden) > 0:
		j.bind(&f, dir)
		f.Because = "what is mounted later would reach the kubelet's mount, so this was mounted when the kubelet started, and bind left it out; the entry was not read"
	case len(s.Stale) > 0:
		j.stale(&f, dir)
	default:
		f.Path, f.Objects = s.Mount.Point, j.s.affected(s.Mount.Point)
		j.otherSource(&f, s.Mount.Point)
		f.Because = s.Why + "; the entry was not read"
	}
	j.report.add(f)
	return true
}

func (j *kubeletJudge) bySight(dir string, plan mounts.Plan) {
	switch s := j.state.Visibility(dir); s.Visible {
	case disk.No:
		j.hides(codeUnseenDirectory, hiddenDir{dir, "the kubelet runs in its own mount namespace: " + s.Why, j.views(dir, disk.No), plan})
	case disk.Yes:
	default:
		j.byEvents(dir)
	}
}

// byEvents goes by what the kubelet says of pods, where nobody looked through its eyes. It
// is proof only together with somebody who has seen the path on the node.
func (j *kubeletJudge) byEvents(dir string) {
	var evidence []string
	seen, why := false, problem.Problem{}
	for _, c := range j.s.chainsIn(dir) {
		switch t := c.Path; {
		case t.Kubelet.Answer == disk.Yes:
			seen = true
		case t.Kubelet.Answer != disk.No:
		case t.Host.Answer == disk.Yes:
			evidence = append(evidence, j.troubles(c)...)
			evidence = append(evidence, t.Host.Why)
		case t.Host.Answer != disk.No:
			why = problem.Because("the kubelet does not see %s, and whether the node has it is not known: %s", t.Path, t.Host.reason())
		}
	}
	switch {
	case len(evidence) > 0:
		j.hides(codeUnseenDirectory, hiddenDir{
			path:     dir,
			because:  "the kubelet runs in its own mount namespace, in which the directory is not; which extraMounts are configured was not read",
			evidence: once(evidence),
		})
	case !why.IsZero():
		j.report.unknown[codeUnseenDirectory] = why
	case !seen:
		why := cmp.Or(j.s.Snapshot.NoTalos, j.node.Kubelet.Why())
		if j.reported {
			why = problem.Text(j.state.Visibility(dir).Why)
		}
		why = andProbe(j.node, why)
		j.report.cannotTell(problem.Because("%s was not looked at through the kubelet's eyes: %s", dir, why), codeUnseenDirectory)
	}
}

// troubles are what the kubelet says of a chain, as evidence.
func (j *kubeletJudge) troubles(c *Subject) []string {
	var lines []string
	for _, t := range c.mountTroubles() {
		if t.Cause.misses() != "" {
			lines = append(lines, t.String())
		}
	}
	return lines
}

// views is the directory in the three views, and what the kubelet says of pods.
func (j *kubeletJudge) views(dir string, kubelet disk.Answer) []string {
	node, pod := disk.Unknown, disk.Unknown
	if j.state.View != nil {
		node = sight(*j.state.View, dir).Host.Exists
	}
	for _, c := range j.s.Snapshot.Install.Classes {
		if d, ok := value(j.node.View).Dirs[c.Name]; ok && c.HostDir == dir {
			pod = disk.No
			if d.Exists && d.MountPoint {
				pod = disk.Yes
			}
		}
	}
	word := func(a disk.Answer) string { return cmp.Or(string(a), string(disk.Unknown)) }
	lines := []string{fmt.Sprintf("%s: who sees %s: the node %s, the provisioner's pod %s, the kubelet %s", j.node.Name, dir, word(node),
		word(pod), word(kubelet))}
	for _, c := range j.s.chainsIn(dir) {
		lines = append(lines, j.troubles(c)...)
	}
	return once(lines)
}

func (j *kubeletJudge) hides(code Code, h hiddenDir) { j.byDir[code] = append(j.byDir[code], h) }

// hidden makes one finding of the directories that one mount would show.
func (j *kubeletJudge) hidden(code Code) {
	all := j.byDir[code]
	var dirs []string
	for _, h := range all {
		dirs = append(dirs, h.path)
	}
	required, err := mounts.Require(j.state.Release, dirs)
	if err != nil {
		required = dirs
	}
	for _, dir := range required {
		f := Finding{
			Code: code, Severity: Error, Path: dir, Objects: j.s.affected(dir), Masks: []Code{codeHostPathType, codeMountFailed},
			Summary: fmt.Sprintf("the kubelet on %s cannot see %q", allNodes, dir),
		}
		first := slices.IndexFunc(all, func(h hiddenDir) bool { return within(h.path, dir) })
		f.Because = all[first].because
		for _, h := range all {
			// Those that hold volumes prove it, where any does.
			if within(h.path, dir) && (j.holdsVolume(h.path) || !j.holdsVolume(dir)) {
				f.Evidence = once(append(f.Evidence, h.evidence...))
			}
		}
		if code == codeEmptyDocument {
			f.Summary += ", and its configuration has no place for it"
		}
		f.Fix = j.showSteps(dir, all[first].plan)
		j.report.findings = append(j.report.findings, f)
	}
	if code == codeUnseenDirectory && len(all) > 0 {
		j.restarts = true
	}
}

// holdsVolume reports whether a volume of the node lies in a directory.
func (j *kubeletJudge) holdsVolume(dir string) bool {
	return slices.ContainsFunc(j.s.volumesHere(), func(v snapshot.Volume) bool { return within(v.Path, dir) })
}

// showSteps are the steps that show a directory to the kubelet.
func (j *kubeletJudge) showSteps(dir string, plan mounts.Plan) []Step {
	var steps []Step
	if len(plan.Ways) > 0 {
		for _, way := range plan.Ways {
			steps = append(steps, Step{Text: strings.TrimSuffix(way.String(), "\n")})
		}
		if plan.Reason == mounts.ReasonKubeletDocument {
			steps = append(steps, j.s.convertStep("or have machine.kubelet back, which has extraMounts:"))
		}
		return steps
	}
	switch plan.Reason {
	case mounts.ReasonHazard, mounts.ReasonStaged, mounts.ReasonNotReady, mounts.ReasonVersion:
		steps = append(steps, Step{Text: fmt.Sprintf("first: %s (%s)", plan.Hint, plan.Message)})
	case mounts.ReasonBadEntry, mounts.ReasonDuplicate, mounts.ReasonNested:
		steps = append(steps, edit(j.node, "first fix the entries that are there: "+plan.Message+":"))
	}
	if slices.ContainsFunc(j.s.Snapshot.Install.HostDirs(), func(h string) bool { return within(h, dir) }) {
		return append(steps, j.s.mountsStep(""))
	}
	return append(steps,
		edit(j.node,
			fmt.Sprintf("no class of the provisioner has the directory, so add the entry by hand:\nmachine:\n  kubelet:\n    extraMounts:\n    - destination: %s\n      type: bind\n      source: %s\n      options: [rbind, rslave, rw]",
				dir, dir)))
}

// byEntry: an entry is for the directory, and does not serve.
func (j *kubeletJudge) byEntry(dir, is string, d mounts.Directory) {
	fault := d.Reason.Fault()
	if fault == mounts.FaultBindForRbind && j.state.View != nil && j.state.View.HasMounts() && d.Visible == disk.Yes {
		return // The disk that bind hides lies in another directory than this one.
	}
	f := Finding{
		Code:     faultCodes[fault],
		Severity: Error,
		Path:     dir,
		Because:  is,
		Objects:  j.s.affected(dir),
		Evidence: j.views(dir, d.Visible),
		Masks:    []Code{codeMountFailed},
	}
	switch fault {
	case mounts.FaultNotInForce:
		if inOneOf(dir, j.private) && len(j.state.Visibility(dir).Hidden) > 0 {
			j.late(&f, dir)
			break
		}
		j.notInForce(&f, dir)
	case mounts.FaultHidden:
		f.Summary = fmt.Sprintf("%q lies in what Talos mounts into the kubelet on %s, and does not reach it", dir, allNodes)
		f.Fix = restartKubelet(j.node, j.state.Release)
		j.restarts = true
	case mounts.FaultBindForRbind:
		j.bind(&f, dir)
	case mounts.FaultDuplicated, mounts.FaultNested:
		f.Summary = fmt.Sprintf("%q is mounted into the kubelet on %s more than once", dir, allNodes)
		f.Fix = leaveOne(j.node)
	case mounts.FaultOtherSource:
		j.otherSource(&f, dir)
	case mounts.FaultReadOnly:
		f.Summary = fmt.Sprintf("%q is read-only in the kubelet on %s", dir, allNodes)
		f.Fix = []Step{edit(j.node, "replace ro by rw among the options of the entry:")}
		f.Because += "; disks that are mounted below it stay writable, and devices too, but no volume that is a plain directory"
		if !j.hasPlain(dir) {
			f.Severity = Warning
		}
	case mounts.FaultBadEntry:
		f.Summary = fmt.Sprintf("an entry for %q keeps the kubelet on %s from starting", dir, allNodes)
		f.Fix = []Step{edit(j.node, "fix the entry, or take it out:")}
	default:
		return
	}
	j.report.add(f)
}

// notInForce words a finding about an entry that the kubelet was not started with.
func (j *kubeletJudge) notInForce(f *Finding, dir string) {
	f.Code, f.Summary = codeNotInForce, fmt.Sprintf("the mount of %q is configured on %s and not in force", dir, allNodes)
	f.Fix = restartKubelet(j.node, j.state.Release)
	j.restarts = true
}

// late words a finding about a disk that was mounted after the kubelet had started.
func (j *kubeletJudge) late(f *Finding, dir string) {
	f.Code, f.Summary = codePropagation, fmt.Sprintf("the kubelet on %s does not see the disks that were mounted in %q after it started",
		allNodes, dir)
	f.Because = "the entry is private, and nothing that is mounted later propagates: pods would write to the directory beneath"
	f.Fix = append([]Step{edit(j.node, "give the entry the options rbind, rslave and rw, which restarts the kubelet:")},
		Step{Text: "then start the pods again: those that run keep what they have"})
	f.Masks = []Code{codeWrongFilesystem, codeOtherCapacity}
	j.restarts = true
}

// bind words a finding about disks that stay hidden beneath a bind.
func (j *kubeletJudge) bind(f *Finding, dir string) {
	f.Code = codeBindForRbind
	f.Summary = fmt.Sprintf("pods that start on %s would write to the system disk instead of the disks in %q", allNodes, dir)
	f.Fix = []Step{
		{
			Text:    "stop the pods first, and save what those wrote that started like this, which lies on the system disk in the directory beneath:",
			Command: "kubectl talosdisk explain TD0403",
		},
		j.rebind(dir, "replace bind by rbind among the options of the entry, which restarts the kubelet:"),
		{Text: "then start the pods again"},
	}
	f.Masks = []Code{codeWrongFilesystem, codeOtherCapacity}
}

// rebind is the step that makes rbind of bind in the entry that a directory lies in, or that lies in it: by mounts, if
// that would, and by hand for what is none of the provisioner's.
func (j *kubeletJudge) rebind(dir, text string) Step {
	plan := mounts.Decide(j.state, mounts.Request{Required: j.s.Snapshot.Install.HostDirs()})
	may := slices.ContainsFunc(plan.Directories, func(d mounts.Directory) bool {
		own := d.Reason == mounts.ReasonBindForRbind && d.Action == change.Patch
		return (own || d.Reason == mounts.ReasonConfigNotRead) && (within(d.Path, dir) || within(dir, d.Path))
	})
	if !may {
		return edit(j.node, text)
	}
	return j.s.mountsStep(text)
}

// stale words a finding about mounts that neither come to the kubelet nor go.
func (j *kubeletJudge) stale(f *Finding, dir string) {
	f.Code = codePropagation
	f.Summary = fmt.Sprintf("mounts below %q do not reach the kubelet on %s as they come and go", dir, allNodes)
	f.Because = "the kubelet holds a mount that the node has no longer, and pods would use it"
	f.Fix = append([]Step{edit(j.node, "give the entry the options rbind, rslave and rw:")}, restartKubelet(j.node, j.state.Release)...)
}

// otherSource words a finding about an entry that mounts another directory.
func (j *kubeletJudge) otherSource(f *Finding, dir string) {
	f.Code, f.Summary = codeOtherSource, fmt.Sprintf("%q is another directory in the kubelet on %s", dir, allNodes)
	f.Fix = []Step{edit(j.node, "make source and destination of the entry the same:")}
}

// hasPlain reports whether a volume in dir is a directory without a disk of its own.
func (j *kubeletJudge) hasPlain(dir string) bool {
	return slices.ContainsFunc(j.s.volumesHere(), func(v snapshot.Volume) bool {
		return v.Mode == provisioner.Filesystem && within(v.Path, dir) && CompareViews(j.node, j.s.Snapshot.Install, v).Mounted == disk.No
	})
}

func leaveOne(n *snapshot.Node) []Step {
	return []Step{
		edit(n, "leave one entry for the directory, with the options rbind, rslave and rw:"),
		{Text: "mounts that have leaked already stay until the node reboots"},
	}
}

// entries looks at the extraMounts themselves, no matter who needs them.
func (j *kubeletJudge) entries() {
	if j.state.View == nil || !j.state.View.HasMounts() {
		why := cmp.Or(j.state.ViewProblem, problem.Text("not checked"))
		if j.state.View != nil {
			why = cmp.Or(j.state.View.MountsProblem, problem.Text("the mounts were not read"))
		}
		j.report.cannotTell(why, codeNotInForce, codePropagation, codeLeakedMounts)
	}
	if !j.state.ConfigProblem.IsZero() { // The mounts show what has come of the entries, and nothing of those that do no harm yet.
		j.report.cannotTell(j.state.ConfigProblem, codeBindForRbind, codePropagation, codeLeakedMounts, codeOtherSource)
	}
	for _, f := range j.faults {
		if f.Fault == mounts.FaultUnknown {
			j.report.cannotTell(problem.Text(f.Message), codeNotInForce)
			continue
		}
		j.entry(f)
	}
}

// matters tells a path that volumes of this program have to do with.
func (j *kubeletJudge) matters(p string) bool {
	return slices.ContainsFunc(j.s.localDirs(), func(dir string) bool { return within(dir, p) || within(p, dir) })
}

// entry turns a fault that package mounts finds into a finding.
func (j *kubeletJudge) entry(m mounts.Finding) {
	f := Finding{
		Code:     faultCodes[m.Fault],
		Severity: Warning,
		Path:     m.Path,
		Evidence: []string{j.node.Name + ": " + m.Message},
		Objects:  j.s.affected(m.Path),
	}
	switch m.Fault {
	case mounts.FaultNoDestination, mounts.FaultBadEntry:
		f.Severity, f.Path = Error, path.Join("/", m.Path)
		f.Summary = fmt.Sprintf("an entry of machine.kubelet.extraMounts keeps the kubelet on %s from starting", allNodes)
		f.Because = "Talos checks nothing in an entry, and the container runtime cannot make this mount"
		f.Fix = []Step{edit(j.node, "fix the entry, or take it out:")}
		f.Objects, f.Masks = nil, []Code{codeNodeNotReady}
	case mounts.FaultDuplicated, mounts.FaultNested, mounts.FaultLeaked:
		f.Summary = fmt.Sprintf("entries for %q lie upon each other on %s", m.Path, allNodes)
		f.Because = "two mounts upon each other show the kubelet the upper one only, and serve nobody"
		f.Fix = leaveOne(j.node)
		switch {
		case m.Fault == mounts.FaultLeaked:
			f.Summary = fmt.Sprintf("mounts of %q have leaked on %s", m.Path, allNodes)
			f.Because = "each start of a kubelet with two entries upon each other doubles them, until none can be made any more and the kubelet stays down"
		case m.Doubles:
			f.Severity = Error
			f.Because = "each start of the kubelet doubles the node's own mounts, until none can be made any more and the kubelet stays down"
		}
	case mounts.FaultNeedless:
		f.Severity = Info
		f.Summary = fmt.Sprintf("an entry for %q is needless on %s", m.Path, allNodes)
		f.Because = "Talos mounts it into the kubelet by itself"
		f.Fix = []Step{edit(j.node, "take the entry out when the configuration is changed for another reason; that restarts the kubelet:")}
		f.Objects = nil
	case mounts.FaultOtherSource:
		j.otherSource(&f, m.Path)
		f.Because = "volumes carry the node's path, under which the kubelet finds something else"
	case mounts.FaultReadOnly:
		f.Summary = fmt.Sprintf("%q is read-only in the kubelet on %s", m.Path, allNodes)
		f.Because = "pods cannot write to plain directories in it; disks that are mounted below it stay writable"
		f.Fix = []Step{edit(j.node, "replace ro by rw among the options of the entry:")}
	case mounts.FaultBindForRbind:
		if !j.holdsDisks(m.Path) {
			return // Of other software, or of one disk, below which nothing is mounted.
		}
		f.Summary = fmt.Sprintf("the entry for %q on %s would hide disks that are mounted below it", m.Path, allNodes)
		f.Because = "bind leaves out what is mounted below when the kubelet starts: pods would write to the system disk, and nothing would say so"
		f.Fix = []Step{j.rebind(m.Path, "replace bind by rbind among the options of the entry:")}
		if j.hides403(m.Path) {
			j.bind(&f, m.Path)
			f.Severity = Error
			f.Because = "the entry has bind, which leaves out what is mounted below when the kubelet starts: the kubelet has the directory beneath, and no event says so"
		}
	case mounts.FaultHidden:
		switch {
		case inOneOf(m.Path, j.bound):
			j.bind(&f, m.Path)
			f.Because = "the entry has bind, which leaves out what is mounted below when the kubelet starts: the kubelet has the directory beneath, and no event says so"
		case inOneOf(m.Path, j.private):
			j.late(&f, m.Path)
		default:
			j.notInForce(&f, m.Path)
			f.Because = "the kubelet has the directory beneath: it was not started with the entry as it is now"
		}
		if j.matters(m.Path) {
			f.Severity = Error
		}
	case mounts.FaultPropagation, mounts.FaultStale:
		j.stale(&f, m.Path)
		if m.Fault == mounts.FaultPropagation {
			f.Because = "the entry is private: only a restart of the kubelet brings what was mounted meanwhile"
		}
	case mounts.FaultNotInForce:
		j.notInForce(&f, m.Path)
		f.Because = "the kubelet has not been started with it"
	default:
		return
	}
	j.report.add(f)
}

// hides403 reports whether a disk below an entry is hidden from the kubelet as things are.
func (j *kubeletJudge) hides403(dir string) bool {
	s := j.state.Visibility(dir)
	return j.matters(dir) && s.MountPoint == disk.Yes && len(s.Hidden) > 0
}

// hazard is a finding where a restart is to come, and as a note everywhere else.
func (j *kubeletJudge) hazard() {
	v := j.state.Release
	if !v.Known() {
		j.report.cannotTell(problem.Text("its release of Talos is not known"), codeRestartHazard)
		return
	}
	f := Finding{Code: codeRestartHazard, Severity: Info, Evidence: []string{fmt.Sprintf("%s runs Talos %s", j.node.Name, v)}}
	switch {
	case v.RestartHazard() != "":
		f.Summary = fmt.Sprintf("on %s a restart of the kubelet unmounts the user volumes", allNodes)
		f.Because = v.RestartHazard()
		if j.restarts {
			f.Severity = Warning
			f.Because = "what fixes the kubelet's view restarts it, and " + f.Because
		}
	case v.Has(talosrelease.StaleTokens):
		f.Summary = fmt.Sprintf("on %s pods that run get no new tokens after a restart of the kubelet", allNodes)
		f.Because = "Talos v1.13.0 to v1.13.2 cut what the kubelet mounts off from running pods (siderolabs/talos#13352, fixed in v1.13.3): start such pods again"
	default:
		return
	}
	f.Fix = []Step{{
		Text:    "upgrade Talos before anything restarts the kubelet; see which release runs:",
		Command: shell.Command("talosctl", "-n", address(j.node), "version"),
	}}
	j.report.findings = append(j.report.findings, f)
}

// readOnlyRoot are entries whose source Talos cannot make. It makes a missing one at each
// start of the kubelet, and fails for good where the root file system is read-only
// (internal/app/machined/pkg/system/services/kubelet.go). A node that is Ready has it.
func (j *kubeletJudge) readOnlyRoot() {
	if j.node.Ready {
		return
	}
	there := []string{"/var", "/dev", "/run", "/etc", "/proc", "/sys", "/usr", "/lib", "/tmp", "/system", "/opt"}
	for i, m := range j.state.Settings.ExtraMounts {
		if !path.IsAbs(m.Source) || inOneOf(m.Source, there) {
			continue
		}
		j.report.add(Finding{
			Code: codeBadEntry, Severity: Error, Path: clean(m.Destination), Masks: []Code{codeNodeNotReady},
			Summary: fmt.Sprintf("an entry of machine.kubelet.extraMounts keeps the kubelet on %s from starting", allNodes),
			Because: "its source is not below /var, and Talos cannot make it on the read-only root file system",
			Evidence: []string{fmt.Sprintf("%s: machine.kubelet.extraMounts[%d] has source %q, and the node is not Ready", j.node.Name, i,
				m.Source)},
			Fix: []Step{edit(j.node, "give it a source below /var, or take it out:")},
		})
	}
}

func parent(p string) string { return path.Dir(clean(p)) }
