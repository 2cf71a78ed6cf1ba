// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/image"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// The one cluster of all tests, and the plugin under test.
var (
	theCluster *cluster.Cluster
	pluginDir  string // for PATH: kubectl-talosdisk and kubectl_complete-talosdisk
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := cluster.Supported(); err != nil {
		if os.Getenv("CI") == "true" {
			fmt.Fprintln(os.Stderr, "FAIL: no test cluster:", err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "SKIP: no test cluster:", err)
		return
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

// runTests runs the tests on a cluster of their own; with E2E_REUSE=1, to
// develop them, on one that stays.
func runTests(m *testing.M) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "talosdisk-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := buildPlugin(ctx, dir); err != nil {
		return 1, err
	}
	reuse := os.Getenv("E2E_REUSE") == "1"
	theCluster, err = start(ctx, reuse, os.Stderr)
	if err != nil {
		return 1, err
	}
	if !reuse {
		// Not bound to the context: after a ^C there is most to take down.
		defer func() { err = errors.Join(err, theCluster.Down(context.WithoutCancel(ctx))) }()
	}
	ended := make(chan int, 1)
	go func() { ended <- m.Run() }()
	select {
	case code = <-ended:
		return code, nil
	case <-ctx.Done():
		return 1, errors.New("interrupted")
	}
}

func start(ctx context.Context, reuse bool, progress io.Writer) (*cluster.Cluster, error) {
	cache, err := image.CacheDir()
	if err != nil {
		return nil, err
	}
	archive, err := image.Build(ctx, cache, progress)
	if err != nil {
		return nil, err
	}
	if reuse {
		c, err := cluster.Open()
		if err == nil {
			return c, c.Reset(ctx)
		}
		if !errors.Is(err, cluster.ErrNotUp) {
			return nil, err
		}
	}
	return cluster.Up(ctx, cluster.Options{Images: []string{archive}, OSImage: talosnode.OSImage, Detach: reuse, Progress: progress})
}

// buildPlugin builds the program as a release is built, except for the version.
func buildPlugin(ctx context.Context, dir string) error {
	pluginDir = dir
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(dir, "kubectl-talosdisk"), "./cmd/kubectl-talosdisk")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the plugin: %w: %s", err, out)
	}
	return os.Symlink("kubectl-talosdisk", filepath.Join(dir, "kubectl_complete-talosdisk"))
}
