// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

// runtimeMounts are mounts as the KubeletSpec resource has them.
func runtimeMounts(extra []mounts.ExtraMount) []specs.Mount {
	var all []specs.Mount
	for _, m := range extra {
		all = append(all, specs.Mount{Destination: m.Destination, Type: m.Type, Source: m.Source, Options: m.Options})
	}
	return all
}
