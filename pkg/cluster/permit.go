// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rights"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// need is a right that a run cannot do without. own: it is needed in the provisioner's namespace only.
type need struct {
	rights.Right
	own bool
}

// anywhere is a right on all objects of a kind.
func anywhere(verb, resource string) need {
	return need{Right: rights.Right{Verb: verb, Resource: resource}}
}

// inOwn is a right in the provisioner's namespace.
func inOwn(verb, resource string) need {
	return need{Right: rights.Right{Verb: verb, Resource: resource}, own: true}
}

// looking is what every run needs that acts on what it has seen: docs/rbac has a role for each command.
func (c *Cluster) looking() []need {
	sets := need{Right: rights.Right{Verb: "list", Group: "apps", Resource: "daemonsets", Namespace: c.options.Namespace}}
	all := []need{
		sets, anywhere("list", "nodes"), anywhere("list", "persistentvolumes"),
		{Right: rights.Right{Verb: "list", Group: "storage.k8s.io", Resource: "storageclasses"}},
		inOwn("get", "configmaps"), inOwn("list", "pods"),
	}
	if c.options.Namespace == "" { // Named, it is trusted.
		all = append(all, inOwn("get", "namespaces"))
	}
	return all
}

// throughPods is what a script in the provisioner's pods needs.
func throughPods() need {
	return need{Right: rights.Right{Verb: "create", Resource: "pods", Subresource: "exec"}, own: true}
}

// observeToAct is Observe for a run that changes something. Before any node is looked at it fails with all the rights that are missing
// for the whole of it, and where nobody vouches for the provisioner. The command is named in the error, and has a role in docs/rbac.
func (c *Cluster) observeToAct(ctx context.Context, command string, needs []need, r observe.Request) (*snapshot.Snapshot, error) {
	check, permitted := r.Check, false
	r.Trust = true
	r.Check = func(s *snapshot.Snapshot) error {
		if err := c.permit(ctx, command, needs, s.Install); err != nil {
			return err
		}
		permitted = true
		if check != nil {
			return check(s)
		}
		return nil
	}
	s, err := c.Observe(ctx, r)
	if err != nil && !permitted && apierrors.IsForbidden(err) {
		// It is the first right that was missing; there may be more.
		install, findErr := c.find(ctx)
		if findErr != nil {
			install.Namespace = c.options.Namespace
		}
		return nil, cmp.Or(c.permit(ctx, command, needs, install), err)
	}
	return s, err
}

// find is the provisioner's DaemonSet.
func (c *Cluster) find(ctx context.Context) (provisioner.Install, error) {
	return c.Observer().Find(ctx, observe.Request{Namespace: c.options.Namespace, DaemonSet: c.options.DaemonSet})
}

// permit fails with all rights that are missing. Those in the provisioner's namespace are left out while nobody knows which that is.
func (c *Cluster) permit(ctx context.Context, command string, needs []need, install provisioner.Install) error {
	var wanted []rights.Right
	for _, n := range needs {
		switch {
		case n.own && install.Namespace == "":
			continue
		case n.own:
			n.Namespace = install.Namespace
		}
		if n.own && n.Resource == "configmaps" && n.Verb == "get" {
			n.Name = install.ConfigMap
		}
		wanted = append(wanted, n.Right)
	}
	missing, err := kube.Missing(ctx, c.Client, wanted)
	if err != nil || len(missing) == 0 {
		return err
	}
	return rights.Refusal{User: kube.User(ctx, c.Client), Missing: missing, Command: command}.Err()
}
