// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// progressAll brings each volume as far as it goes, in order, and reports whether it is worth trying again. A volume
// that is not ready keeps those after it, of its wave too, from being made (block/volume_manager.go).
func (v *volumes) progressAll(ctx context.Context, want []volume) (again bool) {
	provisioned := math.MaxInt
	for _, w := range want {
		s := v.statuses[w.id]
		if s == nil {
			s = &volumeStatus{volume: w}
			s.VolumeStatusSpec.Type, s.VolumeStatusSpec.ParentID = w.Type, w.ParentID
			v.statuses[w.id] = s
		}
		s.volume = w
		err := v.progress(ctx, s, w.Provisioning.Wave <= provisioned)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			s.PreFailPhase, s.Phase, s.ErrorMessage = s.Phase, block.VolumePhaseFailed, err.Error()
			again = true
		} else {
			s.PreFailPhase, s.ErrorMessage = 0, ""
		}
		if s.Phase != block.VolumePhaseReady && !isExisting(w) {
			provisioned = w.Provisioning.Wave - 1
		}
	}
	return again
}

// progress is the automaton of one volume (block/volume_manager.go, processVolumeConfig). One that is ready stays so, whatever
// its document or its disk become.
func (v *volumes) progress(ctx context.Context, s *volumeStatus, mayProvision bool) error {
	for {
		before := s.Phase
		var err error
		switch s.Phase {
		case block.VolumePhaseWaiting, block.VolumePhaseMissing:
			err = v.locate(ctx, s, mayProvision)
		case block.VolumePhaseLocated: // What could grow is not grown here.
			s.Phase = block.VolumePhaseProvisioned
		case block.VolumePhaseProvisioned: // Nothing is encrypted here.
			s.Phase, s.MountLocation = block.VolumePhasePrepared, s.Location
		case block.VolumePhasePrepared:
			err = v.format(ctx, s)
		case block.VolumePhaseFailed:
			s.Phase = s.PreFailPhase
		default:
			return nil
		}
		if errors.Is(err, ErrStall) {
			return nil
		}
		if err != nil || s.Phase == before {
			return err
		}
	}
}

// locate finds a volume, or makes it.
func (v *volumes) locate(ctx context.Context, s *volumeStatus, mayProvision bool) error {
	if err := v.hooked(ctx, s.id, VolumeLocate); err != nil {
		return err
	}
	s.MountSpec = s.Mount
	if s.volume.Type == block.VolumeTypeDirectory {
		s.Phase = block.VolumePhaseReady
		return nil
	}
	profile := v.node.options.Profile
	scene, err := newScene(v.disks, v.node.systemDisk(ctx), profile)
	if err != nil {
		return err
	}
	found, err := scene.locate(s.volume)
	if err != nil {
		return err
	}
	if found != nil {
		s.Phase, s.Location, s.PartitionIndex = block.VolumePhaseLocated, found.GetDevPath(), int(found.GetPartitionIndex())
		s.ParentLocation, s.UUID, s.PartitionUUID = found.GetParentDevPath(), found.GetUuid(), found.GetPartitionUuid()
		s.SetSize(found.GetSize())
		return nil
	}
	switch {
	case isExisting(s.volume):
		s.Phase = block.VolumePhaseMissing
		return nil
	case !mayProvision:
		s.Phase = block.VolumePhaseWaiting
		return nil
	}
	return v.provision(ctx, s, scene)
}

// provision makes a volume on the first disk that will do.
func (v *volumes) provision(ctx context.Context, s *volumeStatus, scene scene) error {
	profile := v.node.options.Profile
	matched, err := scene.candidates(s.volume)
	if err != nil {
		return err
	}
	if s.volume.Type == block.VolumeTypeDisk && len(matched) > 1 {
		return fmt.Errorf("multiple disks matched locator for disk volume; matched disks: %v", matched)
	}
	space, format := 0, 0
	for _, device := range matched {
		_, disk, _ := contentOf(v.disks, device)
		switch roomFor(s.volume, *disk) {
		case noSpace:
			space++
		case wrongFormat:
			format++
		default:
			if s.volume.Type == block.VolumeTypeDisk {
				s.Phase, s.Location = block.VolumePhaseProvisioned, device
				s.SetSize(disk.Size)
				return nil
			}
			return v.partition(ctx, s, *disk)
		}
	}
	if !profile.has(talosrelease.CountsRejectedDisks) {
		return fmt.Errorf("no disks matched for volume")
	}
	return fmt.Errorf("no disks matched for volume (%d matched selector): %d have not enough space, %d have wrong format, %d have other issues",
		len(matched), space, format, 0)
}

