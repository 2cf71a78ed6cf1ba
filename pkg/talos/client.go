// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"

	"github.com/siderolabs/talos/pkg/machinery/client"
)

// Client is a connection to a cluster's Talos API.
type Client struct {
	talos    *client.Client
	identity Identity
}

// New returns a client. It connects when it is first used.
func New(ctx context.Context, config *Config) (*Client, error) {
	c, err := client.New(ctx, client.WithConfigContext(config.context), client.WithDefaultGRPCDialOptions())
	if err != nil {
		return nil, err
	}
	return &Client{talos: c, identity: config.identity}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.talos.Close() }

// Node is the node with that name in Kubernetes and that address in the cluster.
func (c *Client) Node(name, address string) *Node {
	return &Node{client: c, name: name, address: address}
}
