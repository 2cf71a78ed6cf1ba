// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestBadDays has what goes wrong while the program runs. Whatever it says of a
// link is compared with the node.
func TestBadDays(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"full", fullDirectory},
		{"hanging node", hangingNode},
		{"hanging node at work", hangingAtWork},
		{"node not ready", notReady},
		{"tainted node", tainted},
		{"container does not run", notRunning},
		{"container dies at work", diesAtWork},
		{"exec cut at work", cutAtWork},
		{"pod replaced between look and act", podReplaced},
		{"disk pulled between look and act", func(t *testing.T) { meanwhile(t, pull) }},
		{"disk replaced between look and act", func(t *testing.T) { meanwhile(t, replace) }},
		{"disk formatted between look and act", func(t *testing.T) { meanwhile(t, format) }},
		{"volume bound between look and act", boundMeanwhile},
		{"interrupted while waiting", interruptedWaiting},
		{"interrupted while a node hangs", interruptedHanging},
		{"interrupted at work", interruptedAtWork},
	} {
		t.Run(test.name, func(t *testing.T) {
			begin(t, manifests.Default())
			test.do(t)
		})
	}
}

// everywhere gives every node a disk of one name.
func everywhere(t *testing.T) (name string, disks map[string]cluster.Disk) {
	t.Helper()
	name, disks = diskName(), map[string]cluster.Disk{}
	for _, n := range theCluster.Nodes() {
		disks[n.Name()] = addDisk(t, n, cluster.Disk{Name: name})
	}
	return name, disks
}

// isLinked tells what is on the node.
func isLinked(t *testing.T, node string, d cluster.Disk) bool {
	t.Helper()
	n, err := theCluster.Node(node)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(links(t, n), "block/"+d.Name+" -> "+byID(d))
}

// wantResults wants a result for each node, and what is on the nodes to be
// what the results say.
func wantResults(t *testing.T, r result, disks map[string]cluster.Disk, want map[string]string) plan {
	t.Helper()
	p := r.plan(t)
	for node, result := range want {
		got := p.of(t, node, disks[node].Name)
		if !slices.Contains(strings.Split(result, "|"), got.Result) {
			t.Errorf("%s: result %q, want %q\n%s", node, got.Result, result, r)
		}
		linked := isLinked(t, node, disks[node])
		if got.Result != "unknown" && linked != (got.Result == "created" || got.Result == "unchanged") {
			t.Errorf("%s: result %q, and linked is %t\n%s", node, got.Result, linked, r)
		}
	}
	return p
}

// stopKubelet stops a kubelet in the middle of what it does, as a machine that
// hangs; the end of the test lets it go on.
func stopKubelet(t *testing.T, n *cluster.Node) {
	t.Helper()
	const script = `runc --root /run/runc-kubelet kill kubelet $1`
	cleanupSh(t, n, script, "CONT")
	sh(t, n, script, "STOP")
}

// The directory's file system has no inode left. It lies on a disk, as one that
// lies on none would be refused before.
func fullDirectory(t *testing.T) {
	name, disks := everywhere(t)
	n := node(t, "worker-2")
	full := addDisk(t, n, cluster.Disk{})
	cleanupSh(t, n, `umount /var/mnt/full && rmdir /var/mnt/full`)
	sh(t, n, `mkfs.ext4 -q -N 16 /dev/$1 && mkdir /var/mnt/full && mount /dev/$1 /var/mnt/full && mkdir /var/mnt/full/class
		i=0; while true >/var/mnt/full/$i; do i=$((i+1)); done 2>/dev/null || true`, full.Name)
	overClassDirectory(t, n, `mount --bind /var/mnt/full/class $1`)
	r := link(t, name, "--wait=false").wantError(t, "error: 1 of 3 links failed", "worker-2/"+name+": ", "No space left on device")
	wantResults(t, r, disks, map[string]string{"worker-1": "created", "worker-2": "failed", "worker-3": "created"})
}

