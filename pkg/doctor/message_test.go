// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"
)

// Every sort of message that a kubelet is known to send about a local volume.
func TestParseMount(t *testing.T) {
	const pv = "local-pv-485eb69c"
	on := func(operation, cause string) string { return operation + ` for volume "` + pv + `" : ` + cause }
	for _, tt := range []struct {
		message string
		want    MountCause
	}{
		// Filesystem.
		{on("MountVolume.NewMounter initialization failed", `path "/var/lib/disks/hdd/vde" does not exist`), MountCause{Kind: CausePathMissing, Operation: "MountVolume.NewMounter", Path: "/var/lib/disks/hdd/vde"}},
		{on("MountVolume.NewMounter initialization failed", `only directory and block device are supported`), MountCause{Kind: CauseWrongKind}},
		{on("MountVolume.NewMounter initialization failed", `stat /var/lib/disks/x: permission denied`), MountCause{Kind: CauseDenied, Path: "/var/lib/disks/x"}},
		{on("MountVolume.NewMounter initialization failed", `stat /var/lib/disks/x: input/output error`), MountCause{Kind: CauseIO}},
		{on("MountVolume.NodeAffinity check failed", `no matching NodeSelectorTerms`), MountCause{Kind: CauseAffinity, Operation: "MountVolume.NodeAffinity"}},
		{on("MountVolume.MountDevice failed", `local: failed to mount device /dev/vdf at /var/lib/kubelet/plugins/kubernetes.io/local-volume/mounts/x (fstype: xfs), error mount failed: exit status 32`), MountCause{Kind: CauseFilesystem, Device: "/dev/vdf"}},
		{on("MountVolume.MountDevice failed", `local: failed to mount device /dev/vdf at /m (fstype: ext4), error failed to mount the volume as "ext4", it already contains unknown data, probably partitions. Mount error: mount failed`), MountCause{Kind: CauseFilesystem}},
		{on("MountVolume.MountDevice failed", `mount failed: exit status 32 Output: mount: /m: wrong fs type, bad option, bad superblock on /dev/vdf`), MountCause{Kind: CauseFilesystem}},
		{on("MountVolume.MountDevice failed", `local: failed to mount device /dev/vdf at /m (fstype: ext4), error format of disk "/dev/vdf" failed: type:("ext4") target:("/m") options:("defaults") errcode:(exit status 1) output:(mkfs: busy)`), MountCause{Kind: CauseFormat, Device: "/dev/vdf"}},
		{on("MountVolume.MountDevice failed", `format of disk "/dev/vdf" failed: type:("btrfs") errcode:(exec: "mkfs.btrfs": executable file not found in $PATH) output:()`), MountCause{Kind: CauseNoMkfs}},
		{on("MountVolume.MountDevice failed", `cannot mount unformatted disk /dev/vdf as we are manipulating it in read-only mode`), MountCause{Kind: CauseUnformatted, Device: "/dev/vdf"}},
		{on("MountVolume.MountDevice failed", `'fsck' found errors on device /dev/vdf but could not correct them: bad inode`), MountCause{Kind: CauseFsck, Device: "/dev/vdf"}},
		{on("MountVolume.MountDevice failed", `failed to get disk format of disk /dev/vdf: exit status 8`), MountCause{Kind: CauseProbe, Device: "/dev/vdf"}},
		{`MountVolume failed for volume "local-pv-485eb69c": wrong fs type`, MountCause{Kind: CauseFilesystem}},
		{on("MountVolume.SetUp failed", `mount failed: exit status 32 Output: mount: special device /var/lib/disks/hdd/vde does not exist`), MountCause{Kind: CauseDeviceMissing, Device: "/var/lib/disks/hdd/vde"}},
		{on("MountVolume.SetUp failed", `hostPath type check failed: /var/lib/disks is not a directory`), MountCause{Kind: CauseHostPathType, Path: "/var/lib/disks"}},
		{on("MountVolume.SetUp failed", `hostPath type check failed: /var/lib/disks is not a directory, it's a socket`), MountCause{Kind: CauseHostPathType, Path: "/var/lib/disks"}},
		{on("MountVolume.SetUp failed", `hostPath type check failed, /var/lib/disks is not a directory, unable to determine its type: stat /var/lib/disks: no such file or directory`), MountCause{Kind: CauseHostPathType, Path: "/var/lib/disks"}},
		{on("MountVolume.SetUp failed", `volume uses the ReadWriteOncePod access mode and is already in use by another pod`), MountCause{Kind: CauseInUse}},
		{on("MountVolume.SetUp failed", `mount failed: /dev/vdf already mounted or mount point busy`), MountCause{Kind: CauseBusy}},
		{`Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: error processing PVC default/nginx-pvc: PVC is not bound`, MountCause{Kind: CauseNotBound, Volume: "-"}},
		{`Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: volume data has volumeMode Block, but is specified in volumeMounts`, MountCause{Kind: CauseBlockAsMount, Volume: "-"}},
		{`Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: volume data has volumeMode Filesystem, but is specified in volumeDevices`, MountCause{Kind: CauseMountAsBlock, Volume: "-"}},
		{`Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data]: failed to fetch PV local-pv-485eb69c from API server: persistentvolumes "local-pv-485eb69c" not found`, MountCause{Kind: CauseVolumeGone, Volume: "-"}},
		{`Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data kube-api-access-x]: timed out waiting for the condition`, MountCause{Kind: CauseTimeout, Volume: "-"}},
		{`The requested fsGroup is 1000, but the volume local-pv-485eb69c has GID 2000. The volume may not be shareable.`, MountCause{Kind: CauseGroup, Volume: "-"}},
		// Block.
		{on("MapVolume.EvalHostSymlinks failed", `lstat /var/lib/disks: no such file or directory`), MountCause{Kind: CausePathMissing, Operation: "MapVolume.EvalHostSymlinks", Path: "/var/lib/disks"}},
		{on("MapVolume.MapBlockVolume failed", `blkUtil.MapDevice failed. devicePath: /dev/vdf, globalMapPath:/g`), MountCause{Kind: CauseMapDevice}},
		{on("MapVolume.MapBlockVolume failed", `blkUtil.AttachFileDevice failed. globalMapPath:/g, podUID: u: makeLoopDevice failed for path /g: losetup -f --show /g failed: exit status 1`), MountCause{Kind: CauseLoop}},
		{on("MapVolume.NodeAffinity check failed", `no matching NodeSelectorTerms`), MountCause{Kind: CauseAffinity, Operation: "MapVolume.NodeAffinity"}},
		{`Error: cannot find volume "data" to pass into container "nginx"`, MountCause{Kind: CauseMountAsBlock, Volume: "-"}},
		{`Error: failed to prepare subPath for volumeMount "data" of container "nginx"`, MountCause{Kind: CauseSubPath, Volume: "-"}},
		// Of tomorrow.
		{on("MountVolume.SomethingNew failed", `a reason that nobody has heard of`), MountCause{Kind: CauseOther, Operation: "MountVolume.SomethingNew"}},
	} {
		got, ok := ParseMount(tt.message)
		switch want := tt.want; {
		case !ok:
			t.Errorf("%s\nis taken for nothing", tt.message)
		case got.Kind != want.Kind:
			t.Errorf("%s\nis %s, want %s", tt.message, got.Kind, want.Kind)
		case want.Path != "" && got.Path != want.Path, want.Device != "" && got.Device != want.Device, want.Operation != "" && got.Operation != want.Operation:
			t.Errorf("%s\ngot %+v", tt.message, got)
		case want.Volume == "" && got.Volume != pv, want.Volume == "-" && got.Volume != "":
			t.Errorf("%s\nis about volume %q", tt.message, got.Volume)
		case strings.HasPrefix(tt.message, "Unable") && (len(got.Volumes) != 1 || got.Volumes[0] != "data"):
			t.Errorf("%s\nis about volumes %q", tt.message, got.Volumes)
		case got.Detail == "" || strings.HasPrefix(got.Detail, ":"):
			t.Errorf("%s\nhas the detail %q", tt.message, got.Detail)
		}
	}
	for _, message := range []string{"", "Back-off restarting failed container nginx", `Failed to pull image "nginx": rpc error`, "Error: ImagePullBackOff"} {
		if got, ok := ParseMount(message); ok {
			t.Errorf("%q is taken for %+v", message, got)
		}
	}
}

