// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// children are the processes that the supervisor started.
type children struct {
	// starts is served by one thread that never ends: the kernel kills a child
	// when the thread that started it does, not the process.
	starts chan func()

	mu     sync.Mutex
	ending bool
	live   map[*exec.Cmd]chan struct{}
}

func newChildren() *children {
	c := &children{starts: make(chan func()), live: make(map[*exec.Cmd]chan struct{})}
	go func() {
		runtime.LockOSThread()
		for start := range c.starts {
			start()
		}
	}()
	return c
}

// start starts a command that dies with the supervisor, and calls ended when
// it ends before killAll.
func (c *children) start(cmd *exec.Cmd, ended func(error)) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &unix.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return errors.New("the cluster is ending")
	}
	started := make(chan error)
	c.starts <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return err
	}
	gone := make(chan struct{})
	c.live[cmd] = gone
	go func() {
		err := cmd.Wait()
		c.mu.Lock()
		ending := c.ending
		c.mu.Unlock()
		close(gone)
		if !ending {
			ended(err)
		}
	}()
	return nil
}

// killAll kills all children and waits for their ends. For a node's init that
// is the end of everything in the node.
func (c *children) killAll() {
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	for cmd := range c.live {
		_ = cmd.Process.Kill()
	}
	for _, gone := range c.live {
		<-gone
	}
}

// spawn starts a program of the cluster with a log of its own. Its end is the
// cluster's.
func (s *supervisor) spawn(name, program string, args []string, namespaces uintptr) (int, error) {
	log, err := os.Create(s.config.Dir.Log(name))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: namespaces}
	err = s.children.start(cmd, func(err error) {
		if err == nil {
			err = errors.New("exit status 0")
		}
		s.cancel(errors.Join(fmt.Errorf("%s ended: %w", name, err), logTail(s.config.Dir.Log(name))))
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", name, err)
	}
	return cmd.Process.Pid, nil
}

// logTail is the last that a program said.
func logTail(path string) error {
	const limit = 10
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) > limit {
		lines = lines[len(lines)-limit:]
	}
	return errors.New(strings.Join(lines, "\n"))
}
