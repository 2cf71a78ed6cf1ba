// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
)

// TestStory is what the program is for, from bare disks to a pod that reads one
// and back. Each step needs the one before.
func TestStory(t *testing.T) {
	begin(t, manifests.Default())
	const mib = int64(1) << 20
	for _, n := range theCluster.Nodes() {
		// Sizes that the provisioner rounds: to 12 GiB, and to 1500 MiB.
		addDisk(t, n, cluster.Disk{Name: "vdf", Size: 12*gib + 5*mib})
		addDisk(t, n, cluster.Disk{Name: "vdg", Size: 1500*mib + 3*512})
	}
	s := &story{}
	t.Cleanup(func() {
		if s.node == nil {
			return
		}
		if err := s.node.StartKubelet(withoutEnd(t)); err != nil { // Without the mount.
			t.Error(err)
		}
	})
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"loop devices are refused", s.refused},
		{"an accepted reason is asked about", s.asks},
		{"dry run", s.dryRun},
		{"created", s.created},
		{"unchanged", s.unchanged},
		{"disks", s.disks},
		{"through kubectl", s.throughKubectl},
		{"kubelet does not see the directory", s.unseen},
		{"pod reads the disk", s.podReads},
		{"unlink refused while bound", s.bound},
		{"unlink refused while cleaning", s.cleaning},
		{"unlinked", s.unlinked},
	} {
		if !t.Run(step.name, step.do) {
			t.FailNow()
		}
	}
}

type story struct {
	// pv is the volume that the claim got, node its node.
	pv   *corev1.PersistentVolume
	node *cluster.Node
}

func wantNothing(t *testing.T) {
	t.Helper()
	if got := allLinks(t); len(got) > 0 {
		t.Errorf("links: %s", got)
	}
	if got := volumeNames(t); len(got) > 0 {
		t.Errorf("volumes: %s", got)
	}
}

func (s *story) refused(t *testing.T) {
	r := run(t, "link", "vdf", "vdg").wantError(t, "error: 6 of 6 links refused", "is a loop device over ", "--accept loop=worker-1/vdf")
	if got := strings.Count(r.stdout, "refused"); got != 6 {
		t.Errorf("%d rows are refused, want 6\n%s", got, r)
	}
	wantNothing(t)
}

func (s *story) asks(t *testing.T) {
	run(t, "link", "vdf", "--accept", "loop").wantError(t, "--yes", "worker-2/vdf is a loop device")
	wantNothing(t)
}

func (s *story) dryRun(t *testing.T) {
	r := run(t, "link", "vdf", "vdg", "--accept", "loop", "--dry-run=server").wantCode(t, 0)
	if got := strings.Count(r.stdout, "created (server dry run)"); got != 6 {
		t.Errorf("%d rows say what would be done, want 6\n%s", got, r)
	}
	r = run(t, "link", "vdf", "--dry-run=client").wantCode(t, 0)
	if strings.Contains(r.stdout, "created") {
		t.Errorf("a dry run that looks at no node knows what would be created\n%s", r)
	}
	wantNothing(t)
}

func (s *story) created(t *testing.T) {
	r := run(t, "link", "vdf", "vdg", "--accept", "loop", "--yes").wantCode(t, 0)
	var want []string
	rows := [][]string{{"NODE", "DISK", "CLASS", "TARGET", "RESULT", "PV", "SIZE"}}
	for _, n := range theCluster.Nodes() {
		for _, d := range []struct {
			name, size, capacity, bytes string
		}{{"vdf", "12Gi", "12Gi", "12890144768"}, {"vdg", "1.4Gi", "1500Mi", "1572865536"}} {
			serial := n.Name() + "-" + d.name
			target := "/dev/disk/by-id/virtio-" + serial
			pv := pvName(d.name, n.Name(), "block-storage")
			want = append(want, fmt.Sprintf("%s:block/%s -> %s", n.Name(), d.name, target))
			rows = append(rows, []string{n.Name(), d.name, "block-storage", target, "created", pv, d.size})
			wantVolume(t, volume(t, pv), n.Name(), d.name, d.capacity, map[string]string{
				"talosdisk.dev/by-id": "virtio-" + serial, "talosdisk.dev/by-path": "pci-0000:" + d.name, "talosdisk.dev/size": d.bytes,
			})
		}
	}
	if got := allLinks(t); !slices.Equal(got, want) {
		t.Errorf("links\n got %q\nwant %q", got, want)
	}
	if got := table(r.stdout); !equalRows(got, rows) {
		t.Errorf("table\n got %q\nwant %q", got, rows)
	}
	if r.stderr != "" {
		t.Errorf("said on stderr: %s", r.stderr)
	}
}

