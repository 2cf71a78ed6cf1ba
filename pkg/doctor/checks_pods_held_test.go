// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// onDevice makes the pod's volume a device, vdf by a link, on which the kubelet is to make or to mount a filesystem.
func (w world) onDevice() *disk.Disk {
	d := w.vdf()
	w.entries("hdd", provisioner.Entry{
		Name:   "vde",
		Kind:   provisioner.Link,
		Target: "/dev/disk/by-id/virtio-" + serialF,
		Device: d.Number.String(),
	})
	w.entries("block")
	w.Volumes = w.Volumes[:1]
	d.Kernel = d.Name
	return d
}

// heldBy has a device lie on the pod's: of that kernel's name, and with these names in by-id.
func (w world) heldBy(name string, byID ...string) {
	d := w.onDevice()
	d.Holders, d.Content = []string{name}, &disk.Content{Signed: disk.No, Busy: disk.Yes}
	kind := disk.KindMapper
	if strings.HasPrefix(name, "md") {
		kind = disk.KindRAID
	}
	view := w.node().View.Value
	view.Disks = append(view.Disks, disk.Disk{
		Name:   name,
		Kernel: name,
		Number: disk.Number{Major: 253},
		Kind:   kind,
		Size:   5 << 30,
		ByID:   byID,
		Slaves: []string{"vdf"},
	})
}

// notOpened are messages of a kubelet that gets a disk from nobody, by the check that is about them.
var notOpened = map[Code]string{
	"TD0703": "mount failed: exit status 32\nOutput: mount: /m: unknown filesystem type 'LVM2_member'.",
	"TD0704": `format of disk "/var/lib/disks/hdd/vde" failed: type:("ext4") errcode:(exit status 1) output:(/dev/vdf is apparently in use by the system; will not make a filesystem here!)`,
	"TD0710": "failed to get disk format of disk /var/lib/disks/hdd/vde: exit status 8",
	"TD0711": "mount failed: exit status 32\nOutput: mount: /m: /dev/vdf already mounted or mount point busy.",
}

func heldCases() []nodeCase {
	const lvm, mpath = "dm-uuid-LVM-abc", "dm-uuid-mpath-360000000000000000e00000000010001"
	var all []nodeCase
	for code, message := range notOpened {
		add := func(name string, has []string, change func(world)) {
			all = append(all, nodeCase{name, code, func(w world) { change(w); w.complains("FailedMount", message) }, OutcomeFinding, has})
		}
		add("held by LVM", []string{"because: the LVM volume dm-0 (/dev/mapper/vg0-data) has vdf: ",
			"vdf on w-4 is held by the LVM volume dm-0 (/dev/mapper/vg0-data)", "before anything is wiped"},
			func(w world) { w.heldBy("dm-0", "dm-name-vg0-data", lvm) })
		add("held by multipath", []string{"because: vdf is a path of the multipath map dm-0 (/dev/mapper/mpatha), which has it",
			"keep what is written from being wiped", "let the class have the map dm-0 (/dev/mapper/mpatha) instead"},
			func(w world) { w.heldBy("dm-0", "dm-name-mpatha", mpath) })
		add("held, as Talos tells", []string{"the RAID array md0 has vde"}, func(w world) {
			w.onDevice()
			w.lookless()
			w.Volumes[0].Path = "/dev/disk/by-id/virtio-e"
			*w.talos().Disks.Value = append(*w.talos().Disks.Value, snapshot.TalosDisk{Name: "md0", Size: 5 << 30, Secondaries: []string{"vde"}})
		})
		add("mounted, as Talos tells", []string{"the mount at /var/mnt/other has vdf"}, func(w world) {
			w.onDevice().Content.Busy = disk.Yes
			*w.talos().Mounts.Value = append(*w.talos().Mounts.Value, snapshot.TalosMount{Source: "/dev/vdf", Target: "/var/mnt/other"})
		})
	}
	slices.SortStableFunc(all, func(a, b nodeCase) int { return strings.Compare(string(a.code), string(b.code)) })
	return all
}

func TestHeld(t *testing.T) { try(t, heldCases()) }

