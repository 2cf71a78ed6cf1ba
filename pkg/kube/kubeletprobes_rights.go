// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/talosdisk/kubectl-talosdisk/pkg/kubeletprobe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/rights"
)

// AllowedPeeks are Peeks that make nothing before it is known that all may be done that a look takes: who may make a Job
// and not delete it would leave it behind.
type AllowedPeeks struct {
	*Peeks

	mu      sync.Mutex
	asked   bool
	refusal error
}

// Peek is that of Peeks. The error names all rights that are missing, as the API server would each of them.
func (p *AllowedPeeks) Peek(ctx context.Context, node, image string, dirs []string) (kubeletprobe.Answer, error) {
	if err := p.allowed(ctx); err != nil {
		return kubeletprobe.Answer{}, err
	}
	return p.Peeks.Peek(ctx, node, image, dirs)
}

// peekRights are those of docs/rbac/doctor-probe.yaml, but for events, without which only less is said.
func peekRights() []rights.Right {
	jobs := rights.Right{Group: "batch", Resource: "jobs", Namespace: kubeletprobe.Namespace}
	pods := rights.Right{Resource: "pods", Namespace: kubeletprobe.Namespace}
	var all []rights.Right
	add := func(r rights.Right, verbs ...string) {
		for _, verb := range verbs {
			r.Verb = verb
			all = append(all, r)
		}
	}
	add(jobs, "create", "list", "delete")
	add(pods, "list", "watch")
	pods.Subresource = "log"
	add(pods, "get")
	return all
}

// allowed asks once.
func (p *AllowedPeeks) allowed(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked {
		return p.refusal
	}
	missing, err := Missing(ctx, p.Client, peekRights())
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // Another look may have the time.
	}
	p.asked, p.refusal = true, err
	if len(missing) > 0 {
		user := cmp.Or(User(ctx, p.Client), "USER")
		var refusals []error
		for _, r := range missing {
			resource := r.Resource
			if r.Subresource != "" {
				resource += "/" + r.Subresource
			}
			refusals = append(refusals, apierrors.NewForbidden(schema.GroupResource{Group: r.Group, Resource: r.Resource}, "",
				fmt.Errorf("User %q cannot %s resource %q in API group %q in the namespace %q", user, r.Verb, resource, r.Group, r.Namespace)))
		}
		p.refusal = errors.Join(refusals...)
	}
	return p.refusal
}
