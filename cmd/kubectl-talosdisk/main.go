// SPDX-License-Identifier: Apache-2.0

// Command kubectl-talosdisk is the kubectl plugin "kubectl talosdisk".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // The auth providers that a kubeconfig can name.

	"github.com/talosdisk/kubectl-talosdisk/pkg/cmd"
)

func main() {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	os.Exit(cmd.Execute(interruptible(), cmd.Deps{Streams: streams}, cmd.Args(os.Args)))
}

// interruptible returns a context that ends with the first ^C or SIGTERM, so that what is under way can be brought to an
// end and reported. The second one ends the program at once.
func interruptible() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "\ninterrupted: bringing it to an end; interrupt again to stop at once")
		cancel()
		<-signals
		os.Exit(130)
	}()
	return ctx
}
