// SPDX-License-Identifier: Apache-2.0

package machineconfig

import (
	"cmp"

	"go.yaml.in/yaml/v3"
)

// UserVolume is a document UserVolumeConfig. The volume is mounted at /var/mnt/NAME.
type UserVolume struct {
	Name string `json:"name"`
	// Type is partition, disk or directory.
	Type string `json:"type"`
}

// MachineDisk is one partition of machine.disks.
type MachineDisk struct {
	Device     string `json:"device"`
	Mountpoint string `json:"mountpoint"`
}

// VolumeSelector is what a document of a Talos volume chooses its disk by, or its volume.
type VolumeSelector struct {
	// Kind of the document: UserVolumeConfig, RawVolumeConfig, SwapVolumeConfig or ExistingVolumeConfig.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Type is partition, or disk for a whole one, which only a user volume can be.
	Type string `json:"type"`
	// Match is provisioning.diskSelector.match, an expression in CEL over a disk; of an existing volume it is
	// discovery.volumeSelector.match, one over a volume that Talos discovered, and its disk.
	Match string `json:"match"`
}

// ID is what Talos calls the volume, and the partition that it makes for it (Talos v1.14, pkg/machinery/constants).
func (s VolumeSelector) ID() string {
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

// Whole reports whether the volume is a whole disk. It has no partition with a label to be found by: the selector finds it, at each
// boot.
func (s VolumeSelector) Whole() bool { return s.Type == "disk" }

// Existing reports whether Talos does not make the volume: it is a partition or a whole disk, whatever made it, that the selector finds
// at each boot.
func (s VolumeSelector) Existing() bool { return s.Kind == existingVolume }

const (
	userVolume     = "UserVolumeConfig"
	rawVolume      = "RawVolumeConfig"
	swapVolume     = "SwapVolumeConfig"
	existingVolume = "ExistingVolumeConfig"
)

// UserVolumes are those of the configuration's documents, in their order.
func (t *Text) UserVolumes() ([]UserVolume, error) {
	var volumes []UserVolume
	for _, doc := range t.Documents(userVolume) {
		var volume struct {
			Name       string `yaml:"name"`
			VolumeType string `yaml:"volumeType"`
		}
		if err := Decode(doc, &volume); err != nil {
			return nil, err
		}
		volumes = append(volumes, UserVolume{volume.Name, cmp.Or(volume.VolumeType, "partition")})
	}
	return volumes, nil
}

// MachineDisks are the partitions of machine.disks that are mounted.
func (t *Text) MachineDisks() ([]MachineDisk, error) {
	doc, err := t.Main()
	if err != nil {
		return nil, err
	}
	var typed struct {
		Machine struct {
			Disks []struct {
				Device     string `yaml:"device"`
				Partitions []struct {
					Mountpoint string `yaml:"mountpoint"`
				} `yaml:"partitions"`
			} `yaml:"disks"`
		} `yaml:"machine"`
	}
	if err := Decode(doc, &typed); err != nil {
		return nil, err
	}
	var mounted []MachineDisk
	for _, d := range typed.Machine.Disks {
		for _, p := range d.Partitions {
			if p.Mountpoint != "" {
				mounted = append(mounted, MachineDisk{d.Device, p.Mountpoint})
			}
		}
	}
	return mounted, nil
}

// ReadVolumeSelectors reads the selectors of a machine configuration, in the order of its documents of each kind. Errors name lines,
// never what is on them.
func ReadVolumeSelectors(raw []byte) ([]VolumeSelector, error) {
	t, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	var selectors []VolumeSelector
	for _, kind := range []string{userVolume, rawVolume, swapVolume, existingVolume} {
		for _, doc := range t.Documents(kind) {
			s, err := readSelector(kind, doc)
			if err != nil {
				return nil, err
			}
			if s.Match != "" { // A directory has none.
				selectors = append(selectors, s)
			}
		}
	}
	return selectors, nil
}

func readSelector(kind string, doc *yaml.Node) (VolumeSelector, error) {
	s := VolumeSelector{Kind: kind, Type: "partition"}
	if s.Existing() {
		var volume struct {
			Name      string `yaml:"name"`
			Discovery struct {
				VolumeSelector struct {
					Match string `yaml:"match"`
				} `yaml:"volumeSelector"`
			} `yaml:"discovery"`
		}
		err := Decode(doc, &volume)
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
	err := Decode(doc, &volume)
	s.Name, s.Type, s.Match = volume.Name, cmp.Or(volume.VolumeType, s.Type), volume.Provisioning.DiskSelector.Match
	return s, err
}