func hangingNode(t *testing.T) {
	name, disks := everywhere(t)
	stopKubelet(t, node(t, "worker-1"))
	r := link(t, name, "--node-timeout", "3s", "--wait=false").wantError(t, "error: 1 of 3 links unknown", "worker-1/"+name+": ",
		"no answer within 3s")
	wantResults(t, r, disks, map[string]string{"worker-1": "unknown", "worker-2": "created", "worker-3": "created"})
	if isLinked(t, "worker-1", disks["worker-1"]) {
		t.Error("it is linked on the node that hangs")
	}
	if r.took > 10*time.Second {
		t.Errorf("it took %s", r.took)
	}
	r = run(t, "disks", name, "--node-timeout", "2s").wantError(t, "worker-1", "no answer within 2s")
	if got := strings.Count(r.stdout, name); got < 2 {
		t.Errorf("the other nodes' disks are missing\n%s", r)
	}
}

// holdLock makes link.sh wait on a node: it holds the lock on the disk. The
// returned function lets go.
func holdLock(t *testing.T, n *cluster.Node, d cluster.Disk) (release func()) {
	t.Helper()
	return holdLockOf(t, n, "/dev/"+d.Name)
}

func holdLockOf(t *testing.T, n *cluster.Node, path string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := n.Command(ctx, "flock", "--no-fork", "-x", path, "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	release = func() {
		cancel()
		_ = cmd.Wait()
	}
	t.Cleanup(release)
	eventually(t, 10*time.Second, func() string {
		if _, err := n.Exec(t.Context(), "flock", "-n", "-x", path, "true"); err == nil {
			return "nobody holds the lock of " + path
		}
		return ""
	})
	return release
}

// waitsForLock waits until a script on the node waits for the lock that it has
// as a descriptor: 8 is the class directory, 9 the disk.
func waitsForLock(t *testing.T, p *process, n *cluster.Node, descriptor int) {
	t.Helper()
	eventually(t, 20*time.Second, func() string {
		for _, line := range processes(t, n) {
			if line == fmt.Sprintf("flock -x %d", descriptor) {
				return ""
			}
		}
		return fmt.Sprintf("no script waits for a lock on %s\n%s%s", n.Name(), p.stdout, p.stderr)
	})
}

// noScript waits until no script of the program runs on the node.
func noScript(t *testing.T, n *cluster.Node) {
	t.Helper()
	eventually(t, 30*time.Second, func() string {
		for _, line := range processes(t, n) {
			if strings.Contains(line, " talosdisk-link ") {
				return "a script still runs on " + n.Name()
			}
		}
		return ""
	})
}

// processes are the command lines of a node's processes, pods included.
func processes(t *testing.T, n *cluster.Node) []string {
	t.Helper()
	paths, err := filepath.Glob(hostPath(n, "/proc/[0-9]*/cmdline"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err == nil { // Else it has ended just now.
			lines = append(lines, strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " ")))
		}
	}
	return lines
}

// The node hangs after it has begun. What became of it is not known.
func hangingAtWork(t *testing.T) {
	name, disks := everywhere(t)
	n := node(t, "worker-3")
	release := holdLock(t, n, disks[n.Name()])
	p := command{args: append(linkArgs(name, "--wait=false"), "--node-timeout", "4s")}.start(t)
	waitsForLock(t, p, n, 9)
	stopKubelet(t, n)
	r := p.wait().wantError(t, "error: 1 of 3 links unknown", "worker-3/"+name+": ")
	wantResults(t, r, disks, map[string]string{"worker-1": "created", "worker-2": "created", "worker-3": "unknown"})
	release()
}

// The kubelet has not reported for long.
func notReady(t *testing.T) {
	name, disks := everywhere(t)
	n := node(t, "worker-2")
	if err := n.StopKubelet(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.StartKubelet(withoutEnd(t)); err != nil {
			t.Error(err)
		}
	})
	// As the node controller does after its grace period, which is long.
	setReady(t, n, corev1.ConditionUnknown, "NodeStatusUnknown")
	r := link(t, name, "--wait=false").wantError(t, "error: 1 of 3 links unknown",
		"worker-2/"+name+": the node is NotReady (NodeStatusUnknown)")
	wantResults(t, r, disks, map[string]string{"worker-1": "created", "worker-2": "unknown", "worker-3": "created"})
	run(t, "disks", name).wantError(t, "1 of 3 nodes could not be looked at", "node worker-2: the node is NotReady")
}

