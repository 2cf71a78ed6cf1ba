// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"errors"
	"fmt"
	"strings"

	utilversion "k8s.io/apimachinery/pkg/util/version"
)

// The releases that this package knows. Facts about them are from the sources of
// Talos v1.6.0 to v1.14.0-rc.1, and say which file.
const (
	oldestMinor = 6
	newestMinor = 14
)

// Version is a release of Talos. The zero value is one that was not found out.
//
// A pre-release counts as its release wherever a fact depends on the version.
type Version struct{ v *utilversion.Version }

// ParseVersion reads a tag ("v1.14.0-rc.1", "1.13.2") or what Talos reports as a
// node's osImage ("Talos (v1.14.0)").
func ParseVersion(s string) (Version, error) {
	tag := s
	if inner, ok := strings.CutPrefix(tag, "Talos ("); ok {
		tag = strings.TrimSuffix(inner, ")")
	}
	v, err := utilversion.ParseSemantic(tag)
	if err != nil {
		return Version{}, fmt.Errorf("%q is no version of Talos", s)
	}
	return Version{v: v}, nil
}

// Known tells whether there is a version at all.
func (v Version) Known() bool { return v.v != nil }

// String is the tag, "v1.14.0-rc.1"; empty if it is not known.
func (v Version) String() string {
	if v.v == nil {
		return ""
	}
	return "v" + v.v.String()
}

// MarshalText makes the version a string in JSON and YAML.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (v *Version) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*v = Version{}
		return nil
	}
	parsed, err := ParseVersion(string(b))
	if err == nil {
		*v = parsed
	}
	return err
}

// Less tells whether v comes before o, by the rules of semantic versions: a
// pre-release comes before its release. One that is not known comes first.
func (v Version) Less(o Version) bool {
	if v.v == nil || o.v == nil {
		return v.v == nil && o.v != nil
	}
	return v.v.LessThan(o.v)
}

// since tells whether the version is v1.minor.patch or later.
func (v Version) since(minor, patch uint) bool {
	if v.v == nil {
		return false
	}
	core := [3]uint{v.v.Major(), v.v.Minor(), v.v.Patch()}
	from := [3]uint{1, minor, patch}
	for i := range core {
		if core[i] != from[i] {
			return core[i] > from[i]
		}
	}
	return true
}

// within tells whether the version is one of v1.minor.0 to v1.minor.last.
func (v Version) within(minor, last uint) bool { return v.since(minor, 0) && !v.since(minor, last+1) }

// Supported is an error for a version that is not known or older than v1.6.
func (v Version) Supported() error {
	switch {
	case v.v == nil:
		return errors.New("its version of Talos is not known")
	case !v.since(oldestMinor, 0):
		return fmt.Errorf("it runs Talos %s, and v1.%d is the oldest release whose mounts are known", v, oldestMinor)
	}
	return nil
}

// Newer is a warning if the version is newer than what this package knows; it is
// then taken to behave like the newest one known. Empty if it is not.
func (v Version) Newer() string {
	if !v.since(newestMinor+1, 0) {
		return ""
	}
	return fmt.Sprintf("Talos %s is newer than v1.%d, the newest release that this program knows: it is taken to behave like that one", v, newestMinor)
}

// SeesVarMnt tells whether the kubelet sees /var/mnt, where user volumes are
// mounted, without an extraMount: since Talos v1.10
// (internal/app/machined/pkg/system/services/kubelet.go).
func (v Version) SeesVarMnt() bool { return v.since(10, 0) }

// ShowsPersistent tells whether the configuration on a node's disk can be read beside
// the one in force: since Talos v1.10 (the MachineConfig resource "persistent").
// Before, a staged configuration cannot be seen.
func (v Version) ShowsPersistent() bool { return v.since(10, 0) }

// RestartHazard is why a kubelet must not just be restarted on this version:
// Talos v1.10.0 to v1.10.4 (siderolabs/talos#11253) and v1.12.0 to v1.12.4 (#12797)
// unmount the node's user volumes. Empty if nothing is known.
func (v Version) RestartHazard() string {
	for _, bug := range []struct {
		minor, last uint
		issue       int
	}{{10, 4, 11253}, {12, 4, 12797}} {
		if v.within(bug.minor, bug.last) {
			return fmt.Sprintf("on Talos v1.%d.0 to v1.%d.%d a kubelet restart unmounts all user volumes of the node (siderolabs/talos#%d, mended in v1.%d.%d)",
				bug.minor, bug.minor, bug.last, bug.issue, bug.minor, bug.last+1)
		}
	}
	return ""
}

