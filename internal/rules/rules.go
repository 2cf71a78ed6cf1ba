// SPDX-License-Identifier: Apache-2.0

// Package rules holds the tests of what no compiler checks: which room may import what. It must not hold anything else.
package rules
