// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/talosdisk/kubectl-talosdisk/pkg/problem"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

func TestEvents(t *testing.T) { try(t, eventCases()) }

// eventCases are those of what an event is about, and whether it counts.
func eventCases() []nodeCase {
	const mismatched = `MountVolume failed for volume "local-pv-485eb69c" local: failed to mount device /dev/vde at /m (fstype: ext4), error mount failed: exit status 32`
	// notMade has the kubelet fail to make the container once the volumes are there.
	notMade := func(message string) func(world) {
		return func(w world) {
			w.complains("Failed", "!"+message)
			w.pod().Waiting[0].Reason = "CreateContainerConfigError"
		}
	}
	return []nodeCase{
		{name: "of a device", code: "TD0711", change: func(w world) {
			w.complains("FailedMapVolume",
				`!MapVolume.EvalHostSymlinks failed for volume "local-pv-485eb69c" : lstat /var/lib/disks: no such file or directory`)
		}, want: OutcomeFinding, has: []string{"/var/lib/disks does not exist for the kubelet", "FailedMapVolume 4 times"}},
		{name: "of another fsGroup", code: "TD0711", change: func(w world) {
			w.complains("AlreadyMountedVolume",
				"!The requested fsGroup is 1000, but the volume local-pv-485eb69c has GID 2000. The volume may not be shareable.")
		}, want: OutcomeFinding, has: []string{"warning[TD0711]", "two pods share the volume with different fsGroup"}},
		{name: "of another volume's fsGroup", code: "TD0711", change: func(w world) {
			w.complains("AlreadyMountedVolume",
				"!The requested fsGroup is 1000, but the volume local-pv-b has GID 2000. The volume may not be shareable.")
		}, want: OutcomeOK},
		{
			name:   "of a subPath",
			code:   "TD0711",
			change: notMade(`Error: failed to prepare subPath for volumeMount "data" of container "nginx"`),
			want:   OutcomeFinding,
			has:    []string{"cannot open the subPath"},
		},
		{
			name:   "of a subPath that cannot be made",
			code:   "TD0711",
			change: notMade(`Error: failed to create subPath directory for volumeMount "data" of container "nginx"`),
			want:   OutcomeFinding,
			has:    []string{"cannot open the subPath"},
		},
		{
			name:   "of another volume's subPath",
			code:   "TD0711",
			change: notMade(`Error: failed to prepare subPath for volumeMount "config" of container "nginx"`),
			want:   OutcomeOK,
		},
		{
			name:   "of a volume that is not there to mount",
			code:   "TD0711",
			change: notMade(`Error: cannot find volume "data" to mount into container "nginx"`),
			want:   OutcomeFinding,
			has:    []string{"cannot find volume"},
		},
		{name: "of several claims", code: "TD0711", change: func(w world) {
			w.complains("FailedMount",
				"!Unable to attach or mount volumes: unmounted volumes=[data more], unattached volumes=[], failed to process volumes=[data more]: "+
					`error processing PVC default/more: PVC is not bound; error processing PVC default/nginx-pvc: failed to fetch PVC from API server: persistentvolumeclaims "nginx-pvc" not found`)
		}, want: OutcomeFinding, has: []string{`the kubelet says: error processing PVC default/nginx-pvc: failed to fetch PVC`}},
		{name: "of other claims", code: "TD0711", change: func(w world) {
			w.complains("FailedMount",
				"!Unable to attach or mount volumes: unmounted volumes=[data more], unattached volumes=[], failed to process volumes=[more]: error processing PVC default/more: PVC is not bound")
		}, want: OutcomeOK},
		{name: "of another volume among several", code: "TD0711", change: func(w world) {
			w.complains("FailedMount",
				"!Unable to attach or mount volumes: unmounted volumes=[data more], unattached volumes=[], failed to process volumes=[data more]: "+
					`failed to get Plugin from volumeSpec for volume "csi-pv" err=no volume plugin matched`)
		}, want: OutcomeOK},
		{name: "of a filesystem, by the volume", code: "TD0703", change: func(w world) {
			w.waits()
			w.says("pv", "", "local-pv-485eb69c", "FailedMountOnFilesystemMismatch", mismatched)
		}, want: OutcomeFinding, has: []string{`"/dev/vde" on w-4 does not hold the filesystem`, "FailedMountOnFilesystemMismatch 3 times"}},
		{name: "of a filesystem, by an earlier volume of the name", code: "TD0703", change: func(w world) {
			w.waits()
			w.says("pv", "", "local-pv-485eb69c", "FailedMountOnFilesystemMismatch", mismatched)
			w.earlier()
		}, want: OutcomeOK},
		{name: "of a filesystem, by a volume that was not read", code: "TD0703", change: func(w world) {
			w.waits()
			w.says("pv", "", "local-pv-485eb69c", "FailedMountOnFilesystemMismatch", mismatched)
			w.earlier()
			w.Volumes, w.Unread = nil, map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
		}, want: OutcomeUnknown, has: []string{"forbidden"}},
		{name: "of a filesystem, before the pod had it", code: "TD0703", change: func(w world) {
			w.says("pv", "", "local-pv-485eb69c", "FailedMountOnFilesystemMismatch", mismatched)
		}, want: OutcomeOK},
		{name: "of a mount that fails for another reason", code: "TD0703", change: func(w world) {
			w.complains("FailedMount", "local: failed to mount device /dev/vde at /m (fstype: ext4), error mount failed: exit status 32")
		}, want: OutcomeOK},
		{name: "of no class", code: "TD0611", change: func(w world) {
			c, _ := w.claimFor()
			c.Class = nil
			w.says("pvc", "default", "data", "FailedBinding", "no persistent volumes available for this claim and no storage class is set")
		}, want: OutcomeFinding, has: []string{"FailedBinding 3 times"}},
		{name: "of a class that is missing", code: "TD0611", change: func(w world) {
			w.claimFor()
			delete(w.StorageClasses, "block")
			w.says("pvc", "default", "data", "ProvisioningFailed", `storageclass.storage.k8s.io "block" not found`)
		}, want: OutcomeFinding, has: []string{"ProvisioningFailed 3 times"}},
		{name: "that nobody keeps", code: "TD0611", change: func(w world) {
			w.claimFor()
			delete(w.StorageClasses, "block")
			w.says("pvc", "default", "data", "ExternalProvisioning", "waiting")
		}, want: OutcomeFinding, has: []string{`StorageClass "block" does not exist`}},
	}
}

