// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Code names a check: codeUnseenDirectory. A code is never given to another check.
type Code string

// Severity is how bad a finding is.
type Severity string

// The severities, the worst first.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Severities are all of them, the worst first.
func Severities() []Severity { return []Severity{Error, Warning, Info} }

// AtLeast reports whether s is as bad as o, or worse.
func (s Severity) AtLeast(o Severity) bool {
	return slices.Index(Severities(), s) <= slices.Index(Severities(), o)
}

// Stage is the part of the chain that a check is about.
type Stage string

// The stages. A cause is looked for in this order.
const (
	StageAccess      Stage = "access"
	StageClaim       Stage = "claim"
	StageVolume      Stage = "volume"
	StageProvisioner Stage = "provisioner"
	StageHost        Stage = "host"
	StageKubelet     Stage = "kubelet"
	StageLink        Stage = "link"
	StagePod         Stage = "pod"
)

// Stages are all of them, in order.
func Stages() []Stage {
	return []Stage{StageAccess, StageClaim, StageVolume, StageProvisioner, StageHost, StageKubelet, StageLink, StagePod}
}

// Step is one thing to do: a command to paste, or words where no command can do it.
type Step struct {
	Text    string `json:"text,omitempty"`
	Command string `json:"command,omitempty"`

	// operation is what the command does, where the program can decide whether it would.
	operation operation
}

// Finding is one thing that is wrong, on however many objects. Texts are without
// capitals at their beginning and without a full stop.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// Summary is one sentence.
	Summary string `json:"summary"`
	// Because is why, Evidence what was seen that proves it.
	Because  string   `json:"because,omitempty"`
	Evidence []string `json:"evidence,omitempty"`
	Fix      []Step   `json:"fix,omitempty"`
	// Objects are what is affected, Nodes where.
	Objects []snapshot.Ref `json:"objects,omitempty"`
	Nodes   []string       `json:"nodes,omitempty"`
	// Path is the directory of the node that it is about.
	Path string `json:"path,omitempty"`
	// Masks are what this one explains: findings with these codes about the same
	// chain, or the same node, are symptoms. With a Path, only those of volumes in it.
	Masks []Code `json:"masks,omitempty"`

	stage Stage
	// class is the provisioner's that it is about, if it is about one.
	class string
	// narrow: it is about what lies at its Path, and shows in no other chain, nor in any without a Path.
	narrow bool
	// each is how many steps fix the first object.
	each int
	// nodesOf are the nodes that a step is for, where not all of the finding's need it.
	nodesOf map[Step][]string
}

// How much of a finding a person reads: of a thousand pods with the same cause a few tell,
// and what fixes one of them tells how the others are fixed.
const (
	mostEvidence = 5
	mostSteps    = 6
)

// Brief is the finding with the evidence and the steps that a person reads, and how many
// of each are left out. Of the steps, those of the first object are there to the last.
func (f Finding) Brief() (brief Finding, evidence, steps int) {
	keep := len(f.Fix)
	if keep > mostSteps && f.each > 0 {
		keep = min(f.each, keep)
	}
	evidence, steps = max(0, len(f.Evidence)-mostEvidence), len(f.Fix)-keep
	f.Evidence, f.Fix = f.Evidence[:len(f.Evidence)-evidence], f.Fix[:keep]
	return f, evidence, steps
}

// Mark says how a link of a chain is.
type Mark string

// The marks.
const (
	MarkOK      Mark = "ok"
	MarkBroken  Mark = "broken"
	MarkUnknown Mark = "unknown"
	// MarkSkipped: it does not matter, for a link before it is broken.
	MarkSkipped Mark = "skipped"
)

// Link is one link of a chain.
type Link struct {
	Name string `json:"name"`
	Mark Mark   `json:"mark"`
	Text string `json:"text"`
}

// Chain is one way from a pod to a disk.
type Chain struct {
	// Target is the object that the chain begins with, Title the same for a person:
	// "pod/nginx in default, on worker-4".
	Target snapshot.Ref `json:"target"`
	Title  string       `json:"title"`
	// What follows is as far as it is known.
	Claim  string `json:"claim,omitempty"`
	Volume string `json:"volume,omitempty"`
	Node   string `json:"node,omitempty"`
	Path   string `json:"path,omitempty"`
	// Class is the claim's or the volume's, Disk the device that the path leads to, or that
	// is mounted there: "vdf".
	Class string `json:"class,omitempty"`
	Disk  string `json:"disk,omitempty"`
	Links []Link `json:"links"`
	// Codes are those of the findings about it that are no symptoms of others.
	Codes []Code `json:"codes,omitempty"`
}

// Outcome is what came of one check on one subject.
type Outcome string

// The outcomes.
const (
	OutcomeOK      Outcome = "ok"
	OutcomeFinding Outcome = "finding"
	// OutcomeMasked: there is a finding, and another one explains it.
	OutcomeMasked Outcome = "masked"
	// OutcomeUnknown: what it needs could not be read.
	OutcomeUnknown Outcome = "unknown"
	// OutcomeNone: the check has nothing to do with the subject; or, with a reason, what it
	// asks cannot be known, or not yet.
	OutcomeNone Outcome = "not-applicable"
)

// Result is what came of one check on one subject, and why.
type Result struct {
	Code    Code    `json:"code"`
	Subject string  `json:"subject"`
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why,omitempty"`
	// leftOut: its findings are about directories that were not asked for.
	leftOut bool
}

// Report is all that a diagnosis says.
type Report struct {
	Chains []Chain `json:"chains,omitempty"`
	// Findings are the causes, the worst first.
	Findings []Finding `json:"findings,omitempty"`
	// Masked are the symptoms that the causes explain.
	Masked []Finding `json:"masked,omitempty"`
	// Missing are the targets that are not there.
	Missing []snapshot.Ref `json:"missing,omitempty"`
	Results []Result       `json:"results,omitempty"`
}

// Problems counts the findings as bad as s, or worse.
func (r Report) Problems(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity.AtLeast(s) {
			n++
		}
	}
	return n
}

// NoQuestion are the results of what cannot be known, or not yet, and why. They are not ok,
// and looking elsewhere would not help.
func (r Report) NoQuestion() []Result {
	var none []Result
	for _, result := range r.Results {
		if result.Outcome == OutcomeNone && result.Why != "" && !result.leftOut {
			none = append(none, result)
		}
	}
	return none
}

// Incomplete reports whether something that a diagnosis needs was not seen: a result is unknown,
// or a right is missing, although nothing that there is happens to ask for what it shows.
func (r Report) Incomplete() bool {
	return len(r.Unknown()) > 0 || slices.ContainsFunc(r.Findings,
		func(f Finding) bool { return f.Code == CodeRights && f.Severity.AtLeast(Warning) })
}

// Unknown are the results that could not be found out.
func (r Report) Unknown() []Result {
	var unknown []Result
	for _, result := range r.Results {
		if result.Outcome == OutcomeUnknown {
			unknown = append(unknown, result)
		}
	}
	return unknown
}
