// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// stuck is why a released volume is not on its way to be Available again; empty if it is.
type stuck struct {
	text     string
	evidence []string
	fix      []Step
}

// stays is why the volume stays released. unseen is why that is not known.
func (s *Subject) stays() (why stuck, unseen problem.Problem) {
	v := s.Volume
	failed := s.volumeEvents("VolumeFailedDelete")
	switch {
	case v.ReclaimPolicy != "Delete":
		return stuck{
			text: fmt.Sprintf("its reclaim policy is %s: it keeps its data until a person decides", cmp.Or(v.ReclaimPolicy, "not set")),
			fix:  s.decide(),
		}, problem.Problem{}
	case len(failed) > 0:
		return stuck{"the provisioner cannot clean it", s.evidence(failed), s.logOfCleaner()}, problem.Problem{}
	case v.Phase == "Failed":
		return stuck{"deleting it failed: " + cmp.Or(v.Message, "no reason is given"), nil, s.logOfCleaner()}, problem.Problem{}
	}
	if failing := s.cleanerFails(); failing.text != "" {
		return failing, problem.Problem{}
	}
	job := s.cleaningJob()
	switch failing := s.jobFails(job); {
	case failing.text != "":
		return failing, problem.Problem{}
	case job != nil:
		return stuck{}, problem.Problem{}
	}
	if unread := s.cleanerUnread(); !unread.IsZero() {
		return stuck{}, problem.Because("whether its cleaner fails: %s", unread)
	}
	if len(s.volumeEvents("VolumeDelete")) > 0 {
		return stuck{}, problem.Problem{}
	}
	const runs = "whether a provisioner runs on its node to clean it: %s"
	switch unread := s.Snapshot.Unread[snapshot.PartNodes]; {
	case s.Node == nil:
		return stuck{}, problem.Because(runs, cmp.Or(unread, problem.Text("its node was not looked at")))
	case s.Node.Pod.Value != nil:
		if jobs := value(s.Snapshot.Provisioner).Jobs; !jobs.Problem.IsZero() {
			return stuck{}, problem.Because("whether a Job cleans it: %s", jobs.Problem)
		}
		return stuck{}, problem.Problem{}
	case !unread.IsZero():
		return stuck{}, problem.Because(runs, unread)
	case s.Node.Wanted && s.Node.Ready && !hasNone(s.Node) && podState(s.Node) == "":
		return stuck{}, problem.Because(runs, s.Node.Pod.Why())
	}
	see := Step{Text: "have the provisioner run on the node:", Command: shell.Command("kubectl", "talosdisk", "doctor", "node/"+v.Node)}
	return stuck{text: "no provisioner runs on its node to clean it: " + s.Node.Pod.Why().Message, fix: []Step{see}}, problem.Problem{}
}

// decide are the ways out for a volume that keeps its data.
func (s *Subject) decide() []Step {
	v := s.Volume
	var steps []Step
	if v.Claim != nil {
		if c := s.index.claims[*v.Claim]; c != nil && isEarlier(v, c) && c.Phase == "Pending" {
			if step, ok := giveBack(v, c); ok {
				steps = append(steps, step)
			}
		}
	}
	if waitedFor(*s.Snapshot, v.Name) != (refusal{}) && len(steps) > 0 {
		return steps
	}
	return append(steps, Step{
		Text:      "if its data is not needed, have it cleaned and published again:",
		Command:   reclaim(v.Name, "Delete"),
		operation: operation{kind: opClean, volume: v.Name},
	})
}

// cleanerEnds is what the cleaner's end is logged as, without the volume's name, and cleanerSays what
// is logged with it (sig-storage-local-static-provisioner v2.9.0, pkg/deleter/deleter.go).
var (
	cleanerEnds = regexp.MustCompile(`deleter\.go:\d+\] (exit status \d+|signal: |fork/exec |exec: )`)
	cleanerSays = regexp.MustCompile(`Cleanup for pv (\S+) failed\. Restarting cleanup|Cleanup pv "([^"]+)": StderrBuf - `)
	cleanerDone = regexp.MustCompile(`Completed cleanup of pv "([^"]+)"|Deleting pv (\S+) after successful cleanup`)
)

