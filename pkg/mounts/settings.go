// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

// Settings is what matters here of a machine configuration. It holds no key and no token.
type Settings struct {
	// ExtraMounts is machine.kubelet.extraMounts, in its order. Change counts by it. A
	// null among the entries, over which Talos goes, is an empty one here.
	ExtraMounts []ExtraMount `json:"extraMounts,omitempty"`
	// Kubelet reports whether there is a key machine.kubelet, be it null or empty.
	Kubelet bool `json:"kubelet,omitempty"`
	// KubeletDocument reports whether there is a KubeletConfig document, as Talos v1.14
	// generates it. It knows no extra mounts, and Talos takes no machine.kubelet beside it.
	KubeletDocument bool `json:"kubeletDocument,omitempty"`
	// UserVolumes are the UserVolumeConfig documents, in their order.
	UserVolumes []machineconfig.UserVolume `json:"userVolumes,omitempty"`
	// MachineDisks are the partitions of machine.disks that are mounted.
	MachineDisks []machineconfig.MachineDisk `json:"machineDisks,omitempty"`
}

// ReadSettings reads a machine configuration of one or several documents. Errors name
// lines, never what is on them.
func ReadSettings(raw []byte) (Settings, error) {
	t, err := machineconfig.Parse(raw)
	if err != nil {
		return Settings{}, err
	}
	return readSettings(t)
}

func readSettings(t *machineconfig.Text) (settings Settings, err error) {
	doc, err := t.Main()
	if err != nil {
		return Settings{}, err
	}
	var typed struct {
		Machine struct {
			Kubelet yaml.Node `yaml:"kubelet"`
		} `yaml:"machine"`
	}
	if err := machineconfig.Decode(doc, &typed); err != nil {
		return Settings{}, err
	}
	var kubelet struct {
		ExtraMounts []yaml.Node `yaml:"extraMounts"`
	}
	if settings.Kubelet = typed.Machine.Kubelet.Kind != 0; settings.Kubelet {
		if err := machineconfig.Decode(&typed.Machine.Kubelet, &kubelet); err != nil {
			return Settings{}, err
		}
	}
	for _, entry := range kubelet.ExtraMounts {
		var mount ExtraMount
		if err := machineconfig.Decode(&entry, &mount); err != nil {
			return Settings{}, err
		}
		settings.ExtraMounts = append(settings.ExtraMounts, mount)
	}
	if settings.MachineDisks, err = t.MachineDisks(); err != nil {
		return Settings{}, err
	}
	settings.KubeletDocument = len(t.Documents("KubeletConfig")) > 0
	if settings.UserVolumes, err = t.UserVolumes(); err != nil {
		return Settings{}, err
	}
	return settings, nil
}
