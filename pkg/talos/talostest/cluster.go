// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	stdx509 "crypto/x509"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
)

// Cluster is Talos nodes that trust one certificate authority and, where they are
// control planes, forward requests to each other.
type Cluster struct {
	secrets *secrets.Bundle

	mu    sync.Mutex
	nodes []*Node
}

// NewCluster makes the certificate authorities and tokens of a cluster.
func NewCluster() (*Cluster, error) {
	// An older contract's service account key is quick to make; nothing here uses it.
	bundle, err := secrets.NewBundle(secrets.NewFixedClock(time.Now().Add(-time.Minute)), config.TalosVersion1_6)
	if err != nil {
		return nil, err
	}
	return &Cluster{secrets: bundle}, nil
}

// Nodes are those that were added and not closed.
func (c *Cluster) Nodes() []*Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes)
}

// Close ends all nodes.
func (c *Cluster) Close() error {
	var errs []error
	for _, n := range c.Nodes() {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}

// at is the node of an address, or nil.
func (c *Cluster) at(address string) *Node {
	for _, n := range c.Nodes() {
		if n.local(address) {
			return n
		}
	}
	return nil
}

// add makes a node one of the cluster's.
func (c *Cluster) add(n *Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = append(c.nodes, n)
}

// remove forgets a node.
func (c *Cluster) remove(n *Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = slices.DeleteFunc(c.nodes, func(other *Node) bool { return other == n })
}

// pool holds the certificate authority.
func (c *Cluster) pool() *stdx509.CertPool {
	pool := stdx509.NewCertPool()
	pool.AppendCertsFromPEM(c.secrets.Certs.OS.Crt)
	return pool
}
