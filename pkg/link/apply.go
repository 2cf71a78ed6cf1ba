// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/nodescript"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// Runner reaches nodes through the provisioner's pods, side by side.
type Runner interface {
	// Run performs the steps of jobs, in the order of each. Answers come in the
	// order of the jobs; Out has a record for every step that was answered.
	Run(ctx context.Context, jobs []Job) []Answer
	// Look asks nodes what they see; Out is for nodescript.Parse.
	Look(ctx context.Context, nodes []string) []Answer
}

// Job is what is to be done on one node.
type Job struct {
	Node string
	// Steps are verbs of link.sh with their words.
	Steps [][]string
}

// Answer is what a node said.
type Answer struct {
	// Out is what it said, also if it was cut short.
	Out string
	// Err is nil only if all of Out was seen.
	Err error
	// NotStarted is set where it is certain that no step was begun.
	NotStarted bool
	// Begun is how many steps the node was told; the others were certainly not begun.
	Begun int
}

// lookAgain bounds the second look at a node whose answer was cut, also when
// the run itself was cancelled.
const lookAgain = 5 * time.Second

// Apply makes the links that the plan means to create, and writes into every
// link what became of it.
func Apply(ctx context.Context, p *Plan, classes []provisioner.Class, r Runner) {
	var todo []*Link
	for i := range p.Links {
		switch l := &p.Links[i]; l.Action {
		case Create:
			l.Result = ResultNotDone
			todo = append(todo, l)
		case Unchanged:
			l.Result = ResultUnchanged
		case Refuse:
			l.Result = ResultRefused
		case Skip:
			l.Result = ResultUnknown
		}
	}
	act(ctx, todo, r, func(l *Link) []string {
		return []string{"link", l.Disk, l.Device.String(), l.Fingerprint, dirOf(*l, classes), l.Entry, l.Target}
	}, linked)
}

// linked tells from a second look whether a link was made.
func linked(l *Link, e provisioner.Entry, exists bool) Result {
	switch {
	case exists && e.Target == l.Target && (e.Device == l.Device.String() || l.Device == disk.Number{}):
		return ResultCreated
	case exists:
		return ResultFailed
	}
	return ResultNotDone
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
type second func(l *Link, e provisioner.Entry, exists bool) Result

// act performs one step for each link, all steps of a node in one exec. Where
// the end of a step was not seen, the node is looked at again.
func act(ctx context.Context, links []*Link, r Runner, step func(*Link) []string, seen second) {
	if len(links) == 0 {
		return
	}
	links = slices.DeleteFunc(slices.Clone(links), unspeakable)
	byNode, order := group(links)
	jobs := make([]Job, 0, len(order))
	for _, node := range order {
		job := Job{Node: node}
		for _, l := range byNode[node] {
			job.Steps = append(job.Steps, step(l))
		}
		jobs = append(jobs, job)
	}
	var unclear []*Link
	for i, answer := range r.Run(ctx, jobs) {
		unclear = append(unclear, settle(byNode[jobs[i].Node], answer, ctx.Err() != nil)...)
	}
	look(ctx, unclear, r, seen)
}

// unspeakable fails a link with a line break in a name, which only a name that
// somebody else gave an entry can have: the words of a step are lines.
func unspeakable(l *Link) bool {
	if !strings.ContainsAny(l.Entry+l.Target, "\n\r") {
		return false
	}
	l.Result, l.Detail = ResultFailed, "there is a line break in its name or target"
	return true
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

// settle writes down what a node said of its steps, and returns the links of
// which it said nothing, and which may have been performed all the same.
func settle(links []*Link, a Answer, cancelled bool) (unclear []*Link) {
	records, err := nodescript.Records(a.Out)
	if a.Err != nil {
		err = a.Err
	}
	for i, l := range links {
		if i < len(records) && records[i].Kind == "step" && records[i].Get("entry") == l.Entry {
			said(l, records[i].Get("result"), records[i].Get("detail"))
			continue
		}
		l.Detail = "the node said nothing of it"
		if err != nil {
			l.Detail = err.Error()
		}
		switch {
		case cancelled && (a.NotStarted || i >= a.Begun):
			l.Result, l.Detail = ResultNotDone, "the run ended before it began"
			continue
		case a.NotStarted:
			l.Result = ResultFailed
			continue
		case i >= a.Begun:
			l.Result, l.Detail = ResultNotDone, "not begun: "+l.Detail
			continue
		}
		l.Result = ResultUnknown
		unclear = append(unclear, l)
	}
	return unclear
}

// said translates the words of link.sh.
func said(l *Link, result, detail string) {
	l.Detail = detail
	switch result {
	case "created", "restored":
		l.Result = ResultCreated
	case "unchanged":
		l.Result = ResultUnchanged
	case "removed", "absent":
		l.Result = ResultUnlinked
	case "changed":
		l.Result, l.Detail = ResultFailed, "device changed: "+detail
	case "linked":
		l.Result, l.Detail = ResultFailed, "the disk was linked meanwhile, as "+detail
	case "taken":
		l.Result, l.Detail = ResultFailed, "the name was taken meanwhile: "+detail
	case "locked":
		l.Result = ResultFailed
	default:
		l.Result, l.Detail = ResultFailed, fmt.Sprintf("%s (%s)", detail, result)
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
		view, err := nodescript.Parse(answer.Out)
		if answer.Err != nil {
			err = answer.Err
		}
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
			if result == ResultNotDone && view.Linking != disk.No {
				// A command whose caller is gone goes on.
				l.Detail += "; looking again: not yet, and the node may still be at it"
				continue
			}
			l.Result = result
			l.Detail = "seen when looking again: " + l.Detail
		}
	}
}
