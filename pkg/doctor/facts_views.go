// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// PathVerdict is what follows of the three views of a path.
type PathVerdict string

// The verdicts.
const (
	PathUnknown PathVerdict = "unknown"
	// PathSeen: node, provisioner and kubelet see the same.
	PathSeen PathVerdict = "seen"
	// PathMissing: it is not on the node.
	PathMissing PathVerdict = "missing"
	// PathDangling: it is a link that leads nowhere.
	PathDangling PathVerdict = "dangling"
	// PathNotInProvisioner: the provisioner's pod does not see what the node has.
	PathNotInProvisioner PathVerdict = "not-in-provisioner"
	// PathNotInKubelet: the kubelet does not see what the node has.
	PathNotInKubelet PathVerdict = "not-in-kubelet"
	// PathOtherDisk: the kubelet sees the directory and not the disk that is mounted
	// there: pods would write to the disk beneath.
	PathOtherDisk PathVerdict = "other-disk"
)

// Seen is whether somebody sees a path, and how that is known.
type Seen struct {
	Answer disk.Answer
	Why    string
	// Proof: it was looked at. Otherwise it follows from an event, or from a pod that runs.
	Proof bool
	// Missing is what is not there, if the answer is No and somebody listed it.
	Missing Missing
	// problem is why the answer is not known.
	problem problem.Problem
}

// Missing is what somebody looked for in vain.
type Missing string

// What can be missing.
const (
	// MissingEntry: the directory is there, and does not have it.
	MissingEntry Missing = "entry"
	// MissingDirectory: the directory is not there.
	MissingDirectory Missing = "directory"
)

// unseen is an answer that is not known.
func unseen(why problem.Problem) Seen {
	return Seen{Answer: disk.Unknown, Why: why.Message, problem: why}
}

// reason is Why, with the kind of the problem if there was one.
func (s Seen) reason() problem.Problem { return cmp.Or(s.problem, problem.Text(s.Why)) }

// ThreeWay is one volume's path as the node, the provisioner's pod and the kubelet see it.
type ThreeWay struct {
	Path string
	// Dir is the directory that one mount into the kubelet would have to bring: the
	// class's hostDir, or the parent of several.
	Dir                        string
	Host, Provisioner, Kubelet Seen
	// Mounted reports whether something is mounted at Path on the node, Source what:
	// "/dev/vde1 (xfs)".
	Mounted disk.Answer
	Source  string
	// device is that source alone.
	device string
	// Hidden is what the kubelet does not see at Path, where it sees the directory beneath.
	Hidden *mounts.Mount
	// InKubelet and OnHost are how often Path, or Dir, is mounted one upon the other.
	InKubelet, OnHost int
	Verdict           PathVerdict
	// mountsOf are whose mounts tell of Mounted: "the node's mounts".
	mountsOf string
}

// CompareViews puts together what is known of a volume's path without its pods: install
// says where the provisioner's pod has it. node may be nil.
func CompareViews(node *snapshot.Node, install provisioner.Install, v snapshot.Volume) ThreeWay {
	t := ThreeWay{Path: clean(v.Path), Mounted: disk.Unknown}
	class, inClass := install.ClassOf(v.Class)
	inClass = inClass && path.Dir(t.Path) == class.HostDir
	t.Dir = path.Dir(t.Path)
	if node == nil {
		why := unseen(problem.Text("the node was not looked at"))
		t.Host, t.Provisioner, t.Kubelet = why, why, why
		t.settle()
		return t
	}
	state := value(node.Kubelet)
	if required, err := mounts.Require(state.Release, install.HostDirs()); err == nil {
		for _, dir := range required {
			if within(t.Path, dir) && dir != t.Path {
				t.Dir = dir
			}
		}
	}
	t.byPod(node, class, inClass)
	t.byMounts(node, install, class, inClass)
	t.byNode(node, state.View)
	t.byKubelet(node, state)
	t.settle()
	if e, ok := entryOf(node, class, inClass, t.Path); ok && e.Dangling() {
		t.Verdict = PathDangling
	}
	return t
}

func entryOf(node *snapshot.Node, class provisioner.Class, inClass bool, p string) (provisioner.Entry, bool) {
	if !inClass {
		return provisioner.Entry{}, false
	}
	return value(node.View).Dirs[class.Name].Entry(path.Base(p))
}

