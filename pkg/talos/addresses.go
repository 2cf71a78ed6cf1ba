// SPDX-License-Identifier: Apache-2.0

package talos

// Address chooses, from a node's addresses in its Kubernetes status, the one by
// which Talos knows it: the first InternalIP, which Talos itself makes the kubelet
// report, else the first ExternalIP. It is "" where there is neither.
func Address(internal, external []string) string {
	for _, addresses := range [][]string{internal, external} {
		for _, a := range addresses {
			if a != "" {
				return a
			}
		}
	}
	return ""
}
