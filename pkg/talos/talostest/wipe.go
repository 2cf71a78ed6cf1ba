// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"errors"
	"path"
	"slices"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// BlockDeviceWipe wipes devices as internal/app/storaged/server.go does: all of them are checked before the first is wiped. Only
// os:admin may call it.
func (storageAPI) BlockDeviceWipe(ctx context.Context, req *storage.BlockDeviceWipeRequest) (*storage.BlockDeviceWipeResponse, error) {
	n := callOf(ctx).node
	if !n.options.Profile.has(talosrelease.WipesDevices) {
		return nil, status.Error(codes.Unimplemented, "unknown method BlockDeviceWipe for service storage.StorageService")
	}
	// One that began goes on without its caller.
	if err := n.Wipe(context.WithoutCancel(ctx), req.GetDevices()...); err != nil {
		return nil, err
	}
	return &storage.BlockDeviceWipeResponse{Messages: []*storage.BlockDeviceWipe{{}}}, nil
}

// Wipe wipes devices as somebody else would, with the same refusals.
func (n *Node) Wipe(ctx context.Context, devices ...*storage.BlockDeviceWipeDescriptor) error {
	v := n.volumes
	v.passing.Lock()
	defer v.passing.Unlock()
	for _, d := range devices {
		if err := v.mayWipe(ctx, d); err != nil {
			return err
		}
	}
	for _, d := range devices {
		if err := v.wipe(ctx, d); err != nil {
			return err
		}
		if err := v.look(ctx); err != nil {
			return err
		}
	}
	v.poke()
	return nil
}

// mayWipe is what Talos asks before it wipes a device. A release that does not know a field of the request goes without it.
func (v *volumes) mayWipe(ctx context.Context, req *storage.BlockDeviceWipeDescriptor) error {
	name := req.GetDevice()
	_, disk, ok := contentOf(v.disks, name)
	if !ok || name != path.Base(name) {
		return status.Errorf(codes.NotFound, "blockdevice %q not found", name)
	}
	parent := ""
	if disk.Name != name {
		parent = disk.Name
	}
	switch {
	case disk.ReadOnly:
		return status.Errorf(codes.FailedPrecondition, "blockdevice %q is read-only", name)
	case disk.CDROM:
		return status.Errorf(codes.FailedPrecondition, "blockdevice %q is a CD-ROM", name)
	}
	if !req.GetSkipSecondaryCheck() || !v.node.options.Profile.has(talosrelease.SkipsSecondaryCheck) {
		for _, d := range v.disks {
			if !slices.Contains(d.Secondaries, name) {
				continue
			}
			kind := "disk"
			if parent != "" {
				kind = "blockdevice"
			}
			return status.Errorf(codes.FailedPrecondition, "blockdevice %q is in use by %s %q", name, kind, d.Name)
		}
	}
	if req.GetSkipVolumeCheck() {
		return nil
	}
	all, err := safe.StateListAll[*block.VolumeStatus](ctx, v.node.state)
	if err != nil {
		return err
	}
	for r := range all.All() {
		s := r.TypedSpec()
		for _, location := range []string{path.Base(s.Location), path.Base(s.MountLocation)} {
			if location == name || location == parent {
				return status.Errorf(codes.FailedPrecondition, "blockdevice %q is in use by volume %q", location, r.Metadata().ID())
			}
		}
		if path.Base(s.ParentLocation) == name {
			return status.Errorf(codes.FailedPrecondition, "blockdevice %q is in use by volume %q", name, r.Metadata().ID())
		}
	}
	return nil
}

// wipe wipes one device.
func (v *volumes) wipe(ctx context.Context, req *storage.BlockDeviceWipeDescriptor) error {
	name, profile := req.GetDevice(), v.node.options.Profile
	zeroes := req.GetMethod() == storage.BlockDeviceWipeDescriptor_ZEROES
	if !zeroes && req.GetMethod() != storage.BlockDeviceWipeDescriptor_FAST {
		return status.Errorf(codes.InvalidArgument, "unsupported wipe method %s", req.GetMethod())
	}
	err := v.storage.Wipe(ctx, "/dev/"+name, zeroes)
	switch {
	case errors.Is(err, ErrBusy) && profile.has(talosrelease.WipeKnowsMounted):
		return status.Errorf(codes.FailedPrecondition, "block device %q is mounted or in use", name)
	case err != nil:
		return status.Errorf(codes.Internal, "failed to open block device %q: %v", name, err)
	}
	_, disk, ok := contentOf(v.disks, name)
	if !ok || disk.Name == name || !req.GetDropPartition() || !profile.has(talosrelease.DropsPartitions) {
		return nil
	}
	for _, p := range disk.Partitions {
		if disk.partition(p.Index) != name {
			continue
		}
		if err := v.storage.DropPartition(ctx, disk.path(), p.Index); err != nil {
			return status.Errorf(codes.Internal, "failed to delete partition: %v", err)
		}
	}
	return nil
}
