// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/talosdisk/kubectl-talosdisk/internal/example"
	"github.com/talosdisk/kubectl-talosdisk/pkg/provisioner"
)

// volumeDocument is a document of a machine configuration that makes a volume.
type volumeDocument struct {
	Kind         string `json:"kind"`
	Name         string `json:"name"`
	VolumeType   string `json:"volumeType"`
	Provisioning struct {
		DiskSelector struct {
			Match string `json:"match"`
		} `json:"diskSelector"`
	} `json:"provisioning"`
}

// entry is what Talos makes of the document, by the directory that it appears in.
func (d volumeDocument) entry() (dir, name string) {
	switch d.Kind {
	case "UserVolumeConfig", "ExistingVolumeConfig", "ExternalVolumeConfig":
		return "/var/mnt", d.Name
	case "RawVolumeConfig":
		return "/dev/disk/by-partlabel", "r-" + d.Name
	}
	return "", ""
}

// TestGuideClassesPublishTheirOwn follows the guide to the letter: all that it has people append to a machine configuration
// is there, and what Talos and other software have in the same directories beside it. Each class publishes what the documents
// of its own section make, and nothing else: what a class publishes is emptied when a claim on it is deleted.
func TestGuideClassesPublishTheirOwn(t *testing.T) {
	entries := map[string][]string{
		"/var/mnt": {"longhorn", "openebs", "data", "disk-1", "archive"},
		"/dev/disk/by-partlabel": {"EFI", "BIOS", "BOOT", "META", "STATE", "EPHEMERAL", "IMAGECACHE", "u-fs-1", "u-data", "r-ceph", "r-disk-1",
			"s-swap"},
	}
	own := make(map[string][]string)
	type published struct {
		provisioner.Class
		heading string
	}
	var classes []published
	for _, block := range example.Blocks(documents(t)["docs/guide.md"]) {
		text := block.Text()
		switch {
		case strings.HasPrefix(text, "classes:"):
			var v values
			if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
				t.Fatal(err)
			}
			for _, c := range v.Classes {
				classes = append(classes, published{provisioner.Class{
					Name:        c.Name,
					HostDir:     c.HostDir,
					MountDir:    c.MountDir,
					NamePattern: c.NamePattern,
				}, block.Heading})
			}
		case strings.HasPrefix(text, "---\napiVersion: v1alpha1\n"):
			var d volumeDocument
			if err := yaml.Unmarshal([]byte(text), &d); err != nil {
				t.Fatal(err)
			}
			dir, name := d.entry()
			if dir == "" {
				t.Fatalf("docs/guide.md:%d: nothing is known of %s", block.Line, d.Kind)
			}
			entries[dir] = append(entries[dir], name)
			own[block.Heading+dir] = append(own[block.Heading+dir], name)
			if d.VolumeType == "disk" && strings.Contains(d.Provisioning.DiskSelector.Match, "system_disk") {
				t.Errorf("docs/guide.md:%d: Talos does not know system_disk where it looks for a whole disk", block.Line)
			}
		}
	}
	shared, mountDirs := 0, make(map[string]string)
	for _, c := range classes {
		names, others := entries[c.HostDir]
		if !others {
			continue
		}
		shared++
		for _, name := range names {
			if mine := slices.Contains(own[c.heading+c.HostDir], name); c.Publishes(name) != mine {
				t.Errorf("%s: the class in %s with namePattern %q and %q: published %v", c.heading, c.HostDir, c.NamePattern, name, c.Publishes(name))
			}
		}
		if other := mountDirs[c.MountDir]; other != "" {
			t.Errorf("the classes of %q and %q are both mounted at %s", other, c.heading, c.MountDir)
		}
		mountDirs[c.MountDir] = c.heading
	}
	if shared < 2 {
		t.Errorf("only %d classes in directories that others have volumes in", shared)
	}
}

// TestSharedDirectoriesHavePatterns holds every place that gives a class one of the directories in which everybody's volumes
// lie: a namePattern is said with it.
func TestSharedDirectoriesHavePatterns(t *testing.T) {
	shared := regexp.MustCompile("hostDir:? (is )?`?\"?(/var/mnt|/dev/disk/by-partlabel)`?\"?($|[^/a-zA-Z])")
	found := 0
	for file, text := range documents(t) {
		for i, paragraph := range strings.Split(text, "\n\n") {
			flat := strings.Join(strings.Fields(paragraph), " ")
			if !shared.MatchString(flat) || strings.Contains(flat, "Two classes on one hostDir") {
				continue
			}
			found++
			if !strings.Contains(flat, "namePattern") {
				t.Errorf("%s, paragraph %d: %s", file, i+1, fmt.Sprintf("%.200s", flat))
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d places found", found)
	}
}
