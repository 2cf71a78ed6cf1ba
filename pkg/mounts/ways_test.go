// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Each document and each class is pasted as it is.
func TestWaysAreYAML(t *testing.T) {
	ways := waysWithout(version(t, "v1.14.0"), "/var/lib/disks/block")
	if len(ways) != 3 {
		t.Fatalf("%d ways", len(ways))
	}
	for i, want := range []struct{ kind, name, hostDir, pattern, mode string }{
		{"UserVolumeConfig", "block", "/var/mnt/block", "", "Block"},
		{"RawVolumeConfig", "disk-1", "/dev/disk/by-partlabel", "r-*", "Block"},
		{"UserVolumeConfig", "disk-1", "/var/mnt", "", "Filesystem"},
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
		if class.HostDir != want.hostDir || class.MountDir != want.hostDir || class.NamePattern != want.pattern || class.VolumeMode != want.mode {
			t.Errorf("way %d: %+v", i, class)
		}
		// What is proposed must be seen without an entry.
		if p := Decide(plain(t, "v1.14.0").with(documented), ask(class.HostDir)); p.Action != ActionUnchanged {
			t.Errorf("way %d: %+v", i, p)
		}
		holds(t, "text", ways[i].String(), ways[i].Title+"\n", "    kind: "+want.kind+"\n", "    hostDir: "+want.hostDir+"\n", ways[i].Note)
	}
}

func TestVolumeName(t *testing.T) {
	for dir, want := range map[string]string{
		"/var/lib/disks": "disks", "/var/lib/my_disks.d": "my-disks-d", "/": "disks", "/var/lib/--": "disks",
		"/var/lib/" + strings.Repeat("a", 40): strings.Repeat("a", 34), "/var/lib/Disks-1": "Disks-1", "/var/lib/_a": "a", "/var/lib/плита": "disks",
	} {
		if got := volumeName(dir); got != want {
			t.Errorf("%q: got %q, want %q", dir, got, want)
		}
	}
}
