// SPDX-License-Identifier: Apache-2.0

// Package nodetest is a node for tests of the node scripts: namespaces of its own, with
// a /dev that holds loop devices under chosen names and nothing else.
//
// It needs root and loop devices. It must not be imported but by tests.
package nodetest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Shells are those that a provisioner's image may have as /bin/sh.
func Shells() []string { return []string{"dash", "bash", "busybox sh"} }

// Need skips the test where a condition of it is not met, and fails it where CI
// says that all are.
func Need(t testing.TB, met bool, what string) {
	t.Helper()
	switch {
	case met:
	case os.Getenv("CI") == "true":
		t.Fatalf("this test needs %s", what)
	default:
		t.Skipf("this test needs %s", what)
	}
}

// NeedTool is Need for a program.
func NeedTool(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := exec.LookPath(name)
		Need(t, err == nil, name)
	}
}

// Node is a mount and a PID namespace with its own /dev.
type Node struct {
	t   testing.TB
	pid int
	// Root is a directory for files of the test, the same inside and outside.
	Root string
}

// New makes a node that ends with the test. Loop devices are the machine's, and the scripts look at all of them: a loop device
// over another test's disk would count, so that of all tests on a machine one has a node at a time.
func New(t testing.TB) *Node {
	t.Helper()
	Need(t, os.Geteuid() == 0, "root")
	NeedTool(t, "unshare", "nsenter", "losetup", "blkid", "mke2fs", "flock", "timeout")
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "kubectl-talosdisk-nodetest.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() }) // Which lets go of it.
	return start(t)
}

// Other makes another node, for the same test.
func (n *Node) Other() *Node {
	n.t.Helper()
	return start(n.t)
}