func setReady(t *testing.T, n *cluster.Node, status corev1.ConditionStatus, reason string) {
	t.Helper()
	patch := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":%q,"reason":%q}]}}`, status, reason)
	if _, err := kube().CoreV1().Nodes().PatchStatus(t.Context(), n.Name(), []byte(patch)); err != nil {
		t.Fatal(err)
	}
}

// A taint that the provisioner does not tolerate, and no pod there.
func tainted(t *testing.T) {
	name, disks := everywhere(t)
	n := node(t, "worker-1")
	taint := func(taints string) {
		patch := `{"spec":{"taints":` + taints + `}}`
		if _, err := kube().CoreV1().Nodes().Patch(withoutEnd(t), n.Name(), types.MergePatchType, []byte(patch),
			metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { taint("null") })
	taint(`[{"key":"gpu","value":"yes","effect":"NoExecute"}]`)
	eventually(t, 40*time.Second, func() string {
		pods, err := kube().CoreV1().Pods("local-storage").List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name()})
		if err != nil || len(pods.Items) > 0 {
			return fmt.Sprintf("pods on %s: %d (%v)", n.Name(), len(pods.Items), err)
		}
		return ""
	})
	const why = "the DaemonSet does not tolerate the node's taint gpu=yes:NoExecute"
	r := link(t, name, "--wait=false").wantCode(t, 0).wantStderr(t, "note: left out node worker-1: "+why)
	if got := r.plan(t).results(); !slices.Equal(got, []string{"worker-2/" + name + "=created", "worker-3/" + name + "=created"}) {
		t.Errorf("got %q", got)
	}
	r = link(t, name, "--nodes", "worker-[12]", "--wait=false").wantError(t, "error: 1 of 2 links unknown", "worker-1/"+name+": "+why)
	wantResults(t, r, disks, map[string]string{"worker-1": "unknown", "worker-2": "unchanged"})
}

// The image of the provisioner cannot be had.
func notRunning(t *testing.T) {
	name, disks := everywhere(t)
	n := node(t, "worker-3")
	p := manifests.Default()
	image := func(tag string) {
		patch := fmt.Sprintf(`{"spec":{"updateStrategy":{"$retainKeys":["type"],"type":"OnDelete"},"template":{"spec":{"containers":[{"name":%q,"image":%q}]}}}}`,
			manifests.Container, tag)
		if _, err := kube().AppsV1().DaemonSets(p.Namespace).Patch(withoutEnd(t), p.FullName(), types.StrategicMergePatchType, []byte(patch),
			metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
	real := p.DaemonSet().Spec.Template.Spec.Containers[0].Image
	t.Cleanup(func() {
		image(real)
		pods := kube().CoreV1().Pods(p.Namespace)
		if err := pods.DeleteCollection(withoutEnd(t), deleteNow, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name()}); err != nil {
			t.Error(err)
		}
		waitRunning(t, p)
	})
	image("registry.invalid/local-volume-provisioner:none")
	deletePod(t.Context(), t, p, n)
	eventually(t, 40*time.Second, func() string {
		pods, err := kube().CoreV1().Pods(p.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name()})
		if err != nil || len(pods.Items) != 1 || len(pods.Items[0].Status.ContainerStatuses) != 1 {
			return fmt.Sprintf("no new pod yet (%v)", err)
		}
		if w := pods.Items[0].Status.ContainerStatuses[0].State.Waiting; w == nil || !strings.Contains(w.Reason, "Pull") {
			return "it is not pulled yet"
		}
		return ""
	})
	r := link(t, name, "--wait=false").wantError(t, "error: 1 of 3 links unknown",
		"worker-3/"+name+": container \"provisioner\" of pod \"local-storage/", "does not run: ", "Pull")
	wantResults(t, r, disks, map[string]string{"worker-1": "created", "worker-2": "created", "worker-3": "unknown"})
}

