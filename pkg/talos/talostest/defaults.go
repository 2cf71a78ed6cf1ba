// SPDX-License-Identifier: Apache-2.0

package talostest

import "github.com/talosdisk/kubectl-talosdisk/pkg/mounts"

// defaultMounts are the directories that Talos itself mounts into the kubelet, in its order.
func defaultMounts(p Profile) []mounts.ExtraMount {
	var list []mounts.ExtraMount
	for _, m := range p.release().DefaultMounts() {
		switch m.Destination {
		case "/sys/kernel/security", "/usr/local/lib/kubelet/credentialproviders", "/etc/nfsmount.conf", "/etc/machine-id", "/etc/os-release",
			"/system/resolved/resolv.conf": // Nobody looks for volumes there.
			continue
		case "/sys": // Talos asks for ro; what was recorded on v1.14 is rw.
			m.Options = []string{"bind", "rw"}
		}
		source := m.Destination
		if source == "/var/run" {
			source = "/run"
		}
		list = append(list, mounts.ExtraMount{Destination: m.Destination, Source: source, Type: "bind", Options: m.Options})
	}
	return list
}
