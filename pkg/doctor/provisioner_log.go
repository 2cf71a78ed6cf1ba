// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
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
			"a class has no StorageClass, or one whose reclaim policy it does not know", "make the StorageClass, with reclaimPolicy Delete or Retain"),
		r(`error reading directory: open`,
			"the directory of a class is not there in its container", "see that the DaemonSet mounts the class's hostDir at its mountDir"),
		r(`is not a valid mount point`,
			"a directory in a Filesystem class is no mount point in its container", "mount the disk there on the node; if it is mounted, mount hostDir into the pod with HostToContainer"),
		r(`of filesystem mode cannot be used to create block volume|requires block mode but path .* was in fs mode`,
			"a directory lies in the directory of a Block class", "take the directory away, or make the class Filesystem"),
		r(`not a directory nor block device`,
			"a file that is neither a directory nor a block device lies in the directory of a class", "take it away; if it is a link, see that /dev is mounted into the pod"),
		r(`(Directory|Block device) check for .* failed|block stats error`,
			"an entry of a class leads nowhere", "kubectl talosdisk disks shows where links lead"),
		r(`Volume path already in use`,
			"two classes, or two installations, publish the same path", "let one of them publish it"),
		r(`error creating PV .* already exists`,
			"a volume of the same name is another's: the node was made again with a new UID", "delete the old volume once its data is not needed"),
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

// inQuotes is a path as the provisioner's log has it.
var inQuotes = regexp.MustCompile(`"(/[^"]*)"`)

// tellsOfEntry tells a line about an entry that is not there any more, or whose own check
// tells what is wrong with it: the log goes back further than the last look.
func (s *Subject) tellsOfEntry(line string) bool {
	for _, m := range inQuotes.FindAllStringSubmatch(line, -1) {
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

// tellsOfMended tells a line about a StorageClass that is there by now, and of use.
func (s *Subject) tellsOfMended(line string) bool {
	m := ofStorageClass.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	policy := s.Snapshot.StorageClasses[m[1]].ReclaimPolicy
	return policy == string(corev1.PersistentVolumeReclaimDelete) || policy == string(corev1.PersistentVolumeReclaimRetain)
}

// logErrors explains the lines that package collect kept: one finding for each meaning.
func logErrors(s *Subject) Verdict {
	state := s.Snapshot.Provisioner.Value
	lines, node := state.Log[s.Node.Name], s.Node.Name
	if _, read := state.Log[node]; !read {
		if why := state.LogProblem[node]; why != "" {
			return unknown("%s", why)
		}
		if s.Node.Pod.Value == nil {
			return fine() // There is no log; another check says why no pod runs.
		}
		return unknown("%s", orElse(state.PodsProblem, "the log of its provisioner pod was not read"))
	}
	const other = "something that is not known here"
	rules := logRules()
	evidence, fixes := make(map[string][]string), make(map[string]string)
	for _, line := range lines {
		if s.tellsOfEntry(line) || s.tellsOfMended(line) {
			continue
		}
		meaning := other
		if i := slices.IndexFunc(rules, func(r logRule) bool { return r.like.MatchString(line) }); i >= 0 {
			meaning, fixes[rules[i].meaning] = rules[i].meaning, rules[i].fix
		}
		if text := oneLine(line); !slices.Contains(evidence[meaning], text) {
			evidence[meaning] = append(evidence[meaning], text)
		}
	}
	var all []Finding
	for _, meaning := range slices.Sorted(maps.Keys(evidence)) {
		f := Finding{
			Summary: "the provisioner on " + allNodes + " logs errors: " + meaning,
			Because: "as long as it lasts, what it is about is not published or not cleaned",
			Fix: []Step{{Text: fixes[meaning], Command: fmt.Sprintf("kubectl -n %s logs daemonset/%s -c %s --tail=50",
				s.Snapshot.Install.Namespace, s.Snapshot.Install.Name, s.Snapshot.Install.Container)}},
		}
		if s.Node.Pod.Value != nil {
			f.Fix[0].Command = fmt.Sprintf("kubectl -n %s logs %s -c %s --tail=50", s.Snapshot.Install.Namespace, s.Node.Pod.Value.Name, s.Snapshot.Install.Container)
		}
		for _, text := range evidence[meaning] {
			f.Evidence = append(f.Evidence, s.Node.Name+": "+text)
		}
		if meaning == other {
			f.Because = ""
		}
		all = append(all, f)
	}
	return found(all...)
}
