// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// logRule is what a line of the provisioner's log means.
type logRule struct {
	like    *regexp.Regexp
	meaning string
	fix     string
}

// logRules are tried in order (sig-storage-local-static-provisioner v2.9, pkg/discovery,
// pkg/deleter and pkg/common).
var logRules = sync.OnceValue(func() []logRule {
	r := func(pattern, meaning, fix string) logRule { return logRule{regexp.MustCompile(pattern), meaning, fix} }
	return []logRule{
		r(`failed to get ReclaimPolicy from storage class|unsupported ReclaimPolicy`,
			"a class has no StorageClass, or one whose reclaim policy it does not know",
			"make the StorageClass, with reclaimPolicy Delete or Retain"),
		r(`error reading directory: open`,
			"the directory of a class is not there in its container", "see that the DaemonSet mounts the class's hostDir at its mountDir"),
		r(`is not a valid mount point`,
			"a directory in a Filesystem class is no mount point in its container",
			"mount the disk there on the node; if it is mounted, mount hostDir into the pod with HostToContainer"),
		r(`of filesystem mode cannot be used to create block volume|requires block mode but path .* was in fs mode`,
			"a directory lies in the directory of a Block class", "remove the directory, or make the class Filesystem"),
		r(`not a directory nor block device`,
			"a file that is neither a directory nor a block device lies in the directory of a class",
			"remove it; if it is a link, see that /dev is mounted into the pod"),
		r(`(Directory|Block device) check for .* failed|block stats error`,
			"an entry of a class leads nowhere", "kubectl talosdisk disks shows where links lead"),
		r(`Volume path already in use`,
			"the path is published by another class, and refused to this one", "let one class publish it"),
		r(`error creating PV .* already exists`,
			"a volume of the same name is another's: the node was made again with a new UID",
			"have the node's provisioner pod start again, and delete the old volume once its data is not needed"),
		r(`is misconfigured, missing HostDir or MountDir`,
			"a class lacks hostDir or mountDir", "complete the class in the provisioner's ConfigMap"),
		r(`Invalid empty block cleaner command`,
			"a Block class has no blockCleanerCommand", "give the class one"),
		r(`Error cleaning PV|failed to get volume mode of path|Unknown storage class name|Unexpected error pv`,
			"a released volume cannot be cleaned", "see whether its disk is still there under the same path"),
		r(`is forbidden`,
			"its service account lacks rights in Kubernetes", "deploy the chart's RBAC objects again"),
	}
})

// logTelling are the lines that are no errors, and tell of what errors are about.
var logTelling = regexp.MustCompile(`Created PV "[^"]+" for volume at `)

// LogTells tells a line of the provisioner's log that a diagnosis reads beside warnings and errors.
func LogTells(line string) bool {
	return cleanerSays.MatchString(line) || cleanerDone.MatchString(line) || logTelling.MatchString(line)
}

// Errors of one look at a directory are one line (pkg/discovery/discovery.go, discoverVolumesAtPath), in
// brackets, each with one of these beginnings.
var (
	discoverErrors = regexp.MustCompile(`\d+ error\(s\) while discovering volumes: \[(.*)$`)
	discoverBegins = regexp.MustCompile(`(?:^| )([Pp]ath "|incorrect Volume Mode: |Skipping file "|Directory check for "|Block device check for "|error creating PV |failed to get mount options )`)
)

// complaint is one error of the provisioner's log.
type complaint struct {
	// text is the error, line the whole line that has it.
	text, line string
	// path is the one on the node that it names, class the class; empty if it names none.
	path, class string
	// volume is the one that it names.
	volume string
	// at is the place of the line in the log, look tells one of a whole look at a directory.
	at   int
	look bool
}

