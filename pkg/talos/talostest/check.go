// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// loadable reports whether machinery v1.13 can load a kind of document: V113 has it, or this program does not know it and leaves
// it to machinery to say so.
func loadable(kind string) bool {
	has, known := V113.release().HasDocument(kind)
	return has || !known
}

// grown reports whether v1.14 gave a document fields that machinery v1.13 refuses.
func grown(kind string) bool {
	return slices.Contains([]string{"ResolverConfig", "VolumeConfig", "HostnameConfig"}, kind)
}

// kubeletConfigKeys are the fields of v1.14's KubeletConfig document: extraMounts is none.
func kubeletConfigKeys() []string {
	return []string{"apiVersion", "kind", "image", "clusterDNS", "extraArgs", "config", "credentialProviderConfig",
		"defaultRuntimeSeccompProfileEnabled", "registerWithFQDN", "skipNodeRegistration"}
}

// check decodes and validates a submitted configuration as the release would.
// What machinery knows, machinery checks; the documents of v1.14 are checked for
// their kind, and KubeletConfig for its fields and for what it excludes. Errors are
// InvalidArgument.
func check(profile Profile, data []byte) error {
	all, err := documents(data)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	var older bytes.Buffer
	for _, d := range all {
		has, known := profile.release().HasDocument(d.kind)
		switch {
		case d.kind == "":
		case known && !has:
			return refuse(d, fmt.Sprintf("%q %q: not registered", d.kind, d.version))
		case !loadable(d.kind):
			if err := check14(d); err != nil {
				return err
			}
			continue
		case profile.has(talosrelease.KubernetesDocuments) && grown(d.kind):
			continue
		case isVolume(d.kind):
			text, err := volumeText(profile, d)
			if err != nil {
				return err
			}
			d.text = text
		}
		if err := loads(d); err != nil {
			return err
		}
		fmt.Fprintf(&older, "---\n%s", d.text)
	}
	main := find(all, "")
	if main == nil {
		if profile.has(talosrelease.RefusesFragments) {
			return status.Error(codes.InvalidArgument,
				"the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine config instead?")
		}
		return status.Error(codes.InvalidArgument, "new config is not v1alpha1")
	}
	if find(all, "KubeletConfig") != nil && field(main.node, "machine", "kubelet") != nil {
		return status.Error(codes.InvalidArgument,
			"1 error occurred:\n\t* kubelet config is already set in v1alpha1 config (.machine.kubelet)\n\n")
	}
	var config config.Provider
	if find(all, "KubeClusterConfig") != nil {
		// Half of what machinery wants is in documents that it does not know.
		config, err = volumeDocuments(profile, all)
	} else {
		config, err = configloader.NewFromBytes(older.Bytes())
	}
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if _, err := config.Validate(metal{}); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

// loads decodes one document strictly.
func loads(d document) error {
	_, err := configloader.NewFromBytes(d.text)
	if err == nil {
		return nil
	}
	// Machinery saw the document alone, and so counted its lines from 1.
	return status.Error(codes.InvalidArgument, strings.Replace(err.Error(), "(line 1)", fmt.Sprintf("(line %d)", d.line), 1))
}

// check14 is what this package knows of a v1.14 document.
func check14(d document) error {
	if d.kind != "KubeletConfig" {
		return nil
	}
	var unknown []*yaml.Node
	for i := 0; i+1 < len(d.node.Content); i += 2 {
		if !slices.Contains(kubeletConfigKeys(), d.node.Content[i].Value) {
			unknown = append(unknown, d.node.Content[i], d.node.Content[i+1])
		}
	}
	if unknown == nil {
		return nil
	}
	text, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: unknown})
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return refuse(d, "unknown keys found during decoding:\n"+string(text))
}

// refuse is how Talos says that it cannot decode a document.
func refuse(d document, why string) error {
	return status.Errorf(codes.InvalidArgument, "error decoding document %s/%s/%s (line %d): %s", d.version, d.kind, d.name, d.line, why)
}

// metal is validation.RuntimeMode of a machine that is installed.
type metal struct{}

func (metal) String() string        { return "metal" }
func (metal) RequiresInstall() bool { return false }
func (metal) InContainer() bool     { return false }

// needsReboot is why a release below v1.14 cannot put a change in force without a
// reboot (v1alpha1_runtime.go, CanApplyImmediate), or "". Changes of documents other
// than v1alpha1 never need one.
func needsReboot(active, submitted []byte) (string, error) {
	before, err := mainOf(active)
	if err != nil {
		return "", err
	}
	after, err := mainOf(submitted)
	if err != nil {
		return "", err
	}
	copyKeys(before, after, "cluster", "debug")
	copyKeys(mapping(before, "machine"), mapping(after, "machine"),
		"ca", "acceptedCAs", "time", "certSANs", "install", "network", "sysfs", "sysctls", "logging", "controlPlane", "kubelet",
		"kernel", "registries", "pods", "seccompProfiles", "nodeAnnotations", "nodeLabels", "nodeTaints")
	copyKeys(mapping(before, "machine", "features"), mapping(after, "machine", "features"),
		"kubernetesTalosAPIAccess", "kubePrism", "hostDNS", "imageCache", "nodeAddressSortAlgorithm")
	from, err := yaml.Marshal(before)
	if err != nil {
		return "", err
	}
	to, err := yaml.Marshal(after)
	if err != nil {
		return "", err
	}
	diff, err := unified(string(from), string(to))
	if err != nil || diff == "" {
		return "", err
	}
	return "this config change can't be applied in immediate mode\ndiff:\n" + diff, nil
}

// mainOf is the v1alpha1 document as a value.
func mainOf(data []byte) (map[string]any, error) {
	all, err := documents(data)
	if err != nil {
		return nil, err
	}
	main := map[string]any{}
	if d := find(all, ""); d != nil {
		err = d.node.Decode(&main)
	}
	return main, err
}

// mapping is the one at a path of keys, nil if there is none.
func mapping(m map[string]any, keys ...string) map[string]any {
	for _, key := range keys {
		m, _ = m[key].(map[string]any)
	}
	return m
}

// copyKeys makes these keys of to what they are in from.
func copyKeys(from, to map[string]any, keys ...string) {
	if from == nil || to == nil {
		return
	}
	for _, key := range keys {
		value, ok := from[key]
		if !ok {
			delete(to, key)
			continue
		}
		to[key] = value
	}
}
