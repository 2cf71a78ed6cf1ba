// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/link"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos"
)

// asked tells whether a person asked for the Talos API, rather than that it is used
// where it happens to be at hand.
func (o talosOptions) asked() bool { return o.Path != "" || o.Context != "" || len(o.Endpoints) > 0 }

// askTalos makes observe ask the Talos API too. That it cannot be used is an error
// only if it was asked for; otherwise the snapshot says why.
func (c *cluster) askTalos(ctx context.Context, o talosOptions) error {
	client, err := o.connect(ctx)
	switch {
	case err == nil:
		c.talos = client
	case o.asked():
		return err
	default:
		c.noTalos, c.talosMissing = err.Error(), errors.Is(err, talos.ErrNotConfigured)
	}
	return nil
}

// noteNoTalos says what is not known without the Talos API.
func (c *cluster) noteNoTalos(s *snapshot.Snapshot, what string) {
	if s.NoTalos != "" {
		fmt.Fprintf(c.shared.ErrOut, "note: without the Talos API: %s; %s\n", s.NoTalos, what)
	}
}

// warnTalos says of which nodes Talos did not tell, or not all.
func (c *cluster) warnTalos(s *snapshot.Snapshot) {
	style := c.shared.Colour.Style(c.shared.ErrOut)
	for _, u := range link.TalosUnread(s) {
		fmt.Fprintf(c.shared.ErrOut, "%s what Talos uses on %s is not known, the pods' view has to do: %s\n", style.Warning("warning:"), some(u.Nodes), u.Why)
	}
}

// talosUnread are the parts of an error about the same.
func talosUnread(s *snapshot.Snapshot) []failure.Part {
	var parts []failure.Part
	for _, u := range link.TalosUnread(s) {
		parts = append(parts, failure.Part{Subject: "the Talos API of " + some(u.Nodes), Err: errors.New(u.Why)})
	}
	return parts
}

// some are nodes by name, the first of them if there are many.
func some(nodes []string) string {
	const most = 5
	word := "node "
	if len(nodes) > 1 {
		word = "nodes "
	}
	if len(nodes) > most {
		return fmt.Sprintf("%s%s and %d more", word, strings.Join(nodes[:most], ", "), len(nodes)-most)
	}
	return word + strings.Join(nodes, ", ")
}