// complaints are the errors of the node's log.
func (s *Subject) complaints(lines []string) []complaint {
	var all []complaint
	for i, line := range lines {
		if strings.HasPrefix(line, "I") && LogTells(line) {
			continue
		}
		texts, look := []string{line}, false
		if m := discoverErrors.FindStringSubmatch(line); m != nil {
			texts, look = errorsIn(m[1]), true
		}
		for _, text := range texts {
			c := complaint{text: text, line: line, at: i, look: look}
			s.locate(&c)
			all = append(all, c)
		}
	}
	return all
}

// errorsIn takes the errors of a look apart.
func errorsIn(list string) []string {
	starts := discoverBegins.FindAllStringIndex(list, -1)
	if len(starts) == 0 || starts[0][0] != 0 {
		return []string{list}
	}
	texts := make([]string, 0, len(starts))
	for i, start := range starts {
		end := len(list)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		texts = append(texts, strings.TrimSpace(list[start[0]:end]))
	}
	return texts
}

// inQuotes is a path as the provisioner's log has it, namesVolume a volume.
var (
	inQuotes    = regexp.MustCompile(`"(/[^"]*)"`)
	namesVolume = regexp.MustCompile(`(?:PV|pv) "?([a-z0-9][a-z0-9.-]*[a-z0-9])"?`)
)

// locate finds the path, the class and the volume that an error names. The log has paths of the
// container, and some of the node.
func (s *Subject) locate(c *complaint) {
	if m := namesVolume.FindStringSubmatch(c.text); m != nil {
		c.volume = m[1]
		if v := s.index.volumes[c.volume]; v != nil && v.Node == s.NodeName {
			c.path, c.class = clean(v.Path), v.Class
		}
	}
	if m := ofStorageClass.FindStringSubmatch(c.text); m != nil {
		c.class = m[1]
	}
	for _, m := range inQuotes.FindAllStringSubmatch(c.text, -1) {
		for _, class := range s.Snapshot.Install.Classes {
			if p := clean(m[1]); path.Dir(p) == clean(class.MountDir) || path.Dir(p) == clean(class.HostDir) {
				c.path = class.VolumePath(path.Base(p))
				if c.class == "" {
					c.class = class.Name
				}
				return
			}
		}
	}
}

// over tells an error that newer lines show to be over: its path has become a volume, its volume is clean, or
// a newer look at its directory has other errors and not this one. A line that was cut short tells nothing.
func (c complaint) over(lines []string, all []complaint) bool {
	for _, line := range lines[c.at+1:] {
		if c.path != "" && logTelling.MatchString(line) && strings.HasSuffix(line, fmt.Sprintf("for volume at %q", c.path)) {
			return true
		}
		if c.volume != "" && names(cleanerDone, line, c.volume) {
			return true
		}
	}
	if !c.look || c.path == "" {
		return false
	}
	newer := -1
	for _, other := range all {
		if other.at <= c.at || !other.look || other.class != c.class || snapshot.Shortened(other.line) {
			continue
		}
		if other.path == c.path {
			return false
		}
		newer = other.at
	}
	return newer >= 0
}

// tellsOfEntry tells an error about an entry that is not there any more, or whose own check
// tells what is wrong with it: the log goes back further than the last look.
func (s *Subject) tellsOfEntry(text string) bool {
	for _, m := range inQuotes.FindAllStringSubmatch(text, -1) {
		for _, c := range s.Snapshot.Install.Classes {
			dir, seen := value(s.Node.View).Dirs[c.Name]
			if !seen || path.Dir(m[1]) != clean(c.MountDir) {
				continue
			}
			e, there := dir.Entry(path.Base(m[1]))
			return !there || e.Dangling() || e.Kind == provisioner.File || e.Kind == provisioner.Other ||
				e.Kind == provisioner.Directory && c.Mode == provisioner.Block
		}
	}
	return false
}

// ofStorageClass is how the provisioner names a StorageClass that it cannot use.
var ofStorageClass = regexp.MustCompile(`ReclaimPolicy.* from storage class "([^"]+)"`)

