// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

// disksDir is what the kubelets are to see: the parent of all class directories.
const disksDir = "/var/lib/disks"

// mountsResult is the part of a NodeMountsList that tests look at.
type mountsResult struct {
	APIVersion, Kind, Provisioner string
	Items                         []nodeMounts
}

type nodeMounts struct {
	Node, Talos, Action, Reason, Message, Hint string
	Result, Detail                             string
	Restarts                                   bool
	Warnings                                   []string
	Directories                                []struct{ Path, Visible, Reason string }
}

func (r result) mounts(t *testing.T) mountsResult {
	t.Helper()
	var m mountsResult
	if err := json.Unmarshal([]byte(r.stdout), &m); err != nil {
		t.Fatalf("stdout is no list of mounts: %s\n%s", err, r)
	}
	return m
}

// of is the result of a node, which must be there once.
func (m mountsResult) of(t *testing.T, node string) nodeMounts {
	t.Helper()
	i := slices.IndexFunc(m.Items, func(n nodeMounts) bool { return n.Node == node })
	if i < 0 {
		t.Fatalf("node %s is not in %+v", node, m)
	}
	return m.Items[i]
}

// results is one NODE=RESULT for each node.
func (m mountsResult) results() []string {
	var all []string
	for _, n := range m.Items {
		all = append(all, n.Node+"="+n.Result)
	}
	return all
}

// wantMountsResults wants the same result everywhere.
func wantMountsResults(t *testing.T, r result, want string) {
	t.Helper()
	var all []string
	for _, n := range theCluster.Nodes() {
		all = append(all, n.Name()+"="+want)
	}
	if got := r.mounts(t).results(); !slices.Equal(got, all) {
		t.Errorf("results %q, want %q\n%s", got, all, r)
	}
}

// wantSeen wants each kubelet to see the directory, or none.
func wantSeen(t *testing.T, want bool) {
	t.Helper()
	for _, n := range theCluster.Nodes() {
		if got := sees(t, n, disksDir); got != want {
			t.Errorf("the kubelet of %s sees %s: %t", n.Name(), disksDir, got)
		}
	}
}

// TestMounts is what mounts is for: pods whose volumes the kubelet does not see, and
// the same pods when it does. Each step needs the one before.
func TestMounts(t *testing.T) {
	begin(t, manifests.Default())
	s := &mountsStory{withTalos: startTalos(t, talosnode.Options{}), n: node(t, "worker-2")}
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"pods cannot start", s.unseen},
		{"list", s.list},
		{"asks", s.asks},
		{"dry run", s.dryRun},
		{"patched", s.patched},
		{"pods run", s.podsRun},
		{"later disk", s.laterDisk},
		{"unchanged", s.unchanged},
		{"removed", s.removed},
	} {
		if !t.Run(step.name, step.do) {
			t.FailNow()
		}
	}
}

type mountsStory struct {
	*withTalos
	// n has the disks.
	n *cluster.Node
}

func (s *mountsStory) unseen(t *testing.T) {
	files, path := mountDisk(s.t, s.n)
	device := addDisk(s.t, s.n, cluster.Disk{})
	link(t, device.Name, "--nodes", s.n.Name()).wantCode(t, 0)
	volume(t, pvName(files.Name, s.n.Name(), "fs-storage"))
	filesystem, block := usePods(t)
	wantEvent(t, filesystem, "FailedMount", fmt.Sprintf("MountVolume.NewMounter initialization failed for volume %q : path %q does not exist",
		pvName(files.Name, s.n.Name(), "fs-storage"), path))
	wantEvent(t, block, "FailedMapVolume", fmt.Sprintf("MapVolume.EvalHostSymlinks failed for volume %q : lstat %s: no such file or directory",
		pvName(device.Name, s.n.Name(), "block-storage"), disksDir))
	for _, pod := range []*corev1.Pod{filesystem, block} {
		if phase := getPod(t, pod.Name).Status.Phase; phase != corev1.PodPending {
			t.Errorf("pod %s is %s", pod.Name, phase)
		}
	}
}

