// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

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
	}
	if err := yaml.Unmarshal([]byte(config), &raw); err != nil {
		return nil, fmt.Errorf("%s is not a map of storage classes: %w", ConfigKey, err)
	}
	classes := make([]Class, 0, len(raw))
	for name, r := range raw {
		if name == "" {
			return nil, fmt.Errorf("%s has a class without a name", ConfigKey)
		}
		for key, dir := range map[string]string{"hostDir": r.HostDir, "mountDir": r.MountDir} {
			if err := checkDir(dir); err != nil {
				return nil, fmt.Errorf("class %q in %s: %s %w", name, ConfigKey, key, err)
			}
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
		})
	}
	slices.SortFunc(classes, func(a, b Class) int { return strings.Compare(a.Name, b.Name) })
	return classes, nil
}

func checkDir(dir string) error {
	switch {
	case dir == "":
		return fmt.Errorf("is missing")
	case !path.IsAbs(dir):
		return fmt.Errorf("%q is not an absolute path", dir)
	case strings.ContainsFunc(dir, unicode.IsControl):
		return fmt.Errorf("%q has a control character", dir)
	}
	return nil
}
