// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"

	"github.com/siderolabs/talos/pkg/machinery/client"

	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// Node is one node, spoken to through the client's endpoints.
type Node struct {
	client  *Client
	machine snapshot.Machine
}

// Name is the node's name in Kubernetes.
func (n *Node) Name() string { return n.machine.Node }

// Address is where Talos knows the node.
func (n *Node) Address() string { return n.machine.Address }

// to makes a request's context one for this node alone. The endpoint passes such a
// request on as it is; with several nodes at once it would not pass on COSI's.
func (n *Node) to(ctx context.Context) context.Context {
	return client.WithNode(ctx, n.machine.Address)
}

// call is a request for what, which needs role at least.
func (n *Node) call(what, role string) call {
	return call{identity: n.client.config.identity, address: n.machine.Address, what: what, role: role, refusal: n.client.refusal}
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