func wantVolume(t *testing.T, pv *corev1.PersistentVolume, node, entry, capacity string, annotations map[string]string) {
	t.Helper()
	if got := pv.Spec.Local.Path; got != "/var/lib/disks/block/"+entry {
		t.Errorf("%s: path %s", pv.Name, got)
	}
	if got := pv.Spec.Capacity[corev1.ResourceStorage]; got.Cmp(resource.MustParse(capacity)) != 0 {
		t.Errorf("%s: capacity %s, want %s", pv.Name, got.String(), capacity)
	}
	if *pv.Spec.VolumeMode != corev1.PersistentVolumeBlock {
		t.Errorf("%s: mode %s", pv.Name, *pv.Spec.VolumeMode)
	}
	if got := pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values; !slices.Equal(got, []string{node}) {
		t.Errorf("%s: for node %s, want %s", pv.Name, got, node)
	}
	for key, want := range annotations {
		if got := pv.Annotations[key]; got != want {
			t.Errorf("%s: annotation %s is %q, want %q", pv.Name, key, got, want)
		}
	}
}

// table splits what is printed into its cells; no cell here has a space.
func table(text string) [][]string {
	var rows [][]string
	for line := range strings.Lines(text) {
		rows = append(rows, strings.Fields(line))
	}
	return rows
}

func equalRows(a, b [][]string) bool {
	return slices.EqualFunc(a, b, func(x, y []string) bool { return slices.Equal(x, y) })
}

// state is everything that a run which changes nothing leaves as it is.
func state(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, n := range theCluster.Nodes() {
		for _, l := range links(t, n) {
			path, _, _ := strings.Cut(l, " -> ")
			all = append(all, n.Name()+":"+l+" "+linkState(t, n, "/var/lib/disks/"+path))
		}
	}
	volumes, err := kube().CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range volumes.Items {
		all = append(all, v.Name+" "+string(v.UID)+" "+v.ResourceVersion)
	}
	return all
}

func (s *story) unchanged(t *testing.T) {
	before := state(t)
	// Nothing is created, so no reason has to be accepted.
	r := run(t, "link", "vdf", "vdg", "-o", "json").wantCode(t, 0)
	for _, l := range r.plan(t).Items {
		if l.Result != "unchanged" || l.VolumeState != "Available" {
			t.Errorf("%s/%s: result %q, volume %q", l.Node, l.Disk, l.Result, l.VolumeState)
		}
	}
	// By its other names it is the same disk, under the same link.
	run(t, "link", "/dev/disk/by-id/virtio-worker-1-vdf", "--name", "vdf", "--nodes", "worker-1", "-o", "json").wantCode(t, 0)
	run(t, "link", "vd[fg]").wantCode(t, 0)
	if after := state(t); !slices.Equal(before, after) {
		t.Errorf("it changed\nfrom %q\n  to %q", before, after)
	}
}

func (s *story) disks(t *testing.T) {
	r := run(t, "disks", "vdf", "vda").wantCode(t, 0)
	rows := table(r.stdout)
	if want := []string{"NODE", "DISK", "SIZE", "TYPE", "USE", "LINKABLE", "LINK", "PV", "STATUS", "CLAIM", "POD"}; !slices.Equal(rows[0],
		want) {
		t.Errorf("head %q, want %q", rows[0], want)
	}
	want := []string{"worker-1", "vdf", "12Gi", "loop", "-", "linked", "/var/lib/disks/block/vdf", pvName("vdf", "worker-1", "block-storage"),
		"Available", "-", "-"}
	if !slices.ContainsFunc(rows, func(row []string) bool { return slices.Equal(row, want) }) {
		t.Errorf("no row %q\n%s", want, r)
	}
	if !slices.ContainsFunc(rows, func(row []string) bool {
		return row[1] == "vda" && row[4] == "system" && strings.Contains(row[5], "system-disk")
	}) {
		t.Errorf("vda is not told to be the system disk\n%s", r)
	}
}

// throughKubectl runs the plugin as people do.
func (s *story) throughKubectl(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), theCluster.KubectlPath(), "talosdisk", "disks", "vdg", "-o", "name")
	cmd.Env = append(os.Environ(), "PATH="+pluginDir+":"+os.Getenv("PATH"), "KUBECONFIG="+theCluster.Kubeconfig())
	out, err := cmd.Output() // What it says of itself goes to stderr.
	if err != nil {
		t.Fatalf("%s: %s", err, out)
	}
	var want string
	for _, n := range theCluster.Nodes() {
		want += "disk.talosdisk.dev/" + n.Name() + "/vdg\n"
	}
	if string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