// The container is killed while the script waits for the lock: the exec is cut,
// and another look tells that nothing was made, or that this is not known.
func diesAtWork(t *testing.T) {
	name, disks := everywhere(t)
	n := node(t, "worker-2")
	release := holdLock(t, n, disks[n.Name()])
	p := command{args: linkArgs(name, "--wait=false")}.start(t)
	waitsForLock(t, p, n, 9)
	began := restarts(t, n)
	provisionerProcess(t, n, "KILL")
	r := p.wait().wantError(t, "worker-2/"+name+": ")
	wantResults(t, r, disks, map[string]string{"worker-1": "created", "worker-2": "unknown|not done", "worker-3": "created"})
	release()
	// The kubelet starts it again after a while, and the next test needs it. Until it
	// does, the pod may still be told to be ready.
	eventually(t, 30*time.Second, func() string {
		if restarts(t, n) == began {
			return "the container has not been started again"
		}
		return ""
	})
	waitRunning(t, manifests.Default())
}

// restarts is how often the container of a node's provisioner pod was started again.
func restarts(t *testing.T, n *cluster.Node) int32 {
	t.Helper()
	p := manifests.Default()
	pods, err := kube().CoreV1().Pods(p.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name()})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 || len(pods.Items[0].Status.ContainerStatuses) != 1 {
		t.Fatalf("%d provisioner pods on %s", len(pods.Items), n.Name())
	}
	return pods.Items[0].Status.ContainerStatuses[0].RestartCount
}

// Only the exec's stream is cut, by the death of the kubelet; the script goes
// on. The second look comes while nobody can look.
func cutAtWork(t *testing.T) {
	name, disks := everywhere(t)
	n := node(t, "worker-2")
	release := holdLock(t, n, disks[n.Name()])
	p := command{args: linkArgs(name, "--wait=false")}.start(t)
	waitsForLock(t, p, n, 9)
	t.Cleanup(func() {
		if err := n.StartKubelet(withoutEnd(t)); err != nil {
			t.Error(err)
		}
	})
	sh(t, n, `runc --root /run/runc-kubelet kill kubelet KILL`)
	r := p.wait().wantError(t, "worker-2/"+name+": ")
	wantResults(t, r, disks, map[string]string{"worker-1": "created", "worker-2": "unknown|not done|failed", "worker-3": "created"})
	release()
}

// atHalf runs link of a disk of every node and does something after it has looked
// at the nodes and before it acts on them: while it asks whether to go on.
func atHalf(t *testing.T, name string, do func()) result {
	t.Helper()
	p := command{args: []string{"link", name, "--accept", "loop", "-o", "json", "--wait=false"}}.startInTerminal(t)
	p.expect("Continue? (y/N) ")
	do()
	p.send("y\n")
	return p.wait()
}

func podReplaced(t *testing.T) {
	name, disks := everywhere(t)
	r := atHalf(t, name, func() { replacePod(t, manifests.Default(), node(t, "worker-2")) })
	// The end of the session in the old pod may come only when the step is on its way: then nobody can say what became of it.
	r.wantError(t, "error: 1 of 3 links ", "worker-2/"+name+": ", "not found")
	wantResults(t, r, disks, map[string]string{"worker-1": "created", "worker-2": "failed|unknown", "worker-3": "created"})
}

// meanwhile changes the disk of one node.
func meanwhile(t *testing.T, change func(*testing.T, *cluster.Node, cluster.Disk)) {
	name, disks := everywhere(t)
	n := node(t, "worker-2")
	r := atHalf(t, name, func() { change(t, n, disks[n.Name()]) })
	r.wantError(t, "error: 1 of 3 links failed", "worker-2/"+name+": device changed: ")
	wantResults(t, r, disks, map[string]string{"worker-1": "created", "worker-2": "failed", "worker-3": "created"})
	if got := links(t, n); len(got) > 0 {
		t.Errorf("links of worker-2: %q", got)
	}
}

func pull(t *testing.T, n *cluster.Node, d cluster.Disk) {
	if err := n.RemoveDisk(d.Name); err != nil {
		t.Fatal(err)
	}
}

// replace puts another disk of the same size in its place.
func replace(t *testing.T, n *cluster.Node, d cluster.Disk) {
	pull(t, n, d)
	d.Serial = "another"
	if err := n.AddDisk(d); err != nil {
		t.Fatal(err)
	}
}

