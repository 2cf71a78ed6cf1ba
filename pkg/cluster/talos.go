// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"os"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// DialTalos reads the talosconfig, by the options or else where talosctl looks. Nothing is asked of the API yet.
func DialTalos(ctx context.Context, o talos.Options) (*talos.Client, error) {
	config, err := talos.Load(o, os.Getenv)
	if err != nil {
		return nil, err
	}
	return talos.New(ctx, config)
}

// AskTalos makes every look at nodes ask the Talos API, too. That it cannot be used is an error only if a person asked for it with the
// options; otherwise snapshots say why.
func (c *Cluster) AskTalos(ctx context.Context, o talos.Options) error {
	client, err := DialTalos(ctx, o)
	switch {
	case err == nil:
		c.talos = client
	case o.Asked():
		return err
	default:
		c.noTalos, c.noTalosconfig = problem.From(err), errors.Is(err, talos.ErrNotConfigured)
	}
	return nil
}

// NoTalosconfig reports whether AskTalos found no talosconfig at all.
func (c *Cluster) NoTalosconfig() bool { return c.noTalosconfig }
