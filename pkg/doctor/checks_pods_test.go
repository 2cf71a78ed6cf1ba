// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

func (w world) pod() *snapshot.UserPod { return &(*w.Pods.Value)[0] }

// complains has the pod wait, and the kubelet say this of its volume.
func (w world) complains(reason, cause string) {
	w.waits()
	e := &(*w.Events.Value)[len(*w.Events.Value)-1]
	e.Reason, e.Message = reason, `MountVolume.MountDevice failed for volume "local-pv-485eb69c" : `+cause
	if strings.HasPrefix(cause, "!") {
		e.Message = cause[1:]
	}
}

func (w world) eventless() {
	w.Events = snapshot.Unread[[]snapshot.Event](problem.FromText("forbidden"))
}

// unscheduled has the scheduler keep the pod.
func (w world) unscheduled(message string) {
	p := w.pod()
	p.Node, p.Phase, p.Ready, p.Unscheduled = "", "Pending", false, message
}

// started is how long ago the pod had its volumes at the latest.
func (w world) started(ago time.Duration) {
	since := now.Add(-ago)
	w.pod().VolumesSince = &since
}

// Of a pod that fails for storage of others the kubelet's own words are shown, and it is said that nobody looked further.
func TestForeignVolume(t *testing.T) {
	for _, message := range []string{
		`!MountVolume.MountDevice failed for volume "pvc-1" : format of disk "/dev/sdb" failed: type:("ext4") errcode:(exit status 1)`,
		`!MountVolume.MountDevice failed for volume "pvc-1" : format of disk "/dev/sdb" failed: exec: "mkfs.btrfs": executable file not found in $PATH`,
		`!MountVolume.MountDevice failed for volume "pvc-1" : failed to mount device /dev/sdb at /m, error it already contains unknown data, probably partitions`,
		`!MountVolume.MountDevice failed for volume "pvc-1" : stat /dev/sdb: input/output error`,
		`!MountVolume.SetUp failed for volume "pvc-1" : rpc error: code = Internal desc = the moon is in the wrong house`,
		`!Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: volume data has volumeMode Block, but is specified in volumeMounts`,
		`!volume uses the ReadWriteOncePod access mode and is already in use by another pod`,
	} {
		w := well(t)
		w.foreign()
		(*w.Claims.Value)[0].Mode = provisioner.Block
		w.complains("FailedMount", message)
		w.Targets = []snapshot.Ref{{Kind: "pod", Namespace: "default", Name: "nginx-pod"}}
		r := Run(w.Snapshot, Options{})
		_, text := outcome(r)
		if len(r.Findings) != 1 || r.Findings[0].Code != "TD0712" || len(r.Masked) > 0 || len(r.Unknown()) > 0 {
			t.Errorf("%s\n%s", message, text)
		}
		if words := r.Findings[0].Because; !strings.HasPrefix(words, "the kubelet says: ") || !strings.HasSuffix(message, words[len(words)-20:]) {
			t.Errorf("%s\n%s", message, words)
		}
		for _, code := range []Code{"TD0701", "TD0703", "TD0704", "TD0705", "TD0706", "TD0707", "TD0710", "TD0711"} {
			if !slices.ContainsFunc(r.NoQuestion(), func(r Result) bool {
				return r.Code == code && strings.Contains(r.Why, `claim "default/nginx-pvc" is of csi.example.com`)
			}) {
				t.Errorf("%s: it is not said that nobody looked", code)
			}
		}
	}
}

// Whether a volume is local is not known without its claim: its trouble may be another's.
func TestVolumeThatMayBeForeign(t *testing.T) {
	for name, forget := range map[string]func(world){
		"claims": func(w world) { w.Claims = snapshot.Unread[[]snapshot.Claim](problem.FromText("forbidden")) },
		"volumes and classes": func(w world) {
			w.Unread = map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
			w.Install.Classes = nil
		},
	} {
		w := well(t)
		w.complains("FailedMount", "!MountVolume.MountDevice failed for volume \"pvc-1\" : stat /dev/sdb: input/output error")
		w.Volumes = nil
		(*w.Claims.Value)[0].Volume = "pvc-1"
		w.Targets = []snapshot.Ref{{Kind: "pod", Namespace: "default", Name: "nginx-pod"}}
		forget(w)
		got, text := outcome(Run(w.Snapshot, Options{Only: []Code{"TD0710"}}))
		if got == OutcomeFinding || got == OutcomeOK && name != "claims" {
			t.Errorf("without %s: %s\n%s", name, got, text)
		}
	}
}

