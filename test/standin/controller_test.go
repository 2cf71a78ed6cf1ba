// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
)

// fakeHost says of every entry named vd… that it is a device of 1 GiB, and of
// every directory named mnt… that it is a mounted filesystem of 20 GiB.
type fakeHost struct{ Linux }

func (h fakeHost) Mode(path string) (corev1.PersistentVolumeMode, error) {
	if strings.HasPrefix(filepath.Base(path), "vd") {
		if _, err := os.Lstat(path); err == nil {
			return corev1.PersistentVolumeBlock, nil
		}
	}
	return h.Linux.Mode(path)
}

func (fakeHost) DeviceBytes(string) (int64, error)     { return 1 << 30, nil }
func (fakeHost) FilesystemBytes(string) (int64, error) { return 20<<30 + 5, nil }

// mountedHost adds the mount points.
type mountedHost struct {
	fakeHost
	dir string
}

func (h mountedHost) MountPoints() (map[string]bool, error) {
	found, err := filepath.Glob(filepath.Join(h.dir, "mnt*"))
	points := map[string]bool{}
	for _, path := range found {
		points[path] = true
	}
	return points, err
}

type fakeCluster struct {
	pvs     map[string]*corev1.PersistentVolume
	jobs    map[string]*batchv1.Job
	classes map[string]corev1.PersistentVolumeReclaimPolicy
	made    int
}

func (c *fakeCluster) PVs(context.Context) ([]corev1.PersistentVolume, error) {
	var all []corev1.PersistentVolume
	for _, pv := range c.pvs {
		all = append(all, *pv)
	}
	return all, nil
}

func (c *fakeCluster) StorageClass(_ context.Context, name string) (*storagev1.StorageClass, error) {
	policy, ok := c.classes[name]
	if !ok {
		return nil, apierrors.NewNotFound(storagev1.Resource("storageclass"), name)
	}
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, ReclaimPolicy: &policy}, nil
}

func (c *fakeCluster) CreatePV(_ context.Context, pv *corev1.PersistentVolume) (*corev1.PersistentVolume, error) {
	if c.pvs[pv.Name] != nil {
		return nil, apierrors.NewAlreadyExists(corev1.Resource("persistentvolumes"), pv.Name)
	}
	c.made++
	pv.UID = types.UID(fmt.Sprintf("pv-%d", c.made))
	c.pvs[pv.Name] = pv
	return pv, nil
}

func (c *fakeCluster) Job(_ context.Context, namespace, name string) (*batchv1.Job, error) {
	if job := c.jobs[namespace+"/"+name]; job != nil {
		return job, nil
	}
	return nil, apierrors.NewNotFound(batchv1.Resource("jobs"), name)
}

func (c *fakeCluster) CreateJob(_ context.Context, job *batchv1.Job) error {
	c.jobs[job.Namespace+"/"+job.Name] = job
	return nil
}

func (c *fakeCluster) DeleteJob(_ context.Context, namespace, name string) error {
	delete(c.jobs, namespace+"/"+name)
	return nil
}

func (c *fakeCluster) DeletePV(_ context.Context, name string) error {
	delete(c.pvs, name)
	return nil
}

type fakeLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *fakeLog) Debugf(string, ...any)             {}
func (l *fakeLog) Infof(format string, args ...any)  { l.add(format, args...) }
func (l *fakeLog) Errorf(format string, args ...any) { l.add(format, args...) }

func (l *fakeLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// take returns the lines since the last call.
func (l *fakeLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.lines = nil }()
	return strings.Join(l.lines, "\n")
}

// bench is a provisioner over a temporary directory with a Block class
// "block" and a Filesystem class "fs" in two directories below it.
type bench struct {
	*Provisioner
	t       *testing.T
	dir     string
	config  Config
	cluster *fakeCluster
	log     *fakeLog
	events  *record.FakeRecorder
}

func newBench(t *testing.T) *bench {
	dir := t.TempDir()
	b := &bench{
		t: t, dir: dir,
		cluster: &fakeCluster{
			pvs:     map[string]*corev1.PersistentVolume{},
			jobs:    map[string]*batchv1.Job{},
			classes: map[string]corev1.PersistentVolumeReclaimPolicy{"block": "Delete", "fs": "Delete"},
		},
		log: &fakeLog{}, events: record.NewFakeRecorder(100),
		config: Config{Classes: map[string]Class{}},
	}
	for name, mode := range map[string]corev1.PersistentVolumeMode{"block": "Block", "fs": "Filesystem"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		class, err := Class{
			HostDir: "/host/" + name, MountDir: filepath.Join(dir, name), VolumeMode: mode,
			BlockCleanerCommand: []string{"sh", "-c", "echo cleaned $LOCAL_PV_BLKDEVICE"},
		}.withDefaults(name)
		must(t, err)
		b.config.Classes[name] = class
	}
	b.Provisioner = &Provisioner{
		Node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: "w-1", UID: "uid-1", Labels: map[string]string{corev1.LabelHostname: "host-1"},
		}},
		Namespace: "local-storage", JobImage: "cleaner:1",
		Host: mountedHost{dir: filepath.Join(dir, "fs")}, Cluster: b.cluster, Events: b.events, Log: b.log,
	}
	return b
}