// byPod is what the provisioner's pod sees.
func (t *ThreeWay) byPod(node *snapshot.Node, class provisioner.Class, inClass bool) {
	t.Provisioner = Seen{Answer: disk.Unknown}
	if !inClass {
		t.Provisioner.Why = fmt.Sprintf("no class of the provisioner has the directory %s", path.Dir(t.Path))
		return
	}
	if node.View.Value == nil {
		t.Provisioner = unseen(node.View.Why())
		return
	}
	dir, looked := node.View.Value.Dirs[class.Name]
	_, listed := dir.Entry(path.Base(t.Path))
	no := func(format string, args ...any) {
		t.Provisioner = Seen{Answer: disk.No, Why: fmt.Sprintf(format, args...), Proof: true}
	}
	switch {
	case !looked:
		t.Provisioner.Why = fmt.Sprintf("the directory of class %q was not looked at", class.Name)
	case !dir.Exists:
		no("%s does not exist in the provisioner's pod", class.MountDir)
	case !dir.MountPoint:
		no("%s in the provisioner's pod is not the node's directory", class.MountDir)
	case listed:
		t.Provisioner = Seen{Answer: disk.Yes, Why: "the provisioner's pod lists it", Proof: true}
	case dir.Problem != "":
		t.Provisioner.Why = dir.Problem
	default:
		no("the provisioner's pod does not list it in %s", class.MountDir)
		t.Provisioner.Missing = MissingEntry
	}
}

// byMounts is what is mounted at the path on the node: as Talos or a Job tells; without either, in the
// provisioner's pod, where the node's mounts come to it.
func (t *ThreeWay) byMounts(node *snapshot.Node, install provisioner.Install, class provisioner.Class, inClass bool) {
	t.mountsOf = "the node's mounts"
	if view := value(node.Kubelet).View; view != nil && view.HasMounts() {
		t.Mounted = disk.No
		for _, m := range view.Host {
			if m.Point == t.Path {
				t.Mounted, t.Source, t.device = disk.Yes, fmt.Sprintf("%s (%s)", m, m.Type), m.Source
				t.OnHost++
			}
		}
		return
	}
	if reported := value(node.Talos); reported.Mounts.Value != nil {
		t.Mounted = disk.No
		for _, m := range *reported.Mounts.Value {
			if clean(m.Target) == t.Path {
				t.Mounted, t.Source, t.device = disk.Yes, m.Source, m.Source
			}
		}
		return
	}
	e, ok := entryOf(node, class, inClass, t.Path)
	host, m, mounted := hostOf(install, class.MountDir)
	switch {
	case !ok || e.Mounted == "" || !mounted || host != class.HostDir:
	case e.Mounted == disk.Yes, propagates(m):
		t.device, _, _ = strings.Cut(e.Mount, " ")
		t.Mounted, t.Source, t.mountsOf = e.Mounted, e.Mount, "the mounts of the provisioner's pod, to which those of the node come"
	}
}

// byNode is what the node has, as Talos or a Job tells; without either, what the
// provisioner's pod has in the directory that it shares with the node.
func (t *ThreeWay) byNode(node *snapshot.Node, view *mounts.KubeletView) {
	t.Host = Seen{Answer: disk.Unknown}
	if t.Mounted == disk.Yes {
		t.Host = Seen{Answer: disk.Yes, Why: "it is mounted on the node from " + t.Source, Proof: true}
		return
	}
	var listing mounts.DirectoryListing
	if view != nil {
		listing = sight(*view, path.Dir(t.Path)).Host
	}
	listed := slices.Contains(listing.Entries, path.Base(t.Path))
	switch {
	case listing.Exists == disk.Yes && listed:
		t.Host = Seen{Answer: disk.Yes, Why: "the node lists it", Proof: true}
	case listing.Exists == disk.Yes:
		t.Host = Seen{Answer: disk.No, Why: "the node does not list it in " + path.Dir(t.Path), Proof: true, Missing: MissingEntry}
	case listing.Exists == disk.No:
		t.Host = Seen{Answer: disk.No, Why: path.Dir(t.Path) + " does not exist on the node", Proof: true, Missing: MissingDirectory}
	case t.Provisioner.Answer == disk.Yes:
		t.Host = Seen{Answer: disk.Yes, Why: "the provisioner's pod, which has the node's directory, lists it", Proof: true}
	case t.Provisioner.Missing == MissingEntry:
		t.Host = Seen{
			Answer:  disk.No,
			Why:     "the provisioner's pod, which has the node's directory, does not list it",
			Proof:   true,
			Missing: MissingEntry,
		}
	default:
		t.Host = unseen(cmp.Or(problem.Text(listing.Problem), cmp.Or(value(node.Kubelet).ViewProblem, problem.Text("the node was not checked"))))
	}
}

