// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// userVolumes gives the provisioner a class on /var/mnt, in which Talos has mounted two user volumes, one of them
// for other software, and the directory volume with the links.
func (w world) userVolumes(pattern string) {
	w.Install.Classes = []provisioner.Class{
		{Name: "block", HostDir: "/var/mnt/links", MountDir: "/var/mnt/links", Mode: provisioner.Block},
		{Name: "fs", HostDir: varMnt, MountDir: "/mnt/fs", Mode: provisioner.Filesystem, NamePattern: pattern},
	}
	w.Volumes = nil
	dirs := w.node().View.Value.Dirs
	dirs["block"] = snapshot.Dir{Exists: true, MountPoint: true}
	dirs["fs"] = snapshot.Dir{
		Exists:     true,
		MountPoint: true,
		Entries: []provisioner.Entry{{Name: "fs-1", Kind: provisioner.Directory}, {Name: "longhorn", Kind: provisioner.Directory},
			{Name: "links", Kind: provisioner.Directory}},
	}
	w.talos().Volumes = snapshot.Read([]snapshot.TalosVolume{
		{ID: "u-fs-1", Type: "partition", Phase: "ready", Location: "/dev/vde1"},
		{ID: "u-longhorn", Type: "partition", Phase: "ready", Location: "/dev/vdf1"},
		{ID: "u-links", Type: "directory", Phase: "ready"},
	})
}

