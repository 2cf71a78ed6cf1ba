// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"fmt"
	"slices"
	"strings"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Kubelet is the node's kubelet: the process, and then the service, so that the health
// is never that of a process before this one.
func (n *Node) Kubelet(ctx context.Context) (mounts.Kubelet, error) {
	pid, err := n.kubeletPID(ctx)
	if err != nil {
		return mounts.Kubelet{}, err
	}
	services, err := n.services(ctx)
	if err != nil {
		return mounts.Kubelet{}, err
	}
	kubelet := kubeletService(services)
	kubelet.PID = pid
	return kubelet, nil
}

// services are all of the node's.
func (n *Node) services(ctx context.Context) ([]*machineapi.ServiceInfo, error) {
	resp, err := n.client.talos.ServiceList(n.to(ctx))
	if err != nil {
		return nil, n.call("the list of services", reader).explain(ctx, err)
	}
	var services []*machineapi.ServiceInfo
	for _, m := range resp.GetMessages() {
		services = append(services, m.GetServices()...)
	}
	return services, nil
}

// kubeletInService is the kubelet as an inventory has it, whether or not its process runs.
func (n *Node) kubeletInService(ctx context.Context) snapshot.Section[snapshot.TalosService] {
	services, err := n.services(ctx)
	if err != nil {
		return snapshot.Unread[snapshot.TalosService](problem.From(err))
	}
	return snapshot.Read(kubeletTold(services))
}

// kubeletTold is the kubelet's service with what the last health check said.
func kubeletTold(services []*machineapi.ServiceInfo) snapshot.TalosService {
	kubelet := kubeletService(services)
	reported := snapshot.TalosService{State: kubelet.State, Healthy: kubelet.Healthy, Message: kubelet.Message}
	for _, s := range services {
		if s.GetId() == "kubelet" && kubelet.Healthy == disk.No {
			reported.Unhealthy = s.GetHealth().GetLastMessage()
		}
	}
	return reported
}

// kubeletService finds the kubelet's service. While Talos recreates it there is none.
func kubeletService(services []*machineapi.ServiceInfo) mounts.Kubelet {
	for _, s := range services {
		if s.GetId() != "kubelet" {
			continue
		}
		kubelet := mounts.Kubelet{State: s.GetState(), Healthy: disk.Unknown}
		switch health := s.GetHealth(); {
		case health == nil || health.GetUnknown():
		case health.GetHealthy():
			kubelet.Healthy = disk.Yes
		default:
			kubelet.Healthy = disk.No
		}
		// The last event is the newest (Talos v1.6 to v1.14, system/events/events.go).
		if events := s.GetEvents().GetEvents(); len(events) > 0 {
			kubelet.Message = events[len(events)-1].GetMsg()
		}
		return kubelet
	}
	return mounts.Kubelet{Healthy: disk.Unknown, Message: `Talos has no service "kubelet" at the moment`}
}

// kubeletPID is the process ID of the node's kubelet, as the node counts, and 0
// where none runs. What the service's events call a PID is, since Talos v1.14,
// another one: that in the sandbox of the workloads.
func (n *Node) kubeletPID(ctx context.Context) (int, error) {
	resp, err := n.client.talos.Processes(n.to(ctx))
	if err != nil {
		return 0, n.call("the list of processes", reader).explain(ctx, err)
	}
	var processes []*machineapi.ProcessInfo
	for _, m := range resp.GetMessages() {
		processes = append(processes, m.GetProcesses()...)
	}
	return kubeletProcess(processes)
}

// kubeletProcess finds the node's own kubelet. A pod may run others.
func kubeletProcess(processes []*machineapi.ProcessInfo) (int, error) {
	var found []*machineapi.ProcessInfo
	for _, p := range processes {
		if p.GetCommand() == "kubelet" && p.GetExecutable() == "/usr/local/bin/kubelet" &&
			slices.Contains(strings.Fields(p.GetArgs()), "--config=/etc/kubernetes/kubelet.yaml") {
			found = append(found, p)
		}
	}
	// A Talos in a pod has a kubelet that looks the same, except for SELinux.
	if labelled := slices.DeleteFunc(slices.Clone(found), func(p *machineapi.ProcessInfo) bool {
		return !strings.Contains(p.GetLabel(), ":kubelet_t:")
	}); len(labelled) > 0 {
		found = labelled
	}
	switch len(found) {
	case 0:
		return 0, nil
	case 1:
		return int(found[0].GetPid()), nil
	}
	return 0, fail(ErrAnswer, fmt.Sprintf("%d processes look like the node's kubelet, %d and %d among them", len(found), found[0].GetPid(),
		found[1].GetPid()), "", "")
}
