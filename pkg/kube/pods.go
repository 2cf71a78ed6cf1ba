// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/exec"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/probe"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// maxAnswer in bytes: what a node with a thousand disks would say, many times over.
const maxAnswer = 16 << 20

// Pods are the provisioner's pods, one a node. It implements link.Runner.
type Pods struct {
	Executor *exec.Executor
	// Targets by node.
	Targets map[string]exec.Target
	// Limit is how many nodes are worked on at once; Timeout is each node's own.
	Limit   int
	Timeout time.Duration
	// Done, if set, is called when a node has answered. It must be safe to call
	// from several goroutines.
	Done func()
}

var _ link.Runner = (*Pods)(nil)

// Targets finds the provisioner's container on each node of a snapshot.
func Targets(s *snapshot.Snapshot) map[string]exec.Target {
	targets := make(map[string]exec.Target)
	for _, n := range s.Nodes {
		if n.Pod.Value != nil {
			targets[n.Name] = exec.Target{Namespace: s.Install.Namespace, Pod: n.Pod.Value.Name, Container: s.Install.Container, Node: n.Name}
		}
	}
	return targets
}

// Run runs each job in its node's pod.
func (p *Pods) Run(ctx context.Context, jobs []link.Job) []link.Answer {
	return exec.Each(ctx, jobs, p.Limit, p.Timeout, func(ctx context.Context, j link.Job) link.Answer {
		if p.Done != nil {
			defer p.Done()
		}
		target, ok := p.Targets[j.Node]
		if !ok {
			return link.Answer{Err: fmt.Errorf("no provisioner pod runs on node %q", j.Node), NotStarted: true}
		}
		var out bytes.Buffer
		err := p.Executor.Exec(ctx, target, exec.Command{Argv: j.Argv, Stdout: exec.Limit(&out, maxAnswer), End: probe.End})
		var notStarted *exec.StartError
		return link.Answer{Out: out.String(), Err: err, NotStarted: errors.As(err, &notStarted)}
	})
}
