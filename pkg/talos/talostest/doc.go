// SPDX-License-Identifier: Apache-2.0

// Package talostest is a Talos node for tests: a gRPC server with mutual TLS that
// answers a part of the Talos API as a node of a given release does, roles,
// refusals and texts included. What it says follows recordings of a Talos v1.14
// node and the source of v1.6 to v1.14; testdata holds the recorded facts.
//
// Below the API is a Machine: files, processes and a kubelet. The one built in, Sim,
// is a directory; a test cluster puts a real kubelet there. Beside it is a Storage: the
// disks. Those built in are values; a test cluster has loop devices. Nothing here runs
// outside of tests and demonstrations.
package talostest
