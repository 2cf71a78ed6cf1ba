// SPDX-License-Identifier: Apache-2.0

// Package talos is the edge to the Talos API: which talosconfig, which node has
// which address, typed reads, machine configurations as bytes, and applying them.
//
// It is the only package that imports Talos machinery. It decides nothing.
package talos
