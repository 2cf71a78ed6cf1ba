// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/clustertest"
)

// pauseImage is on every node.
const pauseImage = "localhost/pause:test"

const podTimeout = 30 * time.Second

// TestCluster holds down what the cluster is for: real kubelets whose view
// differs from their nodes', disks, real authorization; and that Reset undoes
// it all.
func TestCluster(t *testing.T) {
	c := clustertest.Start(t, cluster.Options{Nodes: 2})
	for _, test := range []struct {
		name string
		run  func(*testing.T, *cluster.Cluster)
	}{
		{"filesystem volume", testFilesystemVolume},
		{"block volume", testBlockVolume},
		{"disks", testDisks},
		{"partitions", testPartitions},
		{"forbidden verbs", testForbidden},
		{"exec", testExec},
		{"kubelet mounts", testKubeletMounts},
		{"kubelet of a release", testKubeletRelease},
		{"kubelet that does not start", testKubeletFails},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, c)
			if err := c.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			expectReset(t, c)
		})
	}
}

// testFilesystemVolume is the fault that the product is about, and its cure.
func testFilesystemVolume(t *testing.T, c *cluster.Cluster) {
	node := addDisk(t, c, cluster.Disk{Name: "vdb", Size: 64 << 20})
	run(t, node, "sh", "-c", "mkfs.ext4 -q /dev/vdb && mkdir -p /var/lib/disks/ssd/vdb && mount /dev/vdb /var/lib/disks/ssd/vdb")
	createPod(t, c, node, corev1.PersistentVolumeFilesystem, "/var/lib/disks/ssd/vdb")

	expectEvent(t, c, "FailedMount", `path "/var/lib/disks/ssd/vdb" does not exist`)
	if err := node.StartKubelet(t.Context(), cluster.Mount{Source: "/var/lib/disks", Destination: "/var/lib/disks"}); err != nil {
		t.Fatal(err)
	}
	expectRunning(t, c)
}

func testBlockVolume(t *testing.T, c *cluster.Cluster) {
	node := addDisk(t, c, cluster.Disk{Name: "vdc", Size: 64 << 20})
	run(t, node, "sh", "-c", "mkdir -p /var/lib/disks/block && ln -s /dev/disk/by-path/pci-0000:00:0c.0 /var/lib/disks/block/vdc")
	createPod(t, c, node, corev1.PersistentVolumeBlock, "/var/lib/disks/block/vdc")

	expectEvent(t, c, "FailedMapVolume", "lstat /var/lib/disks: no such file or directory")
	if err := node.StartKubelet(t.Context(), cluster.Mount{Source: "/var/lib/disks", Destination: "/var/lib/disks"}); err != nil {
		t.Fatal(err)
	}
	expectRunning(t, c)
}

func testDisks(t *testing.T, c *cluster.Cluster) {
	node := addDisk(t, c, cluster.Disk{Name: "vdb", Size: 32 << 20, Serial: "one", Links: []string{"by-id/wwn-0x1"}})
	addDisk(t, c, cluster.Disk{Name: "vdc", Size: 48 << 20, Serial: "two"})
	expectOutput(t, node, "33554432", "blockdev", "--getsize64", "/dev/disk/by-id/wwn-0x1")
	expectOutput(t, node, "50331648", "blockdev", "--getsize64", "/dev/disk/by-path/pci-0000:00:0c.0")

	if err := node.SwapDisks("vdb", "vdc", cluster.SwapOptions{ByPathStays: true}); err != nil {
		t.Fatal(err)
	}
	expectOutput(t, node, "50331648", "blockdev", "--getsize64", "/dev/vdb")
	expectOutput(t, node, "/dev/vdc", "readlink", "-f", "/dev/disk/by-id/virtio-one")
	expectOutput(t, node, "/dev/vdc", "readlink", "-f", "/dev/disk/by-id/wwn-0x1")
	expectOutput(t, node, "/dev/vdc", "readlink", "-f", "/dev/disk/by-path/pci-0000:00:0c.0")

	if err := node.RemoveDisk("vdc"); err != nil {
		t.Fatal(err)
	}
	expectOutput(t, node, "/dev/disk/by-id/virtio-two", "find", "/dev/disk/by-id", "-type", "l", "!", "-name", "virtio-system")
	if err := node.AddDisk(cluster.Disk{Name: "vdb", Size: 1 << 20}); err == nil {
		t.Error("a second disk of the same name was added")
	}
	other, err := c.Node("worker-2")
	if err != nil {
		t.Fatal(err)
	}
	expectOutput(t, other, "", "find", "/dev", "-name", "vd[b-z]")
}

