// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/pkg/mounts"
)

// document is one of a machine configuration's.
type document struct {
	// kind is "" for the v1alpha1 document.
	kind, version, name string
	// line is where it begins, counted from 1.
	line int
	node *yaml.Node
	text []byte
}

// documents splits a configuration.
func documents(data []byte) ([]document, error) {
	var all []document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if len(node.Content) == 0 || node.Content[0].Kind != yaml.MappingNode {
			continue
		}
		var head struct {
			Kind       string `yaml:"kind"`
			APIVersion string `yaml:"apiVersion"`
			Name       string `yaml:"name"`
		}
		if err := node.Decode(&head); err != nil {
			return nil, err
		}
		text, err := yaml.Marshal(node.Content[0])
		if err != nil {
			return nil, err
		}
		all = append(all, document{
			kind: head.Kind, version: head.APIVersion, name: head.Name,
			line: node.Content[0].Line, node: node.Content[0], text: text,
		})
	}
}

// find is the first document of a kind, or nil.
func find(all []document, kind string) *document {
	i := slices.IndexFunc(all, func(d document) bool { return d.kind == kind })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// field is what a mapping has at a path of keys, or nil.
func field(node *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if node == nil || node.Kind != yaml.MappingNode {
			return nil
		}
		var value *yaml.Node
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				value = node.Content[i+1]
			}
		}
		node = value
	}
	return node
}

// kubeletPart is what a configuration says of the kubelet itself. What reaches it from
// elsewhere, such as cluster.network.dnsDomain, is left out: here it restarts nothing.
type kubeletPart struct {
	Image       string              `yaml:"image" json:",omitempty"`
	ExtraArgs   map[string]any      `yaml:"extraArgs" json:",omitempty"`
	ExtraConfig map[string]any      `yaml:"extraConfig" json:",omitempty"`
	Config      map[string]any      `yaml:"config" json:",omitempty"`
	ClusterDNS  []string            `yaml:"clusterDNS" json:",omitempty"`
	ExtraMounts []mounts.ExtraMount `yaml:"extraMounts" json:",omitempty"`
	// Rest is everything else of it.
	Rest map[string]any `yaml:",inline" json:",omitempty"`
}

// kubeletSpecOf is what the kubelet is told by a configuration, as the node starts
// it and as the KubeletSpec resource shows it.
func (n *Node) kubeletSpecOf(data []byte) (kubeletSpec, *k8s.KubeletSpec, error) {
	all, err := documents(data)
	if err != nil {
		return kubeletSpec{}, nil, err
	}
	var part kubeletPart
	if main := find(all, ""); main != nil {
		if kubelet := field(main.node, "machine", "kubelet"); kubelet != nil {
			if err := kubelet.Decode(&part); err != nil {
				return kubeletSpec{}, nil, err
			}
		}
	}
	if own := find(all, "KubeletConfig"); own != nil {
		if err := own.node.Decode(&part); err != nil {
			return kubeletSpec{}, nil, err
		}
		// It has no such field.
		part.ExtraMounts = nil
		delete(part.Rest, "apiVersion")
		delete(part.Rest, "kind")
	}
	// How the configuration spells it does not matter to the kubelet.
	if len(part.ExtraConfig) == 0 {
		part.ExtraConfig = part.Config
	}
	part.Config = nil
	key, err := json.Marshal(part)
	if err != nil {
		return kubeletSpec{}, nil, fmt.Errorf("kubelet of the configuration: %w", err)
	}
	r := k8s.NewKubeletSpec(k8s.NamespaceName, k8s.KubeletID)
	spec := r.TypedSpec()
	spec.Image = part.Image
	spec.Args = kubeletArgs(n.options.Name)
	spec.ExpectedNodename = n.options.Name
	spec.Config = part.ExtraConfig
	spec.ExtraMounts = runtimeMounts(part.ExtraMounts)
	return kubeletSpec{key: string(key), extra: part.ExtraMounts}, r, nil
}

// kubeletArgs are those by which a kubelet of Talos is distinguished from another.
func kubeletArgs(name string) []string {
	return []string{
		"--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubeconfig",
		"--cert-dir=/var/lib/kubelet/pki",
		"--config=/etc/kubernetes/kubelet.yaml",
		"--hostname-override=" + name,
		"--kubeconfig=/etc/kubernetes/kubeconfig-kubelet",
	}
}
