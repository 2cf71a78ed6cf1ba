// SPDX-License-Identifier: Apache-2.0

// Package doctor says which link of the chain from a disk to a pod is broken, proves
// it, and names what fixes it. It decides from a snapshot alone: checks are values
// in lists, and an engine runs them, so that a check that lacks its evidence
// is unknown and never fine, and a cause hides its symptoms.
//
// No client, no clock and no I/O may enter; the time is the snapshot's.
//
// Its files are of three parts, and a test holds that they use each other in this order only:
//
//   - the engine (engine.go, check.go, report.go, chain.go, fix.go) asks each check about each subject, hides what a cause
//     explains, tries the steps on a copy of the snapshot before it prints them, and makes the report;
//   - checks_STAGE.go has the checks of a stage: their codes, the list with one literal a check (what it needs, what it uses,
//     what it runs), and what they run;
//   - facts_*.go are what checks ask of a snapshot: its subjects, events, the messages of kubelets and schedulers, and what
//     node, provisioner and kubelet see of a path.
//
// A new check is a literal and its function in the file of its stage, a page in docs/codes, and its tests.
package doctor
