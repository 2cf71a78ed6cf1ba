// SPDX-License-Identifier: Apache-2.0

// Command bench compares whole processes, in one run on the test cluster, and
// prints ratios: the machine may be slow or busy, but it is so for all of them.
//
//	bench [startup|link|doctor]...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/lab"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) (err error) {
	benchmarks := map[string]func(*bench, context.Context) error{
		"startup": (*bench).startup,
		"link":    (*bench).links,
		"doctor":  (*bench).doctor,
	}
	if len(names) == 0 {
		names = []string{"startup", "link", "doctor"}
	}
	for _, name := range names {
		if benchmarks[name] == nil {
			return fmt.Errorf("there is no benchmark %q", name)
		}
	}
	if err := cluster.Supported(); err != nil {
		return fmt.Errorf("the benchmarks need a real cluster, and this machine cannot have one: %w", err)
	}
	l, err := lab.Up(ctx, os.Stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down(ctx)) }()
	b, err := prepare(ctx, l)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := benchmarks[name](b, ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) links(ctx context.Context) error {
	for _, disks := range [][]string{{"vdb", "vdc"}, {"vdb", "vdc", "vdd", "vde", "vdf", "vdg"}} {
		if err := b.link(ctx, disks); err != nil {
			return err
		}
	}
	return nil
}

// prepare installs a provisioner that looks once an hour: a volume made of one
// round's link would be in the way of the next.
func prepare(ctx context.Context, l *lab.Lab) (*bench, error) {
	for _, n := range l.Nodes() {
		for _, name := range []string{"vdb", "vdc", "vdd", "vde", "vdf", "vdg"} {
			if err := n.AddDisk(cluster.Disk{Name: name, Size: 20 << 30, Serial: n.Name() + "-" + name}); err != nil {
				return nil, err
			}
		}
	}
	p := manifests.Default()
	p.DiscoveryPeriod = time.Hour
	if err := l.Install(ctx, p); err != nil {
		return nil, err
	}
	return &bench{Lab: l, namespace: p.Namespace, selector: "app.kubernetes.io/name=" + p.Name(), class: p.Classes[0]}, nil
}
