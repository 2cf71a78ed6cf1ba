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

// AllowedKubeletProbes are KubeletProbes that make nothing before it is known that everything a probe needs is allowed: who may make a Job
// and not delete it would leave it behind.
type AllowedKubeletProbes struct {
	*KubeletProbes

	mu      sync.Mutex
	asked   bool
	refusal error
}

// Probe is that of KubeletProbes. The error names all rights that are missing, as the API server would each of them.
func (p *AllowedKubeletProbes) Probe(ctx context.Context, node, image string, dirs []string) (kubeletprobe.Answer, error) {
	if err := p.allowed(ctx); err != nil {
		return kubeletprobe.Answer{}, err
	}
	return p.KubeletProbes.Probe(ctx, node, image, dirs)
}

// kubeletProbeRights are those of docs/rbac/doctor-probe.yaml, except for events: without those less is said.
func kubeletProbeRights() []rights.Right {
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
func (p *AllowedKubeletProbes) allowed(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked {
		return p.refusal
	}
	missing, err := Missing(ctx, p.Client, kubeletProbeRights())
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
