// SPDX-License-Identifier: Apache-2.0

// Command picture draws what the doctor says of a snapshot, as a terminal shows it. What it says is the doctor's; the
// picture is none that a person touched up.
//
//	go run ./hack/picture SNAPSHOT PICTURE.svg
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/talosdisk/kubectl-talosdisk/pkg/cmd"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: picture SNAPSHOT PICTURE.svg")
		os.Exit(2)
	}
	if err := write(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(ctx context.Context, snapshot, to string) error {
	picture, err := draw(ctx, snapshot)
	if err != nil {
		return err
	}
	return os.WriteFile(to, picture, 0o644)
}

// draw is the picture of the diagnosis of the pod that a snapshot is of.
func draw(ctx context.Context, snapshot string) ([]byte, error) {
	const pod = "pod/reader"
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &errOut}
	cmd.Execute(ctx, cmd.Deps{Streams: streams}, []string{"doctor", "--from-snapshot", snapshot, "--color=always"})
	if errOut.Len() > 0 || !bytes.HasPrefix(out.Bytes(), []byte(pod+" ")) {
		return nil, fmt.Errorf("doctor --from-snapshot %s: %s%s", snapshot, errOut.String(), out.String())
	}
	return svg(
		"kubectl talosdisk doctor "+pod,
		"A terminal with what kubectl talosdisk doctor prints of a pod that does not start: each link of the chain from the pod to its disk "+
			"with a mark, which of them is broken, by what that is known, and the command that fixes it.",
		out.String())
}
