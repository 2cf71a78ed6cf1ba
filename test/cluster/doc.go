// SPDX-License-Identifier: Apache-2.0

// Package cluster runs a real Kubernetes on one Linux machine for tests: etcd,
// the API server, the controller manager, the scheduler, and nodes with a
// containerd and a kubelet each, in namespaces, started in seconds.
//
// What is special about it is what a node looks like. Its kubelet runs in a
// container with the mounts that Talos gives it and no others, so a directory
// such as /var/lib/disks is there on the node but not for the kubelet; and its
// /dev holds disks that tests add, swap and remove. See Node.
//
// Nothing of it outlives it: see Up for who ends it when.
package cluster
