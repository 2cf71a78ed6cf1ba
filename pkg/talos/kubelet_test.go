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

// What Talos v1.14.0-rc.1 reported of a kubelet with an entry that cannot be mounted.
func TestKubeletTold(t *testing.T) {
	const (
		event  = `Error running Containerd(kubelet), going to restart forever: error jailing process inside rootfs: pivot_root .: invalid argument`
		health = `Get "http://127.0.0.1:10248/healthz": dial tcp 127.0.0.1:10248: connect: connection refused`
	)
	services := []*machineapi.ServiceInfo{{
		Id: "kubelet", State: "Waiting", Health: &machineapi.ServiceHealth{LastMessage: health},
		Events: &machineapi.ServiceEvents{Events: []*machineapi.ServiceEvent{{Msg: "Creating service runner"}, {Msg: event}}},
	}}
	if got, want := kubeletTold(services).String(), "Waiting: "+event+"; not healthy: "+health; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := kubeletTold(nil).String(); got != `Talos has no service "kubelet" at the moment` {
		t.Error(got)
	}
	services[0].Health.Healthy, services[0].State = true, "Running"
	if got := kubeletTold(services).String(); got != "Running: "+event {
		t.Error(got)
	}
}
