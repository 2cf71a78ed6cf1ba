// SPDX-License-Identifier: Apache-2.0

// Package claim lets one cluster at a time have the machine.
//
// The claim is a lock on an open file, which the kernel drops when the last
// process that has it dies: it cannot be left behind by a crash.
package claim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Holder is what a claim tells others.
type Holder struct {
	// PID is the supervisor, or who is about to start it.
	PID int `json:"pid"`
	// Dir is the cluster's directory.
	Dir string `json:"dir"`
}

// ErrHeld says that another cluster has the machine.
type ErrHeld struct{ Holder Holder }

func (e *ErrHeld) Error() string {
	return fmt.Sprintf("another test cluster has this machine (process %d, in %q): end it first", e.Holder.PID, e.Holder.Dir)
}

// Claim is a held lock.
type Claim struct {
	file *os.File
	path string
}

// Take takes the lock, or returns an *ErrHeld at once.
func Take(path string) (*Claim, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			holder := read(file)
			file.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, &ErrHeld{Holder: holder}
			}
			return nil, fmt.Errorf("lock %q: %w", path, err)
		}
		// The holder before may have removed the file after it was opened here.
		ours, err := file.Stat()
		if err != nil {
			file.Close()
			return nil, err
		}
		if now, err := os.Stat(path); err == nil && os.SameFile(ours, now) {
			return &Claim{file: file, path: path}, nil
		}
		file.Close()
	}
}

// Wait takes the lock as soon as it is free.
func Wait(ctx context.Context, path string) (*Claim, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		claim, err := Take(path)
		var held *ErrHeld
		if !errors.As(err, &held) {
			return claim, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-tick.C:
		}
	}
}

// Inherit makes a claim of the open file that a parent passed on.
func Inherit(file *os.File, path string) *Claim { return &Claim{file: file, path: path} }

// Find returns who holds the lock; false if nobody does.
func Find(path string) (Holder, bool, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return Holder{}, false, nil
	}
	if err != nil {
		return Holder{}, false, err
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
		return Holder{}, false, nil
	}
	return read(file), true, nil
}

// Announce writes the holder into the lock.
func (c *Claim) Announce(h Holder) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := c.file.Truncate(0); err != nil {
		return err
	}
	_, err = c.file.WriteAt(append(data, '\n'), 0)
	return err
}

// File is the lock, to be passed on to a child.
func (c *Claim) File() *os.File { return c.file }

// Close lets go of this process's share of the lock; another process that
// inherited it still has it.
func (c *Claim) Close() error { return c.file.Close() }

// Release removes the lock, unless who inherited it has done so, and lets go of
// it.
func (c *Claim) Release() error {
	var err error
	if ours, statErr := c.file.Stat(); statErr == nil {
		// If the file there is this one nobody else can have the lock.
		if now, statErr := os.Stat(c.path); statErr == nil && os.SameFile(ours, now) {
			err = os.Remove(c.path)
		}
	}
	return errors.Join(err, c.file.Close())
}

// read is lenient: between taking and announcing the file is empty.
func read(file *os.File) Holder {
	var h Holder
	data, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<16))
	if err == nil {
		_ = json.Unmarshal(data, &h)
	}
	return h
}
