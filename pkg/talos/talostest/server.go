// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"crypto/tls"
	"path"
	"strings"

	"github.com/cosi-project/runtime/api/v1alpha1"
	stateserver "github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// maxMessage in bytes is Talos's (constants.GRPCMaxMessageSize).
const maxMessage = 32 << 20

// call is what is known of a request once it has been routed.
type call struct {
	node  *Node
	roles role.Set
}

type callKey struct{}

// callOf is the call that a handler serves.
func callOf(ctx context.Context) call {
	c, _ := ctx.Value(callKey{}).(call)
	return c
}

// newServer makes the gRPC server. Its handlers serve whichever node the request
// was routed to.
func (n *Node) newServer(config *tls.Config) *grpc.Server {
	s := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(config)),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.UnaryInterceptor(n.unary), grpc.StreamInterceptor(n.stream),
	)
	machine.RegisterMachineServiceServer(s, machineAPI{})
	storage.RegisterStorageServiceServer(s, storageAPI{})
	v1alpha1.RegisterStateServer(s, stateserver.NewState(routed{}))
	return s
}

// unary routes, checks and hooks a call with one answer.
func (n *Node) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, c, err := n.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	answer, err := handler(ctx, req)
	if hook := c.node.hook().After; hook != nil {
		if err := hook(ctx, short(info.FullMethod)); err != nil {
			return nil, err
		}
	}
	return answer, err
}

// stream does the same for a call with many answers.
func (n *Node) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, c, err := n.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	err = handler(srv, routedStream{ServerStream: stream, ctx: ctx})
	if hook := c.node.hook().After; hook != nil {
		if err := hook(ctx, short(info.FullMethod)); err != nil {
			return err
		}
	}
	return err
}

// admit finds the node that a request is for, and asks whether its caller may.
func (n *Node) admit(ctx context.Context, method string) (context.Context, call, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	target, err := n.route(method, md)
	if err != nil {
		return ctx, call{}, err
	}
	c := call{node: target, roles: rolesOf(ctx)}
	if !c.roles.IncludesAny(allowed(method)) {
		return ctx, call{}, errNotAuthorized()
	}
	ctx = context.WithValue(ctx, callKey{}, c)
	if hook := target.hook().Before; hook != nil {
		if err := hook(ctx, short(method)); err != nil {
			return ctx, call{}, err
		}
	}
	return ctx, c, nil
}

// route is apid's (Talos internal/app/apid/pkg/director/director.go): "node" is one
// node, by its address; only a control plane forwards.
func (n *Node) route(method string, md metadata.MD) (*Node, error) {
	nodes, one := md.Get("nodes"), md.Get("node")
	if len(one) > 1 {
		return nil, status.Error(codes.InvalidArgument, "node metadata must be single-valued")
	}
	if n.options.Worker {
		if len(nodes) == 1 && n.local(nodes[0]) {
			nodes = nil
		}
		if len(one) == 1 && n.local(one[0]) {
			one = nil
		}
	}
	switch {
	case len(nodes) > 0 && strings.HasPrefix(method, "/cosi."):
		return nil, status.Error(codes.InvalidArgument, "one-2-many proxying is not supported for COSI methods")
	case (len(nodes) > 0 || len(one) > 0) && n.options.Worker:
		return nil, status.Error(codes.PermissionDenied, "no request forwarding")
	case len(nodes) > 0:
		return nil, status.Error(codes.Unimplemented, "this test node does not aggregate answers: name one node")
	case len(one) == 0 || n.local(one[0]):
		return n, nil
	}
	target := n.cluster.at(one[0])
	if target == nil {
		return nil, unreachable(one[0], "i/o timeout")
	}
	if !target.reachable() {
		return nil, unreachable(one[0], "connect: connection refused")
	}
	return target, nil
}

// unreachable is what apid answers when it cannot dial the node asked for.
func unreachable(address, why string) error {
	return status.Errorf(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp %s:50000: %s"`, address, why)
}

// errNotAuthorized is Talos's (pkg/grpc/middleware/authz).
func errNotAuthorized() error { return status.Error(codes.PermissionDenied, "not authorized") }

// rolesOf are those of the client's certificate: its organizations.
func rolesOf(ctx context.Context) role.Set {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return role.Zero
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return role.Zero
	}
	roles, _ := role.Parse(info.State.PeerCertificates[0].Subject.Organization)
	return roles
}

// short is a method's name as hooks know it.
func short(method string) string {
	if strings.HasPrefix(method, "/cosi.") {
		return "cosi." + path.Base(method)
	}
	return path.Base(method)
}

// routedStream carries the call.
type routedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s routedStream) Context() context.Context { return s.ctx }
