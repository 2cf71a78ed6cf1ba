// SPDX-License-Identifier: Apache-2.0

package talosnode

import (
	"context"
	"errors"
	"fmt"

	"github.com/cosi-project/runtime/pkg/resource"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sync/errgroup"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
)

// OSImage is what nodes of the default release say they run.
const OSImage = "Talos (" + string(talostest.V113) + ")"

// Options of the Talos API.
type Options struct {
	// Profile is the release of all nodes; V113 if it is empty.
	Profile talostest.Profile
	// Native configurations are as v1.14 generates them, with a KubeletConfig document.
	Native bool
}

// Cluster is the Talos API of a test cluster. The first node is its control plane,
// and the one endpoint; by way of it the others are reached under their addresses in
// Kubernetes.
type Cluster struct {
	*talostest.Cluster
	nodes []*Node
}

// Node is a node of both.
type Node struct {
	*talostest.Node
	// Below is the node that the API is for.
	Below   *cluster.Node
	machine *machine
	storage *storage
	// others are resources that are not of the API's volumes.
	others []resource.Resource
}

// Spoil changes the extra mounts with which the kubelet is started from now on. What
// the configuration says stays as it is.
func (n *Node) Spoil(change func([]specs.Mount) []specs.Mount) { n.machine.spoil.Store(&change) }

// Start serves the API for a cluster's nodes. Kubelets that run as the configurations
// say go on.
func Start(ctx context.Context, c *cluster.Cluster, o Options) (_ *Cluster, err error) {
	if o.Profile == "" {
		o.Profile = talostest.V113
	}
	api, err := talostest.NewCluster()
	if err != nil {
		return nil, err
	}
	t := &Cluster{Cluster: api}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close(context.WithoutCancel(ctx)))
		}
	}()
	for i, below := range c.Nodes() {
		m, disks := &machine{node: below, talos: o.Profile}, &storage{node: below}
		id, err := below.MachineID()
		if err != nil {
			return nil, fmt.Errorf("node %q: machine ID: %w", below.Name(), err)
		}
		node, err := api.Add(talostest.Options{
			Profile: o.Profile, Native: o.Native, Worker: i > 0,
			Name: below.Name(), Addresses: []string{below.IP()}, MachineID: id,
			Machine: m, Storage: disks,
		})
		if err != nil {
			return nil, fmt.Errorf("node %q: Talos API: %w", below.Name(), err)
		}
		n := &Node{Node: node, Below: below, machine: m, storage: disks}
		t.nodes = append(t.nodes, n)
	}
	for _, n := range t.nodes {
		if err := n.Settle(ctx); err != nil {
			return nil, fmt.Errorf("node %q: Talos API: %w", n.Below.Name(), err)
		}
		if err := n.SyncDisks(ctx); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Node returns a node by its name in Kubernetes.
func (c *Cluster) Node(name string) (*Node, error) {
	for _, n := range c.nodes {
		if n.Below.Name() == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("node %q: there is no such node", name)
}

// Nodes returns all nodes, by name.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Leave ends the API, and lets the kubelets go on as they are.
func (c *Cluster) Leave() error {
	for _, n := range c.nodes {
		n.machine.left.Store(true)
	}
	return c.Cluster.Close()
}

// Close ends the API, and what its volumes mounted. The kubelets run on, or again, without extra mounts.
func (c *Cluster) Close(ctx context.Context) error {
	err := c.Leave()
	for _, n := range c.nodes {
		err = errors.Join(err, n.storage.Close(ctx))
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, n := range c.nodes {
		group.Go(func() error {
			pid, err := n.Below.KubeletIn(groupCtx, cluster.Container{})
			if err != nil {
				return err
			}
			// One that the API was about to start or to stop may not live.
			if pid != 0 && n.Below.WaitKubelet(groupCtx) == nil {
				return nil
			}
			return n.Below.StartKubelet(groupCtx)
		})
	}
	return errors.Join(err, group.Wait())
}
