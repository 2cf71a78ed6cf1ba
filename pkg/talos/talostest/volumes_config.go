// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/cel"
	"github.com/siderolabs/talos/pkg/machinery/cel/celenv"
	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// minVolume is what a partition has if its document names no size (block/internal/volumes/volumeconfig, MinUserVolumeSize).
const minVolume = 100 << 20

// volume is what a configuration wants: a VolumeConfig resource, and how it is mounted.
type volume struct {
	id, label string
	block.VolumeConfigSpec
	readOnly, secure, noAtime bool
}

// target is the directory on which it is mounted, or "".
func (v volume) target() string {
	if v.Mount.TargetPath == "" {
		return ""
	}
	parent := v.Mount.ParentID
	if parent == constants.EphemeralPartitionLabel {
		parent = constants.EphemeralMountPoint
	}
	return path.Join("/", parent, v.Mount.TargetPath)
}

// volumesOf are the volumes of a configuration, in the order in which Talos makes them.
func (n *Node) volumesOf(ctx context.Context, data []byte) ([]volume, error) {
	all, err := documents(data)
	if err != nil {
		return nil, err
	}
	documents, err := volumeDocuments(n.options.Profile, all)
	if err != nil {
		return nil, err
	}
	var volumes []volume
	for _, c := range documents.UserVolumeConfigs() {
		volumes = append(volumes, userVolumeOf(c))
	}
	for _, c := range documents.RawVolumeConfigs() {
		v := volume{id: constants.RawVolumePrefix + c.Name(), label: block.RawVolumeLabel}
		v.partition(c.Provisioning())
		volumes = append(volumes, v)
	}
	for _, c := range documents.ExistingVolumeConfigs() {
		v := volume{
			id: constants.ExistingVolumePrefix + c.Name(), label: block.ExistingVolumeLabel,
			readOnly: c.Mount().ReadOnly(), secure: c.Mount().Secure(), noAtime: c.Mount().DisableAccessTime(),
		}
		v.Type, v.Locator.Match, v.Mount = block.VolumeTypePartition, c.VolumeDiscovery().VolumeSelector(), userMount(c.Name())
		volumes = append(volumes, v)
	}
	disks, err := n.userDisks(ctx, all)
	volumes = append(volumes, disks...)
	byID := n.options.Profile.has(talosrelease.VolumesByID)
	slices.SortStableFunc(volumes, func(a, b volume) int { return compareVolumes(a, b, byID) })
	return volumes, err
}

// userVolumeOf is what a UserVolumeConfig wants (block/internal/volumes/volumeconfig/user_volumes.go).
func userVolumeOf(c config.UserVolumeConfig) volume {
	v := volume{
		id: constants.UserVolumePrefix + c.Name(), label: block.UserVolumeLabel,
		secure: c.Mount().Secure(), noAtime: c.Mount().DisableAccessTime(),
	}
	v.Mount = userMount(c.Name())
	switch c.Type().ValueOr(block.VolumeTypePartition) {
	case block.VolumeTypeDirectory:
		v.Type = block.VolumeTypeDirectory
		name := c.Name()
		v.Mount.BindTarget = &name
	case block.VolumeTypeDisk:
		v.Type = block.VolumeTypeDisk
		v.Locator.DiskMatch = c.Provisioning().DiskSelector().ValueOrZero()
		v.Provisioning.DiskSelector.Match = v.Locator.DiskMatch
		v.Provisioning.PartitionSpec = block.PartitionSpec{TypeUUID: linuxData, Grow: true}
		v.Provisioning.FilesystemSpec.Type = c.Filesystem().Type()
		v.Mount.ProjectQuotaSupport = c.Filesystem().ProjectQuotaSupport()
	default: // Another type does not pass the validation.
		v.partition(c.Provisioning())
		v.Provisioning.FilesystemSpec.Type = c.Filesystem().Type()
		v.Mount.ProjectQuotaSupport = c.Filesystem().ProjectQuotaSupport()
	}
	return v
}

func userMount(name string) block.MountSpec {
	return block.MountSpec{
		TargetPath: name, ParentID: constants.UserVolumeMountPoint, SelinuxLabel: constants.EphemeralSelinuxLabel, FileMode: 0o755,
	}
}

