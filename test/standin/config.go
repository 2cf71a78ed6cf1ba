// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const (
	// ConfigDir is where the DaemonSet mounts the ConfigMap, one file a key.
	ConfigDir = "/etc/provisioner/config"

	defaultBlockCleaner = "/scripts/quick_reset.sh"
	defaultNamePattern  = "*"
)

// Config is the content of the ConfigMap. Keys that the stand-in does not know
// are ignored.
type Config struct {
	Classes         map[string]Class  `json:"storageClassMap"`
	NodeLabelsForPV []string          `json:"nodeLabelsForPV"`
	LabelsForPV     map[string]string `json:"labelsForPV"`
	UseNodeNameOnly bool              `json:"useNodeNameOnly"`
	SetPVOwnerRef   bool              `json:"setPVOwnerRef"`
	// UseJobForCleaning has devices cleaned by Jobs with JobTolerations.
	UseJobForCleaning bool                `json:"useJobForCleaning"`
	JobTolerations    []corev1.Toleration `json:"jobTolerations"`
}

// Class is one storage class of the ConfigMap.
type Class struct {
	// HostDir is the directory on the node; volumes carry paths below it.
	HostDir string `json:"hostDir"`
	// MountDir is the same directory as the provisioner's container sees it.
	MountDir string `json:"mountDir"`
	// VolumeMode is the mode of the volumes to make: Filesystem or Block.
	VolumeMode corev1.PersistentVolumeMode       `json:"volumeMode"`
	AccessMode corev1.PersistentVolumeAccessMode `json:"accessMode"`
	FSType     string                            `json:"fsType"`
	// NamePattern is a comma-separated list of filepath.Match patterns.
	NamePattern         string                    `json:"namePattern"`
	BlockCleanerCommand []string                  `json:"blockCleanerCommand"`
	Selector            []corev1.NodeSelectorTerm `json:"selector"`
}

// LoadConfig reads a mounted ConfigMap and fills in the defaults. It fails for
// what the real provisioner refuses to start with.
func LoadConfig(dir string) (Config, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Config{}, err
	}
	values := map[string]any{}
	for _, entry := range entries {
		// The kubelet keeps the files in a directory of their own, "..data"
		// is the link to it, and each key is a link through that.
		if entry.IsDir() || entry.Name() == "..data" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return Config{}, err
		}
		var value any
		if err := yaml.Unmarshal(text, &value); err != nil {
			return Config{}, fmt.Errorf("fail to Unmarshal yaml due to: key %q: %w", entry.Name(), err)
		}
		values[entry.Name()] = value
	}
	return parseConfig(values)
}

func parseConfig(values map[string]any) (Config, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return Config{}, fmt.Errorf("fail to Unmarshal yaml due to: %w", err)
	}
	var config Config
	if err := json.Unmarshal(text, &config); err != nil {
		return Config{}, fmt.Errorf("fail to Unmarshal yaml due to: %w", err)
	}
	for name, class := range config.Classes {
		class, err := class.withDefaults(name)
		if err != nil {
			return Config{}, err
		}
		config.Classes[name] = class
	}
	return config, nil
}

func (c Class) withDefaults(name string) (Class, error) {
	switch {
	case c.BlockCleanerCommand == nil:
		c.BlockCleanerCommand = []string{defaultBlockCleaner}
	case len(c.BlockCleanerCommand) == 0:
		return c, fmt.Errorf("Invalid empty block cleaner command for class %v", name)
	}
	if c.MountDir == "" || c.HostDir == "" {
		return c, fmt.Errorf("Storage Class %v is misconfigured, missing HostDir or MountDir parameter", name)
	}
	if c.NamePattern == "" {
		c.NamePattern = defaultNamePattern
	}
	if c.AccessMode == "" {
		c.AccessMode = corev1.ReadWriteOnce
	}
	switch c.VolumeMode {
	case "":
		c.VolumeMode = corev1.PersistentVolumeFilesystem
	case corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem:
	default:
		return c, fmt.Errorf("unsupported volume mode %s", c.VolumeMode)
	}
	return c, nil
}
