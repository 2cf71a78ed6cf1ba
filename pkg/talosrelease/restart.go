// SPDX-License-Identifier: Apache-2.0

package talosrelease

import "fmt"

// unmounts are the releases whose kubelet unmounts the node's user volumes when it restarts, and the issues.
var unmounts = []struct {
	when  span
	issue int
}{
	{span{number{10, 0}, number{10, 5}}, 11253},
	{span{number{12, 0}, number{12, 5}}, 12797},
}

// RestartHazard is why a kubelet must not just be restarted on this release: it unmounts the node's user volumes. Empty if
// nothing is known.
func (r Release) RestartHazard() string {
	for _, bug := range unmounts {
		if r.in([]span{bug.when}) {
			first, fixed := bug.when.from, bug.when.before
			return fmt.Sprintf("on Talos %s to %s a kubelet restart unmounts all user volumes of the node (siderolabs/talos#%d, fixed in %s)",
				first, number{fixed.minor, fixed.patch - 1}, bug.issue, fixed)
		}
	}
	return ""
}

// cautions are what else is known of kubelet restarts.
var cautions = []struct {
	when []span
	text string
}{
	{
		facts[StaleTokens].when,
		"on Talos v1.13.0 to v1.13.2 projected volumes (service account tokens) of running pods are no longer renewed after a kubelet restart (siderolabs/talos#13352, fixed in v1.13.3)",
	},
	{ // Release notes of v1.12.10, v1.12.11, v1.13.6 and v1.13.8.
		[]span{{number{12, 0}, number{12, 11}}, {number{13, 0}, number{13, 8}}},
		"before Talos v1.12.11 and v1.13.8 the kubelet may stay down after restarts in quick succession: let it become healthy before the next one",
	},
}

// RestartCautions are what else is known of a kubelet restart on this release. None of it loses data, or comes with a
// single restart for sure.
func (r Release) RestartCautions() []string {
	var texts []string
	for _, c := range cautions {
		if r.in(c.when) {
			texts = append(texts, c.text)
		}
	}
	return texts
}