// earlier makes the last event one about an object that had the same name before.
func (w world) earlier() { (*w.Events.Value)[len(*w.Events.Value)-1].About.UID = "the one before" }

// What was said of a claim or of a volume that had the same name before is no evidence.
func TestEventsOfEarlierObjects(t *testing.T) {
	for code, change := range map[Code]func(world){
		"TD0611": func(w world) {
			w.claimFor()
			delete(w.StorageClasses, "block")
			w.says("pvc", "default", "data", "ProvisioningFailed", "said before")
		},
		"TD0609": func(w world) {
			w.release("Delete").Phase = "Failed"
			w.says("pv", "", "local-pv-b", "VolumeFailedDelete", "said before")
		},
	} {
		for _, before := range []bool{false, true} {
			w := well(t)
			change(w)
			if before {
				w.earlier()
			}
			got, text := outcome(Run(w.Snapshot, Options{Only: []Code{code}}))
			if got != OutcomeFinding || strings.Contains(text, "said before") == before {
				t.Errorf("%s, of an earlier object %t: %s\n%s", code, before, got, text)
			}
		}
	}
}

// Package observe keeps the events of EventReasons and no others. Each of them counts for
// something, and to the checks there are no others.
func TestOnlyEventReasonsAreRead(t *testing.T) {
	read := make(map[string]bool)
	for _, tt := range everyCase() {
		w := well(t)
		tt.change(w)
		if w.Events.Value == nil || len(*w.Events.Value) == 0 {
			continue
		}
		whole := Run(w.Snapshot, Options{})
		seen := make(map[string]bool)
		for _, e := range *w.Events.Value {
			if seen[e.Reason] {
				continue
			}
			seen[e.Reason] = true
			s := *w.Snapshot
			s.Events = snapshot.Read(slices.DeleteFunc(slices.Clone(*w.Events.Value),
				func(other snapshot.Event) bool { return other.Reason == e.Reason }))
			same := reflect.DeepEqual(whole, Run(&s, Options{}))
			switch kept := slices.Contains(EventReasons(), e.Reason); {
			case kept:
				read[e.Reason] = read[e.Reason] || !same
			case !same:
				t.Errorf("%s %s: reads an event %s, which package observe does not keep", tt.code, tt.name, e.Reason)
			}
		}
	}
	for _, reason := range EventReasons() {
		if !read[reason] {
			t.Errorf("no case has an event %s that counts for anything", reason)
		}
	}
}

// The cause of a long message is at its end.
func TestShorten(t *testing.T) {
	paths := strings.Repeat("/var/lib/kubelet/plugins", 40)
	const cause = "/dev/vdf is apparently in use by the system; will not make a filesystem here!"
	for name, text := range map[string]string{"ascii": paths, "other": strings.Repeat("é", 900), "blanks": strings.Repeat("a ", 900)} {
		got := oneLine("local: failed to mount device /dev/vdf at " + text + " output:(" + cause + "\n)")
		if !strings.HasPrefix(got, "local: failed to mount device /dev/vdf at ") || !strings.HasSuffix(got, cause+" )") ||
			len([]rune(got)) != 400 || !snapshot.Shortened(got) {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, text := range []string{"", "short", strings.Repeat("é", 400)} {
		if got := oneLine(text); got != text || snapshot.Shortened(got) {
			t.Errorf("%q became %q", text, got)
		}
	}
}
