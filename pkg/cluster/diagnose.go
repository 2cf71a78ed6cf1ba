// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"slices"
	"sync"

	"github.com/talosdisk/kubectl-talosdisk/pkg/doctor"
	"github.com/talosdisk/kubectl-talosdisk/pkg/kube"
	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Diagnosis is what Diagnose looks at.
type Diagnosis struct {
	// Request names the targets. The options fill in the provisioner, and all is asked that a diagnosis reads.
	Request observe.Request
	// Probe looks by Jobs where Talos does not tell what the kubelets see.
	Probe bool
}

// Diagnose observes all that a diagnosis asks for.
func (c *Cluster) Diagnose(ctx context.Context, d Diagnosis) (*snapshot.Snapshot, error) {
	r := d.Request
	r.Parts, r.EventReasons, r.LogLine = observe.Diagnosis, doctor.EventReasons(), doctor.LogTells
	r.Namespace, r.DaemonSet, r.Every, r.NamedOnly, r.WithoutPod = c.options.Namespace, c.options.DaemonSet, true, true, true
	observer := c.Observer()
	var warnings warnings
	if d.Probe {
		observer.KubeletProbe = &kube.AllowedKubeletProbes{KubeletProbes: &kube.KubeletProbes{Client: c.Client, Warn: warnings.add}}
	}
	s, err := observer.Observe(ctx, r)
	c.reporter.Clear()
	for _, text := range warnings.sorted() {
		c.reporter.Warn(text, nil)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil && d.Probe {
		c.noteNotProbed(s)
	}
	return s, err
}

// noteNotProbed says that no Job was needed.
func (c *Cluster) noteNotProbed(s *snapshot.Snapshot) {
	looked := slices.DeleteFunc(slices.Clone(s.Nodes), func(n snapshot.Node) bool { return n.Skipped })
	switch {
	case len(looked) == 0:
		c.reporter.Note("--probe started nothing: no node belongs to what is diagnosed")
	case !slices.ContainsFunc(looked, func(n snapshot.Node) bool { return n.Probe.Value != nil || !n.Probe.Problem.IsZero() }):
		c.reporter.Note("--probe started nothing: Talos reported what the kubelets see")
	}
}

// warnings are what went wrong beside the work on several nodes at once.
type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

func (w *warnings) sorted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.all)
	return w.all
}
