// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"errors"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/pkg/change"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// Each document and each class is pasted as it is.
func TestWaysAreYAML(t *testing.T) {
	ways := waysWithout(version(t, "v1.14.0"), "/var/lib/disks/block")
	if len(ways) != 3 {
		t.Fatalf("%d ways", len(ways))
	}
	for i, want := range []struct{ kind, name, hostDir, mountDir, pattern, mode string }{
		{"UserVolumeConfig", "block", "/var/mnt/block", "/var/mnt/block", "", "Block"},
		{"RawVolumeConfig", "block-1", "/dev/disk/by-partlabel", "/dev/disk/by-partlabel", "r-block-*", "Block"},
		{"UserVolumeConfig", "block-1", "/var/mnt", "/mnt/block", "block-*", "Filesystem"},
	} {
		var doc struct {
			APIVersion   string `yaml:"apiVersion"`
			Kind, Name   string
			VolumeType   string `yaml:"volumeType"`
			Provisioning *struct {
				DiskSelector struct{ Match string } `yaml:"diskSelector"`
				MinSize      string                 `yaml:"minSize"`
				Grow         bool
			}
		}
		if err := yaml.Unmarshal([]byte(ways[i].Documents), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.APIVersion != "v1alpha1" || doc.Kind != want.kind || doc.Name != want.name {
			t.Errorf("way %d: %+v", i, doc)
		}
		// A directory volume takes no provisioning; the others need a selector and a size.
		if directory := doc.VolumeType == "directory"; directory != (i == 0) || directory != (doc.Provisioning == nil) {
			t.Errorf("way %d: %+v", i, doc)
		}
		if p := doc.Provisioning; p != nil && (!strings.Contains(p.DiskSelector.Match, "!system_disk") || p.MinSize == "" || !p.Grow) {
			t.Errorf("way %d: %+v", i, p)
		}
		var class struct {
			HostDir     string `yaml:"hostDir"`
			MountDir    string `yaml:"mountDir"`
			NamePattern string `yaml:"namePattern"`
			VolumeMode  string `yaml:"volumeMode"`
		}
		if err := yaml.Unmarshal([]byte(ways[i].Class), &class); err != nil {
			t.Fatal(err)
		}
		if class.HostDir != want.hostDir || class.MountDir != want.mountDir || class.NamePattern != want.pattern ||
			class.VolumeMode != want.mode {
			t.Errorf("way %d: %+v", i, class)
		}
		// What is proposed must be seen without an entry.
		if p := Decide(plain(t, "v1.14.0").with(documented), ask(class.HostDir)); p.Action != change.Keep {
			t.Errorf("way %d: %+v", i, p)
		}
		holds(t, "text", ways[i].String(), ways[i].Title+"\n", "    kind: "+want.kind+"\n", "    hostDir: "+want.hostDir+"\n", ways[i].Note)
	}
}

// A directory that others have volumes in is never published whole: each class gets what its own documents make, and
// neither the directory of links, nor another class's volumes, nor anybody else's.
func TestWaysPublishTheirOwn(t *testing.T) {
	for _, dir := range []string{"/var/lib/disks", "/var/lib/disks/block", "/mnt/fast-disks", "/var/lib/" + strings.Repeat("a", 40), "/"} {
		entries := map[string][]string{
			"/var/mnt":               {"longhorn", "disk-1", "data"},
			"/dev/disk/by-partlabel": {"EPHEMERAL", "STATE", "META", "EFI", "r-ceph", "r-disk-1"},
		}
		own := make(map[int]string)
		classes := make(map[int]provisioner.Class)
		for i, way := range waysWithout(version(t, "v1.14.0"), dir) {
			var doc struct{ Kind, Name string }
			var class struct {
				HostDir     string `yaml:"hostDir"`
				MountDir    string `yaml:"mountDir"`
				NamePattern string `yaml:"namePattern"`
			}
			if err := errors.Join(yaml.Unmarshal([]byte(way.Documents), &doc), yaml.Unmarshal([]byte(way.Class), &class)); err != nil {
				t.Fatal(err)
			}
			if len(doc.Name) > 34 {
				t.Errorf("%s: Talos takes no name of %d letters: %s", dir, len(doc.Name), doc.Name)
			}
			at, entry := "/var/mnt", doc.Name
			if doc.Kind == "RawVolumeConfig" {
				at, entry = "/dev/disk/by-partlabel", "r-"+doc.Name
			}
			entries[at] = append(entries[at], entry)
			if class.HostDir == at {
				own[i] = entry
				classes[i] = provisioner.Class{HostDir: class.HostDir, MountDir: class.MountDir, NamePattern: class.NamePattern}
			}
		}
		if len(classes) != 2 {
			t.Fatalf("%s: %d classes in directories that others have volumes in, want 2", dir, len(classes))
		}
		mountDirs := make(map[string]bool)
		for i, class := range classes {
			for _, entry := range entries[class.HostDir] {
				if class.Publishes(entry) != (entry == own[i]) {
					t.Errorf("%s: the class in %s with namePattern %q and %q: published %v", dir, class.HostDir, class.NamePattern, entry,
						class.Publishes(entry))
				}
			}
			if mountDirs[class.MountDir] {
				t.Errorf("%s: two classes are mounted at %s", dir, class.MountDir)
			}
			mountDirs[class.MountDir] = true
		}
	}
}

func TestVolumeName(t *testing.T) {
	for dir, want := range map[string]string{
		"/var/lib/disks": "disks", "/var/lib/my_disks.d": "my-disks-d", "/": "disks", "/var/lib/--": "disks",
		"/var/lib/" + strings.Repeat("a", 40): strings.Repeat("a", 34), "/var/lib/Disks-1": "Disks-1", "/var/lib/_a": "a",
		"/var/lib/плита": "disks",
	} {
		if got := volumeName(dir); got != want {
			t.Errorf("%q: got %q, want %q", dir, got, want)
		}
	}
}
