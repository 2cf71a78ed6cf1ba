// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"cmp"
	"fmt"

	"github.com/cosi-project/runtime/pkg/resource"
	blockpb "github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/block"
	"github.com/siderolabs/talos/pkg/machinery/cel"
	"github.com/siderolabs/talos/pkg/machinery/cel/celenv"
	"github.com/siderolabs/talos/pkg/machinery/proto"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// What an expression knows of.
const (
	ofDisk   = "disk"
	ofVolume = "volume"
)

// scene is what locators and selectors are evaluated on, in the order of the IDs, which is Talos's.
type scene struct {
	disks   []*blockpb.DiskSpec
	volumes []*blockpb.DiscoveredVolumeSpec
	// system is the device of the system disk, or "".
	system  string
	profile Profile
}

func newScene(disks []Disk, system string, profile Profile) (scene, error) {
	s := scene{system: system, profile: profile}
	for _, r := range diskResources(disks, profile) {
		switch r.Metadata().Type() {
		case block.DiskType:
			spec := &blockpb.DiskSpec{}
			if err := proto.ResourceSpecToProto(r, spec); err != nil {
				return s, err
			}
			s.disks = append(s.disks, spec)
		case block.DiscoveredVolumeType:
			spec, err := discoveredSpec(r)
			if err != nil {
				return s, err
			}
			s.volumes = append(s.volumes, spec)
		}
	}
	return s, nil
}

func discoveredSpec(r resource.Resource) (*blockpb.DiscoveredVolumeSpec, error) {
	spec := &blockpb.DiscoveredVolumeSpec{}
	return spec, proto.ResourceSpecToProto(r, spec)
}

// disk is the one of a device, or nil.
func (s scene) disk(device string) *blockpb.DiskSpec {
	for _, d := range s.disks {
		if d.GetDevPath() == device {
			return d
		}
	}
	return nil
}

// of is a discovered volume as an expression knows it.
func (s scene) of(v *blockpb.DiscoveredVolumeSpec) map[string]any {
	known := map[string]any{ofVolume: v}
	if d := s.disk(cmp.Or(v.GetParentDevPath(), v.GetDevPath())); d != nil {
		known[ofDisk] = d
	}
	return known
}

// locate finds a volume that is there (block/internal/volumes/locate.go); nil: there is none. The disk selector of a partition
// plays no part in it.
func (s scene) locate(v volume) (*blockpb.DiscoveredVolumeSpec, error) {
	switch {
	case v.Locator.DiskMatch.IsZero():
		return s.first(v.Locator.Match, false)
	case s.profile.has(talosrelease.RefusesAmbiguousDisk):
		return s.whole(v.Locator.DiskMatch)
	}
	return s.first(v.Locator.DiskMatch, true)
}

// first is the first discovered volume for which a locator is true. Before v1.12.5 that of a whole disk was looked for among
// them too, by what disk each is on.
func (s scene) first(locator cel.Expression, byDisk bool) (*blockpb.DiscoveredVolumeSpec, error) {
	for _, d := range s.volumes {
		env, known := celenv.VolumeLocator(), s.of(d)
		if byDisk {
			env = celenv.DiskLocator()
			delete(known, ofVolume)
		}
		matches, err := locator.EvalBool(env, known)
		if err != nil {
			return nil, fmt.Errorf("error evaluating volume locator: %w", err)
		}
		if matches {
			return d, nil
		}
	}
	return nil, nil
}

// whole is the disk for which a locator is true. It knows disk, and not system_disk (siderolabs/talos#13301).
func (s scene) whole(locator cel.Expression) (*blockpb.DiscoveredVolumeSpec, error) {
	var matched []string
	for _, d := range s.disks {
		matches, err := locator.EvalBool(celenv.DiskLocator(), map[string]any{ofDisk: d})
		if err != nil {
			return nil, fmt.Errorf("error evaluating disk locator: %w", err)
		}
		if matches {
			matched = append(matched, d.GetDevPath())
		}
	}
	switch len(matched) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, fmt.Errorf("multiple disks matched locator for disk volume; matched disks: %v", matched)
	}
	for _, d := range s.volumes {
		if d.GetDevPath() == matched[0] {
			return d, nil
		}
	}
	return nil, nil
}

// candidates are the devices of the disks that a selector is true for, and that can be written to.
func (s scene) candidates(v volume) ([]string, error) {
	var matched []string
	for _, d := range s.disks {
		if d.GetReadonly() {
			continue
		}
		known := map[string]any{ofDisk: d}
		if s.system != "" {
			known["system_disk"] = d.GetDevPath() == s.system
		}
		matches, err := v.Provisioning.DiskSelector.Match.EvalBool(celenv.DiskLocator(), known)
		if err != nil {
			return nil, fmt.Errorf("error evaluating disk locator: %w", err)
		}
		if matches {
			matched = append(matched, d.GetDevPath())
		}
	}
	if len(matched) == 0 {
		if s.profile.has(talosrelease.CountsRejectedDisks) {
			return nil, fmt.Errorf("no disks matched selector for volume")
		}
		return nil, fmt.Errorf("no disks matched for volume")
	}
	return matched, nil
}
