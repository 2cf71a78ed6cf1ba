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
		{"of a device", "TD0711", func(w world) {
			w.complains("FailedMapVolume", `!MapVolume.EvalHostSymlinks failed for volume "local-pv-485eb69c" : lstat /var/lib/disks: no such file or directory`)
		}, OutcomeFinding, []string{"/var/lib/disks does not exist for the kubelet", "FailedMapVolume 4 times"}},
		{"of another fsGroup", "TD0711", func(w world) {
			w.complains("AlreadyMountedVolume", "!The requested fsGroup is 1000, but the volume local-pv-485eb69c has GID 2000. The volume may not be shareable.")
		}, OutcomeFinding, []string{"warning[TD0711]", "two pods share the volume with different fsGroup"}},
		{"of another volume's fsGroup", "TD0711", func(w world) {
			w.complains("AlreadyMountedVolume", "!The requested fsGroup is 1000, but the volume local-pv-b has GID 2000. The volume may not be shareable.")
		}, OutcomeOK, nil},
		{"of a subPath", "TD0711", notMade(`Error: failed to prepare subPath for volumeMount "data" of container "nginx"`), OutcomeFinding, []string{"cannot open the subPath"}},
		{"of a subPath that cannot be made", "TD0711", notMade(`Error: failed to create subPath directory for volumeMount "data" of container "nginx"`), OutcomeFinding, []string{"cannot open the subPath"}},
		{"of another volume's subPath", "TD0711", notMade(`Error: failed to prepare subPath for volumeMount "config" of container "nginx"`), OutcomeOK, nil},
		{"of a volume that is not there to mount", "TD0711", notMade(`Error: cannot find volume "data" to mount into container "nginx"`), OutcomeFinding, []string{"cannot find volume"}},
		{"of several claims", "TD0711", func(w world) {
			w.complains("FailedMount", "!Unable to attach or mount volumes: unmounted volumes=[data more], unattached volumes=[], failed to process volumes=[data more]: "+
				`error processing PVC default/more: PVC is not bound; error processing PVC default/nginx-pvc: failed to fetch PVC from API server: persistentvolumeclaims "nginx-pvc" not found`)
		}, OutcomeFinding, []string{`the kubelet says: error processing PVC default/nginx-pvc: failed to fetch PVC`}},
		{"of other claims", "TD0711", func(w world) {
			w.complains("FailedMount", "!Unable to attach or mount volumes: unmounted volumes=[data more], unattached volumes=[], failed to process volumes=[more]: error processing PVC default/more: PVC is not bound")
		}, OutcomeOK, nil},
		{"of another volume among several", "TD0711", func(w world) {
			w.complains("FailedMount", "!Unable to attach or mount volumes: unmounted volumes=[data more], unattached volumes=[], failed to process volumes=[data more]: "+
				`failed to get Plugin from volumeSpec for volume "csi-pv" err=no volume plugin matched`)
		}, OutcomeOK, nil},
		{"of a filesystem, by the volume", "TD0703", func(w world) {
			w.waits()
			w.says("pv", "", "local-pv-485eb69c", "FailedMountOnFilesystemMismatch", mismatched)
		}, OutcomeFinding, []string{`"/dev/vde" on w-4 does not hold the filesystem`, "FailedMountOnFilesystemMismatch 3 times"}},
		{"of a filesystem, by an earlier volume of the name", "TD0703", func(w world) {
			w.waits()
			w.says("pv", "", "local-pv-485eb69c", "FailedMountOnFilesystemMismatch", mismatched)
			w.earlier()
		}, OutcomeOK, nil},
		{"of a filesystem, by a volume that was not read", "TD0703", func(w world) {
			w.waits()
			w.says("pv", "", "local-pv-485eb69c", "FailedMountOnFilesystemMismatch", mismatched)
			w.earlier()
			w.Volumes, w.Unread = nil, map[string]problem.Problem{snapshot.PartVolumes: problem.FromText("forbidden")}
		}, OutcomeUnknown, []string{"forbidden"}},
		{"of a filesystem, before the pod had it", "TD0703", func(w world) {
			w.says("pv", "", "local-pv-485eb69c", "FailedMountOnFilesystemMismatch", mismatched)
		}, OutcomeOK, nil},
		{"of a mount that fails for another reason", "TD0703", func(w world) {
			w.complains("FailedMount", "local: failed to mount device /dev/vde at /m (fstype: ext4), error mount failed: exit status 32")
		}, OutcomeOK, nil},
		{"of no class", "TD0611", func(w world) {
			c, _ := w.claimFor()
			c.Class = nil
			w.says("pvc", "default", "data", "FailedBinding", "no persistent volumes available for this claim and no storage class is set")
		}, OutcomeFinding, []string{"FailedBinding 3 times"}},
		{"of a class that is missing", "TD0611", func(w world) {
			w.claimFor()
			delete(w.StorageClasses, "block")
			w.says("pvc", "default", "data", "ProvisioningFailed", `storageclass.storage.k8s.io "block" not found`)
		}, OutcomeFinding, []string{"ProvisioningFailed 3 times"}},
		{"that nobody keeps", "TD0611", func(w world) {
			w.claimFor()
			delete(w.StorageClasses, "block")
			w.says("pvc", "default", "data", "ExternalProvisioning", "waiting")
		}, OutcomeFinding, []string{`StorageClass "block" does not exist`}},
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
			s.Events = snapshot.Read(slices.DeleteFunc(slices.Clone(*w.Events.Value), func(other snapshot.Event) bool { return other.Reason == e.Reason }))
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
		if !strings.HasPrefix(got, "local: failed to mount device /dev/vdf at ") || !strings.HasSuffix(got, cause+" )") || len([]rune(got)) != 400 || !snapshot.Shortened(got) {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, text := range []string{"", "short", strings.Repeat("é", 400)} {
		if got := oneLine(text); got != text || snapshot.Shortened(got) {
			t.Errorf("%q became %q", text, got)
		}
	}
}
