// SPDX-License-Identifier: Apache-2.0

// Command licences writes the licence texts and notices of all that is linked into a release, Go's standard library among it: most
// licences ask that a copy of the program brings them along. goreleaser runs it, and puts the file into every archive.
//
//	go run ./hack/licences FILE
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: licences FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func write(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	components, err := linked(ctx)
	if err != nil {
		return err
	}
	text, err := document(components)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}
