// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/claim"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/programs"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/supervisor"
)

// start starts the supervisor and waits until the control plane and the nodes'
// containerds serve.
func start(ctx context.Context, dir layout.Dir, built programs.Programs, o Options) (*Cluster, error) {
	lock, err := claim.Take(layout.LockFile)
	if err != nil {
		return nil, err
	}
	owner, err := launch(ctx, lock, dir, built, o)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	// The supervisor has it now.
	if err := lock.Close(); err != nil {
		return nil, errors.Join(err, owner.Close())
	}
	c, err := open(dir)
	if err != nil {
		return nil, errors.Join(err, owner.Close())
	}
	c.owner = owner
	return c, nil
}

// launch returns the pipe whose end ends the cluster.
func launch(ctx context.Context, lock *claim.Claim, dir layout.Dir, built programs.Programs, o Options) (*os.File, error) {
	if err := lock.Announce(claim.Holder{PID: os.Getpid(), Dir: dir.String()}); err != nil {
		return nil, err
	}
	// What a crash left.
	if err := supervisor.Sweep(ctx, dir); err != nil {
		return nil, fmt.Errorf("remove what the last cluster left: %w", err)
	}
	if err := os.MkdirAll(dir.String(), 0o700); err != nil {
		return nil, err
	}
	listener, err := listen()
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	status, statusWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer status.Close()
	defer statusWriter.Close()
	ownerReader, owner, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ownerReader.Close()

	config, err := json.Marshal(supervisor.Config{
		Dir: dir, Programs: built.Dir, Nodes: o.Nodes, OSImage: o.OSImage, LockPath: layout.LockFile,
	})
	if err != nil {
		return nil, err
	}
	logFile, err := os.Create(filepath.Join(filepath.Dir(dir.String()), "supervisor.log"))
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	// Not bound to the context: it is ended by the pipe, and cleans up.
	cmd := exec.Command(built.Clusterd(), "supervise", string(config))
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = logFile, logFile
	// In the order of supervisor.StatusFD and on.
	cmd.ExtraFiles = []*os.File{statusWriter, ownerReader, lock.File(), listener}
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		// A ^C in a terminal is for the owner only.
		Setsid: true,
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the supervisor: %w", err), owner.Close())
	}
	statusWriter.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// How it ended it has told through the pipe, or follow tells that it did not.
		_ = cmd.Wait()
	}()

	failure := follow(ctx, status, o)
	if failure == nil {
		return owner, nil
	}
	// It removes everything before it ends.
	closeErr := owner.Close()
	<-ended
	return nil, errors.Join(failure, closeErr)
}

// follow reads what the supervisor reports until the cluster is ready, or
// returns why it will not be.
func follow(ctx context.Context, status *os.File, o Options) error {
	stop := context.AfterFunc(ctx, func() { status.Close() })
	defer stop()
	lines := bufio.NewScanner(status)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s supervisor.Status
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return fmt.Errorf("read the supervisor's report: %w", err)
		}
		switch {
		case s.Ready:
			return nil
		case s.Error != "":
			return fmt.Errorf("start the cluster: %s", s.Error)
		default:
			fmt.Fprintln(o.Progress, s.Progress)
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("start the cluster: %w", context.Cause(ctx))
	}
	return errors.New("start the cluster: the supervisor died")
}

// listen opens the socket, in the machine's network, for the API server.
func listen() (*os.File, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	return listener.(*net.TCPListener).File()
}
