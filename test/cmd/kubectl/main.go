// SPDX-License-Identifier: Apache-2.0

// Command kubectl is kubectl of the cluster's version and nothing else: what
// the plugin is run by in tests, and compared to in benchmarks.
package main

import (
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		// Pretty-prints the error and exits with its code.
		util.CheckErr(err)
	}
}