// pass does one pass, lets the cleanings that it started end, and returns what
// was logged.
func (b *bench) pass() string {
	b.t.Helper()
	b.Provisioner.pass(b.t.Context(), b.config)
	b.processes.group.Wait()
	return b.log.take()
}

func (b *bench) file(parts ...string) string {
	b.t.Helper()
	path := filepath.Join(append([]string{b.dir}, parts...)...)
	must(b.t, os.WriteFile(path, nil, 0o644))
	return path
}

func (b *bench) pvs() []string { return slices.Sorted(maps.Keys(b.cluster.pvs)) }

func (b *bench) status() int {
	answer := httptest.NewRecorder()
	b.ServeHTTP(answer, httptest.NewRequest("GET", "/ready", nil))
	return answer.Code
}

func TestPublishesDevice(t *testing.T) {
	b := newBench(t)
	b.file("block", "vdb")
	if code := b.status(); code != 500 {
		t.Errorf("/ready before the first pass = %d, want 500", code)
	}
	b.pass()
	pv := b.cluster.pvs[PVName("vdb", "w-1", "block")]
	if pv == nil {
		t.Fatalf("no volume for the device, got %q", b.pvs())
	}
	checks := map[string][2]string{
		"path":       {pv.Spec.Local.Path, "/host/block/vdb"},
		"capacity":   {pv.Spec.Capacity.Storage().String(), "1Gi"},
		"mode":       {string(*pv.Spec.VolumeMode), "Block"},
		"host":       {pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0], "host-1"},
		"annotation": {pv.Annotations[AnnotationProvisionedBy], "local-volume-provisioner-w-1-uid-1"},
		"policy":     {string(pv.Spec.PersistentVolumeReclaimPolicy), "Delete"},
	}
	for what, check := range checks {
		if check[0] != check[1] {
			t.Errorf("%s = %q, want %q", what, check[0], check[1])
		}
	}
	if code := b.status(); code != 200 {
		t.Errorf("/ready = %d, want 200", code)
	}
	if log := b.pass(); log != "" {
		t.Errorf("a second pass did something: %s", log)
	}
}

func TestFilesystemClass(t *testing.T) {
	b := newBench(t)
	must(t, os.Mkdir(filepath.Join(b.dir, "fs", "mnt1"), 0o755))
	must(t, os.Mkdir(filepath.Join(b.dir, "fs", "plain"), 0o755))
	b.file("fs", "vdc")
	log := b.pass()
	if pv := b.cluster.pvs[PVName("mnt1", "w-1", "fs")]; pv == nil || pv.Spec.Capacity.Storage().String() != "20Gi" {
		t.Errorf("no volume of 20Gi for the mounted directory, got %v", pv)
	}
	if pv := b.cluster.pvs[PVName("vdc", "w-1", "fs")]; pv == nil || *pv.Spec.VolumeMode != corev1.PersistentVolumeFilesystem {
		t.Errorf("no Filesystem volume for the device, got %v", pv)
	}
	plain := filepath.Join(b.dir, "fs", "plain")
	want := fmt.Sprintf("Failed to discover local volumes: 1 error(s) while discovering volumes: "+
		"[path %q is not a valid mount point: mountPath=%q wasn't found in the /proc/mounts file]", plain, plain)
	if !strings.Contains(log, want) || b.status() != 500 {
		t.Errorf("a directory that is no mount point: status %d, log\n%s\nwant\n%s", b.status(), log, want)
	}
}

