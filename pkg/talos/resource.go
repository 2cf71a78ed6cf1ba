// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	cosiproto "github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The roles that a request may need at least. Every role includes the ones before it.
const (
	reader   = string(role.Reader)
	operator = string(role.Operator)
	admin    = string(role.Admin)
)

// The namespaces of the resources that are read.
const (
	namespaceCluster    = "cluster"
	namespaceConfig     = "config"
	namespaceHardware   = "hardware"
	namespaceKubernetes = "k8s"
	namespaceRuntime    = "runtime"
)

// kind is a type of a node's resources (COSI). They are read as what they are on
// the wire, and decoded into the messages of machinery's api/resource. Its Go types
// would not do: they refuse a configuration that holds documents of a newer Talos
// than machinery, and bring all of Talos's configuration into the program.
type kind struct {
	namespace, name string
	// role is the weakest that may read it.
	role string
	// what it is to people, as a noun: "the machine configuration". Empty: its name.
	what string
}

func (k kind) noun() string {
	if k.what == "" {
		return fmt.Sprintf("the resources %q", k.name)
	}
	return k.what
}

// get decodes one resource's spec into spec, and returns the resource's version,
// which changes whenever the resource does. Without such a resource it is
// ErrNotFound, without such a kind ErrUnsupported.
func (n *Node) get(ctx context.Context, k kind, id string, spec proto.Message) (version string, err error) {
	pointer := resource.NewMetadata(k.namespace, k.name, id, resource.VersionUndefined)
	r, err := n.client.talos.COSI.Get(n.to(ctx), pointer, state.WithGetUnmarshalOptions(state.WithSkipProtobufUnmarshal()))
	if err != nil {
		return "", n.call(k.noun(), k.role).explain(ctx, visible(err))
	}
	return r.Metadata().Version().String(), decode(r, k, spec)
}

// list decodes all resources of a kind, sorted by ID, and calls each with every
// one's ID and spec.
func list[T any, P interface {
	*T
	proto.Message
}](ctx context.Context, n *Node, k kind, each func(id string, spec P)) error {
	pointer := resource.NewMetadata(k.namespace, k.name, "", resource.VersionUndefined)
	all, err := n.client.talos.COSI.List(n.to(ctx), pointer, state.WithListUnmarshalOptions(state.WithSkipProtobufUnmarshal()))
	if err != nil {
		return n.call(k.noun(), k.role).explain(ctx, visible(err))
	}
	slices.SortFunc(all.Items, func(a, b resource.Resource) int { return cmp.Compare(a.Metadata().ID(), b.Metadata().ID()) })
	for _, r := range all.Items {
		spec := P(new(T))
		if err := decode(r, k, spec); err != nil {
			return err
		}
		each(r.Metadata().ID(), spec)
	}
	return nil
}

// visible gives an error its gRPC code back: COSI's client hides it where nothing was
// found.
func visible(err error) error {
	if state.IsNotFoundError(err) {
		return status.Error(codes.NotFound, strings.TrimPrefix(err.Error(), "rpc error: code = NotFound desc = "))
	}
	return err
}

func decode(r resource.Resource, k kind, spec proto.Message) error {
	raw, ok := r.(*cosiproto.Resource)
	if !ok {
		return fail(ErrAnswer, fmt.Sprintf("%s came as %T", k.noun(), r), "", "")
	}
	wire, err := raw.Marshal()
	if err == nil {
		err = proto.Unmarshal(wire.GetSpec().GetProtoSpec(), spec)
	}
	if err != nil {
		return fail(ErrAnswer, k.noun()+" could not be decoded", brief(err.Error()), "")
	}
	return nil
}
