// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
	"github.com/talosdisk/kubectl-talosdisk/pkg/snapshot"
)

// The kinds of documents that a layout needs (Talos v1.10 to v1.14, pkg/machinery/config/types/block), and MachineDisk, an entry of
// machine.disks.
const (
	UserVolumeKind  = "UserVolumeConfig"
	RawVolumeKind   = "RawVolumeConfig"
	MachineDiskKind = "machine.disks"
)

// Document is a whole document of a node's machine configuration that a layout needs.
type Document struct {
	Kind string `json:"kind"`
	// Name is the volume's, or the mountpoint of an entry of machine.disks.
	Name string `json:"name"`
	// Selector is what the document chooses its disk by; its Match is empty where it chooses none.
	Selector machineconfig.VolumeSelector `json:"-"`
	// Device is the path of an entry of machine.disks.
	Device string `json:"-"`

	// content is what it is written from.
	content any
}

// Text is the document as YAML, without a marker; of machine.disks it is the entry below its keys.
func (d Document) Text() string {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	if err := encoder.Encode(d.content); err != nil { // Only texts and switches are written.
		panic(fmt.Sprintf("a document cannot be written: %v", err))
	}
	return out.String()
}

// Matcher evaluates selectors as Talos does.
type Matcher interface {
	// Match reports which of a node's disks each selector matches. system is the disk that the node lives on.
	Match(disks []snapshot.TalosDisk, system string, selectors []machineconfig.VolumeSelector) []snapshot.Selection
}

// config is a document of a volume, in the order in which Talos writes its keys.
type config struct {
	APIVersion   string        `yaml:"apiVersion"`
	Kind         string        `yaml:"kind"`
	Name         string        `yaml:"name"`
	VolumeType   string        `yaml:"volumeType,omitempty"`
	Provisioning *provisioning `yaml:"provisioning,omitempty"`
	Filesystem   *fileSystem   `yaml:"filesystem,omitempty"`
}

type provisioning struct {
	DiskSelector diskSelector `yaml:"diskSelector"`
	MinSize      mebibytes    `yaml:"minSize,omitempty"`
	Grow         bool         `yaml:"grow,omitempty"`
}

// mebibytes is a size of whole MiB.
type mebibytes uint64

// MarshalYAML writes the size with its unit.
func (m mebibytes) MarshalYAML() (any, error) { return strconv.FormatUint(uint64(m), 10) + "MiB", nil }

type diskSelector struct {
	Match string `yaml:"match"`
}

type fileSystem struct {
	Type string `yaml:"type"`
}

// The types of a user volume that are not a partition (Talos v1.12, pkg/machinery/config/types/block).
const (
	typePartition = "partition"
	typeDisk      = "disk"
	typeDirectory = "directory"
)

// meaning is what meaning makes of the document that was read.
func (c config) meaning() map[string]any {
	all := map[string]any{"apiVersion": c.APIVersion, "kind": c.Kind, "name": c.Name}
	if c.VolumeType != "" {
		all["volumeType"] = c.VolumeType
	}
	if p := c.Provisioning; p != nil {
		at := map[string]any{"diskSelector": map[string]any{"match": p.DiskSelector.Match}}
		if p.MinSize > 0 {
			at["minSize"], at["grow"] = uint64(p.MinSize)<<20, p.Grow
		}
		all["provisioning"] = at
	}
	if c.Filesystem != nil && c.Filesystem.Type != standardFS {
		all["filesystem"] = map[string]any{"type": c.Filesystem.Type}
	}
	return all
}

// standardFS is the filesystem of a user volume whose document names none (Talos v1.10 to v1.14, pkg/machinery/config/types/block).
const standardFS = "xfs"

// document is the one that makes a disk a volume of the class; match is the selector that only the disk satisfies.
func (w ClassWay) document(volume, match string, least Size) Document {
	c := config{APIVersion: "v1alpha1", Kind: UserVolumeKind, Name: volume, Provisioning: &provisioning{DiskSelector: diskSelector{match}}}
	kind := typePartition
	switch w.Way {
	case WayRawVolume:
		c.Kind = RawVolumeKind
	case WayWholeDisk:
		c.VolumeType, kind = typeDisk, typeDisk
	}
	if w.Way != WayRawVolume {
		c.Filesystem = &fileSystem{w.Class.Filesystem}
	}
	if w.Way != WayWholeDisk {
		c.Provisioning.MinSize, c.Provisioning.Grow = mebibytes(least>>20), true
	}
	return Document{
		Kind: c.Kind, Name: volume, content: c,
		Selector: machineconfig.VolumeSelector{Kind: c.Kind, Name: volume, Type: kind, Match: match},
	}
}

