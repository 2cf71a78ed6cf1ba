// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// ConfigKey is the key of the provisioner's ConfigMap that holds the classes.
const ConfigKey = "storageClassMap"

// ParseClasses reads the value of ConfigKey: a YAML map of class name to
// settings. The classes come back sorted by name. A class without hostDir or
// mountDir is an error, as it is to the provisioner.
func ParseClasses(config string) ([]Class, error) {
	var raw map[string]struct {
		HostDir     string `json:"hostDir"`
		MountDir    string `json:"mountDir"`
		VolumeMode  string `json:"volumeMode"`
		FSType      string `json:"fsType"`
		NamePattern string `json:"namePattern"`
		// BlockCleanerCommand is what cleans a volume with volumeMode Block, and its arguments.
		BlockCleanerCommand []string `json:"blockCleanerCommand"`
	}
	if err := yaml.Unmarshal([]byte(config), &raw); err != nil {
		return nil, fmt.Errorf("%s is not a map of storage classes: %w", ConfigKey, err)
	}
	classes := make([]Class, 0, len(raw))
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		r := raw[name]
		if name == "" {
			return nil, fmt.Errorf("%s has a class without a name", ConfigKey)
		}
		if err := cmp.Or(checkDir("hostDir", r.HostDir), checkDir("mountDir", r.MountDir)); err != nil {
			return nil, fmt.Errorf("class %q in %s: %w", name, ConfigKey, err)
		}
		if err := (Class{
			Name:        name,
			HostDir:     r.HostDir,
			MountDir:    r.MountDir,
			FSType:      r.FSType,
			NamePattern: r.NamePattern,
			Cleaner:     r.BlockCleanerCommand,
		}).Check(); err != nil {
			return nil, fmt.Errorf("%s: %w", ConfigKey, err)
		}
		mode := Filesystem // the provisioner's default (pkg/common, setDefaults)
		switch r.VolumeMode {
		case "", string(Filesystem):
		case string(Block):
			mode = Block
		default:
			return nil, fmt.Errorf("class %q in %s: volumeMode %q is neither Block nor Filesystem", name, ConfigKey, r.VolumeMode)
		}
		classes = append(classes, Class{
			Name:        name,
			HostDir:     path.Clean(r.HostDir),
			MountDir:    path.Clean(r.MountDir),
			Mode:        mode,
			FSType:      r.FSType,
			NamePattern: r.NamePattern,
			Cleaner:     r.BlockCleanerCommand,
		})
	}
	return classes, nil
}

func checkDir(key, dir string) error {
	switch {
	case dir == "":
		return fmt.Errorf("%s is missing", key)
	case !path.IsAbs(dir):
		return fmt.Errorf("%s %q is not an absolute path", key, dir)
	}
	return nil
}

// Check holds the names of a class to their grammar: its own to that of StorageClasses, the rest to what can be printed. Whether something
// is missing it does not judge.
func (c Class) Check() error {
	if c.Name != "" && len(validation.IsDNS1123Subdomain(c.Name)) > 0 {
		return fmt.Errorf("no StorageClass can be called %q", c.Name)
	}
	type field struct{ key, value string }
	fields := []field{{key: "hostDir", value: c.HostDir}, {key: "mountDir", value: c.MountDir}, {key: "fsType", value: c.FSType},
		{key: "namePattern", value: c.NamePattern}}
	for _, word := range c.Cleaner {
		fields = append(fields, field{key: "blockCleanerCommand", value: word})
	}
	for _, f := range fields {
		if !utf8.ValidString(f.value) || strings.ContainsFunc(f.value, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%s %q of class %q has a control character, or another that cannot be printed", f.key, f.value, c.Name)
		}
	}
	return nil
}
