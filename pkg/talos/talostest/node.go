// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"

	"github.com/cosi-project/runtime/pkg/state"
	"google.golang.org/grpc"
)

// Options are of one node.
type Options struct {
	// Profile is the release; "" is V113.
	Profile Profile
	// Name is the nodename; "" is "talos-1".
	Name string
	// Addresses are those by which requests name it: "10.0.0.12". None: the address
	// that it listens on.
	Addresses []string
	// MachineID is the content of /etc/machine-id; "" is MachineID(Name).
	MachineID string
	// Listen is host:port; "" is a free port of 127.0.0.1.
	Listen string
	// Worker nodes forward no requests.
	Worker bool
	// Native gives a configuration as v1.14 generates it, with a KubeletConfig document.
	Native bool
	// Config is the configuration; nil is one generated for the release.
	Config []byte
	// Machine is what lies below; nil is a Sim, which the node then removes on Close.
	Machine Machine
	// Clock is the node's time; nil is the real one.
	Clock Clock
	// Bare leaves the block resources out that a node has otherwise, and its disks.
	Bare bool
	// Storage has the disks; nil are those of the node that was recorded, in memory: see AddDisk.
	Storage Storage
}

// Hooks interfere with a node's calls. Method is the last part of a gRPC method:
// "List", "ApplyConfiguration"; the resource API's are "Get", "List", "Watch" of
// cosi.resource.State, here "cosi.Get" and so on. An error is the answer.
type Hooks struct {
	// Before is called when a request has come, before anything is done for it.
	Before func(ctx context.Context, method string) error
	// After is called when all is done, before the answer is sent.
	After func(ctx context.Context, method string) error
	// Applying is called while a configuration is being applied, before it is looked at.
	Applying func(ctx context.Context)
	// Healthy replaces what the machine says of the kubelet's health.
	Healthy func(ctx context.Context) error
	// Volume is called before a step of a volume, "u-ssd-1". An error makes it fail, ErrStall leaves it in its phase. Both are tried
	// again a little later, and when something changes.
	Volume func(ctx context.Context, id string, step VolumeStep) error
}

// Hang is a hook that answers no call of these methods.
func Hang(methods ...string) func(context.Context, string) error {
	return func(ctx context.Context, method string) error {
		if !slices.Contains(methods, method) {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

// Fail is a hook that answers every call of these methods with an error.
func Fail(err error, methods ...string) func(context.Context, string) error {
	return func(_ context.Context, method string) error {
		if slices.Contains(methods, method) {
			return err
		}
		return nil
	}
}

// Node is one Talos node.
type Node struct {
	options Options
	cluster *Cluster
	machine Machine
	files   files
	clock   Clock
	kubelet *kubelet
	configs *configs
	volumes *volumes
	// state is what the node knows; guarded is that behind the API's access rules.
	state   state.State
	guarded state.CoreState
	// own is closed with the node: its machine was made for it.
	own *Sim

	mu       sync.Mutex
	hooks    Hooks
	address  string
	server   *grpc.Server
	cut      bool
	shutdown context.CancelFunc
	done     sync.WaitGroup
}

// New makes a cluster of one node.
func New(options Options) (*Node, error) {
	c, err := NewCluster()
	if err != nil {
		return nil, err
	}
	return c.Add(options)
}

// Add starts a node. Its kubelet is started too, with what the configuration says;
// Settle waits for that.
func (c *Cluster) Add(options Options) (*Node, error) {
	if options.Profile == "" {
		options.Profile = V113
	}
	if err := options.Profile.valid(); err != nil {
		return nil, err
	}
	if options.Name == "" {
		options.Name = "talos-1"
	}
	if options.Listen == "" {
		options.Listen = "127.0.0.1:0"
	}
	n := &Node{options: options, cluster: c, machine: options.Machine, clock: options.Clock}
	if n.clock == nil {
		n.clock = wall{}
	}
	if options.Config == nil {
		generated, err := c.Config(options.Profile, options.Worker, options.Native)
		if err != nil {
			return nil, err
		}
		options.Config = generated
	}
	listener, err := net.Listen("tcp", options.Listen)
	if err != nil {
		return nil, err
	}
	n.address = listener.Addr().String()
	if err := n.start(listener, options.Config); err != nil {
		return nil, errors.Join(err, listener.Close(), n.Close())
	}
	c.add(n)
	return n, nil
}

// start brings up everything of a node that has a listener.
func (n *Node) start(listener net.Listener, config []byte) error {
	if len(n.options.Addresses) == 0 {
		host, _, err := net.SplitHostPort(n.address)
		if err != nil {
			return err
		}
		n.options.Addresses = []string{host}
	}
	if n.machine == nil {
		sim, err := NewSim("", n.options.Profile)
		if err != nil {
			return err
		}
		sim.name = n.options.Name
		n.machine, n.own = sim, sim
	}
	n.files = files{locate: n.machine.Locate}
	ctx, cancel := context.WithCancel(context.Background())
	n.shutdown = cancel
	if err := n.initState(ctx); err != nil {
		return err
	}
	n.kubelet = newKubelet(n)
	n.configs = newConfigs(n)
	if err := n.configs.boot(ctx, config); err != nil {
		return err
	}
	n.done.Go(func() { n.kubelet.run(ctx) })
	n.done.Go(func() { n.volumes.run(ctx) })
	return n.serve(listener)
}

// serve answers on a listener until Close or Cut.
func (n *Node) serve(listener net.Listener) error {
	certificate, err := n.cluster.server(n.options.Addresses)
	if err != nil {
		return err
	}
	server := n.newServer(&tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    n.cluster.pool(),
		MinVersion:   tls.VersionTLS13,
	})
	n.mu.Lock()
	n.server, n.cut = server, false
	n.mu.Unlock()
	n.done.Go(func() { _ = server.Serve(listener) })
	return nil
}

// Close ends the node's API, and the machine with its kubelet if it was made for it.
func (n *Node) Close() error {
	n.Cut()
	n.cluster.remove(n)
	if n.shutdown != nil {
		n.shutdown()
	}
	n.done.Wait()
	if n.own == nil {
		return nil
	}
	return errors.Join(n.own.StopKubelet(context.Background()), n.own.Remove())
}

// Cut makes the node unreachable: open connections break, new ones are refused.
func (n *Node) Cut() {
	n.mu.Lock()
	server := n.server
	n.cut = true
	n.mu.Unlock()
	if server != nil {
		server.Stop()
	}
}

// Restore makes a node that was cut reachable again, at the same address.
func (n *Node) Restore() error {
	listener, err := net.Listen("tcp", n.address)
	if err != nil {
		return err
	}
	return n.serve(listener)
}

// Endpoint is where the API listens, as host:port.
func (n *Node) Endpoint() string { return n.address }

// Name is the nodename that was given.
func (n *Node) Name() string { return n.options.Name }

// Machine is what lies below.
func (n *Node) Machine() Machine { return n.machine }

// Cluster is the one the node is in.
func (n *Node) Cluster() *Cluster { return n.cluster }

// State is what the node knows, without the API's access rules: a test adds
// resources to it.
func (n *Node) State() state.State { return n.state }

// SetHooks interferes with all later calls.
func (n *Node) SetHooks(hooks Hooks) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hooks = hooks
}

// hook returns the hooks as they are now.
func (n *Node) hook() Hooks {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hooks
}

// reachable reports whether the node answers.
func (n *Node) reachable() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.cut
}

// local reports whether an address is the node's own.
func (n *Node) local(address string) bool { return slices.Contains(n.options.Addresses, address) }
