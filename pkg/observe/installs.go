// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// chosenBy are the installations that the request names; all if it names none.
func chosenBy(r Request, found []provisioner.Install) []provisioner.Install {
	return slices.DeleteFunc(slices.Clone(found), func(i provisioner.Install) bool {
		return r.DaemonSet != "" && i.Name != r.DaemonSet || r.Namespace != "" && i.Namespace != r.Namespace
	})
}

// choose takes the one installation that there is, or that was asked for; the first one where
// the request is about every one.
func choose(found []provisioner.Install, r Request) (provisioner.Install, error) {
	found = chosenBy(r, found)
	switch {
	case len(found) == 1 || len(found) > 1 && r.Every:
		return found[0], nil
	case len(found) == 0:
		where := "any namespace"
		if r.Namespace != "" {
			where = fmt.Sprintf("namespace %q", r.Namespace)
		}
		what := "DaemonSet that runs the local volume static provisioner"
		if r.DaemonSet != "" {
			what = fmt.Sprintf("DaemonSet %q that runs the local volume static provisioner", r.DaemonSet)
		}
		return provisioner.Install{}, problem.WithKind(problem.NoProvisioner, failure.New(fmt.Sprintf("no %s in %s", what, where),
			"install it: https://github.com/kubernetes-sigs/sig-storage-local-static-provisioner; or, if it has another image: --provisioner-namespace NAMESPACE --provisioner DAEMONSET"))
	}
	return provisioner.Install{}, &SeveralError{Installs: found}
}

// SeveralError is that there are several installations of the provisioner, and the request is about one.
type SeveralError struct{ Installs []provisioner.Install }

// Error names them all.
func (e *SeveralError) Error() string {
	names := make([]string, 0, len(e.Installs))
	for _, i := range e.Installs {
		names = append(names, fmt.Sprintf("%q", key(i.Namespace, i.Name)))
	}
	return "several provisioners: " + strings.Join(names, ", ")
}

// ProblemKind is the kind of problem that a snapshot has of the error.
func (e *SeveralError) ProblemKind() problem.Kind { return problem.SeveralProvisioners }

// inOrder sorts installations by namespace and name.
func inOrder(found []provisioner.Install) []provisioner.Install {
	slices.SortFunc(found, func(a, b provisioner.Install) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return found
}

// others are the installations beside the chosen one, with their classes, or why those are
// not known.
func (c *Collector) others(ctx context.Context, found []provisioner.Install, chosen provisioner.Install) []snapshot.Installation {
	var others []snapshot.Installation
	for _, i := range found {
		if i.Namespace != chosen.Namespace || i.Name != chosen.Name {
			others = append(others, snapshot.Installation{Install: i})
		}
	}
	return exec.Each(ctx, others, 0, 0, func(ctx context.Context, o snapshot.Installation) snapshot.Installation {
		var err error
		if o.Install.Classes, err = c.classes(ctx, o.Install); err != nil {
			o.Problem = problem.From(err)
		}
		return o
	})
}

// joinOthers finds the pods of the other installations on the nodes.
func (c *Collector) joinOthers(ctx context.Context, s *snapshot.Snapshot, nodes []corev1.Node) {
	s.Others = exec.Each(ctx, s.Others, 0, 0, func(ctx context.Context, o snapshot.Installation) snapshot.Installation {
		pods, err := c.pods(ctx, o.Install)
		o.Nodes = presences(join(o.Install, nodes, pods))
		if err != nil {
			for name, p := range o.Nodes {
				// That it has no pod anywhere is not known.
				p.Pod = snapshot.Unread[snapshot.Pod](problem.From(err))
				o.Nodes[name] = p
			}
		}
		return o
	})
}

// presences are what an installation has on nodes.
func presences(nodes []snapshot.Node) map[string]snapshot.Presence {
	all := make(map[string]snapshot.Presence, len(nodes))
	for _, n := range nodes {
		all[n.Name] = snapshot.Presence{Pod: n.Pod, Wanted: n.Wanted, View: n.View}
	}
	return all
}

// askOtherPods fills the views of the other installations' pods, one installation after the
// other: two looks at a disk at the same time would be in each other's way. Only where the
// chosen installation has no pod do they read disks.
func (c *Collector) askOtherPods(ctx context.Context, s *snapshot.Snapshot, r Request) {
	read := make(map[string]bool)
	for _, n := range s.Nodes {
		read[n.Name] = n.Pod.Value != nil
	}
	for i, as := range s.Installations()[1:] {
		pods := &kube.Pods{Executor: c.Pods.Executor, Limit: c.Pods.Limit, Timeout: c.Pods.Timeout, Targets: kube.Targets(as), Classes: as.Install.Classes}
		var first, again []string
		for _, n := range as.Nodes {
			switch {
			case n.Pod.Value == nil:
				o := s.Others[i].Nodes[n.Name]
				o.View = snapshot.Unread[snapshot.PodView](n.Pod.Why())
				s.Others[i].Nodes[n.Name] = o
			case read[n.Name]:
				again = append(again, n.Name)
			default:
				first, read[n.Name] = append(first, n.Name), true
			}
		}
		see := func(nodes, closely []string) {
			for k, answer := range pods.Observe(ctx, nodes, closely, false, nil) {
				o := s.Others[i].Nodes[nodes[k]]
				o.View = viewOf(nodes[k], answer)
				s.Others[i].Nodes[nodes[k]] = o
			}
		}
		see(first, r.Closely)
		see(again, nil)
	}
}

// listed are all DaemonSets that are installations. Where only those of the namespace that was
// asked for may be listed, unread says so of the others.
func (c *Collector) listed(ctx context.Context, r Request) (found []provisioner.Install, unread problem.Problem, err error) {
	everywhere := r
	everywhere.Namespace = ""
	found, err = c.installs(ctx, everywhere)
	if err != nil && r.Namespace != "" && apierrors.IsForbidden(err) {
		unread = problem.From(err)
		found, err = c.installs(ctx, r)
	}
	return inOrder(found), unread, err
}

// swapFirst puts an installation whose classes are known in the place of the first one, and
// reports whether there is one.
func swapFirst(s *snapshot.Snapshot, why error) bool {
	i := slices.IndexFunc(s.Others, func(o snapshot.Installation) bool { return o.Problem.IsZero() })
	if i < 0 {
		return false
	}
	s.Install, s.Others[i] = s.Others[i].Install, snapshot.Installation{Install: s.Install, Problem: problem.From(why)}
	return true
}