// restartCautions are what else is known of a kubelet restart on this version.
// None of it loses data, or comes with a single restart for sure.
func (v Version) restartCautions() []string {
	var cautions []string
	if v.within(13, 2) {
		// siderolabs/talos#13352, mended by commit 0edabd29c in v1.13.3.
		cautions = append(cautions, "on Talos v1.13.0 to v1.13.2 projected volumes (service account tokens) of running pods are no longer renewed after a kubelet restart (siderolabs/talos#13352, mended in v1.13.3)")
	}
	if v.within(12, 10) || v.within(13, 7) {
		// Release notes of v1.12.10, v1.12.11, v1.13.6 and v1.13.8.
		cautions = append(cautions, "before Talos v1.12.11 and v1.13.8 the kubelet may stay down after restarts in quick succession: let it become healthy before the next one")
	}
	return cautions
}

// DefaultMount is a mount that Talos itself puts into the kubelet's container.
type DefaultMount struct {
	// Destination is the path in the container. On the node it is the same path, but
	// for /var/run, which is /run there.
	Destination string `json:"destination"`
	// Options are the container runtime's, as in an ExtraMount.
	Options []string `json:"options"`
}

// DefaultMounts are what Talos mounts into the kubelet on this version, from
// internal/app/machined/pkg/system/services/kubelet.go at v1.6.0 to v1.14.0-rc.1.
// The order is that of the mounts.
//
// What changed: v1.10.0 brought /var/mnt (commit 664fa3697); v1.13.0 dropped most
// options (04e3e87ad); v1.13.3 and v1.14 gave them back as slaves (0edabd29c); v1.14 dropped
// the directory of FlexVolume (6d65e223b).
func (v Version) DefaultMounts() []DefaultMount {
	mount := func(destination string, options ...string) DefaultMount {
		return DefaultMount{Destination: destination, Options: options}
	}
	shared := func(destination string) DefaultMount { return mount(destination, "rbind", "rshared", "rw") }
	plain := func(destination string) DefaultMount { return mount(destination, "bind", "rw") }
	readOnly := func(destination string) DefaultMount { return mount(destination, "bind", "ro") }

	// Options of a group of mounts that changed together, in v1.13.0.
	rooted := shared
	if v.since(13, 0) {
		rooted = plain
	}
	mounts := []DefaultMount{rooted("/dev"), readOnly("/sys"), rooted("/sys/fs/cgroup")}
	if v.since(8, 0) {
		mounts = append(mounts, readOnly("/sys/kernel/security")) // Since v1.9 only where the node has it.
	}
	if v.since(10, 0) {
		mounts = append(mounts, readOnly("/usr/lib/modules"))
	} else {
		mounts = append(mounts, readOnly("/lib/modules"))
	}
	if v.since(13, 0) {
		mounts = append(mounts, plain("/etc/kubernetes"))
	} else {
		mounts = append(mounts, mount("/etc/kubernetes", "bind", "rshared", "rw"))
	}
	for _, destination := range []string{"/usr/local/lib/kubelet/credentialproviders", "/etc/nfsmount.conf", "/etc/machine-id", "/etc/os-release"} {
		mounts = append(mounts, readOnly(destination))
	}
	if v.since(7, 0) {
		mounts = append(mounts, readOnly("/system/resolved/resolv.conf"))
	}
	if v.since(13, 0) {
		mounts = append(mounts, readOnly("/etc/cni"))
	} else {
		mounts = append(mounts, shared("/etc/cni"))
	}
	if !v.since(14, 0) {
		mounts = append(mounts, rooted("/usr/libexec/kubernetes"))
	}
	switch {
	case v.since(13, 3):
		mounts = append(mounts, mount("/var/run", "rbind", "rslave", "rw"), mount("/var/lib/containerd", "rbind", "rslave", "rw"), shared("/var/lib/kubelet"))
	case v.since(13, 0):
		mounts = append(mounts, plain("/var/run"), mount("/var/lib/containerd", "rbind", "rw"), plain("/var/lib/kubelet"))
	default:
		mounts = append(mounts, shared("/var/run"), shared("/var/lib/containerd"), shared("/var/lib/kubelet"))
	}
	mounts = append(mounts, rooted("/var/log/containers"), rooted("/var/log/pods"))
	switch {
	case v.since(13, 3):
		mounts = append(mounts, mount("/var/mnt", "rbind", "rslave", "ro"))
	case v.since(13, 0):
		mounts = append(mounts, mount("/var/mnt", "rbind", "ro"))
	case v.since(10, 0):
		mounts = append(mounts, mount("/var/mnt", "rbind", "rshared", "ro"))
	}
	return mounts
}

// covering is the default mount that dir lies in or is.
func (v Version) covering(dir string) (DefaultMount, bool) {
	var found DefaultMount
	ok := false
	for _, m := range v.DefaultMounts() {
		if below(dir, m.Destination) && len(m.Destination) > len(found.Destination) {
			found, ok = m, true
		}
	}
	return found, ok
}

// inside is a default mount that lies strictly below dir, in the container.
func (v Version) inside(dir string) (DefaultMount, bool) {
	for _, m := range v.DefaultMounts() {
		if m.Destination != dir && below(m.Destination, dir) {
			return m, true
		}
	}
	return DefaultMount{}, false
}