// Each maker of devices upon devices is named, and nothing is wiped while it has the disk.
func TestHolderIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		hold func(world)
		want string
	}{
		"LVM": {
			hold: func(w world) { w.heldBy("dm-3", "dm-uuid-LVM-x", "dm-name-vg-lv") },
			want: "the LVM volume dm-3 (/dev/mapper/vg-lv)",
		},
		"multipath": {hold: func(w world) { w.heldBy("dm-0", "dm-uuid-mpath-3600") }, want: "the multipath map dm-0"},
		"dm-crypt": {
			hold: func(w world) { w.heldBy("dm-1", "dm-uuid-CRYPT-LUKS2-x-luks2-data", "dm-name-luks2-data") },
			want: "the encrypted device dm-1 (/dev/mapper/luks2-data)",
		},
		"md":       {hold: func(w world) { w.heldBy("md127") }, want: "the RAID array md127"},
		"bcache":   {hold: func(w world) { w.heldBy("bcache0") }, want: "the bcache device bcache0"},
		"drbd":     {hold: func(w world) { w.heldBy("drbd1000") }, want: "the DRBD device drbd1000"},
		"mapping":  {hold: func(w world) { w.heldBy("dm-9") }, want: "the mapping dm-9"},
		"unlisted": {hold: func(w world) { w.onDevice().Holders = []string{"dm-4"} }, want: "the mapping dm-4"},
		"loop":     {hold: func(w world) { w.onDevice().Under = []string{"loop3"} }, want: "the loop device loop3"},
		"of a partition": {hold: func(w world) {
			d := w.onDevice()
			d.Partitions = []string{"vdf1"}
			view := w.node().View.Value
			view.Disks = append(view.Disks, disk.Disk{
				Name:    "vdf1",
				Kernel:  "vdf1",
				Number:  disk.Number{Major: 254, Minor: 81},
				Kind:    disk.KindPartition,
				Parent:  "vdf",
				Holders: []string{"md1"},
			})
		}, want: "the RAID array md1 on vdf1"},
	} {
		w := well(t)
		c.hold(w)
		w.complains("FailedMount", notOpened["TD0704"])
		_, text := outcome(Run(w.Snapshot, Options{}))
		if !strings.Contains(text, c.want+" has vdf") && !strings.Contains(text, "is a path of "+c.want) {
			t.Errorf("%s: no %q in\n%s", name, c.want, text)
		}
		if strings.Contains(text, "talosctl wipe") || strings.Contains(text, "mkfs was refused: ") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// Of a disk that nothing has, as far as anybody saw, no holder is made up.
func TestNoHolder(t *testing.T) {
	w := well(t)
	w.onDevice()
	w.complains("FailedMount", notOpened["TD0704"])
	if _, text := outcome(Run(w.Snapshot, Options{})); !strings.Contains(text,
		"because: mkfs was refused: the disk is in use by something else, read-only or broken") {
		t.Error(text)
	}
}

// What mount(8) calls a special device is the volume's path, which the kubelet does not see: that has its own finding, as long as
// anybody looked; and without a look the kubelet's word counts.
func TestSpecialDevice(t *testing.T) {
	const message = "mount failed: exit status 32\nOutput: mount: /var/lib/kubelet/pods/4/volumes/x: special device " + pathVDE +
		" does not exist."
	for name, c := range map[string]struct {
		change func(world)
		code   Code
		has    string
	}{
		"not in the kubelet": {change: world.blind, code: "TD0401", has: `the kubelet on w-4 cannot see "/var/lib/disks"`},
		"by its word alone": {
			change: func(w world) { w.noTalos(problem.TalosUnreachable, "no answer from the Talos API at 10.0.0.14") },
			code:   "TD0401",
			has:    "special device",
		},
		"not on the node": {change: world.gone, code: "TD0301", has: pathVDE},
	} {
		w := well(t)
		c.change(w)
		if len(*w.Events.Value) > 0 {
			*w.Events.Value = nil
		}
		w.complains("FailedMount", message)
		r := Run(w.Snapshot, Options{})
		_, text := outcome(r)
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == c.code && f.Severity == Error }) ||
			!strings.Contains(text, c.has) {
			t.Errorf("%s: no %s\n%s", name, c.code, text)
		}
		if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == "TD0711" || f.Code == "TD0712" }) {
			t.Errorf("%s: a symptom beside its cause\n%s", name, text)
		}
	}
}

