// SPDX-License-Identifier: Apache-2.0

// Package supervisor is the process that a cluster hangs on.
//
// It is started into a network and a mount namespace of its own, so no link,
// address or mount of the cluster is ever the machine's. Everything that it
// starts is killed by the kernel when it dies. It ends the cluster when it is
// told to, when its owner is gone, or when a part of the cluster ends, and then
// removes what outlives processes: loop devices, cgroups, files.
package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/claim"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/nodeinit"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/pki"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/poll"
)

// The files that the supervisor is started with, after its standard ones.
const (
	// StatusFD is written to: one Status a line.
	StatusFD = 3 + iota
	// OwnerFD ends when the owner does. A byte in it says that the cluster is
	// to outlive its owner.
	OwnerFD
	// ClaimFD is the lock on the machine.
	ClaimFD
	// ListenerFD is the socket, in the machine's network, that the API server
	// is reached by.
	ListenerFD
)

// Config is what a cluster is to be.
type Config struct {
	Dir      layout.Dir `json:"dir"`
	Programs string     `json:"programs"`
	Nodes    int        `json:"nodes"`
	OSImage  string     `json:"osImage"`
	// LockPath is the file behind ClaimFD.
	LockPath string `json:"lockPath"`
}

// Status is how the supervisor reports the start.
type Status struct {
	Progress string `json:"progress,omitempty"`
	Error    string `json:"error,omitempty"`
	Ready    bool   `json:"ready,omitempty"`
}

const (
	startTimeout = 2 * time.Minute
	endTimeout   = 30 * time.Second
)

// Run brings the cluster up and stays until its end.
func Run(config Config) error {
	for _, fd := range []int{StatusFD, OwnerFD, ClaimFD, ListenerFD} {
		unix.CloseOnExec(fd)
	}
	status := os.NewFile(StatusFD, "status")
	owner := os.NewFile(OwnerFD, "owner")
	lock := claim.Inherit(os.NewFile(ClaimFD, "claim"), config.LockPath)
	if err := lock.Announce(claim.Holder{PID: os.Getpid(), Dir: config.Dir.String()}); err != nil {
		return err
	}

	ctx, cancel := context.WithCancelCause(context.Background())
	go waitSignal(cancel)
	go waitOwner(owner, cancel)

	s := &supervisor{config: config, children: newChildren(), cancel: cancel}
	reason := s.start(ctx, status)
	if reason == nil {
		s.report(status, Status{Ready: true})
		<-ctx.Done()
		reason = context.Cause(ctx)
	}
	// Anyone who waits for the start learns of its failure when nothing is left.
	err := s.end(reason)
	s.report(status, Status{Error: errors.Join(reason, err).Error()})
	return errors.Join(err, lock.Release())
}

type supervisor struct {
	config   Config
	children *children
	cancel   context.CancelCauseFunc
	ca       *pki.CA
	nodes    []layout.NodeInfo
}

// errToldToEnd is the reason of an end that is no failure.
var errToldToEnd = errors.New("the cluster was told to end")

func waitSignal(cancel context.CancelCauseFunc) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	<-signals
	cancel(errToldToEnd)
}

// waitOwner ends the cluster when it has lost its owner, unless the owner gave
// it up before.
func waitOwner(owner *os.File, cancel context.CancelCauseFunc) {
	if n, _ := owner.Read(make([]byte, 1)); n == 0 {
		cancel(fmt.Errorf("%w: the process that started it is gone", errToldToEnd))
	}
}

func (s *supervisor) report(to io.Writer, status Status) {
	// The owner may be gone; that is noticed elsewhere.
	_ = json.NewEncoder(to).Encode(status)
}

func (s *supervisor) start(ctx context.Context, status io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make all mounts private: %w", err)
	}
	if err := s.writeFiles(); err != nil {
		return fmt.Errorf("write the cluster's files: %w", err)
	}
	if err := setupNetwork(ctx, s.config.Nodes); err != nil {
		return err
	}
	server, err := s.serveAPI()
	if err != nil {
		return err
	}
	s.report(status, Status{Progress: "starting etcd, the API server and containerd"})

	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.startControlPlane(groupCtx, server) })
	s.nodes = make([]layout.NodeInfo, s.config.Nodes)
	for i := range s.nodes {
		group.Go(func() (err error) {
			s.nodes[i], err = s.startNode(groupCtx, i+1)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		// What ended explains why something waited in vain for it.
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
			return cause
		}
		return err
	}
	return s.config.Dir.WriteInfo(layout.Info{
		Supervisor: os.Getpid(), Server: server, Programs: s.config.Programs, Nodes: s.nodes,
	})
}

// serveAPI passes connections from the machine's network to the API server's.
// The socket that listens was made in the one, this process lives in the other.
func (s *supervisor) serveAPI() (string, error) {
	file := os.NewFile(ListenerFD, "listener")
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return "", fmt.Errorf("listen for the API server: %w", err)
	}
	go forward(listener, net.JoinHostPort(layout.APIServerIP, "443"))
	return "https://" + listener.Addr().String(), nil
}

func forward(listener net.Listener, address string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer client.Close()
			server, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer server.Close()
			done := make(chan struct{})
			go func() {
				_, _ = io.Copy(server, client)
				closeWrite(server)
				close(done)
			}()
			_, _ = io.Copy(client, server)
			closeWrite(client)
			<-done
		}()
	}
}

// closeWrite passes the end of one direction on and leaves the other open.
func closeWrite(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

// startNode starts a node's init and waits for its containerd.
func (s *supervisor) startNode(ctx context.Context, index int) (layout.NodeInfo, error) {
	node := layout.NodeInfo{Name: layout.NodeName(index), Index: index}
	if err := s.prepareNode(ctx, node); err != nil {
		return node, fmt.Errorf("prepare node %q: %w", node.Name, err)
	}
	args, err := nodeinit.Spec{
		Node: node, Dir: s.config.Dir, Programs: s.config.Programs, OSImage: s.config.OSImage,
	}.Args("node-enter")
	if err != nil {
		return node, err
	}
	pid, err := s.spawn(node.Name, filepath.Join(s.config.Programs, "clusterd"), args,
		unix.CLONE_NEWPID|unix.CLONE_NEWNS|unix.CLONE_NEWUTS|unix.CLONE_NEWIPC)
	if err != nil {
		return node, err
	}
	node.PID = pid
	socket := filepath.Join(node.Root(), nodeinit.ContainerdSocket)
	err = poll.Until(ctx, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	if err != nil {
		return node, fmt.Errorf("wait for containerd on %q: %w", node.Name, err)
	}
	return node, nil
}

// end kills everything and removes what the kernel does not.
func (s *supervisor) end(reason error) error {
	s.children.killAll()
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if !errors.Is(reason, errToldToEnd) {
		KeepLogs(s.config.Dir)
	}
	return Sweep(ctx, s.config.Dir)
}
