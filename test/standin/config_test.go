// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// configMap lays out a directory as the kubelet does for a ConfigMap.
func configMap(t *testing.T, data map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "..version"), 0o755))
	must(t, os.Symlink("..version", filepath.Join(dir, "..data")))
	for key, value := range data {
		must(t, os.WriteFile(filepath.Join(dir, "..version", key), []byte(value), 0o644))
		must(t, os.Symlink(filepath.Join("..data", key), filepath.Join(dir, key)))
	}
	return dir
}

func TestLoadConfig(t *testing.T) {
	got, err := LoadConfig(configMap(t, map[string]string{
		"nodeLabelsForPV": "- zone\n",
		"useNodeNameOnly": "true",
		"minResyncPeriod": "5m0s",
		"storageClassMap": `
block:
  hostDir: /var/lib/disks/block
  mountDir: /mnt/block
  volumeMode: Block
  accessMode: ReadWriteOncePod
  namePattern: "vd*,sd*"
  blockCleanerCommand: ["/scripts/shred.sh", "2"]
fs:
  hostDir: /var/lib/disks/fs
  mountDir: /var/lib/disks/fs
  fsType: ext4
`,
	}))
	must(t, err)
	want := Config{
		NodeLabelsForPV: []string{"zone"},
		UseNodeNameOnly: true,
		Classes: map[string]Class{
			"block": {
				HostDir: "/var/lib/disks/block", MountDir: "/mnt/block",
				VolumeMode: corev1.PersistentVolumeBlock, AccessMode: corev1.ReadWriteOncePod,
				NamePattern: "vd*,sd*", BlockCleanerCommand: []string{"/scripts/shred.sh", "2"},
			},
			"fs": {
				HostDir: "/var/lib/disks/fs", MountDir: "/var/lib/disks/fs", FSType: "ext4",
				VolumeMode: corev1.PersistentVolumeFilesystem, AccessMode: corev1.ReadWriteOnce,
				NamePattern: "*", BlockCleanerCommand: []string{"/scripts/quick_reset.sh"},
			},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("LoadConfig\n got %+v\nwant %+v", got, want)
	}
}

func TestLoadConfigRefuses(t *testing.T) {
	for classes, want := range map[string]string{
		`c: {hostDir: /d}`: "Storage Class c is misconfigured, missing HostDir or MountDir parameter",
		`c: {hostDir: /d, mountDir: /d, volumeMode: Disk}`:        "unsupported volume mode Disk",
		`c: {hostDir: /d, mountDir: /d, blockCleanerCommand: []}`: "Invalid empty block cleaner command for class c",
	} {
		_, err := LoadConfig(configMap(t, map[string]string{"storageClassMap": classes}))
		if message(err) != want {
			t.Errorf("LoadConfig(%s): %q, want %q", classes, message(err), want)
		}
	}
}
