// SPDX-License-Identifier: Apache-2.0

// Package image makes the container images of the test cluster, without a
// container engine and without a registry: a Debian root by debootstrap, the
// stand-in provisioner on top of it, and a busybox for workloads, in one
// archive that `ctr images import` takes.
//
// debootstrap needs root. What the package makes is kept in a cache directory
// under names that tell what it was made from, so only a change is built.
package image
