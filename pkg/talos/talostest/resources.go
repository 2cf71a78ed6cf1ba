// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	configpb "github.com/siderolabs/talos/pkg/machinery/api/resource/config"
	"github.com/siderolabs/talos/pkg/machinery/proto"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// initState makes what the node knows before it has a configuration.
func (n *Node) initState(ctx context.Context) error {
	n.state = state.WrapCore(namespaced.NewState(inmem.Build))
	n.guarded = state.Filter(n.state, access(n.options.Profile))
	nodename := k8s.NewNodename(k8s.NamespaceName, k8s.NodenameID)
	nodename.TypedSpec().Nodename = n.options.Name
	if err := put(ctx, n.state, nodename); err != nil {
		return err
	}
	if err := n.seedIdentity(ctx); err != nil {
		return err
	}
	n.volumes = newVolumes(n, n.options.Storage)
	if n.options.Bare || n.options.Storage != nil {
		return n.volumes.pass(ctx)
	}
	sim, _ := n.machine.(*Sim)
	n.volumes.storage = newMemory(sim, recordedDisks())
	if err := n.volumes.pass(ctx); err != nil {
		return err
	}
	return seedSystem(ctx, n.state, n.volumes.disks)
}

// Rename makes the node known to Kubernetes by another name.
func (n *Node) Rename(ctx context.Context, name string) error {
	nodename := k8s.NewNodename(k8s.NamespaceName, k8s.NodenameID)
	nodename.TypedSpec().Nodename = name
	return put(ctx, n.state, nodename)
}

// access are Talos's rules (internal/app/resources/access.go): a type that the
// release does not have is PermissionDenied, not NotFound.
func access(profile Profile) state.FilteringRule {
	release := profile.release()
	return func(ctx context.Context, a state.Access) error {
		known, secret := release.Resource(a.ResourceType)
		if !known {
			return status.Errorf(codes.PermissionDenied, "resource type %q is not supported", a.ResourceType)
		}
		admin := callOf(ctx).roles.Includes(role.Admin)
		if !a.Verb.Readonly() && !admin {
			return status.Error(codes.PermissionDenied, "write access requires os:admin role")
		}
		if secret && !admin {
			return errNotAuthorized()
		}
		switch a.ResourceNamespace {
		case config.NamespaceName, k8s.NamespaceName, block.NamespaceName, cluster.NamespaceName, hardware.NamespaceName:
			return nil
		}
		return status.Errorf(codes.PermissionDenied, "namespace %q is not supported", a.ResourceNamespace)
	}
}

// routed is the state of whichever node a call is for.
type routed struct{}

func (routed) Get(ctx context.Context, p resource.Pointer,
	opts ...state.GetOption) (resource.Resource, error) {
	return callOf(ctx).node.guarded.Get(ctx, p, opts...)
}

func (routed) List(ctx context.Context, k resource.Kind, opts ...state.ListOption) (resource.List, error) {
	return callOf(ctx).node.guarded.List(ctx, k, opts...)
}

func (routed) Create(ctx context.Context, r resource.Resource, opts ...state.CreateOption) error {
	return callOf(ctx).node.guarded.Create(ctx, r, opts...)
}

func (routed) Update(ctx context.Context, r resource.Resource, opts ...state.UpdateOption) error {
	return callOf(ctx).node.guarded.Update(ctx, r, opts...)
}

func (routed) Destroy(ctx context.Context, p resource.Pointer, opts ...state.DestroyOption) error {
	return callOf(ctx).node.guarded.Destroy(ctx, p, opts...)
}

func (routed) Watch(ctx context.Context, p resource.Pointer, ch chan<- state.Event, opts ...state.WatchOption) error {
	return callOf(ctx).node.guarded.Watch(ctx, p, ch, opts...)
}

func (routed) WatchKind(ctx context.Context, k resource.Kind, ch chan<- state.Event, opts ...state.WatchKindOption) error {
	return callOf(ctx).node.guarded.WatchKind(ctx, k, ch, opts...)
}

func (routed) WatchKindAggregated(ctx context.Context, k resource.Kind, ch chan<- []state.Event, opts ...state.WatchKindOption) error {
	return callOf(ctx).node.guarded.WatchKindAggregated(ctx, k, ch, opts...)
}

// machineConfig is the MachineConfig resource, which holds bytes as they were
// submitted. Machinery's own can only hold what machinery can load.
type machineConfig struct {
	md   resource.Metadata
	spec configSpec
}

// newMachineConfig makes the resource.
func newMachineConfig(id resource.ID, data []byte, profile Profile) *machineConfig {
	r := &machineConfig{
		md:   resource.NewMetadata(config.NamespaceName, config.MachineConfigType, id, resource.VersionUndefined),
		spec: configSpec{data: bytes.Clone(data), text: profile.has(talosrelease.ConfigAsText)},
	}
	if r.spec.text {
		r.md.Annotations().Set("talos.dev/yaml-spec", "1")
	}
	return r
}

func (r *machineConfig) Metadata() *resource.Metadata { return &r.md }

func (r *machineConfig) Spec() any { return r.spec }

func (r *machineConfig) DeepCopy() resource.Resource {
	return &machineConfig{md: r.md.Copy(), spec: configSpec{data: bytes.Clone(r.spec.data), text: r.spec.text}}
}

func (r *machineConfig) ResourceDefinition() meta.ResourceDefinitionSpec {
	return (&config.MachineConfig{}).ResourceDefinition()
}

// configSpec is the content of a MachineConfig.
type configSpec struct {
	data []byte
	text bool
}

// MarshalProto is what every release sends.
func (s configSpec) MarshalProto() ([]byte, error) {
	return proto.Marshal(&configpb.MachineConfigSpec{YamlMarshalled: s.data})
}

// MarshalYAML is the whole as a string, or before v1.12 the first document only.
func (s configSpec) MarshalYAML() (any, error) {
	if s.text {
		return string(s.data), nil
	}
	var first any
	err := yaml.NewDecoder(bytes.NewReader(s.data)).Decode(&first)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return first, err
}

// same reports whether two resources have the same content.
func same(a, b resource.Resource) bool {
	left, err := protobuf.FromResource(a)
	if err != nil {
		return false
	}
	right, err := protobuf.FromResource(b)
	if err != nil {
		return false
	}
	l, err := left.Marshal()
	if err != nil {
		return false
	}
	r, err := right.Marshal()
	if err != nil {
		return false
	}
	return bytes.Equal(l.GetSpec().GetProtoSpec(), r.GetSpec().GetProtoSpec())
}
