// SPDX-License-Identifier: Apache-2.0

// Package e2e holds the tests of the whole program: the built kubectl plugin as
// a process, against a real Kubernetes with real kubelets and disks.
//
// What a test asks for it asks of the program's output and, beside it, of the
// nodes and of the API server: what the program says must be what is there.
package e2e
