// SPDX-License-Identifier: Apache-2.0

// Package release holds the tests of what a release is made of: the files that tell the release tools what to do agree with
// each other and with the program. It must not hold anything else.
package release
