// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/claim"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/loop"
)

// helperEnv makes of the test's binary a program that starts a cluster, so
// that there is a process to kill.
const helperEnv = "KUBECTL_TALOSDISK_TEST_HELPER"

// TestLeavesNothing ends clusters in every way that there is and compares the
// machine to what it was before.
func TestLeavesNothing(t *testing.T) {
	if os.Getenv(helperEnv) != "" {
		runHelper(t)
		return
	}
	needNoCluster(t)
	// What is made once and kept is no leftover.
	c, err := cluster.Up(t.Context(), cluster.Options{Nodes: 1, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"down", endByDown},
		{"context ends during up", endByContext},
		{"process killed during up", func(t *testing.T) { kill(t, startHelper(t, "starting etcd, the API server and containerd")) }},
		{"process killed", func(t *testing.T) { kill(t, startHelper(t, "up")) }},
		{"supervisor killed, then down", endBySupervisor},
		{"etcd killed", endByEtcd},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := look(t)
			test.run(t)
			// The supervisor lets go of its lock, and then ends.
			after := look(t)
			for deadline := time.Now().Add(10 * time.Second); len(after["processes"]) > len(before["processes"]) &&
				time.Now().Before(deadline); after = look(t) {
				time.Sleep(50 * time.Millisecond)
			}
			before.expectSame(t, after)
		})
	}
}

func endByDown(t *testing.T) {
	c := upWithVolume(t)
	if _, err := cluster.Up(t.Context(), cluster.Options{}); !errors.As(err, new(*claim.ErrHeld)) {
		t.Errorf("want a second cluster refused, got %v", err)
	}
	if err := c.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func endByContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	go func() {
		lines := bufio.NewScanner(reader)
		for lines.Scan() {
			if lines.Text() == "starting kubelets" {
				cancel()
			}
		}
	}()
	if _, err := cluster.Up(ctx, cluster.Options{Nodes: 1, Progress: writer}); !errors.Is(err, context.Canceled) {
		t.Errorf("want canceled, got %v", err)
	}
	writer.Close()
}

// endBySupervisor kills what would clean up; the next Down does it.
func endBySupervisor(t *testing.T) {
	upWithVolume(t)
	holder, held, err := claim.Find(layout.LockFile)
	if err != nil || !held {
		t.Fatalf("find the supervisor: %v", err)
	}
	if err := unix.Kill(holder.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// endByEtcd is a cluster that breaks: it goes down by itself.
func endByEtcd(t *testing.T) {
	c := upWithVolume(t)
	if out, err := c.Command(t.Context(), "sh", "-c",
		"ss -Hltnp 'sport = :2379' | grep -o 'pid=[0-9]*' | cut -c5- | xargs kill -9").CombinedOutput(); err != nil {
		t.Fatalf("kill etcd: %v: %s", err, out)
	}
	waitFree(t)
}

// upWithVolume starts a cluster with everything in use: a kubelet has its own
// loop device over a partition of a disk, and another partition is mounted.
func upWithVolume(t *testing.T) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Up(t.Context(), cluster.Options{Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	useVolume(t, c)
	return c
}

func useVolume(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	node := addDisk(t, c, cluster.Disk{Name: "vdb", Size: 64 << 20})
	if err := node.StartKubelet(t.Context(), cluster.Mount{Source: "/var/lib/disks", Destination: "/var/lib/disks"}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []cluster.Partition{{Number: 1, Start: 1 << 20, Size: 40 << 20}, {Number: 2, Start: 41 << 20, Size: 20 << 20}} {
		if err := node.AddPartition(t.Context(), "vdb", p); err != nil {
			t.Fatal(err)
		}
	}
	run(t, node, "sh", "-c", "mkfs.ext4 -q /dev/vdb2 && mkdir /var/mnt/two && mount /dev/vdb2 /var/mnt/two")
	run(t, node, "ln", "-s", "/dev/vdb1", "/var/lib/disks/vdb1")
	createPod(t, c, node, corev1.PersistentVolumeBlock, "/var/lib/disks/vdb1")
	expectRunning(t, c)
}

// startHelper starts another process with a cluster and returns when that says
// a line.
func startHelper(t *testing.T, line string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLeavesNothing$")
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if lines.Text() == line {
			return cmd
		}
	}
	t.Fatalf("the helper ended without saying %q: %v", line, cmd.Wait())
	return nil
}

func runHelper(t *testing.T) {
	c, err := cluster.Up(t.Context(), cluster.Options{Nodes: 1, Progress: os.Stdout})
	if err != nil {
		t.Fatal(err)
	}
	useVolume(t, c)
	if _, err := os.Stdout.WriteString("up\n"); err != nil {
		t.Fatal(err)
	}
	<-t.Context().Done()
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the killed process ended well")
	}
	waitFree(t)
}

// waitFree waits until the supervisor has cleaned up.
func waitFree(t *testing.T) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		_, held, err := claim.Find(layout.LockFile)
		return !held, err
	})
	if err != nil {
		t.Fatalf("wait for the cluster's end: %v", err)
	}
}

func needNoCluster(t *testing.T) {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("CI") == "true" {
		skip = t.Fatalf
	}
	if err := cluster.Supported(); err != nil {
		skip("no test cluster: %v", err)
	}
	release, err := cluster.Reserve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	if _, err := cluster.Open(); err == nil {
		skip("a cluster is up that somebody wants to keep")
	}
}

// machine is what a cluster could leave behind: what there is by what it is.
type machine map[string][]string

func look(t *testing.T) machine {
	t.Helper()
	m := make(machine)
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, mount := range mounts {
		m["mounts"] = append(m["mounts"], mount.FSType+" on "+mount.Mountpoint)
	}
	devices, err := loop.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		m["loop devices"] = append(m["loop devices"], strconv.Itoa(d.Number)+" "+d.File)
	}
	cache, err := layout.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	for name, pattern := range map[string]string{
		"cgroups":       "/sys/fs/cgroup/*",
		"cgroups below": "/sys/fs/cgroup/*/*",
		"links":         "/sys/class/net/*",
		"devices":       "/dev/*",
		"files in run":  "/run/*",
		"files in lib":  "/var/lib/*",
		"CNI":           "/var/lib/cni/*",
		"cache":         filepath.Join(cache, "*"),
		"temporary":     filepath.Join(os.TempDir(), layout.Name+"*"),
	} {
		if m[name], err = filepath.Glob(pattern); err != nil {
			t.Fatal(err)
		}
	}
	m["processes"] = foreignProcesses(t)
	return m
}

// foreignProcesses are those in another mount namespace: all of a cluster's
// are, and nothing that a busy machine starts meanwhile is.
func foreignProcesses(t *testing.T) []string {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("/proc/[0-9]*/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		namespace, err := os.Readlink(path)
		if errors.Is(err, fs.ErrNotExist) || namespace == own || namespace == "" {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(path)), "comm"))
		if err != nil || string(comm) == "kdevtmpfs\n" {
			continue // it ended meanwhile, or is the kernel's
		}
		found = append(found, path+" "+string(comm))
	}
	return found
}

func (before machine) expectSame(t *testing.T, after machine) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(after)) {
		was, is := before[name], after[name]
		for _, item := range is {
			if !slices.Contains(was, item) && filepath.Base(item) != "failed-logs" {
				t.Errorf("%s: %q is left", name, item)
			}
		}
		for _, item := range was {
			if !slices.Contains(is, item) {
				t.Errorf("%s: %q is gone", name, item)
			}
		}
	}
}
