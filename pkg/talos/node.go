// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"fmt"

	k8spb "github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/k8s"
	"github.com/siderolabs/talos/pkg/machinery/client"
)

// Node is one node, spoken to through the client's endpoints.
type Node struct {
	client        *Client
	name, address string
}

// Name is the node's name in Kubernetes.
func (n *Node) Name() string { return n.name }

// Address is where Talos knows the node.
func (n *Node) Address() string { return n.address }

// to makes a request's context one for this node alone. The endpoint passes such a
// request on as it is; with several nodes at once it would not pass on COSI's.
func (n *Node) to(ctx context.Context) context.Context { return client.WithNode(ctx, n.address) }

// call is a request for what, which needs role at least.
func (n *Node) call(what, role string) call {
	return call{identity: n.client.config.identity, address: n.address, what: what, role: role, refusal: n.client.refusal}
}

// Verify fails with ErrOtherNode unless the node that answers at the address is the
// one of that name in Kubernetes. Nothing may be changed on a node before.
func (n *Node) Verify(ctx context.Context) error {
	var spec k8spb.NodenameSpec
	nodename := kind{namespaceKubernetes, "Nodenames.kubernetes.talos.dev", reader, "the node's name in Kubernetes"}
	if _, err := n.get(ctx, nodename, "nodename", &spec); err != nil {
		return err
	}
	if spec.GetNodename() != n.name {
		return fail(ErrOtherNode, fmt.Sprintf("the node at %q calls itself %q in Kubernetes, not %q", n.address, spec.GetNodename(), n.name), "",
			"the talosconfig may be of another cluster; compare with: kubectl get nodes -o wide")
	}
	return nil
}

// Version is the node's release of Talos, "v1.14.0".
func (n *Node) Version(ctx context.Context) (string, error) {
	const what = "the release of Talos"
	resp, err := n.client.talos.Version(n.to(ctx))
	if err != nil {
		return "", n.call(what, reader).explain(ctx, err)
	}
	for _, m := range resp.GetMessages() {
		if tag := m.GetVersion().GetTag(); tag != "" {
			return tag, nil
		}
	}
	return "", fail(ErrAnswer, "Talos did not give "+what, "", "")
}
