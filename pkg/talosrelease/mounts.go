// SPDX-License-Identifier: Apache-2.0

package talosrelease

import "strings"

// DefaultMount is a mount that Talos itself puts into the kubelet's container.
type DefaultMount struct {
	// Destination is the path in the container. On the node it is the same path, except for /var/run, which is /run there.
	Destination string `json:"destination"`
	// Options are the container runtime's, as in an entry of machine.kubelet.extraMounts.
	Options []string `json:"options"`
}

// defaultMounts are the mounts with their options, in the order of the mounts. The same destination stands here several
// times where its options changed.
//
// What changed: v1.10.0 brought /var/mnt (commit 664fa3697); v1.13.0 dropped most options (04e3e87ad); v1.13.3 and v1.14 gave
// them back as slaves (0edabd29c); v1.14 dropped the directory of FlexVolume (6d65e223b). All of it is in
// internal/app/machined/pkg/system/services/kubelet.go.
var defaultMounts = []struct {
	destination string
	when        span
	options     string
}{
	{"/dev", span{before: bare}, "rbind rshared rw"},
	{"/dev", span{from: bare}, "bind rw"},
	{"/sys", span{}, "bind ro"},
	{"/sys/fs/cgroup", span{before: bare}, "rbind rshared rw"},
	{"/sys/fs/cgroup", span{from: bare}, "bind rw"},
	{"/sys/kernel/security", span{from: number{8, 0}}, "bind ro"}, // From v1.9 on only where the node has it.
	{"/lib/modules", span{before: number{10, 0}}, "bind ro"},
	{"/usr/lib/modules", span{from: number{10, 0}}, "bind ro"},
	{"/etc/kubernetes", span{before: bare}, "bind rshared rw"},
	{"/etc/kubernetes", span{from: bare}, "bind rw"},
	{"/usr/local/lib/kubelet/credentialproviders", span{}, "bind ro"},
	{"/etc/nfsmount.conf", span{}, "bind ro"},
	{"/etc/machine-id", span{}, "bind ro"},
	{"/etc/os-release", span{}, "bind ro"},
	{"/system/resolved/resolv.conf", span{from: number{7, 0}}, "bind ro"},
	{"/etc/cni", span{before: bare}, "rbind rshared rw"},
	{"/etc/cni", span{from: bare}, "bind ro"},
	{"/usr/libexec/kubernetes", span{before: bare}, "rbind rshared rw"},
	{"/usr/libexec/kubernetes", span{bare, number{14, 0}}, "bind rw"},
	{"/var/run", span{before: bare}, "rbind rshared rw"},
	{"/var/run", span{bare, slaves}, "bind rw"},
	{"/var/run", span{from: slaves}, "rbind rslave rw"},
	{"/var/lib/containerd", span{before: bare}, "rbind rshared rw"},
	{"/var/lib/containerd", span{bare, slaves}, "rbind rw"},
	{"/var/lib/containerd", span{from: slaves}, "rbind rslave rw"},
	{"/var/lib/kubelet", span{before: bare}, "rbind rshared rw"},
	{"/var/lib/kubelet", span{bare, slaves}, "bind rw"},
	{"/var/lib/kubelet", span{from: slaves}, "rbind rshared rw"},
	{"/var/log/containers", span{before: bare}, "rbind rshared rw"},
	{"/var/log/containers", span{from: bare}, "bind rw"},
	{"/var/log/pods", span{before: bare}, "rbind rshared rw"},
	{"/var/log/pods", span{from: bare}, "bind rw"},
	{"/var/mnt", span{number{10, 0}, bare}, "rbind rshared ro"},
	{"/var/mnt", span{bare, slaves}, "rbind ro"},
	{"/var/mnt", span{from: slaves}, "rbind rslave ro"},
}

// bare is the release that dropped the propagation of the default mounts, slaves the one that gave some of it back.
var bare, slaves = number{13, 0}, number{13, 3}

// DefaultMounts are what Talos mounts into the kubelet on this release, in the order of the mounts.
func (r Release) DefaultMounts() []DefaultMount {
	var mounts []DefaultMount
	for _, m := range defaultMounts {
		if r.in([]span{m.when}) {
			mounts = append(mounts, DefaultMount{Destination: m.destination, Options: strings.Fields(m.options)})
		}
	}
	return mounts
}

// DefaultMountAbove is the default mount that dir, a clean path, lies in or is.
func (r Release) DefaultMountAbove(dir string) (DefaultMount, bool) {
	var found DefaultMount
	ok := false
	for _, m := range r.DefaultMounts() {
		if within(dir, m.Destination) && len(m.Destination) > len(found.Destination) {
			found, ok = m, true
		}
	}
	return found, ok
}

// DefaultMountBelow is a default mount that lies strictly below dir, a clean path, in the container.
func (r Release) DefaultMountBelow(dir string) (DefaultMount, bool) {
	for _, m := range r.DefaultMounts() {
		if m.Destination != dir && within(m.Destination, dir) {
			return m, true
		}
	}
	return DefaultMount{}, false
}

// within reports whether a clean path is dir or lies below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}