func start(t testing.TB) *Node {
	t.Helper()
	n := &Node{t: t, Root: t.TempDir()}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", `
		mount -t tmpfs -o mode=755 none /dev && mkdir -p /dev/disk/by-id /dev/disk/by-path /dev/shm &&
		mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/zero c 1 5 && mknod -m 666 /dev/urandom c 1 9 &&
		ln -s /proc/self/fd /dev/fd && echo ready && read -r end`)
	// The namespace ends with the process that holds the other end of this pipe, even if it is killed.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		_ = stdin.Close()
		_ = cmd.Wait()
		Need(t, false, "a mount namespace: "+stderr.String())
	}
	n.pid = cmd.Process.Pid
	return n
}

// Command is a command on the node.
func (n *Node) Command(argv ...string) *exec.Cmd {
	ns := fmt.Sprintf("/proc/%d/ns/", n.pid)
	return exec.Command("nsenter", append([]string{"--mount=" + ns + "mnt", "--pid=" + ns + "pid_for_children", "--"}, argv...)...)
}

// Run runs the command of a node script, whose first word is a shell, in another
// shell. It returns what was printed to standard output; anything else is a failure.
func (n *Node) Run(shell string, argv []string) string {
	n.t.Helper()
	out, err := n.Output(shell, argv, Input{})
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// patience is how long a command may take that a test waits for.
const patience = 2 * time.Minute

// Input is what a command reads: First, and when it has printed After, Then.
type Input struct{ First, After, Then string }

// Output is Run that can fail, with something to read; it may be called from any goroutine.
func (n *Node) Output(shell string, argv []string, in Input) (string, error) {
	cmd := n.Command(append(strings.Fields(shell), argv[1:]...)...)
	var stderr bytes.Buffer
	stdout := &heard{mark: in.After, hears: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	done, wrote := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(wrote)
		defer stdin.Close()
		_, _ = io.WriteString(stdin, in.First)
		if in.Then == "" {
			return
		}
		select {
		case <-stdout.hears:
			_, _ = io.WriteString(stdin, in.Then)
		case <-done:
		case <-time.After(patience): // It waits for what it will never read. Without standard input it ends, and the test sees by what it said.
		}
	}()
	err = cmd.Wait()
	close(done)
	<-wrote
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", shell, err, &stderr)
	}
	return stdout.all.String(), err
}

// heard keeps what is written to it, and tells when there is a mark in it.
type heard struct {
	all      bytes.Buffer // not embedded: it would be filled past Write
	mark     string
	hears    chan struct{}
	reported bool
}

func (h *heard) Write(b []byte) (int, error) {
	n, err := h.all.Write(b)
	if !h.reported && bytes.Contains(h.all.Bytes(), []byte(h.mark)) {
		h.reported = true
		close(h.hears)
	}
	return n, err
}

// Do runs lines of shell on the node with arguments, and fails the test if they fail.
func (n *Node) Do(script string, args ...string) string {
	n.t.Helper()
	out, err := n.Command(append([]string{"bash", "-euc", script, "bash"}, args...)...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// Dir makes a directory that is a mount point on the node.
func (n *Node) Dir(name string) string {
	n.t.Helper()
	dir := filepath.Join(n.Root, name)
	n.Do(`mkdir -p "$1" && mount --bind "$1" "$1"`, dir)
	return dir
}

// Disk is a loop device with a name in the node's /dev.
type Disk struct {
	n *Node
	// Name in the node's /dev.
	Name string
	// Minor is the number of the loop device, whose major is 7.
	Minor int
	// Backing is its file.
	Backing string
	held    bool
}

// Number is the device number.
func (d *Disk) Number() string { return fmt.Sprintf("7:%d", d.Minor) }

// Disk makes a disk of that many bytes.
func (n *Node) Disk(name string, size int64) *Disk {
	n.t.Helper()
	return n.DiskOver(name, n.File(size))
}

// DiskOver makes a disk of a file.
func (n *Node) DiskOver(name, file string) *Disk {
	n.t.Helper()
	d := &Disk{n: n, Name: name, Backing: file}
	// A number of its own: the lowest free one can be somebody else's at any time.
	for range 20 {
		d.Minor = 2000 + rand.IntN(1<<19)
		if control(loopAdd, d.Minor) == nil {
			break
		}
	}
	out, err := exec.Command("losetup", d.loop(), d.Backing).CombinedOutput()
	Need(n.t, err == nil, "loop devices: "+string(out))
	n.t.Cleanup(func() { _ = control(loopRemove, d.Minor) })
	d.held = true
	n.t.Cleanup(d.Detach)
	d.fresh()
	n.Node(name, d.Minor)
	return d
}

// Requests of linux/loop.h.
const (
	loopAdd    = 0x4c80
	loopRemove = 0x4c81
)

func control(request uintptr, minor int) error {
	f, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(minor)); errno != 0 {
		return errno
	}
	return nil
}

// File makes a sparse file of that many bytes.
func (n *Node) File(size int64) string {
	n.t.Helper()
	f, err := os.CreateTemp(n.Root, "backing-")
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		n.t.Fatal(err)
	}
	return f.Name()
}

// Node makes a node in /dev for a loop device.
func (n *Node) Node(name string, minor int) {
	n.t.Helper()
	n.Do(`mknod "/dev/$1" b 7 "$2"`, name, strconv.Itoa(minor))
}

// Loop puts a loop device over a file or a device, as the node's own losetup does, from
// an offset on, with that name in /dev. It returns the kernel's name of it.
func (n *Node) Loop(name, over string, offset int64) string {
	n.t.Helper()
	minor := 0
	for range 20 {
		minor = 2000 + rand.IntN(1<<19)
		if control(loopAdd, minor) == nil {
			break
		}
	}
	n.t.Cleanup(func() { _ = control(loopRemove, minor) })
	n.Node(name, minor)
	n.Do(`losetup -o "$3" "/dev/$1" "$2"`, name, over, strconv.FormatInt(offset, 10))
	n.t.Cleanup(func() {
		n.Do(`losetup -d "/dev/$1" 2>/dev/null || ! losetup -n "/dev/$1" 2>/dev/null | grep -q .`, name)
	})
	return fmt.Sprint("loop", minor)
}

// Detach takes the file from the loop device, which stays.
func (d *Disk) Detach() {
	if !d.held {
		return
	}
	d.held = false
	d.fresh()
	if out, err := exec.Command("losetup", "--detach", d.loop()).CombinedOutput(); err != nil {
		d.n.t.Errorf("losetup --detach %s: %v: %s", d.loop(), err, out)
	}
}

// Replace puts another file of that many bytes under the same device number, as when a disk is
// pulled and another one comes under its name.
func (d *Disk) Replace(size int64) {
	d.n.t.Helper()
	d.Detach()
	d.Backing = d.n.File(size)
	// The kernel lets go of the last file when everybody who looks at the device has closed it.
	for patience := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out, err := exec.Command("losetup", d.loop(), d.Backing).CombinedOutput()
		if err == nil {
			break
		}
		if time.Now().After(patience) {
			d.n.t.Fatalf("losetup %s: %v: %s", d.loop(), err, out)
		}
	}
	d.held = true
	d.fresh()
}

// fresh undoes what a loop device keeps from its last file.
func (d *Disk) fresh() {
	_ = exec.Command("delpart", d.loop(), "1").Run()
	if out, err := exec.Command("blockdev", "--setrw", d.loop()).CombinedOutput(); err != nil {
		d.n.t.Fatalf("blockdev --setrw %s: %v: %s", d.loop(), err, out)
	}
}

// Link gives the disk a name as udev does, such as by-id/virtio-1.
func (d *Disk) Link(name string) string {
	d.n.t.Helper()
	d.n.Do(`ln -s "../../$1" "/dev/disk/$2"`, d.Name, name)
	return "/dev/disk/" + name
}

// Write puts bytes onto the disk, past every cache.
func (d *Disk) Write(offset int64, b []byte) {
	d.n.t.Helper()
	f, err := os.OpenFile(d.loop(), os.O_WRONLY|syscall.O_SYNC, 0)
	if err != nil {
		d.n.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, offset); err != nil {
		d.n.t.Fatal(err)
	}
}

// Break takes the ground from under the disk, so that every read of it fails.
func (d *Disk) Break() {
	d.n.t.Helper()
	if err := os.Truncate(d.Backing, 0); err != nil {
		d.n.t.Fatal(err)
	}
	d.n.Do(`blockdev --flushbufs "/dev/$1"`, d.Name)
}

// AddPartition makes the kernel see a partition of the disk, and gives it a node in
// /dev called as the disk with a 1. It is in no partition table.
func (d *Disk) AddPartition(start, sectors int) (number string) {
	d.n.t.Helper()
	NeedTool(d.n.t, "addpart", "delpart")
	if out, err := exec.Command("addpart", d.loop(), "1", strconv.Itoa(start), strconv.Itoa(sectors)).CombinedOutput(); err != nil {
		d.n.t.Fatalf("addpart %s: %v: %s", d.loop(), err, out)
	}
	b, err := os.ReadFile(fmt.Sprintf("/sys/block/loop%d/loop%dp1/dev", d.Minor, d.Minor))
	if err != nil {
		d.n.t.Fatal(err)
	}
	number = strings.TrimSpace(string(b))
	major, minor, _ := strings.Cut(number, ":")
	d.n.Do(`mknod "/dev/$1" b "$2" "$3"`, d.Name+"1", major, minor)
	return number
}

func (d *Disk) loop() string { return "/dev/loop" + strconv.Itoa(d.Minor) }
