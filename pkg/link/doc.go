// SPDX-License-Identifier: Apache-2.0

// Package link decides which symlinks to disks may be made and removed in the class directories of the provisioner, and which
// steps of package nodescript do that.
//
// Decide and DecideUnlink are functions of a snapshot. Apply and the other acts reach nodes only through Runner; on the node, the
// script checks everything again under a lock before it changes anything.
package link