func (s *mountsStory) list(t *testing.T) {
	r := s.run("mounts", "list").wantCode(t, 0)
	want := []string{"worker-1", "v1.13.9", "/var/lib/disks/block", "-", "no", "-", "-"}
	if rows := table(r.stdout); !slices.ContainsFunc(rows, func(row []string) bool { return slices.Equal(row, want) }) {
		t.Errorf("no row %q\n%s", want, r)
	}
}

func (s *mountsStory) asks(t *testing.T) {
	before := kubelets(t)
	s.run("mounts").wantError(t, "--yes", "+            - destination: "+disksDir)
	s.wantUntouched(t, before)
}

func (s *mountsStory) dryRun(t *testing.T) {
	before := kubelets(t)
	for kind, suffix := range map[string]string{"client": "(dry run)", "server": "(server dry run)"} {
		r := s.run("mounts", "--dry-run="+kind).wantCode(t, 0)
		if got := strings.Count(r.stdout, "patched "+suffix); got != 6 {
			t.Errorf("%d rows say what would be done\n%s", got, r)
		}
	}
	s.wantUntouched(t, before)
}

// wantUntouched wants every kubelet to be the process that it was.
func (s *mountsStory) wantUntouched(t *testing.T, before map[string]int) {
	t.Helper()
	if after := kubelets(t); !maps.Equal(before, after) {
		t.Errorf("kubelets were restarted: %v, before %v", after, before)
	}
}

func (s *mountsStory) patched(t *testing.T) {
	before := kubelets(t)
	r := s.run("mounts", "--yes", "-o", "json").wantCode(t, 0)
	wantMountsResults(t, r, "patched")
	wantSeen(t, true)
	for _, n := range s.Nodes() {
		k := n.Kubelet()
		if k.Starts != 2 || k.PID == before[n.Below.Name()] || !k.Healthy {
			t.Errorf("%s: the kubelet was started %d times, and is %+v", n.Below.Name(), k.Starts, k)
		}
		if n.RollbackPending() || !slices.Equal(n.Config(), n.DiskConfig()) {
			t.Errorf("%s: the configuration is not kept", n.Below.Name())
		}
	}
}

func (s *mountsStory) podsRun(t *testing.T) {
	waitReady(t, "writer")
	waitReady(t, "reader")
}

// A disk that is mounted after the roll-out reaches the kubelet too, and the pod
// writes on it, not on the system's.
func (s *mountsStory) laterDisk(t *testing.T) {
	before := kubelets(t)
	d, path := mountDisk(s.t, s.n)
	volume(t, pvName(d.Name, s.n.Name(), "fs-storage"))
	apply(t,
		manifests.Claim("default", "later", "fs-storage", corev1.PersistentVolumeFilesystem, resource.MustParse("1Gi")),
		manifests.FilesystemPod("default", "late-writer", "later"))
	waitReady(t, "late-writer")
	sh(t, s.n, `[ "$(findmnt -n -o SOURCE -T "$2/written-by")" = "$(readlink -f "/dev/$1")" ]`, d.Name, path)
	s.wantUntouched(t, before)
}

func (s *mountsStory) unchanged(t *testing.T) {
	before := kubelets(t)
	wantMountsResults(t, s.run("mounts", "--yes", "-o", "json").wantCode(t, 0), "unchanged")
	s.run("mounts").wantCode(t, 0) // Nothing is asked where nothing is changed.
	s.wantUntouched(t, before)
}

func (s *mountsStory) removed(t *testing.T) {
	// A kubelet that no longer sees a filesystem volume cannot let go of it either: its
	// pod could not be deleted.
	kubectl(t, nil, "delete", "pod/writer", "pod/late-writer", "pod/reader", "--grace-period=1")
	r := s.run("mounts", "--remove", "--yes", "-o", "json").wantCode(t, 0)
	wantMountsResults(t, r, "patched")
	r.wantStderr(t, `warning: worker-2: volume "`)
	wantSeen(t, false)
}