func TestParseScheduling(t *testing.T) {
	for _, tt := range []struct {
		message string
		want    map[SchedulingKind]int
	}{
		{"0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match PersistentVolume's node affinity. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
			map[SchedulingKind]int{SchedulingTaint: 1, SchedulingAffinity: 2}},
		{"0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 node(s) had volume node affinity conflict. preemption: not helpful", map[SchedulingKind]int{SchedulingTaint: 1, SchedulingAffinity: 2}},
		{"0/4 nodes are available: 4 node(s) didn't find available persistent volumes to bind. no new claims to deallocate, preemption: 0/4", map[SchedulingKind]int{SchedulingNoVolume: 4}},
		{"0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3", map[SchedulingKind]int{SchedulingUnbound: 0}},
		{`0/3 nodes are available: persistentvolumeclaim "x" bound to non-existent persistentvolume "y".`, map[SchedulingKind]int{SchedulingVolumeGone: 0}},
		{"0/3 nodes are available: 3 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).", map[SchedulingKind]int{SchedulingVolumeGone: 3}},
		{`0/3 nodes are available: persistentvolumeclaim "x" not found. preemption: 0/3`, map[SchedulingKind]int{SchedulingClaimGone: 0}},
		{`persistentvolumeclaim "x" is being deleted`, map[SchedulingKind]int{SchedulingDeleting: 0}},
		{"0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.", map[SchedulingKind]int{SchedulingInUse: 2}},
		{"0/2 nodes are available: 2 Insufficient cpu.", map[SchedulingKind]int{SchedulingOther: 2}},
	} {
		got := ParseScheduling(tt.message)
		for kind, nodes := range tt.want {
			ok := false
			for _, c := range got {
				ok = ok || c.Kind == kind && c.Nodes == nodes
			}
			if !ok {
				t.Errorf("%s\nhas no %s of %d nodes: %+v", tt.message, kind, nodes, got)
			}
		}
	}
	if got := ParseScheduling(""); len(got) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

// Messages come from other programs: none may do more than be misunderstood.
func FuzzMessages(f *testing.F) {
	f.Add(`MountVolume.NewMounter initialization failed for volume "local-pv-485eb69c" : path "/var/lib/disks/hdd/vde" does not exist`)
	f.Add(`MapVolume.EvalHostSymlinks failed for volume "v" : lstat /var/lib/disks: no such file or directory`)
	f.Add(`Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: PVC is not bound`)
	f.Add(`0/3 nodes are available: 99999999999999999999 node(s) had volume node affinity conflict. preemption: x`)
	f.Add("format of disk \"\" failed\x00\xff")
	f.Fuzz(func(t *testing.T, message string) {
		c, known := ParseMount(message)
		if c.Kind == "" || known && c.Kind == CauseOther && c.Volume == "" && len(c.Volumes) == 0 && !strings.Contains(message, "unmounted volumes=[") {
			t.Errorf("%q: %+v, %v", message, c, known)
		}
		if len(c.Path) > len(message) || len(c.Device) > len(message) || len(c.Detail) > len(message) {
			t.Errorf("%q: %+v", message, c)
		}
		for _, s := range ParseScheduling(message) {
			if s.Detail == "" && s.Kind != SchedulingOther || s.Nodes < 0 {
				t.Errorf("%q: %+v", message, s)
			}
		}
		if strings.ContainsAny(oneLine(message), "\n\r\t") {
			t.Errorf("%q is more than a line", message)
		}
	})
}
