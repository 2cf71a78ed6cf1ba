// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"testing"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

func TestKubeletProcess(t *testing.T) {
	const args = "/usr/local/bin/kubelet --cert-dir=/var/lib/kubelet/pki --config=/etc/kubernetes/kubelet.yaml --hostname-override=w-1"
	process := func(pid int32, command, executable, args, label string) *machineapi.ProcessInfo {
		return &machineapi.ProcessInfo{Pid: pid, Command: command, Executable: executable, Args: args, Label: label}
	}
	own := process(568, "kubelet", "/usr/local/bin/kubelet", args, "unconfined")
	for name, c := range map[string]struct {
		processes []*machineapi.ProcessInfo
		want      int
		ambiguous bool
	}{
		"none":            {nil, 0, false},
		"the node's":      {[]*machineapi.ProcessInfo{process(1, "init", "/sbin/init", "/sbin/init", ""), own}, 568, false},
		"another program": {[]*machineapi.ProcessInfo{process(7, "kubelet", "/tmp/kubelet", args, "")}, 0, false},
		"another's configuration": {[]*machineapi.ProcessInfo{
			process(7, "kubelet", "/usr/local/bin/kubelet", "/usr/local/bin/kubelet --config=/etc/kubernetes/kubelet.yaml.d/x", ""), own,
		}, 568, false},
		"a shell that names it": {[]*machineapi.ProcessInfo{process(7, "sh", "/bin/sh", args, ""), own}, 568, false},
		"two, and SELinux": {[]*machineapi.ProcessInfo{
			process(7, "kubelet", "/usr/local/bin/kubelet", args, "system_u:system_r:pod_p:s0"),
			process(9, "kubelet", "/usr/local/bin/kubelet", args, "system_u:system_r:kubelet_t:s0"),
		}, 9, false},
		"two alike": {[]*machineapi.ProcessInfo{own, process(9, "kubelet", "/usr/local/bin/kubelet", args, "unconfined")}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := kubeletProcess(c.processes)
			if got != c.want || (err != nil) != c.ambiguous {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestKubeletService(t *testing.T) {
	events := &machineapi.ServiceEvents{Events: []*machineapi.ServiceEvent{{Msg: "Starting"}, {Msg: "Started task kubelet"}}}
	service := func(health *machineapi.ServiceHealth) []*machineapi.ServiceInfo {
		return []*machineapi.ServiceInfo{{Id: "cri", State: "Running"}, {Id: "kubelet", State: "Waiting", Events: events, Health: health}}
	}
	kubelet := func(healthy disk.Answer) mounts.Kubelet {
		return mounts.Kubelet{State: "Waiting", Healthy: healthy, Message: "Started task kubelet"}
	}
	for name, c := range map[string]struct {
		services []*machineapi.ServiceInfo
		want     mounts.Kubelet
	}{
		"healthy":       {service(&machineapi.ServiceHealth{Healthy: true}), kubelet(disk.Yes)},
		"not healthy":   {service(&machineapi.ServiceHealth{}), kubelet(disk.No)},
		"not yet known": {service(&machineapi.ServiceHealth{Unknown: true, Healthy: true}), kubelet(disk.Unknown)},
		"not told":      {service(nil), kubelet(disk.Unknown)},
		"no service":    {service(nil)[:1], mounts.Kubelet{Healthy: disk.Unknown, Message: `Talos has no service "kubelet" at the moment`}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := kubeletService(c.services); got != c.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}
