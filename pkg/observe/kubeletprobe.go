// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kubeletprobe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// KubeletProber looks through a kubelet's eyes without its node's Talos API.
type KubeletProber interface {
	// Probe looks at a node, with a pod of the image.
	Probe(ctx context.Context, node, image string, dirs []string) (kubeletprobe.Answer, error)
}

// probeKubelet has a pod look where Talos does not tell of the mounts. What Talos tells of the
// rest stays; without that the configuration is unknown, as before.
func (d *observation) probeKubelet(ctx context.Context, n snapshot.Node,
	fromTalos snapshot.Section[mounts.NodeState]) (snapshot.Section[mounts.NodeState], snapshot.Section[snapshot.Probe]) {
	if d.KubeletProbe == nil || fromTalos.Value != nil && mountsAreKnown(fromTalos.Value.View) {
		return fromTalos, snapshot.Section[snapshot.Probe]{}
	}
	if why := d.whyNotProbed(n); !why.IsZero() {
		return fromTalos, snapshot.Unread[snapshot.Probe](why)
	}
	volumes := sorted(d.objects.volumes)
	state := d.stateOf(volumes, n, fromTalos)
	answer, err := d.KubeletProbe.Probe(ctx, n.Name, d.s.Install.Image, look(state, d.dirs(volumes, n.Name)))
	if err != nil {
		return fromTalos, snapshot.Unread[snapshot.Probe](problem.From(err))
	}
	state.View, state.ViewProblem = &answer.View, problem.Problem{}
	var probe snapshot.Probe
	if !answer.Started.IsZero() {
		probe.KubeletStarted = &answer.Started
	}
	return snapshot.Read(state), snapshot.Read(probe)
}

// mountsAreKnown reports whether Talos tells of the mounts, or says that there is no kubelet to have any.
func mountsAreKnown(view *mounts.KubeletView) bool {
	return view != nil && (view.HasMounts() || view.PID == 0)
}

// whyNotProbed is why no pod can look at a node; no problem if one can.
func (d *observation) whyNotProbed(n snapshot.Node) problem.Problem {
	switch {
	case n.NotReady != "": // Its kubelet starts no pod.
		return problem.Text(n.NotReady)
	case n.OSImage != "" && !n.RunsTalos():
		return problem.Text("the node does not run Talos")
	case n.UID == "": // Nor whether it is Ready, or of Talos.
		return cmp.Or(d.s.Unread[snapshot.PartNodes], problem.Text("nothing is known of the node"))
	case d.s.Install.Image == "":
		return cmp.Or(d.s.Unread[snapshot.PartInstall], problem.Text("no provisioner was found, whose image the pod would have"))
	case !d.trusted():
		return problem.Text(fmt.Sprintf("the image of DaemonSet %q is not known to be the provisioner's: name it with --provisioner-namespace and --provisioner",
			key(d.s.Install.Namespace, d.s.Install.Name)))
	}
	return problem.Problem{}
}

// trusted reports whether the provisioner's image may run with the node's processes.
func (d *observation) trusted() bool {
	level := ""
	if state := d.s.Provisioner.Value; state != nil {
		level = state.PodSecurity
	}
	return vouchedFor(d.request.Namespace != "", d.s.Install.Namespace, level)
}

// stateOf is what Talos tells of a kubelet, or what is known of one without.
func (d *observation) stateOf(volumes []snapshot.Volume, n snapshot.Node, fromTalos snapshot.Section[mounts.NodeState]) mounts.NodeState {
	if fromTalos.Value != nil {
		return *fromTalos.Value
	}
	state := newState(volumes, n)
	state.Release, _ = talosrelease.Parse(n.OSImage) // One that is not understood is not known.
	state.ConfigProblem = cmp.Or(d.s.NoTalos, fromTalos.Why())
	return state
}

// started is when the node's kubelet started, by what it said and by its process.
func started(n snapshot.Node) *time.Time {
	if n.Probe.Value == nil || n.Probe.Value.KubeletStarted == nil {
		return n.KubeletStarted
	}
	if said := n.KubeletStarted; said != nil && said.After(*n.Probe.Value.KubeletStarted) {
		return said
	}
	return n.Probe.Value.KubeletStarted
}
