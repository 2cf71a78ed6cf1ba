// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/output"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rights"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// need is a right that a command cannot do without. own tells that it is needed in the provisioner's namespace only.
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

// looking is what every command needs that acts on what it has seen: docs/rbac has a role for each.
func (c *cluster) looking() []need {
	sets := need{Right: rights.Right{Verb: "list", Group: "apps", Resource: "daemonsets", Namespace: c.namespace()}}
	all := []need{
		sets, anywhere("list", "nodes"), anywhere("list", "persistentvolumes"),
		{Right: rights.Right{Verb: "list", Group: "storage.k8s.io", Resource: "storageclasses"}},
		inOwn("get", "configmaps"), inOwn("list", "pods"),
	}
	if c.namespace() == "" { // Named, it is trusted.
		all = append(all, inOwn("get", "namespaces"))
	}
	return all
}

// throughPods is what a script in the provisioner's pods needs.
func throughPods() need {
	return need{Right: rights.Right{Verb: "create", Resource: "pods", Subresource: "exec"}, own: true}
}

// namespace is the provisioner's as far as the command line names it.
func (c *cluster) namespace() string {
	// -n is kubectl's: where to look for what the command works with. The context's own namespace is not where provisioners are.
	return cmp.Or(c.options.provisioner.Namespace, *c.shared.Kube.Namespace)
}

// observeToAct is observe for a command that changes something. Before any node is looked at it fails with all the rights
// that are missing for the whole of it, and where nobody vouches for the provisioner.
func (c *cluster) observeToAct(ctx context.Context, command string, needs []need, r observe.Request) (*snapshot.Snapshot, error) {
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
	s, err := c.observe(ctx, r)
	if err != nil && !permitted && apierrors.IsForbidden(err) {
		// It is the first right that was missing; there may be more.
		install, findErr := c.find(ctx)
		if findErr != nil {
			install.Namespace = c.namespace()
		}
		return nil, cmp.Or(c.permit(ctx, command, needs, install), err)
	}
	return s, err
}

// find is the provisioner's DaemonSet.
func (c *cluster) find(ctx context.Context) (provisioner.Install, error) {
	return c.collector().Find(ctx, observe.Request{Namespace: c.namespace(), DaemonSet: c.options.provisioner.DaemonSet})
}

// permit fails with all rights that are missing. Those in the provisioner's namespace are left out while nobody knows which
// that is.
func (c *cluster) permit(ctx context.Context, command string, needs []need, install provisioner.Install) error {
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
	missing, err := kube.Missing(ctx, c.client, wanted)
	if err != nil || len(missing) == 0 {
		return err
	}
	return rights.Refusal{User: kube.User(ctx, c.client), Missing: missing, Command: command}.Err()
}

// recordTimeout bounds what is written down when the run itself is over.
const recordTimeout = 10 * time.Second

// warn says on stderr what went wrong beside the work.
func (s *shared) warn(format string, args ...any) {
	fmt.Fprintf(s.ErrOut, "%s %s\n", s.Colour.Style(s.ErrOut).Warning("warning:"), output.Escape(fmt.Sprintf(format, args...)))
}

// withHint is an error with the hint below it.
func (s *shared) withHint(err error) string {
	text, hint := s.explain(err)
	if hint != "" {
		text += "\n  hint: " + strings.ReplaceAll(hint, "\n", "\n        ")
	}
	return text
}

// confirmed asks, and fails unless the answer is yes.
func (s *shared) confirmed(ctx context.Context, question string) error {
	ok, err := output.Prompt(ctx, s.IOStreams, question)
	if err != nil {
		return err
	}
	if !ok {
		return failure.New("nothing was done: the answer was no", "")
	}
	return nil
}
