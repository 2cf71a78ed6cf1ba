// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// Config is what matters here of a machine configuration. It holds no key and no token.
type Config struct {
	// ExtraMounts is machine.kubelet.extraMounts, in its order. Change counts by it. A
	// null among the entries, over which Talos goes, is an empty one here.
	ExtraMounts []ExtraMount `json:"extraMounts,omitempty"`
	// Kubelet tells that there is a key machine.kubelet, be it null or empty.
	Kubelet bool `json:"kubelet,omitempty"`
	// KubeletDocument tells that there is a KubeletConfig document, as Talos v1.14
	// generates it. It knows no extra mounts, and Talos takes no machine.kubelet beside it.
	KubeletDocument bool `json:"kubeletDocument,omitempty"`
	// UserVolumes are the UserVolumeConfig documents, in their order.
	UserVolumes []UserVolume `json:"userVolumes,omitempty"`
	// MachineDisks are the partitions of machine.disks that are mounted.
	MachineDisks []MachineDisk `json:"machineDisks,omitempty"`
}

// UserVolume is mounted at /var/mnt/NAME since Talos v1.10.
type UserVolume struct {
	Name string `json:"name"`
	// Type is partition, disk or directory; the last two since Talos v1.12.
	Type string `json:"type"`
}

// MachineDisk is one partition of machine.disks.
type MachineDisk struct {
	Device     string `json:"device"`
	Mountpoint string `json:"mountpoint"`
}

// ReadConfig reads a machine configuration of one or several documents. Errors name
// lines, never what is on them.
func ReadConfig(raw []byte) (Config, error) {
	t, err := parseText(raw)
	if err != nil {
		return Config{}, err
	}
	return t.config()
}

func (t *text) config() (config Config, err error) {
	defer func() {
		if recover() != nil {
			config, err = Config{}, failure.New("the machine configuration is not valid YAML", "")
		}
	}()
	doc, err := t.v1alpha1()
	if err != nil {
		return Config{}, err
	}
	var typed struct {
		Machine struct {
			Kubelet yaml.Node `yaml:"kubelet"`
			Disks   []struct {
				Device     string `yaml:"device"`
				Partitions []struct {
					Mountpoint string `yaml:"mountpoint"`
				} `yaml:"partitions"`
			} `yaml:"disks"`
		} `yaml:"machine"`
	}
	if err := doc.Decode(&typed); err != nil {
		return Config{}, notTalos(err)
	}
	var kubelet struct {
		ExtraMounts []yaml.Node `yaml:"extraMounts"`
	}
	if config.Kubelet = typed.Machine.Kubelet.Kind != 0; config.Kubelet {
		if err := typed.Machine.Kubelet.Decode(&kubelet); err != nil {
			return Config{}, notTalos(err)
		}
	}
	for _, entry := range kubelet.ExtraMounts {
		var mount ExtraMount
		if err := entry.Decode(&mount); err != nil {
			return Config{}, notTalos(err)
		}
		config.ExtraMounts = append(config.ExtraMounts, mount)
	}
	for _, d := range typed.Machine.Disks {
		for _, p := range d.Partitions {
			if p.Mountpoint != "" {
				config.MachineDisks = append(config.MachineDisks, MachineDisk{d.Device, p.Mountpoint})
			}
		}
	}
	config.KubeletDocument = len(t.kind("KubeletConfig")) > 0
	for _, doc := range t.kind(userVolume) {
		var volume struct {
			Name       string `yaml:"name"`
			VolumeType string `yaml:"volumeType"`
		}
		if err := doc.Decode(&volume); err != nil {
			return Config{}, notTalos(err)
		}
		if volume.VolumeType == "" {
			volume.VolumeType = "partition"
		}
		config.UserVolumes = append(config.UserVolumes, UserVolume{volume.Name, volume.VolumeType})
	}
	return config, nil
}

// notTalos keeps of a decoder's error only the line.
func notTalos(err error) error {
	message := "the machine configuration is not one that Talos takes"
	if line := lineNumber.FindString(err.Error()); line != "" {
		message = fmt.Sprintf("%s (%s)", message, line)
	}
	return failure.New(message, "talosctl validate --mode metal --config FILE tells what is wrong with a file")
}
