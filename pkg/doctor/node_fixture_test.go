// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/talosdisk/kubectl-talosdisk/pkg/disk"
	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Lines that Talos v1.14.0-rc.1 answered for the node of the article, its kubelet and
// its namespace, with shorter options of file systems.
const (
	kubeletOwn = `305 122 0:70 / / rw,relatime - overlay overlay rw,uuid=on
316 305 0:6 / /dev rw,nosuid,relatime shared:2 - devtmpfs none rw,mode=755,inode64
383 305 254:6 /lib/kubelet /var/lib/kubelet rw,relatime shared:22 - xfs /dev/vda6 rw,inode64
393 305 254:6 /mnt /var/mnt ro,relatime master:22 - xfs /dev/vda6 rw,inode64
`
	// kubeletSlave is /var/lib/disks with rbind,rslave,rw, kubeletBound the same with
	// bind,rshared,rw, both while /dev/vde1 was mounted below.
	kubeletSlave = `619 305 254:6 /lib/disks /var/lib/disks rw,relatime master:22 - xfs /dev/vda6 rw,inode64
620 619 254:65 / /var/lib/disks/hdd/vde rw,relatime master:51 - xfs /dev/vde1 rw,inode64,noquota
`
	kubeletBound = `552 305 254:6 /lib/disks /var/lib/disks rw,relatime shared:22 - xfs /dev/vda6 rw,inode64
`
	hostOwn = `30 1 7:0 / / ro,relatime shared:1 - squashfs /dev/loop0 ro,errors=continue
31 30 0:6 / /dev rw,nosuid,relatime shared:2 - devtmpfs none rw,mode=755,inode64
51 30 254:6 / /var rw,relatime shared:22 - xfs /dev/vda6 rw,inode64
`
	hostDisk = `384 51 254:65 / /var/lib/disks/hdd/vde rw,relatime shared:51 - xfs /dev/vde1 rw,inode64,noquota
`
)

// leaked are so many mounts of /var/lib/disks upon each other on the node, and the disk
// on top.
func leaked(times int) string {
	var text strings.Builder
	parent := 51
	for i := range times {
		fmt.Fprintf(&text, "%d %d 254:6 /lib/disks /var/lib/disks rw,relatime shared:22 - xfs /dev/vda6 rw,inode64\n", 900+i, parent)
		parent = 900 + i
	}
	return text.String() + strings.Replace(hostDisk, " 51 ", fmt.Sprintf(" %d ", parent), 1)
}