func format(t *testing.T, n *cluster.Node, d cluster.Disk) {
	sh(t, n, `mkfs.ext4 -q /dev/$1`, d.Name)
}

// A claim gets the volume after unlink has looked, and before it acts: it waits
// for the lock on the class directory. The link must come back.
func boundMeanwhile(t *testing.T) {
	n := node(t, "worker-1")
	d := addDisk(t, n, cluster.Disk{})
	link(t, d.Name, "--nodes", n.Name()).wantCode(t, 0)
	pv := pvName(d.Name, n.Name(), "block-storage")
	release := holdLockOf(t, n, classDirs["block-storage"])
	p := command{args: []string{"unlink", d.Name, "--yes", "-o", "json", "--wait=false"}}.start(t)
	waitsForLock(t, p, n, 8)
	apply(t,
		manifests.Claim("default", "meanwhile", "block-storage", corev1.PersistentVolumeBlock, resource.MustParse("1Gi")),
		manifests.BlockPod("default", "meanwhile", "meanwhile"))
	volumeInPhase(t, pv, corev1.VolumeBound)
	release()
	r := p.wait().wantError(t, "the link is refused", "claim default/meanwhile", "the link is back")
	if got := r.plan(t).of(t, n.Name(), d.Name); got.Result != "refused" || !isLinked(t, n.Name(), d) {
		t.Errorf("result %q, linked %t", got.Result, isLinked(t, n.Name(), d))
	}
	volumeInPhase(t, pv, corev1.VolumeBound)
}

// The links are made, and the volumes do not come.
func interruptedWaiting(t *testing.T) {
	name, disks := everywhere(t)
	for _, n := range theCluster.Nodes() {
		provisionerProcess(t, n, "STOP")
		t.Cleanup(func() { provisionerProcess(t, n, "CONT") })
	}
	p := command{args: linkArgs(name)}.startInTerminal(t)
	p.expect("waiting for PersistentVolumes")
	interrupted := time.Now()
	p.signal(syscall.SIGINT)
	r := p.wait().wantError(t, "interrupted", "volume "+pvName(name, "worker-1", "block-storage")+" has not appeared")
	if took := time.Since(interrupted); took > 8*time.Second {
		t.Errorf("it went on for %s", took)
	}
	wantResults(t, r, disks, map[string]string{"worker-1": "created", "worker-2": "created", "worker-3": "created"})
}

// While it looks, nothing is done yet, on no node.
func interruptedHanging(t *testing.T) {
	name, _ := everywhere(t)
	stopKubelet(t, node(t, "worker-1"))
	p := command{args: linkArgs(name)}.startInTerminal(t)
	p.expect("looked at 2/3 nodes")
	interrupted := time.Now()
	p.signal(syscall.SIGINT)
	p.wait().wantError(t, "interrupted")
	if took := time.Since(interrupted); took > 5*time.Second {
		t.Errorf("it went on for %s", took)
	}
	wantNothing(t)
}

// One node waits for a lock, the others are done.
func interruptedAtWork(t *testing.T) {
	name, disks := everywhere(t)
	n := node(t, "worker-3")
	release := holdLock(t, n, disks[n.Name()])
	p := command{args: linkArgs(name, "--wait=false")}.start(t)
	waitsForLock(t, p, n, 9)
	eventually(t, 20*time.Second, func() string {
		if got := len(allLinks(t)); got < 2 {
			return fmt.Sprintf("%d links", got)
		}
		return ""
	})
	interrupted := time.Now()
	p.signal(syscall.SIGINT)
	r := p.wait().wantError(t, "interrupted", "worker-3/"+name+": ")
	if took := time.Since(interrupted); took > 8*time.Second {
		t.Errorf("it went on for %s", took)
	}
	// The script on the node goes on, and makes the link when the lock is free.
	release()
	noScript(t, n)
	p2 := r.plan(t)
	for node, d := range disks {
		got, linked := p2.of(t, node, name).Result, isLinked(t, node, d)
		if node != n.Name() && got != "created" || got == "created" && !linked || got == "not done" && linked {
			t.Errorf("%s: result %q, and linked is %t\n%s", node, got, linked, r)
		}
	}
}
