// SPDX-License-Identifier: Apache-2.0

package cgroup

import "testing"

func TestV1Options(t *testing.T) {
	for super, want := range map[string]string{
		"rw,cpu,cpuacct": "cpu,cpuacct",
		"rw,memory":      "memory",
		"rw,cpuset,clone_children,cpuset_v2_mode":                                "cpuset",
		"rw,xattr,release_agent=/lib/systemd/systemd-cgroups-agent,name=systemd": "none,name=systemd",
	} {
		if got := v1Options(super); got != want {
			t.Errorf("%q: got %q, want %q", super, got, want)
		}
	}
}
