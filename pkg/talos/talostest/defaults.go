// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

// defaultMounts are the directories that Talos itself mounts into the kubelet
// (internal/app/machined/pkg/system/services/kubelet.go), in its order. Single files
// are left out: nobody looks for volumes there.
func defaultMounts(p Profile) []mounts.ExtraMount {
	// v1.13.0 dropped the propagation, v1.13.3 gave some of it back.
	bare, mended := p.from(13, 0), p.from(13, 3)
	pick := func(old, dropped, now string) []string {
		switch {
		case mended:
			return strings.Fields(now)
		case bare:
			return strings.Fields(dropped)
		}
		return strings.Fields(old)
	}
	const all = "rbind rshared rw"
	list := []mounts.ExtraMount{
		{Destination: "/dev", Source: "/dev", Options: pick(all, "bind rw", "bind rw")},
		// Talos asks for ro; what was recorded on v1.14 is rw.
		{Destination: "/sys", Source: "/sys", Options: strings.Fields("bind rw")},
		{Destination: "/sys/fs/cgroup", Source: "/sys/fs/cgroup", Options: pick(all, "bind rw", "bind rw")},
		{Destination: "/usr/lib/modules", Source: "/usr/lib/modules", Options: strings.Fields("bind ro")},
		{Destination: "/etc/kubernetes", Source: "/etc/kubernetes", Options: pick("bind rshared rw", "bind rw", "bind rw")},
		{Destination: "/etc/cni", Source: "/etc/cni", Options: pick(all, "bind ro", "bind ro")},
		{Destination: "/usr/libexec/kubernetes", Source: "/usr/libexec/kubernetes", Options: pick(all, "bind rw", "bind rw")},
		{Destination: "/var/run", Source: "/run", Options: pick(all, "bind rw", "rbind rslave rw")},
		{Destination: "/var/lib/containerd", Source: "/var/lib/containerd", Options: pick(all, "rbind rw", "rbind rslave rw")},
		{Destination: "/var/lib/kubelet", Source: "/var/lib/kubelet", Options: pick(all, "bind rw", all)},
		{Destination: "/var/log/containers", Source: "/var/log/containers", Options: pick(all, "bind rw", "bind rw")},
		{Destination: "/var/log/pods", Source: "/var/log/pods", Options: pick(all, "bind rw", "bind rw")},
		{Destination: "/var/mnt", Source: "/var/mnt", Options: pick("rbind rshared ro", "rbind ro", "rbind rslave ro")},
	}
	if !p.from(10, 0) {
		list = drop(list, "/var/mnt")
		for i := range list {
			if list[i].Destination == "/usr/lib/modules" {
				list[i].Destination = "/lib/modules"
			}
		}
	}
	if p.from(14, 0) {
		list = drop(list, "/usr/libexec/kubernetes")
	}
	for i := range list {
		list[i].Type = "bind"
	}
	return list
}

// drop leaves one destination out.
func drop(list []mounts.ExtraMount, destination string) []mounts.ExtraMount {
	var kept []mounts.ExtraMount
	for _, m := range list {
		if m.Destination != destination {
			kept = append(kept, m)
		}
	}
	return kept
}
