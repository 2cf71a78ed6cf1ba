// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"cmp"
	"fmt"
	"path"
	"reflect"
	"strings"

	"github.com/talosdisk/kubectl-talosdisk/pkg/machineconfig"
)

// Stored are the volumes that a node's machine configuration has. They can hold a passphrase: nothing of them is printed.
type Stored struct {
	documents map[[2]string]map[string]any
	selectors map[[2]string]machineconfig.VolumeSelector
	disks     []machineconfig.MachineDisk
}

// kindsInVarMnt are the kinds of documents whose volumes are mounted at /var/mnt/NAME, of which a name can have one
// (Talos v1.13, pkg/machinery/config/types/block).
func kindsInVarMnt() []string {
	return []string{UserVolumeKind, "ExistingVolumeConfig", "ExternalVolumeConfig"}
}

// ReadStored reads the volumes of a machine configuration. Errors name lines, never what is on them.
func ReadStored(raw []byte) (Stored, error) {
	s := Stored{documents: make(map[[2]string]map[string]any), selectors: make(map[[2]string]machineconfig.VolumeSelector)}
	t, err := machineconfig.Parse(raw)
	if err != nil {
		return s, err
	}
	if s.disks, err = t.MachineDisks(); err != nil {
		return s, err
	}
	for _, kind := range append(kindsInVarMnt(), RawVolumeKind) {
		for _, doc := range t.Documents(kind) {
			var value map[string]any
			if err := machineconfig.Decode(doc, &value); err != nil {
				return s, err
			}
			name, _ := value["name"].(string)
			s.documents[[2]string{kind, name}] = meaning(value)
		}
	}
	selectors, err := machineconfig.ReadVolumeSelectors(raw)
	for _, one := range selectors {
		s.selectors[[2]string{one.Kind, one.Name}] = one
	}
	return s, err
}

// DocumentState is how a document that is needed compares with the node's configuration.
type DocumentState string

// The states.
const (
	// DocumentEqual: it is there, equal in meaning.
	DocumentEqual DocumentState = "equal"
	// DocumentServes: one is there that is written otherwise, and the volume is what it should be.
	DocumentServes DocumentState = "serves"
	// DocumentDiffers: one is there for a volume of that name that asks for something else.
	DocumentDiffers DocumentState = "differs"
	// DocumentMissing: there is none.
	DocumentMissing DocumentState = "missing"
	// DocumentUnknown: the configuration could not be read.
	DocumentUnknown DocumentState = "unknown"
)

// find compares a document with what is there. serves reports whether a selector of another wording does.
func (s Stored) find(d Document, serves func(machineconfig.VolumeSelector) bool) DocumentState {
	if d.Kind == MachineDiskKind {
		return s.findDisk(d)
	}
	there, has := s.documents[[2]string{d.Kind, d.Name}]
	if !has {
		if d.Kind == UserVolumeKind {
			for _, kind := range kindsInVarMnt() {
				if _, taken := s.documents[[2]string{kind, d.Name}]; taken {
					return DocumentDiffers
				}
			}
		}
		return DocumentMissing
	}
	c, _ := d.content.(config)
	want := c.meaning()
	switch {
	case reflect.DeepEqual(there, want):
		return DocumentEqual
	case there["volumeType"] != want["volumeType"] || fsType(there) != fsType(want) || !serves(s.selectors[[2]string{d.Kind, d.Name}]):
		return DocumentDiffers
	}
	return DocumentServes
}

// findDisk looks for an entry of machine.disks. One that names the disk by another path serves.
func (s Stored) findDisk(d Document) DocumentState {
	state := DocumentMissing
	for _, one := range s.disks {
		at := path.Clean(one.Mountpoint)
		switch {
		case at == d.Name && one.Device == d.Device:
			return DocumentEqual
		case at == d.Name:
			state = DocumentDiffers
		}
	}
	return state
}

func fsType(document map[string]any) any {
	fs, _ := document["filesystem"].(map[string]any)
	return fs["type"]
}

// meaning is a document without what says nothing: defaults of Talos (v1.14, pkg/machinery/config/types/block), nulls and empty mappings;
// with its sizes in bytes.
func meaning(document map[string]any) map[string]any {
	clean := make(map[string]any, len(document))
	for key, value := range document {
		switch v := value.(type) {
		case map[string]any:
			if inner := meaning(v); len(inner) > 0 {
				clean[key] = inner
			}
		case nil:
		default:
			clean[key] = v
		}
	}
	drop := func(in map[string]any, key string, standard any) {
		if in[key] == standard {
			delete(in, key)
		}
	}
	drop(clean, "volumeType", typePartition)
	drop(clean, "grow", false)
	for _, key := range []string{"minSize", "maxSize"} {
		if size, err := ParseSize(strings.TrimSpace(fmt.Sprint(cmp.Or(clean[key], "")))); err == nil {
			clean[key] = uint64(size)
		}
	}
	if match, is := clean["match"].(string); is {
		clean["match"] = strings.TrimSpace(match)
	}
	if fs, is := clean["filesystem"].(map[string]any); is {
		if drop(fs, "type", standardFS); len(fs) == 0 {
			delete(clean, "filesystem")
		}
	}
	return clean
}
