// SPDX-License-Identifier: Apache-2.0

// Package link decides which symlinks to disks may be made and taken away in the
// class directories of the provisioner, and carries that out through the
// provisioner's pods.
//
// Plan and PlanUnlink are functions of a snapshot. Apply and the other acts reach
// nodes only through Runner; on the node, link.sh checks everything again under a
// lock before it changes anything.
package link