func mountinfo(t testing.TB, text string) []mounts.Mount {
	t.Helper()
	list, err := mounts.ParseMountinfo([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func talosVersion(t testing.TB, tag string) talosrelease.Release {
	t.Helper()
	v, err := talosrelease.Parse(tag)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// present lists names, absent is a directory that is not there.
func present(names ...string) mounts.DirectoryListing {
	return mounts.DirectoryListing{Exists: disk.Yes, Entries: names}
}

func absent() mounts.DirectoryListing { return mounts.DirectoryListing{Exists: disk.No} }

func bindMount(dir string, options ...string) mounts.ExtraMount {
	return mounts.ExtraMount{Destination: dir, Type: "bind", Source: dir, Options: options}
}

// world is a cluster of one node on which all is well, for tests to break.
type world struct {
	*snapshot.Snapshot
	t testing.TB
}

const (
	dirHDD   = "/var/lib/disks/hdd"
	dirBlock = "/var/lib/disks/block"
	pathVDE  = dirHDD + "/vde"
)

var now = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// well is the article's cluster as it should be: a disk mounted by machine.disks, its
// volume, claim and pod, a linked disk, and an extraMount that shows both to the kubelet.
func well(t testing.TB) world {
	t.Helper()
	number := disk.Number{Major: 254, Minor: 80}
	classes := []provisioner.Class{
		{Name: "block", HostDir: dirBlock, MountDir: dirBlock, Mode: provisioner.Block},
		{Name: "hdd", HostDir: dirHDD, MountDir: dirHDD, Mode: provisioner.Filesystem},
	}
	claim := snapshot.ClaimRef{Namespace: "default", Name: "nginx-pvc"}
	sc := func(name string) snapshot.StorageClass {
		return snapshot.StorageClass{Name: name, Provisioner: noProvisioner, ReclaimPolicy: "Delete", BindingMode: "WaitForFirstConsumer"}
	}
	class := "hdd"
	node := snapshot.Node{
		Name: "w-4", UID: "w-4-uid", Address: "10.0.0.14", Ready: true, Wanted: true, OSImage: "Talos (v1.13.9)",
		Pod: snapshot.Read(snapshot.Pod{Name: "prov-x"}),
		View: snapshot.Read(snapshot.PodView{
			Disks:   []disk.Disk{{Name: "vdf", Number: number, Kind: disk.KindDisk, Size: 5 << 30}},
			Beneath: map[disk.Number]string{{Major: 254}: "holds /var"},
			Dirs: map[string]snapshot.Dir{
				"hdd": {Exists: true, MountPoint: true, Writable: true, Entries: []provisioner.Entry{{Name: "vde", Kind: provisioner.Directory}}},
				"block": {
					Exists:     true,
					MountPoint: true,
					Writable:   true,
					Entries:    []provisioner.Entry{{Name: "vdf", Kind: provisioner.Link, Target: "/dev/vdf", Device: number.String()}},
				},
			},
		}),
		Kubelet: snapshot.Read(mounts.NodeState{
			Node: "w-4", Address: "10.0.0.14", Release: talosVersion(t, "v1.13.9"), Ready: true,
			Settings: mounts.Settings{
				Kubelet: true, ExtraMounts: []mounts.ExtraMount{bindMount("/var/lib/disks", "rbind", "rslave", "rw")},
				MachineDisks: []machineconfig.MachineDisk{{Device: "/dev/vde", Mountpoint: pathVDE}},
			},
			View: &mounts.KubeletView{
				PID: 568, Kubelet: mountinfo(t, kubeletOwn+kubeletSlave), Host: mountinfo(t, hostOwn+hostDisk),
				Dirs: map[string]mounts.BothSides{
					"/var/lib/disks": {Host: present("block", "hdd"), Kubelet: present("block", "hdd")},
					dirHDD:           {Host: present("vde"), Kubelet: present("vde")},
					dirBlock:         {Host: present("vdf"), Kubelet: present("vdf")},
				},
			},
		}),
		Stats:      snapshot.Read([]snapshot.VolumeStat{}),
		Selections: snapshot.Read([]snapshot.Selection{}),
		Talos: snapshot.Read(snapshot.Talos{
			Disks: snapshot.Read([]snapshot.TalosDisk{{Name: "vda", Size: 20 << 30},
				{Name: "vde", Size: 5 << 30, Symlinks: []string{"/dev/disk/by-id/virtio-e"}}, {Name: "vdf", Size: 5 << 30}}),
			System:  snapshot.Read("vda"),
			Devices: snapshot.Read([]snapshot.TalosDevice{}),
			Volumes: snapshot.Read([]snapshot.TalosVolume{{ID: "EPHEMERAL", Type: "partition", Phase: "ready", Location: "/dev/vda6"},
				{ID: "/dev/vde-1", Type: "partition", Phase: "ready", Location: "/dev/vde1"}}),
			Mounts:      snapshot.Read([]snapshot.TalosMount{{Source: "/dev/vda6", Target: "/var"}, {Source: "/dev/vde1", Target: pathVDE}}),
			Links:       snapshot.Read(map[string][]string{}),
			Diagnostics: snapshot.Read([]snapshot.TalosDiagnostic{}),
		}),
	}
	return world{t: t, Snapshot: &snapshot.Snapshot{
		Time: now,
		Install: provisioner.Install{
			Namespace: "local-storage", Name: "prov", ConfigMap: "prov-config", Container: "provisioner",
			Image: "registry.k8s.io/sig-storage/local-volume-provisioner:v2.8.0",
			Mounts: []provisioner.Mount{
				{HostPath: dirBlock, MountPath: dirBlock, Propagation: corev1.MountPropagationHostToContainer},
				{HostPath: dirHDD, MountPath: dirHDD, Propagation: corev1.MountPropagationHostToContainer},
				{HostPath: "/dev", MountPath: "/dev"},
			},
			Classes: classes,
		},
		StorageClasses: map[string]snapshot.StorageClass{"hdd": sc("hdd"), "block": sc("block")},
		Volumes: []snapshot.Volume{
			{
				Name:          "local-pv-485eb69c",
				UID:           "1",
				Class:         "hdd",
				Mode:          provisioner.Filesystem,
				Path:          pathVDE,
				Capacity:      5 << 30,
				Node:          "w-4",
				Phase:         "Bound",
				Claim:         &claim,
				ClaimUID:      "2",
				ProvisionedBy: "local-volume-provisioner-w-4-w-4-uid",
			},
			{
				Name:          "local-pv-b",
				UID:           "3",
				Class:         "block",
				Mode:          provisioner.Block,
				Path:          dirBlock + "/vdf",
				Capacity:      5 << 30,
				Node:          "w-4",
				Phase:         "Available",
				ProvisionedBy: "local-volume-provisioner-w-4-w-4-uid",
			},
		},
		Users: snapshot.Read(map[snapshot.ClaimRef][]string{claim: {"nginx-pod"}}),
		Nodes: []snapshot.Node{node},
		Claims: snapshot.Read([]snapshot.Claim{
			{ClaimRef: claim, UID: "2", Class: &class, Mode: provisioner.Filesystem, Request: 5 << 30, Volume: "local-pv-485eb69c", Phase: "Bound"},
		}),
		Pods: snapshot.Read([]snapshot.UserPod{
			{
				Namespace: "default",
				Name:      "nginx-pod",
				UID:       "4",
				Node:      "w-4",
				Phase:     "Running",
				Ready:     true,
				Volumes:   []snapshot.PodVolume{{Name: "data", Claim: "nginx-pvc", Mounted: true}},
			},
		}),
		Events: snapshot.Read([]snapshot.Event{}),
		Provisioner: snapshot.Read(snapshot.ProvisionerState{
			Desired: 1, Ready: 1, PodSecurity: "privileged", Log: map[string][]string{"w-4": {}},
		}),
	}}
}

func (w world) node() *snapshot.Node { return &w.Nodes[0] }

func (w world) kubelet() *mounts.NodeState { return w.node().Kubelet.Value }

func (w world) talos() *snapshot.Talos { return w.node().Talos.Value }

// mounted sets what is mounted in the kubelet and on the node.
func (w world) mounted(kubelet, host string) {
	view := w.kubelet().View
	view.Kubelet, view.Host = mountinfo(w.t, kubeletOwn+kubelet), mountinfo(w.t, hostOwn+host)
}

// extraMounts sets the configuration's.
func (w world) extraMounts(entries ...mounts.ExtraMount) {
	w.kubelet().Settings.ExtraMounts = entries
}

// blind is the article's cluster without an extraMount: no directory of the
// provisioner's is in the kubelet, and the pod waits.
func (w world) blind() {
	w.extraMounts()
	w.mounted("", hostDisk)
	for dir, sight := range w.kubelet().View.Dirs {
		sight.Kubelet = absent()
		w.kubelet().View.Dirs[dir] = sight
	}
	w.waits()
}

// waits has the kubelet complain about the pod's volume.
func (w world) waits() {
	pod := &(*w.Pods.Value)[0]
	pod.Phase, pod.Ready = "Pending", false
	pod.Waiting = []snapshot.Waiting{{Container: "nginx", Reason: "ContainerCreating"}}
	*w.Events.Value = append(*w.Events.Value, snapshot.Event{
		About: snapshot.Ref{Kind: "pod", Namespace: "default", Name: "nginx-pod", UID: "4"}, Type: "Warning", Reason: "FailedMount",
		From: "kubelet", Host: "w-4",
		Message: `MountVolume.NewMounter initialization failed for volume "local-pv-485eb69c" : path "` + pathVDE + `" does not exist`,
		Count:   4, First: now.Add(-20 * time.Second), Last: now.Add(-17 * time.Second),
	})
}

// noTalos removes all that Talos reported. Without a kind it is as in a snapshot of version 1, which has the text alone.
func (w world) noTalos(kind problem.Kind, message string) {
	why := problem.Problem{Kind: kind, Message: message}
	if kind == "" {
		why = problem.FromText(message)
	}
	w.node().Talos = snapshot.Unread[snapshot.Talos](why)
	w.node().Kubelet = snapshot.Unread[mounts.NodeState](why)
	w.node().Selections = snapshot.Unread[[]snapshot.Selection](why)
}

// reader is what an os:reader sees: directories, and neither configuration nor mounts.
func (w world) reader() {
	why := problem.Problem{
		Kind:    problem.TalosDenied,
		Message: `the machine configuration needs the Talos role os:admin; context "lab" has os:reader`,
	}
	w.kubelet().Settings, w.kubelet().ConfigProblem = mounts.Settings{}, why
	w.node().Selections = snapshot.Unread[[]snapshot.Selection](why)
	w.kubelet().View.Kubelet, w.kubelet().View.Host, w.kubelet().View.MountsProblem = nil, nil, why
}

// nodeCase is one check on one snapshot.
type nodeCase struct {
	name   string
	code   Code
	change func(w world)
	// want is an outcome; has are parts of the findings' texts and commands, or of why it is unknown.
	want Outcome
	has  []string
}

// try runs each case's check alone, and says what came of it.
func try(t *testing.T, cases []nodeCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(string(tt.code)+" "+tt.name, func(t *testing.T) {
			w := well(t)
			tt.change(w)
			r := Run(w.Snapshot, Options{Only: []Code{tt.code}})
			got, text := outcome(r)
			if got != tt.want {
				t.Errorf("got %s, want %s\n%s", got, tt.want, text)
			}
			for _, part := range tt.has {
				if !strings.Contains(text, part) {
					t.Errorf("no %q in\n%s", part, text)
				}
			}
		})
	}
}

// outcome is the worst of a report's results, and all that it says.
func outcome(r Report) (Outcome, string) {
	var text strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&text, "%s[%s]: %s\nbecause: %s\nevidence: %s\nobjects: %v nodes: %v path: %s\n", f.Severity, f.Code, f.Summary, f.Because,
			strings.Join(f.Evidence, "\n  "), f.Objects, f.Nodes, f.Path)
		for _, step := range f.Fix {
			fmt.Fprintf(&text, "fix: %s\n$ %s\n", step.Text, step.Command)
		}
	}
	order := []Outcome{OutcomeNone, OutcomeOK, OutcomeUnknown, OutcomeMasked, OutcomeFinding}
	worst := 0
	for _, result := range r.Results {
		for i, o := range order {
			if result.Outcome == o && i > worst {
				worst = i
			}
		}
		if result.Outcome == OutcomeUnknown || result.Outcome == OutcomeNone && result.Why != "" {
			fmt.Fprintf(&text, "%s %s %s: %s\n", result.Code, result.Subject, result.Outcome, result.Why)
		}
	}
	return order[worst], text.String()
}