// partition makes v one that is found by its label.
func (v *volume) partition(p config.VolumeProvisioningConfig) {
	v.Type = block.VolumeTypePartition
	v.Locator.Match = volumeMatch(fmt.Sprintf(`volume.partition_label == %q`, v.id))
	v.Provisioning.DiskSelector.Match = p.DiskSelector().ValueOrZero()
	v.Provisioning.PartitionSpec = block.PartitionSpec{
		MinSize: cmp.Or(p.MinSize().ValueOrZero(), minVolume), MaxSize: p.MaxSize().ValueOrZero(),
		RelativeMaxSize: p.RelativeMaxSize().ValueOrZero(), NegativeMaxSize: p.MaxSizeNegative(),
		Grow: p.Grow().ValueOrZero(), Label: v.id, TypeUUID: linuxData,
	}
}

// volumeMatch is an expression that was written here.
func volumeMatch(expression string) cel.Expression {
	return cel.MustExpression(cel.ParseBooleanExpression(expression, celenv.VolumeLocator()))
}

// userDisks are the volumes of machine.disks (block/user_disk_config.go): what a device's link leads to is settled here.
// Those that come before a device that is not there are returned with the error.
func (n *Node) userDisks(ctx context.Context, all []document) ([]volume, error) {
	main := find(all, "")
	if main == nil {
		return nil, nil
	}
	node := field(main.node, "machine", "disks")
	if node == nil {
		return nil, nil
	}
	var disks []*v1alpha1.MachineDisk
	if err := node.Decode(&disks); err != nil {
		return nil, err
	}
	var volumes []volume
	for _, d := range disks {
		device, err := n.volumes.storage.Resolve(ctx, d.Device())
		if err != nil {
			return volumes, noUserDisk{fmt.Errorf("error processing user disk %s: error resolving device path: %w", d.Device(), err)}
		}
		for i, p := range d.Partitions() {
			v := volume{id: fmt.Sprintf("%s-%d", d.Device(), i+1), label: block.UserDiskLabel}
			v.Type = block.VolumeTypePartition
			v.Locator.Match = volumeMatch(fmt.Sprintf("volume.parent_dev_path == %q && volume.partition_index == %du", device, i+1))
			v.Provisioning = block.ProvisioningSpec{
				Wave: block.WaveLegacyUserDisks + i,
				DiskSelector: block.DiskSelector{Match: cel.MustExpression(
					cel.ParseBooleanExpression(fmt.Sprintf("disk.dev_path == %q", device), celenv.DiskLocator()))},
				PartitionSpec:  block.PartitionSpec{MinSize: p.Size(), MaxSize: p.Size(), TypeUUID: linuxData},
				FilesystemSpec: block.FilesystemSpec{Type: block.FilesystemTypeXFS},
			}
			v.Mount = block.MountSpec{TargetPath: p.MountPoint(), SelinuxLabel: constants.EphemeralSelinuxLabel, FileMode: 0o755}
			if rest, ok := strings.CutPrefix(p.MountPoint(), "/var/"); ok {
				v.Mount.TargetPath, v.Mount.ParentID = rest, constants.EphemeralPartitionLabel
			}
			volumes = append(volumes, v)
		}
	}
	return volumes, nil
}

// noUserDisk is a device of machine.disks that is not there.
type noUserDisk struct{ error }

func (e noUserDisk) Unwrap() error { return e.error }

// isNoUserDisk reports whether the other volumes are in order.
func isNoUserDisk(err error) bool {
	_, ok := errors.AsType[noUserDisk](err)
	return ok
}

// compareVolumes is Talos's order (block/internal/volumes/volumes.go, CompareVolumeConfigs): by wave, growing ones last, smaller
// ones first. The IDs decide from v1.14 on; before, nothing does, and it is the documents' order here.
func compareVolumes(a, b volume, byID bool) int {
	size := func(v volume) uint64 { return cmp.Or(v.Provisioning.PartitionSpec.MaxSize, math.MaxUint64) }
	number := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	order := cmp.Or(
		cmp.Compare(number(!isExisting(a)), number(!isExisting(b))),
		cmp.Compare(a.Provisioning.Wave, b.Provisioning.Wave),
		cmp.Compare(number(a.Provisioning.PartitionSpec.Grow), number(b.Provisioning.PartitionSpec.Grow)),
		cmp.Compare(size(a), size(b)),
	)
	if order == 0 && byID {
		return cmp.Compare(a.id, b.id)
	}
	return order
}

// isExisting reports whether Talos makes nothing for a volume: it is there, or it is missing.
func isExisting(v volume) bool { return v.Provisioning.DiskSelector.Match.IsZero() }