func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(b *bench)
		want    string
	}{
		"directory in a Block class": {
			func(b *bench) { must(t, os.Mkdir(filepath.Join(b.dir, "block", "d"), 0o755)) },
			`of filesystem mode cannot be used to create block volume`,
		},
		"dangling link": {
			func(b *bench) { must(t, os.Symlink("/dev/gone", filepath.Join(b.dir, "block", "d"))) },
			`block/d: no such file or directory`,
		},
		"missing class": {
			func(b *bench) { b.file("block", "vdb"); delete(b.cluster.classes, "block") },
			`failed to get ReclaimPolicy from storage class "block": storageclass.storage.k8s.io "block" not found`,
		},
		"path in another volume": {
			func(b *bench) {
				b.file("block", "vdb")
				b.cluster.pvs["other"] = b.volume(b.config, found{class: "old", config: b.config.Classes["block"], entry: "vdb"})
				b.cluster.pvs["other"].Name = "other"
			},
			`wants path "/host/block/vdb" which was already found in "other".`,
		},
		"volume of an earlier node": {
			func(b *bench) {
				b.file("block", "vdb")
				pv := b.volume(b.config, found{class: "block", config: b.config.Classes["block"], entry: "vdb"})
				pv.Annotations[AnnotationProvisionedBy] = "local-volume-provisioner-w-1-uid-0"
				b.cluster.pvs[pv.Name] = pv
			},
			`already exists`,
		},
	} {
		b := newBench(t)
		tc.prepare(b)
		before := b.pvs()
		if log := b.pass(); !strings.Contains(log, tc.want) {
			t.Errorf("%s: log\n%s\nwant\n%s", name, log, tc.want)
		}
		if after := b.pvs(); !slices.Equal(before, after) {
			t.Errorf("%s: volumes changed from %q to %q", name, before, after)
		}
	}
}

func TestReleasedDeviceIsCleanedAndPublishedAgain(t *testing.T) {
	b := newBench(t)
	device := b.file("block", "vdb")
	b.pass()
	name := PVName("vdb", "w-1", "block")
	b.cluster.pvs[name].Status.Phase = corev1.VolumeReleased

	if log, want := b.pass(), fmt.Sprintf("Cleanup pv %q: StdoutBuf - %q", name, "cleaned "+device); !strings.Contains(log, want) {
		t.Errorf("first pass: log\n%s\nwant\n%s", log, want)
	}
	if log := b.pass(); !strings.Contains(log, "Deleting pv "+name+" after successful cleanup") || len(b.pvs()) != 0 {
		t.Errorf("second pass: volumes %q, log\n%s", b.pvs(), log)
	}
	b.pass()
	if pv := b.cluster.pvs[name]; pv == nil || pv.Status.Phase == corev1.VolumeReleased {
		t.Errorf("third pass: the device was not published again: %v", pv)
	}
}

func TestReleasedFilesystemIsEmptied(t *testing.T) {
	b := newBench(t)
	must(t, os.MkdirAll(filepath.Join(b.dir, "fs", "mnt1", "below"), 0o755))
	b.file("fs", "mnt1", ".secret")
	b.pass()
	b.cluster.pvs[PVName("mnt1", "w-1", "fs")].Status.Phase = corev1.VolumeReleased
	b.pass()
	left, err := os.ReadDir(filepath.Join(b.dir, "fs", "mnt1"))
	if err != nil || len(left) != 0 {
		t.Errorf("after the cleaning the directory has %v, %v", left, err)
	}
}

func TestReleasedWithoutDeviceStays(t *testing.T) {
	b := newBench(t)
	device := b.file("block", "vdb")
	b.pass()
	name := PVName("vdb", "w-1", "block")
	b.cluster.pvs[name].Status.Phase = corev1.VolumeReleased
	must(t, os.Remove(device))
	b.pass()
	b.pass()
	want := fmt.Sprintf("Warning VolumeFailedDelete Error cleaning PV %q: failed to get volume mode of path %q: "+
		"Directory check for %q failed: open %s: no such file or directory", name, device, device, device)
	if got := <-b.events.Events; got != want {
		t.Errorf("event\n%s\nwant\n%s", got, want)
	}
	if b.cluster.pvs[name] == nil {
		t.Error("the volume of a missing device was deleted")
	}
}

func TestRetainIsLeftAlone(t *testing.T) {
	b := newBench(t)
	b.cluster.classes["block"] = corev1.PersistentVolumeReclaimRetain
	b.file("block", "vdb")
	b.pass()
	b.cluster.pvs[PVName("vdb", "w-1", "block")].Status.Phase = corev1.VolumeReleased
	if log := b.pass(); log != "" || len(b.pvs()) != 1 {
		t.Errorf("a retained volume was touched: %q, log %s", b.pvs(), log)
	}
}

func TestFailedCleaningStartsAgain(t *testing.T) {
	b := newBench(t)
	class := b.config.Classes["block"]
	class.BlockCleanerCommand = []string{"sh", "-c", "exit 3"}
	b.config.Classes["block"] = class
	b.file("block", "vdb")
	b.pass()
	name := PVName("vdb", "w-1", "block")
	b.cluster.pvs[name].Status.Phase = corev1.VolumeReleased
	b.pass()
	if log := b.pass(); !strings.Contains(log, "Cleanup for pv "+name+" failed. Restarting cleanup") || len(b.pvs()) != 1 {
		t.Errorf("after a failed cleaning: volumes %q, log\n%s", b.pvs(), log)
	}
}
