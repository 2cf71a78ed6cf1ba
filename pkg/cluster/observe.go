// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/internal/shell"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Observe fills a snapshot of the chosen nodes. Nodes that the provisioner is not meant to run on are left out, with a note, unless
// they were named or Talos reported them.
func (c *Cluster) Observe(ctx context.Context, r observe.Request) (*snapshot.Snapshot, error) {
	r.Nodes, r.Selector = c.options.Nodes, c.options.Selector
	r.Namespace, r.DaemonSet = c.options.Namespace, c.options.DaemonSet
	r.Strict = true
	s, err := c.Observer().Observe(ctx, r)
	c.reporter.Clear()
	if err != nil {
		return nil, err
	}
	if why := s.Unread[snapshot.PartOthers]; !why.IsZero() && r.Parts&observe.PodViews != 0 {
		c.reporter.Note("whether there is another provisioner, which may have linked disks, is not known: " + why.Message)
	}
	wanted := s.WantedBy
	if r.Trust { // It acts through the chosen installation's pods alone.
		wanted = func(n snapshot.Node) bool { return n.Wanted }
	}
	return s, c.leaveOut(s, wanted)
}

// leaveOut keeps the nodes on which a pod is wanted, or that were named or known from Talos alone.
func (c *Cluster) leaveOut(s *snapshot.Snapshot, wanted func(snapshot.Node) bool) error {
	if len(s.Nodes) == 0 {
		return failure.New("the cluster has no nodes", "kubectl get nodes")
	}
	// Without a provisioner no node has been left out of it.
	named := len(c.options.Nodes) > 0 || !s.Unread[snapshot.PartInstall].IsZero()
	kept := s.Nodes[:0]
	var without []string
	for _, n := range s.Nodes {
		if wanted(n) || named || s.SeenByTalosAlone(n) {
			kept = append(kept, n)
			continue
		}
		without = append(without, fmt.Sprintf("%s: %s", n.Name, n.Pod.Why()))
	}
	if len(kept) == 0 {
		return failure.New("no provisioner pod on any of the chosen nodes: "+strings.Join(without, "; "),
			shell.Command("kubectl", "-n", s.Install.Namespace, "describe", "daemonset", s.Install.Name))
	}
	for _, w := range without {
		c.reporter.Note("left out node " + w)
	}
	s.Nodes = kept
	return nil
}

// leaveOutUnnamed leaves out the installations that the options do not name, where they name any, and the nodes that are theirs alone.
func (c *Cluster) leaveOutUnnamed(s *snapshot.Snapshot) error {
	namespace, set, all := c.options.Namespace, c.options.DaemonSet, len(s.Others)
	unnamed := func(i provisioner.Install) bool {
		return namespace != "" && i.Namespace != namespace || set != "" && i.Name != set
	}
	s.Others = slices.DeleteFunc(s.Others, func(o snapshot.Installation) bool { return unnamed(o.Install) })
	switch {
	case unnamed(s.Install): // It stands in for one whose classes are not known.
		return failure.Several("the directories of not every provisioner are known", UnknownInstallations(s))
	case len(s.Others) == all:
		return nil
	}
	return c.leaveOut(s, s.WantedBy)
}

// UnknownInstallations are the further installations of the provisioner whose classes are not known, and why.
func UnknownInstallations(s *snapshot.Snapshot) []failure.Part {
	var parts []failure.Part
	for _, o := range s.Others {
		if !o.Problem.IsZero() {
			parts = append(parts, failure.Part{Subject: "provisioner " + o.Name(), Err: failure.New(o.Problem.Message, "")})
		}
	}
	return parts
}
