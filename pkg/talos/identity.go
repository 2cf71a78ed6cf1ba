// SPDX-License-Identifier: Apache-2.0

package talos

import "time"

// Identity is as whom a context speaks to the Talos API.
type Identity struct {
	// Context is the context's name in the talosconfig.
	Context string
	// Roles are the Talos roles in the client certificate, sorted: os:reader, os:operator, os:admin, …
	// None: the context signs its requests in another way (Omni), and the server knows them.
	Roles []string
	// NotAfter is when the client certificate ends; zero: there is none.
	NotAfter time.Time
	// Endpoints are where requests go.
	Endpoints []string
}

// Expired tells whether the client certificate has ended.
func (i Identity) Expired(now time.Time) bool {
	return !i.NotAfter.IsZero() && now.After(i.NotAfter)
}

// Identity is as whom the context speaks.
func (c *Config) Identity() Identity { return c.identity }

// Expired tells whether the context's client certificate has ended.
func (c *Config) Expired(now time.Time) bool { return c.identity.Expired(now) }
