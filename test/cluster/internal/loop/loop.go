// SPDX-License-Identifier: Apache-2.0

// Package loop makes block devices of files, and removes them.
//
// Loop devices belong to the machine, not to a namespace, so they are what a
// killed cluster could leave behind. Whose they are is read from the kernel,
// never remembered.
package loop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// Major is the device number that all loop devices share.
	Major = 7

	controlPath = "/dev/loop-control"
	// attempts bounds the race with other programs that attach devices.
	attempts = 256
)

// Device is a loop device of the machine.
type Device struct {
	Number int
	// File is what the kernel calls the backing file; empty for a free device.
	// " (deleted)" is appended by the kernel if it has no name any more.
	File string
}

// Path is the device in the machine's /dev.
func Path(number int) string { return "/dev/loop" + strconv.Itoa(number) }

// Options of a new device.
type Options struct {
	// First is the lowest number to take.
	First int
	// Sector is the logical block size in bytes; 0 is the kernel's 512.
	Sector uint32
	// ReadOnly makes the device refuse writes.
	ReadOnly bool
	// AutoClear lets the kernel detach the device when nobody uses it any
	// more. The returned file keeps it until it is closed.
	AutoClear bool
}

// Attach makes a block device of a file and returns its number and the open
// device, which the caller closes.
func Attach(file string, o Options) (int, *os.File, error) {
	flags := os.O_RDWR
	if o.ReadOnly {
		flags = os.O_RDONLY
	}
	backing, err := os.OpenFile(file, flags, 0)
	if err != nil {
		return 0, nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile(controlPath, os.O_RDWR, 0)
	if err != nil {
		return 0, nil, err
	}
	defer control.Close()
	// One at a time: a device that another process is adding is known to the
	// kernel a moment before it is in /dev.
	if err := unix.Flock(int(control.Fd()), unix.LOCK_EX); err != nil {
		return 0, nil, fmt.Errorf("lock %s: %w", controlPath, err)
	}

	config := &unix.LoopConfig{Fd: uint32(backing.Fd()), Size: o.Sector}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], file)
	if o.AutoClear {
		config.Info.Flags |= unix.LO_FLAGS_AUTOCLEAR
	}
	if o.ReadOnly {
		config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	for number := o.First; number < o.First+attempts; number++ {
		err := unix.IoctlSetInt(int(control.Fd()), unix.LOOP_CTL_ADD, number)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return 0, nil, fmt.Errorf("add loop device %d: %w", number, err)
		}
		device, err := os.OpenFile(Path(number), flags, 0)
		if err != nil {
			return 0, nil, err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), config)
		if err == nil {
			return number, device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return 0, nil, fmt.Errorf("attach %q to %s: %w", file, Path(number), err)
		}
	}
	return 0, nil, fmt.Errorf("attach %q: no free loop device from %d to %d", file, o.First, o.First+attempts-1)
}

// Detach frees a device. One that is in use is freed by the kernel when its
// last user lets go, and that is no error; neither is one that is free.
func Detach(number int) error {
	device, err := os.OpenFile(Path(number), os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) {
		return nil
	}
	if err != nil {
		return err
	}
	err = unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0)
	device.Close()
	if err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("detach %s: %w", Path(number), err)
	}
	return nil
}

// Remove takes a free device out of the kernel. A busy one stays.
func Remove(number int) error {
	control, err := os.OpenFile(controlPath, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	err = unix.IoctlSetInt(int(control.Fd()), unix.LOOP_CTL_REMOVE, number)
	if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove %s: %w", Path(number), err)
	}
	return nil
}

// List returns all loop devices of the machine, by number.
func List() ([]Device, error) {
	matches, err := filepath.Glob("/sys/block/loop*")
	if err != nil {
		return nil, err
	}
	var devices []Device
	for _, match := range matches {
		number, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(match), "loop"))
		if err != nil {
			continue
		}
		// A free device has no directory "loop".
		file, err := os.ReadFile(filepath.Join(match, "loop", "backing_file"))
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			return nil, err
		}
		devices = append(devices, Device{Number: number, File: strings.TrimSuffix(string(file), "\n")})
	}
	slices.SortFunc(devices, func(a, b Device) int { return a.Number - b.Number })
	return devices, nil
}

// Below returns the devices whose files lie, or lay, below a directory, and
// the devices on top of those, which come first: a kubelet puts another loop
// device over the one that a Block volume is.
func Below(dir string) ([]int, error) {
	devices, err := List()
	if err != nil {
		return nil, err
	}
	ours := make(map[int]bool)
	var order []int
	for _, d := range devices {
		if strings.HasPrefix(d.File, strings.TrimSuffix(dir, "/")+"/") {
			ours[d.Number] = true
			order = append(order, d.Number)
		}
	}
	for grown := true; grown; {
		grown = false
		for _, d := range devices {
			if d.File == "" || ours[d.Number] {
				continue
			}
			if under, ok := lowerLoop(d.Number); ok && ours[under] {
				ours[d.Number] = true
				order = append([]int{d.Number}, order...)
				grown = true
			}
		}
	}
	return order, nil
}

// lowerLoop tells which loop device a loop device is made of, or of a partition of which. The path of the
// backing file does not help: it is one inside a node that may be gone.
func lowerLoop(number int) (int, bool) {
	device, err := os.OpenFile(Path(number), os.O_RDONLY, 0)
	if err != nil {
		return 0, false
	}
	defer device.Close()
	info, err := unix.IoctlLoopGetStatus64(int(device.Fd()))
	if err != nil {
		return 0, false
	}
	if unix.Major(info.Rdevice) != Major {
		return partitioned(info.Rdevice)
	}
	return int(unix.Minor(info.Rdevice)), true
}
