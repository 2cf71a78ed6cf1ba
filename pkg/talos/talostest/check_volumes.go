// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// Kinds of volume documents that a node here makes something of.
const (
	userVolume     = "UserVolumeConfig"
	rawVolume      = "RawVolumeConfig"
	existingVolume = "ExistingVolumeConfig"
)

func isVolume(kind string) bool {
	return kind == userVolume || kind == rawVolume || kind == existingVolume
}

// laterFields are those that volume documents got after their first release.
func laterFields() []struct {
	keys []string
	fact talosrelease.Fact
} {
	return []struct {
		keys []string
		fact talosrelease.Fact
	}{
		{[]string{"filesystem", "projectQuotaSupport"}, talosrelease.VolumeQuotas},
		{[]string{"volumeType"}, talosrelease.VolumeTypes},
		{[]string{"mount", "secure"}, talosrelease.VolumeMountOptions},
		{[]string{"mount", "disableAccessTime"}, talosrelease.VolumeMountOptions},
		{[]string{"filesystem", "xfs"}, talosrelease.VolumeCare},
		{[]string{"trim"}, talosrelease.VolumeCare},
		{[]string{"scrub"}, talosrelease.VolumeCare},
	}
}

// volumeText is a volume document as machinery v1.13 decodes it. The error is the release's refusal of fields that it does
// not have.
func volumeText(profile Profile, d document) ([]byte, error) {
	node := cloneNode(d.node)
	for _, f := range laterFields() {
		value := field(node, f.keys...)
		switch {
		case value == nil:
		case !profile.has(f.fact):
			return nil, unknownKeys(d, f.keys, value)
		case f.fact == talosrelease.VolumeCare: // Which machinery v1.13 does not know.
			remove(node, f.keys...)
		}
	}
	if size := field(node, "provisioning", "maxSize"); size != nil {
		if strings.HasSuffix(size.Value, "%") && !profile.has(talosrelease.VolumeTypes) {
			return nil, refuse(d, "unhandled size name: %")
		}
		if strings.HasPrefix(size.Value, "-") && !profile.has(talosrelease.VolumeMountOptions) {
			return nil, refuse(d, fmt.Sprintf("strconv.ParseFloat: parsing %q: invalid syntax", size.Value))
		}
	}
	// From v1.14 on a directory can have mount options.
	if kind := field(node, "volumeType"); kind != nil && kind.Value == "directory" && profile.has(talosrelease.VolumeCare) {
		remove(node, "mount")
	}
	return yaml.Marshal(node)
}

// unknownKeys is what the strict decoder says of one field.
func unknownKeys(d document, keys []string, value *yaml.Node) error {
	for _, key := range slices.Backward(keys) {
		value = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: key}, value}}
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return refuse(d, "unknown keys found during decoding:\n"+string(text))
}

// cloneNode shares nothing with node but what is never changed here.
func cloneNode(node *yaml.Node) *yaml.Node {
	own := *node
	own.Content = make([]*yaml.Node, len(node.Content))
	for i, child := range node.Content {
		own.Content[i] = cloneNode(child)
	}
	return &own
}

// remove takes the field at a path of keys out of a mapping.
func remove(node *yaml.Node, keys ...string) {
	last := len(keys) - 1
	parent := field(node, keys[:last]...)
	for i := 0; parent != nil && i+1 < len(parent.Content); i += 2 {
		if parent.Content[i].Value == keys[last] {
			parent.Content = slices.Delete(parent.Content, i, i+2)
			return
		}
	}
}

// volumeDocuments are a configuration's, decoded, without the rest of it.
func volumeDocuments(profile Profile, all []document) (config.Provider, error) {
	var text bytes.Buffer
	for _, d := range all {
		if !isVolume(d.kind) {
			continue
		}
		own, err := volumeText(profile, d)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, "---\n%s", own)
	}
	if text.Len() == 0 { // Which the loader refuses.
		return container.New()
	}
	return configloader.NewFromBytes(text.Bytes())
}
