// SPDX-License-Identifier: Apache-2.0

// Command testimage makes the images of the test cluster and prints the path
// of the archive, for a person who wants to import it by hand and for CI jobs
// that fill a cache.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/talosdisk/kubectl-talosdisk/test/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cacheDir, err := image.CacheDir()
	if err != nil {
		return err
	}
	path, err := image.Build(ctx, cacheDir, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}