// testPartitions makes partitions while one is mounted, and takes them along in a swap.
func testPartitions(t *testing.T, c *cluster.Cluster) {
	node := addDisk(t, c, cluster.Disk{Name: "vdb", Size: 64 << 20, Serial: "one"})
	addDisk(t, c, cluster.Disk{Name: "vdc", Size: 48 << 20})
	for _, p := range []cluster.Partition{
		{Number: 1, Start: 1 << 20, Size: 16 << 20, Label: "u-one"}, {Number: 2, Start: 17 << 20, Size: 8 << 20, Label: "r-two"},
	} {
		if err := node.AddPartition(t.Context(), "vdb", p); err != nil {
			t.Fatal(err)
		}
		run(t, node, "sh", "-c", "[ -e /var/mnt/one ] || { mkfs.ext4 -q /dev/vdb1 && mkdir /var/mnt/one && mount /dev/vdb1 /var/mnt/one; }")
	}
	expectOutput(t, node, "16777216", "blockdev", "--getsize64", "/dev/disk/by-partlabel/u-one")
	expectOutput(t, node, "8388608", "blockdev", "--getsize64", "/dev/disk/by-id/virtio-one-part2")
	if err := node.RemovePartition(t.Context(), "vdb", 1); err == nil {
		t.Error("a partition that is mounted was removed")
	}
	run(t, node, "umount", "/var/mnt/one")
	if err := node.RemovePartition(t.Context(), "vdb", 2); err != nil {
		t.Fatal(err)
	}
	expectOutput(t, node, "", "find", "/dev", "-name", "r-two", "-o", "-name", "vdb2")
	if err := node.SwapDisks("vdb", "vdc", cluster.SwapOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := node.SyncPartitions(t.Context(), "vdc"); err != nil {
		t.Fatal(err)
	}
	expectOutput(t, node, "/dev/vdc", "readlink", "-f", "/dev/disk/by-id/virtio-one")
}

func testForbidden(t *testing.T, c *cluster.Cluster) {
	path, err := c.KubeconfigForServiceAccount("default", "reader")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = kubernetes.NewForConfigOrDie(config).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(),
		`User "system:serviceaccount:default:reader" cannot list resource "nodes"`) {
		t.Errorf("want forbidden, got %v", err)
	}
}

func testExec(t *testing.T, c *cluster.Cluster) {
	node := c.Nodes()[0]
	expectOutput(t, node, node.Name(), "hostname")
	if _, err := node.Exec(t.Context(), "ls", "/nowhere"); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("want what ls said, got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := node.Exec(ctx, "sleep", "1000"); err == nil {
		t.Error("the end of the context did not end the command")
	}
	// Not only nsenter is gone, but what it had started; once it is reaped.
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, podTimeout, true, func(ctx context.Context) (bool, error) {
		_, err := node.Exec(ctx, "pgrep", "-x", "sleep")
		return err != nil, nil
	})
	if err != nil {
		t.Errorf("sleep still runs: %v", err)
	}
}

