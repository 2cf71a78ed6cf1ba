// SPDX-License-Identifier: Apache-2.0

package talostest

import "github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"

// Profile is a Talos release, as its tag: "v1.13.9". Any tag will do; what a node
// of it has and answers follows from the number.
type Profile string

// One release for each way in which nodes differ.
const (
	// V16 has no block resources.
	V16 Profile = "v1.6.7"
	// V19 has disks and volumes, but neither /var/mnt nor the persistent configuration.
	V19 Profile = "v1.9.5"
	// V111 mounts /var/mnt shared into the kubelet, where extraMounts below it leak.
	V111 Profile = "v1.11.3"
	// V113 is the last with configurations that machinery v1.13 can load.
	V113 Profile = "v1.13.9"
	// V114 knows the KubeletConfig document, and reboots for no configuration.
	V114 Profile = "v1.14.1"
)

// valid reports whether the tag can be read as a version.
func (p Profile) valid() error {
	_, err := talosrelease.Parse(string(p))
	return err
}

// release is the zero value where the tag is not valid.
func (p Profile) release() talosrelease.Release {
	r, _ := talosrelease.Parse(string(p))
	return r
}

func (p Profile) has(f talosrelease.Fact) bool { return p.release().Has(f) }
