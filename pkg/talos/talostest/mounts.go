// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Mounts tells the node's /proc/mounts, in every release: those of memory, and what
// the node knows to be mounted.
func (machineAPI) Mounts(ctx context.Context, _ *emptypb.Empty) (*machine.MountsResponse, error) {
	n := callOf(ctx).node
	all, err := safe.StateListAll[*block.MountStatus](ctx, n.state)
	if err != nil {
		return nil, err
	}
	list := &machine.Mounts{Stats: []*machine.MountStat{{Filesystem: "none", MountedOn: "/dev"}, {Filesystem: "none", MountedOn: "/run"}}}
	for r := range all.All() {
		if source := r.TypedSpec().Source; source != "" {
			list.Stats = append(list.Stats, &machine.MountStat{Filesystem: source, MountedOn: r.TypedSpec().Target})
		}
	}
	return &machine.MountsResponse{Messages: []*machine.Mounts{list}}, nil
}
