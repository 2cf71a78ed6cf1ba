// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestNodeFlags(t *testing.T) {
	parse := func(args ...string) (nodeOptions, error) {
		f := &nodeFlags{}
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		f.AddFlags(fs)
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		return f.ToOptions()
	}
	all, err := parse()
	if err != nil || !all.Selector.Empty() {
		t.Errorf("no flags: %+v, %v", all, err)
	}
	some, err := parse("--nodes", "w-1,cp-*", "--nodes=x", "-l", "disk=ssd")
	if err != nil || !slices.Equal(some.Patterns, []string{"w-1", "cp-*", "x"}) || some.Selector.String() != "disk=ssd" {
		t.Errorf("%+v, %v", some, err)
	}
	for _, args := range [][]string{{"--nodes", "[a"}, {"--nodes", "a,,b"}, {"-l", "a b"}} {
		if _, err := parse(args...); err == nil || !strings.HasPrefix(err.Error(), "--") {
			t.Errorf("%q: error %v", args, err)
		}
	}
}

func TestRunFlags(t *testing.T) {
	o, err := newRunFlags().ToOptions()
	if err != nil || o != (runOptions{Concurrency: 16, NodeTimeout: 30 * time.Second}) {
		t.Errorf("%+v, %v", o, err)
	}
	for _, f := range []runFlags{{}, {Concurrency: 1, NodeTimeout: -1}, {Concurrency: 1, Timeout: -1}} {
		if _, err := f.ToOptions(); err == nil {
			t.Errorf("%+v is accepted", f)
		}
	}
	ctx, cancel := runOptions{Timeout: time.Nanosecond}.Context(t.Context())
	defer cancel()
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not over after 1ns") {
		t.Errorf("cause %v", err)
	}
	ctx, cancel = runOptions{}.Context(t.Context())
	if _, bounded := ctx.Deadline(); bounded {
		t.Error("no --timeout, but a deadline")
	}
	cancel()
}
