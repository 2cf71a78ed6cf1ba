// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/talosdisk/kubectl-talosdisk/pkg/observe"
)

// completeDisks completes the names of whole disks, as the nodes have them now.
func (s *shared) completeDisks(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	names := s.completeFromNodes(cmd.Context(), func(ctx context.Context, c *observe.Observer) []string {
		snap, err := c.Observe(ctx, observe.Request{Parts: observe.OnNodes, Strict: true, Every: true})
		if err != nil {
			return nil
		}
		var found []string
		for _, n := range snap.Nodes {
			if n.View.Value == nil {
				continue
			}
			for _, d := range n.View.Value.Disks {
				if d.Whole() && d.Size > 0 && !slices.Contains(found, d.Name) && !slices.Contains(args, d.Name) {
					found = append(found, d.Name)
				}
			}
		}
		return found
	})
	return withPrefix(names, toComplete), cobra.ShellCompDirectiveNoFileComp
}

// completeClass completes --class with the classes of the provisioner.
func completeClass(s *shared, cmd *cobra.Command) {
	must(cmd.RegisterFlagCompletionFunc("class", func(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		names := s.completeFromNodes(cmd.Context(), func(ctx context.Context, c *observe.Observer) []string {
			snap, err := c.Observe(ctx, observe.Request{Strict: true, Every: true})
			if err != nil {
				return nil
			}
			var found []string
			for _, as := range snap.Installations() {
				for _, class := range as.Install.Classes {
					found = append(found, class.Name)
				}
			}
			slices.Sort(found)
			found = slices.Compact(found)
			return found
		})
		return withPrefix(names, toComplete), cobra.ShellCompDirectiveNoFileComp
	}))
}

// completeFromNodes runs f against the cluster of the flags. Like every
// completion it is silent and ends within completionDeadline.
func (s *shared) completeFromNodes(ctx context.Context, f func(context.Context, *observe.Observer) []string) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionDeadline)
	defer cancel()
	found := make(chan []string, 1)
	go func() {
		common := commonOptions{shared: s, bounds: runOptions(*newRunFlags())}
		c, err := common.connect()
		if err != nil {
			found <- nil
			return
		}
		found <- f(ctx, c.Observer())
	}()
	select {
	case names := <-found:
		return names
	case <-ctx.Done():
		return nil
	}
}

// must is for registrations that only fail if the program is wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