func sharedCases() []nodeCase {
	alone := func(w world, class provisioner.Class, entries ...string) {
		w.userVolumes("")
		w.Install.Classes = []provisioner.Class{class}
		dir := snapshot.Dir{Exists: true, MountPoint: true}
		for _, name := range entries {
			dir.Entries = append(dir.Entries, provisioner.Entry{Name: name, Kind: provisioner.Directory})
		}
		w.node().View.Value.Dirs = map[string]snapshot.Dir{class.Name: dir}
		w.talos().Volumes = snapshot.Read([]snapshot.TalosVolume{})
	}
	all := provisioner.Class{Name: "fs", HostDir: varMnt, MountDir: "/mnt/fs", Mode: provisioner.Filesystem}
	uses := func(w world, hostPath string) {
		*w.Pods.Value = append(*w.Pods.Value, snapshot.UserPod{
			Namespace: "longhorn-system",
			Name:      "manager",
			UID:       "9",
			Node:      "w-4",
			Phase:     "Running",
			Ready:     true,
			Volumes:   []snapshot.PodVolume{{Name: "data", HostPath: hostPath, Mounted: true}},
		})
	}
	return []nodeCase{
		{name: "the directory of links", code: "TD0217", change: func(w world) { w.userVolumes("") }, want: OutcomeFinding, has: []string{
			`error[TD0217]: class "fs" publishes volumes in "/var/mnt" that are not its own`,
			`w-4: /var/mnt/links is the directory of class "block"`, "deleted with the claim", `namePattern: "fs-*"`}},
		{name: "a pattern of its own", code: "TD0217", change: func(w world) { w.userVolumes("fs-*") }, want: OutcomeOK},
		{
			name:   "everything, and nothing of others is known",
			code:   "TD0217",
			change: func(w world) { alone(w, all, "fs-1") },
			want:   OutcomeFinding,
			has:    []string{`warning[TD0217]: class "fs" publishes whatever is mounted in "/var/mnt"`},
		},
		{
			name:   "a pattern that leaves nothing out",
			code:   "TD0217",
			change: func(w world) { all := all; all.NamePattern = "fs-*,*"; alone(w, all, "fs-1") },
			want:   OutcomeFinding,
			has:    []string{"warning[TD0217]"},
		},
		{
			name:   "other software",
			code:   "TD0217",
			change: func(w world) { alone(w, all, "fs-1", "longhorn"); uses(w, "/var/mnt/longhorn/replicas") },
			want:   OutcomeFinding,
			has: []string{
				"error[TD0217]", `w-4: /var/mnt/longhorn is in use by pod "longhorn-system/manager", which has /var/mnt/longhorn/replicas as hostPath`},
		},
		{name: "other software elsewhere", code: "TD0217", change: func(w world) {
			alone(w, provisioner.Class{Name: "hdd", HostDir: "/var/lib/disks", MountDir: "/var/lib/disks", Mode: provisioner.Filesystem}, "a",
				"openebs")
			uses(w, "/var/lib/disks/openebs")
		}, want: OutcomeFinding, has: []string{"error[TD0217]", "/var/lib/disks/openebs is in use"}},
		{
			name:   "a pod that reads all of it",
			code:   "TD0217",
			change: func(w world) { all := all; all.NamePattern = "fs-*"; alone(w, all, "fs-1"); uses(w, "/var/mnt") },
			want:   OutcomeOK,
		},
		{name: "a directory volume that nothing uses", code: "TD0217", change: func(w world) {
			alone(w, all)
			w.talos().Volumes = snapshot.Read([]snapshot.TalosVolume{{ID: "u-x", Type: "directory", Phase: "ready"}})
		}, want: OutcomeFinding, has: []string{"error[TD0217]", `w-4: /var/mnt/x is Talos's volume "u-x", a directory on the system disk`}},
		{name: "an external volume", code: "TD0217", change: func(w world) {
			alone(w, all)
			w.talos().Volumes = snapshot.Read([]snapshot.TalosVolume{{ID: "x-share", Type: "external", Phase: "ready"}})
		}, want: OutcomeFinding, has: []string{"which lies outside the node"}},
		{name: "a volume made by hand", code: "TD0217", change: func(w world) {
			all := all
			all.NamePattern = "d*"
			alone(w, all, "data", "other")
			w.Volumes = []snapshot.Volume{{
				Name:  "by-hand",
				Class: "manual",
				Mode:  provisioner.Filesystem,
				Path:  "/var/mnt/data",
				Node:  "w-4",
				Phase: "Bound",
			}}
		}, want: OutcomeFinding, has: []string{"error[TD0217]", `/var/mnt/data is volume "by-hand", which is not this provisioner's`}},
		{name: "raw volumes of all", code: "TD0217", change: func(w world) {
			alone(w, provisioner.Class{Name: "raw", HostDir: partlabels, MountDir: partlabels, Mode: provisioner.Block, NamePattern: "r-*"})
			w.node().View.Value.Dirs["raw"] = snapshot.Dir{
				Exists:     true,
				MountPoint: true,
				Entries:    []provisioner.Entry{{Name: "r-ceph", Kind: provisioner.Link, Target: "../../vdf1", Device: "254:81"}},
			}
			uses(w, partlabels+"/r-ceph")
		}, want: OutcomeFinding, has: []string{"error[TD0217]", "/dev/disk/by-partlabel/r-ceph is in use", `namePattern: "r-raw-*"`}},
		{name: "raw volumes, and nothing of others is known", code: "TD0217", change: func(w world) {
			alone(w, provisioner.Class{Name: "raw", HostDir: partlabels, MountDir: partlabels, Mode: provisioner.Block, NamePattern: "r-*"}, "r-1")
		}, want: OutcomeOK},
		{name: "the classes were not read", code: "TD0217", change: func(w world) {
			w.Install.Classes, w.Unread = nil, map[string]problem.Problem{snapshot.PartInstall: problem.FromText("it is forbidden")}
		}, want: OutcomeUnknown, has: []string{"it is forbidden"}},
	}
}

func TestSharedDirectories(t *testing.T) { try(t, sharedCases()) }

// What the guide says makes neither a warning nor an error about what is published.
func TestGuidesClassesAreFine(t *testing.T) {
	w := well(t)
	w.userVolumes("fs-*")
	r := Run(w.Snapshot, Options{Only: []Code{"TD0211", "TD0213", "TD0217"}})
	if len(r.Findings) > 0 || slices.ContainsFunc(r.Results, func(r Result) bool { return r.Outcome != OutcomeOK }) {
		t.Errorf("%+v\n%+v", r.Findings, r.Results)
	}
}
