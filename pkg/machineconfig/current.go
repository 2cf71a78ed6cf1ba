// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"bytes"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Current are the machine configurations that a node has now, as bytes: they hold keys and tokens, and are never printed, logged or
// stored.
type Current struct {
	// Active is the MachineConfig resource "v1alpha1", by which the node runs.
	Active []byte
	// Version is Active's resource version; it changes with every change.
	Version string
	// Persistent is the one on disk, the resource "persistent", which is there once something was applied since boot. Nil: there is none,
	// it is Active.
	Persistent []byte
}

// What is said of a node with another configuration waiting. Applying one now would throw the staged one away, or make the tried one
// stay.
const (
	PendingDetail = "another configuration is staged, or being tried: the one in force is not the one on its disk"
	PendingHint   = "let it end first: reboot the node for a staged one, wait for a tried one to roll back"
)

// Pending reports whether the configuration in force and the one on disk differ.
func (c Current) Pending() bool {
	return c.Persistent != nil && !bytes.Equal(c.Persistent, c.Active)
}

// Tried reports whether a configuration was tried on a node of that release since it booted, and none applied to stay: only a trial
// changes the configuration in force alone, which has version 1 from the boot on (Talos v1.10 to v1.14,
// controllers/config/acquire.go). Whether Talos has taken it back does not show.
func (c Current) Tried(r talosrelease.Release) bool {
	return r.Has(talosrelease.StoredConfig) && c.Persistent == nil && c.Version != "" && c.Version != "1"
}

// Mode is how a configuration is applied. There is no zero value: Talos takes an unset mode for "reboot".
type Mode string

// The modes that are ever sent. AUTO may reboot before v1.14, and is not one.
const (
	// Try puts a configuration in force that rolls back by itself.
	Try Mode = "try"
	// NoReboot puts it in force and keeps it.
	NoReboot Mode = "no-reboot"
	// Staged keeps it for the next boot.
	Staged Mode = "staged"
)

// Error tells the errors of applying apart: errors.Is(err, ErrNotTaken).
type Error string

// ErrNotTaken is every error after which the node's configuration surely stays as it is. After any other the request may be under way,
// and take effect later.
const ErrNotTaken Error = "not taken"

// Error is the error's name.
func (e Error) Error() string { return string(e) }
