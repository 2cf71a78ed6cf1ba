// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/internal/failure"
)

// Selector is what a document of a Talos volume chooses its disk by, or its volume.
type Selector struct {
	// Kind of the document: UserVolumeConfig (Talos v1.10), RawVolumeConfig, SwapVolumeConfig or ExistingVolumeConfig (v1.11).
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Type is partition, or disk for a whole one, which only a user volume can be (v1.12).
	Type string `json:"type"`
	// Match is provisioning.diskSelector.match, an expression in CEL over a disk; of an existing volume it is
	// discovery.volumeSelector.match, one over a volume that Talos discovered, and its disk.
	Match string `json:"match"`
}

// ID is what Talos calls the volume, and the partition that it makes for it (Talos v1.14, pkg/machinery/constants).
func (s Selector) ID() string {
	switch s.Kind {
	case rawVolume:
		return "r-" + s.Name
	case swapVolume:
		return "s-" + s.Name
	case existingVolume:
		return "e-" + s.Name
	}
	return "u-" + s.Name
}

// Whole tells a volume that is a whole disk. It has no partition with a label to be found by: the
// selector finds it, at each boot.
func (s Selector) Whole() bool { return s.Type == "disk" }

// Existing tells a volume that Talos does not make: a partition or a whole disk, whatever made it, that the selector finds at each boot.
func (s Selector) Existing() bool { return s.Kind == existingVolume }

const (
	userVolume     = "UserVolumeConfig"
	rawVolume      = "RawVolumeConfig"
	swapVolume     = "SwapVolumeConfig"
	existingVolume = "ExistingVolumeConfig"
)

// ReadSelectors reads the selectors of a machine configuration, in the order of its documents of each
// kind. Errors name lines, never what is on them.
func ReadSelectors(raw []byte) (selectors []Selector, err error) {
	defer func() {
		if recover() != nil {
			selectors, err = nil, failure.New("the machine configuration is not valid YAML", "")
		}
	}()
	t, err := parseText(raw)
	if err != nil {
		return nil, err
	}
	for _, kind := range []string{userVolume, rawVolume, swapVolume, existingVolume} {
		for _, doc := range t.kind(kind) {
			s, err := readSelector(kind, doc)
			if err != nil {
				return nil, notTalos(err)
			}
			if s.Match != "" { // A directory has none.
				selectors = append(selectors, s)
			}
		}
	}
	return selectors, nil
}

func readSelector(kind string, doc *yaml.Node) (Selector, error) {
	s := Selector{Kind: kind, Type: "partition"}
	if s.Existing() {
		var volume struct {
			Name      string `yaml:"name"`
			Discovery struct {
				VolumeSelector struct {
					Match string `yaml:"match"`
				} `yaml:"volumeSelector"`
			} `yaml:"discovery"`
		}
		err := doc.Decode(&volume)
		s.Name, s.Match = volume.Name, volume.Discovery.VolumeSelector.Match
		return s, err
	}
	var volume struct {
		Name         string `yaml:"name"`
		VolumeType   string `yaml:"volumeType"`
		Provisioning struct {
			DiskSelector struct {
				Match string `yaml:"match"`
			} `yaml:"diskSelector"`
		} `yaml:"provisioning"`
	}
	err := doc.Decode(&volume)
	if volume.VolumeType != "" {
		s.Type = volume.VolumeType
	}
	s.Name, s.Match = volume.Name, volume.Provisioning.DiskSelector.Match
	return s, err
}