// directory is the document of the volume that the class's links lie in.
func (w ClassWay) directory() Document {
	return Document{
		Kind: UserVolumeKind, Name: w.Volume,
		content: config{APIVersion: "v1alpha1", Kind: UserVolumeKind, Name: w.Volume, VolumeType: typeDirectory},
	}
}

// machineDisk is the entry of machine.disks that has the whole of a device for a volume of the class.
func (w ClassWay) machineDisk(volume, device string) Document {
	type partition struct {
		Mountpoint string `yaml:"mountpoint"`
	}
	type entry struct {
		Device     string      `yaml:"device"`
		Partitions []partition `yaml:"partitions"`
	}
	mountpoint := path.Join(w.Wanted.HostDir, volume)
	all := map[string]map[string][]entry{"machine": {"disks": {{device, []partition{{mountpoint}}}}}}
	return Document{Kind: MachineDiskKind, Name: mountpoint, content: all, Device: device}
}

// leastSize is the size in bytes that a volume on a disk must at least get, in whole MiB. What a partition table takes is less than this
// leaves, and what an old partition leaves is less than this: a remainder is never taken for the disk. Another disk in a slot can be a
// little smaller.
func leastSize(size uint64, slot bool) Size {
	const mib, gib, table = 1 << 20, 1 << 30, 16 << 20
	least := size - min(size, table)
	if slot {
		least = size - size/16
		if least >= gib {
			least -= least % gib
		}
	}
	return Size(max(least-least%mib, mib))
}

// selector is an expression that is true of a disk and of no other one of its node: by what the binding identifies the disk by, the
// strongest first. It is false if there is none.
func (b Binding) selector(d snapshot.TalosDisk, all []snapshot.TalosDisk, whole bool) (string, bool) {
	alone := func(has func(snapshot.TalosDisk) bool) bool {
		return has(d) && !slices.ContainsFunc(all, func(o snapshot.TalosDisk) bool { return o.Name != d.Name && has(o) })
	}
	match := ""
	is := func(field, want string, value func(snapshot.TalosDisk) string) bool {
		now := value(d)
		if want == "" || strings.TrimSpace(now) != want || !utf8.ValidString(now) ||
			!alone(func(o snapshot.TalosDisk) bool { return value(o) == now }) {
			return false
		}
		match = "disk." + field + " == " + strconv.QuoteToASCII(now)
		return true
	}
	linked := func(dir, name string) bool {
		link := path.Join("/dev/disk", dir, name)
		if name == "" || !utf8.ValidString(name) || !alone(func(o snapshot.TalosDisk) bool { return slices.Contains(o.Symlinks, link) }) {
			return false
		}
		match = strconv.QuoteToASCII(link) + " in disk.symlinks"
		return true
	}
	found := is("wwid", b.WWID, func(o snapshot.TalosDisk) string { return o.WWID }) ||
		is("serial", b.Serial, func(o snapshot.TalosDisk) string { return o.Serial }) ||
		linked("by-id", b.ByID) || linked("by-path", b.ByPath)
	if !found {
		return "", false
	}
	if !whole { // Where the selector of a whole disk is evaluated, there is no system_disk (Talos v1.12 to v1.14; siderolabs/talos#13301).
		match += " && !system_disk"
	}
	return match, true
}

// exact reports whether a selector matches exactly one disk, that one.
func exact(m Matcher, t snapshot.Talos, s machineconfig.VolumeSelector, disk string) bool {
	if m == nil || t.Disks.Value == nil || t.System.Value == nil {
		return false
	}
	found := m.Match(*t.Disks.Value, *t.System.Value, []machineconfig.VolumeSelector{s})
	return len(found) == 1 && found[0].Problem == "" && slices.Equal(found[0].Disks, []string{disk}) && disk != *t.System.Value
}
