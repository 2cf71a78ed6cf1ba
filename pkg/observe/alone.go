// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// noProvisionerYet is why there is no provisioner pod on a node of a cluster without a provisioner.
const noProvisionerYet = "there is no provisioner in the cluster"

// withoutInstall says why it is not known which installation there is. That ends a run that is strict, except one that is also about
// nodes without the provisioner's pods, in a cluster that has no provisioner yet: Talos alone tells of those. exists: there is one.
func (d *observation) withoutInstall(exists bool, why error) error {
	r := d.request
	switch {
	case !r.Strict:
	case exists || !r.WithoutPod || r.Namespace != "" || r.DaemonSet != "":
		return why
	case d.Talos == nil:
		return failure.New(why.Error(), failure.Hint(why)+
			"; or list the disks that Talos tells of, which needs no provisioner: --talosconfig FILE")
	}
	d.note(snapshot.PartInstall, why)
	if r.wants(Provisioner) {
		d.s.Provisioner = snapshot.Unread[snapshot.ProvisionerState](problem.From(why))
	}
	return nil
}

// podless is a node of a cluster without an installation that is known.
func (d *observation) podless(n *snapshot.Node) {
	switch {
	case d.request.Strict:
		n.Wanted, n.Pod = false, snapshot.Unread[snapshot.Pod](problem.Text(noProvisionerYet))
	case n.Skipped && !d.whole:
		n.Pod = snapshot.Section[snapshot.Pod]{}
	default:
		n.Pod = snapshot.Unread[snapshot.Pod](d.s.Unread[snapshot.PartInstall])
	}
}
