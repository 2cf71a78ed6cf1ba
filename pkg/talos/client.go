// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

const (
	// connectTimeout is how long an endpoint may take to accept a connection. gRPC's
	// own is 20 s, which a request to a dead address would wait for.
	connectTimeout = 5 * time.Second
	// maxBackoff is how long an endpoint that failed is left alone at most. gRPC's own
	// is 120 s, and a control-plane node that restarts is back much earlier.
	maxBackoff = 5 * time.Second
)

// Client is a connection to a cluster's Talos API. It is safe for use by several
// goroutines.
type Client struct {
	talos  *client.Client
	config *Config
}

// New returns a client. It connects when it is first used: nothing here tells
// whether anything listens. Every call needs a context with a deadline.
func New(ctx context.Context, config *Config) (*Client, error) {
	if config.Expired(time.Now()) {
		return nil, expired(config.identity)
	}
	retry := backoff.DefaultConfig
	retry.MaxDelay = maxBackoff
	c, err := client.New(ctx,
		client.WithConfig(config.file),
		client.WithContextName(config.identity.Context),
		client.WithDefaultGRPCDialOptions(),
		client.WithGRPCDialOptions(
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: connectTimeout}),
			grpc.WithChainUnaryInterceptor(markUnary),
			grpc.WithChainStreamInterceptor(bound, markStream),
		))
	if err != nil {
		return nil, &Error{
			Kind: ErrConfig,
			err:  failure.Wrap(err, "the Talos API cannot be used", "see what the talosconfig has with: talosctl config info"),
		}
	}
	return &Client{talos: c, config: config}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.talos.Close() }

// Node is the node that Kubernetes reports so. Only Verify finds out whether the machine at
// that address is the one.
func (c *Client) Node(machine snapshot.Machine) *Node {
	return &Node{client: c, machine: machine}
}

// unsent is the error of a request that no endpoint received. Otherwise an
// endpoint that cannot be reached looks like a node that an endpoint cannot reach:
// both are Unavailable, with the same text.
type unsent struct{ error }

func (u unsent) Unwrap() error              { return u.error }
func (u unsent) GRPCStatus() *status.Status { return client.Status(u.error) }

func markUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption) error {
	var p peer.Peer
	err := invoke(ctx, method, req, reply, cc, append(opts, grpc.Peer(&p))...)
	if err != nil && p.Addr == nil {
		return unsent{err}
	}
	return err
}

func markStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer,
	opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, unsent{err}
	}
	return stream, nil
}
