// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"path"
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// fault is why Talos starts no kubelet with an entry, as in "has no destination"; empty if it
// does. Talos v1.6 to v1.14 checks nothing: the container runtime fails, and the
// service waits or fails (talos#4143; seen on v1.14.0-rc.1).
func (m ExtraMount) fault() string {
	switch {
	case m.Destination == "":
		return "has no destination"
	case !path.IsAbs(m.Destination):
		return fmt.Sprintf("has destination %q, which is not absolute", m.Destination)
	case m.Source == "":
		return fmt.Sprintf("for %q has no source", m.Destination)
	case !path.IsAbs(m.Source):
		return fmt.Sprintf("for %q has source %q, which is not absolute", m.Destination, m.Source)
	case m.Type == "bind" && !m.binds():
		return fmt.Sprintf("for %q has type bind, and neither bind nor rbind among its options", m.Destination)
	}
	return ""
}

// destination and source are the paths as the container runtime takes them: a
// slash at the end makes no difference.
func (m ExtraMount) destination() string { return path.Clean(m.Destination) }
func (m ExtraMount) source() string      { return path.Clean(m.Source) }

// leads is the directory of the node that dir, at or below the entry, is in the kubelet.
func (m ExtraMount) leads(dir string) string {
	return path.Join(m.source(), dir[len(m.destination()):])
}

func (m ExtraMount) binds() bool { return has(m.Options, "bind", "rbind") }

// recursive reports whether what is mounted below when the kubelet starts comes along
// (measured with runc 1.1.5: bind, whatever its propagation, leaves it behind).
func (m ExtraMount) recursive() bool { return has(m.Options, "rbind") }

// readOnly: of ro and rw the last one counts.
func (m ExtraMount) readOnly() bool {
	for _, option := range slices.Backward(m.Options) {
		switch option {
		case "rw", "rrw":
			return false
		case "ro", "rro":
			return true
		}
	}
	return false
}

func (m ExtraMount) propagation() string { return propagation(m.Options) }

// propagation is what a mount with these options has in Talos's kubelet: without one
// it takes after its source, and Talos's are shared (measured with runc 1.1.5).
func propagation(options []string) string {
	for _, option := range slices.Backward(options) {
		switch option {
		case "shared", "rshared":
			return "shared"
		case "slave", "rslave":
			return "slave"
		case "private", "rprivate", "unbindable", "runbindable":
			return "private"
		}
	}
	return "shared"
}

func has(options []string, any ...string) bool {
	return slices.ContainsFunc(options, func(o string) bool { return slices.Contains(any, o) })
}

// entry names an entry for a person, by its position.
func entry(i int) string { return fmt.Sprintf("machine.kubelet.extraMounts[%d]", i) }

// conflict is two entries of a list, or an entry and a mount of Talos's, that are
// mounted upon each other.
type conflict struct {
	// upper is an entry's position. lower is another's, or -1 for default, which
	// Talos mounts itself.
	upper, lower int
	same         bool
	byTalos      string
	// leaks: the lower one is shared, so each start of the kubelet doubles the node's own mounts
	// there, until none can be made any more (measured: 1, 3, 7, 15, 31; talos#13053, #14216).
	leaks bool
}

// conflicts finds them. Entries at fault have no place, and are left out.
func conflicts(v talosrelease.Release, entries []ExtraMount) []conflict {
	var found []conflict
	for i, m := range entries {
		if m.fault() != "" {
			continue
		}
		if d, ok := v.DefaultMountAbove(m.destination()); ok {
			found = append(found, conflict{
				upper:   i,
				lower:   -1,
				byTalos: d.Destination,
				same:    d.Destination == m.destination(),
				leaks:   propagation(d.Options) == "shared",
			})
		}
		twice := false
		for j, other := range entries[:i] {
			if other.fault() != "" {
				continue
			}
			a, b := m.destination(), other.destination()
			shared := other.propagation() == "shared"
			switch {
			case a == b && twice: // One that is there three times is twice too many, not three times.
			case a == b:
				twice = true
				found = append(found, conflict{upper: i, lower: j, same: true, leaks: shared})
			case below(a, b):
				found = append(found, conflict{upper: i, lower: j, leaks: shared})
			case below(b, a):
				// The later one hides the earlier, which leaks nothing.
				found = append(found, conflict{upper: j, lower: i})
			}
		}
	}
	return found
}
