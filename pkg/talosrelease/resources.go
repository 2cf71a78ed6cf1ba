// SPDX-License-Identifier: Apache-2.0

package talosrelease

// The types of a node's resources that the program reads, or that its tests serve.
const (
	Disks             = "Disks.block.talos.dev"
	SystemDisks       = "SystemDisks.block.talos.dev"
	DiscoveredVolumes = "DiscoveredVolumes.block.talos.dev"
	VolumeStatuses    = "VolumeStatuses.block.talos.dev"
	VolumeConfigs     = "VolumeConfigs.block.talos.dev"
	MountStatuses     = "MountStatuses.block.talos.dev"
	BlockSymlinks     = "BlockSymlinks.block.talos.dev"

	MachineConfigs = "MachineConfigs.config.talos.dev"
	KubeletSpecs   = "KubeletSpecs.kubernetes.talos.dev"
	Nodenames      = "Nodenames.kubernetes.talos.dev"

	Identities         = "Identities.cluster.talos.dev"
	SystemInformations = "SystemInformations.hardware.talos.dev"
	Diagnostics        = "Diagnostics.runtime.talos.dev"
)

// resources are the first v1 minor of each type, 0 for all that are supported, and the releases on which only os:admin may read it: on the
// others, os:reader may (internal/app/resources/access.go).
var resources = map[string]struct {
	minor uint
	admin []span
}{
	MachineConfigs:     {0, []span{{}}},
	Nodenames:          {0, nil},
	Identities:         {0, nil},
	SystemInformations: {0, nil},
	// Commit 166854959.
	KubeletSpecs:      {0, []span{{number{12, 9}, number{13, 0}}, {from: number{13, 4}}}},
	DiscoveredVolumes: {7, nil},
	Disks:             {8, nil},
	SystemDisks:       {8, nil},
	VolumeStatuses:    {8, nil},
	VolumeConfigs:     {8, from(8)},
	Diagnostics:       {9, nil},
	MountStatuses:     {10, nil},
	BlockSymlinks:     {10, nil},
}

// Resource reports whether the release has a type of resource, and whether only os:admin may read it.
func (r Release) Resource(name string) (has, adminOnly bool) {
	resource, known := resources[name]
	if !known || !r.since(resource.minor, 0) {
		return false, false
	}
	return true, r.in(resource.admin)
}
