// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// Runner reaches nodes through the provisioner's pods, side by side.
type Runner interface {
	// Run performs the steps of jobs, in the order of each. Answers come in the
	// order of the jobs; Out has a record for every step that was answered.
	Run(ctx context.Context, jobs []nodescript.Job) []nodescript.Answer
	// Look asks nodes what they see.
	Look(ctx context.Context, nodes []string) []nodescript.Answer
}

// lookAgain bounds the second look at a node whose answer was cut, also when
// the run itself was cancelled.
const lookAgain = 5 * time.Second

// begin gives every link the result that it has until something is done, and returns those for which the action is planned.
func begin(p *Plan, action change.Action) []*Link {
	var todo []*Link
	for i := range p.Links {
		l := &p.Links[i]
		if l.Action != action {
			l.Result = l.Action.Would()
			continue
		}
		l.Result = change.NotDone
		todo = append(todo, l)
	}
	return todo
}

// Apply makes the links that the plan means to create, and writes into every
// link what became of it.
func Apply(ctx context.Context, p *Plan, classes []provisioner.Class, r Runner) {
	todo := begin(p, change.Create)
	act(ctx, todo, r, func(l *Link) nodescript.Step {
		return nodescript.LinkStep(l.Disk, l.Device, l.Fingerprint, dirOf(*l, classes), l.Entry, l.Target)
	}, linked)
}

// linked tells from a second look whether a link was made.
func linked(l *Link, e provisioner.Entry, exists bool) change.Result {
	switch {
	case exists && e.Target == l.Target && (e.Device == l.Device.String() || l.Device == disk.Number{}):
		return change.Created
	case exists:
		return change.Failed
	}
	return change.NotDone
}

func dirOf(l Link, classes []provisioner.Class) string {
	for _, c := range classes {
		if c.Name == l.Class {
			return path.Clean(c.MountDir)
		}
	}
	return ""
}

// second tells from a second look at a node what became of a link.
type second func(l *Link, e provisioner.Entry, exists bool) change.Result

// act performs one step for each link, all steps of a node in one session. Where the end of a step was not seen, the node is
// looked at again.
func act(ctx context.Context, links []*Link, r Runner, step func(*Link) nodescript.Step, seen second) {
	links = slices.DeleteFunc(slices.Clone(links), func(l *Link) bool {
		if step(l).Sendable() {
			return false
		}
		l.Result, l.Detail = change.Failed, "there is a line break in its name or target"
		return true
	})
	if len(links) == 0 {
		return
	}
	byNode, order := group(links)
	jobs := make([]nodescript.Job, 0, len(order))
	for _, node := range order {
		job := nodescript.Job{Node: node}
		for _, l := range byNode[node] {
			job.Steps = append(job.Steps, step(l))
		}
		jobs = append(jobs, job)
	}
	var unclear []*Link
	for i, answer := range r.Run(ctx, jobs) {
		unclear = append(unclear, settle(byNode[jobs[i].Node], jobs[i].Steps, answer, ctx.Err() != nil)...)
	}
	look(ctx, unclear, r, seen)
}

func group(links []*Link) (byNode map[string][]*Link, order []string) {
	byNode = make(map[string][]*Link)
	for _, l := range links {
		if byNode[l.Node] == nil {
			order = append(order, l.Node)
		}
		byNode[l.Node] = append(byNode[l.Node], l)
	}
	return byNode, order
}

// settle writes down what a node said of its steps, one for each link, and returns the links of which it said nothing, and which may
// have been performed anyway.
func settle(links []*Link, steps []nodescript.Step, a nodescript.Answer, cancelled bool) (unclear []*Link) {
	answers, err := a.Steps(steps)
	for i, l := range links {
		if answers[i].Answered {
			record(l, answers[i])
			continue
		}
		l.Detail = err.Error()
		switch {
		case cancelled && (a.NotStarted || i >= a.Begun):
			l.Result, l.Detail = change.NotDone, "the run ended before it began"
			continue
		case a.NotStarted:
			l.Result = change.Failed
			continue
		case i >= a.Begun:
			l.Result, l.Detail = change.NotDone, "not begun: "+l.Detail
			continue
		}
		l.Result = change.Unknown
		unclear = append(unclear, l)
	}
	return unclear
}

// record writes into a link what the node said of its step.
func record(l *Link, a nodescript.StepAnswer) {
	l.Result, l.Detail = change.Failed, a.Detail
	switch a.Outcome {
	case nodescript.StepCreated, nodescript.StepRestored:
		l.Result = change.Created
	case nodescript.StepUnchanged:
		l.Result = change.Unchanged
	case nodescript.StepRemoved, nodescript.StepAbsent:
		l.Result = change.Unlinked
	case nodescript.StepChanged:
		l.Detail = "device changed: " + a.Detail
	case nodescript.StepLinked:
		l.Detail = "the disk was linked meanwhile, as " + a.Detail
	case nodescript.StepTaken:
		l.Detail = "the name was taken meanwhile: " + a.Detail
	case nodescript.StepLocked:
	default:
		l.Detail = fmt.Sprintf("%s (%s)", a.Detail, a.Outcome)
	}
}

// look finds out what became of links whose step's end was not seen.
func look(ctx context.Context, links []*Link, r Runner, seen second) {
	if len(links) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookAgain)
	defer cancel()
	byNode, order := group(links)
	for i, answer := range r.Look(ctx, order) {
		view, err := answer.View()
		for _, l := range byNode[order[i]] {
			if err != nil {
				l.Detail = fmt.Sprintf("%s; looking again: %s", l.Detail, err)
				continue
			}
			dir := view.Dirs[l.Class]
			entry, exists := dir.Entry(l.Entry)
			if dir.Problem != "" || !dir.Exists {
				l.Detail += "; looking again: the class directory could not be read"
				continue
			}
			result := seen(l, entry, exists)
			if result == change.NotDone && view.Linking != disk.No {
				// A command whose caller is gone goes on.
				l.Detail += "; looking again: not yet, and the node may still be at it"
				continue
			}
			l.Result = result
			l.Detail = "seen when looking again: " + l.Detail
		}
	}
}
