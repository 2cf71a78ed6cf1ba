// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
)

// Visibility is what a kubelet sees at one directory.
type Visibility struct {
	Path string `json:"path"`
	// Visible is Yes where the kubelet sees at Path, and below it, what the node has
	// there; Why says how that is known.
	Visible disk.Answer `json:"visible"`
	Why     string      `json:"why"`

	// The rest is known from the mounts only.

	// MountPoint reports whether Path itself is a mount of the kubelet's. Unknown
	// where the mounts could not be read.
	MountPoint disk.Answer `json:"mountPoint"`
	// Mount is what covers Path in the kubelet. Nil: unknown.
	Mount *Mount `json:"mount,omitempty"`
	// Propagation is Mount's: shared, slave or private.
	Propagation string `json:"propagation,omitempty"`
	// InKubelet and OnHost are how often Path is mounted, one upon the other.
	InKubelet int `json:"inKubelet,omitempty"`
	OnHost    int `json:"onHost,omitempty"`
	// Hidden are the node's mounts at or below Path that the kubelet does not see:
	// what it writes there goes to the disk beneath. Stale are mounts of the
	// kubelet's below Path that the node no longer has.
	Hidden []Mount `json:"hidden,omitempty"`
	Stale  []Mount `json:"stale,omitempty"`
}

// Visible reports whether the kubelet sees at dir what the node has there, and why.
func (v KubeletView) Visible(dir string) (disk.Answer, string) {
	s := v.Visibility(dir)
	return s.Visible, s.Why
}

// HasMounts reports whether both sides' mounts were read.
func (v KubeletView) HasMounts() bool {
	return v.MountsProblem.IsZero() && len(v.Kubelet) > 0 && len(v.Host) > 0
}

// Visibility is what the kubelet sees at dir. The mounts of both sides prove it; where they
// could not be read, the listings speak, and may not be able to tell.
func (v KubeletView) Visibility(dir string) Visibility {
	if !path.IsAbs(dir) {
		return Visibility{Path: dir, Visible: disk.Unknown, Why: "it is not an absolute path", MountPoint: disk.Unknown}
	}
	dir = path.Clean(dir)
	if !v.HasMounts() {
		s := Visibility{Path: dir, MountPoint: disk.Unknown}
		s.Visible, s.Why = v.byListing(dir)
		return s
	}
	return v.byMounts(dir)
}

func (v KubeletView) byMounts(dir string) Visibility {
	s := Visibility{Path: dir, MountPoint: disk.No, InKubelet: stacked(v.Kubelet, dir), OnHost: stacked(v.Host, dir)}
	kubelet, host := newTree(v.Kubelet), newTree(v.Host)
	inKubelet, ok1 := kubelet.at(dir)
	onHost, ok2 := host.at(dir)
	if !ok1 || !ok2 {
		s.Visible, s.Why, s.MountPoint = disk.Unknown, `no mount at "/" in what was read`, disk.Unknown
		return s
	}
	s.Mount, s.Propagation = &inKubelet, inKubelet.Propagation()
	if inKubelet.Point == dir {
		s.MountPoint = disk.Yes
	}
	if !samePlace(inKubelet, onHost, dir) {
		if onHost.Point == dir {
			s.Hidden = []Mount{onHost}
		}
		s.Visible = disk.No
		s.Why = fmt.Sprintf("the kubelet has %s at %s, where the node has %s", inKubelet, inKubelet.Point, onHost)
		if inKubelet.Point == "/" {
			s.Why = "no mount of the kubelet's leads there"
		}
		return s
	}
	if !below(dir, "/dev") { // Below /dev is only what the kernel makes up: devpts, mqueue, shm.
		s.Hidden = host.differs(dir, kubelet)
		s.Stale = kubelet.differs(dir, host)
		s.Stale = slices.DeleteFunc(s.Stale, func(m Mount) bool { // Where both sides differ, it is hidden.
			return slices.ContainsFunc(s.Hidden, func(h Mount) bool { return h.Point == m.Point })
		})
	}
	sight, listed := v.sight(dir)
	switch {
	case len(s.Hidden) > 0:
		s.Visible, s.Why = disk.No, hiddenText(s.Hidden)
	case len(s.Stale) > 0:
		s.Visible, s.Why = disk.No, fmt.Sprintf("the kubelet still has %s at %s, which the node has not", s.Stale[0], s.Stale[0].Point)
	case listed && sight.Host.Exists == disk.Yes && sight.Kubelet.Exists == disk.No:
		s.Visible, s.Why = disk.No, "it does not exist in the kubelet, although a mount of its parent does"
	case listed && sight.Host.Exists == disk.No:
		s.Visible, s.Why = disk.Yes, seenText(inKubelet, dir)+"; it does not exist on the node"
	default:
		s.Visible, s.Why = disk.Yes, seenText(inKubelet, dir)
	}
	return s
}

func seenText(m Mount, dir string) string {
	if m.Point == dir {
		return "it is mounted into the kubelet"
	}
	return fmt.Sprintf("%s is mounted into the kubelet", m.Point)
}

func hiddenText(hidden []Mount) string {
	text := fmt.Sprintf("the kubelet does not see %s at %s", hidden[0], hidden[0].Point)
	if more := len(hidden) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more mounts", more)
	}
	return text + ", but the directory beneath"
}

// byListing compares what both sides list. Equal lists of names are taken for the
// same directory; that the disks mounted below are the same they cannot prove.
func (v KubeletView) byListing(dir string) (disk.Answer, string) {
	answer, why := v.listed(dir)
	if answer != disk.Yes {
		return answer, why
	}
	for _, asked := range slices.Sorted(maps.Keys(v.Dirs)) {
		other := path.Clean(asked)
		if other == dir || !below(other, dir) {
			continue
		}
		if a, w := v.listed(other); a == disk.No {
			return disk.No, fmt.Sprintf("%s: %s", other, w)
		}
	}
	return disk.Yes, why + "; mounts were not compared: " + cmp.Or(v.MountsProblem.Message, "they were not asked for")
}

