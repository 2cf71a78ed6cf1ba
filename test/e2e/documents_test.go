// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/talosdisk/kubectl-talosdisk/internal/example"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talos/talostest"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster"
	"github.com/talosdisk/kubectl-talosdisk/test/image"
	"github.com/talosdisk/kubectl-talosdisk/test/manifests"
	"github.com/talosdisk/kubectl-talosdisk/test/talosnode"
)

var update = flag.Bool("update", false, "save docs/testdata/unseen.json again, which the documents' diagnosis is of")

// Documents with examples.
const (
	readme = "README.md"
	guide  = "docs/guide.md"
	disks  = "docs/disks.md"
	mounts = "docs/mounts.md"
)

// documents are the repository's documents, held to a cluster by following them: with the guide's own values and pod, each
// command is run as it is written there, and must print what is written there.
type documents struct {
	text map[string]string
	// pending are the examples that no test has followed yet, as FILE:LINE.
	pending map[string]example.Example
	path    string // for PATH
}

func openDocuments(t *testing.T) *documents {
	t.Helper()
	d := &documents{text: map[string]string{}, pending: map[string]example.Example{}}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == ".git" { // In a worktree it is a file.
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := filepath.Rel(root, path)
		d.text[file] = string(text)
		for _, e := range example.In(d.text[file]) {
			d.pending[fmt.Sprintf("%s:%d", file, e.Line)] = e
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(theCluster.KubectlPath(), filepath.Join(bin, "kubectl")); err != nil {
		t.Fatal(err)
	}
	d.path = pluginDir + ":" + bin + ":" + os.Getenv("PATH")
	return d
}

// block is the one piece of code below a heading of the guide that begins so.
func (d *documents) block(t *testing.T, heading, begins string) string {
	t.Helper()
	var found []string
	for _, b := range example.Blocks(d.text[guide]) {
		if b.Heading == heading && strings.HasPrefix(b.Text(), begins) {
			found = append(found, b.Text())
		}
	}
	if len(found) != 1 {
		t.Fatalf("the guide has %d blocks %q below %q", len(found), begins, heading)
	}
	return found[0]
}

// provisioner is what `helm install local` makes of the values.yaml below a heading.
func (d *documents) provisioner(t *testing.T, heading string) manifests.Provisioner {
	t.Helper()
	var values struct {
		Classes []struct {
			Name, HostDir, MountDir, NamePattern string
			VolumeMode                           corev1.PersistentVolumeMode
			StorageClass                         bool
		}
	}
	if err := yaml.UnmarshalStrict([]byte(d.block(t, heading, "classes:")), &values); err != nil {
		t.Fatal(err)
	}
	p := manifests.Default()
	p.Release, p.Classes = "local", nil
	for _, c := range values.Classes {
		p.Classes = append(p.Classes, manifests.Class{
			Name: c.Name, HostDir: c.HostDir, MountDir: c.MountDir, NamePattern: c.NamePattern, VolumeMode: c.VolumeMode,
			NoStorageClass: !c.StorageClass,
		})
	}
	return p
}

// applyPod applies the guide's pod, on worker-1, with an image that the cluster has.
func (d *documents) applyPod(t *testing.T, change ...string) {
	t.Helper()
	text := strings.NewReplacer(append(change, "image: busybox", "image: "+image.Busybox, "  containers:",
		"  nodeSelector: {kubernetes.io/hostname: worker-1}\n  containers:")...).Replace(d.block(t, "The pod", "apiVersion:"))
	cmd := exec.CommandContext(t.Context(), theCluster.KubectlPath(), "--kubeconfig", theCluster.Kubeconfig(), "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %s\n%s", err, out, text)
	}
}

// withoutNote is what was printed without the note of the snapshot that prints has asked for.
func withoutNote(printed string) string {
	if first, rest, more := strings.Cut(printed, "\n"); more && strings.HasPrefix(first, "note: wrote the snapshot to ") {
		return rest
	}
	return printed
}

// prints runs a command, and compares what it prints with the examples of it at these places, FILE#HEADING.
func (d *documents) prints(t *testing.T, talosconfig, command string, places ...string) {
	t.Helper()
	line := command
	if strings.HasPrefix(command, "kubectl talosdisk doctor ") {
		line += " --save-snapshot " + d.snapshot(t)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Env = []string{"PATH=" + d.path, "HOME=" + t.TempDir(), "KUBECONFIG=" + theCluster.Kubeconfig(), "TALOSCONFIG=" + talosconfig}
	out, err := cmd.CombinedOutput()
	printed := withoutNote(steady(string(out)))
	t.Logf("$ %s\n%s(%v)", command, printed, err)
	for _, place := range places {
		file, heading, _ := strings.Cut(place, "#")
		found := false
		for at, e := range d.pending {
			if !strings.HasPrefix(at, file+":") || e.Heading != heading || e.Command != command {
				continue
			}
			found = true
			delete(d.pending, at)
			if err := (example.Example{Output: strings.Split(steady(strings.Join(e.Output, "\n")), "\n")}).Match(printed); err != nil {
				t.Errorf("%s: %s\n%s", at, command, err)
			}
		}
		if !found {
			t.Errorf("%s has no example of %s", place, command)
		}
	}
}

// snapshot is the file for what the doctor saw: with -update that of the documents, of which hack/picture draws, too.
func (d *documents) snapshot(t *testing.T) string {
	t.Helper()
	if !*update {
		return filepath.Join(t.TempDir(), "unseen.json")
	}
	return filepath.Join("..", "..", "docs", "testdata", "unseen.json")
}

var (
	tries   = regexp.MustCompile(`\d+ times in \d+\w+`)
	devices = regexp.MustCompile(`/dev/loop\d+`)
)

// steady is a text without what is different each time: how often a kubelet has tried, and which loop device is whose.
func steady(text string) string {
	return devices.ReplaceAllString(tries.ReplaceAllString(text, "N times in T"), "/dev/loopN")
}

// TestDocuments follows the documents on clusters as they are told of there.
func TestDocuments(t *testing.T) {
	d := openDocuments(t)
	for _, c := range []struct {
		name   string
		follow func(*testing.T)
	}{
		{"Links in /var/lib/disks", d.linksInDisks},
		{"KubeletConfig document", d.kubeletDocument},
		{"Links in a directory volume", d.linksInDirectoryVolume},
		{"Raw volumes", d.rawVolumes},
		{"User volumes", d.userVolumes},
		{"machine.disks", d.machineDisks},
	} {
		t.Run(c.name, c.follow)
	}
	if t.Failed() {
		return
	}
	for at, e := range d.pending {
		t.Errorf("%s: nothing follows %q", at, e.Command)
	}
}

// twoDisks gives each node vdf and vdg; vdf of worker-2 holds somebody's data.
func twoDisks(t *testing.T) {
	t.Helper()
	paths := map[string]string{"vdf": "pci-0000:00:0f.0", "vdg": "pci-0000:00:10.0"}
	for _, n := range theCluster.Nodes() {
		for name, size := range map[string]int64{"vdf": 60 * gib, "vdg": 120 * gib} {
			addDisk(t, n, cluster.Disk{Name: name, Size: size, Serial: "demo-" + n.Name() + "-" + name, PathID: paths[name]})
		}
	}
	sh(t, node(t, "worker-2"), `mkfs.ext4 -q -L data /dev/vdf`)
}

// seesPodFail waits until the kubelet has tried several times.
func seesPodFail(t *testing.T, reason string) {
	t.Helper()
	pod := getPod(t, "reader")
	eventually(t, 60*time.Second, func() string {
		events, err := kube().CoreV1().Events(pod.Namespace).List(t.Context(),
			metav1.ListOptions{FieldSelector: "reason=" + reason + ",involvedObject.uid=" + string(pod.UID)})
		if err != nil || len(events.Items) == 0 || events.Items[0].Count < 3 {
			return fmt.Sprintf("no three events %s (%v)", reason, err)
		}
		return ""
	})
}

// endPod deletes the pod and its claim, and waits until their volume is clean: another one of its name.
func endPod(t *testing.T) {
	t.Helper()
	claim, err := kube().CoreV1().PersistentVolumeClaims("default").Get(t.Context(), "raw-claim", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := volumeInPhase(t, claim.Spec.VolumeName, corev1.VolumeBound)
	kubectl(t, nil, "delete", "pod/reader", "pvc/raw-claim", "--grace-period=1")
	eventually(t, 60*time.Second, func() string {
		if now := volume(t, before.Name); now.UID == before.UID || now.Status.Phase != corev1.VolumeAvailable {
			return fmt.Sprintf("volume %s is %s", now.Name, now.Status.Phase)
		}
		return ""
	})
}

// linksInDisks is the way of Talos up to 1.13, with its outputs in every document.
func (d *documents) linksInDisks(t *testing.T) {
	const heading = "Links in /var/lib/disks"
	twoDisks(t)
	begin(t, d.provisioner(t, heading))
	admin := startTalos(t, talosnode.Options{}).talosconfig
	d.prints(t, admin, "kubectl talosdisk disks", readme+"#From disks to volumes", guide+"#The provisioner")
	d.prints(t, admin, "kubectl talosdisk link vdf vdg --accept loop --yes", readme+"#From disks to volumes", guide+"#"+heading)
	d.applyPod(t)
	seesPodFail(t, "FailedMapVolume")
	d.prints(t, admin, "kubectl talosdisk doctor pod/reader", readme+"#kubectl talosdisk", guide+"#If it does not start")
	d.prints(t, admin, "kubectl talosdisk mounts --dry-run=server", guide+"#"+heading)
	d.prints(t, admin, "kubectl talosdisk mounts --nodes worker-1 --yes", guide+"#"+heading)
	d.prints(t, admin, "kubectl talosdisk mounts --yes", guide+"#"+heading)
	waitReady(t, "reader")
	d.prints(t, admin, "kubectl talosdisk status", guide+"#The pod")
	d.prints(t, admin, "kubectl talosdisk disks --nodes worker-1", disks+"#With a talosconfig, os:admin or os:reader")
	d.prints(t, admin, "kubectl talosdisk disks --nodes worker-1 -o wide", disks+"#With a talosconfig, os:admin or os:reader")
	d.prints(t, "", "kubectl talosdisk disks --nodes worker-1", disks+"#Without a talosconfig")
	d.prints(t, admin, "kubectl talosdisk unlink vdf --nodes worker-1", guide+"#Away again")
	endPod(t)
	d.prints(t, admin, "kubectl talosdisk unlink vdf vdg --yes", guide+"#Away again")
	d.prints(t, admin, "kubectl talosdisk mounts --remove --yes", guide+"#Away again")
}

// onNative has a cluster as Talos 1.14 makes it, whose kubelets' configurations have no extraMounts.
func onNative(t *testing.T) (admin string) {
	t.Helper()
	return startTalos(t, talosnode.Options{Profile: talostest.V114, Native: true}).talosconfig
}

func (d *documents) kubeletDocument(t *testing.T) {
	begin(t, d.provisioner(t, "Links in /var/lib/disks"))
	d.prints(t, onNative(t), "kubectl talosdisk mounts --nodes worker-1", mounts+"#A KubeletConfig document")
}

func (d *documents) linksInDirectoryVolume(t *testing.T) {
	const heading = "Links in a directory volume"
	twoDisks(t)
	for _, n := range theCluster.Nodes() {
		sh(t, n, `mkdir /var/mnt/disks`) // As Talos does.
		cleanupSh(t, n, `rm -r /var/mnt/disks`)
	}
	p := d.provisioner(t, heading)
	admin := onNative(t)
	begin(t, p)
	d.prints(t, admin, "kubectl talosdisk link vdf vdg --accept loop --yes", guide+"#"+heading)
	d.prints(t, admin, "kubectl talosdisk mounts list", guide+"#"+heading)
	d.applyPod(t)
	waitReady(t, "reader")
	endPod(t)
}

func (d *documents) rawVolumes(t *testing.T) {
	const heading = "Raw volumes"
	for _, n := range theCluster.Nodes() {
		addDisk(t, n, cluster.Disk{
			Name:   "vdf1",
			Size:   60 * gib,
			Serial: n.Name() + "-raw",
			Links:  []string{"by-partlabel/r-block-1"},
		}) // The partition that Talos makes.
		addDisk(t, n, cluster.Disk{Name: "vdg1", Size: gib, Serial: n.Name() + "-meta", Links: []string{"by-partlabel/META"}})
		addDisk(t, n, cluster.Disk{Name: "vdh1", Size: gib, Serial: n.Name() + "-other", Links: []string{"by-partlabel/r-others"}})
	}
	admin := onNative(t)
	begin(t, d.provisioner(t, heading))
	volume(t, pvName("r-block-1", "worker-1", "block-storage"))
	d.applyPod(t)
	waitReady(t, "reader")
	noVolume(t, pvName("r-others", "worker-1", "block-storage"))
	d.prints(t, admin, "kubectl talosdisk status", guide+"#"+heading)
	endPod(t)
}

// podOfFiles makes of the guide's pod the one that the guide's words say for file systems.
var podOfFiles = []string{
	"storageClassName: block-storage", "storageClassName: fs-storage", "volumeMode: Block", "volumeMode: Filesystem",
	"dd if=/dev/claim of=/dev/null bs=4096 count=1", "touch /data/x", "volumeDevices:", "volumeMounts:", "devicePath: /dev/claim",
	"mountPath: /data",
}

// mounted mounts a disk or partition of each node at a directory, as Talos does with a user volume or machine.disks.
func mounted(t *testing.T, name, path string) {
	t.Helper()
	for _, n := range theCluster.Nodes() {
		d := addDisk(t, n, cluster.Disk{Name: name, Size: 60 * gib})
		cleanupSh(t, n, `umount $1 && rmdir $1`, path)
		sh(t, n, `mkfs.ext4 -q /dev/$1 && mkdir -p $2 && mount /dev/$1 $2`, d.Name, path)
	}
}

// noVolume holds that the provisioner has published nothing under a name, once it has published what lies beside it.
func noVolume(t *testing.T, name string) {
	t.Helper()
	if _, err := kube().CoreV1().PersistentVolumes().Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("volume %s is published, or is not known to be: %v", name, err)
	}
}

func (d *documents) userVolumes(t *testing.T) {
	const heading = "User volumes"
	mounted(t, "vdf1", "/var/mnt/fs-1")
	mounted(t, "vdg1", "/var/mnt/others") // Somebody else's.
	admin := onNative(t)
	begin(t, d.provisioner(t, heading))
	volume(t, pvName("fs-1", "worker-1", "fs-storage"))
	d.applyPod(t, podOfFiles...)
	waitReady(t, "reader")
	noVolume(t, pvName("others", "worker-1", "fs-storage"))
	d.prints(t, admin, "kubectl talosdisk status", guide+"#"+heading)
	endPod(t)
}

func (d *documents) machineDisks(t *testing.T) {
	const heading = "machine.disks"
	begin(t)
	mounted(t, "vdf1", "/var/lib/disks/hdd/vdf") // Before a provisioner can see the directory without its disk.
	p := d.provisioner(t, heading)
	install(t, []manifests.Provisioner{p})
	waitRunning(t, p)
	admin := startTalos(t, talosnode.Options{}).talosconfig
	volume(t, pvName("vdf", "worker-1", "fs-storage"))
	d.applyPod(t, podOfFiles...)
	seesPodFail(t, "FailedMount")
	d.prints(t, admin, "kubectl talosdisk status", guide+"#"+heading)
	d.prints(t, admin, "kubectl talosdisk mounts --yes", guide+"#"+heading)
	waitReady(t, "reader")
	endPod(t)
}