// cleanerFails tells a volume whose cleaning begins again and again. Release 2.9.0 cleans beside its loop: no
// event says that it failed, and the next look begins it again.
func (s *Subject) cleanerFails() stuck {
	v := s.Volume
	starts := s.volumeEvents("VolumeDelete")
	begun := 0
	for _, e := range starts {
		begun += e.Count
	}
	named, ends := s.cleanerLog()
	restarts := 0
	for _, p := range value(s.Snapshot.Provisioner).Pods {
		if p.Node == v.Node {
			restarts += p.Restarts
		}
	}
	switch again := begun - restarts; { // A provisioner that starts again begins again, too.
	case len(named) > 0:
	case again > 2, again == 2 && len(ends) > 0:
	default:
		return stuck{}
	}
	lines := named
	if len(lines) == 0 {
		lines = ends
	}
	return stuck{
		text:     "the provisioner begins to clean it again and again, and each time the cleaner fails",
		evidence: append(s.evidence(starts), lines...),
		fix:      s.logOfCleaner(),
	}
}

// cleanerUnread is why it is not known what the cleaner says.
func (s *Subject) cleanerUnread() problem.Problem {
	state := s.Snapshot.Provisioner
	_, read := value(state).Log[s.Volume.Node]
	switch {
	case state.Value == nil:
		return state.Why()
	case s.Class == nil && !s.Snapshot.Unread[snapshot.PartInstall].IsZero():
		return s.Snapshot.Unread[snapshot.PartInstall]
	case !read && s.nodeOrNone().Pod.Value != nil:
		return cmp.Or(state.Value.LogProblem[s.Volume.Node], problem.Text("the log of its provisioner pod was not read"))
	}
	return problem.Problem{}
}

// cleanerLog are the lines of the provisioner's log that tell of the volume's cleaner failing, as far as
// no newer one tells that it is done, and those that may.
func (s *Subject) cleanerLog() (named, ends []string) {
	v, inPod := s.Volume, ""
	if s.Class != nil && within(v.Path, s.Class.HostDir) {
		inPod = clean(s.Class.MountDir) + strings.TrimPrefix(clean(v.Path), clean(s.Class.HostDir))
	}
	for _, line := range value(s.Snapshot.Provisioner).Log[v.Node] {
		if names(cleanerDone, line, v.Name) {
			named, ends = nil, nil
		}
		ofPath := inPod != "" && strings.Contains(line, "deleter.go") &&
			slices.ContainsFunc(strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(` ":`, r) }), func(word string) bool {
				return strings.HasPrefix(word, "/") && within(word, inPod)
			})
		switch {
		case names(cleanerSays, line, v.Name), ofPath && isError(line):
			named = append(named, oneLine(line))
		case cleanerEnds.MatchString(line):
			ends = append(ends, oneLine(line))
		}
	}
	return named, ends
}

// names tells a line in which the pattern has the volume's name.
func names(pattern *regexp.Regexp, line, volume string) bool {
	m := pattern.FindStringSubmatch(line)
	return m != nil && slices.Contains(m[1:], volume)
}

// isError tells a line of klog that is an error.
func isError(line string) bool { return strings.HasPrefix(line, "E") }

// logOfCleaner are the steps for a cleaner that fails.
func (s *Subject) logOfCleaner() []Step {
	i := s.Snapshot.Install
	var steps []Step
	if pod := value(s.nodeOrNone().Pod).Name; pod != "" {
		steps = append(steps, Step{
			Text:    "the provisioner's log tells more:",
			Command: shell.Command("kubectl", "-n", i.Namespace, "logs", pod, "-c", i.Container, "--tail=200"),
		})
	} else {
		steps = append(steps, Step{
			Text:    "have the provisioner run on the node:",
			Command: shell.Command("kubectl", "talosdisk", "doctor", "node/"+s.NodeName),
		})
	}
	steps = append(steps, Step{
		Text: "fix what it names, and the next try cleans it: the link or the disk is gone, the disk has errors, or it does not know what blockCleanerCommand asks for (blkdiscard needs a disk that discards)",
	})
	return append(steps, s.lostDisk()...)
}

// nodeOrNone is the node, or one of which nothing is known.
func (s *Subject) nodeOrNone() *snapshot.Node {
	if s.Node == nil {
		return &snapshot.Node{}
	}
	return s.Node
}

