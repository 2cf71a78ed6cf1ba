// SPDX-License-Identifier: Apache-2.0

// Package talosnode gives a test cluster the Talos API: beside each node runs one that
// answers for it. What it says of files, processes and the kubelet is true of the
// node, and a machine configuration that it is sent restarts the node's kubelet and makes
// its volumes on the node's disks.
package talosnode