// room is why a disk will not do.
type room int

const (
	enough room = iota
	noSpace
	wrongFormat
)

// roomFor judges a disk as block/internal/volumes/disk.go does.
func roomFor(v volume, d Disk) room {
	least := v.Provisioning.PartitionSpec.MinSize
	switch {
	case v.Type == block.VolumeTypeDisk && d.Type == "":
		return enough
	case v.Type == block.VolumeTypeDisk || d.Type != "" && d.Type != gpt:
		return wrongFormat
	case d.Type == "":
		if d.Size < least+67*d.sector() { // The partition tables.
			return noSpace
		}
		return enough
	}
	if _, free := d.free(); free < least {
		return noSpace
	}
	return enough
}

// partition makes the partition of a volume: all of the largest free piece, if no size is set.
func (v *volumes) partition(ctx context.Context, s *volumeStatus, d Disk) error {
	if err := v.hooked(ctx, s.id, VolumePartition); err != nil {
		return err
	}
	spec := s.Provisioning.PartitionSpec
	offset, free := d.free()
	size, err := spec.ResolveMaxSize(free)
	if err != nil {
		return fmt.Errorf("error creating partition: error resolving max size: %w", err)
	}
	if free < max(spec.MinSize, 1) {
		return fmt.Errorf("error creating partition: not enough space on disk")
	}
	if size == 0 || size >= free {
		size = free
	}
	p := Partition{Index: d.nextIndex(), Offset: offset, Size: size - size%d.sector(), Name: spec.Label}
	if err := v.storage.AddPartition(ctx, d.path(), p); err != nil {
		return fmt.Errorf("error creating partition: %w", err)
	}
	if err := v.look(ctx); err != nil {
		return fmt.Errorf("error creating partition: %w", err)
	}
	s.Phase, s.Location, s.ParentLocation, s.PartitionIndex = block.VolumePhaseProvisioned, d.partitionPath(p.Index), d.path(), p.Index
	s.SetSize(p.Size)
	if _, disk, ok := contentOf(v.disks, s.Location); ok {
		for _, made := range disk.Partitions {
			if made.Index == p.Index {
				s.PartitionUUID = made.ID
			}
		}
	}
	return nil
}

// format makes the file system that is wanted, if there is none (block/internal/volumes/format.go).
func (v *volumes) format(ctx context.Context, s *volumeStatus) error {
	content, _, ok := contentOf(v.disks, s.MountLocation)
	if !ok {
		return fmt.Errorf("error opening disk: open %s: no such file or directory", s.MountLocation)
	}
	want := s.Provisioning.FilesystemSpec.Type
	switch content.Type {
	case "":
		if want == block.FilesystemTypeNone {
			if s.Mount.TargetPath != "" {
				return fmt.Errorf("filesystem not found on %s", s.MountLocation)
			}
			break
		}
		if err := v.hooked(ctx, s.id, VolumeFormat); err != nil {
			return err
		}
		if err := v.storage.Format(ctx, s.MountLocation, want.String()); err != nil {
			if want == block.FilesystemTypeXFS {
				return fmt.Errorf("error formatting XFS: %w", err)
			}
			return fmt.Errorf("error formatting %s: %w", want, err)
		}
		if err := v.look(ctx); err != nil {
			return err
		}
	case want.String():
	default:
		if want != block.FilesystemTypeNone {
			return fmt.Errorf("filesystem type mismatch: %s != %s", content.Type, want)
		}
		// Of what it does not know Talos makes none.
		want, _ = block.FilesystemTypeString(content.Type)
	}
	s.Phase, s.Filesystem = block.VolumePhaseReady, want
	return nil
}
