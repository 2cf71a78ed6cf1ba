// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"k8s.io/apimachinery/pkg/util/version"
)

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

// valid tells whether the tag can be read as a version.
func (p Profile) valid() error {
	_, err := version.ParseSemantic(string(p))
	return err
}

// from tells whether the release is v1.MINOR.PATCH, one of its candidates, or later.
func (p Profile) from(minor, patch uint) bool {
	v, err := version.ParseSemantic(string(p))
	if err != nil {
		return false
	}
	if v.Major() != 1 {
		return v.Major() > 1
	}
	if v.Minor() != minor {
		return v.Minor() > minor
	}
	return v.Patch() >= patch
}

// minor tells whether the release is of the given v1 minor.
func (p Profile) minor(minor uint) bool {
	return p.from(minor, 0) && !p.from(minor+1, 0)
}

// sensitive tells for each resource type that the node's API knows whether only
// os:admin may read it.
func (p Profile) sensitive() map[resource.Type]bool {
	types := map[resource.Type]bool{
		config.MachineConfigType: true,
		k8s.NodenameType:         false,
		cluster.IdentityType:     false,

		hardware.SystemInformationType: false,
		// Talos 166854959: sensitive since v1.12.9, v1.13.4, v1.14.
		k8s.KubeletSpecType: p.minor(12) && p.from(12, 9) || p.from(13, 4),
	}
	if p.from(7, 0) {
		types[block.DiscoveredVolumeType] = false
	}
	if p.from(8, 0) {
		types[block.DiskType] = false
		types[block.SystemDiskType] = false
		types[block.VolumeStatusType] = false
		types[block.VolumeConfigType] = true
	}
	if p.from(9, 0) {
		types[runtime.DiagnosticType] = false
	}
	if p.from(10, 0) {
		types[block.MountStatusType] = false
		types[block.SymlinkType] = false
	}
	return types
}

// persists tells whether the configuration on disk is a resource of its own.
func (p Profile) persists() bool { return p.from(10, 0) }

// reboots tells whether a configuration can ask for a reboot.
func (p Profile) reboots() bool { return !p.from(14, 0) }

// isolates tells whether new clusters run the kubelet in a PID namespace of its
// own, so that the service's events count differently from the node.
func (p Profile) isolates() bool { return p.from(14, 0) }
