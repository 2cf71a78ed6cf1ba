// SPDX-License-Identifier: Apache-2.0

// Package change has the words of all plans: what is to be done to a thing on a node, and what came of it. They are printed, are in the
// JSON of every command that changes something, and stay as they are. It must not know what the things are.
package change

// Action is what a plan has for a thing.
type Action string

// The actions.
const (
	Create Action = "create"
	Remove Action = "remove"
	Patch  Action = "patch"
	// Keep: it is as it should be.
	Keep Action = "unchanged"
	// Refuse: it is not safe, or not possible; the plan says why.
	Refuse Action = "refuse"
	// Skip: too little is known, so nothing is planned.
	Skip Action = "skip"
)

// Would is the result that the action has when all goes well.
func (a Action) Would() Result {
	switch a {
	case Create:
		return Created
	case Remove:
		return Unlinked
	case Patch:
		return Patched
	case Keep:
		return Unchanged
	case Refuse:
		return Refused
	}
	return Unknown
}

// Result is what came of an action.
type Result string

// The results.
const (
	Created   Result = "created"
	Unlinked  Result = "unlinked"
	Patched   Result = "patched"
	Staged    Result = "staged"
	Unchanged Result = "unchanged"
	Refused   Result = "refused"
	Failed    Result = "failed"
	// RolledBack: it was in force, and is as before again.
	RolledBack Result = "rolled back"
	// Tried: it is in force, is not kept, and Talos will take it back.
	Tried Result = "tried"
	// Unknown: the end of the action was not seen.
	Unknown Result = "unknown"
	// NotDone: the run ended before.
	NotDone Result = "not done"
)

// Done reports whether the thing is now as it was meant to be, by what was done or will be in force after the next reboot.
func (r Result) Done() bool {
	switch r {
	case Created, Unlinked, Patched, Staged:
		return true
	}
	return false
}
