// SPDX-License-Identifier: Apache-2.0

// Package manifests returns the Kubernetes objects that the tests apply: the
// local static provisioner as its chart 2.9.0 renders it, and claims and pods
// that use its volumes. They hold what a user's cluster holds, so what a test
// finds by label, name or key here it finds there.
package manifests
