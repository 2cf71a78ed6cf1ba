// SPDX-License-Identifier: Apache-2.0

// Package doctor says which link of the chain from a disk to a pod is broken, proves
// it, and names what mends it. It decides from a snapshot alone: checks are values
// in one table, and an engine runs them, so that a check that lacks its evidence
// is unknown and never fine, and a cause hides its symptoms.
//
// No client, no clock and no I/O may enter; the time is the snapshot's.
package doctor