func timeoutCases() []nodeCase {
	const waited = "!Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[]: timed out waiting for the condition"
	timeout := func(name string, change func(world), has ...string) nodeCase {
		return nodeCase{name, "TD0711", func(w world) { change(w); w.complains("FailedMount", waited) }, OutcomeFinding, has}
	}
	deleting := func(w world) { (*w.Claims.Value)[0].Deleting = true }
	return []nodeCase{
		timeout("timed out", func(world) {}, "because: the kubelet gave up waiting, and does not say for what; its log does",
			"$ talosctl -n 10.0.0.14 logs kubelet --tail 200"),
		timeout("timed out on a disk that is held", func(w world) { w.heldBy("dm-0", "dm-uuid-mpath-3600") },
			"because: vdf is a path of the multipath map dm-0"),
		timeout("timed out for a volume that is being deleted", func(w world) { w.Volumes[0].Deleting = true },
			`for what: volume "local-pv-485eb69c" is being deleted`),
		timeout("timed out for a claim that is being deleted", deleting, `for what: claim "default/nginx-pvc" is being deleted`),
		timeout("timed out on a node that is not Ready", func(w world) { w.node().Ready, w.node().NotReady = false, "the kubelet stopped" },
			"for what: node w-4 is not Ready: the kubelet stopped"),
		timeout("timed out after a pod that is being deleted", func(w world) {
			*w.Pods.Value = append(*w.Pods.Value, snapshot.UserPod{
				Namespace: "default",
				Name:      "old",
				UID:       "5",
				Node:      "w-4",
				Phase:     "Running",
				Deleting:  true,
				Volumes:   []snapshot.PodVolume{{Name: "data", Claim: "nginx-pvc", Mounted: true}},
			})
		}, `for what: pod "default/old" has the claim on w-4, and is being deleted`),
		{name: "timed out, and before that a cause", code: "TD0711", change: func(w world) {
			w.complains("FailedMount", "PVC is not bound")
			w.says("pod", "default", "nginx-pod", "FailedMount", waited[1:])
			(*w.Events.Value)[1].Last = (*w.Events.Value)[0].Last.Add(1e9)
		}, want: OutcomeFinding, has: []string{"because: its claim is not bound", "timed out waiting for the condition"}},

		{
			name:   "used",
			code:   "TD0614",
			change: deleting,
			want:   OutcomeFinding,
			has:    []string{`warning[TD0614]: claim "default/nginx-pvc" is being deleted`, `pod "default/nginx-pod" has it on w-4, Running`},
		},
		{
			name:   "used, and wiped later",
			code:   "TD0614",
			change: func(w world) { deleting(w); w.Volumes[0].ReclaimPolicy = "Delete" },
			want:   OutcomeFinding,
			has:    []string{"its volume is then wiped", "persistentVolumeReclaimPolicy"},
		},
		{name: "not being deleted", code: "TD0614", change: func(world) {}, want: OutcomeNone},
		{name: "a kubelet does not take it", code: "TD0614", change: func(w world) {
			deleting(w)
			w.complains("FailedMount",
				"!Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: error processing PVC default/nginx-pvc: PVC is being deleted")
		}, want: OutcomeFinding,
			has: []string{`error[TD0614]: pod "default/nginx-pod" waits for claim "default/nginx-pvc", which is being deleted`,
				"PVC is being deleted"}},
		{name: "a scheduler does not take it", code: "TD0614", change: func(w world) {
			deleting(w)
			w.unscheduled(`0/1 nodes are available: persistentvolumeclaim "nginx-pvc" is being deleted.`)
		}, want: OutcomeFinding, has: []string{"error[TD0614]", "FailedScheduling: "}},
		{
			name:   "claims were not read",
			code:   "TD0614",
			change: func(w world) { w.Claims = snapshot.Unread[[]snapshot.Claim](problem.FromText("forbidden")) },
			want:   OutcomeUnknown,
		},

		{name: "the namespace is terminating", code: "TD0203", change: func(w world) {
			w.withoutPod(noPodThere)
			w.says("daemonset", "local-storage", "prov", "FailedCreate",
				`Error creating: pods "prov-" is forbidden: unable to create new content in namespace local-storage because it is being terminated`)
		}, want: OutcomeFinding, has: []string{"the cluster does not let its DaemonSet make one there", "because it is being terminated"}},
	}
}

func TestTimeouts(t *testing.T) { try(t, timeoutCases()) }

// A pod that waits for a volume of another kind is told in the kubelet's words, though its disk is well.
func TestWaitsForAnotherVolume(t *testing.T) {
	w := well(t)
	w.complains("FailedMount", `!MountVolume.SetUp failed for volume "config" : configmap "nginx" not found`)
	w.asked()
	r := Run(w.Snapshot, Options{})
	_, text := outcome(r)
	if len(r.Findings) != 1 || r.Findings[0].Code != "TD0712" || !strings.Contains(text, `the kubelet says: configmap "nginx" not found`) {
		t.Error(text)
	}
}