// lostDisk deletes a volume whose disk is not there. A disk that is would be published with its data.
func (s *Subject) lostDisk() []Step {
	if s.Entry != nil && !s.Entry.Dangling() || s.Class == nil || s.Node == nil || !value(s.Node.View).Dirs[s.Class.Name].Exists {
		return nil
	}
	return []Step{deleteVolume(s.Volume.Name,
		"if the disk is dead, and only then, delete the volume: a disk that comes back is published without being cleaned:")}
}

// cleaningJob is the Job that the provisioner takes for the volume's, by its name
// (v2.9.0, pkg/deleter/jobcontroller.go); nil if there is none.
func (s *Subject) cleaningJob() *snapshot.CleaningJob {
	jobs := value(value(s.Snapshot.Provisioner).Jobs)
	for i := range jobs {
		if jobs[i].Volume == s.Volume.Name {
			return &jobs[i]
		}
	}
	return nil
}

// jobFails is why a Job does not get the volume clean. The provisioner waits for it for ever: it begins no
// other one before a person has deleted it.
func (s *Subject) jobFails(job *snapshot.CleaningJob) stuck {
	if job == nil || job.Succeeded > 0 {
		return stuck{}
	}
	in := func(words ...string) string {
		return shell.Command(append([]string{"kubectl", "-n", s.Snapshot.Install.Namespace}, words...)...)
	}
	again := Step{Text: "fix what it names, and delete the Job: the provisioner makes it again", Command: in("delete", "job", job.Name)}
	logs := Step{Text: "what the cleaner said:", Command: in("logs", "job/"+job.Name, "--tail=50")}
	describe := Step{Text: "its events tell more:", Command: in("describe", "job", job.Name)}
	why := stuck{evidence: []string{fmt.Sprintf("Job %q: %d active, %d failed", job.Name, job.Active, job.Failed)}}
	if job.GaveUp != "" {
		why.evidence = append(why.evidence, fmt.Sprintf("Job %q has given up: %s", job.Name, oneLine(job.GaveUp)))
	}
	if job.VolumeUID != "" && s.Volume.UID != "" && job.VolumeUID != s.Volume.UID {
		why.text = "a Job of an earlier volume of the name is there, and the provisioner takes it for this one's: nothing cleans it"
		again.Text = "delete the Job: the provisioner makes one for this volume"
		why.fix = []Step{describe, again}
		return why
	}
	restarts, waits := 0, ""
	for _, p := range job.Pods {
		restarts += p.Restarts
		text := p.Unscheduled
		for _, w := range p.Waiting {
			if w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
				text = cmp.Or(text, w.Reason)
			}
		}
		if p.Phase == "Failed" {
			restarts++
		}
		if text != "" {
			waits = fmt.Sprintf("pod %q: %s", p.Name, oneLine(text))
		}
	}
	switch {
	case job.GaveUp != "", job.Failed > 0, restarts > 0:
		why.text = fmt.Sprintf("the cleaner in Job %q fails", job.Name)
		why.evidence = append(why.evidence, nonEmpty(waits)...)
		if restarts > 0 {
			why.evidence = append(why.evidence, fmt.Sprintf("its container has ended %d times", restarts))
		}
		why.fix = []Step{logs, describe, again}
	case waits != "":
		why.text = fmt.Sprintf("the pod of Job %q, which is to clean it, does not start", job.Name)
		why.evidence = append(why.evidence, waits)
		why.fix = []Step{describe}
	case job.Active == 0 && job.Failed == 0 && len(job.Pods) == 0 && !job.Created.IsZero() && s.Snapshot.Time.Sub(job.Created).Minutes() > 1:
		why.text = fmt.Sprintf("Job %q, which is to clean it, has no pod", job.Name)
		why.fix = []Step{describe}
	default:
		return stuck{}
	}
	return why
}

func releasedStays(s *Subject) Verdict {
	why, unseen := s.stays()
	switch {
	case !unseen.IsZero():
		return unknown("%s", unseen)
	case why.text == "":
		return fine()
	}
	v := s.Volume
	return found(Finding{
		Summary:  fmt.Sprintf("volume %q is %s, and stays so", v.Name, v.Phase),
		Because:  why.text,
		Evidence: append([]string{s.releasedText()}, why.evidence...),
		Fix:      why.fix,
	})
}