// testKubeletMounts looks through the kubelet's eyes.
func testKubeletMounts(t *testing.T, c *cluster.Cluster) {
	node := c.Nodes()[0]
	before := run(t, node, "cat", "/proc/1/mountinfo")
	const look = "ls -d /proc/$(pgrep -x kubelet)/root/var/lib/*"
	expectOutput(t, node, "/containerd /kubelet", "sh", "-c", look+" | sed s,.*lib,, | xargs")
	mount := cluster.Mount{Source: "/var/lib/disks", Destination: "/var/lib/disks"}
	if err := node.StartKubelet(t.Context(), mount); err != nil {
		t.Fatal(err)
	}
	expectOutput(t, node, "/containerd /disks /kubelet", "sh", "-c", look+" | sed s,.*lib,, | xargs")
	if err := node.StartKubelet(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectOutput(t, node, "/containerd /kubelet", "sh", "-c", look+" | sed s,.*lib,, | xargs")
	if after := run(t, node, "cat", "/proc/1/mountinfo"); after != before {
		t.Errorf("starting a kubelet changed the node's mounts:\n%s\nto\n%s", before, after)
	}
	if err := node.StopKubelet(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// testKubeletRelease looks for what releases mount differently.
func testKubeletRelease(t *testing.T, c *cluster.Cluster) {
	node := c.Nodes()[0]
	for release, want := range map[string]string{
		"v1.9.5":       "",
		"v1.10.4":      "shared",
		"v1.13.3":      "private,slave",
		"v1.14.0-rc.1": "private,slave",
	} {
		if err := node.LaunchKubelet(t.Context(), cluster.Container{Talos: release}); err != nil {
			t.Fatal(err)
		}
		pid, err := node.KubeletPID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		expectOutput(t, node, strconv.Itoa(pid), "pgrep", "-x", "kubelet")
		const look = "findmnt -n -N $(pgrep -x kubelet) -o PROPAGATION /var/mnt || true"
		expectOutput(t, node, want, "sh", "-c", look)
	}
	if err := node.LaunchKubelet(t.Context(), cluster.Container{Talos: "1.9"}); err == nil {
		t.Error("a release that is none is taken")
	}
}

// testKubeletFails hands runc what it refuses, as Talos does.
func testKubeletFails(t *testing.T, c *cluster.Cluster) {
	node := c.Nodes()[0]
	if err := node.KubeletHealthy(t.Context()); err != nil {
		t.Error(err)
	}
	err := node.LaunchKubelet(t.Context(), cluster.Container{ExtraMounts: []specs.Mount{
		{Type: "bind", Source: "/var/lib/disks", Destination: "/var/lib/disks", Options: []string{"rw"}},
	}})
	if err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("want what runc said, got %v", err)
	}
	if err := node.KubeletHealthy(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("the kubelet that is not there is well: %v", err)
	}
	pid, err := node.KubeletPID(t.Context())
	if pid != 0 || err != nil {
		t.Errorf("process %d, error %v", pid, err)
	}
}

func addDisk(t *testing.T, c *cluster.Cluster, d cluster.Disk) *cluster.Node {
	t.Helper()
	node := c.Nodes()[0]
	if err := node.AddDisk(d); err != nil {
		t.Fatal(err)
	}
	return node
}

func run(t *testing.T, node *cluster.Node, argv ...string) string {
	t.Helper()
	out, err := node.Exec(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func expectOutput(t *testing.T, node *cluster.Node, want string, argv ...string) {
	t.Helper()
	if got := run(t, node, argv...); got != want {
		t.Errorf("%s: got %q, want %q", strings.Join(argv, " "), got, want)
	}
}

// createPod makes a volume, its claim, and a pod that uses it.
func createPod(t *testing.T, c *cluster.Cluster, node *cluster.Node, mode corev1.PersistentVolumeMode, path string) {
	t.Helper()
	ctx, core := t.Context(), c.Client().CoreV1()
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("32Mi")}
	class, access := "", []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	meta := metav1.ObjectMeta{Name: "test"}
	_, err := core.PersistentVolumes().Create(ctx, &corev1.PersistentVolume{ObjectMeta: meta, Spec: corev1.PersistentVolumeSpec{
		Capacity: size, AccessModes: access, VolumeMode: &mode,
		PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
		NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{
				Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node.Name()},
			}},
		}}}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = core.PersistentVolumeClaims("default").Create(ctx,
		&corev1.PersistentVolumeClaim{ObjectMeta: meta, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: access, VolumeMode: &mode, StorageClassName: &class, VolumeName: "test",
			Resources: corev1.VolumeResourceRequirements{Requests: size},
		}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	container := corev1.Container{Name: "pause", Image: pauseImage, ImagePullPolicy: corev1.PullNever}
	if mode == corev1.PersistentVolumeBlock {
		container.VolumeDevices = []corev1.VolumeDevice{{Name: "data", DevicePath: "/dev/data"}}
	} else {
		container.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	}
	_, err = core.Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
		Containers: []corev1.Container{container},
		Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "test"},
		}}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func expectEvent(t *testing.T, c *cluster.Cluster, reason, message string) {
	t.Helper()
	var seen []string
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, podTimeout, true, func(ctx context.Context) (bool, error) {
		events, err := c.Client().CoreV1().Events("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		seen = nil
		for _, event := range events.Items {
			if event.Reason == reason && strings.Contains(event.Message, message) {
				return true, nil
			}
			seen = append(seen, event.Reason+": "+event.Message)
		}
		return false, nil
	})
	if err != nil {
		t.Fatalf("wait for an event %s with %q: %v; there are:\n%s", reason, message, err, strings.Join(seen, "\n"))
	}
}

func expectRunning(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	var phase corev1.PodPhase
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, podTimeout, true, func(ctx context.Context) (bool, error) {
		pod, err := c.Client().CoreV1().Pods("default").Get(ctx, "test", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		phase = pod.Status.Phase
		return phase == corev1.PodRunning, nil
	})
	if err != nil {
		t.Fatalf("wait for the pod, which is %s: %v", phase, err)
	}
}

func expectReset(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	volumes, err := c.Client().CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pods, err := c.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(volumes.Items) + len(pods.Items); n > 0 {
		t.Errorf("%d objects are left", n)
	}
	for _, node := range c.Nodes() {
		expectOutput(t, node, "", "find", "/var/lib/disks", "/dev/disk", "-mindepth", "2", "!", "-name", "virtio-system")
		expectOutput(t, node, "", "find", "/dev", "-name", "vd[b-z]")
		running, err := node.KubeletRunning(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !running {
			t.Errorf("the kubelet of %s does not run", node.Name())
		}
	}
}