// byKubelet is what the kubelet sees, by its mounts or by what can be listed through its eyes.
func (t *ThreeWay) byKubelet(node *snapshot.Node, state mounts.NodeState) {
	t.Kubelet = Seen{Answer: disk.Unknown}
	view := state.View
	if view == nil {
		t.Kubelet = unseen(andProbe(node, cmp.Or(node.Kubelet.Why(), cmp.Or(state.ViewProblem, problem.Text("not checked")))))
		return
	}
	no := func(why string) { t.Kubelet = Seen{Answer: disk.No, Why: why, Proof: true} }
	listing := sight(*view, path.Dir(t.Path)).Kubelet
	if view.HasMounts() {
		s := view.Visibility(t.Path)
		t.InKubelet, t.OnHost = s.InKubelet, s.OnHost
		switch {
		case s.Visible == disk.No && len(s.Hidden) > 0 && s.Hidden[0].Point == t.Path && (s.Mount == nil || s.Mount.Point != "/"):
			t.Hidden = &s.Hidden[0]
			no(s.Why)
		case s.Visible == disk.Unknown:
			t.Kubelet.Why = s.Why
		case s.Visible == disk.No:
			no(s.Why)
		case listing.Exists == disk.Yes && !slices.Contains(listing.Entries, path.Base(t.Path)):
			no("the kubelet does not list it in " + path.Dir(t.Path))
		default:
			t.Kubelet = Seen{Answer: disk.Yes, Why: s.Why, Proof: true}
		}
		return
	}
	switch {
	case listing.Exists == disk.No:
		no(path.Dir(t.Path) + " does not exist in the kubelet")
	case listing.Exists != disk.Yes:
		t.Kubelet.Why = cmp.Or(listing.Problem, "not checked: "+path.Dir(t.Path)+" through the kubelet's eyes")
	case !slices.Contains(listing.Entries, path.Base(t.Path)):
		no("the kubelet does not list it in " + path.Dir(t.Path))
	default:
		t.Kubelet = Seen{
			Answer: disk.Yes,
			Why:    "the kubelet lists it; its mounts were not compared: " + cmp.Or(view.MountsProblem.Message, "they were not asked for"),
			Proof:  true,
		}
	}
}

// sight is what was listed of a directory, or nothing.
func sight(view mounts.KubeletView, dir string) mounts.BothSides {
	if s, ok := view.Dirs[dir]; ok {
		return s
	}
	for asked, s := range view.Dirs {
		if clean(asked) == dir {
			return s
		}
	}
	return mounts.BothSides{}
}

func (t *ThreeWay) settle() {
	switch {
	case t.Host.Answer == disk.No:
		t.Verdict = PathMissing
	case t.Host.Answer == disk.Yes && t.Kubelet.Answer == disk.No && t.Hidden != nil:
		t.Verdict = PathOtherDisk
	case t.Host.Answer == disk.Yes && t.Kubelet.Answer == disk.No:
		t.Verdict = PathNotInKubelet
	case t.Host.Answer == disk.Yes && t.Provisioner.Answer == disk.No:
		t.Verdict = PathNotInProvisioner
	case t.Host.Answer == disk.Yes && t.Kubelet.Answer == disk.Yes:
		t.Verdict = PathSeen
	default:
		t.Verdict = PathUnknown
	}
}

// compare is CompareViews for a chain: where nobody looked through the kubelet's eyes,
// what it says of the pod counts. A complaint is as good as a look; that a pod runs
// tells that the path was there when the pod started, not what is mounted there.
func compare(s *Subject) ThreeWay {
	t := CompareViews(s.Node, s.Snapshot.Install, *s.Volume)
	if t.Kubelet.Proof || t.Verdict == PathDangling {
		return t // What a link leads to, the kubelet misses as everybody does.
	}
	for _, trouble := range s.mountTroubles() {
		if missing := trouble.Cause.misses(); missing != "" && within(t.Path, missing) {
			t.Kubelet = Seen{Answer: disk.No, Why: trouble.String()}
		}
	}
	if t.Kubelet.Answer != disk.No && s.Pod != nil && hasVolumes(*s.Pod) {
		t.Kubelet = Seen{Answer: disk.Yes, Why: fmt.Sprintf("pod %q runs with it", s.Pod.Name)}
	}
	t.settle()
	return t
}

func clean(p string) string { return path.Clean(p) }

// hostOf is the directory of the node that the container has at a path.
func hostOf(i provisioner.Install, containerPath string) (string, provisioner.Mount, bool) {
	m, ok := i.MountOf(containerPath)
	if !ok {
		return "", m, false
	}
	rest := strings.TrimPrefix(clean(containerPath), clean(m.MountPath))
	return path.Join(m.HostPath, rest), m, true
}

// propagates tells a mount to which what is mounted on the node later comes.
func propagates(m provisioner.Mount) bool {
	return m.Propagation == corev1.MountPropagationHostToContainer || m.Propagation == corev1.MountPropagationBidirectional
}
