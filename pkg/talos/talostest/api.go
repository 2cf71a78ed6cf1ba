// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"fmt"
	"runtime"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// machineAPI is the MachineService of whichever node a call is for. What is not
// here answers Unimplemented.
type machineAPI struct {
	machine.UnimplementedMachineServiceServer
}

// Version tells the release.
func (machineAPI) Version(ctx context.Context, _ *emptypb.Empty) (*machine.VersionResponse, error) {
	n := callOf(ctx).node
	return &machine.VersionResponse{Messages: []*machine.Version{{
		Version: &machine.VersionInfo{
			Tag:       string(n.options.Profile),
			Sha:       "undefined",
			GoVersion: runtime.Version(),
			Os:        "linux",
			Arch:      runtime.GOARCH,
		},
		Platform: &machine.PlatformInfo{Name: "metal", Mode: "metal"},
		Features: &machine.FeaturesInfo{Rbac: true},
	}}}, nil
}

// List lists files.
func (machineAPI) List(req *machine.ListRequest, stream grpc.ServerStreamingServer[machine.FileInfo]) error {
	return callOf(stream.Context()).node.files.list(req, func(info *machine.FileInfo) error {
		if err := stream.Context().Err(); err != nil {
			return err
		}
		return stream.Send(info)
	})
}

// Read reads a file.
func (machineAPI) Read(req *machine.ReadRequest, stream grpc.ServerStreamingServer[common.Data]) error {
	n := callOf(stream.Context()).node
	return n.files.read(n.options.Profile, req.GetPath(), stream)
}

// Processes lists them.
func (machineAPI) Processes(ctx context.Context, _ *emptypb.Empty) (*machine.ProcessesResponse, error) {
	n := callOf(ctx).node
	all, err := n.machine.Processes(ctx)
	if err != nil {
		return nil, err
	}
	list := &machine.Process{}
	for _, p := range all {
		info := &machine.ProcessInfo{
			Pid: int32(p.PID), Ppid: int32(p.Parent), State: "S", Threads: 1,
			Command: p.Command, Executable: p.Executable, Args: p.Args,
		}
		if n.options.Profile.has(talosrelease.ProcessLabels) {
			info.Label = p.Label
		}
		list.Processes = append(list.Processes, info)
	}
	return &machine.ProcessesResponse{Messages: []*machine.Process{list}}, nil
}

// ServiceList lists the services: the kubelet as it is, the others as they always are.
func (machineAPI) ServiceList(ctx context.Context, _ *emptypb.Empty) (*machine.ServiceListResponse, error) {
	n := callOf(ctx).node
	list := &machine.ServiceList{}
	for _, id := range n.services() {
		if id == kubeletID {
			list.Services = append(list.Services, n.kubelet.info())
			continue
		}
		list.Services = append(list.Services, &machine.ServiceInfo{
			Id: id, State: "Running",
			Health: &machine.ServiceHealth{Healthy: true},
			Events: &machine.ServiceEvents{Events: []*machine.ServiceEvent{{Msg: "Health check successful", State: "Running"}}},
		})
	}
	return &machine.ServiceListResponse{Messages: []*machine.ServiceList{list}}, nil
}

// services are the IDs of what runs.
func (n *Node) services() []string {
	ids := []string{"apid", "auditd", "containerd", "cri"}
	if !n.options.Worker {
		ids = append(ids, "etcd")
	}
	ids = append(ids, kubeletID, "machined", "syslogd")
	if !n.options.Worker {
		ids = append(ids, "trustd")
	}
	return append(ids, "udevd")
}

// ServiceRestart restarts the kubelet, which is the only service here that lets itself be.
func (machineAPI) ServiceRestart(ctx context.Context, req *machine.ServiceRestartRequest) (*machine.ServiceRestartResponse, error) {
	n := callOf(ctx).node
	id := req.GetId()
	known := false
	for _, service := range n.services() {
		known = known || service == id
	}
	switch {
	case !known:
		return nil, fmt.Errorf("service %q not defined", id)
	case id != kubeletID:
		return nil, fmt.Errorf("service %q doesn't support restart operation via API", id)
	}
	if err := n.kubelet.restart(ctx); err != nil {
		return nil, err
	}
	return &machine.ServiceRestartResponse{Messages: []*machine.ServiceRestart{{
		Resp: fmt.Sprintf("Service %q restarted", id),
	}}}, nil
}
