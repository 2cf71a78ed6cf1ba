// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"github.com/spf13/pflag"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// talosFlags say how to reach the Talos API, and as whom.
type talosFlags struct {
	Config, Context string
	Endpoints       []string
}

// AddFlags adds --talosconfig, --talos-context and --talos-endpoints.
func (f *talosFlags) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&f.Config, "talosconfig", f.Config,
		"Path of the talosconfig. Default: where talosctl looks (TALOSCONFIG, TALOS_HOME, ~/.talos/config).")
	fs.StringVar(&f.Context, "talos-context", f.Context, "Context of the talosconfig. Default: its current one.")
	fs.StringSliceVar(&f.Endpoints, "talos-endpoints", f.Endpoints,
		"Control-plane nodes whose Talos API is asked, comma-separated. Default: those of the context.")
}

// ToOptions returns what the flags say; the talosconfig is read by who connects.
func (f *talosFlags) ToOptions() talos.Options {
	return talos.Options{Path: f.Config, Context: f.Context, Endpoints: f.Endpoints}
}
