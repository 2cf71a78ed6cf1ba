// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
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
	_ = o.within(t.Context(), func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); bounded {
			t.Error("no --timeout, but a deadline")
		}
		return nil
	})
}

// What a timeout interrupts says that it was the timeout.
func TestTimeout(t *testing.T) {
	o := runOptions{Timeout: time.Nanosecond}
	for name, test := range map[string]struct {
		err  func(context.Context) error
		want string
	}{
		"bare": {err: func(ctx context.Context) error { return ctx.Err() }, want: "the run was not over after 1ns"},
		"a request": {
			err:  func(ctx context.Context) error { return &url.Error{Op: "Get", URL: "https://k", Err: ctx.Err()} },
			want: "the run was not over after 1ns",
		},
		"knows more": {
			err:  func(ctx context.Context) error { return failure.Wrap(ctx.Err(), "two nodes were done", "") },
			want: "two nodes were done",
		},
		"another": {err: func(context.Context) error { return errors.New("forbidden") }, want: "forbidden"},
		"none":    {err: func(context.Context) error { return nil }},
	} {
		err := o.within(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return test.err(ctx)
		})
		if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
