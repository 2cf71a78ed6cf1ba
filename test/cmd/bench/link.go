// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/talosdisk/kubectl-talosdisk/test/lab"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// rounds of each contestant, one after the other in every round, so that what
// else the machine does hits all alike.
const rounds = 7

type bench struct {
	*lab.Lab
	namespace, selector string
	class               manifests.Class
}

// link compares `link` with the loop that people write today, and with the
// least that any program could do: list the pods, and one exec in each.
func (b *bench) link(ctx context.Context, disks []string) error {
	contestants := []struct {
		name string
		run  func(context.Context, []string) error
	}{{"link", b.ours}, {"loop", b.loop}, {"floor", b.floor}}
	took := make(map[string][]time.Duration)
	for range rounds + 1 {
		for _, c := range contestants {
			if err := b.unlinkAll(ctx); err != nil {
				return err
			}
			start := time.Now()
			if err := c.run(ctx, disks); err != nil {
				return fmt.Errorf("%s of %d disks: %w", c.name, len(disks), err)
			}
			took[c.name] = append(took[c.name], time.Since(start))
			if c.name != "floor" {
				if err := b.check(ctx, disks); err != nil {
					return fmt.Errorf("after %s: %w", c.name, err)
				}
			}
		}
	}
	// The first round warmed caches up.
	ours, loop, floor := median(took["link"][1:]), median(took["loop"][1:]), median(took["floor"][1:])
	size := fmt.Sprintf("%dx%d", len(b.Nodes()), len(disks))
	fmt.Fprintf(os.Stderr, "%s: link %s, loop %s, floor %s\n", size, ours.Round(time.Millisecond), loop.Round(time.Millisecond),
		floor.Round(time.Millisecond))
	fmt.Printf("bench link-vs-loop-%s %.2f\n", size, loop.Seconds()/ours.Seconds())
	if len(disks) == 2 {
		fmt.Printf("bench link-vs-floor %.2f\n", ours.Seconds()/floor.Seconds())
	}
	return nil
}

func (b *bench) ours(ctx context.Context, disks []string) error {
	argv := append([]string{"kubectl-talosdisk", "link"}, disks...)
	_, err := b.Output(ctx, append(argv, "--accept", "loop", "--yes", "--wait=false")...)
	return err
}

// loop is `for pod; for disk; kubectl exec mkdir; kubectl exec ln`.
func (b *bench) loop(ctx context.Context, disks []string) error {
	pods, err := b.pods(ctx)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		for _, disk := range disks {
			for _, command := range [][]string{
				{"mkdir", "-p", b.class.MountDir},
				{"ln", "-s", "/dev/" + disk, path.Join(b.class.MountDir, disk)},
			} {
				argv := []string{"kubectl", "-n", b.namespace, "exec", pod, "--"}
				if _, err := b.Output(ctx, append(argv, command...)...); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *bench) floor(ctx context.Context, _ []string) error {
	pods, err := b.pods(ctx)
	if err != nil {
		return err
	}
	var g errgroup.Group
	for _, pod := range pods {
		g.Go(func() error {
			_, err := b.Output(ctx, "kubectl", "-n", b.namespace, "exec", pod, "--", "true")
			return err
		})
	}
	return g.Wait()
}

func (b *bench) pods(ctx context.Context) ([]string, error) {
	out, err := b.Output(ctx, "kubectl", "-n", b.namespace, "get", "pods", "-l", b.selector, "-o", "name")
	return strings.Fields(out), err
}

// unlinkAll empties the class directory of every node.
func (b *bench) unlinkAll(ctx context.Context) error {
	for _, n := range b.Nodes() {
		if _, err := n.Exec(ctx, "find", b.class.HostDir, "-type", "l", "-delete"); err != nil {
			return err
		}
	}
	return nil
}

// check sees that a contestant did the work that it was timed for.
func (b *bench) check(ctx context.Context, disks []string) error {
	for _, n := range b.Nodes() {
		out, err := n.Exec(ctx, "find", b.class.HostDir, "-type", "l", "-printf", "%f\n")
		if err != nil {
			return err
		}
		got := strings.Fields(out)
		slices.Sort(got)
		if !slices.Equal(got, disks) {
			return fmt.Errorf("node %q has the links %q, not %q", n.Name(), got, disks)
		}
	}
	return nil
}

func median(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
