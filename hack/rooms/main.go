// SPDX-License-Identifier: Apache-2.0

// Command rooms draws which packages there are and which imports which, as "go list" tells, in the layers that docs/design.md
// names. A package that no layer names, or an import that runs upwards, is an error.
//
//	go run ./hack/rooms PICTURE.svg
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: rooms PICTURE.svg")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := write(ctx, os.Args[1])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(ctx context.Context, to string) error {
	picture, err := draw(ctx, ".")
	if err != nil {
		return err
	}
	return os.WriteFile(to, picture, 0o644)
}

// draw is the picture of the module whose root is dir.
func draw(ctx context.Context, dir string) ([]byte, error) {
	imports, err := list(ctx, dir)
	if err != nil {
		return nil, err
	}
	rows, err := arrange(layers(), imports)
	if err != nil {
		return nil, err
	}
	return svg(rows, direct(imports)), nil
}
