// SPDX-License-Identifier: Apache-2.0

package talostest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"go.yaml.in/yaml/v3"

	"github.com/talosdisk/kubectl-talosdisk/pkg/talosrelease"
)

// endpoint is the control plane's in generated configurations.
const endpoint = "https://10.0.0.10:6443"

// kubernetesVersion is one that every contract can be generated for.
const kubernetesVersion = "1.29.0"

// Config generates a node's configuration as talosctl of the release does, with the
// cluster's secrets. Native is what v1.14 generates for new clusters, by hand, as
// machinery v1.13 cannot; without it a release from v1.14 on gets v1.13's, as an
// upgraded cluster has.
func (c *Cluster) Config(profile Profile, worker, native bool) ([]byte, error) {
	contract := string(profile)
	if profile.has(talosrelease.KubernetesDocuments) {
		contract = string(V113)
	}
	version, err := config.ParseContractFromVersion(contract)
	if err != nil {
		return nil, err
	}
	input, err := generate.NewInput("test", endpoint, kubernetesVersion,
		generate.WithVersionContract(version),
		generate.WithSecretsBundle(c.secrets),
		generate.WithInstallDisk("/dev/vda"),
	)
	if err != nil {
		return nil, err
	}
	kind := machine.TypeControlPlane
	if worker {
		kind = machine.TypeWorker
	}
	provider, err := input.Config(kind)
	if err != nil {
		return nil, err
	}
	data, err := provider.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
	if err != nil || !native {
		return data, err
	}
	return c.native(data, kind)
}

// native rewrites a v1.13 configuration as v1.14 generates it.
func (c *Cluster) native(data []byte, kind machine.Type) ([]byte, error) {
	all, err := documents(data)
	if err != nil {
		return nil, err
	}
	main := find(all, "").node
	image := field(main, "machine", "kubelet", "image").Value
	keep(field(main, "machine"), "type", "token", "ca", "certSANs", "features")
	keep(field(main, "machine", "features"), "diskQuotaSupport")
	secrets := []string{"token"}
	if kind == machine.TypeControlPlane {
		secrets = append(secrets, "ca", "aggregatorCA", "serviceAccount", "etcd", "secretboxEncryptionSecret")
	}
	keep(field(main, "cluster"), secrets...)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(4)
	if err := encoder.Encode(main); err != nil {
		return nil, err
	}
	fmt.Fprintf(&out, nativeDocuments, c.secrets.Cluster.ID, c.secrets.Cluster.Secret, endpoint, image)
	return out.Bytes(), nil
}

// nativeDocuments are those beside v1alpha1 in what v1.14 generates, as recorded.
const nativeDocuments = `---
apiVersion: v1alpha1
kind: DiscoveryIdentityConfig
clusterID: %s
clusterSecret: %s
---
apiVersion: v1alpha1
kind: UnattendedInstallConfig
installer:
    image: factory.talos.dev/metal-installer:v1.14.1
provisioning:
    diskSelector:
        match: disk.dev_path == "/dev/vda"
    wipe: false
---
apiVersion: v1alpha1
kind: ResolverConfig
hostDNS:
    enabled: true
    forwardKubeDNSToHost: true
---
apiVersion: v1alpha1
kind: VolumeConfig
name: EPHEMERAL
mount:
    secure: true
---
apiVersion: v1alpha1
kind: FilesystemTrimConfig
interval: 168h0m0s
---
apiVersion: v1alpha1
kind: SecurityProfileConfig
workloadIsolation: true
---
apiVersion: v1alpha1
kind: HostnameConfig
auto: stable
---
apiVersion: v1alpha1
kind: KubeClusterConfig
clusterName: test
endpoint: %s
---
apiVersion: v1alpha1
kind: KubeNodeConfig
nodeIP: {}
---
apiVersion: v1alpha1
kind: KubeletConfig
image: %s
config: {}
defaultRuntimeSeccompProfileEnabled: true
---
apiVersion: v1alpha1
kind: KubeNetworkConfig
dnsDomain: cluster.local
podSubnets:
    - 10.244.0.0/16
serviceSubnets:
    - 10.96.0.0/12
---
apiVersion: v1alpha1
kind: KubePrismConfig
port: 7445
`

// keep leaves only these keys in a mapping.
func keep(node *yaml.Node, keys ...string) {
	if node == nil {
		return
	}
	var kept []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		if slices.Contains(keys, node.Content[i].Value) {
			kept = append(kept, node.Content[i], node.Content[i+1])
		}
	}
	node.Content = kept
}

// Canaries are the cluster's secrets as its configurations hold them, and the keys
// also as they are without base64: none may ever be seen outside of a node. Each is
// random, so that none is found by chance.
func (c *Cluster) Canaries() []string {
	s := c.secrets
	all := []string{s.Cluster.Secret, s.TrustdInfo.Token, s.Secrets.BootstrapToken, s.Secrets.SecretboxEncryptionSecret}
	for _, key := range [][]byte{s.Certs.OS.Key, s.Certs.K8s.Key, s.Certs.K8sAggregator.Key, s.Certs.Etcd.Key, s.Certs.K8sServiceAccount.Key} {
		all = append(all, base64.StdEncoding.EncodeToString(key))
		for line := range strings.Lines(string(key)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "-----") {
				all = append(all, line)
			}
		}
	}
	return all
}

// Canaries are the cluster's.
func (n *Node) Canaries() []string { return n.cluster.Canaries() }

// Talosconfig is the cluster's.
func (n *Node) Talosconfig(path string, access Access) error {
	return n.cluster.Talosconfig(path, access)
}
