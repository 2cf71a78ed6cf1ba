// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/talosdisk/kubectl-talosdisk/test/standin"
)

func TestFullName(t *testing.T) {
	for _, tc := range []struct{ release, override, want string }{
		{"local-static-provisioner", "", "local-static-provisioner"},
		{"my-local-static-provisioner-2", "", "my-local-static-provisioner-2"},
		{"disks", "", "disks-local-static-provisioner"},
		{"disks", "lsp", "disks-lsp"},
		{"disks", "disk", "disks"},
	} {
		p := Provisioner{Release: tc.release, NameOverride: tc.override}
		if got := p.FullName(); got != tc.want {
			t.Errorf("FullName of release %q, nameOverride %q = %q, want %q", tc.release, tc.override, got, tc.want)
		}
	}
}

// What the ConfigMap says must be what the provisioner reads from it.
func TestConfigMapIsReadBack(t *testing.T) {
	p := Provisioner{
		UseNodeNameOnly:   true,
		UseJobForCleaning: true,
		Tolerations:       []corev1.Toleration{{Key: "disks", Operator: corev1.TolerationOpExists}},
		NodeLabels:        []string{"zone", "rack"},
		Classes: []Class{
			{
				Name: "block", HostDir: "/var/lib/disks/block", MountDir: "/mnt/block",
				VolumeMode: corev1.PersistentVolumeBlock, AccessMode: corev1.ReadWriteOncePod,
				NamePattern: "r-*,*", BlockCleanerCommand: []string{"/scripts/shred.sh", "2"},
			},
			{Name: "fs", HostDir: "/var/mnt", FSType: "ext4"},
		},
	}
	dir := t.TempDir()
	for key, value := range p.ConfigMap().Data {
		if err := os.WriteFile(filepath.Join(dir, key), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := standin.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := standin.Config{
		UseNodeNameOnly:   true,
		UseJobForCleaning: true,
		JobTolerations:    []corev1.Toleration{{Key: "disks", Operator: corev1.TolerationOpExists}},
		NodeLabelsForPV:   []string{"zone", "rack"},
		Classes: map[string]standin.Class{
			"block": {
				HostDir: "/var/lib/disks/block", MountDir: "/mnt/block",
				VolumeMode: corev1.PersistentVolumeBlock, AccessMode: corev1.ReadWriteOncePod,
				NamePattern: "r-*,*", BlockCleanerCommand: []string{"/scripts/shred.sh", "2"},
			},
			"fs": {
				HostDir: "/var/mnt", MountDir: "/var/mnt", FSType: "ext4",
				VolumeMode: corev1.PersistentVolumeFilesystem, AccessMode: corev1.ReadWriteOnce,
				NamePattern: "*", BlockCleanerCommand: []string{"/scripts/quick_reset.sh"},
			},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the provisioner reads\n%+v\nwant\n%+v", got, want)
	}
}

func TestDaemonSetMounts(t *testing.T) {
	paths := func(p Provisioner) map[string]string {
		spec := p.DaemonSet().Spec.Template.Spec
		at := map[string]string{}
		for _, mount := range spec.Containers[0].VolumeMounts {
			for _, volume := range spec.Volumes {
				if volume.Name == mount.Name && volume.HostPath != nil {
					at[volume.HostPath.Path] = mount.MountPath
					if mount.MountPropagation != nil {
						at[volume.HostPath.Path] += " " + string(*mount.MountPropagation)
					}
				}
			}
		}
		return at
	}
	p := Default()
	want := map[string]string{
		"/dev":                 "/dev",
		"/var/lib/disks/block": "/mnt/block HostToContainer",
		"/var/lib/disks/hdd":   "/var/lib/disks/hdd HostToContainer",
	}
	if got := paths(p); !maps.Equal(got, want) {
		t.Errorf("host paths %v, want %v", got, want)
	}
	p.NoDevVolume = true
	delete(want, "/dev")
	if got := paths(p); !maps.Equal(got, want) {
		t.Errorf("host paths without /dev %v, want %v", got, want)
	}
}

func TestOptionalObjects(t *testing.T) {
	p := Default()
	before := len(p.Objects())
	p.UseJobForCleaning, p.EnableWindows = true, true
	if got := len(p.Objects()); got != before+3 {
		t.Errorf("%d objects, want %d", got, before+3)
	}
	linux, windows := p.DaemonSet(), p.WindowsDaemonSet()
	if windows.Name != linux.Name+"-win" || !reflect.DeepEqual(windows.Spec.Selector, linux.Spec.Selector) ||
		windows.Spec.Template.Spec.NodeSelector[corev1.LabelOSStable] != "windows" {
		t.Errorf("DaemonSet for Windows %+v", windows)
	}
}

func TestPodsChangeWithTheConfig(t *testing.T) {
	p := Default()
	before := p.DaemonSet().Spec.Template.Annotations
	if same := p.DaemonSet().Spec.Template.Annotations; !maps.Equal(before, same) {
		t.Errorf("the same config gives %v and %v", before, same)
	}
	p.Classes[0].NamePattern = "vd*"
	if after := p.DaemonSet().Spec.Template.Annotations; maps.Equal(before, after) {
		t.Errorf("another config gives the same annotations, %v", after)
	}
}

func TestStorageClasses(t *testing.T) {
	p := Default()
	p.Classes[0].ReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	p.Classes[1].NoStorageClass = true
	classes := p.StorageClasses()
	if len(classes) != 1 || classes[0].Name != "block-storage" || *classes[0].ReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
		t.Errorf("StorageClasses = %+v, want block-storage with Retain alone", classes)
	}
}

func TestYAML(t *testing.T) {
	text, err := YAML(Default().Objects()...)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for document := range strings.SplitSeq(strings.TrimPrefix(string(text), "---\n"), "\n---\n") {
		var object struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, object.APIVersion+" "+object.Kind)
	}
	want := []string{
		"v1 Namespace", "v1 ServiceAccount", "v1 ConfigMap",
		"storage.k8s.io/v1 StorageClass", "storage.k8s.io/v1 StorageClass",
		"rbac.authorization.k8s.io/v1 ClusterRole", "rbac.authorization.k8s.io/v1 ClusterRoleBinding", "apps/v1 DaemonSet",
	}
	if !slices.Equal(kinds, want) {
		t.Errorf("kinds %q, want %q", kinds, want)
	}
}
