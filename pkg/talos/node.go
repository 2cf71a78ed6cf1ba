// SPDX-License-Identifier: Apache-2.0

package talos

import (
	"context"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/client"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

// Node is one node, spoken to through the client's endpoints.
type Node struct {
	client        *Client
	name, address string
}

// Name is the node's name in Kubernetes.
func (n *Node) Name() string { return n.name }

// to addresses the requests made with the context to the node.
func (n *Node) to(ctx context.Context) context.Context { return client.WithNode(ctx, n.address) }

// Verify fails unless the node at that address is the one with that name in Kubernetes.
func (n *Node) Verify(ctx context.Context) error { return nil }

// Version is the node's Talos release, "v1.14.0".
func (n *Node) Version(ctx context.Context) (string, error) { return "", nil }

// Kubelet is the node's kubelet service.
func (n *Node) Kubelet(ctx context.Context) (mounts.Kubelet, error) { return mounts.Kubelet{}, nil }

// Configs are the node's machine configurations.
func (n *Node) Configs(ctx context.Context) (mounts.Configs, error) { return mounts.Configs{}, nil }

// Apply makes config the node's whole machine configuration.
func (n *Node) Apply(ctx context.Context, config []byte, mode mounts.Mode, rollback time.Duration) error {
	return nil
}

// Effect is what a node says that a configuration would do.
type Effect struct {
	// Mode is how it would be applied: "no-reboot", "staged", "try".
	Mode string
	// Warnings are the node's about the configuration.
	Warnings []string
}

// DryRun asks the node to check config as Apply would send it, and to change nothing.
func (n *Node) DryRun(ctx context.Context, config []byte, mode mounts.Mode) (Effect, error) {
	return Effect{}, nil
}

// View is what the node's kubelet and the node see of dirs.
func (n *Node) View(ctx context.Context, dirs []string) (mounts.View, error) {
	return mounts.View{}, nil
}

// File is a directory entry.
type File struct {
	// Name is the path below the directory that was listed; "." is that directory.
	Name string
	Dir  bool
	// Link is what a symlink says.
	Link string
	// Size in bytes.
	Size int64
	// Problem says why there is nothing but the name.
	Problem string
}

// List lists a directory, depth levels deep.
func (n *Node) List(ctx context.Context, dir string, depth int) ([]File, error) { return nil, nil }

// Read is the content of a file.
func (n *Node) Read(ctx context.Context, path string) ([]byte, error) { return nil, nil }
