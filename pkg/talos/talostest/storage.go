// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// storageAPI is the StorageService of whichever node a call is for.
type storageAPI struct {
	storage.UnimplementedStorageServiceServer
}

// Disks lists the node's, in every release. Those before v1.8 tell neither WWID nor UUID.
func (storageAPI) Disks(ctx context.Context, _ *emptypb.Empty) (*storage.DisksResponse, error) {
	n := callOf(ctx).node
	all, err := safe.StateListAll[*block.Disk](ctx, n.state)
	if err != nil {
		return nil, err
	}
	system := ""
	if r, err := safe.StateGetByID[*block.SystemDisk](ctx, n.state, block.SystemDiskID); err == nil {
		system = r.TypedSpec().DiskID
	} else if !state.IsNotFoundError(err) {
		return nil, err
	}
	list := &storage.Disks{}
	for r := range all.All() {
		spec := r.TypedSpec()
		d := &storage.Disk{
			Size: spec.Size, Model: spec.Model, DeviceName: spec.DevPath, Serial: spec.Serial, Modalias: spec.Modalias,
			Type: diskType(spec), BusPath: spec.BusPath, Subsystem: spec.SubSystem, Readonly: spec.Readonly,
			SystemDisk: r.Metadata().ID() == system,
		}
		if n.options.Profile.has(talosrelease.DiskIdentities) {
			d.Wwid, d.Uuid = spec.WWID, spec.UUID
		}
		list.Disks = append(list.Disks, d)
	}
	return &storage.DisksResponse{Messages: []*storage.Disks{list}}, nil
}

// diskType is what Talos makes of the transport.
func diskType(spec *block.DiskSpec) storage.Disk_DiskType {
	switch {
	case spec.CDROM:
		return storage.Disk_CD
	case spec.Transport == "nvme":
		return storage.Disk_NVME
	case spec.Transport == "mmc":
		return storage.Disk_SD
	case spec.Rotational:
		return storage.Disk_HDD
	}
	return storage.Disk_SSD
}
