// SPDX-License-Identifier: Apache-2.0

// Package disk says what a block device of a node is: its facts, its identity,
// the names it can be linked by, and what speaks against linking it.
//
// Everything here is a value or a function of values. No I/O, no Kubernetes and
// no other package of this module may enter.
package disk