const marker = "written before it was linked"

func (s *story) unseen(t *testing.T) {
	for _, n := range theCluster.Nodes() {
		write(t, n, "vdf", 1<<20, []byte(marker))
	}
	apply(t,
		manifests.Claim("default", "claim", "block-storage", corev1.PersistentVolumeBlock, resource.MustParse("10Gi")),
		manifests.BlockPod("default", "reader", "claim"))
	wantEvent(t, getPod(t, "reader"), "FailedMapVolume", "lstat /var/lib/disks: no such file or directory")
}

func (s *story) podReads(t *testing.T) {
	pod := getPod(t, "reader")
	s.node = node(t, pod.Spec.NodeName)
	s.pv = volumeInPhase(t, pvName("vdf", s.node.Name(), "block-storage"), corev1.VolumeBound)
	if err := s.node.StartKubelet(t.Context(), cluster.Mount{Source: "/var/lib/disks", Destination: "/var/lib/disks"}); err != nil {
		t.Fatal(err)
	}
	waitReady(t, "reader")
	got := kubectl(t, nil, "exec", "reader", "--", "dd", "if="+manifests.DevicePath, "bs=1048576", "skip=1", "count=1")
	if !strings.HasPrefix(got, marker) {
		t.Errorf("the pod reads %.40q, want %q", got, marker)
	}
	r := run(t, "disks", "vdf", "--nodes", s.node.Name()).wantCode(t, 0)
	if row := table(r.stdout)[1]; !slices.Equal(row[8:], []string{"Bound", "default/claim", "reader"}) {
		t.Errorf("the row ends with %q\n%s", row[8:], r)
	}
}

func (s *story) bound(t *testing.T) {
	before := state(t)
	r := run(t, "unlink", "vdf", "--nodes", s.node.Name(), "-o", "json", "--wait=false")
	r.wantError(t, "claim default/claim", "pod default/reader", "kubectl -n default delete pvc claim")
	if got := r.plan(t).of(t, s.node.Name(), "vdf"); got.Result != "refused" || !slices.Equal(got.reasons(), []string{"claimed"}) {
		t.Errorf("result %q, reasons %q", got.Result, got.reasons())
	}
	if after := state(t); !slices.Equal(before, after) {
		t.Errorf("it changed\nfrom %q\n  to %q", before, after)
	}
}

func (s *story) cleaning(t *testing.T) {
	provisionerProcess(t, s.node, "STOP") // It would be done too soon.
	defer provisionerProcess(t, s.node, "CONT")
	kubectl(t, nil, "delete", "pod/reader", "pvc/claim", "--grace-period=1")
	volumeInPhase(t, s.pv.Name, corev1.VolumeReleased)
	before := allLinks(t)
	r := run(t, "unlink", "vdf", "--nodes", s.node.Name(), "-o", "json", "--wait=false").wantError(t, "is being cleaned", s.pv.Name)
	if got := r.plan(t).of(t, s.node.Name(), "vdf"); got.Result != "refused" || !slices.Equal(got.reasons(), []string{"cleaning"}) {
		t.Errorf("result %q, reasons %q", got.Result, got.reasons())
	}
	if after := allLinks(t); !slices.Equal(before, after) {
		t.Errorf("links: %q, want %q", after, before)
	}
}

func (s *story) unlinked(t *testing.T) {
	// Cleaned, the disk is published again.
	eventually(t, 30*time.Second, func() string {
		pv := volume(t, s.pv.Name)
		if pv.UID == s.pv.UID || pv.Status.Phase != corev1.VolumeAvailable {
			return fmt.Sprintf("volume %s is %s", pv.Name, pv.Status.Phase)
		}
		return ""
	})
	r := run(t, "unlink", "vdf", "vdg", "--yes").wantCode(t, 0)
	if got := strings.Count(r.stdout, "unlinked"); got != 6 {
		t.Errorf("%d rows are unlinked, want 6\n%s", got, r)
	}
	// It has waited for one look of the provisioner, and so has this test.
	wantNothing(t)
	if r.took < 10*time.Second {
		t.Errorf("it took %s: nothing was waited for", r.took)
	}
	run(t, "unlink", "vdf").wantError(t, `no node has a link "vdf"`)
}
