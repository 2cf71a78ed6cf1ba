// SPDX-License-Identifier: Apache-2.0

package mounts

import "github.com/talosdisk/kubectl-talosdisk/internal/failure"

// Selector is what a document of a Talos volume chooses its disk by.
type Selector struct {
	// Kind of the document: UserVolumeConfig (Talos v1.10) or RawVolumeConfig (v1.11).
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Type is partition, or disk for a whole one (v1.12).
	Type string `json:"type"`
	// Match is provisioning.diskSelector.match, an expression in CEL over a disk.
	Match string `json:"match"`
}

// ID is what Talos calls the volume, and the partition that it makes for it.
func (s Selector) ID() string {
	if s.Kind == rawVolume {
		return "r-" + s.Name
	}
	return "u-" + s.Name
}

// Whole tells a volume that is a whole disk. It has no partition with a label to be found by: the
// selector finds it, at each boot.
func (s Selector) Whole() bool { return s.Type == "disk" }

const (
	userVolume = "UserVolumeConfig"
	rawVolume  = "RawVolumeConfig"
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
	for _, kind := range []string{userVolume, rawVolume} {
		for _, doc := range t.kind(kind) {
			var volume struct {
				Name         string `yaml:"name"`
				VolumeType   string `yaml:"volumeType"`
				Provisioning struct {
					DiskSelector struct {
						Match string `yaml:"match"`
					} `yaml:"diskSelector"`
				} `yaml:"provisioning"`
			}
			if err := doc.Decode(&volume); err != nil {
				return nil, notTalos(err)
			}
			if volume.Provisioning.DiskSelector.Match == "" { // A directory has none.
				continue
			}
			if volume.VolumeType == "" {
				volume.VolumeType = "partition"
			}
			selectors = append(selectors, Selector{kind, volume.Name, volume.VolumeType, volume.Provisioning.DiskSelector.Match})
		}
	}
	return selectors, nil
}