// A pod that lacks a volume of others, too, is not said to lack room on the node.
func TestForeignVolumeKeepsPodAway(t *testing.T) {
	w := well(t)
	w.unscheduled("0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity.")
	w.pod().Volumes = append(w.pod().Volumes, snapshot.PodVolume{Name: "far", Claim: "far", Mounted: true})
	*w.Claims.Value = append(*w.Claims.Value,
		snapshot.Claim{
			ClaimRef: snapshot.ClaimRef{Namespace: "default", Name: "far"},
			Volume:   "pvc-1",
			Phase:    "Bound",
			NotLocal: "csi.example.com",
		})
	_, text := outcome(Run(w.Snapshot, Options{Only: []Code{"TD0702"}}))
	for _, part := range []string{"error[TD0702]", "its other volumes, which are no local ones", `claim "default/far" is of csi.example.com`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

func TestPods(t *testing.T) { try(t, podCases()) }

func podCases() []nodeCase {
	const affinity = "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity."
	return []nodeCase{
		{name: "a device among volumeMounts", code: "TD0701", change: func(w world) {
			(*w.Claims.Value)[0].Mode = provisioner.Block
			w.complains("FailedMount",
				`!Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: volume data has volumeMode Block, but is specified in volumeMounts`)
		}, want: OutcomeFinding,
			has: []string{`error[TD0701]: pod "default/nginx-pod" has claim "nginx-pvc", a block device, among its volumeMounts`,
				"volumeDevices:\n- name: data", "FailedMount 4 times in 3s: volume data has volumeMode Block"}},
		{
			name:   "a filesystem among volumeDevices",
			code:   "TD0701",
			change: func(w world) { v := &w.pod().Volumes[0]; v.Mounted, v.Device = false, true },
			want:   OutcomeFinding,
			has:    []string{"a filesystem, among its volumeDevices"},
		},
		{name: "as it should be", code: "TD0701", change: func(world) {}, want: OutcomeOK},
		{
			name:   "claims were not read",
			code:   "TD0701",
			change: func(w world) { w.Claims = snapshot.Unread[[]snapshot.Claim](problem.FromText("forbidden")) },
			want:   OutcomeUnknown,
		},

		{name: "cordoned", code: "TD0702", change: func(w world) { w.unscheduled(affinity); w.node().Unschedulable = true }, want: OutcomeFinding,
			has: []string{`error[TD0702]: pod "default/nginx-pod" cannot go to w-4, where its volume "local-pv-485eb69c" is`, "it is cordoned",
				"$ kubectl uncordon w-4", affinity}},
		{name: "in the words of Kubernetes 1.32", code: "TD0702", change: func(w world) {
			w.unscheduled("")
			w.says("pod", "default", "nginx-pod", "FailedScheduling", "0/1 nodes are available: 1 node(s) had volume node affinity conflict.")
		}, want: OutcomeFinding, has: []string{"something else keeps it from w-4", "FailedScheduling 3 times"}},
		{
			name:   "the node is gone",
			code:   "TD0702",
			change: func(w world) { w.unscheduled(affinity); w.Nodes = nil },
			want:   OutcomeFinding,
			has:    []string{`node "w-4" does not exist`},
		},
		{name: "volumes on two nodes", code: "TD0702", change: func(w world) {
			w.unscheduled(affinity)
			w.pod().Volumes = append(w.pod().Volumes, snapshot.PodVolume{Name: "more", Claim: "data", Device: true})
			w.bind(w.linked())
			w.linked().Node = "w-5"
		}, want: OutcomeFinding, has: []string{`the volumes of pod "default/nginx-pod" are on several nodes`, "local-pv-485eb69c on w-4",
			"local-pv-b on w-5"}},
		{name: "the kubelet refuses", code: "TD0702", change: func(w world) {
			w.complains("FailedMount", `!MountVolume.NodeAffinity check failed for volume "local-pv-485eb69c" : no matching NodeSelectorTerms`)
		}, want: OutcomeFinding, has: []string{"no matching NodeSelectorTerms"}},
		{
			name:   "too little memory",
			code:   "TD0702",
			change: func(w world) { w.unscheduled("0/1 nodes are available: 1 Insufficient memory.") },
			want:   OutcomeOK,
		},
		{name: "scheduled since", code: "TD0702", change: func(w world) { w.pod().Unscheduled = affinity }, want: OutcomeOK},
		{name: "pods were not read", code: "TD0702", change: func(w world) {
			w.Pods = snapshot.Unread[[]snapshot.UserPod](problem.FromText("forbidden"))
			w.Targets = []snapshot.Ref{{Kind: "pv", Name: "local-pv-485eb69c"}}
		}, want: OutcomeUnknown},

		{name: "another filesystem", code: "TD0703", change: func(w world) {
			w.Install.Classes[1].FSType = "xfs"
			w.complains("FailedMount",
				"local: failed to mount device /dev/vde at /m (fstype: xfs), error mount failed: exit status 32\nOutput: mount: /m: wrong fs type, bad option, bad superblock on /dev/vde")
		}, want: OutcomeFinding, has: []string{`error[TD0703]: `, `does not hold the filesystem xfs, which class "hdd" asks for`,
			"$ kubectl talosdisk disks --nodes w-4 -o wide"}},
		{name: "another trouble", code: "TD0703", change: func(w world) { w.complains("FailedMount", "PVC is not bound") }, want: OutcomeOK},
		{name: "events were not read", code: "TD0703", change: world.eventless, want: OutcomeUnknown},

		{name: "mkfs fails", code: "TD0704", change: func(w world) {
			w.complains("FailedMount", `format of disk "/dev/vde" failed: type:("ext4") errcode:(exit status 1)`)
		}, want: OutcomeFinding, has: []string{`error[TD0704]: making a filesystem on "/dev/vde" on w-4 failed`,
			"$ talosctl -n 10.0.0.14 dmesg"}},
		{name: "read-only", code: "TD0704", change: func(w world) {
			w.complains("FailedMount", `cannot mount unformatted disk /dev/vde as we are manipulating it in read-only mode`)
		}, want: OutcomeFinding, has: []string{"without readOnly once"}},
		{name: "mkfs is missing", code: "TD0704", change: func(w world) {
			w.complains("FailedMount", `format of disk "/dev/vde" failed: type:("btrfs") errcode:(executable file not found in $PATH) output:()`)
		}, want: OutcomeOK},
		{name: "events were not read", code: "TD0704", change: world.eventless, want: OutcomeUnknown},

		{name: "mkfs is missing", code: "TD0705", change: func(w world) {
			w.complains("FailedMount", `format of disk "/dev/vde" failed: type:("btrfs") errcode:(executable file not found in $PATH) output:()`)
		}, want: OutcomeFinding, has: []string{"error[TD0705]: the kubelet on w-4 has no program to make", "fsType: xfs or ext4"}},
		{
			name:   "mkfs fails",
			code:   "TD0705",
			change: func(w world) { w.complains("FailedMount", `format of disk "/dev/vde" failed`) },
			want:   OutcomeOK,
		},
		{name: "events were not read", code: "TD0705", change: world.eventless, want: OutcomeUnknown},

		{name: "a hostPath", code: "TD0706", change: func(w world) {
			w.pod().Volumes = append(w.pod().Volumes,
				snapshot.PodVolume{Name: "host", HostPath: "/var/lib/disks", HostPathType: "Directory", Mounted: true})
			w.complains("FailedMount", `!MountVolume.SetUp failed for volume "host" : hostPath type check failed: /var/lib/disks is not a directory`)
		}, want: OutcomeFinding, has: []string{`error[TD0706]: the kubelet on w-4 does not find "/var/lib/disks" as hostPath type Directory asks`,
			`type of hostPath volume "host" empty`}},
		{name: "a hostPath that no entry shows", code: "TD0706", change: func(w world) {
			w.extraMounts()
			w.kubelet().View = nil
			w.kubelet().ViewProblem = problem.FromText("not checked")
			w.pod().Volumes = append(w.pod().Volumes,
				snapshot.PodVolume{Name: "host", HostPath: "/var/lib/disks", HostPathType: "Directory", Mounted: true})
			w.complains("FailedMount", `!MountVolume.SetUp failed for volume "host" : hostPath type check failed: /var/lib/disks is not a directory`)
		}, want: OutcomeFinding, has: []string{"$ kubectl talosdisk mounts --nodes w-4"}},
		{name: "a hostPath without trouble", code: "TD0706", change: func(w world) {
			w.pod().Volumes = append(w.pod().Volumes,
				snapshot.PodVolume{Name: "host", HostPath: "/var/lib/disks", HostPathType: "Directory", Mounted: true})
		}, want: OutcomeOK},
		{name: "events were not read", code: "TD0706", change: world.eventless, want: OutcomeUnknown},

		{name: "used by another pod", code: "TD0707", change: func(w world) {
			*w.Pods.Value = append(*w.Pods.Value, *w.pod())
			(*w.Pods.Value)[1].Name = "first"
			w.complains("FailedMount", "volume uses the ReadWriteOncePod access mode and is already in use by another pod")
		}, want: OutcomeFinding, has: []string{`error[TD0707]: claim "default/nginx-pvc" is ReadWriteOncePod, and another pod has it`,
			`pod "first" uses it, Running`}},
		{name: "the scheduler says so", code: "TD0707", change: func(w world) {
			w.unscheduled("0/1 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.")
		}, want: OutcomeFinding},
		{name: "in use by itself", code: "TD0707", change: func(world) {}, want: OutcomeOK},
		{name: "events were not read", code: "TD0707", change: world.eventless, want: OutcomeUnknown},

		{name: "the system disk", code: "TD0708", change: func(w world) {
			w.node().Stats = snapshot.Read([]snapshot.VolumeStat{{Namespace: "default", Pod: "nginx-pod", Claim: "nginx-pvc", Capacity: 20 << 30}})
		}, want: OutcomeFinding,
			has: []string{`error[TD0708]: pod "default/nginx-pod" does not write to volume "local-pv-485eb69c", but to another filesystem`,
				"in the pod it has 20Gi (21474836480 bytes), the volume has 5Gi"}},
		{name: "a smaller one", code: "TD0708", change: func(w world) {
			w.Volumes[0].Capacity = 1800 << 30
			w.node().Stats = snapshot.Read([]snapshot.VolumeStat{{Namespace: "default", Pod: "nginx-pod", Claim: "nginx-pvc", Capacity: 59 << 30}})
		}, want: OutcomeFinding},
		{name: "what a filesystem needs itself", code: "TD0708", change: func(w world) {
			w.node().Stats = snapshot.Read([]snapshot.VolumeStat{{
				Namespace: "default",
				Pod:       "nginx-pod",
				Claim:     "nginx-pvc",
				Capacity:  5<<30 - 80<<20,
			}})
		}, want: OutcomeOK},
		{name: "what the provisioner rounds off", code: "TD0708", change: func(w world) {
			w.node().Stats = snapshot.Read([]snapshot.VolumeStat{{Namespace: "default", Pod: "nginx-pod", Claim: "nginx-pvc", Capacity: 6<<30 - 1}})
		}, want: OutcomeOK},
		{name: "a Talos volume that was grown", code: "TD0708", change: func(w world) {
			(*w.talos().Volumes.Value)[0] = snapshot.TalosVolume{ID: "/dev/vde-1", Phase: "ready", Size: 20 << 30}
			w.node().Stats = snapshot.Read([]snapshot.VolumeStat{{
				Namespace: "default",
				Pod:       "nginx-pod",
				Claim:     "nginx-pvc",
				Capacity:  20<<30 - 90<<20,
			}})
		}, want: OutcomeOK},
		{name: "a small xfs", code: "TD0708", change: func(w world) {
			w.Volumes[0].Capacity = 512 << 20
			w.node().Stats = snapshot.Read([]snapshot.VolumeStat{{Namespace: "default", Pod: "nginx-pod", Claim: "nginx-pvc", Capacity: 440 << 20}})
		}, want: OutcomeOK},
		{name: "no figures", code: "TD0708", change: func(world) {}, want: OutcomeUnknown, has: []string{"no figures"}},
		{
			name:   "no figures of an old pod",
			code:   "TD0708",
			change: func(w world) { w.started(measuredWithin) },
			want:   OutcomeUnknown,
			has:    []string{"no figures"},
		},
		{
			name:   "no figures of a young pod yet",
			code:   "TD0708",
			change: func(w world) { w.started(measuredWithin - time.Second) },
			want:   OutcomeNone,
			has:    []string{"has not measured yet", "2m0s"},
		},
		{name: "no figures after a restart of the kubelet", code: "TD0708", change: func(w world) {
			w.started(time.Hour)
			restart := now.Add(-30 * time.Second)
			w.node().KubeletStarted = &restart
		}, want: OutcomeNone, has: []string{"has not measured yet"}},
		{
			name:   "no figures of a pod of tomorrow",
			code:   "TD0708",
			change: func(w world) { w.started(-time.Second) },
			want:   OutcomeUnknown,
			has:    []string{"no figures"},
		},
		{
			name:   "no figures, and no time",
			code:   "TD0708",
			change: func(w world) { w.started(time.Second); w.Time = time.Time{} },
			want:   OutcomeUnknown,
			has:    []string{"no figures"},
		},
		{name: "figures of a young pod", code: "TD0708", change: func(w world) {
			w.started(time.Second)
			w.node().Stats = snapshot.Read([]snapshot.VolumeStat{{Namespace: "default", Pod: "nginx-pod", Claim: "nginx-pvc", Capacity: 20 << 30}})
		}, want: OutcomeFinding},
		{name: "figures were not read", code: "TD0708", change: func(w world) {
			w.node().Stats = snapshot.Unread[[]snapshot.VolumeStat](problem.FromText("nodes/proxy is forbidden"))
		}, want: OutcomeUnknown, has: []string{"nodes/proxy"}},
		{name: "a device has none", code: "TD0708", change: func(w world) { w.Volumes[0].Mode = provisioner.Block }, want: OutcomeNone},

		{
			name:   "no claim",
			code:   "TD0709",
			change: func(w world) { *w.Claims.Value = nil },
			want:   OutcomeFinding,
			has: []string{`error[TD0709]: pod "default/nginx-pod" uses claim "nginx-pvc", which does not exist in namespace "default"`,
				"$ kubectl -n default get pvc"},
		},
		{name: "the claim is there", code: "TD0709", change: func(world) {}, want: OutcomeOK},
		{
			name:   "claims were not read",
			code:   "TD0709",
			change: func(w world) { w.Claims = snapshot.Unread[[]snapshot.Claim](problem.FromText("forbidden")) },
			want:   OutcomeUnknown,
		},

		{
			name:   "input/output error",
			code:   "TD0710",
			change: func(w world) { w.complains("FailedMount", "stat "+pathVDE+": input/output error") },
			want:   OutcomeFinding,
			has:    []string{`error[TD0710]: "/var/lib/disks/hdd/vde" on w-4 has errors`},
		},
		{name: "fsck", code: "TD0710", change: func(w world) {
			w.complains("FailedMount", "'fsck' found errors on device /dev/vde1 but could not correct them: x")
		}, want: OutcomeFinding, has: []string{`"/dev/vde1"`, "its filesystem is damaged"}},
		{
			name:   "busy",
			code:   "TD0710",
			change: func(w world) { w.complains("FailedMount", "/dev/vde already mounted or mount point busy") },
			want:   OutcomeOK,
		},
		{name: "events were not read", code: "TD0710", change: world.eventless, want: OutcomeUnknown},

		{
			name:   "a reason that nobody knows",
			code:   "TD0711",
			change: func(w world) { w.complains("FailedMount", "the moon is in the wrong\nhouse") },
			want:   OutcomeFinding,
			has: []string{`error[TD0711]: the kubelet cannot give pod "default/nginx-pod" its volume "data"`,
				"because: the kubelet says: the moon is in the wrong house", "$ kubectl -n default describe pod nginx-pod"},
		},
		{
			name:   "a path that is missing",
			code:   "TD0711",
			change: world.waits,
			want:   OutcomeFinding,
			has:    []string{"/var/lib/disks/hdd/vde does not exist for the kubelet on w-4", "$ kubectl talosdisk mounts list --nodes w-4"},
		},
		{name: "another volume of the pod", code: "TD0711", change: func(w world) {
			w.complains("FailedMount", `!MountVolume.SetUp failed for volume "kube-api-access-x" : configmap not found`)
		}, want: OutcomeOK},
		{name: "long ago", code: "TD0711", change: func(w world) { w.waits(); (*w.Events.Value)[0].Last = w.Time.Add(-3600e9) }, want: OutcomeOK},
		{name: "events were not read", code: "TD0711", change: world.eventless, want: OutcomeUnknown},
	}
}

// What shows the directory to the kubelet fixes the pod's hostPath too.
func TestHostPathInHiddenDirectory(t *testing.T) {
	w := well(t)
	w.blind()
	w.pod().Volumes = []snapshot.PodVolume{{Name: "host", HostPath: "/var/lib/disks/hdd", HostPathType: "Directory", Mounted: true}}
	w.complains("FailedMount",
		`!MountVolume.SetUp failed for volume "host" : hostPath type check failed: /var/lib/disks/hdd is not a directory`)
	r := Run(w.Snapshot, Options{Only: []Code{"TD0401", "TD0706"}})
	if len(r.Findings) != 1 || r.Findings[0].Code != "TD0401" || len(r.Masked) != 1 || r.Masked[0].Code != "TD0706" {
		t.Errorf("findings %+v, masked %+v", r.Findings, r.Masked)
	}
}

// A pod that waits for something else than its volumes is no pod that lacks them, and what it waits for is said; and one
// whose containers ended with the node does.
func TestWhatAPodWaitsFor(t *testing.T) {
	const missing = `path "` + pathVDE + `" does not exist`
	for _, tt := range []struct {
		name    string
		reason  string
		message string
		pod     func(*snapshot.UserPod)
		want    []Code
	}{
		{
			name:    "an image that is not pulled in time",
			reason:  "Failed",
			message: `!Failed to pull image "nginx": rpc error: code = DeadlineExceeded desc = context deadline exceeded`,
			pod:     func(p *snapshot.UserPod) { p.Waiting[0].Reason = "ErrImagePull" },
			want:    []Code{"TD0712"},
		},
		{
			name:    "a device that the container cannot open",
			reason:  "Failed",
			message: `!Error: failed to create containerd task: open /dev/x: input/output error`,
			pod:     func(p *snapshot.UserPod) { p.Waiting[0].Reason = "RunContainerError" },
			want:    []Code{"TD0712"},
		},
		{
			name:    "an image, after volumes that came late",
			reason:  "FailedMount",
			message: missing,
			pod:     func(p *snapshot.UserPod) { p.Waiting[0].Reason = "ImagePullBackOff" },
			want:    []Code{"TD0712"},
		},
		{
			name:    "an init container that runs, after volumes that came late",
			reason:  "FailedMount",
			message: missing,
			pod:     func(p *snapshot.UserPod) { p.Waiting[0].Reason, p.Started = "PodInitializing", true },
		},
		{name: "a subPath", reason: "Failed", message: `!Error: failed to prepare subPath for volumeMount "data" of container "nginx"`,
			pod: func(p *snapshot.UserPod) { p.Waiting[0].Reason = "CreateContainerConfigError" }, want: []Code{"TD0711"}},
		{name: "its volumes, after a reboot", reason: "FailedMount", message: "something new", pod: func(p *snapshot.UserPod) {
			p.Phase, p.Waiting[0].Reason = "Running", "Unknown"
		}, want: []Code{"TD0711"}},
		{
			name:    "its volumes, after a reboot that it ended well before",
			reason:  "FailedMount",
			message: "something new",
			pod:     func(p *snapshot.UserPod) { p.Phase, p.Waiting = "Running", nil },
			want:    []Code{"TD0711"},
		},
	} {
		w := well(t)
		w.complains(tt.reason, tt.message)
		tt.pod(w.pod())
		var got []Code
		for _, f := range Run(w.Snapshot, Options{}).Findings {
			if strings.HasPrefix(string(f.Code), "TD04") || strings.HasPrefix(string(f.Code), "TD07") {
				got = append(got, f.Code)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
