// SPDX-License-Identifier: Apache-2.0

package talos

// Kind tells errors apart, with errors.Is.
type Kind string

// The kinds of errors that this package returns. What is of none came as it is.
const (
	ErrNotConfigured Kind = "no talosconfig"        // there is none; Talos was not asked for
	ErrConfig        Kind = "unusable talosconfig"  // missing, unreadable, without the context or its endpoints
	ErrUnreachable   Kind = "unreachable"           // no endpoint, or not the node behind it
	ErrTLS           Kind = "not trusted"           // one of both sides does not know the other's CA
	ErrExpired       Kind = "certificate expired"   // the client's
	ErrDenied        Kind = "role too weak"         //
	ErrForwarding    Kind = "no request forwarding" // the endpoint is a worker
	ErrUnsupported   Kind = "unsupported"           // this release of Talos does not know that
	ErrNotFound      Kind = "not found"             // a resource or a file
	ErrBusy          Kind = "busy"                  // another configuration is just being applied
	ErrInvalid       Kind = "invalid"               // the node refuses the configuration
	ErrOtherNode     Kind = "another node"          // the address belongs to another node
	ErrRestarted     Kind = "restarted"             // the kubelet restarted while it was looked at
)

// Error is the kind's text.
func (k Kind) Error() string { return string(k) }
