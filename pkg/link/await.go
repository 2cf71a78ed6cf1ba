// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"fmt"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Volumes is the cluster's PersistentVolumes.
type Volumes interface {
	// Await calls seen with every volume of those names that is or comes into
	// being, again when it changes, until seen returns true or ctx is done. Before
	// the wait begins, when those that are there were seen, it calls listed.
	Await(ctx context.Context, names []string, listed func(), seen func(snapshot.Volume) bool) error
	// Get is the volume as it is now, or nil if there is none.
	Get(ctx context.Context, name string) (*snapshot.Volume, error)
	// Record annotates the volume with the identity of its disk, provided that
	// it is still the same volume.
	Record(ctx context.Context, v snapshot.Volume, id disk.ID) error
	// Delete deletes the volume if it did not change meanwhile. ErrChanged says
	// that it did, and that nothing was deleted.
	Delete(ctx context.Context, v snapshot.Volume) error
}

// VolumeAwaited is the state of a volume that has not appeared, or that the
// volume controller has not seen yet.
const VolumeAwaited = "awaited"

// Await waits for the volumes of links that are made, until ctx is done, and
// records in each the identity of its disk. What came of it is written into the links.
// It calls begun when the volumes were looked at and some have yet to come.
func Await(ctx context.Context, p *Plan, volumes Volumes, begun func()) {
	waiting := make(map[string]*Link)
	var names []string
	for i := range p.Links {
		l := &p.Links[i]
		if l.Result == change.Created || l.Result == change.Unchanged {
			l.VolumeState = VolumeAwaited
			waiting[l.Volume] = l
			names = append(names, l.Volume)
		}
	}
	if len(names) == 0 {
		return
	}
	listed := false
	err := volumes.Await(ctx, names, func() { listed = true; begun() }, func(v snapshot.Volume) bool {
		l, ok := waiting[v.Name]
		if !ok {
			return len(waiting) == 0
		}
		if why := misfit(*l, v); why != "" {
			l.Detail = why
			return false
		}
		if v.Phase == "" || v.Phase == "Pending" {
			return false
		}
		l.Detail, l.VolumeState = "", v.Phase
		switch {
		case v.Identity != nil, l.Result == change.Unchanged && l.recorded:
		case l.Result == change.Unchanged && (v.Phase != "Available" || v.Claim != nil):
			// Whose data lies there now is not known; today's disk may not be the one.
			l.Warnings = append(l.Warnings,
				fmt.Sprintf("which disk volume %s (%s) was made for was never recorded, and is not now, while it is claimed", v.Name, v.Phase))
		default:
			if err := volumes.Record(ctx, v, l.Identity); err != nil {
				l.Warnings = append(l.Warnings, fmt.Sprintf("the identity of the disk could not be recorded in volume %s: %s", v.Name, err))
			}
		}
		delete(waiting, v.Name)
		return len(waiting) == 0
	})
	for _, l := range waiting {
		if l.Detail == "" {
			switch {
			case err != nil && ctx.Err() == nil:
				l.Detail = fmt.Sprintf("whether volume %s appeared is unknown: %s", l.Volume, err)
			case !listed:
				l.Detail = fmt.Sprintf("whether volume %s appeared is unknown: the run ended before it was looked for", l.Volume)
			default:
				l.Detail = fmt.Sprintf("volume %s has not appeared", l.Volume)
			}
		}
	}
}

// misfit is why a volume is not the one that the link makes; empty if it is.
func misfit(l Link, v snapshot.Volume) string {
	switch want := provisioner.Capacity(l.Size); {
	case v.Deleting:
		return fmt.Sprintf("volume %s is being deleted", v.Name)
	case v.Path != l.HostPath || v.Node != l.Node:
		return fmt.Sprintf("volume %s is for %s on node %q", v.Name, v.Path, v.Node)
	case v.Mode != provisioner.Block:
		return fmt.Sprintf("volume %s has volumeMode %s", v.Name, v.Mode)
	case uint64(v.Capacity) != want:
		return fmt.Sprintf("volume %s has a capacity of %d bytes, and the disk makes %d", v.Name, v.Capacity, want)
	}
	return ""
}
