// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// noProvisionerYet is why there is no provisioner pod on a node of a cluster without a provisioner.
const noProvisionerYet = "there is no provisioner in the cluster"

// withoutInstall fills the snapshot from Talos alone where the cluster has no provisioner yet and the request asks about nodes
// without its pods. Otherwise that none was chosen is the error.
func (c *Collector) withoutInstall(ctx context.Context, s *snapshot.Snapshot, nodes []corev1.Node, found []provisioner.Install, r Request, why error) (*snapshot.Snapshot, error) {
	switch {
	case len(found) > 0 || !r.Podless || r.Namespace != "" || r.DaemonSet != "":
		return nil, why
	case c.Talos == nil:
		return nil, failure.New(why.Error(), failure.Hint(why)+"; or list the disks that Talos tells of, which needs no provisioner: --talosconfig FILE")
	}
	s.Unread = map[string]problem.Problem{snapshot.PartInstall: problem.From(why)}
	s.Nodes = join(provisioner.Install{}, nodes, nil)
	for i := range s.Nodes {
		n := &s.Nodes[i]
		n.Wanted, n.Pod = false, snapshot.Unread[snapshot.Pod](problem.Text(noProvisionerYet))
		n.View = snapshot.Unread[snapshot.PodView](problem.Text(noProvisionerYet))
	}
	for i := range s.Volumes {
		s.Volumes[i].Node = s.NodeByHostname(s.Volumes[i].Node)
	}
	c.askTalos(ctx, s, r)()
	return s, ctx.Err()
}
