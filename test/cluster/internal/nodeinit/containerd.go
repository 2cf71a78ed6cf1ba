// SPDX-License-Identifier: Apache-2.0

package nodeinit

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/layout"
	"github.com/talosdisk/kubectl-talosdisk/test/cluster/internal/programs"
)

const (
	containerdConfig = "/etc/containerd/config.toml"
	cniConfig        = "/etc/cni/net.d/10-bridge.conflist"

	// ContainerdSocket is where a node's containerd listens.
	ContainerdSocket = "/run/containerd/containerd.sock"
)

// writeContainerdConfig writes containerd's and the pod network's settings.
func writeContainerdConfig(node layout.NodeInfo) error {
	for _, dir := range []string{"/etc/containerd", "/etc/cni/net.d"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// restrict_oom_score_adj: a process without CAP_SYS_RESOURCE, as root is in
	// many a sandbox, may not lower the score of a container.
	config := fmt.Sprintf(`version = 2
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = %q

[plugins."io.containerd.grpc.v1.cri"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  sandbox_image = %q

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = "/etc/cni/net.d"
`, ContainerdSocket, programs.PauseImageName, programs.CNIDir)
	if err := os.WriteFile(containerdConfig, []byte(config), 0o644); err != nil {
		return err
	}
	network, err := json.MarshalIndent(map[string]any{
		"cniVersion": "0.4.0",
		"name":       "pods",
		"plugins": []any{
			map[string]any{
				"type":      "bridge",
				"bridge":    node.Bridge(),
				"isGateway": true,
				"ipam": map[string]any{
					"type":   "host-local",
					"ranges": []any{[]any{map[string]any{"subnet": node.PodSubnet()}}},
					"routes": []any{map[string]any{"dst": "0.0.0.0/0"}},
				},
			},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(cniConfig, network, 0o644)
}
