// SPDX-License-Identifier: Apache-2.0

package talos

import (
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
)

// Options are the flags that choose a talosconfig and what is used of it.
type Options struct {
	// Path is --talosconfig; empty: where talosctl looks.
	Path string
	// Context is --talos-context; empty: the file's current one.
	Context string
	// Endpoints are --talos-endpoints; none: the context's.
	Endpoints []string
}

// Config is one context of a talosconfig: how to reach a cluster's Talos API, and as whom.
type Config struct {
	path     string
	name     string
	context  *clientconfig.Context
	identity Identity
}

// Load reads the talosconfig that o and the environment choose.
func Load(o Options, env func(string) string) (*Config, error) {
	return nil, nil
}