// tellsOfFixed tells a line about a StorageClass that is there by now, and of use.
func (s *Subject) tellsOfFixed(line string) bool {
	m := ofStorageClass.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	policy := s.Snapshot.StorageClasses[m[1]].ReclaimPolicy
	return policy == string(corev1.PersistentVolumeReclaimDelete) || policy == string(corev1.PersistentVolumeReclaimRetain)
}

// tellsOfTwoClasses tells a path that two classes of the provisioner publish, which has a check.
func (s *Subject) tellsOfTwoClasses(c complaint) bool {
	if c.path == "" || !strings.Contains(c.text, "Volume path already in use") {
		return false
	}
	publish := 0
	for _, class := range s.Snapshot.Install.Classes {
		if class.HostDir == path.Dir(c.path) && class.Publishes(path.Base(c.path)) {
			publish++
		}
	}
	return publish > 1
}

// tellsOfCleaner tells the end of a cleaner, where a released volume has a check that takes it in.
func (s *Subject) tellsOfCleaner(c complaint) bool {
	return strings.Contains(c.text, "deleter.go") && slices.ContainsFunc(s.index.byNode[s.NodeName], func(v *snapshot.Volume) bool {
		return released(v) && v.ReclaimPolicy == string(corev1.PersistentVolumeReclaimDelete)
	}) && cleanerEnds.MatchString(c.text)
}

// logErrors explains the lines that package observe kept: one finding for each meaning and path.
func logErrors(s *Subject) Verdict {
	state := s.Snapshot.Provisioner.Value
	lines, node := state.Log[s.Node.Name], s.Node.Name
	if _, read := state.Log[node]; !read {
		if why := state.LogProblem[node]; !why.IsZero() {
			return unknown("%s", why)
		}
		if s.Node.Pod.Value == nil {
			return fine() // There is no log; another check says why no pod runs.
		}
		return unknown("%s", cmp.Or(state.PodsProblem, problem.Text("the log of its provisioner pod was not read")))
	}
	const other = "something that is not known here"
	type about struct{ meaning, path, class string }
	rules, complaints := logRules(), s.complaints(lines)
	evidence, fixes := make(map[about][]string), make(map[string]string)
	var order []about
	for _, c := range complaints {
		if s.tellsOfEntry(c.text) || s.tellsOfFixed(c.text) || s.tellsOfTwoClasses(c) || s.tellsOfCleaner(c) || c.over(lines, complaints) {
			continue
		}
		what := about{other, c.path, c.class}
		if i := slices.IndexFunc(rules, func(r logRule) bool { return r.like.MatchString(c.text) }); i >= 0 {
			what.meaning, fixes[rules[i].meaning] = rules[i].meaning, rules[i].fix
		}
		if evidence[what] == nil {
			order = append(order, what)
		}
		if text := oneLine(c.line); !slices.Contains(evidence[what], text) {
			evidence[what] = append(evidence[what], text)
		}
	}
	slices.SortStableFunc(order, func(a, b about) int {
		return cmp.Or(cmp.Compare(a.meaning, b.meaning), cmp.Compare(a.path, b.path), cmp.Compare(a.class, b.class))
	})
	i, of := s.Snapshot.Install, "daemonset/"+s.Snapshot.Install.Name
	if s.Node.Pod.Value != nil {
		of = s.Node.Pod.Value.Name
	}
	all := make([]Finding, 0, len(order))
	for _, what := range order {
		f := Finding{
			Summary: "the provisioner on " + allNodes + " logs errors: " + what.meaning,
			Because: "as long as it lasts, what it is about is not published or not cleaned",
			Fix: []Step{{
				Text:    fixes[what.meaning],
				Command: shell.Command("kubectl", "-n", i.Namespace, "logs", of, "-c", i.Container, "--tail=50"),
			}},
			Path: what.path, class: what.class, narrow: true,
		}
		for _, text := range evidence[what] {
			f.Evidence = append(f.Evidence, s.Node.Name+": "+text)
		}
		if what.meaning == other {
			f.Because = ""
		}
		all = append(all, f)
	}
	return found(all...)
}
