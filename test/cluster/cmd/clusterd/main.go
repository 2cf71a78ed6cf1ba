// SPDX-License-Identifier: Apache-2.0

// Command clusterd is what a test cluster is held together by: its supervisor,
// the first process of each node, and the way into a node. It is started by
// the package cluster, not by hand.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/enter"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/nodeinit"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/supervisor"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "clusterd:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "supervise":
		var config supervisor.Config
		if err := json.Unmarshal([]byte(args[1]), &config); err != nil {
			return err
		}
		return supervisor.Run(config)
	case len(args) == 2 && (args[0] == "node-enter" || args[0] == "node-run"):
		spec, err := nodeinit.ParseSpec(args[1])
		if err != nil {
			return err
		}
		if args[0] == "node-enter" {
			return nodeinit.Enter(spec)
		}
		return nodeinit.Run(spec)
	case len(args) >= 4 && args[0] == "enter":
		return enter.Exec(args[1], args[2], args[3:])
	}
	return fmt.Errorf("usage: clusterd supervise|node-enter|node-run JSON, clusterd enter PID NAME COMMAND")
}
