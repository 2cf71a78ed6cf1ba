// SPDX-License-Identifier: Apache-2.0

package nodescript

import (
	"errors"
	"slices"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Step is one change of a class directory: a verb of link.sh and its words.
type Step []string

// LinkStep links a disk, provided that the node's record of it still has the fingerprint. target is the link's content.
func LinkStep(name string, number disk.Number, fingerprint, dir, entry, target string) Step {
	return Step{"link", name, number.String(), fingerprint, dir, entry, target}
}

// UnlinkStep removes a link that has this content.
func UnlinkStep(dir, entry, target string) Step { return Step{"unlink", dir, entry, target} }

// RestoreStep makes a link again that was there before, also one that leads nowhere.
func RestoreStep(dir, entry, target string) Step { return Step{"restore", dir, entry, target} }

// Sendable reports whether a step reaches the node as it is: its words are lines, and a name that somebody else gave an entry
// can have a line break.
func (s Step) Sendable() bool {
	return !slices.ContainsFunc(s, func(word string) bool { return strings.ContainsAny(word, "\n\r") })
}

// entry is the name in the class directory; every verb has it before its last word.
func (s Step) entry() string { return s[len(s)-2] }

// lines are what the node reads.
func (s Step) lines() string { return strings.Join(s, "\n") + "\n" }

// Job is what is to be done on one node.
type Job struct {
	Node  string
	Steps []Step
}

// Answer is what a node said.
type Answer struct {
	// Out is what it said, also if it was cut short: of a look all that it sees, of steps a record for each that was answered.
	Out string
	// Err is nil only if all of Out was seen.
	Err error
	// NotStarted is set where it is certain that no step was begun.
	NotStarted bool
	// Begun is how many steps the node was given; the others were certainly not begun.
	Begun int
}

// View is what the node said that it sees.
func (a Answer) View() (snapshot.PodView, error) {
	if a.Err != nil {
		return snapshot.PodView{}, a.Err
	}
	return Parse(a.Out)
}

// StepAnswer is what a node said of one step.
type StepAnswer struct {
	// Answered is false where the node said nothing of the step.
	Answered bool
	Outcome  StepOutcome
	// Detail is more of it, in the node's words.
	Detail string
}

// StepOutcome is link.sh's word for what became of a step.
type StepOutcome string

// The words.
const (
	StepCreated   StepOutcome = "created"
	StepUnchanged StepOutcome = "unchanged"
	StepRestored  StepOutcome = "restored"
	StepRemoved   StepOutcome = "removed"
	// StepAbsent: there was nothing to remove.
	StepAbsent StepOutcome = "absent"
	// StepChanged: the node is no longer as it was when this was decided.
	StepChanged StepOutcome = "changed"
	// StepLinked: an entry, which is the detail, leads to the disk already.
	StepLinked StepOutcome = "linked"
	// StepTaken: something else has the name.
	StepTaken StepOutcome = "taken"
	// StepLocked: another run on the node did not end in time.
	StepLocked StepOutcome = "locked"
	StepFailed StepOutcome = "failed"
)

// errSilent is why nothing is known of a step of a node that seems to have said everything.
var errSilent = errors.New("the node said nothing of it")

// Steps are the answers to the steps, in their order. The error is why nothing is known of a step that was not answered.
func (a Answer) Steps(steps []Step) ([]StepAnswer, error) {
	records, err := Records(a.Out)
	switch {
	case a.Err != nil:
		err = a.Err
	case err == nil:
		err = errSilent
	}
	answers := make([]StepAnswer, len(steps))
	for i, step := range steps {
		if i < len(records) && records[i].Kind == "step" && records[i].Get("entry") == step.entry() {
			answers[i] = StepAnswer{Answered: true, Outcome: StepOutcome(records[i].Get("result")), Detail: records[i].Get("detail")}
		}
	}
	return answers, err
}