// sight is what was listed of a clean path, however it was written when asked for.
func (v KubeletView) sight(dir string) (BothSides, bool) {
	for asked, sight := range v.Dirs {
		if path.Clean(asked) == dir {
			return sight, true
		}
	}
	return BothSides{}, false
}

func (v KubeletView) listed(dir string) (disk.Answer, string) {
	sight, ok := v.sight(dir)
	host, kubelet := sight.Host, sight.Kubelet
	switch {
	case !ok:
		return disk.Unknown, "not checked"
	case kubelet.Exists == disk.No && host.Exists == disk.No:
		return disk.No, "it exists neither in the kubelet nor on the node"
	case kubelet.Exists == disk.No:
		return disk.No, "it does not exist in the kubelet"
	case kubelet.Exists != disk.Yes:
		return disk.Unknown, problemText("the kubelet's view of it was not read", kubelet.Problem)
	case host.Exists == disk.No:
		return disk.No, "it exists in the kubelet's container only, not on the node"
	case host.Exists != disk.Yes:
		return disk.Unknown, problemText("the node's directory was not read", host.Problem)
	}
	missing := without(host.Entries, kubelet.Entries)
	extra := without(kubelet.Entries, host.Entries)
	switch {
	case len(missing) > 0:
		return disk.No, "the kubelet does not list " + some(missing) + ", which the node has there"
	case len(extra) > 0:
		return disk.Unknown, "the kubelet lists " + some(extra) + ", which the node has not"
	case len(host.Entries) == 0:
		return disk.Unknown, "it is empty on the node and in the kubelet: that does not tell whether they are the same"
	}
	return disk.Yes, "the kubelet lists the same entries as the node"
}

func problemText(text, problem string) string {
	if problem == "" {
		return text
	}
	return text + ": " + problem
}

// without are the names of a that b has not, sorted.
func without(a, b []string) []string {
	var left []string
	for _, name := range a {
		if !slices.Contains(b, name) {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	return left
}

// some quotes the first few names.
func some(names []string) string {
	const few = 3
	quoted := make([]string, 0, few)
	for _, name := range names[:min(few, len(names))] {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	text := strings.Join(quoted, ", ")
	if more := len(names) - few; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// stacked counts the mounts at a path.
func stacked(mounts []Mount, point string) int {
	n := 0
	for _, m := range mounts {
		if m.Point == point {
			n++
		}
	}
	return n
}

// samePlace reports whether path lies in the same directory of the same file system
// in two mounts that cover it.
func samePlace(a, b Mount, p string) bool {
	return a.Device == b.Device && a.place(p) == b.place(p)
}

// place is where path lies in the mount's file system.
func (m Mount) place(p string) string {
	if p == m.Point {
		return m.Root
	}
	return path.Join(m.Root, strings.TrimPrefix(p, m.Point))
}

// tree is a mount namespace, in which a path can be walked as the kernel does. A
// mount point alone does not tell: a mount that was made over a parent of it
// later hides it.
type tree struct {
	mounts []Mount
	root   int // Position in mounts, or -1.
	on     map[spot]int
}

// spot is a path in a mount, where another one can be.
type spot struct {
	parent int
	point  string
}

func newTree(mounts []Mount) tree {
	t := tree{mounts: mounts, root: -1, on: make(map[spot]int, len(mounts))}
	ids := make(map[int]bool, len(mounts))
	for _, m := range mounts {
		ids[m.ID] = true
	}
	for i, m := range mounts {
		switch {
		case m.Parent != m.ID && ids[m.Parent]:
			t.on[spot{m.Parent, m.Point}] = i
		case m.Point == "/" && t.root < 0: // The root's parent is out of sight.
			t.root = i
		}
	}
	return t
}

// at is the mount that a walk to a clean, absolute path ends in.
func (t tree) at(p string) (Mount, bool) {
	i := t.position(p)
	if i < 0 {
		return Mount{}, false
	}
	return t.mounts[i], true
}

// position is that mount's in the list, or -1 where there is no root to walk from.
func (t tree) position(p string) int {
	if t.root < 0 {
		return -1
	}
	current, climbed := t.root, 0
	climb := func(point string) {
		for {
			next, ok := t.on[spot{t.mounts[current].ID, point}]
			// More mounts than there are: a file that was made up goes in circles.
			if climbed++; !ok || climbed > len(t.mounts)+len(p)+1 {
				return
			}
			current = next
		}
	}
	climb("/")
	for i := 1; i < len(p); i++ {
		if p[i] == '/' {
			climb(p[:i])
		}
	}
	if p != "/" {
		climb(p)
	}
	return current
}

// below are the mounts strictly below dir that can be reached, the topmost of each
// point only: thousands may lie upon each other.
func (t tree) below(dir string) []Mount {
	var found []Mount
	looked := make(map[string]bool)
	for _, m := range t.mounts {
		if m.Point == dir || !below(m.Point, dir) || looked[m.Point] {
			continue
		}
		looked[m.Point] = true
		if top, ok := t.at(m.Point); ok && top.Point == m.Point {
			found = append(found, top)
		}
	}
	return found
}

// differs are the mounts strictly below dir at whose point the other side has another place.
func (t tree) differs(dir string, other tree) []Mount {
	return slices.DeleteFunc(t.below(dir), func(m Mount) bool {
		there, ok := other.at(m.Point)
		return !ok || samePlace(m, there, m.Point)
	})
}
