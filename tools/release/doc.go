// SPDX-License-Identifier: Apache-2.0

// Package release has the tests of a release: what goreleaser makes of the tree is installed by krew and run by kubectl, as its
// users do. It must not hold anything else. "make release-test" runs it, and gets goreleaser for it.
package release
